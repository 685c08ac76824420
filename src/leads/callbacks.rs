//! ALC's callbacks: `POST /webhooks/alc/{token}`.
//!
//! Promises that a result is durable before ALC gets its 200, that a repeat has no second effect, and that nothing
//! changes for who cannot prove the URL and, where ALC gave a secret, the signature. Two waits for the store: what
//! surrounds the lead; the result.

use super::{
    Lead, Leads, TRIES, answered_in_time, receipt::digest_of, send::Send, transitions::Finished, two, work::lead_key,
};
use crate::{
    alc::{
        callback::{self, Callback, Malformed, is_unfinished},
        signature::{self, Headers},
    },
    connections::{self, Webhook, WebhookSecret, Workspace},
    ids::{OpaqueToken, SendId, WorkspaceId},
    store::{Commit, Committed, Key, LeaseChange, StoreError, Tenant, Versioned, put},
};

const PROCESSED: &str = "lead.processed";

/// What an accepted callback came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallbackOutcome {
    /// The lead is complete by it.
    Finished,
    /// A record that was never sent, or that the store lost: taken up and shown.
    Adopted,
    /// A repeat, another result for a finished send, or an earlier send's.
    Repeated,
    /// ALC is not done with the lead.
    Unfinished,
    /// Another event than `lead.processed`.
    OtherEvent,
}

