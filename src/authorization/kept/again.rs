//! The answer to a callback, beside its used state: for a browser that delivers the callback twice.
//!
//! Promises that a repeat of the same request in the same browser gets the same answer for a minute, also while the first
//! is still being worked on and on any replica; that it is sealed, and erased when the minute is over.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::{Kept, StateFault};
use crate::{
    authorization::{Authorization, CompleteFault, Completed, client::fingerprint, cookies::Repeat},
    clock::later,
    sealing::Sealed,
    store::{Key, Kind, StoreError, Tenant, Versioned},
};

const FIELD: &str = "answer";
/// How long it stays: longer than any browser takes to ask again by itself.
const KEPT_FOR: Duration = Duration::from_secs(60);
/// How long the first delivery may take: two exchanges' worth, and the proof of the workspace. After that its worker is
/// gone.
const WORKED_ON_FOR: Duration = Duration::from_secs(30);
/// How often a repeat looks for the answer meanwhile.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
const LOOKS: u32 = 150;
/// How often the answer is written while the reconciler writes too.
const TRIES: u32 = 4;

/// An answer that is to come, was given, or was forgotten.
#[derive(Serialize, Deserialize)]
pub(super) struct Answer {
    sealed: Option<Sealed>,
    /// Until then it is worth waiting for, or may be given again.
    until: Timestamp,
}

impl Kept {
    /// The state is taken: its taker will have an answer.
    pub(super) fn await_answer(&mut self, now: Timestamp) {
        self.answer = Some(Answer { sealed: None, until: later(now, WORKED_ON_FOR) });
    }

    /// When there is something to do about the answer.
    pub(super) fn answer_due(&self) -> Option<Timestamp> {
        self.answer.as_ref().filter(|answer| answer.sealed.is_some()).map(|answer| answer.until)
    }

    /// Erases an answer whose time is over.
    pub(super) fn forget_answer(&mut self, now: Timestamp) {
        if let Some(answer) = self.answer.as_mut().filter(|answer| answer.until <= now) {
            answer.sealed = None;
        }
    }
}

impl Authorization {
    /// Keeps the answer to the callback with this query, whose state was taken. If it cannot be kept, a repeat is refused,
    /// and nothing else is lost.
    pub(in crate::authorization) async fn keep_answer(&self, state: &str, query: &str, completed: &Completed) {
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
        let Some(Versioned { value: mut kept, document }) = self.load_kept(state).await? else { return Ok(true) };
        let until = later(self.inner.clock.now(), KEPT_FOR);
        kept.answer = Some(Answer { sealed: Some(self.seal_for(state, FIELD, text)), until });
        self.write(state, &kept, Some(document.version)).await
    }

    /// The answer that the first delivery of this callback got; waits for it while that is being worked on.
    pub(in crate::authorization) async fn answered(&self, repeat: &Repeat) -> Result<Completed, CompleteFault> {
        for _ in 0..LOOKS {
            let kept = self.load_kept(&repeat.state).await.map_err(|error| {
                tracing::warn!(%error, "could not look for the answer to a callback");
                CompleteFault::Unavailable
            })?;
            let answer = kept.and_then(|kept| kept.value.answer);
            match answer.filter(|answer| self.inner.clock.now() < answer.until) {
                Some(Answer { sealed: None, .. }) => tokio::time::sleep(LOOK_AGAIN).await,
                Some(Answer { sealed: Some(sealed), .. }) => {
                    let text = self.open_of(&repeat.state, FIELD, &sealed).map_err(|error| {
                        tracing::error!(%error, "the answer to a callback cannot be opened");
                        CompleteFault::State(StateFault::Used)
                    })?;
                    return read(&text, &repeat.query).ok_or(CompleteFault::State(StateFault::Used));
                }
                None => break,
            }
        }
        Err(CompleteFault::State(StateFault::Used))
    }

    pub(super) async fn load_kept(&self, state: &str) -> Result<Option<Versioned<Kept>>, StoreError> {
        let (tenant, key) = (Tenant::new(state), Key::new(Kind::Attempt, state));
        let loaded = self.inner.store.load(&tenant, &[key], &[], self.inner.clock.now()).await?;
        loaded.documents.into_iter().next().flatten().map(Versioned::read).transpose().map_err(StoreError::from)
    }
}

/// `None`: it was another request's.
fn read(text: &SecretString, query: &str) -> Option<Completed> {
    let mut lines = text.expose_secret().split('\n').map(str::to_owned);
    (lines.next()? == fingerprint(query)).then_some(())?;
    Some(Completed { location: lines.next()?, set_cookies: lines.collect() })
}
