//! Traces: the spans that an OpenTelemetry collector gets, where one is configured.
//!
//! Owns the process-wide provider of spans. Promises that nothing is built, formatted or stored where no collector is
//! configured; that a collector which is slow or away costs spans and nothing else, since the queue before it is
//! bounded and its thread is its own; and that a span carries ids, routes and outcomes alone: no path, query, name,
//! number, token or address of a callback. The log does not know of any of this: its spans are `tracing`'s, these are
//! not.

mod parent;
mod sampling;

use std::{sync::OnceLock, time::Duration};

use futures_util::future::Either;
use opentelemetry::{
    Context, Key, KeyValue, Value,
    context::FutureExt as _,
    trace::{Link, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt as _, Tracer as _, TracerProvider as _},
};
use opentelemetry_http::HttpClient;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider},
};
use secrecy::SecretString;

pub(crate) use self::parent::Caller;
use self::sampling::Linked;
use super::VERSION;

/// How long one delivery to the collector may take, its repeats included.
pub const DELIVERY_LIMIT: Duration = Duration::from_secs(5);
/// How long a process that stops waits for the last spans to be taken.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);
/// Spans that wait for the collector; those beyond are lost. Some megabytes at most.
const QUEUE: usize = 2048;
/// Spans of one delivery.
const BATCH: usize = 512;
/// How long a span waits for others to travel with.
const PAUSE: Duration = Duration::from_secs(1);

/// Where spans go, and how many of them.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The collector's URL, with the path that takes spans.
    pub endpoint: String,
    /// What is sent with each delivery to a collector that is ours, such as what proves us to it. `None`: it is the
    /// platform's, and the exporter takes the headers from the platform's variables.
    pub headers: Option<Vec<(String, SecretString)>>,
    /// The share of traces that are told, of those that nobody else has decided about: 0 to 1.
    pub sample_ratio: f64,
}

struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

static TRACES: OnceLock<Traces> = OnceLock::new();

/// From here on spans are made, and delivered through `client`; the first call in a process wins.
pub fn begin(settings: &Settings, client: impl HttpClient + 'static) -> Result<(), String> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(&settings.endpoint)
        .with_timeout(DELIVERY_LIMIT)
        .build()
        .map_err(|error| error.to_string())?;
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE)
        .with_max_export_batch_size(BATCH)
        .with_scheduled_delay(PAUSE)
        .build();
    let provider = SdkTracerProvider::builder()
        .with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(batches).build())
        .with_sampler(Linked::new(settings.sample_ratio))
        .with_resource(resource())
        .build();
    let tracer = provider.tracer(VERSION.name);
    let _first = TRACES.set(Traces { provider, tracer });
    Ok(())
}

/// What the spans are of. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`, which the SDK reads, have the last word.
fn resource() -> Resource {
    let detected = Resource::builder().build();
    let name = detected.get(&Key::from_static_str("service.name"));
    let is_named = name.is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    let known = [("service.name", VERSION.name), ("service.version", VERSION.version)].into_iter();
    let missing = known.filter(|(key, _)| match *key {
        "service.name" => !is_named,
        key => detected.get(&Key::from_static_str(key)).is_none(),
    });
    Resource::builder().with_attributes(missing.map(|(key, value)| KeyValue::new(key, value))).build()
}

/// How long [`end`] takes at most.
pub fn end_limit() -> Duration {
    if TRACES.get().is_some() { FLUSH_LIMIT } else { Duration::ZERO }
}

/// Delivers the spans that wait, and makes no more. Blocks.
pub fn end() {
    if let Some(traces) = TRACES.get()
        && traces.provider.shutdown_with_timeout(FLUSH_LIMIT).is_err()
    {
        tracing::warn!("the last spans did not reach the collector");
    }
}

/// A span under way, or nothing where no spans are made. Clones are the same span; it ends by itself with the last.
#[derive(Clone, Default)]
pub(crate) struct Span(Option<Context>);

impl Span {
    /// The span that the present task works for.
    pub(crate) fn current() -> Self {
        let current = || Context::map_current(|context| context.has_active_span().then(|| context.clone()));
        Self(TRACES.get().and_then(|_| current()))
    }

