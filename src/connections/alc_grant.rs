//! ALC's bearer tokens, for the requests that go to ALC: opened, and renewed first if they have to be.
//!
//! Promises that a caller gets a token of the connection that is current, and that no workspace is disconnected because
//! ALC is away.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;

use super::{
    service::{ALC_ACCESS_TOKEN, Connections},
    workspace::{aggregate::Workspace, connection::Connection},
};
use crate::{
    clock::later,
    ids::{ConnectionId, WorkspaceId},
    sealing::OpenError,
    store::{StoreError, Tenant, Versioned},
};

/// When a token that cannot be opened is tried again: an operator has to put the sealing key back.
const OPENED_AGAIN: Duration = Duration::from_secs(60);

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
    /// The grant is dead: a person has to connect again.
    #[error("ALC has to be connected again")]
    ReauthorizationRequired,
    /// There is no current connection.
    #[error("the workspace is not connected")]
    NotConnected,
    /// The token has expired, and ALC does not answer as it should. No workspace is disconnected for that.
    #[error("ALC's token cannot be refreshed now: {detail}")]
    Unavailable {
        /// When it is tried again.
        retry_at: Timestamp,
        /// Why, without secrets.
        detail: String,
    },
    /// The token is there, and no sealing key opens it.
    #[error("ALC's token cannot be opened: {detail}")]
    Unopened {
        /// When it is tried again.
        retry_at: Timestamp,
        /// Why, without secrets.
        detail: String,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Connections {
    /// The current connection's token if it is good as it stands: the button then needs no wait of its own for it. One
    /// that cannot be renewed is, until ALC refuses it: when it ends may be a guess.
    pub fn fresh_grant(&self, workspace: &Workspace, now: Timestamp) -> Option<Grant> {
        let is_good = |current: &&Connection| {
            let alc = &current.alc;
            !current.needs_reauthorization()
                && (alc.lives(now) || !alc.must_refresh(now))
                && alc.paused_until(now).is_none()
        };
        self.grant(workspace.id, workspace.current().filter(is_good)?).ok()
    }

    /// The current connection's token, refreshed first if it has expired. The workspace comes back if it had to be
    /// loaded again: a caller that commits against it checks that version.
    pub async fn alc_grant(
        &self,
        tenant: &Tenant,
        workspace: &Versioned<Workspace>,
    ) -> Result<(Grant, Option<Versioned<Workspace>>), NoGrant> {
        let current = living(&workspace.value)?;
        if let Some(retry_at) = current.alc.paused_until(self.clock.now()) {
            return Err(NoGrant::Unavailable { retry_at, detail: "ALC refused the access token".to_owned() });
        }
        if !current.alc.must_refresh(self.clock.now()) {
            return Ok((self.grant(workspace.value.id, current)?, None));
        }
        let newer = match self.renew(tenant, current.id, current.alc.generation, false).await {
            Ok(newer) => newer,
            // Its last seconds are better than nothing; and where ALC refuses to renew it, ALC's API says whether it
            // works.
            Err(error @ NoGrant::Unavailable { .. }) => {
                let newest = self.load(tenant).await?.ok_or(NoGrant::NotConnected)?;
                let alc = &living(&newest.value)?.alc;
                if !alc.lives(self.clock.now()) && !alc.is_worth_a_try() {
                    return Err(error);
                }
                newest
            }
            // Another connection took over while the last tokens of this one were asked for.
            Err(NoGrant::NotConnected) => self.load(tenant).await?.ok_or(NoGrant::NotConnected)?,
            Err(error) => return Err(error),
        };
        let grant = self.grant(newer.value.id, living(&newer.value)?)?;
        Ok((grant, Some(newer)))
    }

    /// A token other than `used`, which ALC answered with 401: one that another task got meanwhile, or a fresh one.
    /// Where there is none to be had, each call is one more sign that the grant is dead; see `workspace/suspicion.rs`
    /// for how many it takes.
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

    /// ALC took `used`. Only where it had refused the same token before is there anything to record: that was a stray.
    pub async fn alc_accepted(&self, tenant: &Tenant, workspace: &Workspace, used: &Grant) -> Result<(), StoreError> {
        let suspected = workspace.connection(used.connection).is_some_and(|it| it.alc.is_suspected(used.generation));
        if suspected {
            self.record_unleased(tenant, |found, _| found.access_accepted(used.connection, used.generation)).await?;
        }
        Ok(())
    }

    /// The connection's token as it is.
    pub(super) fn grant(&self, workspace: WorkspaceId, connection: &Connection) -> Result<Grant, NoGrant> {
        let access_token = self
            .open(workspace, connection.id, ALC_ACCESS_TOKEN, &connection.alc.access)
            .map_err(|error| self.cannot_open(connection.id, &error))?;
        Ok(Grant { access_token, connection: connection.id, generation: connection.alc.generation })
    }

    fn cannot_open(&self, connection: ConnectionId, error: &OpenError) -> NoGrant {
        tracing::error!(%connection, %error, "a stored token cannot be opened");
        NoGrant::Unopened { retry_at: later(self.clock.now(), OPENED_AGAIN), detail: error.to_string() }
    }
}

/// The current connection, if its grant lives.
fn living(workspace: &Workspace) -> Result<&Connection, NoGrant> {
    let current = workspace.current().ok_or(NoGrant::NotConnected)?;
    if current.alc.dead { Err(NoGrant::ReauthorizationRequired) } else { Ok(current) }
}
