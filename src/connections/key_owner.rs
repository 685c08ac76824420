//! What this process knows of whose the operator's API key is. A key is for one workspace for as long as it lives.
//!
//! Promises that what was learnt once is not forgotten.

use std::{sync::OnceLock, time::Duration};

use jiff::Timestamp;

use crate::{
    clock::{later, until},
    ids::WorkspaceId,
};

/// The shortest and the longest wait of a lead that is to be shown while Attio has not said whose the key is.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// The key's workspace, once Attio has named it.
#[derive(Debug, Default)]
pub(super) struct KeyOwner {
    known: OnceLock<WorkspaceId>,
    /// When a lead first had to wait for that.
    waited_since: OnceLock<Timestamp>,
}

impl KeyOwner {
    /// Attio has named it.
    pub(super) fn is(&self, workspace: WorkspaceId) {
        let _known_already = self.known.set(workspace);
    }

    pub(super) fn known(&self) -> Option<WorkspaceId> {
        self.known.get().copied()
    }

    /// When a lead looks again: the longer Attio has not said, the later, so that what waits costs little.
    pub(super) fn look_again_at(&self, now: Timestamp) -> Timestamp {
        let since = *self.waited_since.get_or_init(|| now);
        later(now, until(since, now).clamp(WAITS.0, WAITS.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_micros;

    #[test]
    fn the_longer_attio_has_not_said_the_later_a_lead_looks_again() {
        let (owner, at) = (KeyOwner::default(), |seconds: i64| from_micros(seconds * 1_000_000));
        for (now, again) in [(100, 101), (110, 120), (130, 160), (300, 360)] {
            assert_eq!(owner.look_again_at(at(now)), at(again), "{now}");
        }
    }
}
