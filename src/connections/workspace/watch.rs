//! The webhooks that the current connection is called through, looked at again and replaced.
//!
//! Promises that each is looked at once a day, spread over the workspaces, that the next one is stored before its
//! upstream is asked to make it, and that the last one is given up only once the next one is stored as made: a crash in
//! between leaves at most a spare, which is deleted once no answer to its creation can come any more.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    aggregate::Workspace,
    connection::{Connection, Phase},
    side::Side,
    webhook::{LATE_CREATION, Webhook, WebhookState},
};
use crate::{clock::later, ids::WebhookId, sealing::Sealed};

/// A webhook is looked at no sooner than this after it was made or last looked at.
const LOOK_AFTER: Duration = Duration::from_secs(16 * 60 * 60);
/// Over so long after that the looks of all workspaces are spread.
const LOOK_WITHIN: Duration = Duration::from_secs(7 * 60 * 60);
/// Within so long after a start a webhook is looked at that was made under an earlier `PUBLIC_URL`.
const OUTDATED_WITHIN: Duration = Duration::from_secs(60 * 60);

impl Webhook {
    /// Its upstream is asked about it within a day.
    pub(in crate::connections) fn look_again(&mut self, now: Timestamp) {
        self.look_at = Some(later(later(now, LOOK_AFTER), self.own_part_of(LOOK_WITHIN)));
    }

    /// Ids are random, so each webhook has a part of its own.
    fn own_part_of(&self, whole: Duration) -> Duration {
        whole * u32::from(self.id.0.as_bytes()[0]) / 256
    }
}

impl Workspace {
    /// The webhook through which that side calls the current connection.
    fn used(&self, side: Side) -> Option<WebhookId> {
        match side {
            Side::Alc => self.sending_webhook(),
            Side::Attio => {
                let current = self.current()?.id;
                let is_used = |it: &&Webhook| it.connection == current && it.state == WebhookState::Registered;
                self.attio_webhooks.iter().find(is_used).map(|webhook| webhook.id)
            }
        }
    }

    /// Whether the webhook is looked at. Tokens of ALC's that are dead can neither list nor make one.
    pub(super) fn is_watched(&self, side: Side, webhook: &Webhook) -> bool {
        let is_dead = side == Side::Alc && self.current().is_some_and(|current| current.alc.dead);
        !is_dead && webhook.state == WebhookState::Registered && self.used(side) == Some(webhook.id)
    }

    /// The webhook that is looked at.
    pub(in crate::connections) fn watched(&self, side: Side) -> Option<&Webhook> {
        self.webhooks(side).iter().find(|webhook| self.is_watched(side, webhook))
    }

    /// Whether it was made for the current connection, which is called through another one.
    pub(super) fn is_spare(&self, side: Side, webhook: &Webhook) -> bool {
        let stands = matches!(webhook.state, WebhookState::Intended | WebhookState::Registered);
        let is_of_current =
            self.connection(webhook.connection).is_some_and(|connection| connection.phase == Phase::Current);
        stands && is_of_current && self.used(side) != Some(webhook.id)
    }

    /// What a version that did not look again has left without a time is looked at within a day.
    pub(super) fn plan_first_look(&mut self, side: Side, now: Timestamp) {
        let Some(id) = self.watched(side).filter(|webhook| webhook.look_at.is_none()).map(|webhook| webhook.id) else {
            return;
        };
        if let Some(webhook) = self.webhook_mut(side, id) {
            webhook.look_at = Some(later(now, webhook.own_part_of(LOOK_AFTER + LOOK_WITHIN)));
        }
    }

