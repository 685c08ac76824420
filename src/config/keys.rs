//! The operator's two keys: what makes them good, and fresh ones.

use secrecy::SecretString;

use crate::{
    authorization::keys::{self as signing, SigningKeys},
    ids::random_secret,
    sealing::{self, Sealer},
};

/// A fresh key of each kind, and a secret for the Attio app's connection.
pub struct FreshKeys {
    /// For `KEYS__SEALING`.
    pub sealing: SecretString,
    /// For `KEYS__SIGNING`.
    pub signing: SecretString,
    /// For `ATTIO_APP__CLIENT_SECRET`: no key, but as secret and as long.
    pub client_secret: SecretString,
}

impl FreshKeys {
    /// Makes them.
    pub fn generate() -> Self {
        Self { sealing: sealing::generate_key(), signing: signing::generate(), client_secret: random_secret() }
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
