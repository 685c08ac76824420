//! What we hand out to our client: codes and refresh tokens; and how it gives them back.
//!
//! Promises that a code used again takes back what it gave, for as long as its connection is there; that a code which
//! waits in a connection, as the release before this one stored it, is redeemed once; and that a refresh token works
//! until its connection is removed or replaced.

use jiff::Timestamp;

use super::{
    service::{Connections, tenant},
    workspace::{aggregate::Workspace, connection::Phase},
    writing::Edit,
};
use crate::{
    ids::{ConnectionId, OpaqueToken, WorkspaceId},
    store::StoreError,
};

/// What a code gave.
#[derive(Debug, Clone)]
pub struct Redeemed {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Its new connection.
    pub connection: ConnectionId,
    /// For our client to keep; `<workspace id>.<secret>`.
    pub refresh_token: OpaqueToken,
}

/// Why a code gave nothing.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RedeemError {
    /// Unknown, used, expired, or not for this redirect URI or verifier.
    #[error("{0}")]
    InvalidGrant(&'static str),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a refresh token is no good.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RefreshTokenError {
    /// Unknown, or of a connection that was removed or replaced.
    #[error("the refresh token is unknown, or its connection was removed or replaced")]
    InvalidGrant,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Connections {
    /// Takes a code that stands in a connection: one that was used ends that connection, and one that the release
    /// before this one stored there is taken for a refresh token.
    pub async fn redeem_code(
        &self,
        code: &OpaqueToken,
        redirect_uri: Option<&str>,
        verifier: Option<&str>,
    ) -> Result<Redeemed, RedeemError> {
        let workspace: WorkspaceId =
            code.owner.parse().map_err(|_| RedeemError::InvalidGrant("the code is unknown"))?;
        let refresh_token = OpaqueToken::new(workspace);
        let (redeemed, _) = self
            .update(&tenant(workspace), |workspace, now| {
                redeem(workspace, code, redirect_uri, verifier, &refresh_token, now)
            })
            .await?;
        let connection = redeemed.map_err(RedeemError::InvalidGrant)?;
        Ok(Redeemed { workspace, connection, refresh_token })
    }

    /// Whose refresh token it is. It is not rotated.
    pub async fn check_refresh_token(
        &self,
        token: &OpaqueToken,
    ) -> Result<(WorkspaceId, ConnectionId), RefreshTokenError> {
        let workspace: WorkspaceId = token.owner.parse().map_err(|_| RefreshTokenError::InvalidGrant)?;
        let loaded = self.load(&tenant(workspace)).await?.ok_or(RefreshTokenError::InvalidGrant)?.value;
        let id = loaded.by_refresh_token(token).ok_or(RefreshTokenError::InvalidGrant)?;
        match loaded.connection(id) {
            Some(connection) if connection.phase != Phase::Leaving => Ok((workspace, id)),
            _ => Err(RefreshTokenError::InvalidGrant),
        }
    }

    /// Connection-removed, or a revoked token: no send begins after it, the rest is done in the background. Nothing to
    /// do for a connection that is unknown or already leaving.
    pub async fn remove(&self, workspace: WorkspaceId, connection: ConnectionId) -> Result<(), StoreError> {
        let (removed, _) = self
            .update(&tenant(workspace), |workspace, now| {
                let removed = workspace.is_some_and(|workspace| workspace.removed(connection, now));
                if removed { Edit::Write(true) } else { Edit::Leave(false) }
            })
            .await?;
        if removed {
            tracing::info!(%workspace, %connection, "connection removed");
        }
        Ok(())
    }
}

fn redeem(
    workspace: Option<&mut Workspace>,
    code: &OpaqueToken,
    redirect_uri: Option<&str>,
    verifier: Option<&str>,
    refresh_token: &OpaqueToken,
    now: Timestamp,
) -> Edit<Result<ConnectionId, &'static str>> {
    let unknown = Edit::Leave(Err("the code is unknown"));
    let Some(workspace) = workspace else { return unknown };
    let Some(id) = workspace.by_code(code) else { return unknown };
    let Some(connection) = workspace.connection(id) else { return unknown };
    let Some(known) = &connection.code else { return unknown };
    if connection.phase == Phase::Leaving {
        return Edit::Leave(Err("the connection was removed"));
    }
    if known.used {
        // RFC 6749 §4.1.2: two clients hold one code; which of them stole it cannot be told.
        workspace.removed(id, now);
        return Edit::Write(Err("the code was already used; what it gave is revoked"));
    }
    match known.refusal(redirect_uri, verifier, now) {
        Some(refusal) => Edit::Leave(Err(refusal)),
        None => {
            workspace.redeemed(id, refresh_token.hash());
            Edit::Write(Ok(id))
        }
    }
}
