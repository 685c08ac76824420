//! A person whom Attio shows as Pending and for whom there is no lead: ALC is asked, and what that does not know either
//! is lost.

use secrecy::SecretString;
use serde_json::json;

use super::{
    run::{Settled, Why},
    settle::due_now,
    step::SyncWork,
};
use crate::{
    alc::{ListedLead, callback::is_unfinished},
    attio,
    clock::Timestamp,
    connections::{Grant, NoGrant},
    ids::{RecordId, SendId},
    leads::{
        lead::{aggregate::Lead, send::PresentSend},
        service::Leads,
        work::triage::triage,
    },
    store::{
        StoreError, Versioned,
        gate::{GateReport, Verdict},
    },
    upstream::CallError,
};

/// The word for why such a record is `Failed`.
const LOST: &str = "lost";
/// Failures of ALC's in a row after which a person is left as he is.
const ASKED_AT_MOST: u32 = 4;

/// What ALC says of a record.
enum AlcSays {
    /// It has nothing.
    Nothing,
    /// It has it, and has told no result.
    Unfinished,
    /// It has told this result, of one lead.
    Finished { lead: ListedLead, result: String },
    /// It cannot be asked for records, or not before a person acts: it may have it all the same.
    Silent,
    /// It is to be asked again then.
    Later(Timestamp, String),
}

impl Leads {
    /// Pending in Attio, and there is no lead.
    pub(super) async fn settle_unknown(
        &self,
        work: &mut SyncWork,
        token: &SecretString,
        record: RecordId,
        is_remembered: bool,
    ) -> Result<(), StoreError> {
        let left = match self.alc_says(work, record).await? {
            AlcSays::Later(at, detail) if work.run.value.failures + 1 < ASKED_AT_MOST => {
                return self.sync_waits(work, detail, false, at).await;
            }
            AlcSays::Later(..) | AlcSays::Silent => Why::AlcSilent,
            // What merges have left there has no result to take.
            AlcSays::Finished { lead, result } if !is_remembered => {
                let adopted = self.adopted(work, record, &lead, &result);
                let now = self.parts.clock.now();
                return self.settled(work, Settled::Mended, vec![due_now(&adopted, now)]).await;
            }
            AlcSays::Finished { .. } | AlcSays::Unfinished => Why::AtAlc,
            AlcSays::Nothing if work.run.value.mend => return self.write_off(work, token, record).await,
            AlcSays::Nothing => Why::Unknown,
        };
        self.settled(work, Settled::Left(left), Vec::new()).await
    }

    /// The lead that ALC's callback would have made, with all that Attio is owed of it.
    fn adopted(&self, work: &SyncWork, record: RecordId, listed: &ListedLead, result: &str) -> Versioned<Lead> {
        let now = self.parts.clock.now();
        let mut lead = Lead::new(record, PresentSend::new(SendId::random(), now));
        lead.send.webhook = work.workspace.value.sending_webhook();
        lead.adopt(result, Some(&listed.id), None, now);
        self.owe_more(&work.tenant, &mut lead, None, &listed.words, now);
        if work.run.value.writing {
            // `Failed` was being written when ALC had nothing yet, and may arrive after what the lead shows.
            lead.overwritten(now);
        }
        lead.keep_history(None, now);
        Versioned::new(lead)
    }

    /// Writes `Failed` into a record that nobody knows, if that is still so. What a press does meanwhile is written
    /// once more behind it.
    async fn write_off(&self, work: &mut SyncWork, token: &SecretString, record: RecordId) -> Result<(), StoreError> {
        let was_written = std::mem::replace(&mut work.run.value.writing, true);
        if !self.hold_sync(work).await? {
            return Ok(());
        }
        if let Some(lead) = self.speaks_for(&work.tenant, record).await?.lead {
            return match was_written {
                true => self.settle_pressed(work, lead).await,
                false => self.settled(work, Settled::Alike, Vec::new()).await,
            };
        }
        let values = self.lost_values(work.run.value.wordless);
        match self.parts.attio.update_person(token, record, &values).await {
            Ok(()) => {
                self.attio_answered_sync(work).await;
                match self.speaks_for(&work.tenant, record).await?.lead {
                    Some(lead) => self.settle_pressed(work, lead).await,
                    None => self.settled(work, Settled::WrittenOff, Vec::new()).await,
                }
            }
            Err(error) => self.not_written_off(work, token, &error).await,
        }
    }

