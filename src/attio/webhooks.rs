//! Attio's webhooks: how we subscribe, and how its calls are proven and read.
//!
//! Promises that a call passes only with a signature made with the webhook's own secret, compared in constant time, and
//! that neither the secret nor the URL shows in an error.

use std::fmt;

use aws_lc_rs::hmac;
use reqwest::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{CallError, Client, error, list, unreadable};
use crate::{
    ids::{EntryId, ListId, RecordId, WorkspaceId},
    lenient,
};

/// Webhooks asked for at a time.
const PAGE: usize = 100;
/// No workspace has more: an answer without an end is not read for ever.
const MOST: usize = 2_000;

/// What Attio made.
#[derive(Debug, Clone)]
pub struct CreatedWebhook {
    /// Attio's id.
    pub id: String,
    /// What it signs with; told this once.
    pub secret: SecretString,
}

/// What a webhook tells of besides merged and deleted records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// The entries of this list.
    pub entries_of: Option<ListId>,
    /// Changes of these attributes, by Attio's ids.
    pub changes_of: Vec<String>,
}

/// A webhook as Attio lists it.
#[derive(Clone, PartialEq, Eq)]
pub struct ListedWebhook {
    /// Attio's id.
    pub id: String,
    /// Where Attio calls.
    pub url: Option<String>,
}

impl fmt::Debug for ListedWebhook {
    /// The URL is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListedWebhook").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Something that happened to a record, or to a list that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordEvent {
    /// Two records became a new one. There is an event for each of the two.
    Merged {
        /// The new record.
        into: RecordId,
        /// One of the two.
        from: RecordId,
    },
    /// The record is gone.
    Deleted(RecordId),
    /// An attribute of the record has another value.
    Changed(RecordId),
    /// The record was put into a list.
    Entered {
        /// The list.
        list: ListId,
        /// Its entry there.
        entry: EntryId,
        /// The record.
        record: RecordId,
    },
}

/// The body is not what Attio sends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pointer} {detail}")]
pub struct Malformed {
    /// Where.
    pub pointer: String,
    /// What is wrong there.
    pub detail: &'static str,
}

impl Client {
    /// `POST /v2/webhooks` for merged and deleted records, and for what else is `told`. Events of other objects
    /// are dropped here, see [`events`]: People's id may not be known yet.
    pub async fn create_webhook(
        &self,
        token: &SecretString,
        url: &SecretString,
        told: &Told,
    ) -> Result<CreatedWebhook, CallError> {
        let subscription = |event_type: &str| json!({ "event_type": event_type, "filter": null });
        let is = |field: &str, value: &dyn fmt::Display| json!({ "field": field, "operator": "equals", "value": value.to_string() });
        let entries = told
            .entries_of
            .map(|list| json!({ "event_type": "list-entry.created", "filter": { "$and": [is("id.list_id", &list)] } }));
        let changes: Vec<_> = told.changes_of.iter().map(|attribute| is("id.attribute_id", attribute)).collect();
        let changes =
            (!changes.is_empty()).then(|| json!({ "event_type": "record.updated", "filter": { "$or": changes } }));
        let both = [subscription("record.merged"), subscription("record.deleted")];
        let subscriptions: Vec<_> = both.into_iter().chain(entries).chain(changes).collect();
        let body = json!({ "data": { "target_url": url.expose_secret(), "subscriptions": subscriptions } });
        let request = self.request(Method::POST, &["webhooks"], token).json(&body);
        let answer = self.caller.call("create_webhook", request).await?;
        if !answer.status.is_success() {
            let last = url.expose_secret().rsplit('/').next().unwrap_or_default();
            return Err(match answer.error(&[token.expose_secret(), url.expose_secret(), last]) {
                CallError::Rejected { status: 403, detail, .. } => CallError::Forbidden { detail },
                error => error,
            });
        }
        let read = |value: &Value| {
            let webhook = value.get("data").unwrap_or(value);
            let secret = webhook.get("secret")?.as_str().filter(|secret| !secret.is_empty())?;
            Some(CreatedWebhook { id: webhook_id(webhook)?, secret: SecretString::from(secret) })
        };
        answer.find(read)?.ok_or_else(|| unreadable("it names no webhook and secret"))
    }

    /// `GET /v2/webhooks`: all of the workspace, page by page; those without a usable id are dropped.
    pub async fn list_webhooks(&self, token: &SecretString) -> Result<Vec<ListedWebhook>, CallError> {
        let (mut found, mut offset) = (Vec::new(), 0);
        loop {
            let page = [("limit", PAGE.to_string()), ("offset", offset.to_string())];
            let request = self.request(Method::GET, &["webhooks"], token).query(&page);
            let answer = self.caller.call("list_webhooks", request).await?;
            if !answer.status.is_success() {
                return Err(error(&answer, token));
            }
            let listed = answer.find(list)?.ok_or_else(|| unreadable("it is no list of webhooks"))?;
            found.extend(listed.iter().filter_map(|webhook| {
                let url = webhook.get("target_url").and_then(Value::as_str).map(str::to_owned);
                Some(ListedWebhook { id: webhook_id(webhook)?, url })
            }));
            offset += listed.len();
            // More than was asked for: it does not know pages.
            if listed.len() < PAGE || listed.len() > PAGE {
                return Ok(found);
            }
            if offset >= MOST {
                return Err(unreadable("it lists more webhooks than a workspace can have"));
            }
        }
    }

