//! Giving tokens back to the side that granted them.
//!
//! Promises that a token which a connection still needs is not revoked: some servers give the same tokens again to a
//! workspace or an account that connects twice, and revoking them for the one would end the other. A token of Attio's
//! is for one workspace, and only that one can hold it, once Attio has named it. Nothing says which account a token of
//! ALC's is for, nor whose Attio's is before Attio has named it: those are compared with what every workspace holds.
//! That needs no answer of Attio or ALC, either of which may be what failed. While a workspace cannot be read, nothing
//! is revoked.

use aws_lc_rs::constant_time;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    service::{ALC_ACCESS_TOKEN, ALC_REFRESH_TOKEN, ATTIO_TOKEN, Connections, tenant},
    workspace::{
        aggregate::Workspace,
        connection::{Connection, Phase},
        grant::FreshTokens,
        side::Side,
    },
};
use crate::{
    alc::oauth::{TokenError, Tokens},
    ids::{ConnectionId, WorkspaceId},
    sealing::OpenError,
    store::Kind,
    upstream::tokens::Leftover,
};

/// How many workspaces are loaded at once when all are asked whether they hold a token.
const ASKED_AT_ONCE: usize = 16;

/// What one side granted, in clear. No `Debug`.
#[derive(Clone)]
pub struct Granted {
    side: Side,
    access: SecretString,
    refresh: Option<SecretString>,
}

impl Granted {
    /// ALC's tokens.
    pub fn by_alc(tokens: Tokens) -> Self {
        Self { side: Side::Alc, access: tokens.access, refresh: tokens.refresh }
    }

    /// Attio's one token.
    pub fn by_attio(token: SecretString) -> Self {
        Self { side: Side::Attio, access: token, refresh: None }
    }

    /// ALC's tokens that cannot be used; `None`: there is nothing that could be given back.
    pub fn unusable_by_alc(leftover: Leftover) -> Option<Self> {
        Self::unusable(Side::Alc, leftover)
    }

    /// The same of Attio's.
    pub fn unusable_by_attio(leftover: Leftover) -> Option<Self> {
        Self::unusable(Side::Attio, leftover)
    }

    fn unusable(side: Side, leftover: Leftover) -> Option<Self> {
        let Leftover { access, refresh } = leftover;
        Some(match (access, refresh) {
            (Some(access), refresh) => Self { side, access, refresh },
            (None, Some(refresh)) => Self { side, access: refresh, refresh: None },
            (None, None) => return None,
        })
    }

    fn shares_a_token_with(&self, other: &Self) -> bool {
        let same = |one: &SecretString, other: &SecretString| {
            let (one, other) = (one.expose_secret().as_bytes(), other.expose_secret().as_bytes());
            constant_time::verify_slices_are_equal(one, other).is_ok()
        };
        let same_refresh = match (&self.refresh, &other.refresh) {
            (Some(one), Some(other)) => same(one, other),
            _ => false,
        };
        same_refresh || same(&self.access, &other.access)
    }
}

/// The workspace that tokens are for.
#[derive(Clone, Copy)]
struct Known<'a> {
    id: WorkspaceId,
    /// As it is now; `None`: it is not there.
    found: Option<&'a Workspace>,
    /// The connection that the tokens are of: that it holds them says nothing.
    leaving: Option<ConnectionId>,
}

impl Connections {
    /// Gives back what no connection keeps, unless a connection that needs its own tokens holds the same. `workspace`:
    /// whose they are, where that is known.
    pub async fn give_back(&self, workspace: Option<WorkspaceId>, granted: &Granted) -> Result<(), String> {
        let found = match workspace {
            Some(workspace) => self.load(&tenant(workspace)).await.map_err(|error| error.to_string())?,
            None => None,
        };
        let known = workspace.map(|id| Known { id, found: found.as_ref().map(|found| &*found.value), leaving: None });
        self.revoke_unheld(known, granted).await
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
        let access = self.open(workspace, id, ALC_ACCESS_TOKEN, &tokens.access);
        let refresh = tokens.refresh.as_ref().map(|it| self.open(workspace, id, ALC_REFRESH_TOKEN, it)).transpose();
        let (Ok(access), Ok(refresh)) = (access, refresh) else { return };
        let granted = Granted { side: Side::Alc, access, refresh };
        let known = Known { id: workspace, found, leaving: None };
        if let Err(error) = self.revoke_unheld(Some(known), &granted).await {
            tracing::warn!(%workspace, connection = %id, %error, "could not revoke tokens of a removed connection");
        }
    }

