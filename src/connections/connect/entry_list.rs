//! The list whose entries send is there before a connection takes over: else nobody would be sent, without a word.

use super::{
    super::service::{Connections, pause},
    attempt::{CALL_AGAIN, CALLS, ConnectAttempt, ConnectError},
};
use crate::{attio::CallError, ids::ListId};

impl Connections {
    /// Finds the list that the operator names, if any; refuses one that is not there or has no people.
    pub(super) async fn find_entry_list(
        &self,
        attempt: &ConnectAttempt,
        people: Option<&str>,
    ) -> Result<Option<ListId>, ConnectError> {
        let Some(asked) = self.asked_list() else { return Ok(None) };
        let Some(token) = self.attio_token_for(attempt).await? else { return Ok(None) };
        let mut last = ConnectError::Timeout;
        for tries in 0..CALLS {
            if tries > 0 {
                pause(CALL_AGAIN).await;
            }
            self.in_time(attempt)?;
            match self.look_for_list(&token, asked, people).await {
                Ok(Ok(list)) => return Ok(Some(list)),
                Ok(Err(problem)) => return Err(ConnectError::Refused(format!("{problem}; then connect again"))),
                Err(CallError::RateLimited { until }) => {
                    self.clock.sleep_until(until.min(attempt.deadline)).await;
                    last = ConnectError::Unavailable("Attio is limiting requests".to_owned());
                }
                Err(error) => last = ConnectError::Unavailable(format!("Attio's list `{asked}`: {error}")),
            }
        }
        Err(last)
    }
}
