//! Asking ALC: what it had before the first attempt, whether an attempt arrived, and what a lead came to.

use super::{leased::Work, triage::triage};
use crate::{
    alc::{ListedLead, callback::is_unfinished},
    clock::later,
    leads::{lead::outcome::Status, service::Leads},
    store::StoreError,
    upstream::CallError,
};

/// Failures in a row up to which a list that cannot be read is asked for again.
const LISTS_ASKED_AGAIN: u32 = 3;

impl Leads {
    /// Asks ALC what it has for the record before the first attempt.
    pub(super) async fn take_baseline(&self, work: &mut Work) -> Result<(), StoreError> {
        let Some(found) = self.find(work, false).await? else { return Ok(()) };
        let ids: Vec<_> = found.unwrap_or_default().into_iter().map(|lead| lead.id).collect();
        self.record(work, |lead, _| lead.listed_before(ids.clone())).await
    }

    /// Asks ALC whether an attempt without a clear answer arrived.
    pub(super) async fn look_up(&self, work: &mut Work) -> Result<(), StoreError> {
        let Some(found) = self.find(work, true).await? else { return Ok(()) };
        let send = work.lead.value.send.outcome.id;
        let poll_at = self.settings.deadlines.next_poll(0, self.parts.clock.now());
        match found {
            Some(listed) => match listed.into_iter().find(|listed| !work.lead.value.is_of_earlier_send(&listed.id)) {
                Some(ours) => self.found_at_alc(work, &ours).await,
                None => self.record(work, |lead, _| lead.not_found_at_alc()).await,
            },
            // ALC cannot be asked. Sent again, or taken as accepted: the operator's choice.
            None if self.settings.resend_unknown => self.record(work, |lead, _| lead.not_found_at_alc()).await,
            None => self.record(work, |lead, now| lead.submitted(send, None, poll_at, now)).await,
        }
    }

    /// Asks ALC for the result of a lead that it has not called back about.
    pub(super) async fn poll(&self, work: &mut Work) -> Result<(), StoreError> {
        let known = work.lead.value.send.outcome.lead_id.is_some();
        if !(self.parts.alc.may_find_leads() || known && self.parts.alc.may_get_leads()) {
            // Not asked, ALC would not answer the gate's probe either: that is left to a lead that has something to
            // ask.
            return self.polled(work).await;
        }
        if !self.alc_lets_through(work).await? {
            return Ok(());
        }
        let Some(grant) = self.grant(work).await? else { return Ok(()) };
        if !self.ensure_time(work).await? {
            return Ok(());
        }
        work.alc.go = false;
        if let Some(id) = work.lead.value.send.outcome.lead_id.clone() {
            match self.parts.alc.get_lead(&grant.access_token, &id).await {
                Ok(listed) => {
                    self.token_accepted(work, &grant).await;
                    return self.found_at_alc(work, &ListedLead { id, ..listed }).await;
                }
                Err(CallError::Unsupported) => {}
                Err(CallError::Unauthorized) => return self.renew(work, &grant).await,
                Err(error) => return self.not_polled(work, &error).await,
            }
            if !self.has_time(work) {
                return self.polled(work).await;
            }
        }
        match self.parts.alc.find_leads(&grant.access_token, work.lead.value.record_id).await {
            Ok(listed) => {
                self.token_accepted(work, &grant).await;
                let known = work.lead.value.send.outcome.lead_id.as_deref();
                let ours = listed.into_iter().find(|listed| match known {
                    Some(known) => listed.id == known,
                    None => !work.lead.value.is_of_earlier_send(&listed.id),
                });
                match ours {
                    Some(ours) => self.found_at_alc(work, &ours).await,
                    None => self.polled(work).await,
                }
            }
            Err(CallError::Unauthorized) => self.renew(work, &grant).await,
            Err(error) => self.not_polled(work, &error).await,
        }
    }

