//! A workspace's triggers: workflows that want to hear of every lead that finishes.
//!
//! Promises at most [`MOST_TRIGGERS`] of them, each with its URL sealed, and that a trigger which was taken away is called
//! no more. They outlive a connection: Attio does not activate them anew when the workspace connects again.

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{
    Connections, Verdict, tenant,
    workspace::{Standing, Workspace},
};
use crate::{
    ids::{ConnectionId, WorkspaceId},
    sealing::{OpenError, Sealed},
    store::StoreError,
};

/// How many a workspace may have.
pub const MOST_TRIGGERS: usize = 100;
/// The name of the sealed field.
const FIELD: &str = "callback_url";

/// One activated trigger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Trigger {
    /// Attio's id of the activation.
    activation: String,
    /// Where it is told.
    url: Sealed,
    /// Leads that finish from then on are told.
    since: Timestamp,
}

/// A trigger as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TriggerView {
    /// Attio's id of the activation.
    pub activation_id: String,
    /// Since when leads that finish are told.
    pub created_at: Timestamp,
}

/// What became of a trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TriggerPut {
    /// It is new.
    Created(TriggerView),
    /// It was there, perhaps with another URL.
    Replaced(TriggerView),
}

/// Why a trigger is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TriggerRefused {
    /// The token's connection may not do this.
    Standing(Standing),
    /// There are [`MOST_TRIGGERS`].
    TooMany,
}

impl Workspace {
    /// The triggers, and since when each has been there.
    pub fn triggers(&self) -> Vec<(String, Timestamp)> {
        self.triggers.iter().map(|trigger| (trigger.activation.clone(), trigger.since)).collect()
    }

    /// Since when there has been a trigger.
    pub fn triggers_since(&self) -> Option<Timestamp> {
        self.triggers.iter().map(|trigger| trigger.since).min()
    }

    fn put_trigger(&mut self, activation: &str, url: Sealed, now: Timestamp) -> Result<TriggerPut, TriggerRefused> {
        if let Some(known) = self.triggers.iter_mut().find(|trigger| trigger.activation == activation) {
            known.url = url;
            return Ok(TriggerPut::Replaced(known.view()));
        }
        if self.triggers.len() >= MOST_TRIGGERS {
            return Err(TriggerRefused::TooMany);
        }
        let trigger = Trigger { activation: activation.to_owned(), url, since: now };
        let view = trigger.view();
        self.triggers.push(trigger);
        Ok(TriggerPut::Created(view))
    }
}

impl Trigger {
    fn view(&self) -> TriggerView {
        TriggerView { activation_id: self.activation.clone(), created_at: self.since }
    }
}

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
            let Some(found) = found else { return Verdict::Leave(Err(TriggerRefused::Standing(Standing::Unknown))) };
            match found.standing(connection) {
                // A dead grant sends nothing, but leads still finish.
                Standing::Current | Standing::ReauthorizationRequired => {}
                other => return Verdict::Leave(Err(TriggerRefused::Standing(other))),
            }
            match found.put_trigger(activation, sealed.clone(), now) {
                Ok(put) => Verdict::Write(Ok(put)),
                Err(refused) => Verdict::Leave(Err(refused)),
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
            let Some(found) = found else { return Verdict::Leave(Err(Standing::Unknown)) };
            if let standing @ (Standing::Unknown | Standing::Replaced) = found.standing(connection) {
                return Verdict::Leave(Err(standing));
            }
            let before = found.triggers.len();
            found.triggers.retain(|trigger| trigger.activation != activation);
            if found.triggers.len() == before { Verdict::Leave(Ok(())) } else { Verdict::Write(Ok(())) }
        });
        Ok(deleted.await?.0)
    }

    /// Where a trigger is told; `None` if it was taken away.
    pub fn trigger_url(&self, workspace: &Workspace, activation: &str) -> Option<Result<SecretString, OpenError>> {
        let trigger = workspace.triggers.iter().find(|trigger| trigger.activation == activation)?;
        Some(self.open(workspace.id, owner(activation), FIELD, &trigger.url))
    }
}

fn owner(activation: &str) -> String {
    format!("trigger/{activation}")
}
