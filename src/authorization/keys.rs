//! The keys that sign our access tokens.
//!
//! Owns the Ed25519 key pairs that the operator gives: the current one signs and verifies, the previous one only
//! verifies. Promises that both are published (RFC 7517, RFC 8037) under their RFC 7638 thumbprints, and that no
//! private part leaves this file or shows in `Debug`.

use std::fmt;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{
    DecodingKey, EncodingKey,
    jwk::{
        AlgorithmParameters, CommonParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, OctetKeyPairParameters,
        OctetKeyPairType, PublicKeyUse, ThumbprintHash,
    },
};
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};

/// Why a key cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a signing key is an Ed25519 key, PKCS#8 DER, base64 (make one with `alc-connector keys generate`)")]
pub struct BadKey;

/// A public key and its name.
struct Verifying {
    kid: String,
    key: DecodingKey,
    jwk: Jwk,
}

/// The current key, and the previous one while tokens that it signed are about.
pub struct SigningKeys {
    signing: EncodingKey,
    /// The current key first.
    verifying: Vec<Verifying>,
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kids: Vec<_> = self.verifying.iter().map(|key| &key.kid).collect();
        f.debug_struct("SigningKeys").field("kids", &kids).finish_non_exhaustive()
    }
}

impl SigningKeys {
    /// Keys from what the operator configured.
    pub fn new(current: &SecretString, previous: Option<&SecretString>) -> Result<Self, BadKey> {
        let (signing, current) = read(current)?;
        let mut verifying = vec![current];
        if let Some(previous) = previous {
            let (_, previous) = read(previous)?;
            // The same key set twice is still one key: a JWK Set names each `kid` once.
            if previous.kid != verifying[0].kid {
                verifying.push(previous);
            }
        }
        Ok(Self { signing, verifying })
    }

    /// The public keys (RFC 7517 §5).
    pub fn jwks(&self) -> JwkSet {
        JwkSet { keys: self.verifying.iter().map(|key| key.jwk.clone()).collect() }
    }

    /// The name and the private part of the current key.
    pub(super) fn signing(&self) -> (&str, &EncodingKey) {
        (&self.verifying[0].kid, &self.signing)
    }

    /// The public key of that name, if it is ours.
    pub(super) fn verifying(&self, kid: &str) -> Option<&DecodingKey> {
        self.verifying.iter().find(|key| key.kid == kid).map(|key| &key.key)
    }
}

/// A fresh key, base64.
pub fn generate() -> SecretString {
    // Version 1 of PKCS#8 is what `openssl genpkey` writes too.
    #[expect(
        clippy::expect_used,
        reason = "without randomness no key is safe to hand out; there is nothing to go on with"
    )]
    let document = Ed25519KeyPair::generate()
        .and_then(|pair| pair.to_pkcs8v1())
        .expect("the operating system's random generator answers");
    SecretString::from(STANDARD.encode(document))
}

fn read(secret: &SecretString) -> Result<(EncodingKey, Verifying), BadKey> {
    let der = SecretSlice::from(STANDARD.decode(secret.expose_secret().trim()).map_err(|_| BadKey)?);
    let pair = Ed25519KeyPair::from_pkcs8(der.expose_secret()).map_err(|_| BadKey)?;
    let public = URL_SAFE_NO_PAD.encode(pair.public_key());
    let (kid, key, jwk) = published(public).map_err(|_| BadKey)?;
    Ok((EncodingKey::from_ed_der(der.expose_secret()), Verifying { kid, key, jwk }))
}

/// The public key `x` as a JWK named after its thumbprint.
fn published(x: String) -> jsonwebtoken::errors::Result<(String, DecodingKey, Jwk)> {
    let key = DecodingKey::from_ed_components(&x)?;
    let mut jwk = Jwk {
        common: CommonParameters {
            public_key_use: Some(PublicKeyUse::Signature),
            key_algorithm: Some(KeyAlgorithm::EdDSA),
            ..CommonParameters::default()
        },
        algorithm: AlgorithmParameters::OctetKeyPair(OctetKeyPairParameters {
            key_type: OctetKeyPairType::OctetKeyPair,
            curve: EllipticCurve::Ed25519,
            x,
        }),
    };
    let kid = jwk.thumbprint(ThumbprintHash::SHA256)?;
    jwk.common.key_id = Some(kid.clone());
    Ok((kid, key, jwk))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_after_its_thumbprint() {
        // RFC 8037 appendix A.3.
        let (kid, _, _) = published("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".to_owned()).expect("a good key");
        assert_eq!(kid, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn both_keys_are_published_and_neither_with_its_private_part() {
        let (old, new) = (generate(), generate());
        let keys = SigningKeys::new(&new, Some(&old)).expect("good keys");
        let jwks = serde_json::to_value(keys.jwks()).expect("a JWK Set serialises");
        let published = jwks["keys"].as_array().expect("an array");
        assert_eq!(published.len(), 2);
        assert_eq!(published[0]["kid"], keys.signing().0);
        for key in published {
            assert_eq!((&key["kty"], &key["crv"], &key["alg"]), (&"OKP".into(), &"Ed25519".into(), &"EdDSA".into()));
            assert_eq!(key["use"], "sig");
            assert!(key["x"].is_string());
            assert!(key.get("d").is_none());
        }
    }

    #[test]
    fn the_same_key_twice_is_published_once() {
        let key = generate();
        assert_eq!(SigningKeys::new(&key, Some(&key)).expect("good keys").jwks().keys.len(), 1);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for bad in ["", "not base64!", "AAAA", crate::sealing::generate_key().expose_secret()] {
            assert!(SigningKeys::new(&SecretString::from(bad), None).is_err(), "{bad}");
            assert!(SigningKeys::new(&generate(), Some(&SecretString::from(bad))).is_err(), "{bad}");
        }
    }

    #[test]
    fn debug_shows_no_key() {
        let key = generate();
        let keys = SigningKeys::new(&key, None).expect("a good key");
        let der = STANDARD.decode(key.expose_secret()).expect("base64");
        let shown = format!("{keys:?}");
        assert!(!shown.contains(key.expose_secret()));
        assert!(!shown.contains(&format!("{:?}", &der[16..])));
    }
}
