//! What ALC and Attio granted: the tokens, sealed, and what is known of them.
//!
//! Promises that a grant forgets its tokens only as a whole, that ALC's grant counts its generations, so that what ALC
//! says about old tokens is not taken for a word about the new ones, and that a worker can tell before a request
//! whether the access token must be refreshed first.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    retry::Retry,
    suspicion::{ASK_AGAIN, Suspicion},
};
use crate::{
    clock::{earlier, later, until},
    sealing::Sealed,
};

/// A token that ends this soon is refreshed before it is used: the request takes a while to arrive.
const USABLE_MARGIN: Duration = Duration::from_secs(10);
/// A refresh is due between one and two times this before expiry.
const REFRESH_MARGIN: Duration = Duration::from_secs(5 * 60);
/// For how long it is tried to revive a grant that is dead by other refusals than `invalid_grant`.
const REVIVED_WITHIN: Duration = Duration::from_secs(24 * 60 * 60);

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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::connections) refresh: Option<Sealed>,
    pub(in crate::connections) expires_at: Timestamp,
    pub(in crate::connections) refresh_at: Timestamp,
    pub(in crate::connections) requested_at: Timestamp,
    /// Counts the answers recorded, from 1.
    pub(in crate::connections) generation: u64,
    /// ALC will not take these tokens any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::connections) dead: bool,
    /// Revoked at ALC, or held by another connection too, or given up: may be erased.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::connections) released: bool,
    /// ALC's API said 401 to the access token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    access_suspicion: Option<Suspicion>,
    /// ALC's token endpoint refused the refresh token clearly, but not by `invalid_grant`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh_suspicion: Option<Suspicion>,
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
            access_suspicion: None,
            refresh_suspicion: None,
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
        (self.access_suspicion, self.refresh_suspicion) = (None, None);
        self.retry.reset();
    }

    /// ALC said `invalid_grant` to the refresh token of `generation`, or there is none to try.
    pub(super) fn died(&mut self, generation: u64) {
        if generation == self.generation {
            self.dead = true;
            self.refresh_suspicion = None;
        }
    }

    /// ALC said 401 to the access token of `generation`. With a refresh token another access token is to be had;
    /// without one ALC has to say so again and again before the whole workspace is taken for disconnected.
    pub(in crate::connections) fn access_refused(&mut self, generation: u64, now: Timestamp) {
        if generation != self.generation {
            return;
        }
        let is_believed = Suspicion::note(&mut self.access_suspicion, generation, now);
        if self.refresh.is_some() {
            self.expires_at = self.expires_at.min(now);
            self.refresh_at = self.refresh_at.min(now);
            let denied = self.refresh_suspicion.as_ref().filter(|suspicion| suspicion.is_of(generation));
            self.dead |= denied.is_some_and(Suspicion::is_believed);
        } else if is_believed {
            self.dead = true;
        }
    }

    /// ALC took the access token of `generation`: that it said 401 before was a stray.
    pub(in crate::connections) fn access_accepted(&mut self, generation: u64) {
        self.access_suspicion = self.access_suspicion.take().filter(|suspicion| !suspicion.is_of(generation));
    }

    /// ALC refused the refresh token of `generation` clearly, and not by `invalid_grant`: once that is a deployment of
    /// ALC or a setting of ours. After its API has said 401 too, it is believed when it goes on. Returns whether the
    /// grant is dead by that.
    pub(super) fn refresh_denied(&mut self, generation: u64, now: Timestamp) -> bool {
        if generation != self.generation {
            return false;
        }
        let is_believed = Suspicion::note(&mut self.refresh_suspicion, generation, now);
        self.dead |= is_believed && self.was_access_refused();
        self.dead
    }

    /// Whether ALC's API said 401 to the access token of `generation`, as far as is known.
    pub(in crate::connections) fn is_suspected(&self, generation: u64) -> bool {
        self.access_suspicion.as_ref().is_some_and(|suspicion| suspicion.is_of(generation))
    }

    fn was_access_refused(&self) -> bool {
        self.is_suspected(self.generation)
    }

    /// Whether ALC's token endpoint refused the present refresh token without `invalid_grant`.
    fn was_refresh_denied(&self) -> bool {
        self.refresh_suspicion.as_ref().is_some_and(|suspicion| suspicion.is_of(self.generation))
    }

    /// Dead by refusals that an operator can set right, such as a wrong client secret: for a while it is tried whether
    /// ALC takes the refresh token again, which brings the grant back to life.
    pub(super) fn may_revive(&self) -> bool {
        let since =
            self.refresh_suspicion.as_ref().filter(|suspicion| suspicion.is_of(self.generation)).map(Suspicion::since);
        self.dead && since.is_some_and(|since| self.retry.not_before(since) < later(since, REVIVED_WITHIN))
    }

    /// Until when no request is made with the access token: ALC said 401 to it, and there is no other.
    pub(in crate::connections) fn paused_until(&self, now: Timestamp) -> Option<Timestamp> {
        let suspicion = self
            .access_suspicion
            .as_ref()
            .filter(|suspicion| self.refresh.is_none() && suspicion.is_of(self.generation));
        suspicion.map(Suspicion::ask_again_at).filter(|at| now < *at)
    }

    /// Whether the access token may work although it is past its time: ALC refuses to renew it, the time may be a
    /// guess, and ALC's API has not refused it.
    pub(in crate::connections) fn is_worth_a_try(&self) -> bool {
        !self.dead && self.was_refresh_denied() && !self.was_access_refused()
    }

    /// When a refresh that ALC denied is tried again, given when its schedule would.
    pub(in crate::connections) fn denied_again_at(by_schedule: Timestamp, now: Timestamp) -> Timestamp {
        by_schedule.max(later(now, ASK_AGAIN))
    }

    /// Whether the access token has to be renewed before it is used. Without a refresh token it is used until ALC says
    /// 401: its expiry may be a guess.
    pub(in crate::connections) fn must_refresh(&self, now: Timestamp) -> bool {
        // Of a short life a part, or a token would be too old as soon as it comes.
        let margin = USABLE_MARGIN.min(until(self.requested_at, self.expires_at) / 5);
        self.can_refresh() && self.expires_at <= later(now, margin)
    }

    pub(in crate::connections) fn can_refresh(&self) -> bool {
        self.refresh.is_some() && (!self.dead || self.may_revive())
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
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::connections) dead: bool,
    /// Revoked at Attio, or held by another connection too, or given up: may be erased.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
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
