//! What the client asks of `/oauth/token` and `/oauth/revoke`, and what it is told (RFC 6749 §4.1.3, §5, §6; RFC 7009).
//!
//! Promises that a request is understood in one way only, and that a fault names what was wrong without quoting it.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::params::{Duplicate, Params};
use crate::ids::OpaqueToken;

/// Why the client gets no token (RFC 6749 §5.2, RFC 7009 §2.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OAuthError {
    /// Something is missing, malformed or stands twice.
    InvalidRequest(&'static str),
    /// Not our client, or it did not prove it.
    InvalidClient,
    /// The same, and it is not the first time by far.
    TooManyFailures {
        /// After which it may try again.
        seconds: u64,
    },
    /// The code or refresh token is unknown, used, expired or revoked, or was given to another request.
    InvalidGrant,
    /// Neither `authorization_code` nor `refresh_token`.
    UnsupportedGrantType,
    /// An access token cannot be revoked: it ends by itself within the hour.
    UnsupportedTokenType,
    /// The store cannot be asked now: the same request may work in a few seconds.
    Unavailable,
    /// The store gave no answer about a code. It may be used up, and a used code that comes again ends its connection.
    CodeUnavailable,
}

impl OAuthError {
    /// `error`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::InvalidRequest(_) => "invalid_request",
            Self::InvalidClient | Self::TooManyFailures { .. } => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedTokenType => "unsupported_token_type",
            Self::Unavailable | Self::CodeUnavailable => "temporarily_unavailable",
        }
    }

    /// `error_description`.
    pub const fn description(self) -> &'static str {
        match self {
            Self::InvalidRequest(what) => what,
            Self::InvalidClient => "send the client id and secret that this service is configured with",
            Self::TooManyFailures { .. } => {
                "too many requests had wrong credentials: wait as long as Retry-After says, then send the client id and \
                 secret that this service is configured with"
            }
            Self::InvalidGrant => "the code or token is not valid (any more): connect again",
            Self::UnsupportedGrantType => "grant_type must be authorization_code or refresh_token",
            Self::UnsupportedTokenType => "access tokens expire by themselves: revoke the refresh token",
            Self::Unavailable => "send the same request again in a few seconds",
            Self::CodeUnavailable => "the code may be used up: connect again in a few seconds, with a new one",
        }
    }
}

impl From<Duplicate> for OAuthError {
    fn from(_: Duplicate) -> Self {
        Self::InvalidRequest("a parameter stands more than once")
    }
}

/// A request to `/oauth/token`. No `Debug`: all of it is secret.
pub(super) enum Grant {
    /// RFC 6749 §4.1.3.
    Code { code: OpaqueToken, redirect_uri: Option<String>, verifier: Option<String> },
    /// RFC 6749 §6.
    Refresh(OpaqueToken),
}

impl Grant {
    pub(super) fn parse(params: &Params) -> Result<Self, OAuthError> {
        match params.get("grant_type")? {
            Some("authorization_code") => {
                let code = params.get("code")?.ok_or(OAuthError::InvalidRequest("code is missing"))?;
                let verifier = params.get("code_verifier")?;
                if !verifier.is_none_or(is_verifier) {
                    return Err(OAuthError::InvalidRequest("code_verifier is malformed"));
                }
                Ok(Self::Code {
                    code: OpaqueToken::parse(code).ok_or(OAuthError::InvalidGrant)?,
                    redirect_uri: params.get("redirect_uri")?.map(str::to_owned),
                    verifier: verifier.map(str::to_owned),
                })
            }
            Some("refresh_token") => {
                let token =
                    params.get("refresh_token")?.ok_or(OAuthError::InvalidRequest("refresh_token is missing"))?;
                OpaqueToken::parse(token).map(Self::Refresh).ok_or(OAuthError::InvalidGrant)
            }
            Some(_) => Err(OAuthError::UnsupportedGrantType),
            None => Err(OAuthError::InvalidRequest("grant_type is missing")),
        }
    }
}

/// RFC 7636 §4.1.
fn is_verifier(text: &str) -> bool {
    (43..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~'))
}

/// What the client gets (RFC 6749 §5.1). No `Debug`.
pub struct Granted {
    pub(super) access_token: SecretString,
    /// On a refresh the one that was sent: it is not rotated.
    pub(super) refresh_token: SecretString,
    pub(super) expires_in: Duration,
}

impl Granted {
    /// The JSON body.
    pub fn to_body(&self) -> String {
        #[derive(Serialize)]
        struct Body<'a> {
            access_token: &'a str,
            token_type: &'static str,
            expires_in: u64,
            refresh_token: &'a str,
        }
        let body = Body {
            access_token: self.access_token.expose_secret(),
            token_type: "Bearer",
            expires_in: self.expires_in.as_secs(),
            refresh_token: self.refresh_token.expose_secret(),
        };
        #[expect(clippy::expect_used, reason = "text and a number: serialising them cannot fail")]
        serde_json::to_string(&body).expect("a token response serialises")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Result<Grant, OAuthError> {
        Grant::parse(&Params::parse(body.as_bytes()))
    }

    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

    #[test]
    fn a_code_is_taken_with_what_proves_it() {
        let body =
            format!("grant_type=authorization_code&code=w.s&redirect_uri=https%3A%2F%2Fa%2F&code_verifier={VERIFIER}");
        let Ok(Grant::Code { code, redirect_uri, verifier }) = parse(&body) else { panic!("a grant") };
        assert_eq!((code.owner.as_str(), code.secret.expose_secret()), ("w", "s"));
        assert_eq!((redirect_uri.as_deref(), verifier.as_deref()), (Some("https://a/"), Some(VERIFIER)));
        assert!(matches!(parse("grant_type=refresh_token&refresh_token=w.s&scope=x"), Ok(Grant::Refresh(_))));
    }

    #[test]
    fn what_is_no_grant_is_named() {
        let long = "v".repeat(129);
        for (body, code) in [
            ("", "invalid_request"),
            ("grant_type=", "invalid_request"),
            ("grant_type=authorization_code", "invalid_request"),
            ("grant_type=authorization_code&code=w.s&code=w.s", "invalid_request"),
            ("grant_type=authorization_code&grant_type=authorization_code&code=w.s", "invalid_request"),
            ("grant_type=authorization_code&code=w.s&code_verifier=short", "invalid_request"),
            (&format!("grant_type=authorization_code&code=w.s&code_verifier={long}"), "invalid_request"),
            ("grant_type=authorization_code&code=nonsense", "invalid_grant"),
            ("grant_type=refresh_token", "invalid_request"),
            ("grant_type=refresh_token&refresh_token=nonsense", "invalid_grant"),
            ("grant_type=password&username=a&password=b", "unsupported_grant_type"),
            ("grant_type=client_credentials", "unsupported_grant_type"),
        ] {
            assert_eq!(parse(body).err().map(OAuthError::code), Some(code), "{body}");
        }
    }

    #[test]
    fn the_answer_has_what_the_rfc_names() {
        let granted = Granted {
            access_token: SecretString::from("a"),
            refresh_token: SecretString::from("r"),
            expires_in: Duration::from_secs(3600),
        };
        let body: serde_json::Value = serde_json::from_str(&granted.to_body()).expect("JSON");
        assert_eq!(
            body,
            serde_json::json!({"access_token": "a", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "r"})
        );
    }
}
