//! ALC's tokens in use: opened, refreshed, found dead.
use jiff::Timestamp;
use secrecy::SecretString;

use super::{Connections, workspace::Workspace};
use crate::{
    ids::ConnectionId,
    store::{StoreError, Tenant, Versioned},
};

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

impl Connections {
    /// The current connection's token, refreshed first if it has expired. The workspace comes back if it had to be
    /// loaded again: whoever commits against it checks that version.
    pub async fn alc_grant(
        &self,
        _tenant: &Tenant,
        _workspace: &Versioned<Workspace>,
    ) -> Result<(Grant, Option<Versioned<Workspace>>), NoGrant> {
        std::future::pending().await
    }

    /// A token other than `used`, which ALC answered with 401: one that somebody else got meanwhile, or a fresh one.
    pub async fn alc_grant_after_401(
        &self,
        _tenant: &Tenant,
        _used: &Grant,
    ) -> Result<(Grant, Versioned<Workspace>), NoGrant> {
        std::future::pending().await
    }
}
