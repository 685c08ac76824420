//! Webhooks whose callbacks nothing can prove: made before signatures were required, at an ALC that told no secret.
//!
//! Promises that the operator hears of them at the start, before ALC's calls are refused.

use std::collections::BTreeSet;

use super::{
    service::Connections,
    settings::WebhookSignature,
    workspace::{aggregate::Workspace, webhook::WebhookState},
};
use crate::{
    ids::ConnectionId,
    store::{Kind, StoreError},
};

impl Connections {
    /// Says in the log how many connections have such webhooks, if there are any and signatures are required.
    pub async fn warn_of_unprovable_callbacks(&self) {
        if self.settings.webhook_signature != WebhookSignature::Required {
            return;
        }
        match self.unprovable().await {
            Ok(connections) if connections.is_empty() => {}
            Ok(connections) => tracing::warn!(
                connections = connections.len(),
                "ALC__WEBHOOK_SIGNATURE is required, and ALC told no secret for the webhooks of these connections: their \
                 callbacks are answered 401 until their workspaces connect again at an ALC that tells one"
            ),
            Err(error) => tracing::warn!(%error, "could not look for webhooks whose callbacks nothing can prove"),
        }
    }

    async fn unprovable(&self) -> Result<BTreeSet<ConnectionId>, StoreError> {
        let mut found = BTreeSet::new();
        for tenant in self.store.tenants(Kind::Workspace).await? {
            match self.load(&tenant).await {
                Ok(workspace) => found.extend(workspace.iter().flat_map(|workspace| unprovable_of(&workspace.value))),
                // A newer version's, in a roll-out: the others count all the same.
                Err(error) => {
                    tracing::warn!(%error, workspace = %tenant, "left out of the count of unprovable callbacks");
                }
            }
        }
        Ok(found)
    }
}

/// Of the webhooks that ALC has, or had until a moment ago.
fn unprovable_of(workspace: &Workspace) -> impl Iterator<Item = ConnectionId> {
    let known = |state| matches!(state, WebhookState::Registered | WebhookState::Deleting);
    workspace
        .webhooks
        .iter()
        .filter(move |webhook| known(webhook.state) && webhook.secret.is_none())
        .map(|webhook| webhook.connection)
}
