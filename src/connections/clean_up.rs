//! Webhooks that are not wanted any more: found and deleted at ALC and at Attio.
//!
//! Promises that a webhook whose creation got no answer is found (at ALC by its name, at Attio by its URL) and deleted,
//! that a side's refusal to the tokens of one connection ends no other connection, and that a webhook which cannot be
//! deleted is given up: its URL then answers 410.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;

use super::{
    alc_grant::Grant,
    service::Connections,
    webhook_url::taken_apart,
    work::Work,
    workspace::{aggregate::Workspace, connection::Connection, side::Side, webhook::Webhook},
};
use crate::{
    alc::{CallError, ListedWebhook},
    ids::WebhookId,
    store::StoreError,
};

/// So many 401s in a row to the tokens of another connection may be strays.
const STRAYS: u32 = 2;

/// What a side's clean-up works with.
enum Cleaner {
    Alc(Grant),
    Attio(SecretString),
}

/// What came of asking a side about a webhook.
enum Answer {
    /// It has it under this id.
    Found(String),
    /// Its list does not have it.
    Missing,
    /// It is not there (any more), or it stays there for good.
    Gone,
    /// Not done.
    Failed(CallError),
}

impl Connections {
    /// Finds out what the side calls the webhook.
    pub(super) async fn find_webhook(&self, work: &mut Work, side: Side, id: WebhookId) -> Result<(), StoreError> {
        let workspace = &work.workspace.value;
        let Some(webhook) = workspace.webhook(side, id).cloned() else { return self.reload(work).await };
        let Some(cleaner) = self.cleaner(workspace, side, &webhook) else {
            return self.without_cleaner(work, side, &webhook).await;
        };
        let answer = match &cleaner {
            Cleaner::Alc(grant) => self.find_at_alc(grant, &webhook).await,
            Cleaner::Attio(token) => match self.attio.list_webhooks(token).await {
                Ok(listed) => {
                    let found =
                        listed.into_iter().find(|it| it.url.as_ref().is_some_and(|url| is_url_of(url, &webhook)));
                    found.map_or(Answer::Missing, |found| Answer::Found(found.id))
                }
                Err(error) => self.judge_attio(&webhook, token, error).await,
            },
        };
        self.note_answer(work, side, &webhook, &cleaner, answer).await
    }

    async fn find_at_alc(&self, grant: &Grant, webhook: &Webhook) -> Answer {
        match self.alc.list_webhooks(&grant.access_token).await {
            Ok(listed) => named(listed, &webhook.name()).map_or(Answer::Missing, Answer::Found),
            // Its creation may still be under way in this or another replica: the task that hears of its end records
            // what to delete.
            Err(error @ (CallError::Unsupported | CallError::NotFound)) if webhook.may_come(self.clock.now()) => {
                Answer::Failed(error)
            }
            Err(CallError::Unsupported | CallError::NotFound) => {
                // If it is there, it stays: its URL will answer 410.
                tracing::warn!(webhook = %webhook.id, "ALC cannot list webhooks: one may remain there");
                Answer::Gone
            }
            Err(error) => Answer::Failed(error),
        }
    }

    /// Deletes the webhook at the side.
    pub(super) async fn delete_webhook(&self, work: &mut Work, side: Side, id: WebhookId) -> Result<(), StoreError> {
        let workspace = &work.workspace.value;
        let known = workspace.webhook(side, id).cloned();
        let Some((webhook, upstream_id)) =
            known.and_then(|webhook| webhook.upstream_id.clone().map(|upstream_id| (webhook, upstream_id)))
        else {
            return self.reload(work).await;
        };
        if side == Side::Alc && workspace.is_called_through(side, &upstream_id) {
            // ALC keeps one webhook for an account, and made the newer one of it.
            tracing::warn!(workspace = %workspace.id, webhook = %id, "another webhook has its id at ALC: left there");
            return self.note(work, |workspace, _| workspace.webhook_gone(side, id)).await;
        }
        let Some(cleaner) = self.cleaner(workspace, side, &webhook) else {
            return self.without_cleaner(work, side, &webhook).await;
        };
        let answer = match &cleaner {
            Cleaner::Alc(grant) => self.delete_at_alc(grant, &webhook, &upstream_id).await,
            Cleaner::Attio(token) => {
                self.attio_turn(&work.tenant).await?;
                match self.attio.delete_webhook(token, &upstream_id).await {
                    Ok(()) => Answer::Gone,
                    Err(error) => self.judge_attio(&webhook, token, error).await,
                }
            }
        };
        if matches!(answer, Answer::Gone) {
            tracing::info!(workspace = %work.workspace.value.id, webhook = %id, at = side.title(), "a webhook is gone");
        }
        self.note_answer(work, side, &webhook, &cleaner, answer).await
    }

    async fn delete_at_alc(&self, grant: &Grant, webhook: &Webhook, upstream_id: &str) -> Answer {
        match self.alc.delete_webhook(&grant.access_token, upstream_id).await {
            Ok(()) | Err(CallError::Unsupported) => Answer::Gone,
            // One 401 may be a stray; a webhook that is given up for it would stay at ALC.
            Err(error @ CallError::Unauthorized)
                if grant.connection != webhook.connection && webhook.retry.attempts < STRAYS =>
            {
                Answer::Failed(error)
            }
            // The current connection's tokens may belong to another account at ALC, whose webhook this is not; the
            // tokens that made it are dead. A 401 is about this one request, and must not end the current connection.
            Err(error @ (CallError::Unauthorized | CallError::Forbidden { .. } | CallError::Rejected { .. }))
                if grant.connection != webhook.connection =>
            {
                tracing::warn!(webhook = %webhook.id, %error, "a webhook of a dead grant stays at ALC");
                Answer::Gone
            }
            Err(error) => Answer::Failed(error),
        }
    }

