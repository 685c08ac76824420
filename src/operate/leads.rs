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

/// A retry of whatever the filter finds from some place on.
#[derive(Debug, Clone)]
pub struct RetryMany {
    /// What.
    pub filter: LeadFilter,
    /// From where on.
    pub from: Option<Place>,
    /// At most so many in this request.
    pub limit: usize,
}

/// What a retry of many leads came to, lead by lead.
#[derive(Debug, Clone, Serialize)]
pub struct RetriedMany {
    /// Each lead that was found and is still there.
    pub retried: Vec<Retried>,
    /// Where the rest begins.
    pub next_cursor: Option<String>,
}

impl LeadFilter {
    /// Whether it leaves anything out.
    pub fn is_narrowed(&self) -> bool {
        self.workspace.is_some() || self.status.is_some() || self.reason.is_some() || self.waiting || self.failing
    }

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
        let tried = self.leads.try_now(workspace, record, None).await;
        let tried = tried.inspect_err(|_| by.may_have_done("retry", &of))?;
        let Some(tried) = tried else { return Ok(Retry::Unknown) };
        by.did("retry", &of, &tried.join(","));
        Ok(Retry::Done(Retried { workspace_id: workspace, record_id: record, tried }))
    }

    /// Tries now what of the leads that the filter finds waits for its next try.
    pub async fn retry_many(&self, retry: &RetryMany, by: &By) -> Result<RetriedMany, StoreError> {
        let found = self.leads(&retry.filter, retry.from.as_ref(), retry.limit).await?;
        let leads: Vec<_> = found.leads.iter().map(|lead| (lead.workspace_id, lead.record_id)).collect();
        let done = self.retry_these(&leads, by).await?;
        Ok(RetriedMany { next_cursor: found.next_cursor, ..done })
    }

    /// Tries these and no others, whatever else a filter would find by now. What has nothing to be tried, as where this
    /// is asked for again before a worker has come by, is left alone and has no audit line.
    pub async fn retry_these(&self, leads: &[(WorkspaceId, RecordId)], by: &By) -> Result<RetriedMany, StoreError> {
        let (pace, now) = (self.leads.pace(), self.clock.now());
        let (mut retried, mut turn) = (Vec::new(), self.turns.first(pace, now));
        for (workspace, record) in leads.iter().copied() {
            let of = format_args!("{workspace}/{record}");
            let tried = self.leads.try_now(workspace, record, Some(turn)).await;
            let Some(tried) = tried.inspect_err(|_| by.may_have_done("retry", &of))? else { continue };
            if !tried.is_empty() {
                turn = turn.saturating_add(1);
                self.turns.taken(turn, pace, now);
                by.did("retry", &of, &tried.join(","));
            }
            retried.push(Retried { workspace_id: workspace, record_id: record, tried });
        }
        Ok(RetriedMany { retried, next_cursor: None })
    }
}
