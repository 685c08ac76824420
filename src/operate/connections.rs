//! Connections over all workspaces: lists, one, and repairing one.

use serde::Serialize;

use super::{Operate, audit::By, pages::Place};
use crate::{
    connections::WorkspaceStory,
    ids::WorkspaceId,
    store::{Kind, StoreError},
};

/// Some workspaces with their connections.
#[derive(Debug, Clone, Serialize)]
pub struct ConnectionsPage {
    /// The workspaces.
    pub connections: Vec<WorkspaceStory>,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}

/// What a repair came to.
#[derive(Debug, Clone, Serialize)]
pub struct Repaired {
    /// Whose connection.
    pub workspace_id: WorkspaceId,
    /// What is done now: `refresh`, `revoke`, `look-at-alc-webhook`, `look-at-attio-webhook`, `clean-up-webhook`.
    pub tried: Vec<&'static str>,
    /// What only a person can do.
    pub advice: Option<&'static str>,
}

impl Operate {
    /// A page of connections.
    pub async fn connections(&self, from: Option<&Place>, limit: usize) -> Result<ConnectionsPage, StoreError> {
        let all = self.workspaces(Kind::Workspace, None, from.map(|from| from.workspace)).await?;
        let next = all.get(limit).map(|next| Place { workspace: *next, after: None }.to_string());
        let mut connections = Vec::new();
        for workspace in all.into_iter().take(limit) {
            connections.extend(self.connections.story(workspace).await?);
        }
        Ok(ConnectionsPage { connections, next_cursor: next })
    }

    /// What is known of a workspace's connections; `None`: there is no such workspace.
    pub async fn connection(&self, workspace: WorkspaceId) -> Result<Option<WorkspaceStory>, StoreError> {
        self.connections.story(workspace).await
    }

    /// Tries now what fails, and looks at the webhooks now; `None`: there is no such workspace.
    pub async fn repair(&self, workspace: WorkspaceId, by: &By) -> Result<Option<Repaired>, StoreError> {
        let repaired = self.connections.repair(workspace).await;
        let repaired = repaired.inspect_err(|_| by.may_have_done("repair", &workspace))?;
        let Some(tried) = repaired else { return Ok(None) };
        by.did("repair", &workspace, &tried.join(","));
        let advice = self.connections.story(workspace).await?.and_then(|story| story.advice);
        Ok(Some(Repaired { workspace_id: workspace, tried, advice }))
    }
}
