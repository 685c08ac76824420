//! The HTTP clients: their settings, what they forgive, and the one repeat of a request that met a dead connection.
//!
//! Promises that what other clients skip in the head of an answer (an invalid header, a blank before the colon, a
//! folded line, many headers) is skipped here too: the answer has come, and what it says counts. Promises that a
//! request is repeated only where that is safe, at most once, and within the time of one attempt.

use std::{error::Error, io, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use reqwest::{Client, ClientBuilder, Method, NoProxy, Request, Response, redirect};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{Instant, timeout_at};

use super::{CallError, per_runtime::PerRuntime, tls, used::Used, words};

/// How long an idle connection is kept. Less than the 60 s after which common load balancers close one: a connection
/// that the peer closes just as we write to it costs a repeat, or an unknown outcome.
const IDLE: Duration = Duration::from_secs(45);
/// Idle connections kept per host by the client at home, and by all others together. With many workspaces many requests
/// are under way at once; a connection beyond this number is closed after its request, and the next request pays for a
/// new one. Those of ALC and Attio together stay below the open files that the process keeps for itself.
const IDLE_CONNECTIONS: usize = 64;
/// So many threads of the public listener have a client of their own; one more is for the management listener's.
const MOST_THREADS: usize = 16;
/// Within this time a connection ends that its peer was closing while the request was on its way. After that the peer
/// had the request, and may have done what it asks.
const IDLE_CLOSE: Duration = Duration::from_secs(1);
/// Headers that an answer may have. The HTTP client's own limit of 100 makes an error out of an answer beyond it. For a
/// greater one it takes room for all of them at each answer, 64 bytes a header, however few come.
const MOST_HEADERS: usize = 256;

/// The HTTP client cannot be built.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be built (is a CA store, such as Debian's ca-certificates, installed?): {detail}")]
pub struct HttpClientError {
    /// What the TLS library or the system says.
    pub detail: String,
}

/// The clients that all upstreams share. Clones share connections.
#[derive(Clone)]
pub struct HttpClients {
    /// Keep connections for the next request.
    pooled: Arc<PerRuntime<Client>>,
    /// Makes a connection for each request.
    fresh: Client,
    /// The connections of `pooled`.
    used: Arc<Used>,
}

/// A proxy between us and the upstreams. `Debug` shows neither address nor password.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// Where it is, perhaps with a user and a password.
    pub url: SecretString,
    /// The hosts that are reached without it, as `NO_PROXY` has them.
    pub except: String,
}

impl Proxy {
    /// What https URLs go through; an error names what is wrong without quoting it.
    fn of_https(&self) -> Result<reqwest::Proxy, HttpClientError> {
        let proxy = reqwest::Proxy::https(self.url.expose_secret())
            .map_err(|error| HttpClientError { detail: words::of_error(&error) })?;
        Ok(proxy.no_proxy(NoProxy::from_string(&self.except)))
    }
}

/// [`http_clients`] that reach https URLs through `proxy`, if there is one.
pub fn http_clients_through(proxy: Option<&Proxy>, shortest_timeout: Duration) -> Result<HttpClients, HttpClientError> {
    let proxy = proxy.map(Proxy::of_https).transpose()?;
    http_clients_with(shortest_timeout, |builder| match &proxy {
        Some(proxy) => builder.proxy(proxy.clone()),
        None => builder,
    })
}

/// Builds the clients.
///
/// `shortest_timeout` is the shortest time limit of an attempt among the upstreams. Connecting gets half of it, so that
/// a host that swallows packets ends as [`CallError::NotSent`], which is certain, and not as the whole attempt's
/// timeout, which is not. No redirect is followed (a POST must not arrive where nobody sent it, nor a token) and no
/// proxy variable is read (see [`http_clients_through`]). The certificates are the system's, as they were when the
/// process first asked; without a CA store this fails, even for plain HTTP.
pub fn http_clients(shortest_timeout: Duration) -> Result<HttpClients, HttpClientError> {
    http_clients_with(shortest_timeout, |builder| builder)
}

