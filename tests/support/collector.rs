//! A small OpenTelemetry collector: takes spans as OTLP over HTTP has them, and keeps all that it was sent.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, dev::ServerHandle, web};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse},
    common::v1::{KeyValue, any_value::Value},
};
use prost::Message as _;

use super::ambient::spawn;

/// Takes spans until dropped.
pub struct Collector {
    url: String,
    kept: Arc<Kept>,
    server: ServerHandle,
}

#[derive(Default)]
struct Kept(Mutex<Vec<Delivery>>, AtomicBool);

struct Delivery {
    authorization: String,
    body: Vec<u8>,
}

impl Kept {
    fn deliveries(&self) -> MutexGuard<'_, Vec<Delivery>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A span as it arrived.
#[derive(Debug, Clone)]
pub struct Span {
    /// Its name.
    pub name: String,
    /// 1 internal, 2 server, 3 client.
    pub kind: i32,
    /// Its trace, as `traceparent` writes it.
    pub trace: String,
    /// Its id, written so too.
    pub id: String,
    /// Its parent's id; empty: none.
    pub parent: String,
    /// The `tracestate` that it has.
    pub state: String,
    /// The traces and spans that it is linked to.
    pub links: Vec<(String, String)>,
    /// Its attributes, as text.
    pub attributes: BTreeMap<String, String>,
    /// Whether it says that something went wrong.
    pub failed: bool,
}

impl Collector {
    /// Starts one on a free port.
    pub fn start() -> Self {
        Self::start_on(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// Starts one there.
    pub fn start_on(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).expect("a free address");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let kept = Arc::<Kept>::default();
        let of_server = Arc::clone(&kept);
        let server = HttpServer::new(move || {
            let kept = web::Data::from(Arc::clone(&of_server));
            App::new().app_data(kept).route("/v1/traces", web::post().to(take))
        });
        let server = server.workers(1).disable_signals().listen(listener).expect("it listens").run();
        let handle = server.handle();
        drop(spawn(server));
        Self { url, kept, server: handle }
    }

    /// From now on it answers each delivery with 200, and that it has thrown a span of it away.
    pub fn reject(&self) {
        self.kept.1.store(true, Ordering::Relaxed);
    }

    /// Where it is.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Everything that it was sent, as it came.
    pub fn raw(&self) -> Vec<u8> {
        self.kept.deliveries().iter().flat_map(|delivery| delivery.body.clone()).collect()
    }

    /// What each delivery proved itself by.
    pub fn authorizations(&self) -> Vec<String> {
        self.kept.deliveries().iter().map(|delivery| delivery.authorization.clone()).collect()
    }

    /// What the spans say that they are of.
    pub fn resource(&self) -> BTreeMap<String, String> {
        let resources = self.requests().into_iter().flat_map(|request| request.resource_spans);
        resources.filter_map(|spans| spans.resource).flat_map(|resource| texts(resource.attributes)).collect()
    }

    /// All spans so far.
    pub fn spans(&self) -> Vec<Span> {
        let resources = self.requests().into_iter().flat_map(|request| request.resource_spans);
        let scopes = resources.flat_map(|spans| spans.scope_spans);
        let spans = scopes.flat_map(|scope| scope.spans);
        let read = spans.map(|span| {
            assert!(span.events.is_empty(), "{}: log lines are no part of a trace", span.name);
            Span {
                name: span.name,
                kind: span.kind,
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                state: span.trace_state,
                links: span.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect(),
                attributes: texts(span.attributes).collect(),
                failed: span.status.is_some_and(|status| status.code == 2),
            }
        });
        read.collect()
    }

    fn requests(&self) -> Vec<ExportTraceServiceRequest> {
        let read = |delivery: &Delivery| ExportTraceServiceRequest::decode(&*delivery.body).expect("OTLP");
        self.kept.deliveries().iter().map(read).collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        drop(spawn(self.server.stop(false)));
    }
}

async fn take(kept: web::Data<Kept>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    let header =
        |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    assert_eq!(header("content-type"), "application/x-protobuf");
    kept.deliveries().push(Delivery { authorization: header("authorization"), body: body.to_vec() });
    let error_message = "one is too old".to_owned();
    let partial_success = Some(ExportTracePartialSuccess { rejected_spans: 1, error_message });
    let rejects = kept.1.load(Ordering::Relaxed);
    let answer = ExportTraceServiceResponse { partial_success: partial_success.filter(|_| rejects) };
    HttpResponse::Ok().content_type("application/x-protobuf").body(answer.encode_to_vec())
}

fn texts(attributes: Vec<KeyValue>) -> impl Iterator<Item = (String, String)> {
    attributes.into_iter().map(|attribute| {
        let text = match attribute.value.and_then(|value| value.value) {
            Some(Value::StringValue(text)) => text,
            Some(Value::IntValue(number)) => number.to_string(),
            other => panic!("{}: {other:?}", attribute.key),
        };
        (attribute.key, text)
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