    /// `DELETE /v2/webhooks/{id}`.
    pub async fn delete_webhook(&self, token: &SecretString, id: &str) -> Result<(), CallError> {
        self.done("delete_webhook", self.request(Method::DELETE, &["webhooks", id], token), token).await
    }
}

/// `{"id": {"webhook_id"}}` as documented, or plainly `id` or `webhook_id`.
fn webhook_id(webhook: &Value) -> Option<String> {
    let id = webhook.get("id");
    [id.and_then(|id| id.get("webhook_id")), id, webhook.get("webhook_id")].into_iter().flatten().find_map(lenient::id)
}

/// Whether `signature` (`Attio-Signature`) is the hex HMAC-SHA256 of the raw body.
pub fn is_signed(secret: &SecretString, signature: &str, body: &[u8]) -> bool {
    let key = secret.expose_secret().as_bytes();
    // The HMAC under an empty key is something that anybody can compute.
    let Some(tag) = unhex(signature).filter(|_| !key.is_empty()) else { return false };
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, key), body, &tag).is_ok()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

/// The events of a call that are about `people` (Attio's id of that object, if it is known) of `workspace`, each by
/// itself: what is wrong with one is no reason to lose the others. Events of other kinds are passed over.
pub fn events(
    body: &[u8],
    workspace: WorkspaceId,
    people: Option<&str>,
) -> Result<Vec<Result<RecordEvent, Malformed>>, Malformed> {
    #[derive(Deserialize)]
    struct Call {
        events: Vec<Value>,
    }
    let malformed = |pointer: String, detail| Malformed { pointer, detail };
    let call: Call = serde_json::from_str(&lenient::json(body))
        .map_err(|_| malformed("/events".to_owned(), "must be a list, in a JSON object"))?;
    let read = |at: usize, event: &Value| {
        let kind = event.get("event_type").and_then(Value::as_str);
        let kind = kind.ok_or_else(|| malformed(format!("/events/{at}/event_type"), "must be a string"))?;
        let uuid = |pointer: &str| {
            let id = event.pointer(pointer).and_then(Value::as_str).and_then(|id| id.parse().ok());
            id.ok_or_else(|| malformed(format!("/events/{at}{pointer}"), "must be a UUID"))
        };
        let record = |pointer: &str| uuid(pointer).map(RecordId);
        let read = match kind {
            "record.merged" => {
                RecordEvent::Merged { into: record("/id/record_id")?, from: record("/duplicate_record_id")? }
            }
            "record.deleted" => RecordEvent::Deleted(record("/id/record_id")?),
            "record.updated" => RecordEvent::Changed(record("/id/record_id")?),
            "list-entry.created" => RecordEvent::Entered {
                list: ListId(uuid("/id/list_id")?),
                entry: EntryId(uuid("/id/entry_id")?),
                record: record("/parent_record_id")?,
            },
            _ => return Ok(None),
        };
        let theirs = event.pointer("/id/workspace_id").and_then(Value::as_str).and_then(|id| id.parse().ok());
        let object = event.pointer("/id/object_id").or_else(|| event.get("parent_object_id")).and_then(Value::as_str);
        let is_ours = theirs.is_none_or(|theirs: WorkspaceId| theirs == workspace)
            && people.zip(object).is_none_or(|(people, object)| people == object);
        Ok(is_ours.then_some(read))
    };
    Ok(call.events.iter().enumerate().filter_map(|(at, event)| read(at, event).transpose()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hex_hmac_of_the_body_passes() {
        let secret = SecretString::from("key");
        let body = b"The quick brown fox jumps over the lazy dog";
        let right = "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8";
        assert!(is_signed(&secret, right, body));
        for wrong in ["", "f7", "zz", &right[1..], &right.replace('8', "9"), &format!("{right}00")] {
            assert!(!is_signed(&secret, wrong, body), "{wrong}");
        }
        assert!(!is_signed(&secret, right, b"another body"));
        assert!(!is_signed(&SecretString::from(""), right, body));
    }

    #[test]
    fn what_is_not_about_our_records_is_passed_over() {
        let workspace = WorkspaceId::random();
        let (into, from) = (RecordId::random(), RecordId::random());
        let merged = |workspace: WorkspaceId| {
            json!({
                "event_type": "record.merged", "id": { "workspace_id": workspace, "record_id": into },
                "duplicate_record_id": from,
            })
        };
        let body = json!({ "events": [
            merged(workspace), merged(WorkspaceId::random()), { "event_type": "note.created" },
            { "event_type": "record.deleted", "id": { "record_id": from } },
        ] });
        let read = events(body.to_string().as_bytes(), workspace, None).expect("reads");
        assert_eq!(read, [Ok(RecordEvent::Merged { into, from }), Ok(RecordEvent::Deleted(from))]);
        for body in ["", "[]", "{}"] {
            assert!(events(body.as_bytes(), workspace, None).is_err(), "{body}");
        }
    }

    #[test]
    fn a_bad_event_loses_no_other() {
        let from = RecordId::random();
        let body = json!({ "events": [
            {}, { "event_type": "record.deleted" }, { "event_type": "record.deleted", "id": { "record_id": from } },
        ] });
        let read = events(body.to_string().as_bytes(), WorkspaceId::random(), None).expect("a call");
        let pointers: Vec<_> = read.iter().map(|read| read.as_ref().map_err(|bad| bad.pointer.as_str())).collect();
        let deleted = RecordEvent::Deleted(from);
        assert_eq!(pointers, [Err("/events/0/event_type"), Err("/events/1/id/record_id"), Ok(&deleted)]);
    }
}
