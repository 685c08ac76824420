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
    /// Where the rest begins.
    pub next_cursor: Option<String>,
}

impl Operate {
    /// A page of syncs, by so many workspaces.
    pub async fn syncs(
        &self,
        only: Option<WorkspaceId>,
        from: Option<&Place>,
        limit: usize,
    ) -> Result<SyncsPage, StoreError> {
        let (workspaces, next_cursor) = self.some_workspaces(only, from, limit).await?;
        let mut syncs = Vec::new();
        for workspace in workspaces {
            syncs.extend(self.leads.sync_of(workspace).await?);
        }
        Ok(SyncsPage { syncs, next_cursor })
    }

    /// Begins the syncs of so many workspaces, or of one; `None`: there is no such workspace. Where all are meant,
    /// those without access to Attio are passed over.
    pub async fn begin_syncs(
        &self,
        (only, mend): (Option<WorkspaceId>, bool),
        from: Option<&Place>,
        limit: usize,
        by: &By,
    ) -> Result<Option<SyncsBegun>, StoreError> {
        let (workspaces, next_cursor) = self.some_workspaces(only, from, limit).await?;
        let mut done = SyncsBegun { syncs: Vec::new(), begun: 0, next_cursor };
        let action = if mend { "sync-and-mend" } else { "sync" };
        for workspace in workspaces {
            if only.is_none() && !self.leads.may_be_synced(workspace).await? {
                continue;
            }
            let begun = self.leads.begin_sync(workspace, mend).await;
            let Some(begun) = begun.inspect_err(|_| by.may_have_done(action, &workspace))? else { continue };
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
