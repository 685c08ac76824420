//! Acme Lead Checker's client: leads, webhooks, OAuth, and what it sends us.
//!
//! Owns the shapes of ALC's API (known and assumed) and the memory of what this ALC lacks. Knows nothing of leads'
//! lives. Promises that an ALC which has only the three known calls is enough, that nothing of what an answer holds
//! beyond the known can turn a success into a failure, and that token, name, number and webhook URL appear in no error.

pub mod callback;
mod features;
mod listed;
pub mod oauth;
pub mod prospect;
mod shapes;
pub mod signature;
#[cfg(test)]
mod tests;
pub mod webhook_key;
mod words;

use features::{Feature, Features};
use futures_util::FutureExt as _;
use reqwest::{Method, RequestBuilder, header::ACCEPT};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use url::Url;

pub use self::{
    listed::{ListedLead, ListedWebhook},
    words::Words,
};
use crate::ids::{RecordId, SendId};
pub use crate::upstream::CallError;
use crate::upstream::{Answer, Caller, Repeat};

/// The most that is read of the answer to a lead, in bytes: an id that stands behind a long echo of what we sent is
/// worth reading on for.
const LEAD_CAP: usize = 1024 * 1024;

/// The most that is read of a list, in bytes: an ALC that ignores the filter lists everything.
const LIST_CAP: usize = 4 * 1024 * 1024;

/// ALC's REST API under one base URL. Clones share connections and the memory of missing features.
#[derive(Clone)]
pub struct Client {
    caller: Caller,
    base_url: Url,
    features: Features,
}

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

/// A webhook that ALC made.
pub struct CreatedWebhook {
    /// ALC's id, numbers as text; `None` if the answer had no usable one.
    pub id: Option<String>,
    /// `whsec_…`: callbacks are signed. As ALC gave it; whether it can be a key is for [`webhook_key::check`] to say.
    pub secret: Option<SecretString>,
}

impl Client {
    /// `base_url` is ALC's, with or without a path of its own; `caller` brings its time limit.
    pub fn new(caller: Caller, base_url: Url) -> Self {
        Self { caller, base_url, features: Features::default() }
    }

    /// `POST /api/v1/leads` with `Idempotency-Key: <send>`.
    ///
    /// Errors: any 4xx but 401, 408, 409, 425 and 429 is [`CallError::Rejected`], 404 and 405 too, since nothing can do
    /// without this operation. [`CallError::Conflict`] carries the id of the lead that is there already, if ALC tells.
    /// A 2xx in which no id can be found by any reading is [`CallError::Unreadable`]; one that is JSON, or empty, and
    /// has no id is [`AcceptedLead`] without one.
    pub async fn submit_lead(
        &self,
        token: &SecretString,
        send: SendId,
        lead: NewLead<'_>,
    ) -> Result<AcceptedLead, CallError> {
        let (name, phone_number) = (lead.name.expose_secret(), lead.phone_number.expose_secret());
        let body = json!({ "recordId": lead.record_id, "name": name, "phoneNumber": phone_number });
        let request = self
            .request(Method::POST, self.url(&["leads"]), token)
            .header("Idempotency-Key", send.to_string())
            .json(&body);
        // A pooled connection that dies under the request says little of what ALC did. An ALC that answers look-ups is
        // asked before anything is sent again: a second copy would be a second chat wherever ALC honours no keys. At
        // one that cannot be asked a repeat at once, under the same key, is what keeps the lead from being lost.
        let cannot_be_asked = || self.cannot_find_leads(token, lead.record_id).boxed();
        let repeat = Repeat::OnFreshConnectionIf(&cannot_be_asked);
        let answer = self.caller.call_with("submit_lead", request, LEAD_CAP, repeat).await?;
        if answer.status.is_success() {
            return Ok(AcceptedLead { id: answer.find_or_in_remains(shapes::lead_id, shapes::lead_id_of_remains)? });
        }
        Err(match refused_for_good(&answer, &[token.expose_secret(), name, phone_number]) {
            // The first copy may have made the lead, and this be said for its sake: a refusal would count as certain.
            _ if answer.repeated => {
                let detail = format!("HTTP {} to the second copy of the request", answer.status.as_u16());
                CallError::Unknown { retry_after: None, detail }
            }
            CallError::Conflict { code, detail, .. } => {
                let id = answer.find(shapes::lead_id).ok().flatten();
                CallError::Conflict { code, id, detail }
            }
            error => error,
        })
    }

