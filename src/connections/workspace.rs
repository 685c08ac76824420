//! The workspace: the tenant's connections and webhooks, and what may happen to them.
//!
//! Promises that at most one connection is current, that at most [`MOST_INCOMING`] are incoming, that tokens are erased
//! only once their grant was released, and that every transition is valid in every state: what an upstream answered is
//! recorded, however late it comes. Pure; what is due when is in `steps`.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    connection::{Claim, Connection, FreshTokens, Phase},
    triggers::Trigger,
    webhook::{Webhook, WebhookState},
};
use crate::{
    clock::{later, until},
    ids::{ConnectionId, OpaqueToken, SecretHash, WebhookId, WorkspaceId},
    sealing::Sealed,
    store::{Aggregate, Kind},
};

/// How many connections may wait for connection-added; the oldest gives way.
pub(super) const MOST_INCOMING: usize = 5;
/// How long a disconnected workspace is remembered at least, without any secret but its triggers' URLs. Its live leads end 24 hours
/// after the disconnection, and what they came to is owed to Attio for as long as leads are kept: by default that long.
pub(super) const REMEMBERED: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// How long a replaced connection is known as such: nobody holds a good access token of it for longer.
const REPLACED_REMEMBERED: Duration = Duration::from_secs(2 * 60 * 60);

/// One Attio workspace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Workspace {
    /// Attio's id.
    pub id: WorkspaceId,
    /// When its first connection came.
    pub created_at: Timestamp,
    /// Since when there is no current connection, if there was one. Live leads end 24 hours later.
    #[serde(default)]
    pub disconnected_at: Option<Timestamp>,
    /// Not forgotten before then: leads are kept for longer than [`REMEMBERED`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) owing_until: Option<Timestamp>,
    #[serde(default)]
    pub(super) connections: Vec<Connection>,
    #[serde(default)]
    pub(super) webhooks: Vec<Webhook>,
    /// Ours at Attio, which tell of merged and deleted records. Once gone there they go here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) attio_webhooks: Vec<Webhook>,
    /// Connections that another took over from, so that they can be told why they no longer work.
    #[serde(default)]
    pub(super) replaced: Vec<Replaced>,
    /// Since when the leads have not been told that the current connection changed.
    #[serde(default)]
    pub(super) wake_leads: Option<Timestamp>,
    /// Finished leads may have had nobody to show them to Attio: they are told as well.
    #[serde(default)]
    pub(super) owes_attio: bool,
    /// Workflows that hear of every lead that finishes.
    #[serde(default)]
    pub(super) triggers: Vec<Trigger>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// A connection that another took over from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Replaced {
    id: ConnectionId,
    at: Timestamp,
}

impl Aggregate for Workspace {
    const KIND: Kind = Kind::Workspace;
    const SCHEMA: u32 = 1;

    fn status(&self) -> &'static str {
        match self.current() {
            Some(current) if current.alc.dead || current.lost_attio() => "reauthorization-required",
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
    /// When ALC granted it.
    pub created_at: Timestamp,
}

/// A webhook as `GET /v1/connection` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WebhookView {
    /// Our id of it; its name at ALC ends in it.
    pub id: WebhookId,
    /// What is known of it at ALC.
    pub status: WebhookState,
}

impl Workspace {
    /// A workspace without connections.
    pub(super) fn new(id: WorkspaceId, now: Timestamp) -> Self {
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

    pub(super) fn connection_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections.iter_mut().find(|connection| connection.id == id)
    }

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

    /// The webhook whose URL ends in that secret, if it still answers. In constant time for each webhook.
    pub fn webhook_by_secret(&self, secret: &SecretString) -> Option<&Webhook> {
        self.webhooks.iter().find(|webhook| webhook.token.matches(secret))
    }

    /// The webhook that a lead sent now is called back through.
    pub fn sending_webhook(&self) -> Option<WebhookId> {
        self.current()?.webhook
    }

    /// Whether ALC knows a webhook that is wanted by this id.
    pub(super) fn is_called_through(&self, alc_id: &str) -> bool {
        let stands = |it: &&Webhook| matches!(it.state, WebhookState::Intended | WebhookState::Registered);
        self.webhooks.iter().filter(stands).any(|webhook| webhook.alc_id.as_deref() == Some(alc_id))
    }

    pub(super) fn webhook(&self, id: WebhookId) -> Option<&Webhook> {
        self.webhooks.iter().find(|webhook| webhook.id == id)
    }

    pub(super) fn webhook_mut(&mut self, id: WebhookId) -> Option<&mut Webhook> {
        self.webhooks.iter_mut().find(|webhook| webhook.id == id)
    }

