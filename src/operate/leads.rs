//! Leads over all workspaces: lists, what happened to one, and trying one now.

use serde::Serialize;

use super::{Operate, audit::By, pages::Place};
use crate::{
    ids::{RecordId, WorkspaceId},
    leads::{LeadStory, LeadSummary, Looked, Reason, Status},
    store::{Cursor, Kind, StoreError},
};

/// Which leads are listed.
#[derive(Debug, Clone, Default)]
pub struct LeadFilter {
    /// Of this workspace only.
    pub workspace: Option<WorkspaceId>,
    /// In this status only.
    pub status: Option<Status>,
    /// Failed for this reason only.
    pub reason: Option<Reason>,
    /// Only those for which something is still to be done.
    pub waiting: bool,
    /// Only those of which the last try has failed.
    pub failing: bool,
}

/// Some leads, newest first within a workspace.
#[derive(Debug, Clone, Serialize)]
pub struct LeadsPage {
    /// The leads.
    pub leads: Vec<LeadSummary>,
    /// Where the next page begins; it may come with an empty page, because a page looks at so many leads and no more.
    pub next_cursor: Option<String>,
}

/// The leads of one record: of one workspace, unless two share the record's id.
#[derive(Debug, Clone, Serialize)]
pub struct Stories {
    /// Each with all that is known of it.
    pub leads: Vec<LeadStory>,
}

/// What asking for a retry comes to.
#[derive(Debug, Clone)]
pub enum Retry {
    /// It is tried, if anything waits.
    Done(Retried),
    /// There is no such lead.
    Unknown,
    /// More than one workspace has a lead of that record: which one is meant has to be said.
    Ambiguous(Vec<WorkspaceId>),
}

/// What trying a lead now comes to.
#[derive(Debug, Clone, Serialize)]
pub struct Retried {
    /// Whose lead.
    pub workspace_id: WorkspaceId,
    /// The record.
    pub record_id: RecordId,
    /// What is tried now: `alc`, `attio`, `workflows`; empty: nothing waited for its next try.
    pub tried: Vec<&'static str>,
}

impl LeadFilter {
    fn statuses(&self) -> Vec<Status> {
        let failed = self.reason.map(|_| Status::Failed);
        self.status.or(failed).map_or(Status::ALL.to_vec(), |status| vec![status])
    }

    fn takes(&self, lead: &LeadSummary) -> bool {
        (self.reason.is_none() || lead.reason == self.reason)
            && (!self.waiting || lead.waiting)
            && (!self.failing || lead.failing)
    }
}

impl Operate {
    /// A page of leads.
    pub async fn leads(
        &self,
        filter: &LeadFilter,
        from: Option<&Place>,
        limit: usize,
    ) -> Result<LeadsPage, StoreError> {
        let pick = |page: &Looked, workspace| -> Vec<(Cursor, Vec<LeadSummary>)> {
            let summaries = page.summaries(workspace).into_iter();
            summaries
                .map(|(at, lead)| (at, Some(lead).filter(|lead| filter.takes(lead)).into_iter().collect()))
                .collect()
        };
        let (leads, next) = self.walk((filter.workspace, from), &filter.statuses(), limit, pick).await?;
        Ok(LeadsPage { leads, next_cursor: next.map(|next| next.to_string()) })
    }

    /// What happened to a record.
    pub async fn lead(&self, workspace: Option<WorkspaceId>, record: RecordId) -> Result<Stories, StoreError> {
        let mut leads = Vec::new();
        for workspace in self.workspaces(Kind::Lead, workspace, None).await? {
            leads.extend(self.leads.story(workspace, record).await?);
        }
        Ok(Stories { leads })
    }

    /// Tries now what of a record's lead waits for its next try.
    pub async fn retry(&self, workspace: Option<WorkspaceId>, record: RecordId, by: &By) -> Result<Retry, StoreError> {
        let found = match workspace {
            Some(workspace) => vec![workspace],
            None => self.lead(None, record).await?.leads.iter().map(|lead| lead.summary.workspace_id).collect(),
        };
        let workspace = match found.as_slice() {
            [] => return Ok(Retry::Unknown),
            [only] => *only,
            _ => return Ok(Retry::Ambiguous(found)),
        };
        let of = format_args!("{workspace}/{record}");
        let tried = self.leads.try_now(workspace, record).await;
        let tried = tried.inspect_err(|_| by.may_have_done("retry", &of))?;
        let Some(tried) = tried else { return Ok(Retry::Unknown) };
        by.did("retry", &of, &tried.join(","));
        Ok(Retry::Done(Retried { workspace_id: workspace, record_id: record, tried }))
    }
}
