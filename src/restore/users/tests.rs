//! Every rule by cases, and what holds for all users, directories and mappings.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// The MD5 of `ann`.
const MD5_OF_ANN: &str = "7e0d7f8a5d96c24ffcc840f31bce72b2";

fn user(id: i64, username: &str, email: &str, first_access: i64) -> ArchiveUser {
    ArchiveUser {
        id,
        username: username.to_owned(),
        email: email.to_owned(),
        first_access,
        host: 1,
        ..ArchiveUser::default()
    }
}

fn account(id: i64, username: &str, email: &str, first_access: i64) -> Account {
    let (username, email) = (username.to_owned(), email.to_owned());
    Account { id, username, email, first_access, host: 1, ..Account::default() }
}

fn deleted(account: Account) -> Account {
    Account { is_deleted: true, ..account }
}

fn gone(user: ArchiveUser) -> ArchiveUser {
    ArchiveUser { is_deleted: true, ..user }
}

fn elsewhere(account: Account) -> Account {
    Account { host: 2, ..account }
}

fn site(is_same: bool, compatibility: Compatibility) -> Site {
    Site { is_same, own_host: 1, may_create: true, compatibility, ..Site::default() }
}

fn alone(user: &ArchiveUser, accounts: &[Account], site: &Site) -> UserDecision {
    let directory: Candidates = accounts.iter().cloned().collect();
    let users = [user.clone()];
    match_users(&users, &directory, site, &BTreeMap::new()).0.remove(0).decision
}

fn matched(account: i64, rule: Rule) -> UserDecision {
    UserDecision::Match { account, rule: Some(rule) }
}

fn taken(account: i64, rule: Rule) -> UserDecision {
    UserDecision::Conflict(Conflict::NameTaken { account, rule: Some(rule) })
}

fn made(username: &str, rule: Rule) -> UserDecision {
    UserDecision::Create { username: username.to_owned(), rule: Some(rule) }
}

fn anonymous(id: i64, number: &str) -> ArchiveUser {
    ArchiveUser {
        first_name: format!("anonfirstname{number}"),
        last_name: format!("anonlastname{number}"),
        ..user(id, &format!("anon{number}"), &format!("anon{number}@doesntexist.invalid"), 0)
    }
}

#[test]
fn the_digest_is_the_one_of_the_name() {
    assert_eq!(user(1, "ann", "", 0).username_md5(), MD5_OF_ANN);
}

/// A user, the directory, what Moodle decides, and what we decide where that differs.
type Case = (ArchiveUser, Vec<Account>, UserDecision, Option<UserDecision>);

fn check(is_same: bool, cases: Vec<Case>) {
    for (place, (user, accounts, moodle, ours)) in cases.into_iter().enumerate() {
        let what = format!("case {place}: {user:?}");
        assert_eq!(alone(&user, &accounts, &site(is_same, Compatibility::Moodle)), moodle, "{what}");
        let ours = ours.unwrap_or(moodle);
        assert_eq!(alone(&user, &accounts, &site(is_same, Compatibility::Strict)), ours, "{what}");
    }
}

