//! What ALC and Attio granted: the tokens, sealed, and what is known of them.
//!
//! Promises that a grant forgets its tokens only as a whole, that ALC's grant counts its generations, so that what ALC
//! says about old tokens is not taken for a word about the new ones, and that a worker can tell before a request
//! whether the access token must be refreshed first.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::retry::Retry;
use crate::{
    clock::{earlier, later, until},
    sealing::Sealed,
};

/// A token that ends this soon is refreshed before it is used: the request takes a while to arrive.
const USABLE_MARGIN: Duration = Duration::from_secs(10);
/// A refresh is due between one and two times this before expiry.
const REFRESH_MARGIN: Duration = Duration::from_secs(5 * 60);

/// ALC's tokens, sealed, as they came in one answer.
#[derive(Debug, Clone)]
pub(in crate::connections) struct FreshTokens {
    pub(in crate::connections) access: Sealed,
    /// `None`: the one before stays good.
    pub(in crate::connections) refresh: Option<Sealed>,
    pub(in crate::connections) lifetime: Duration,
    /// When they were asked for: of two answers that crossed, the one asked for later counts.
    pub(in crate::connections) requested_at: Timestamp,
}

/// What ALC granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::connections) struct AlcGrant {
    pub(in crate::connections) access: Sealed,
    #[serde(default)]
    pub(in crate::connections) refresh: Option<Sealed>,
    pub(in crate::connections) expires_at: Timestamp,
    pub(in crate::connections) refresh_at: Timestamp,
    pub(in crate::connections) requested_at: Timestamp,
    /// Counts the answers recorded, from 1.
    pub(in crate::connections) generation: u64,
    /// ALC will not take these tokens any more.
    #[serde(default)]
    pub(in crate::connections) dead: bool,
    /// Revoked at ALC, or held by another connection too, or given up: may be erased.
    #[serde(default)]
    pub(in crate::connections) released: bool,
    /// Of refreshing or revoking.
    #[serde(flatten)]
    pub(in crate::connections) retry: Retry,
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
            retry: Retry::default(),
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
        self.retry.reset();
    }

    /// ALC said `invalid_grant` to the refresh token of `generation`, or there is none to try.
    pub(super) fn died(&mut self, generation: u64) {
        if generation == self.generation {
            self.dead = true;
        }
    }

    /// ALC said 401 to the access token of `generation`.
    pub(in crate::connections) fn access_refused(&mut self, generation: u64, now: Timestamp) {
        if generation != self.generation {
            return;
        }
        if self.refresh.is_some() {
            self.expires_at = self.expires_at.min(now);
        } else {
            self.dead = true;
        }
    }

    /// Whether the access token has to be renewed before it is used. Without a refresh token it is used until ALC says
    /// 401: its expiry may be a guess.
    pub(in crate::connections) fn must_refresh(&self, now: Timestamp) -> bool {
        // Of a short life a part, or a token would be too old as soon as it comes.
        let margin = USABLE_MARGIN.min(until(self.requested_at, self.expires_at) / 5);
        self.can_refresh() && self.expires_at <= later(now, margin)
    }

    pub(in crate::connections) fn can_refresh(&self) -> bool {
        !self.dead && self.refresh.is_some()
    }

    /// Whether the access token has certainly not expired.
    pub(in crate::connections) fn lives(&self, now: Timestamp) -> bool {
        !self.dead && now < self.expires_at
    }
}

/// When the tokens end, and when they should be renewed: some minutes before, or a fifth to two fifths of a short life.
fn times(fresh: &FreshTokens, spread: f64) -> (Timestamp, Timestamp) {
    let expires_at = later(fresh.requested_at, fresh.lifetime);
    let margin = REFRESH_MARGIN.min(fresh.lifetime / 5).mul_f64(1.0 + spread.clamp(0.0, 1.0));
    (expires_at, earlier(expires_at, margin))
}

/// What Attio granted, where each connection brings its own grant: one token, good until it is revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::connections) struct AttioGrant {
    pub(in crate::connections) token: Sealed,
    /// Attio will not take it any more.
    #[serde(default)]
    pub(in crate::connections) dead: bool,
    /// Revoked at Attio, or held by another connection too, or given up: may be erased.
    #[serde(default)]
    pub(in crate::connections) released: bool,
    /// Of revoking.
    #[serde(flatten)]
    pub(in crate::connections) retry: Retry,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl AttioGrant {
    pub(in crate::connections) fn new(token: Sealed) -> Self {
        Self { token, dead: false, released: false, retry: Retry::default(), extra: Map::new() }
    }
}
