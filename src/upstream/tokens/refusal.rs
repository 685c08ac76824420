//! What a token endpoint's words say about a grant (RFC 6749 §5.2), in the forms that servers give them.

use serde_json::{Value, json};
use url::form_urlencoded;

use super::{TokenError, unavailable};
use crate::upstream::reading;

/// Codes that are about our client and not about the grant, whatever the description quotes.
const ABOUT_THE_CLIENT: [&str; 3] = ["invalid_client", "unauthorized_client", "unsupported_grant_type"];
/// Codes that mean "later". Not of the token endpoint by the letter of the RFC (§4.1.2.1), and used there all the same.
const LATER: [&str; 6] = [
    "temporarily_unavailable",
    "server_error",
    "slow_down",
    "rate_limited",
    "rate_limit_exceeded",
    "too_many_requests",
];

/// The error that a body names; `None`: it names none.
pub(super) fn named(body: &[u8]) -> Option<TokenError> {
    let value = fields(body)?;
    let codes = codes(&value);
    let plain: Vec<_> = codes.iter().map(|code| plain(code)).collect();
    let is_any = |of: &[&str]| plain.iter().any(|code| of.contains(&code.as_str()));
    if is_any(&["invalid_grant"]) || (!is_any(&ABOUT_THE_CLIENT) && describes_invalid_grant(&value)) {
        return Some(TokenError::InvalidGrant);
    }
    if let Some(later) = plain.iter().find(|code| LATER.contains(&code.as_str())) {
        return Some(unavailable(later));
    }
    codes.into_iter().find(|code| is_code(code)).map(|error| TokenError::Refused { error: error.to_owned() })
}

/// The body as an object: JSON, a form (as GitHub answers), or the bare word.
fn fields(body: &[u8]) -> Option<Value> {
    if let Some(value) = reading::find(body, |value| value.is_object().then(|| value.clone())).flatten() {
        return Some(value);
    }
    let bare = match reading::whole(body) {
        Some(Value::Array(mut items)) if !items.is_empty() => return Some(items.swap_remove(0)),
        Some(Value::String(text)) => text,
        _ => std::str::from_utf8(body).ok()?.trim().to_owned(),
    };
    // Any other word may be anything, "OK" included.
    if plain(&bare) == "invalid_grant" { Some(json!({ "error": bare })) } else { form(&bare) }
}

/// `a=b&c=d`, if it is that.
pub(super) fn form(text: &str) -> Option<Value> {
    let is_form = text.split('&').all(|pair| pair.contains('=')) && !text.contains(['<', '{', ' ', '\n']);
    let pairs =
        form_urlencoded::parse(text.as_bytes()).map(|(name, value)| (name.into_owned(), value.into_owned().into()));
    is_form.then(|| Value::Object(pairs.collect()))
}

/// What can be the code, the likeliest first: `error` as a text; in an object (or the first of a list) its `code`,
/// `type`, …; the same members beside it.
fn codes(value: &Value) -> Vec<&str> {
    const NAMES: [&str; 6] = ["error", "code", "type", "error_code", "errorCode", "reason"];
    let list = value.get("errors").and_then(Value::as_array).and_then(|errors| errors.first());
    let inner = [value.get("error"), list, value.get("data")].into_iter().flatten();
    let objects = inner.filter(|inner| inner.is_object());
    let text = [value.get("error"), list].into_iter().flatten().filter_map(Value::as_str);
    let within = objects.chain([value]).flat_map(|object| NAMES.iter().filter_map(|name| object.get(name)?.as_str()));
    text.chain(within).collect()
}

/// Whether a text that is meant for people quotes the code.
fn describes_invalid_grant(value: &Value) -> bool {
    const NAMES: [&str; 6] = ["error_description", "message", "description", "detail", "error_message", "error"];
    let inner = value.get("error").filter(|inner| inner.is_object());
    let texts = [Some(value), inner].into_iter().flatten();
    let texts = texts.flat_map(|object| NAMES.iter().filter_map(|name| object.get(name)?.as_str()));
    let quotes = |text: &str| {
        let text = text.to_ascii_lowercase();
        text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-')
            .any(|word| plain(word) == "invalid_grant")
    };
    texts.into_iter().any(quotes)
}