#[test]
fn rules_of_the_same_site() {
    use Rule::*;
    let ann = || user(5, "ann", "ann@x.org", 7);
    let new = || made("ann", NewOnSameSite);
    check(
        true,
        vec![
            (ann(), vec![account(5, "ann", "", 0)], matched(5, SameId), None),
            // Nothing but id, name and host counts, not even a deletion.
            (gone(ann()), vec![account(5, "ann", "other@x.org", 9)], matched(5, SameId), None),
            (ann(), vec![elsewhere(account(5, "ann", "ann@x.org", 7))], new(), None),
            (ann(), vec![account(5, "Ann", "ann@x.org", 7)], new(), None),
            (ann(), vec![account(6, "ann", "ann@x.org", 7)], taken(6, NameOfAnother), None),
            (ann(), vec![elsewhere(account(6, "ann", "ann@x.org", 7))], new(), None),
            (ann(), vec![], new(), None),
            // Deleted here since: by address in the name, or by the digest of the name in the address.
            (
                ann(),
                vec![deleted(account(5, "ANN@x.org.1700000000", "", 0))],
                matched(5, SameIdDeletedHere),
                None,
            ),
            (ann(), vec![deleted(account(5, "x", MD5_OF_ANN, 0))], matched(5, SameIdDeletedHere), None),
            (ann(), vec![account(5, "ann@x.org.1700000000", MD5_OF_ANN, 0)], new(), None),
            (ann(), vec![deleted(account(6, "ann@x.org.1700000000", MD5_OF_ANN, 0))], new(), None),
            (ann(), vec![deleted(account(5, "ann@x.org", "", 0))], new(), None),
            // Wildcards of an address.
            (
                user(5, "ann", "a_n@x.org", 0),
                vec![deleted(account(5, "ann@x.org.1700000000", "", 0))],
                matched(5, SameIdDeletedHere),
                Some(new()),
            ),
            (
                user(5, "ann", "", 0),
                vec![deleted(account(5, ".1", "", 0))],
                matched(5, SameIdDeletedHere),
                Some(new()),
            ),
            // Deleted in the archive.
            (
                gone(user(5, "ann@x.org.1700000000", "", 0)),
                vec![account(5, "ann", "ANN@x.org", 0)],
                matched(5, SameIdDeletedThere),
                None,
            ),
            (
                user(5, "ann@x.org.1700000000", "", 0),
                vec![account(5, "ann", "ann@x.org", 0)],
                made("ann@x.org.1700000000", NewOnSameSite),
                None,
            ),
            // Anonymous: by name alone; in Moodle of any host, deleted or not.
            (anonymous(5, "3"), vec![account(8, "anon3", "", 0)], matched(8, Anonymous), None),
            (
                anonymous(5, "3"),
                vec![elsewhere(account(8, "anon3", "", 0))],
                matched(8, Anonymous),
                Some(made("anon3", NewOnSameSite)),
            ),
            (
                anonymous(5, "3"),
                vec![deleted(account(8, "anon3", "", 0))],
                matched(8, Anonymous),
                Some(taken(8, NameOfAnother)),
            ),
            (anonymous(5, "3"), vec![account(5, "anon3", "", 0)], matched(5, SameId), None),
        ],
    );
}

#[test]
fn rules_of_another_site() {
    use Rule::*;
    let ann = || user(5, "ann", "ann@x.org", 7);
    let new = || made("ann", NewOnOtherSite);
    check(
        false,
        vec![
            (ann(), vec![account(9, "ann", "ANN@x.org", 0)], matched(9, Alike), None),
            (ann(), vec![account(9, "ann", "new@x.org", 7)], matched(9, Alike), None),
            (ann(), vec![account(5, "ann", "new@x.org", 8)], taken(5, NameOfStranger), None),
            // Never having come is nothing in common, and for us neither is having no address.
            (
                user(5, "ann", "a@x.org", 0),
                vec![account(9, "ann", "b@x.org", 0)],
                taken(9, NameOfStranger),
                None,
            ),
            (
                user(5, "ann", "", 0),
                vec![account(9, "ann", "", 0)],
                matched(9, Alike),
                Some(taken(9, NameOfStranger)),
            ),
            (ann(), vec![elsewhere(account(9, "ann", "ann@x.org", 7))], new(), None),
            (ann(), vec![account(5, "bob", "ann@x.org", 7)], new(), None),
            (ann(), vec![], new(), None),
            // Deleted here since.
            (ann(), vec![deleted(account(9, "ann@x.org.17", MD5_OF_ANN, 0))], matched(9, DeletedHere), None),
            (ann(), vec![deleted(account(9, "x", MD5_OF_ANN, 7))], matched(9, DeletedHere), None),
            (ann(), vec![deleted(account(9, "x", MD5_OF_ANN, 8))], new(), None),
            (ann(), vec![deleted(account(9, "ann@x.org.17", "", 7))], matched(9, DeletedHereByAddress), None),
            (ann(), vec![deleted(account(9, "ann@x.org.17", "", 8))], new(), None),
            (user(5, "ann", "", 0), vec![deleted(account(9, "ann@x.org.17", "", 0))], new(), None),
            (
                user(5, "ann", "a%@x.org", 7),
                vec![deleted(account(9, "ann@x.org.17", "", 7))],
                matched(9, DeletedHereByAddress),
                Some(new()),
            ),
            (ann(), vec![deleted(elsewhere(account(9, "ann@x.org.17", MD5_OF_ANN, 7)))], new(), None),
            // Deleted in the archive.
            (
                gone(user(5, "ann@x.org.17", "", 7)),
                vec![account(9, "ann", "Ann@x.org", 7)],
                matched(9, DeletedThere),
                None,
            ),
            (
                gone(user(5, "ann@x.org.17", "", 8)),
                vec![account(9, "ann", "Ann@x.org", 7)],
                made("ann@x.org.17", NewOnOtherSite),
                None,
            ),
            // Anonymous users are nothing special here.
            (anonymous(5, "3"), vec![account(8, "anon3", "x@x.org", 0)], taken(8, NameOfStranger), None),
        ],
    );
}

