//! Access tokens that have been verified, so that the signature of one is not checked anew for every request.
//!
//! Promises that only a token which is the same to the last byte is taken for one that was verified, that no token is
//! kept (only its digest), and that memory is bounded. Whether a token has expired is judged at each use: what is kept
//! says only what the token says.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use secrecy::{ExposeSecret as _, SecretString};

/// So many tokens are remembered, then all are forgotten: one of them costs its signature's check once more.
const MOST: usize = 4_096;

type Digest = [u8; SHA256_OUTPUT_LEN];

/// What verified tokens say, by the digest of the whole token.
#[derive(Debug)]
pub(super) struct Verified<T>(RwLock<HashMap<Digest, T>>);

impl<T> Default for Verified<T> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<T: Clone> Verified<T> {
    /// What `token` says: as it was found before, or as `verify` finds now. A refusal is not remembered.
    pub(super) fn or_verify<E>(&self, token: &SecretString, verify: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let mut key = Digest::default();
        key.copy_from_slice(digest(&SHA256, token.expose_secret().as_bytes()).as_ref());
        if let Some(known) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(known.clone());
        }
        let found = verify()?;
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(key, found.clone());
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_not_remembered_and_another_token_is_another() {
        let verified = Verified::default();
        let token = |text: &str| SecretString::from(text.to_owned());
        assert_eq!(verified.or_verify(&token("a"), || Err(())), Err(()));
        assert_eq!(verified.or_verify(&token("a"), || Ok::<_, ()>(1)), Ok(1));
        assert_eq!(verified.or_verify(&token("a"), || Err(())), Ok(1));
        assert_eq!(verified.or_verify(&token("a "), || Err(())), Err(()));
        for n in 0..2 * MOST {
            assert_eq!(verified.or_verify(&token(&n.to_string()), || Ok::<_, ()>(n)), Ok(n));
        }
        assert!(verified.0.read().expect("it lives").len() <= MOST);
    }
}
