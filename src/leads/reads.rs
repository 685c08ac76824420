//! What is read of leads: one record's, and a workspace's page by page.
//!
//! Promises that a lead which this version cannot read (a newer one has written it) breaks no page.

use super::{
    lead::{aggregate::Lead, outcome::Status, view::LeadView},
    service::{Leads, lead_key},
};
use crate::{
    connections::{self, Standing, Workspace},
    ids::{ConnectionId, RecordId, WorkspaceId},
    store::{Cursor, Key, StoreError, Versioned},
};

/// Why a question about leads is not answered.
#[derive(Debug, thiserror::Error)]
pub enum ReadRefused {
    /// The token's connection may not read.
    #[error("the connection is {0:?}")]
    Standing(Standing),
    /// The store cannot be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Some leads of a workspace, newest first.
#[derive(Debug, Clone, serde::Serialize)]
pub struct LeadPage {
    /// The leads.
    pub leads: Vec<LeadView>,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}

impl Leads {
    /// The lead of a record.
    pub async fn get(
        &self,
        workspace: WorkspaceId,
        connection: ConnectionId,
        record: RecordId,
    ) -> Result<Option<LeadView>, ReadRefused> {
        let tenant = connections::tenant(workspace);
        let keys = [Key::workspace(), lead_key(record)];
        let mut loaded = self.parts.store.load(&tenant, &keys, &[], self.parts.store.now()).await?;
        may_read(loaded.take()?.as_ref(), connection)?;
        let Some(lead) = loaded.take::<Lead>()? else { return Ok(None) };
        let speaker = self.speaker(&tenant, &lead).await?;
        let speaks = speaker.unwrap_or(lead).value;
        Ok((!speaks.forwarding).then(|| LeadView { record_id: record, ..speaks.view() }))
    }

    /// One page of a workspace's leads.
    pub async fn page(
        &self,
        workspace: WorkspaceId,
        connection: ConnectionId,
        status: Option<Status>,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<LeadPage, ReadRefused> {
        let tenant = connections::tenant(workspace);
        let found = self.parts.connections.load(&tenant).await?;
        may_read(found.as_ref(), connection)?;
        // A forwarder has none of these: the lead is listed under the record that it was sent as, and however many
        // merges there are, they take no place of a page.
        let statuses = status.map_or(Status::ALL.to_vec(), |status| vec![status]);
        let statuses: Vec<_> = statuses.into_iter().map(Status::name).collect();
        let page = self.parts.store.page(&tenant, &statuses, cursor, limit).await?;
        let next_cursor = page.next.as_ref().map(Cursor::to_string);
        let leads = page.read::<Lead>().into_iter().map(|(_, lead)| lead.value.view()).collect();
        Ok(LeadPage { leads, next_cursor })
    }
}

/// Whether a connection may read what its workspace has sent.
pub(super) fn may_read(workspace: Option<&Versioned<Workspace>>, connection: ConnectionId) -> Result<(), ReadRefused> {
    match workspace.map_or(Standing::Unknown, |workspace| workspace.value.standing(connection)) {
        standing @ (Standing::Unknown | Standing::Replaced) => Err(ReadRefused::Standing(standing)),
        _ => Ok(()),
    }
}