#[test]
fn long_addresses_are_compared_as_far_as_they_are_kept() {
    let long = format!("{}@x.org", "a".repeat(100));
    let kept: String = long.chars().take(89).collect();
    let deleted = deleted(account(5, &format!("{kept}.1700000000"), "", 0));
    for compatibility in [Compatibility::Moodle, Compatibility::Strict] {
        let same = site(true, compatibility);
        let decision = alone(&user(5, "ann", &long, 0), std::slice::from_ref(&deleted), &same);
        assert_eq!(decision, matched(5, Rule::SameIdDeletedHere));
        let there = gone(user(5, &format!("{kept}.1700000000"), "", 0));
        assert_eq!(
            alone(&there, &[account(5, "ann", &long, 0)], &same),
            matched(5, Rule::SameIdDeletedThere)
        );
    }
}

#[test]
fn a_site_may_treat_all_archives_as_strange() {
    let site = Site { forces_other_site: true, ..site(true, Compatibility::Strict) };
    let ann = user(5, "ann", "ann@x.org", 7);
    assert_eq!(alone(&ann, &[account(9, "ann", "ann@x.org", 0)], &site), matched(9, Rule::Alike));
}

#[test]
fn a_second_admin_may_come_where_that_is_allowed() {
    let site = Site { duplicate_admin: Some("f00".to_owned()), ..site(false, Compatibility::Moodle) };
    let admin = user(2, "admin", "a@x.org", 1);
    let here = account(2, "admin", "b@x.org", 2);
    let rule = Rule::DuplicateAdmin;
    assert_eq!(alone(&admin, std::slice::from_ref(&here), &site), made("admin_f00", rule));
    let before = account(9, "admin_f00", "", 0);
    assert_eq!(alone(&admin, &[here.clone(), before.clone()], &site), matched(9, rule));
    // From the same site the name of the second one is not looked for, and may be taken.
    let same = Site { is_same: true, ..site.clone() };
    assert_eq!(alone(&user(7, "admin", "", 0), &[here.clone(), before], &same), taken(9, rule));
    let remote = ArchiveUser { host: 2, ..admin.clone() };
    let decision = alone(&remote, &[elsewhere(here.clone())], &site);
    assert_eq!(decision, taken(2, Rule::NameOfStranger));
    // Others are in conflict as ever.
    assert_eq!(
        alone(&user(3, "ann", "", 1), &[account(4, "ann", "x", 2)], &site),
        taken(4, Rule::NameOfStranger)
    );
    assert_eq!(
        alone(&admin, &[here], &Site { duplicate_admin: None, ..site }),
        taken(2, Rule::NameOfStranger)
    );
}

