//! Tables as comma-separated values (RFC 4180): quotes, line ends within quotes, and the separators that spreadsheets write.

/// Why a text is no table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct CsvError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub what: &'static str,
}

/// A record and the line on which it begins.
pub type Record = (usize, Vec<String>);

/// All records of a table. The separator is the one of comma, semicolon and tab that the first line has most of. Lines without
/// anything are passed over.
pub fn records(text: &str) -> Result<Vec<Record>, CsvError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let separator = separator(text.lines().next().unwrap_or_default());
    let (mut records, mut fields, mut field) = (Vec::new(), Vec::new(), String::new());
    let (mut line, mut begin, mut was_quoted) = (1, 1, false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if field.is_empty() && !was_quoted => {
                was_quoted = true;
                loop {
                    match letters.next() {
                        Some('"') if letters.next_if_eq(&'"').is_some() => field.push('"'),
                        Some('"') => break,
                        Some(other) => {
                            line += usize::from(other == '\n');
                            field.push(other);
                        }
                        None => return Err(CsvError { line, what: "a quote is not closed" }),
                    }
                }
            }
            '\r' if letters.peek() == Some(&'\n') => {}
            '\n' => {
                fields.push(std::mem::take(&mut field));
                if was_quoted || fields.iter().any(|field| !field.is_empty()) {
                    records.push((begin, std::mem::take(&mut fields)));
                }
                fields.clear();
                line += 1;
                (begin, was_quoted) = (line, false);
            }
            letter if letter == separator => {
                fields.push(std::mem::take(&mut field));
                was_quoted = false;
            }
            _ if was_quoted => return Err(CsvError { line, what: "text after a closing quote" }),
            letter => field.push(letter),
        }
    }
    if !field.is_empty() || was_quoted || !fields.is_empty() {
        fields.push(field);
        records.push((begin, fields));
    }
    Ok(records)
}

fn separator(line: &str) -> char {
    let count = |separator: char| line.matches(separator).count();
    // Of those that are as frequent the last one counts.
    [';', '\t', ','].into_iter().max_by_key(|separator| count(*separator)).unwrap_or(',')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Result<Vec<Vec<String>>, CsvError> {
        Ok(records(text)?.into_iter().map(|(_, fields)| fields).collect())
    }

    #[test]
    fn tables_are_read_as_spreadsheets_write_them() {
        for (text, expected) in [
            ("a,b\n1,2\n", vec![vec!["a", "b"], vec!["1", "2"]]),
            ("\u{feff}a;b\r\n1,5;2", vec![vec!["a", "b"], vec!["1,5", "2"]]),
            ("a\tb\n\n1\t\n", vec![vec!["a", "b"], vec!["1", ""]]),
            ("a,b\n\"x, \"\"y\"\"\nz\",\"\"\n", vec![vec!["a", "b"], vec!["x, \"y\"\nz", ""]]),
            ("a\nit\"s\n\"\"\n", vec![vec!["a"], vec!["it\"s"], vec![""]]),
            ("", vec![]),
            ("a,", vec![vec!["a", ""]]),
        ] {
            let expected: Vec<Vec<String>> =
                expected.into_iter().map(|row| row.into_iter().map(str::to_owned).collect()).collect();
            assert_eq!(fields(text), Ok(expected), "{text:?}");
        }
        let lines: Vec<usize> = records("a\n\"b\nc\"\nd").map_or(vec![], |r| r.iter().map(|r| r.0).collect());
        assert_eq!(lines, [1, 2, 4]);
    }

    #[test]
    fn what_is_no_table_is_told_with_its_line() {
        assert_eq!(records("a\n\"b\nc").map_err(|error| error.line), Err(3));
        assert_eq!(records("a\n\"b\"c").map_err(|error| error.line), Err(2));
    }
}
