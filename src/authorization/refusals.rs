//! What the client is told of a consent that came to nothing (RFC 6749 §4.1.2.1).
//!
//! Promises that it learns whether connecting again will help and, in fixed words, at which side it failed: of what ALC
//! or Attio wrote only a proper error code goes through.

use secrecy::SecretString;

use super::{attempt::Provider, params::Params, request::RedirectError};
use crate::{
    alc::oauth::TokenError,
    connections::{IdentifyError, MayNotConnect},
    store::StoreError,
    telemetry::warn_sparingly,
};

/// RFC 6749 §4.1.2, §4.1.2.1.
pub(super) fn provider_answer(params: &Params, provider: Provider) -> Result<SecretString, RedirectError> {
    let provider = provider.title();
    let garbled = |_| RedirectError::new("server_error", format!("{provider}'s answer was garbled"));
    if let Some(error) = params.get("error").map_err(garbled)? {
        // Codes of extensions go through as well (RFC 6749 §8.5), free text does not.
        let proper =
            error.len() <= 64 && error.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
        let code = if proper { error } else { "server_error" };
        return Err(RedirectError::new(code, format!("{provider} did not grant access")));
    }
    let code = params.get("code").map_err(garbled)?;
    code.map(SecretString::from).ok_or_else(|| RedirectError::new("server_error", format!("{provider} sent no code")))
}

pub(super) fn exchange_error(provider: Provider, error: &TokenError) -> RedirectError {
    let provider = provider.title();
    warn_sparingly!(%error, provider, "a code was not exchanged");
    match error {
        TokenError::InvalidGrant => {
            RedirectError::new("access_denied", format!("{provider} no longer accepts its code: connect again"))
        }
        TokenError::Refused { .. } => {
            RedirectError::new("server_error", format!("{provider} refused to exchange its code"))
        }
        TokenError::Unusable { .. } => {
            RedirectError::new("server_error", format!("{provider} gave a token that cannot be used"))
        }
        TokenError::Unavailable { .. } => RedirectError::new(
            "temporarily_unavailable",
            format!("{provider} does not answer as it should: connect again later"),
        ),
    }
}

pub(super) fn identify_error(error: &IdentifyError) -> RedirectError {
    warn_sparingly!(%error, "Attio did not name the workspace");
    match error {
        IdentifyError::Inactive | IdentifyError::Refused(_) => {
            RedirectError::new("server_error", "Attio does not accept this service's API key")
        }
        IdentifyError::Unavailable(_) => {
            RedirectError::new("temporarily_unavailable", "Attio does not answer as it should: connect again later")
        }
    }
}

/// Of a grant that is a moment old.
pub(super) fn grant_error(error: &IdentifyError) -> RedirectError {
    match error {
        IdentifyError::Inactive => {
            warn_sparingly!(%error, "Attio did not name the workspace");
            RedirectError::new("access_denied", "Attio does not accept the access that it has just granted")
        }
        IdentifyError::Refused(_) => {
            warn_sparingly!(%error, "Attio did not name the workspace");
            RedirectError::new("server_error", "Attio does not name the workspace that it granted access to")
        }
        IdentifyError::Unavailable(_) => identify_error(error),
    }
}

pub(super) fn workspace_refused(error: MayNotConnect) -> RedirectError {
    match error {
        MayNotConnect::OtherWorkspace => {
            RedirectError::new("access_denied", "this service serves another workspace: disconnect that one first")
        }
        MayNotConnect::Store(error) => not_kept(Some(error)),
    }
}

pub(super) fn not_kept(error: Option<StoreError>) -> RedirectError {
    warn_sparingly!(error = error.map(|error| error.to_string()), "a connection could not be kept");
    RedirectError::new("temporarily_unavailable", "the connection could not be kept: connect again later")
}