/// A code in the RFC's writing: `INVALID-GRANT`, `InvalidGrant`, `invalid grant` as `invalid_grant`.
fn plain(code: &str) -> String {
    let mut plain = String::new();
    let mut was_lower = false;
    for c in code.trim().chars() {
        if c.is_ascii_uppercase() && was_lower {
            plain.push('_');
        }
        was_lower = c.is_ascii_lowercase();
        plain.push(if matches!(c, '-' | ' ' | '.') { '_' } else { c.to_ascii_lowercase() });
    }
    plain
}

fn is_code(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    !text.is_empty() && text.len() <= 64 && text.bytes().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_grant_is_known_in_every_form() {
        for body in [
            r#"{"error": "invalid_grant"}"#,
            "\u{feff}{\"error\": \"invalid_grant\", \"at\": NaN}",
            r#"{"error": "INVALID_GRANT"}"#,
            r#"{"error": "invalid-grant"}"#,
            r#"{"error": "InvalidGrant"}"#,
            r#"{"error": " invalid_grant "}"#,
            r#"{"error": {"code": "invalid_grant"}}"#,
            r#"{"error": {"type": "invalid_grant", "code": 400}}"#,
            r#"{"error": {"message": "invalid_grant: the token has expired"}}"#,
            r#"{"errors": [{"code": "invalid_grant"}]}"#,
            r#"{"errors": ["invalid_grant"]}"#,
            r#"[{"error": "invalid_grant"}]"#,
            r#"{"code": "invalid_grant", "message": "Expired."}"#,
            r#"{"error_code": "invalid_grant"}"#,
            r#"{"data": {"error": "invalid_grant"}}"#,
            r#"{"error": "invalid_request", "error_description": "Invalid_Grant: expired"}"#,
            r#"{"error": "Bad Request", "message": "(invalid_grant)"}"#,
            "error=invalid_grant&error_description=The+token+is+gone",
            "invalid_grant",
            r#""invalid_grant""#,
            "Warning: x\n{\"error\": \"invalid_grant\"}",
        ] {
            assert_eq!(named(body.as_bytes()), Some(TokenError::InvalidGrant), "{body}");
        }
    }

    #[test]
    fn every_other_refusal_is_told_by_its_code() {
        for (body, code) in [
            (r#"{"error": "invalid_client"}"#, "invalid_client"),
            (r#"{"error": {"code": "bad_refresh_token"}}"#, "bad_refresh_token"),
            (r#"{"error": "invalid_client", "error_description": "not invalid_grant"}"#, "invalid_client"),
            (r#"{"error": "invalid_request", "error_description": "the grant_type is missing"}"#, "invalid_request"),
            (r#"{"error": "invalid_grant_type"}"#, "invalid_grant_type"),
            ("error=bad_verification_code", "bad_verification_code"),
        ] {
            assert_eq!(named(body.as_bytes()), Some(TokenError::Refused { error: code.to_owned() }), "{body}");
        }
        for (body, code) in [
            (r#"{"error": "temporarily_unavailable"}"#, "temporarily_unavailable"),
            (r#"{"error": {"code": "SERVER_ERROR"}}"#, "server_error"),
        ] {
            assert_eq!(named(body.as_bytes()), Some(unavailable(code)), "{body}");
        }
        for body in [
            "",
            "{}",
            "[]",
            "OK",
            "<html>invalid_grant</html>",
            r#"{"error": "two words"}"#,
            r#"{"error": 5}"#,
            "a b=c",
        ] {
            assert_eq!(named(body.as_bytes()), None, "{body}");
        }
    }
}
