//! Our webhook at Attio: made at connect where Attio lets us, deleted with its connection.
//!
//! Promises that a connection works without it where Attio refuses it, that a creation whose answer was lost is found
//! by its URL and deleted (its secret is lost), and that it is gone at Attio before its connection is erased.

use jiff::Timestamp;
use secrecy::SecretString;

use super::{
    super::{
        service::{ATTIO_SECRET, Connections, pause},
        workspace::{aggregate::Workspace, side::Side},
        writing::Edit,
    },
    attempt::{CALL_AGAIN, CALLS, ConnectAttempt, ConnectError},
};
use crate::{
    attio::{CallError, webhooks::Told},
    ids::WebhookId,
};

impl Connections {
    /// Subscribes to what happens to records, and to what else is to be `told`. Attio may refuse it: then merges,
    /// deletions and entries go unheard.
    pub(super) async fn subscribe(&self, attempt: &ConnectAttempt, told: &Told) -> Result<(), ConnectError> {
        let Some(token) = self.attio_token_for(attempt).await? else { return Ok(()) };
        let mut last = String::new();
        for tries in 0..CALLS {
            if tries > 0 {
                pause(CALL_AGAIN).await;
            }
            self.in_time(attempt)?;
            match self.subscribe_once(attempt, &token, told).await? {
                None => return Ok(()),
                Some(why) => last = why,
            }
        }
        Err(ConnectError::Unavailable(format!("Attio could not make its webhook: {last}")))
    }

    /// `None`: done, or refused for good; else why not yet.
    async fn subscribe_once(
        &self,
        attempt: &ConnectAttempt,
        token: &SecretString,
        told: &Told,
    ) -> Result<Option<String>, ConnectError> {
        let (webhook, url) = self.new_webhook(Side::Attio, attempt.workspace, attempt.connection);
        let webhook = webhook.telling(told);
        let id = webhook.id;
        // Takes no turn at the gate: one write of a connect fits into what the gate leaves free, and the workspace's
        // first lead must not be shown later for it.
        self.change_own(attempt, move |workspace, _| workspace.attio_webhooks.push(webhook.clone())).await?;
        match self.attio.create_webhook(token, &url, told).await {
            Ok(made) => {
                let sealed = self.seal(attempt.workspace, id, ATTIO_SECRET, &made.secret);
                let made = move |workspace: &mut Workspace, now| {
                    workspace.webhook_registered(Side::Attio, id, Some(made.id.clone()), Some(sealed.clone()), now);
                };
                self.change_own(attempt, made).await?;
                Ok(None)
            }
            Err(error @ (CallError::NotSent { .. } | CallError::RateLimited { .. })) => {
                self.drop_attio_webhook(attempt, id).await?;
                if let CallError::RateLimited { until } = error {
                    self.report_attio_limit(&attempt.tenant, until).await;
                    self.clock.sleep_until(until.min(attempt.deadline)).await;
                }
                Ok(Some(error.to_string()))
            }
            Err(error @ (CallError::Unknown { .. } | CallError::Unreadable { .. })) => {
                // It may be there, or is, but its secret is lost: it is found by its URL and deleted.
                self.change_own(attempt, move |workspace, now| {
                    workspace.webhook_mut(Side::Attio, id).into_iter().for_each(|webhook| webhook.unwanted(now));
                })
                .await?;
                Ok(Some(error.to_string()))
            }
            Err(error) => {
                tracing::warn!(
                    workspace = %attempt.workspace, %error,
                    "Attio refuses the webhook, so merged and deleted records, and entries of lists, go unheard: \
                     it wants the scope webhook:read-write and an https PUBLIC_URL"
                );
                self.drop_attio_webhook(attempt, id).await?;
                Ok(None)
            }
        }
    }

    async fn drop_attio_webhook(&self, attempt: &ConnectAttempt, id: WebhookId) -> Result<(), ConnectError> {
        self.change_own(attempt, move |workspace, _| workspace.webhook_gone(Side::Attio, id)).await
    }

    /// Changes the workspace while the claim to connect stands.
    async fn change_own(
        &self,
        attempt: &ConnectAttempt,
        change: impl Fn(&mut Workspace, Timestamp),
    ) -> Result<(), ConnectError> {
        let (changed, _) = self
            .update(&attempt.tenant, |workspace, now| match workspace {
                Some(workspace) if workspace.is_connecting(attempt.connection, attempt.owner) => {
                    change(workspace, now);
                    Edit::Write(true)
                }
                _ => Edit::Leave(false),
            })
            .await?;
        if changed { Ok(()) } else { Err(ConnectError::Leaving) }
    }
}
