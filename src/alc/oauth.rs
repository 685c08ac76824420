//! ALC as an OAuth 2.0 authorization server, of which we are the client (RFC 6749, PKCE by RFC 7636).

use std::time::Duration;

use secrecy::SecretString;
use url::Url;

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

/// Why there are no tokens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// `invalid_grant`: this code or refresh token is dead.
    #[error("the grant is dead (invalid_grant)")]
    InvalidGrant,
    /// Any other OAuth error: somebody has to look at our client's settings.
    #[error("the token endpoint refused: {error}")]
    Refused {
        /// The RFC 6749 §5.2 code, or the status.
        error: String,
    },
    /// No clear answer; try again.
    #[error("no clear answer from the token endpoint: {detail}")]
    Unavailable {
        /// Why, without secrets.
        detail: String,
    },
}

/// The client side of ALC's OAuth endpoints.
#[derive(Clone)]
pub struct OAuth {}

/// Where to send the browser, and what to remember.
pub struct Authorization {
    /// ALC's consent page, with our `state` and S256 challenge.
    pub url: Url,
    /// The PKCE verifier for [`OAuth::exchange`].
    pub verifier: SecretString,
}

impl OAuth {
    /// RFC 6749 §4.1.1 with RFC 7636.
    pub fn authorize(&self, _state: &str) -> Option<Authorization> {
        None
    }

    /// RFC 6749 §4.1.3.
    pub async fn exchange(&self, _code: &str, _verifier: &SecretString) -> Result<Tokens, TokenError> {
        std::future::pending().await
    }

    /// RFC 6749 §6.
    pub async fn refresh(&self, _refresh_token: &SecretString) -> Result<Tokens, TokenError> {
        std::future::pending().await
    }

    /// RFC 7009; done at once where no revocation endpoint is set. An unknown token is done too.
    pub async fn revoke(&self, _token: &SecretString) -> Result<(), TokenError> {
        std::future::pending().await
    }
}
