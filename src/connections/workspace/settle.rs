//! What time alone brings about, and what a leaving connection still needs its tokens for.
//!
//! Promises that settling twice is settling once, and that tokens are erased only once their grant was released and the
//! webhooks that they delete are gone, or the clean-up has been tried for [`CLEAN_UP_LIMIT`].

use std::time::Duration;

use jiff::Timestamp;

use super::{
    aggregate::Workspace,
    connection::{Connection, Phase},
    side::Side,
    webhook::{Webhook, WebhookState},
};
use crate::clock::later;

/// How long cleaning up upstream is tried.
pub(in crate::connections) const CLEAN_UP_LIMIT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

impl Workspace {
    /// Does what time alone brings about; whether that was anything. Harmless at any time.
    pub(in crate::connections) fn settle(&mut self, now: Timestamp) -> bool {
        let before = self.clone();
        self.settle_incoming(now);
        for side in Side::BOTH {
            self.settle_webhooks(side, now);
            self.plan_first_look(side, now);
        }
        self.plan_first_check(now);
        self.settle_leaving(now);
        *self != before
    }

    fn settle_incoming(&mut self, now: Timestamp) {
        let late: Vec<_> = self
            .connections
            .iter()
            .filter(|connection| connection.phase == Phase::Incoming && connection.incoming_ends() <= now)
            .map(|connection| (connection.id, connection.connecting.as_ref().map(|claim| claim.owner)))
            .collect();
        for (id, owner) in late {
            if let Some(owner) = owner {
                // The task that was connecting is not there any more.
                self.connect_failed(id, owner, now);
            }
            if self.connection(id).is_some_and(|connection| connection.incoming_ends() <= now) {
                self.leave(id, false, now);
            }
        }
    }

    fn settle_webhooks(&mut self, side: Side, now: Timestamp) {
        for at in 0..self.webhooks(side).len() {
            let webhook = &self.webhooks(side)[at];
            let is_left_over = self.is_spare(side, webhook) && !webhook.may_come(now);
            let is_wanted = self.wants(webhook) && !is_left_over;
            // At Attio whatever grant the workspace has now may try.
            let has_cleaner = side == Side::Attio || self.cleaner(&self.webhooks(side)[at]).is_some();
            let webhook = &mut self.webhooks_mut(side)[at];
            if !is_wanted {
                webhook.unwanted(now);
            }
            let is_over = later(webhook.deleting_since(), CLEAN_UP_LIMIT) <= now;
            if webhook.state == WebhookState::Deleting && (!has_cleaner || is_over) {
                webhook.gone();
            }
        }
        self.forget_gone(side);
    }

    fn settle_leaving(&mut self, now: Timestamp) {
        let is_over = |it: &Connection| it.phase == Phase::Leaving && later(it.leaving_since(), CLEAN_UP_LIMIT) <= now;
        for at in 0..self.connections.len() {
            if !is_over(&self.connections[at]) {
                continue;
            }
            let id = self.connections[at].id;
            for side in Side::BOTH {
                self.connections[at].release(side);
                self.webhooks_mut(side).iter_mut().filter(|webhook| webhook.connection == id).for_each(Webhook::gone);
                self.forget_gone(side);
            }
        }
        let done: Vec<_> =
            self.connections.iter().filter(|it| self.is_done_leaving(it)).map(|connection| connection.id).collect();
        self.connections.retain(|connection| !done.contains(&connection.id));
    }

    /// Whether a connection works with the webhook, or is about to.
    pub(super) fn wants(&self, webhook: &Webhook) -> bool {
        let owner = self.connection(webhook.connection);
        owner.is_some_and(|owner| match owner.phase {
            Phase::Incoming => owner.connecting.is_some(),
            Phase::Current => true,
            Phase::Leaving => false,
        })
    }

    /// Under whose tokens a webhook at ALC is deleted: those that made it or, where they are dead, those that the
    /// people of the same workspace have granted since.
    pub(in crate::connections) fn cleaner(&self, webhook: &Webhook) -> Option<&Connection> {
        let owner = self.connection(webhook.connection);
        owner.into_iter().chain(self.current()).find(|connection| !connection.alc.dead)
    }

    /// Its tokens are of no use any more.
    pub(super) fn is_done_leaving(&self, connection: &Connection) -> bool {
        let is_done = |side| connection.is_settled(side) && !self.needs_to_clean_up(side, connection);
        connection.phase == Phase::Leaving && Side::BOTH.into_iter().all(is_done)
    }

    /// Whether the connection works, or may, or has yet to clean up, under its tokens of that side.
    pub(in crate::connections) fn lives_by(&self, side: Side, connection: &Connection) -> bool {
        connection.phase != Phase::Leaving || self.needs_to_clean_up(side, connection)
    }

    /// Whether a webhook at that side is to be deleted under the connection's tokens. At ALC dead tokens delete
    /// nothing; at Attio a webhook of a dead grant is the current connection's to delete, and its own may not go before
    /// it.
    pub(super) fn needs_to_clean_up(&self, side: Side, connection: &Connection) -> bool {
        let is_own = |webhook: &Webhook| webhook.connection == connection.id && webhook.may_be_upstream();
        !(side == Side::Alc && connection.alc.dead) && self.webhooks(side).iter().any(is_own)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.connections.is_empty()
            && self.webhooks.is_empty()
            && self.attio_webhooks.is_empty()
            && self.wake_leads.is_none()
    }
}
