//! A receipt: which send an idempotency key made or joined.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::answer::NewLead;
use crate::{
    clock::{Timestamp, later},
    ids::{RecordId, SendId},
    leads::{lead::person::canonical, places::digest_of, service::Leads},
    sealing::Fingerprint,
    store::{Aggregate, Key, Kind, LeaseChange, Version, Write, put},
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

/// The key of a press.
pub(in crate::leads) struct Idempotency {
    pub(super) key: Key,
    /// What the caller named; merges may have put the lead under another record.
    record: RecordId,
    body: SecretString,
}

impl Idempotency {
    /// The body is what ALC would be sent: a repeat that names another callback URL is a repeat all the same.
    pub(super) fn new(text: &str, new: &NewLead) -> Self {
        Self {
            // A digest, so that whatever callers write fits into a store key.
            key: Key::new(Kind::Receipt, digest_of(text)),
            record: new.record_id,
            body: canonical(&new.name, &new.phone_number),
        }
    }

    /// What the receipt's fingerprint is bound to besides name and number.
    fn purpose(&self) -> String {
        format!("receipt/{}", self.record)
    }
}

impl Leads {
    /// Whether a receipt is of a press with the same record, name and number.
    pub(super) fn is_receipt_of(&self, key: &Idempotency, receipt: &Receipt) -> bool {
        let body = key.body.expose_secret().as_bytes();
        receipt.record_id == key.record && self.parts.sealer.matches(&key.purpose(), body, &receipt.body)
    }

    /// The write of the receipt: `key` has made or joined `send`. `expected`: a receipt that is there, of a send that
    /// has been forgotten since.
    pub(super) fn receipt(&self, key: &Idempotency, send: SendId, expected: Option<Version>, now: Timestamp) -> Write {
        let receipt = Receipt {
            send,
            record_id: key.record,
            body: self.parts.sealer.fingerprint(&key.purpose(), key.body.expose_secret().as_bytes()),
            created_at: now,
            expires_at: later(now, REMEMBERED_FOR),
            extra: Map::new(),
        };
        put(&key.key.id, &receipt, expected, LeaseChange::Leave { due: None })
    }
}
