//! A workspace's connections: how they come, work and go.
//!
//! Owns the [`Workspace`] aggregate (pure: `workspace`, `connection`, `webhook`, `steps`, `facts`) and [`Connections`],
//! the service over it: codes and refresh tokens towards our client, ALC's tokens and their refresh, ALC's webhook,
//! takeover and removal. Promises that what an upstream answered is recorded however the worker fared, that an outage
//! disconnects nobody, and that tokens are erased last. Knows nothing of leads but where they name their webhook.

mod attio_grant;
mod attio_webhooks;
mod codes;
mod connect;
mod connection;
mod facts;
mod fresh;
mod grants;
mod reconcile;
mod schema;
mod steps;
mod triggers;
mod webhook;
mod workspace;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use secrecy::SecretString;
use url::Url;

pub use self::{
    codes::{Consent, IdentifyError, NewCode, OpenIncomingError, RedeemError, Redeemed, RefreshTokenError},
    connect::{ConnectError, Connected},
    connection::{Connection, Phase},
    grants::{Grant, NoGrant},
    triggers::{MOST_TRIGGERS, TriggerPut, TriggerRefused, TriggerView},
    webhook::{Webhook, WebhookState},
    workspace::{ConnectionView, Standing, WebhookView, Workspace},
};
use crate::{
    alc, attio,
    clock::SharedClock,
    ids::{ConnectionId, WorkspaceId, unit_random},
    lifecycle::Lifecycle,
    sealing::{OpenError, Place, Sealed, Sealer},
    store::{Change, Commit, Committed, Key, LeaseChange, Store, StoreError, Tenant, Versioned, gate::Gate, put},
    upstream::Schedule,
};

/// The longest wait between two refreshes that failed: the grant is wanted.
const REFRESH_RETRY_AT_MOST: Duration = Duration::from_secs(5 * 60);
/// How often a waiter looks for what another does. A cadence, not a time: every such wait is bounded by the clock.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// For how long a commit whose answer is lost is repeated: a Redis that is silent is given up after six seconds.
const COMMIT_PATIENCE: Duration = Duration::from_secs(10);
/// How often a commit is tried again while others keep writing, or the store is away.
const PATIENT_TRIES: u32 = 40;

/// Whether callbacks have to be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WebhookSignature {
    /// A registration without a secret fails.
    Required,
    /// If ALC gave a secret.
    #[default]
    WhenSecretKnown,
    /// Never.
    Off,
}

/// What the service is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What ALC reaches us by.
    pub public_url: Url,
    /// The workspace access token that every connection uses; `None`: each brings a grant of its own.
    pub attio_api_key: Option<SecretString>,
    /// What Attio's People need.
    pub attributes: attio::Attributes,
    /// What the status attribute shows.
    pub titles: attio::Titles,
    /// What every write to Attio goes through.
    pub attio_gate: Gate,
    /// Whether callbacks have to be signed.
    pub webhook_signature: WebhookSignature,
    /// When what must be done is tried again.
    pub retry_schedule: Schedule,
    /// How long one call to ALC or Attio may take.
    pub upstream_timeout: Duration,
}

/// The service. Clones share everything.
#[derive(Clone)]
pub struct Connections {
    store: Store,
    sealer: Arc<Sealer>,
    alc: alc::Client,
    oauth: alc::oauth::OAuth,
    attio: attio::Client,
    attio_oauth: Option<attio::oauth::OAuth>,
    clock: SharedClock,
    lifecycle: Lifecycle,
    settings: Arc<Settings>,
    /// How long finished leads are kept.
    retention: Duration,
}

/// What the service is built from.
pub struct Parts {
    /// Where workspaces are kept.
    pub store: Store,
    /// Seals tokens.
    pub sealer: Arc<Sealer>,
    /// ALC's REST API.
    pub alc: alc::Client,
    /// ALC's OAuth endpoints.
    pub oauth: alc::oauth::OAuth,
    /// Attio's REST API.
    pub attio: attio::Client,
    /// Attio's OAuth endpoints, where each connection brings its own grant.
    pub attio_oauth: Option<attio::oauth::OAuth>,
    /// The time.
    pub clock: SharedClock,
    /// Runs what outlives its caller.
    pub lifecycle: Lifecycle,
}

/// The tenant of a workspace.
pub fn tenant(workspace: WorkspaceId) -> Tenant {
    Tenant::new(workspace)
}

/// What a change of a workspace came to, before it is written.
enum Verdict<T> {
    Write(T),
    Leave(T),
}

impl Connections {
    /// The service over these parts.
    pub fn new(parts: Parts, settings: Settings) -> Self {
        let Parts { store, sealer, alc, oauth, attio, attio_oauth, clock, lifecycle } = parts;
        Self {
            store,
            sealer,
            alc,
            oauth,
            attio,
            attio_oauth,
            clock,
            lifecycle,
            settings: Arc::new(settings),
            retention: Duration::ZERO,
        }
    }

    /// Finished leads are kept for this long, and what they came to is owed to Attio: no workspace is forgotten before.
    #[must_use]
    pub fn keeping_leads_for(self, retention: Duration) -> Self {
        Self { retention, ..self }
    }

