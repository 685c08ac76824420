//! How work that no caller waits for makes way while callers wait for a slow store.
//!
//! Promises that it goes on all the same, at a hundred leases a second: a store that is always slow, with callers
//! that are always there, must not keep it for ever.

use std::time::Duration;

use tokio::time::Instant;

use crate::store::Quota;

/// So many at a time are leased then, so far apart.
const AT_A_TIME: usize = 8;
const APART: Duration = Duration::from_millis(80);

/// When the next few may be leased.
#[derive(Default)]
pub(super) struct MakingWay(Option<Instant>);

impl MakingWay {
    /// Narrows what may be leased of such work now. Answers when more of it may be, which is later than now.
    pub(super) fn narrow(&mut self, quota: &mut Quota, now: Instant) -> Instant {
        if let Some(next) = self.0.filter(|next| now < *next) {
            quota.max = 0;
            return next;
        }
        quota.max = quota.max.min(AT_A_TIME);
        *self.0.insert(now + APART)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Pressure;

    #[test]
    fn what_makes_way_goes_on_at_a_hundred_a_second() {
        let (mut making_way, began) = (MakingWay::default(), Pressure::now());
        let mut leased = 0;
        for millis in 0..8_000 {
            let mut quota = Quota { max: 32, per_tenant: 8, skip: Vec::new() };
            making_way.narrow(&mut quota, began + Duration::from_millis(millis));
            leased += quota.max;
        }
        assert_eq!(leased, 800);
    }

    #[test]
    fn the_next_look_is_never_at_once_whether_seats_are_free_or_not() {
        let (mut making_way, began) = (MakingWay::default(), Pressure::now());
        for (millis, seats) in [(0, 32), (10, 24), (81, 0), (170, 0), (171, 0), (500, 8)] {
            let now = began + Duration::from_millis(millis);
            let mut quota = Quota { max: seats, per_tenant: 8, skip: Vec::new() };
            assert!(making_way.narrow(&mut quota, now) > now, "after {millis} ms: the loop would ask without a pause");
        }
    }
}
