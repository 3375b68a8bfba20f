//! Pages: sizes, and tokens that hold where a page ended and for which list.

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

    /// Cuts the one row too many that tells whether there is a next page, and makes that page's token.
    pub fn cut<T>(&self, rows: &mut Vec<T>, key: impl Fn(&T) -> String) -> String {
        if rows.len() <= self.size as usize {
            return String::new();
        }
        rows.truncate(self.size as usize);
        let last = rows.last().map(key).unwrap_or_default();
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
        let mut rows = vec!["a", "b", "c"];
        let token = page.cut(&mut rows, |row| (*row).to_owned());
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
        assert_eq!(Page::parse(2, "", &[])?.cut(&mut vec![1, 2], ToString::to_string), "");
        Ok(())
    }
}
