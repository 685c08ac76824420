//! Time, as a parameter.
//!
//! Owns the [`Clock`] trait and its general implementations. Nothing else in the service reads the machine's clock
//! (clippy's `disallowed-methods` sees to it): state machines take `now`, and a task that has to wait asks the clock,
//! so a test can move a month ahead without sleeping. An engine brings the clock that its leases need: the Redis engine
//! that of its server, so that replicas agree on leases although their machines' clocks do not, and the SQLite engine a
//! [`SteadyClock`], so that a step of the machine's clock ends no lease.

mod steady;

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

pub use self::steady::SteadyClock;
pub use jiff::Timestamp;
use tokio::sync::watch;

/// A boxed future, as object-safe traits return it.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A source of time. Timestamps have microsecond resolution, because that is what both stores keep.
pub trait Clock: Send + Sync + 'static {
    /// The current time, truncated to microseconds.
    fn now(&self) -> Timestamp;

    /// What the time of another machine is compared with, such as when a message was signed: right as soon as the wall
    /// clock is, also where [`Clock::now`] has yet to catch up with it.
    fn wall(&self) -> Timestamp {
        self.now()
    }

    /// Resolves once [`Clock::now`] has reached `deadline`; at once if it already has.
    fn sleep_until(&self, deadline: Timestamp) -> Sleep;
}

/// How a clock is passed around.
pub type SharedClock = Arc<dyn Clock>;

/// Truncates to the resolution that the stores keep, so that a time survives a round trip unchanged.
pub fn truncated(time: Timestamp) -> Timestamp {
    from_micros(time.as_microsecond())
}

/// The inverse of [`Timestamp::as_microsecond`]; times outside jiff's range are clamped to it.
pub fn from_micros(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(if micros < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

/// `time + by`, clamped to the representable range.
pub fn later(time: Timestamp, by: Duration) -> Timestamp {
    let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
    from_micros(time.as_microsecond().saturating_add(micros))
}

/// `time - by`, clamped to the representable range.
pub fn earlier(time: Timestamp, by: Duration) -> Timestamp {
    let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
    from_micros(time.as_microsecond().saturating_sub(micros))
}

/// How long after `from` `to` is; zero if it is not after it.
pub fn until(from: Timestamp, to: Timestamp) -> Duration {
    let micros = to.as_microsecond().saturating_sub(from.as_microsecond());
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// Sleeps until `clock` shows `deadline`, for a clock that does not go as the machine's timers do: after each sleep, of
/// `at_most` this long, it is looked at again.
pub async fn sleep_by(clock: impl Clock, deadline: Timestamp, at_most: Duration) {
    loop {
        let wait = until(clock.now(), deadline);
        if wait.is_zero() {
            return;
        }
        tokio::time::sleep(wait.min(at_most)).await;
    }
}

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> Timestamp {
        truncated(Timestamp::now())
    }

    fn sleep_until(&self, deadline: Timestamp) -> Sleep {
        let wait = until(self.now(), deadline);
        Box::pin(tokio::time::sleep(wait))
    }
}

/// A clock that moves only when told to. Tests share one between replicas.
#[derive(Debug, Clone)]
pub struct ManualClock {
    now: watch::Sender<Timestamp>,
    sleepers: Arc<Mutex<BTreeMap<u64, Timestamp>>>,
}

impl ManualClock {
    /// A clock that shows `start`.
    pub fn new(start: Timestamp) -> Self {
        Self { now: watch::Sender::new(truncated(start)), sleepers: Arc::default() }
    }

    /// Moves the clock ahead and wakes the sleepers whose time has come.
    pub fn advance(&self, by: Duration) {
        self.now.send_modify(|now| *now = later(*now, by));
    }

    /// How many sleepers have not noticed yet that their time has come.
    pub fn waking(&self) -> usize {
        let now = self.now();
        self.sleepers.lock().unwrap_or_else(PoisonError::into_inner).values().filter(|until| **until <= now).count()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.now.borrow()
    }

    fn sleep_until(&self, deadline: Timestamp) -> Sleep {
        let mut now = self.now.subscribe();
        let sleeper = Sleeper::new(&self.sleepers, deadline);
        Box::pin(async move {
            let _sleeper = sleeper;
            if now.wait_for(|now| *now >= deadline).await.is_err() {
                // Every handle on the clock is gone: that time will never come.
                std::future::pending::<()>().await;
            }
        })
    }
}

/// A task that sleeps until a time, on record until it wakes or is dropped.
struct Sleeper {
    sleepers: Arc<Mutex<BTreeMap<u64, Timestamp>>>,
    id: u64,
}

impl Sleeper {
    fn new(sleepers: &Arc<Mutex<BTreeMap<u64, Timestamp>>>, until: Timestamp) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        sleepers.lock().unwrap_or_else(PoisonError::into_inner).insert(id, until);
        Self { sleepers: sleepers.clone(), id }
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.sleepers.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_manual_clock_wakes_a_sleeper_when_its_time_comes_and_not_before() {
        let clock = ManualClock::new(from_micros(0));
        let mut sleep = clock.sleep_until(from_micros(1_000_000));
        clock.advance(Duration::from_micros(999_999));
        assert!(futures_util::poll!(&mut sleep).is_pending());
        assert_eq!(clock.waking(), 0);
        clock.advance(Duration::from_micros(1));
        assert_eq!(clock.waking(), 1);
        assert!(futures_util::poll!(&mut sleep).is_ready());
        assert_eq!(clock.waking(), 0);
    }

    #[test]
    fn arithmetic_is_clamped_instead_of_panicking() {
        assert_eq!(later(Timestamp::MAX, Duration::MAX), Timestamp::MAX);
        assert_eq!(earlier(Timestamp::MIN, Duration::MAX), Timestamp::MIN);
        assert_eq!(until(from_micros(5), from_micros(3)), Duration::ZERO);
    }
}
