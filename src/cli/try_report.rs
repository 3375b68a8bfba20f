//! What `try` has to tell: one row for each step, and whether everything came out as it went in.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::compare::Comparison;
use super::output::Output;
use super::table::{Column, Table};
use super::units;
use crate::compare;

/// Where a course tells its names: a restored one beside its original has others.
const NAMES: [(&str, &str); 4] = [
    ("moodle_backup.xml", "/moodle_backup/information/original_course_fullname"),
    ("moodle_backup.xml", "/moodle_backup/information/original_course_shortname"),
    ("course/course.xml", "/course/fullname"),
    ("course/course.xml", "/course/shortname"),
];

/// A step that was done, or that failed.
#[derive(Clone, Debug)]
struct Step {
    archive: String,
    name: String,
    elapsed: Duration,
    bytes: u64,
    compared: String,
    result: String,
    good: bool,
}

/// The steps so far.
#[derive(Clone, Debug, Default)]
pub struct Report {
    archive: String,
    steps: Vec<Step>,
}

impl Report {
    /// The steps that follow are about this archive.
    pub fn begin(&mut self, archive: &str) {
        archive.clone_into(&mut self.archive);
    }

    /// A step that compares nothing.
    pub fn done(&mut self, name: &str, started: Instant, bytes: u64, result: &str) {
        self.push(name, started.elapsed(), bytes, String::new(), result.to_owned(), true);
    }

    /// A step that compared two numbers or the like: `same` tells whether they agree.
    pub fn checked(&mut self, name: &str, started: Instant, what: &str, same: bool, result: &str) {
        self.push(name, started.elapsed(), 0, what.to_owned(), result.to_owned(), same);
    }

    /// A step that moved `bytes` and compared all members.
    pub fn compared(&mut self, name: &str, elapsed: Duration, bytes: u64, comparison: &Comparison) {
        let result = comparison.verdict();
        self.push(name, elapsed, bytes, comparison.extent(), result, comparison.is_same());
    }

    /// A step that moved `bytes` and compared a restored course with its archive, whatever names and ids it has.
    pub fn compared_without_ids(
        &mut self,
        name: &str,
        elapsed: Duration,
        bytes: u64,
        report: &compare::Report,
    ) {
        let members = report.same_members + report.altered_members + report.lone_members;
        let is_name = |each: &compare::Difference| {
            let place = (each.member.as_str(), each.path.to_string());
            NAMES.iter().any(|(member, path)| place.0 == *member && place.1 == *path)
        };
        let mut others = report.differences.iter().filter(|each| !is_name(each));
        let names = report.differences.len() - others.clone().count();
        let (result, good) = match others.next() {
            None if report.total == names as u64 => ("the same under other names and ids".to_owned(), true),
            None => ("DIFFERS".to_owned(), false),
            Some(first) => {
                let count = units::count(report.total - names as u64, "difference");
                (format!("DIFFERS: {count}, the first in {}{}", first.member, first.path), false)
            }
        };
        self.push(name, elapsed, bytes, units::count(members, "member"), result, good);
    }

    /// The step in which the work on this archive ended with an error.
    pub fn failed(&mut self, error: &str) {
        self.push("failed", Duration::ZERO, 0, String::new(), error.to_owned(), false);
    }

    fn push(
        &mut self,
        name: &str,
        elapsed: Duration,
        bytes: u64,
        compared: String,
        result: String,
        good: bool,
    ) {
        let archive = self.archive.clone();
        self.steps.push(Step { archive, name: name.to_owned(), elapsed, bytes, compared, result, good });
    }

    /// Archives with a step that is not good.
    pub fn bad_archives(&self) -> usize {
        let bad: std::collections::BTreeSet<&str> =
            self.steps.iter().filter(|step| !step.good).map(|step| step.archive.as_str()).collect();
        bad.len()
    }

    /// The table.
    pub fn table(&self) -> Table {
        let mut table = Table::new(&[
            ("ARCHIVE", Column::Text),
            ("STEP", Column::Whole),
            ("TIME", Column::Number),
            ("BYTES", Column::Number),
            ("RATE", Column::Number),
            ("COMPARED", Column::Text),
            ("RESULT", Column::Text),
        ]);
        for step in &self.steps {
            let some = |text: String| if step.bytes == 0 { String::new() } else { text };
            table.row([
                step.archive.clone(),
                step.name.clone(),
                units::duration(step.elapsed),
                some(units::size(step.bytes)),
                some(units::rate(step.bytes, step.elapsed)),
                step.compared.clone(),
                step.result.clone(),
            ]);
        }
        table
    }

    /// The steps as JSON.
    pub fn to_json(&self) -> Value {
        let step = |step: &Step| {
            json!({
                "archive": step.archive,
                "step": step.name,
                "seconds": step.elapsed.as_secs_f64(),
                "bytes": step.bytes,
                "compared": step.compared,
                "result": step.result,
                "good": step.good,
            })
        };
        json!({ "good": self.bad_archives() == 0, "steps": self.steps.iter().map(step).collect::<Vec<_>>() })
    }

    /// Shows everything. What differs is told again in full below the table, which may be cut.
    pub fn show(&self, output: Output) -> anyhow::Result<()> {
        if output.is_json() {
            return Ok(output.document(&self.to_json())?);
        }
        output.table(&self.table())?;
        for step in self.steps.iter().filter(|step| !step.good) {
            let line = format!("{}: {}: {}", step.archive, step.name, step.result);
            output.text(&super::words::clean(&line))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_row_for_each_step() {
        let mut report = Report::default();
        report.begin("a.mbz");
        let same = Comparison { same: 3, bytes: 2048, ..Default::default() };
        report.compared("restored, zip", Duration::from_secs(2), 4 << 20, &same);
        assert_eq!(
            report.table().render(None),
            "ARCHIVE  STEP            TIME    BYTES       RATE  COMPARED            RESULT\n\
             a.mbz    restored, zip  2.0 s  4.0 MiB  2.0 MiB/s  3 members, 2.0 KiB  identical\n"
        );
        assert_eq!(report.to_json()["good"], true);
    }

    #[test]
    fn bad_archives_are_counted_once() {
        let mut report = Report::default();
        report.begin("a.mbz");
        let differs = Comparison { missing: vec!["x".into()], ..Default::default() };
        report.compared("one", Duration::ZERO, 0, &differs);
        report.compared("two", Duration::ZERO, 0, &differs);
        report.begin("b.mbz");
        report.failed("no such file");
        assert_eq!(report.bad_archives(), 2);
        assert_eq!(report.to_json()["good"], false);
    }
}
