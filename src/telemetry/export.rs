//! Spans to a collector by OTLP. Built with the feature `otlp` only; without it the same functions do nothing.

#[cfg(feature = "otlp")]
mod otlp {
    use std::sync::OnceLock;

    use opentelemetry::trace::{
        SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider,
    };
    use opentelemetry::{Context, KeyValue};
    use opentelemetry_otlp::{SpanExporter, WithExportConfig};
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing::{Span, Subscriber};
    use tracing_opentelemetry::OpenTelemetrySpanExt;
    use tracing_subscriber::Layer;
    use tracing_subscriber::registry::LookupSpan;

    use crate::telemetry::StartError;
    use crate::trace::TraceContext;

    static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

    /// What sends spans to `endpoint`. Within a runtime only.
    pub fn layer<S: Subscriber + Send + Sync + for<'span> LookupSpan<'span>>(
        endpoint: &str,
    ) -> Result<Box<dyn Layer<S> + Send + Sync>, StartError> {
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .build()
            .map_err(|error| StartError::Export(error.to_string()))?;
        let resource = Resource::builder()
            .with_service_name("coursevault")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        let tracer = PROVIDER.get_or_init(|| provider).tracer("coursevault");
        Ok(tracing_opentelemetry::layer().with_tracer(tracer).boxed())
    }

    /// Makes a span a step of its caller's trace, and tells which step, if it is exported.
    pub fn follow(span: &Span, parent: Option<TraceContext>) -> Option<TraceContext> {
        if let Some(parent) = parent {
            // It fails when nobody listens to the span, which then needs no parent.
            drop(span.set_parent(remote(parent)));
        }
        let context = span.context();
        let own = context.span().span_context().clone();
        let sampled = own.trace_flags().is_sampled();
        own.is_valid().then(|| TraceContext {
            trace: u128::from_be_bytes(own.trace_id().to_bytes()),
            span: u64::from_be_bytes(own.span_id().to_bytes()),
            sampled,
        })
    }

    fn remote(parent: TraceContext) -> Context {
        let remote = SpanContext::new(
            TraceId::from(parent.trace),
            SpanId::from(parent.span),
            // What follows from a call is exported if the call is.
            TraceFlags::default().with_sampled(parent.sampled),
            true,
            TraceState::NONE,
        );
        Context::new().with_remote_span_context(remote)
    }

    /// Sends what is left.
    pub fn stop() {
        if let Some(provider) = PROVIDER.get()
            && let Err(error) = provider.shutdown()
        {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

#[cfg(not(feature = "otlp"))]
mod otlp {
    use tracing::{Span, Subscriber};
    use tracing_subscriber::Layer;
    use tracing_subscriber::registry::LookupSpan;

    use crate::telemetry::StartError;
    use crate::trace::TraceContext;

    /// Spans are not exported by this build.
    pub fn layer<S: Subscriber + Send + Sync + for<'span> LookupSpan<'span>>(
        _endpoint: &str,
    ) -> Result<Box<dyn Layer<S> + Send + Sync>, StartError> {
        Err(StartError::Export("this build exports no spans; build it with the feature `otlp`".to_owned()))
    }

    /// No span is exported.
    pub fn follow(_span: &Span, _parent: Option<TraceContext>) -> Option<TraceContext> {
        None
    }

    /// Sends what is left.
    pub fn stop() {}
}

pub use otlp::{follow, layer, stop};
