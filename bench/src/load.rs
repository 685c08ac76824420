//! The load: callers that go through units of work, in a closed or an open loop.
//!
//! In the closed loop a caller begins its next unit when it has the last one's answer, so the services set the pace.
//! In the open loop units begin at fixed moments, whatever the service does meanwhile, and their latency counts from
//! the moment when they should have begun: a service that stands still for a second then shows a second of latency in
//! all that fell into it, not in one request for each caller (coordinated omission).

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use hdrhistogram::Histogram;
use hyper::StatusCode;
use tokio::sync::Semaphore;

use crate::{
    ambient::{between, now, spawn},
    caller::{Call, Caller},
};

/// A minute, in nanoseconds: nothing that takes longer is told apart.
const LONGEST: u64 = 60_000_000_000;
/// Each figure has three digits that are right.
const DIGITS: u8 = 3;
/// So many requests of an open loop may be under way at once; those beyond wait here, and their latency counts it.
const UNDER_WAY: usize = 512;

/// What the callers go through.
pub(crate) trait Units: Send + Sync + 'static {
    /// How many there are.
    fn count(&self) -> usize;
    /// The requests of one, in order, each with the answer that it must get.
    fn requests(&self, unit: usize) -> Vec<(Call, StatusCode)>;
    /// It was to begin at `at`.
    fn begin(&self, unit: usize, request: usize, at: u64);
}

/// What came of it.
pub(crate) struct Outcome {
    /// Nanoseconds.
    pub(crate) latency: Histogram<u64>,
    /// From the first request to the last answer.
    pub(crate) elapsed: Duration,
    /// What was not answered as it must be.
    pub(crate) failures: Vec<String>,
}

/// A histogram of nanoseconds.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST, DIGITS).expect("the bounds are in order, and three digits are allowed")
}

/// Who begins which unit, and when.
struct Pace {
    next: AtomicUsize,
    /// Each permit lets a unit begin; none: at once.
    turns: Option<Semaphore>,
    start: u64,
    step: f64,
}

impl Pace {
    fn due(&self, unit: usize) -> Option<u64> {
        self.turns.as_ref().map(|_| self.at(unit))
    }

    fn at(&self, unit: usize) -> u64 {
        self.start + (unit as f64 * self.step) as u64
    }
}

/// Goes through all units; `rate` a second, or as fast as so many callers can.
pub(crate) async fn run(
    service: SocketAddr,
    units: Arc<impl Units>,
    callers: usize,
    rate: Option<u32>,
) -> Result<Outcome, String> {
    let callers = if rate.is_some() { UNDER_WAY } else { callers };
    with(service, units, callers, rate).await
}

async fn with(
    service: SocketAddr,
    units: Arc<impl Units>,
    callers: usize,
    rate: Option<u32>,
) -> Result<Outcome, String> {
    let callers = callers.min(units.count()).max(1);
    let step = rate.map_or(0.0, |rate| 1e9 / f64::from(rate));
    let turns = rate.map(|_| Semaphore::new(0));
    let start = now();
    let pace = Arc::new(Pace { next: AtomicUsize::new(0), turns, start, step });
    let tasks: Vec<_> =
        (0..callers).map(|_| spawn(one_caller(service, Arc::clone(&units), Arc::clone(&pace)))).collect();
    if rate.is_some() {
        let (pace, count) = (Arc::clone(&pace), units.count());
        std::thread::spawn(move || give_turns(&pace, count));
    }
    let mut outcome = Outcome { latency: histogram(), elapsed: Duration::ZERO, failures: Vec::new() };
    for task in tasks {
        let (latency, failures) = task.await.map_err(|error| error.to_string())?;
        outcome.latency.add(latency).map_err(|error| error.to_string())?;
        outcome.failures.extend(failures);
    }
    outcome.elapsed = between(start, now());
    Ok(outcome)
}