    /// The process has started under the `PUBLIC_URL` that is `base`, to send by the entries of the list that is
    /// `asked`: a webhook with another need not wait for its daily look. Returns whether anything was planned anew.
    pub(in crate::connections) fn plan_looks(&mut self, base: &str, asked: Option<&str>, now: Timestamp) -> bool {
        let before = self.clone();
        self.plan_check(asked, now);
        let told = self.told(asked);
        for side in Side::BOTH {
            self.plan_first_look(side, now);
            let is_outdated = |it: &&Webhook| it.is_outdated(base) || (side == Side::Attio && it.told() != told);
            let outdated = self.watched(side).filter(is_outdated).map(|webhook| webhook.id);
            if let Some(webhook) = outdated.and_then(|id| self.webhook_mut(side, id)) {
                let soon = later(now, webhook.own_part_of(OUTDATED_WITHIN));
                webhook.look_at = webhook.look_at.map(|at| at.min(soon));
            }
        }
        *self != before
    }

    /// The upstream lists it under that id, below `base`; or, with `None`, cannot tell.
    pub(in crate::connections) fn webhook_looked_at(
        &mut self,
        side: Side,
        id: WebhookId,
        listed: Option<String>,
        base: &str,
        now: Timestamp,
    ) {
        let Some(webhook) = self.webhook_mut(side, id) else { return };
        webhook.look_again(now);
        webhook.base.get_or_insert_with(|| base.to_owned());
        if let Some(upstream_id) = listed {
            webhook.confirmed_at = Some(now);
            webhook.lost = false;
            webhook.upstream_id = Some(upstream_id);
        }
        webhook.retry.reset();
    }

    /// Nothing was learnt; again at `retry_at`, or tomorrow.
    pub(in crate::connections) fn look_postponed(
        &mut self,
        side: Side,
        id: WebhookId,
        retry_at: Option<Timestamp>,
        now: Timestamp,
    ) {
        let Some(webhook) = self.webhook_mut(side, id) else { return };
        match retry_at {
            Some(retry_at) => {
                webhook.retry.postpone(retry_at);
                webhook.look_at = Some(retry_at);
            }
            None => webhook.look_again(now),
        }
    }

    /// `next` is about to be made instead of `last`, which its upstream has `lost` or calls at an earlier `PUBLIC_URL`.
    /// It is not stored where another worker may be making one.
    pub(in crate::connections) fn intend_instead(
        &mut self,
        side: Side,
        last: WebhookId,
        lost: bool,
        next: Webhook,
        now: Timestamp,
    ) {
        if self.watched(side).is_none_or(|watched| watched.id != last) {
            return;
        }
        let is_being_made = self.webhooks(side).iter().any(|it| self.is_spare(side, it) && it.may_come(now));
        if let Some(webhook) = self.webhook_mut(side, last) {
            webhook.lost |= lost;
            // Should this worker die, another one goes on.
            webhook.look_at = Some(later(now, LATE_CREATION));
        }
        if !is_being_made {
            self.webhooks_mut(side).push(next);
        }
    }

    /// The upstream made `next`: we are called through it from now on, and `last` is deleted. Also where the upstream's
    /// list did not have `last`: a list may be incomplete.
    pub(in crate::connections) fn webhook_replaced(
        &mut self,
        side: Side,
        last: WebhookId,
        next: WebhookId,
        (upstream_id, secret): (Option<String>, Option<Sealed>),
        now: Timestamp,
    ) {
        self.webhook_registered(side, next, upstream_id, secret, now);
        // Given up meanwhile, or the connection has left: it is deleted.
        if self.webhook(side, next).is_none_or(|webhook| webhook.state != WebhookState::Registered) {
            return;
        }
        if side == Side::Alc {
            let is_user = |it: &&mut Connection| it.phase == Phase::Current && it.webhook == Some(last);
            let Some(user) = self.connections.iter_mut().find(is_user) else { return };
            user.webhook = Some(next);
        }
        let mut was_lost = false;
        if let Some(webhook) = self.webhook_mut(side, last) {
            was_lost = webhook.lost;
            webhook.unwanted(now);
        }
        if let Some(webhook) = self.webhook_mut(side, next).filter(|_| was_lost) {
            // Whether the list can be believed shows at once: it has to have this one.
            webhook.instead_of_lost = true;
            webhook.look_at = Some(later(now, LATE_CREATION));
        }
    }
}
