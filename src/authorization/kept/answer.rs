//! The answer to a callback, as it stands beside its used state.
//!
//! Promises that it is worth waiting for only as long as its worker may be at it, that it can be given again for a
//! minute, and that nothing of it stays after that.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{clock::later, sealing::Sealed};

/// How long it stays: longer than any browser takes to ask again by itself.
const KEPT_FOR: Duration = Duration::from_secs(60);
/// How long the first delivery may take: two exchanges' worth, and the proof of the workspace.
const WORKED_ON_FOR: Duration = Duration::from_secs(30);

/// An answer that is to come, was given, or was forgotten.
#[derive(Serialize, Deserialize)]
pub(in crate::authorization) struct Answer {
    sealed: Option<Sealed>,
    /// Until then it is worth waiting for, or may be given again.
    until: Timestamp,
}

/// What a repeat finds.
pub(in crate::authorization) enum Found {
    /// The first delivery is being worked on.
    ToCome,
    /// Its answer.
    Given(Sealed),
    /// It is too late.
    Over,
}

impl Answer {
    /// One that is to come: the state was just taken.
    pub(super) fn awaited(now: Timestamp) -> Self {
        Self { sealed: None, until: later(now, WORKED_ON_FOR) }
    }

    /// One that was just given.
    pub(in crate::authorization) fn given(sealed: Sealed, now: Timestamp) -> Self {
        Self { sealed: Some(sealed), until: later(now, KEPT_FOR) }
    }

    /// What a repeat finds at `now`.
    pub(in crate::authorization) fn found(self, now: Timestamp) -> Found {
        match self.sealed {
            _ if now >= self.until => Found::Over,
            None => Found::ToCome,
            Some(sealed) => Found::Given(sealed),
        }
    }

    /// When it has to be erased.
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.sealed.is_some().then_some(self.until)
    }

    /// Erases what it says, if its time is over.
    pub(super) fn forget(&mut self, now: Timestamp) {
        if now >= self.until {
            self.sealed = None;
        }
    }
}
