//! Single filters and orders, and every way in which one is refused.

use crate::clock::Timestamp;
use crate::filter::*;

fn compare(field: Field, operator: Operator, value: Value) -> Filter {
    Filter::Compare(Comparison { field, operator, value })
}

fn area(word: &'static str) -> Filter {
    compare(Field::Area, Operator::Equal, Value::Word(word))
}

#[test]
fn every_field_is_understood() {
    use Operator::{AtLeast, Equal, Has, Less, Unequal};
    for (text, field, operator, value) in [
        ("area = DROP_ZONE", Field::Area, Equal, Value::Word("DROP_ZONE")),
        ("area!=AREA_COURSE", Field::Area, Unequal, Value::Word("COURSE")),
        ("type = \"ARCHIVE_TYPE_CARTRIDGE\"", Field::Type, Equal, Value::Word("CARTRIDGE")),
        ("origin = BACKUP", Field::Origin, Equal, Value::Word("BACKUP")),
        ("course = rich101", Field::Course, Equal, Value::Text("rich101".into())),
        ("course = sites/a/courses/b", Field::Course, Equal, Value::Text("sites/a/courses/b".into())),
        ("course = ''", Field::Course, Equal, Value::Text(String::new())),
        ("owner = \"a \\\"b\\\\\"", Field::Owner, Equal, Value::Text("a \"b\\".into())),
        ("file_name : -nu.mbz", Field::FileName, Has, Value::Text("-nu.mbz".into())),
        ("description:'é 日'", Field::Description, Has, Value::Text("é 日".into())),
        ("size_bytes>=1048576", Field::SizeBytes, AtLeast, Value::Number(1 << 20)),
        (
            "create_time < 1970-01-01T01:00:01.5+01:00",
            Field::CreateTime,
            Less,
            Value::Time(Timestamp::from_millis(1500)),
        ),
        (
            "backup_time != \"1970-01-01T00:00:00Z\"",
            Field::BackupTime,
            Unequal,
            Value::Time(Timestamp::default()),
        ),
        ("update_time = 1970-01-01T00:00:00Z", Field::UpdateTime, Equal, Value::Time(Timestamp::default())),
        ("includes_users = true", Field::IncludesUsers, Equal, Value::Flag(true)),
        ("anonymized=false", Field::Anonymized, Equal, Value::Flag(false)),
        ("shared_with_me = true", Field::SharedWithMe, Equal, Value::Flag(true)),
        ("hold:*", Field::Hold, Has, Value::Anything),
    ] {
        assert_eq!(parse(text), Ok(Some(compare(field, operator, value))), "{text}");
    }
    assert_eq!(parse(" \t\n"), Ok(None));
}

#[test]
fn or_binds_tighter_than_and() {
    let (a, b, c) = (area("COURSE"), area("PRIVATE"), area("AUTOMATED"));
    let text = "area = COURSE AND area = PRIVATE OR area = AUTOMATED";
    let any = Filter::Any(vec![b.clone(), c.clone()]);
    assert_eq!(parse(text), Ok(Some(Filter::All(vec![a.clone(), any]))));
    let text = "(area = COURSE AND area = PRIVATE) OR area = AUTOMATED";
    let all = Filter::All(vec![a.clone(), b.clone()]);
    assert_eq!(parse(text), Ok(Some(Filter::Any(vec![all, c.clone()]))));
    let not = |filter| Filter::Not(Box::new(filter));
    for text in [
        "NOT area = COURSE",
        "-area = COURSE",
        "NOT (area = COURSE)",
        "-(area = COURSE)",
        "((-area = COURSE))",
    ] {
        assert_eq!(parse(text), Ok(Some(not(a.clone()))), "{text}");
    }
    let text = "NOT area = COURSE AND (area = PRIVATE AND -area = AUTOMATED)";
    assert_eq!(parse(text), Ok(Some(Filter::All(vec![not(a), Filter::All(vec![b, not(c)])]))));
}

