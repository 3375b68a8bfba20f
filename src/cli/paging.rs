//! Whole lists from calls that answer page by page.

use tonic::Status;

/// Entries asked for in one call: the most that the server gives.
pub const PAGE: i32 = 1000;

/// All entries. `page` gets a token, empty for the first page, and answers with entries and the next token.
pub async fn all<T>(
    mut page: impl AsyncFnMut(String) -> Result<(Vec<T>, String), Status>,
) -> Result<Vec<T>, Status> {
    let mut entries = Vec::new();
    let mut token = String::new();
    loop {
        let (more, next) = page(token.clone()).await?;
        entries.extend(more);
        if next.is_empty() {
            return Ok(entries);
        }
        if next == token {
            return Err(Status::internal("the server answers with the same page again"));
        }
        token = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pages_are_joined_until_there_is_no_token() -> Result<(), Status> {
        let entries = all(async |token| {
            Ok(match token.as_str() {
                "" => (vec![1, 2], "b".to_owned()),
                "b" => (vec![], "c".to_owned()),
                _ => (vec![3], String::new()),
            })
        })
        .await?;
        assert_eq!(entries, [1, 2, 3]);
        Ok(())
    }

    #[tokio::test]
    async fn a_server_that_repeats_itself_is_an_error() {
        assert!(all(async |_| Ok((vec![1], "a".to_owned()))).await.is_err());
    }
}
