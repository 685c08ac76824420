//! The pretend ALC's routes.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::{callback::Callback, errors::problem, settings::Settings, state::Shared};
use crate::wire::{Reply, Request, Service};

/// The names of ALC's operations, for faults, holds and the journal.
pub const OPERATIONS: &[&str] = &[
    "authorize",
    "token",
    "revoke",
    "create_lead",
    "list_leads",
    "get_lead",
    "create_webhook",
    "list_webhooks",
    "delete_webhook",
];

pub(super) struct Routes(pub(super) Arc<Shared>);

impl Service for Routes {
    fn operations(&self) -> &'static [&'static str] {
        OPERATIONS
    }

    fn operation(&self, request: &Request) -> Option<&'static str> {
        match (request.method.as_str(), request.segments().as_slice()) {
            ("GET" | "POST", ["oauth", "authorize"]) => Some("authorize"),
            ("POST", ["oauth", "token"]) => Some("token"),
            ("POST", ["oauth", "revoke"]) => Some("revoke"),
            ("POST", ["api", "v1", "leads"]) => Some("create_lead"),
            ("GET", ["api", "v1", "leads"]) => Some("list_leads"),
            ("GET", ["api", "v1", "leads", _]) => Some("get_lead"),
            ("POST", ["api", "v1", "webhooks"]) => Some("create_webhook"),
            ("GET", ["api", "v1", "webhooks"]) => Some("list_webhooks"),
            ("DELETE", ["api", "v1", "webhooks", _]) => Some("delete_webhook"),
            _ => None,
        }
    }

    fn answer<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Reply> {
        // All work is done under one lock and without waiting, so each request happens whole or not at all. Only then a
        // new webhook's URL is tried, if this ALC does that.
        let reply = self.work(request);
        let created = self.operation(request) == Some("create_webhook") && reply.status == 201;
        Box::pin(async move { if created { self.0.tried(request, reply).await } else { reply } })
    }

    fn state(&self) -> Value {
        json!(*self.0.state())
    }

    fn control<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Option<Reply>> {
        Box::pin(async move {
            match (request.method.as_str(), request.path.as_str()) {
                ("POST", "/_sandbox/callbacks") => Some(self.call_back(request).await),
                ("PATCH", "/_sandbox/settings") => Some(self.change_settings(request)),
                ("POST", "/_sandbox/access_tokens/expire") => {
                    self.0.state().expire_access_tokens();
                    Some(Reply::empty(204))
                }
                ("POST", "/_sandbox/grants/revoke") => {
                    self.0.state().revoke_grants();
                    Some(Reply::empty(204))
                }
                _ => None,
            }
        })
    }
}

impl Routes {
    fn work(&self, request: &Request) -> Reply {
        let now = self.0.time.now();
        let mut state = self.0.state();
        let settings = state.settings.clone();
        let last = request.segments().last().copied().unwrap_or_default().to_owned();
        let operation = self.operation(request).unwrap_or("unknown");
        let lacking = match operation {
            "list_leads" => !settings.look_ups,
            "list_webhooks" => !settings.webhook_list,
            _ => false,
        };
        match operation {
            "authorize" => state.authorize(request),
            "token" => state.token(request, now),
            "revoke" if settings.revocation => state.revoke(request),
            "get_lead" if !settings.look_ups => problem(404, "not_found", "no such path"),
            "unknown" | "revoke" => problem(404, "not_found", "no such path"),
            _ if lacking => problem(settings.lacking, "not_supported", "ALC has no such thing"),
            _ if !state.authorized(request, now) => {
                problem(401, "invalid_token", "the access token is missing, expired or revoked")
                    .with("www-authenticate", "Bearer error=\"invalid_token\"")
            }
            "create_lead" => state.create_lead(request, now),
            "list_leads" => state.list_leads(&request.query_pairs()),
            "get_lead" => state.get_lead(&last),
            "create_webhook" => state.create_webhook(request),
            "list_webhooks" => state.list_webhooks(),
            _ => state.delete_webhook(&last),
        }
    }

    async fn call_back(&self, request: &Request) -> Reply {
        match serde_json::from_slice::<Callback>(&request.body) {
            Ok(callback) => self.0.call_back(callback).await.map_or_else(
                || problem(409, "no_webhook", "there is no webhook to call"),
                |answer| Reply::json(200, &json!(answer)),
            ),
            Err(error) => problem(400, "bad_request", &error.to_string()),
        }
    }

    /// Merges the body's keys into the settings.
    fn change_settings(&self, request: &Request) -> Reply {
        let mut state = self.0.state();
        let mut merged = json!(state.settings);
        let changes = request.json();
        let Some(changes) = changes.as_object() else {
            return problem(400, "bad_request", "an object of settings is needed");
        };
        for (name, value) in changes {
            merged[name.as_str()] = value.clone();
        }
        match serde_json::from_value::<Settings>(merged) {
            Ok(settings) => {
                state.settings = settings;
                Reply::json(200, &json!(state.settings))
            }
            Err(error) => problem(400, "bad_request", &error.to_string()),
        }
    }
}
