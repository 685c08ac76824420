//! The operator's two keys: what makes them good, and fresh ones.

use secrecy::SecretString;

use crate::{
    authorization::keys::{self as signing, SigningKeys},
    sealing::{self, Sealer},
};

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
        Self { sealing: sealing::generate_key(), signing: signing::generate() }
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
    let key = SecretString::from(text);
    match SigningKeys::new(&key, None) {
        Ok(_) => Ok(key),
        Err(fault) => Err(format!("is not usable: {fault}")),
    }
}
