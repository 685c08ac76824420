//! What is stored of a person whom ALC brings, and what is to be done for them. Decides; does nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    clock::{Timestamp, later},
    ids::WebhookId,
    leads::{
        lead::{alc::Again, next_step::DISCONNECT_GRACE, prospect::Brought, remembered::remember},
        words,
    },
    sealing::Sealed,
    store::{Aggregate, Kind},
};

/// Every label under which the store keeps them.
pub const LABELS: [&str; 2] = ["waiting", "failing"];
/// Callback ids remembered.
const CALLBACKS_KEPT: usize = 20;

/// A person whom ALC brings. Its key is a keyed fingerprint of the e-mail address.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prospect {
    /// In lower case.
    pub email: Sealed,
    /// As ALC has told it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Sealed>,
    /// ALC's id of the lead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lead_id: Option<String>,
    /// ALC's word, if it has said one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// What ALC said besides, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<Sealed>,
    /// Digests of the `webhook-id`s that have been counted, oldest first: a repeat has no second effect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub callbacks: Vec<String>,
    /// The webhook that ALC called last.
    pub webhook: WebhookId,
    /// When ALC first told of the person.
    pub created_at: Timestamp,
    /// Failures in a row at Attio.
    #[serde(default, skip_serializing_if = "crate::store::is_default")]
    pub failures: u32,
    /// Attio is not asked before then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
    /// Attio refuses the name: from now on the address goes alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub name_refused: bool,
    /// What a newer version keeps here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Aggregate for Prospect {
    const KIND: Kind = Kind::Prospect;
    const SCHEMA: u32 = 1;

    fn status(&self) -> &'static str {
        LABELS[usize::from(self.failures > 0)]
    }

    fn created_at(&self) -> Timestamp {
        self.created_at
    }
}

/// What a call of ALC's says of a person, sealed.
#[derive(Debug, Clone)]
pub struct Told {
    /// The e-mail address.
    pub email: Sealed,
    /// The name.
    pub name: Option<Sealed>,
    /// ALC's id of the lead.
    pub lead_id: Option<String>,
    /// ALC's word.
    pub result: Option<String>,
    /// What ALC said besides, as JSON.
    pub words: Option<Sealed>,
    /// The webhook that was called.
    pub webhook: WebhookId,
    /// The digest of the call's id.
    pub call: Option<String>,
}

/// Where the workspace stands, as far as the next step depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Attio may be called.
    Granted,
    /// Not before then.
    NotBefore(Timestamp),
    /// Not until the workspace connects again.
    None,
    /// The workspace has left, at that time.
    Disconnected(Timestamp),
}

/// What is to be done for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Have Attio know them.
    Upsert,
    /// Attio never took them, or the workspace has left: nothing of them is kept.
    GiveUp,
    /// Nothing now; again at that time.
    Rest(Timestamp),
}

impl Prospect {
    /// A person of whom nothing was known.
    pub fn new(told: Told, now: Timestamp) -> Self {
        Self {
            email: told.email,
            name: told.name,
            lead_id: told.lead_id,
            result: told.result,
            words: told.words,
            callbacks: told.call.into_iter().collect(),
            webhook: told.webhook,
            created_at: now,
            failures: 0,
            retry_at: None,
            name_refused: false,
            extra: Map::new(),
        }
    }

    /// ALC tells of the person again: what it says now replaces what is not shown yet, and what it leaves out stays.
    /// `false`: the call was counted before.
    pub fn tell(&mut self, told: Told) -> bool {
        if told.call.is_some_and(|call| !remember(&mut self.callbacks, call, CALLBACKS_KEPT)) {
            return false;
        }
        self.webhook = told.webhook;
        if told.name.is_some() {
            (self.name, self.name_refused) = (told.name, false);
        }
        if told.result.is_some() || self.result.is_none() {
            // Id and words belong to the result: of two leads of one person the later one's are shown.
            let other_id = told.lead_id.is_some() && self.lead_id.is_some() && told.lead_id != self.lead_id;
            let is_same = self.result == told.result && !other_id;
            self.lead_id = told.lead_id.or(self.lead_id.take());
            self.words = told.words.or(self.words.take().filter(|_| is_same));
            self.result = told.result;
        }
        true
    }

    /// Attio has not taken the person.
    pub fn not_taken(&mut self, again: Again, refuses_name: bool) {
        self.failures = again.count(self.failures);
        self.retry_at = Some(again.at);
        self.name_refused |= refuses_name;
    }

    /// What is to be done now.
    pub fn next_step(&self, access: Access, retention: Duration, now: Timestamp) -> Step {
        let mut end = later(self.created_at, retention);
        if let Access::Disconnected(since) = access {
            end = end.min(later(since, DISCONNECT_GRACE));
        }
        let not_before = match access {
            _ if now >= end => return Step::GiveUp,
            Access::Granted => now,
            Access::NotBefore(at) => at,
            Access::None | Access::Disconnected(_) => end,
        };
        let at = self.retry_at.map_or(not_before, |retry_at| retry_at.max(not_before)).min(end);
        if at > now { Step::Rest(at) } else { Step::Upsert }
    }

    /// What the lead of the person's record is told.
    pub fn brought(&self) -> Brought<'_> {
        Brought { result: self.result.as_deref(), lead_id: self.lead_id.as_deref(), callbacks: &self.callbacks }
    }

    /// Everything sealed of it, with the name of its field.
    pub fn sealed(&mut self) -> impl Iterator<Item = (&'static str, &mut Sealed)> {
        let email = std::iter::once((EMAIL, &mut self.email));
        let name = self.name.as_mut().map(|name| (NAME, name));
        email.chain(name).chain(self.words.as_mut().map(|words| (words::FIELD, words)))
    }
}

/// Where the address is sealed.
pub const EMAIL: &str = "email";
/// Where the name is.
pub const NAME: &str = "name";
