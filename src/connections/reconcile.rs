//! The workspace's steps, taken by whoever leased it, and how what they came to is recorded.
//!
//! Promises that each step is committed before the next begins, that a request starts only if the lease outlasts it,
//! and that what an upstream answered is recorded also by a worker that lost its lease; it then takes no further step.

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    Connections, LOOK_AGAIN, PATIENT_TRIES,
    connect::named,
    connection::Claim,
    facts::Fact,
    pause,
    steps::{Step, UNDER_WAY, leaving_since},
    webhook::Webhook,
    workspace::Workspace,
};
use crate::{
    alc::CallError,
    clock::later,
    ids::{ConnectionId, WebhookId},
    store::{Change, Commit, Committed, Key, Kind, Lease, LeaseChange, Leased, StoreError, Tenant, Versioned, Write},
};

/// The leads that have not finished.
const QUEUED: &str = "queued";
const UNFINISHED: [&str; 2] = [QUEUED, "pending"];
/// Those that have; Attio may still be owed what they came to.
const FINISHED: [&str; 2] = ["complete", "failed"];
/// Over how long these are woken: there may be months of them, and nothing hurries.
const OWED_SPREAD: Duration = Duration::from_secs(60);
/// Over how long the leads are woken.
const WAKE_SPREAD: Duration = Duration::from_secs(1);
/// How often it is looked whether the leads of a webhook have finished.
const RETIRE_CHECK: Duration = Duration::from_secs(30 * 60);
const PAGE: usize = 100;

/// A lease that this worker holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Holding {
    token: Uuid,
    duration: Duration,
}

impl Holding {
    fn extended(self, now: Timestamp) -> Lease {
        Lease { token: self.token, until: later(now, self.duration) }
    }

    fn holds(self, workspace: &Versioned<Workspace>) -> bool {
        workspace.document.lease.is_some_and(|lease| lease.token == self.token)
    }
}

impl Connections {
    /// Takes the leased workspace's steps until nothing is to be done now, and ends the lease with the next due time.
    pub async fn step(&self, leased: Leased, lease_duration: Duration) -> Result<(), StoreError> {
        let Leased { tenant, document, .. } = leased;
        let Some(lease) = document.lease else { return Ok(()) };
        let holding = Holding { token: lease.token, duration: lease_duration };
        let mut workspace = Versioned::<Workspace>::read(document)?;
        let mut stepped = false;
        while holding.holds(&workspace) {
            let now = self.clock.now();
            let settled = workspace.value.settle(now);
            // A process that stops leaves the rest to another, at once.
            let leaves = stepped && self.lifecycle.is_stopping();
            let facts = match if leaves { Step::Rest } else { workspace.value.next_step(now) } {
                Step::Rest => {
                    let end = LeaseChange::End { token: holding.token, due: workspace.value.due(now) };
                    match self.commit(&tenant, &mut workspace, end).await? {
                        Committed::Done(_) => return Ok(()),
                        Committed::Conflict => Vec::new(),
                    }
                }
                Step::Forget if workspace.value.owes_until(self.retention, now) => continue,
                Step::Forget => {
                    let key = Key::workspace();
                    let erase = Write { key, expected: Some(workspace.version()), change: Change::Erase };
                    match self.commit_patiently(&tenant, &Commit::of(vec![erase])).await? {
                        Committed::Done(_) => return Ok(()),
                        Committed::Conflict => Vec::new(),
                    }
                }
                // Settled just now.
                Step::Settle => continue,
                step => {
                    if self.hold(&tenant, &mut workspace, holding, settled, step).await? {
                        stepped = true;
                        self.take(&tenant, &workspace.value, step).await?
                    } else {
                        Vec::new()
                    }
                }
            };
            let next = if facts.is_empty() {
                self.load(&tenant).await?
            } else {
                self.record(&tenant, Some(workspace), Some(holding), &facts).await?
            };
            let Some(next) = next else { return Ok(()) };
            workspace = next;
        }
        Ok(())
    }

