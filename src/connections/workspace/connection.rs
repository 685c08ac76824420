//! One OAuth grant in a workspace: its phase, the tokens that we handed out, and what ALC and Attio granted.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    claim::Claim,
    code::Code,
    grant::{AlcGrant, AttioGrant, FreshTokens},
    retry::Retry,
    side::Side,
};
use crate::{
    clock::later,
    ids::{ConnectionId, SecretHash, WebhookId},
};

/// How long a connection may wait for connection-added.
const INCOMING_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// Where a connection is in its life. What is gone is not there any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Granted, not yet added.
    Incoming,
    /// The workspace's one connection.
    Current,
    /// Cleaning up after itself.
    Leaving,
}

/// One OAuth grant in a workspace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Connection {
    /// `sub` of our access tokens.
    pub id: ConnectionId,
    /// Where it is in its life.
    pub phase: Phase,
    /// When ALC granted it.
    pub created_at: Timestamp,
    /// When it began to leave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::connections) leaving_since: Option<Timestamp>,
    /// It leaves because another took over.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::connections) replaced: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::connections) code: Option<Code>,
    /// Of the refresh token that our client holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::connections) refresh_hash: Option<SecretHash>,
    pub(in crate::connections) alc: AlcGrant,
    /// `None`: Attio takes an API key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::connections) attio: Option<AttioGrant>,
    /// A task refreshes ALC's tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::connections) refreshing: Option<Claim>,
    /// A task carries out connection-added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::connections) connecting: Option<Claim>,
    /// The webhook that leads are sent under; it lives among the workspace's webhooks at ALC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::connections) webhook: Option<WebhookId>,
    /// In `0.0..1.0`, drawn once.
    #[serde(default, skip_serializing_if = "crate::store::is_default")]
    pub(in crate::connections) spread: f64,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl Connection {
    /// A connection that has just been granted.
    pub(in crate::connections) fn incoming(
        id: ConnectionId,
        tokens: FreshTokens,
        attio: Option<AttioGrant>,
        code: Code,
        spread: f64,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            phase: Phase::Incoming,
            created_at: now,
            leaving_since: None,
            replaced: false,
            code: Some(code),
            refresh_hash: None,
            alc: AlcGrant::new(tokens, spread),
            attio,
            refreshing: None,
            connecting: None,
            webhook: None,
            spread,
            extra: Map::new(),
        }
    }

    /// Whether ALC's grant is dead, so that a person has to connect again.
    pub fn needs_reauthorization(&self) -> bool {
        self.alc.dead
    }

    /// Whether Attio's grant is dead, so that a person has to connect again before anything is shown in Attio.
    pub(in crate::connections) fn lost_attio(&self) -> bool {
        self.attio.as_ref().is_some_and(|grant| grant.dead)
    }

    /// `at`, or the end of the claim under which a task is refreshing if that is later.
    pub(super) fn unclaimed_at(&self, at: Timestamp) -> Timestamp {
        self.refreshing.as_ref().map_or(at, |claim| at.max(claim.until))
    }

    /// When time alone changes an incoming connection: the claim to connect it lapses or, without one, it is given up.
    pub(super) fn incoming_ends(&self) -> Timestamp {
        self.connecting.as_ref().map_or_else(|| later(self.created_at, INCOMING_LIFETIME), |claim| claim.until)
    }

    pub(in crate::connections) fn leaving_since(&self) -> Timestamp {
        self.leaving_since.unwrap_or(self.created_at)
    }

    /// Whether there is nothing left to give back at that side.
    pub(super) fn is_settled(&self, side: Side) -> bool {
        match side {
            Side::Alc => self.alc.dead || self.alc.released,
            Side::Attio => self.attio.as_ref().is_none_or(|grant| grant.dead || grant.released),
        }
    }

    /// Nothing is to be given back at that side any more.
    pub(super) fn release(&mut self, side: Side) {
        match side {
            Side::Alc => self.alc.released = true,
            Side::Attio => self.attio.iter_mut().for_each(|grant| grant.released = true),
        }
    }

    /// Which tokens of that side these are. Attio never renews its one token.
    pub(in crate::connections) fn generation(&self, side: Side) -> u64 {
        match side {
            Side::Alc => self.alc.generation,
            Side::Attio => 0,
        }
    }

    /// The failures of that side's grant.
    pub(in crate::connections) fn retry(&self, side: Side) -> Retry {
        match side {
            Side::Alc => self.alc.retry,
            Side::Attio => self.attio.as_ref().map(|grant| grant.retry).unwrap_or_default(),
        }
    }

    pub(super) fn retry_mut(&mut self, side: Side) -> Option<&mut Retry> {
        match side {
            Side::Alc => Some(&mut self.alc.retry),
            Side::Attio => self.attio.as_mut().map(|grant| &mut grant.retry),
        }
    }
}
