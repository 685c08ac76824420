//! Records that became one, and records that are gone. Pure.
//!
//! A merge makes a *new* record out of two. The lead of an original stays where it is, since ALC goes on calling with
//! the id that it was sent, and writes to the new record ([`Lead::attio_record`]); under the new record's id a
//! [`Lead::forwarding`] points back to it ([`Lead::joined`]). Where both originals had a lead, one speaks for the record
//! and the other has joined it. Every merge is remembered ([`Lead::merged_into`]), so that chains end at the same record
//! in whatever order they are told.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    lead::Lead,
    send::{Reason, Send, Status},
};
use crate::ids::{RecordId, SendId};

/// The longest chain of merges that is followed.
const HOPS: usize = 32;

/// Some leads of a workspace by record; `None`: looked for and not there.
pub(super) type Known = BTreeMap<RecordId, Option<Lead>>;

/// What has to be looked for before anything can be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unknown(pub(super) RecordId);

impl Lead {
    /// What is kept under a record that nobody has sent but that merges made or ended. It has nothing to say itself.
    fn forwarder(record: RecordId, now: Timestamp) -> Self {
        let mut send = Send::new(SendId::random(), now);
        send.finish(Status::Failed, Some(Reason::Superseded), now);
        Self { forwarding: true, ..Self::new(record, send) }
    }

    /// The record in Attio that shows this lead.
    pub fn shown_at(&self) -> RecordId {
        self.attio_record.unwrap_or(self.record_id)
    }

    /// Under which record to look for the lead that speaks for this one; `None`: this does itself.
    pub(super) fn next_hop(&self) -> Option<RecordId> {
        self.joined.or(self.merged_into.filter(|_| self.forwarding))
    }

    /// From now on it is shown at `record`.
    fn moves_to(&mut self, record: RecordId) {
        if self.shown_at() == record {
            return;
        }
        self.attio_record = (record != self.record_id).then_some(record);
        // What was refused there says nothing of the new record. What was shown there has been merged into it.
        self.attio.gone = false;
        self.attio.refused = false;
        self.attio.failures = 0;
        self.attio.retry_at = None;
        self.attio.lead_id = None;
        if self.is_revivable() {
            // The deletion was the merge's own, told before it: the person lives on in the new record. What ALC told
            // meanwhile did not count: it is asked.
            (self.send.status, self.send.reason, self.send.finished_at) = (Status::Pending, None, None);
            self.send.poll_at = self.send.accepted_at;
        }
    }

    /// Whether a deletion has ended a send that ALC has.
    fn is_revivable(&self) -> bool {
        self.send.reason == Some(Reason::RecordDeleted) && self.send.accepted_at.is_some()
    }

    /// Another lead speaks for the record.
    fn joins(&mut self, speaker: RecordId, now: Timestamp) {
        self.joined = Some(speaker);
        self.expire(Reason::Superseded, now);
    }

    fn is_to_go_with(&self, record: RecordId) -> bool {
        self.shown_at() == record && !self.forwarding
    }

    /// The record at which it is shown is gone.
    fn record_deleted(&mut self, now: Timestamp) {
        self.attio.gone = true;
        self.expire(Reason::RecordDeleted, now);
    }

    /// Whether it should speak for `record` rather than `other`: a live send goes before a finished one, then the newer.
    /// What only the merge itself had deleted lives.
    fn outranks(&self, other: &Self, record: RecordId) -> bool {
        let lives = |lead: &Self| lead.send.status.is_live() || lead.is_revivable() && lead.shown_at() != record;
        let rank = |lead: &Self| (lives(lead), lead.send.created_at, lead.send.id);
        rank(self) > rank(other)
    }
}

fn look(known: &Known, record: RecordId) -> Result<Option<&Lead>, Unknown> {
    known.get(&record).map(Option::as_ref).ok_or(Unknown(record))
}

/// Under which record the lead is that speaks for `record`, if there is one.
pub(super) fn speaker(known: &Known, record: RecordId) -> Result<Option<RecordId>, Unknown> {
    let mut at = record;
    for _ in 0..HOPS {
        let Some(lead) = look(known, at)? else { return Ok(None) };
        match lead.next_hop() {
            Some(next) => at = next,
            None => return Ok((!lead.forwarding).then_some(at)),
        }
    }
    Ok(None)
}

