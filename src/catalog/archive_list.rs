//! Lists of archives: what a viewer may see of what a filter asks for, in any order, page by page.
//!
//! The statement is put together from texts of this file only; every value that comes from outside is bound.

use super::Catalog;
use super::archives::{ArchiveRow, archive_columns};
use super::error::CatalogError;
use super::sql;
use super::values::Area;
use crate::access::{Party, sights};
use crate::clock::Timestamp;
use crate::filter::{Comparison, Field, Filter, Operator, Order, OrderKey, Value};
use crate::ids::{ArchiveId, CourseId, CourseName, SiteId};
use crate::principal::{Courses, Principal};

/// Which archives of a site are wanted, by whom, and in which order.
#[derive(Clone, Debug)]
pub struct ArchiveQuery {
    /// Who asks. Archives that it may not see are not there.
    pub viewer: Principal,
    /// Only those of this area.
    pub area: Option<Area>,
    /// Only those of this course.
    pub course: Option<CourseId>,
    /// Deleted ones too.
    pub show_deleted: bool,
    /// Only those for which this holds.
    pub filter: Option<Filter>,
    /// Their order.
    pub order: Order,
    /// Only those after the one that stands there.
    pub after: Option<ArchivePosition>,
}

impl ArchiveQuery {
    /// All live archives that somebody sees, newest first.
    pub fn all(viewer: Principal) -> Self {
        let order = Order::default();
        Self { viewer, area: None, course: None, show_deleted: false, filter: None, order, after: None }
    }
}

/// Where an archive stands in a list, in whatever order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivePosition {
    /// When it was stored.
    pub create_time: Timestamp,
    /// Size of its byte stream.
    pub size_bytes: i64,
    /// Its id.
    pub archive: ArchiveId,
}

impl ArchivePosition {
    /// Where this one stands.
    pub fn of(row: &ArchiveRow) -> Self {
        Self {
            create_time: row.create_time,
            size_bytes: i64::try_from(row.size_bytes()).unwrap_or(i64::MAX),
            archive: row.archive.clone(),
        }
    }
}

impl Catalog {
    /// At most `limit` archives of a site.
    pub async fn list_archives(
        &self,
        site: &SiteId,
        query: &ArchiveQuery,
        limit: u32,
    ) -> Result<Vec<ArchiveRow>, CatalogError> {
        let now = self.now().await?;
        let mut statement = Statement::new(site, &query.viewer.name, now);
        statement.push(concat!("SELECT ", archive_columns!(), " FROM archives WHERE site = "));
        statement.text(site.to_string());
        if let Some(area) = query.area {
            statement.push(" AND area = ");
            statement.text(area.to_string());
        }
        if let Some(course) = &query.course {
            statement.push(" AND course = ");
            statement.text(course.to_string());
        }
        if !query.show_deleted {
            statement.push(" AND delete_ms IS NULL");
        }
        statement.push(" AND ");
        statement.visible(&query.viewer);
        if let Some(filter) = &query.filter {
            statement.push(" AND ");
            statement.filter(filter);
        }
        if let Some(after) = &query.after {
            statement.push(" AND ");
            statement.after(&query.order, after);
        }
        statement.order(&query.order);
        statement.push(" LIMIT ");
        statement.number(i64::from(limit));
        sql::all(&mut *self.read().await?, statement.bound()).await
    }
}

/// A value that is bound.
enum Parameter {
    Text(String),
    Number(i64),
}

/// A statement in the making.
struct Statement<'q> {
    site: &'q SiteId,
    /// The name of who asks.
    viewer: &'q str,
    now: Timestamp,
    sql: String,
    parameters: Vec<Parameter>,
}

impl<'q> Statement<'q> {
    fn new(site: &'q SiteId, viewer: &'q str, now: Timestamp) -> Self {
        Self { site, viewer, now, sql: String::new(), parameters: Vec::new() }
    }

    fn push(&mut self, sql: &'static str) {
        self.sql.push_str(sql);
    }

    fn bind(&mut self, parameter: Parameter) {
        self.parameters.push(parameter);
        self.sql.push_str(&sql::placeholders(self.parameters.len(), 1));
    }

