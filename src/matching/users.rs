//! Users of an archive: whom to ask the directory for, what becomes of each, and pseudonyms.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::contents::Contents;
use super::deciding::Deciding;
use crate::choice::Contradictions;
use crate::digest::Digest;
use crate::format::{Element, Format};
use crate::moodle::OriginalSite;
use crate::restore::precheck::check_users;
use crate::restore::users::{
    ArchiveUser, Conflict, Keys, Mapping, MatchedUser, Site, UserDecision, match_users,
};

/// Numbers of pseudonyms are below this, so that names stay short: two people of a site share one with a chance of one
/// in a million among a thousand people each of whom is pseudonymised.
const NUMBERS: u64 = 1_000_000_000_000;

/// Where `users.xml` has a user.
const USER: [&str; 2] = ["users", "user"];

/// An account that a restore makes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewAccount {
    /// Its name.
    pub username: String,
    /// The number of its constant values, if it must not tell who it is, see [`constants`]. What stands below its row
    /// then goes, too.
    pub pseudonym: Option<u64>,
}

/// What can be done about a user whom someone must decide about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remedy {
    /// Say that he is this account.
    MatchTo {
        /// Its id.
        account: i64,
    },
    /// Say that he is some account.
    MatchToOther,
    /// Let him be created under a name that nobody has.
    CreateUnderOtherName,
    /// Let him be created under a pseudonym.
    Pseudonymise,
    /// Leave him out with all that is his.
    Drop,
}

/// A user whom someone must decide about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserConflict {
    /// His id in the archive.
    pub user: i64,
    /// Why.
    pub conflict: Conflict,
    /// Accounts concerned.
    pub accounts: Vec<i64>,
    /// What can be done; nothing where only another archive helps.
    pub remedies: Vec<Remedy>,
}

impl UserConflict {
    fn of(user: i64, conflict: &Conflict, may_create: bool) -> Self {
        let (accounts, told, other) = match conflict {
            Conflict::NameTaken { account, .. } | Conflict::SharedAccount { account, .. } => {
                (vec![*account], Some(*account), true)
            }
            Conflict::UnknownAccount { account } => (vec![*account], None, true),
            Conflict::SharedName { .. } | Conflict::MayNotCreate => (Vec::new(), None, true),
            Conflict::RepeatedId => (Vec::new(), None, false),
        };
        let mut remedies: Vec<Remedy> = told.map(|account| Remedy::MatchTo { account }).into_iter().collect();
        if other {
            remedies.push(Remedy::MatchToOther);
            if may_create {
                remedies.extend([Remedy::CreateUnderOtherName, Remedy::Pseudonymise]);
            }
            remedies.push(Remedy::Drop);
        }
        Self { user, conflict: conflict.clone(), accounts, remedies }
    }
}

impl Contents {
    /// The users that an included part refers to, or that are in a group. Others are not restored
    /// (`restore_load_included_users`).
    fn needed_users(&self) -> Vec<ArchiveUser> {
        self.users.iter().filter(|user| self.listed_users.contains(&user.id)).cloned().collect()
    }

    /// What to look for in the user directory.
    pub fn keys(
        &self,
        from: &OriginalSite,
        site: &Site,
        mapping: &BTreeMap<i64, Mapping>,
        pseudonym_key: &[u8],
    ) -> Keys {
        let users = self.needed_users();
        let mut keys = Keys::of(&users, site, mapping);
        let hidden = users.iter().filter(|user| mapping.get(&user.id) == Some(&Mapping::Pseudonymise));
        keys.usernames.extend(hidden.map(|user| format!("anon{}", pseudonym(pseudonym_key, from, user))));
        keys
    }
}

/// The number of a user's pseudonym: the same for the same user of the same source, for whoever has the key.
fn pseudonym(key: &[u8], from: &OriginalSite, user: &ArchiveUser) -> u64 {
    let source = if from.identifier_hash.is_empty() { &from.wwwroot } else { &from.identifier_hash };
    let inner = Digest::of(&[key, b"\0", source.as_bytes()].concat());
    let id = format!("\0{}\0{}\0{}", user.host, user.id, user.username);
    let Digest(bytes) = Digest::of(&[&inner.0, key, id.as_bytes()].concat());
    bytes.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte)) % NUMBERS
}