    async fn not_written_off(
        &self,
        work: &mut SyncWork,
        token: &SecretString,
        error: &CallError,
    ) -> Result<(), StoreError> {
        let (CallError::Rejected { code, .. } | CallError::Conflict { code, .. }) = error else {
            return match error {
                CallError::NotFound => self.settled(work, Settled::Alike, Vec::new()).await,
                error => self.sync_failed(work, error, token, false).await,
            };
        };
        self.attio_answered_sync(work).await;
        let passes = ["concurrent_write_conflict", "merge_in_progress"];
        if code.as_deref().is_some_and(|code| passes.contains(&code)) {
            let at = self.retry_at(work.run.value.failures, None);
            return self.sync_waits(work, format!("Attio: {error}"), false, at).await;
        }
        if !work.run.value.wordless && self.settings.attributes.result.is_some() {
            // As for a lead's own result: what Attio does not take as a word is left out.
            work.run.value.wordless = true;
            return self.put_sync(work, Vec::new(), self.sync_turn(2)).await;
        }
        self.settled(work, Settled::Left(Why::Refused), Vec::new()).await
    }

    fn lost_values(&self, wordless: bool) -> attio::Values {
        let slugs = &self.settings.attributes;
        let word = slugs.result.as_ref().filter(|_| !wordless).map(|slug| (slug.clone(), LOST.to_owned()));
        let status = (slugs.status.clone(), self.settings.titles.failed.clone());
        word.into_iter().chain([status]).map(|(slug, value)| (slug, json!([value]))).collect::<attio::Values>()
    }

    /// What ALC says of a record, if it can be asked now.
    async fn alc_says(&self, work: &mut SyncWork, record: RecordId) -> Result<AlcSays, StoreError> {
        let now = self.parts.clock.now();
        if !self.parts.alc.may_find_leads() {
            return Ok(AlcSays::Silent);
        }
        let again = |leads: &Self, work: &SyncWork| leads.retry_at(work.run.value.failures, None);
        if self.alc_breaker.is_open() {
            return Ok(AlcSays::Later(again(self, work), "ALC answers no workspace".to_owned()));
        }
        if work.alc.view.closed_until.is_some() {
            let verdict = self.parts.store.reserve(&work.tenant, &self.settings.gates.alc, None, now).await?;
            if let Verdict::At(at) = verdict {
                return Ok(AlcSays::Later(at, "ALC's gate is closed".to_owned()));
            }
        }
        let grant = match self.parts.connections.alc_grant(&work.tenant, &work.workspace).await {
            Ok((grant, _)) => grant,
            Err(NoGrant::ReauthorizationRequired | NoGrant::NotConnected) => return Ok(AlcSays::Silent),
            Err(NoGrant::Unavailable { retry_at, detail } | NoGrant::Unopened { retry_at, detail }) => {
                return Ok(AlcSays::Later(retry_at, detail));
            }
            Err(NoGrant::Store(error)) => return Err(error),
        };
        match self.parts.alc.find_leads(&grant.access_token, record).await {
            Ok(listed) => {
                self.alc_answered_sync(work, GateReport::Recovered).await;
                Ok(said(&listed))
            }
            Err(error) => self.alc_did_not_say(work, &grant, &error).await,
        }
    }

    async fn alc_did_not_say(
        &self,
        work: &mut SyncWork,
        grant: &Grant,
        error: &CallError,
    ) -> Result<AlcSays, StoreError> {
        let triage = triage(error);
        let again = triage.again(self, work.run.value.failures);
        self.alc_answered_sync(work, triage.report).await;
        Ok(match error {
            CallError::Unauthorized => match self.parts.connections.alc_grant_after_401(&work.tenant, grant).await {
                Err(NoGrant::Store(error)) => return Err(error),
                Err(NoGrant::ReauthorizationRequired | NoGrant::NotConnected) => AlcSays::Silent,
                Ok(_) | Err(NoGrant::Unavailable { .. } | NoGrant::Unopened { .. }) => {
                    AlcSays::Later(again.at, format!("ALC: {error}"))
                }
            },
            CallError::RateLimited { .. }
            | CallError::NotSent { .. }
            | CallError::Unknown { .. }
            | CallError::Unreadable { .. } => {
                // Not ALC's own words, which may quote what it lists.
                AlcSays::Later(again.at, "ALC, asked for a record, gave no clear answer".to_owned())
            }
            // ALC may have it all the same, also where a gateway in between has said that there is no such list.
            CallError::Unsupported
            | CallError::Forbidden { .. }
            | CallError::NotFound
            | CallError::Conflict { .. }
            | CallError::Rejected { .. } => AlcSays::Silent,
        })
    }

    async fn alc_answered_sync(&self, work: &mut SyncWork, report: GateReport) {
        self.alc_fared(&work.tenant, None, &mut work.alc, report).await;
    }
}

/// What a list of ALC's comes to. Where several leads have ended, which result is the last one cannot be told.
fn said(listed: &[ListedLead]) -> AlcSays {
    let result =
        |lead: &ListedLead| lead.status.clone().filter(|status| !status.trim().is_empty() && !is_unfinished(status));
    match listed {
        [] => AlcSays::Nothing,
        [one] => match result(one) {
            Some(result) => AlcSays::Finished { lead: one.clone(), result },
            None => AlcSays::Unfinished,
        },
        _ => AlcSays::Unfinished,
    }
}
