//! What a connection is good for, and how it is shown.

use jiff::Timestamp;
use serde::Serialize;

use super::{
    aggregate::Workspace,
    connection::Phase,
    side::Side,
    webhook::{Webhook, WebhookState},
};
use crate::ids::{ConnectionId, WebhookId, WorkspaceId};

/// What a connection is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Leads go out under it.
    Current,
    /// Current, but ALC's grant is dead.
    ReauthorizationRequired,
    /// Waits for connection-added.
    Incoming,
    /// Removed; cleans up after itself.
    Leaving,
    /// Another took over; cleans up after itself.
    Replaced,
    /// Not, or no longer, there.
    Unknown,
}

/// A connection as `GET /v1/connection` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConnectionView {
    /// The connection.
    pub id: ConnectionId,
    /// Its workspace.
    pub workspace_id: WorkspaceId,
    /// `incoming`, `connected`, `reauthorization-required` or `removing`.
    pub status: &'static str,
    /// The webhook at ALC, once there is one.
    pub webhook: Option<WebhookView>,
    /// The webhook at Attio, if Attio has made one for the current connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attio_webhook: Option<WebhookView>,
    /// When ALC granted it.
    pub created_at: Timestamp,
}

/// A webhook as `GET /v1/connection` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WebhookView {
    /// Our id of it; the name of one at ALC ends in it.
    pub id: WebhookId,
    /// What is known of it at its side.
    pub status: WebhookState,
    /// When its side last listed it; `None`: not yet, or ALC cannot list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmed_at: Option<Timestamp>,
    /// It was made under an earlier `PUBLIC_URL`, and is about to be replaced.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub outdated: bool,
}

impl WebhookView {
    fn of(webhook: &Webhook, base: &str) -> Self {
        Self {
            id: webhook.id,
            status: if webhook.lost { WebhookState::Gone } else { webhook.state },
            confirmed_at: webhook.confirmed_at,
            outdated: webhook.is_outdated(base),
        }
    }
}

impl Workspace {
    /// What a connection is good for.
    pub fn standing(&self, id: ConnectionId) -> Standing {
        match self.connection(id) {
            None if self.replaced.iter().any(|replaced| replaced.id == id) => Standing::Replaced,
            None => Standing::Unknown,
            Some(connection) => match connection.phase {
                Phase::Incoming => Standing::Incoming,
                Phase::Current if connection.alc.dead => Standing::ReauthorizationRequired,
                Phase::Current => Standing::Current,
                Phase::Leaving if connection.replaced => Standing::Replaced,
                Phase::Leaving => Standing::Leaving,
            },
        }
    }

    /// The connection as it is shown under the `PUBLIC_URL` that is `base`; `None` if it is not there.
    pub fn view(&self, id: ConnectionId, base: &str) -> Option<ConnectionView> {
        let connection = self.connection(id)?;
        let status = match self.standing(id) {
            Standing::Incoming => "incoming",
            // Leads still go to ALC.
            Standing::Current if connection.lost_attio() => "reauthorization-required",
            Standing::Current => "connected",
            Standing::ReauthorizationRequired => "reauthorization-required",
            Standing::Leaving | Standing::Replaced | Standing::Unknown => "removing",
        };
        let webhook = connection.webhook.and_then(|id| self.webhook(Side::Alc, id));
        let attio_webhook = self.watched(Side::Attio).filter(|webhook| webhook.connection == id);
        Some(ConnectionView {
            id,
            workspace_id: self.id,
            status,
            webhook: webhook.map(|webhook| WebhookView::of(webhook, base)),
            attio_webhook: attio_webhook.map(|webhook| WebhookView::of(webhook, base)),
            created_at: connection.created_at,
        })
    }
}