    async fn judge_attio(&self, webhook: &Webhook, token: &SecretString, error: CallError) -> Answer {
        match error {
            CallError::NotFound => Answer::Gone,
            // A stray, unless Attio says of the token itself that it is over.
            CallError::Unauthorized if !self.is_over_at_attio(token).await => Answer::Failed(error),
            // No other token could do it.
            error @ (CallError::Unauthorized | CallError::Forbidden { .. } | CallError::Rejected { .. }) => {
                tracing::warn!(webhook = %webhook.id, %error, "a webhook stays at Attio");
                Answer::Gone
            }
            error => Answer::Failed(error),
        }
    }

    /// Under whose tokens the webhook is found and deleted; `None`: there are none that work, or they cannot be opened.
    fn cleaner(&self, workspace: &Workspace, side: Side, webhook: &Webhook) -> Option<Cleaner> {
        match side {
            Side::Alc => {
                let connection = workspace.cleaner(webhook)?;
                self.grant(workspace.id, connection).ok().map(Cleaner::Alc)
            }
            Side::Attio => {
                // The grant that made it, if it still works; else whatever the workspace has now.
                let own = workspace.connection(webhook.connection);
                let own = own.and_then(|own| self.attio_token_of(workspace.id, own));
                own.or_else(|| self.attio_token(workspace)).map(Cleaner::Attio)
            }
        }
    }

    /// Tokens that cannot be opened are waited for, until an operator puts the sealing key back. Where Attio has no
    /// token that could delete the webhook, it is given up.
    async fn without_cleaner(&self, work: &mut Work, side: Side, webhook: &Webhook) -> Result<(), StoreError> {
        let (id, workspace) = (webhook.id, &work.workspace.value);
        let has_attio_grant = |it: &Connection| it.attio.as_ref().is_some_and(|grant| !grant.dead);
        let mut at_attio = workspace.connection(webhook.connection).into_iter().chain(workspace.current());
        // The operator's key may be another workspace's now, and is waited for as a sealing key is.
        let has_key = self.settings.attio_api_key.is_some();
        if side == Side::Attio && !has_key && !at_attio.any(has_attio_grant) {
            return self.note(work, |workspace, _| workspace.webhook_gone(side, id)).await;
        }
        let retry_at = self.retry_at(webhook.retry.attempts, None, Duration::MAX);
        self.note(work, |workspace, _| workspace.webhook_postponed(side, id, retry_at)).await
    }

    async fn note_answer(
        &self,
        work: &mut Work,
        side: Side,
        webhook: &Webhook,
        cleaner: &Cleaner,
        answer: Answer,
    ) -> Result<(), StoreError> {
        let id = webhook.id;
        match answer {
            Answer::Found(upstream_id) => {
                self.note(work, |workspace, now| {
                    workspace.webhook_registered(side, id, Some(upstream_id.clone()), None, now);
                })
                .await
            }
            Answer::Missing => {
                let retry_at = self.retry_at(webhook.retry.attempts, None, Duration::MAX);
                self.note(work, |workspace, now| workspace.webhook_missing(side, id, retry_at, now)).await
            }
            Answer::Gone => self.note(work, |workspace, _| workspace.webhook_gone(side, id)).await,
            Answer::Failed(error) => {
                tracing::warn!(webhook = %id, at = side.title(), %error, "could not clean up a webhook");
                if let (Side::Attio, CallError::RateLimited { until }) = (side, &error) {
                    self.report_attio_limit(&work.tenant, *until).await;
                }
                let retry_at = self.retry_at(webhook.retry.attempts, asked(&error), Duration::MAX);
                let refused = match (cleaner, &error) {
                    (Cleaner::Alc(grant), CallError::Unauthorized) if grant.connection == webhook.connection => {
                        Some((grant.connection, grant.generation))
                    }
                    _ => None,
                };
                self.note(work, |workspace, now| {
                    if let Some((connection, generation)) = refused {
                        workspace.access_refused(connection, generation, now);
                    }
                    workspace.webhook_postponed(side, id, retry_at);
                })
                .await
            }
        }
    }
}

/// When the upstream wants to be asked again, if it said so.
pub(super) fn asked(error: &CallError) -> Option<Timestamp> {
    match error {
        CallError::RateLimited { until } => Some(*until),
        CallError::Unknown { retry_after, .. } => *retry_after,
        _ => None,
    }
}

/// ALC's id of the webhook of that name.
pub(super) fn named(listed: Vec<ListedWebhook>, name: &str) -> Option<String> {
    listed.into_iter().find(|webhook| webhook.name.as_deref() == Some(name)).map(|webhook| webhook.id)
}

/// Whether a URL of ours is this webhook's.
fn is_url_of(url: &str, webhook: &Webhook) -> bool {
    taken_apart(Side::Attio, url).is_some_and(|(_, token)| webhook.token.matches(&token.secret))
}
