//! ALC's result of a lead, and the send that it belongs to.

use std::time::Duration;

use super::{
    aggregate::Lead,
    outcome::{Reason, Status},
    remembered::remember,
};
use crate::clock::{Timestamp, later};

/// Callback ids remembered.
const CALLBACKS_KEPT: usize = 20;
/// Of a result, so many characters are kept: it is shown, and told to up to two hundred workflows at a time.
const RESULT_KEPT: usize = 1_000;

/// Whether a callback or a look-up changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finished {
    /// The present send is complete by it.
    Now,
    /// A repeat, another result for a finished send, or an earlier send's.
    Already,
}

impl Lead {
    /// ALC's result, called back or looked up.
    ///
    /// It belongs to an earlier send if ALC's id says so, if its `webhook-id` was counted before, or if the present
    /// send cannot be at ALC. With neither id it is the present send's: a late repeat can't be told apart.
    pub fn finish(&mut self, result: &str, lead_id: Option<&str>, callback: Option<&str>, now: Timestamp) -> Finished {
        // ALC's id goes before the header's: unsigned, that may be the same in every call.
        let is_named = lead_id.is_some_and(|lead_id| match &self.send.outcome.lead_id {
            Some(own) => own == lead_id,
            None => self.send.may_be_at_alc() && !self.is_of_earlier_send(lead_id) && !self.has_unlearnt_earlier_send(),
        });
        let is_repeat = callback.is_some_and(|callback| !self.remember_call(callback));
        if is_repeat && !is_named || !self.attribute_to_present_send(lead_id, result, now) {
            return Finished::Already;
        }
        let outcome = &mut self.send.outcome;
        if lead_id.is_some() && outcome.lead_id.is_none() {
            outcome.lead_id = lead_id.map(str::to_owned);
        }
        // A deletion that was a merge's own: the person lives on in another record.
        let lives_on = outcome.reason == Some(Reason::RecordDeleted) && !self.attio.gone;
        if !(outcome.gives_way() || lives_on) {
            if outcome.reason == Some(Reason::RecordDeleted) {
                // The deletion may be a merge's own, told before it: the send is then complete by this.
                outcome.result.get_or_insert_with(|| kept(result));
            }
            return Finished::Already;
        }
        self.complete(result, now);
        self.part_errors();
        // What went wrong before is over; that the id is missing in Attio is not.
        self.send.outcome.last_error = None;
        if !self.attio.lead_id_refused {
            self.attio.error = None;
        }
        // What Attio refused was another word.
        self.attio.result_refused = false;
        self.attio.refused = false;
        self.attio.retry_at = None;
        Finished::Now
    }

    /// A result for a record that was never sent, or a record of which the store lost the lead; also where only a merge
    /// was remembered so far. Where Attio has told nothing of the record yet, the lead is unproven from now on.
    pub fn adopt(&mut self, result: &str, lead_id: Option<&str>, callback: Option<&str>, now: Timestamp) {
        // A merge is told by Attio, and only of the workspace's own records.
        self.adopted = !std::mem::take(&mut self.forwarding);
        self.joined = None;
        self.callbacks.extend(callback.map(str::to_owned));
        self.send.outcome.lead_id = lead_id.map(str::to_owned);
        self.complete(result, now);
    }

    /// Whether the record may be another workspace's. ALC's webhooks are account-wide: where two workspaces share an
    /// account, ALC calls both about each lead. Only Attio can tell whose record it is, by taking the PATCH; until then
    /// no trigger hears of the lead.
    pub fn is_unproven(&self) -> bool {
        // An older version shows a lead without ticking off the mark.
        self.adopted && self.attio.shown.is_none()
    }

    /// Whether Attio has said that the workspace has no such record. Then the result is another workspace's affair:
    /// kept, the lead would be listed here for as long as finished leads are.
    pub fn is_of_another_workspace(&self) -> bool {
        self.is_unproven() && self.attio.gone
    }

    /// The present send is complete by this result.
    pub fn complete(&mut self, result: &str, now: Timestamp) {
        self.send.reach = self.send.reach.there(now);
        self.send.finish(Status::Complete, None, now);
        self.send.outcome.result = Some(kept(result));
        // A caller may have been told of a refusal: that is over, and Attio has to show what came after it.
        self.send.outcome.told_in_request = false;
    }

    /// Remembers the id of a call; `false` if it was counted before.
    pub fn remember_call(&mut self, call: &str) -> bool {
        remember(&mut self.callbacks, call.to_owned(), CALLBACKS_KEPT)
    }

    /// Whether a result of this id is the present send's; an id that can only be an earlier send's is learnt for that.
    fn attribute_to_present_send(&mut self, lead_id: Option<&str>, result: &str, now: Timestamp) -> bool {
        if let Some(lead_id) = lead_id {
            let own = self.send.outcome.lead_id.as_deref();
            if own == Some(lead_id) {
                return true;
            }
            if self.is_of_earlier_send(lead_id) {
                self.complete_earlier(lead_id, result, now);
                return false;
            }
            // The present send's id is known and is another one, and some earlier send's id was never learnt: this
            // is that one. Without such a send it can only be another attempt of the present one.
            if (own.is_some() || !self.send.may_be_at_alc())
                && let Some(unlearnt) = self.earlier.iter_mut().rev().find(|earlier| earlier.unlearnt)
            {
                unlearnt.outcome.lead_id = Some(lead_id.to_owned());
                unlearnt.unlearnt = false;
                self.complete_earlier(lead_id, result, now);
                return false;
            }
        }
        self.send.may_be_at_alc()
    }

    /// A send that ended without a result gives way to ALC's own also once another press has followed it. Nothing of
    /// that changes the present send; see [`Lead::wanted`] for when Attio shows it. A workflow that has not heard of
    /// the end before is told this one.
    fn complete_earlier(&mut self, lead_id: &str, result: &str, now: Timestamp) {
        // The press came first, whatever the clocks of two replicas say.
        let now = now.max(later(self.send.outcome.created_at, Duration::from_micros(1)));
        let mut earlier = self.earlier.iter_mut().map(|earlier| &mut earlier.outcome);
        if let Some(outcome) = earlier.find(|outcome| outcome.lead_id.as_deref() == Some(lead_id))
            && outcome.gives_way()
        {
            (outcome.status, outcome.reason, outcome.told_in_request) = (Status::Complete, None, false);
            (outcome.result, outcome.last_error, outcome.updated_at) = (Some(kept(result)), None, now);
            self.calls.restate(outcome);
        }
    }
}

fn kept(result: &str) -> String {
    result.chars().take(RESULT_KEPT).collect()
}
