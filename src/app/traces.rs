//! Whether the process makes spans, and their last delivery.
//!
//! Promises that traces are never worth an outage: a collector that cannot be spoken to is a warning.

use crate::{
    config::Config,
    telemetry::traces::{self, DELIVERY_LIMIT},
    upstream::Collector,
};

/// From here on the process makes spans, if its configuration names a collector. Call it on the runtime that is to
/// deliver them, before the first [`super::App`] is built.
pub fn begin(config: &Config) {
    let Some(settings) = &config.traces else { return };
    let begun = Collector::new(config.proxy.as_ref(), DELIVERY_LIMIT, settings.headers.as_deref())
        .map_err(|error| error.to_string())
        .and_then(|collector| traces::begin(settings, collector));
    match begun {
        Ok(()) => tracing::info!(sample_ratio = settings.sample_ratio, "spans go to a collector"),
        Err(detail) => tracing::warn!(detail, "no spans are made: the exporter cannot be built"),
    }
}

/// Delivers the last spans.
pub(super) async fn end() {
    if traces::are_told() {
        // What is lost with a panic there, or with a thread that is not free in time, is spans.
        let _ended = tokio::time::timeout(traces::end_limit(), tokio::task::spawn_blocking(traces::end)).await;
    }
}
