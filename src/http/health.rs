//! Probes and what operators read: `/healthz`, `/readyz`, `/metrics`, `/version`; and the client of `healthcheck`.
//!
//! Promises that an upstream's outage never fails a probe: unhealthy is a loop of ours that stands still, unready a
//! store that serves no tenant now, or a process on its way out. A store that serves in part is no reason to be
//! unready: callbacks and removals could be settled here, and would reach no replica. Each says so by its own slug.

use std::{
    collections::BTreeSet,
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use actix_web::{
    HttpResponse, Responder,
    web::{self, Data},
};
use serde_json::json;

use super::{
    endpoint::Endpoint,
    probes::{ANSWERED_WITHIN, Probes},
    problem::{Problem, Slug},
    services::Clock,
};
use crate::{clock, lifecycle::Lifecycle, store::Store, telemetry};

/// On both listeners.
pub fn probes() -> [Endpoint; 2] {
    [Endpoint::new("/healthz").get(healthz), Endpoint::new("/readyz").get(readyz)]
}

/// On the management listener.
pub fn operators() -> [Endpoint; 2] {
    [Endpoint::new("/metrics").get(metrics), Endpoint::new("/version").get(version)]
}

async fn healthz(
    lifecycle: Data<Lifecycle>,
    clock: Data<Clock>,
    store: Data<Store>,
) -> Result<impl Responder, Problem> {
    let mut stalled = lifecycle.stalled(clock.0.now());
    stalled.extend(store.broken());
    if stalled.is_empty() {
        return Ok(web::Json(json!({ "status": "ok" })));
    }
    let detail = format!("No sign of life from: {}. Restart the process.", stalled.join(", "));
    Err(Problem::new(Slug::LoopStalled, detail).retry_after(ANSWERED_WITHIN))
}

async fn readyz(lifecycle: Data<Lifecycle>, probes: Data<Probes>) -> Result<impl Responder, Problem> {
    if lifecycle.is_leaving() {
        let detail = "The process is stopping: ask another one.";
        return Err(Problem::new(Slug::Stopping, detail).retry_after(ANSWERED_WITHIN));
    }
    match probes.serving().await {
        Ok(degraded) if degraded.is_empty() => Ok(web::Json(json!({ "status": "ok" }))),
        Ok(degraded) => {
            let names: Vec<_> = degraded.iter().map(|one| one.name()).collect();
            Ok(web::Json(json!({ "status": "degraded", "degraded": names })))
        }
        Err(()) => {
            let detail = "The store takes no writes now.";
            Err(Problem::new(Slug::StoreUnavailable, detail).retry_after(ANSWERED_WITHIN))
        }
    }
}

async fn version() -> impl Responder {
    web::Json(telemetry::VERSION)
}

async fn metrics(clock: Data<Clock>, probes: Data<Probes>) -> impl Responder {
    // An error is told by `store_up`; what is degraded has set its own gauge.
    let (_serving, ()) = tokio::join!(probes.serving(), measure(&probes, &clock));
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(telemetry::render_metrics())
}

/// What has a gauge already: a status that nothing is in any more must fall to zero, not stay at its last count.
static MEASURED: Mutex<BTreeSet<(&'static str, String)>> = Mutex::new(BTreeSet::new());

/// Asked of the store when the metrics are scraped, and not otherwise: every replica sees all aggregates.
async fn measure(probes: &Probes, clock: &Clock) {
    let now = clock.0.now();
    let depths = probes.depths(now).await;
    // The other gauges keep their last values through an outage; this one says so.
    metrics::gauge!("alc_connector_store_up").set(if depths.is_some() { 1.0 } else { 0.0 });
    let Some(depths) = depths else { return };
    let mut gone = MEASURED.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for depth in depths {
        let label = (depth.kind.name(), depth.status);
        let age = depth.oldest.map_or(Duration::ZERO, |oldest| clock::until(oldest, now));
        set(&label, depth.count, age);
        gone.remove(&label);
        MEASURED.lock().unwrap_or_else(PoisonError::into_inner).insert(label);
    }
    for label in gone {
        set(&label, 0, Duration::ZERO);
    }
}

fn set((kind, status): &(&'static str, String), count: u64, age: Duration) {
    let labels = [("kind", (*kind).to_owned()), ("status", status.clone())];
    // Exact up to 2^53 aggregates.
    metrics::gauge!("alc_connector_aggregates", &labels).set(count as f64);
    metrics::gauge!("alc_connector_oldest_age_seconds", &labels).set(age.as_secs_f64());
}

/// Asks the service whose management listener is at `bind`; an error says why it is not ready.
pub fn ask(bind: SocketAddr) -> Result<(), String> {
    ask_readyz(bind).map_err(|error| format!("the service at {bind} does not answer: {error}")).and_then(|answer| {
        match answer.split_once(' ') {
            Some((_, status)) if status.starts_with("200") => Ok(()),
            Some((_, status)) => Err(format!("not ready: {}", status.get(..3).unwrap_or("no status"))),
            None => Err("the answer is not HTTP".to_owned()),
        }
    })
}

/// By hand: a probe that starts every few seconds needs no runtime, no TLS and no proxy.
fn ask_readyz(bind: SocketAddr) -> io::Result<String> {
    let ip = match bind.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let patience = ANSWERED_WITHIN + Duration::from_secs(1);
    let mut stream = TcpStream::connect_timeout(&SocketAddr::new(ip, bind.port()), patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut head = [0; 64];
    let mut filled = 0;
    while filled < head.len() {
        match stream.read(&mut head[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(String::from_utf8_lossy(&head[..filled]).into_owned())
}
