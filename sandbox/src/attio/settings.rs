//! How the pretend Attio behaves.

use serde::{Deserialize, Serialize};

use crate::ambient::random;

/// The switches of the pretend Attio.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Writes allowed in one second of the clock; none: as many as come.
    pub writes_per_second: Option<u32>,
    /// Reads allowed in one second of the clock; none: as many as come.
    pub reads_per_second: Option<u32>,
    /// The workspace.
    pub workspace_id: String,
    /// An API key of the workspace.
    pub api_key: String,
    /// The OAuth client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// Whether webhooks must be https, as at the real Attio.
    pub https_webhooks_only: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            writes_per_second: None,
            reads_per_second: None,
            workspace_id: uuid::Uuid::new_v4().to_string(),
            api_key: random("attio_key_"),
            client_id: "attio-client".to_owned(),
            client_secret: "attio-client-secret".to_owned(),
            https_webhooks_only: true,
        }
    }
}