/// `lead`, taken up again under a record that merges have ended, is shown at `end`, their end; what is kept there, as
/// returned, points back to it.
pub(super) fn speaks_at(lead: &mut Lead, end: RecordId, kept: Option<Lead>, now: Timestamp) -> Lead {
    lead.moves_to(end);
    let mut kept = kept.unwrap_or_else(|| Lead::forwarder(end, now));
    kept.joined = Some(lead.record_id);
    kept
}

/// What a record has become.
pub(super) fn end_of_chain(known: &Known, record: RecordId) -> Result<RecordId, Unknown> {
    let mut at = record;
    for _ in 0..HOPS {
        match look(known, at)?.and_then(|lead| lead.merged_into) {
            Some(next) => at = next,
            None => break,
        }
    }
    Ok(at)
}

/// `from` was merged into `into`. Changes `known`, or says what else must be looked for; then nothing has changed.
pub(super) fn merged(known: &mut Known, into: RecordId, from: RecordId, now: Timestamp) -> Result<(), Unknown> {
    look(known, from)?;
    let end = end_of_chain(known, into)?;
    if end == from {
        // A circle: not how records merge.
        return Ok(());
    }
    let (ours, theirs) = (speaker(known, from)?, speaker(known, end)?);
    let edit = |known: &mut Known, record: RecordId, change: &dyn Fn(&mut Lead)| {
        let slot = known.entry(record).or_default();
        change(slot.get_or_insert_with(|| Lead::forwarder(record, now)));
    };
    edit(known, from, &|lead| lead.merged_into = Some(into));
    let Some(ours) = ours else { return Ok(()) };
    let (winner, loser) = match theirs.filter(|theirs| *theirs != ours) {
        None => (ours, None),
        Some(theirs) => {
            let outranks = match (look(known, ours)?, look(known, theirs)?) {
                (Some(ours), Some(theirs)) => ours.outranks(theirs, end),
                _ => true,
            };
            if outranks { (ours, Some(theirs)) } else { (theirs, Some(ours)) }
        }
    };
    edit(known, winner, &|lead| {
        lead.moves_to(end);
        lead.joined = None;
        if loser.is_some() {
            // The record may show what the other one said. Over that goes what this send comes to, and no older word.
            lead.attio.shown = lead.wanted().filter(|wanted| wanted.send != lead.send.id);
        }
    });
    if let Some(loser) = loser {
        edit(known, loser, &|lead| {
            lead.moves_to(end);
            lead.joins(winner, now);
        });
    }
    if end != winner && Some(end) != loser {
        edit(known, end, &|lead| lead.joined = Some(winner));
    }
    Ok(())
}

