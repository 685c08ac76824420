//! The reconciler: leases what is due, hands it to the room that knows it, and sleeps until the next due time.
//!
//! Promises that it asks for no more leases than there are free workers, that one tenant takes at most a quarter of
//! them and all attempts to connect, which strangers can make, no more together, and all full syncs two; that urgent
//! work has workers of its own, that trouble with the store only makes it wait, that an aggregate which this version
//! cannot read is left alone for a while, and that once the process is stopping nothing new is leased. It decides
//! nothing about an aggregate: an activation re-reads the state, so a restart, a second replica and a lost wake-up are
//! the same code path. All that is logged while an aggregate is worked on stands in the span `step`, which names the
//! lead or the workspace.

mod making_way;
mod resealing;

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tracing::{Instrument as _, Span, field::Empty};

use self::making_way::MakingWay;
use crate::{
    authorization::Authorization,
    clock::{SharedClock, Timestamp, later},
    connections::Connections,
    leads::Leads,
    lifecycle::{Heartbeat, Lifecycle, Turn},
    seats::Seats,
    store::{Kind, Leased, Pressure, Store, StoreError},
    telemetry::traces,
};

/// The longest sleep: another replica's commits do not wake this one.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// How long freed seats gather where more is due than there are seats: one question to the store fills them all, and it
/// looks at every workspace that has something due.
const GATHERING: Duration = Duration::from_millis(5);
/// The wait after trouble with the store.
const AFTER_TROUBLE: Duration = Duration::from_millis(500);
/// A loop silent for that long is stuck: a store that does not answer is given up after less.
const SILENT_AT_MOST: Duration = Duration::from_secs(60);

/// When an aggregate that this version cannot read is looked at again: by a replica of the version that wrote it, or by
/// this one after its update.
const UNREADABLE_AGAIN: Duration = Duration::from_secs(5 * 60);
/// When an attempt or a sync is looked at again that found all the seats of its sort taken.
const CROWDED_AGAIN: Duration = Duration::from_secs(5);

/// What has been leased of what was due.
enum Leasing {
    /// All for which there are seats.
    All,
    /// There may be more. `is_full`: than there were seats.
    NotAll { is_full: bool },
    /// There may be more, and some of it is left for now.
    MadeWay(MadeWay),
}

/// Callers wait for a slow store.
struct MadeWay {
    /// Work that no caller waits for is left until then.
    until: Instant,
    /// What is urgent waits as well, for a seat.
    waits: bool,
}

/// The loop and its workers.
#[derive(Clone)]
pub struct Reconciler {
    store: Store,
    connections: Connections,
    leads: Leads,
    authorization: Authorization,
    clock: SharedClock,
    lifecycle: Lifecycle,
    seats: Arc<Seats>,
}

impl Reconciler {
    /// A reconciler over these rooms.
    pub fn new(
        store: Store,
        connections: Connections,
        leads: Leads,
        authorization: Authorization,
        clock: SharedClock,
        lifecycle: Lifecycle,
        seats: Arc<Seats>,
    ) -> Self {
        Self { store, connections, leads, authorization, clock, lifecycle, seats }
    }

