//! What an operator sees: log lines, metrics, the version.
//!
//! Owns the process-wide subscriber, recorder and panic hook. Promises that installing either twice is harmless (tests
//! run several Apps in one process), that a line written on behalf of a request carries its id in either format, that a
//! panic is a line of the log which says where it was and quotes nothing, and that everything measured in seconds has
//! buckets from a millisecond to half a minute.

mod sparing;

use std::{
    io::{self, IsTerminal as _},
    sync::OnceLock,
};

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde::Serialize;
use tracing_subscriber::EnvFilter;

pub use self::sparing::Sparing;
pub(crate) use self::sparing::warn_sparingly;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Pretty,
    /// For machines: one JSON object a line.
    Json,
}

/// Whether `filter` can be used.
pub fn is_filter(filter: &str) -> bool {
    EnvFilter::try_new(filter).is_ok()
}

/// Log lines go to stdout from here on; the first call in a process wins.
pub fn log(format: Format, filter: &str) {
    // How the server's threads come and go helps no operator; one who wants it all the same names `actix_server` in the
    // filter.
    let filter = EnvFilter::new(format!("actix_server=warn,{filter}"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(io::stdout().is_terminal());
    // An error says that an earlier App in this process, or a test, has installed one.
    let _first = match format {
        Format::Pretty => lines.try_init(),
        Format::Json => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init(),
    };
}

/// From here on a panic is a line of the log: where it was, never its words, which may quote a name or a number.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, thread = std::thread::current().name().unwrap_or_default(), "panicked");
    }));
}

/// Requests of a browser and calls to an upstream alike: a millisecond to the 30 s that Attio waits.
const SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();

/// The process's metrics; the first call installs the recorder.
pub fn metrics() -> &'static PrometheusHandle {
    METRICS.get_or_init(|| {
        let builder = PrometheusBuilder::new();
        #[expect(clippy::expect_used, reason = "fails only without buckets, and there are fourteen")]
        let recorder = builder
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
            .expect("there are buckets")
            .build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another metrics recorder was installed first: /metrics stays empty");
        }
        describe();
        handle
    })
}

fn describe() {
    describe_counter!("alc_connector_http_requests_total", "Requests answered, by method, route and status");
    describe_histogram!(
        "alc_connector_http_request_duration_seconds",
        Unit::Seconds,
        "From the head of a request to the head of its answer, by method and route"
    );
    describe_counter!("alc_connector_callbacks_total", "ALC's callbacks, by what became of them");
    describe_counter!(
        "alc_connector_client_authentications_failed_total",
        "Requests to /oauth/token and /oauth/revoke that did not prove to be our client's"
    );
    describe_counter!("alc_connector_upstream_requests_total", "Calls to an upstream, by operation and outcome");
    describe_histogram!(
        "alc_connector_upstream_request_duration_seconds",
        Unit::Seconds,
        "From the begin of a call to an upstream to the end of its answer, by operation and outcome"
    );
    describe_gauge!("alc_connector_store_up", "Whether the store told what it holds when this was asked for: 1 or 0");
    describe_gauge!(
        "alc_connector_store_degraded",
        "Whether the store serves in part only when this was asked for, by what is wrong: 1 or 0"
    );
    describe_gauge!(
        "alc_connector_aggregates",
        "Aggregates in the store, by kind and status; every replica tells all of them: take the max, not the sum"
    );
    describe_gauge!(
        "alc_connector_sealed_by_previous",
        "Documents that the sealing key has not sealed anew yet, as the last walk over the store found; take the max"
    );
    describe_gauge!(
        "alc_connector_oldest_age_seconds",
        Unit::Seconds,
        "Age of the oldest aggregate, by kind and status; every replica tells it: take the max"
    );
}

/// What `/version` says.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Version {
    /// The crate's name.
    pub name: &'static str,
    /// The crate's version.
    pub version: &'static str,
    /// The commit it was built from, if the build was told.
    pub commit: Option<&'static str>,
}

/// This build.
pub const VERSION: Version = Version {
    name: env!("CARGO_PKG_NAME"),
    version: env!("CARGO_PKG_VERSION"),
    // An image's build argument is there and empty when nobody gave one.
    commit: match option_env!("ALC_CONNECTOR_COMMIT") {
        Some(commit) if !commit.is_empty() => Some(commit),
        _ => None,
    },
};
