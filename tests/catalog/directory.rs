//! A site's directory: accounts, roles, platform, and the sequence of new ids.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;
use coursevault::backup::Compatibility;
use coursevault::catalog::{AccountQuery, AccountRow, CatalogError, RoleRow};
use coursevault::directory::{FIRST_NEW_ID, HIGHEST_ID, Person, Platform, SiteRole, Source};
use coursevault::reason::Reason;
use coursevault::restore::users::{Account, ArchiveUser, Candidates, Keys, Site, match_users};

use crate::ground::Ground;

fn person(id: i64, username: &str) -> Person {
    Person { id, username: username.into(), host: 1, ..Person::default() }
}

fn row(ground: &Ground, person: Person) -> AccountRow {
    let (site, now) = (ground.site.clone(), ground.now());
    AccountRow { site, person, source: Source::Imported, create_time: now, update_time: now }
}

async fn put(ground: &Ground, people: &[Person]) -> anyhow::Result<()> {
    let rows: Vec<AccountRow> = people.iter().map(|one| row(ground, one.clone())).collect();
    let mut tx = ground.catalog.begin().await?;
    tx.lock_directory(&ground.site).await?;
    tx.put_accounts(&rows).await?;
    Ok(tx.commit().await?)
}

pub async fn new_ids_are_given_once(ground: &Ground) -> anyhow::Result<()> {
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..8_u64 {
        let (catalog, site) = (ground.catalog.clone(), ground.site.clone());
        calls.spawn(async move {
            let mut given = Vec::new();
            for m in 0..10 {
                let count = 1 + n * 10 + m;
                let mut tx = catalog.begin().await?;
                let first = tx.reserve_ids(&site, count).await?;
                // What is dropped is given to somebody else.
                if m % 3 != 0 {
                    tx.commit().await?;
                    given.push((first, first + i64::try_from(count).unwrap_or_default()));
                }
            }
            Ok::<_, CatalogError>(given)
        });
    }
    let given: Result<Vec<_>, _> = calls.join_all().await.into_iter().collect();
    let mut given = given?.concat();
    given.sort_unstable();
    assert_eq!(given.first().map(|range| range.0), Some(FIRST_NEW_ID));
    ensure!(given.windows(2).all(|pair| pair[0].1 == pair[1].0), "{given:?}");

    let mut tx = ground.catalog.begin().await?;
    let end = given.last().map_or(0, |range| range.1);
    tx.raise_next_id(&ground.site, end - 5).await?;
    assert_eq!(tx.reserve_ids(&ground.site, 0).await?, end);
    tx.raise_next_id(&ground.site, end + 5).await?;
    assert_eq!(tx.reserve_ids(&ground.site, 1).await?, end + 5);
    tx.raise_next_id(&ground.site, HIGHEST_ID - 10).await?;
    assert_eq!(tx.reserve_ids(&ground.site, 10).await?, HIGHEST_ID - 10);
    let none = tx.reserve_ids(&ground.site, 1).await;
    assert_eq!(none, Err(CatalogError::Unstorable { column: "next_id" }));
    let nowhere = tx.reserve_ids(&"nowhere".parse()?, 1).await;
    assert_eq!(nowhere.map_err(|error| error.reason()), Err(Reason::SiteNotFound));
    Ok(())
}

