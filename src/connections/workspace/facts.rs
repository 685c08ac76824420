//! What ALC and Attio answered, as it is recorded.
//!
//! Promises that each fact can be applied to whatever state is found, as often as it takes: when another replica wrote
//! first, the workspace is loaded again and the same fact is applied to that.

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    aggregate::Workspace,
    connection::{Connection, Phase},
    grant::FreshTokens,
    side::Side,
    webhook::{Webhook, WebhookState},
};
use crate::{
    clock::later,
    ids::{ConnectionId, WebhookId},
    sealing::Sealed,
    store::Cursor,
};

/// How often it is tried whether ALC takes the refresh token of a dead grant again.
const REVIVE_AGAIN: Duration = Duration::from_secs(10 * 60);

impl Workspace {
    /// ALC gave new tokens to the task `owner`; `false`: there is no connection any more to have them.
    pub(in crate::connections) fn refreshed(
        &mut self,
        id: ConnectionId,
        fresh: FreshTokens,
        owner: Uuid,
        now: Timestamp,
    ) -> bool {
        let Some(connection) = self.connection_mut(id) else { return false };
        let was_dead = connection.alc.dead;
        let spread = connection.spread;
        connection.alc.refreshed(fresh, spread);
        connection.end_refreshing(owner);
        if was_dead && connection.phase == Phase::Current {
            // Sends that waited for a reconnect can go on.
            self.wake_leads = Some(now);
        }
        true
    }

    /// ALC said `invalid_grant` to the refresh token of `generation`.
    pub(in crate::connections) fn refresh_refused(&mut self, id: ConnectionId, generation: u64, owner: Uuid) {
        let Some(connection) = self.connection_mut(id) else { return };
        connection.alc.died(generation);
        connection.end_refreshing(owner);
    }

    /// ALC refused the refresh token of `generation` clearly, but not by `invalid_grant`. Returns whether the grant is
    /// dead by that.
    pub(in crate::connections) fn refresh_denied(
        &mut self,
        id: ConnectionId,
        generation: u64,
        owner: Uuid,
        retry_at: Timestamp,
        now: Timestamp,
    ) -> bool {
        let Some(connection) = self.connection_mut(id) else { return false };
        let is_dead = connection.alc.refresh_denied(generation, now);
        if connection.end_refreshing(owner) {
            let wait_until = if is_dead { later(now, REVIVE_AGAIN).max(retry_at) } else { retry_at };
            connection.alc.retry.postpone(wait_until);
        }
        is_dead
    }

    /// ALC gave another refresh token for that of `generation`, and no access token that can be used.
    pub(in crate::connections) fn refresh_rotated(&mut self, id: ConnectionId, generation: u64, refresh: Sealed) {
        if let Some(connection) = self.connection_mut(id).filter(|it| it.alc.generation == generation) {
            connection.alc.refresh = Some(refresh);
        }
    }

    /// ALC gave no clear answer to a refresh.
    pub(in crate::connections) fn refresh_failed(&mut self, id: ConnectionId, owner: Uuid, retry_at: Timestamp) {
        let Some(connection) = self.connection_mut(id) else { return };
        if connection.end_refreshing(owner) {
            connection.alc.retry.postpone(retry_at);
        }
    }

    /// ALC said 401 to the access token of `generation`.
    pub(in crate::connections) fn access_refused(&mut self, id: ConnectionId, generation: u64, now: Timestamp) {
        if let Some(connection) = self.connection_mut(id) {
            connection.alc.access_refused(generation, now);
        }
    }

    /// ALC took the access token of `generation`.
    pub(in crate::connections) fn access_accepted(&mut self, id: ConnectionId, generation: u64) {
        if let Some(connection) = self.connection_mut(id) {
            connection.alc.access_accepted(generation);
        }
    }

    /// Attio said that this connection's token is no longer active.
    pub(in crate::connections) fn attio_died(&mut self, id: ConnectionId) {
        if let Some(grant) = self.connection_mut(id).and_then(|connection| connection.attio.as_mut()) {
            grant.dead = true;
        }
    }