    fn text(&mut self, text: String) {
        self.bind(Parameter::Text(text));
    }

    fn number(&mut self, number: i64) {
        self.bind(Parameter::Number(number));
    }

    fn bound(self) -> sql::Bound {
        let query = sqlx::query(sqlx::AssertSqlSafe(self.sql));
        self.parameters.into_iter().fold(query, |query, parameter| match parameter {
            Parameter::Text(text) => query.bind(text),
            Parameter::Number(number) => query.bind(number),
        })
    }

    /// `(a WORD b WORD c)`
    fn joined<T>(
        &mut self,
        word: &'static str,
        parts: impl IntoIterator<Item = T>,
        each: impl Fn(&mut Self, T),
    ) {
        self.push("(");
        for (index, part) in parts.into_iter().enumerate() {
            if index > 0 {
                self.push(word);
            }
            each(self, part);
        }
        self.push(")");
    }

    /// What the viewer sees, by the same table that decides over single archives.
    fn visible(&mut self, viewer: &Principal) {
        let sights = sights(viewer, self.site);
        if sights.is_empty() {
            return self.push("1 = 0");
        }
        self.joined(" OR ", sights, |statement, sight| {
            statement.push("(area IN ");
            statement.joined(", ", sight.areas, |statement, area| statement.text(area.to_string()));
            if let Courses::Only(courses) = sight.courses {
                statement.push(" AND course IN ");
                statement.joined(", ", courses, |statement, course| statement.text(course.to_string()));
            }
            match sight.party {
                Party::Administrator | Party::Manager | Party::Auditor | Party::Anyone => {}
                Party::Owner => {
                    statement.push(" AND owner = ");
                    statement.text(statement.viewer.to_owned());
                }
                Party::Shared => {
                    statement.push(" AND ");
                    statement.shared();
                }
            }
            statement.push(")");
        });
    }

    /// The archive is made available to the viewer, now.
    fn shared(&mut self) {
        self.push(
            "EXISTS (SELECT 1 FROM shares WHERE shares.site = archives.site AND shares.archive = archives.archive \
             AND shares.principal = ",
        );
        self.text(self.viewer.to_owned());
        self.push(" AND shares.expire_ms > ");
        self.number(self.now.millis());
        self.push(")");
    }

    fn filter(&mut self, filter: &Filter) {
        match filter {
            Filter::Compare(comparison) => self.comparison(comparison),
            Filter::All(parts) => self.joined(" AND ", parts, Self::filter),
            Filter::Any(parts) => self.joined(" OR ", parts, Self::filter),
            Filter::Not(part) => {
                self.push("NOT (");
                self.filter(part);
                self.push(")");
            }
        }
    }

    /// A comparison. It is true or false and never unknown, so that NOT turns every one round.
    fn comparison(&mut self, comparison: &Comparison) {
        let Comparison { field, operator, value } = comparison;
        match (field, value) {
            (Field::SharedWithMe, value) => {
                let wanted = (*value == Value::Flag(true)) == (*operator == Operator::Equal);
                self.push(if wanted { "" } else { "NOT " });
                self.shared();
            }
            (Field::Hold, _) => self.push("hold_ms IS NOT NULL"),
            (Field::Course, Value::Text(text)) => {
                // A course of another site is no archive's.
                let course = match text.parse::<CourseName>() {
                    Ok(name) if name.site == *self.site => Some(name.course.to_string()),
                    Ok(_) => None,
                    Err(_) => Some(text.clone()),
                };
                match course {
                    Some(course) => {
                        self.push("COALESCE(course, '')");
                        self.operator(*operator);
                        self.text(course);
                    }
                    None => self.push(if *operator == Operator::Equal { "1 = 0" } else { "1 = 1" }),
                }
            }
            // No time is neither before nor after another one, and equal to none.
            (Field::BackupTime, Value::Time(time)) => {
                self.push(if *operator == Operator::Unequal {
                    "(backup_ms IS NULL OR backup_ms"
                } else {
                    "(backup_ms IS NOT NULL AND backup_ms"
                });
                self.operator(*operator);
                self.number(time.millis());
                self.push(")");
            }
            // Not LIKE, which minds letter case on one database only. Taking out what is looked for changes what contains it.
            (field, Value::Text(text)) if *operator == Operator::Has => {
                self.push("REPLACE(");
                self.push(column(*field));
                self.push(", ");
                self.text(text.clone());
                self.push(", '') <> ");
                self.push(column(*field));
            }
            (field, value) => {
                self.push(column(*field));
                self.operator(*operator);
                match value {
                    Value::Word(word) => self.text((*word).to_owned()),
                    Value::Text(text) => self.text(text.clone()),
                    Value::Number(number) => self.number(*number),
                    Value::Time(time) => self.number(time.millis()),
                    Value::Flag(flag) => self.number(i64::from(*flag)),
                    Value::Anything => self.push("NULL"),
                }
            }
        }
    }

