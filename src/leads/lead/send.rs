//! A send: one press that is to have ALC talk to a lead, with an id of its own.
//!
//! Promises that `complete` is final, that `failed` gives way only to ALC's own later result, and that name and phone
//! are gone as soon as ALC has them or may have them for good; a failed send that certainly never arrived keeps them,
//! sealed, so that an operator can have it sent once more.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    outcome::{Outcome, Reason, Status},
    reach::Reach,
    to_read::ToRead,
};
use crate::{
    clock::Timestamp,
    ids::{SendId, WebhookId},
    sealing::Sealed,
};

/// Name and phone number, until ALC has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedPerson {
    /// 1 to 200 characters.
    pub name: Sealed,
    /// E.164.
    pub phone_number: Sealed,
    /// What a newer version keeps here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The present send of a lead.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PresentSend {
    /// What it has come to.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// How far it got.
    #[serde(flatten)]
    pub reach: Reach,
    /// The webhook that its last attempt was begun under: it answers until this send has finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookId>,
    /// The webhooks of attempts before it that had no clear answer: ALC may call them, so they answer as long.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_webhooks: Vec<WebhookId>,
    /// Erased once ALC has them or will not be sent them any more. See [`PresentSend::keeps_person`] for which failed
    /// sends keep them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<SealedPerson>,
    /// A list entry asked for it, and no press.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_entry: bool,
    /// The entry did not say who the person is: Attio is to be asked before ALC is sent anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_read: Option<ToRead>,
    /// When it became complete or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// ALC answered an attempt 2xx, and no id could be read: ALC has it, so that another such answer ends the asking.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accepted_unreadably: bool,
    /// What ALC listed for the record before the first attempt: not this send's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listed_before: Vec<String>,
    /// [`PresentSend::listed_before`] has been asked for, or need not be.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub baseline_taken: bool,
    /// Failures in a row at ALC.
    #[serde(default, skip_serializing_if = "crate::store::is_default")]
    pub failures: u32,
    /// ALC is not asked before then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
    /// Look-ups of a pending lead so far.
    #[serde(default, skip_serializing_if = "crate::store::is_default")]
    pub polls: u32,
    /// The next look-up of a pending lead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poll_at: Option<Timestamp>,
    /// The look-up that was next when an operator had ALC asked at once: the schedule goes on with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poll_then: Option<Timestamp>,
    /// ALC was not asked the last time, because no sealing key opened what that takes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unopened: bool,
    /// Until then its caller waits: a refusal is first the caller's to be told, and shown by Attio only if it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited_until: Option<Timestamp>,
    /// A merge made it, or a send before it, speak for another lead of the same person as well, whom ALC may talk to on
    /// that one's behalf: it is never replayed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub beside_another: bool,
    /// The span of the press that made it, as W3C's `traceparent` names it, where that is told to a collector: what is
    /// done for this send later, by whatever replica, is linked to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// What a newer version keeps here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What is remembered of a send that another one followed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EarlierSend {
    /// What it came to.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// ALC may have a lead of it whose id this service never learnt.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unlearnt: bool,
    /// What a newer version keeps here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl EarlierSend {
    /// Whether ALC may still have its chat with the person: it has, or may have, a lead of it, and has told no result.
    pub fn may_go_on_at_alc(&self) -> bool {
        self.outcome.status != Status::Complete && (self.unlearnt || self.outcome.lead_id.is_some())
    }
}

impl PresentSend {
    /// A queued send that has not been attempted.
    pub fn new(id: SendId, now: Timestamp) -> Self {
        Self {
            outcome: Outcome {
                id,
                lead_id: None,
                status: Status::Queued,
                reason: None,
                result: None,
                told_in_request: false,
                created_at: now,
                updated_at: now,
                attempts: 0,
                last_error: None,
            },
            reach: Reach::NotThere,
            webhook: None,
            other_webhooks: Vec::new(),
            person: None,
            by_entry: false,
            to_read: None,
            finished_at: None,
            accepted_unreadably: false,
            listed_before: Vec::new(),
            baseline_taken: false,
            failures: 0,
            retry_at: None,
            polls: 0,
            poll_at: None,
            poll_then: None,
            unopened: false,
            waited_until: None,
            beside_another: false,
            trace: None,
            extra: Map::new(),
        }
    }

    /// Whether ALC may have it, or had it once to refuse: only then can a callback without ids be about it.
    pub fn may_be_at_alc(&self) -> bool {
        self.reach != Reach::NotThere || self.outcome.reason == Some(Reason::Rejected)
    }

    /// The next attempt is begun under this webhook: another connection may have taken over.
    pub fn put_under(&mut self, webhook: Option<WebhookId>) {
        if self.webhook != webhook {
            let before = std::mem::replace(&mut self.webhook, webhook);
            self.other_webhooks.retain(|known| Some(*known) != webhook);
            self.other_webhooks.extend(before.filter(|_| self.reach.was_doubted()));
        }
    }

    /// What is remembered of it once another send follows.
    pub fn into_earlier(self) -> EarlierSend {
        EarlierSend {
            // A send that certainly never arrived has no lead at ALC; one that was refused after an attempt without an
            // answer may have one.
            unlearnt: self.outcome.lead_id.is_none() && self.reach != Reach::NotThere,
            outcome: self.outcome,
            extra: Map::new(),
        }
    }

    /// It is not sent any more, if it is not live: nobody is to find name and number.
    pub fn forget_person(&mut self) {
        if !self.outcome.status.is_live() {
            self.person = None;
        }
    }

    /// Ends it: no more is asked of ALC on its behalf.
    pub fn finish(&mut self, status: Status, reason: Option<Reason>, now: Timestamp) {
        self.outcome.status = status;
        self.outcome.reason = reason;
        self.outcome.updated_at = now;
        self.finished_at = Some(now);
        if !self.keeps_person(reason) {
            self.forget_person();
        }
        self.retry_at = None;
        (self.poll_at, self.poll_then) = (None, None);
        self.to_read = None;
        self.unopened = false;
    }
}
