//! Sending a lead to ALC.

use secrecy::SecretString;

use super::leased::Work;
use super::triage::triage;
use crate::{
    alc::NewLead,
    connections::Grant,
    leads::{
        lead::alc::{Again, PostAttempt},
        places::{logical_key, place},
        service::Leads,
    },
    sealing::OpenError,
    store::StoreError,
    upstream::CallError,
};

impl Leads {
    /// Posts the lead to ALC.
    pub(super) async fn submit(&self, work: &mut Work) -> Result<(), StoreError> {
        if !self.alc_lets_through(work).await? {
            return Ok(());
        }
        let Some(grant) = self.grant(work).await? else { return Ok(()) };
        if !self.ensure_time(work).await? || !self.begin(work).await? {
            return Ok(());
        }
        self.post_in_time(work, grant).await
    }

    /// Posts a send that has just been marked as begun, unless that took too long: by the time of ALC's answer another
    /// worker might have the lease, and would send again.
    pub(in crate::leads) async fn post_in_time(&self, work: &mut Work, grant: Grant) -> Result<(), StoreError> {
        if self.has_time(work) {
            return self.post(work, grant).await;
        }
        let attempt = work.lead.value.attempt();
        self.record(work, |lead, now| lead.not_sent(attempt, Again::failed(now), None, now)).await
    }

    /// The POST of a send that has been marked as begun, and what came of it.
    async fn post(&self, work: &mut Work, grant: Grant) -> Result<(), StoreError> {
        work.alc.go = false;
        let lead = &work.lead.value;
        let (attempt, record, failures) = (lead.attempt(), lead.record_id, lead.send.failures);
        let (was_doubted, was_accepted) = (lead.send.reach.was_doubted(), lead.send.accepted_unreadably);
        let (name, phone_number) = match self.open_person(work) {
            Some(Ok(person)) => person,
            Some(Err(error)) => {
                tracing::error!(%error, "a lead's name and number cannot be opened");
                let at = self.retry_at(failures, None);
                return self
                    .record(work, move |lead, now| {
                        lead.not_sent(attempt, Again::paused(at), None, now);
                        if lead.attempt() == attempt {
                            lead.not_opened(at, error.to_string(), now);
                        }
                    })
                    .await;
            }
            // Its name and number are erased once ALC has the lead, and this worker has just loaded it as not there.
            // Should it be so all the same, nothing is sent.
            None => return self.record(work, |lead, now| lead.not_sent(attempt, Again::failed(now), None, now)).await,
        };
        let new = NewLead { record_id: record, name: &name, phone_number: &phone_number };
        let accepted = match self.parts.alc.submit_lead(&grant.access_token, attempt.send, new).await {
            Ok(accepted) => accepted.id,
            // Only if an attempt before this one may have arrived can it be this send that ALC already has.
            Err(CallError::Conflict { id, .. }) if was_doubted => id,
            // ALC has it: what it refuses now is the repeat.
            Err(CallError::Rejected { .. } | CallError::Forbidden { .. } | CallError::NotFound) if was_accepted => None,
            Err(error) => return self.not_accepted(work, &grant, attempt, &error).await,
        };
        work.taken = Some((attempt.send, accepted.clone()));
        let poll_at = self.settings.deadlines.next_poll(0, self.parts.clock.now());
        self.record(work, |lead, now| lead.submitted(attempt.send, accepted.clone(), poll_at, now)).await?;
        self.token_accepted(work, &grant).await;
        Ok(())
    }

    /// Name and number; `None`: they have been erased.
    fn open_person(&self, work: &Work) -> Option<Result<(SecretString, SecretString), OpenError>> {
        let lead = &work.lead.value;
        let logical = logical_key(&work.tenant, lead.record_id);
        let open = |field, sealed| self.parts.sealer.open(place(&logical, field), sealed);
        let person = lead.send.person.as_ref()?;
        Some(open("name", &person.name).and_then(|name| Ok((name, open("phone_number", &person.phone_number)?))))
    }

    async fn not_accepted(
        &self,
        work: &mut Work,
        grant: &Grant,
        attempt: PostAttempt,
        error: &CallError,
    ) -> Result<(), StoreError> {
        let triage = triage(error);
        let again = triage.again(self, work.lead.value.send.failures);
        let detail = Some(format!("ALC: {error}"));
        match error {
            CallError::Unauthorized => {
                self.record(work, |lead, now| lead.not_sent(attempt, Again::failed(now), None, now)).await?;
                return self.renew(work, grant).await;
            }
            CallError::NotSent { .. } | CallError::RateLimited { .. } => {
                self.record(work, |lead, now| lead.not_sent(attempt, again, detail.clone(), now)).await?;
            }
            CallError::Unreadable { .. } => {
                let poll_at = self.settings.deadlines.next_poll(0, self.parts.clock.now());
                self.record(work, |lead, now| {
                    if lead.accepted_unreadably(attempt, again, poll_at, detail.clone(), now) {
                        tracing::warn!(
                            record = %lead.record_id,
                            "ALC accepted a lead twice in a way that cannot be read: it counts as sent, without ALC's id"
                        );
                    }
                })
                .await?;
            }
            CallError::Unknown { .. } => {
                self.record(work, |lead, now| lead.unknown(attempt, again, detail.clone(), now)).await?;
            }
            CallError::Conflict { .. }
            | CallError::Forbidden { .. }
            | CallError::NotFound
            | CallError::Unsupported
            | CallError::Rejected { .. } => {
                let (words, is_conflict) = (error.words(), matches!(error, CallError::Conflict { .. }));
                self.record(work, |lead, now| {
                    lead.rejected(attempt, words.clone(), now);
                    if is_conflict {
                        // ALC has a lead of this record, whatever made it: no replay is to try for a second one.
                        lead.send.forget_person();
                    }
                })
                .await?;
            }
        }
        self.report_on_alc(work, triage.report).await;
        Ok(())
    }
}
