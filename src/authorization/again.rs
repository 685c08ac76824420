//! A callback that a browser delivers twice.
//!
//! Promises that a repeat of the same request in the same browser gets the same answer for a minute, also while the
//! first is still being worked on and on any replica; and that the answer is sealed meanwhile.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use super::{
    Authorization,
    attempt::StateFault,
    callback::{CompleteFault, Completed},
    client::fingerprint,
    cookies::Repeat,
    kept::{Answer, Found, Kept},
};
use crate::store::{StoreError, Tenant};

const FIELD: &str = "answer";
/// How often a repeat looks for the answer that is to come: a little longer than anything is worth waiting for.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
const LOOKS: u32 = 160;
/// How often the answer is written while the reconciler writes too.
const TRIES: u32 = 4;

impl Authorization {
    /// Keeps the answer to the callback with this query, whose state was taken. If it cannot be kept, a repeat is
    /// refused, and nothing else is lost.
    pub(super) async fn keep_answer(&self, state: &str, query: &str, completed: &Completed) {
        // No part of it can hold a line break.
        let lines = [fingerprint(query), completed.location.clone()].into_iter().chain(completed.set_cookies.clone());
        let text = SecretString::from(lines.collect::<Vec<_>>().join("\n"));
        for _ in 0..TRIES {
            match self.write_answer(state, &text).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%error, "a second delivery of a callback would not be answered as the first");
                    return;
                }
            }
        }
    }

    async fn write_answer(&self, state: &str, text: &SecretString) -> Result<bool, StoreError> {
        let found = self.inner.store.find::<Kept>(&Tenant::new(state), state).await?;
        let Some(mut kept) = found else { return Ok(true) };
        kept.value.answer = Some(Answer::given(self.seal_for(state, FIELD, text), self.inner.clock.now()));
        self.write(state, &mut kept).await
    }

    /// The answer that the first delivery of this callback got; waits for it while that is being worked on.
    pub(super) async fn answered(&self, repeat: &Repeat) -> Result<Completed, CompleteFault> {
        for _ in 0..LOOKS {
            let kept = self.inner.store.find::<Kept>(&Tenant::new(&repeat.state), &repeat.state).await;
            let kept = kept.map_err(|error| {
                tracing::warn!(%error, "could not look for the answer to a callback");
                CompleteFault::Unavailable
            })?;
            let answer = kept.and_then(|kept| kept.value.answer);
            match answer.map(|answer| answer.found(self.inner.clock.now())) {
                Some(Found::ToCome) => tokio::time::sleep(LOOK_AGAIN).await,
                Some(Found::Given(sealed)) => {
                    let text = self.open_of(&repeat.state, FIELD, &sealed).map_err(|error| {
                        tracing::error!(%error, "the answer to a callback cannot be opened");
                        CompleteFault::State(StateFault::Used)
                    })?;
                    return read(&text, &repeat.query).ok_or(CompleteFault::State(StateFault::Used));
                }
                Some(Found::Over) | None => break,
            }
        }
        Err(CompleteFault::State(StateFault::Used))
    }
}

/// `None`: it was another request's.
fn read(text: &SecretString, query: &str) -> Option<Completed> {
    let mut lines = text.expose_secret().split('\n').map(str::to_owned);
    (lines.next()? == fingerprint(query)).then_some(())?;
    Some(Completed { location: lines.next()?, set_cookies: lines.collect() })
}
