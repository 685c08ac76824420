//! Sealing: how secrets and personal data rest in the store.
//!
//! Owns the envelope (AES-256-GCM under a key that the operator gives) and keyed fingerprints. Promises that nothing
//! sealed for one place can be opened in another (the place is associated data), that the previous key still opens what
//! it sealed but never seals again, that what the previous key sealed can be told without opening it, and that an
//! envelope shows nothing in `Debug`.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    digest, hmac,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use serde::{Deserialize, Serialize};

/// The length of a sealing key in bytes.
pub const KEY_LEN: usize = 32;

/// First byte of an envelope; another layout gets another number.
const VERSION: u8 = 1;
const KEY_ID_LEN: usize = 4;
const HEAD_LEN: usize = 1 + KEY_ID_LEN + NONCE_LEN;

/// Where something is sealed: the logical key of its aggregate and the name of its field.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// For example `workspace/<id>` or `lead/<workspace>/<record>`.
    pub aggregate: &'a str,
    /// For example `alc_access_token`.
    pub field: &'a str,
}

/// An envelope, base64: version, key id, nonce, ciphertext with tag.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(String);

impl Sealed {
    /// The envelope as text, for a place outside the store such as a cookie.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// An envelope that came back from outside; [`Sealer::open`] judges it.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealed")
    }
}

/// A keyed fingerprint: tells whether two secrets are equal, and nothing without the key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint")
    }
}

/// Why an envelope did not open. Says nothing about its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Not an envelope, or one of a layout that this version does not know.
    #[error("the sealed value is malformed")]
    Malformed,
    /// Sealed under a key that is neither the current nor the previous one.
    #[error("the sealed value was sealed under a key that is not configured (set KEYS__SEALING_PREVIOUS to it)")]
    UnknownKey,
    /// Altered, or sealed for another place.
    #[error("the sealed value was altered or belongs elsewhere")]
    Refused,
}

/// Why a key cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sealing key is {KEY_LEN} bytes, base64 (make one with `alc-connector keys generate`)")]
pub struct BadKey;

struct Key {
    id: [u8; KEY_ID_LEN],
    aead: RandomizedNonceKey,
    fingerprints: hmac::Key,
}

impl Key {
    fn new(secret: &SecretString) -> Result<Self, BadKey> {
        let bytes = SecretSlice::from(STANDARD.decode(secret.expose_secret().trim()).map_err(|_| BadKey)?);
        let bytes = bytes.expose_secret();
        if bytes.len() != KEY_LEN {
            return Err(BadKey);
        }
        // Different uses of one operator key must not share key material.
        let master = hmac::Key::new(hmac::HMAC_SHA256, bytes);
        let mut id = [0; KEY_ID_LEN];
        id.copy_from_slice(
            &digest::digest(&digest::SHA256, hmac::sign(&master, b"key id").as_ref()).as_ref()[..KEY_ID_LEN],
        );
        Ok(Self {
            id,
            aead: RandomizedNonceKey::new(&AES_256_GCM, hmac::sign(&master, b"seal").as_ref()).map_err(|_| BadKey)?,
            fingerprints: hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&master, b"fingerprint").as_ref()),
        })
    }
}

/// Seals under the current key, opens under the current and the previous one.
pub struct Sealer {
    current: Key,
    previous: Option<Key>,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}

impl Sealer {
    /// A sealer over base64 keys of [`KEY_LEN`] bytes.
    pub fn new(current: &SecretString, previous: Option<&SecretString>) -> Result<Self, BadKey> {
        Ok(Self { current: Key::new(current)?, previous: previous.map(Key::new).transpose()? })
    }

    /// Seals `plaintext` for `place`.
    pub fn seal(&self, place: Place<'_>, plaintext: &SecretString) -> Sealed {
        let mut body = plaintext.expose_secret().as_bytes().to_vec();
        #[expect(clippy::expect_used, reason = "AES-GCM refuses only plaintexts of more than 64 GiB")]
        let nonce = self
            .current
            .aead
            .seal_in_place_append_tag(Aad::from(associated(place, self.current.id)), &mut body)
            .expect("the plaintext is short");
        let mut envelope = Vec::with_capacity(HEAD_LEN + body.len());
        envelope.push(VERSION);
        envelope.extend_from_slice(&self.current.id);
        envelope.extend_from_slice(nonce.as_ref());
        envelope.extend_from_slice(&body);
        Sealed(STANDARD.encode(envelope))
    }

