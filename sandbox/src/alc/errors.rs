//! ALC's errors.

use serde_json::json;

use crate::wire::Reply;

/// ALC's answer to what it refuses.
pub(super) fn problem(status: u16, error: &str, message: &str) -> Reply {
    Reply::json(status, &json!({ "error": error, "message": message }))
}
