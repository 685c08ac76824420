//! Which workspace the operator's API key is for: an operator may set the key of another one than is stored.
//!
//! Promises that nothing is written to a workspace that is not known to be the key's; that a workspace which is not the
//! key's is shown as one that has to connect again, also by a replica that has yet to ask Attio; and that all that such
//! a workspace owes Attio waits, and goes on when its key is put back.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;

use super::{
    service::{Connections, tenant},
    workspace::aggregate::Workspace,
    writing::Edit,
};
use crate::{
    clock::later,
    ids::WorkspaceId,
    store::{Kind, StoreError, Tenant},
};

/// The longest wait before Attio is asked again whose the key is: every result waits for that.
const ASKED_AGAIN_AT_MOST: Duration = Duration::from_secs(60);
/// When a lead is looked at again where the key is another workspace's, or the workspace's own token does not open:
/// replicas with the one key and with the other may run side by side while the operator puts a key back, so that a lead
/// may come to rest just after it was woken.
const ANOTHERS_AGAIN: Duration = Duration::from_secs(60 * 60);

/// What a lead may do at Attio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttioAccess {
    /// There is a token.
    Granted,
    /// There is none until the workspace connects again.
    None,
    /// There is none before then.
    NotBefore(Timestamp),
}

impl Connections {
    /// Whether there is a token of Attio's for what is written under this workspace.
    pub fn attio_access(&self, workspace: &Workspace) -> AttioAccess {
        if self.has_attio_token(workspace) {
            return AttioAccess::Granted;
        }
        let (now, grant) = (self.clock.now(), workspace.current().and_then(|current| current.attio.as_ref()));
        match (&self.settings.attio_api_key, self.key_owner.known()) {
            (Some(_), None) => AttioAccess::NotBefore(self.key_owner.look_again_at(now)),
            (Some(_), Some(_)) => AttioAccess::NotBefore(later(now, ANOTHERS_AGAIN)),
            // No sealing key opens it. That it opens again, once the key is put back, wakes no lead.
            (None, _) if grant.is_some_and(|grant| !grant.dead) => AttioAccess::NotBefore(later(now, ANOTHERS_AGAIN)),
            (None, _) => AttioAccess::None,
        }
    }

    /// The operator's key for what is done under this workspace; `None`: it is not known to be the key's.
    pub(super) fn key_of(&self, workspace: WorkspaceId) -> Option<SecretString> {
        let key = self.settings.attio_api_key.as_ref()?;
        (self.key_owner.known() == Some(workspace)).then(|| key.clone())
    }

    /// Whether a key is configured that is known to be another workspace's.
    pub(super) fn is_without_key(&self, workspace: &Workspace) -> bool {
        self.settings.attio_api_key.is_some()
            && self.key_owner.known().map_or(workspace.without_key, |known| known != workspace.id)
    }

    /// Asks Attio until it says whose the key is, and writes down which workspaces have it and which do not. For the
    /// start of a process: where Attio is away, the process serves all the same, and its leads wait.
    pub async fn learn_key_workspace(&self) {
        if self.settings.attio_api_key.is_none() {
            return;
        }
        for attempts in 0.. {
            match self.try_to_learn().await {
                Ok(()) => return,
                Err(detail) => {
                    tracing::warn!(detail, "whose ATTIO__API_KEY is cannot be known: Attio is not written to");
                }
            }
            let again = self.retry_at(attempts, None, ASKED_AGAIN_AT_MOST);
            tokio::select! {
                () = self.clock.sleep_until(again) => {}
                () = self.lifecycle.stopping() => return,
            }
        }
    }

    async fn try_to_learn(&self) -> Result<(), String> {
        let own = self.identify_workspace(None).await.map_err(|error| error.to_string())?;
        let tenants = self.store.tenants(Kind::Workspace).await.map_err(|error| error.to_string())?;
        for other in tenants {
            let is_own = other == tenant(own);
            if let Err(error) = self.note_key(&other, is_own).await {
                // Its own document has to be written, or its leads would wait; of another, this process knows enough.
                if is_own {
                    return Err(error.to_string());
                }
                tracing::warn!(%error, workspace = %other, "could not be marked as without a key");
            }
        }
        Ok(())
    }

    async fn note_key(&self, tenant: &Tenant, is_own: bool) -> Result<(), StoreError> {
        let note = |workspace: Option<&mut Workspace>, now| {
            let Some(workspace) = workspace else { return Edit::Leave(false) };
            let changed = if is_own { workspace.has_key(now) } else { workspace.lost_key() };
            if changed { Edit::Write(true) } else { Edit::Leave(false) }
        };
        if self.update(tenant, note).await?.0 && !is_own {
            tracing::warn!(workspace = %tenant, "ATTIO__API_KEY is another workspace's: nothing is written to this one");
        }
        Ok(())
    }
}