    /// Runs until the process stops; what is under way then is the lifecycle's to wait for.
    pub async fn run(self) {
        let heartbeat = self.lifecycle.heartbeat("reconciler", SILENT_AT_MOST, self.clock.now());
        let mut making_way = MakingWay::default();
        while !self.lifecycle.is_stopping() {
            let turn = self.lifecycle.turn();
            let now = self.clock.now();
            heartbeat.beat(now);
            match self.lease(now, &mut making_way).await {
                Ok(Leasing::NotAll { is_full: false }) => {}
                Ok(Leasing::NotAll { is_full: true }) => self.pause(GATHERING).await,
                Ok(Leasing::All) => self.sleep(now, None, turn, &heartbeat).await,
                Ok(Leasing::MadeWay(made_way)) => {
                    // What is due next, and what becomes due, may make way as well: each look at that costs the store.
                    self.pause(GATHERING).await;
                    self.sleep(now, Some(made_way), turn, &heartbeat).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "the store cannot be asked for what is due");
                    drop(turn);
                    self.pause(AFTER_TROUBLE).await;
                }
            }
        }
    }

    /// Leases what is due and sets workers to it.
    async fn lease(&self, now: Timestamp, making_way: &mut MakingWay) -> Result<Leasing, StoreError> {
        let Some(mut request) = self.seats.request(self.leads.lease_duration()) else {
            return Ok(Leasing::All);
        };
        request.beside = self.leads.beside();
        let machine = Pressure::now();
        let until = (self.store.pressure().is_high(machine)).then(|| making_way.narrow(&mut request.others, machine));
        if let Some(until) = until.filter(|_| request.urgent.max + request.others.max == 0) {
            return Ok(Leasing::MadeWay(MadeWay { until, waits: true }));
        }
        let due = self.store.lease_due(&request, now).await?;
        let saw_all = self.seats.saw(&request, &due);
        let urgent = due.leased.iter().filter(|leased| leased.document.urgent).count();
        let counts = [(urgent, request.urgent.max), (due.leased.len() - urgent, request.others.max)];
        let is_full = counts.iter().any(|(leased, most)| *most > 0 && leased >= most);
        let leasing = match (saw_all, until) {
            ([true, true], _) => Leasing::All,
            ([false, _], Some(_)) if urgent > 0 => Leasing::NotAll { is_full },
            ([saw_urgent, _], Some(until)) => Leasing::MadeWay(MadeWay { until, waits: !saw_urgent }),
            (_, None) if due.leased.is_empty() => Leasing::All,
            (_, None) => Leasing::NotAll { is_full },
        };
        for leased in due.leased {
            let worker = self.clone();
            let seat = self.seats.take(&leased.tenant, leased.key.kind, leased.document.urgent);
            let span = span(&leased);
            let work = async move {
                match seat {
                    Some(_seat) => worker.work_on(leased).await,
                    None => worker.put_off(leased).await,
                }
            };
            self.lifecycle.spawn(work.instrument(span));
        }
        Ok(leasing)
    }

    async fn work_on(&self, leased: Leased) {
        let (tenant, taken) = (leased.tenant.clone(), leased.taken());
        match (self.step(leased).await, taken) {
            (Ok(()), _) => {}
            (Err(error @ (StoreError::TooNew(_) | StoreError::Corrupt(_))), Some(taken)) => {
                let now = self.clock.now();
                let left = self.store.put_back(&tenant, &taken, later(now, UNREADABLE_AGAIN), now).await;
                let again_in_s = UNREADABLE_AGAIN.as_secs();
                tracing::error!(%error, again_in_s, is_left = left.is_ok_and(|left| left), "left alone for now");
            }
            // The lease runs out, and the worker that takes it over goes on from what is stored.
            (Err(error), _) => tracing::warn!(%error, "left to the next holder of its lease"),
        }
    }

    /// Leaves what was leased and found no seat for later. If that cannot be written, its lease runs out.
    async fn put_off(&self, leased: Leased) {
        let Some(taken) = leased.taken() else { return };
        let now = self.clock.now();
        if let Err(error) = self.store.put_back(&leased.tenant, &taken, later(now, CROWDED_AGAIN), now).await {
            tracing::warn!(%error, "what found no worker is left to its lease");
        }
    }

    async fn step(&self, leased: Leased) -> Result<(), StoreError> {
        match leased.key.kind {
            Kind::Lead => self.leads.step(leased).await,
            Kind::Workspace => self.connections.step(leased, self.leads.lease_duration()).await,
            Kind::Attempt => {
                let trace = traces::step("attempt", "reconcile", None);
                let done = trace.within(self.authorization.reconcile(leased)).await;
                trace.came_to(if done.is_ok() { "done" } else { "store_error" });
                done
            }
            Kind::Sync => self.leads.sync_step(leased).await,
            Kind::Prospect => self.leads.step_prospect(leased).await,
            // In no index: never due.
            Kind::Receipt => Ok(()),
        }
    }

    /// Ends the turn in which nothing more was leased at `now`, and sleeps until something is due, a local write says
    /// so, a worker is free again, what made way may go on, or a second has passed.
    async fn sleep(&self, now: Timestamp, made_way: Option<MadeWay>, turn: Turn, heartbeat: &Heartbeat) {
        if self.seats.are_taken() {
            drop(turn);
            tokio::select! {
                () = self.seats.freed() => {}
                () = self.lifecycle.stopping() => {}
                () = tokio::time::sleep(LONGEST_SLEEP) => {}
            }
            return;
        }
        let due = match self.store.next_due(now).await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(%error, "the store cannot be asked when something is due");
                drop(turn);
                return self.pause(AFTER_TROUBLE).await;
            }
        };
        // What was due at `now` and was not leased belongs to a tenant with its share in work: a freed seat tells. What
        // has become due since then has not been looked at: it must not wait for the longest sleep.
        heartbeat.beat(self.clock.now());
        // What makes way is due, and its turn goes on.
        let _turn = made_way.is_some().then_some(turn);
        let longest = match &made_way {
            Some(made_way) => tokio::time::sleep_until(made_way.until),
            None => tokio::time::sleep(LONGEST_SLEEP),
        };
        tokio::select! {
            () = self.store.woken(due) => {}
            () = self.seats.freed(), if made_way.is_none_or(|made_way| made_way.waits) => {}
            () = self.lifecycle.stopping() => {}
            () = longest => {}
            () = async {
                match due {
                    Some(due) => self.clock.sleep_until(due).await,
                    None => std::future::pending().await,
                }
            } => {}
        }
    }

    async fn pause(&self, wait: Duration) {
        tokio::select! {
            () = self.lifecycle.stopping() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// What every line says that is logged while this aggregate is worked on. Of the highest level, so that no level takes
/// it from the lines that are let through.
fn span(leased: &Leased) -> Span {
    let Leased { tenant, key, .. } = leased;
    let span = tracing::error_span!(
        "step",
        kind = key.kind.name(),
        workspace = Empty,
        record = Empty,
        send = Empty,
        connection = Empty,
        step = Empty,
        attempt = Empty
    );
    // Tenant and id of an attempt are its OAuth state, which is secret.
    if matches!(key.kind, Kind::Lead | Kind::Workspace | Kind::Sync | Kind::Prospect) {
        span.record("workspace", tracing::field::display(tenant));
    }
    if key.kind == Kind::Lead {
        span.record("record", &*key.id);
    }
    span
}
