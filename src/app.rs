//! Builds everything from a [`Config`], runs it, stops it.
//!
//! Owns the order of both. Promises that [`App::build`] returns with both listeners bound (port 0 works: ask
//! [`App::public_addr`]), and that after [`Lifecycle::leave`] a run ends within [`STOP_LIMIT`]: unready first and
//! served for `HTTP__DRAIN_DELAY`, at its end without new connections, then what is under way finishes, first on the
//! listener's threads and then at home, then the store closes, then the last spans are delivered.

mod closing;
mod error;
pub mod files;
mod listeners;
mod rooms;
pub mod traces;
mod waiting;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use actix_web::web::ServiceConfig;
use futures_util::future;
use tokio::signal::unix::{SignalKind, signal};

pub use self::error::BuildError;
use self::{
    closing::Closing,
    files::Share,
    listeners::{Bound, Listeners, Patience, listen, workers},
    rooms::Rooms,
};
use crate::{
    clock::{SharedClock, SystemClock},
    config::Config,
    http::{self, Probes, Services, limit::Limits, operator::Operators},
    lifecycle::Lifecycle,
    reconciler::Reconciler,
    store::Store,
    telemetry,
};

/// How long stopping takes at most: an orchestrator kills after 30 s.
pub const STOP_LIMIT: Duration = Duration::from_secs(29);
/// How long the store may take to close.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);
/// How long before it closes a listener takes no new connection, so that all that has connected is accepted and read.
const SETTLING: Duration = Duration::from_millis(500);
/// How often the metrics recorder and the limits tidy up.
const UPKEEP: Duration = Duration::from_secs(5);

/// What a test puts in place of the real thing.
#[derive(Default)]
pub struct Parts {
    /// By which the test stops the App; its tasks are at home on the runtime that this was made on.
    pub lifecycle: Option<Lifecycle>,
    /// Instead of the store's clock or the machine's.
    pub clock: Option<SharedClock>,
    /// Instead of opening what `STORE__URL` names.
    pub store: Option<Store>,
}

/// Everything, ready to run.
pub struct App {
    services: Services,
    reconciler: Reconciler,
    patience: Patience,
    listeners: Listeners,
}

impl App {
    /// Opens the store, binds, and builds the rooms from the ground up.
    pub async fn build(config: Config, parts: Parts) -> Result<Self, BuildError> {
        telemetry::metrics();
        let lifecycle = parts.lifecycle.unwrap_or_default();
        let patience = Patience { keep_alive: config.http.keep_alive, drain_delay: config.http.drain_delay };
        let (store, listeners) = match parts.store {
            Some(store) => (store, None),
            None => waiting::open(&config, patience, &lifecycle).await?,
        };
        let listeners = match listeners {
            Some(listeners) => listeners,
            None => Listeners::bind(&config)?,
        };
        let limits = Limits::new(config.http.requests_per_second);
        let operators = Operators::new(config.management.token.clone());
        let clock = parts.clock.or_else(|| store.clock()).unwrap_or_else(|| Arc::new(SystemClock));
        let store = store.on_clock(clock.clone());
        let rooms = rooms::build(config, &store, &clock, &lifecycle)?;
        let Rooms { authorization, connections, leads, operate, reconciler } = rooms;
        let probes = Probes::new(&lifecycle, &store);
        let clock = http::Clock(clock);
        let services =
            Services { lifecycle, clock, store, authorization, connections, leads, operate, operators, limits, probes };
        Ok(Self { services, reconciler, patience, listeners })
    }

    /// Where the public listener is.
    pub fn public_addr(&self) -> SocketAddr {
        self.listeners.public.addr
    }

    /// Where the management listener is.
    pub fn management_addr(&self) -> SocketAddr {
        self.listeners.management.addr
    }

    /// Stops the App, from wherever a clone of it is kept.
    pub fn lifecycle(&self) -> Lifecycle {
        self.services.lifecycle.clone()
    }