    /// Opens what was sealed for `place`.
    pub fn open(&self, place: Place<'_>, sealed: &Sealed) -> Result<SecretString, OpenError> {
        let envelope = STANDARD.decode(&sealed.0).map_err(|_| OpenError::Malformed)?;
        if envelope.len() < HEAD_LEN || envelope[0] != VERSION {
            return Err(OpenError::Malformed);
        }
        let (head, body) = envelope.split_at(HEAD_LEN);
        let key = self.keys().find(|key| key.id == head[1..=KEY_ID_LEN]).ok_or(OpenError::UnknownKey)?;
        let nonce = Nonce::try_assume_unique_for_key(&head[1 + KEY_ID_LEN..]).map_err(|_| OpenError::Malformed)?;
        let mut body = body.to_vec();
        let plaintext = key
            .aead
            .open_in_place(nonce, Aad::from(associated(place, key.id)), &mut body)
            .map_err(|_| OpenError::Refused)?;
        String::from_utf8(plaintext.to_vec()).map(SecretString::from).map_err(|_| OpenError::Malformed)
    }

    /// Whether there is a previous key, so that something may be left to seal anew.
    pub fn is_rotating(&self) -> bool {
        self.previous.is_some()
    }

    /// Whether the current key sealed it. Reads the envelope's head alone, and says nothing about whether it opens.
    pub fn is_current(&self, sealed: &Sealed) -> bool {
        sealed_by(sealed) == Some(self.current.id)
    }

    /// Whether one of the keys here sealed it: then it opens, unless it was altered. Reads the envelope's head alone,
    /// for what is asked at each step.
    pub fn knows_key_of(&self, sealed: &Sealed) -> bool {
        let by = sealed_by(sealed);
        by.is_some_and(|by| by == self.current.id || self.previous.as_ref().is_some_and(|previous| previous.id == by))
    }

    /// Seals what another key sealed for `place` anew, under the current key; returns whether there was anything to do.
    pub fn reseal(&self, place: Place<'_>, sealed: &mut Sealed) -> Result<bool, OpenError> {
        if self.is_current(sealed) {
            return Ok(false);
        }
        *sealed = self.seal(place, &self.open(place, sealed)?);
        Ok(true)
    }

    /// As [`Self::reseal`], of several fields of one aggregate: one that does not open keeps no other from being sealed
    /// anew. Returns whether one was, and what the last that does not open says.
    pub fn reseal_all<'a, F: AsRef<str>>(
        &self,
        aggregate: &str,
        fields: impl IntoIterator<Item = (F, &'a mut Sealed)>,
    ) -> (bool, Result<(), OpenError>) {
        let (mut changed, mut outcome) = (false, Ok(()));
        for (field, sealed) in fields {
            match self.reseal(Place { aggregate, field: field.as_ref() }, sealed) {
                Ok(done) => changed |= done,
                Err(error) => outcome = Err(error),
            }
        }
        (changed, outcome)
    }

    /// The fingerprint of `data` for `purpose`.
    pub fn fingerprint(&self, purpose: &str, data: &[u8]) -> Fingerprint {
        Fingerprint(STANDARD.encode(fingerprint(&self.current, purpose, data)))
    }

    /// Whether `data` has that fingerprint, made under either key; in constant time.
    pub fn matches(&self, purpose: &str, data: &[u8], known: &Fingerprint) -> bool {
        let Ok(known) = STANDARD.decode(&known.0) else { return false };
        self.keys().any(|key| hmac::verify(&key.fingerprints, &message(purpose, data), &known).is_ok())
    }

    fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.current).chain(&self.previous)
    }
}

fn fingerprint(key: &Key, purpose: &str, data: &[u8]) -> hmac::Tag {
    hmac::sign(&key.fingerprints, &message(purpose, data))
}

/// Purpose and data cannot run into each other: the purpose's length comes first.
fn message(purpose: &str, data: &[u8]) -> Vec<u8> {
    [&(purpose.len() as u64).to_be_bytes(), purpose.as_bytes(), data].concat()
}

