//! ALC's tokens in use: opened, refreshed, found dead.
//!
//! Promises one refresh at a time over all replicas, claimed by a commit with an end; that whoever lost its claim still
//! records what ALC gave it; that `invalid_grant` is believed only about the refresh token that is stored; and that
//! nobody is disconnected because ALC is away.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

use super::{
    Connections, LOOK_AGAIN, REFRESH_RETRY_AT_MOST, Verdict,
    connection::{Claim, Connection, FreshTokens, Phase},
    facts::Fact,
    pause, tenant,
    workspace::Workspace,
};
use crate::{
    alc::oauth::{TokenError, Tokens},
    clock::{later, until},
    ids::{ConnectionId, WorkspaceId, random_uuid},
    store::{StoreError, Tenant, Versioned},
};

/// An ALC that says 401 to tokens this young would say it to the next as well: every lead would ask for its own.
const REFUSED_AGAIN: Duration = Duration::from_secs(30);

/// A bearer token for ALC.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The token.
    pub access_token: SecretString,
    /// Whose it is.
    pub connection: ConnectionId,
    /// Which of the connection's tokens, for [`Connections::alc_grant_after_401`].
    pub generation: u64,
}

/// Why there is no bearer token for ALC.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NoGrant {
    /// The grant is dead: somebody has to connect again.
    #[error("ALC has to be connected again")]
    ReauthorizationRequired,
    /// There is no current connection.
    #[error("the workspace is not connected")]
    NotConnected,
    /// The token has expired, and ALC does not answer as it should. Nobody is disconnected for that.
    #[error("ALC's token cannot be refreshed now: {detail}")]
    Unavailable {
        /// When it is tried again.
        retry_at: Timestamp,
        /// Why, without secrets.
        detail: String,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What there is to do for somebody who needs other tokens.
enum Renewal {
    /// They are there.
    Ready,
    Dead,
    NotThere,
    /// Somebody else is at it until then.
    Wait(Timestamp),
    /// The last try failed; not again before then.
    NotBefore(Timestamp),
    /// The caller claimed it.
    Claimed(Box<Connection>),
}

impl Connections {
    /// The current connection's token, refreshed first if it has expired. The workspace comes back if it had to be
    /// loaded again: whoever commits against it checks that version.
    pub async fn alc_grant(
        &self,
        tenant: &Tenant,
        workspace: &Versioned<Workspace>,
    ) -> Result<(Grant, Option<Versioned<Workspace>>), NoGrant> {
        let current = living(&workspace.value)?;
        if !current.alc.must_refresh(self.clock.now()) {
            return Ok((self.grant(workspace.value.id, current)?, None));
        }
        let newer = match self.renew(tenant, current.id, current.alc.generation, false).await {
            Ok(newer) => newer,
            // Its last seconds are better than nothing.
            Err(NoGrant::Unavailable { .. }) if current.alc.lives(self.clock.now()) => {
                self.load(tenant).await?.ok_or(NoGrant::NotConnected)?
            }
            // Another took over while its last tokens were asked for.
            Err(NoGrant::NotConnected) => self.load(tenant).await?.ok_or(NoGrant::NotConnected)?,
            Err(error) => return Err(error),
        };
        let grant = self.grant(newer.value.id, living(&newer.value)?)?;
        Ok((grant, Some(newer)))
    }

    /// A token other than `used`, which ALC answered with 401: one that somebody else got meanwhile, or a fresh one.
    /// Where there is none to be had, the grant is dead from now on.
    pub async fn alc_grant_after_401(
        &self,
        tenant: &Tenant,
        used: &Grant,
    ) -> Result<(Grant, Versioned<Workspace>), NoGrant> {
        let mut workspace = self.load(tenant).await?.ok_or(NoGrant::NotConnected)?;
        let current = living(&workspace.value)?;
        if current.id == used.connection && current.alc.generation == used.generation {
            workspace = self.renew(tenant, used.connection, used.generation, true).await?;
            let grant = self.grant(workspace.value.id, living(&workspace.value)?)?;
            return Ok((grant, workspace));
        }
        let (grant, newer) = self.alc_grant(tenant, &workspace).await?;
        Ok((grant, newer.unwrap_or(workspace)))
    }

    /// The connection's token as it is.
    pub(super) fn grant(&self, workspace: WorkspaceId, connection: &Connection) -> Result<Grant, NoGrant> {
        let access_token = self
            .open(workspace, connection.id, "alc_access_token", &connection.alc.access)
            .map_err(|error| self.cannot_open(connection.id, &error))?;
        Ok(Grant { access_token, connection: connection.id, generation: connection.alc.generation })
    }

    fn cannot_open(&self, connection: ConnectionId, error: &crate::sealing::OpenError) -> NoGrant {
        tracing::error!(%connection, %error, "a stored token cannot be opened");
        NoGrant::Unavailable { retry_at: later(self.clock.now(), Duration::from_secs(60)), detail: error.to_string() }
    }

    /// Sees to it that the connection has other tokens than those of `generation`; `refused`: ALC said 401 to them.
    /// Waits for whoever is already at it, for about as long as one call may take.
    pub(super) async fn renew(
        &self,
        tenant: &Tenant,
        id: ConnectionId,
        generation: u64,
        refused: bool,
    ) -> Result<Versioned<Workspace>, NoGrant> {
        let patience = later(self.clock.now(), self.settings.upstream_timeout + Duration::from_secs(2));
        let mut detail = "the last refresh failed".to_owned();
        loop {
            let owner = random_uuid();
            let mut claimed_until = Timestamp::MIN;
            let (renewal, workspace) = self
                .update(tenant, |workspace, now| {
                    claimed_until = later(now, self.claim_duration());
                    let claim = Claim { owner, until: claimed_until };
                    plan_renewal(workspace, id, generation, refused, claim, now)
                })
                .await?;
            match renewal {
                Renewal::Ready => return workspace.ok_or(NoGrant::NotConnected),
                Renewal::Dead => return Err(NoGrant::ReauthorizationRequired),
                Renewal::NotThere => return Err(NoGrant::NotConnected),
                Renewal::NotBefore(retry_at) => return Err(NoGrant::Unavailable { retry_at, detail }),
                Renewal::Wait(retry_at) if self.clock.now() >= patience => {
                    let detail = "somebody else is refreshing it".to_owned();
                    return Err(NoGrant::Unavailable { retry_at, detail });
                }
                Renewal::Wait(_) => pause(LOOK_AGAIN).await,
                // The store took so long that another may claim it while ALC is being asked.
                Renewal::Claimed(_) if later(self.clock.now(), self.settings.upstream_timeout) > claimed_until => {}
                Renewal::Claimed(connection) => {
                    // In a task of its own: tokens that ALC has given must be recorded, whoever hung up.
                    let (this, tenant) = (self.clone(), tenant.clone());
                    let workspace = workspace.ok_or(NoGrant::NotConnected)?.value.id;
                    let asked = self.lifecycle.spawn(async move {
                        let (fact, detail) = this.ask_for_tokens(workspace, &connection, owner).await;
                        this.record(&tenant, None, None, &[fact]).await.map(|_| detail)
                    });
                    let lost = |_| StoreError::Unavailable("the refresh was cut off".to_owned());
                    if let Some(why) = asked.await.map_err(lost)?? {
                        detail = why;
                    }
                }
            }
        }
    }

    /// How long a refresh is claimed: well above what the call may take.
    pub(super) fn claim_duration(&self) -> Duration {
        self.settings.upstream_timeout * 2 + Duration::from_secs(5)
    }

    /// One call to ALC's token endpoint, by whoever claimed it; what it came to, and in words if it failed.
    pub(super) async fn ask_for_tokens(
        &self,
        workspace: WorkspaceId,
        connection: &Connection,
        owner: Uuid,
    ) -> (Fact, Option<String>) {
        let id = connection.id;
        let generation = connection.alc.generation;
        let refresh = connection.alc.refresh.as_ref().map(|it| self.open(workspace, id, "alc_refresh_token", it));
        let detail = match refresh {
            None => return (Fact::RefreshRefused { connection: id, owner, generation }, None),
            Some(Err(error)) => error.to_string(),
            Some(Ok(refresh)) => {
                let requested_at = self.clock.now();
                match self.oauth.refresh(&refresh).await {
                    Ok(tokens) => {
                        tracing::info!(%workspace, connection = %id, "refreshed ALC's tokens");
                        let tokens = self.seal_tokens(workspace, id, &tokens, requested_at);
                        return (Fact::Refreshed { connection: id, owner, tokens }, None);
                    }
                    Err(TokenError::InvalidGrant) => {
                        tracing::warn!(%workspace, connection = %id, "ALC says that its grant is dead");
                        return (Fact::RefreshRefused { connection: id, owner, generation }, None);
                    }
                    Err(error) => error.to_string(),
                }
            }
        };
        tracing::warn!(%workspace, connection = %id, detail, "could not refresh ALC's tokens");
        let retry_at = self.retry_at(connection.alc.attempts, None, REFRESH_RETRY_AT_MOST);
        (Fact::RefreshFailed { connection: id, owner, retry_at }, Some(detail))
    }

    /// Gives back tokens that no connection keeps; of a known workspace, unless a connection of it that needs its own
    /// holds them: some servers give the same ones again.
    pub async fn give_back(&self, workspace: Option<WorkspaceId>, tokens: &Tokens) -> Result<(), String> {
        let found = match workspace {
            Some(workspace) => self.load(&tenant(workspace)).await.map_err(|error| error.to_string())?,
            None => None,
        };
        let found = found.as_ref().map(|found| &found.value);
        self.revoke_unheld(found, None, &tokens.access, tokens.refresh.as_ref()).await
    }

    /// The same for tokens that came for a connection which is no longer there to have them. Tried once: nothing is
    /// left that could remember it.
    pub(super) async fn revoke_orphans(
        &self,
        workspace: WorkspaceId,
        found: Option<&Workspace>,
        id: ConnectionId,
        tokens: &FreshTokens,
    ) {
        let access = self.open(workspace, id, "alc_access_token", &tokens.access);
        let refresh = tokens.refresh.as_ref().map(|it| self.open(workspace, id, "alc_refresh_token", it)).transpose();
        let (Ok(access), Ok(refresh)) = (access, refresh) else { return };
        if let Err(error) = self.revoke_unheld(found, None, &access, refresh.as_ref()).await {
            tracing::warn!(%workspace, connection = %id, %error, "could not revoke tokens of a removed connection");
        }
    }

    /// Revokes a leaving connection's tokens, unless another holds them.
    pub(super) async fn revoke_own(&self, workspace: &Workspace, connection: &Connection) -> Result<(), String> {
        let (access, refresh) = self.opened(workspace.id, connection).map_err(|error| error.to_string())?;
        self.revoke_unheld(Some(workspace), Some(connection.id), &access, refresh.as_ref()).await
    }

    async fn revoke_unheld(
        &self,
        found: Option<&Workspace>,
        not_by: Option<ConnectionId>,
        access: &SecretString,
        refresh: Option<&SecretString>,
    ) -> Result<(), String> {
        let held = found.map(|found| self.is_held(found, not_by, access, refresh)).transpose();
        if held.map_err(|error| error.to_string())?.unwrap_or_default() {
            return Ok(());
        }
        // A refresh token takes the access tokens with it at many servers (RFC 7009 §2.1), but not at all.
        for token in refresh.into_iter().chain([access]) {
            match self.oauth.revoke(token).await {
                Ok(()) | Err(TokenError::InvalidGrant) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    fn opened(
        &self,
        workspace: WorkspaceId,
        of: &Connection,
    ) -> Result<(SecretString, Option<SecretString>), crate::sealing::OpenError> {
        let refresh = of.alc.refresh.as_ref().map(|it| self.open(workspace, of.id, "alc_refresh_token", it));
        let access = self.open(workspace, of.id, "alc_access_token", &of.alc.access)?;
        Ok((access, refresh.transpose()?))
    }

    /// Whether a connection that needs its tokens holds one of these. Fails where they cannot be opened.
    fn is_held(
        &self,
        workspace: &Workspace,
        not_by: Option<ConnectionId>,
        access: &SecretString,
        refresh: Option<&SecretString>,
    ) -> Result<bool, crate::sealing::OpenError> {
        for other in workspace.connections.iter().filter(|it| Some(it.id) != not_by && workspace.lives_by_alc(it)) {
            let (others_access, others_refresh) = self.opened(workspace.id, other)?;
            let same_refresh = match (refresh, &others_refresh) {
                (Some(one), Some(other)) => one.expose_secret() == other.expose_secret(),
                _ => false,
            };
            if same_refresh || access.expose_secret() == others_access.expose_secret() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The current connection, if its grant lives.
fn living(workspace: &Workspace) -> Result<&Connection, NoGrant> {
    let current = workspace.current().ok_or(NoGrant::NotConnected)?;
    if current.alc.dead { Err(NoGrant::ReauthorizationRequired) } else { Ok(current) }
}

fn plan_renewal(
    workspace: Option<&mut Workspace>,
    id: ConnectionId,
    generation: u64,
    refused: bool,
    claim: Claim,
    now: Timestamp,
) -> Verdict<Renewal> {
    let Some(workspace) = workspace else { return Verdict::Leave(Renewal::NotThere) };
    let Some(connection) = workspace.connection_mut(id) else { return Verdict::Leave(Renewal::NotThere) };
    if connection.phase == Phase::Leaving {
        return Verdict::Leave(Renewal::NotThere);
    }
    if connection.alc.dead {
        return Verdict::Leave(Renewal::Dead);
    }
    if connection.alc.generation != generation {
        return Verdict::Leave(Renewal::Ready);
    }
    if let Some(other) = connection.refreshing.filter(|other| other.is_live(now)) {
        return Verdict::Leave(Renewal::Wait(other.until));
    }
    let alc = &connection.alc;
    if refused && alc.generation > 1 && until(alc.requested_at, now) < REFUSED_AGAIN {
        return Verdict::Leave(Renewal::NotBefore(later(alc.requested_at, REFUSED_AGAIN)));
    }
    let before = connection.alc.expires_at;
    if refused {
        connection.alc.access_refused(generation, now);
    }
    if connection.alc.dead {
        return Verdict::Write(Renewal::Dead);
    }
    if let Some(retry_at) = connection.alc.retry_at.filter(|retry_at| now < *retry_at) {
        let renewal = Renewal::NotBefore(retry_at);
        return if connection.alc.expires_at == before { Verdict::Leave(renewal) } else { Verdict::Write(renewal) };
    }
    if !workspace.claim_refresh(id, claim, now) {
        // Expired, and no refresh token: ALC decides what it is still good for.
        return Verdict::Leave(Renewal::Ready);
    }
    match workspace.connection(id) {
        Some(connection) => Verdict::Write(Renewal::Claimed(Box::new(connection.clone()))),
        None => Verdict::Leave(Renewal::NotThere),
    }
}
