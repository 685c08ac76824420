//! A webhook of ours at ALC or at Attio, from the intent to the day when it is called no more.
//!
//! Promises that a webhook answers as long as it stands here: also before the answer to its creation was seen and, at
//! ALC, after ALC deleted it, until the leads sent under it have finished.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::retry::Retry;
use crate::{
    attio::webhooks::Told,
    clock::until,
    ids::{ConnectionId, ListId, SecretHash, WebhookId},
    sealing::Sealed,
};

/// How long its creation may still be under way, here or upstream: all tries of a connect, and what was hung up on.
pub(super) const LATE_CREATION: Duration = Duration::from_secs(60);
/// So long after its creation a webhook is on its upstream's list because the list is whole, not because it is new.
const PROVEN_AFTER: Duration = Duration::from_secs(12 * 60 * 60);

/// What is known of it upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WebhookState {
    /// About to be created; perhaps it was.
    Intended,
    /// The upstream has it.
    Registered,
    /// To be deleted upstream, if it is there.
    Deleting,
    /// Not upstream any more, or given up.
    Gone,
}

/// One webhook upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// Ours; part of its name at ALC.
    pub id: WebhookId,
    /// What is known of it upstream.
    pub state: WebhookState,
    /// The connection whose tokens made it, and delete it.
    pub(in crate::connections) connection: ConnectionId,
    pub(in crate::connections) created_at: Timestamp,
    /// Of the secret in its URL.
    pub(in crate::connections) token: SecretHash,
    /// The upstream's own id, where known: ALC's or Attio's.
    #[serde(default, rename = "alc_id")]
    pub(in crate::connections) upstream_id: Option<String>,
    /// What is called here is signed with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::connections) secret: Option<Sealed>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::connections) deleting_since: Option<Timestamp>,
    /// How far the unfinished leads have been looked at: down to this place, none was sent under it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::connections) leads_seen: Option<String>,
    /// The `PUBLIC_URL` that its own begins with, where that is remembered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::connections) base: Option<String>,
    /// The list whose entries Attio tells of through it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::connections) entries_of: Option<ListId>,
    /// The attributes whose changes Attio tells of through it, by their ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::connections) changes_of: Vec<String>,
    /// Its upstream lists its webhooks, and this one is not among them any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::connections) lost: bool,
    /// It was made because its upstream did not list the one before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::connections) instead_of_lost: bool,
    /// When its upstream last listed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::connections) confirmed_at: Option<Timestamp>,
    /// When its upstream is next asked whether it still has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::connections) look_at: Option<Timestamp>,
    /// Of finding and deleting it upstream.
    #[serde(flatten)]
    pub(in crate::connections) retry: Retry,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl Webhook {
    /// One that is about to be created.
    pub(in crate::connections) fn intended(
        id: WebhookId,
        connection: ConnectionId,
        token: SecretHash,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            state: WebhookState::Intended,
            connection,
            created_at: now,
            token,
            upstream_id: None,
            secret: None,
            deleting_since: None,
            leads_seen: None,
            base: None,
            entries_of: None,
            changes_of: Vec::new(),
            lost: false,
            instead_of_lost: false,
            confirmed_at: None,
            look_at: None,
            retry: Retry::default(),
            extra: Map::new(),
        }
    }

    /// What Attio tells of through it.
    pub(in crate::connections) fn told(&self) -> Told {
        Told { entries_of: self.entries_of, changes_of: self.changes_of.clone() }
    }

    /// The same, of one that is about to be created.
    pub(in crate::connections) fn telling(self, told: &Told) -> Self {
        Self { entries_of: told.entries_of, changes_of: told.changes_of.clone(), ..self }
    }

    /// What ALC knows it by.
    pub fn name(&self) -> String {
        format!("alc-connector {}", self.id)
    }

    /// The upstream has it, whatever became of it here meanwhile.
    pub(super) fn registered(&mut self, upstream_id: Option<String>, secret: Option<Sealed>, now: Timestamp) {
        self.upstream_id = upstream_id.or_else(|| self.upstream_id.take());
        self.secret = secret.or_else(|| self.secret.take());
        match self.state {
            WebhookState::Intended => {
                self.state = WebhookState::Registered;
                self.look_again(now);
            }
            // It was thought never to have been made.
            WebhookState::Gone => self.begin_deleting(now),
            WebhookState::Registered | WebhookState::Deleting => {}
        }
    }

    /// It is no longer wanted upstream.
    pub(in crate::connections) fn unwanted(&mut self, now: Timestamp) {
        if matches!(self.state, WebhookState::Intended | WebhookState::Registered) {
            self.begin_deleting(now);
        }
    }

    fn begin_deleting(&mut self, now: Timestamp) {
        self.state = WebhookState::Deleting;
        self.deleting_since = Some(now);
        self.retry.reset();
    }

    /// The upstream does not have it (any more), or that will never be known.
    pub(super) fn gone(&mut self) {
        self.state = WebhookState::Gone;
        self.retry.reset();
    }

    /// Whether it was made under another `PUBLIC_URL` than the one that is `base`. `false` also where that is not
    /// remembered.
    pub(in crate::connections) fn is_outdated(&self, base: &str) -> bool {
        self.base.as_ref().is_some_and(|own| own != base)
    }

    /// Whether its upstream may leave it out of its list: after the one before it, it has not been on the list either,
    /// or only while it was new. Of a long list an upstream may show only the newest; were it made anew each time that
    /// newer ones have pushed it out, workspaces would push out each other's for ever.
    pub(in crate::connections) fn may_be_left_out(&self) -> bool {
        let is_proven = |at| until(self.created_at, at) >= PROVEN_AFTER;
        self.instead_of_lost && !self.confirmed_at.is_some_and(is_proven)
    }

    /// Whether the upstream may have it.
    pub(in crate::connections) fn may_be_upstream(&self) -> bool {
        self.state != WebhookState::Gone
    }

    /// Whether it may yet be made, or the answer to its creation may yet come.
    pub(in crate::connections) fn may_come(&self, now: Timestamp) -> bool {
        until(self.created_at, now) < LATE_CREATION
    }

    pub(super) fn deleting_since(&self) -> Timestamp {
        self.deleting_since.unwrap_or(self.created_at)
    }
}
