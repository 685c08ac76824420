//! How many requests a workspace may make: `HTTP__REQUESTS_PER_SECOND`.
//!
//! Promises that one workspace's flood takes nothing from another's share, that it never keeps connection-removed out
//! (which has a share of its own: what ends things must not get lost), and that workspaces which are quiet cost no
//! memory. Each process counts for itself. Only the workspace of a verified token is counted: nobody can spend
//! another's share, nor fill the memory with made-up ones.

use std::{num::NonZeroU32, sync::Arc};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::NoOpMiddleware,
    state::keyed::DefaultKeyedStateStore,
};

use super::problem::{Problem, Slug};
use crate::ids::WorkspaceId;

/// What a request is counted among.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Share {
    /// All that the Attio app does.
    Usual,
    /// connection-removed.
    Ending,
}

type Key = (WorkspaceId, Share);
type Limiter<C> = RateLimiter<Key, DefaultKeyedStateStore<Key>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// The shares of all workspaces. Clones share them.
pub struct Limits<C: Clock = DefaultClock> {
    limiter: Option<Arc<Limiter<C>>>,
    clock: C,
}

impl Limits {
    /// So many requests a second for each workspace; 0: any number.
    pub fn new(requests_per_second: u32) -> Self {
        Self::by(requests_per_second, DefaultClock::default())
    }
}

impl<C: Clock + Clone> Limits<C> {
    fn by(requests_per_second: u32, clock: C) -> Self {
        let limiter = NonZeroU32::new(requests_per_second).map(|rate| {
            Arc::new(RateLimiter::new(Quota::per_second(rate), DefaultKeyedStateStore::default(), clock.clone()))
        });
        Self { limiter, clock }
    }

    /// Counts a request; beyond the workspace's share it is refused.
    pub fn count(&self, workspace: WorkspaceId, share: Share) -> Result<(), Problem> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        limiter.check_key(&(workspace, share)).map_err(|until| {
            Problem::new(Slug::TooManyRequests, "This workspace sends too much: wait as long as Retry-After says.")
                .retry_after(until.wait_time_from(self.clock.now()))
        })
    }

    /// Forgets the workspaces that have the whole of their share again.
    pub fn forget_the_quiet(&self) {
        if let Some(limiter) = &self.limiter {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

impl<C: Clock + Clone> Clone for Limits<C> {
    fn clone(&self) -> Self {
        Self { limiter: self.limiter.clone(), clock: self.clock.clone() }
    }
}

impl<C: Clock> std::fmt::Debug for Limits<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Limits")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use actix_web::ResponseError as _;
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn workspace(number: u128) -> WorkspaceId {
        WorkspaceId(uuid::Uuid::from_u128(number))
    }

    #[test]
    fn a_flood_is_refused_and_takes_nothing_from_others() {
        let clock = FakeRelativeClock::default();
        let limits = Limits::by(10, clock.clone());
        let count = |number| limits.count(workspace(number), Share::Usual);
        for _ in 0..10 {
            count(1).expect("within its share");
        }
        let refused = count(1).expect_err("beyond").error_response();
        assert_eq!(refused.status(), 429);
        assert_eq!(refused.headers().get("retry-after").expect("a wait"), "1");
        count(2).expect("another workspace");
        limits.count(workspace(1), Share::Ending).expect("it may leave");
        clock.advance(Duration::from_millis(100));
        count(1).expect("a tenth of a second is worth one");
        count(1).expect_err("and no more");
    }

    #[test]
    fn leaving_has_a_limit_too() {
        let limits = Limits::by(3, FakeRelativeClock::default());
        let leave = || limits.count(workspace(1), Share::Ending);
        (0..3).for_each(|_| leave().expect("within its share"));
        leave().expect_err("beyond");
    }

    #[test]
    fn zero_is_no_limit() {
        let limits = Limits::new(0);
        (0..10_000).for_each(|_| limits.count(workspace(1), Share::Usual).expect("no limit"));
    }

    #[test]
    fn quiet_workspaces_are_forgotten() {
        let clock = FakeRelativeClock::default();
        let limits = Limits::by(10, clock.clone());
        (0..1000).for_each(|number| limits.count(workspace(number), Share::Usual).expect("within"));
        let known = || limits.limiter.as_ref().expect("a limit").len();
        limits.forget_the_quiet();
        assert_eq!(known(), 1000, "they were here just now");
        clock.advance(Duration::from_secs(2));
        limits.count(workspace(7), Share::Usual).expect("within");
        limits.forget_the_quiet();
        assert_eq!(known(), 1);
    }
}
