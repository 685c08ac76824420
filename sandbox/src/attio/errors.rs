//! Attio's errors, in its own shape and words.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::wire::{Fault, Reply, http_date};

/// `{"status_code", "type", "code", "message"}`.
pub(super) fn error(status: u16, kind: &str, code: &str, message: &str) -> Reply {
    Reply::json(status, &json!({ "status_code": status, "type": kind, "code": code, "message": message }))
}

/// A refusal in Attio's words, as a fault: `concurrent_write_conflict`, `merge_in_progress`, `billing_error`, …
///
/// ```
/// use sandbox::attio::refusal;
/// let fault = refusal(409, "concurrent_write_conflict", "Two requests wrote this record at once.");
/// ```
pub fn refusal(status: u16, code: &str, message: &str) -> Fault {
    let kind = match status {
        401 | 403 => "auth_error",
        429 => "rate_limit_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    };
    let body = json!({ "status_code": status, "type": kind, "code": code, "message": message });
    Fault::Status { status, headers: Vec::new(), body }
}

/// A 429 that asks for patience until `until`, as an HTTP date.
pub fn rate_limit(until: Timestamp) -> Fault {
    match refusal(429, "rate_limit_exceeded", "Rate limit exceeded, please try again later") {
        Fault::Status { status, body, .. } => {
            Fault::Status { status, headers: vec![("retry-after".to_owned(), http_date(until))], body }
        }
        other => other,
    }
}

/// A 4xx about the request itself.
pub(super) fn invalid(status: u16, code: &str, message: &str) -> Reply {
    error(status, "invalid_request_error", code, message)
}

/// A 404.
pub(super) fn not_found(message: &str) -> Reply {
    invalid(404, "not_found", message)
}

/// A 401.
pub(super) fn unauthorized() -> Reply {
    error(401, "auth_error", "unauthorized", "The bearer token is missing, malformed or not active.")
}

/// A 429 that names the next second as an HTTP date.
pub(super) fn rate_limited(now: Timestamp) -> Reply {
    let until = now + SignedDuration::from_secs(1);
    error(429, "rate_limit_error", "rate_limit_exceeded", "Rate limit exceeded, please try again later")
        .with("retry-after", &http_date(until))
}
