//! The calls to workflows that were given up, so that an operator can have them made once more.
//!
//! Promises that each is kept with what it was to tell, its callback URL sealed as before, that only the newest few are
//! kept, and that a call which is taken to be made once more is not here any more: asked for twice, it is made once.
//! None is kept longer than a finished lead, also where the lead lives on because its record is sent again and again.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::owed::{Owed, Recipient};
use crate::{clock::Timestamp, ids::SendId};

/// Calls of one lead that are kept after they were given up. Each may hold a long URL and a copy of the result.
const KEPT: usize = 20;

/// Why a call to a workflow was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GivenUpFor {
    /// 404 or 410 long after the send was accepted: Attio does not know the workflow's run any more.
    NobodyThere,
    /// No 2xx until `LEADS__DEADLINE`.
    Deadline,
    /// More calls were owed than a lead may owe, and the oldest gave way.
    CrowdedOut,
}

impl GivenUpFor {
    /// The word that operators read.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NobodyThere => "nobody-there",
            Self::Deadline => "deadline",
            Self::CrowdedOut => "crowded-out",
        }
    }
}

/// A call that was given up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GivenUpCall {
    /// The call as it was owed.
    pub call: Owed,
    /// Why.
    pub why: GivenUpFor,
    /// When.
    pub at: Timestamp,
    /// What a newer version keeps here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// All that were given up, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GivenUp(Vec<GivenUpCall>);

impl GivenUp {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &GivenUpCall> {
        self.0.iter()
    }

    /// Each of them, to be sealed anew.
    pub fn calls_mut(&mut self) -> impl Iterator<Item = &mut Owed> {
        self.0.iter_mut().map(|given_up| &mut given_up.call)
    }

    /// Keeps a call that is made no more.
    pub(super) fn keep(&mut self, call: Owed, why: GivenUpFor, at: Timestamp) {
        self.0.push(GivenUpCall { call, why, at, extra: Map::new() });
        let surplus = self.0.len().saturating_sub(KEPT);
        self.0.drain(..surplus);
    }

    /// The call of that number, which is not here any more from now on.
    pub(super) fn take(&mut self, number: u64) -> Option<Owed> {
        let index = self.0.iter().position(|given_up| given_up.call.number == number)?;
        Some(self.0.remove(index).call)
    }

    /// When the oldest of them was given up.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.0.iter().map(|given_up| given_up.at).min()
    }

    /// Those that were given up by then are over: no operator has asked for them, and each holds a callback URL.
    pub fn forget_until(&mut self, then: Timestamp) {
        self.0.retain(|given_up| given_up.at > then);
    }

    /// A trigger is about to be told another end of that send: the earlier one is told no more.
    pub(super) fn forget(&mut self, send: SendId, to: &Recipient) {
        self.0.retain(|given_up| given_up.call.send != send || given_up.call.to.recipient != *to);
    }
}