    /// Serves until [`Lifecycle::stop`], then empties the house.
    pub async fn run(self) -> io::Result<()> {
        let Self { services, reconciler, patience, listeners } = self;
        let (lifecycle, store, limits) = (services.lifecycle.clone(), services.store.clone(), services.limits.clone());
        let workers = workers();
        let share = Share::of_process(workers);
        let Listeners { public: Bound { listener: public, .. }, management: Bound { listener: management, .. } } =
            listeners;
        let routes = |routes: fn(&mut ServiceConfig, &Services)| {
            let services = services.clone();
            move |cfg: &mut ServiceConfig| routes(cfg, &services)
        };
        let closing = Closing::of(&public)?;
        let public = listen(public, (workers, share.public), patience, routes(http::public))?;
        let management = listen(management, (1, share.management), patience, routes(http::management))?;
        let (public_handle, management_handle) = (public.handle(), management.handle());
        // Not among the tasks that a drain waits for: the management listener outlives them.
        let servers = Lifecycle::new().spawn(future::try_join(public, management));
        upkeep(&lifecycle, limits);
        lifecycle.spawn_loop(reconciler.clone().reseal());
        lifecycle.spawn_loop(reconciler.run());
        lifecycle.spawn_loop(services.leads.clone().sync_by_the_clock());
        let connections = services.connections.clone();
        lifecycle.spawn_loop({
            let connections = connections.clone();
            async move { connections.learn_key_workspace().await }
        });
        lifecycle.spawn(async move {
            connections.plan_looks().await;
            connections.warn_of_unprovable_callbacks().await;
        });

        let abort = servers.abort_handle();
        let ended = tokio::select! {
            ended = servers => Some(ended),
            () = gone(&lifecycle, patience.drain_delay, &closing) => None,
        };
        lifecycle.stop();
        let last = CLOSE_LIMIT + telemetry::traces::end_limit();
        let stopped = tokio::time::timeout(STOP_LIMIT - last - patience.drain_delay, async {
            // The listener's threads would take with them what is under way there: they stay, without the listener, and
            // answer what comes over the connections that there are.
            closing.close(&public_handle).await;
            lifecycle.away_ended().await;
            public_handle.stop(true).await;
            lifecycle.drained(STOP_LIMIT).await;
            // Last, so that `/readyz` and `/metrics` answer while the house empties.
            management_handle.stop(true).await;
        });
        if stopped.await.is_err() {
            tracing::warn!("stopped with work under way: another process takes it up when its leases run out");
            abort.abort();
        }
        if tokio::time::timeout(CLOSE_LIMIT, store.close()).await.is_err() {
            tracing::warn!("the store did not close in time");
        }
        traces::end().await;
        match ended {
            None => Ok(()),
            Some(Ok(Ok(_))) => Err(io::Error::other("the listeners ended by themselves")),
            Some(Ok(Err(error))) => Err(error),
            Some(Err(error)) => Err(io::Error::other(error)),
        }
    }
}

/// Resolves when the process is to stop: some time after it has become unready, in which the load balancer learns of
/// that and goes on sending here; or as soon as it is told to stop.
async fn gone(lifecycle: &Lifecycle, drain_delay: Duration, closing: &Closing) {
    lifecycle.leaving().await;
    if drain_delay.is_zero() || lifecycle.is_stopping() {
        return;
    }
    tracing::info!(?drain_delay, "unready, and still serving until nobody routes here any more");
    let settling = SETTLING.min(drain_delay / 2);
    let served = async {
        tokio::time::sleep(drain_delay - settling).await;
        if let Err(error) = closing.admit_no_more() {
            tracing::warn!(%error, "new connections are taken to the last: a proxy may see one of them reset");
        }
        tokio::time::sleep(settling).await;
    };
    tokio::select! {
        () = served => {}
        () = lifecycle.stopping() => {}
    }
}

/// The first SIGTERM or SIGINT ends what `lifecycle` is about, in its order; the second ends the process at once, which
/// loses nothing either.
pub async fn stop_on_signals(lifecycle: Lifecycle) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    for second in [false, true] {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if second {
            tracing::warn!("second signal: ending at once");
            std::process::exit(1);
        }
        tracing::info!("stopping");
        lifecycle.leave();
    }
    Ok(())
}

fn upkeep(lifecycle: &Lifecycle, limits: Limits) {
    let stopping = lifecycle.clone();
    let heartbeat = lifecycle.steady_heartbeat("upkeep", UPKEEP * 12);
    lifecycle.spawn_loop(async move {
        let mut tick = tokio::time::interval(UPKEEP);
        loop {
            tokio::select! {
                _ = tick.tick() => {
                    heartbeat.beat();
                    telemetry::metrics().run_upkeep();
                    limits.forget_the_quiet();
                }
                () = stopping.stopping() => break,
            }
        }
    });
}
