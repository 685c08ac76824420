//! Our webhook at Attio: made at connect where Attio lets us, deleted with its connection.
//!
//! Promises that a connection works without it where Attio refuses it, that a creation whose answer was lost is found
//! by its URL and deleted (its secret is lost), and that it is gone at Attio before its connection is erased.

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    Connections, Verdict,
    connect::{Attempt, CALL_AGAIN, CALLS, ConnectError},
    facts::Fact,
    pause,
    steps::{PATIENCE, Step, deleting_since},
    webhook::{Webhook, WebhookState},
    workspace::Workspace,
};
use crate::{
    attio::CallError,
    clock::later,
    ids::{OpaqueToken, WebhookId},
    sealing::OpenError,
    store::{StoreError, Tenant},
};

/// Where Attio calls, below `PUBLIC_URL`.
const PATH: &str = "/webhooks/attio/";

impl Workspace {
    /// The webhook at Attio whose URL ends in that secret, if it still answers. In constant time for each webhook.
    pub fn attio_webhook_by_secret(&self, secret: &SecretString) -> Option<&Webhook> {
        self.attio_webhooks.iter().find(|webhook| webhook.token.matches(secret))
    }

    pub(super) fn attio_webhook_mut(&mut self, id: WebhookId) -> Option<&mut Webhook> {
        self.attio_webhooks.iter_mut().find(|webhook| webhook.id == id)
    }

    pub(super) fn plan_attio_webhook(&self, webhook: &Webhook, now: Timestamp, agenda: &mut Vec<(Timestamp, Step)>) {
        match webhook.state {
            WebhookState::Gone => agenda.push((now, Step::Settle)),
            WebhookState::Intended | WebhookState::Registered if self.wants(webhook) => {}
            WebhookState::Intended | WebhookState::Registered => agenda.push((now, Step::Settle)),
            WebhookState::Deleting => {
                let since = deleting_since(webhook);
                agenda.push((later(since, PATIENCE), Step::Settle));
                agenda.push((webhook.not_before(since), Step::DeleteAttioWebhook(webhook.id)));
            }
        }
    }

    pub(super) fn settle_attio_webhooks(&mut self, now: Timestamp) {
        for at in 0..self.attio_webhooks.len() {
            if !self.wants(&self.attio_webhooks[at]) {
                self.attio_webhooks[at].unwanted(now);
            }
        }
        self.attio_webhooks.retain(|webhook| {
            let tired = webhook.state == WebhookState::Deleting && later(deleting_since(webhook), PATIENCE) <= now;
            webhook.state != WebhookState::Gone && !tired
        });
    }
}

impl Connections {
    /// What Attio signs this webhook's calls with; `None`: it is not known (yet).
    pub fn attio_webhook_secret(
        &self,
        workspace: &Workspace,
        webhook: &Webhook,
    ) -> Result<Option<SecretString>, OpenError> {
        let secret = webhook.secret.as_ref();
        secret.map(|secret| self.open(workspace.id, webhook.id, "attio_secret", secret)).transpose()
    }

    /// Subscribes to what happens to records. Attio may refuse it: then merges and deletions go unheard.
    pub(super) async fn subscribe(&self, attempt: &Attempt) -> Result<(), ConnectError> {
        let Some(token) = self.attio_token_for(attempt).await? else { return Ok(()) };
        let mut last = String::new();
        for tries in 0..CALLS {
            if tries > 0 {
                pause(CALL_AGAIN).await;
            }
            self.in_time(attempt)?;
            let secret = OpaqueToken::new(attempt.workspace);
            let base = self.settings.public_url.as_str().trim_end_matches('/');
            let url = SecretString::from(format!("{base}{PATH}{}", secret.to_text().expose_secret()));
            let webhook = Webhook::intended(WebhookId::random(), attempt.connection, secret.hash(), self.clock.now());
            let id = webhook.id;
            // Takes no turn at the gate: one write of a connect fits into what the gate leaves free, and the workspace's
            // first lead must not be shown later for it.
            self.change_own(attempt, move |workspace, _| workspace.attio_webhooks.push(webhook.clone())).await?;
            match self.attio.create_webhook(&token, &url).await {
                Ok(made) => {
                    let sealed = self.seal(attempt.workspace, id, "attio_secret", &made.secret);
                    return self
                        .change_own(attempt, move |workspace, now| {
                            if let Some(webhook) = workspace.attio_webhook_mut(id) {
                                webhook.registered(Some(made.id.clone()), Some(sealed.clone()), now);
                            }
                        })
                        .await;
                }
                Err(error @ (CallError::NotSent { .. } | CallError::RateLimited { .. })) => {
                    self.drop_attio_webhook(attempt, id).await?;
                    if let CallError::RateLimited { until } = error {
                        self.attio_limits(&attempt.tenant, until).await;
                        self.clock.sleep_until(until.min(attempt.deadline)).await;
                    }
                    last = error.to_string();
                }
                Err(error @ (CallError::Unknown { .. } | CallError::Unreadable { .. })) => {
                    // It may be there, but nobody knows its secret.
                    self.change_own(attempt, move |workspace, now| {
                        workspace.attio_webhook_mut(id).into_iter().for_each(|webhook| webhook.unwanted(now));
                    })
                    .await?;
                    last = error.to_string();
                }
                Err(error) => {
                    tracing::warn!(
                        workspace = %attempt.workspace, %error,
                        "Attio refuses the webhook, so merged and deleted records go unheard: \
                         it wants the scope webhook:read-write and an https PUBLIC_URL"
                    );
                    return self.drop_attio_webhook(attempt, id).await;
                }
            }
        }
        Err(ConnectError::Unavailable(format!("Attio could not make its webhook: {last}")))
    }

