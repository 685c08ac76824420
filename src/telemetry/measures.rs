//! What the rooms measure of their work, one line at each place.

use std::{sync::LazyLock, time::Duration};

use metrics::{Counter, Histogram};

use super::Series;

/// The series of one function here.
type Known<Labels, Handles> = LazyLock<Series<Labels, Handles>>;

/// What is given up that an operator can mend, and is told by an alert.
const LETTERS: [(&str, &str); 7] = [
    ("lead", "not-sent"),
    ("lead", "disconnected"),
    ("attio-write", "refused"),
    ("attio-write", "result-refused"),
    ("attio-write", "lead-id-refused"),
    ("workflow-call", "deadline"),
    ("workflow-call", "crowded-out"),
];

/// What is there from the start: a gauge that appears with its first alarm cannot be told from one that is missing.
pub(super) fn begin(version: &'static str, commit: &'static str) {
    metrics::gauge!("alc_connector_build_info", "version" => version, "commit" => commit).set(1.0);
    breaker("alc", false);
    for upstream in ["alc", "attio"] {
        for found in ["lost", "moved", "taken"] {
            metrics::counter!("alc_connector_webhook_looks_total", "upstream" => upstream, "found" => found)
                .increment(0);
        }
    }
    for (kind, reason) in LETTERS {
        metrics::counter!("alc_connector_dead_letters_total", "kind" => kind, "reason" => reason).increment(0);
    }
    sync_ended(0, 0);
    metrics::counter!("alc_connector_log_lines_lost_total").increment(0);
    for outcome in ["refreshed", "dead", "refused", "failed"] {
        metrics::counter!("alc_connector_token_refreshes_total", "outcome" => outcome).increment(0);
    }
}

/// A worker has taken a step.
pub(crate) fn step(kind: &'static str, step: &'static str, outcome: &'static str) {
    static STEPS: Known<[&str; 3], Counter> = LazyLock::new(Series::default);
    let steps = STEPS.of([kind, step, outcome], |[kind, step, outcome]| {
        metrics::counter!("alc_connector_steps_total", "kind" => *kind, "step" => *step, "outcome" => *outcome)
    });
    steps.increment(1);
}

/// A request was answered, or its caller hung up.
pub(crate) fn request(method: &'static str, route: String, status: u16, took: Duration) {
    static REQUESTS: Known<(&str, String, u16), (Histogram, Counter)> = LazyLock::new(Series::default);
    let (duration, requests) = REQUESTS.of((method, route, status), |(method, route, status)| {
        let (method, route, status) = (*method, route.clone(), status.to_string());
        (
            metrics::histogram!(
                "alc_connector_http_request_duration_seconds", "method" => method, "route" => route.clone()
            ),
            metrics::counter!(
                "alc_connector_http_requests_total", "method" => method, "route" => route, "status" => status
            ),
        )
    });
    duration.record(took.as_secs_f64());
    requests.increment(1);
}

/// A press was answered with this status.
pub(crate) fn press(status: u16, took: Duration) {
    let outcome = match status {
        201 => "sent",
        202 => "queued",
        200 => "joined",
        // Its caller has hung up before it was answered.
        499 => "abandoned",
        400..500 => "refused",
        _ => "failed",
    };
    static DURATIONS: Known<&str, Histogram> = LazyLock::new(Series::default);
    let duration = DURATIONS
        .of(outcome, |outcome| metrics::histogram!("alc_connector_send_duration_seconds", "outcome" => *outcome));
    duration.record(took.as_secs_f64());
}

/// Attio shows what a send came to, so long after that was committed.
pub(crate) fn result_shown(title: &'static str, after: Duration) {
    metrics::histogram!("alc_connector_result_delay_seconds", "title" => title).record(after.as_secs_f64());
}

/// ALC's token endpoint was asked for new tokens.
pub(crate) fn refresh(outcome: &'static str) {
    metrics::counter!("alc_connector_token_refreshes_total", "outcome" => outcome).increment(1);
}

/// A worker has asked an upstream whether it still has a workspace's webhook.
pub(crate) fn webhook_look(upstream: &'static str, found: &'static str) {
    metrics::counter!("alc_connector_webhook_looks_total", "upstream" => upstream, "found" => found).increment(1);
}

/// Something was given up.
pub(crate) fn given_up(kind: &'static str, reason: &'static str) {
    metrics::counter!("alc_connector_dead_letters_total", "kind" => kind, "reason" => reason).increment(1);
}

/// An operator has asked for something to be done once more that was given up.
pub(crate) fn replayed(kind: &'static str, outcome: &'static str) {
    metrics::counter!("alc_connector_dead_letters_replayed_total", "kind" => kind, "outcome" => outcome).increment(1);
}

/// A full sync has ended, with so many differences set right and so many that were not.
pub(crate) fn sync_ended(mended: u64, left: u64) {
    for (outcome, count) in [("mended", mended), ("left", left)] {
        metrics::counter!("alc_connector_sync_differences_total", "outcome" => outcome).increment(count);
    }
}

/// Spans were delivered to the collector, or were not.
pub(crate) fn spans_delivered(outcome: &'static str) {
    metrics::counter!("alc_connector_trace_exports_total", "outcome" => outcome).increment(1);
}

/// The breaker over an upstream as a whole has opened or closed in this process.
pub(crate) fn breaker(upstream: &'static str, is_open: bool) {
    metrics::gauge!("alc_connector_breaker_open", "upstream" => upstream).set(if is_open { 1.0 } else { 0.0 });
}
