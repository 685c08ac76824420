//! One attempt to connect: what it is about, how long it may take, and how it fails.

use std::{sync::OnceLock, time::Duration};

use jiff::Timestamp;
use uuid::Uuid;

use super::super::{
    service::{Connections, tenant},
    workspace::{aggregate::Workspace, connection::Connection, view::ConnectionView},
};
use crate::{
    clock::later,
    ids::{ConnectionId, WorkspaceId, random_uuid},
    store::{StoreError, Tenant},
};

/// How long connection-added may take in all.
const CONNECT_WITHIN: Duration = Duration::from_secs(20);
/// The wait before a call that failed is made again.
pub(super) const CALL_AGAIN: Duration = Duration::from_millis(500);
/// How often a call is made at most while Attio waits for the answer to connection-added.
pub(super) const CALLS: u32 = 3;

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
    /// The event is about another workspace than the token.
    #[error("{0}")]
    WorkspaceMismatch(&'static str),
    /// Attio's API key belongs to another workspace: the operator has to change it.
    #[error("{0}")]
    WorkspaceRefused(&'static str),
    /// No such connection: connect again.
    #[error("the connection is not known: connect again")]
    Unknown,
    /// The connection is being removed: connect again.
    #[error("the connection is being removed: connect again")]
    Leaving,
    /// The workspace has connected again since: use the newer connection.
    #[error("the connection was replaced by a newer one")]
    Replaced,
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

/// One attempt, by the task `owner`.
pub(super) struct ConnectAttempt {
    pub(super) tenant: Tenant,
    pub(super) workspace: WorkspaceId,
    pub(super) connection: ConnectionId,
    pub(super) owner: Uuid,
    pub(super) deadline: Timestamp,
    /// Whether it may take over: decided once, by what comes first, the takeover or the end of the caller's wait.
    may_take_over: OnceLock<bool>,
}

impl ConnectAttempt {
    pub(super) fn begin(workspace: WorkspaceId, connection: ConnectionId, now: Timestamp) -> Self {
        Self {
            tenant: tenant(workspace),
            workspace,
            connection,
            owner: random_uuid(),
            deadline: later(now, CONNECT_WITHIN),
            may_take_over: OnceLock::new(),
        }
    }

    /// Decides whether it may take over, unless that is decided already; returns the decision.
    pub(super) fn decide_takeover(&self, may: bool) -> bool {
        *self.may_take_over.get_or_init(|| may)
    }

    /// The connection that connects.
    pub(super) fn find<'a>(&self, workspace: &'a Workspace) -> Result<&'a Connection, ConnectError> {
        workspace.connection(self.connection).ok_or(ConnectError::Leaving)
    }
}

impl Connections {
    pub(super) fn in_time(&self, attempt: &ConnectAttempt) -> Result<(), ConnectError> {
        if self.clock.now() < attempt.deadline { Ok(()) } else { Err(ConnectError::Timeout) }
    }
}