    /// `GET /api/v1/leads?recordId=`: the leads of exactly this record. [`CallError::Unsupported`] without asking for a
    /// day after ALC answered 404, 405, 501, or JSON that is no list. An ALC that has given a list before has to answer
    /// so for an hour; until then it is [`CallError::Unreadable`].
    pub async fn find_leads(&self, token: &SecretString, record: RecordId) -> Result<Vec<ListedLead>, CallError> {
        let mut url = self.url(&["leads"]);
        url.query_pairs_mut().append_pair("recordId", &record.to_string());
        self.list(Feature::FindLeads, "find_leads", url, token, |value| shapes::leads(value, record)).await
    }

    /// Whether ALC has no answer to a look-up, and so an unclear outcome is settled by nothing but a repeat. Where this
    /// process does not know it, ALC is asked.
    async fn cannot_find_leads(&self, token: &SecretString, record: RecordId) -> bool {
        !self.features.is_there(Feature::FindLeads)
            && self.find_leads(token, record).await.is_err_and(|error| error.is_refusal())
    }

    /// `GET /api/v1/leads/{id}`. 404 and 410 are [`CallError::NotFound`]; 405 and 501 are [`CallError::Unsupported`],
    /// remembered for a day. An answer about another lead is [`CallError::Unreadable`].
    pub async fn get_lead(&self, token: &SecretString, id: &str) -> Result<ListedLead, CallError> {
        self.has(Feature::GetLead)?;
        if !shapes::is_usable_id(id) {
            return Err(CallError::NotFound);
        }
        let answer = self.caller.call("get_lead", self.request(Method::GET, self.url(&["leads", id]), token)).await?;
        if !answer.status.is_success() {
            return Err(match answer.status.as_u16() {
                405 | 501 => self.lacks(Feature::GetLead),
                410 => CallError::NotFound,
                _ => answer.error(&[token.expose_secret()]),
            });
        }
        let value = answer.json()?;
        match shapes::lead(&value) {
            Some(lead) if lead.id != id => Err(unreadable("it is about another lead")),
            Some(lead) => Ok(lead),
            None => Ok(ListedLead { id: id.to_owned(), status: shapes::status(&value), words: shapes::words(&value) }),
        }
    }

    /// `POST /api/v1/webhooks` for `lead.processed`. Errors as for [`Client::submit_lead`]; a body that was cut is
    /// [`CallError::Unreadable`] too, since the secret may have stood in what is missing.
    pub async fn create_webhook(
        &self,
        token: &SecretString,
        name: &str,
        url: &SecretString,
    ) -> Result<CreatedWebhook, CallError> {
        let body = json!({ "name": name, "url": url.expose_secret(), "event": "lead.processed" });
        let request = self.request(Method::POST, self.url(&["webhooks"]), token).json(&body);
        let answer = self.caller.call("create_webhook", request).await?;
        if answer.status.is_success() {
            let read = |value: &Value| {
                let (id, secret) = (shapes::webhook_id(value), shapes::webhook_secret(value));
                (id.is_some() || secret.is_some()).then_some(CreatedWebhook { id, secret })
            };
            let created = answer.find(read)?;
            return Ok(created.unwrap_or(CreatedWebhook { id: None, secret: None }));
        }
        // The last segment is what must not leak, should ALC quote no more than the path.
        let (url, secret) = (url.expose_secret(), url.expose_secret().rsplit('/').next().unwrap_or_default());
        Err(refused_for_good(&answer, &[token.expose_secret(), url, secret]))
    }

