//! The same switches over HTTP, for the demo and for tests in other languages.
//!
//! Owns `/_sandbox/…`, which is neither recorded nor subject to faults:
//! `GET state`, `GET|PUT|DELETE faults`, `GET|DELETE requests`, `GET wait`, `PUT|DELETE holds`, `PUT time`.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::{Reply, Request, Rule, Stage, service::Desk};

#[derive(Deserialize)]
struct HoldRequest {
    operation: String,
    stage: Stage,
}

#[derive(Deserialize)]
struct TimeRequest {
    now: Option<jiff::Timestamp>,
}

pub(super) async fn control(desk: &Desk, request: &Request) -> Reply {
    let query = request.query_pairs();
    let operation = query.get("operation").map(String::as_str);
    if operation.is_some_and(|operation| !desk.faults.knows(operation)) {
        return unknown_operation(desk);
    }
    match (request.method.as_str(), request.path.trim_start_matches("/_sandbox/")) {
        ("GET", "state") => Reply::json(200, &desk.service.state()),
        ("GET", "faults") => Reply::json(200, &json!({ "faults": desk.faults.rules() })),
        ("PUT", "faults") => put_fault(desk, request),
        ("DELETE", "faults") => {
            operation.map_or_else(|| desk.faults.clear_all(), |operation| desk.faults.clear(operation));
            Reply::empty(204)
        }
        ("GET", "requests") => {
            let seen = operation.map_or_else(|| desk.journal.all(), |operation| desk.journal.requests(operation));
            Reply::json(200, &json!({ "requests": seen }))
        }
        ("DELETE", "requests") => {
            desk.journal.forget();
            Reply::empty(204)
        }
        ("GET", "wait") => {
            let number = |name: &str, or: u64| query.get(name).and_then(|text| text.parse().ok()).unwrap_or(or);
            let patience = Duration::from_millis(number("timeout_ms", 10_000));
            let count = usize::try_from(number("count", 1)).unwrap_or(usize::MAX);
            match desk.journal.wait_at_most(patience, operation.unwrap_or_default(), count, |_| true).await {
                Some(seen) => Reply::json(200, &json!({ "requests": seen })),
                None => Reply::json(504, &json!({ "error": "it did not come" })),
            }
        }
        ("PUT", "holds") => put_hold(desk, request),
        ("DELETE", "holds") => {
            desk.faults.release(operation.unwrap_or_default());
            Reply::empty(204)
        }
        ("PUT", "time") => match serde_json::from_slice::<TimeRequest>(&request.body) {
            Ok(time) => {
                desk.time.set(time.now);
                Reply::empty(204)
            }
            Err(error) => bad(&error.to_string()),
        },
        _ => desk
            .service
            .control(request)
            .await
            .unwrap_or_else(|| Reply::json(404, &json!({ "error": "no such switch" }))),
    }
}

fn put_fault(desk: &Desk, request: &Request) -> Reply {
    match serde_json::from_slice::<Rule>(&request.body) {
        Ok(rule) if desk.faults.knows(&rule.operation) => {
            desk.faults.add(rule);
            Reply::empty(204)
        }
        Ok(_) => unknown_operation(desk),
        Err(error) => bad(&error.to_string()),
    }
}

fn put_hold(desk: &Desk, request: &Request) -> Reply {
    match serde_json::from_slice::<HoldRequest>(&request.body) {
        Ok(hold) if desk.faults.knows(&hold.operation) => {
            desk.faults.hold(&hold.operation, hold.stage).keep();
            Reply::empty(204)
        }
        Ok(_) => unknown_operation(desk),
        Err(error) => bad(&error.to_string()),
    }
}

fn unknown_operation(desk: &Desk) -> Reply {
    Reply::json(400, &json!({ "error": "no such operation", "operations": desk.service.operations() }))
}

fn bad(message: &str) -> Reply {
    Reply::json(400, &json!({ "error": message }))
}
