//! What we hand out to our client: codes and refresh tokens; and how it gives them back.
//!
//! Promises that a code is redeemed once, within a minute, with its redirect URI and its PKCE verifier; that a code
//! used again takes back what it gave; and that a refresh token works until its connection is removed or replaced.

use jiff::Timestamp;
use secrecy::SecretString;

use super::{
    Connections, Verdict,
    connection::{ASSUMED_LIFETIME, CODE_LIFETIME, Code, Connection, FreshTokens, Phase},
    tenant,
    workspace::Workspace,
};
use crate::{
    alc::oauth::Tokens,
    attio::{self, CallError, Identity},
    clock::later,
    ids::{ConnectionId, OpaqueToken, WorkspaceId, unit_random},
    store::{Commit, Committed, Kind, LeaseChange, StoreError, put},
};

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

/// Why no workspace could be named.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentifyError {
    /// Attio says that the key or token is revoked or unknown, or there is none.
    #[error("Attio does not accept the credential")]
    Inactive,
    /// Attio refuses to say.
    #[error("Attio refused to identify the credential: {0}")]
    Refused(String),
    /// No clear answer from Attio; try again.
    #[error("Attio did not answer: {0}")]
    Unavailable(String),
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
    /// Which workspace the API key belongs to or, where each connection brings its own grant, `granted`.
    pub async fn identify_workspace(&self, granted: Option<&SecretString>) -> Result<WorkspaceId, IdentifyError> {
        let credential = self.settings.attio_api_key.as_ref().or(granted).ok_or(IdentifyError::Inactive)?;
        match self.attio.identify(credential).await {
            Ok(Identity::Active { workspace, .. }) => Ok(workspace),
            Ok(Identity::Inactive) | Err(CallError::Unauthorized) => Err(IdentifyError::Inactive),
            Err(
                error @ (CallError::NotSent { .. }
                | CallError::RateLimited { .. }
                | CallError::Unreadable { .. }
                | CallError::Unknown { .. }),
            ) => Err(IdentifyError::Unavailable(error.to_string())),
            Err(error) => Err(IdentifyError::Refused(error.to_string())),
        }
    }

    /// Attio's OAuth endpoints, where each connection brings its own grant.
    pub fn attio_oauth(&self) -> Option<&attio::oauth::OAuth> {
        self.attio_oauth.as_ref()
    }

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
        let code = Code {
            hash: token.hash(),
            redirect_uri: code.redirect_uri,
            challenge: code.code_challenge,
            expires_at: later(now, CODE_LIFETIME),
            used: false,
        };
        let tokens = self.seal_tokens(workspace, id, &consent.alc, consent.asked_at);
        let attio = consent.attio.map(|token| self.seal_attio_token(workspace, id, &token));
        let connection = Connection::incoming(id, tokens, attio, code, unit_random(), now);
        let tenant = tenant(workspace);
        loop {
            let (found, _) = self
                .update(&tenant, |workspace, now| match workspace {
                    None => Verdict::Leave(false),
                    Some(workspace) => {
                        workspace.opened(connection.clone(), now);
                        Verdict::Write(true)
                    }
                })
                .await?;
            if found {
                return Ok(token);
            }
            let mut fresh = Workspace::new(workspace, now);
            fresh.opened(connection.clone(), now);
            let lease = LeaseChange::Leave { due: fresh.due(now) };
            let commit = Commit::of(vec![put("", &fresh, None, lease)]);
            if matches!(self.commit_patiently(&tenant, &commit).await?, Committed::Done(_)) {
                return Ok(token);
            }
        }
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

    /// Takes a code for a refresh token.
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
                if removed { Verdict::Write(true) } else { Verdict::Leave(false) }
            })
            .await?;
        if removed {
            tracing::info!(%workspace, %connection, "connection removed");
        }
        Ok(())
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
            access: seal("alc_access_token", &tokens.access),
            refresh: tokens.refresh.as_ref().map(|refresh| seal("alc_refresh_token", refresh)),
            lifetime: tokens.expires_in.unwrap_or(ASSUMED_LIFETIME),
            requested_at,
        }
    }
}

fn redeem(
    workspace: Option<&mut Workspace>,
    code: &OpaqueToken,
    redirect_uri: Option<&str>,
    verifier: Option<&str>,
    refresh_token: &OpaqueToken,
    now: Timestamp,
) -> Verdict<Result<ConnectionId, &'static str>> {
    let unknown = Verdict::Leave(Err("the code is unknown"));
    let Some(workspace) = workspace else { return unknown };
    let Some(id) = workspace.by_code(code) else { return unknown };
    let Some(connection) = workspace.connection(id) else { return unknown };
    let Some(known) = &connection.code else { return unknown };
    if connection.phase == Phase::Leaving {
        return Verdict::Leave(Err("the connection was removed"));
    }
    if known.used {
        // RFC 6749 §4.1.2: two holders of one code; nobody can tell which of them is the thief.
        workspace.removed(id, now);
        return Verdict::Write(Err("the code was already used; what it gave is revoked"));
    }
    match known.fault(redirect_uri, verifier, now) {
        Some(fault) => Verdict::Leave(Err(fault)),
        None => {
            workspace.redeemed(id, refresh_token.hash());
            Verdict::Write(Ok(id))
        }
    }
}
