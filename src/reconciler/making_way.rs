//! How work that nobody waits for makes way while callers wait for a slow store.
//!
//! Promises that it goes on all the same, at two hundred a second: a store that is always slow, with callers that are
//! always there, must not keep it for ever.

use std::time::Duration;

use tokio::time::Instant;

use crate::store::Quota;

/// So many at a time are leased then, so far apart.
const AT_A_TIME: usize = 8;
pub(super) const APART: Duration = Duration::from_millis(40);

/// When the next few may be leased.
#[derive(Default)]
pub(super) struct MakingWay(Option<Instant>);

impl MakingWay {
    /// Narrows what may be leased of such work, if it is to make way; whether it is.
    pub(super) fn narrow(&mut self, quota: &mut Quota, makes_way: bool) -> bool {
        if makes_way {
            self.narrow_at(quota, now());
        } else {
            self.0 = None;
        }
        makes_way
    }

    fn narrow_at(&mut self, quota: &mut Quota, now: Instant) {
        if self.0.is_some_and(|next| now < next) {
            quota.max = 0;
        } else if quota.max > 0 {
            quota.max = quota.max.min(AT_A_TIME);
            self.0 = Some(now + APART);
        }
    }

    /// Resolves when the next few may be leased; with no time known, a moment later.
    pub(super) async fn over(&self) {
        tokio::time::sleep_until(self.0.unwrap_or_else(|| now() + APART)).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "as for `Pressure`: only who goes first is decided by it")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_way_goes_on_at_two_hundred_a_second() {
        let (mut making_way, began) = (MakingWay::default(), now());
        let mut leased = 0;
        for millis in 0..1_000 {
            let mut quota = Quota { max: 32, per_tenant: 8, skip: Vec::new() };
            making_way.narrow_at(&mut quota, began + Duration::from_millis(millis));
            leased += quota.max;
        }
        assert_eq!(leased, 200);
    }

    #[test]
    fn nothing_is_held_back_once_there_is_no_need() {
        let mut making_way = MakingWay::default();
        let quota = || Quota { max: 32, per_tenant: 8, skip: Vec::new() };
        let mut narrowed = [quota(), quota(), quota()];
        for (quota, makes_way) in narrowed.iter_mut().zip([true, true, false]) {
            assert_eq!(making_way.narrow(quota, makes_way), makes_way);
        }
        assert_eq!(narrowed.map(|quota| quota.max), [AT_A_TIME, 0, 32]);
    }
}
