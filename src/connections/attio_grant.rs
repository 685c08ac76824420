//! What Attio granted, where each connection brings its own grant: one token, good until somebody revokes it.
//!
//! Promises that only Attio's own word about the very token that a connection holds declares it dead, that a dead grant
//! keeps no lead from ALC, and that a grant is given back last of all, unless another connection holds the same token.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Connections, Verdict,
    connect::{Attempt, ConnectError},
    connection::Connection,
    facts::Fact,
    tenant,
    workspace::{ConnectionView, Workspace},
};
use crate::{
    ids::{ConnectionId, WorkspaceId},
    sealing::{OpenError, Sealed},
    store::{StoreError, Tenant, Versioned},
};

const FIELD: &str = "attio_token";

/// Attio's token, sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AttioGrant {
    pub(super) token: Sealed,
    /// Attio will not take it any more.
    #[serde(default)]
    pub(super) dead: bool,
    /// Revoked at Attio, or held by another connection too, or given up: may be erased.
    #[serde(default)]
    pub(super) released: bool,
    /// Failures in a row, of revoking.
    #[serde(default)]
    pub(super) attempts: u32,
    /// Not tried again before then.
    #[serde(default)]
    pub(super) retry_at: Option<Timestamp>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl AttioGrant {
    pub(super) fn new(token: Sealed) -> Self {
        Self { token, dead: false, released: false, attempts: 0, retry_at: None, extra: Map::new() }
    }

    /// Whether there is nothing left to give back.
    pub(super) fn is_settled(&self) -> bool {
        self.dead || self.released
    }

    /// Try again at `at`.
    pub(super) fn postponed(&mut self, at: Timestamp) {
        self.attempts = self.attempts.saturating_add(1);
        self.retry_at = Some(at);
    }
}

impl Connection {
    /// Whether Attio's grant is dead, so that somebody has to connect again before Attio shows anything.
    pub(super) fn lost_attio(&self) -> bool {
        self.attio.as_ref().is_some_and(|grant| grant.dead)
    }
}

impl Workspace {
    /// Attio said 401 to this connection's token.
    pub(super) fn attio_died(&mut self, id: ConnectionId) {
        if let Some(grant) = self.connection_mut(id).and_then(|connection| connection.attio.as_mut()) {
            grant.dead = true;
        }
    }
}

impl Connections {
    /// Attio's token for what is written under this workspace; `None`: nobody may write there now.
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
        let opened = self.open(workspace, connection.id, FIELD, &grant.token);
        opened.inspect_err(|error| tracing::error!(%workspace, %error, "Attio's token cannot be opened")).ok()
    }

    /// The token that a connection being made works with at Attio.
    pub(super) async fn attio_token_for(&self, attempt: &Attempt) -> Result<Option<SecretString>, ConnectError> {
        let workspace = self.load(&attempt.tenant).await?.ok_or(ConnectError::Unknown)?.value;
        let connection = workspace.connection(attempt.connection).ok_or(ConnectError::Unknown)?;
        Ok(self.attio_token_of(workspace.id, connection))
    }

    /// A connection from before each brought its own grant: leads go to ALC, and nobody may show them to Attio.
    pub(super) fn without_grant(&self, workspace: &Workspace, view: ConnectionView) -> ConnectionView {
        let lives = workspace.connection(view.id).is_some_and(|connection| connection.attio.is_some());
        if self.settings.attio_api_key.is_some() || lives || view.status != "connected" {
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
                let Some(workspace) = workspace else { return Verdict::Leave(None) };
                let held = self.attio_token(workspace);
                let same = held.is_some_and(|held| held.expose_secret() == used.expose_secret());
                match workspace.current().map(|current| current.id).filter(|_| same) {
                    Some(id) => {
                        workspace.attio_died(id);
                        Verdict::Write(Some(id))
                    }
                    None => Verdict::Leave(None),
                }
            })
            .await?;
        if let Some(connection) = died {
            tracing::warn!(%tenant, %connection, "Attio says that its grant is dead");
        }
        Ok(workspace)
    }

    pub(super) fn seal_attio_token(
        &self,
        workspace: WorkspaceId,
        connection: ConnectionId,
        token: &SecretString,
    ) -> AttioGrant {
        AttioGrant::new(self.seal(workspace, connection, FIELD, token))
    }

    /// Gives a leaving connection's grant back to Attio.
    pub(super) async fn revoke_at_attio(&self, workspace: &Workspace, id: ConnectionId) -> Vec<Fact> {
        let Some(connection) = workspace.connection(id) else { return Vec::new() };
        let Some(grant) = &connection.attio else { return Vec::new() };
        let revoked = match self.open(workspace.id, id, FIELD, &grant.token) {
            Ok(token) => self.revoke_unheld_at_attio(Some(workspace), Some(id), &token).await,
            Err(error) => Err(error.to_string()),
        };
        let Err(detail) = revoked else {
            tracing::info!(workspace = %workspace.id, connection = %id, "Attio's grant released");
            return vec![Fact::AttioReleased { connection: id }];
        };
        tracing::warn!(workspace = %workspace.id, connection = %id, detail, "could not revoke Attio's grant");
        let retry_at = self.retry_at(grant.attempts, None, Duration::MAX);
        vec![Fact::AttioRevokePostponed { connection: id, retry_at }]
    }

    /// Gives back a token that no connection keeps; of a known workspace, unless a connection of it that needs its own
    /// holds the same.
    pub async fn give_back_to_attio(&self, workspace: Option<WorkspaceId>, token: &SecretString) -> Result<(), String> {
        let found = match workspace {
            Some(workspace) => self.load(&tenant(workspace)).await.map_err(|error| error.to_string())?,
            None => None,
        };
        self.revoke_unheld_at_attio(found.as_ref().map(|found| &found.value), None, token).await
    }

    async fn revoke_unheld_at_attio(
        &self,
        found: Option<&Workspace>,
        not_by: Option<ConnectionId>,
        token: &SecretString,
    ) -> Result<(), String> {
        let held = found.map(|found| self.is_held_at_attio(found, not_by, token)).transpose();
        match &self.attio_oauth {
            _ if held.map_err(|error| error.to_string())?.unwrap_or_default() => Ok(()),
            Some(oauth) => oauth.revoke(token).await.map_err(|error| error.to_string()),
            // The operator went back to an API key: nobody is left who could give it back.
            None => Ok(()),
        }
    }

    fn is_held_at_attio(
        &self,
        workspace: &Workspace,
        not_by: Option<ConnectionId>,
        token: &SecretString,
    ) -> Result<bool, OpenError> {
        for other in workspace.connections.iter().filter(|it| Some(it.id) != not_by && workspace.lives_by_attio(it)) {
            let Some(theirs) = &other.attio else { continue };
            if self.open(workspace.id, other.id, FIELD, &theirs.token)?.expose_secret() == token.expose_secret() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