    fn operator(&mut self, operator: Operator) {
        self.push(match operator {
            Operator::Equal | Operator::Has => " = ",
            Operator::Unequal => " <> ",
            Operator::Less => " < ",
            Operator::AtMost => " <= ",
            Operator::Greater => " > ",
            Operator::AtLeast => " >= ",
        });
    }

    /// The keyset: strictly after a position. The first key that differs decides.
    fn after(&mut self, order: &Order, position: &ArchivePosition) {
        let sorts = order.sorts();
        self.joined(" OR ", 0..sorts.len(), |statement, deciding| {
            statement.joined(" AND ", sorts[..=deciding].iter().enumerate(), |statement, (index, sort)| {
                statement.key(sort.key);
                statement.push(match (index == deciding, sort.descending) {
                    (false, _) => " = ",
                    (true, true) => " < ",
                    (true, false) => " > ",
                });
                match sort.key {
                    OrderKey::CreateTime => statement.number(position.create_time.millis()),
                    OrderKey::SizeBytes => statement.number(position.size_bytes),
                    OrderKey::Name => statement.text(position.archive.to_string()),
                }
            });
        });
    }

    fn order(&mut self, order: &Order) {
        self.push(" ORDER BY ");
        for (index, sort) in order.sorts().iter().enumerate() {
            self.push(if index > 0 { ", " } else { "" });
            self.key(sort.key);
            self.push(if sort.descending { " DESC" } else { "" });
        }
    }

    fn key(&mut self, key: OrderKey) {
        self.push(match key {
            OrderKey::CreateTime => "create_ms",
            OrderKey::SizeBytes => "size_bytes",
            // Ids are of lower-case hexadecimal digits and hyphens at fixed places, so any collation orders them alike.
            OrderKey::Name => "archive",
        });
    }
}

/// The column of a field that has one of its own.
const fn column(field: Field) -> &'static str {
    match field {
        Field::Area => "area",
        Field::Type => "type",
        Field::Origin => "origin",
        Field::Course => "course",
        Field::Owner => "owner",
        Field::FileName => "file_name",
        Field::Description => "description",
        Field::SizeBytes => "size_bytes",
        Field::CreateTime => "create_ms",
        Field::UpdateTime => "update_ms",
        Field::BackupTime => "backup_ms",
        Field::IncludesUsers => "includes_users",
        Field::Anonymized => "anonymized",
        Field::SharedWithMe | Field::Hold => "NULL",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{ArchiveOrigin, ArchiveType};
    use crate::filter::Kind;

    #[test]
    fn words_of_filters_are_those_of_rows() {
        fn texts<T: Copy>(all: &[T], text: fn(T) -> &'static str) -> Vec<&'static str> {
            all.iter().map(|one| text(*one)).collect()
        }
        for (field, known) in [
            (Field::Area, texts(Area::ALL, Area::as_str)),
            (Field::Type, texts(ArchiveType::ALL, ArchiveType::as_str)),
            (Field::Origin, texts(ArchiveOrigin::ALL, ArchiveOrigin::as_str)),
        ] {
            assert!(matches!(field.kind(), Kind::Word(_, words) if words == known), "{field:?}");
        }
    }
}
