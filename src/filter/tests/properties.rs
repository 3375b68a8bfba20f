//! What holds for any filter and for any text.

use proptest::prelude::*;

use crate::clock::Timestamp;
use crate::filter::*;

/// A comparison that fits its field.
fn comparison() -> impl Strategy<Value = Filter> {
    prop::sample::select(Field::ALL).prop_flat_map(|field| {
        let operators = field.kind().operators();
        let text = prop_oneof!["[ -~é日\\\\\"']{1,8}", "AND|OR|NOT|\\*"];
        let value = match field.kind() {
            Kind::Word(_, words) => prop::sample::select(words).prop_map(Value::Word).boxed(),
            Kind::Course => "[a-z]{0,5}|sites/a/courses/b".prop_map(Value::Text).boxed(),
            Kind::Name | Kind::Text => text.prop_map(Value::Text).boxed(),
            Kind::Number => (0..=i64::MAX).prop_map(Value::Number).boxed(),
            // The years 0 to 9999.
            Kind::Time => (-62_167_219_200_000..=253_402_300_799_999_i64)
                .prop_map(|millis| Value::Time(Timestamp::from_millis(millis)))
                .boxed(),
            Kind::Flag => any::<bool>().prop_map(Value::Flag).boxed(),
            Kind::Presence => Just(Value::Anything).boxed(),
        };
        (prop::sample::select(operators), value)
            .prop_map(move |(operator, value)| Filter::Compare(Comparison { field, operator, value }))
    })
}

fn filter() -> impl Strategy<Value = Filter> {
    comparison().prop_recursive(5, 20, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..=3).prop_map(Filter::All),
            prop::collection::vec(inner.clone(), 2..=3).prop_map(Filter::Any),
            inner.prop_map(|part| Filter::Not(Box::new(part))),
        ]
    })
}

/// Texts that look like filters, and are mostly none.
fn nearly() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "area",
        "size_bytes",
        "create_time",
        "hold",
        "=",
        "!=",
        "<",
        ":",
        "AND",
        "OR",
        "NOT",
        "-",
        "(",
        ")",
        "*",
        "\"",
        "'",
        "\\",
        "COURSE",
        "12",
        "1970-01-01T00:00:00Z",
        "é",
        "\u{0}",
        " ",
    ]);
    prop::collection::vec(word, 0..24).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn what_is_printed_is_parsed_again(filter in filter()) {
        let text = filter.to_string();
        prop_assume!(text.len() <= MAX_FILTER_BYTES);
        prop_assert_eq!(parse(&text), Ok(Some(filter)), "{}", text);
    }

    #[test]
    fn no_text_is_too_strange(text in prop_oneof![".{0,80}", nearly()]) {
        match parse(&text) {
            Ok(Some(filter)) => prop_assert_eq!(parse(&filter.to_string()), Ok(Some(filter))),
            Ok(None) => prop_assert!(text.trim().is_empty()),
            Err(error) => {
                prop_assert!((1..=text.chars().count() + 1).contains(&error.position), "{} {}", text, error);
            }
        }
        match parse_order(&text) {
            Ok(order) => prop_assert_eq!(parse_order(&order.to_string()), Ok(order)),
            Err(error) => {
                prop_assert!((1..=text.chars().count() + 1).contains(&error.position), "{} {}", text, error);
            }
        }
    }
}
