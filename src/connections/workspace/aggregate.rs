//! The workspace as it is stored, and how its parts are found.

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    connection::{Connection, Phase},
    schema::{EntryList, Schema},
    side::Side,
    trigger::Trigger,
    webhook::{Webhook, WebhookState},
};
use crate::{
    ids::{ConnectionId, OpaqueToken, WebhookId, WorkspaceId},
    store::{Aggregate, Kind},
};

/// One Attio workspace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Workspace {
    /// Attio's id.
    pub id: WorkspaceId,
    /// When its first connection came.
    pub created_at: Timestamp,
    /// Since when there is no current connection, if there was one. Live leads end 24 hours later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disconnected_at: Option<Timestamp>,
    /// Not forgotten before then: leads are kept for longer than a workspace is remembered by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) owing_until: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::connections) connections: Vec<Connection>,
    /// At ALC, or once there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::connections) webhooks: Vec<Webhook>,
    /// At Attio: they tell of merged and deleted records. Once gone there they go here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::connections) attio_webhooks: Vec<Webhook>,
    /// Connections that another took over from, so that their callers can be told why their tokens no longer work.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) replaced: Vec<Replaced>,
    /// Since when the leads have not been told that the current connection changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::connections) wake_leads: Option<Timestamp>,
    /// While there was no grant for Attio, finished leads could not be shown there: they are told as well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::connections) owes_attio: bool,
    /// The operator's API key for Attio is another workspace's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::connections) without_key: bool,
    /// Attio's id of the object People, if it has said so: events about other objects do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub people: Option<String>,
    /// The list whose entries send, if it was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) entry_list: Option<EntryList>,
    /// What was found of what is needed in Attio.
    #[serde(default, skip_serializing_if = "Schema::is_default")]
    pub(in crate::connections) attio_schema: Schema,
    /// Workflows that hear of every lead that finishes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::connections) triggers: Vec<Trigger>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// A connection that another took over from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Replaced {
    pub(super) id: ConnectionId,
    pub(super) at: Timestamp,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl Replaced {
    pub(super) fn new(id: ConnectionId, at: Timestamp) -> Self {
        Self { id, at, extra: Map::new() }
    }
}

impl Aggregate for Workspace {
    const KIND: Kind = Kind::Workspace;
    const SCHEMA: u32 = 1;

    fn status(&self) -> &'static str {
        match self.current() {
            Some(current) if current.alc.dead || current.lost_attio() || self.without_key => "reauthorization-required",
            Some(_) => "connected",
            None if self.connections.iter().any(|connection| connection.phase == Phase::Incoming) => "incoming",
            None if self.connections.is_empty() => "disconnected",
            None => "removing",
        }
    }

    fn created_at(&self) -> Timestamp {
        self.created_at
    }
}

impl Workspace {
    /// A workspace without connections.
    pub(crate) fn new(id: WorkspaceId, now: Timestamp) -> Self {
        Self {
            id,
            created_at: now,
            disconnected_at: None,
            owing_until: None,
            connections: Vec::new(),
            webhooks: Vec::new(),
            attio_webhooks: Vec::new(),
            replaced: Vec::new(),
            wake_leads: None,
            owes_attio: false,
            without_key: false,
            people: None,
            entry_list: None,
            attio_schema: Schema::default(),
            triggers: Vec::new(),
            extra: Map::new(),
        }
    }

    /// The connection that leads go out under.
    pub fn current(&self) -> Option<&Connection> {
        self.connections.iter().find(|connection| connection.phase == Phase::Current)
    }

    /// The connection of that id, whatever its phase.
    pub fn connection(&self, id: ConnectionId) -> Option<&Connection> {
        self.connections.iter().find(|connection| connection.id == id)
    }

    pub(in crate::connections) fn connection_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections.iter_mut().find(|connection| connection.id == id)
    }

    /// The connection whose code that is.
    pub(in crate::connections) fn by_code(&self, code: &OpaqueToken) -> Option<ConnectionId> {
        let has = |connection: &&Connection| connection.code.as_ref().is_some_and(|known| known.is(code));
        self.connections.iter().find(has).map(|connection| connection.id)
    }

    /// The connection whose refresh token (ours) that is.
    pub(in crate::connections) fn by_refresh_token(&self, token: &OpaqueToken) -> Option<ConnectionId> {
        let has = |connection: &&Connection| {
            connection.refresh_hash.as_ref().is_some_and(|known| known.matches(&token.secret))
        };
        self.connections.iter().find(has).map(|connection| connection.id)
    }

    /// The webhook at ALC whose URL ends in that secret, if it still answers. In constant time for each webhook.
    pub fn webhook_by_secret(&self, secret: &SecretString) -> Option<&Webhook> {
        self.webhooks.iter().find(|webhook| webhook.token.matches(secret))
    }

    /// The webhook at Attio whose URL ends in that secret, if it still answers. In constant time for each webhook.
    pub fn attio_webhook_by_secret(&self, secret: &SecretString) -> Option<&Webhook> {
        self.attio_webhooks.iter().find(|webhook| webhook.token.matches(secret))
    }

    /// The webhook that a lead sent now is called back through.
    pub fn sending_webhook(&self) -> Option<WebhookId> {
        self.current()?.webhook
    }

    /// The webhooks at that side.
    pub(in crate::connections) fn webhooks(&self, side: Side) -> &[Webhook] {
        match side {
            Side::Alc => &self.webhooks,
            Side::Attio => &self.attio_webhooks,
        }
    }

    pub(in crate::connections) fn webhooks_mut(&mut self, side: Side) -> &mut Vec<Webhook> {
        match side {
            Side::Alc => &mut self.webhooks,
            Side::Attio => &mut self.attio_webhooks,
        }
    }

    pub(in crate::connections) fn webhook(&self, side: Side, id: WebhookId) -> Option<&Webhook> {
        self.webhooks(side).iter().find(|webhook| webhook.id == id)
    }

    pub(in crate::connections) fn webhook_mut(&mut self, side: Side, id: WebhookId) -> Option<&mut Webhook> {
        self.webhooks_mut(side).iter_mut().find(|webhook| webhook.id == id)
    }

    /// Whether a webhook that is wanted has this id at that side.
    pub(in crate::connections) fn is_called_through(&self, side: Side, upstream_id: &str) -> bool {
        let stands = |it: &&Webhook| matches!(it.state, WebhookState::Intended | WebhookState::Registered);
        self.webhooks(side).iter().filter(stands).any(|webhook| webhook.upstream_id.as_deref() == Some(upstream_id))
    }
}
