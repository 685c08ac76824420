//! What an upstream answered, as it is recorded.
//!
//! Promises that a fact can be applied to whatever is found, as often as it takes: on a conflict the workspace is
//! loaded again and the same fact applied to it.

use jiff::Timestamp;
use uuid::Uuid;

use super::{connection::FreshTokens, workspace::Workspace};
use crate::{
    ids::{ConnectionId, WebhookId},
    sealing::Sealed,
};

/// Something that happened outside.
#[derive(Debug, Clone)]
pub(super) enum Fact {
    /// ALC gave new tokens.
    Refreshed { connection: ConnectionId, owner: Uuid, tokens: FreshTokens },
    /// ALC said `invalid_grant` to the refresh token of that generation.
    RefreshRefused { connection: ConnectionId, owner: Uuid, generation: u64 },
    /// ALC gave no clear answer to a refresh.
    RefreshFailed { connection: ConnectionId, owner: Uuid, retry_at: Timestamp },
    /// ALC said 401 to the access token of that generation.
    AccessRefused { connection: ConnectionId, generation: u64 },
    /// ALC made the webhook.
    WebhookRegistered { webhook: WebhookId, alc_id: Option<String>, secret: Option<Sealed> },
    /// ALC lists the webhook under this id.
    WebhookFound { webhook: WebhookId, alc_id: String },
    /// ALC lists its webhooks, and this is not among them.
    WebhookMissing { webhook: WebhookId, retry_at: Timestamp },
    /// ALC deleted it, does not have it, or will never tell.
    WebhookDeleted { webhook: WebhookId },
    /// Not done; again later.
    WebhookPostponed { webhook: WebhookId, retry_at: Timestamp },
    /// Attio deleted it, does not have it, or nobody may touch it any more.
    AttioWebhookGone { webhook: WebhookId },
    /// Attio has it under this id; or not done, again later.
    AttioWebhookPostponed { webhook: WebhookId, attio_id: Option<String>, retry_at: Timestamp },
    /// Attio lists its webhooks, and this is not among them.
    AttioWebhookMissing { webhook: WebhookId, retry_at: Timestamp },
    /// No unfinished lead was sent under it.
    WebhookRetired { webhook: WebhookId },
    /// ALC's grant of that generation is revoked, or has to stay for another connection.
    Released { connection: ConnectionId, generation: u64 },
    /// Not revoked; again later.
    RevokePostponed { connection: ConnectionId, retry_at: Timestamp },
    /// Attio's grant is revoked, or has to stay for another connection.
    AttioReleased { connection: ConnectionId },
    /// Not revoked; again later.
    AttioRevokePostponed { connection: ConnectionId, retry_at: Timestamp },
    /// The leads were made due.
    LeadsWoken { since: Option<Timestamp> },
}

impl Fact {
    /// Records it.
    pub(super) fn apply(&self, workspace: &mut Workspace, now: Timestamp) {
        match self {
            Self::Refreshed { connection, owner, tokens } => {
                workspace.refreshed(*connection, tokens.clone(), *owner, now);
            }
            Self::RefreshRefused { connection, owner, generation } => {
                workspace.refresh_refused(*connection, *generation, *owner);
            }
            Self::RefreshFailed { connection, owner, retry_at } => {
                workspace.refresh_failed(*connection, *owner, *retry_at);
            }
            Self::AccessRefused { connection, generation } => {
                if let Some(connection) = workspace.connection_mut(*connection) {
                    connection.alc.access_refused(*generation, now);
                }
            }
            Self::WebhookRegistered { webhook, alc_id, secret } => {
                workspace.webhook_registered(*webhook, alc_id.clone(), secret.clone(), now);
            }
            Self::WebhookFound { webhook, alc_id } => {
                if let Some(webhook) = workspace.webhook_mut(*webhook) {
                    webhook.registered(Some(alc_id.clone()), None, now);
                }
            }
            Self::WebhookMissing { webhook, retry_at } => {
                if let Some(webhook) = workspace.webhook_mut(*webhook)
                    && webhook.alc_id.is_none()
                {
                    if webhook.may_come(now) {
                        webhook.postponed(*retry_at);
                    } else {
                        webhook.gone();
                    }
                }
            }
            Self::WebhookDeleted { webhook } => {
                if let Some(webhook) = workspace.webhook_mut(*webhook) {
                    webhook.gone();
                }
            }
            Self::WebhookPostponed { webhook, retry_at } => {
                if let Some(webhook) = workspace.webhook_mut(*webhook) {
                    webhook.postponed(*retry_at);
                }
            }
            Self::AttioWebhookGone { webhook } => {
                workspace.attio_webhooks.retain(|known| known.id != *webhook);
            }
            Self::AttioWebhookPostponed { webhook, attio_id, retry_at } => {
                if let Some(webhook) = workspace.attio_webhook_mut(*webhook) {
                    webhook.alc_id = webhook.alc_id.take().or_else(|| attio_id.clone());
                    webhook.postponed(*retry_at);
                }
            }
            Self::AttioWebhookMissing { webhook, retry_at } => {
                if let Some(known) = workspace.attio_webhook_mut(*webhook) {
                    if known.may_come(now) {
                        known.postponed(*retry_at);
                    } else {
                        workspace.attio_webhooks.retain(|known| known.id != *webhook);
                    }
                }
            }
            Self::WebhookRetired { webhook } => {
                workspace.webhooks.retain(|known| known.id != *webhook || known.may_be_at_alc());
            }
            Self::Released { connection, generation } => {
                if let Some(connection) = workspace.connection_mut(*connection)
                    && connection.alc.generation == *generation
                {
                    connection.alc.released = true;
                }
            }
            Self::RevokePostponed { connection, retry_at } => {
                if let Some(connection) = workspace.connection_mut(*connection) {
                    connection.alc.postponed(*retry_at);
                }
            }
            Self::AttioReleased { connection } => {
                if let Some(grant) = workspace.connection_mut(*connection).and_then(|it| it.attio.as_mut()) {
                    grant.released = true;
                }
            }
            Self::AttioRevokePostponed { connection, retry_at } => {
                if let Some(grant) = workspace.connection_mut(*connection).and_then(|it| it.attio.as_mut()) {
                    grant.postponed(*retry_at);
                }
            }
            Self::LeadsWoken { since } => {
                if workspace.wake_leads == *since {
                    workspace.owes_attio = false;
                }
                // A change of connection meanwhile is told again.
                workspace.wake_leads = workspace.wake_leads.filter(|at| Some(*at) != *since);
            }
        }
    }
}
