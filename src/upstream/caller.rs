//! How a request goes out: one attempt, one measured outcome.
//!
//! Owns the time limit of an attempt, the cap on what is read, and the decoding of it.

use std::time::Duration;

use jiff::Timestamp;
use metrics::{Counter, Histogram};
use reqwest::{Method, Request, RequestBuilder, Response, header::HeaderValue};
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::{
    CallError, HttpClients, Repeat,
    answer::{Answer, Ending},
    decoding,
    http::Repeated,
    retry_after, words,
};
use crate::{
    clock::{SharedClock, until},
    telemetry::{Series, traces},
};

/// The most that is read of an answer, in bytes, unless the operation says otherwise.
pub const BODY_CAP: usize = 256 * 1024;

/// Counter of attempts; labels `upstream`, `operation`, `outcome` ([`CallError::outcome`] or `ok`).
const REQUESTS: &str = "alc_connector_upstream_requests_total";
/// Histogram of attempts, in seconds, connect and body included; labels as for the counter.
const DURATION: &str = "alc_connector_upstream_request_duration_seconds";

/// The upstreams that are told of our traces, and whose addresses are no secret.
const TOLD: [&str; 2] = ["alc", "attio"];

/// Calls one upstream. Clones share connections.
#[derive(Clone)]
pub struct Caller {
    http: HttpClients,
    upstream: &'static str,
    timeout: Duration,
    clock: SharedClock,
    longest_wait: Duration,
    /// By operation and outcome.
    series: Series<(&'static str, &'static str), (Counter, Histogram)>,
}

impl Caller {
    /// `http` comes from [`super::http_clients`]; `upstream` is the metrics label (`alc`, `attio`); `timeout` is for
    /// one whole attempt, from the name look-up to the last byte of the body.
    pub fn new(http: HttpClients, upstream: &'static str, timeout: Duration, clock: SharedClock) -> Self {
        Self { http, upstream, timeout, clock, longest_wait: retry_after::LONGEST, series: Series::default() }
    }

    /// The same for work that has to be done by a deadline of this length: `Retry-After` keeps it waiting for no more
    /// than a quarter of that.
    #[must_use]
    pub fn with_deadline(self, deadline: Duration) -> Self {
        Self { longest_wait: deadline / 4, ..self }
    }

    /// The time on the clock that answers are measured by.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A request to be filled in and given to [`Caller::call`].
    pub fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.http.client().request(method, url)
    }

    /// The same for a request that was built elsewhere.
    pub fn ready(&self, request: Request) -> RequestBuilder {
        RequestBuilder::from_parts(self.http.client().clone(), request)
    }

    /// One attempt with at most [`BODY_CAP`] bytes of body read. Any status is an `Ok`: [`Answer::error`] names what it
    /// means. Errors are only [`CallError::NotSent`], [`CallError::Unknown`], and [`CallError::Unreadable`] for an
    /// answer whose head cannot be read.
    ///
    /// `operation` is a metrics label: one word out of a small fixed set.
    pub async fn call(&self, operation: &'static str, request: RequestBuilder) -> Result<Answer, CallError> {
        self.call_capped(operation, request, BODY_CAP).await
    }

    /// [`Caller::call`] with another cap.
    pub async fn call_capped(
        &self,
        operation: &'static str,
        request: RequestBuilder,
        cap: usize,
    ) -> Result<Answer, CallError> {
        self.measured(operation, request, cap, None).await
    }

    /// [`Caller::call_capped`] where the operation knows better than the request what a dead connection means.
    pub async fn call_with(
        &self,
        operation: &'static str,
        request: RequestBuilder,
        cap: usize,
        repeat: Repeat<'_>,
    ) -> Result<Answer, CallError> {
        self.measured(operation, request, cap, Some(repeat)).await
    }

    async fn measured(
        &self,
        operation: &'static str,
        request: RequestBuilder,
        cap: usize,
        repeat: Option<Repeat<'_>>,
    ) -> Result<Answer, CallError> {
        let began = self.clock.now();
        let mut span = traces::Span::default();
        let result = self.attempt(operation, request, (cap, repeat), &mut span).await;
        let outcome = match &result {
            Ok(answer) => answer.outcome(),
            Err(error) => error.outcome(),
        };
        let took = until(began, self.clock.now());
        let status = result.as_ref().ok().map(|answer| answer.status.as_u16());
        tracing::debug!(upstream = self.upstream, operation, outcome, status, took = ?took, "upstream called");
        span.describe(|| [("http.response.status_code", status.map(|status| i64::from(status).into()))]);
        if outcome != "ok" {
            span.fail(|| outcome.into());
        }
        span.end();
        let (requests, duration) = self.series.of((operation, outcome), |_| {
            let labels = [("upstream", self.upstream), ("operation", operation), ("outcome", outcome)];
            (metrics::counter!(REQUESTS, &labels), metrics::histogram!(DURATION, &labels))
        });
        requests.increment(1);
        duration.record(took.as_secs_f64());
        result
    }

    /// The span of a request that goes out, which names it to an upstream that may know.
    fn told(&self, operation: &'static str, request: &mut Request) -> traces::Span {
        let is_told = TOLD.contains(&self.upstream);
        let url = request.url();
        let address = url.host_str().filter(|_| is_told).map(|host| (host, url.port_or_known_default()));
        let span = traces::call(self.upstream, operation, request.method().as_str(), address);
        let header = span.traceparent().filter(|_| is_told).and_then(|text| HeaderValue::try_from(text).ok());
        if let Some(header) = header {
            request.headers_mut().insert("traceparent", header);
        }
        span
    }

    async fn attempt(
        &self,
        operation: &'static str,
        request: RequestBuilder,
        (cap, repeat): (usize, Option<Repeat<'_>>),
        span: &mut traces::Span,
    ) -> Result<Answer, CallError> {
        let mut request = request.build().map_err(|error| CallError::NotSent { detail: words::of_error(&error) })?;
        if traces::are_told() {
            *span = self.told(operation, &mut request);
        }
        let deadline = tokio::time::sleep(self.timeout).deadline();
        let repeat = repeat.unwrap_or_else(|| Repeat::of(&request));
        let response = self.http.send(request, deadline, repeat).await?;
        let received = self.clock.now();
        let (status, headers) = (response.status(), response.headers().clone());
        let repeated = response.extensions().get::<Repeated>().is_some();
        let (body, ending) = read(response, cap, deadline).await;
        let (body, ending) = decoding::decode(&headers, body, ending, cap);
        Ok(Answer { status, headers, body, ending, longest_wait: self.longest_wait, received, repeated })
    }
}

/// Reads at most `cap` bytes. Giving up drops the response, which closes an HTTP/1.1 connection: nobody downloads the
/// rest.
async fn read(mut response: Response, cap: usize, deadline: Instant) -> (Vec<u8>, Ending) {
    let mut body = Vec::new();
    loop {
        match timeout_at(deadline, response.chunk()).await {
            Ok(Ok(Some(chunk))) if body.len() + chunk.len() > cap => {
                body.extend_from_slice(&chunk[..cap - body.len()]);
                return (body, Ending::TooLong);
            }
            Ok(Ok(Some(chunk))) => body.extend_from_slice(&chunk),
            Ok(Ok(None)) => return (body, Ending::Complete),
            Ok(Err(error)) => return (body, Ending::Cut { detail: words::of_error(&error) }),
            Err(_) => return (body, Ending::Cut { detail: "timed out".to_owned() }),
        }
    }
}