    /// `GET /api/v1/webhooks`. [`CallError::Unsupported`] as for [`Client::find_leads`].
    pub async fn list_webhooks(&self, token: &SecretString) -> Result<Vec<ListedWebhook>, CallError> {
        self.list(Feature::ListWebhooks, "list_webhooks", self.url(&["webhooks"]), token, shapes::webhooks).await
    }

    /// `DELETE /api/v1/webhooks/{id}`; 404 and 410 are done too.
    pub async fn delete_webhook(&self, token: &SecretString, id: &str) -> Result<(), CallError> {
        if !shapes::is_usable_id(id) {
            // Such an id cannot have come from ALC, and as a path it would name the whole collection.
            return Ok(());
        }
        let request = self.request(Method::DELETE, self.url(&["webhooks", id]), token);
        let answer = self.caller.call("delete_webhook", request).await?;
        if answer.is_done() || matches!(answer.status.as_u16(), 404 | 410) {
            return Ok(());
        }
        Err(answer.error(&[token.expose_secret()]))
    }

    /// A `GET` on a collection that ALC may not have. A list that was cut is [`CallError::Unreadable`]: what is missing
    /// of it might be just what is looked for.
    async fn list<T>(
        &self,
        feature: Feature,
        operation: &'static str,
        url: Url,
        token: &SecretString,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<T, CallError> {
        self.has(feature)?;
        let answer = self.caller.call_capped(operation, self.request(Method::GET, url, token), LIST_CAP).await?;
        match answer.status.as_u16() {
            _ if answer.status.is_success() => {
                let found = answer.find(read)?.ok_or_else(|| self.lacks(feature))?;
                self.features.remember_there(feature);
                Ok(found)
            }
            404 | 405 | 501 => Err(self.lacks(feature)),
            _ => Err(answer.error(&[token.expose_secret()])),
        }
    }

    fn request(&self, method: Method, url: Url, token: &SecretString) -> RequestBuilder {
        self.caller.request(method, url).bearer_auth(token.expose_secret()).header(ACCEPT, "application/json")
    }

    /// `{base}/api/v1/{segments}`, each segment percent-encoded.
    fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.base_url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["api", "v1"]).extend(segments);
        }
        url
    }

    /// Whether [`Client::find_leads`] is worth asking: `false` while ALC is known not to have it.
    pub fn may_find_leads(&self) -> bool {
        self.has(Feature::FindLeads).is_ok()
    }

    /// Whether ALC has listed leads, and has begun less than an hour ago to answer that it lacks them: that may be a
    /// proxy's answer, in front of an ALC that is being deployed.
    pub fn may_find_leads_again(&self) -> bool {
        self.features.is_in_question(Feature::FindLeads, self.caller.now())
    }

    /// Whether [`Client::get_lead`] is worth asking.
    pub fn may_get_leads(&self) -> bool {
        self.has(Feature::GetLead).is_ok()
    }

    fn has(&self, feature: Feature) -> Result<(), CallError> {
        if self.features.is_missing(feature, self.caller.now()) { Err(CallError::Unsupported) } else { Ok(()) }
    }

    /// What an answer means by which ALC lacks the feature.
    fn lacks(&self, feature: Feature) -> CallError {
        if self.features.remember_missing(feature, self.caller.now()) {
            return CallError::Unsupported;
        }
        unreadable("by this answer ALC lacks what it had before")
    }
}

/// The error of an operation that every ALC has: there, 404 is a refusal like any other 4xx.
fn refused_for_good(answer: &Answer, secrets: &[&str]) -> CallError {
    match answer.error(secrets) {
        CallError::NotFound => CallError::Rejected { status: 404, code: None, detail: "not found".to_owned() },
        error => error,
    }
}

fn unreadable(detail: &str) -> CallError {
    CallError::Unreadable { detail: detail.to_owned() }
}
