//! The key in a webhook's secret.
//!
//! Standard Webhooks writes a secret as base64 after `whsec_`. Secrets pass through hands and libraries on their way,
//! so the alphabet of URLs, missing padding, loose bits at the end, line breaks, quotes around it and the version of
//! its signatures in front of it (`v1,whsec_…`) are read past: each leads to one key only. Promises that a secret which
//! is no key is told from one that is, so that a connect can say so instead of every callback later, and that no error
//! quotes it.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use secrecy::{ExposeSecret as _, SecretString};

const CONFIG: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, CONFIG);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, CONFIG);

/// Why a secret is no key. Completes the sentence "the secret of the webhook …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnusableKey {
    /// Nothing is there.
    #[error("is empty")]
    Empty,
    /// It belongs to signatures of public keys (`v1a`).
    #[error("is a key pair's (whpk_ or whsk_), but callbacks are verified with a shared secret (whsec_)")]
    Asymmetric,
    /// Characters that base64 does not have, or a length that it cannot have.
    #[error("is not base64 after whsec_")]
    NoBase64,
}

/// The bytes to sign with; never empty: the HMAC under an empty key is something that anybody can compute.
pub(super) fn decode(secret: &SecretString) -> Result<Vec<u8>, UnusableKey> {
    let text: String = secret.expose_secret().chars().filter(|c| !c.is_whitespace()).collect();
    let text = text.trim_matches(['"', '\'']);
    if ["whpk_", "whsk_"].iter().any(|prefix| text.starts_with(prefix)) {
        return Err(UnusableKey::Asymmetric);
    }
    let text = text.strip_prefix("v1,").unwrap_or(text);
    let text = text.strip_prefix("whsec_").unwrap_or(text);
    if text.trim_end_matches('=').is_empty() {
        return Err(UnusableKey::Empty);
    }
    let key = base64(text).ok_or(UnusableKey::NoBase64)?;
    if key.is_empty() { Err(UnusableKey::Empty) } else { Ok(key) }
}

/// Base64 in either alphabet, the padding and the bits that are left over at the end of no account.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok()
}

/// Whether callbacks can be verified by this secret.
pub fn check(secret: &SecretString) -> Result<(), UnusableKey> {
    decode(secret).map(|_| ())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(secret: &str) -> Result<Vec<u8>, UnusableKey> {
        decode(&SecretString::from(secret))
    }

    #[test]
    fn a_key_is_found_in_every_writing_of_it() {
        let bytes = vec![0xfb, 0xff, 0xbe, 0x01];
        for secret in [
            "whsec_+/++AQ==",
            "+/++AQ==",
            "whsec_+/++AQ",
            "whsec_-_--AQ==",
            "whsec_-_--AQ",
            // The last two bits say nothing.
            "whsec_+/++AR==",
            "whsec_-_--AS",
            " whsec_+/++AQ==\n",
            "\"whsec_+/++AQ==\"",
            "whsec_+/+\n+AQ==",
            "v1,whsec_+/++AQ==",
            "\"v1,whsec_-_--AQ\"",
        ] {
            assert_eq!(key(secret), Ok(bytes.clone()), "{secret}");
        }
    }

    #[test]
    fn what_cannot_be_a_key_is_named() {
        for (secret, fault) in [
            ("", UnusableKey::Empty),
            ("whsec_", UnusableKey::Empty),
            ("whsec_ ==", UnusableKey::Empty),
            ("whpk_+/++AQ==", UnusableKey::Asymmetric),
            ("whsk_AAAA", UnusableKey::Asymmetric),
            ("whsec_%%%", UnusableKey::NoBase64),
            ("not base64!", UnusableKey::NoBase64),
            ("whsec_A", UnusableKey::NoBase64),
            ("whsec_AAAAA", UnusableKey::NoBase64),
            ("whsec_+_AA", UnusableKey::NoBase64),
            ("whsec_é", UnusableKey::NoBase64),
            ("v1,", UnusableKey::Empty),
            ("v2,whsec_+/++AQ==", UnusableKey::NoBase64),
            ("{\"key\":1}", UnusableKey::NoBase64),
        ] {
            assert_eq!(key(secret), Err(fault), "{secret}");
            assert_eq!(check(&SecretString::from(secret)), Err(fault));
        }
    }

    proptest! {
        #[test]
        fn a_strict_readers_key_is_ours(bytes in proptest::collection::vec(any::<u8>(), 1..80)) {
            let strict = base64::prelude::BASE64_STANDARD.encode(&bytes);
            let url = base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(&bytes);
            for secret in [format!("whsec_{strict}"), strict, format!("whsec_{url}")] {
                prop_assert_eq!(key(&secret), Ok(bytes.clone()));
            }
        }
    }
}
