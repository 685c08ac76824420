//! Why a token endpoint gave no tokens, named by what it means for the grant.

/// Why there are no tokens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// `invalid_grant`: this code or refresh token is dead.
    #[error("the grant is dead (invalid_grant)")]
    InvalidGrant,
    /// Any other OAuth error: the operator has to look at our client's settings.
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

/// No clear answer, for this reason.
pub fn unavailable(detail: &str) -> TokenError {
    TokenError::Unavailable { detail: detail.to_owned() }
}
