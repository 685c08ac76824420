//! The operator's two keys: what makes them good, and fresh ones.

use aws_lc_rs::{rand::SystemRandom, signature::Ed25519KeyPair};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};

use crate::sealing::{self, Sealer};

/// A fresh key of each kind.
pub struct FreshKeys {
    /// For `KEYS__SEALING`.
    pub sealing: SecretString,
    /// For `KEYS__SIGNING`.
    pub signing: SecretString,
}

impl FreshKeys {
    /// Makes them.
    pub fn generate() -> Self {
        #[expect(clippy::expect_used, reason = "fails only without randomness, and then no key is safe to hand out")]
        let document = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).expect("a key pair can be made");
        Self { sealing: sealing::generate_key(), signing: SecretString::from(STANDARD.encode(document.as_ref())) }
    }
}

pub(super) fn check_sealing(text: &str) -> Result<SecretString, String> {
    let key = SecretString::from(text);
    match Sealer::new(&key, None) {
        Ok(_) => Ok(key),
        Err(fault) => Err(format!("is not usable: {fault}")),
    }
}

pub(super) fn check_signing(text: &str) -> Result<SecretString, String> {
    let der = STANDARD.decode(text).map(SecretSlice::from).ok();
    match der.map(|der| Ed25519KeyPair::from_pkcs8(der.expose_secret()).is_ok()) {
        Some(true) => Ok(SecretString::from(text)),
        _ => Err("is not usable: a signing key is an Ed25519 key as PKCS#8 DER, base64 (make one with \
                  `alc-connector keys generate`)"
            .to_owned()),
    }
}
