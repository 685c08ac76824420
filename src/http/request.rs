//! Around every request: its id, its log line, its metrics, and the last line of defence for errors.
//!
//! Promises that every answer has an `x-request-id`, also of errors and panics; that problems carry the same id; and
//! that logs and metrics name the route's pattern, never the path, the query or a header: secrets travel in those. All
//! that is logged on behalf of a request stands in the span `request`, which has its id and, once they are known, the
//! workspace, the connection and the record: an id is nobody's secret.

use std::{panic::AssertUnwindSafe, rc::Rc, time::Instant};

use actix_web::{
    Error, HttpResponse, ResponseError as _,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    error::InternalError,
    http::{
        ConnectionType, Method, StatusCode,
        header::{CONTENT_TYPE, HeaderMap, HeaderValue},
    },
    middleware::Next,
    web::Data,
};
use futures_util::FutureExt as _;
use tracing::{Instrument as _, field::Empty};

use super::{
    bearer,
    problem::{Problem, Slug},
    request_id,
};
use crate::{
    lifecycle::Lifecycle,
    store::Store,
    telemetry::{self, traces},
};

/// What stands for the route of a request to a path that does not exist.
const NO_ROUTE: &str = "none";
/// As others number it who have to: no status was sent.
const HUNG_UP: u16 = 499;

/// The middleware. The outermost one: what it does not see has no id.
pub async fn track<B>(request: ServiceRequest, next: Next<B>) -> Result<ServiceResponse<BoxBody>, Error>
where
    B: MessageBody + 'static,
{
    let id = request_id::of(request.headers());
    let of_task = Rc::clone(&id);
    // Of the highest level, so that no level takes the id from the lines that are let through. A filter that names only
    // modules has to name this one.
    let span =
        tracing::error_span!("request", request_id = &*id, workspace = Empty, connection = Empty, record = Empty);
    let mut visit = Visit::begin(&request);
    let store = request.app_data::<Data<Store>>().filter(|_| waits_for_the_store(&visit.route));
    let waiting = store.map(|store| store.pressure().request());
    let trace = visit.trace.clone();
    trace.describe(|| [("alc_connector.request_id", Some(id.to_string().into()))]);
    let visit = async move {
        let lifecycle = request.app_data::<Data<Lifecycle>>().cloned();
        let answer = AssertUnwindSafe(next.call(request)).catch_unwind().await;
        // A proxy must not keep this connection for a request that would meet its end.
        let closes = lifecycle.is_some_and(|lifecycle| lifecycle.is_leaving());
        let (result, status) = match answer {
            Ok(Ok(response)) => {
                let mut response = with_problem(response.map_into_boxed_body());
                finish(response.response_mut(), &id, closes);
                let status = response.status();
                (Ok(response), status)
            }
            Ok(Err(error)) => failed(error.error_response(), &id, closes),
            Err(_) => {
                // Where it was is in the log already; its words may quote anything.
                tracing::error!("a handler panicked");
                let problem = Problem::new(Slug::Internal, "Report this request's id; the log has the rest.");
                failed(problem.error_response(), &id, closes)
            }
        };
        visit.end(status);
        drop(waiting);
        result
    };
    request_id::within(of_task, trace.within(visit)).instrument(span).await
}

/// The span of a request, for the collector. Probes come every few seconds, for ever, and have none. Whose traces the
/// request is part of is for Attio's app to say, and for nobody else: ALC and browsers are strangers.
fn trace_of(request: &ServiceRequest, method: &'static str, route: &str) -> traces::Span {
    if !traces::are_told() || is_probe(route) {
        return traces::Span::default();
    }
    let headers = request.headers();
    let traceparent: Vec<_> = headers.get_all("traceparent").map(|value| value.to_str().unwrap_or_default()).collect();
    let tracestate = headers.get("tracestate").and_then(|value| value.to_str().ok());
    let caller = traces::Caller { traceparent: &traceparent, tracestate };
    let method = if method == "other" { "_OTHER" } else { method };
    // A stranger would else decide what is sampled, and put words of its own into the operators' traces.
    let is_app = !traceparent.is_empty() && route.starts_with("/v1/") && bearer::is_known(request.request());
    traces::request(method, (route != NO_ROUTE).then_some(route), is_app.then_some(&caller))
}

/// Whether a caller of ours is behind it: strangers, who fetch documents or try paths, hold up no work.
fn waits_for_the_store(route: &str) -> bool {
    ["/v1/", "/webhooks/", "/operate"].iter().any(|ours| route.starts_with(ours))
}

fn is_probe(route: &str) -> bool {
    matches!(route, "/healthz" | "/readyz" | "/metrics")
}

/// What every answer has.
fn finish(response: &mut HttpResponse, id: &str, closes: bool) {
    if let Ok(id) = HeaderValue::from_str(id) {
        response.headers_mut().insert(request_id::HEADER, id);
    }
    if closes {
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
}

/// An error that came past the handlers has lost its request: it travels on as an error with its answer inside.
fn failed(response: HttpResponse, id: &str, closes: bool) -> (Result<ServiceResponse<BoxBody>, Error>, StatusCode) {
    let mut response =
        if is_problem(response.headers()) { response } else { Problem::of_status(response.status()).error_response() };
    finish(&mut response, id, closes);
    let status = response.status();
    (Err(InternalError::from_response("answered", response).into()), status)
}

/// Turns an error that actix would tell in plain text into a problem. What a handler answered by itself is left alone.
fn with_problem(response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    let plain = response.response().error().is_some()
        && response.headers().get(CONTENT_TYPE).is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if !plain {
        return response;
    }
    let problem = Problem::of_status(response.status());
    response.into_response(problem.error_response())
}

fn is_problem(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes() == b"application/problem+json")
}

/// Anybody can make up methods; a metric must not have a series for each.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// What is told of a request: when it ends, or when its caller hangs up and it is dropped.
struct Visit {
    method: &'static str,
    route: String,
    start: Instant,
    told: bool,
    trace: traces::Span,
}

impl Visit {
    #[expect(clippy::disallowed_methods, reason = "how long an answer took is for people; nothing is decided by it")]
    fn begin(request: &ServiceRequest) -> Self {
        let route = request.match_pattern().unwrap_or_else(|| NO_ROUTE.to_owned());
        let method = method_label(request.method());
        let trace = trace_of(request, method, &route);
        Self { method, route, start: Instant::now(), told: false, trace }
    }

    fn end(&mut self, status: StatusCode) {
        self.tell(status.as_u16(), "answered");
    }

    fn tell(&mut self, status: u16, what: &'static str) {
        self.told = true;
        let Self { method, route, trace, .. } = self;
        // No status was sent to a caller that has hung up.
        let sent = (status != HUNG_UP).then(|| i64::from(status).into());
        trace.describe(|| [("http.response.status_code", sent)]);
        if status == HUNG_UP || status >= 500 {
            trace.fail(|| status.to_string().into());
        }
        trace.end();
        let elapsed = self.start.elapsed();
        let duration_ms = elapsed.as_micros() as f64 / 1000.0;
        if is_probe(route) {
            tracing::debug!(method, route, status, duration_ms, "{what}");
        } else {
            tracing::info!(method, route, status, duration_ms, "{what}");
        }
        if (*method, route.as_str()) == ("POST", "/v1/leads") {
            telemetry::press(status, elapsed);
        }
        telemetry::request(method, std::mem::take(route), status, elapsed);
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if !self.told {
            self.tell(HUNG_UP, "the caller hung up");
        }
    }
}
