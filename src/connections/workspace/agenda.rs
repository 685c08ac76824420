//! What is to be done next, and when: computed from the state, never stored.
//!
//! Promises that every state which is not final has a due time, and that each step may be repeated after a crash
//! without harm. A current connection without a refresh token, or with a dead grant, is at rest: no step can better it.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    aggregate::Workspace,
    connection::{Connection, Phase},
    settle::CLEAN_UP_LIMIT,
    side::Side,
    webhook::{LATE_CREATION, Webhook, WebhookState},
};
use crate::{
    clock::later,
    ids::{ConnectionId, WebhookId},
};

/// How long a leaving connection's tokens may be on their way in sends that were committed before it left: these end as
/// they would have.
pub(in crate::connections) const UNDER_WAY: Duration = Duration::from_secs(30);
/// How long a disconnected workspace is remembered at least, without any secret but its triggers' URLs. Its live leads
/// end 24 hours after the disconnection, and what they came to is owed to Attio for as long as leads are kept: by
/// default that long.
const REMEMBERED: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::connections) enum Step {
    /// Nothing now.
    Rest,
    /// Time alone changed something: see [`Workspace::settle`].
    Settle,
    /// Renew ALC's tokens.
    Refresh(ConnectionId),
    /// Find out what the upstream calls the webhook: ALC's by its name, Attio's by its URL.
    FindWebhook(Side, WebhookId),
    /// Delete it upstream.
    DeleteWebhook(Side, WebhookId),
    /// Ask the side whether it still has the webhook that the current connection is called through, and make another
    /// one if not.
    CheckWebhook(Side, WebhookId),
    /// Ask Attio whether it has what is needed there.
    CheckSchema,
    /// Stop answering for a webhook at ALC, unless leads sent under it are unfinished.
    RetireWebhook(WebhookId),
    /// Give the grant back, unless another connection holds the same token.
    Revoke(Side, ConnectionId),
    /// Tell the leads that the current connection changed.
    WakeLeads,
    /// Nothing is left in the workspace.
    Forget,
}

impl Step {
    /// As the log names it.
    pub(in crate::connections) fn name(self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::Settle => "settle",
            Self::Refresh(_) => "refresh",
            Self::FindWebhook(..) => "find-webhook",
            Self::DeleteWebhook(..) => "delete-webhook",
            Self::CheckWebhook(..) => "check-webhook",
            Self::CheckSchema => "check-schema",
            Self::RetireWebhook(_) => "retire-webhook",
            Self::Revoke(..) => "revoke",
            Self::WakeLeads => "wake-leads",
            Self::Forget => "forget",
        }
    }
}

type Agenda = Vec<(Timestamp, Step)>;

impl Workspace {
    /// The next step at `now`.
    pub(in crate::connections) fn next_step(&self, now: Timestamp) -> Step {
        self.agenda(now).into_iter().find(|(at, _)| *at <= now).map_or(Step::Rest, |(_, step)| step)
    }

    /// When there is something to do; `None`: never, unless something happens.
    pub(in crate::connections) fn due(&self, now: Timestamp) -> Option<Timestamp> {
        self.agenda(now).into_iter().map(|(at, _)| at.max(now)).min()
    }

    /// Everything that is to be done, and not before when; what matters most first.
    fn agenda(&self, now: Timestamp) -> Agenda {
        let mut agenda = Vec::new();
        if self.wake_leads.is_some() {
            agenda.push((now, Step::WakeLeads));
        }
        for connection in &self.connections {
            match connection.phase {
                Phase::Incoming => agenda.push((connection.incoming_ends(), Step::Settle)),
                Phase::Current if connection.alc.can_refresh() => {
                    let at = connection.unclaimed_at(connection.alc.retry.not_before(connection.alc.refresh_at));
                    agenda.push((at, Step::Refresh(connection.id)));
                }
                Phase::Current => {}
                Phase::Leaving => self.plan_leaving(connection, &mut agenda),
            }
        }
        for side in Side::BOTH {
            for webhook in self.webhooks(side) {
                self.plan_webhook(side, webhook, now, &mut agenda);
            }
        }
        match self.check_at() {
            Some(at) => agenda.push((at, Step::CheckSchema)),
            None if self.is_checked() => agenda.push((now, Step::Settle)),
            None => {}
        }
        if self.is_empty() {
            let at = self.disconnected_at.map_or(now, |since| later(since, REMEMBERED));
            agenda.push((self.owing_until.map_or(at, |until| at.max(until)), Step::Forget));
        }
        agenda
    }

