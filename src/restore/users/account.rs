//! Users of an archive, accounts of a site, and how the two are told alike.

use std::collections::{BTreeMap, BTreeSet};

use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};

use super::{Mapping, Site};

/// Characters of an address that Moodle keeps as the name of a deleted account: 100, less a dot and ten digits of the time
/// (`delete_user`).
const KEPT_OF_ADDRESS: usize = 89;

/// A user as `users.xml` tells, reduced to what matching looks at.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct ArchiveUser {
    /// Id in the source's database.
    pub id: i64,
    /// Name to log in with; of a deleted user his address, a dot and the time.
    pub username: String,
    /// Address; of a deleted user the MD5 of his name.
    pub email: String,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// First access in seconds since 1970; 0 for never.
    pub first_access: i64,
    /// Whether the source had deleted him.
    pub is_deleted: bool,
    /// The network host he comes from, see [`Hosts::of`].
    pub host: i64,
}

/// An account of the site's directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Account {
    /// Id of the account on the site.
    pub id: i64,
    /// Name to log in with; unique together with the host.
    pub username: String,
    /// Address.
    pub email: String,
    /// First access in seconds since 1970; 0 for never.
    pub first_access: i64,
    /// Whether it is deleted.
    pub is_deleted: bool,
    /// The network host it comes from.
    pub host: i64,
}

/// The hosts that a site knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts {
    /// Address of the site itself.
    pub own_url: String,
    /// Number of the site itself among hosts.
    pub own: i64,
    /// Other hosts by their addresses.
    pub others: BTreeMap<String, i64>,
}

impl Hosts {
    /// The host of a user whose `mnethosturl` is this. One that the site does not know counts as its own, as in
    /// `restore_dbops::precheck_included_users`; the precheck warns of remote users on other sites.
    pub fn of(&self, url: &str) -> i64 {
        if url.is_empty() || url == self.own_url {
            return self.own;
        }
        self.others.get(url).copied().unwrap_or(self.own)
    }
}

impl ArchiveUser {
    /// Whether this looks like a user of an anonymised backup (`backup_anonymizer_helper::is_anonymous_user`).
    pub fn is_anonymous(&self) -> bool {
        let rest = |text: &str, start: &str, end: &str| {
            let number = text.strip_prefix(start).and_then(|text| text.strip_suffix(end));
            number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
        };
        rest(&self.username, "anon", "")
            && rest(&self.first_name, "anonfirstname", "")
            && rest(&self.last_name, "anonlastname", "")
            && (rest(&self.email, "anon", "@doesntexist.com")
                || rest(&self.email, "anon", "@doesntexist.invalid"))
    }

    /// What of the address stands at the beginning of the name of an account that was deleted.
    pub(super) fn kept_of_email(&self) -> String {
        self.email.chars().take(KEPT_OF_ADDRESS).collect()
    }

    /// The beginning that the name of an account has, whatever stands for Moodle's wildcards, if the account was deleted
    /// while it had this address.
    pub(super) fn sure_start(&self) -> String {
        let name = format!("{}.", self.kept_of_email());
        let sure = name.find(['%', '_', '\\']).map_or(name.as_str(), |at| &name[..at]);
        sure.to_owned()
    }

    /// The name without the time at its end that a deletion adds: a dot, digits, and at most one character more.
    pub(super) fn username_without_time(&self) -> &str {
        let name = &self.username;
        let is_time = |end: &str| {
            let rest = end.trim_start_matches(|c: char| c.is_ascii_digit());
            rest.len() < end.len() && rest.chars().nth(1).is_none()
        };
        let mut dots = name.match_indices('.');
        dots.find(|(at, _)| is_time(&name[at + 1..])).map_or(name, |(at, _)| &name[..at])
    }

