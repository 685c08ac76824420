//! How long an upstream that calls us waits for its answer.

use std::{future::Future, time::Duration};

use crate::store::StoreError;

/// ALC and Attio are answered within five seconds, whatever the store does: they try again.
const ANSWERED_WITHIN: Duration = Duration::from_millis(4_500);

/// What comes of an upstream's call, if that is known soon enough to answer it.
pub(super) fn answered_in_time<T, E: From<StoreError>>(
    doing: impl Future<Output = Result<T, E>>,
) -> impl Future<Output = Result<T, E>> {
    // Boxed: what wraps it would else have room for it twice, and be moved with it.
    let answer = tokio::time::timeout(ANSWERED_WITHIN, Box::pin(doing));
    async move {
        match answer.await {
            Ok(result) => result,
            Err(_) => Err(StoreError::Unavailable("no answer in time".to_owned()).into()),
        }
    }
}
