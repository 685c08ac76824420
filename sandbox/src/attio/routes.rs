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
use crate::{
    ambient,
    wire::{Reply, Request, Service},
};

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
    "query_records",
    "assert_record",
    "list_record_entries",
    "list_lists",
    "get_list",
    "list_list_attributes",
    "get_list_attribute",
    "list_list_options",
    "list_statuses",
    "create_entry",
    "assert_entry",
    "get_entry",
    "create_note",
    "list_notes",
    "get_note",
    "delete_note",
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
            ("POST", ["v2", "objects", _, "records", "query"]) => Some("query_records"),
            ("PUT", ["v2", "objects", _, "records"]) => Some("assert_record"),
            ("GET", ["v2", "objects", _, "records", _]) => Some("get_record"),
            ("PATCH", ["v2", "objects", _, "records", _]) => Some("patch_record"),
            ("GET", ["v2", "objects", _, "records", _, "entries"]) => Some("list_record_entries"),
            ("GET", ["v2", "lists"]) => Some("list_lists"),
            ("GET", ["v2", "lists", _]) => Some("get_list"),
            ("GET", ["v2", "lists", _, "attributes"]) => Some("list_list_attributes"),
            ("GET", ["v2", "lists", _, "attributes", _]) => Some("get_list_attribute"),
            ("GET", ["v2", "lists", _, "attributes", _, "options"]) => Some("list_list_options"),
            ("GET", ["v2", "lists", _, "attributes", _, "statuses"]) => Some("list_statuses"),
            ("POST", ["v2", "lists", _, "entries"]) => Some("create_entry"),
            ("PUT", ["v2", "lists", _, "entries"]) => Some("assert_entry"),
            ("GET", ["v2", "lists", _, "entries", _]) => Some("get_entry"),
            ("POST", ["v2", "notes"]) => Some("create_note"),
            ("GET", ["v2", "notes"]) => Some("list_notes"),
            ("GET", ["v2", "notes", _]) => Some("get_note"),
            ("DELETE", ["v2", "notes", _]) => Some("delete_note"),
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
        let (reply, event) = self.work(request);
        self.0.touched();
        if let Some(event) = event {
            let shared = self.0.clone();
            ambient::spawn(async move { drop(shared.deliver(vec![event]).await) });
        }
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
            ("POST", ["_sandbox", "lists"]) => {
                let json = request.json();
                let stages: Vec<_> =
                    json["stages"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                let list_id = self.0.add_list(json["slug"].as_str().unwrap_or_default(), &stages);
                Some(Reply::json(201, &json!({ "list_id": list_id })))
            }
            ("POST", ["_sandbox", "lists", list, "entries"]) => {
                let json = request.json();
                let shared = self.0.clone();
                let event = shared.add_entry(list, json["record_id"].as_str().unwrap_or_default());
                return Box::pin(async move {
                    let Some(event) = event else { return Some(Reply::json(404, &json!({ "error": "no such list" }))) };
                    Some(Reply::json(201, &json!({ "id": event["id"], "told": shared.deliver(vec![event]).await })))
                });
            }
            ("PATCH", ["_sandbox", "settings"]) => Some(self.change_settings(request)),
            _ => None,
        };
        Box::pin(async { reply })
    }
}

impl Routes {
    /// What is answered, and the event that Attio tells of it.
    fn work(&self, request: &Request) -> (Reply, Option<Value>) {
        let now = self.0.time.now();
        let mut state = self.0.state();
        let operation = self.operation(request).unwrap_or("unknown");
        let segments = request.segments();
        let refused = match operation {
            "self" => Some(state.identify(request)),
            "authorize" => Some(state.authorize(request)),
            "token" => Some(state.token(request, now)),
            "revoke" => Some(state.revoke(request)),
            // Nothing authenticates it but the secrecy of its URL; the journal has what was told.
            "workflow_callback" => Some(Reply::json(200, &json!({}))),
            "unknown" => Some(not_found("Route not found.")),
            _ if !state.authorized(request) => Some(unauthorized()),
            // A query only reads, whatever its method is.
            _ if !state.within_limits(request.method != "GET" && operation != "query_records", now) => {
                Some(rate_limited(now))
            }
            _ if segments[1] == "objects" => state.object_known(segments[2]).err(),
            _ => None,
        };
        if let Some(reply) = refused {
            return (reply, None);
        }
        let part = |at: usize| segments.get(at).copied().unwrap_or_default();
        let reply = match operation {
            "create_entry" | "assert_entry" => return state.write_entry(part(2), request, now),
            "list_attributes" => state.list_attributes(request),
            "create_attribute" => state.create_attribute(request),
            "get_attribute" => state.get_attribute(part(4)),
            "list_options" => state.list_options(part(4), request),
            "create_option" => state.create_option(part(4), request),
            "update_option" => state.update_option(part(4), part(6), request),
            "get_record" => state.get_record(part(4)),
            "patch_record" => state.patch_record(part(4), request, now),
            "query_records" => state.query_records(request),
            "assert_record" => state.assert_record(request, now),
            "list_record_entries" => state.list_record_entries(part(4)),
            "list_lists" => state.list_lists(),
            "get_list" => state.get_list(part(2)),
            "list_list_attributes" | "get_list_attribute" | "list_list_options" | "list_statuses" => {
                state.read_list_attributes(part(2), segments.get(4..).unwrap_or_default(), request)
            }
            "get_entry" => state.get_entry(part(2), part(4)),
            "create_note" => state.create_note(request, now),
            "list_notes" => state.list_notes(request),
            "get_note" => state.get_note(part(2)),
            "delete_note" => state.delete_note(part(2)),
            "create_webhook" => state.create_webhook(request, now),
            "list_webhooks" => state.list_webhooks(),
            "get_webhook" => state.get_webhook(part(2)),
            "update_webhook" => state.update_webhook(part(2), request),
            _ => state.delete_webhook(part(2)),
        };
        (reply, None)
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
