//! What is to be done next, and when: computed from the state, never stored.
//!
//! Promises that every state which is not final has a due time, and that whatever is repeated after a crash is harmless.
//! A current connection without a refresh token, or with a dead grant, is at rest: nothing here can better it.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    attio_grant::AttioGrant,
    connection::{Connection, INCOMING_LIFETIME, Phase},
    webhook::{Webhook, WebhookState},
    workspace::{REMEMBERED, Workspace},
};
use crate::{
    clock::later,
    ids::{ConnectionId, WebhookId},
};

/// How long cleaning up at ALC is tried.
pub(super) const PATIENCE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How long a leaving connection's tokens may be on their way in sends that were committed before it left: these end as
/// they would have.
pub(super) const UNDER_WAY: Duration = Duration::from_secs(30);

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing now.
    Rest,
    /// Time alone changed something: see [`Workspace::settle`].
    Settle,
    /// Renew ALC's tokens.
    Refresh(ConnectionId),
    /// Find out by its name what ALC calls the webhook.
    FindWebhook(WebhookId),
    /// Delete it at ALC.
    DeleteWebhook(WebhookId),
    /// Stop answering for it, unless leads sent under it are unfinished.
    RetireWebhook(WebhookId),
    /// Delete it at Attio, found by its URL if its id is not known.
    DeleteAttioWebhook(WebhookId),
    /// Revoke ALC's grant, unless another connection holds the same token.
    Revoke(ConnectionId),
    /// Give Attio's grant back, unless another connection holds the same token.
    RevokeAtAttio(ConnectionId),
    /// Tell the leads that the current connection changed.
    WakeLeads,
    /// Nothing is left in the workspace.
    Forget,
}

impl Workspace {
    /// The next step at `now`.
    pub(super) fn next_step(&self, now: Timestamp) -> Step {
        self.agenda(now).into_iter().find(|(at, _)| *at <= now).map_or(Step::Rest, |(_, step)| step)
    }

    /// When there is something to do; `None`: never, unless something happens.
    pub(super) fn due(&self, now: Timestamp) -> Option<Timestamp> {
        self.agenda(now).into_iter().map(|(at, _)| at.max(now)).min()
    }

    /// Everything that is to be done, and not before when; what matters most first.
    fn agenda(&self, now: Timestamp) -> Vec<(Timestamp, Step)> {
        let mut agenda = Vec::new();
        if self.wake_leads.is_some() {
            agenda.push((now, Step::WakeLeads));
        }
        for connection in &self.connections {
            match connection.phase {
                Phase::Incoming => agenda.push((incoming_ends(connection), Step::Settle)),
                Phase::Current if connection.alc.can_refresh() => {
                    let at = connection.unclaimed_at(connection.alc.not_before(connection.alc.refresh_at));
                    agenda.push((at, Step::Refresh(connection.id)));
                }
                Phase::Current => {}
                Phase::Leaving => self.plan_leaving(connection, &mut agenda),
            }
        }
        for webhook in &self.webhooks {
            self.plan_webhook(webhook, now, &mut agenda);
        }
        for webhook in &self.attio_webhooks {
            self.plan_attio_webhook(webhook, now, &mut agenda);
        }
        if self.is_empty() {
            let at = self.disconnected_at.map_or(now, |since| later(since, REMEMBERED));
            agenda.push((self.owing_until.map_or(at, |until| at.max(until)), Step::Forget));
        }
        agenda
    }

    fn plan_leaving(&self, connection: &Connection, agenda: &mut Vec<(Timestamp, Step)>) {
        let since = leaving_since(connection);
        if self.is_done_leaving(connection) {
            agenda.push((since, Step::Settle));
            return;
        }
        agenda.push((later(since, PATIENCE), Step::Settle));
        if self.needs_tokens(connection) {
            return;
        }
        if !connection.alc.released && !connection.alc.dead {
            // Somebody may be about to get new tokens: those are revoked instead.
            let at = connection.unclaimed_at(connection.alc.not_before(since));
            agenda.push((at, Step::Revoke(connection.id)));
        }
        // Its webhook at Attio is deleted with it first.
        let is_needed = self.has_attio_webhook(connection);
        if let Some(grant) = connection.attio.as_ref().filter(|grant| !grant.is_settled() && !is_needed) {
            agenda.push((grant.retry_at.unwrap_or(since), Step::RevokeAtAttio(connection.id)));
        }
    }

