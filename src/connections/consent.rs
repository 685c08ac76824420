//! From what was granted at the consent pages to an incoming connection.
//!
//! Promises that a service with an API key, which belongs to one workspace, connects no second one.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;

use super::{
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

/// What a code is bound to.
#[derive(Debug, Clone)]
pub struct NewCode {
    /// The redirect URI of the authorization request.
    pub redirect_uri: String,
    /// Its `code_challenge` (S256), if it had one.
    pub code_challenge: Option<String>,
}

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

/// Why a connection could not be opened.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OpenIncomingError {
    /// The service serves one workspace, and it is another one.
    #[error("another workspace is connected")]
    OtherWorkspace,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Connections {
    /// Stores what was granted as an incoming connection; the code is for our client.
    pub async fn open_incoming(
        &self,
        workspace: WorkspaceId,
        consent: Consent,
        code: NewCode,
    ) -> Result<OpaqueToken, OpenIncomingError> {
        if self.settings.attio_api_key.is_some() {
            self.refuse_another_workspace(workspace).await?;
        }
        let token = OpaqueToken::new(workspace);
        let id = ConnectionId::random();
        let now = self.clock.now();
        let code = Code::new(token.hash(), code.redirect_uri, code.code_challenge, now);
        let tokens = self.seal_tokens(workspace, id, &consent.alc, consent.asked_at);
        let attio = consent.attio.map(|token| AttioGrant::new(self.seal(workspace, id, ATTIO_TOKEN, &token)));
        let connection = Connection::incoming(id, tokens, attio, code, unit_random(), now);
        let open = |found: &mut Option<Versioned<Workspace>>, now| {
            let found = found.get_or_insert_with(|| Versioned::new(Workspace::new(workspace, now)));
            found.value.opened(connection.clone(), now);
            Decision::Write(LeaseChange::Leave { due: found.value.due(now) }, ())
        };
        self.store.change(&tenant(workspace), "", Patience::CALLER, open).await?;
        Ok(token)
    }

    /// An API key belongs to one workspace, so a second one can come only after the key was changed: the first has to
    /// be disconnected before. Not one atomic view, which is enough against an operator's mistake.
    async fn refuse_another_workspace(&self, workspace: WorkspaceId) -> Result<(), OpenIncomingError> {
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
        if all > u64::from(own) { Err(OpenIncomingError::OtherWorkspace) } else { Ok(()) }
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
