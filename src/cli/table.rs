//! Tables: columns aligned, cut to the width of a terminal, whole when there is none.

use console::{measure_text_width, truncate_str};

/// Between two columns.
const GAP: &str = "  ";
/// No column is cut below this.
const NARROWEST: usize = 8;

/// How a column behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// Text that may be cut.
    Text,
    /// Text that is of no use when cut: ids, results.
    Whole,
    /// Numbers, to the right, never cut.
    Number,
}

/// Rows under headings.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<(&'static str, Column)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new(columns: &[(&'static str, Column)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row: one cell for each column.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.columns.len());
        // Names come from archives: a control character must neither break a line nor reach the terminal.
        self.rows.push(cells.into_iter().map(|cell| cell.replace(char::is_control, " ")).collect());
    }

    /// The table as text. `width`: columns of the terminal; none means that nothing is cut.
    pub fn render(&self, width: Option<usize>) -> String {
        let widths = self.widths(width);
        let headings = self.columns.iter().map(|(heading, _)| (*heading).to_owned()).collect();
        let mut text = String::new();
        for cells in std::iter::once(&headings).chain(&self.rows) {
            let mut line = String::new();
            for ((cell, &room), (_, column)) in cells.iter().zip(&widths).zip(&self.columns) {
                if !line.is_empty() {
                    line.push_str(GAP);
                }
                let cell = truncate_str(cell, room, "…");
                let padding = " ".repeat(room - measure_text_width(&cell).min(room));
                if *column == Column::Number {
                    line.push_str(&padding);
                    line.push_str(&cell);
                } else {
                    line.push_str(&cell);
                    line.push_str(&padding);
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// Width of each column: what its widest cell needs, less what the terminal lacks, taken from the widest texts first.
    fn widths(&self, limit: Option<usize>) -> Vec<usize> {
        let mut widths: Vec<usize> = self.columns.iter().map(|(h, _)| measure_text_width(h)).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(measure_text_width(cell));
            }
        }
        let gaps = GAP.len() * self.columns.len().saturating_sub(1);
        let Some(limit) = limit else { return widths };
        while widths.iter().sum::<usize>() + gaps > limit {
            let texts = self.columns.iter().enumerate().filter(|(_, (_, column))| *column == Column::Text);
            let widest = texts.map(|(at, _)| at).max_by_key(|&at| widths[at]);
            match widest {
                Some(at) if widths[at] > NARROWEST => widths[at] -= 1,
                _ => break,
            }
        }
        widths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table =
            Table::new(&[("ID", Column::Whole), ("NAME", Column::Text), ("SIZE", Column::Number)]);
        table.row(["a1".into(), "A course with quite a long name".into(), "1.0 MiB".into()]);
        table.row(["b22".into(), "Kurs 日本".into(), "812 B".into()]);
        table
    }

    #[test]
    fn whole_without_a_terminal() {
        assert_eq!(
            table().render(None),
            "ID   NAME                                SIZE\n\
             a1   A course with quite a long name  1.0 MiB\n\
             b22  Kurs 日本                          812 B\n"
        );
    }

    #[test]
    fn cut_to_the_terminal() {
        let text = table().render(Some(30));
        assert_eq!(
            text,
            "ID   NAME                 SIZE\n\
             a1   A course with q…  1.0 MiB\n\
             b22  Kurs 日本           812 B\n"
        );
        assert!(text.lines().all(|line| measure_text_width(line) <= 30));
    }

    #[test]
    fn ids_and_numbers_are_never_cut() {
        let text = table().render(Some(5));
        assert!(text.contains("b22") && text.contains("1.0 MiB") && text.contains("A cours…"), "{text}");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let mut table = Table::new(&[("NAME", Column::Text)]);
        table.row(["a\u{1b}[31m\nb".into()]);
        assert_eq!(table.render(None), "NAME\na [31m b\n");
    }

    #[test]
    fn a_table_without_rows_has_headings() {
        assert_eq!(Table::new(&[("A", Column::Text), ("B", Column::Number)]).render(Some(80)), "A  B\n");
    }
}
