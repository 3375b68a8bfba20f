//! Which account of a site a user of an archive is: Moodle's rules, the caller's mapping, and what contradicts.
//!
//! What is decided does not depend on the order of users or accounts. Only the users that an included part names are to
//! be asked about (`restore_users_parser_processor` loads no others).

mod account;
mod rules;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use account::{Account, ArchiveUser, Candidates, Hosts, Keys, address_key, folded};
pub use rules::Rule;
use rules::{Verdict, judge};

use crate::backup::Compatibility;
use crate::choice::{Contradiction, Contradictions};

/// What the site has to say about matching.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Site {
    /// Whether the archive came from this site: the identifier's hashes are equal, or where the archive has none, the
    /// addresses (`backup_general_helper::backup_is_samesite`).
    pub is_same: bool,
    /// Treats every archive as from elsewhere (`$CFG->forcedifferentsitecheckingusersonrestore`).
    pub forces_other_site: bool,
    /// The site's own number among hosts.
    pub own_host: i64,
    /// Hash of the archive's site, if a second `admin` may come from there (`import_general_duplicate_admin_allowed`).
    pub duplicate_admin: Option<String>,
    /// Whether accounts may be made: `moodle/restore:createuser`, `moodle/restore:userinfo`, and no
    /// `$CFG->disableusercreationonrestore`.
    pub may_create: bool,
    /// Whose rules are followed.
    pub compatibility: Compatibility,
}

impl Site {
    /// The name that the other site's `admin` gets here, if the user is he and may come.
    fn duplicate_admin_of(&self, user: &ArchiveUser) -> Option<String> {
        let hash = self.duplicate_admin.as_ref().filter(|hash| !hash.is_empty())?;
        (user.username == "admin" && user.host == self.own_host).then(|| format!("admin_{hash}"))
    }
}

/// Whether an archive came from a site (`backup_general_helper::backup_is_samesite`).
pub fn is_same_site(archive: &crate::moodle::OriginalSite, own_hash: &str, own_url: &str) -> bool {
    match archive.identifier_hash.as_str() {
        "" => archive.wwwroot == own_url,
        hash => hash == own_hash,
    }
}

/// What a caller wants of one user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mapping {
    /// He is this account. Several users may be mapped to one.
    MatchTo {
        /// Id of the account.
        account: i64,
    },
    /// He gets an account of his own.
    Create {
        /// Its name; none for the user's own.
        username: Option<String>,
    },
    /// He is left out with all that is his.
    Drop,
    /// He gets an account that does not tell who he is.
    Pseudonymise,
}

/// What becomes of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserDecision {
    /// He is this account, which stays as it is.
    Match {
        /// Id of the account.
        account: i64,
        /// By which rule; none for the caller's mapping.
        rule: Option<Rule>,
    },
    /// He gets an account.
    Create {
        /// Its name.
        username: String,
        /// By which rule; none for the caller's mapping.
        rule: Option<Rule>,
    },
    /// He is left out.
    Drop,
    /// He gets an account under a name that is made of its new id, which no other has.
    Pseudonymise,
    /// Someone must decide.
    Conflict(Conflict),
}

/// Why someone must decide about a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conflict {
    /// The name belongs to an account that does not seem to be his.
    NameTaken {
        /// Id of the account.
        account: i64,
        /// By which rule; none where the caller asked for the name.
        rule: Option<Rule>,
    },
    /// Other users of the archive are matched to the same account.
    SharedAccount {
        /// Id of the account.
        account: i64,
        /// Ids of all of them.
        users: Vec<i64>,
    },
    /// Other users of the archive would get an account of the same name.
    SharedName {
        /// Ids of all of them.
        users: Vec<i64>,
    },
    /// The archive has several users of this id.
    RepeatedId,
    /// He would have to be created, and that is not allowed.
    MayNotCreate,
    /// The account that the caller mapped him to does not exist.
    UnknownAccount {
        /// Id that the caller gave.
        account: i64,
    },
}

/// A user, and what becomes of him.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatchedUser<'u> {
    /// The user.
    pub user: &'u ArchiveUser,
    /// What becomes of him.
    pub decision: UserDecision,
}

