//! Who calls, and how a repeated call is recognised.

use super::Engine;
use super::error::Error;
use crate::catalog::{RequestRow, Tx};
use crate::digest::Digest;
use crate::principal::Principal;
use crate::reason::Reason;

/// A call that changes something.
#[derive(Clone, Debug)]
pub struct Call {
    /// Who calls.
    pub principal: Principal,
    /// The caller's own id for this call, if it gave one.
    pub request: Option<RequestKey>,
}

/// The caller's id for a call. Together with principal and method it stands for one effect, whatever happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestKey {
    /// Name of the RPC.
    pub method: &'static str,
    /// The UUID that the caller chose.
    pub id: String,
    /// Digest of the request.
    pub body: Digest,
}

impl Call {
    /// A call by somebody, without a request id.
    pub fn by(principal: Principal) -> Self {
        Self { principal, request: None }
    }

    /// Writes the call down, in the transaction of its effect.
    pub async fn record(&self, tx: &mut Tx, resource: &str, engine: &Engine) -> Result<(), Error> {
        let Some(key) = &self.request else { return Ok(()) };
        tx.insert_request(&RequestRow {
            principal: self.principal.name.clone(),
            method: key.method.to_owned(),
            request_id: key.id.clone(),
            body_hash: key.body.to_string(),
            resource: resource.to_owned(),
            create_time: engine.now(),
        })
        .await?;
        Ok(())
    }
}

impl Engine {
    /// Does what a call asks for. When that fails because the same call came a second time at the same moment and was
    /// faster, the other's effect is the answer: `act` finds it when it runs again.
    pub async fn once<T, F>(&self, call: &Call, act: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        match act().await {
            Err(error) if call.request.is_some() => match self.replayed(call).await {
                Ok(Some(_)) => act().await,
                _ => Err(error),
            },
            done => done,
        }
    }

    /// The resource that an earlier call with the same request id made or changed.
    /// [`Reason::RequestIdReused`] when that call asked for something else.
    pub async fn replayed(&self, call: &Call) -> Result<Option<String>, Error> {
        let Some(key) = &call.request else { return Ok(None) };
        let row = self.catalog.find_request(&call.principal.name, key.method, &key.id).await?;
        match row {
            None => Ok(None),
            Some(row) if row.body_hash == key.body.to_string() => Ok(Some(row.resource)),
            Some(_) => Err(Error::new(
                Reason::RequestIdReused,
                format!("request_id {} was used for a different request", key.id),
            )
            .with("requestId", &key.id)),
        }
    }
}
