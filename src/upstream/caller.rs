//! How a request goes out: one client, one attempt, one measured outcome.
//!
//! Owns the HTTP client's settings, the time limit of an attempt, the cap on what is read, and the line between "not
//! sent" and "unknown".

use std::time::Duration;

use jiff::Timestamp;
use reqwest::{Method, Request, RequestBuilder, Response, redirect};
use url::Url;

use super::{
    CallError,
    answer::{Answer, Ending},
    words,
};
use crate::clock::{SharedClock, until};

/// The most that is read of an answer, in bytes, unless the operation says otherwise.
pub const BODY_CAP: usize = 256 * 1024;

/// How long an idle connection is kept. Less than the 60 s after which common load balancers close one: a connection
/// that the peer closes just as we write to it costs an unknown outcome.
const IDLE: Duration = Duration::from_secs(45);
/// Idle connections kept per host. More than the 25 writes a second that Attio takes keep busy.
const IDLE_CONNECTIONS: usize = 32;

/// Counter of attempts; labels `upstream`, `operation`, `outcome` ([`CallError::outcome`] or `ok`).
const REQUESTS: &str = "alc_connector_upstream_requests_total";
/// Histogram of attempts, in seconds, connect and body included; labels as for the counter.
const DURATION: &str = "alc_connector_upstream_request_duration_seconds";

/// The HTTP client cannot be built.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be built (is a CA store, such as Debian's ca-certificates, installed?): {detail}")]
pub struct HttpClientError {
    /// What the TLS library or the system says.
    pub detail: String,
}

/// Builds the one client that all upstreams share.
///
/// `shortest_timeout` is the shortest time limit of an attempt among the upstreams. Connecting gets half of it, so that
/// a host that swallows packets ends as [`CallError::NotSent`], which is certain, and not as the whole attempt's
/// timeout, which is not. No redirect is followed (a POST must not arrive where nobody sent it, nor a token) and no
/// proxy variable is read. The certificates are the system's; without a CA store this fails, even for plain HTTP.
pub fn http_client(shortest_timeout: Duration) -> Result<reqwest::Client, HttpClientError> {
    build(http_client_builder(shortest_timeout))
}

/// The settings of [`http_client`], for who has to add to them before [`build`].
pub fn http_client_builder(shortest_timeout: Duration) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("alc-connector/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .connect_timeout(shortest_timeout / 2)
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .tcp_nodelay(true)
        .http2_adaptive_window(true)
}

/// The client of these settings.
pub fn build(settings: reqwest::ClientBuilder) -> Result<reqwest::Client, HttpClientError> {
    settings.build().map_err(|error| HttpClientError { detail: words::of_error(&error) })
}

/// Calls one upstream. Clones share connections.
#[derive(Clone)]
pub struct Caller {
    http: reqwest::Client,
    upstream: &'static str,
    timeout: Duration,
    clock: SharedClock,
}

impl Caller {
    /// `http` comes from [`http_client`]; `upstream` is the metrics label (`alc`, `attio`); `timeout` is for one whole
    /// attempt, from the name look-up to the last byte of the body.
    pub fn new(http: reqwest::Client, upstream: &'static str, timeout: Duration, clock: SharedClock) -> Self {
        Self { http, upstream, timeout, clock }
    }

    /// The time on the clock that answers are measured by.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A request to be filled in and given to [`Caller::call`].
    pub fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.http.request(method, url)
    }

    /// The same for a request that was built elsewhere.
    pub fn ready(&self, request: Request) -> RequestBuilder {
        RequestBuilder::from_parts(self.http.clone(), request)
    }

    /// One attempt with at most [`BODY_CAP`] bytes of body read. Any status is an `Ok`: [`Answer::error`] names what it
    /// means. Errors are only [`CallError::NotSent`] and [`CallError::Unknown`].
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
        let began = self.clock.now();
        let result = self.attempt(request, cap).await;
        let outcome = match &result {
            Ok(answer) => answer.outcome(),
            Err(error) => error.outcome(),
        };
        let took = until(began, self.clock.now());
        let status = result.as_ref().ok().map(|answer| answer.status.as_u16());
        tracing::debug!(upstream = self.upstream, operation, outcome, status, took = ?took, "upstream called");
        let labels = [("upstream", self.upstream), ("operation", operation), ("outcome", outcome)];
        metrics::counter!(REQUESTS, &labels).increment(1);
        metrics::histogram!(DURATION, &labels).record(took.as_secs_f64());
        result
    }

    async fn attempt(&self, request: RequestBuilder, cap: usize) -> Result<Answer, CallError> {
        let response = request.timeout(self.timeout).send().await.map_err(|error| {
            let detail = words::of_error(&error);
            // A request that could not be built never left; neither did one without a connection. What is left (a
            // reset, an end before the answer, the whole attempt's timeout) may have been read by the other side.
            if error.is_builder() || error.is_connect() {
                CallError::NotSent { detail }
            } else {
                CallError::Unknown { retry_after: None, detail }
            }
        })?;
        let received = self.clock.now();
        let (status, headers) = (response.status(), response.headers().clone());
        let (body, ending) = read(response, cap).await;
        Ok(Answer { status, headers, body, ending, received })
    }
}

/// Reads at most `cap` bytes. Giving up drops the response, which closes an HTTP/1.1 connection: nobody downloads the
/// rest.
async fn read(mut response: Response, cap: usize) -> (Vec<u8>, Ending) {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > cap => {
                body.extend_from_slice(&chunk[..cap - body.len()]);
                return (body, Ending::TooLong);
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return (body, Ending::Complete),
            Err(error) => return (body, Ending::Cut { detail: words::of_error(&error) }),
        }
    }
}