    /// Whatever `future` does belongs to this span.
    pub(crate) fn within<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        match &self.0 {
            Some(context) => Either::Left(future.with_context(context.clone())),
            None => Either::Right(future),
        }
    }

    /// Adds what is known of it; `attributes` is asked only where it is told.
    pub(crate) fn describe<const N: usize>(&self, attributes: impl FnOnce() -> [(&'static str, Option<Value>); N]) {
        let Some(context) = &self.0 else { return };
        let span = context.span();
        if span.is_recording() {
            let known = attributes().into_iter().filter_map(|(name, value)| Some(KeyValue::new(name, value?)));
            span.set_attributes(known);
        }
    }

    /// It went wrong: `kind` is one of few words.
    pub(crate) fn fail(&self, kind: impl FnOnce() -> Value) {
        let Some(context) = &self.0 else { return };
        let span = context.span();
        if span.is_recording() {
            span.set_attribute(KeyValue::new("error.type", kind()));
            span.set_status(Status::error(""));
        }
    }

    /// A step has ended like this, in one of few words.
    pub(crate) fn came_to(&self, outcome: &'static str) {
        self.describe(|| [("alc_connector.outcome", Some(outcome.into()))]);
        if matches!(outcome, "failed" | "store_error") {
            self.fail(|| outcome.into());
        }
        self.end();
    }

    /// It is over, whatever else still belongs to it.
    pub(crate) fn end(&self) {
        if let Some(context) = &self.0 {
            context.span().end();
        }
    }

    /// What tells an upstream of it: W3C `traceparent`. Nothing else is told to strangers, no `tracestate` and no
    /// baggage.
    pub(crate) fn traceparent(&self) -> Option<String> {
        self.0.as_ref().and_then(|context| parent::written(context.span().span_context()))
    }
}

/// Begins a span in that of the present task, if that has one.
fn start(traces: &Traces, span: impl FnOnce() -> SpanBuilder) -> Span {
    let parent = Context::current();
    let span = traces.tracer.build_with_context(span(), &parent);
    Span(Some(parent.with_span(span)))
}

/// Whether spans are made.
pub(crate) fn are_told() -> bool {
    TRACES.get().is_some()
}

/// A request to one of our routes, which stands by its pattern; `None`: to none of them. `caller`: what a caller says
/// whose word on traces counts.
pub(crate) fn request(method: &'static str, route: Option<&str>, caller: Option<&Caller<'_>>) -> Span {
    let Some(traces) = TRACES.get() else { return Span(None) };
    let parent = match caller.and_then(parent::of_caller) {
        Some(parent) => Context::new().with_remote_span_context(parent),
        None => Context::new(),
    };
    let builder = match route {
        Some(route) => SpanBuilder::from_name(format!("{method} {route}")),
        None => SpanBuilder::from_name(method),
    };
    let span = traces.tracer.build_with_context(builder.with_kind(SpanKind::Server), &parent);
    let span = Span(Some(Context::new().with_span(span)));
    span.describe(|| {
        [("http.request.method", Some(method.into())), ("http.route", route.map(|route| route.to_owned().into()))]
    });
    span
}

/// A call to an upstream. `address`: its host and port, where they are no secret.
pub(crate) fn call(
    upstream: &'static str,
    operation: &'static str,
    method: &str,
    address: Option<(&str, Option<u16>)>,
) -> Span {
    let Some(traces) = TRACES.get() else { return Span(None) };
    let span = start(traces, || SpanBuilder::from_name(format!("{method} {operation}")).with_kind(SpanKind::Client));
    span.describe(|| {
        [
            ("http.request.method", Some(method.to_owned().into())),
            ("server.address", address.map(|(host, _)| host.to_owned().into())),
            ("server.port", address.and_then(|(_, port)| port).map(|port| i64::from(port).into())),
            ("alc_connector.upstream", Some(upstream.into())),
            ("alc_connector.operation", Some(operation.into())),
        ]
    });
    span
}

/// A worker's step. One that is not part of the trace of the `send` that it is taken for is linked to it.
pub(crate) fn step(kind: &'static str, step: &'static str, send: Option<&str>) -> Span {
    let Some(traces) = TRACES.get() else { return Span(None) };
    let span = start(traces, || {
        let links: Vec<_> = send.and_then(elsewhere).map(Link::with_context).into_iter().collect();
        SpanBuilder::from_name(format!("{kind} {step}")).with_kind(SpanKind::Internal).with_links(links)
    });
    span.describe(|| [("alc_connector.kind", Some(kind.into())), ("alc_connector.step", Some(step.into()))]);
    span
}

/// Links what the present task works for to the send that it turned out to be about.
pub(crate) fn link(send: Option<&str>) {
    if are_told()
        && let Some(send) = send.and_then(elsewhere)
    {
        Context::map_current(|context| context.span().add_link(send, Vec::new()));
    }
}

/// The trace that is written down as `send`, unless it is the present one.
fn elsewhere(send: &str) -> Option<SpanContext> {
    let send = parent::of_text(send)?;
    let is_here = Context::map_current(|context| context.span().span_context().trace_id() == send.trace_id());
    (!is_here).then_some(send)
}

/// What to keep of the present trace for links to it: where it is told, and only then.
pub(crate) fn to_keep() -> Option<String> {
    TRACES.get()?;
    Context::map_current(|context| {
        let span = context.span();
        let span = span.span_context();
        if span.is_sampled() { parent::written(span) } else { None }
    })
}

/// Adds an id to the span that the present task works for.
pub(crate) fn tell<T: std::fmt::Display>(name: &'static str, id: T) {
    if are_told() {
        Context::map_current(|context| {
            let span = context.span();
            if span.is_recording() {
                span.set_attribute(KeyValue::new(name, id.to_string()));
            }
        });
    }
}