pub async fn accounts_are_written_and_listed(ground: &Ground) -> anyhow::Result<()> {
    let mut people: Vec<Person> = (1..=450).map(|id| person(id, &format!("user{id}"))).collect();
    people[6].email = "Zoé@X.org".into();
    people[6].id_number = "n7".into();
    people[7].is_deleted = true;
    people[8] = Person { host: 2, ..person(9, "user1") };
    put(ground, &people).await?;
    assert_eq!(ground.catalog.count_accounts(&ground.site).await?, 450);
    let seventh = ground.catalog.get_account(&ground.site, 7).await?;
    assert_eq!(seventh, Some(row(ground, people[6].clone())));
    assert_eq!(ground.catalog.get_account(&ground.site, 451).await?, None);
    assert_eq!(ground.catalog.get_account(&"other".parse()?, 7).await?, None);
    // Pages, without the deleted one.
    let mut query = AccountQuery::default();
    let mut seen = Vec::new();
    loop {
        let page = ground.catalog.list_accounts(&ground.site, &query, 100).await?;
        let Some(last) = page.last() else { break };
        query.after = Some(last.person.id);
        seen.extend(page.into_iter().map(|row| row.person.id));
    }
    assert_eq!(seen, (1..=450).filter(|id| *id != 8).collect::<Vec<_>>());
    let text = |text: &str| Some(text.to_owned());
    for (query, expected) in [
        (AccountQuery { username: text("user1"), ..Default::default() }, vec![1, 9]),
        (AccountQuery { username: text("USER1"), ..Default::default() }, vec![]),
        (AccountQuery { email: text("zOÉ@x.ORG"), ..Default::default() }, vec![7]),
        (AccountQuery { id_number: text("n7"), ..Default::default() }, vec![7]),
        (AccountQuery { username: text("user8"), ..Default::default() }, vec![]),
        (AccountQuery { username: text("user8"), show_deleted: true, ..Default::default() }, vec![8]),
        (AccountQuery { username: text("user7"), email: text("x"), ..Default::default() }, vec![]),
        (
            AccountQuery { username: text("user7"), source: Some(Source::Restored), ..Default::default() },
            vec![],
        ),
    ] {
        let found = ground.catalog.list_accounts(&ground.site, &query, 10).await?;
        assert_eq!(found.iter().map(|row| row.person.id).collect::<Vec<_>>(), expected, "{query:?}");
    }
    let mut tx = ground.catalog.begin().await?;
    assert_eq!(tx.delete_accounts(&ground.site, &[1, 2, 1000]).await?, 2);
    let ids: Vec<i64> = (1..=600).collect();
    assert_eq!(tx.accounts_of_ids(&ground.site, &ids).await?.len(), 448);
    let names: Vec<String> = ids.iter().map(|id| format!("user{id}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(tx.accounts_of_names(&ground.site, &names).await?.len(), 448);
    let nowhere = tx.lock_directory(&"nowhere".parse()?).await;
    assert_eq!(nowhere.map_err(|error| error.reason()), Err(Reason::SiteNotFound));
    Ok(())
}

pub async fn names_are_unique_and_change_hands(ground: &Ground) -> anyhow::Result<()> {
    put(ground, &[person(1, "a"), person(2, "b")]).await?;
    put(ground, &[person(1, "b"), person(2, "a")]).await?;
    let taken = put(ground, &[person(3, "a")]).await;
    let taken = taken.err().and_then(|error| error.downcast::<CatalogError>().ok());
    assert_eq!(
        taken.map(|error| (error.reason(), error.is_retryable())),
        Some((Reason::DirectoryConflict, true))
    );
    put(ground, &[Person { host: 2, ..person(3, "a") }]).await?;
    let found = ground.catalog.get_account(&ground.site, 2).await?.map(|row| row.person.username);
    assert_eq!(found.as_deref(), Some("a"));
    Ok(())
}

/// Numbers that look random and are the same every time.
fn numbers(mut seed: u64) -> impl FnMut(usize) -> usize {
    move |below| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap_or_default() % below
    }
}

/// The directory gives all that matching would find in the whole of it, whatever the users look like.
pub async fn look_ups_find_all_that_matches(ground: &Ground) -> anyhow::Result<()> {
    let names = [
        "nul\0",
        "ann",
        "Ann",
        "anon1",
        "bob",
        "Bo_b@x.org.17",
        "ann@x.org.1700000000",
        "ANN@x.org.17",
        ".5",
        "é.1",
        "admin",
        "admin_h",
    ];
    let emails = [
        "",
        "ann@x.org",
        "ANN@X.org",
        "a_n@x.org",
        "%",
        "\\_x",
        "É",
        "é",
        "bo_b@x.org",
        "7e0d7f8a5d96c24ffcc840f31bce72b2",
    ];
    let mut number = numbers(7);
    let (mut accounts, mut used) = (Vec::new(), BTreeSet::new());
    for id in 1..=60 {
        // No account has the first one.
        let username = names[1 + number(names.len() - 1)];
        let host = 1 + i64::try_from(number(4))?;
        if used.insert((username, host)) {
            accounts.push(Person {
                host,
                email: emails[number(emails.len())].into(),
                first_access: i64::try_from(number(3))?,
                is_deleted: number(2) == 0,
                ..person(id, username)
            });
        }
    }
    put(ground, &accounts).await?;
    let everybody: Vec<Account> = accounts.iter().cloned().map(Account::from).collect();
    for round in 0..60 {
        let users: Vec<ArchiveUser> = (0..4)
            .map(|place| {
                Ok(ArchiveUser {
                    id: 1 + place * 10 + i64::try_from(number(10))?,
                    username: names[number(names.len())].into(),
                    email: emails[number(emails.len())].into(),
                    first_access: i64::try_from(number(3))?,
                    is_deleted: number(2) == 0,
                    host: 1 + i64::try_from(number(2))?,
                    ..ArchiveUser::default()
                })
            })
            .collect::<anyhow::Result<_>>()?;
        let site = Site {
            is_same: round % 2 == 0,
            own_host: 1,
            may_create: true,
            duplicate_admin: (round % 3 == 0).then(|| "h".to_owned()),
            compatibility: if round % 4 < 2 { Compatibility::Moodle } else { Compatibility::Strict },
            ..Site::default()
        };
        let mapping = BTreeMap::new();
        let keys = Keys::of(&users, &site, &mapping);
        let found: Candidates =
            ground.catalog.find_accounts(&ground.site, &keys).await?.into_iter().collect();
        let all: Candidates = everybody.iter().cloned().collect();
        let (ours, _) = match_users(&users, &found, &site, &mapping);
        let (theirs, _) = match_users(&users, &all, &site, &mapping);
        assert_eq!(ours, theirs, "round {round}: {users:?}");
    }
    Ok(())
}

pub async fn many_users_are_looked_up_at_once(ground: &Ground) -> anyhow::Result<()> {
    let many = 3000;
    let people: Vec<Person> = (1..=many)
        .map(|id| Person { email: format!("user{id}@x.org"), ..person(id, &format!("user{id}")) })
        .collect();
    put(ground, &people).await?;
    let users: Vec<ArchiveUser> = people
        .iter()
        .map(|one| ArchiveUser {
            id: one.id + 1000,
            username: one.username.clone(),
            email: one.email.clone(),
            host: 1,
            ..ArchiveUser::default()
        })
        .collect();
    let site = Site { own_host: 1, may_create: true, ..Site::default() };
    let keys = Keys::of(&users, &site, &BTreeMap::new());
    let mut tx = ground.catalog.begin().await?;
    let found = tx.find_accounts(&ground.site, &keys).await?;
    let ids: BTreeSet<i64> = found.iter().map(|account| account.id).collect();
    assert_eq!(ids.len(), usize::try_from(many)?);
    Ok(())
}

pub async fn roles_are_replaced_and_the_platform_is_kept(ground: &Ground) -> anyhow::Result<()> {
    let role = |id, short_name: &str| RoleRow {
        role: SiteRole { id, short_name: short_name.into(), archetype: "student".into(), name: "É".into() },
        source: Source::Imported,
    };
    let mut tx = ground.catalog.begin().await?;
    tx.replace_roles(&ground.site, &[role(5, "student"), role(3, "auditor")]).await?;
    tx.replace_roles(&ground.site, &[role(5, "auditor"), role(3, "student")]).await?;
    let platform = Platform { identifier_hash: "h".into(), wwwroot: "https://x".into() };
    tx.set_platform(&ground.site, &platform).await?;
    assert_eq!(tx.list_roles(&ground.site).await?.len(), 2);
    tx.commit().await?;
    let roles = ground.catalog.list_roles(&ground.site).await?;
    assert_eq!(roles, [role(3, "student"), role(5, "auditor")]);
    let site = ground.catalog.get_site(&ground.site).await?;
    assert_eq!(site.map(|site| site.platform), Some(platform.clone()));
    for doubled in [[role(1, "x"), role(1, "y")], [role(1, "x"), role(2, "x")]] {
        let mut tx = ground.catalog.begin().await?;
        let refused = tx.replace_roles(&ground.site, &doubled).await;
        assert_eq!(refused.map_err(|error| error.reason()), Err(Reason::DirectoryConflict));
    }
    let nowhere = ground.catalog.begin().await?.set_platform(&"nowhere".parse()?, &platform).await;
    assert_eq!(nowhere.map_err(|error| error.reason()), Err(Reason::SiteNotFound));
    Ok(())
}
