//! One OAuth grant of a workspace: its phase, the tokens that we handed out, and the tokens that ALC gave us.
//!
//! Promises that a grant forgets its tokens only as a whole, that it counts its generations, and that whoever is told
//! to use it can tell whether it must be refreshed first. Pure: `now` is a parameter, secrets come sealed.

use std::time::Duration;

use aws_lc_rs::{constant_time, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::attio_grant::AttioGrant;
use crate::{
    clock::{earlier, later, until},
    ids::{ConnectionId, SecretHash, WebhookId},
    sealing::Sealed,
};

/// How long a code may be redeemed.
pub(super) const CODE_LIFETIME: Duration = Duration::from_secs(60);
/// How long a connection may wait for connection-added.
pub(super) const INCOMING_LIFETIME: Duration = Duration::from_secs(60 * 60);
/// What an answer without `expires_in` is taken as.
pub(super) const ASSUMED_LIFETIME: Duration = Duration::from_secs(60 * 60);
/// A token that ends this soon is refreshed before it is used: the request takes a while to arrive.
const USABLE_MARGIN: Duration = Duration::from_secs(10);
/// A refresh is due between one and two times this before expiry.
const REFRESH_MARGIN: Duration = Duration::from_secs(5 * 60);

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

/// Somebody does something that nobody else should do until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claim {
    /// Random; says whose claim it is.
    pub(super) owner: Uuid,
    /// When it lapses.
    pub(super) until: Timestamp,
}

impl Claim {
    /// Whether somebody else has to wait.
    pub(super) fn is_live(&self, now: Timestamp) -> bool {
        now < self.until
    }
}

/// The code that the browser carried to our client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Code {
    pub(super) hash: SecretHash,
    pub(super) redirect_uri: String,
    /// S256, as the client sent it.
    pub(super) challenge: Option<String>,
    pub(super) expires_at: Timestamp,
    /// Kept as long as the connection: a second use is a sign of theft.
    #[serde(default)]
    pub(super) used: bool,
}

impl Code {
    /// Why the code, known to be the right one and unused, is not good for these parameters.
    pub(super) fn fault(
        &self,
        redirect_uri: Option<&str>,
        verifier: Option<&str>,
        now: Timestamp,
    ) -> Option<&'static str> {
        if now >= self.expires_at {
            return Some("the code has expired");
        }
        // Left out it is made up for by a challenge, which binds the code to its client more strictly (OAuth 2.1 §4.1.3).
        let left_out = redirect_uri.is_none() && self.challenge.is_some();
        if !left_out && redirect_uri != Some(self.redirect_uri.as_str()) {
            return Some("redirect_uri is not the one of the authorization request");
        }
        match (&self.challenge, verifier) {
            (None, None) => None,
            (Some(_), None) => Some("code_verifier is missing"),
            (None, Some(_)) => Some("code_verifier was sent for a request without code_challenge"),
            (Some(challenge), Some(verifier)) => {
                let hash = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
                let same = constant_time::verify_slices_are_equal(hash.as_bytes(), challenge.as_bytes()).is_ok();
                (!same).then_some("code_verifier does not match code_challenge")
            }
        }
    }
}

/// ALC's tokens, sealed, as they came in one answer.
#[derive(Debug, Clone)]
pub(super) struct FreshTokens {
    pub(super) access: Sealed,
    /// `None`: the one before stays good.
    pub(super) refresh: Option<Sealed>,
    pub(super) lifetime: Duration,
    /// When they were asked for: of two answers that crossed, the one asked for later counts.
    pub(super) requested_at: Timestamp,
}