#[test]
fn refusals_name_position_and_field() {
    for (text, position, field) in [
        ("colour = red", 1, Some("colour")),
        ("area", 5, Some("area")),
        ("area COURSE", 6, Some("area")),
        ("area =", 7, Some("area")),
        ("area = AND area = COURSE", 8, Some("area")),
        ("area = ATTIC", 8, Some("area")),
        ("area < COURSE", 6, Some("area")),
        ("owner : me", 7, Some("owner")),
        ("é = 1", 1, Some("é")),
        ("course = 'Not An Id'", 10, Some("course")),
        ("size_bytes = -1", 14, Some("size_bytes")),
        ("size_bytes = 9223372036854775808", 14, Some("size_bytes")),
        ("size_bytes = +1", 14, Some("size_bytes")),
        ("create_time > yesterday", 15, Some("create_time")),
        ("create_time > 9999-12-31T23:59:59-01:00", 15, Some("create_time")),
        ("anonymized = 1", 14, Some("anonymized")),
        ("hold:me", 6, Some("hold")),
        ("hold:'*'", 6, Some("hold")),
        ("hold = *", 6, Some("hold")),
        ("file_name : ''", 13, Some("file_name")),
        ("area = COURSE area = PRIVATE", 15, None),
        ("area = COURSE AND", 18, None),
        ("AND area = COURSE", 1, None),
        ("NOT NOT area = COURSE", 5, None),
        ("area = COURSE OR", 17, None),
        ("(area = COURSE", 1, None),
        ("(area = COURSE colour", 16, None),
        ("area = COURSE)", 14, None),
        ("()", 2, None),
        ("= COURSE", 1, None),
        ("owner = 'é\\'", 9, None),
        ("owner = \"x", 9, None),
        ("! area = COURSE", 1, None),
        ("\"area\" = COURSE", 1, None),
    ] {
        let error = parse(text).expect_err(text);
        assert_eq!((error.position, error.field.as_deref()), (position, field), "{text}: {error}");
        assert!(!error.message.is_empty());
    }
}

#[test]
fn length_depth_and_number_are_bounded() {
    let one = "hold:*";
    let nested = |depth: usize| format!("{}{one}{}", "(".repeat(depth), ")".repeat(depth));
    assert!(parse(&nested(MAX_DEPTH)).is_ok());
    assert_eq!(parse(&nested(MAX_DEPTH + 1)).map_err(|error| error.position), Err(MAX_DEPTH + 1));
    // Far too deep, and still no fault.
    assert!(parse(&"(".repeat(MAX_FILTER_BYTES)).is_err());
    assert!(parse(&"-".repeat(MAX_FILTER_BYTES)).is_err());
    let many = |count: usize| vec![one; count].join(" OR ");
    assert!(parse(&many(MAX_COMPARISONS)).is_ok());
    assert!(parse(&many(MAX_COMPARISONS + 1)).is_err());
    let long = |bytes: usize| format!("{one}{}", " ".repeat(bytes - one.len()));
    assert!(parse(&long(MAX_FILTER_BYTES)).is_ok());
    assert!(parse(&long(MAX_FILTER_BYTES + 1)).is_err());
    assert!(parse(&format!("owner = {}", "x".repeat(255))).is_ok());
    assert!(parse(&format!("owner = {}", "x".repeat(256))).is_err());
    let error = parse(&format!("{} = 1", "é".repeat(500))).expect_err("no field");
    assert_eq!(error.field.map(|field| field.chars().count()), Some(64));
    assert!(error.message.chars().count() < 400, "{}", error.message);
}

#[test]
fn orders_end_with_the_name() {
    for (text, expected) in [
        ("", "create_time desc, name desc"),
        (" ", "create_time desc, name desc"),
        ("create_time", "create_time, name"),
        ("size_bytes desc", "size_bytes desc, name desc"),
        ("size_bytes  desc ,create_time", "size_bytes desc, create_time, name"),
        ("name", "name"),
        ("size_bytes, name desc, create_time", "size_bytes, name desc"),
    ] {
        let order = parse_order(text).map(|order| order.to_string());
        assert_eq!(order.as_deref(), Ok(expected), "{text}");
        assert_eq!(parse_order(expected).map(|order| order.to_string()), order);
    }
}

#[test]
fn refused_orders_name_position_and_field() {
    for (text, position, field) in [
        ("file_name", 1, Some("file_name")),
        ("create_time asc", 1, Some("create_time")),
        ("create_time desc desc", 1, Some("create_time")),
        ("size_bytes, size_bytes desc", 13, Some("size_bytes")),
        ("size_bytes,", 12, None),
        (",", 1, None),
        ("size_bytes; DROP TABLE archives", 1, Some("size_bytes;")),
    ] {
        let error = parse_order(text).expect_err(text);
        assert_eq!((error.position, error.field.as_deref()), (position, field), "{text}: {error}");
    }
    assert!(parse_order(&" ".repeat(MAX_ORDER_BYTES + 1)).is_err());
}
