//! The end of calls that outlast the time a stopping server leaves them: each hears why, instead of a cut connection.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::{Stream, StreamExt, stream};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::outflow::Outflow;
use crate::engine::{Engine, Error};

/// Ends calls that have no answer yet when the server drops what is left.
#[derive(Clone)]
pub struct DrainLayer(pub Engine);

impl<S> Layer<S> for DrainLayer {
    type Service = Drain<S>;

    fn layer(&self, inner: S) -> Drain<S> {
        Drain { engine: self.0.clone(), inner }
    }
}

/// See [`DrainLayer`].
#[derive(Clone)]
pub struct Drain<S> {
    engine: Engine,
    inner: S,
}

impl<S> Service<http::Request<Body>> for Drain<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let (engine, answer) = (self.engine.clone(), self.inner.call(request));
        Box::pin(async move {
            tokio::select! {
                answer = answer => answer,
                () = engine.dropping_calls() => Ok(Status::from(Error::shutting_down()).into_http()),
            }
        })
    }
}

/// The same for an answer that is a stream.
pub fn until_dropped<M: 'static>(
    engine: &Engine,
    answers: impl Stream<Item = Result<M, Status>> + Send + 'static,
) -> Outflow<M> {
    let state = Some((Box::pin(answers), engine.clone()));
    Box::pin(stream::unfold(state, |state| async move {
        let (mut answers, engine) = state?;
        tokio::select! {
            biased;
            () = engine.dropping_calls() => Some((Err(Error::shutting_down().into()), None)),
            next = answers.next() => next.map(|next| (next, Some((answers, engine)))),
        }
    }))
}
