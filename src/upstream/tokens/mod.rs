//! What a token endpoint answers (RFC 6749 §5): ALC's and Attio's alike.
//!
//! Promises that only `invalid_grant` declares a grant dead at once, that an optional member which cannot be used does
//! not cost the access token, that token values fit into a header, and that neither a token nor a client's secret
//! appears in an error.

mod error;
mod refusal;
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
    if let Some(tokens) = response::found(&answer) {
        return response::tidy(&tokens);
    }
    // Some servers tell of errors with a 200.
    Err(refusal::named(&answer.body).unwrap_or_else(|| unavailable("the answer holds neither tokens nor an error")))
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
    match refusal::named(&answer.body) {
        Some(error) => error,
        None if !answer.is_complete() => unavailable(&format!("status {status}, and its body was cut")),
        None => TokenError::Refused { error: format!("status {status}") },
    }
}
