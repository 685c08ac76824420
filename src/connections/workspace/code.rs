//! The code that the browser carries to our client (RFC 6749 §4.1.2).
//!
//! Promises that a code is good for a minute, for its redirect URI and with its PKCE verifier alone. Until the client
//! redeems it, it waits with what was granted, in `authorization`; from then on it stands in the connection that it
//! became, so that its second use is known for what it is.

use std::time::Duration;

use aws_lc_rs::{constant_time, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    clock::later,
    ids::{OpaqueToken, SecretHash},
};

/// How long a code may be redeemed.
const CODE_LIFETIME: Duration = Duration::from_secs(60);

/// A code, and what it is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Code {
    pub(in crate::connections) hash: SecretHash,
    redirect_uri: String,
    /// S256, as the client sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    challenge: Option<String>,
    expires_at: Timestamp,
    /// Kept as long as the connection: a second use is a sign of theft.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub used: bool,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl Code {
    /// What is kept of a fresh code: bound to the redirect URI of the authorization request and to its challenge
    /// (S256), if it had one.
    pub fn new(code: &OpaqueToken, redirect_uri: String, challenge: Option<String>, now: Timestamp) -> Self {
        let expires_at = later(now, CODE_LIFETIME);
        Self { hash: code.hash(), redirect_uri, challenge, expires_at, used: false, extra: Map::new() }
    }

    /// Whether that is the code. In constant time.
    pub fn is(&self, code: &OpaqueToken) -> bool {
        self.hash.matches(&code.secret)
    }

    /// Why the code, known to be the right one and unused, is not good for these parameters; `None`: it is.
    pub fn refusal(&self, redirect_uri: Option<&str>, verifier: Option<&str>, now: Timestamp) -> Option<&'static str> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_micros;

    const REDIRECT: Option<&str> = Some("https://app.test/");
    /// RFC 7636, appendix B.
    const VERIFIER: Option<&str> = Some("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn code(challenge: Option<&str>) -> Code {
        let redirect_uri = REDIRECT.expect("one").to_owned();
        Code::new(&OpaqueToken::new("owner"), redirect_uri, challenge.map(str::to_owned), from_micros(0))
    }

    #[test]
    fn a_code_is_good_for_a_minute_and_for_the_client_that_asked() {
        let (bound, plain) = (code(Some(CHALLENGE)), code(None));
        let refuses =
            |code: &Code, redirect_uri, verifier, now| code.refusal(redirect_uri, verifier, from_micros(now)).is_some();
        for redirect_uri in [REDIRECT, None] {
            assert!(!refuses(&bound, redirect_uri, VERIFIER, 59_999_999), "{redirect_uri:?}");
        }
        assert!(refuses(&bound, REDIRECT, VERIFIER, 60_000_000), "too late");
        for (redirect_uri, verifier) in [
            (None, Some("another")),
            (None, None),
            (Some("https://elsewhere.test"), VERIFIER),
            (REDIRECT, None),
            (REDIRECT, Some("another")),
        ] {
            assert!(refuses(&bound, redirect_uri, verifier, 0), "{redirect_uri:?} {verifier:?}");
        }
        assert!(!refuses(&plain, REDIRECT, None, 0));
        assert!(refuses(&plain, REDIRECT, VERIFIER, 0), "a verifier too many");
        assert!(refuses(&plain, None, None, 0), "nothing makes up for what is left out");
    }
}
