//! Why a token endpoint gave no tokens, named by what it means for the grant.

/// Why there are no tokens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// `invalid_grant`, in whatever form: this code or refresh token is dead.
    #[error("the grant is dead (invalid_grant)")]
    InvalidGrant,
    /// A clear refusal that does not say so: a 4xx of the endpoint's own, or an error in a 200. Once is a deployment or
    /// a setting of our client; again and again over some minutes it is the grant.
    #[error("the token endpoint refused: {error}")]
    Refused {
        /// The RFC 6749 §5.2 code, or the status.
        error: String,
    },
    /// A 2xx whose token we cannot use. Something was granted.
    #[error("the token endpoint gave a token that cannot be used: {detail}")]
    Unusable {
        /// Why, without secrets.
        detail: String,
    },
    /// No clear answer: a timeout, a 5xx, 408, 425, 429, a 2xx that cannot be read. It says nothing about the grant;
    /// try again.
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
