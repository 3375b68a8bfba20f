//! Where answers go: standard output, for people or as one JSON document. Errors and progress go to standard error.

use std::io::{self, IsTerminal, Write};

use console::Term;
use serde_json::Value;

use super::failure::Shown;
use super::table::Table;

/// Columns of the terminal; none where nobody looks.
pub fn width() -> Option<usize> {
    Term::stdout().size_checked().map(|(_, columns)| usize::from(columns))
}

/// How answers are written.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
}

impl Output {
    /// JSON, or text for people.
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether the answer is one JSON document; then nothing else may be written to standard output.
    pub fn is_json(self) -> bool {
        self.json
    }

    /// Whether progress bars make sense: somebody looks, and no machine reads.
    pub fn shows_bars(self) -> bool {
        !self.json && io::stderr().is_terminal()
    }

    /// The one JSON document.
    pub fn document(self, value: &Value) -> io::Result<()> {
        let mut out = io::stdout().lock();
        serde_json::to_writer_pretty(&mut out, value)?;
        out.write_all(b"\n")?;
        out.flush()
    }

    /// Text for people; nothing with JSON.
    pub fn text(self, text: &str) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            out.write_all(b"\n")?;
        }
        out.flush()
    }

    /// A table for people; nothing with JSON.
    pub fn table(self, table: &Table) -> io::Result<()> {
        self.text(&table.render(width()))
    }

    /// A note on the way, on standard error; nothing with JSON, where standard error is for errors.
    pub fn note(self, text: &str) {
        if !self.json {
            // A note that cannot be written is no reason to stop the work.
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// An error, on standard error.
    pub fn error(self, error: &Shown) {
        let text = if self.json { format!("{}\n", error.to_json()) } else { error.to_text() };
        // There is no other place to say it.
        let _ = io::stderr().write_all(text.as_bytes());
    }
}