    /// Makes the lease last for the step's requests, writes down what was settled, on which the step may rest, and
    /// claims what other workers could do as well. `false` if somebody else wrote meanwhile, or the store took too long.
    async fn hold(
        &self,
        tenant: &Tenant,
        workspace: &mut Versioned<Workspace>,
        holding: Holding,
        settled: bool,
        step: Step,
    ) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let timeout = self.settings.upstream_timeout;
        let mut must_commit =
            settled || later(now, timeout * 2) > workspace.document.lease.map_or(Timestamp::MIN, |lease| lease.until);
        let held = holding.extended(now);
        if let Step::Refresh(id) = step {
            let claim = Claim { owner: holding.token, until: held.until };
            workspace.value.claim_refresh(id, claim, now);
            must_commit = true;
        }
        if !must_commit {
            return Ok(true);
        }
        let committed = self.commit(tenant, workspace, LeaseChange::Hold(held)).await?;
        let in_time = later(self.clock.now(), timeout) <= held.until;
        Ok(matches!(committed, Committed::Done(_)) && in_time)
    }

    /// Does the step; what it came to.
    async fn take(&self, tenant: &Tenant, workspace: &Workspace, step: Step) -> Result<Vec<Fact>, StoreError> {
        Ok(match step {
            Step::Rest | Step::Settle | Step::Forget => Vec::new(),
            Step::WakeLeads => {
                let now = self.clock.now();
                self.store.wake(tenant, Kind::Lead, &UNFINISHED, WAKE_SPREAD, now).await?;
                if workspace.owes_attio {
                    self.store.wake(tenant, Kind::Lead, &FINISHED, OWED_SPREAD, now).await?;
                }
                vec![Fact::LeadsWoken { since: workspace.wake_leads }]
            }
            Step::Refresh(id) => match workspace.connection(id) {
                Some(connection) if let Some(claim) = connection.refreshing => {
                    vec![self.ask_for_tokens(workspace.id, connection, claim.owner).await.0]
                }
                _ => Vec::new(),
            },
            Step::FindWebhook(id) => self.find_webhook(workspace, id).await,
            Step::DeleteWebhook(id) => self.delete_webhook(workspace, id).await,
            Step::DeleteAttioWebhook(id) => self.delete_attio_webhook(tenant, workspace, id).await?,
            Step::Revoke(id) => match self.in_use_until(tenant, workspace, id).await? {
                Some(retry_at) => vec![Fact::RevokePostponed { connection: id, retry_at }],
                None => self.revoke(workspace, id).await,
            },
            Step::RevokeAtAttio(id) => self.revoke_at_attio(workspace, id).await,
            Step::RetireWebhook(id) => {
                if self.has_unfinished_leads(tenant, id).await? {
                    let retry_at = later(self.clock.now(), RETIRE_CHECK);
                    vec![Fact::WebhookPostponed { webhook: id, retry_at }]
                } else {
                    vec![Fact::WebhookRetired { webhook: id }]
                }
            }
        })
    }

    async fn find_webhook(&self, workspace: &Workspace, id: WebhookId) -> Vec<Fact> {
        let Some(webhook) = workspace.webhook(id) else { return Vec::new() };
        let Some(connection) = workspace.cleaner(webhook) else { return Vec::new() };
        let Ok(grant) = self.grant(workspace.id, connection) else { return vec![self.webhook_again(webhook, None)] };
        match self.alc.list_webhooks(&grant.access_token).await {
            Ok(listed) => {
                let retry_at = self.retry_at(webhook.attempts, None, Duration::MAX);
                vec![match named(listed, &webhook.name()) {
                    Some(alc_id) => Fact::WebhookFound { webhook: id, alc_id },
                    None => Fact::WebhookMissing { webhook: id, retry_at },
                }]
            }
            // Its creation may still be under way here: whoever hears of its end says what to delete.
            Err(CallError::Unsupported | CallError::NotFound) if webhook.may_come(self.clock.now()) => {
                vec![self.webhook_again(webhook, None)]
            }
            Err(CallError::Unsupported | CallError::NotFound) => {
                // If it is there, it stays: its URL will answer 410.
                tracing::warn!(workspace = %workspace.id, webhook = %id, "ALC cannot list webhooks: one may remain there");
                vec![Fact::WebhookDeleted { webhook: id }]
            }
            Err(error) => self.webhook_refused(webhook, &grant, &error),
        }
    }

    async fn delete_webhook(&self, workspace: &Workspace, id: WebhookId) -> Vec<Fact> {
        let Some(webhook) = workspace.webhook(id) else { return Vec::new() };
        let Some(connection) = workspace.cleaner(webhook) else { return Vec::new() };
        let Some(alc_id) = &webhook.alc_id else { return Vec::new() };
        if workspace.is_called_through(alc_id) {
            // ALC keeps one webhook for an account, and made the newer one of it.
            tracing::warn!(workspace = %workspace.id, webhook = %id, "another webhook has its id at ALC: left there");
            return vec![Fact::WebhookDeleted { webhook: id }];
        }
        let Ok(grant) = self.grant(workspace.id, connection) else { return vec![self.webhook_again(webhook, None)] };
        match self.alc.delete_webhook(&grant.access_token, alc_id).await {
            Ok(()) | Err(CallError::Unsupported) => {
                tracing::info!(workspace = %workspace.id, webhook = %id, "webhook deleted at ALC");
                vec![Fact::WebhookDeleted { webhook: id }]
            }
            // Another account's tokens: theirs it is not to delete, and nobody else is left who could. A 401 to them is
            // about what they ask for, and must not end them.
            Err(error @ (CallError::Unauthorized | CallError::Forbidden { .. } | CallError::Rejected { .. }))
                if connection.id != webhook.connection =>
            {
                tracing::warn!(webhook = %id, %error, "a webhook of a dead grant stays at ALC: its URL will answer 410");
                vec![Fact::WebhookDeleted { webhook: id }]
            }
            Err(error) => self.webhook_refused(webhook, &grant, &error),
        }
    }

    fn webhook_refused(&self, webhook: &Webhook, grant: &super::Grant, error: &CallError) -> Vec<Fact> {
        tracing::warn!(webhook = %webhook.id, %error, "could not clean up a webhook at ALC");
        match error {
            CallError::Unauthorized => {
                let (connection, generation) = (grant.connection, grant.generation);
                vec![Fact::AccessRefused { connection, generation }, self.webhook_again(webhook, None)]
            }
            CallError::RateLimited { until } => vec![self.webhook_again(webhook, Some(*until))],
            CallError::Unknown { retry_after, .. } => vec![self.webhook_again(webhook, *retry_after)],
            _ => vec![self.webhook_again(webhook, None)],
        }
    }

    fn webhook_again(&self, webhook: &Webhook, asked: Option<Timestamp>) -> Fact {
        let retry_at = self.retry_at(webhook.attempts, asked, Duration::MAX);
        Fact::WebhookPostponed { webhook: webhook.id, retry_at }
    }

    async fn revoke(&self, workspace: &Workspace, id: ConnectionId) -> Vec<Fact> {
        let Some(connection) = workspace.connection(id) else { return Vec::new() };
        let released = vec![Fact::Released { connection: id, generation: connection.alc.generation }];
        let Err(detail) = self.revoke_own(workspace, connection).await else {
            tracing::info!(workspace = %workspace.id, connection = %id, "ALC's grant released");
            return released;
        };
        tracing::warn!(workspace = %workspace.id, connection = %id, detail, "could not revoke ALC's grant");
        let retry_at = self.retry_at(connection.alc.attempts, None, Duration::MAX);
        vec![Fact::RevokePostponed { connection: id, retry_at }]
    }

    /// Until when a send that was committed before this connection left may be on its way with its token; `None`: there is
    /// none. While ALC has not answered, its lead is queued.
    async fn in_use_until(
        &self,
        tenant: &Tenant,
        workspace: &Workspace,
        id: ConnectionId,
    ) -> Result<Option<Timestamp>, StoreError> {
        let until = workspace.connection(id).map(|connection| later(leaving_since(connection), UNDER_WAY));
        let Some(until) = until.filter(|until| self.clock.now() < *until) else { return Ok(None) };
        let queued = self.store.page(tenant, Some(QUEUED), None, 1).await?;
        Ok((!queued.documents.is_empty()).then_some(until))
    }

    /// Whether an unfinished lead was sent under the webhook. Nothing new is sent under it: it is no current one's.
    async fn has_unfinished_leads(&self, tenant: &Tenant, id: WebhookId) -> Result<bool, StoreError> {
        let id = id.to_string();
        for status in UNFINISHED {
            let mut cursor = None;
            loop {
                let page = self.store.page(tenant, Some(status), cursor.as_ref(), PAGE).await?;
                if page.documents.iter().any(|(_, document)| sent_under(&document.body).contains(&id)) {
                    return Ok(true);
                }
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
        }
        Ok(false)
    }

    /// Records facts, on `workspace` if nobody wrote since it was loaded, else on what is there; keeps the lease if it
    /// is still held. Returns the workspace as it is then; `None` if it is gone.
    pub(super) async fn record(
        &self,
        tenant: &Tenant,
        mut workspace: Option<Versioned<Workspace>>,
        holding: Option<Holding>,
        facts: &[Fact],
    ) -> Result<Option<Versioned<Workspace>>, StoreError> {
        let mut last = StoreError::Unavailable("others keep changing the workspace".to_owned());
        for tries in 0..PATIENT_TRIES {
            match self.try_to_record(tenant, workspace.take(), holding, facts).await {
                Ok(Some(recorded)) => return Ok(recorded),
                Ok(None) => pause(LOOK_AGAIN / 10 * tries).await,
                Err(error) => {
                    last = error;
                    pause(LOOK_AGAIN * tries).await;
                }
            }
        }
        tracing::error!(%tenant, error = %last, "what an upstream answered could not be recorded");
        Err(last)
    }

    /// `Ok(None)`: somebody else was faster.
    async fn try_to_record(
        &self,
        tenant: &Tenant,
        loaded: Option<Versioned<Workspace>>,
        holding: Option<Holding>,
        facts: &[Fact],
    ) -> Result<Option<Option<Versioned<Workspace>>>, StoreError> {
        let loaded = match loaded {
            Some(loaded) => Some(loaded),
            None => self.load(tenant).await?,
        };
        for fact in facts {
            if let Fact::Refreshed { connection, tokens, .. } = fact
                && loaded.as_ref().is_none_or(|workspace| workspace.value.connection(*connection).is_none())
                && let Ok(id) = tenant.as_str().parse()
            {
                self.revoke_orphans(id, loaded.as_ref().map(|it| &it.value), *connection, tokens).await;
            }
        }
        let Some(mut workspace) = loaded else { return Ok(Some(None)) };
        let now = self.clock.now();
        for fact in facts {
            fact.apply(&mut workspace.value, now);
        }
        let lease = match holding {
            Some(holding) if holding.holds(&workspace) => LeaseChange::Hold(holding.extended(now)),
            _ => LeaseChange::Leave { due: workspace.value.due(now) },
        };
        let committed = self.commit(tenant, &mut workspace, lease).await?;
        Ok(matches!(committed, Committed::Done(_)).then_some(Some(workspace)))
    }
}

/// The webhooks that a lead's present send names.
fn sent_under(body: &str) -> Vec<String> {
    #[derive(serde::Deserialize)]
    struct Lead {
        send: Option<Send>,
    }
    #[derive(serde::Deserialize)]
    struct Send {
        webhook: Option<String>,
        #[serde(default)]
        other_webhooks: Vec<String>,
    }
    let send = serde_json::from_str::<Lead>(body).ok().and_then(|lead| lead.send);
    send.map_or_else(Vec::new, |send| send.webhook.into_iter().chain(send.other_webhooks).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lead_names_the_webhooks_it_was_sent_under() {
        for (body, webhooks) in [
            (r#"{"send":{"webhook":"w","id":1}}"#, vec!["w"]),
            (r#"{"send":{"webhook":"w","other_webhooks":["v"]}}"#, vec!["w", "v"]),
            (r#"{"send":{"webhook":null}}"#, vec![]),
            (r#"{"send":null}"#, vec![]),
            ("{}", vec![]),
            ("nonsense", vec![]),
        ] {
            assert_eq!(sent_under(body), webhooks, "{body}");
        }
    }
}