/// The id of the key that sealed it; `None`: it is no envelope of this layout.
fn sealed_by(sealed: &Sealed) -> Option<[u8; KEY_ID_LEN]> {
    // Eight characters are six bytes.
    let mut head = [0; 6];
    let length = STANDARD.decode_slice(sealed.0.get(..8)?, &mut head).ok()?;
    let [VERSION, id @ .., _] = head else { return None };
    (length == head.len()).then_some(id)
}

fn associated(place: Place<'_>, key_id: [u8; KEY_ID_LEN]) -> Vec<u8> {
    let mut data = message(place.aggregate, place.field.as_bytes());
    data.extend_from_slice(&key_id);
    data
}

/// A fresh key, base64.
pub fn generate_key() -> SecretString {
    let mut bytes = [0; KEY_LEN];
    crate::ids::fill(&mut bytes);
    SecretString::from(STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HERE: Place<'static> = Place { aggregate: "workspace/1", field: "token" };

    proptest! {
        /// Seals any text for one place and opens it there and at any other place. Only the first gives the text back;
        /// the other is refused, since the place is associated data of the cipher.
        #[test]
        fn what_is_sealed_opens_here_and_nowhere_else(text in ".*", aggregate in "[a-z/0-9]{0,12}", field in "[a-z]{0,8}") {
            let sealer = Sealer::new(&generate_key(), None).expect("a generated key is good");
            let sealed = sealer.seal(HERE, &SecretString::from(text.clone()));
            let opened = sealer.open(HERE, &sealed).expect("opens in its place");
            prop_assert_eq!(opened.expose_secret(), &text);
            let elsewhere = Place { aggregate: &aggregate, field: &field };
            prop_assume!((elsewhere.aggregate, elsewhere.field) != (HERE.aggregate, HERE.field));
            prop_assert!(matches!(sealer.open(elsewhere, &sealed), Err(OpenError::Refused)));
        }

        /// Flips one bit of an envelope, anywhere from its version to its tag, and opens it. Were a part of it not
        /// authenticated, some bit would pass unnoticed.
        #[test]
        fn any_altered_byte_is_noticed(at in 0usize..40, bit in 0u8..8) {
            let sealer = Sealer::new(&generate_key(), None).expect("a generated key is good");
            let sealed = sealer.seal(HERE, &SecretString::from("a secret of ours"));
            let mut envelope = STANDARD.decode(sealed.as_str()).expect("base64");
            let at = at % envelope.len();
            envelope[at] ^= 1 << bit;
            prop_assert!(sealer.open(HERE, &Sealed::from_text(STANDARD.encode(envelope))).is_err());
        }

        /// Opens any text as if it were an envelope. What the store, or a browser, gives back may be anything: an
        /// error, never a panic.
        #[test]
        fn nonsense_never_panics(text in ".*") {
            let sealer = Sealer::new(&generate_key(), None).expect("a generated key is good");
            prop_assert!(sealer.open(HERE, &Sealed::from_text(text)).is_err());
        }
    }

    #[test]
    fn the_previous_key_opens_and_never_seals() {
        let (old, new) = (generate_key(), generate_key());
        let before = Sealer::new(&old, None).expect("good key");
        let rotated = Sealer::new(&new, Some(&old)).expect("good keys");
        let after = Sealer::new(&new, None).expect("good key");
        let sealed = before.seal(HERE, &SecretString::from("x"));
        assert!(rotated.open(HERE, &sealed).is_ok());
        assert!(matches!(after.open(HERE, &sealed), Err(OpenError::UnknownKey)));
        let resealed = rotated.seal(HERE, &SecretString::from("x"));
        assert!(after.open(HERE, &resealed).is_ok());
        let mut anew = sealed.clone();
        assert!(!rotated.is_current(&anew) && before.is_current(&anew) && rotated.is_rotating());
        rotated.reseal(HERE, &mut anew).expect("the previous key opens it");
        assert!(rotated.is_current(&anew) && after.open(HERE, &anew).is_ok() && !after.is_rotating());
        let kept = anew.clone();
        rotated.reseal(HERE, &mut anew).expect("nothing to do");
        assert_eq!(anew, kept, "what the current key sealed is left alone");
        assert_eq!(after.reseal(HERE, &mut sealed.clone()), Err(OpenError::UnknownKey));
        let print = before.fingerprint("body", b"x");
        assert!(rotated.matches("body", b"x", &print));
        assert!(!rotated.matches("body", b"y", &print));
        assert!(!rotated.matches("other", b"x", &print));
    }
}