    /// The MD5 of the name, as Moodle keeps it for the address of a deleted account.
    pub(super) fn username_md5(&self) -> String {
        Md5::digest(self.username.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Account {
    /// What of the address may be compared with the name of a deleted user.
    pub(super) fn kept_of_email(&self) -> String {
        self.email.chars().take(KEPT_OF_ADDRESS).collect()
    }
}

/// Whether two texts are one but for the case of letters, letter by letter as databases do it.
pub(super) fn alike(one: &str, other: &str) -> bool {
    folded(one) == folded(other)
}

/// What of an address a directory looks accounts up by for [`Keys::email_starts`]: its beginning without the case.
pub fn address_key(email: &str) -> String {
    folded(&email.chars().take(KEPT_OF_ADDRESS).collect::<String>())
}

/// A text without the case of its letters.
pub fn folded(text: &str) -> String {
    let fold = |letter: char| {
        let mut upper = letter.to_uppercase();
        match (upper.next(), upper.next()) {
            (Some(only), None) => only,
            _ => letter,
        }
    };
    text.chars().map(fold).collect()
}

/// What to look for in a directory so that matching finds all that it may find.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// Accounts of these ids; deleted ones, too.
    pub ids: BTreeSet<i64>,
    /// Accounts of exactly these names, of any host.
    pub usernames: BTreeSet<String>,
    /// Accounts whose [`address_key`] is one of these, whatever the case. Only for deleted users.
    pub email_starts: BTreeSet<String>,
    /// Deleted accounts of exactly these addresses: MD5 of names.
    pub deleted_emails: BTreeSet<String>,
    /// Deleted accounts whose name begins with one of these, whatever the case.
    pub deleted_username_starts: BTreeSet<String>,
}

impl Keys {
    /// The keys of these users and of the caller's mapping. Whoever gives more accounts to
    /// [`match_users`](super::match_users) changes nothing.
    pub fn of(users: &[ArchiveUser], site: &Site, mapping: &BTreeMap<i64, Mapping>) -> Self {
        let mut keys = Self::default();
        for user in users {
            keys.ids.insert(user.id);
            keys.usernames.insert(user.username.clone());
            keys.deleted_emails.insert(user.username_md5());
            if user.is_deleted {
                keys.email_starts.insert(user.username_without_time().to_owned());
            }
            keys.deleted_username_starts.insert(user.sure_start());
        }
        keys.usernames.extend(users.iter().filter_map(|user| site.duplicate_admin_of(user)));
        for mapping in mapping.values() {
            match mapping {
                Mapping::MatchTo { account } => {
                    keys.ids.insert(*account);
                }
                Mapping::Create { username } => keys.usernames.extend(username.clone()),
                Mapping::Drop | Mapping::Pseudonymise => {}
            }
        }
        keys
    }
}

/// The accounts that may match, findable in the ways of [`Keys`].
#[derive(Clone, Debug, Default)]
pub struct Candidates {
    by_id: BTreeMap<i64, Account>,
    by_username: BTreeMap<String, Vec<i64>>,
    by_folded_email: BTreeMap<String, Vec<i64>>,
    deleted_by_email: BTreeMap<String, Vec<i64>>,
    deleted_by_username: BTreeMap<String, Vec<i64>>,
}

impl FromIterator<Account> for Candidates {
    fn from_iter<I: IntoIterator<Item = Account>>(accounts: I) -> Self {
        let by_id: BTreeMap<i64, Account> =
            accounts.into_iter().map(|account| (account.id, account)).collect();
        let mut found = Self::default();
        for (id, account) in &by_id {
            found.by_username.entry(account.username.clone()).or_default().push(*id);
            found.by_folded_email.entry(folded(&account.kept_of_email())).or_default().push(*id);
            if account.is_deleted {
                found.deleted_by_email.entry(account.email.clone()).or_default().push(*id);
                found.deleted_by_username.entry(folded(&account.username)).or_default().push(*id);
            }
        }
        Self { by_id, ..found }
    }
}

/// Every lookup gives accounts by rising id, so that what is found does not depend on a directory's order.
impl Candidates {
    /// The account of that id.
    pub fn by_id(&self, id: i64) -> Option<&Account> {
        self.by_id.get(&id)
    }

    /// Accounts of exactly that name, of any host.
    pub fn by_username(&self, username: &str) -> impl Iterator<Item = &Account> {
        self.accounts(self.by_username.get(username))
    }

    /// Accounts whose address, as far as it is compared, is that but for the case.
    pub(super) fn by_kept_email(&self, email: &str) -> impl Iterator<Item = &Account> {
        self.accounts(self.by_folded_email.get(&folded(email)))
    }

    /// Deleted accounts of exactly that address.
    pub(super) fn deleted_by_email(&self, email: &str) -> impl Iterator<Item = &Account> {
        self.accounts(self.deleted_by_email.get(email))
    }

    /// Deleted accounts whose name begins with that but for the case.
    pub(super) fn deleted_by_username_start(&self, start: &str) -> impl Iterator<Item = &Account> {
        let start = folded(start);
        let names = self.deleted_by_username.range(start.clone()..);
        let mut ids: Vec<i64> = names
            .take_while(|(name, _)| name.starts_with(&start))
            .flat_map(|(_, ids)| ids)
            .copied()
            .collect();
        ids.sort_unstable();
        ids.into_iter().filter_map(|id| self.by_id.get(&id))
    }

    fn accounts<'c>(&'c self, ids: Option<&'c Vec<i64>>) -> impl Iterator<Item = &'c Account> {
        ids.into_iter().flatten().filter_map(|id| self.by_id.get(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anonymous_users_are_told_by_four_fields() {
        let anonymous = ArchiveUser {
            username: "anon12".to_owned(),
            email: "anon12@doesntexist.invalid".to_owned(),
            first_name: "anonfirstname12".to_owned(),
            last_name: "anonlastname12".to_owned(),
            ..ArchiveUser::default()
        };
        assert!(anonymous.is_anonymous());
        let with = |change: fn(&mut ArchiveUser)| {
            let mut user = anonymous.clone();
            change(&mut user);
            user.is_anonymous()
        };
        assert!(with(|user| user.username = "anon".to_owned()));
        assert!(with(|user| user.email = "anon@doesntexist.com".to_owned()));
        assert!(!with(|user| user.username = "anonx".to_owned()));
        assert!(!with(|user| user.username = "Anon12".to_owned()));
        assert!(!with(|user| user.first_name = "Ann".to_owned()));
        assert!(!with(|user| user.last_name.clear()));
        assert!(!with(|user| user.email = "anon12@doesntexist.org".to_owned()));
    }

    #[test]
    fn the_time_of_a_deletion_comes_off() {
        for (username, expected) in [
            ("ann@example.org.1700000000", "ann@example.org"),
            ("ann@example.org.1700000000x", "ann@example.org"),
            ("ann@example.org.1700000000xy", "ann@example.org.1700000000xy"),
            ("ann.1.2", "ann.1"),
            ("ann.1.", "ann"),
            (".5", ""),
            ("ann", "ann"),
            ("ann.", "ann."),
            ("ann.x", "ann.x"),
            ("", ""),
        ] {
            let user = ArchiveUser { username: username.to_owned(), ..ArchiveUser::default() };
            assert_eq!(user.username_without_time(), expected, "{username}");
        }
    }

    #[test]
    fn hosts_that_are_not_known_are_the_sites_own() {
        let others = [("https://b".to_owned(), 7)].into_iter().collect();
        let hosts = Hosts { own_url: "https://a".to_owned(), own: 1, others };
        for (url, host) in [("", 1), ("https://a", 1), ("https://b", 7), ("https://c", 1)] {
            assert_eq!(hosts.of(url), host, "{url}");
        }
    }

    #[test]
    fn case_is_folded_letter_by_letter() {
        assert!(alike("Änn@X.org", "äNN@x.ORG"));
        assert!(!alike("straße", "STRASSE"));
    }
}
