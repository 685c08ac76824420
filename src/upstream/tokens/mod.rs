//! What a token endpoint answers (RFC 6749 §5): ALC's and Attio's alike.
//!
//! Promises that only a clear `invalid_grant` declares a grant dead, that token values fit into a header, and that
//! neither a token nor a client's secret appears in an error.

mod error;
mod response;

use std::time::Duration;

use reqwest::RequestBuilder;
use secrecy::SecretString;
use serde_json::Value;

pub use self::error::{TokenError, unavailable};
use super::{Answer, Caller};

/// The most that is read of an answer, in bytes.
const ANSWER_CAP: usize = 64 * 1024;

/// What the token endpoint gave.
#[derive(Clone)]
pub struct Tokens {
    /// The bearer token.
    pub access: SecretString,
    /// `None`: the one before stays good.
    pub refresh: Option<SecretString>,
    /// `None`: unknown, to be taken as an hour.
    pub expires_in: Option<Duration>,
}

/// Asks for tokens. What comes back is a well-formed success of RFC 6749 §5.1, with the members that we use and no
/// others; whatever else the endpoint answers is named here.
pub async fn ask(caller: &Caller, operation: &'static str, request: RequestBuilder) -> Result<Value, TokenError> {
    let answer = call(caller, operation, request).await?;
    if !answer.status.is_success() {
        return Err(refusal(&answer));
    }
    let body = answer.json().map_err(|error| unavailable(&error.to_string()))?;
    if body.get("access_token").is_none() && body.get("error").is_some() {
        // Some servers tell of errors with a 200.
        return Err(named(&body).unwrap_or_else(|| unavailable("the answer holds neither tokens nor an error")));
    }
    response::tidy(&body)
}

/// One request to an OAuth endpoint.
pub async fn call(caller: &Caller, operation: &'static str, request: RequestBuilder) -> Result<Answer, TokenError> {
    let answer = caller.call_capped(operation, request, ANSWER_CAP).await;
    answer.map_err(|error| unavailable(&error.to_string()))
}

/// What an answer that is no 2xx means. The status decides whether it is an answer at all: a proxy's 502 with a
/// copied `invalid_grant` must not disconnect anybody.
pub fn refusal(answer: &Answer) -> TokenError {
    let status = answer.status.as_u16();
    if !(400..500).contains(&status) || matches!(status, 408 | 425 | 429) {
        return unavailable(&format!("status {status}"));
    }
    if !answer.is_complete() {
        return unavailable(&format!("status {status}, and its body was cut"));
    }
    let body = answer.json().unwrap_or_default();
    named(&body).unwrap_or_else(|| TokenError::Refused { error: format!("status {status}") })
}

/// The error that a body names (RFC 6749 §5.2); `None`: it names none.
fn named(body: &Value) -> Option<TokenError> {
    let error = body.get("error")?.as_str()?;
    let is_code = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    Some(match error {
        "invalid_grant" => TokenError::InvalidGrant,
        // Not of the token endpoint by the letter of the RFC (§4.1.2.1), and used there all the same.
        "temporarily_unavailable" | "server_error" | "slow_down" => unavailable(error),
        _ if !error.is_empty() && error.len() <= 64 && error.bytes().all(is_code) => {
            TokenError::Refused { error: error.to_owned() }
        }
        _ => return None,
    })
}
