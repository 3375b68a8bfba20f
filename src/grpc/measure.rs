//! Every call counted, timed, and followed: a span with the caller's trace (W3C `traceparent`), or with one of its own.

use std::collections::HashSet;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use prost::Message as _;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::Instrument as _;

use crate::engine::trace;
use crate::metric;

/// Measures all calls of the services behind it.
#[derive(Clone)]
pub struct MeasureLayer(Arc<HashSet<String>>);

impl MeasureLayer {
    /// Knows the methods of our protos, of health and of reflection; whatever else is called is `unknown`, for a caller must not
    /// be able to make time series.
    pub fn new() -> Result<Self, prost::DecodeError> {
        let sets = [
            crate::proto::DESCRIPTOR_SET,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ];
        let mut methods = HashSet::new();
        for set in sets {
            for file in prost_types::FileDescriptorSet::decode(set)?.file {
                for service in &file.service {
                    for method in &service.method {
                        methods.insert(format!("{}.{}/{}", file.package(), service.name(), method.name()));
                    }
                }
            }
        }
        Ok(Self(Arc::new(methods)))
    }
}

impl<S> Layer<S> for MeasureLayer {
    type Service = Measure<S>;

    fn layer(&self, inner: S) -> Measure<S> {
        Measure { methods: Arc::clone(&self.0), inner }
    }
}

/// See [`MeasureLayer`].
#[derive(Clone)]
pub struct Measure<S> {
    methods: Arc<HashSet<String>>,
    inner: S,
}

impl<S> Service<http::Request<Body>> for Measure<S>
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
        let path = request.uri().path().trim_start_matches('/');
        let method = self.methods.get(path).map_or("unknown", String::as_str).to_owned();
        let parent = request.headers().get("traceparent");
        let parent = parent.and_then(|header| header.to_str().ok()?.parse().ok());
        let span = tracing::info_span!("call", method, trace_id = tracing::field::Empty);
        let context = crate::telemetry::follow(&span, parent).unwrap_or_else(|| trace::next(parent));
        span.record("trace_id", context.trace_id());
        let call = Open::begin(method);
        let answer = trace::within(context, self.inner.call(request));
        Box::pin(
            async move {
                let answer = answer.await?;
                let (head, body) = answer.into_parts();
                let mut call = call;
                // A refusal has its status in the head, and no body.
                call.see(&head.headers);
                Ok(http::Response::from_parts(head, Body::new(Measured { body, call })))
            }
            .instrument(span),
        )
    }
}

/// A call that has not ended. Its end is recorded when it goes, however that comes.
struct Open {
    method: String,
    begin: Instant,
    code: Option<Code>,
}

impl Open {
    fn begin(method: String) -> Self {
        metrics::gauge!(metric::RPCS_OPEN).increment(1.0);
        Self { method, begin: Instant::now(), code: None }
    }

    fn see(&mut self, headers: &HeaderMap) {
        if let Some(status) = Status::from_header_map(headers) {
            self.code = Some(status.code());
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        metrics::gauge!(metric::RPCS_OPEN).decrement(1.0);
        // The caller went away before there was a status.
        let code = self.code.unwrap_or(Code::Cancelled);
        let seconds = self.begin.elapsed().as_secs_f64();
        let method = std::mem::take(&mut self.method);
        metrics::histogram!(metric::RPC_SECONDS, "method" => method.clone()).record(seconds);
        metrics::counter!(metric::RPCS, "method" => method, "code" => name(code)).increment(1);
    }
}

/// The code as the standard writes it.
fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// An answer's body that looks for the status at its end.
struct Measured {
    body: Body,
    call: Open,
}

impl http_body::Body for Measured {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(trailers) = frame.trailers_ref()
        {
            self.call.see(trailers);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
