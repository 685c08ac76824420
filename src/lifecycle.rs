//! The tasks of the process, and how a drain waits for them.
//!
//! Owns the only spawning: every task is tracked, so that a drain can wait for the requests and steps under way. Tasks
//! run on the runtime that the lifecycle was made on, not on that of the actix worker which starts them: a worker's
//! runtime has one thread and ends with the listener, while a send under way must go on.
//! Promises that nothing spawned here is forgotten, and that a loop which has stopped beating is noticed by `/healthz`.

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

/// The process's phases: running, then leaving, then stopping, then empty. Clones share one state.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    /// `None`: made outside of a runtime; tasks then run where they are spawned.
    runtime: Option<Handle>,
    leaving: CancellationToken,
    stopping: CancellationToken,
    loops: TaskTracker,
    work: TaskTracker,
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
        // What it logs, and what it is in a trace, belongs to the request that it was begun for.
        // Boxed first: what wraps a task moves it, and a step's future is some kilobytes.
        let task = traces::Span::current().within(Box::pin(task));
        self.start(self.work.track_future(task.in_current_span()))
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
        self.work.len()
    }

    /// From now on `/readyz` says 503, so that nobody routes here any more; all goes on as before.
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

    /// Waits until every task has ended; `false` if some were still running after `limit`.
    pub async fn drained(&self, limit: Duration) -> bool {
        self.loops.close();
        self.work.close();
        let all = async {
            self.loops.wait().await;
            self.work.wait().await;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_drain_waits_for_what_is_under_way() {
        let life = Lifecycle::new();
        let (release, gate) = tokio::sync::oneshot::channel::<()>();
        let task = life.spawn(async move { gate.await.is_ok() });
        life.stop();
        assert!(!life.drained(Duration::ZERO).await);
        release.send(()).expect("the task waits");
        assert!(life.drained(Duration::from_secs(5)).await);
        assert!(task.await.expect("the task ended"));
    }

    #[test]
    fn a_task_outlives_the_runtime_that_started_it() {
        let main =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let life = main.block_on(async { Lifecycle::new() });
        let worker = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let (release, gate) = tokio::sync::oneshot::channel::<()>();
        let task = {
            let _as_a_handler_would = worker.enter();
            life.spawn(async move { gate.await.is_ok() })
        };
        drop(worker);
        release.send(()).expect("the task still waits");
        assert!(main.block_on(task).expect("the task ended"));
    }

    #[tokio::test]
    async fn a_tasks_panic_goes_on_in_the_task_that_waits() {
        let life = Lifecycle::new();
        let task = life.spawn(async { panic!("a fault of ours") });
        let waits = life.spawn(async move { task.await.unwrap_or_else(|error| resume(error)) });
        let panic = waits.await.expect_err("it panics too").try_into_panic().expect("it was not cancelled");
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"a fault of ours"));
    }

    #[tokio::test]
    async fn what_a_task_logs_belongs_to_the_request_that_began_it() {
        let _listening = tracing::subscriber::set_default(tracing_subscriber::registry());
        let life = Lifecycle::new();
        let request = tracing::error_span!("request");
        let task = request.in_scope(|| life.spawn(async { tracing::Span::current().id() }));
        assert_eq!(task.await.expect("it ended"), request.id());
        assert!(request.id().is_some(), "a subscriber listens");
    }

    #[test]
    fn a_silent_loop_is_named() {
        let life = Lifecycle::new();
        let start = Timestamp::UNIX_EPOCH;
        let beat = life.heartbeat("reconciler", Duration::from_secs(5), start);
        assert!(life.stalled(start + Duration::from_secs(5)).is_empty());
        assert_eq!(life.stalled(start + Duration::from_secs(6)), ["reconciler"]);
        beat.beat(start + Duration::from_secs(6));
        assert!(life.stalled(start + Duration::from_secs(6)).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_loop_that_goes_by_the_machines_time_is_named() {
        let life = Lifecycle::new();
        let beat = life.steady_heartbeat("upkeep", Duration::from_secs(5));
        let stalled = || life.stalled(Timestamp::UNIX_EPOCH);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert!(stalled().is_empty());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(stalled(), ["upkeep"]);
        beat.beat();
        assert!(stalled().is_empty());
    }

    #[tokio::test]
    async fn leaving_comes_before_stopping_and_stopping_is_leaving_too() {
        let life = Lifecycle::new();
        life.leave();
        assert!(life.is_leaving() && !life.is_stopping());
        let life = Lifecycle::new();
        life.stop();
        assert!(life.is_leaving() && life.is_stopping());
        life.leaving().await;
    }
}
