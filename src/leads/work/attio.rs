//! Writing the record in Attio, and reading it back after a PATCH whose answer was lost.

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde_json::Value;

use super::{leased::Work, triage::triage};
use crate::{
    attio::{self, Titles},
    clock::until,
    connections::AttioRefusal,
    leads::{
        lead::{
            aggregate::Lead,
            alc::Again,
            attio::ShowFailure,
            shown::{Showing, Title},
        },
        service::Leads,
    },
    store::{StoreError, gate::GateReport},
    telemetry,
    upstream::CallError,
};

/// A conflict at Attio is tried again at once this often, then by the schedule.
const CONFLICTS_AT_ONCE: u32 = 3;
/// What is told of a lead whose workspace has a token for Attio that no sealing key opens.
pub(super) const TOKEN_UNOPENED: &str = "Attio's token cannot be opened: connect the workspace again";
/// A 401 for a token that lives is taken for a stray this often in a row.
const STRAYS_FORGIVEN: u32 = 3;

impl Leads {
    /// Writes the record in Attio.
    pub(super) async fn show(&self, work: &mut Work, showing: Showing) -> Result<(), StoreError> {
        let Some(token) = self.attio_token(work) else {
            // There is one, and it does not open: it was altered. Were nothing written down, the worker would try for
            // ever, without a pause.
            let (again, detail) = (self.slowly(), Some(TOKEN_UNOPENED.to_owned()));
            return self.record(work, |lead, now| lead.not_shown(ShowFailure::Later, again, detail.clone(), now)).await;
        };
        let gate = self.gate_for(showing);
        if !self.may_write(work, gate).await? {
            return Ok(());
        }
        work.attio.go = false;
        let lead = &work.lead.value;
        let (failures, record) = (lead.attio.failures, lead.shown_at());
        let (values, lead_id) = self.values(lead, showing);
        let error = match self.parts.attio.update_person(&token, record, &values).await {
            Ok(()) => {
                self.measure_delay(lead, showing);
                self.record(work, |lead, now| {
                    // Where a merge was told of meanwhile, the record made of two has not been written yet.
                    if lead.shown_at() == record {
                        lead.shown(showing, lead_id.clone(), now);
                    }
                })
                .await?;
                self.report_on_attio(work, GateReport::Recovered).await;
                return Ok(());
            }
            Err(error) => error,
        };
        let detail = Some(self.attios_words(&error));
        if error == CallError::Unauthorized
            && let Some(again) = self.after_attios_401(work, &token, failures).await?
        {
            return self.record(work, |lead, now| lead.not_shown(ShowFailure::Later, again, detail.clone(), now)).await;
        }
        let (failure, again) = self.read_refusal(&error, showing, failures, &values);
        self.record(work, |lead, now| {
            // A merge was told of meanwhile: that the old record is gone says nothing of the new one.
            let gone_before = failure == ShowFailure::Gone && lead.shown_at() != record;
            let failure = if gone_before { ShowFailure::Later } else { failure };
            lead.not_shown(failure, again, detail.clone(), now);
        })
        .await?;
        self.report_on_attio(work, triage(&error).report).await;
        Ok(())
    }

    /// What is kept of a failure. Where only a person can mend it, it says how: Attio says at most what it refuses.
    fn attios_words(&self, error: &CallError) -> String {
        let advice = match error {
            CallError::Forbidden { .. } | CallError::Unauthorized => self.parts.connections.attio_advice(),
            _ => return format!("Attio: {error}"),
        };
        format!("Attio: {error}; {advice}")
    }

    /// How long a person has waited for what the present send came to.
    fn measure_delay(&self, lead: &Lead, showing: Showing) {
        let title = match showing.title {
            Title::Pending => return,
            Title::Complete => "complete",
            Title::Failed => "failed",
        };
        if let Some(finished) = lead.send.finished_at.filter(|_| showing.send == lead.send.outcome.id) {
            telemetry::result_shown(title, until(finished, self.parts.clock.now()));
        }
    }

    pub(super) fn attio_token(&self, work: &Work) -> Option<SecretString> {
        self.parts.connections.attio_token(&work.workspace.as_ref()?.value)
    }

    /// What Attio is sent to show `showing`, and the lead id among it.
    fn values(&self, lead: &Lead, showing: Showing) -> (attio::Values, Option<String>) {
        let slugs = &self.settings.attributes;
        let mut values = BTreeMap::new();
        values.insert(slugs.status.clone(), title_text(&self.settings.titles, showing.title).to_owned());
        let (lead_id, result) = lead.said(showing);
        let is_shown = |id: &&str| showing.title != Title::Pending && lead.attio.lead_id.as_deref() == Some(*id);
        let lead_id = lead_id.filter(|id| !is_shown(id)).map(str::to_owned);
        let lead_id = lead_id.filter(|_| !lead.attio.lead_id_refused);
        if let (Some(slug), Some(id)) = (&slugs.lead_id, &lead_id) {
            values.insert(slug.clone(), id.clone());
        }
        if let (Some(slug), Some(result)) = (&slugs.result, result)
            && !lead.attio.result_refused
        {
            values.insert(slug.clone(), result.to_owned());
        }
        // A bare string in an array is the one form that text and select both take.
        let values = values.into_iter().map(|(slug, value)| (slug, Value::Array(vec![Value::String(value)]))).collect();
        (values, lead_id)
    }

