//! Where a lead's secrets are sealed, and how texts are told apart without being kept.

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{ids::RecordId, sealing::Place, store::Tenant};

/// The logical key under which the fields of a record's lead are sealed.
pub(super) fn logical_key(tenant: &Tenant, record: RecordId) -> String {
    format!("lead/{tenant}/{record}")
}

/// A field below a logical key.
pub(super) fn place<'a>(aggregate: &'a str, field: &'a str) -> Place<'a> {
    Place { aggregate, field }
}

/// A short digest that tells texts apart and shows none of them.
pub(super) fn digest_of(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, text.as_bytes()))
}
