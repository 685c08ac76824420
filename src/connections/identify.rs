//! Which workspace a credential for Attio belongs to.

use secrecy::SecretString;

use super::service::Connections;
use crate::{
    attio::{CallError, Identity},
    ids::WorkspaceId,
};

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

impl Connections {
    /// Which workspace the API key belongs to or, where each connection brings its own grant, `granted`.
    pub async fn identify_workspace(&self, granted: Option<&SecretString>) -> Result<WorkspaceId, IdentifyError> {
        let credential = self.settings.attio_api_key.as_ref().or(granted).ok_or(IdentifyError::Inactive)?;
        match self.attio.identify(credential).await {
            Ok(Identity::Active { workspace, .. }) => {
                if self.settings.attio_api_key.is_some() {
                    self.key_owner.is(workspace);
                }
                Ok(workspace)
            }
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
}
