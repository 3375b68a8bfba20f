//! Moodle's rules for one user (`restore_dbops::precheck_user`), and where ours differ.
//!
//! Differences of `Compatibility::Strict`, each because Moodle takes the wrong person for the right one:
//! * an address is compared with the name of a deleted account letter by letter, and an empty one with none; Moodle
//!   hands it to LIKE, where `_` and `%` of the address stand for anything;
//! * an empty address is no address in common (2A1);
//! * an anonymous user is matched to an account of his own host that is not deleted (1B).

use super::Site;
use super::account::{Account, ArchiveUser, Candidates, alike, folded};
use crate::backup::Compatibility;
use crate::label::labels;

labels! {
    /// The rule that decided about a user, by Moodle's numbers.
    pub enum Rule {
        /// Same site: id, name and host are equal. Match.
        SameId = "1A",
        /// Same site: an anonymous user, and an account of his name. Match.
        Anonymous = "1B",
        /// Same site: equal id and host, deleted here since. Match.
        SameIdDeletedHere = "1C",
        /// Same site: equal id and host, deleted in the archive. Match.
        SameIdDeletedThere = "1D",
        /// Same site: the name belongs to another id. Conflict.
        NameOfAnother = "1E",
        /// Same site: none of these. Create.
        NewOnSameSite = "1F",
        /// Other site: name and host are equal, and the address or the first access. Match.
        Alike = "2A1",
        /// Other site: the other site's `admin`, who was restored before under a name of his own. Match; or create.
        DuplicateAdmin = "2A2",
        /// Other site: deleted here since, by name and by address or first access. Match.
        DeletedHere = "2B1",
        /// Other site: deleted here since, by address and first access. Match.
        DeletedHereByAddress = "2B2",
        /// Other site: deleted in the archive, by address and first access. Match.
        DeletedThere = "2C",
        /// Other site: name and host are equal, but neither address nor first access. Conflict.
        NameOfStranger = "2D",
        /// Other site: none of these. Create.
        NewOnOtherSite = "2E",
    }
}

/// What the rules say of one user, for himself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Match { account: i64, rule: Rule },
    Conflict { account: i64, rule: Rule },
    Create { rule: Rule },
}

/// Applies the rules in Moodle's order.
pub(super) fn judge(user: &ArchiveUser, directory: &Candidates, site: &Site) -> Verdict {
    let rules = Rules { user, directory, site };
    if site.is_same && !site.forces_other_site { rules.same_site() } else { rules.other_site() }
}

struct Rules<'r> {
    user: &'r ArchiveUser,
    directory: &'r Candidates,
    site: &'r Site,
}

