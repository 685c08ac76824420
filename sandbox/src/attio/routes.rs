//! The pretend Attio's routes and limits.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    errors::{not_found, rate_limited, unauthorized},
    settings::Settings,
    state::{Shared, State},
};
use crate::wire::{Reply, Request, Service};

/// The names of Attio's operations, for faults, holds and the journal.
pub const OPERATIONS: &[&str] = &[
    "self",
    "authorize",
    "token",
    "revoke",
    "list_attributes",
    "get_attribute",
    "create_attribute",
    "list_options",
    "create_option",
    "update_option",
    "get_record",
    "patch_record",
    "create_webhook",
    "list_webhooks",
    "get_webhook",
    "update_webhook",
    "delete_webhook",
    "workflow_callback",
];

pub(super) struct Routes(pub(super) Arc<Shared>);

impl Service for Routes {
    fn operations(&self) -> &'static [&'static str] {
        OPERATIONS
    }

    fn operation(&self, request: &Request) -> Option<&'static str> {
        match (request.method.as_str(), request.segments().as_slice()) {
            ("GET", ["v2", "self"]) => Some("self"),
            ("GET", ["authorize"]) => Some("authorize"),
            ("POST", ["oauth", "token"]) => Some("token"),
            ("POST", ["oauth", "revoke"]) => Some("revoke"),
            ("GET", ["v2", "objects", _, "attributes"]) => Some("list_attributes"),
            ("POST", ["v2", "objects", _, "attributes"]) => Some("create_attribute"),
            ("GET", ["v2", "objects", _, "attributes", _]) => Some("get_attribute"),
            ("GET", ["v2", "objects", _, "attributes", _, "options"]) => Some("list_options"),
            ("POST", ["v2", "objects", _, "attributes", _, "options"]) => Some("create_option"),
            ("PATCH", ["v2", "objects", _, "attributes", _, "options", _]) => Some("update_option"),
            ("GET", ["v2", "objects", _, "records", _]) => Some("get_record"),
            ("PATCH", ["v2", "objects", _, "records", _]) => Some("patch_record"),
            ("POST", ["v2", "webhooks"]) => Some("create_webhook"),
            ("GET", ["v2", "webhooks"]) => Some("list_webhooks"),
            ("GET", ["v2", "webhooks", _]) => Some("get_webhook"),
            ("PATCH", ["v2", "webhooks", _]) => Some("update_webhook"),
            ("DELETE", ["v2", "webhooks", _]) => Some("delete_webhook"),
            ("POST", ["callbacks", _]) => Some("workflow_callback"),
            _ => None,
        }
    }

    fn answer<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Reply> {
        // All work is done under one lock and without waiting, so each request happens whole or not at all.
        let reply = self.work(request);
        self.0.touched();
        Box::pin(async { reply })
    }

    fn state(&self) -> Value {
        json!(*self.0.state())
    }

    fn control<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Option<Reply>> {
        let reply = match (request.method.as_str(), request.segments().as_slice()) {
            ("POST", ["_sandbox", "people"]) => {
                let json = request.json();
                let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
                let now = self.0.time.now();
                let record_id = self.0.state().add_person(&text("name"), &text("phone_number"), now);
                Some(Reply::json(201, &json!({ "record_id": record_id })))
            }
            ("DELETE", ["_sandbox", "people", id]) => {
                self.0.state().records.remove(*id);
                Some(Reply::empty(204))
            }
            ("PATCH", ["_sandbox", "settings"]) => Some(self.change_settings(request)),
            _ => None,
        };
        Box::pin(async { reply })
    }
}

impl Routes {
    fn work(&self, request: &Request) -> Reply {
        let now = self.0.time.now();
        let mut state = self.0.state();
        let operation = self.operation(request).unwrap_or("unknown");
        let segments = request.segments();
        match operation {
            "self" => return state.identify(request),
            "authorize" => return state.authorize(request),
            "token" => return state.token(request, now),
            "revoke" => return state.revoke(request),
            // Nothing authenticates it but the secrecy of its URL; the journal has what was told.
            "workflow_callback" => return Reply::json(200, &json!({})),
            "unknown" => return not_found("Route not found."),
            _ => {}
        }
        if !state.authorized(request) {
            return unauthorized();
        }
        if !state.within_limits(request.method != "GET", now) {
            return rate_limited(now);
        }
        if segments[1] == "objects"
            && let Err(refusal) = state.object_known(segments[2])
        {
            return refusal;
        }
        let named = segments.get(4).copied().unwrap_or_default();
        let webhook_id = segments.get(2).copied().unwrap_or_default();
        match operation {
            "list_attributes" => state.list_attributes(request),
            "create_attribute" => state.create_attribute(request),
            "get_attribute" => state.get_attribute(named),
            "list_options" => state.list_options(named, request),
            "create_option" => state.create_option(named, request),
            "update_option" => state.update_option(named, segments.get(6).copied().unwrap_or_default(), request),
            "get_record" => state.get_record(named),
            "patch_record" => state.patch_record(named, request, now),
            "create_webhook" => state.create_webhook(request, now),
            "list_webhooks" => state.list_webhooks(),
            "get_webhook" => state.get_webhook(webhook_id),
            "update_webhook" => state.update_webhook(webhook_id, request),
            _ => state.delete_webhook(webhook_id),
        }
    }

    /// Merges the body's keys into the settings.
    fn change_settings(&self, request: &Request) -> Reply {
        let mut state = self.0.state();
        let mut merged = json!(state.settings);
        for (name, value) in request.json().as_object().into_iter().flatten() {
            merged[name.as_str()] = value.clone();
        }
        match serde_json::from_value::<Settings>(merged) {
            Ok(settings) => {
                state.settings = settings;
                Reply::json(200, &json!(state.settings))
            }
            Err(error) => Reply::json(400, &json!({ "error": error.to_string() })),
        }
    }
}

impl State {
    /// Counts a request in the clock second it came in; `false` beyond the limit.
    fn within_limits(&mut self, write: bool, now: Timestamp) -> bool {
        let second = now.as_second();
        if self.window.0 != second {
            self.window = (second, 0, 0);
        }
        let (count, limit) = if write {
            (&mut self.window.1, self.settings.writes_per_second)
        } else {
            (&mut self.window.2, self.settings.reads_per_second)
        };
        if limit.is_some_and(|limit| *count >= limit) {
            return false;
        }
        *count += 1;
        true
    }
}
