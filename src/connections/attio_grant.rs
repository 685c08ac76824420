//! Attio's token, for the requests that go to Attio: the operator's key, or what Attio granted to the connection.
//!
//! Promises that only Attio's own word about the very token that a connection holds declares it dead, and that a dead
//! grant keeps no lead from ALC.

use secrecy::{ExposeSecret as _, SecretString};

use super::{
    service::{ATTIO_TOKEN, Connections},
    workspace::{aggregate::Workspace, connection::Connection, view::ConnectionView},
    writing::Edit,
};
use crate::{
    ids::WorkspaceId,
    store::{StoreError, Tenant, Versioned},
};

impl Connections {
    /// Attio's token for what is written under this workspace; `None`: nothing may be written there now.
    pub fn attio_token(&self, workspace: &Workspace) -> Option<SecretString> {
        // One key, whichever connection is current, and also after the last has gone: the results of sends that ALC
        // still works on are owed to Attio. A grant goes with its connection.
        if let Some(key) = &self.settings.attio_api_key {
            return Some(key.clone());
        }
        self.attio_token_of(workspace.id, workspace.current()?)
    }

    /// Attio's token for what is done on behalf of this connection: the key, or the connection's own.
    pub(super) fn attio_token_of(&self, workspace: WorkspaceId, connection: &Connection) -> Option<SecretString> {
        if let Some(key) = &self.settings.attio_api_key {
            return Some(key.clone());
        }
        let grant = connection.attio.as_ref().filter(|grant| !grant.dead)?;
        let opened = self.open(workspace, connection.id, ATTIO_TOKEN, &grant.token);
        opened.inspect_err(|error| tracing::error!(%workspace, %error, "Attio's token cannot be opened")).ok()
    }

    /// A connection from before each brought its own grant: leads go to ALC, and nothing may be shown in Attio.
    pub(super) fn without_grant(&self, workspace: &Workspace, view: ConnectionView) -> ConnectionView {
        let has_grant = workspace.connection(view.id).is_some_and(|connection| connection.attio.is_some());
        if self.settings.attio_api_key.is_some() || has_grant || view.status != "connected" {
            return view;
        }
        ConnectionView { status: "reauthorization-required", ..view }
    }

    /// Attio said 401 to `used`. If that is the current connection's own token, its grant is dead from now on; the
    /// workspace comes back as it is then. `None`: it is an API key, which an operator has to set right.
    pub async fn attio_refused(
        &self,
        tenant: &Tenant,
        used: &SecretString,
    ) -> Result<Option<Versioned<Workspace>>, StoreError> {
        if self.settings.attio_api_key.is_some() {
            return Ok(None);
        }
        let (died, workspace) = self
            .update(tenant, |workspace, _| {
                let Some(workspace) = workspace else { return Edit::Leave(None) };
                let held = self.attio_token(workspace);
                let same = held.is_some_and(|held| held.expose_secret() == used.expose_secret());
                match workspace.current().map(|current| current.id).filter(|_| same) {
                    Some(id) => {
                        workspace.attio_died(id);
                        Edit::Write(Some(id))
                    }
                    None => Edit::Leave(None),
                }
            })
            .await?;
        if let Some(connection) = died {
            tracing::warn!(%tenant, %connection, "Attio says that its grant is dead");
        }
        Ok(workspace)
    }
}
