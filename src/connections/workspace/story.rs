//! What is known of a workspace's connections, as operators read it.
//!
//! Promises that no token, secret or URL is in it.

use jiff::Timestamp;
use serde::Serialize;

use super::{
    aggregate::Workspace,
    connection::{Connection, Phase},
    side::Side,
    webhook::{Webhook, WebhookState},
};
use crate::{
    ids::{ConnectionId, WebhookId, WorkspaceId},
    store::Aggregate as _,
};

/// A workspace with its connections.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorkspaceStory {
    /// Attio's id.
    pub workspace_id: WorkspaceId,
    /// `connected`, `reauthorization-required`, `incoming`, `removing` or `disconnected`.
    pub status: &'static str,
    /// What an operator can do about it; `None`: nothing has to be done.
    pub advice: Option<&'static str>,
    /// When its first connection came.
    pub created_at: Timestamp,
    /// Since when there is no current connection, if there was one.
    pub disconnected_at: Option<Timestamp>,
    /// Those that are there.
    pub connections: Vec<ConnectionStory>,
    /// At ALC and at Attio.
    pub webhooks: Vec<WebhookStory>,
    /// Workflows that hear of every lead.
    pub triggers: usize,
    /// The step that comes next.
    pub next_step: &'static str,
    /// When.
    pub due: Option<Timestamp>,
}

/// One connection.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConnectionStory {
    /// The connection.
    pub id: ConnectionId,
    /// Where it is in its life.
    pub phase: Phase,
    /// When ALC granted it.
    pub created_at: Timestamp,
    /// ALC takes its tokens no more.
    pub alc_dead: bool,
    /// When ALC's access token ends.
    pub alc_expires_at: Timestamp,
    /// When it is renewed; `None`: ALC gave no refresh token, or it is dead.
    pub alc_refresh_at: Option<Timestamp>,
    /// Failures in a row of refreshing or revoking.
    pub alc_failures: u32,
    /// Attio takes its token no more.
    pub attio_dead: bool,
}

/// One webhook.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WebhookStory {
    /// Our id of it.
    pub id: WebhookId,
    /// `alc` or `attio`.
    pub at: &'static str,
    /// What is known of it there.
    pub status: WebhookState,
    /// Its side does not list it any more.
    pub lost: bool,
    /// It leads to an earlier `PUBLIC_URL`.
    pub outdated: bool,
    /// When its side last listed it.
    pub confirmed_at: Option<Timestamp>,
    /// When its side is asked about it next.
    pub look_at: Option<Timestamp>,
    /// Failures in a row of asking, finding or deleting.
    pub failures: u32,
}

const RECONNECT: &str = "ALC's grant is dead: a person has to connect the workspace again, in Attio";
const RECONNECT_ATTIO: &str = "Attio's grant is dead: a person has to connect the workspace again, in Attio";
const OTHERS_KEY: &str = "ATTIO__API_KEY belongs to another workspace: set this one's key, or use ATTIO__OAUTH";
const INCOMING: &str =
    "consent was given, and the Attio app has not told of the connection yet: connect again if it does not";
const FAILING: &str = "something fails here and is tried again: `connections repair` tries it now";

impl Workspace {
    /// What is known of it under the `PUBLIC_URL` that is `base`.
    pub fn story(&self, base: &str, due: Option<Timestamp>, now: Timestamp) -> WorkspaceStory {
        let webhooks = |side: Side, at| self.webhooks(side).iter().map(move |it| WebhookStory::of(it, at, base));
        let next = self.due(now).unwrap_or(now);
        WorkspaceStory {
            workspace_id: self.id,
            status: self.status(),
            advice: self.advice(),
            created_at: self.created_at,
            disconnected_at: self.disconnected_at,
            connections: self.connections.iter().map(ConnectionStory::of).collect(),
            webhooks: webhooks(Side::Alc, "alc").chain(webhooks(Side::Attio, "attio")).collect(),
            triggers: self.triggers.len(),
            next_step: self.next_step(next).name(),
            due,
        }
    }

    fn advice(&self) -> Option<&'static str> {
        let current = self.current();
        let webhooks = || Side::BOTH.into_iter().flat_map(|side| self.webhooks(side));
        let is_failing = self.connections.iter().any(|connection| connection.alc.retry.attempts > 0)
            || webhooks().any(|webhook| webhook.lost || webhook.retry.attempts > 0);
        match current {
            Some(current) if current.alc.dead => Some(RECONNECT),
            Some(current) if current.lost_attio() => Some(RECONNECT_ATTIO),
            Some(_) if self.without_key => Some(OTHERS_KEY),
            None if self.status() == "incoming" => Some(INCOMING),
            _ if is_failing => Some(FAILING),
            _ => None,
        }
    }

    /// What fails or waits is tried now, and the webhooks in use are looked at now: harmless to repeat. What is to be
    /// done, by name.
    pub(in crate::connections) fn repair(&mut self, now: Timestamp) -> Vec<&'static str> {
        let mut done = Vec::new();
        for connection in &mut self.connections {
            if connection.alc.retry.attempts > 0 {
                connection.alc.retry.reset();
                done.push(if connection.phase == Phase::Leaving { "revoke" } else { "refresh" });
                if connection.phase == Phase::Current && connection.alc.can_refresh() {
                    connection.alc.refresh_at = connection.alc.refresh_at.min(now);
                }
            }
            if let Some(grant) = connection.attio.as_mut().filter(|grant| grant.retry.attempts > 0) {
                grant.retry.reset();
                done.push("revoke");
            }
        }
        for (side, look) in [(Side::Alc, "look-at-alc-webhook"), (Side::Attio, "look-at-attio-webhook")] {
            if let Some(id) = self.watched(side).map(|webhook| webhook.id)
                && let Some(webhook) = self.webhook_mut(side, id)
            {
                webhook.look_at = Some(now);
                done.push(look);
            }
            for webhook in self.webhooks_mut(side).iter_mut().filter(|webhook| webhook.retry.attempts > 0) {
                webhook.retry.reset();
                done.push("clean-up-webhook");
            }
        }
        done.sort_unstable();
        done.dedup();
        done
    }
}

impl ConnectionStory {
    fn of(connection: &Connection) -> Self {
        let alc = &connection.alc;
        Self {
            id: connection.id,
            phase: connection.phase,
            created_at: connection.created_at,
            alc_dead: alc.dead,
            alc_expires_at: alc.expires_at,
            alc_refresh_at: alc.can_refresh().then_some(alc.retry.not_before(alc.refresh_at)),
            alc_failures: alc.retry.attempts,
            attio_dead: connection.lost_attio(),
        }
    }
}

impl WebhookStory {
    fn of(webhook: &Webhook, at: &'static str, base: &str) -> Self {
        Self {
            id: webhook.id,
            at,
            status: webhook.state,
            lost: webhook.lost,
            outdated: webhook.is_outdated(base),
            confirmed_at: webhook.confirmed_at,
            look_at: webhook.look_at,
            failures: webhook.retry.attempts,
        }
    }
}
