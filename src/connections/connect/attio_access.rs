//! Whether Attio's credential works, and whose it is.

use secrecy::SecretString;

use super::{
    super::{
        identify::IdentifyError,
        service::{Connections, pause},
    },
    attempt::{CALL_AGAIN, CALLS, ConnectAttempt, ConnectError},
};

impl Connections {
    /// Attio's credential works, and for this workspace.
    pub(super) async fn check_attio(&self, attempt: &ConnectAttempt) -> Result<(), ConnectError> {
        for tries in 1.. {
            self.in_time(attempt)?;
            let workspace = self.load(&attempt.tenant).await?.ok_or(ConnectError::Unknown)?.value;
            let token = self.attio_token_of(workspace.id, attempt.find(&workspace)?);
            return match self.identify_workspace(token.as_ref()).await {
                Ok(workspace) if workspace == attempt.workspace => Ok(()),
                Ok(_) => Err(ConnectError::WorkspaceRefused(
                    "Attio's API key belongs to another workspace: set ATTIO__API_KEY to one of this workspace",
                )),
                Err(error @ IdentifyError::Inactive) if self.attio_oauth.is_some() => {
                    Err(ConnectError::Refused(format!("{error} of this connection any more: connect again")))
                }
                Err(IdentifyError::Unavailable(_)) if tries < CALLS => {
                    pause(CALL_AGAIN).await;
                    continue;
                }
                Err(error @ IdentifyError::Unavailable(_)) => Err(ConnectError::Unavailable(error.to_string())),
                Err(error @ IdentifyError::Inactive) => {
                    Err(ConnectError::Refused(format!("{error}: set ATTIO__API_KEY to one that is active")))
                }
                Err(error @ IdentifyError::Refused(_)) => Err(ConnectError::Refused(error.to_string())),
            };
        }
        Err(ConnectError::Timeout)
    }

    /// The token that a connection being made works with at Attio.
    pub(super) async fn attio_token_for(&self, attempt: &ConnectAttempt) -> Result<Option<SecretString>, ConnectError> {
        let workspace = self.load(&attempt.tenant).await?.ok_or(ConnectError::Unknown)?.value;
        let connection = workspace.connection(attempt.connection).ok_or(ConnectError::Unknown)?;
        Ok(self.attio_token_of(workspace.id, connection))
    }
}
