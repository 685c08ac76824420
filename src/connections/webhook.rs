//! A webhook of ours at ALC, from the intent to the day when nobody calls it any more; Attio's have the same life.
//!
//! Promises that a webhook answers as long as it stands here: also before ALC's answer to its creation was seen, and
//! after ALC deleted it, until the leads sent under it have finished.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    clock::until,
    ids::{ConnectionId, SecretHash, WebhookId},
    sealing::Sealed,
};

/// How long its creation may still be under way, here or upstream: all tries of a connect, and what was hung up on.
const LATE_CREATION: Duration = Duration::from_secs(60);

/// What is known of it at ALC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WebhookState {
    /// About to be created; perhaps it was.
    Intended,
    /// ALC has it.
    Registered,
    /// To be deleted at ALC, if it is there.
    Deleting,
    /// Not at ALC any more, or given up.
    Gone,
}

/// One webhook at ALC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// Ours; part of its name at ALC.
    pub id: WebhookId,
    /// What is known of it at ALC.
    pub state: WebhookState,
    /// Whose tokens made it, and delete it.
    pub(super) connection: ConnectionId,
    pub(super) created_at: Timestamp,
    /// Of the secret in its URL.
    pub(super) token: SecretHash,
    /// ALC's (or Attio's) id, where known.
    #[serde(default)]
    pub(super) alc_id: Option<String>,
    /// What is called here is signed with it.
    #[serde(default)]
    pub(super) secret: Option<Sealed>,
    #[serde(default)]
    pub(super) deleting_since: Option<Timestamp>,
    #[serde(default)]
    pub(super) attempts: u32,
    /// Not touched again before then.
    #[serde(default)]
    pub(super) retry_at: Option<Timestamp>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl Webhook {
    /// One that is about to be created.
    pub(super) fn intended(id: WebhookId, connection: ConnectionId, token: SecretHash, now: Timestamp) -> Self {
        Self {
            id,
            state: WebhookState::Intended,
            connection,
            created_at: now,
            token,
            alc_id: None,
            secret: None,
            deleting_since: None,
            attempts: 0,
            retry_at: None,
            extra: Map::new(),
        }
    }

    /// What ALC knows it by.
    pub fn name(&self) -> String {
        format!("alc-connector {}", self.id)
    }

    /// ALC has it, whatever became of it here meanwhile.
    pub(super) fn registered(&mut self, alc_id: Option<String>, secret: Option<Sealed>, now: Timestamp) {
        self.alc_id = alc_id.or_else(|| self.alc_id.take());
        self.secret = secret.or_else(|| self.secret.take());
        match self.state {
            WebhookState::Intended => self.state = WebhookState::Registered,
            // It was thought never to have been made.
            WebhookState::Gone => {
                self.state = WebhookState::Deleting;
                self.deleting_since = Some(now);
                self.attempts = 0;
                self.retry_at = None;
            }
            WebhookState::Registered | WebhookState::Deleting => {}
        }
    }

    /// It is no longer wanted at ALC.
    pub(super) fn unwanted(&mut self, now: Timestamp) {
        if matches!(self.state, WebhookState::Intended | WebhookState::Registered) {
            self.state = WebhookState::Deleting;
            self.deleting_since = Some(now);
            self.attempts = 0;
            self.retry_at = None;
        }
    }

    /// ALC does not have it (any more), or nobody will ever know.
    pub(super) fn gone(&mut self) {
        self.state = WebhookState::Gone;
        self.attempts = 0;
        self.retry_at = None;
    }

    /// Try again at `at`.
    pub(super) fn postponed(&mut self, at: Timestamp) {
        self.attempts = self.attempts.saturating_add(1);
        self.retry_at = Some(at);
    }

    /// Whether ALC may have it.
    pub(super) fn may_be_at_alc(&self) -> bool {
        self.state != WebhookState::Gone
    }

    /// Whether it may yet be made, or its making heard of.
    pub(super) fn may_come(&self, now: Timestamp) -> bool {
        until(self.created_at, now) < LATE_CREATION
    }

    pub(super) fn not_before(&self, at: Timestamp) -> Timestamp {
        self.retry_at.map_or(at, |retry| at.max(retry))
    }
}
