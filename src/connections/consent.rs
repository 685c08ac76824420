//! From what was granted at the consent pages to an incoming connection.
//!
//! Promises that a service with an API key, which belongs to one workspace, connects no second one, and that a consent
//! touches no workspace before our client has redeemed its code: everybody with an account at ALC can give a consent,
//! and only our client can redeem a code.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;

use super::{
    codes::Redeemed,
    service::{ALC_ACCESS_TOKEN, ALC_REFRESH_TOKEN, ATTIO_TOKEN, Connections, tenant},
    workspace::{
        aggregate::Workspace,
        code::Code,
        connection::Connection,
        grant::{AttioGrant, FreshTokens},
    },
};
use crate::{
    alc::oauth::Tokens,
    ids::{ConnectionId, OpaqueToken, WorkspaceId, unit_random},
    store::{Decision, Kind, LeaseChange, Patience, StoreError, Versioned},
};

/// What an answer without `expires_in` is taken as.
const ASSUMED_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// What was granted at the consent pages. No `Debug`.
#[derive(Clone)]
pub struct Consent {
    /// ALC's tokens.
    pub alc: Tokens,
    /// When ALC was asked for them.
    pub asked_at: Timestamp,
    /// Attio's token; `None` where an API key is configured.
    pub attio: Option<SecretString>,
}

/// Why a workspace may not be connected.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MayNotConnect {
    /// The service serves one workspace, and it is another one.
    #[error("another workspace is connected")]
    OtherWorkspace,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Connections {
    /// Whether this workspace may be connected at all. Changes nothing.
    pub async fn may_connect(&self, workspace: WorkspaceId) -> Result<(), MayNotConnect> {
        if self.settings.attio_api_key.is_some() {
            self.refuse_another_workspace(workspace).await?;
        }
        Ok(())
    }

    /// Stores what was granted as an incoming connection, because our client has redeemed `code` for it. Its caller
    /// vouches that this code is redeemed once.
    pub async fn open_incoming(
        &self,
        workspace: WorkspaceId,
        consent: Consent,
        code: Code,
    ) -> Result<Redeemed, StoreError> {
        let (id, refresh_token) = (ConnectionId::random(), OpaqueToken::new(workspace));
        let now = self.clock.now();
        let tokens = self.seal_tokens(workspace, id, &consent.alc, consent.asked_at);
        let attio = consent.attio.map(|token| AttioGrant::new(self.seal(workspace, id, ATTIO_TOKEN, &token)));
        let connection = Connection::incoming(id, tokens, attio, code, unit_random(), now);
        let open = |found: &mut Option<Versioned<Workspace>>, now| {
            let found = found.get_or_insert_with(|| Versioned::new(Workspace::new(workspace, now)));
            // This task's own write, of which the store lost the answer.
            if found.value.connection(id).is_some() {
                return Decision::Leave(());
            }
            found.value.opened(connection.clone(), now);
            found.value.redeemed(id, refresh_token.hash());
            Decision::Write(LeaseChange::Leave { due: found.value.due(now) }, ())
        };
        self.store.change(&tenant(workspace), "", Patience::CALLER, open).await?;
        Ok(Redeemed { workspace, connection: id, refresh_token })
    }

    /// An API key belongs to one workspace, so a second one can come only after the key was changed: the first has to
    /// be disconnected before. Not one atomic view, which is enough against an operator's mistake.
    async fn refuse_another_workspace(&self, workspace: WorkspaceId) -> Result<(), MayNotConnect> {
        let connected = |status: &str| matches!(status, "connected" | "reauthorization-required");
        let depths = self.store.depths(self.clock.now()).await?;
        let all: u64 = depths
            .iter()
            .filter(|depth| depth.kind == Kind::Workspace && connected(&depth.status))
            .map(|depth| depth.count)
            .sum();
        if all == 0 {
            return Ok(());
        }
        let own = self.load(&tenant(workspace)).await?.is_some_and(|own| own.value.current().is_some());
        if all > u64::from(own) { Err(MayNotConnect::OtherWorkspace) } else { Ok(()) }
    }

    pub(super) fn seal_tokens(
        &self,
        workspace: WorkspaceId,
        connection: ConnectionId,
        tokens: &Tokens,
        requested_at: Timestamp,
    ) -> FreshTokens {
        let seal = |field: &str, secret: &SecretString| self.seal(workspace, connection, field, secret);
        FreshTokens {
            access: seal(ALC_ACCESS_TOKEN, &tokens.access),
            refresh: tokens.refresh.as_ref().map(|refresh| seal(ALC_REFRESH_TOKEN, refresh)),
            lifetime: tokens.expires_in.unwrap_or(ASSUMED_LIFETIME),
            requested_at,
        }
    }
}