/// A thread of its own sleeps to within a tenth of a millisecond; tokio's timer rounds up to whole ones.
fn give_turns(pace: &Pace, count: usize) {
    let Some(turns) = &pace.turns else { return };
    for unit in 0..count {
        std::thread::sleep(between(now(), pace.at(unit)));
        turns.add_permits(1);
    }
}

async fn one_caller(service: SocketAddr, units: Arc<impl Units>, pace: Arc<Pace>) -> (Histogram<u64>, Vec<String>) {
    let (mut latency, mut failures, mut caller) = (histogram(), Vec::new(), Caller::to(service));
    loop {
        if let Some(turns) = &pace.turns
            && pace.next.load(Relaxed) < units.count()
        {
            match turns.acquire().await {
                Ok(turn) => turn.forget(),
                Err(_) => break,
            }
        }
        let unit = pace.next.fetch_add(1, Relaxed);
        if unit >= units.count() {
            // A caller that waits for a turn although all are given must end as well.
            if let Some(turns) = &pace.turns {
                turns.add_permits(1);
            }
            break;
        }
        let mut due = pace.due(unit);
        for (order, (call, expected)) in units.requests(unit).into_iter().enumerate() {
            let begun = due.take().unwrap_or_else(now);
            units.begin(unit, order, begun);
            match caller.call(call).await {
                Ok((status, _)) if status == expected => {}
                Ok((status, body)) => {
                    failures.push(format!("{status} instead of {expected}: {}", String::from_utf8_lossy(&body)));
                }
                Err(error) => failures.push(error),
            }
            latency.saturating_record(now().saturating_sub(begun));
        }
    }
    (latency, failures)
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;
    use crate::caller::get;

    const STEP: Duration = Duration::from_millis(1);
    const SLOWNESS: Duration = Duration::from_millis(5);

    struct Gets(SocketAddr, usize);

    impl Units for Gets {
        fn count(&self) -> usize {
            self.1
        }

        fn requests(&self, _unit: usize) -> Vec<(Call, StatusCode)> {
            vec![(get(self.0, "/"), StatusCode::OK)]
        }

        fn begin(&self, _unit: usize, _request: usize, _at: u64) {}
    }

    /// Answers `status` to each request, some milliseconds later.
    async fn slow_service(status: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                spawn(async move {
                    let mut request = [0; 1024];
                    while stream.read(&mut request).await.is_ok_and(|length| length > 0) {
                        tokio::time::sleep(SLOWNESS).await;
                        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                        if stream.write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        address
    }

    #[tokio::test]
    async fn what_waits_for_a_free_caller_counts_as_latency_in_an_open_loop() {
        let service = slow_service("200 OK").await;
        let outcome = with(service, Arc::new(Gets(service, 50)), 1, Some(1_000)).await.expect("an outcome");
        assert_eq!((outcome.latency.len(), outcome.failures.len()), (50, 0));
        // The last was to begin after 49 steps and could only after 49 slow answers.
        let last = Duration::from_nanos(outcome.latency.max());
        assert!(last >= (SLOWNESS - STEP) * 40, "{last:?}");
    }

    #[tokio::test]
    async fn in_a_closed_loop_a_request_begins_when_its_caller_is_free() {
        let service = slow_service("200 OK").await;
        let outcome = with(service, Arc::new(Gets(service, 50)), 4, None).await.expect("an outcome");
        assert_eq!((outcome.latency.len(), outcome.failures.len()), (50, 0));
        assert!(Duration::from_nanos(outcome.latency.min()) >= SLOWNESS);
        assert!(outcome.elapsed >= SLOWNESS * 12, "{:?}", outcome.elapsed);
    }

    #[tokio::test]
    async fn another_answer_than_expected_is_a_failure() {
        let service = slow_service("503 Service Unavailable").await;
        let outcome = with(service, Arc::new(Gets(service, 3)), 2, None).await.expect("an outcome");
        assert_eq!(outcome.failures.len(), 3);
        assert!(outcome.failures[0].starts_with("503 "), "{}", outcome.failures[0]);
    }
}
