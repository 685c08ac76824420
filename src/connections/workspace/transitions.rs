//! What our own side does to a workspace: connections come, connect, take over and leave.
//!
//! Promises that at most one connection is current and at most [`MOST_INCOMING`] are incoming, and that a task whose
//! claim has gone to another changes nothing.

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    aggregate::{Replaced, Workspace},
    claim::Claim,
    connection::{Connection, Phase},
    side::Side,
    webhook::Webhook,
};
use crate::{
    clock::{later, until},
    ids::{ConnectionId, SecretHash},
};

/// How many connections may wait for connection-added; the oldest that is not connecting just now gives way.
pub(in crate::connections) const MOST_INCOMING: usize = 5;
/// How long a replaced connection is known as such: none of its access tokens is good for longer.
const REPLACED_REMEMBERED: Duration = Duration::from_secs(2 * 60 * 60);

impl Workspace {
    /// A new connection came; if too many wait, the oldest gives way. One that is connecting just now is about to be
    /// the workspace's own: it gives way only where all the others are connecting, too.
    pub(in crate::connections) fn opened(&mut self, connection: Connection, now: Timestamp) {
        let mut waiting: Vec<_> = self
            .connections
            .iter()
            .filter(|other| other.phase == Phase::Incoming)
            .map(|other| {
                let is_connecting = other.connecting.as_ref().is_some_and(|claim| claim.is_live(now));
                ((is_connecting, other.created_at), other.id)
            })
            .collect();
        self.connections.push(connection);
        waiting.sort_by_key(|(order, _)| *order);
        for (_, id) in waiting.iter().take((waiting.len() + 1).saturating_sub(MOST_INCOMING)) {
            self.leave(*id, false, now);
        }
    }

    /// The code was redeemed for a refresh token.
    pub(in crate::connections) fn redeemed(&mut self, id: ConnectionId, refresh: SecretHash) {
        let Some(connection) = self.connection_mut(id) else { return };
        if let Some(code) = &mut connection.code {
            code.used = true;
        }
        connection.refresh_hash = Some(refresh);
    }

    /// A task begins connection-added; `false`: it must not, because another task is at it, or the connection is not
    /// incoming any more.
    pub(in crate::connections) fn claim_connecting(&mut self, id: ConnectionId, claim: Claim, now: Timestamp) -> bool {
        let Some(connection) = self.connection_mut(id) else { return false };
        let is_taken = connection.connecting.as_ref().is_some_and(|other| other.is_live(now));
        if connection.phase != Phase::Incoming || is_taken {
            return false;
        }
        connection.connecting = Some(claim);
        // What a crashed attempt left behind.
        self.unwant_webhooks(id, now);
        true
    }

    /// The task `owner` carries out connection-added of this connection.
    pub(in crate::connections) fn is_connecting(&self, id: ConnectionId, owner: Uuid) -> bool {
        self.connection(id).is_some_and(|connection| {
            let claim = connection.connecting.as_ref();
            connection.phase == Phase::Incoming && claim.is_some_and(|claim| claim.owner == owner)
        })
    }

    /// The webhook that is to be created next; `false` if the claim is lost.
    pub(in crate::connections) fn intend_webhook(&mut self, side: Side, webhook: Webhook, owner: Uuid) -> bool {
        if !self.is_connecting(webhook.connection, owner) {
            return false;
        }
        if let Some(connection) = self.connection_mut(webhook.connection).filter(|_| side == Side::Alc) {
            connection.webhook = Some(webhook.id);
        }
        self.webhooks_mut(side).push(webhook);
        true
    }

    /// Connection-added succeeded: the connection takes over. `false`, and nothing happens, if the claim is lost.
    pub(in crate::connections) fn connected(&mut self, id: ConnectionId, owner: Uuid, now: Timestamp) -> bool {
        if !self.is_connecting(id, owner) {
            return false;
        }
        // Without a grant of its own a connection lives by an API key, which outlasts it.
        let has_grant = self.connection(id).is_some_and(|connection| connection.attio.is_some());
        self.owes_attio |= has_grant && self.current().is_none_or(|it| it.attio.is_none() || it.lost_attio());
        if let Some(previous) = self.current().map(|current| current.id) {
            self.leave(previous, true, now);
            self.replaced.retain(|replaced| until(replaced.at, now) < REPLACED_REMEMBERED);
            self.replaced.push(Replaced::new(previous, now));
        }
        if let Some(connection) = self.connection_mut(id) {
            connection.phase = Phase::Current;
            connection.connecting = None;
        }
        self.disconnected_at = None;
        self.wake_leads = Some(now);
        true
    }

    /// Connection-added failed: what it made is undone. The connection waits for another try, or to be given up.
    pub(in crate::connections) fn connect_failed(&mut self, id: ConnectionId, owner: Uuid, now: Timestamp) {
        if !self.is_connecting(id, owner) {
            return;
        }
        if let Some(connection) = self.connection_mut(id) {
            connection.connecting = None;
        }
        self.unwant_webhooks(id, now);
    }

    /// Connection-removed, a revoked token, or a code used twice; `false` if there is nothing to remove.
    pub(in crate::connections) fn removed(&mut self, id: ConnectionId, now: Timestamp) -> bool {
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
        for side in Side::BOTH {
            if let Some(retry) = connection.retry_mut(side) {
                retry.reset();
            }
        }
        self.unwant_webhooks(id, now);
    }

    fn unwant_webhooks(&mut self, id: ConnectionId, now: Timestamp) {
        for side in Side::BOTH {
            let own = self.webhooks_mut(side).iter_mut().filter(|webhook| webhook.connection == id);
            own.for_each(|webhook| webhook.unwanted(now));
        }
    }

    /// What its last leads came to may be owed to Attio for as long as leads are kept, `retention`: if that is beyond
    /// `now`, the workspace is remembered for as long. Returns whether it is.
    pub(in crate::connections) fn remember_what_is_owed(&mut self, retention: Duration, now: Timestamp) -> bool {
        self.owing_until = self.disconnected_at.map(|since| later(since, retention)).filter(|until| now < *until);
        self.owing_until.is_some()
    }

    /// A task begins to refresh; `false` if another does, or there is nothing to refresh.
    pub(in crate::connections) fn claim_refresh(&mut self, id: ConnectionId, claim: Claim, now: Timestamp) -> bool {
        let Some(connection) = self.connection_mut(id) else { return false };
        let is_taken = connection.refreshing.as_ref().is_some_and(|other| other.is_live(now));
        if !connection.alc.can_refresh() || is_taken {
            return false;
        }
        connection.refreshing = Some(claim);
        true
    }
}