/// Why a callback is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum CallbackRefused {
    /// No webhook, or none any more, under this token.
    #[error("the webhook is gone")]
    Gone,
    /// The signature is missing or wrong.
    #[error("the signature is refused: {0}")]
    Signature(signature::Refused),
    /// A signature is required, and ALC never told a secret for this webhook.
    #[error("no secret is known to verify the signature with")]
    NoSecret,
    /// The body is no callback.
    #[error(transparent)]
    Malformed(Malformed),
    /// Not durable: ALC is to try again.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Leads {
    /// Takes a callback; `token` is the last part of the URL.
    pub async fn call_back(
        &self,
        token: &str,
        headers: Headers<'_>,
        body: &[u8],
    ) -> Result<CallbackOutcome, CallbackRefused> {
        answered_in_time(self.take_callback(token, headers, body)).await
    }

    /// Whether a webhook answers under this token. Says no more, and changes nothing: nothing was proven.
    pub async fn is_called_at(&self, token: &str) -> Result<bool, StoreError> {
        answered_in_time(async {
            let Some(token) = OpaqueToken::parse(token) else { return Ok(false) };
            let Ok(id) = token.owner.parse::<WorkspaceId>() else { return Ok(false) };
            let workspace: Option<Versioned<Workspace>> = self.parts.connections.load(&connections::tenant(id)).await?;
            Ok(workspace.is_some_and(|found| found.value.webhook_by_secret(&token.secret).is_some()))
        })
        .await
    }

    async fn take_callback(
        &self,
        token: &str,
        headers: Headers<'_>,
        body: &[u8],
    ) -> Result<CallbackOutcome, CallbackRefused> {
        let token = OpaqueToken::parse(token).ok_or(CallbackRefused::Gone)?;
        let workspace: WorkspaceId = token.owner.parse().map_err(|_| CallbackRefused::Gone)?;
        let tenant = connections::tenant(workspace);
        let parsed = callback::parse(body);
        for _ in 0..TRIES {
            let now = self.parts.clock.now();
            let mut keys = vec![Key::workspace()];
            keys.extend(parsed.as_ref().ok().map(|callback| lead_key(callback.record_id)));
            let loaded = self.parts.store.load(&tenant, &keys, &[], now).await?;
            let [found, lead] = two(loaded.documents);
            let found = found.map(Versioned::<Workspace>::read).transpose().map_err(StoreError::from)?;
            let lead = lead.map(Versioned::<Lead>::read).transpose().map_err(StoreError::from)?;
            let Some(webhook) = found.as_ref().and_then(|found| found.value.webhook_by_secret(&token.secret)) else {
                return Err(CallbackRefused::Gone);
            };
            let lead = match lead {
                // ALC knows only records that it was sent; should it name what a merge made, whoever speaks for that.
                Some(lead) if lead.value.forwarding => {
                    self.speaker_document(&tenant, &lead.value).await?.or(Some(lead))
                }
                lead => lead,
            };
            let Some(workspace) = &found else { return Err(CallbackRefused::Gone) };
            self.prove(&workspace.value, webhook, headers, body)?;
            // Another event has another form: it is not asked for a record.
            if callback::event(body).is_some_and(|event| event != PROCESSED) {
                return Ok(CallbackOutcome::OtherEvent);
            }
            let callback = parsed.as_ref().map_err(|malformed| CallbackRefused::Malformed(malformed.clone()))?;
            if is_unfinished(&callback.status) {
                return Ok(CallbackOutcome::Unfinished);
            }
            let id = headers.id.map(digest_of);
            if let Some(outcome) = self.apply(&tenant, webhook, lead, callback, id.as_deref()).await? {
                return Ok(outcome);
            }
        }
        Err(StoreError::Unavailable("too many conflicts on one lead".to_owned()).into())
    }

    fn prove(
        &self,
        workspace: &Workspace,
        webhook: &Webhook,
        headers: Headers<'_>,
        body: &[u8],
    ) -> Result<(), CallbackRefused> {
        let secret = self.parts.connections.webhook_secret(workspace, webhook).map_err(|error| {
            tracing::error!(%error, "a webhook's secret cannot be opened");
            // Fails closed: ALC tries again until the operator has put the key back.
            StoreError::Corrupt("a webhook's secret cannot be opened".to_owned())
        })?;
        match secret {
            WebhookSecret::Known(secret) => {
                signature::verify(&secret, headers, body, self.parts.clock.now()).map_err(CallbackRefused::Signature)
            }
            WebhookSecret::NotNeeded => Ok(()),
            WebhookSecret::NeverTold => Err(CallbackRefused::NoSecret),
            // Later it can be judged.
            WebhookSecret::OnItsWay => Err(StoreError::Unavailable("the webhook is being made".to_owned()).into()),
        }
    }

    /// Commits the result; `None` on a conflict.
    async fn apply(
        &self,
        tenant: &Tenant,
        webhook: &Webhook,
        found: Option<Versioned<Lead>>,
        callback: &Callback,
        id: Option<&str>,
    ) -> Result<Option<CallbackOutcome>, StoreError> {
        let now = self.parts.clock.now();
        let lead_id = callback.lead_id.as_deref();
        let mut back = None;
        let (lead, expected, outcome) = match found {
            Some(found) if found.value.forwarding => {
                let mut lead = found.value.clone();
                lead.send = Send::new(SendId::random(), now);
                lead.send.webhook = Some(webhook.id);
                lead.adopt(&callback.status, lead_id, id, now);
                back = self.moved_to_end(tenant, &mut lead, now).await?;
                (lead, Some(found.version()), CallbackOutcome::Adopted)
            }
            Some(found) => {
                let mut lead = found.value.clone();
                let finished = lead.finish(&callback.status, lead_id, id, now);
                if lead == found.value {
                    return Ok(Some(CallbackOutcome::Repeated));
                }
                match finished {
                    Finished::Now => (lead, Some(found.version()), CallbackOutcome::Finished),
                    // Only what is remembered changes. Looked at all the same: the due time that was loaded may have been
                    // moved ahead since, by a workspace that has come back, and no version tells of that.
                    Finished::Already => (lead, Some(found.version()), CallbackOutcome::Repeated),
                }
            }
            None => {
                let mut lead = Lead::new(callback.record_id, Send::new(SendId::random(), now));
                lead.send.webhook = Some(webhook.id);
                lead.adopt(&callback.status, lead_id, id, now);
                (lead, None, CallbackOutcome::Adopted)
            }
        };
        let key = lead_key(lead.record_id);
        let mut commit = Commit::of(vec![put(&key.id, &lead, expected, LeaseChange::Leave { due: Some(now) })]);
        commit.writes.extend(back);
        match self.parts.store.commit(tenant, &commit, now).await? {
            Committed::Done(_) => Ok(Some(outcome)),
            Committed::Conflict => Ok(None),
        }
    }
}
