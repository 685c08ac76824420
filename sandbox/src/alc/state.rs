//! What the pretend ALC keeps: grants, leads, webhooks, and what came of its callbacks.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::settings::Settings;
use crate::ambient::Time;

/// What the routes and the handle share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    pub(super) time: Time,
    pub(super) client: reqwest::Client,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) settings: Settings,
    pub(super) grants: Vec<Grant>,
    pub(super) codes: BTreeMap<String, Code>,
    pub(super) leads: Vec<Lead>,
    pub(super) keys: BTreeMap<String, Receipt>,
    pub(super) webhooks: Vec<Webhook>,
    pub(super) callbacks: Vec<Answer>,
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lead that ALC took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lead {
    /// ALC's id.
    pub id: String,
    /// The record that it is about.
    pub record_id: String,
    /// The person's name.
    pub name: String,
    /// The person's number, as sent.
    pub phone_number: String,
    /// `processing`, then ALC's result.
    pub status: String,
    /// The key that it was sent under.
    pub idempotency_key: Option<String>,
    /// When it was taken.
    pub created_at: Timestamp,
}

/// What a key was answered with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Receipt {
    pub(super) body: String,
    pub(super) lead_id: String,
}

/// An authorization code that was handed out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Code {
    pub(super) redirect_uri: String,
    pub(super) challenge: Option<String>,
    pub(super) scope: Option<String>,
    pub(super) used: bool,
}

/// What one consent gave, over all refreshes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Grant {
    /// Access tokens that work, with their expiry.
    pub(super) access_tokens: BTreeMap<String, Option<Timestamp>>,
    /// The refresh token that works.
    pub(super) refresh_token: Option<String>,
    pub(super) code: String,
    pub(super) revoked: bool,
}

/// A registration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Webhook {
    /// ALC's id.
    pub webhook_id: String,
    /// The name it was given.
    pub name: String,
    /// Where ALC calls.
    pub url: String,
    /// `lead.processed`.
    pub event: String,
    /// `whsec_…`, where ALC signs.
    pub secret: Option<String>,
    /// Whether it was deleted.
    pub deleted: bool,
}

/// What a callback was answered with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Where it went.
    pub url: String,
    /// Its `webhook-id`, for a repeat.
    pub message_id: String,
    /// The body that was sent, as far as it is text.
    pub sent: String,
    /// The status; 0 when there was no answer.
    pub status: u16,
    /// The body of the answer.
    pub body: String,
    /// `Retry-After`, if it came.
    pub retry_after: Option<String>,
}
