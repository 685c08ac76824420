//! Requests of the demo's own to the connector.
//!
//! Owns how one is made and what is kept of its answer. Promises that each is in the log, before it is made and after.

use std::time::Duration;

use serde_json::{Value, json};

use super::log::Log;
use crate::ambient::http_client;

/// What the connector answered; status 0 when it did not.
#[derive(Debug, Clone, Default)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Value,
    pub(super) location: Option<String>,
    pub(super) cookies: Vec<(String, String)>,
}

impl Reply {
    /// In words, for a step that did not happen.
    pub(super) fn told(&self) -> String {
        match (self.status, self.body["detail"].as_str().or(self.body["title"].as_str())) {
            (0, _) => format!("no answer ({})", self.body["error"].as_str().unwrap_or_default()),
            (status, Some(detail)) => format!("{status}: {detail}"),
            (status, None) => status.to_string(),
        }
    }
}

/// A request to the connector.
#[derive(Debug, Default)]
pub(super) struct Call<'a> {
    pub(super) from: &'static str,
    pub(super) method: &'a str,
    pub(super) target: &'a str,
    pub(super) bearer: Option<&'a str>,
    pub(super) basic: Option<(&'a str, &'a str)>,
    pub(super) cookie: Option<String>,
    pub(super) key: Option<&'a str>,
    pub(super) json: Option<Value>,
    pub(super) form: Option<Vec<(&'a str, &'a str)>>,
}

/// Makes requests, and logs them.
pub(super) struct Http {
    client: reqwest::Client,
}

impl Http {
    pub(super) fn new() -> Self {
        Self { client: http_client(Duration::from_secs(35)) }
    }

    /// A page that is not the connector's; its owner notes the visit itself.
    pub(super) async fn visit(&self, url: &str) -> Reply {
        read(self.client.get(url).send().await).await
    }

    pub(super) async fn call(&self, log: &Log, connector_url: &str, call: Call<'_>) -> Reply {
        let method = call.method.parse().expect("a method");
        let mut request = self.client.request(method, format!("{connector_url}{}", call.target));
        let mut shown = String::new();
        if let Some(token) = call.bearer {
            request = request.bearer_auth(token);
        }
        if let Some((id, secret)) = call.basic {
            request = request.basic_auth(id, Some(secret));
        }
        if let Some(cookie) = &call.cookie {
            request = request.header("cookie", cookie);
        }
        if let Some(key) = call.key {
            request = request.header("idempotency-key", key);
        }
        if let Some(json) = &call.json {
            shown = json.to_string();
            request = request.json(json);
        }
        if let Some(form) = &call.form {
            shown = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
            request = request.form(form);
        }
        let order = log.begin(call.from, "Connector", call.method, call.target, &shown);
        let reply = read(request.send().await).await;
        log.end(order, reply.status);
        reply
    }
}

async fn read(answer: reqwest::Result<reqwest::Response>) -> Reply {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            let body = json!({ "error": error.without_url().to_string() });
            return Reply { body, ..Reply::default() };
        }
    };
    let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let cookies = answer
        .headers()
        .get_all("set-cookie")
        .iter()
        .filter_map(|value| value.to_str().ok()?.split(';').next()?.split_once('='))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect();
    let (status, location) = (answer.status().as_u16(), header("location"));
    let body = answer.text().await.unwrap_or_default();
    let body = serde_json::from_str(&body).unwrap_or(Value::Null);
    Reply { status, body, location, cookies }
}