    /// A look-up without an answer is made again by the schedule; a refused one counts as one that brought nothing.
    async fn not_polled(&self, work: &mut Work, error: &CallError) -> Result<(), StoreError> {
        if matches!(error, CallError::Unsupported) {
            // From memory, or ALC's own.
            return self.polled(work).await;
        }
        let triage = triage(error);
        let again = triage.again(self, work.lead.value.send.failures);
        self.report_on_alc(work, triage.report).await;
        if !(error.is_ailing() || matches!(error, CallError::RateLimited { .. })) {
            return self.polled(work).await;
        }
        self.record(work, |lead, now| lead.delay(again, None, now)).await
    }

    pub(super) async fn polled(&self, work: &mut Work) -> Result<(), StoreError> {
        let deadlines = &self.settings.deadlines;
        self.record(work, |lead, now| lead.polled(deadlines, now)).await
    }

    /// ALC has the lead, perhaps with its result already.
    async fn found_at_alc(&self, work: &mut Work, listed: &ListedLead) -> Result<(), StoreError> {
        let send = work.lead.value.send.outcome.id;
        let deadlines = &self.settings.deadlines;
        let result = listed.status.as_deref().filter(|status| !status.trim().is_empty() && !is_unfinished(status));
        let tenant = work.tenant.clone();
        self.record(work, |lead, now| {
            if lead.send.outcome.status == Status::Pending {
                lead.polled(deadlines, now);
            }
            lead.submitted(send, Some(listed.id.clone()), deadlines.next_poll(0, now), now);
            if let (Some(result), true) = (result, lead.send.outcome.id == send) {
                let before = lead.clone();
                lead.finish(result, Some(&listed.id), None, now);
                self.owe_more(&tenant, lead, Some(&before), &listed.words, now);
            }
        })
        .await
    }

    /// What ALC lists for the record: `Some(None)` if it cannot be asked that, `None` if the work has taken a turn.
    async fn find(&self, work: &mut Work, is_in_doubt: bool) -> Result<Option<Option<Vec<ListedLead>>>, StoreError> {
        if !self.parts.alc.may_find_leads() {
            return Ok(Some(None));
        }
        if !self.alc_lets_through(work).await? {
            return Ok(None);
        }
        let Some(grant) = self.grant(work).await? else { return Ok(None) };
        if !self.ensure_time(work).await? {
            return Ok(None);
        }
        work.alc.go = false;
        let error = match self.parts.alc.find_leads(&grant.access_token, work.lead.value.record_id).await {
            Ok(listed) => {
                self.token_accepted(work, &grant).await;
                return Ok(Some(Some(listed)));
            }
            Err(CallError::Unauthorized) => {
                self.renew(work, &grant).await?;
                return Ok(None);
            }
            Err(error) => error,
        };
        // Before anything is waited for: another lead's list ends the question, and this one has had none.
        let is_worth_waiting = is_in_doubt && self.parts.alc.may_find_leads_again() && self.has_time_to_wait(work);
        let triage = triage(&error);
        let again = triage.again(self, work.lead.value.send.failures);
        self.report_on_alc(work, triage.report).await;
        let detail = match &error {
            CallError::RateLimited { .. } => None,
            // Not ALC's own words: it may quote the name, which was not in the question and so is not masked.
            error if error.is_ailing() => Some("ALC, asked for the lead, gave no clear answer"),
            // A cut list is whole the next time; one that never can be read is no list. An ALC that has listed leads is
            // waited for: without its word the lead would go out twice.
            CallError::Unreadable { .. } if work.lead.value.send.failures < LISTS_ASKED_AGAIN || is_worth_waiting => {
                Some("ALC, asked for the lead, gave a list that cannot be read")
            }
            // A refused question is an unanswerable one; waiting would only run into the deadline.
            _ => return Ok(Some(None)),
        };
        self.record(work, |lead, now| lead.delay(again, detail.map(str::to_owned), now)).await?;
        Ok(None)
    }
    /// Whether a lead in doubt may wait for ALC's word: for half of its time, so that it still goes out.
    fn has_time_to_wait(&self, work: &Work) -> bool {
        let created_at = work.lead.value.send.outcome.created_at;
        self.parts.clock.now() < later(created_at, self.settings.deadlines.send / 2)
    }
}
