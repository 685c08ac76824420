//! The names of things: typed ids, and the opaque tokens that we hand out.
//!
//! Promises that ids of different things cannot be confused, that every secret made here has 256 random bits, and that
//! a secret is kept only as a hash and compared in constant time.

use std::{fmt, str::FromStr};

use aws_lc_rs::{constant_time, digest, rand};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A fresh random id (UUID version 4).
            pub fn random() -> Self {
                Self(random_uuid())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

id! {
    /// An Attio workspace: the tenant.
    WorkspaceId
}
id! {
    /// One OAuth grant in a workspace; `sub` of our access tokens.
    ConnectionId
}
id! {
    /// One person record in Attio.
    RecordId
}
id! {
    /// A list in Attio.
    ListId
}
id! {
    /// A record's entry in a list in Attio: each time that a record is put there it has another one.
    EntryId
}
id! {
    /// One send of a lead to ALC; its `Idempotency-Key` there.
    SendId
}
id! {
    /// One webhook of ours at ALC: ours, not the id that ALC gave it.
    WebhookId
}

/// A random UUID (version 4).
pub fn random_uuid() -> Uuid {
    let mut bytes = [0; 16];
    fill(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// Fills `bytes` from the operating system's generator.
pub fn fill(bytes: &mut [u8]) {
    #[expect(
        clippy::expect_used,
        reason = "without randomness no token is safe to hand out; there is nothing to go on with"
    )]
    rand::fill(bytes).expect("the operating system's random generator answers");
}

/// A uniformly random number in `0.0..1.0`: jitter, never a secret.
pub fn unit_random() -> f64 {
    let mut bytes = [0; 4];
    fill(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}

/// 256 random bits, base64url without padding (43 characters).
pub fn random_secret() -> SecretString {
    let mut bytes = [0; 32];
    fill(&mut bytes);
    SecretString::from(URL_SAFE_NO_PAD.encode(bytes))
}

/// SHA-256 of a secret with 256 random bits, base64url: what an aggregate keeps of a token that we handed out.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretHash(String);

impl SecretHash {
    /// The hash of `secret`.
    pub fn of(secret: &SecretString) -> Self {
        let hash = digest::digest(&digest::SHA256, secret.expose_secret().as_bytes());
        Self(URL_SAFE_NO_PAD.encode(hash))
    }

    /// The hash as text: of a secret that no other can be found for, it gives nothing away.
    pub fn shown(&self) -> &str {
        &self.0
    }

    /// Whether `secret` is the one that was hashed; in constant time.
    pub fn matches(&self, secret: &SecretString) -> bool {
        constant_time::verify_slices_are_equal(self.0.as_bytes(), Self::of(secret).0.as_bytes()).is_ok()
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash")
    }
}

/// An opaque token `<owner>.<secret>`: a code, a refresh token, the last part of a webhook URL.
///
/// The owner says where the aggregate is that holds the hash of the secret, so no token needs an index.
#[derive(Clone)]
pub struct OpaqueToken {
    /// The id of the aggregate that knows the token, in clear.
    pub owner: String,
    /// What proves it.
    pub secret: SecretString,
}

impl OpaqueToken {
    /// A fresh token of `owner`.
    pub fn new(owner: impl fmt::Display) -> Self {
        Self { owner: owner.to_string(), secret: random_secret() }
    }

    /// Takes `<owner>.<secret>` apart; `None` unless both parts are there.
    pub fn parse(text: &str) -> Option<Self> {
        let (owner, secret) = text.split_once('.')?;
        (!owner.is_empty() && !secret.is_empty())
            .then(|| Self { owner: owner.to_owned(), secret: SecretString::from(secret) })
    }

    /// The token as it travels.
    pub fn to_text(&self) -> SecretString {
        SecretString::from(format!("{}.{}", self.owner, self.secret.expose_secret()))
    }

    /// What is kept of it.
    pub fn hash(&self) -> SecretHash {
        SecretHash::of(&self.secret)
    }
}

impl fmt::Debug for OpaqueToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpaqueToken").field("owner", &self.owner).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_its_journey_and_proves_itself() {
        let token = OpaqueToken::new("tenant");
        let parsed = OpaqueToken::parse(token.to_text().expose_secret()).expect("our own token parses");
        assert_eq!(parsed.owner, "tenant");
        assert!(token.hash().matches(&parsed.secret));
        assert!(!token.hash().matches(&random_secret()));
    }

    #[test]
    fn halves_of_tokens_are_refused() {
        for text in ["", ".", "a.", ".b", "ab"] {
            assert!(OpaqueToken::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_token_never_shows_its_secret_in_debug() {
        let token = OpaqueToken::new("tenant");
        assert!(!format!("{token:?} {:?}", token.hash()).contains(token.secret.expose_secret()));
    }
}
