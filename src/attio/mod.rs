//! Attio's REST API v2: who a credential belongs to, and the one record that we write.

use secrecy::SecretString;
use serde_json::Value;

use crate::ids::{RecordId, WorkspaceId};
pub use crate::upstream::CallError;

/// Attio's REST API under one base URL. Clones share connections.
#[derive(Clone)]
pub struct Client {}

/// What an Attio bearer token is good for (`GET /v2/self`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// A live token.
    Active {
        /// The workspace that it was granted for.
        workspace: WorkspaceId,
        /// Granted scopes.
        scopes: Vec<String>,
    },
    /// Unknown or revoked.
    Inactive,
}

/// Values to write: slug → array.
pub type Values = serde_json::Map<String, Value>;

impl Client {
    /// `GET /v2/self`.
    pub async fn identify(&self, _token: &SecretString) -> Result<Identity, CallError> {
        std::future::pending().await
    }

    /// `PATCH /v2/objects/people/records/{record_id}`.
    pub async fn update_person(
        &self,
        _token: &SecretString,
        _record: RecordId,
        _values: &Values,
    ) -> Result<(), CallError> {
        std::future::pending().await
    }

    /// The title or text that a single-value select or text attribute of a person shows now; `None`: empty.
    pub async fn read_person(
        &self,
        _token: &SecretString,
        _record: RecordId,
        _slug: &str,
    ) -> Result<Option<String>, CallError> {
        std::future::pending().await
    }
}
