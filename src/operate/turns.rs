//! Turns of leads that an operator has tried or replayed together.
//!
//! A list is asked for page by page, and each page by itself would begin with the first turn: over each other they
//! would crowd before ALC, whose gate does not pace. Promises that a page begins where the pages before it end, in
//! this process.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::clock::{Timestamp, later, until};

/// When the next turn is free. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Turns(Arc<Mutex<Option<Timestamp>>>);

impl Turns {
    /// The first free turn, counted from now.
    pub(super) fn first(&self, pace: Duration, now: Timestamp) -> u32 {
        let free = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = free.filter(|free| *free > now).map_or(Duration::ZERO, |free| until(now, free));
        let turns = if pace.is_zero() { 0 } else { wait.as_micros().div_ceil(pace.as_micros().max(1)) };
        u32::try_from(turns).unwrap_or(u32::MAX)
    }

    /// All turns before that one are taken.
    pub(super) fn taken(&self, next: u32, pace: Duration, now: Timestamp) {
        let free = later(now, pace.saturating_mul(next));
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *known = (*known).max(Some(free));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_begins_where_the_one_before_it_ends() {
        let (turns, pace) = (Turns::default(), Duration::from_millis(40));
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(turns.first(pace, now), 0);
        turns.taken(50, pace, now);
        assert_eq!(turns.first(pace, now), 50);
        assert_eq!(turns.first(pace, later(now, pace * 30)), 20);
        assert_eq!(turns.first(pace, later(now, pace * 60)), 0);
        assert_eq!(turns.first(Duration::ZERO, now), 0);
    }
}
