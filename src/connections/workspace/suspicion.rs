//! Refusals that may be a mistake of ALC's: how many it takes until they are believed.
//!
//! Promises that one stray refusal ends nothing, however many requests meet it at the same time, and that refusals
//! which go on over a minute are believed.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::clock::{later, until};

/// After a refusal ALC is asked again this much later. Refusals in between are the same one: a workspace has many
/// leads.
pub(in crate::connections) const ASK_AGAIN: Duration = Duration::from_secs(30);
/// So many refusals, each at least [`ASK_AGAIN`] after the one before, are believed.
const BELIEVED: u32 = 3;
/// A refusal that came so long after the one before has nothing to do with it: ALC has most likely answered well since.
const FORGOTTEN: Duration = Duration::from_secs(15 * 60);

/// What speaks against the tokens of one generation. It says nothing about the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::connections) struct Suspicion {
    generation: u64,
    /// When the first refusal came.
    since: Timestamp,
    /// When the last one came that counted.
    last_at: Timestamp,
    times: u32,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl Suspicion {
    /// ALC refused the tokens of `generation`; whether that is to be believed by now.
    pub(super) fn note(suspicion: &mut Option<Self>, generation: u64, now: Timestamp) -> bool {
        let known = suspicion.take().filter(|it| it.generation == generation && until(it.last_at, now) < FORGOTTEN);
        let mut noted =
            known.unwrap_or_else(|| Self { generation, since: now, last_at: now, times: 0, extra: Map::new() });
        if noted.times == 0 || now >= noted.ask_again_at() {
            noted.times += 1;
            noted.last_at = now;
        }
        let is_believed = noted.is_believed();
        *suspicion = Some(noted);
        is_believed
    }

    /// Whether there have been so many refusals that they are no stray.
    pub(super) fn is_believed(&self) -> bool {
        self.times >= BELIEVED
    }

    /// Whether it is about the tokens of this generation.
    pub(super) fn is_of(&self, generation: u64) -> bool {
        self.generation == generation
    }

    /// When ALC may be asked again.
    pub(super) fn ask_again_at(&self) -> Timestamp {
        later(self.last_at, ASK_AGAIN)
    }

    /// When the first refusal came.
    pub(super) fn since(&self) -> Timestamp {
        self.since
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_micros;

    fn after(seconds: u64) -> Timestamp {
        later(from_micros(1_700_000_000_000_000), Duration::from_secs(seconds))
    }

    /// When ALC refuses at these seconds, whether each is believed.
    fn believed(refusals: &[u64]) -> Vec<bool> {
        let mut suspicion = None;
        refusals.iter().map(|seconds| Suspicion::note(&mut suspicion, 1, after(*seconds))).collect()
    }

    #[test]
    fn refusals_of_one_moment_are_one_refusal() {
        assert_eq!(believed(&[0, 0, 1, 5, 29]), [false; 5]);
    }

    #[test]
    fn refusals_that_go_on_are_believed() {
        assert_eq!(believed(&[0, 30, 60]), [false, false, true]);
        assert_eq!(believed(&[0, 10, 31, 32, 61]), [false, false, false, false, true]);
        assert_eq!(believed(&[0, 600, 1200]), [false, false, true]);
    }

    #[test]
    fn refusals_far_apart_are_strays() {
        assert_eq!(believed(&[0, 900, 1800, 2700]), [false; 4]);
    }

    #[test]
    fn what_was_said_of_other_tokens_counts_for_nothing() {
        let mut suspicion = None;
        assert!(!Suspicion::note(&mut suspicion, 1, after(0)));
        assert!(!Suspicion::note(&mut suspicion, 1, after(30)));
        assert!(!Suspicion::note(&mut suspicion, 2, after(60)));
        assert!(suspicion.is_some_and(|suspicion| suspicion.is_of(2) && suspicion.since() == after(60)));
    }
}
