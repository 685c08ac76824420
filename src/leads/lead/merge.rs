//! Records that became one, and records that are gone. Pure.
//!
//! A merge makes a *new* record out of two. The lead of an original stays where it is, since ALC goes on calling with
//! the id that it was sent, and writes to the new record ([`Lead::attio_record`]); under the new record's id a
//! [`Lead::forwarding`] points back to it ([`Lead::joined`]). Where both originals had a lead, one speaks for the
//! record and the other has joined it. Every merge is remembered ([`Lead::merged_into`]), so that chains end at the
//! same record in whatever order they are told.

use std::{collections::BTreeMap, time::Duration};

use super::{
    aggregate::Lead,
    outcome::{Reason, Status},
    send::PresentSend,
};
use crate::{
    clock::{Timestamp, earlier, later},
    ids::{RecordId, SendId},
};

/// The longest chain of merges that is followed.
const HOPS: usize = 32;

/// How long a lead outlives the one that speaks for it at most.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Some leads of a workspace by record; `None`: looked for and not there.
pub type Known = BTreeMap<RecordId, Option<Lead>>;

/// What has to be looked for before anything can be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unknown(pub RecordId);

impl Lead {
    /// What is kept under a record that no press has sent but that merges made or ended. It has nothing to say itself.
    fn forwarder(record: RecordId, now: Timestamp) -> Self {
        let mut send = PresentSend::new(SendId::random(), now);
        send.finish(Status::Failed, Some(Reason::Superseded), now);
        Self { forwarding: true, ..Self::new(record, send) }
    }

    /// Its time has come, but the lead that speaks for it is there: it has to be found from here, else a press would
    /// send twice. It goes with that one, or within a day of it.
    pub fn stay_for(&mut self, speaker: &Self, retention: Duration, now: Timestamp) {
        let at_once_again = earlier(later(now, DAY.min(retention)), retention);
        let end = speaker.send.finished_at.unwrap_or(now);
        self.send.finished_at = Some(end.max(at_once_again));
    }

    /// The record in Attio that shows this lead.
    pub fn shown_at(&self) -> RecordId {
        self.attio_record.unwrap_or(self.record_id)
    }

    /// Under which record to look for the lead that speaks for this one; `None`: this does itself.
    pub fn next_hop(&self) -> Option<RecordId> {
        self.joined.or(self.merged_into.filter(|_| self.forwarding))
    }

    /// From now on it is shown at `record`, as Attio has told.
    fn move_to(&mut self, record: RecordId, now: Timestamp) {
        // Attio tells only of the workspace's own records.
        self.adopted = false;
        self.known = None;
        if self.shown_at() == record {
            return;
        }
        let from = self.shown_at();
        self.attio_record = (record != self.record_id).then_some(record);
        // What was refused there says nothing of the new record. What was shown there has been merged into it.
        self.attio.gone = false;
        self.attio.refused = false;
        self.attio.failures = 0;
        self.attio.retry_at = None;
        self.attio.lead_id = None;
        if self.is_revivable() {
            self.revive(now);
        }
        self.move_notes(from, now);
    }

    /// The deletion was the merge's own, told before it: the person lives on in the new record.
    fn revive(&mut self, now: Timestamp) {
        if let Some(result) = self.send.outcome.result.take() {
            // ALC told it in between.
            return self.complete(&result, now);
        }
        // An older version kept nothing of what ALC told in between: ALC is asked.
        self.send.reach = self.send.reach.asked_again();
        let since = self.send.reach.since();
        self.send.outcome.status = if since.is_some() { Status::Pending } else { Status::Queued };
        self.send.outcome.reason = None;
        self.send.finished_at = None;
        self.send.poll_at = Some(since.unwrap_or(self.send.outcome.updated_at));
    }

    /// Whether a deletion has ended a send that ALC may have.
    fn is_revivable(&self) -> bool {
        self.send.outcome.reason == Some(Reason::RecordDeleted) && self.send.may_be_at_alc()
    }

    /// Another lead speaks for the record.
    fn join(&mut self, speaker: RecordId, now: Timestamp) {
        self.joined = Some(speaker);
        self.expire(Reason::Superseded, now);
        self.send.forget_person();
    }

    fn is_to_go_with(&self, record: RecordId) -> bool {
        self.shown_at() == record && !self.forwarding
    }

    /// The record at which it is shown is gone.
    pub(super) fn record_deleted(&mut self, now: Timestamp) {
        // Attio tells only of the workspace's own records.
        self.adopted = false;
        self.known = None;
        self.attio.gone = true;
        self.expire(Reason::RecordDeleted, now);
        self.send.forget_person();
        self.forget_words_soon(now);
    }

    /// Whether it should speak for `record` rather than `other`: a live send goes before a finished one, then the
    /// newer. What only the merge itself had deleted lives.
    fn outranks(&self, other: &Self, record: RecordId) -> bool {
        let lives =
            |lead: &Self| lead.send.outcome.status.is_live() || lead.is_revivable() && lead.shown_at() != record;
        let rank = |lead: &Self| (lives(lead), lead.send.outcome.created_at, lead.send.outcome.id);
        rank(self) > rank(other)
    }
}

fn look(known: &Known, record: RecordId) -> Result<Option<&Lead>, Unknown> {
    known.get(&record).map(Option::as_ref).ok_or(Unknown(record))
}

/// Under which record the lead is that speaks for `record`, if there is one.
pub fn speaker(known: &Known, record: RecordId) -> Result<Option<RecordId>, Unknown> {
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
pub fn speak_at(lead: &mut Lead, end: RecordId, kept: Option<Lead>, now: Timestamp) -> Lead {
    lead.move_to(end, now);
    let mut kept = kept.unwrap_or_else(|| Lead::forwarder(end, now));
    kept.joined = Some(lead.record_id);
    kept
}

/// What a record has become.
pub fn end_of_chain(known: &Known, record: RecordId) -> Result<RecordId, Unknown> {
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
pub fn merged(known: &mut Known, into: RecordId, from: RecordId, now: Timestamp) -> Result<(), Unknown> {
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
        lead.move_to(end, now);
        lead.joined = None;
        if loser.is_some() {
            // The record may show what the other one said. Over that goes what this send comes to, and no older word.
            let kept = lead.wanted().filter(|wanted| wanted.send != lead.send.outcome.id);
            lead.attio.set_shown(kept);
            // ALC may have talked to the person on behalf of the other one: no replay is to have it begin again.
            lead.send.beside_another = true;
            lead.send.forget_person();
        }
    });
    if let Some(loser) = loser {
        edit(known, loser, &|lead| {
            lead.move_to(end, now);
            lead.join(winner, now);
        });
    }
    if end != winner && Some(end) != loser {
        edit(known, end, &|lead| lead.joined = Some(winner));
    }
    Ok(())
}

/// `record` is gone, and with it what it showed; `call` says so, perhaps again: by then the record may have been
/// restored and sent again.
pub fn deleted(known: &mut Known, record: RecordId, call: Option<&str>, now: Timestamp) -> Result<(), Unknown> {
    let speaker = speaker(known, record)?;
    // Also the lead under this record, if it is shown elsewhere: a merge gave it another record, and then it goes on.
    for at in [Some(record), speaker].into_iter().flatten() {
        if let Some(Some(lead)) = known.get_mut(&at)
            && lead.is_to_go_with(record)
            && call.is_none_or(|call| lead.remember_call(call))
        {
            lead.record_deleted(now);
        }
    }
    Ok(())
}
