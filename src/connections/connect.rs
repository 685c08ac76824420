//! Connection-added.
use super::{Connections, workspace::ConnectionView};
use crate::{
    ids::{ConnectionId, WorkspaceId},
    store::StoreError,
};

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
    /// The event is about another workspace than the token, or Attio's API key belongs to another one.
    #[error("{0}")]
    WorkspaceMismatch(&'static str),
    /// No such connection: connect again.
    #[error("the connection is not known: connect again")]
    Unknown,
    /// The connection is being removed: connect again.
    #[error("the connection is being removed: connect again")]
    Leaving,
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

impl Connections {
    /// Makes the connection work and makes it the current one. `workspace` and `connection` are what our token says,
    /// `owned_by_*` what Attio's Connection object says. Goes on when the caller hangs up.
    pub async fn connection_added(
        &self,
        _workspace: WorkspaceId,
        _connection: ConnectionId,
        _owned_by_type: &str,
        _owned_by_id: &str,
    ) -> Result<Connected, ConnectError> {
        std::future::pending().await
    }
}
