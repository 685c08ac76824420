//! Connection-added: Attio checked, its attributes made, its webhook made, ALC's webhook intended, then created, and the connection takes over.
//!
//! Promises that nothing is made twice, that a concurrent call waits for the first, and that a failure undoes what was
//! made: what has to be undone is in the state, with a due time, so that a crash undoes it too. Goes on when the caller
//! hangs up, in a task that a drain waits for.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

use super::{
    Connections, Grant, IdentifyError, LOOK_AGAIN, NoGrant, PATIENT_TRIES, Verdict, WebhookSignature,
    connection::{Claim, Connection},
    facts::Fact,
    pause, tenant,
    webhook::Webhook,
    workspace::{ConnectionView, Standing, Workspace},
};
use crate::{
    alc::{CallError, CreatedWebhook},
    clock::later,
    ids::{ConnectionId, OpaqueToken, WebhookId, WorkspaceId, random_uuid},
    lifecycle,
    store::{StoreError, Tenant},
};

/// How long connection-added may take in all.
const TIME_LIMIT: Duration = Duration::from_secs(20);
/// How much longer somebody waits for a takeover that is being written: Attio gives it 30 seconds. Not a time but a
/// store's delay, so the clock has no say.
const TAKEOVER_PATIENCE: Duration = Duration::from_secs(5);
/// The wait before a call that failed is made again.
pub(super) const CALL_AGAIN: Duration = Duration::from_millis(500);
/// How often a call is made at most while somebody waits.
pub(super) const CALLS: u32 = 3;

/// The connection works.
#[derive(Debug, Clone)]
pub struct Connected {
    /// It became current now; `false`: it already was.
    pub newly: bool,
    /// The connection.
    pub view: ConnectionView,
}