    /// The connection as it is shown; `None` if it is not there.
    pub fn view(&self, id: ConnectionId) -> Option<ConnectionView> {
        let connection = self.connection(id)?;
        let status = match self.standing(id) {
            Standing::Incoming => "incoming",
            // Leads still go to ALC.
            Standing::Current if connection.lost_attio() => "reauthorization-required",
            Standing::Current => "connected",
            Standing::ReauthorizationRequired => "reauthorization-required",
            Standing::Leaving | Standing::Replaced | Standing::Unknown => "removing",
        };
        let webhook = connection.webhook.and_then(|id| self.webhook(id));
        Some(ConnectionView {
            id,
            workspace_id: self.id,
            status,
            webhook: webhook.map(|webhook| WebhookView { id: webhook.id, status: webhook.state }),
            created_at: connection.created_at,
        })
    }

    /// A new connection came; if too many wait, the oldest gives way.
    pub(super) fn opened(&mut self, connection: Connection, now: Timestamp) {
        self.connections.push(connection);
        let mut waiting: Vec<_> = self
            .connections
            .iter()
            .filter(|connection| connection.phase == Phase::Incoming)
            .map(|connection| (connection.created_at, connection.id))
            .collect();
        // The new one came last, also within one microsecond: a stable sort by time alone keeps it there.
        waiting.sort_by_key(|(created_at, _)| *created_at);
        for (_, id) in waiting.iter().take(waiting.len().saturating_sub(MOST_INCOMING)) {
            self.leave(*id, false, now);
        }
    }

    /// The connection whose code that is.
    pub(super) fn by_code(&self, code: &OpaqueToken) -> Option<ConnectionId> {
        let has =
            |connection: &&Connection| connection.code.as_ref().is_some_and(|known| known.hash.matches(&code.secret));
        self.connections.iter().find(has).map(|connection| connection.id)
    }

    /// The connection whose refresh token (ours) that is.
    pub(super) fn by_refresh_token(&self, token: &OpaqueToken) -> Option<ConnectionId> {
        let has = |connection: &&Connection| {
            connection.refresh_hash.as_ref().is_some_and(|known| known.matches(&token.secret))
        };
        self.connections.iter().find(has).map(|connection| connection.id)
    }

    /// The code was redeemed for a refresh token.
    pub(super) fn redeemed(&mut self, id: ConnectionId, refresh: SecretHash) {
        let Some(connection) = self.connection_mut(id) else { return };
        if let Some(code) = &mut connection.code {
            code.used = true;
        }
        connection.refresh_hash = Some(refresh);
    }

    /// Somebody begins connection-added; `false` if that is not for them to do now.
    pub(super) fn claim_connecting(&mut self, id: ConnectionId, claim: Claim, now: Timestamp) -> bool {
        let Some(connection) = self.connection_mut(id) else { return false };
        if connection.phase != Phase::Incoming || connection.connecting.is_some_and(|other| other.is_live(now)) {
            return false;
        }
        connection.connecting = Some(claim);
        // What a crashed attempt left behind.
        self.unwant_webhooks(id, now);
        true
    }

    /// The webhook that is to be created next; `false` if the claim is lost.
    pub(super) fn intend_webhook(&mut self, webhook: Webhook, owner: Uuid) -> bool {
        if !self.is_connecting(webhook.connection, owner) {
            return false;
        }
        if let Some(connection) = self.connection_mut(webhook.connection) {
            connection.webhook = Some(webhook.id);
        }
        self.webhooks.push(webhook);
        true
    }

    /// ALC made the webhook.
    pub(super) fn webhook_registered(
        &mut self,
        id: WebhookId,
        alc_id: Option<String>,
        secret: Option<Sealed>,
        now: Timestamp,
    ) {
        let Some(webhook) = self.webhook_mut(id) else { return };
        webhook.registered(alc_id, secret, now);
    }

    /// Connection-added succeeded: the connection takes over. `false`, and nothing happens, if the claim is lost.
    pub(super) fn connected(&mut self, id: ConnectionId, owner: Uuid, now: Timestamp) -> bool {
        if !self.is_connecting(id, owner) {
            return false;
        }
        // Without a grant of its own a connection lives by an API key, which outlasts it.
        let has_grant = self.connection(id).is_some_and(|connection| connection.attio.is_some());
        self.owes_attio |= has_grant && self.current().is_none_or(|it| it.attio.is_none() || it.lost_attio());
        if let Some(previous) = self.current().map(|current| current.id) {
            self.leave(previous, true, now);
            self.replaced.retain(|replaced| until(replaced.at, now) < REPLACED_REMEMBERED);
            self.replaced.push(Replaced { id: previous, at: now });
        }
        if let Some(connection) = self.connection_mut(id) {
            connection.phase = Phase::Current;
            connection.connecting = None;
        }
        self.disconnected_at = None;
        self.wake_leads = Some(now);
        true
    }

