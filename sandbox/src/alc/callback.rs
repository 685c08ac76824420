//! ALC calls back.
//!
//! Owns the call of `lead.processed` and its Standard Webhooks signature. Promises to send just what was asked for,
//! good or bad, once, and to say what came back: whether ALC tries again is the test's decision.

use aws_lc_rs::hmac;
use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    handle::Alc,
    state::{Answer, Shared, State, Webhook},
};

/// How a callback is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signing {
    /// As Standard Webhooks wants it, if the webhook has a secret.
    #[default]
    Right,
    /// With a signature that does not fit.
    Wrong,
    /// Not at all: none of the three headers.
    None,
}

/// A callback to be made.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Callback {
    record_id: String,
    status: String,
    lead_id: Option<String>,
    no_lead_id: bool,
    event: Option<String>,
    no_event: bool,
    camel_case: bool,
    prospect: bool,
    fields: Map<String, Value>,
    body: Option<String>,
    bytes: Option<Vec<u8>>,
    content_type: Option<String>,
    message_id: Option<String>,
    timestamp: Option<Timestamp>,
    signing: Signing,
    by_svix: bool,
    webhook_id: Option<String>,
}

impl Callback {
    /// The result of the newest lead of a record, sent to the newest registration that stands.
    pub fn new(record_id: &str, status: &str) -> Self {
        Self { record_id: record_id.to_owned(), status: status.to_owned(), ..Self::default() }
    }

    /// A person whom ALC brings: `prospect_updated`, without a record. A result is one more [`Callback::field`].
    pub fn prospect(prospect_id: &str, name: &str, email_address: &str) -> Self {
        Self { prospect: true, ..Self::default() }
            .event("prospect_updated")
            .field("prospectId", json!(prospect_id))
            .field("prospectName", json!(name))
            .field("prospectEmail", json!(email_address))
    }

    /// A result without a record, of the person with that address: `lead.processed`.
    pub fn of_email(email_address: &str, status: &str) -> Self {
        Self { prospect: true, ..Self::default() }
            .event("lead.processed")
            .field("email", json!(email_address))
            .field("status", json!(status))
    }

    /// With this `lead_id`, instead of the newest lead's.
    #[must_use]
    pub fn lead_id(mut self, lead_id: &str) -> Self {
        self.lead_id = Some(lead_id.to_owned());
        self
    }

    /// Without `lead_id`.
    #[must_use]
    pub fn without_lead_id(mut self) -> Self {
        self.no_lead_id = true;
        self
    }

    /// With this `event`.
    #[must_use]
    pub fn event(mut self, event: &str) -> Self {
        self.event = Some(event.to_owned());
        self
    }

    /// Without `event`.
    #[must_use]
    pub fn without_event(mut self) -> Self {
        self.no_event = true;
        self
    }

    /// With `recordId` instead of `record_id`.
    #[must_use]
    pub fn camel_case(mut self) -> Self {
        self.camel_case = true;
        self
    }

    /// With one more field, or another value for one.
    #[must_use]
    pub fn field(mut self, name: &str, value: Value) -> Self {
        self.fields.insert(name.to_owned(), value);
        self
    }

    /// With this body, whatever it is.
    #[must_use]
    pub fn body(mut self, body: &str) -> Self {
        self.body = Some(body.to_owned());
        self
    }

    /// With a body that need not be text.
    #[must_use]
    pub fn bytes(mut self, body: &[u8]) -> Self {
        self.bytes = Some(body.to_owned());
        self
    }

    /// With this content type; an empty one: without the header.
    #[must_use]
    pub fn content_type(mut self, content_type: &str) -> Self {
        self.content_type = Some(content_type.to_owned());
        self
    }

    /// With this `webhook-id`: the same one again is a repeat of the same call.
    #[must_use]
    pub fn message_id(mut self, message_id: &str) -> Self {
        self.message_id = Some(message_id.to_owned());
        self
    }

    /// Stamped and signed with this time instead of ALC's own.
    #[must_use]
    pub fn timestamp(mut self, at: Timestamp) -> Self {
        self.timestamp = Some(at);
        self
    }

    /// Without the three headers of Standard Webhooks.
    #[must_use]
    pub fn unsigned(mut self) -> Self {
        self.signing = Signing::None;
        self
    }

    /// The three headers of Standard Webhooks begin with `svix` instead of `webhook`.
    #[must_use]
    pub fn by_svix(mut self) -> Self {
        self.by_svix = true;
        self
    }

    /// With a signature that does not fit.
    #[must_use]
    pub fn wrongly_signed(mut self) -> Self {
        self.signing = Signing::Wrong;
        self
    }

    /// To this registration, also a deleted one.
    #[must_use]
    pub fn to(mut self, webhook_id: &str) -> Self {
        self.webhook_id = Some(webhook_id.to_owned());
        self
    }
}