    /// Attio said 401: when it is tried again. At once where a connection's own token has ended: with a newer one, or
    /// when the workspace has connected again. `None`: the API key has ended and an operator has to set another, or the
    /// token lives and is refused all the same, so that a person has to look.
    pub(super) async fn after_attios_401(
        &self,
        work: &mut Work,
        token: &SecretString,
        failures: u32,
    ) -> Result<Option<Again>, StoreError> {
        Ok(match self.parts.connections.attio_refused(&work.tenant, token).await? {
            AttioRefusal::Key => None,
            AttioRefusal::Stray if failures >= STRAYS_FORGIVEN => None,
            AttioRefusal::Stray => Some(Again::failed(self.retry_at(failures, None))),
            AttioRefusal::Ended(workspace) => {
                work.see(workspace.map(|workspace| *workspace));
                Some(Again::failed(self.parts.clock.now()))
            }
        })
    }

    /// Attio's refusals by what to do next.
    fn read_refusal(
        &self,
        error: &CallError,
        showing: Showing,
        failures: u32,
        sent: &attio::Values,
    ) -> (ShowFailure, Again) {
        let now = self.parts.clock.now();
        let (at_once, again) = (Again::failed(now), triage(error).again(self, failures));
        let slowly = || self.slowly();
        match error {
            CallError::RateLimited { .. } | CallError::NotSent { .. } => (ShowFailure::Later, again),
            CallError::Unreadable { .. } | CallError::Unknown { .. } => (ShowFailure::Unseen(showing), again),
            CallError::Conflict { code: Some(code), .. } if code == "concurrent_write_conflict" => {
                (ShowFailure::Later, if failures < CONFLICTS_AT_ONCE { at_once } else { again })
            }
            CallError::Rejected { code: Some(code), .. } if code == "merge_in_progress" => (ShowFailure::Later, again),
            CallError::Rejected { status: 400 | 422, .. } | CallError::Conflict { .. } => self
                .refused_value(error, sent)
                .map_or_else(|| (ShowFailure::Refused, slowly()), |value| (value, at_once)),
            CallError::NotFound => (ShowFailure::Gone, at_once),
            CallError::Rejected { .. }
            | CallError::Forbidden { .. }
            | CallError::Unauthorized
            | CallError::Unsupported => (ShowFailure::Refused, slowly()),
        }
    }

    /// Which of the values beside the status Attio refuses, so that the rest is shown without it. Where Attio does not
    /// say which it means, the result is left out first, then the id instead.
    fn refused_value(&self, error: &CallError, sent: &attio::Values) -> Option<ShowFailure> {
        let slugs = &self.settings.attributes;
        let is_sent = |slug: &&String| sent.contains_key(slug.as_str());
        let (lead_id, result) = (slugs.lead_id.as_ref().filter(is_sent), slugs.result.as_ref().filter(is_sent));
        let is_about = |slug: Option<&String>| slug.is_some_and(|slug| error.is_about(slug));
        let is_uniqueness = error.words().to_lowercase().contains("unique")
            || matches!(error, CallError::Conflict { .. })
            || matches!(error, CallError::Rejected { code: Some(code), .. } if code.contains("unique"));
        if is_about(lead_id) {
            Some(ShowFailure::LeadIdRefused)
        } else if is_about(result) {
            Some(ShowFailure::ResultRefused)
        } else if error.is_about(&slugs.status) {
            None
        } else if lead_id.is_some() && (result.is_none() || is_uniqueness) {
            Some(ShowFailure::LeadIdRefused)
        } else {
            result.map(|_| ShowFailure::ResultRefused)
        }
    }

    /// Reads the record after a PATCH whose answer was lost, and has it written again if that one came late. What a
    /// person has put there meanwhile stays.
    pub(super) async fn read_back(&self, work: &mut Work, index: usize) -> Result<(), StoreError> {
        let lead = &work.lead.value;
        let (Some(doubt), wanted) = (lead.attio.doubts.get(index).cloned(), lead.wanted()) else { return Ok(()) };
        let worth_a_look = wanted.is_some_and(|wanted| lead.attio.shows(wanted) && doubt.would_change(wanted));
        let (true, Some(token)) = (worth_a_look, self.attio_token(work)) else {
            return self.record(work, |lead, _| lead.read_back(index, false)).await;
        };
        if !self.ensure_time(work).await? {
            return Ok(());
        }
        let (failures, record) = (work.lead.value.attio.failures, work.lead.value.shown_at());
        match self.parts.attio.read_person(&token, record, &self.settings.attributes.status).await {
            Ok(title) => {
                let late = title.as_deref() == Some(title_text(&self.settings.titles, doubt.title));
                self.record(work, |lead, _| lead.read_back(index, late)).await
            }
            Err(CallError::NotFound) => self.record(work, |lead, _| lead.read_back(index, false)).await,
            Err(error) => {
                let mut again = triage(&error).again(self, failures);
                if error == CallError::Unauthorized {
                    again = self.after_attios_401(work, &token, failures).await?.unwrap_or(again);
                }
                self.record(work, |lead, now| lead.not_shown(ShowFailure::Later, again, None, now)).await
            }
        }
    }
}

/// The operator's word for a title.
fn title_text(titles: &Titles, title: Title) -> &str {
    match title {
        Title::Pending => &titles.pending,
        Title::Complete => &titles.complete,
        Title::Failed => &titles.failed,
    }
}
