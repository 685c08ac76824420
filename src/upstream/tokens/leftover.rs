//! Tokens that came and cannot be used.

use std::fmt;

use secrecy::SecretString;
use serde_json::Value;

/// What a 2xx granted that we have no use for: all that can be done with it is to give it back. No error shows it.
#[derive(Clone, Default)]
pub struct Leftover {
    /// The access token, if it is a text at all.
    pub access: Option<SecretString>,
    /// The refresh token, likewise.
    pub refresh: Option<SecretString>,
}

impl Leftover {
    /// What is in the body of such an answer.
    pub(super) fn of(body: &Value) -> Self {
        let text = |name: &str| {
            let text = body.get(name)?.as_str()?.trim();
            (!text.is_empty()).then(|| SecretString::from(text))
        };
        Self { access: text("access_token"), refresh: text("refresh_token") }
    }
}

impl fmt::Debug for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Leftover")
    }
}

/// Errors are compared by what they say, which is nothing of tokens.
impl PartialEq for Leftover {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Leftover {}
