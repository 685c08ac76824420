//! What is written: an all-or-nothing commit over the aggregates of one tenant.

use std::fmt;

use std::borrow::Cow;

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    document::{Key, Lease, Version},
    gate::{Gate, Verdict},
};
use crate::ids::random_uuid;

/// How many bits of a version are random. What a release before this one wrote has a count in them; the next commit
/// begins to count above them.
const RANDOM_BITS: u32 = 32;

/// What a write does to the lease, and so to the due time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseChange {
    /// Leaves a lease alone, live or run out; on an unleased aggregate the due time becomes `due`. A writer that
    /// does not hold the lease writes this, with `Some(now)` unless there is nothing to do before a known time.
    Leave {
        /// The due time of an unleased aggregate.
        due: Option<Timestamp>,
    },
    /// Takes a lease on an aggregate that has none, not even one that ran out: else the commit conflicts.
    Take(Lease),
    /// Extends the lease with this token: if that is no longer the lease's token, the commit conflicts.
    Hold(Lease),
    /// Ends the lease with this token: if that is no longer the lease's token, the commit conflicts.
    End {
        /// The holder's token.
        token: Uuid,
        /// When to look again; `None`: never, unless another writer sets a due time.
        due: Option<Timestamp>,
    },
}

/// What becomes of an aggregate.
#[derive(Clone)]
pub enum Change {
    /// The whole new body.
    Put {
        /// JSON.
        body: String,
        /// The new label.
        status: Cow<'static, str>,
        /// The new place in the order of pages.
        created_at: Timestamp,
        /// What becomes of the lease.
        lease: LeaseChange,
        /// It is leased from a lane of its own, past all that is not urgent; see [`super::Aggregate::is_urgent`].
        urgent: bool,
        /// For receipts only: from then on it does not exist. `now` decides, an engine's own expiry only collects the
        /// garbage.
        expires_at: Option<Timestamp>,
    },
    /// Removes the aggregate from the store and from every index, whatever its lease: the expected version says that
    /// the writer saw its last state.
    Erase,
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put { status, lease, .. } => {
                f.debug_struct("Put").field("status", status).field("lease", lease).finish_non_exhaustive()
            }
            Self::Erase => f.write_str("Erase"),
        }
    }
}

/// One aggregate's part of a commit.
#[derive(Debug, Clone)]
pub struct Write {
    /// Which aggregate.
    pub key: Key,
    /// The version that it must still have; `None`: it must not exist.
    pub expected: Option<Version>,
    /// What becomes of it.
    pub change: Change,
}

/// A slot to be reserved with a commit, kept beside the aggregate `key` (one of the commit's writes).
#[derive(Debug, Clone)]
pub struct Reserve {
    /// The gate of the commit's tenant.
    pub gate: Gate,
    /// Beside which aggregate the slot is kept.
    pub key: Key,
}

/// All or nothing: if any expectation fails, nothing is written and no slot is taken.
#[derive(Debug, Clone)]
pub struct Commit {
    /// Random. The last few ids are kept with their verdicts, so that a commit repeated after a lost answer has no
    /// second effect and gets the first one's answer.
    pub id: Uuid,
    /// What is written. An aggregate appears at most once.
    pub writes: Vec<Write>,
    /// Versions that must still stand, of aggregates that are not written.
    pub checks: Vec<(Key, Version)>,
    /// A slot to reserve with it.
    pub reserve: Option<Reserve>,
    /// It begins something new, also where it creates nothing: a full store refuses it.
    pub begins: bool,
}

impl Commit {
    /// A commit of these writes, with a fresh id.
    pub fn of(writes: Vec<Write>) -> Self {
        Self { id: random_uuid(), writes, checks: Vec::new(), reserve: None, begins: false }
    }

    /// The version that this commit gives to what it writes over `expected`: a count in the upper half, and in the
    /// lower half what is random about this commit. After a fail-over that loses commits another writer counts on from
    /// an older version. Were versions counts alone, the two counts would meet again, and a worker that knows of the
    /// lost commit would overwrite what it has never seen: a callback that ALC was told is accepted.
    pub fn version_after(&self, expected: Option<Version>) -> Version {
        let count = (expected.unwrap_or(0) >> RANDOM_BITS) + 1;
        let (random, _) = self.id.as_u64_pair();
        (count << RANDOM_BITS) | (random >> RANDOM_BITS)
    }
}

/// What a commit came to.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// Everything was written; every version written is [`Commit::version_after`] the expected one. With a reservation,
    /// the verdict says whether to go now; [`Verdict::Go`] without one.
    Done(Verdict),
    /// Something had changed; nothing was written. Load again.
    Conflict,
}

impl Write {
    /// The due time that it gives, unless a lease outranks it.
    pub(super) fn due(&self) -> Option<Timestamp> {
        match &self.change {
            Change::Put { lease: LeaseChange::Leave { due } | LeaseChange::End { due, .. }, .. } => *due,
            Change::Put { .. } | Change::Erase => None,
        }
    }
}
