//! Where tasks run, and what a drain waits for.

use tokio::runtime::{Builder, Id, Runtime};

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
    let (main, worker, life) = apart();
    let (release, gate) = tokio::sync::oneshot::channel::<()>();
    let task = {
        let _as_a_handler_would = worker.enter();
        life.spawn(async move { gate.await.is_ok() })
    };
    drop(worker);
    release.send(()).expect("the task still waits");
    assert!(main.block_on(task).expect("the task ended"));
}

/// The runtime at home, that of a thread which answers requests, and the lifecycle of both.
fn apart() -> (Runtime, Runtime, Lifecycle) {
    let home = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let worker = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let life = home.block_on(async { Lifecycle::new() });
    (home, worker, life)
}

async fn where_it_runs() -> Id {
    Handle::current().id()
}

#[test]
fn a_task_begun_here_runs_here_until_the_process_leaves_and_at_home_then() {
    let (home, worker, life) = apart();
    let ran = || worker.block_on(async { life.spawn_here(where_it_runs()).await.expect("it ended") });
    assert_eq!(ran(), worker.handle().id());
    life.leave();
    assert_eq!(ran(), home.handle().id());
}

#[test]
fn what_no_caller_waits_for_runs_at_home_while_many_tasks_are_away() {
    let (home, worker, life) = apart();
    let ran = || worker.block_on(async { life.spawn_near(where_it_runs()).await.expect("it ended") });
    assert_eq!(ran(), worker.handle().id());
    worker.block_on(async { (0..NEAR).for_each(|_| drop(life.spawn_here(std::future::pending::<()>()))) });
    assert_eq!(ran(), home.handle().id());
}

#[test]
fn what_is_under_way_on_a_thread_is_waited_for_before_that_ends_and_so_is_what_it_begins_at_home() {
    let (home, worker, life) = apart();
    let (release, gate) = tokio::sync::oneshot::channel::<()>();
    let (done, is_done) = tokio::sync::oneshot::channel();
    worker.block_on(async {
        let begins = life.clone();
        drop(life.spawn_here(async move {
            gate.await.expect("it is let go");
            begins.spawn(async move { done.send(()) });
        }));
        life.stop();
        assert_eq!(life.under_way(), 1);
        let ended = tokio::time::timeout(Duration::ZERO, life.away_ended()).await;
        assert!(ended.is_err() && !life.drained(Duration::ZERO).await);
        release.send(()).expect("the task waits");
        tokio::time::timeout(Duration::from_secs(5), life.away_ended()).await.expect("it ends");
    });
    drop(worker);
    assert!(home.block_on(life.drained(Duration::from_secs(5))));
    is_done.blocking_recv().expect("what it began has ended, too");
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
