//! Remembered request ids: what makes a repeated call harmless.

use super::error::{CatalogError, Resource};
use super::sql::{self, Cells, Stored};
use super::{Catalog, Tx};
use crate::clock::Timestamp;

/// A call with a request id that had an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRow {
    /// Who called.
    pub principal: String,
    /// Which method.
    pub method: String,
    /// The request id.
    pub request_id: String,
    /// Digest of the request: the same id with another request is refused.
    pub body_hash: String,
    /// Name of the resource that the call made or changed; of a call that answers with something else, that answer.
    pub resource: String,
    /// When.
    pub create_time: Timestamp,
}

impl Stored for RequestRow {
    const TABLE: &'static str = "requests";
    const KEY: &'static [&'static str] = &["principal", "method", "request_id"];

    fn parse(cells: &Cells<'_>) -> Result<Self, CatalogError> {
        Ok(Self {
            principal: cells.text("principal")?,
            method: cells.text("method")?,
            request_id: cells.text("request_id")?,
            body_hash: cells.text("body_hash")?,
            resource: cells.text("resource")?,
            create_time: cells.time("create_ms")?,
        })
    }
}

fn find(principal: &str, method: &str, request_id: &str) -> sql::Bound {
    sqlx::query(
        "SELECT principal, method, request_id, body_hash, resource, create_ms
         FROM requests
         WHERE principal = $1 AND method = $2 AND request_id = $3",
    )
    .bind(principal.to_owned())
    .bind(method.to_owned())
    .bind(request_id.to_owned())
}

impl Catalog {
    /// The call of that request id, if there was one.
    pub async fn find_request(
        &self,
        principal: &str,
        method: &str,
        request_id: &str,
    ) -> Result<Option<RequestRow>, CatalogError> {
        sql::one(&mut *self.read().await?, find(principal, method, request_id)).await
    }
}

impl Tx {
    /// The call of that request id, as this transaction sees it.
    pub async fn find_request(
        &mut self,
        principal: &str,
        method: &str,
        request_id: &str,
    ) -> Result<Option<RequestRow>, CatalogError> {
        sql::one(self.conn(), find(principal, method, request_id)).await
    }

    /// Remembers a call, in the transaction of its effect. [`CatalogError::Conflict`] when a call of that id was
    /// remembered meanwhile: drop the transaction and answer with what that call made.
    pub async fn insert_request(&mut self, row: &RequestRow) -> Result<(), CatalogError> {
        let query = sqlx::query(
            "INSERT INTO requests (principal, method, request_id, body_hash, resource, create_ms)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT DO NOTHING",
        )
        .bind(row.principal.clone())
        .bind(row.method.clone())
        .bind(row.request_id.clone())
        .bind(row.body_hash.clone())
        .bind(row.resource.clone())
        .bind(row.create_time.millis());
        match sql::run(self.conn(), query).await? {
            0 => Err(CatalogError::Conflict { resource: Resource::Request, key: row.request_id.clone() }),
            _ => Ok(()),
        }
    }

    /// Forgets calls that were made before `before`, and tells how many.
    pub async fn forget_requests(&mut self, before: Timestamp) -> Result<u64, CatalogError> {
        let query = sqlx::query("DELETE FROM requests WHERE create_ms < $1").bind(before.millis());
        sql::run(self.conn(), query).await
    }
}