/// Decisions for these users, by id.
fn all(
    users: &[ArchiveUser],
    accounts: &[Account],
    site: &Site,
    mapping: &[(i64, Mapping)],
) -> Vec<UserDecision> {
    let directory: Candidates = accounts.iter().cloned().collect();
    let mapping = mapping.iter().cloned().collect();
    match_users(users, &directory, site, &mapping).0.into_iter().map(|one| one.decision).collect()
}

#[test]
fn the_caller_decides_over_the_rules() {
    let site = site(true, Compatibility::Strict);
    let users = [user(1, "ann", "", 0), user(2, "bob", "", 0), user(3, "eve", "", 0), user(4, "joe", "", 0)];
    let accounts = [account(1, "ann", "", 0), account(7, "bob", "", 0)];
    let to = |account| Mapping::MatchTo { account };
    let decisions = all(
        &users,
        &accounts,
        &site,
        &[(1, Mapping::Drop), (2, to(7)), (3, to(7)), (4, Mapping::Pseudonymise)],
    );
    let seven = UserDecision::Match { account: 7, rule: None };
    assert_eq!(decisions, [UserDecision::Drop, seven.clone(), seven, UserDecision::Pseudonymise]);
    let create = |username: &str| Mapping::Create { username: Some(username.to_owned()) };
    let decisions =
        all(&users[..2], &accounts, &site, &[(1, Mapping::Create { username: None }), (2, create("bob2"))]);
    let own_name = UserDecision::Conflict(Conflict::NameTaken { account: 1, rule: None });
    assert_eq!(decisions, [own_name, UserDecision::Create { username: "bob2".to_owned(), rule: None }]);
    let decisions = all(&users[2..3], &accounts, &site, &[(3, to(99))]);
    assert_eq!(decisions, [UserDecision::Conflict(Conflict::UnknownAccount { account: 99 })]);
    let directory = Candidates::default();
    let (_, found) = match_users(&users[..1], &directory, &site, &[(8, Mapping::Drop)].into_iter().collect());
    let fields: Vec<&str> = found.iter().map(|one| one.field.as_str()).collect();
    assert_eq!(fields, ["mapping[8]"]);
}

#[test]
fn users_of_the_archive_that_collide_are_conflicts() {
    let strict = site(false, Compatibility::Strict);
    let moodle = site(false, Compatibility::Moodle);
    // One by name and address, the other by what is left of a deleted one.
    let users = [user(1, "ann", "ann@x.org", 7), gone(user(2, "ann@x.org.17", "", 7))];
    let accounts = [account(9, "ann", "ann@x.org", 7)];
    let shared = UserDecision::Conflict(Conflict::SharedAccount { account: 9, users: vec![1, 2] });
    assert_eq!(all(&users, &accounts, &strict, &[]), [shared.clone(), shared.clone()]);
    assert_eq!(
        all(&users, &accounts, &moodle, &[]),
        [matched(9, Rule::Alike), matched(9, Rule::DeletedThere)]
    );
    // The caller's word for one leaves the other to be decided about.
    let to_nine = Mapping::MatchTo { account: 9 };
    let decisions = all(&users, &accounts, &strict, &[(1, to_nine)]);
    assert_eq!(decisions, [UserDecision::Match { account: 9, rule: None }, shared]);
    for site in [&strict, &moodle] {
        let twins = [user(1, "ann", "", 0), user(2, "ann", "", 0)];
        let shared = UserDecision::Conflict(Conflict::SharedName { users: vec![1, 2] });
        assert_eq!(all(&twins, &[], site, &[]), [shared.clone(), shared.clone()]);
        let asked = all(&twins, &[], site, &[(2, Mapping::Create { username: None })]);
        assert_eq!(asked, [shared, UserDecision::Create { username: "ann".to_owned(), rule: None }]);
        let again = [user(1, "ann", "", 0), user(1, "bob", "", 0)];
        let repeated = UserDecision::Conflict(Conflict::RepeatedId);
        assert_eq!(all(&again, &[], site, &[]), [repeated.clone(), repeated]);
    }
}