/// [`http_clients`] with settings of the caller's own on top, TLS excepted.
pub fn http_clients_with(
    shortest_timeout: Duration,
    further: impl Fn(ClientBuilder) -> ClientBuilder,
) -> Result<HttpClients, HttpClientError> {
    let tls = tls::settings().map_err(|error| HttpClientError { detail: error.to_string() })?;
    let build = |idle| {
        let builder = Client::builder()
            .tls_backend_preconfigured(tls.clone())
            .user_agent(concat!("alc-connector/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .connect_timeout(shortest_timeout / 2)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(idle)
            .tcp_nodelay(true)
            .http1_ignore_invalid_headers_in_responses(true)
            .http1_allow_spaces_after_header_name_in_responses(true)
            .http1_allow_obsolete_multiline_headers_in_responses(true)
            .http1_max_headers(MOST_HEADERS)
            .http2_adaptive_window(true);
        further(builder).build().map_err(|error| HttpClientError { detail: words::of_error(&error) })
    };
    let threads = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, MOST_THREADS);
    let further = (0..=threads).map(|_| build(IDLE_CONNECTIONS / threads)).collect::<Result<_, _>>()?;
    let pooled = Arc::new(PerRuntime::new(build(IDLE_CONNECTIONS)?, further));
    Ok(HttpClients { pooled, fresh: build(0)?, used: Arc::default() })
}

/// What becomes of a request whose pooled connection dies under it.
#[derive(Clone, Copy)]
pub enum Repeat<'a> {
    /// Its outcome is unknown.
    Never,
    /// It is sent once more, on a connection of its own.
    OnFreshConnection,
    /// The same, if the function says yes when the connection has died. An upstream that can tell what became of the
    /// first copy gets no second one.
    OnFreshConnectionIf(&'a (dyn Fn() -> BoxFuture<'a, bool> + Send + Sync)),
    /// It is not put on a pooled connection: twice would be one too many, and nothing else settles an unknown outcome.
    Impossible,
}

impl Repeat<'_> {
    /// By whether doing it twice does no more than doing it once: by its method (RFC 9110 §9.2.2), or because the
    /// upstream can tell a repeat by its key. A PATCH is not repeated here: the first one may still be applied late,
    /// over what has been written since, so its caller has to know that its outcome is unknown, and reads back.
    pub(super) fn of(request: &Request) -> Self {
        if request.method() == Method::PATCH {
            Self::Never
        } else if request.method().is_idempotent() || request.headers().contains_key("idempotency-key") {
            Self::OnFreshConnection
        } else {
            Self::Impossible
        }
    }
}

/// Marks a response to a request that had been sent before it, of which the peer may have read the first copy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Repeated;

impl HttpClients {
    /// The client for building requests, and for sending them on the runtime that this was made on.
    pub(super) fn client(&self) -> &Client {
        self.pooled.at_home()
    }

