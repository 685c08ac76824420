//! The tasks of the process, and how a drain waits for them.
//!
//! Owns the only spawning: every task is tracked, so that a drain can wait for the requests and steps under way. Tasks
//! run at home, which is the runtime that the lifecycle was made on, or away: on the runtime of the actix worker that
//! starts them. A task away needs no other thread, which saves a press a fifth of its processor time; but a worker's
//! runtime has one thread and ends with the listener, while a send under way must go on. So none begins away once the
//! process is leaving, and `App::run` waits for the tasks that are away before it ends the listener's threads.
//! Promises that nothing spawned here is forgotten, and that a loop which has stopped beating is noticed by `/healthz`.
//! (Should a worker of actix die by itself, the tasks that were away on it are lost, as if the process had been killed:
//! their leases run out.)

#[cfg(test)]
mod tests;

use std::{
    future::Future,
    panic::resume_unwind,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    runtime::Handle,
    task::{JoinError, JoinHandle},
    time::Instant,
};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};
use tracing::Instrument as _;

use crate::telemetry::traces;

/// So many tasks may be away before [`Lifecycle::spawn_near`] leaves what comes to the threads at home.
const NEAR: usize = 32;

/// The process's phases: running, then leaving, then stopping, then empty. Clones share one state.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    /// `None`: made outside of a runtime; tasks then run where they are spawned.
    runtime: Option<Handle>,
    leaving: CancellationToken,
    stopping: CancellationToken,
    loops: TaskTracker,
    work: TaskTracker,
    away: TaskTracker,
    heartbeats: Arc<Mutex<Vec<Heartbeat>>>,
    steady: Arc<Mutex<Vec<SteadyHeartbeat>>>,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self {
            runtime: Handle::try_current().ok(),
            leaving: CancellationToken::new(),
            stopping: CancellationToken::new(),
            loops: TaskTracker::new(),
            work: TaskTracker::new(),
            away: TaskTracker::new(),
            heartbeats: Arc::default(),
            steady: Arc::default(),
        }
    }
}