    fn plan_leaving(&self, connection: &Connection, agenda: &mut Agenda) {
        let since = connection.leaving_since();
        if self.is_done_leaving(connection) {
            agenda.push((since, Step::Settle));
            return;
        }
        agenda.push((later(since, CLEAN_UP_LIMIT), Step::Settle));
        if self.needs_to_clean_up(Side::Alc, connection) {
            return;
        }
        for side in Side::BOTH {
            // Its webhook at that side is deleted with the grant first.
            if connection.is_settled(side) || self.needs_to_clean_up(side, connection) {
                continue;
            }
            let at = connection.retry(side).not_before(since);
            let at = match side {
                // A task may be about to get new tokens from ALC: those are revoked instead.
                Side::Alc => connection.unclaimed_at(at),
                Side::Attio => at,
            };
            agenda.push((at, Step::Revoke(side, connection.id)));
        }
    }

    fn plan_webhook(&self, side: Side, webhook: &Webhook, now: Timestamp, agenda: &mut Agenda) {
        match webhook.state {
            WebhookState::Gone if side == Side::Alc => {
                agenda.push((webhook.retry.not_before(webhook.created_at), Step::RetireWebhook(webhook.id)));
            }
            WebhookState::Intended | WebhookState::Registered if self.is_spare(side, webhook) => {
                agenda.push((later(webhook.created_at, LATE_CREATION), Step::Settle));
            }
            WebhookState::Registered if self.is_watched(side, webhook) => match webhook.look_at {
                Some(at) => agenda.push((at, Step::CheckWebhook(side, webhook.id))),
                None => agenda.push((now, Step::Settle)),
            },
            // Wanted by the current connection, or by one that a task is connecting: that claim has its own time.
            WebhookState::Intended | WebhookState::Registered if self.wants(webhook) => {}
            WebhookState::Gone | WebhookState::Intended | WebhookState::Registered => {
                agenda.push((now, Step::Settle));
            }
            WebhookState::Deleting => self.plan_deleting(side, webhook, now, agenda),
        }
    }

    fn plan_deleting(&self, side: Side, webhook: &Webhook, now: Timestamp, agenda: &mut Agenda) {
        let mut at = webhook.retry.not_before(webhook.deleting_since());
        if side == Side::Alc {
            let Some(cleaner) = self.cleaner(webhook) else {
                agenda.push((now, Step::Settle));
                return;
            };
            // Not beside the making of another one: an ALC that keeps one webhook for an account might make that of
            // this.
            let connecting = self.connection(webhook.connection).and_then(|owner| owner.connecting.as_ref());
            at = connecting.map_or(at, |claim| at.max(claim.until));
            // A token asked for since it is the webhook's turn is tried, however short its life: else tokens that are
            // old when they come would be fetched without end. ALC's refusal moves the turn.
            if cleaner.alc.must_refresh(now) && cleaner.alc.requested_at < at {
                agenda.push((later(webhook.deleting_since(), CLEAN_UP_LIMIT), Step::Settle));
                agenda.push((cleaner.unclaimed_at(cleaner.alc.retry.not_before(at)), Step::Refresh(cleaner.id)));
                return;
            }
        }
        agenda.push((later(webhook.deleting_since(), CLEAN_UP_LIMIT), Step::Settle));
        let step = if webhook.upstream_id.is_some() { Step::DeleteWebhook } else { Step::FindWebhook };
        agenda.push((at, step(side, webhook.id)));
    }
}
