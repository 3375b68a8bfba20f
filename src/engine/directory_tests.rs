//! Who joins a directory, and what becomes of those who are there.

use std::time::Duration;

use super::Joined;
use super::tests::Ground;
use crate::catalog::AccountQuery;
use crate::directory::{FIRST_NEW_ID, Person, Source};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn person(id: i64, username: &str) -> Person {
    Person { id, username: username.into(), host: 1, ..Person::default() }
}

async fn join(
    ground: &Ground,
    source: Source,
    people: &[Person],
) -> Result<Joined, Box<dyn std::error::Error>> {
    let mut tx = ground.engine.catalog().begin().await?;
    let joined = ground.engine.join_directory(&mut tx, &ground.call(), &ground.site, source, people).await?;
    tx.commit().await?;
    Ok(joined)
}

#[tokio::test]
async fn what_is_known_is_filled_and_never_changed() -> Outcome {
    let ground = Ground::new(Duration::from_secs(30)).await?;
    let (catalog, site) = (ground.engine.catalog(), &ground.site);
    let zoe = Person { email: "zoe@x.org".into(), ..person(1, "zoe") };
    let first = join(&ground, Source::Published, &[zoe.clone(), person(2, "ann")]).await?;
    assert_eq!(first, Joined { added: 2, ..Joined::default() });
    let told = [
        Person { email: "other@x.org".into(), id_number: "N1".into(), ..zoe.clone() },
        // Renamed, or somebody else: nothing of it is taken.
        Person { id_number: "N2".into(), ..person(2, "anna") },
        // The name has its owner, here and elsewhere.
        person(3, "zoe"),
        Person { host: 2, ..person(4, "zoe") },
        person(5, "bob"),
        person(5, "bob"),
        person(6, "bob"),
        person(7, ""),
        person(FIRST_NEW_ID, "new"),
    ];
    let second = join(&ground, Source::Published, &told).await?;
    let expected = Joined { added: 2, filled: 1, known: 1, name_taken: vec![3, 6], unfit: 3 };
    assert_eq!(second, expected);
    let made = Person { is_pseudonym: true, ..person(FIRST_NEW_ID, "new") };
    assert_eq!(join(&ground, Source::Restored, std::slice::from_ref(&made)).await?.added, 1);
    let rows = catalog.list_accounts(site, &AccountQuery::default(), 100).await?;
    let filled = Person { id_number: "N1".into(), ..zoe };
    let expected = [
        (Source::Published, filled),
        (Source::Published, person(2, "ann")),
        (Source::Published, Person { host: 2, ..person(4, "zoe") }),
        (Source::Published, person(5, "bob")),
        (Source::Restored, made),
    ];
    assert!(rows.iter().map(|row| (row.source, row.person.clone())).eq(expected), "{rows:?}");
    Ok(())
}

#[tokio::test]
async fn nobody_joins_when_the_fact_does_not_hold() -> Outcome {
    let ground = Ground::new(Duration::from_secs(30)).await?;
    let mut tx = ground.engine.catalog().begin().await?;
    let people = [person(1, "zoe")];
    ground.engine.join_directory(&mut tx, &ground.call(), &ground.site, Source::Restored, &people).await?;
    drop(tx);
    assert_eq!(ground.engine.catalog().count_accounts(&ground.site).await?, 0);
    assert!(ground.engine.catalog().pending_outbox(10).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn ten_thousand_join_by_hundreds() -> Outcome {
    let ground = Ground::new(Duration::from_secs(30)).await?;
    let people: Vec<Person> = (1..=10_000).map(|id| person(id, &format!("user{id}"))).collect();
    let joined = join(&ground, Source::Published, &people).await?;
    assert_eq!(joined, Joined { added: 10_000, ..Joined::default() });
    // The journal takes them in segments of a bounded size.
    ground.engine.flush_journal().await;
    assert!(ground.engine.catalog().pending_outbox(10).await?.is_empty());
    let again = join(&ground, Source::Published, &people).await?;
    assert_eq!(again, Joined { known: 10_000, ..Joined::default() });
    assert!(ground.engine.catalog().pending_outbox(10).await?.is_empty());
    Ok(())
}