/// Why a connection does not work, named by what to do.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ConnectError {
    /// A user's connection: add one for the workspace.
    #[error("the connection must belong to the workspace, not to a user")]
    WorkspaceConnectionRequired,
    /// The event is about another workspace than the token.
    #[error("{0}")]
    WorkspaceMismatch(&'static str),
    /// Attio's API key belongs to another workspace: the operator has to change it.
    #[error("{0}")]
    WorkspaceRefused(&'static str),
    /// No such connection: connect again.
    #[error("the connection is not known: connect again")]
    Unknown,
    /// The connection is being removed: connect again.
    #[error("the connection is being removed: connect again")]
    Leaving,
    /// The workspace has connected again since: use the newer connection.
    #[error("the connection was replaced by a newer one")]
    Replaced,
    /// ALC or Attio refuses what is needed; its words, or what to change.
    #[error("{0}")]
    Refused(String),
    /// ALC's tokens are dead: connect again.
    #[error("ALC's authorization is no longer valid: connect again")]
    ReauthorizationRequired,
    /// ALC or Attio gave no clear answer: try again.
    #[error("{0}")]
    Unavailable(String),
    /// Not done in time; what was made is undone.
    #[error("not done within 20 seconds; what was made is undone: connect again")]
    Timeout,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What somebody who wants to connect finds.
enum Found {
    Claimed,
    Connected(ConnectionView),
    Busy,
    Error(ConnectError),
}

/// A webhook that is stored and about to be created. No `Debug`: the URL is secret.
struct Intent {
    id: WebhookId,
    name: String,
    url: SecretString,
}

/// One attempt, claimed.
pub(super) struct Attempt {
    pub(super) tenant: Tenant,
    pub(super) workspace: WorkspaceId,
    pub(super) connection: ConnectionId,
    pub(super) owner: Uuid,
    pub(super) deadline: Timestamp,
    /// Whether it may take over: decided once, by who comes first, the takeover or the end of the caller's wait.
    takes_over: OnceLock<bool>,
}

impl Attempt {
    fn takes_over(&self, in_time: bool) -> bool {
        *self.takes_over.get_or_init(|| in_time)
    }
}

impl Connections {
    /// Makes the connection work and makes it the current one. `workspace` and `connection` are what our token says,
    /// `owned_by_*` what Attio's Connection object says. Goes on when the caller hangs up.
    pub async fn connection_added(
        &self,
        workspace: WorkspaceId,
        connection: ConnectionId,
        owned_by_type: &str,
        owned_by_id: &str,
    ) -> Result<Connected, ConnectError> {
        if owned_by_type != "workspace" {
            return Err(ConnectError::WorkspaceConnectionRequired);
        }
        if owned_by_id.parse() != Ok(workspace) {
            return Err(ConnectError::WorkspaceMismatch("connect the workspace that the access token was granted for"));
        }
        let attempt = Arc::new(Attempt {
            tenant: tenant(workspace),
            workspace,
            connection,
            owner: random_uuid(),
            deadline: later(self.clock.now(), TIME_LIMIT),
            takes_over: OnceLock::new(),
        });
        let (this, its) = (self.clone(), attempt.clone());
        let mut connecting = self.lifecycle.spawn(async move { this.connect(&its).await });
        let connected = tokio::select! {
            biased;
            connected = &mut connecting => connected,
            () = self.clock.sleep_until(attempt.deadline) => {
                if !attempt.takes_over(false) {
                    return Err(ConnectError::Timeout);
                }
                // The takeover is being written: only its end tells what is true. Nobody waits for the store for ever.
                match tokio::time::timeout(TAKEOVER_PATIENCE, connecting).await {
                    Ok(connected) => connected,
                    Err(_) => return Err(ConnectError::Timeout),
                }
            }
        };
        connected.unwrap_or_else(|error| lifecycle::resume(error))
    }

    async fn connect(&self, attempt: &Attempt) -> Result<Connected, ConnectError> {
        loop {
            // The last request may begin just before the deadline; until it has ended nobody else begins.
            let until = later(attempt.deadline, self.claim_duration());
            let claim = Claim { owner: attempt.owner, until };
            let (found, _) =
                self.update(&attempt.tenant, |found, now| look(found, attempt.connection, claim, now)).await?;
            match found {
                Found::Claimed => break,
                Found::Connected(view) => return Ok(Connected { newly: false, view }),
                Found::Error(error) => return Err(error),
                Found::Busy if self.clock.now() >= attempt.deadline => return Err(ConnectError::Timeout),
                Found::Busy => pause(LOOK_AGAIN).await,
            }
        }
        let connected = match self.carry_out(attempt).await {
            // A takeover whose answer was lost for long may have been written all the same: the state tells.
            Err(error) => match self.undo(attempt).await {
                Some(view) => Ok(Connected { newly: true, view }),
                None => Err(error),
            },
            connected => connected,
        };
        match &connected {
            Ok(_) => {
                tracing::info!(workspace = %attempt.workspace, connection = %attempt.connection, "connected");
            }
            Err(error) => {
                tracing::warn!(workspace = %attempt.workspace, connection = %attempt.connection, %error, "not connected");
            }
        }
        connected
    }

    async fn carry_out(&self, attempt: &Attempt) -> Result<Connected, ConnectError> {
        self.check_attio(attempt).await?;
        self.ensure_schema(attempt).await?;
        self.subscribe(attempt).await?;
        let mut grant = self.connecting_grant(attempt, None).await?;
        let mut intent = self.intend(attempt, None).await?;
        let mut made = self.make_webhook(attempt, &grant, &mut intent).await?;
        if made.is_none() {
            grant = self.connecting_grant(attempt, Some(&grant)).await?;
            made = self.make_webhook(attempt, &grant, &mut intent).await?;
        }
        let made = made.ok_or(ConnectError::ReauthorizationRequired)?;
        self.keep(attempt, intent.id, &made).await?;
        self.judge_secret(&made)?;
        self.take_over(attempt).await
    }

    /// Attio's credential works, and for this workspace.
    async fn check_attio(&self, attempt: &Attempt) -> Result<(), ConnectError> {
        for tries in 1.. {
            self.in_time(attempt)?;
            let workspace = self.load(&attempt.tenant).await?.ok_or(ConnectError::Unknown)?.value;
            let token = self.attio_token_of(workspace.id, find(&workspace, attempt.connection)?);
            return match self.identify_workspace(token.as_ref()).await {
                Ok(workspace) if workspace == attempt.workspace => Ok(()),
                Ok(_) => Err(ConnectError::WorkspaceRefused(
                    "Attio's API key belongs to another workspace: set ATTIO__API_KEY to one of this workspace",
                )),
                Err(error @ IdentifyError::Inactive) if self.attio_oauth.is_some() => {
                    Err(ConnectError::Refused(format!("{error} of this connection any more: connect again")))
                }
                Err(IdentifyError::Unavailable(_)) if tries < CALLS => {
                    pause(CALL_AGAIN).await;
                    continue;
                }
                Err(error @ IdentifyError::Unavailable(_)) => Err(ConnectError::Unavailable(error.to_string())),
                Err(error @ IdentifyError::Inactive) => {
                    Err(ConnectError::Refused(format!("{error}: set ATTIO__API_KEY to one that is active")))
                }
                Err(error @ IdentifyError::Refused(_)) => Err(ConnectError::Refused(error.to_string())),
            };
        }
        Err(ConnectError::Timeout)
    }

    /// The token of the connection that connects; another one than `refused`.
    async fn connecting_grant(&self, attempt: &Attempt, refused: Option<&Grant>) -> Result<Grant, ConnectError> {
        self.in_time(attempt)?;
        let mut workspace = self.load(&attempt.tenant).await?.ok_or(ConnectError::Unknown)?;
        let id = attempt.connection;
        let alc = &find(&workspace.value, id)?.alc;
        if alc.dead {
            return Err(ConnectError::ReauthorizationRequired);
        }
        let same = refused.is_some_and(|refused| refused.generation == alc.generation);
        if same || alc.must_refresh(self.clock.now()) {
            workspace = self.renew(&attempt.tenant, id, alc.generation, same).await.map_err(no_grant)?;
        }
        self.grant(attempt.workspace, find(&workspace.value, id)?).map_err(no_grant)
    }

    /// Stores what is about to be created, so that it is found and deleted if its creation is not heard of again;
    /// `instead` of one that may or may not be there, which is not wanted any more.
    async fn intend(&self, attempt: &Attempt, instead: Option<WebhookId>) -> Result<Intent, ConnectError> {
        self.in_time(attempt)?;
        let token = OpaqueToken::new(attempt.workspace);
        let base = self.settings.public_url.as_str().trim_end_matches('/');
        let url = SecretString::from(format!("{base}/webhooks/alc/{}", token.to_text().expose_secret()));
        let webhook = Webhook::intended(WebhookId::random(), attempt.connection, token.hash(), self.clock.now());
        let (intended, _) = self
            .update(&attempt.tenant, |workspace, now| {
                let intended = workspace.is_some_and(|workspace| {
                    if let Some(lost) = instead.and_then(|lost| workspace.webhook_mut(lost)) {
                        lost.unwanted(now);
                    }
                    workspace.intend_webhook(webhook.clone(), attempt.owner)
                });
                if intended { Verdict::Write(true) } else { Verdict::Leave(false) }
            })
            .await?;
        if intended { Ok(Intent { id: webhook.id, name: webhook.name(), url }) } else { Err(ConnectError::Leaving) }
    }

    /// Creates the webhook at ALC; `None`: ALC refuses the token.
    async fn make_webhook(
        &self,
        attempt: &Attempt,
        grant: &Grant,
        intent: &mut Intent,
    ) -> Result<Option<CreatedWebhook>, ConnectError> {
        let token = &grant.access_token;
        let mut last = String::new();
        let mut lost = None;
        for tries in 0..CALLS {
            if tries > 0 {
                pause(CALL_AGAIN).await;
            }
            if let Some(lost) = lost.take() {
                *intent = self.intend(attempt, Some(lost)).await?;
            }
            self.in_time(attempt)?;
            match self.alc.create_webhook(token, &intent.name, &intent.url).await {
                Ok(created) if created.id.is_some() => return Ok(Some(created)),
                Ok(created) => {
                    // Made, but nobody said what it is called. Without an id it cannot be deleted later.
                    let id = self.alc.list_webhooks(token).await.ok().and_then(|listed| named(listed, &intent.name));
                    return Ok(Some(CreatedWebhook { id, ..created }));
                }
                Err(CallError::Unauthorized) => return Ok(None),
                Err(error @ CallError::RateLimited { until }) => {
                    last = error.to_string();
                    if until >= attempt.deadline {
                        break;
                    }
                    self.clock.sleep_until(until).await;
                }
                Err(error @ CallError::NotSent { .. }) => last = error.to_string(),
                Err(error @ (CallError::Unknown { .. } | CallError::Unreadable { .. })) => {
                    last = error.to_string();
                    self.in_time(attempt)?;
                    if self.alc.list_webhooks(token).await.is_err() {
                        // Whatever is made now could never be told from what comes of this one.
                        break;
                    }
                    // ALC may have made it, or make it yet: it is cleaned up under its own name. Its secret was in the
                    // answer, so the next one has a name, a URL and a secret of its own.
                    lost = Some(intent.id);
                }
                Err(error) => {
                    return Err(ConnectError::Refused(format!("ALC does not register the webhook: {error}")));
                }
            }
        }
        Err(ConnectError::Unavailable(format!("ALC could not register the webhook: {last}")))
    }

    /// Records what ALC made before anything else can go wrong: an ALC that lists nothing tells its id only once.
    async fn keep(&self, attempt: &Attempt, webhook: WebhookId, made: &CreatedWebhook) -> Result<(), ConnectError> {
        let secret = made.secret.as_ref().map(|secret| self.seal(attempt.workspace, webhook, "secret", secret));
        let made = Fact::WebhookRegistered { webhook, alc_id: made.id.clone(), secret };
        self.record(&attempt.tenant, None, None, &[made]).await?;
        Ok(())
    }

    fn judge_secret(&self, created: &CreatedWebhook) -> Result<(), ConnectError> {
        if self.settings.webhook_signature == WebhookSignature::Required && created.secret.is_none() {
            return Err(ConnectError::Refused(
                "ALC gave no secret to sign its callbacks with, and ALC__WEBHOOK_SIGNATURE is `required`".to_owned(),
            ));
        }
        Ok(())
    }

    async fn take_over(&self, attempt: &Attempt) -> Result<Connected, ConnectError> {
        let (connected, workspace) = self
            .update(&attempt.tenant, |workspace, now| {
                let Some(workspace) = workspace else { return Verdict::Leave(Err(ConnectError::Leaving)) };
                if !attempt.takes_over(now < attempt.deadline) {
                    return Verdict::Leave(Err(ConnectError::Timeout));
                }
                let connected = workspace.connected(attempt.connection, attempt.owner, now);
                if connected { Verdict::Write(Ok(())) } else { Verdict::Leave(Err(ConnectError::Leaving)) }
            })
            .await?;
        connected?;
        let view = workspace.and_then(|workspace| workspace.value.view(attempt.connection));
        Ok(Connected { newly: true, view: view.ok_or(ConnectError::Leaving)? })
    }

    /// Leaves to the background what was made. If even that cannot be written, the claim lapses, to the same effect.
    /// The connection comes back if there is nothing to undo because it has taken over.
    async fn undo(&self, attempt: &Attempt) -> Option<ConnectionView> {
        for tries in 0..PATIENT_TRIES / 4 {
            let undone = self
                .update(&attempt.tenant, |workspace, now| match workspace {
                    Some(workspace) if workspace.is_connecting(attempt.connection, attempt.owner) => {
                        workspace.connect_failed(attempt.connection, attempt.owner, now);
                        Verdict::Write(None)
                    }
                    Some(workspace) if workspace.current().is_some_and(|it| it.id == attempt.connection) => {
                        Verdict::Leave(workspace.view(attempt.connection))
                    }
                    _ => Verdict::Leave(None),
                })
                .await;
            match undone {
                Ok((connected, _)) => return connected,
                Err(_) => pause(LOOK_AGAIN * tries).await,
            }
        }
        None
    }

    pub(super) fn in_time(&self, attempt: &Attempt) -> Result<(), ConnectError> {
        if self.clock.now() < attempt.deadline { Ok(()) } else { Err(ConnectError::Timeout) }
    }
}

fn look(workspace: Option<&mut Workspace>, id: ConnectionId, claim: Claim, now: Timestamp) -> Verdict<Found> {
    let Some(workspace) = workspace else { return Verdict::Leave(Found::Error(ConnectError::Unknown)) };
    match workspace.standing(id) {
        Standing::Unknown => Verdict::Leave(Found::Error(ConnectError::Unknown)),
        Standing::Leaving => Verdict::Leave(Found::Error(ConnectError::Leaving)),
        Standing::Replaced => Verdict::Leave(Found::Error(ConnectError::Replaced)),
        Standing::Current | Standing::ReauthorizationRequired => Verdict::Leave(match workspace.view(id) {
            Some(view) => Found::Connected(view),
            None => Found::Error(ConnectError::Unknown),
        }),
        Standing::Incoming if workspace.claim_connecting(id, claim, now) => Verdict::Write(Found::Claimed),
        Standing::Incoming => Verdict::Leave(Found::Busy),
    }
}

fn find(workspace: &Workspace, id: ConnectionId) -> Result<&Connection, ConnectError> {
    workspace.connection(id).ok_or(ConnectError::Leaving)
}

/// ALC's id of the webhook of that name.
pub(super) fn named(listed: Vec<crate::alc::ListedWebhook>, name: &str) -> Option<String> {
    listed.into_iter().find(|webhook| webhook.name.as_deref() == Some(name)).map(|webhook| webhook.id)
}

fn no_grant(error: NoGrant) -> ConnectError {
    match error {
        NoGrant::ReauthorizationRequired => ConnectError::ReauthorizationRequired,
        NoGrant::NotConnected => ConnectError::Leaving,
        NoGrant::Unavailable { detail, .. } => ConnectError::Unavailable(format!("ALC's token endpoint: {detail}")),
        NoGrant::Store(error) => ConnectError::Store(error),
    }
}
