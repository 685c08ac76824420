//! What an operator sees: log lines, metrics, the version.
//!
//! Owns the process-wide subscriber, recorder and panic hook. Promises that installing either twice is harmless (tests
//! run several Apps in one process), that a line written on behalf of a request carries its id in either format, that a
//! panic is a line of the log which says where it was and quotes nothing, that a log which cannot be written ends
//! nothing, and that no label of a metric has more values than the sources name.

mod catalogue;
mod fields;
mod lines;
mod measures;
mod series;
mod sparing;
pub mod traces;

use std::{
    io::{self, IsTerminal as _},
    sync::{LazyLock, OnceLock},
};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde::Serialize;
use tracing_subscriber::EnvFilter;

pub(crate) use self::measures::{
    breaker, given_up, press, refresh, replayed, request, result_shown, spans_delivered, step, sync_ended, webhook_look,
};
pub use self::sparing::Sparing;
pub(crate) use self::{series::Series, sparing::warn_sparingly};

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
    // Else a line that cannot be written is told on standard error by a macro that panics where that cannot be written
    // either; the panic is a line of the log (see `log_panics`), which cannot be written, and the process aborts.
    let lines = lines.with_writer(|| lines::Output).log_internal_errors(false);
    // An error says that an earlier App in this process, or a test, has installed one.
    let _first = match format {
        Format::Pretty => lines.try_init(),
        Format::Json => {
            let lines = lines.json().flatten_event(true).with_current_span(true).with_span_list(false);
            lines.fmt_fields(fields::Fields::default()).try_init()
        }
    };
}

/// From here on a panic is a line of the log: where it was, never its words, which may quote a name or a number.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, thread = std::thread::current().name().unwrap_or_default(), "panicked");
    }));
}

static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();

/// Memory, processor time, open files: read from the system when the metrics are rendered, under the names that
/// Prometheus's own clients use.
static PROCESS: LazyLock<metrics_process::Collector> = LazyLock::new(metrics_process::Collector::default);

/// The process's metrics as Prometheus reads them, with those of the process itself as they are now.
pub fn render_metrics() -> String {
    let handle = metrics();
    PROCESS.collect();
    handle.render()
}

/// The process's metrics; the first call installs the recorder.
pub fn metrics() -> &'static PrometheusHandle {
    METRICS.get_or_init(|| {
        #[expect(clippy::expect_used, reason = "fails only without buckets, and there are fourteen")]
        let recorder = catalogue::with_buckets(PrometheusBuilder::new()).expect("there are buckets").build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another metrics recorder was installed first: /metrics stays empty");
        }
        series::begin();
        catalogue::describe();
        PROCESS.describe();
        measures::begin(VERSION.version, VERSION.commit.unwrap_or("unknown"));
        handle
    })
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
