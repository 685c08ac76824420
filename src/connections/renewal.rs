//! How ALC's tokens are renewed, and what ALC's refusal of a refresh token means.
//!
//! Promises one refresh at a time over all replicas, claimed by a commit with an end; that a task which lost its claim
//! still records what ALC gave it; that `invalid_grant` is believed only about the refresh token that is stored; and
//! that tokens which come too late for a connection are given back.

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    alc_grant::NoGrant,
    service::{ALC_REFRESH_TOKEN, Connections, LOOK_AGAIN, pause},
    workspace::{
        aggregate::Workspace,
        claim::Claim,
        connection::{Connection, Phase},
        grant::{AlcGrant, FreshTokens},
    },
    writing::{Edit, leave_lease},
};
use crate::{
    alc::oauth::TokenError,
    clock::{later, until},
    ids::{ConnectionId, WorkspaceId, random_uuid},
    sealing::Sealed,
    store::{LeaseChange, StoreError, Tenant, Versioned},
    telemetry,
};

/// The longest wait between two refreshes that failed: leads are waiting for the grant.
const REFRESH_RETRY_AT_MOST: Duration = Duration::from_secs(5 * 60);
/// The same for the first few refreshes that ALC refuses clearly: they decide whether the grant is dead.
const DENIED_RETRY_AT_MOST: Duration = Duration::from_secs(60);
const DENIED_TRIES: u32 = 5;
/// An ALC that says 401 to tokens this young would say it to the next as well: every lead would ask for its own.
const REFUSED_AGAIN: Duration = Duration::from_secs(30);
/// How much longer than one call a caller waits for the task that is refreshing.
const MORE_THAN_A_CALL: Duration = Duration::from_secs(2);

/// What a caller that needs other tokens has to do.
enum Renewal {
    /// They are there.
    Ready,
    Dead,
    NotThere,
    /// Another task is at it until then.
    Wait(Timestamp),
    /// The last try failed; not again before then.
    NotBefore(Timestamp),
    /// The caller claimed it.
    Claimed(Box<Connection>),
}

/// Whose tokens are renewed, and by which task.
#[derive(Debug, Clone, Copy)]
struct Renewing {
    connection: ConnectionId,
    generation: u64,
    owner: Uuid,
}

/// What ALC's token endpoint answered.
enum RefreshAnswer {
    Fresh(FreshTokens),
    /// `invalid_grant`, in whatever form.
    Dead,
    /// A clear refusal for another reason.
    Denied {
        retry_at: Timestamp,
        detail: String,
    },
    /// No clear answer, or an access token that cannot be used; beside it ALC may have given a refresh token, sealed.
    Failed {
        retry_at: Timestamp,
        detail: String,
        rotated: Option<Sealed>,
    },
}

impl RefreshAnswer {
    /// The word for it in the metrics.
    const fn name(&self) -> &'static str {
        match self {
            Self::Fresh(_) => "refreshed",
            Self::Dead => "dead",
            Self::Denied { .. } => "refused",
            Self::Failed { .. } => "failed",
        }
    }

    /// Records it; `false`: there is no connection any more to have the tokens.
    fn record(&self, workspace: &mut Workspace, whose: Renewing, now: Timestamp) -> bool {
        let Renewing { connection, generation, owner } = whose;
        match self {
            Self::Fresh(tokens) => return workspace.refreshed(connection, tokens.clone(), owner, now),
            Self::Dead => workspace.refresh_refused(connection, generation, owner),
            Self::Denied { retry_at, .. } => {
                if workspace.refresh_denied(connection, generation, owner, *retry_at, now) {
                    tracing::warn!(workspace = %workspace.id, %connection, "ALC refuses its grant again and again");
                }
            }
            Self::Failed { retry_at, rotated, .. } => {
                if let Some(refresh) = rotated {
                    workspace.refresh_rotated(connection, generation, refresh.clone());
                }
                workspace.refresh_failed(connection, owner, *retry_at);
            }
        }
        true
    }
}