    /// Sends a request, and takes what comes up to the end of the head.
    ///
    /// A peer may close an idle connection at the moment at which we write to it. Such a request was hardly read, and
    /// is sent once more on a connection of its own where that is safe. What is not safe to repeat goes out on a
    /// connection of its own to begin with, where this cannot happen. One inaccuracy stays: the HTTP client does not
    /// tell an end before the first byte of an answer from an end within its head.
    pub(super) async fn send(
        &self,
        request: Request,
        deadline: Instant,
        repeat: Repeat<'_>,
    ) -> Result<Response, CallError> {
        let again = match repeat {
            Repeat::Impossible => {
                return within(deadline, self.fresh.execute(request)).await.map_err(|error| named(error, false));
            }
            Repeat::Never => None,
            Repeat::OnFreshConnection | Repeat::OnFreshConnectionIf(_) => request.try_clone(),
        };
        let began = now();
        match (within(deadline, self.pooled.here().execute(request)).await, again) {
            (Ok(response), _) => {
                self.used.answered(response.extensions(), now(), IDLE);
                Ok(response)
            }
            (Err(Failed::Http(error)), Some(again))
                if is_closed(&error) && now() < began + IDLE_CLOSE && self.was_pooled(&error, began) =>
            {
                if let Repeat::OnFreshConnectionIf(says) = repeat
                    && !timeout_at(deadline, says()).await.unwrap_or(false)
                {
                    return Err(named(Failed::Http(error), false));
                }
                tracing::debug!("a pooled connection was closed under a request, which is sent again on a fresh one");
                let mut response =
                    within(deadline, self.fresh.execute(again)).await.map_err(|error| named(error, true))?;
                response.extensions_mut().insert(Repeated);
                Ok(response)
            }
            (Err(error), _) => Err(named(error, false)),
        }
    }

    /// Whether the request that failed at once had been put on a connection that was there already.
    fn was_pooled(&self, error: &reqwest::Error, began: Instant) -> bool {
        let failed = causes(error).find_map(|cause| cause.downcast_ref::<hyper_util::client::legacy::Error>());
        let connection = failed.and_then(hyper_util::client::legacy::Error::connect_info);
        connection.is_some_and(|connection| self.used.was_pooled(connection, began, IDLE))
    }
}

#[expect(clippy::disallowed_methods, reason = "how long a connection lived goes by the machine's time")]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// Why there is no response.
enum Failed {
    Http(reqwest::Error),
    Time,
}

async fn within(
    deadline: Instant,
    sending: impl Future<Output = Result<Response, reqwest::Error>>,
) -> Result<Response, Failed> {
    match timeout_at(deadline, sending).await {
        Ok(sent) => sent.map_err(Failed::Http),
        Err(_) => Err(Failed::Time),
    }
}

/// What a request without a response means. `in_doubt`: an attempt before this one may have been read.
fn named(failed: Failed, in_doubt: bool) -> CallError {
    let Failed::Http(error) = failed else {
        return CallError::Unknown { retry_after: None, detail: "timed out".to_owned() };
    };
    let detail = words::of_error(&error);
    // A request that could not be built never left; neither did one without a connection. What is left (a reset, an end
    // before the answer, the whole attempt's timeout) may have been read by the other side.
    if (error.is_builder() || error.is_connect()) && !in_doubt {
        CallError::NotSent { detail }
    } else if hyper_error(&error).is_some_and(has_a_bad_head) {
        CallError::Unreadable { detail }
    } else {
        CallError::Unknown { retry_after: None, detail }
    }
}

fn hyper_error(error: &reqwest::Error) -> Option<&hyper::Error> {
    causes(error).find_map(|cause| cause.downcast_ref::<hyper::Error>())
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause: &&(dyn Error + 'static)| (*cause).source())
}

/// Whether an HTTP answer came whose headers cannot be read by any leniency of the HTTP client: two lengths, say. What
/// is no HTTP at all, or has no status, is no answer.
fn has_a_bad_head(error: &hyper::Error) -> bool {
    let is_http = !error.is_parse_status() && !error.to_string().contains("HTTP version");
    error.is_parse() && is_http
}

/// Whether the peer closed the connection instead of answering.
fn is_closed(error: &reqwest::Error) -> bool {
    let closed = [
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::BrokenPipe,
        io::ErrorKind::NotConnected,
        io::ErrorKind::UnexpectedEof,
    ];
    causes(error).any(|cause| {
        let by_hyper = cause
            .downcast_ref::<hyper::Error>()
            .is_some_and(|error| error.is_incomplete_message() || error.is_canceled() || error.is_closed());
        by_hyper || cause.downcast_ref::<io::Error>().is_some_and(|error| closed.contains(&error.kind()))
    })
}
