//! Attio's token, for the requests that go to Attio: the operator's key, or what Attio granted to the connection.
//!
//! Promises that the operator's key is used for no workspace but its own, that only Attio's word about the very token
//! that a connection holds declares it dead, and that a dead grant keeps no lead from ALC.

use secrecy::{ExposeSecret as _, SecretString};

use super::{
    service::{ATTIO_TOKEN, Connections},
    workspace::{aggregate::Workspace, connection::Connection, view::ConnectionView},
    writing::Edit,
};
use crate::{
    attio::{CallError, Identity},
    ids::WorkspaceId,
    store::{StoreError, Tenant, Versioned},
};

/// What a 401 of Attio's comes to.
#[derive(Debug)]
pub enum AttioRefusal {
    /// The API key is not active: an operator has to set another.
    Key,
    /// The token is not active. If it was the current connection's own, that grant is dead from now on. With the
    /// workspace as it is then.
    Ended(Option<Box<Versioned<Workspace>>>),
    /// Attio says that the token is active, or does not say: again later.
    Stray,
}

const OF_THE_KEY: &str = "if Attio means the credential, set an ATTIO__API_KEY that lives and has the scopes record_permission:read-write and \
                          object_configuration:read-write, then replay or retry the lead";
const OF_THE_GRANT: &str = "if Attio means the credential, give the app at Attio the scopes record_permission:read-write and \
                            object_configuration:read-write and connect the workspace again, then replay or retry the lead";

impl Connections {
    /// Attio's token for what is written under this workspace; `None`: nothing may be written there now.
    pub fn attio_token(&self, workspace: &Workspace) -> Option<SecretString> {
        // One key, whichever connection is current, and also after the last has gone: the results of sends that ALC
        // still works on are owed to Attio. A grant goes with its connection.
        if self.settings.attio_api_key.is_some() {
            return self.key_of(workspace.id);
        }
        self.attio_token_of(workspace.id, workspace.current()?)
    }

    /// What a person can do where Attio refuses the credential as such.
    pub fn attio_advice(&self) -> &'static str {
        if self.settings.attio_api_key.is_some() { OF_THE_KEY } else { OF_THE_GRANT }
    }

    /// Whether [`Connections::attio_token`] has one, which is asked at each step.
    pub(super) fn has_attio_token(&self, workspace: &Workspace) -> bool {
        if self.settings.attio_api_key.is_some() {
            return self.key_of(workspace.id).is_some();
        }
        let grant = workspace.current().and_then(|current| current.attio.as_ref()).filter(|grant| !grant.dead);
        grant.is_some_and(|grant| self.sealer.knows_key_of(&grant.token))
    }

    /// Attio's token for what is done on behalf of this connection: the key, or the connection's own.
    pub(super) fn attio_token_of(&self, workspace: WorkspaceId, connection: &Connection) -> Option<SecretString> {
        if self.settings.attio_api_key.is_some() {
            return self.key_of(workspace);
        }
        let grant = connection.attio.as_ref().filter(|grant| !grant.dead)?;
        let opened = self.open(workspace, connection.id, ATTIO_TOKEN, &grant.token);
        opened.inspect_err(|error| tracing::error!(%workspace, %error, "Attio's token cannot be opened")).ok()
    }

    /// A connection from before each brought its own grant, or whose workspace is not that of the operator's key: leads
    /// go to ALC, and nothing may be shown in Attio. Or one whose tokens no sealing key opens.
    pub(super) fn without_grant(&self, workspace: &Workspace, view: ConnectionView) -> ConnectionView {
        let has_access = match &self.settings.attio_api_key {
            Some(_) => !self.is_without_key(workspace),
            None => workspace.connection(view.id).is_some_and(|connection| connection.attio.is_some()),
        };
        let opens = workspace.connection(view.id).is_none_or(|connection| self.opens_tokens(connection));
        if (has_access && opens) || view.status != "connected" {
            return view;
        }
        ConnectionView { status: "reauthorization-required", ..view }
    }

    /// Whether Attio says that a token is no longer active. `false` also where it does not say.
    pub(super) async fn is_over_at_attio(&self, token: &SecretString) -> bool {
        matches!(self.attio.identify(token).await, Ok(Identity::Inactive) | Err(CallError::Unauthorized))
    }

    /// Attio said 401 to `used`, which may be a stray: `GET /v2/self` decides.
    pub async fn attio_refused(&self, tenant: &Tenant, used: &SecretString) -> Result<AttioRefusal, StoreError> {
        if !self.is_over_at_attio(used).await {
            return Ok(AttioRefusal::Stray);
        }
        if self.settings.attio_api_key.is_some() {
            return Ok(AttioRefusal::Key);
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
        Ok(AttioRefusal::Ended(workspace.map(Box::new)))
    }
}