    /// Attio says that the operator's API key is this workspace's. Returns whether that is new: what is owed to Attio
    /// goes on.
    pub(in crate::connections) fn has_key(&mut self, now: Timestamp) -> bool {
        if !self.without_key {
            return false;
        }
        self.without_key = false;
        self.owes_attio = true;
        self.wake_leads = Some(now);
        true
    }

    /// Attio says that the operator's API key is another workspace's; whether that is new.
    pub(in crate::connections) fn lost_key(&mut self) -> bool {
        !std::mem::replace(&mut self.without_key, true)
    }

    /// The upstream made the webhook, or lists it; `None` is what the answer did not say.
    pub(in crate::connections) fn webhook_registered(
        &mut self,
        side: Side,
        id: WebhookId,
        upstream_id: Option<String>,
        secret: Option<Sealed>,
        now: Timestamp,
    ) {
        if let Some(webhook) = self.webhook_mut(side, id) {
            webhook.registered(upstream_id, secret, now);
        }
    }

    /// The upstream lists its webhooks, and this is not among them: it may yet come until `LATE_CREATION` has passed.
    pub(in crate::connections) fn webhook_missing(
        &mut self,
        side: Side,
        id: WebhookId,
        retry_at: Timestamp,
        now: Timestamp,
    ) {
        let Some(webhook) = self.webhook_mut(side, id).filter(|webhook| webhook.upstream_id.is_none()) else { return };
        if webhook.may_come(now) {
            webhook.retry.postpone(retry_at);
        } else {
            self.webhook_gone(side, id);
        }
    }

    /// The upstream deleted it, does not have it, or will never tell. One at ALC goes on answering for its leads.
    pub(in crate::connections) fn webhook_gone(&mut self, side: Side, id: WebhookId) {
        self.webhook_mut(side, id).into_iter().for_each(Webhook::gone);
        self.forget_gone(side);
    }

    /// Not done; again at `retry_at`.
    pub(in crate::connections) fn webhook_postponed(&mut self, side: Side, id: WebhookId, retry_at: Timestamp) {
        if let Some(webhook) = self.webhook_mut(side, id) {
            webhook.retry.postpone(retry_at);
        }
    }

    /// Of the unfinished leads down to `place`, none was sent under it.
    pub(in crate::connections) fn leads_seen(&mut self, id: WebhookId, place: Option<&Cursor>) {
        if let (Some(webhook), Some(place)) = (self.webhook_mut(Side::Alc, id), place) {
            webhook.leads_seen = Some(place.to_string());
        }
    }

    /// No unfinished lead was sent under it: it stops answering.
    pub(in crate::connections) fn webhook_retired(&mut self, id: WebhookId) {
        self.webhooks.retain(|known| known.id != id || known.may_be_upstream());
    }

    /// A webhook at Attio owes no lead an answer.
    pub(super) fn forget_gone(&mut self, side: Side) {
        if side == Side::Attio {
            self.attio_webhooks.retain(|webhook| webhook.state != WebhookState::Gone);
        }
    }

    /// The grant of that generation is revoked, or has to stay for another connection.
    pub(in crate::connections) fn grant_released(&mut self, side: Side, id: ConnectionId, generation: u64) {
        if let Some(connection) = self.connection_mut(id).filter(|it| it.generation(side) == generation) {
            connection.release(side);
        }
    }

    /// The grant is not revoked; again at `retry_at`.
    pub(in crate::connections) fn revoke_postponed(&mut self, side: Side, id: ConnectionId, retry_at: Timestamp) {
        if let Some(retry) = self.connection_mut(id).and_then(|connection| connection.retry_mut(side)) {
            retry.postpone(retry_at);
        }
    }

    /// The leads were made due, because of a change `since` then.
    pub(in crate::connections) fn leads_woken(&mut self, since: Option<Timestamp>) {
        if self.wake_leads == since {
            self.owes_attio = false;
        }
        // A change of connection meanwhile is told again.
        self.wake_leads = self.wake_leads.filter(|at| Some(*at) != since);
    }
}

impl Connection {
    /// The task `owner` does not refresh any more; whether it still had its claim.
    fn end_refreshing(&mut self, owner: Uuid) -> bool {
        let is_own = self.refreshing.as_ref().is_some_and(|claim| claim.owner == owner);
        if is_own {
            self.refreshing = None;
        }
        is_own
    }
}
