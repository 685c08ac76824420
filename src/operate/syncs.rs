//! Full syncs over all workspaces: begun, and what they come to.

use serde::Serialize;

use super::{Operate, audit::By, pages::Place};
use crate::{
    ids::WorkspaceId,
    leads::SyncView,
    store::{Kind, StoreError},
};

/// Some workspaces' syncs.
#[derive(Debug, Clone, Serialize)]
pub struct SyncsPage {
    /// The sync that runs, or the last one, of each workspace that has had one.
    pub syncs: Vec<SyncView>,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}

/// What the wish for syncs came to.
#[derive(Debug, Clone, Serialize)]
pub struct SyncsBegun {
    /// The syncs that run now.
    pub syncs: Vec<SyncView>,
    /// So many of these were begun; the others ran already.
    pub begun: u64,
    /// Workspaces of which no sync was begun, where all were meant.
    pub passed_over: Vec<PassedOver>,
    /// Where the rest begins.
    pub next_cursor: Option<String>,
}

/// A workspace of which no sync was begun.
#[derive(Debug, Clone, Serialize)]
pub struct PassedOver {
    /// Which.
    pub workspace_id: WorkspaceId,
    /// `not-connected`: it has no access to Attio. `unreadable`: what is stored of it cannot be read.
    pub reason: &'static str,
}

impl Operate {
    /// A page of syncs, by so many workspaces. Where all are meant, one that cannot be read does not hide the others.
    pub async fn syncs(
        &self,
        only: Option<WorkspaceId>,
        from: Option<&Place>,
        limit: usize,
    ) -> Result<SyncsPage, StoreError> {
        let (workspaces, next_cursor) = self.some_workspaces(only, from, limit).await?;
        let mut syncs = Vec::new();
        for workspace in workspaces {
            match self.leads.sync_of(workspace).await {
                Err(error) if only.is_none() && error.is_unreadable() => {
                    tracing::warn!(%workspace, %error, "a workspace's sync is left out");
                }
                sync => syncs.extend(sync?),
            }
        }
        Ok(SyncsPage { syncs, next_cursor })
    }

    /// Begins the syncs of so many workspaces, or of one; `None`: there is no such workspace. Where all are meant,
    /// those without access to Attio are passed over, and those that cannot be read.
    pub async fn begin_syncs(
        &self,
        (only, mend): (Option<WorkspaceId>, bool),
        from: Option<&Place>,
        limit: usize,
        by: &By,
    ) -> Result<Option<SyncsBegun>, StoreError> {
        let (workspaces, next_cursor) = self.some_workspaces(only, from, limit).await?;
        let mut done = SyncsBegun { syncs: Vec::new(), begun: 0, passed_over: Vec::new(), next_cursor };
        let action = if mend { "sync-and-mend" } else { "sync" };
        for workspace in workspaces {
            let mut pass_over = |reason| done.passed_over.push(PassedOver { workspace_id: workspace, reason });
            let begun = match self.leads.why_not_synced(workspace).await {
                Ok(Some(why)) if only.is_none() => {
                    pass_over(why);
                    continue;
                }
                Ok(_) => {
                    let begun = self.leads.begin_sync(workspace, mend).await;
                    begun.inspect_err(|_| by.may_have_done(action, &workspace))
                }
                Err(error) => Err(error),
            };
            let begun = match begun {
                Err(error) if only.is_none() && error.is_unreadable() => {
                    tracing::warn!(%workspace, %error, "a full sync is not begun");
                    pass_over("unreadable");
                    continue;
                }
                begun => begun?,
            };
            let Some(begun) = begun else { continue };
            by.did(action, &workspace, if begun.is_new { "begun" } else { "runs" });
            done.begun += u64::from(begun.is_new);
            done.syncs.push(begun.view);
        }
        Ok(Some(done).filter(|done| only.is_none() || !done.syncs.is_empty()))
    }

    async fn some_workspaces(
        &self,
        only: Option<WorkspaceId>,
        from: Option<&Place>,
        limit: usize,
    ) -> Result<(Vec<WorkspaceId>, Option<String>), StoreError> {
        let mut all = self.workspaces(Kind::Workspace, only, from.map(|from| from.workspace)).await?;
        let next = all.get(limit).map(|next| Place { workspace: *next, after: None }.to_string());
        all.truncate(limit);
        Ok((all, next))
    }
}
