//! The service: what it is built from, what it reads, and how it seals.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use secrecy::SecretString;

use super::{
    key_owner::KeyOwner,
    settings::{Settings, WebhookSecret, WebhookSignature},
    workspace::{
        aggregate::Workspace,
        view::{ConnectionView, Standing},
        webhook::{Webhook, WebhookState},
    },
};
use crate::{
    alc, attio,
    clock::SharedClock,
    ids::{ConnectionId, WebhookId, WorkspaceId, unit_random},
    lifecycle::Lifecycle,
    sealing::{OpenError, Place, Sealed, Sealer},
    store::{Document, Store, StoreError, Tenant, Versioned},
};

/// The names under which tokens are sealed.
pub(super) const ALC_ACCESS_TOKEN: &str = "alc_access_token";
pub(super) const ALC_REFRESH_TOKEN: &str = "alc_refresh_token";
pub(super) const ATTIO_TOKEN: &str = "attio_token";
pub(super) const WEBHOOK_SECRET: &str = "secret";
pub(super) const ATTIO_SECRET: &str = "attio_secret";

/// How often a task looks for what another task does. A cadence, not a time: every such wait is bounded by the clock.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The service. Clones share everything.
#[derive(Clone)]
pub struct Connections {
    pub(super) store: Store,
    pub(super) sealer: Arc<Sealer>,
    pub(super) alc: alc::Client,
    pub(super) oauth: alc::oauth::OAuth,
    pub(super) attio: attio::Client,
    pub(super) attio_oauth: Option<attio::oauth::OAuth>,
    pub(super) clock: SharedClock,
    pub(super) lifecycle: Lifecycle,
    pub(super) facts_of_lead: ReadLead,
    pub(super) settings: Arc<Settings>,
    pub(super) key_owner: Arc<KeyOwner>,
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
    /// How a lead's document is read.
    pub facts_of_lead: ReadLead,
}

/// What concerns connections in a lead.
#[derive(Debug)]
pub struct FactsOfLead {
    /// The webhooks under which its present send may have gone out.
    pub webhooks: Vec<WebhookId>,
    /// Attio does not yet show what it is to show.
    pub owes_attio: bool,
}

/// Reads them: `leads`, a floor above, knows how it writes its documents.
pub type ReadLead = fn(&Document) -> Result<FactsOfLead, StoreError>;

/// The tenant of a workspace.
pub fn tenant(workspace: WorkspaceId) -> Tenant {
    Tenant::new(workspace)
}

/// Waits in real time: for a store, or for a task that the clock says nothing about.
pub(super) async fn pause(wait: Duration) {
    tokio::time::sleep(wait).await;
}

impl Connections {
    /// The service over these parts.
    pub fn new(parts: Parts, settings: Settings) -> Self {
        let Parts { store, sealer, alc, oauth, attio, attio_oauth, clock, lifecycle, facts_of_lead } = parts;
        Self {
            store,
            sealer,
            alc,
            oauth,
            attio,
            attio_oauth,
            clock,
            lifecycle,
            facts_of_lead,
            settings: Arc::new(settings),
            key_owner: Arc::default(),
        }
    }

    /// Attio's OAuth endpoints, where each connection brings its own grant.
    pub fn attio_oauth(&self) -> Option<&attio::oauth::OAuth> {
        self.attio_oauth.as_ref()
    }

    /// The workspace as it is now.
    pub async fn load(&self, tenant: &Tenant) -> Result<Option<Versioned<Workspace>>, StoreError> {
        self.store.find(tenant, "").await
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
                let view = loaded.value.view(connection, self.base(), self.asked_list()).ok_or(standing);
                view.map(|view| self.without_grant(&loaded.value, view))
            }
        })
    }

    /// What ALC signs this webhook's callbacks with.
    pub fn webhook_secret(&self, workspace: &Workspace, webhook: &Webhook) -> Result<WebhookSecret, OpenError> {
        Ok(match (self.settings.webhook_signature, &webhook.secret) {
            (WebhookSignature::Off, _) | (WebhookSignature::WhenSecretKnown, None) => WebhookSecret::NotNeeded,
            (_, Some(secret)) => WebhookSecret::Known(self.open(workspace.id, webhook.id, WEBHOOK_SECRET, secret)?),
            (WebhookSignature::Required, None) if webhook.state == WebhookState::Intended => WebhookSecret::OnItsWay,
            (WebhookSignature::Required, None) => WebhookSecret::NeverTold,
        })
    }

    /// What Attio signs this webhook's calls with; `None`: it is not known (yet).
    pub fn attio_webhook_secret(
        &self,
        workspace: &Workspace,
        webhook: &Webhook,
    ) -> Result<Option<SecretString>, OpenError> {
        let secret = webhook.secret.as_ref();
        secret.map(|secret| self.open(workspace.id, webhook.id, ATTIO_SECRET, secret)).transpose()
    }

    pub(super) fn seal(
        &self,
        workspace: WorkspaceId,
        owner: impl std::fmt::Display,
        field: &str,
        secret: &SecretString,
    ) -> Sealed {
        let (aggregate, field) = (format!("workspace/{workspace}"), format!("{owner}/{field}"));
        self.sealer.seal(Place { aggregate: &aggregate, field: &field }, secret)
    }

    pub(super) fn open(
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
    pub(super) fn retry_at(&self, attempts: u32, asked: Option<Timestamp>, at_most: Duration) -> Timestamp {
        let schedule = self.settings.retry_schedule.at_most(at_most);
        schedule.next(attempts, unit_random(), asked, self.clock.now())
    }
}
