//! ALC's callbacks: `POST /webhooks/alc/{token}`.
//!
//! Two waits for the store: what surrounds the lead; the result.

use tracing::{Span, field::display};

use super::patience::answered_in_time;
use crate::{
    alc::{
        callback::{self, Callback, Malformed, PROCESSED, is_unfinished},
        prospect,
        signature::{self, Headers},
    },
    connections::{self, Webhook, WebhookSecret, Workspace},
    ids::{OpaqueToken, SendId, WebhookId, WorkspaceId},
    leads::{
        lead::{aggregate::Lead, result::Finished, send::PresentSend},
        places::digest_of,
        service::{Leads, lead_key},
        work::leased::Work,
    },
    store::{Key, Patience, StoreError, Tenant, Tries, Versioned, gate::GateView},
    telemetry::traces,
};

/// What an accepted callback came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallbackOutcome {
    /// The lead is complete by it.
    Finished,
    /// A record that was never sent, or that the store lost: taken up and shown, or forgotten where Attio lacks it.
    Adopted,
    /// A repeat, another result for a finished send, or an earlier send's.
    Repeated,
    /// ALC is not done with the lead.
    Unfinished,
    /// Another event than `lead.processed`.
    OtherEvent,
    /// A person whom ALC brings: upserted at Attio from here on.
    Prospect,
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
        let mut tries = self.parts.store.tries(&tenant, Patience::CALLER);
        loop {
            let mut keys = vec![Key::workspace()];
            keys.extend(parsed.as_ref().ok().map(|callback| lead_key(callback.record_id)));
            let mut loaded = tries.load(&keys, &self.gates()).await?;
            let gates = loaded.gates();
            let workspace = loaded.take::<Workspace>()?.ok_or(CallbackRefused::Gone)?;
            let webhook = workspace.value.webhook_by_secret(&token.secret).ok_or(CallbackRefused::Gone)?;
            let lead = match loaded.take::<Lead>()? {
                // ALC knows only records that it was sent; should it name what a merge made, the lead that speaks for
                // that.
                Some(lead) if lead.value.forwarding => self.speaker(&tenant, &lead).await?.or(Some(lead)),
                lead => lead,
            };
            self.prove(&workspace.value, webhook, headers, body)?;
            // Each line of the request says from here on whose it is: before that, a stranger might say so.
            let span = Span::current();
            let record = parsed.as_ref().ok().map(|callback| display(callback.record_id));
            tracing::record_all!(span, workspace = display(workspace.value.id), record = record);
            traces::tell("alc_connector.workspace", workspace.value.id);
            if let Ok(callback) = &parsed {
                traces::tell("alc_connector.record", callback.record_id);
            }
            if self.settings.upserts_prospects
                && let Some(prospect) = prospect::parse(body)
            {
                let prospect = prospect.map_err(CallbackRefused::Malformed)?;
                return Ok(self.take_prospect(&tenant, webhook.id, &prospect, headers.id).await?);
            }
            // Another event has another form: it is not asked for a record.
            if callback::event(body).is_some_and(|event| event != PROCESSED) {
                return Ok(CallbackOutcome::OtherEvent);
            }
            let callback = parsed.as_ref().map_err(|malformed| CallbackRefused::Malformed(malformed.clone()))?;
            if is_unfinished(&callback.status) {
                return Ok(CallbackOutcome::Unfinished);
            }
            let id = headers.id.map(digest_of);
            let webhook = webhook.id;
            let found = Found { lead, workspace, gates };
            if let Some(outcome) = self.apply(&tenant, &mut tries, webhook, found, (callback, id.as_deref())).await? {
                return Ok(outcome);
            }
        }
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
                signature::verify(&secret, headers, body, self.parts.clock.wall()).map_err(CallbackRefused::Signature)
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
        tries: &mut Tries<'_>,
        webhook: WebhookId,
        found: Found,
        (callback, id): (&Callback, Option<&str>),
    ) -> Result<Option<CallbackOutcome>, StoreError> {
        let now = self.parts.store.now();
        let lead_id = callback.lead_id.as_deref();
        let Found { lead, workspace, gates } = found;
        let (lead, back, outcome) = match lead {
            Some(mut lead) if !lead.value.forwarding => {
                let before = lead.value.clone();
                let finished = lead.value.finish(&callback.status, lead_id, id, now);
                if lead.value == before {
                    return Ok(Some(CallbackOutcome::Repeated));
                }
                self.owe_more(tenant, &mut lead.value, Some(&before), &callback.words, now);
                lead.value.keep_history(Some(&before), now);
                match finished {
                    Finished::Now => (lead, None, CallbackOutcome::Finished),
                    // Only what is remembered changes. The lead is looked at all the same: the due time that was loaded
                    // may have been moved ahead since, by a workspace that has come back, and no version tells of that.
                    Finished::Already => (lead, None, CallbackOutcome::Repeated),
                }
            }
            found => {
                let send = || PresentSend::new(SendId::random(), now);
                let last = found.as_ref().map(|found| found.value.clone());
                let mut lead = found.unwrap_or_else(|| Versioned::new(Lead::new(callback.record_id, send())));
                lead.value.send = send();
                lead.value.send.webhook = Some(webhook);
                lead.value.adopt(&callback.status, lead_id, id, now);
                let back = self.move_to_end(tenant, &mut lead, now).await?;
                self.owe_more(tenant, &mut lead.value, last.as_deref(), &callback.words, now);
                lead.value.keep_history(last.as_deref(), now);
                (lead, back, CallbackOutcome::Adopted)
            }
        };
        let key = lead_key(lead.value.record_id);
        let trace = lead.value.send.trace.clone();
        let work = Work::new(tenant.clone(), key, lead, Some(workspace), gates);
        if !self.hand_over(tries, work, back).await? {
            return Ok(None);
        }
        // Only now: a span keeps each link that it is given, and a try that lost a race to another commit comes again.
        traces::link(trace.as_deref());
        Ok(Some(outcome))
    }
}

/// What surrounds a callback.
struct Found {
    lead: Option<Versioned<Lead>>,
    workspace: Versioned<Workspace>,
    gates: [GateView; 2],
}