/// Decides about all users of an archive, by id. A mapping decides over the rules; one for a user that is not there is a
/// contradiction of the request.
///
/// Two users matched to one account, each by a rule, are a conflict in `Compatibility::Strict`; Moodle makes one person of
/// them. Two that would be created under one name are a conflict in both: Moodle stops in the middle, at the database.
/// The same goes for a name that is taken where a second `admin` is allowed: Moodle then tells of nobody's conflict but
/// `admin`'s, and fails at the others later (`precheck_included_users`).
pub fn match_users<'u>(
    users: &'u [ArchiveUser],
    directory: &Candidates,
    site: &Site,
    mapping: &BTreeMap<i64, Mapping>,
) -> (Vec<MatchedUser<'u>>, Contradictions) {
    let mut sorted: Vec<&ArchiveUser> = users.iter().collect();
    sorted.sort_unstable();
    let mut contradictions = Contradictions::default();
    for id in mapping.keys() {
        if sorted.binary_search_by_key(id, |user| user.id).is_err() {
            let message = format!("the archive has no user {id} that is needed");
            contradictions.add(Contradiction { field: format!("mapping[{id}]"), message });
        }
    }
    let mut matched: Vec<MatchedUser<'u>> = sorted
        .into_iter()
        .map(|user| {
            let decision = match mapping.get(&user.id) {
                Some(mapping) => mapped(user, mapping, directory),
                None => ruled(user, directory, site),
            };
            MatchedUser { user, decision }
        })
        .collect();
    refuse_repeated_ids(&mut matched);
    if site.compatibility == Compatibility::Strict {
        refuse_shared_accounts(&mut matched);
    }
    refuse_taken_names(&mut matched, directory);
    refuse_shared_names(&mut matched);
    if !site.may_create {
        for one in &mut matched {
            if matches!(one.decision, UserDecision::Create { .. } | UserDecision::Pseudonymise) {
                one.decision = UserDecision::Conflict(Conflict::MayNotCreate);
            }
        }
    }
    (matched, contradictions)
}

fn mapped(user: &ArchiveUser, mapping: &Mapping, directory: &Candidates) -> UserDecision {
    match mapping {
        Mapping::MatchTo { account } if directory.by_id(*account).is_none() => {
            UserDecision::Conflict(Conflict::UnknownAccount { account: *account })
        }
        Mapping::MatchTo { account } => UserDecision::Match { account: *account, rule: None },
        Mapping::Create { username } => {
            let username = username.as_ref().unwrap_or(&user.username).clone();
            UserDecision::Create { username, rule: None }
        }
        Mapping::Drop => UserDecision::Drop,
        Mapping::Pseudonymise => UserDecision::Pseudonymise,
    }
}

fn ruled(user: &ArchiveUser, directory: &Candidates, site: &Site) -> UserDecision {
    match judge(user, directory, site) {
        Verdict::Match { account, rule } => UserDecision::Match { account, rule: Some(rule) },
        Verdict::Create { rule } => {
            UserDecision::Create { username: user.username.clone(), rule: Some(rule) }
        }
        Verdict::Conflict { account, rule } => match site.duplicate_admin_of(user) {
            Some(username) => UserDecision::Create { username, rule: Some(Rule::DuplicateAdmin) },
            None => UserDecision::Conflict(Conflict::NameTaken { account, rule: Some(rule) }),
        },
    }
}

fn refuse_repeated_ids(matched: &mut [MatchedUser<'_>]) {
    for same in matched.chunk_by_mut(|one, next| one.user.id == next.user.id) {
        if same.len() > 1 {
            same.iter_mut().for_each(|one| one.decision = UserDecision::Conflict(Conflict::RepeatedId));
        }
    }
}

/// The caller may map several users to one account; whom only a rule takes there must be decided about.
fn refuse_shared_accounts(matched: &mut [MatchedUser<'_>]) {
    let mut sharing: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for one in matched.iter() {
        if let UserDecision::Match { account, .. } = one.decision {
            sharing.entry(account).or_default().push(one.user.id);
        }
    }
    for one in matched {
        let UserDecision::Match { account, rule: Some(_) } = one.decision else { continue };
        if let Some(users) = sharing.get(&account).filter(|users| users.len() > 1) {
            let users = users.clone();
            one.decision = UserDecision::Conflict(Conflict::SharedAccount { account, users });
        }
    }
}

fn refuse_taken_names(matched: &mut [MatchedUser<'_>], directory: &Candidates) {
    for one in matched {
        let UserDecision::Create { username, rule } = one.decision.clone() else { continue };
        let mut taken = directory.by_username(&username).filter(|account| account.host == one.user.host);
        if let Some(account) = taken.next() {
            one.decision = UserDecision::Conflict(Conflict::NameTaken { account: account.id, rule });
        }
    }
}

/// Of several users who would get one name none gets it, but one for whom alone the caller asked.
fn refuse_shared_names(matched: &mut [MatchedUser<'_>]) {
    let mut sharing: BTreeMap<(i64, String), (Vec<i64>, usize)> = BTreeMap::new();
    for one in matched.iter() {
        if let UserDecision::Create { username, rule } = &one.decision {
            let (users, asked) = sharing.entry((one.user.host, username.clone())).or_default();
            users.push(one.user.id);
            *asked += usize::from(rule.is_none());
        }
    }
    for one in matched {
        let UserDecision::Create { username, rule } = &one.decision else { continue };
        let Some((users, asked)) = sharing.get(&(one.user.host, username.clone())) else { continue };
        let is_the_one = rule.is_none() && *asked == 1;
        if users.len() > 1 && !is_the_one {
            one.decision = UserDecision::Conflict(Conflict::SharedName { users: users.clone() });
        }
    }
}
