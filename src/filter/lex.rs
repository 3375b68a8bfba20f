//! A filter's text as tokens, each with its position.

use super::{FilterError, Operator, quoted};

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// `(`
    Open,
    /// `)`
    Close,
    /// A comparison's operator.
    Operator(Operator),
    /// A word without quotes.
    Word(String),
    /// A text in quotes, without them.
    Quoted(String),
}

/// A token and the character, counted from 1, at which it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub token: Token,
    pub position: usize,
}

/// All tokens of a text.
pub(super) fn tokens(text: &str) -> Result<Vec<Placed>, FilterError> {
    let mut cursor = Cursor { rest: text, position: 1 };
    let mut tokens: Vec<Placed> = Vec::new();
    loop {
        cursor.skip_while(char::is_whitespace);
        let position = cursor.position;
        let Some(first) = cursor.rest.chars().next() else { return Ok(tokens) };
        // Right of an operator a word runs to the next space or parenthesis, so that a bare time keeps its colons.
        let is_value = tokens.last().is_some_and(|last| matches!(last.token, Token::Operator(_)));
        let operator = Operator::ALL.into_iter().find(|operator| cursor.rest.starts_with(operator.as_str()));
        let token = match (first, operator) {
            ('(', _) => {
                cursor.skip(1);
                Token::Open
            }
            (')', _) => {
                cursor.skip(1);
                Token::Close
            }
            ('"' | '\'', _) => Token::Quoted(cursor.quoted(first)?),
            (_, Some(operator)) => {
                cursor.skip(operator.as_str().len());
                Token::Operator(operator)
            }
            _ => {
                let ends = |c: char| c.is_whitespace() || "()\"'".contains(c);
                let word = cursor.skip_while(|c| !(ends(c) || !is_value && "=!<>:".contains(c)));
                if word.is_empty() {
                    let message = format!("{} cannot stand here", quoted(&first.to_string()));
                    return Err(FilterError { position, field: None, message });
                }
                Token::Word(word.to_owned())
            }
        };
        tokens.push(Placed { token, position });
    }
}

struct Cursor<'t> {
    rest: &'t str,
    position: usize,
}

impl<'t> Cursor<'t> {
    /// Goes on by some ASCII characters.
    fn skip(&mut self, count: usize) {
        self.rest = &self.rest[count..];
        self.position += count;
    }

    fn skip_while(&mut self, accepts: impl Fn(char) -> bool) -> &'t str {
        let end = self.rest.find(|c| !accepts(c)).unwrap_or(self.rest.len());
        let (skipped, rest) = self.rest.split_at(end);
        self.rest = rest;
        self.position += skipped.chars().count();
        skipped
    }

    /// A text in quotes; a backslash takes the next character as it is.
    fn quoted(&mut self, quote: char) -> Result<String, FilterError> {
        let position = self.position;
        let mut text = String::new();
        let mut characters = self.rest.char_indices().skip(1);
        let mut length = 1;
        while let Some((at, mut character)) = characters.next() {
            length += 1;
            if character == quote {
                self.rest = &self.rest[at + quote.len_utf8()..];
                self.position += length;
                return Ok(text);
            }
            if character == '\\' {
                let Some((_, escaped)) = characters.next() else { break };
                length += 1;
                character = escaped;
            }
            text.push(character);
        }
        Err(FilterError { position, field: None, message: "the quote is not closed".into() })
    }
}