/// `record` is gone, and with it what it showed; `call` says so, perhaps again: by then the record may have been restored
/// and sent again.
pub(super) fn deleted(known: &mut Known, record: RecordId, call: Option<&str>, now: Timestamp) -> Result<(), Unknown> {
    let speaker = speaker(known, record)?;
    // Also one whose own record that was: a merge may have given it another one, and then it goes on.
    for at in [Some(record), speaker].into_iter().flatten() {
        if let Some(Some(lead)) = known.get_mut(&at)
            && lead.is_to_go_with(record)
            && call.is_none_or(|call| lead.counts(call))
        {
            lead.record_deleted(now);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::clock::from_micros;

    fn id(number: usize) -> RecordId {
        RecordId(uuid::Uuid::from_u128(number as u128 + 1))
    }

    /// As the service tells an event: what is unknown is looked up in `stored`.
    fn tell(stored: &mut BTreeMap<RecordId, Lead>, into: RecordId, from: RecordId, now: Timestamp) {
        let mut asked = BTreeSet::from([into, from]);
        loop {
            let mut known: Known = asked.iter().map(|record| (*record, stored.get(record).cloned())).collect();
            let before = known.clone();
            match merged(&mut known, into, from, now) {
                Ok(()) => {
                    stored.extend(known.into_iter().filter_map(|(record, lead)| Some((record, lead?))));
                    return;
                }
                Err(Unknown(record)) => {
                    assert_eq!(known, before, "nothing has changed");
                    assert!(asked.insert(record), "asked for once");
                }
            }
        }
    }

    fn whole(stored: &BTreeMap<RecordId, Lead>, records: usize) -> Known {
        (0..records).map(|number| (id(number), stored.get(&id(number)).cloned())).collect()
    }

    fn lead(number: usize, live: bool, at: i64) -> Lead {
        let mut lead = Lead::new(id(number), Send::new(SendId::random(), from_micros(at)));
        lead.attio.gone = true;
        if !live {
            lead.send.finish(Status::Complete, None, from_micros(at));
        }
        lead
    }

    proptest! {
        /// In whatever order and however often merges are told, what became one record has one lead that speaks for
        /// it, the newest of the live ones, which is shown at the last record; no other one is live.
        #[test]
        fn merges_end_at_one_lead_and_one_record(
            leads in prop::collection::vec(prop::option::of((any::<bool>(), 0i64..100)), 2..6),
            order in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
        ) {
            // 0 and 1 make the record n, n and 2 make n + 1, and so on.
            let originals = leads.len();
            let (mut merges, mut last) = (Vec::new(), 0);
            for next in 1..originals {
                let made = originals + next - 1;
                merges.extend([(made, last), (made, next)]);
                last = made;
            }
            let records = last + 1;
            let mut stored: BTreeMap<_, _> = leads.iter().enumerate()
                .filter_map(|(number, lead_is)| lead_is.map(|(live, at)| (id(number), lead(number, live, at))))
                .collect();
            let living: Vec<_> = stored.values().filter(|lead| lead.send.status.is_live()).cloned().collect();
            let newest = living.iter().map(|lead| lead.send.created_at).max();

            // Some of them, in any order, several times; and then those that were not heard.
            let some: Vec<_> = order.iter().map(|index| index.index(merges.len())).collect();
            let rest = (0..merges.len()).rev().filter(|at| !some.contains(at)).collect::<Vec<_>>();
            for at in some.iter().chain(&rest) {
                tell(&mut stored, id(merges[*at].0), id(merges[*at].1), from_micros(1_000));
            }

            let known = whole(&stored, records);
            let speakers: BTreeSet<_> = (0..records).map(|number| speaker(&known, id(number)).expect("all are known")).collect();
            prop_assert_eq!(speakers.len(), 1, "whoever is asked for, the same lead answers: {:?}", speakers);
            let Some(speaks) = speakers.into_iter().next().flatten() else {
                prop_assert!(leads.iter().all(Option::is_none));
                return Ok(());
            };
            let speaks = &stored[&speaks];
            prop_assert_eq!(speaks.shown_at(), id(last));
            prop_assert!(!speaks.attio.gone, "a 404 of the old record is forgotten");
            let live: Vec<_> = stored.values().filter(|lead| lead.send.status.is_live()).collect();
            prop_assert!(live.len() <= 1, "one chat");
            if let Some(newest) = newest {
                prop_assert_eq!(live.len(), 1);
                prop_assert_eq!(live[0].record_id, speaks.record_id);
                prop_assert_eq!(speaks.send.created_at, newest);
            }
            for silent in stored.values().filter(|lead| lead.record_id != speaks.record_id) {
                prop_assert_eq!(silent.wanted(), None, "only one writes");
            }
            // A repeat changes nothing.
            let before = stored.clone();
            for (into, from) in &merges {
                tell(&mut stored, id(*into), id(*from), from_micros(2_000));
            }
            prop_assert_eq!(stored, before);
        }

        /// A record that was deleted before or after it was merged ends no lead that is shown elsewhere.
        #[test]
        fn only_the_shown_records_deletion_counts(which in 0usize..3) {
            let mut stored = BTreeMap::from([(id(0), lead(0, true, 1))]);
            tell(&mut stored, id(2), id(0), from_micros(5));
            tell(&mut stored, id(2), id(1), from_micros(6));
            let mut known = whole(&stored, 3);
            deleted(&mut known, id(which), None, from_micros(7)).expect("all are known");
            let lead = known[&id(0)].as_ref().expect("still there");
            prop_assert_eq!(lead.send.reason, (which == 2).then_some(Reason::RecordDeleted));
        }
    }
}