impl Rules<'_> {
    fn same_site(&self) -> Verdict {
        let user = self.user;
        let found = |account: &Account, rule| Verdict::Match { account: account.id, rule };
        let of_id = self.directory.by_id(user.id).filter(|account| account.host == user.host);
        if let Some(account) = of_id.filter(|account| account.username == user.username) {
            return found(account, Rule::SameId);
        }
        if user.is_anonymous() {
            let is_fitting =
                |account: &&Account| !self.is_strict() || account.host == user.host && !account.is_deleted;
            if let Some(account) = self.directory.by_username(&user.username).find(is_fitting) {
                return found(account, Rule::Anonymous);
            }
        }
        let is_deleted_since = |account: &&Account| {
            account.is_deleted
                && (self.is_name_of_address(account)
                    || !account.email.is_empty() && account.email == user.username_md5())
        };
        if let Some(account) = of_id.filter(is_deleted_since) {
            return found(account, Rule::SameIdDeletedHere);
        }
        let is_address = |account: &&Account| alike(&account.kept_of_email(), user.username_without_time());
        if let Some(account) = of_id.filter(|_| user.is_deleted).filter(is_address) {
            return found(account, Rule::SameIdDeletedThere);
        }
        match self.of_name().find(|account| account.id != user.id) {
            Some(account) => Verdict::Conflict { account: account.id, rule: Rule::NameOfAnother },
            None => Verdict::Create { rule: Rule::NewOnSameSite },
        }
    }

    fn other_site(&self) -> Verdict {
        let user = self.user;
        let found = |account: &Account, rule| Verdict::Match { account: account.id, rule };
        if let Some(account) = self.of_name().find(|account| self.is_alike(account)) {
            return found(account, Rule::Alike);
        }
        if let Some(name) = self.site.duplicate_admin_of(user)
            && let Some(account) = self.directory.by_username(&name).next()
        {
            return found(account, Rule::DuplicateAdmin);
        }
        let md5 = user.username_md5();
        let mut by_name = self.directory.deleted_by_email(&md5).filter(|account| {
            account.host == user.host && (self.is_name_of_address(account) || self.is_as_old(account))
        });
        if let Some(account) = by_name.next() {
            return found(account, Rule::DeletedHere);
        }
        let start = user.sure_start();
        let mut by_address = self.directory.deleted_by_username_start(&start).filter(|account| {
            account.host == user.host && self.is_name_of_address(account) && self.is_as_old(account)
        });
        if let Some(account) = by_address.next() {
            return found(account, Rule::DeletedHereByAddress);
        }
        let mut there = self
            .directory
            .by_kept_email(user.username_without_time())
            .filter(|account| user.is_deleted && account.host == user.host && self.is_as_old(account));
        if let Some(account) = there.next() {
            return found(account, Rule::DeletedThere);
        }
        match self.of_name().next() {
            Some(account) => Verdict::Conflict { account: account.id, rule: Rule::NameOfStranger },
            None => Verdict::Create { rule: Rule::NewOnOtherSite },
        }
    }

    fn is_strict(&self) -> bool {
        self.site.compatibility == Compatibility::Strict
    }

    /// Accounts of the user's name and host; the directory has one at most.
    fn of_name(&self) -> impl Iterator<Item = &Account> {
        self.directory.by_username(&self.user.username).filter(|account| account.host == self.user.host)
    }

    fn is_alike(&self, account: &Account) -> bool {
        let is_told = !self.is_strict() || !self.user.email.is_empty();
        is_told && alike(&account.email, &self.user.email) || self.is_as_old(account)
    }

    fn is_as_old(&self, account: &Account) -> bool {
        account.first_access != 0 && account.first_access == self.user.first_access
    }

    /// Whether the name of a deleted account is the user's address, a dot and more.
    fn is_name_of_address(&self, account: &Account) -> bool {
        let (address, name) = (folded(&self.user.kept_of_email()), folded(&account.username));
        if self.is_strict() {
            let rest = name.strip_prefix(&address).filter(|_| !address.is_empty());
            return rest.is_some_and(|rest| rest.starts_with('.'));
        }
        let pattern: Vec<char> = address.chars().chain(['.', '%']).collect();
        let name: Vec<char> = name.chars().collect();
        is_like(&name, &pattern)
    }
}

/// SQL's LIKE: `%` stands for anything, `_` for one character, `\` makes the next one ordinary. Time grows with the
/// product of both lengths.
fn is_like(text: &[char], pattern: &[char]) -> bool {
    // Which beginnings of the text the pattern so far fits.
    let mut fits = vec![false; text.len() + 1];
    fits[0] = true;
    let mut letters = pattern.iter();
    while let Some(letter) = letters.next() {
        if *letter == '%' {
            let first = fits.iter().position(|fits| *fits).unwrap_or(fits.len());
            fits[first..].fill(true);
            continue;
        }
        let is_any = *letter == '_';
        let letter = if *letter == '\\' { letters.next().unwrap_or(letter) } else { letter };
        for at in (0..text.len()).rev() {
            fits[at + 1] = fits[at] && (is_any || text[at] == *letter);
        }
        fits[0] = false;
    }
    fits[text.len()]
}

#[cfg(test)]
mod tests {
    use super::is_like;

    #[test]
    fn patterns_fit_as_in_sql() {
        for (text, pattern, expected) in [
            ("abc", "abc", true),
            ("abc", "ab", false),
            ("abc", "a%", true),
            ("abc", "%c", true),
            ("abc", "%b%", true),
            ("abc", "%d%", false),
            ("abc", "a_c", true),
            ("abc", "a__", true),
            ("abc", "____", false),
            ("a_c", "a\\_c", true),
            ("abc", "a\\_c", false),
            ("", "", true),
            ("", "%", true),
            ("", "_", false),
            ("aXbXc", "a%b%c", true),
            ("a.b", "a.%", true),
        ] {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            assert_eq!(is_like(&chars(text), &chars(pattern)), expected, "{text} {pattern}");
        }
    }
}