    /// Connection-added failed: what it made is undone. The connection waits for another try, or to be reaped.
    pub(super) fn connect_failed(&mut self, id: ConnectionId, owner: Uuid, now: Timestamp) {
        if !self.is_connecting(id, owner) {
            return;
        }
        if let Some(connection) = self.connection_mut(id) {
            connection.connecting = None;
        }
        self.unwant_webhooks(id, now);
    }

    /// Connection-removed, a revoked token, or a code used twice.
    pub(super) fn removed(&mut self, id: ConnectionId, now: Timestamp) -> bool {
        let Some(connection) = self.connection(id) else { return false };
        match connection.phase {
            Phase::Leaving => return false,
            Phase::Incoming => {}
            Phase::Current => {
                self.disconnected_at = Some(now);
                self.wake_leads = Some(now);
            }
        }
        self.leave(id, false, now);
        true
    }

    /// From now on it only cleans up after itself.
    pub(super) fn leave(&mut self, id: ConnectionId, replaced: bool, now: Timestamp) {
        let Some(connection) = self.connection_mut(id) else { return };
        connection.phase = Phase::Leaving;
        connection.replaced = replaced;
        connection.leaving_since = Some(now);
        connection.connecting = None;
        connection.alc.attempts = 0;
        connection.alc.retry_at = None;
        if let Some(grant) = &mut connection.attio {
            grant.attempts = 0;
            grant.retry_at = None;
        }
        self.unwant_webhooks(id, now);
    }

    fn unwant_webhooks(&mut self, id: ConnectionId, now: Timestamp) {
        let both = self.webhooks.iter_mut().chain(&mut self.attio_webhooks);
        both.filter(|webhook| webhook.connection == id).for_each(|webhook| webhook.unwanted(now));
    }

    /// Whether what its last leads came to may be owed to Attio beyond `now`, where leads are kept for `retention`; if so
    /// it is remembered for as long.
    pub(super) fn owes_until(&mut self, retention: Duration, now: Timestamp) -> bool {
        self.owing_until = self.disconnected_at.map(|since| later(since, retention)).filter(|until| now < *until);
        self.owing_until.is_some()
    }

    /// Somebody begins to refresh; `false` if somebody else does, or there is nothing to refresh.
    pub(super) fn claim_refresh(&mut self, id: ConnectionId, claim: Claim, now: Timestamp) -> bool {
        let Some(connection) = self.connection_mut(id) else { return false };
        if !connection.alc.can_refresh() || connection.refreshing.is_some_and(|other| other.is_live(now)) {
            return false;
        }
        connection.refreshing = Some(claim);
        true
    }

    /// ALC gave new tokens, to whoever asked.
    pub(super) fn refreshed(&mut self, id: ConnectionId, fresh: FreshTokens, owner: Uuid, now: Timestamp) {
        let Some(connection) = self.connection_mut(id) else { return };
        let was_dead = connection.alc.dead;
        let spread = connection.spread;
        connection.alc.refreshed(fresh, spread);
        connection.refreshing = connection.refreshing.filter(|claim| claim.owner != owner);
        if was_dead && connection.phase == Phase::Current {
            // Sends that waited for a reconnect can go on.
            self.wake_leads = Some(now);
        }
    }

    /// ALC said `invalid_grant` to the refresh token of `generation`.
    pub(super) fn refresh_refused(&mut self, id: ConnectionId, generation: u64, owner: Uuid) {
        let Some(connection) = self.connection_mut(id) else { return };
        connection.alc.died(generation);
        connection.refreshing = connection.refreshing.filter(|claim| claim.owner != owner);
    }

    /// ALC gave no clear answer to a refresh.
    pub(super) fn refresh_failed(&mut self, id: ConnectionId, owner: Uuid, retry_at: Timestamp) {
        let Some(connection) = self.connection_mut(id) else { return };
        if connection.refreshing.is_some_and(|claim| claim.owner == owner) {
            connection.refreshing = None;
            connection.alc.postponed(retry_at);
        }
    }

    pub(super) fn is_connecting(&self, id: ConnectionId, owner: Uuid) -> bool {
        self.connection(id).is_some_and(|connection| {
            connection.phase == Phase::Incoming && connection.connecting.is_some_and(|claim| claim.owner == owner)
        })
    }
}
