//! Pages: sizes, and tokens that hold where a page ended and for which list.

use prost::Message;

use super::bounded::ANSWER_BYTES;
use crate::digest::Digest;
use crate::engine::Error;
use crate::reason::Reason;

const DEFAULT_PAGE: u32 = 50;
const MAX_PAGE: u32 = 1000;

/// Where a page begins, and how many rows it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The last key of the page before.
    pub after: Option<String>,
    /// Rows wanted.
    pub size: u32,
    list: [u8; 8],
}

impl Page {
    /// Checks size and token. `list` stands for everything else that the caller asked for: a token is good for the
    /// same list only.
    pub fn parse(size: i32, token: &str, list: &[&str]) -> Result<Self, Error> {
        let size = u32::try_from(size).map_err(|_| Error::field("page_size", "must not be negative"))?;
        let size = if size == 0 { DEFAULT_PAGE } else { size.min(MAX_PAGE) };
        let list = fingerprint(list);
        if token.is_empty() {
            return Ok(Self { after: None, size, list });
        }
        let invalid = || Error::new(Reason::PageTokenInvalid, "page_token is not of this list");
        let bytes = from_hex(token).ok_or_else(invalid)?;
        let (prefix, key) = bytes.split_at_checked(8).ok_or_else(invalid)?;
        if prefix != list {
            return Err(invalid());
        }
        let after = String::from_utf8(key.to_vec()).map_err(|_| invalid())?;
        Ok(Self { after: Some(after), size, list })
    }

    /// The rows of this page as messages, and the token of the next page if there is one. `rows` are what
    /// [`Self::fetch`] asked for, so the one row too many tells that; and so does a row that no client would take.
    pub fn fill<T, M: Message>(
        &self,
        rows: &[T],
        key: impl Fn(&T) -> String,
        message: impl Fn(&T) -> M,
    ) -> (Vec<M>, String) {
        let mut page = Vec::new();
        let mut bytes = 0;
        for row in rows {
            let next = message(row);
            bytes += next.encoded_len();
            if page.len() == self.size as usize || (bytes > ANSWER_BYTES && !page.is_empty()) {
                let last = rows.get(page.len() - 1).map(key).unwrap_or_default();
                return (page, self.token(&last));
            }
            page.push(next);
        }
        (page, String::new())
    }

    /// The token of the page behind this key.
    pub fn token(&self, last: &str) -> String {
        self.list.iter().chain(last.as_bytes()).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Rows to fetch: one more than wanted.
    pub fn fetch(&self) -> u32 {
        self.size + 1
    }
}

fn fingerprint(list: &[&str]) -> [u8; 8] {
    let digest = Digest::of(list.join("\n").as_bytes());
    std::array::from_fn(|index| digest.0[index])
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_to_the_next_page_of_the_same_list_only() -> Result<(), Error> {
        let page = Page::parse(2, "", &["archives", "sites/main"])?;
        let (rows, token) = fill(&page, &["a", "b", "c"]);
        assert_eq!(rows, ["a", "b"]);
        assert_eq!(Page::parse(2, &token, &["archives", "sites/main"])?.after.as_deref(), Some("b"));
        for (token, list) in
            [(token.as_str(), "sites/other"), (&token[1..], "sites/main"), ("zz", "sites/main")]
        {
            let refused = Page::parse(2, token, &["archives", list]).err().map(|e| e.reason);
            assert_eq!(refused, Some(Reason::PageTokenInvalid), "{token}");
        }
        Ok(())
    }

    #[test]
    fn sizes_are_bounded() -> Result<(), Error> {
        assert_eq!(Page::parse(0, "", &[])?.size, 50);
        assert_eq!(Page::parse(1000, "", &[])?.size, 1000);
        assert_eq!(Page::parse(1001, "", &[])?.size, 1000);
        assert!(Page::parse(-1, "", &[]).is_err());
        assert_eq!(fill(&Page::parse(2, "", &[])?, &["a", "b"]).1, "");
        Ok(())
    }

    #[test]
    fn a_page_ends_before_it_is_too_large_to_be_taken() -> Result<(), Error> {
        let long = "x".repeat(ANSWER_BYTES / 2);
        let rows = ["a", &long, &long, "b"];
        let page = Page::parse(10, "", &[])?;
        let (first, token) = fill(&page, &rows);
        assert_eq!(first, rows[..2]);
        assert_eq!(Page::parse(10, &token, &[])?.after.as_deref(), Some(rows[1]));
        // A row that is too long by itself is a page of its own: nothing could ever come behind it otherwise.
        let longer = "x".repeat(ANSWER_BYTES + 1);
        let (alone, token) = fill(&page, &[&longer, "b"]);
        assert!(alone == [longer] && !token.is_empty());
        Ok(())
    }

    fn fill(page: &Page, rows: &[&str]) -> (Vec<String>, String) {
        page.fill(rows, |row| (*row).to_owned(), |row| (*row).to_owned())
    }
}
