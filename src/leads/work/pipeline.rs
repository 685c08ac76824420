//! Putting the record into the operator's list, at the stage that the result names.

use super::{attio::TOKEN_UNOPENED, leased::Work, triage::triage};
use crate::{
    ids::{RecordId, SendId},
    leads::{
        lead::{alc::Again, pipeline::PlacementFailure},
        service::Leads,
    },
    store::{StoreError, gate::GateReport},
    upstream::CallError,
};

/// What Attio's credential needs.
const SCOPE: &str = "list_entry:read-write";

impl Leads {
    /// Writes the entry of the record.
    pub(super) async fn place(&self, work: &mut Work, send: SendId) -> Result<(), StoreError> {
        let (lead, now) = (&work.lead.value, self.parts.clock.now());
        let placement = lead.pipeline.clone().filter(|it| it.send == send && now < it.trying.until);
        let (Some(placement), Some(pipeline)) = (placement, &self.settings.pipeline) else {
            return self.record(work, |lead, _| lead.give_placement_up(send)).await;
        };
        let Some(token) = self.attio_token(work) else {
            let again = self.slowly();
            let later = PlacementFailure::Later;
            return self.record(work, |lead, _| lead.not_placed(send, later, again, TOKEN_UNOPENED)).await;
        };
        let gate = self.settings.gates.attio;
        if !self.may_write(work, gate).await? {
            return Ok(());
        }
        work.attio.go = false;
        let (record, list) = (work.lead.value.shown_at(), pipeline.list.as_str());
        let stage = (pipeline.stage_attribute.as_str(), placement.stage.as_str());
        let mut error = match self.parts.attio.assert_entry(&token, list, record, stage).await {
            Ok(()) => {
                self.record(work, |lead, _| lead.placed(send, record)).await?;
                self.report_on_attio(work, GateReport::Recovered).await;
                return Ok(());
            }
            Err(error) => error,
        };
        // It may be the list that is not there: then the record is not to blame.
        let mut is_lists = false;
        if error == CallError::NotFound && self.ensure_time(work).await? {
            match self.parts.attio.find_list(&token, list).await {
                Err(CallError::NotFound) => is_lists = true,
                Err(other) => error = other,
                Ok(_) => {}
            }
        }
        let (mut failure, mut again) = self.read_placement_refusal(&error, record, placement.trying.failures);
        if is_lists {
            (failure, again) = (PlacementFailure::Refused, self.slowly());
        }
        if error == CallError::Unauthorized
            && let Some(sooner) = self.after_attios_401(work, &token, placement.trying.failures).await?
        {
            (failure, again) = (PlacementFailure::Later, sooner);
        }
        let detail = match &error {
            _ if is_lists => format!("Attio has no list `{list}`: name one in ATTIO__PIPELINE__LIST"),
            CallError::Forbidden { .. } => format!("Attio's credential may need the scope {SCOPE}: {error}"),
            error => format!("Attio, of the list: {error}"),
        };
        self.record(work, |lead, _| lead.not_placed(send, failure, again, &detail)).await?;
        self.report_on_attio(work, triage(&error).report).await;
        Ok(())
    }

    fn read_placement_refusal(&self, error: &CallError, record: RecordId, failures: u32) -> (PlacementFailure, Again) {
        let again = triage(error).again(self, failures);
        let passes = |code: &Option<String>| {
            code.as_deref().is_some_and(|code| ["concurrent_write_conflict", "merge_in_progress"].contains(&code))
        };
        match error {
            // Written twice it is as written once.
            CallError::RateLimited { .. }
            | CallError::NotSent { .. }
            | CallError::Unreadable { .. }
            | CallError::Unknown { .. } => (PlacementFailure::Later, again),
            CallError::Conflict { code, .. } | CallError::Rejected { code, .. } if passes(code) => {
                (PlacementFailure::Later, again)
            }
            CallError::NotFound => (PlacementFailure::Gone(record), again),
            CallError::Conflict { .. }
            | CallError::Rejected { .. }
            | CallError::Forbidden { .. }
            | CallError::Unauthorized
            | CallError::Unsupported => (PlacementFailure::Refused, self.slowly()),
        }
    }
}