    async fn drop_attio_webhook(&self, attempt: &Attempt, id: WebhookId) -> Result<(), ConnectError> {
        self.change_own(attempt, move |workspace, _| workspace.attio_webhooks.retain(|webhook| webhook.id != id)).await
    }

    /// Changes the workspace while the claim to connect stands.
    async fn change_own(
        &self,
        attempt: &Attempt,
        change: impl Fn(&mut Workspace, Timestamp),
    ) -> Result<(), ConnectError> {
        let (changed, _) = self
            .update(&attempt.tenant, |workspace, now| match workspace {
                Some(workspace) if workspace.is_connecting(attempt.connection, attempt.owner) => {
                    change(workspace, now);
                    Verdict::Write(true)
                }
                _ => Verdict::Leave(false),
            })
            .await?;
        if changed { Ok(()) } else { Err(ConnectError::Leaving) }
    }

    pub(super) async fn delete_attio_webhook(
        &self,
        tenant: &Tenant,
        workspace: &Workspace,
        id: WebhookId,
    ) -> Result<Vec<Fact>, StoreError> {
        let Some(webhook) = workspace.attio_webhooks.iter().find(|webhook| webhook.id == id) else {
            return Ok(Vec::new());
        };
        let gone = vec![Fact::AttioWebhookGone { webhook: id }];
        // The grant that made it, if it still works; else whatever the workspace has now.
        let own = workspace.connection(webhook.connection).and_then(|own| self.attio_token_of(workspace.id, own));
        let Some(token) = own.or_else(|| self.attio_token(workspace)) else { return Ok(gone) };
        let again = |attio_id: Option<String>, asked| {
            let retry_at = self.retry_at(webhook.attempts, asked, std::time::Duration::MAX);
            vec![Fact::AttioWebhookPostponed { webhook: id, attio_id, retry_at }]
        };
        let mut attio_id = webhook.alc_id.clone();
        let mut outcome = Ok(());
        if attio_id.is_none() {
            match self.attio.find_webhook(&token, |url| is_url_of(url, webhook)).await {
                Ok(Some(found)) => attio_id = Some(found),
                Ok(None) => {
                    let retry_at = self.retry_at(webhook.attempts, None, std::time::Duration::MAX);
                    return Ok(vec![Fact::AttioWebhookMissing { webhook: id, retry_at }]);
                }
                Err(error) => outcome = Err(error),
            }
        }
        if let (Ok(()), Some(attio_id)) = (&outcome, &attio_id) {
            self.attio_turn(tenant).await?;
            outcome = self.attio.delete_webhook(&token, attio_id).await;
        }
        if let Err(CallError::RateLimited { until }) = outcome {
            self.attio_limits(tenant, until).await;
        }
        Ok(match outcome {
            Ok(()) | Err(CallError::NotFound) => {
                tracing::info!(workspace = %workspace.id, webhook = %id, "webhook deleted at Attio");
                gone
            }
            // Nobody else could: its URL will answer 410.
            Err(error @ (CallError::Unauthorized | CallError::Forbidden { .. } | CallError::Rejected { .. })) => {
                tracing::warn!(workspace = %workspace.id, webhook = %id, %error, "a webhook stays at Attio");
                gone
            }
            Err(error) => {
                tracing::warn!(workspace = %workspace.id, webhook = %id, %error, "could not delete a webhook at Attio");
                again(attio_id, if let CallError::RateLimited { until } = error { Some(until) } else { None })
            }
        })
    }
}

/// Whether a URL of ours is this webhook's.
fn is_url_of(url: &str, webhook: &Webhook) -> bool {
    let token = url.rsplit_once(PATH).and_then(|(_, token)| OpaqueToken::parse(token));
    token.is_some_and(|token| webhook.token.matches(&token.secret))
}
