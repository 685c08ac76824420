//! What is asked for and found: loads, leases, pages and counts.

use std::{fmt, str::FromStr, time::Duration};

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    aggregate::{Aggregate, CodecError, Versioned},
    document::{Document, Key, Kind, Tenant},
    error::StoreError,
    gate::{Gate, GateView},
};

/// An aggregate that [`super::Engine::lease_due`] leased to the caller.
#[derive(Debug, Clone)]
pub struct Leased {
    /// The tenant that it belongs to.
    pub tenant: Tenant,
    /// Which it is.
    pub key: Key,
    /// As it is now; its `lease` is the caller's.
    pub document: Document,
    /// The lease before ran out without having been ended: the step then under way has an unknown outcome.
    pub ran_out: bool,
    /// What [`LeaseRequest::beside`] asked for, as it was when this was leased: in a cluster one of whose servers is
    /// silent, two seconds ago. `None`: nothing was asked for, or the store could not read it.
    pub beside: Option<Loaded>,
}

/// Which lease on which aggregate [`super::Engine::lease_due`] gave to a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The aggregate.
    pub key: Key,
    /// The lease's token.
    pub token: Uuid,
    /// As [`Leased::ran_out`].
    pub ran_out: bool,
}

/// What [`super::Engine::lease_due`] found.
#[derive(Debug, Clone)]
pub struct Due {
    /// What it leased to the caller.
    pub leased: Vec<Leased>,
    /// Nothing else was due that the request did not exclude by its quotas. `false`: it is not known. Part of the store
    /// gave no answer, another replica was faster, or not all of a long queue was looked at.
    pub saw_end: bool,
}

impl Leased {
    /// What is needed to put it back.
    pub fn taken(&self) -> Option<Taken> {
        let token = self.document.lease?.token;
        Some(Taken { key: self.key.clone(), token, ran_out: self.ran_out })
    }
}

/// What [`super::Engine::lease_due`] may take.
#[derive(Debug, Clone)]
pub struct LeaseRequest {
    /// How much of what is urgent.
    pub urgent: Quota,
    /// How much of what is not.
    pub others: Quota,
    /// How long each lease lasts.
    pub duration: Duration,
    /// What of the tenant a worker needs besides, to begin.
    pub beside: Beside,
}

/// What is asked for of the tenants of what is leased: the same as of [`super::Engine::load`].
#[derive(Debug, Clone, Default)]
pub struct Beside {
    /// Aggregates.
    pub keys: Vec<Key>,
    /// Gates.
    pub gates: Vec<Gate>,
}

impl Beside {
    /// Whether nothing is asked for.
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.gates.is_empty()
    }
}

/// How much of one lane may be taken.
#[derive(Debug, Clone)]
pub struct Quota {
    /// At most that many.
    pub max: usize,
    /// At most that many of any one tenant.
    pub per_tenant: usize,
    /// Of these tenants none: they have their share already.
    pub skip: Vec<Tenant>,
}

impl Quota {
    /// Of so many tenants by turn it is enough to know, with those among them that are skipped.
    pub(super) fn tenants_to_look_at(&self) -> usize {
        if self.max == 0 { 0 } else { self.max.saturating_add(self.skip.len()) }
    }
}

impl LeaseRequest {
    /// So many of each lane, whichever tenants they belong to.
    pub fn up_to(max: usize, duration: Duration) -> Self {
        let quota = Quota { max, per_tenant: max, skip: Vec::new() };
        Self { urgent: quota.clone(), others: quota, duration, beside: Beside::default() }
    }
}

/// How many aggregates there are of a kind in a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Depth {
    /// The kind.
    pub kind: Kind,
    /// The status label.
    pub status: String,
    /// How many.
    pub count: u64,
    /// The earliest `created_at` among them.
    pub oldest: Option<Timestamp>,
}

/// One page of a tenant's leads, newest first.
#[derive(Debug, Clone)]
pub struct Page {
    /// The aggregates.
    pub documents: Vec<(Key, Document)>,
    /// Where the next page begins; `None`: this was the last.
    pub next: Option<Cursor>,
}

impl Page {
    /// The aggregates that this version can read. The others are left out, each with a line in the log: a list must not
    /// fail as a whole because of one entry that only a newer version can read.
    pub fn read<A: Aggregate>(self) -> Vec<(Key, Versioned<A>)> {
        self.read_but(|key, error| {
            tracing::warn!(%error, kind = key.kind.name(), id = key.id, "left out of a list");
        })
    }

    /// The same; of each that this version cannot read `unreadable` is told.
    pub fn read_but<A: Aggregate>(self, mut unreadable: impl FnMut(Key, CodecError)) -> Vec<(Key, Versioned<A>)> {
        let read = |(key, document): (Key, Document)| match Versioned::read(document) {
            Ok(aggregate) => Some((key, aggregate)),
            Err(error) => {
                unreadable(key, error);
                None
            }
        };
        self.documents.into_iter().filter_map(read).collect()
    }

    /// Of `limit + 1` aggregates asked for, the last only tells that there is another page.
    pub(super) fn cut(mut documents: Vec<(Key, Document)>, limit: usize) -> Self {
        let more = documents.len() > limit;
        documents.truncate(limit);
        let next = documents.last().filter(|_| more).map(|(key, document)| Cursor::at(key, document));
        Self { documents, next }
    }
}

/// A place in a tenant's leads: that of the last one seen. Travels as `<micros>.<id>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Its `created_at`.
    pub created_at: Timestamp,
    /// Its id; ties in time are broken by it, descending.
    pub id: String,
}

impl Cursor {
    /// The place of this lead.
    pub fn at(key: &Key, document: &Document) -> Self {
        Self { created_at: document.created_at, id: key.id.clone() }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.created_at.as_microsecond(), self.id)
    }
}

impl FromStr for Cursor {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<Self, BadCursor> {
        let (micros, id) = text.split_once('.').ok_or(BadCursor)?;
        let micros = micros.parse().map_err(|_| BadCursor)?;
        Ok(Self { created_at: Timestamp::from_microsecond(micros).map_err(|_| BadCursor)?, id: id.to_owned() })
    }
}

/// The text is no cursor of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor: pass `next_cursor` of the previous page unchanged")]
pub struct BadCursor;

/// What [`super::Engine::load`] found.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// One per key asked for, in that order.
    pub documents: Vec<Option<Document>>,
    /// One per gate asked for, in that order.
    pub gates: Vec<GateView>,
    /// How many of `documents` have been taken.
    taken: usize,
}

impl Loaded {
    /// What was found under the keys and gates that were asked for, each in that order.
    pub fn new(documents: Vec<Option<Document>>, gates: Vec<GateView>) -> Self {
        Self { documents, gates, taken: 0 }
    }

    /// The aggregate under the next of the keys that were asked for, read; `None` if there is none.
    pub fn take<A: Aggregate>(&mut self) -> Result<Option<Versioned<A>>, StoreError> {
        let next = self.documents.get_mut(self.taken).and_then(Option::take);
        self.taken += 1;
        Ok(next.map(Versioned::read).transpose()?)
    }

    /// The gates that were asked for.
    pub fn gates<const N: usize>(&self) -> [GateView; N] {
        std::array::from_fn(|index| self.gates.get(index).copied().unwrap_or_default())
    }
}
