//! From text to a filter, by descent. AIP-160's grammar without bare words, functions and lists: a filter is conditions joined
//! by AND, a condition is terms joined by OR, so that OR binds tighter; a term is a comparison or a filter in parentheses, with
//! NOT or `-` before it if wanted.

use super::lex::{Placed, Token, tokens};
use super::{Comparison, Field, Filter, FilterError, Value, quoted};

/// Longest filter in bytes.
pub const MAX_FILTER_BYTES: usize = 2000;
/// Most comparisons of a filter.
pub const MAX_COMPARISONS: usize = 100;
/// Most parentheses within each other.
pub const MAX_DEPTH: usize = 16;

/// The filter that a text stands for; none for a text without anything in it.
pub fn parse(text: &str) -> Result<Option<Filter>, FilterError> {
    if text.len() > MAX_FILTER_BYTES {
        return Err(error(1, format!("a filter has at most {MAX_FILTER_BYTES} bytes")));
    }
    let tokens = tokens(text)?;
    if tokens.is_empty() {
        return Ok(None);
    }
    let mut parser = Parser { tokens: &tokens, end: text.chars().count() + 1, comparisons: 0 };
    let filter = parser.filter(0)?;
    match parser.tokens.first() {
        None => Ok(Some(filter)),
        Some(Placed { token: Token::Close, position }) => {
            Err(error(*position, "the parenthesis was not opened".into()))
        }
        Some(next) => Err(error(next.position, "AND, OR or the end is expected".into())),
    }
}

fn error(position: usize, message: String) -> FilterError {
    FilterError { position, field: None, message }
}

struct Parser<'t> {
    /// What is left.
    tokens: &'t [Placed],
    /// The position behind the text.
    end: usize,
    comparisons: usize,
}

impl<'t> Parser<'t> {
    fn filter(&mut self, depth: usize) -> Result<Filter, FilterError> {
        let mut parts = vec![self.condition(depth)?];
        while self.takes("AND") {
            parts.push(self.condition(depth)?);
        }
        Ok(joined(parts, Filter::All))
    }

    fn condition(&mut self, depth: usize) -> Result<Filter, FilterError> {
        let mut parts = vec![self.term(depth)?];
        while self.takes("OR") {
            parts.push(self.term(depth)?);
        }
        Ok(joined(parts, Filter::Any))
    }

    fn term(&mut self, depth: usize) -> Result<Filter, FilterError> {
        if self.takes("NOT") {
            return Ok(Filter::Not(Box::new(self.simple(depth, None)?)));
        }
        // The hyphen stands right before what it turns round: `-area = COURSE`, `-(…)`.
        if let Some(Placed { token: Token::Word(word), .. }) = self.tokens.first()
            && let Some(name) = word.strip_prefix('-')
        {
            let name = if name.is_empty() {
                self.tokens = &self.tokens[1..];
                None
            } else {
                Some(name)
            };
            return Ok(Filter::Not(Box::new(self.simple(depth, name)?)));
        }
        self.simple(depth, None)
    }

    /// A comparison, or a filter in parentheses. `name`: the field's name, where it is not the whole of the next word.
    fn simple(&mut self, depth: usize, name: Option<&'t str>) -> Result<Filter, FilterError> {
        let Some((first, rest)) = self.tokens.split_first() else {
            return Err(error(self.end, "a comparison is missing".into()));
        };
        match &first.token {
            Token::Open => {
                if depth == MAX_DEPTH {
                    let message = format!("more than {MAX_DEPTH} parentheses within each other");
                    return Err(error(first.position, message));
                }
                self.tokens = rest;
                let inner = self.filter(depth + 1)?;
                match self.tokens.split_first() {
                    Some((Placed { token: Token::Close, .. }, rest)) => self.tokens = rest,
                    Some((next, _)) => {
                        return Err(error(next.position, "AND, OR or ) is expected".into()));
                    }
                    None => return Err(error(first.position, "the parenthesis is not closed".into())),
                }
                Ok(inner)
            }
            Token::Word(word) if !matches!(word.as_str(), "AND" | "OR" | "NOT") => {
                self.tokens = rest;
                self.comparison(name.unwrap_or(word), first.position).map(Filter::Compare)
            }
            _ => Err(error(first.position, "a field or ( is expected".into())),
        }
    }

    fn comparison(&mut self, name: &str, position: usize) -> Result<Comparison, FilterError> {
        let short: String = name.chars().take(64).collect();
        let wrong = |position, message| FilterError { position, field: Some(short.clone()), message };
        self.comparisons += 1;
        if self.comparisons > MAX_COMPARISONS {
            return Err(wrong(position, format!("a filter has at most {MAX_COMPARISONS} comparisons")));
        }
        let Some(field) = Field::ALL.iter().copied().find(|field| field.as_str() == name) else {
            let known: Vec<_> = Field::ALL.iter().map(|field| field.as_str()).collect();
            let message = format!("{} is no field; there are {}", quoted(name), known.join(", "));
            return Err(wrong(position, message));
        };
        let end = self.end;
        let mut next = || {
            let (first, rest) = self.tokens.split_first()?;
            self.tokens = rest;
            Some(first)
        };
        let operator = match next() {
            Some(Placed { token: Token::Operator(operator), position }) => {
                if !field.kind().operators().contains(operator) {
                    let takes: Vec<_> = field.kind().operators().iter().map(|one| one.as_str()).collect();
                    let message = format!("{name} takes {}, not {}", takes.join(" "), operator.as_str());
                    return Err(wrong(*position, message));
                }
                *operator
            }
            other => {
                let at = other.map_or(end, |other| other.position);
                return Err(wrong(at, format!("an operator is missing after {name}")));
            }
        };
        let (text, bare, at) = match next() {
            Some(Placed { token: Token::Word(text), position }) => (text, true, *position),
            Some(Placed { token: Token::Quoted(text), position }) => (text, false, *position),
            other => {
                let at = other.map_or(end, |other| other.position);
                return Err(wrong(at, format!("a value is missing after {name} {}", operator.as_str())));
            }
        };
        let value: Value = field.kind().value(operator, text, bare).map_err(|message| wrong(at, message))?;
        Ok(Comparison { field, operator, value })
    }

    /// Whether the next token is that word; then it is taken.
    fn takes(&mut self, word: &str) -> bool {
        let next = self.tokens.split_first();
        match next {
            Some((Placed { token: Token::Word(found), .. }, rest)) if found == word => {
                self.tokens = rest;
                true
            }
            _ => false,
        }
    }
}

fn joined(mut parts: Vec<Filter>, join: fn(Vec<Filter>) -> Filter) -> Filter {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        last => {
            parts.extend(last);
            join(parts)
        }
    }
}