impl Lifecycle {
    /// A running process with no tasks. Make it on the runtime that its tasks shall run on.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `task` to its end, also when the request that started it is gone: a drain waits for it.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.start(self.work.track_future(of_its_request(task)))
    }

    /// As [`Lifecycle::spawn`], on the runtime that this is called on: what a request has begun goes on without a
    /// hand-over between threads.
    pub fn spawn_here<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        // Counted before it is asked whether the process leaves: then either that is seen here, or the count by
        // `away_ended`.
        let _counted = self.away.token();
        let home = self.runtime.as_ref().map(Handle::id);
        match Handle::try_current() {
            Ok(here) if Some(here.id()) != home && !self.is_leaving() => {
                here.spawn(self.away.track_future(of_its_request(task)))
            }
            _ => self.spawn(task),
        }
    }

    /// As [`Lifecycle::spawn_here`] for what no caller waits for, while few tasks are away, on all threads together;
    /// else as [`Lifecycle::spawn`]. Where requests come faster than their work is done, the threads at home have a
    /// share of the processor that requests cannot take.
    pub fn spawn_near<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        if self.away.len() < NEAR { self.spawn_here(task) } else { self.spawn(task) }
    }

    /// Runs what goes on until the process stops, and ends by itself then: a drain waits for it too.
    pub fn spawn_loop<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.start(self.loops.track_future(task))
    }

    fn start<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        match &self.runtime {
            Some(runtime) => runtime.spawn(task),
            None => Handle::current().spawn(task),
        }
    }

    /// A turn of a loop that does something: under way until dropped.
    pub fn turn(&self) -> Turn {
        Turn(self.work.token())
    }

    /// How much is under way, loops at rest not counted.
    pub fn under_way(&self) -> usize {
        self.work.len() + self.away.len()
    }

    /// From now on `/readyz` says 503, so that load balancers route elsewhere. Requests are answered as before; the
    /// tasks that they begin run at home.
    pub fn leave(&self) {
        self.leaving.cancel();
    }

    /// Whether [`Lifecycle::leave`] or [`Lifecycle::stop`] was called.
    pub fn is_leaving(&self) -> bool {
        self.leaving.is_cancelled()
    }

    /// Resolves once [`Lifecycle::leave`] or [`Lifecycle::stop`] was called.
    pub async fn leaving(&self) {
        self.leaving.cancelled().await;
    }

    /// From now on nothing new is begun: `/readyz` says 503 and nothing is leased.
    pub fn stop(&self) {
        self.leaving.cancel();
        self.stopping.cancel();
    }

    /// Whether [`Lifecycle::stop`] was called.
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// Resolves once [`Lifecycle::stop`] was called.
    pub async fn stopping(&self) {
        self.stopping.cancelled().await;
    }

    /// Waits until no task is under way on another runtime than that at home. Call it after [`Lifecycle::leave`] or
    /// [`Lifecycle::stop`], when none begins there any more.
    pub async fn away_ended(&self) {
        self.away.close();
        self.away.wait().await;
    }

    /// Waits until every task has ended; `false` if some were still running after `limit`. Call it after
    /// [`Lifecycle::stop`].
    pub async fn drained(&self, limit: Duration) -> bool {
        // Loops begin work, and so does work that is away, at home.
        let trackers = [&self.loops, &self.away, &self.work];
        for tracker in trackers {
            tracker.close();
        }
        let all = async {
            for tracker in trackers {
                tracker.wait().await;
            }
        };
        tokio::time::timeout(limit, all).await.is_ok()
    }

    /// Registers a loop that promises to beat at least every `at_most`.
    pub fn heartbeat(&self, name: &'static str, at_most: Duration, now: Timestamp) -> Heartbeat {
        let beat = Heartbeat { name, at_most, last: Arc::new(AtomicI64::new(now.as_microsecond())) };
        self.heartbeats.lock().unwrap_or_else(PoisonError::into_inner).push(beat.clone());
        beat
    }

    /// The loops that have not beaten for longer than they promised.
    pub fn stalled(&self, now: Timestamp) -> Vec<&'static str> {
        let beats = self.heartbeats.lock().unwrap_or_else(PoisonError::into_inner);
        let late = beats.iter().filter(|beat| beat.is_late(now)).map(|beat| beat.name);
        let steady = self.steady.lock().unwrap_or_else(PoisonError::into_inner);
        let now = this_moment();
        late.chain(steady.iter().filter(|beat| beat.is_late(now)).map(|beat| beat.name)).collect()
    }

    /// As [`Lifecycle::heartbeat`], for a loop that goes by the machine's time, whatever the store's is.
    pub fn steady_heartbeat(&self, name: &'static str, at_most: Duration) -> SteadyHeartbeat {
        let beat = SteadyHeartbeat { name, at_most, last: Arc::new(Mutex::new(this_moment())) };
        self.steady.lock().unwrap_or_else(PoisonError::into_inner).push(beat.clone());
        beat
    }

    /// The names of all loops that promised to beat.
    pub fn beating(&self) -> Vec<&'static str> {
        let beats = self.heartbeats.lock().unwrap_or_else(PoisonError::into_inner);
        let steady = self.steady.lock().unwrap_or_else(PoisonError::into_inner);
        beats.iter().map(|beat| beat.name).chain(steady.iter().map(|beat| beat.name)).collect()
    }
}

/// What a task logs, and what it is in a trace, belongs to the request that it was begun for.
fn of_its_request<F: Future>(task: F) -> impl Future<Output = F::Output> {
    // Boxed first: what wraps a task moves it, and a step's future is some kilobytes.
    traces::Span::current().within(Box::pin(task)).in_current_span()
}

/// The panic of a task goes on in the task that waited for it: a fault of ours must not look like an upstream's.
pub fn resume(error: JoinError) -> ! {
    // Otherwise the runtime has ended, and with it every listener that could send an answer.
    resume_unwind(error.try_into_panic().unwrap_or_else(|_| Box::new("cut off")))
}

/// A loop's turn; over when dropped.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "it counts by being there")] TaskTrackerToken);

/// The sign of life of one loop.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    name: &'static str,
    at_most: Duration,
    last: Arc<AtomicI64>,
}

impl Heartbeat {
    /// Says that the loop came round at `now`.
    pub fn beat(&self, now: Timestamp) {
        self.last.store(now.as_microsecond(), Ordering::Relaxed);
    }

    fn is_late(&self, now: Timestamp) -> bool {
        let silent = now.as_microsecond().saturating_sub(self.last.load(Ordering::Relaxed));
        i128::from(silent) > i128::try_from(self.at_most.as_micros()).unwrap_or(i128::MAX)
    }
}

/// The sign of life of a loop that goes by the machine's time.
#[derive(Debug, Clone)]
pub struct SteadyHeartbeat {
    name: &'static str,
    at_most: Duration,
    last: Arc<Mutex<Instant>>,
}

impl SteadyHeartbeat {
    /// Says that the loop came round now.
    pub fn beat(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = this_moment();
    }

    fn is_late(&self, now: Instant) -> bool {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        now.saturating_duration_since(last) > self.at_most
    }
}

#[expect(clippy::disallowed_methods, reason = "whether a loop of the process stands still goes by the machine's time")]
fn this_moment() -> Instant {
    Instant::now()
}
