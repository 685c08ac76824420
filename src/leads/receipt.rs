//! A receipt: which send an idempotency key made or joined.

use std::time::Duration;

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    ids::{RecordId, SendId},
    sealing::Fingerprint,
    store::{Aggregate, Kind},
};

/// How long a key is remembered.
pub const REMEMBERED_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// The memory of one idempotency key in one workspace.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Receipt {
    /// The send that the key made or joined.
    pub send: SendId,
    /// Its record.
    pub record_id: RecordId,
    /// Of the body that came with the key.
    pub body: Fingerprint,
    /// When the key was first seen.
    pub created_at: Timestamp,
    /// When it is forgotten.
    pub expires_at: Timestamp,
    /// What a newer version keeps here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Aggregate for Receipt {
    const KIND: Kind = Kind::Receipt;
    const SCHEMA: u32 = 1;

    fn status(&self) -> &'static str {
        "seen"
    }

    fn created_at(&self) -> Timestamp {
        self.created_at
    }

    fn expires_at(&self) -> Option<Timestamp> {
        Some(self.expires_at)
    }
}

/// The store's id of a caller's key: a digest, so that whatever callers write fits into a store key.
pub(super) fn id(idempotency_key: &str) -> String {
    digest_of(idempotency_key)
}

/// A short digest that tells texts apart and shows none of them.
pub(super) fn digest_of(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, text.as_bytes()))
}
