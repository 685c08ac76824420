//! What a store holds, counted so that two stores can be told apart.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet, hash_map::DefaultHasher},
    hash::{Hash, Hasher as _},
};

use jiff::Timestamp;

use super::{
    finding::{Finding, Subject},
    shelf::{Held, HeldGate, Shelf, Stretch},
};
use crate::store::{Kind, StoreError};

/// Counts over a whole store, by workspace and kind. What comes twice in a walk counts once.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    counts: BTreeMap<Label, Count>,
    seen: HashSet<u64>,
    /// The last time until which a worker holds something.
    pub leased_until: Option<Timestamp>,
}

/// The workspace, or nothing where it must not be told, and the kind.
type Label = (Option<String>, String);

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Count {
    number: u64,
    /// Of all that they say, in whatever order they come.
    contents: u64,
}

/// One count of two stores.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// Whose they are; `None`: attempts, whose names are browsers' secrets.
    pub workspace: Option<String>,
    /// `workspace`, `lead`, `receipt`, `attempt` or `gate`.
    pub kind: String,
    /// How many there are in the source.
    pub source: u64,
    /// How many there are in the target.
    pub target: u64,
    /// And these say the same.
    pub is_same: bool,
}

impl PartialEq for Tally {
    fn eq(&self, other: &Self) -> bool {
        self.counts == other.counts
    }
}

impl Tally {
    /// Walks through the whole of a shelf; also what is wrong there.
    pub async fn of(shelf: &dyn Shelf, now: Timestamp) -> Result<(Self, Vec<Finding>), StoreError> {
        let (mut tally, mut findings, mut place) = (Self::default(), Vec::new(), None);
        loop {
            let stretch = shelf.walk(place.as_ref()).await?;
            tally.add(&stretch, now);
            findings.extend(stretch.findings);
            place = stretch.next;
            if place.is_none() {
                return Ok((tally, findings));
            }
        }
    }

    /// Counts a stretch. A receipt that has expired at `now` does not count: the store may drop it at any moment.
    pub fn add(&mut self, stretch: &Stretch, now: Timestamp) {
        let is_there = |held: &&Held| held.expires_at.is_none_or(|at| at > now);
        stretch.aggregates.iter().filter(is_there).for_each(|held| self.add_aggregate(held));
        stretch.gates.iter().for_each(|gate| self.add_gate(gate));
    }

    /// How many aggregates and gates.
    pub fn total(&self) -> u64 {
        self.seen.len() as u64
    }

    /// Count by count beside those of another store.
    pub fn beside(&self, other: &Self) -> Vec<Row> {
        let labels: BTreeSet<_> = self.counts.keys().chain(other.counts.keys()).collect();
        let count = |of: &Self, label: &Label| of.counts.get(label).copied().unwrap_or_default();
        let row = |label: &Label| {
            let ((workspace, kind), source, target) = (label.clone(), count(self, label), count(other, label));
            Row { workspace, kind, source: source.number, target: target.number, is_same: source == target }
        };
        labels.into_iter().map(row).collect()
    }

    fn add_aggregate(&mut self, held: &Held) {
        let Held { tenant, key, document, expires_at } = held;
        let lease = document.lease.map(|lease| (lease.token, lease.until));
        let contents = hash(&(
            (tenant, key, &document.body, document.version, &document.status, document.created_at),
            (document.due, lease, document.slot, document.urgent, expires_at),
        ));
        let subject = Subject::aggregate(tenant, key.kind.name(), &key.id);
        if self.count(hash(&(tenant, key)), subject, contents) && key.kind != Kind::Receipt {
            self.leased_until = self.leased_until.max(document.lease.map(|lease| lease.until));
        }
    }

    fn add_gate(&mut self, gate: &HeldGate) {
        let HeldGate { tenant, upstream, state } = gate;
        let contents = hash(&(tenant, upstream, serde_json::to_string(state).unwrap_or_default()));
        self.count(hash(&(tenant, "gate", upstream)), Subject::gate(tenant, upstream), contents);
    }

    fn count(&mut self, name: u64, subject: Subject, contents: u64) -> bool {
        let is_new = self.seen.insert(name);
        if is_new {
            let count = self.counts.entry((subject.workspace, subject.kind)).or_default();
            count.number += 1;
            count.contents = count.contents.wrapping_add(contents);
        }
        is_new
    }
}

fn hash(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}
