//! Probes and what operators read: `/healthz`, `/readyz`, `/metrics`, `/version`; and the client of `healthcheck`.
//!
//! Promises that an upstream's outage never fails a probe: unhealthy is a loop of ours that stands still, unready a
//! store that serves no tenant now, or a process on its way out. A store that serves in part is no reason to be unready:
//! callbacks and removals could be settled here, and would reach no replica. Each says so by a slug of its own.

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
use jiff::Timestamp;
use serde_json::json;

use super::{
    endpoint::Endpoint,
    problem::{Problem, Slug},
    services::Clock,
    shared::Shared,
};
use crate::{
    clock,
    lifecycle::Lifecycle,
    store::{Degraded, Depth, Store},
    telemetry::{self, warn_sparingly},
};

/// A probe has to be answered before the orchestrator that asks gives up.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

/// What the probes have asked of the store. Clones share it: each answer serves all who ask within half a second, so
/// that strangers, who can reach `/readyz`, cannot wear the store out.
#[derive(Clone)]
pub struct Probes {
    store: Store,
    serving: Shared<Result<BTreeSet<Degraded>, ()>>,
    depths: Shared<Option<Vec<Depth>>>,
}

impl Probes {
    /// Probes of that store; what they ask runs among the tasks of `lifecycle`.
    pub fn new(lifecycle: &Lifecycle, store: &Store) -> Self {
        Self { store: store.clone(), serving: Shared::new(lifecycle), depths: Shared::new(lifecycle) }
    }

    /// What of the store is degraded; an error if it serves no tenant.
    async fn serving(&self) -> Result<BTreeSet<Degraded>, ()> {
        let store = self.store.clone();
        self.serving.get(|| async move { ask_how_far_it_serves(&store).await }).await
    }

    /// `None`: the store does not tell.
    async fn depths(&self, now: Timestamp) -> Option<Vec<Depth>> {
        let store = self.store.clone();
        let ask = || async move { tokio::time::timeout(ANSWERED_WITHIN, store.depths(now)).await.ok()?.ok() };
        self.depths.get(ask).await
    }
}

async fn ask_how_far_it_serves(store: &Store) -> Result<BTreeSet<Degraded>, ()> {
    let fault = match tokio::time::timeout(ANSWERED_WITHIN, store.serving()).await {
        Ok(Ok(degraded)) => {
            for one in Degraded::ALL {
                let is_so = if degraded.contains(&one) { 1.0 } else { 0.0 };
                metrics::gauge!("alc_connector_store_degraded", "what" => one.name()).set(is_so);
            }
            let names: Vec<_> = degraded.iter().map(|one| one.name()).collect();
            if !names.is_empty() {
                warn_sparingly!(degraded = names.join(", "), "the store serves in part");
            }
            return Ok(degraded);
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer in time".to_owned(),
    };
    // The store's own words may name hosts; they are for the log.
    warn_sparingly!(error = fault, "the store takes no writes");
    Err(())
}

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
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(telemetry::metrics().render())
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
