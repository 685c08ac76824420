//! Attio tells its webhooks what became of records.
//!
//! Owns the events' shapes and their signature. Promises to send just what was asked for, good or bad, once to each
//! subscription that wants it, and to say what came back: whether Attio tries again is the test's decision.

use std::time::Duration;

use aws_lc_rs::hmac;
use serde_json::{Value, json};

use super::{
    handle::Attio,
    state::{Record, Shared, Webhook},
};
use crate::ambient::http_client;

impl Attio {
    /// Two records become a new one, which has the values of both (the first one's go before); tells of it, once for
    /// each of the two. The new record's id.
    pub async fn merge(&self, one: &str, other: &str) -> String {
        let made = self.merge_silently(one, other);
        self.deliver(vec![self.merged_event(&made, one)]).await;
        self.deliver(vec![self.merged_event(&made, other)]).await;
        made
    }

    /// As [`Attio::merge`], without telling any webhook.
    ///
    /// # Panics
    /// Without two records of these ids.
    pub fn merge_silently(&self, one: &str, other: &str) -> String {
        let made = uuid::Uuid::new_v4().to_string();
        {
            let mut state = self.shared.state();
            let mut take = |id: &str| state.records.remove(id).expect("a record to merge");
            let (one, other) = (take(one), take(other));
            let mut values = other.values;
            values.extend(one.values);
            state.records.insert(made.clone(), Record { created_at: one.created_at, values, changes: Vec::new() });
        }
        self.shared.touched();
        made
    }

    /// Takes a record away, and tells of it.
    pub async fn delete_and_tell(&self, record_id: &str) {
        self.delete_person(record_id);
        self.deliver(vec![self.event("record.deleted", record_id)]).await;
    }

    /// `record.merged` about one of the two originals.
    pub fn merged_event(&self, made: &str, original: &str) -> Value {
        let mut event = self.event("record.merged", made);
        event["duplicate_object_id"] = event["id"]["object_id"].clone();
        event["duplicate_record_id"] = json!(original);
        event
    }

    /// An event about a record.
    pub fn event(&self, event_type: &str, record_id: &str) -> Value {
        let state = self.shared.state();
        json!({
            "event_type": event_type,
            "id": {
                "workspace_id": state.settings.workspace_id,
                "object_id": state.object_id,
                "record_id": record_id,
            },
            "actor": { "type": "workspace-member", "id": "50cf242c-7fa3-4cad-87d0-75b1af71c57b" },
        })
    }

    /// `record.updated` about one attribute of a record.
    pub fn updated_event(&self, record_id: &str, slug: &str) -> Value {
        let mut event = self.event("record.updated", record_id);
        let state = self.shared.state();
        event["id"]["attribute_id"] = json!(state.attribute(slug).map(|attribute| &attribute.attribute_id));
        event
    }

    /// One signed call with these events to every subscription that wants the first of them; the statuses.
    pub async fn deliver(&self, events: Vec<Value>) -> Vec<u16> {
        self.shared.deliver(events).await
    }

    /// One signed call of this body, whatever it is, to a subscription; the status.
    pub async fn deliver_to(&self, webhook: &Webhook, body: impl Into<Vec<u8>>) -> u16 {
        deliver_to(webhook, body.into()).await
    }

    /// One call to a URL; the status, 0 without an answer.
    pub async fn call(&self, url: &str, body: impl Into<Vec<u8>>, signature: Option<&str>) -> u16 {
        call(url, body.into(), signature).await
    }
}

impl Shared {
    /// See [`Attio::deliver`].
    pub(super) async fn deliver(&self, events: Vec<Value>) -> Vec<u16> {
        let first = events.first().cloned().unwrap_or_default();
        let wants = |webhook: &Webhook| {
            let subscriptions = webhook.subscriptions.as_array();
            let is_wanted = |one: &Value| one["event_type"] == first["event_type"] && passes(&one["filter"], &first);
            subscriptions.is_some_and(|all| all.iter().any(is_wanted))
        };
        let webhooks: Vec<_> = self.state().webhooks.iter().filter(|webhook| wants(webhook)).cloned().collect();
        let mut statuses = Vec::new();
        for webhook in webhooks {
            let body = json!({ "webhook_id": webhook.webhook_id, "events": events }).to_string();
            statuses.push(deliver_to(&webhook, body.into()).await);
        }
        statuses
    }
}

/// Whether a subscription's filter lets an event through: `$and` or `$or` over conditions on its fields, which are
/// named by their path (`id.list_id`).
fn passes(filter: &Value, event: &Value) -> bool {
    let met = |condition: &Value| {
        let path = condition["field"].as_str().unwrap_or_default().replace('.', "/");
        let is = event.pointer(&format!("/{path}")).is_some_and(|value| *value == condition["value"]);
        is == (condition["operator"] == "equals")
    };
    match (filter["$and"].as_array(), filter["$or"].as_array()) {
        (Some(all), _) => all.iter().all(met),
        (None, Some(any)) => any.iter().any(met),
        (None, None) => true,
    }
}

async fn deliver_to(webhook: &Webhook, body: Vec<u8>) -> u16 {
    let signature = sign(&webhook.secret, &body);
    call(&webhook.target_url, body, Some(&signature)).await
}

async fn call(url: &str, body: Vec<u8>, signature: Option<&str>) -> u16 {
    let mut request = http_client(Duration::from_secs(10)).post(url).header("content-type", "application/json");
    if let Some(signature) = signature {
        request = request.header("attio-signature", signature);
    }
    let key = uuid::Uuid::new_v4().to_string();
    let answer = request.header("idempotency-key", key).body(body).send().await;
    answer.map_or(0, |answer| answer.status().as_u16())
}

/// What Attio signs a body with: lower-case hex HMAC-SHA256.
pub fn sign(secret: &str, body: impl AsRef<[u8]>) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), body.as_ref());
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