    /// The workspace as it is now.
    pub async fn load(&self, tenant: &Tenant) -> Result<Option<Versioned<Workspace>>, StoreError> {
        let loaded = self.store.load(tenant, &[Key::workspace()], &[], self.clock.now()).await?;
        let document = loaded.documents.into_iter().next().flatten();
        Ok(document.map(Versioned::read).transpose()?)
    }

    /// The connection as it is shown; else why its token is no good: [`Standing::Replaced`] or [`Standing::Unknown`].
    pub async fn view(
        &self,
        workspace: WorkspaceId,
        connection: ConnectionId,
    ) -> Result<Result<ConnectionView, Standing>, StoreError> {
        let Some(loaded) = self.load(&tenant(workspace)).await? else { return Ok(Err(Standing::Unknown)) };
        Ok(match loaded.value.standing(connection) {
            standing @ (Standing::Replaced | Standing::Unknown) => Err(standing),
            standing => {
                loaded.value.view(connection).ok_or(standing).map(|view| self.without_grant(&loaded.value, view))
            }
        })
    }

    /// What ALC signs this webhook's callbacks with; `None`: they need no signature. Fails also where a signature is
    /// required and the secret is not known (yet): such a callback must not be believed.
    pub fn webhook_secret(&self, workspace: &Workspace, webhook: &Webhook) -> Result<Option<SecretString>, OpenError> {
        match (self.settings.webhook_signature, &webhook.secret) {
            (WebhookSignature::Off, _) | (WebhookSignature::WhenSecretKnown, None) => Ok(None),
            (WebhookSignature::Required, None) => Err(OpenError::Malformed),
            (_, Some(secret)) => self.open(workspace.id, webhook.id, "secret", secret).map(Some),
        }
    }

    fn seal(
        &self,
        workspace: WorkspaceId,
        owner: impl std::fmt::Display,
        field: &str,
        secret: &SecretString,
    ) -> Sealed {
        let (aggregate, field) = (format!("workspace/{workspace}"), format!("{owner}/{field}"));
        self.sealer.seal(Place { aggregate: &aggregate, field: &field }, secret)
    }

    fn open(
        &self,
        workspace: WorkspaceId,
        owner: impl std::fmt::Display,
        field: &str,
        sealed: &Sealed,
    ) -> Result<SecretString, OpenError> {
        let (aggregate, field) = (format!("workspace/{workspace}"), format!("{owner}/{field}"));
        self.sealer.open(Place { aggregate: &aggregate, field: &field }, sealed)
    }

    /// When to try again after `attempts` failures, not before the time that the upstream asked for.
    fn retry_at(&self, attempts: u32, asked: Option<Timestamp>, at_most: Duration) -> Timestamp {
        let schedule = self.settings.retry_schedule.at_most(at_most);
        schedule.next(attempts, unit_random(), asked, self.clock.now())
    }

    /// Writes `workspace` if nobody has since it was loaded; then it is as if loaded again.
    async fn commit(
        &self,
        tenant: &Tenant,
        workspace: &mut Versioned<Workspace>,
        lease: LeaseChange,
    ) -> Result<Committed, StoreError> {
        let write = put("", &workspace.value, Some(workspace.version()), lease);
        let body = match &write.change {
            Change::Put { body, .. } => body.clone(),
            Change::Erase => String::new(),
        };
        let committed = self.commit_patiently(tenant, &Commit::of(vec![write])).await?;
        if matches!(committed, Committed::Done(_)) {
            workspace.document.version += 1;
            workspace.document.body = body;
            match lease {
                LeaseChange::Take(lease) | LeaseChange::Hold(lease) => workspace.document.lease = Some(lease),
                LeaseChange::End { .. } => workspace.document.lease = None,
                LeaseChange::Leave { .. } => {}
            }
        }
        Ok(committed)
    }

    async fn commit_patiently(&self, tenant: &Tenant, commit: &Commit) -> Result<Committed, StoreError> {
        self.store.commit_patiently(tenant, commit, &self.clock, COMMIT_PATIENCE).await
    }

    /// Changes the workspace as somebody who holds no lease on it; again from the start if somebody else was faster.
    async fn update<T>(
        &self,
        tenant: &Tenant,
        mut change: impl FnMut(Option<&mut Workspace>, Timestamp) -> Verdict<T>,
    ) -> Result<(T, Option<Versioned<Workspace>>), StoreError> {
        for tries in 0..PATIENT_TRIES {
            let mut loaded = self.load(tenant).await?;
            let now = self.clock.now();
            let (value, write) = match change(loaded.as_mut().map(|workspace| &mut workspace.value), now) {
                Verdict::Write(value) => (value, true),
                Verdict::Leave(value) => (value, false),
            };
            let Some(workspace) = loaded.as_mut().filter(|_| write) else { return Ok((value, loaded)) };
            let due = workspace.value.due(now);
            match self.commit(tenant, workspace, LeaseChange::Leave { due }).await? {
                Committed::Done(_) => return Ok((value, loaded)),
                Committed::Conflict => pause(LOOK_AGAIN / 10 * tries).await,
            }
        }
        Err(StoreError::Unavailable("others keep changing the workspace".to_owned()))
    }
}

async fn pause(wait: Duration) {
    tokio::time::sleep(wait).await;
}
