//! Attio's errors, in its own shape and words.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::wire::{Reply, http_date};

/// `{"status_code", "type", "code", "message"}`.
pub(super) fn error(status: u16, kind: &str, code: &str, message: &str) -> Reply {
    Reply::json(status, &json!({ "status_code": status, "type": kind, "code": code, "message": message }))
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
