//! The code that the browser carries to our client (RFC 6749 §4.1.2).

use std::time::Duration;

use aws_lc_rs::{constant_time, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{clock::later, ids::SecretHash};

/// How long a code may be redeemed.
const CODE_LIFETIME: Duration = Duration::from_secs(60);

/// A code, and what it is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::connections) struct Code {
    pub(in crate::connections) hash: SecretHash,
    redirect_uri: String,
    /// S256, as the client sent it.
    challenge: Option<String>,
    expires_at: Timestamp,
    /// Kept as long as the connection: a second use is a sign of theft.
    #[serde(default)]
    pub(in crate::connections) used: bool,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl Code {
    /// A fresh code.
    pub(in crate::connections) fn new(
        hash: SecretHash,
        redirect_uri: String,
        challenge: Option<String>,
        now: Timestamp,
    ) -> Self {
        let expires_at = later(now, CODE_LIFETIME);
        Self { hash, redirect_uri, challenge, expires_at, used: false, extra: Map::new() }
    }

    /// Why the code, known to be the right one and unused, is not good for these parameters; `None`: it is.
    pub(in crate::connections) fn refusal(
        &self,
        redirect_uri: Option<&str>,
        verifier: Option<&str>,
        now: Timestamp,
    ) -> Option<&'static str> {
        if now >= self.expires_at {
            return Some("the code has expired");
        }
        // Left out it is made up for by a challenge, which binds the code to its client more strictly (OAuth 2.1
        // §4.1.3).
        let left_out = redirect_uri.is_none() && self.challenge.is_some();
        if !left_out && redirect_uri != Some(self.redirect_uri.as_str()) {
            return Some("redirect_uri is not the one of the authorization request");
        }
        match (&self.challenge, verifier) {
            (None, None) => None,
            (Some(_), None) => Some("code_verifier is missing"),
            (None, Some(_)) => Some("code_verifier was sent for a request without code_challenge"),
            (Some(challenge), Some(verifier)) => {
                let hash = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
                let same = constant_time::verify_slices_are_equal(hash.as_bytes(), challenge.as_bytes()).is_ok();
                (!same).then_some("code_verifier does not match code_challenge")
            }
        }
    }
}