impl Connections {
    /// Sees to it that the connection has other tokens than those of `generation`; `refused`: ALC said 401 to them.
    /// Waits for the task that is already at it, for about as long as one call may take.
    pub(super) async fn renew(
        &self,
        tenant: &Tenant,
        id: ConnectionId,
        generation: u64,
        refused: bool,
    ) -> Result<Versioned<Workspace>, NoGrant> {
        let wait_until = later(self.clock.now(), self.settings.upstream_timeout + MORE_THAN_A_CALL);
        let mut detail = if refused { "ALC refused the access token" } else { "the last refresh failed" }.to_owned();
        loop {
            let owner = random_uuid();
            let mut claimed_until = Timestamp::MIN;
            let (renewal, workspace) = self
                .update(tenant, |workspace, now| {
                    claimed_until = later(now, self.claim_duration());
                    plan_renewal(workspace, id, generation, refused, Claim::new(owner, claimed_until), now)
                })
                .await?;
            match renewal {
                Renewal::Ready => return workspace.ok_or(NoGrant::NotConnected),
                Renewal::Dead => return Err(NoGrant::ReauthorizationRequired),
                Renewal::NotThere => return Err(NoGrant::NotConnected),
                Renewal::NotBefore(retry_at) => return Err(NoGrant::Unavailable { retry_at, detail }),
                Renewal::Wait(retry_at) if self.clock.now() >= wait_until => {
                    let detail = "another task is refreshing it".to_owned();
                    return Err(NoGrant::Unavailable { retry_at, detail });
                }
                Renewal::Wait(_) => pause(LOOK_AGAIN).await,
                // The store took so long that another task may claim it while ALC is being asked.
                Renewal::Claimed(_) if later(self.clock.now(), self.settings.upstream_timeout) > claimed_until => {}
                Renewal::Claimed(connection) => {
                    let workspace = workspace.ok_or(NoGrant::NotConnected)?.value.id;
                    if let Some(why) = self.refresh_in_background(tenant, workspace, connection, owner).await? {
                        detail = why;
                    }
                }
            }
        }
    }

    /// In a task of its own: tokens that ALC has given must be recorded, also when the caller hangs up.
    async fn refresh_in_background(
        &self,
        tenant: &Tenant,
        workspace: WorkspaceId,
        connection: Box<Connection>,
        owner: Uuid,
    ) -> Result<Option<String>, StoreError> {
        let (this, tenant) = (self.clone(), tenant.clone());
        let refreshed = self.lifecycle.spawn(async move {
            let (_, detail) = this.refresh(&tenant, workspace, &connection, owner, None, leave_lease).await?;
            Ok(detail)
        });
        refreshed.await.map_err(|_| StoreError::Unavailable("the refresh was cut off".to_owned()))?
    }

    /// How long a refresh is claimed: well above what the call may take.
    pub(super) fn claim_duration(&self) -> Duration {
        self.settings.upstream_timeout * 2 + Duration::from_secs(5)
    }

    /// Asks ALC for new tokens, as the task that claimed it, and records the answer, beginning on `start`. Returns the
    /// workspace as it is then, and why there are no tokens if that may pass.
    pub(super) async fn refresh(
        &self,
        tenant: &Tenant,
        workspace: WorkspaceId,
        connection: &Connection,
        owner: Uuid,
        start: Option<Versioned<Workspace>>,
        lease: impl Fn(&Versioned<Workspace>, Timestamp) -> LeaseChange,
    ) -> Result<(Option<Versioned<Workspace>>, Option<String>), StoreError> {
        let whose = Renewing { connection: connection.id, generation: connection.alc.generation, owner };
        let answer = self.ask_for_tokens(workspace, connection).await;
        telemetry::refresh(answer.name());
        let fact = |found: &mut Workspace, now| answer.record(found, whose, now);
        let recorded = self.record(tenant, start, lease, fact).await?;
        let kept = recorded.as_ref().is_some_and(|(kept, _)| *kept);
        let found = recorded.map(|(_, found)| found);
        match answer {
            RefreshAnswer::Fresh(tokens) => {
                if !kept {
                    self.revoke_orphans(workspace, found.as_ref().map(|it| &*it.value), connection.id, &tokens).await;
                }
                Ok((found, None))
            }
            RefreshAnswer::Dead => Ok((found, None)),
            RefreshAnswer::Denied { detail, .. } | RefreshAnswer::Failed { detail, .. } => Ok((found, Some(detail))),
        }
    }