#[test]
fn who_may_not_create_has_a_conflict_for_each() {
    let site = Site { may_create: false, ..site(true, Compatibility::Strict) };
    let users = [user(1, "ann", "", 0), user(2, "bob", "", 0), user(3, "eve", "", 0)];
    let decisions = all(&users, &[account(1, "ann", "", 0)], &site, &[(3, Mapping::Pseudonymise)]);
    let may_not = UserDecision::Conflict(Conflict::MayNotCreate);
    assert_eq!(decisions, [matched(1, Rule::SameId), may_not.clone(), may_not]);
}

#[test]
fn sites_are_one_by_hash_or_else_by_address() {
    let origin = |hash: &str, url: &str| crate::moodle::OriginalSite {
        identifier_hash: hash.to_owned(),
        wwwroot: url.to_owned(),
        system_context_id: 1,
    };
    assert!(is_same_site(&origin("f00", "https://old"), "f00", "https://new"));
    assert!(!is_same_site(&origin("f00", "https://new"), "bar", "https://new"));
    assert!(is_same_site(&origin("", "https://new"), "bar", "https://new"));
    assert!(!is_same_site(&origin("", "https://old"), "", "https://new"));
}

fn some_username() -> impl Strategy<Value = String> {
    select(vec!["ann", "bob", "admin", "anon1", "ann@x.org.17", "b_b@x.org.17", ".1"]).prop_map(str::to_owned)
}

fn some_email() -> impl Strategy<Value = String> {
    select(vec!["", "ann@x.org", "ANN@x.org", "b_b@x.org", "bxb@x.org", "%", MD5_OF_ANN])
        .prop_map(str::to_owned)
}

fn some_users() -> impl Strategy<Value = Vec<ArchiveUser>> {
    let one = (1_i64..7, some_username(), some_email(), 0_i64..3, any::<bool>(), 1_i64..3).prop_map(
        |(id, username, email, first_access, is_deleted, host)| ArchiveUser {
            id,
            username,
            email,
            first_access,
            is_deleted,
            host,
            ..ArchiveUser::default()
        },
    );
    proptest::collection::vec(one, 0..6)
}

/// Accounts as a directory can have them: one of each id, and of each name and host.
fn some_accounts() -> impl Strategy<Value = Vec<Account>> {
    let one = (1_i64..9, some_username(), some_email(), 0_i64..3, any::<bool>(), 1_i64..3).prop_map(
        |(id, username, email, first_access, is_deleted, host)| Account {
            id,
            username,
            email,
            first_access,
            is_deleted,
            host,
        },
    );
    proptest::collection::vec(one, 0..8).prop_map(|mut accounts| {
        let mut names = std::collections::BTreeSet::new();
        let mut ids = std::collections::BTreeSet::new();
        accounts.retain(|one| {
            !names.contains(&(one.username.clone(), one.host))
                && ids.insert(one.id)
                && names.insert((one.username.clone(), one.host))
        });
        accounts
    })
}

fn some_mapping() -> impl Strategy<Value = BTreeMap<i64, Mapping>> {
    let mapping = prop_oneof![
        (1_i64..9).prop_map(|account| Mapping::MatchTo { account }),
        proptest::option::of(some_username()).prop_map(|username| Mapping::Create { username }),
        Just(Mapping::Drop),
        Just(Mapping::Pseudonymise),
    ];
    proptest::collection::btree_map(1_i64..7, mapping, 0..3)
}

