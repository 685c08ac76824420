//! The effect of each step: one call to an upstream, and the fact that it leaves.
//!
//! Owns how ALC's and Attio's answers are read. What the outcome of a call is called is the clients' matter
//! ([`CallError`]); what it means for a lead is decided here.

use secrecy::SecretString;

use super::{
    Leads, logical_key, place,
    send::Status,
    shown::{ShowFailure, Showing},
    transitions::Attempt,
    work::{Work, opens_at},
};
use crate::{
    alc::{ListedLead, NewLead, callback::is_unfinished},
    clock::Timestamp,
    connections::{Grant, NoGrant, Workspace},
    store::{
        StoreError, Versioned,
        gate::{GateReport, Verdict},
    },
    upstream::CallError,
};

/// A conflict at Attio is tried again at once this often, then by the schedule.
const CONFLICTS_AT_ONCE: u32 = 3;

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

    /// Posts a send that has just been marked as begun, unless that took too long: by the time of an answer the lease
    /// might be another's, who would send again.
    pub(super) async fn post_in_time(&self, work: &mut Work, grant: Grant) -> Result<(), StoreError> {
        if self.has_time(work) {
            return self.post(work, grant).await;
        }
        let attempt = work.lead.value.attempt();
        self.record(work, |lead, now| lead.not_sent(attempt, now, None, now)).await
    }

    /// The request of a send that has been marked as begun, and what came of it.
    async fn post(&self, work: &mut Work, grant: Grant) -> Result<(), StoreError> {
        work.alc_go = false;
        let lead = &work.lead.value;
        let (attempt, record) = (lead.attempt(), lead.record_id);
        let send = attempt.send;
        let was_in_doubt = lead.send.ever_in_doubt;
        let failures = lead.send.failures;
        let logical = logical_key(work.tenant.as_str(), record);
        let opened = lead.send.person.as_ref().map(|person| {
            let name = self.parts.sealer.open(place(&logical, "name"), &person.name)?;
            let phone_number = self.parts.sealer.open(place(&logical, "phone_number"), &person.phone_number)?;
            Ok((name, phone_number))
        });
        let (name, phone_number) = match opened {
            Some(Ok(person)) => person,
            Some(Err::<_, crate::sealing::OpenError>(error)) => {
                tracing::error!(%error, "a lead's name and number cannot be opened");
                let at = self.retry_at(failures, None);
                return self
                    .record(work, move |lead, now| lead.not_sent(attempt, at, Some(error.to_string()), now))
                    .await;
            }
            // A callback has come in since: ALC has the lead.
            None => return self.record(work, move |lead, now| lead.not_sent(attempt, now, None, now)).await,
        };
        let new = NewLead { record_id: record, name: &name, phone_number: &phone_number };
        let accepted = match self.parts.alc.submit_lead(&grant.access_token, send, new).await {
            Ok(accepted) => accepted.id,
            // Only if an attempt before this one may have arrived can it be this send that ALC already has.
            Err(CallError::Conflict { id, .. }) if was_in_doubt => id,
            Err(error) => return self.not_accepted(work, grant, attempt, failures, error).await,
        };
        let poll_at = self.settings.deadlines.next_poll(0, self.parts.clock.now());
        self.record(work, |lead, now| lead.submitted(send, accepted.clone(), poll_at, now)).await?;
        self.report(work, self.settings.gates.alc, GateReport::Recovered).await;
        Ok(())
    }

    async fn not_accepted(
        &self,
        work: &mut Work,
        grant: Grant,
        attempt: Attempt,
        failures: u32,
        error: CallError,
    ) -> Result<(), StoreError> {
        let send = attempt.send;
        let detail = Some(format!("ALC: {error}"));
        match error {
            CallError::NotSent { .. } => {
                let at = self.retry_at(failures, None);
                self.record(work, |lead, now| lead.not_sent(attempt, at, detail.clone(), now)).await?;
                self.report(work, self.settings.gates.alc, GateReport::Failed).await;
            }
            CallError::RateLimited { until } => {
                let at = self.retry_at(failures, Some(until));
                self.record(work, |lead, now| lead.not_sent(attempt, at, detail.clone(), now)).await?;
                self.report(work, self.settings.gates.alc, GateReport::Limited { until }).await;
            }
            CallError::Unauthorized => {
                self.record(work, |lead, now| lead.not_sent(attempt, now, None, now)).await?;
                self.renew(work, &grant).await?;
            }
            CallError::Unreadable { .. } => {
                let at = self.retry_at(failures, None);
                self.record(work, |lead, now| lead.unknown(attempt, at, detail.clone(), now)).await?;
                self.report(work, self.settings.gates.alc, GateReport::Recovered).await;
            }
            CallError::Unknown { retry_after, .. } => {
                let at = self.retry_at(failures, retry_after);
                self.record(work, |lead, now| lead.unknown(attempt, at, detail.clone(), now)).await?;
                self.report(work, self.settings.gates.alc, GateReport::Failed).await;
            }
            CallError::Conflict { .. }
            | CallError::Forbidden { .. }
            | CallError::NotFound
            | CallError::Unsupported
            | CallError::Rejected { .. } => {
                let waits = work.claims_refusal(send);
                let words = error.words();
                // Judged by the lead that is written: who watched it may have hung up since the request began.
                self.record(work, |lead, now| {
                    let told = waits || lead.is_watched(now);
                    lead.rejected(attempt, words.clone(), told, now);
                })
                .await?;
                self.report(work, self.settings.gates.alc, GateReport::Recovered).await;
            }
        }
        Ok(())
    }

    /// Asks ALC what it has for the record before the first attempt.
    pub(super) async fn take_baseline(&self, work: &mut Work) -> Result<(), StoreError> {
        let Some(found) = self.find(work).await? else { return Ok(()) };
        let ids: Vec<_> = found.unwrap_or_default().into_iter().map(|lead| lead.id).collect();
        self.record(work, |lead, _| lead.listed_before(ids.clone())).await
    }

    /// Asks ALC whether an attempt without a clear answer arrived.
    pub(super) async fn look_up(&self, work: &mut Work) -> Result<(), StoreError> {
        let Some(found) = self.find(work).await? else { return Ok(()) };
        let send = work.lead.value.send.id;
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

    /// Asks ALC for the result of a lead that nobody called back about.
    pub(super) async fn poll(&self, work: &mut Work) -> Result<(), StoreError> {
        let known = work.lead.value.send.lead_id.is_some();
        if !(self.parts.alc.may_find_leads() || known && self.parts.alc.may_get_leads()) {
            // Not asked, ALC would not answer the gate's probe either: that is left to a lead that has something to ask.
            return self.polled(work).await;
        }
        if !self.alc_lets_through(work).await? {
            return Ok(());
        }
        let Some(grant) = self.grant(work).await? else { return Ok(()) };
        if !self.ensure_time(work).await? {
            return Ok(());
        }
        if let Some(id) = work.lead.value.send.lead_id.clone() {
            match self.parts.alc.get_lead(&grant.access_token, &id).await {
                Ok(listed) => {
                    self.alc_answered(work).await;
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
                self.alc_answered(work).await;
                let known = work.lead.value.send.lead_id.as_deref();
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
        let failures = work.lead.value.send.failures;
        let (at, report) = match error {
            CallError::RateLimited { until } => {
                (self.retry_at(failures, Some(*until)), GateReport::Limited { until: *until })
            }
            CallError::Unknown { retry_after, .. } => (self.retry_at(failures, *retry_after), GateReport::Failed),
            CallError::NotSent { .. } => (self.retry_at(failures, None), GateReport::Failed),
            // From memory, or ALC's own.
            CallError::Unsupported => return self.polled(work).await,
            _ => {
                self.alc_answered(work).await;
                return self.polled(work).await;
            }
        };
        work.alc_go = false;
        self.report(work, self.settings.gates.alc, report).await;
        self.record(work, |lead, now| {
            lead.delay(at, None, now);
            lead.poll_later(at);
        })
        .await
    }

    /// ALC is there: its gate opens, whatever the answer says of the lead.
    async fn alc_answered(&self, work: &mut Work) {
        work.alc_go = false;
        self.report(work, self.settings.gates.alc, GateReport::Recovered).await;
    }

    async fn polled(&self, work: &mut Work) -> Result<(), StoreError> {
        let deadlines = &self.settings.deadlines;
        self.record(work, |lead, now| lead.polled(deadlines.next_poll(lead.send.polls + 1, now))).await
    }

    /// ALC has the lead, perhaps with its result already.
    async fn found_at_alc(&self, work: &mut Work, listed: &ListedLead) -> Result<(), StoreError> {
        let send = work.lead.value.send.id;
        let deadlines = &self.settings.deadlines;
        let result = listed.status.as_deref().filter(|status| !status.trim().is_empty() && !is_unfinished(status));
        self.record(work, |lead, now| {
            if lead.send.status == Status::Pending {
                lead.polled(deadlines.next_poll(lead.send.polls + 1, now));
            }
            lead.submitted(send, Some(listed.id.clone()), deadlines.next_poll(0, now), now);
            if let (Some(result), true) = (result, lead.send.id == send) {
                lead.finish(result, Some(&listed.id), None, now);
            }
        })
        .await
    }

    /// What ALC lists for the record: `Some(None)` if it cannot be asked that, `None` if the work has taken a turn.
    async fn find(&self, work: &mut Work) -> Result<Option<Option<Vec<ListedLead>>>, StoreError> {
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
        work.alc_go = false;
        let failures = work.lead.value.send.failures;
        match self.parts.alc.find_leads(&grant.access_token, work.lead.value.record_id).await {
            Ok(listed) => {
                self.alc_answered(work).await;
                Ok(Some(Some(listed)))
            }
            Err(CallError::Unauthorized) => {
                self.renew(work, &grant).await?;
                Ok(None)
            }
            Err(CallError::RateLimited { until }) => {
                let at = self.retry_at(failures, Some(until));
                self.report(work, self.settings.gates.alc, GateReport::Limited { until }).await;
                self.record(work, |lead, now| lead.delay(at, None, now)).await?;
                Ok(None)
            }
            Err(error) if error.is_ailing() => {
                let at = self.retry_at(failures, None);
                let detail = Some(format!("ALC, asked for the lead: {error}"));
                self.report(work, self.settings.gates.alc, GateReport::Failed).await;
                self.record(work, |lead, now| lead.delay(at, detail.clone(), now)).await?;
                Ok(None)
            }
            // A refused question is an unanswerable one; waiting would only run into the deadline.
            Err(_) => {
                self.alc_answered(work).await;
                Ok(Some(None))
            }
        }
    }

    /// Leave from ALC's gate, which only breaks and never paces: a closed one needs no visit.
    async fn alc_lets_through(&self, work: &mut Work) -> Result<bool, StoreError> {
        if work.alc_go || work.alc.closed_until.is_none() {
            return Ok(true);
        }
        let now = self.parts.clock.now();
        let verdict = self.parts.store.reserve(&work.tenant, &self.settings.gates.alc, None, now).await?;
        work.alc_go = verdict == Verdict::Go;
        work.alc_opens_at = opens_at(verdict);
        Ok(work.alc_go)
    }

    /// A token for ALC, or the turn that the work takes without one.
    async fn grant(&self, work: &mut Work) -> Result<Option<Grant>, StoreError> {
        let Some(workspace) = &work.workspace else {
            work.grant_dead = true;
            return Ok(None);
        };
        match self.parts.connections.alc_grant(&work.tenant, workspace).await {
            Ok((grant, newer)) => {
                if newer.is_some() {
                    work.workspace = newer;
                }
                Ok(Some(grant))
            }
            Err(refused) => {
                self.no_grant(work, refused).await?;
                Ok(None)
            }
        }
    }

    /// A token was refused: once, a fresh one is tried at once.
    async fn renew(&self, work: &mut Work, used: &Grant) -> Result<(), StoreError> {
        if work.token_renewed {
            let at = self.retry_at(work.lead.value.send.failures, None);
            let detail = Some("ALC refuses even a fresh access token".to_owned());
            if work.lead.value.send.status == Status::Pending {
                return self.polled(work).await;
            }
            return self.record(work, |lead, now| lead.delay(at, detail.clone(), now)).await;
        }
        work.token_renewed = true;
        match self.parts.connections.alc_grant_after_401(&work.tenant, used).await {
            Ok((_, workspace)) => {
                work.workspace = Some(workspace);
                Ok(())
            }
            Err(refused) => self.no_grant(work, refused).await,
        }
    }

    async fn no_grant(&self, work: &mut Work, refused: NoGrant) -> Result<(), StoreError> {
        match refused {
            NoGrant::ReauthorizationRequired | NoGrant::NotConnected => {
                self.reload(work).await?;
                work.grants_refused += 1;
                // A workspace that has connected again since deserves another try, once.
                let lives = |workspace: &Versioned<Workspace>| {
                    workspace.value.current().is_some_and(|current| !current.needs_reauthorization())
                };
                work.grant_dead = work.grants_refused > 1 || !work.workspace.as_ref().is_some_and(lives);
                work.publish();
                Ok(())
            }
            NoGrant::Unavailable { retry_at, detail } => {
                let detail = Some(format!("ALC's token endpoint: {detail}"));
                self.record(work, |lead, now| {
                    lead.delay(retry_at, detail.clone(), now);
                    lead.poll_later(retry_at);
                })
                .await
            }
            NoGrant::Store(error) => Err(error),
        }
    }

    /// Writes the record in Attio.
    pub(super) async fn show(&self, work: &mut Work, showing: Showing) -> Result<(), StoreError> {
        let found = work.workspace.as_ref();
        let Some(token) = found.and_then(|found| self.parts.connections.attio_token(&found.value)) else {
            return Ok(());
        };
        if !self.ensure_time(work).await? {
            return Ok(());
        }
        if !work.attio_go {
            let now = self.parts.clock.now();
            let verdict =
                self.parts.store.reserve(&work.tenant, &self.settings.gates.attio, Some(&work.key), now).await?;
            work.attio_opens_at = opens_at(verdict);
            if verdict != Verdict::Go {
                return Ok(());
            }
            if !self.has_time(work) {
                return Ok(());
            }
        }
        work.attio_go = false;
        let lead = &work.lead.value;
        let (failures, record) = (lead.attio.failures, lead.shown_at());
        let (values, lead_id) = self.values(lead, showing);
        let with_result = self.settings.attributes.result.as_ref().is_some_and(|slug| values.contains_key(slug));
        let error = match self.parts.attio.update_person(&token, record, &values).await {
            Ok(()) => {
                self.record(work, |lead, now| {
                    // Where a merge was told of meanwhile, the record made of two has not been written yet.
                    if lead.shown_at() == record {
                        lead.shown(showing, lead_id.clone(), now);
                    }
                })
                .await?;
                self.report(work, self.settings.gates.attio, GateReport::Recovered).await;
                return Ok(());
            }
            Err(error) => error,
        };
        let detail = Some(format!("Attio: {error}"));
        if error == CallError::Unauthorized && self.attio_grant_refused(work, &token).await? {
            return self.record(work, |lead, now| lead.not_shown(ShowFailure::Later, now, detail.clone(), now)).await;
        }
        let (failure, at) = self.read_refusal(&error, showing, failures, with_result);
        self.record(work, |lead, now| {
            // A merge was told of meanwhile: that the old record is gone says nothing of the new one.
            let gone_before = failure == ShowFailure::Gone && lead.shown_at() != record;
            let failure = if gone_before { ShowFailure::Later } else { failure };
            lead.not_shown(failure, at, detail.clone(), now);
        })
        .await?;
        match error {
            CallError::RateLimited { until } => {
                self.report(work, self.settings.gates.attio, GateReport::Limited { until }).await
            }
            error if error.is_ailing() => self.report(work, self.settings.gates.attio, GateReport::Failed).await,
            _ => self.report(work, self.settings.gates.attio, GateReport::Recovered).await,
        }
        Ok(())
    }

    /// Attio said 401 to a connection's own token: shown with a newer one, or when the workspace has connected again.
    /// `false`: an API key was refused.
    async fn attio_grant_refused(&self, work: &mut Work, token: &SecretString) -> Result<bool, StoreError> {
        let Some(workspace) = self.parts.connections.attio_refused(&work.tenant, token).await? else {
            return Ok(false);
        };
        work.workspace = Some(workspace);
        Ok(true)
    }

    /// Attio's refusals by what to do next.
    fn read_refusal(
        &self,
        error: &CallError,
        showing: Showing,
        failures: u32,
        with_result: bool,
    ) -> (ShowFailure, Timestamp) {
        let now = self.parts.clock.now();
        let slowly = || self.settings.schedule.slowest(crate::ids::unit_random(), now);
        match error {
            // The gate keeps everybody until then.
            CallError::RateLimited { until } => (ShowFailure::Later, *until),
            CallError::NotSent { .. } => (ShowFailure::Later, self.retry_at(failures, None)),
            CallError::Unreadable { .. } => (ShowFailure::Unseen(showing), self.retry_at(failures, None)),
            CallError::Unknown { retry_after, .. } => {
                (ShowFailure::Unseen(showing), self.retry_at(failures, *retry_after))
            }
            CallError::Conflict { code: Some(code), .. } if code == "concurrent_write_conflict" => {
                let at = if failures < CONFLICTS_AT_ONCE { now } else { self.retry_at(failures, None) };
                (ShowFailure::Later, at)
            }
            CallError::Rejected { code: Some(code), .. } if code == "merge_in_progress" => {
                (ShowFailure::Later, self.retry_at(failures, None))
            }
            CallError::Rejected { status: 400 | 422, .. } if with_result => (ShowFailure::ResultRefused, now),
            CallError::NotFound => (ShowFailure::Gone, now),
            CallError::Conflict { .. }
            | CallError::Rejected { .. }
            | CallError::Forbidden { .. }
            | CallError::Unauthorized
            | CallError::Unsupported => (ShowFailure::Refused, slowly()),
        }
    }

    /// Reads the record after a PATCH whose answer was lost, and has it written again if that one came late. What a
    /// person has put there meanwhile stays.
    pub(super) async fn read_back(&self, work: &mut Work, index: usize) -> Result<(), StoreError> {
        let lead = &work.lead.value;
        let (Some(doubt), wanted) = (lead.attio.doubts.get(index).cloned(), lead.wanted()) else { return Ok(()) };
        let worth_a_look = wanted.is_some_and(|wanted| lead.attio.shown == Some(wanted) && doubt.would_change(wanted));
        let found = work.workspace.as_ref();
        let token = found.and_then(|found| self.parts.connections.attio_token(&found.value));
        let (true, Some(token)) = (worth_a_look, token) else {
            return self.record(work, |lead, _| lead.read_back(index, false)).await;
        };
        if !self.ensure_time(work).await? {
            return Ok(());
        }
        let (failures, record) = (work.lead.value.attio.failures, work.lead.value.shown_at());
        match self.parts.attio.read_person(&token, record, &self.settings.attributes.status).await {
            Ok(title) => {
                let late = title.as_deref() == Some(super::title_text(&self.settings.titles, doubt.title));
                self.record(work, |lead, _| lead.read_back(index, late)).await
            }
            Err(CallError::NotFound) => self.record(work, |lead, _| lead.read_back(index, false)).await,
            Err(CallError::Unauthorized) if self.attio_grant_refused(work, &token).await? => Ok(()),
            Err(error) => {
                let asked = if let CallError::RateLimited { until } = error { Some(until) } else { None };
                let at = self.retry_at(failures, asked);
                self.record(work, |lead, now| lead.not_shown(ShowFailure::Later, at, None, now)).await
            }
        }
    }
}
