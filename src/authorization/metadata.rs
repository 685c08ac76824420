//! What this authorization server can do, for clients that ask (RFC 8414).

use serde::Serialize;

/// The metadata document.
#[derive(Debug, Clone, Serialize)]
pub struct Metadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    revocation_endpoint: String,
    jwks_uri: String,
    response_types_supported: &'static [&'static str],
    response_modes_supported: &'static [&'static str],
    grant_types_supported: &'static [&'static str],
    token_endpoint_auth_methods_supported: &'static [&'static str],
    revocation_endpoint_auth_methods_supported: &'static [&'static str],
    code_challenge_methods_supported: &'static [&'static str],
    authorization_response_iss_parameter_supported: bool,
}

impl Metadata {
    /// The metadata of `issuer`.
    pub(super) fn of(issuer: &str) -> Self {
        let authentication = &["client_secret_basic", "client_secret_post"];
        Self {
            issuer: issuer.to_owned(),
            authorization_endpoint: format!("{issuer}/oauth/authorize"),
            token_endpoint: format!("{issuer}/oauth/token"),
            revocation_endpoint: format!("{issuer}/oauth/revoke"),
            jwks_uri: format!("{issuer}/.well-known/jwks.json"),
            response_types_supported: &["code"],
            response_modes_supported: &["query"],
            grant_types_supported: &["authorization_code", "refresh_token"],
            token_endpoint_auth_methods_supported: authentication,
            revocation_endpoint_auth_methods_supported: authentication,
            code_challenge_methods_supported: &["S256"],
            authorization_response_iss_parameter_supported: true,
        }
    }
}