fn some_site() -> impl Strategy<Value = Site> {
    let admin = proptest::option::of(Just("f00".to_owned()));
    (any::<bool>(), any::<bool>(), admin, any::<bool>(), any::<bool>()).prop_map(
        |(is_same, forces_other_site, duplicate_admin, may_create, moodle)| Site {
            is_same,
            forces_other_site,
            own_host: 1,
            duplicate_admin,
            may_create,
            compatibility: if moodle { Compatibility::Moodle } else { Compatibility::Strict },
        },
    )
}

/// What a directory gives for keys: exactly what they ask for.
fn looked_up(keys: &Keys, accounts: &[Account]) -> Vec<Account> {
    let starts = |text: &str, start: &str| text.to_uppercase().starts_with(&start.to_uppercase());
    let is_asked = |account: &&Account| {
        keys.ids.contains(&account.id)
            || keys.usernames.contains(&account.username)
            || keys.email_starts.iter().any(|start| starts(&account.email, start))
            || account.is_deleted
                && (keys.deleted_emails.contains(&account.email)
                    || keys.deleted_username_starts.iter().any(|start| starts(&account.username, start)))
    };
    accounts.iter().filter(is_asked).cloned().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn order_and_further_accounts_change_nothing(
        users in some_users().prop_shuffle(), accounts in some_accounts(), site in some_site(),
        mapping in some_mapping(), turn in any::<bool>(),
    ) {
        let directory: Candidates = accounts.iter().cloned().collect();
        let (decided, found) = match_users(&users, &directory, &site, &mapping);
        let mut others = users.clone();
        others.sort();
        if turn {
            others.reverse();
        }
        let keys = Keys::of(&users, &site, &mapping);
        let fewer: Candidates = looked_up(&keys, &accounts).into_iter().rev().collect();
        let (again, found_again) = match_users(&others, &fewer, &site, &mapping);
        prop_assert_eq!(decided, again);
        prop_assert_eq!(found, found_again);
    }

    #[test]
    fn nobody_becomes_another_or_a_second_one_unless_the_caller_says_so(
        users in some_users(), accounts in some_accounts(), site in some_site(), mapping in some_mapping(),
    ) {
        let directory: Candidates = accounts.iter().cloned().collect();
        let (decided, _) = match_users(&users, &directory, &site, &mapping);
        prop_assert_eq!(decided.len(), users.len());
        let mut matched = std::collections::BTreeMap::new();
        let mut created = std::collections::BTreeSet::new();
        for one in &decided {
            let repeated = users.iter().filter(|user| user.id == one.user.id).count() > 1;
            prop_assert!(!repeated || one.decision == UserDecision::Conflict(Conflict::RepeatedId));
            match (&one.decision, mapping.get(&one.user.id)) {
                (UserDecision::Match { account, rule: Some(_) }, None) => {
                    prop_assert!(directory.by_id(*account).is_some());
                    if site.compatibility == Compatibility::Strict {
                        prop_assert!(matched.insert(*account, ()).is_none());
                    }
                }
                (UserDecision::Match { account, rule: None }, Some(Mapping::MatchTo { account: asked })) => {
                    prop_assert_eq!(account, asked);
                }
                (UserDecision::Create { username, rule }, asked) => {
                    prop_assert!(site.may_create);
                    prop_assert_eq!(rule.is_none(), matches!(asked, Some(Mapping::Create { .. })));
                    prop_assert!(created.insert((one.user.host, username.clone())));
                    let mut taken = accounts.iter();
                    prop_assert!(!taken.any(|it| it.username == *username && it.host == one.user.host));
                }
                (UserDecision::Drop, asked) => prop_assert_eq!(asked, Some(&Mapping::Drop)),
                (UserDecision::Pseudonymise, asked) => {
                    prop_assert!(site.may_create);
                    prop_assert_eq!(asked, Some(&Mapping::Pseudonymise));
                }
                (UserDecision::Conflict(_), _) => {}
                (decision, mapping) => prop_assert!(false, "{:?} {:?}", decision, mapping),
            }
        }
    }
}