/// What ALC granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AlcGrant {
    pub(super) access: Sealed,
    #[serde(default)]
    pub(super) refresh: Option<Sealed>,
    pub(super) expires_at: Timestamp,
    pub(super) refresh_at: Timestamp,
    pub(super) requested_at: Timestamp,
    /// Counts the answers recorded, from 1.
    pub(super) generation: u64,
    /// ALC will not take these tokens any more.
    #[serde(default)]
    pub(super) dead: bool,
    /// Revoked at ALC, or held by another connection too, or given up: may be erased.
    #[serde(default)]
    pub(super) released: bool,
    /// Failures in a row, of refreshing or revoking.
    #[serde(default)]
    pub(super) attempts: u32,
    /// Not tried again before then.
    #[serde(default)]
    pub(super) retry_at: Option<Timestamp>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl AlcGrant {
    /// The grant of a first answer. `spread` in `0.0..1.0` keeps the refreshes of many workspaces apart.
    pub(super) fn new(fresh: FreshTokens, spread: f64) -> Self {
        let (expires_at, refresh_at) = times(&fresh, spread);
        Self {
            access: fresh.access,
            refresh: fresh.refresh,
            expires_at,
            refresh_at,
            requested_at: fresh.requested_at,
            generation: 1,
            dead: false,
            released: false,
            attempts: 0,
            retry_at: None,
            extra: Map::new(),
        }
    }

    /// ALC answered a refresh. Tokens asked for earlier than the living ones are not taken in their place.
    pub(super) fn refreshed(&mut self, fresh: FreshTokens, spread: f64) {
        if fresh.requested_at < self.requested_at && !self.dead {
            return;
        }
        (self.expires_at, self.refresh_at) = times(&fresh, spread);
        self.access = fresh.access;
        if fresh.refresh.is_some() {
            self.refresh = fresh.refresh;
        }
        self.requested_at = fresh.requested_at;
        self.generation += 1;
        self.dead = false;
        self.released = false;
        self.attempts = 0;
        self.retry_at = None;
    }

    /// ALC said `invalid_grant` to the refresh token of `generation`, or there is none to try.
    pub(super) fn died(&mut self, generation: u64) {
        if generation == self.generation {
            self.dead = true;
        }
    }

    /// ALC said 401 to the access token of `generation`.
    pub(super) fn access_refused(&mut self, generation: u64, now: Timestamp) {
        if generation != self.generation {
            return;
        }
        if self.refresh.is_some() {
            self.expires_at = self.expires_at.min(now);
        } else {
            self.dead = true;
        }
    }

    /// Try again at `at`.
    pub(super) fn postponed(&mut self, at: Timestamp) {
        self.attempts = self.attempts.saturating_add(1);
        self.retry_at = Some(at);
    }

    /// Whether the access token has to be renewed before it is used. Without a refresh token it is used until ALC says
    /// 401: its expiry may be a guess.
    pub(super) fn must_refresh(&self, now: Timestamp) -> bool {
        // Of a short life a part, or a token would be too old as soon as it comes.
        let margin = USABLE_MARGIN.min(until(self.requested_at, self.expires_at) / 5);
        self.can_refresh() && self.expires_at <= later(now, margin)
    }

    pub(super) fn can_refresh(&self) -> bool {
        !self.dead && self.refresh.is_some()
    }

    /// Whether the access token has certainly not expired.
    pub(super) fn lives(&self, now: Timestamp) -> bool {
        !self.dead && now < self.expires_at
    }

    pub(super) fn not_before(&self, at: Timestamp) -> Timestamp {
        self.retry_at.map_or(at, |retry| at.max(retry))
    }
}

/// When the tokens end, and when they should be renewed: some minutes before, or a fifth to two fifths of a short life.
fn times(fresh: &FreshTokens, spread: f64) -> (Timestamp, Timestamp) {
    let expires_at = later(fresh.requested_at, fresh.lifetime);
    let margin = REFRESH_MARGIN.min(fresh.lifetime / 5).mul_f64(1.0 + spread.clamp(0.0, 1.0));
    (expires_at, earlier(expires_at, margin))
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
    #[serde(default)]
    pub(super) leaving_since: Option<Timestamp>,
    /// It leaves because another took over.
    #[serde(default)]
    pub(super) replaced: bool,
    #[serde(default)]
    pub(super) code: Option<Code>,
    /// Of the refresh token that our client holds.
    #[serde(default)]
    pub(super) refresh_hash: Option<SecretHash>,
    pub(super) alc: AlcGrant,
    /// `None`: Attio takes an API key.
    #[serde(default)]
    pub(super) attio: Option<AttioGrant>,
    /// Somebody refreshes ALC's tokens.
    #[serde(default)]
    pub(super) refreshing: Option<Claim>,
    /// Somebody carries out connection-added.
    #[serde(default)]
    pub(super) connecting: Option<Claim>,
    /// The webhook that leads are sent under; it lives in [`super::Workspace::webhooks`].
    #[serde(default)]
    pub(super) webhook: Option<WebhookId>,
    /// In `0.0..1.0`, drawn once.
    #[serde(default)]
    pub(super) spread: f64,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl Connection {
    /// A connection that has just been granted.
    pub(super) fn incoming(
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

    /// When nobody refreshes any more, if somebody does.
    pub(super) fn unclaimed_at(&self, at: Timestamp) -> Timestamp {
        self.refreshing.map_or(at, |claim| at.max(claim.until))
    }
}
