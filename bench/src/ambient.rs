//! What the bench takes from the machine: its clock, tasks, random bytes, and standard output.
//!
//! Owns the only clock and the only `spawn` of this crate. All times of a run are nanoseconds since one beginning, so
//! that what the generator and the pretend services note can be compared.

use std::{
    future::Future,
    sync::LazyLock,
    time::{Duration, Instant},
};

#[expect(clippy::disallowed_methods, reason = "the bench measures real time; this is its one clock")]
static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Nanoseconds since the run began; never 0, which stands for "not yet" elsewhere.
pub(crate) fn now() -> u64 {
    u64::try_from(BEGINNING.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
}

/// The time between two answers of [`now`].
pub(crate) fn between(start: u64, end: u64) -> Duration {
    Duration::from_nanos(end.saturating_sub(start))
}

/// Runs `task` beside its caller.
#[expect(clippy::disallowed_methods, reason = "the bench's one spawn: it has no drain to take part in")]
pub(crate) fn spawn<F>(task: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(task)
}

/// Where the machine keeps its programs.
#[expect(clippy::disallowed_methods, reason = "the one variable that is not the run's own, read in one place")]
pub(crate) fn search_path() -> String {
    std::env::var("PATH").unwrap_or_default()
}

/// 16 random bytes.
pub(crate) fn random_bytes() -> [u8; 16] {
    *uuid::Uuid::new_v4().as_bytes()
}

/// Prints a line of the report.
#[expect(clippy::print_stdout, reason = "the report is what the bench is for")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// Tells how far the run is, apart from the report.
#[expect(clippy::print_stderr, reason = "progress goes where the report does not")]
pub(crate) fn tell(line: &str) {
    eprintln!("{line}");
}
