//! Attio's webhooks.
//!
//! Owns subscriptions. Promises the secret in the answer to the creation, and nowhere else.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    errors::{invalid, not_found},
    handle::Attio,
    records::attio_time,
    state::{State, Webhook},
};
use crate::{
    ambient::random,
    wire::{Reply, Request},
};

impl State {
    fn webhook_shown(&self, webhook: &Webhook) -> Value {
        json!({
            "target_url": webhook.target_url,
            "subscriptions": webhook.subscriptions,
            "id": { "workspace_id": self.settings.workspace_id, "webhook_id": webhook.webhook_id },
            "status": "active",
            "created_at": attio_time(webhook.created_at),
        })
    }

    pub(super) fn create_webhook(&mut self, request: &Request, now: Timestamp) -> Reply {
        let data = &request.json()["data"];
        let target_url = data["target_url"].as_str().unwrap_or_default();
        let subscriptions = data["subscriptions"].as_array().cloned().unwrap_or_default();
        let whole = subscriptions.iter().all(|one| one["event_type"].is_string() && one.get("filter").is_some());
        if subscriptions.is_empty() || !whole {
            return invalid(400, "validation_type", "Body payload validation error: subscriptions are malformed.");
        }
        if url::Url::parse(target_url).is_err()
            || (self.settings.https_webhooks_only && !target_url.starts_with("https://"))
        {
            return invalid(400, "validation_type", "Body payload validation error: target_url must be an https URL.");
        }
        let webhook = Webhook {
            webhook_id: uuid::Uuid::new_v4().to_string(),
            target_url: target_url.to_owned(),
            subscriptions: json!(subscriptions),
            secret: random(""),
            created_at: now,
        };
        let mut shown = self.webhook_shown(&webhook);
        shown["secret"] = json!(webhook.secret);
        self.webhooks.push(webhook);
        Reply::json(200, &json!({ "data": shown }))
    }

    pub(super) fn list_webhooks(&self) -> Reply {
        let shown: Vec<_> = self.webhooks.iter().map(|webhook| self.webhook_shown(webhook)).collect();
        Reply::json(200, &json!({ "data": shown }))
    }

    pub(super) fn get_webhook(&self, id: &str) -> Reply {
        self.webhooks.iter().find(|webhook| webhook.webhook_id == id).map_or_else(
            || not_found(&format!("Webhook with ID \"{id}\" was not found.")),
            |webhook| Reply::json(200, &json!({ "data": self.webhook_shown(webhook) })),
        )
    }

    pub(super) fn update_webhook(&mut self, id: &str, request: &Request) -> Reply {
        let data = &request.json()["data"];
        if let Some(webhook) = self.webhooks.iter_mut().find(|webhook| webhook.webhook_id == id) {
            if let Some(url) = data["target_url"].as_str() {
                url.clone_into(&mut webhook.target_url);
            }
            if data["subscriptions"].is_array() {
                webhook.subscriptions = data["subscriptions"].clone();
            }
        }
        self.get_webhook(id)
    }

    pub(super) fn delete_webhook(&mut self, id: &str) -> Reply {
        let before = self.webhooks.len();
        self.webhooks.retain(|webhook| webhook.webhook_id != id);
        if self.webhooks.len() == before { not_found("Webhook not found") } else { Reply::json(200, &json!({})) }
    }
}

impl Attio {
    /// The subscriptions that stand.
    pub fn webhooks(&self) -> Vec<Webhook> {
        self.shared.state().webhooks.clone()
    }

    /// A subscription is gone, as if a person had deleted it.
    pub fn lose_webhook(&self, webhook_id: &str) {
        self.shared.state().webhooks.retain(|webhook| webhook.webhook_id != webhook_id);
    }

    /// A subscription of this URL that stands, made by another program or by an earlier life of ours; its id.
    pub fn plant_webhook(&self, target_url: &str) -> String {
        let planted = Webhook {
            webhook_id: uuid::Uuid::new_v4().to_string(),
            target_url: target_url.to_owned(),
            subscriptions: json!([{ "event_type": "record.deleted", "filter": null }]),
            secret: random(""),
            created_at: self.shared.time.now(),
        };
        let webhook_id = planted.webhook_id.clone();
        self.shared.state().webhooks.push(planted);
        webhook_id
    }
}