/// The values of a row of `users.xml` that does not tell who it is: those of an anonymised backup, by name of the field.
pub fn constants(format: &Format, number: u64) -> BTreeMap<String, String> {
    let root = format.document("users.xml").map(|found| &found.document.root);
    let user: Option<&Element> =
        root.filter(|root| root.name == USER[0]).and_then(|root| root.children.get(USER[1]));
    let fields = user.into_iter().flat_map(|user| &user.children);
    let constant = |(name, field): (&String, &Element)| {
        let constant = field.value.as_ref()?.anonymous.as_ref()?;
        Some((name.clone(), constant.replace('%', &number.to_string())))
    };
    fields.filter_map(constant).collect()
}

impl Deciding<'_> {
    /// Decides about all users.
    pub fn users(&mut self) -> Result<(), Contradictions> {
        let request = self.request;
        let needed = request.incoming.contents.needed_users();
        let (matched, contradictions) =
            match_users(&needed, request.directory, request.site, request.mapping);
        contradictions.none_or(())?;
        let matched = self.pseudonymised(matched);
        self.plan.findings.extend(check_users(&matched));
        let Some(user) = self.kind("user") else { return Ok(()) };
        for MatchedUser { user: of, decision } in matched {
            match &decision {
                UserDecision::Match { account, .. } => self.match_account(of.id, *account),
                UserDecision::Drop => {
                    self.gone_users.insert(of.id);
                    self.plan.left_out.add(user, of.id);
                }
                UserDecision::Create { username, .. } => {
                    let account = NewAccount { username: username.clone(), pseudonym: None };
                    self.plan.new_accounts.insert(of.id, account);
                }
                UserDecision::Pseudonymise => {}
                UserDecision::Conflict(conflict) => {
                    let conflict = UserConflict::of(of.id, conflict, request.site.may_create);
                    self.plan.conflicts.push(conflict);
                }
            }
            self.plan.users.insert(of.id, decision);
        }
        self.strangers();
        Ok(())
    }

    fn match_account(&mut self, user: i64, account: i64) {
        let Some(kind) = self.kind("user") else { return };
        self.plan.map.set(kind, user, account);
        let contexts =
            |contents: &'_ Contents, id| contents.user_contexts.get(&id).cloned().unwrap_or_default();
        let Some(target) = self.request.target else { return };
        if target.survey.defined.has(kind, account) {
            // He stays as he is, and so does all below him.
            self.plan.left_out.add(kind, user);
            self.staying_users.insert(user);
        }
        let there = contexts(target.contents, account);
        for (kind, context) in contexts(self.request.incoming.contents, user) {
            if let Some((_, same)) = there.iter().find(|(other, _)| *other == kind) {
                self.plan.map.set(kind, context, *same);
            }
        }
    }

    /// Whoever had his pseudonym before has it still; others get an account of that name.
    fn pseudonymised<'u>(&mut self, mut matched: Vec<MatchedUser<'u>>) -> Vec<MatchedUser<'u>> {
        let from = &self.request.incoming.manifest.original_site;
        let mut taken = BTreeSet::new();
        for one in matched.iter_mut().filter(|one| one.decision == UserDecision::Pseudonymise) {
            let mut number = pseudonym(self.request.pseudonym_key, from, one.user);
            while !taken.insert(number) {
                number = (number + 1) % NUMBERS;
            }
            let username = format!("anon{number}");
            let accounts = self.request.directory.by_username(&username);
            let mut own = accounts.filter(|account| account.host == one.user.host && !account.is_deleted);
            if let Some(account) = own.next().map(|account| account.id) {
                one.decision = UserDecision::Match { account, rule: None };
                continue;
            }
            drop(own);
            let account = NewAccount { username, pseudonym: Some(number) };
            self.plan.new_accounts.insert(one.user.id, account);
        }
        matched
    }

    /// Users and roles that documents name and the restore does not bring along: on their own site they are who they
    /// were, anywhere else the number would be another person's.
    fn strangers(&mut self) {
        let Some(user) = self.kind("user") else { return };
        let known: BTreeSet<i64> = self.plan.users.keys().copied().collect();
        let defined = self.request.incoming.survey.defined.sorted(user);
        let unneeded: Vec<i64> = defined.into_iter().filter(|id| !known.contains(id)).collect();
        self.plan.left_out.extend_kind(user, unneeded.iter().copied());
        let is_same = self.request.site.is_same && !self.request.site.forces_other_site;
        let named = self.request.incoming.scan.named.sorted(user).into_iter();
        for id in named.chain(unneeded).filter(|id| !known.contains(id)) {
            self.plan.map.set(user, id, if is_same { id } else { 0 });
        }
        for id in self.gone_users.clone() {
            self.plan.map.set(user, id, 0);
        }
    }
}
