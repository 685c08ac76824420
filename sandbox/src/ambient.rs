//! What the sandbox takes from the machine: its clock, tasks, random bytes, an HTTP client.
//!
//! Owns the only ambient time and the only `tokio::spawn` of this crate. Promises that each pretend service has one
//! [`Time`] that a test may set, so that what it writes into answers and signatures follows the test's own clock.

use std::{
    future::Future,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use rustls_platform_verifier::BuilderVerifierExt;

/// Another clock to go by.
type Source = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The clock of one pretend service: the machine's, until a test sets it.
#[derive(Clone, Default)]
pub struct Time(Arc<Mutex<Option<Source>>>);

impl std::fmt::Debug for Time {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Time({})", self.now())
    }
}

impl Time {
    /// Now, as this service sees it.
    #[expect(clippy::disallowed_methods, reason = "the sandbox's one clock; tests set it")]
    pub fn now(&self) -> Timestamp {
        let source = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        source.map_or_else(Timestamp::now, |source| source())
    }

    /// Goes by another clock, e.g. the manual one of the service under test.
    pub fn follow(&self, source: impl Fn() -> Timestamp + Send + Sync + 'static) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(source));
    }

    /// Stands still at `at`; `None` goes back to the machine's clock.
    pub fn set(&self, at: Option<Timestamp>) {
        let source = at.map(|at| Arc::new(move || at) as Source);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = source;
    }
}

/// Runs `task` beside its caller; it ends with the runtime, or when it has nothing left to serve.
#[expect(clippy::disallowed_methods, reason = "the sandbox's one spawn: it has no drain to take part in")]
pub(crate) fn spawn<F>(task: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    drop(tokio::spawn(task));
}

/// An environment variable; the demo is steered by those that [`crate::demo::Plan`] names.
#[expect(clippy::disallowed_methods, reason = "the demo's own three variables, read in one place")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// An unguessable word with a prefix that says what it is, e.g. `code_…`.
pub(crate) fn random(prefix: &str) -> String {
    format!("{prefix}{}", BASE64_URL_SAFE_NO_PAD.encode(random_bytes()))
}

/// 24 random bytes.
pub(crate) fn random_bytes() -> [u8; 24] {
    let mut bytes = [0; 24];
    aws_lc_rs::rand::fill(&mut bytes).expect("the machine has random bytes");
    bytes
}

/// An HTTP client that does as it is told: no redirects followed, no proxy, `timeout` for each request.
pub fn http_client(timeout: Duration) -> reqwest::Client {
    http_clients().timeout(timeout).build().expect("a client has all it needs")
}

/// Builds such clients, which share what they know of TLS, and speak HTTP/1.1 over it: to read the system's
/// certificates for each client anew took the tests a third of their time.
pub fn http_clients() -> reqwest::ClientBuilder {
    static TLS: LazyLock<rustls::ClientConfig> = LazyLock::new(|| {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let settings = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let settings = settings.and_then(BuilderVerifierExt::with_platform_verifier);
        settings.expect("a client needs only a CA store").with_no_client_auth()
    });
    let builder = reqwest::Client::builder().tls_backend_preconfigured(TLS.clone());
    builder.redirect(reqwest::redirect::Policy::none()).no_proxy()
}