    fn plan_webhook(&self, webhook: &Webhook, now: Timestamp, agenda: &mut Vec<(Timestamp, Step)>) {
        if webhook.state == WebhookState::Gone {
            agenda.push((webhook.not_before(webhook.created_at), Step::RetireWebhook(webhook.id)));
            return;
        }
        if webhook.state != WebhookState::Deleting {
            // Wanted by the current connection, or by somebody who is connecting, whose claim has its own time.
            if !self.wants(webhook) {
                agenda.push((now, Step::Settle));
            }
            return;
        }
        let Some(connection) = self.cleaner(webhook) else {
            agenda.push((now, Step::Settle));
            return;
        };
        agenda.push((later(deleting_since(webhook), PATIENCE), Step::Settle));
        // Not beside the making of another one: an ALC that keeps one webhook for an account might make that of this.
        let busy =
            self.connections.iter().find(|owner| owner.id == webhook.connection).and_then(|owner| owner.connecting);
        let at = webhook.not_before(deleting_since(webhook));
        let at = busy.map_or(at, |claim| at.max(claim.until));
        // A token asked for since it is the webhook's turn is tried, however short its life: else tokens that are old
        // when they come would be fetched without end. ALC's refusal moves the turn.
        if connection.alc.must_refresh(now) && connection.alc.requested_at < at {
            agenda.push((connection.unclaimed_at(connection.alc.not_before(at)), Step::Refresh(connection.id)));
        } else if webhook.alc_id.is_some() {
            agenda.push((at, Step::DeleteWebhook(webhook.id)));
        } else {
            agenda.push((at, Step::FindWebhook(webhook.id)));
        }
    }

    /// Does what time alone brings about; whether that was anything. Harmless at any time.
    pub(super) fn settle(&mut self, now: Timestamp) -> bool {
        let before = self.clone();
        let late: Vec<_> = self
            .connections
            .iter()
            .filter(|connection| connection.phase == Phase::Incoming && incoming_ends(connection) <= now)
            .map(|connection| (connection.id, connection.connecting.map(|claim| claim.owner)))
            .collect();
        for (id, owner) in late {
            if let Some(owner) = owner {
                // Whoever was connecting is not there any more.
                self.connect_failed(id, owner, now);
            }
            if self.connection(id).is_some_and(|connection| incoming_ends(connection) <= now) {
                self.leave(id, false, now);
            }
        }
        for at in 0..self.webhooks.len() {
            if !self.wants(&self.webhooks[at]) {
                self.webhooks[at].unwanted(now);
            }
            let lost = self.cleaner(&self.webhooks[at]).is_none();
            let webhook = &mut self.webhooks[at];
            let tired = later(deleting_since(webhook), PATIENCE) <= now;
            if webhook.state == WebhookState::Deleting && (lost || tired) {
                webhook.gone();
            }
        }
        self.settle_attio_webhooks(now);
        for at in 0..self.connections.len() {
            let connection = &self.connections[at];
            let tired = later(leaving_since(connection), PATIENCE) <= now;
            if connection.phase == Phase::Leaving && tired {
                let id = connection.id;
                self.connections[at].alc.released = true;
                self.connections[at].attio.iter_mut().for_each(|grant| grant.released = true);
                self.webhooks.iter_mut().filter(|webhook| webhook.connection == id).for_each(Webhook::gone);
                self.attio_webhooks.retain(|webhook| webhook.connection != id);
            }
        }
        let done: Vec<_> =
            self.connections.iter().filter(|it| self.is_done_leaving(it)).map(|connection| connection.id).collect();
        self.connections.retain(|connection| !done.contains(&connection.id));
        *self != before
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

    /// Under whose tokens the webhook is deleted: those that made it, or, where they are dead, those that the same
    /// people have granted since.
    pub(super) fn cleaner(&self, webhook: &Webhook) -> Option<&Connection> {
        let owner = self.connection(webhook.connection);
        owner.into_iter().chain(self.current()).find(|connection| !connection.alc.dead)
    }

    /// Its tokens are of no use any more.
    fn is_done_leaving(&self, connection: &Connection) -> bool {
        connection.phase == Phase::Leaving
            && (connection.alc.released || connection.alc.dead)
            && connection.attio.as_ref().is_none_or(AttioGrant::is_settled)
            && !self.needs_tokens(connection)
            && !self.has_attio_webhook(connection)
    }

    /// Whether it works, or may, or has yet to clean up, under ALC's tokens.
    pub(super) fn lives_by_alc(&self, connection: &Connection) -> bool {
        connection.phase != Phase::Leaving || self.needs_tokens(connection)
    }

    /// The same under Attio's.
    pub(super) fn lives_by_attio(&self, connection: &Connection) -> bool {
        connection.phase != Phase::Leaving || self.has_attio_webhook(connection)
    }

    fn has_attio_webhook(&self, connection: &Connection) -> bool {
        self.attio_webhooks.iter().any(|webhook| webhook.connection == connection.id)
    }

    fn needs_tokens(&self, connection: &Connection) -> bool {
        !connection.alc.dead
            && self.webhooks.iter().any(|webhook| webhook.connection == connection.id && webhook.may_be_at_alc())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.connections.is_empty()
            && self.webhooks.is_empty()
            && self.attio_webhooks.is_empty()
            && self.wake_leads.is_none()
    }
}

/// When something happens to an incoming connection by itself: its connecter is given up, or it is.
fn incoming_ends(connection: &Connection) -> Timestamp {
    connection.connecting.map_or_else(|| later(connection.created_at, INCOMING_LIFETIME), |claim| claim.until)
}

pub(super) fn leaving_since(connection: &Connection) -> Timestamp {
    connection.leaving_since.unwrap_or(connection.created_at)
}

pub(super) fn deleting_since(webhook: &Webhook) -> Timestamp {
    webhook.deleting_since.unwrap_or(webhook.created_at)
}