    /// One call to ALC's token endpoint.
    async fn ask_for_tokens(&self, workspace: WorkspaceId, of: &Connection) -> RefreshAnswer {
        let id = of.id;
        let refresh = of.alc.refresh.as_ref().map(|it| self.open(workspace, id, ALC_REFRESH_TOKEN, it));
        let mut rotated = None;
        let detail = match refresh {
            None => return RefreshAnswer::Dead,
            Some(Err(error)) => error.to_string(),
            Some(Ok(refresh)) => {
                let requested_at = self.clock.now();
                match self.oauth.refresh(&refresh).await {
                    Ok(tokens) => {
                        tracing::info!(%workspace, connection = %id, "refreshed ALC's tokens");
                        return RefreshAnswer::Fresh(self.seal_tokens(workspace, id, &tokens, requested_at));
                    }
                    Err(TokenError::InvalidGrant) => {
                        tracing::warn!(%workspace, connection = %id, "ALC says that its grant is dead");
                        return RefreshAnswer::Dead;
                    }
                    Err(error @ TokenError::Refused { .. }) => {
                        let detail = error.to_string();
                        tracing::warn!(%workspace, connection = %id, detail, "ALC refused to refresh its tokens");
                        let now = self.clock.now();
                        let at_most = if of.alc.retry.attempts < DENIED_TRIES {
                            DENIED_RETRY_AT_MOST
                        } else {
                            REFRESH_RETRY_AT_MOST
                        };
                        let by_schedule = self.retry_at(of.alc.retry.attempts, None, at_most);
                        return RefreshAnswer::Denied { retry_at: AlcGrant::denied_again_at(by_schedule, now), detail };
                    }
                    // Something unusable was granted. It is not revoked: with many servers that would end the whole
                    // grant, by which the connection still lives. A refresh token beside it is kept: the one that was
                    // sent may have ended with it.
                    Err(error) => {
                        if let TokenError::Unusable { leftover, .. } = &error {
                            let seal = |it| self.seal(workspace, id, ALC_REFRESH_TOKEN, it);
                            rotated = leftover.refresh.as_ref().map(seal);
                        }
                        error.to_string()
                    }
                }
            }
        };
        // Once, and not each time that it is tried again: the metrics count those.
        if of.alc.retry.attempts == 0 {
            tracing::warn!(%workspace, connection = %id, detail, "could not refresh ALC's tokens");
        } else {
            tracing::debug!(%workspace, connection = %id, detail, "could not refresh ALC's tokens again");
        }
        let retry_at = self.retry_at(of.alc.retry.attempts, None, REFRESH_RETRY_AT_MOST);
        RefreshAnswer::Failed { retry_at, detail, rotated }
    }
}

fn plan_renewal(
    workspace: Option<&mut Workspace>,
    id: ConnectionId,
    generation: u64,
    refused: bool,
    claim: Claim,
    now: Timestamp,
) -> Edit<Renewal> {
    let Some(workspace) = workspace else { return Edit::Leave(Renewal::NotThere) };
    let Some(connection) = workspace.connection_mut(id) else { return Edit::Leave(Renewal::NotThere) };
    if connection.phase == Phase::Leaving {
        return Edit::Leave(Renewal::NotThere);
    }
    if connection.alc.dead {
        return Edit::Leave(Renewal::Dead);
    }
    if connection.alc.generation != generation {
        return Edit::Leave(Renewal::Ready);
    }
    if let Some(other) = connection.refreshing.as_ref().filter(|other| other.is_live(now)) {
        return Edit::Leave(Renewal::Wait(other.until));
    }
    let alc = &connection.alc;
    if refused && alc.generation > 1 && until(alc.requested_at, now) < REFUSED_AGAIN {
        return Edit::Leave(Renewal::NotBefore(later(alc.requested_at, REFUSED_AGAIN)));
    }
    let before = connection.alc.clone();
    if refused {
        connection.alc.access_refused(generation, now);
    }
    if connection.alc.dead {
        tracing::warn!(workspace = %workspace.id, connection = %id, "ALC refuses its access token again and again");
        return Edit::Write(Renewal::Dead);
    }
    let retry_at = connection.alc.retry.retry_at.filter(|retry_at| now < *retry_at);
    if let Some(retry_at) = retry_at.or_else(|| connection.alc.paused_until(now)) {
        let renewal = Renewal::NotBefore(retry_at);
        return if connection.alc == before { Edit::Leave(renewal) } else { Edit::Write(renewal) };
    }
    if !workspace.claim_refresh(id, claim, now) {
        // Expired, and no refresh token: ALC decides what it is still good for.
        return Edit::Leave(Renewal::Ready);
    }
    match workspace.connection(id) {
        Some(connection) => Edit::Write(Renewal::Claimed(Box::new(connection.clone()))),
        None => Edit::Leave(Renewal::NotThere),
    }
}