    /// Gives a leaving connection's grant back, unless another connection holds the same.
    pub(super) async fn revoke_own(
        &self,
        side: Side,
        workspace: &Workspace,
        connection: &Connection,
    ) -> Result<(), String> {
        let granted = self.granted(side, workspace.id, connection).map_err(|error| error.to_string())?;
        match granted {
            Some(granted) => {
                let known = Known { id: workspace.id, found: Some(workspace), leaving: Some(connection.id) };
                self.revoke_unheld(Some(known), &granted).await
            }
            None => Ok(()),
        }
    }

    async fn revoke_unheld(&self, known: Option<Known<'_>>, granted: &Granted) -> Result<(), String> {
        if self.is_held(known, granted).await? {
            return Ok(());
        }
        // A refresh token takes the access tokens with it at many servers (RFC 7009 §2.1), but not at all.
        for token in granted.refresh.iter().chain([&granted.access]) {
            match self.revoke(granted.side, token).await {
                Ok(()) | Err(TokenError::InvalidGrant) => {}
                // The server revokes no tokens of this kind (RFC 7009 §2.2.1), and will not tomorrow.
                Err(TokenError::Refused { error }) if error == "unsupported_token_type" => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    async fn revoke(&self, side: Side, token: &SecretString) -> Result<(), TokenError> {
        match (side, &self.attio_oauth) {
            (Side::Alc, _) => self.oauth.revoke(token).await,
            (Side::Attio, Some(oauth)) => oauth.revoke(token).await,
            // The operator went back to an API key: without Attio's OAuth client no token can be given back.
            (Side::Attio, None) => Ok(()),
        }
    }

    /// Whether a connection that needs its tokens holds one of these. Fails where that cannot be known now.
    async fn is_held(&self, known: Option<Known<'_>>, granted: &Granted) -> Result<bool, String> {
        if let Some(known) = known {
            let held = known.found.map(|found| self.holds(found, known.leaving, granted, false)).transpose();
            let held = held.map_err(|error| error.to_string())?;
            if held == Some(true) || granted.side == Side::Attio {
                return Ok(held == Some(true));
            }
        }
        let known = known.map(|known| tenant(known.id));
        let tenants = self.store.tenants(Kind::Workspace).await.map_err(|error| error.to_string())?;
        let held = |other| async move {
            let other = self.load(&other).await.map_err(|error| error.to_string())?;
            let held = other.map_or(Ok(false), |other| self.holds(&other.value, None, granted, true));
            held.map_err(|error| error.to_string())
        };
        let others = tenants.into_iter().filter(|other| Some(other) != known.as_ref());
        let mut asked = stream::iter(others.map(held)).buffer_unordered(ASKED_AT_ONCE);
        while let Some(is_held) = asked.try_next().await? {
            if is_held {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a connection of this workspace, perhaps another one than the tokens are for, that needs its tokens holds
    /// one of these.
    fn holds(
        &self,
        workspace: &Workspace,
        not: Option<ConnectionId>,
        granted: &Granted,
        is_foreign: bool,
    ) -> Result<bool, OpenError> {
        let side = granted.side;
        for other in workspace.connections.iter().filter(|it| Some(it.id) != not && workspace.lives_by(side, it)) {
            let theirs = match self.granted(side, workspace.id, other) {
                // No sealing key opens them: its people have to connect again, and whatever else is to be revoked need
                // not wait for them.
                Err(OpenError::UnknownKey) if is_foreign || other.phase == Phase::Leaving => {
                    let (workspace, connection) = (workspace.id, other.id);
                    tracing::warn!(%workspace, %connection, "tokens that no sealing key opens are not compared");
                    continue;
                }
                theirs => theirs?,
            };
            if theirs.is_some_and(|theirs| theirs.shares_a_token_with(granted)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A connection's own tokens of that side, if it has any.
    fn granted(&self, side: Side, workspace: WorkspaceId, of: &Connection) -> Result<Option<Granted>, OpenError> {
        Ok(match side {
            Side::Alc => {
                let refresh = of.alc.refresh.as_ref().map(|it| self.open(workspace, of.id, ALC_REFRESH_TOKEN, it));
                let access = self.open(workspace, of.id, ALC_ACCESS_TOKEN, &of.alc.access)?;
                Some(Granted { side, access, refresh: refresh.transpose()? })
            }
            Side::Attio => match &of.attio {
                Some(grant) => {
                    let access = self.open(workspace, of.id, ATTIO_TOKEN, &grant.token)?;
                    Some(Granted { side, access, refresh: None })
                }
                None => None,
            },
        })
    }
}
