//! Every metric of the service: its name, its buckets, and the sentence that `/metrics` says of it.
//!
//! Promises that each has a sentence, and that the buckets reach as far as what is measured: to half a minute for
//! requests and calls, to an hour for what waits for its turn. `tests/floors` fails on a name in the sources, the
//! dashboard or the alerts that is not here.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};

/// Requests of a browser and calls to an upstream alike: a millisecond to the 30 s that Attio waits.
const SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// What waits for a worker, for a gate, or for an Attio that is down.
const WAITS: [f64; 14] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0];

const WAITING: [&str; 3] =
    ["alc_connector_result_delay_seconds", "alc_connector_lease_delay_seconds", "alc_connector_gate_wait_seconds"];

const COUNTERS: [(&str, &str); 16] = [
    ("alc_connector_http_requests_total", "Requests answered, by method, route and status"),
    ("alc_connector_callbacks_total", "ALC's callbacks, by what became of them"),
    (
        "alc_connector_client_authentications_failed_total",
        "Requests to /oauth/token and /oauth/revoke that did not prove to be our client's",
    ),
    ("alc_connector_upstream_requests_total", "Calls to an upstream, by operation and outcome"),
    ("alc_connector_steps_total", "Steps that workers took, by kind of aggregate, step and outcome"),
    (
        "alc_connector_gate_reports_total",
        "What workers told a workspace's gate of its upstream, by upstream and report",
    ),
    ("alc_connector_token_refreshes_total", "Refreshes of ALC's tokens, by outcome"),
    (
        "alc_connector_webhook_looks_total",
        "Looks at a workspace's webhooks, by upstream and by what was found: lost and moved ones are made anew",
    ),
    ("alc_connector_sync_differences_total", "Differences that full syncs have found, by outcome: mended or left"),
    ("alc_connector_store_errors_total", "Operations that the store did not carry out, by operation"),
    ("alc_connector_store_conflicts_total", "Commits that met a newer version and were decided anew"),
    (
        "alc_connector_dead_letters_total",
        "What this process has given up: leads, writes that Attio refuses, calls to workflows; by kind and reason",
    ),
    ("alc_connector_dead_letters_replayed_total", "Replays of what was given up, by kind and outcome"),
    ("alc_connector_trace_exports_total", "Deliveries of spans to the collector, repeats included, by outcome"),
    ("alc_connector_log_lines_lost_total", "Log lines that standard output did not take, as where its disk is full"),
    ("alc_connector_leases_lost_total", "Leases taken over because they had run out, by kind of aggregate"),
];

const HISTOGRAMS: [(&str, &str); 7] = [
    (
        "alc_connector_http_request_duration_seconds",
        "From the head of a request to the head of its answer, by method and route",
    ),
    (
        "alc_connector_upstream_request_duration_seconds",
        "From the begin of a call to an upstream to the end of its answer, by operation and outcome",
    ),
    ("alc_connector_send_duration_seconds", "From the head of a press to the head of its answer, by outcome"),
    ("alc_connector_result_delay_seconds", "From the commit of a send's end to Attio's record that shows it, by title"),
    ("alc_connector_lease_delay_seconds", "From the due time of an aggregate to its lease, by kind"),
    ("alc_connector_gate_wait_seconds", "How long a workspace's gate told a worker to wait, by upstream; 0: to go"),
    ("alc_connector_store_operation_duration_seconds", "From asking the store to its answer, by operation"),
];

const GAUGES: [(&str, &str); 7] = [
    ("alc_connector_store_up", "Whether the store told what it holds when this was asked for: 1 or 0"),
    (
        "alc_connector_store_degraded",
        "Whether the store serves in part only when this was asked for, by what is wrong: 1 or 0",
    ),
    (
        "alc_connector_aggregates",
        "Aggregates in the store, by kind and status; every replica tells all of them: take the max, not the sum",
    ),
    (
        "alc_connector_sealed_by_previous",
        "Documents that the sealing key has not sealed anew yet, as the last walk over the store found; take the max",
    ),
    (
        "alc_connector_oldest_age_seconds",
        "Age of the oldest aggregate, by kind and status; every replica tells it: take the max",
    ),
    (
        "alc_connector_breaker_open",
        "Whether this process asks an upstream with one call at a time, since it answered no workspace: 1 or 0",
    ),
    ("alc_connector_build_info", "Always 1: which version and commit this process is"),
];

/// The builder of a recorder whose histograms have their buckets.
pub(super) fn with_buckets(builder: PrometheusBuilder) -> Result<PrometheusBuilder, BuildError> {
    let all = builder.set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?;
    WAITING
        .into_iter()
        .try_fold(all, |builder, name| builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), &WAITS))
}

/// Tells the recorder what each metric is.
pub(super) fn describe() {
    for (name, what) in COUNTERS {
        describe_counter!(name, what);
    }
    for (name, what) in HISTOGRAMS {
        describe_histogram!(name, Unit::Seconds, what);
    }
    for (name, what) in GAUGES {
        if name.ends_with("_seconds") {
            describe_gauge!(name, Unit::Seconds, what);
        } else {
            describe_gauge!(name, what);
        }
    }
}
