//! Acme Lead Checker's client: leads, webhooks, OAuth, and what it sends us.
//!
//! Owns the shapes of ALC's API (known and assumed) and the memory of what this ALC lacks. Knows nothing of leads' lives.

pub mod callback;
pub mod oauth;
pub mod signature;

use secrecy::SecretString;

use crate::ids::{RecordId, SendId};
pub use crate::upstream::CallError;

/// ALC's REST API under one base URL. Clones share connections and the memory of missing features.
#[derive(Clone)]
pub struct Client {}

/// A lead as it goes to ALC.
pub struct NewLead<'a> {
    /// The person record; `recordId`.
    pub record_id: RecordId,
    /// The person's name.
    pub name: &'a SecretString,
    /// E.164; `phoneNumber`.
    pub phone_number: &'a SecretString,
}

/// ALC took the lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedLead {
    /// ALC's id, numbers as text; `None` if the answer had no usable one.
    pub id: Option<String>,
}

/// A lead as ALC lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedLead {
    /// ALC's id, numbers as text.
    pub id: String,
    /// ALC's word for where it stands.
    pub status: Option<String>,
}

/// A webhook that ALC made.
pub struct CreatedWebhook {
    /// ALC's id, numbers as text; `None` if the answer had no usable one.
    pub id: Option<String>,
    /// `whsec_…`: callbacks are signed.
    pub secret: Option<SecretString>,
}

/// A webhook as ALC lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedWebhook {
    /// ALC's id.
    pub id: String,
    /// The name that we gave it.
    pub name: Option<String>,
}

impl Client {
    /// `POST /api/v1/leads` with `Idempotency-Key: <send>`.
    pub async fn submit_lead(
        &self,
        _token: &SecretString,
        _send: SendId,
        _lead: NewLead<'_>,
    ) -> Result<AcceptedLead, CallError> {
        std::future::pending().await
    }

    /// `GET /api/v1/leads?recordId=`.
    pub async fn find_leads(&self, _token: &SecretString, _record: RecordId) -> Result<Vec<ListedLead>, CallError> {
        std::future::pending().await
    }

    /// `GET /api/v1/leads/{id}`.
    pub async fn get_lead(&self, _token: &SecretString, _id: &str) -> Result<ListedLead, CallError> {
        std::future::pending().await
    }

    /// `POST /api/v1/webhooks` for `lead.processed`.
    pub async fn create_webhook(
        &self,
        _token: &SecretString,
        _name: &str,
        _url: &SecretString,
    ) -> Result<CreatedWebhook, CallError> {
        std::future::pending().await
    }

    /// `GET /api/v1/webhooks`.
    pub async fn list_webhooks(&self, _token: &SecretString) -> Result<Vec<ListedWebhook>, CallError> {
        std::future::pending().await
    }

    /// `DELETE /api/v1/webhooks/{id}`.
    pub async fn delete_webhook(&self, _token: &SecretString, _id: &str) -> Result<(), CallError> {
        std::future::pending().await
    }
}
