//! ALC's webhooks.
//!
//! Owns registrations. Promises that a deleted one is gone for every caller over HTTP, and is kept for
//! [`Callback::to`](super::Callback::to): an ALC may still have a call under way.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::{
    errors::problem,
    handle::Alc,
    state::{Shared, State, Webhook},
};
use crate::{
    ambient::random_bytes,
    wire::{Reply, Request},
};

impl Webhook {
    fn shown(&self) -> Value {
        json!({ "webhook_id": self.webhook_id, "name": self.name, "url": self.url, "event": self.event })
    }
}

impl State {
    pub(super) fn create_webhook(&mut self, request: &Request) -> Reply {
        let json = request.json();
        let text = |name: &str| json[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let (Some(name), Some(url), Some(event)) = (text("name"), text("url"), text("event")) else {
            return problem(400, "bad_request", "name, url and event are needed");
        };
        if event != "lead.processed" || url::Url::parse(&url).is_err() {
            return problem(400, "bad_request", "the event must be lead.processed, the url a URL");
        }
        // 32 bytes: the last character of their base64 has two bits that say nothing.
        let key = [&random_bytes()[..], &random_bytes()[..8]].concat();
        let secret = self.settings.secrets.then(|| format!("whsec_{}", BASE64_STANDARD.encode(key)));
        let webhook_id = format!("wh_{}", uuid::Uuid::new_v4().simple());
        let webhook = Webhook { webhook_id, name, url, event, secret, deleted: false };
        let mut answer = webhook.shown();
        if let Some(secret) = &webhook.secret {
            answer["secret"] = json!(self.settings.secret_form.write(secret));
        }
        self.webhooks.push(webhook);
        Reply::json(201, &answer)
    }

    pub(super) fn list_webhooks(&self) -> Reply {
        let living: Vec<_> = self.webhooks.iter().filter(|webhook| !webhook.deleted).map(Webhook::shown).collect();
        Reply::json(200, &json!({ "webhooks": living }))
    }

    pub(super) fn delete_webhook(&mut self, id: &str) -> Reply {
        match self.webhooks.iter_mut().find(|webhook| webhook.webhook_id == id && !webhook.deleted) {
            Some(webhook) => {
                webhook.deleted = true;
                Reply::empty(204)
            }
            None => problem(404, "not_found", "no such webhook"),
        }
    }
}

impl Shared {
    /// The answer to a registration once its URL was tried.
    pub(super) async fn tried(&self, request: &Request, reply: Reply) -> Reply {
        let Some(method) = self.state().settings.tries_urls.clone() else { return reply };
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap_or(reqwest::Method::HEAD);
        let json = request.json();
        let url = json["url"].as_str().unwrap_or_default();
        let answer = self.client.request(method, url).send().await;
        if answer.is_ok_and(|answer| answer.status().is_success()) {
            return reply;
        }
        for webhook in self.state().webhooks.iter_mut().filter(|webhook| webhook.url == url) {
            webhook.deleted = true;
        }
        problem(422, "url_not_reachable", "the url does not answer with a 2xx")
    }
}

impl Alc {
    /// The registrations that stand, oldest first.
    pub fn webhooks(&self) -> Vec<Webhook> {
        self.shared.state().webhooks.iter().filter(|webhook| !webhook.deleted).cloned().collect()
    }

    /// A registration that nobody deleted is gone all the same.
    pub fn lose_webhook(&self, webhook_id: &str) {
        for webhook in self.shared.state().webhooks.iter_mut().filter(|webhook| webhook.webhook_id == webhook_id) {
            webhook.deleted = true;
        }
    }

    /// A registration of this URL that stands, made by another program or by an earlier life of ours; its id.
    pub fn plant_webhook(&self, name: &str, url: &str) -> String {
        let webhook_id = format!("wh_{}", uuid::Uuid::new_v4().simple());
        let (name, url, event) = (name.to_owned(), url.to_owned(), "lead.processed".to_owned());
        let planted = Webhook { webhook_id: webhook_id.clone(), name, url, event, secret: None, deleted: false };
        // The oldest: leads are called back through the newest.
        self.shared.state().webhooks.insert(0, planted);
        webhook_id
    }

    /// Every registration there ever was, oldest first.
    pub fn all_webhooks(&self) -> Vec<Webhook> {
        self.shared.state().webhooks.clone()
    }
}
