//! Attio's REST API v2: who a credential belongs to, the records that we write, and the attributes it needs.
//!
//! Owns the shapes of Attio's API (docs.attio.com/rest-api; its OpenAPI document of 2026-03) and what its errors mean.
//! Promises that the token appears in the `Authorization` header and nowhere else.

pub mod attributes;
pub mod lists;
pub mod notes;
pub mod oauth;
pub mod people;
pub mod prospects;
pub mod query;
#[cfg(test)]
mod tests;
pub mod webhooks;

use reqwest::{Method, RequestBuilder, header::ACCEPT};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use url::Url;

pub use self::{
    attributes::{Attributes, Titles},
    lists::Pipeline,
};
use crate::ids::{RecordId, WorkspaceId};
pub use crate::upstream::CallError;
use crate::upstream::{Answer, Caller};

/// The most that is read of a record, in bytes: a single text in it may already have megabytes.
const RECORD_CAP: usize = 16 * 1024 * 1024;

/// Attio's REST API under one base URL. Clones share connections.
#[derive(Clone)]
pub struct Client {
    caller: Caller,
    base_url: Url,
}

/// What an Attio bearer token is good for (`GET /v2/self`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// A live token.
    Active {
        /// The workspace that it was granted for.
        workspace: WorkspaceId,
        /// Granted scopes.
        scopes: Vec<String>,
    },
    /// Unknown or revoked.
    Inactive,
}

/// Values to write: slug → array.
pub type Values = serde_json::Map<String, Value>;

impl Client {
    /// `base_url` is Attio's; `caller` brings its time limit.
    pub fn new(caller: Caller, base_url: Url) -> Self {
        Self { caller, base_url }
    }

    /// `GET /v2/self`. A token that Attio does not know (any more) is [`Identity::Inactive`], not an error: Attio says
    /// so with 200 and `"active": false`; a 401 means the same.
    pub async fn identify(&self, token: &SecretString) -> Result<Identity, CallError> {
        let answer = self.caller.call("identify", self.request(Method::GET, &["self"], token)).await?;
        if !answer.status.is_success() {
            return match error(&answer, token) {
                CallError::Unauthorized => Ok(Identity::Inactive),
                error => Err(error),
            };
        }
        let read = |value: &Value| {
            // Flat by Attio's document, unlike everything else there.
            let who = if value.get("active").is_some() { value } else { value.get("data")? };
            let text = |key: &str| who.get(key).and_then(Value::as_str);
            if !flag(who.get("active")?)? {
                return Some(Identity::Inactive);
            }
            let workspace = text("workspace_id")?.trim().parse().ok()?;
            let scopes = text("scope").unwrap_or_default().split_whitespace().map(ToOwned::to_owned).collect();
            Some(Identity::Active { workspace, scopes })
        };
        answer
            .find(read)?
            .ok_or_else(|| unreadable("it does not say whether the token is active, and for which workspace"))
    }

    /// `PATCH /v2/objects/people/records/{record_id}`. Idempotent for single-value attributes.
    ///
    /// Errors: 403 [`CallError::Forbidden`], 404 [`CallError::NotFound`] (the record is gone), 409
    /// [`CallError::Conflict`], 400 [`CallError::Rejected`], the last two with Attio's `code`.
    pub async fn update_person(
        &self,
        token: &SecretString,
        record: RecordId,
        values: &Values,
    ) -> Result<(), CallError> {
        let request = self.person(Method::PATCH, record, token).json(&json!({ "data": { "values": values } }));
        // The body of the answer repeats the whole record, which may be larger than we care to read.
        self.done("update_person", request, token).await
    }

    /// The title or text that a single-value select or text attribute of a person shows now; `None`: empty.
    pub async fn read_person(
        &self,
        token: &SecretString,
        record: RecordId,
        slug: &str,
    ) -> Result<Option<String>, CallError> {
        let request = self.person(Method::GET, record, token);
        let answer = self.caller.call_capped("read_person", request, RECORD_CAP).await?;
        if !answer.status.is_success() {
            return Err(error(&answer, token));
        }
        let values = |value: &Value| value.pointer("/data/values")?.as_object().cloned();
        let values = answer.find(values)?.ok_or_else(|| unreadable("it is no record"))?;
        let shown = values.get(slug).and_then(Value::as_array).and_then(|values| values.iter().find_map(shown));
        Ok(shown.map(ToOwned::to_owned))
    }

    fn person(&self, method: Method, record: RecordId, token: &SecretString) -> RequestBuilder {
        self.request(method, &["objects", "people", "records", &record.to_string()], token)
    }

    /// A request to `{base}/v2/{segments}`.
    fn request(&self, method: Method, segments: &[&str], token: &SecretString) -> RequestBuilder {
        let mut url = self.base_url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push("v2").extend(segments);
        }
        self.caller.request(method, url).bearer_auth(token.expose_secret()).header(ACCEPT, "application/json")
    }
}

/// A boolean, whichever JSON type its writer chose for it.
fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) => Some(number.as_f64()? != 0.0),
        Value::String(text) => text.trim().to_ascii_lowercase().parse().ok(),
        _ => None,
    }
}

/// What a value shows, if it is the active one: `{"active_until": null, "option": {"title"}}` of a select,
/// `{"active_until": null, "value"}` of a text.
fn shown(value: &Value) -> Option<&str> {
    if !is_active(value) {
        return None;
    }
    value.pointer("/option/title").or_else(|| value.get("value"))?.as_str()
}

/// Whether a value counts now.
fn is_active(value: &Value) -> bool {
    value.get("active_until").is_none_or(Value::is_null)
}

/// Attio's errors: 403 has a meaning of its own here.
fn error(answer: &Answer, token: &SecretString) -> CallError {
    error_without(answer, &[token])
}

/// The same, of a request that had these secrets in it.
fn error_without(answer: &Answer, secrets: &[&SecretString]) -> CallError {
    let secrets: Vec<_> = secrets.iter().map(|secret| secret.expose_secret()).collect();
    match answer.error(&secrets) {
        CallError::Rejected { status: 403, detail, .. } => CallError::Forbidden { detail },
        error => error,
    }
}

fn unreadable(detail: &str) -> CallError {
    CallError::Unreadable { detail: detail.to_owned() }
}

/// `{"data": […]}` as documented, or a bare list.
fn list(value: &Value) -> Option<Vec<Value>> {
    value.get("data").unwrap_or(value).as_array().cloned()
}