impl Alc {
    /// Calls back once, and gives back what was answered. The lead has its result from here on, whatever the answer.
    ///
    /// # Panics
    /// Without a registration to call.
    pub async fn call_back(&self, callback: Callback) -> Answer {
        self.shared.call_back(callback).await.expect("there is a webhook to call")
    }

    /// Calls back again and again, `pause` apart, under one `webhook-id`, until a 2xx or until `tries` are used up.
    pub async fn call_back_until_taken(&self, callback: Callback, tries: usize, pause: std::time::Duration) -> Answer {
        let mut answer = self.call_back(callback.clone()).await;
        for _ in 1..tries {
            if (200..300).contains(&answer.status) {
                break;
            }
            tokio::time::sleep(pause).await;
            let again = callback.clone().message_id(&answer.message_id);
            answer = self.call_back(again).await;
        }
        answer
    }

    /// Every callback made so far.
    pub fn callbacks(&self) -> Vec<Answer> {
        self.shared.state().callbacks.clone()
    }
}

impl Shared {
    /// As [`Alc::call_back`]; `None` without a registration to call.
    pub(super) async fn call_back(&self, callback: Callback) -> Option<Answer> {
        let (webhook, body) = self.state().prepare(&callback)?;
        let message_id =
            callback.message_id.clone().unwrap_or_else(|| format!("msg_{}", uuid::Uuid::new_v4().simple()));
        let at = callback.timestamp.unwrap_or_else(|| self.time.now()).as_second();
        let mut request = self.client.post(&webhook.url).body(body.clone());
        let content_type = callback.content_type.as_deref().unwrap_or("application/json");
        if !content_type.is_empty() {
            request = request.header("content-type", content_type);
        }
        if let Some(secret) = webhook.secret.as_ref().filter(|_| callback.signing != Signing::None) {
            let mut signature = signature(secret, &message_id, at, &body);
            if callback.signing == Signing::Wrong {
                signature = format!("v1,{}", BASE64_STANDARD.encode([0; 32]));
            }
            let names = if callback.by_svix { "svix" } else { "webhook" };
            request = request
                .header(format!("{names}-id"), &message_id)
                .header(format!("{names}-timestamp"), at)
                .header(format!("{names}-signature"), signature);
        }
        let sent = String::from_utf8_lossy(&body).into_owned();
        let mut answer =
            Answer { url: webhook.url, message_id, sent, status: 0, body: String::new(), retry_after: None };
        match request.send().await {
            Ok(response) => {
                answer.status = response.status().as_u16();
                let header = response.headers().get("retry-after");
                answer.retry_after = header.and_then(|value| value.to_str().ok()).map(str::to_owned);
                answer.body = response.text().await.unwrap_or_default();
            }
            Err(error) => answer.body = error.to_string(),
        }
        self.state().callbacks.push(answer.clone());
        Some(answer)
    }
}

impl State {
    fn prepare(&mut self, callback: &Callback) -> Option<(Webhook, Vec<u8>)> {
        let webhook = match &callback.webhook_id {
            Some(id) => self.webhooks.iter().find(|webhook| webhook.webhook_id == *id),
            None => self.webhooks.iter().rev().find(|webhook| !webhook.deleted),
        }?;
        let webhook = webhook.clone();
        let lead = self.leads.iter_mut().rev().find(|lead| match &callback.lead_id {
            Some(id) => lead.id == *id,
            None => lead.record_id == callback.record_id,
        });
        let own_id = lead.map(|lead| {
            callback.status.clone_into(&mut lead.status);
            lead.id.clone()
        });
        let record_field = if callback.camel_case { "recordId" } else { "record_id" };
        let mut body = json!({ record_field: callback.record_id, "status": callback.status });
        if callback.prospect {
            body = json!({});
        }
        let rich = self.settings.rich_callbacks;
        let lead_id = callback.lead_id.clone().or(own_id.filter(|_| rich && !callback.no_lead_id));
        if let Some(lead_id) = lead_id {
            body["lead_id"] = match lead_id.parse::<u64>() {
                Ok(number) if self.settings.numeric_ids => json!(number),
                _ => json!(lead_id),
            };
        }
        let event = callback.event.clone().or_else(|| rich.then(|| "lead.processed".to_owned()));
        if let Some(event) = event.filter(|_| !callback.no_event) {
            body["event"] = json!(event);
        }
        for (name, value) in &callback.fields {
            body[name.as_str()] = value.clone();
        }
        let body = callback.body.clone().unwrap_or_else(|| body.to_string());
        Some((webhook, callback.bytes.clone().unwrap_or_else(|| body.into_bytes())))
    }
}

/// Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`, keyed with the base64 after `whsec_`.
fn signature(secret: &str, id: &str, at: i64, body: &[u8]) -> String {
    let key = BASE64_STANDARD.decode(secret.trim_start_matches("whsec_")).expect("our own secrets are base64");
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let tag = hmac::sign(&key, &[format!("{id}.{at}.").as_bytes(), body].concat());
    format!("v1,{}", BASE64_STANDARD.encode(tag))
}
