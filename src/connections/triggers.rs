//! The workspace's triggers, as its workflows set and delete them.
//!
//! Promises that a URL rests sealed, and that a trigger which was deleted is called no more.

use secrecy::SecretString;

use super::{
    service::{Connections, tenant},
    workspace::{
        aggregate::Workspace,
        triggers::{TriggerPut, TriggerRefused},
        view::Standing,
    },
    writing::Edit,
};
use crate::{
    ids::{ConnectionId, WorkspaceId},
    sealing::OpenError,
    store::StoreError,
};

/// The name of the sealed field.
pub(super) const FIELD: &str = "callback_url";

impl Connections {
    /// From now on leads that finish are told to `url`.
    pub async fn put_trigger(
        &self,
        workspace: WorkspaceId,
        connection: ConnectionId,
        activation: &str,
        url: &SecretString,
    ) -> Result<Result<TriggerPut, TriggerRefused>, StoreError> {
        let sealed = self.seal(workspace, owner(activation), FIELD, url);
        let tenant = tenant(workspace);
        let put = self.update(&tenant, |found, now| {
            let Some(found) = found else { return Edit::Leave(Err(TriggerRefused::Standing(Standing::Unknown))) };
            match found.standing(connection) {
                // A dead grant sends nothing, but leads still finish.
                Standing::Current | Standing::ReauthorizationRequired => {}
                other => return Edit::Leave(Err(TriggerRefused::Standing(other))),
            }
            match found.put_trigger(activation, sealed.clone(), now) {
                Ok(put) => Edit::Write(Ok(put)),
                Err(refused) => Edit::Leave(Err(refused)),
            }
        });
        Ok(put.await?.0)
    }

    /// Takes a trigger away, also an unknown one.
    pub async fn delete_trigger(
        &self,
        workspace: WorkspaceId,
        connection: ConnectionId,
        activation: &str,
    ) -> Result<Result<(), Standing>, StoreError> {
        let tenant = tenant(workspace);
        let deleted = self.update(&tenant, |found, _| {
            let Some(found) = found else { return Edit::Leave(Err(Standing::Unknown)) };
            if let standing @ (Standing::Unknown | Standing::Replaced) = found.standing(connection) {
                return Edit::Leave(Err(standing));
            }
            if found.delete_trigger(activation) { Edit::Write(Ok(())) } else { Edit::Leave(Ok(())) }
        });
        Ok(deleted.await?.0)
    }

    /// Where a trigger is told; `None` if it was taken away.
    pub fn trigger_url(&self, workspace: &Workspace, activation: &str) -> Option<Result<SecretString, OpenError>> {
        let trigger = workspace.triggers.iter().find(|trigger| trigger.activation == activation)?;
        Some(self.open(workspace.id, owner(activation), FIELD, &trigger.url))
    }
}

pub(super) fn owner(activation: &str) -> String {
    format!("trigger/{activation}")
}
