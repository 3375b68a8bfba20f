//! The order of a list: `create_time desc, size_bytes`.

use std::fmt;

use super::{FilterError, quoted};

/// Longest order in bytes.
pub const MAX_ORDER_BYTES: usize = 200;

/// What a list can be ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderKey {
    /// When it was stored.
    CreateTime,
    /// Size of its byte stream.
    SizeBytes,
    /// Its name. No two archives have the same.
    Name,
}

impl OrderKey {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::CreateTime, Self::SizeBytes, Self::Name];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CreateTime => "create_time",
            Self::SizeBytes => "size_bytes",
            Self::Name => "name",
        }
    }
}

/// A key and its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    /// The key.
    pub key: OrderKey,
    /// From large to small.
    pub descending: bool,
}

/// An order that says of any two archives which comes first: no key twice, and the name last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order(Vec<Sort>);

impl Default for Order {
    /// Newest first.
    fn default() -> Self {
        Self::of(vec![Sort { key: OrderKey::CreateTime, descending: true }])
    }
}

impl Order {
    /// Ends where the name stands; where it does not, it decides last, in the direction of the key before.
    fn of(mut sorts: Vec<Sort>) -> Self {
        match sorts.iter().position(|sort| sort.key == OrderKey::Name) {
            Some(name) => sorts.truncate(name + 1),
            None => {
                let descending = sorts.last().is_some_and(|last| last.descending);
                sorts.push(Sort { key: OrderKey::Name, descending });
            }
        }
        Self(sorts)
    }

    /// The keys, the first one deciding first.
    pub fn sorts(&self) -> &[Sort] {
        &self.0
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, sort) in self.0.iter().enumerate() {
            let (comma, desc) =
                (if index > 0 { ", " } else { "" }, if sort.descending { " desc" } else { "" });
            write!(f, "{comma}{}{desc}", sort.key.as_str())?;
        }
        Ok(())
    }
}

/// The order that a text stands for; newest first for a text without anything in it.
pub fn parse_order(text: &str) -> Result<Order, FilterError> {
    if text.len() > MAX_ORDER_BYTES {
        let message = format!("an order has at most {MAX_ORDER_BYTES} bytes");
        return Err(FilterError { position: 1, field: None, message });
    }
    if text.trim().is_empty() {
        return Ok(Order::default());
    }
    let mut sorts: Vec<Sort> = Vec::new();
    let mut position = 1;
    for part in text.split(',') {
        let at = position + part.chars().take_while(|c| c.is_whitespace()).count();
        position += part.chars().count() + 1;
        let mut words = part.split_whitespace();
        let name = words.next().unwrap_or_default();
        let wrong = |message| {
            let field = (!name.is_empty()).then(|| name.chars().take(64).collect());
            FilterError { position: at, field, message }
        };
        let descending = match (words.next(), words.next()) {
            (None, _) => false,
            (Some("desc"), None) => true,
            _ => return Err(wrong(format!("after {} only desc can stand", quoted(name)))),
        };
        let Some(key) = OrderKey::ALL.into_iter().find(|key| key.as_str() == name) else {
            let known = OrderKey::ALL.map(OrderKey::as_str).join(", ");
            return Err(wrong(format!("{} is nothing to order by; there are {known}", quoted(name))));
        };
        if sorts.iter().any(|sort| sort.key == key) {
            return Err(wrong(format!("{name} stands there twice")));
        }
        sorts.push(Sort { key, descending });
    }
    Ok(Order::of(sorts))
}
