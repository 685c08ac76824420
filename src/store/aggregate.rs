//! How an aggregate becomes a document and back.
//!
//! Promises that a body names its kind's `schema` number, and that fields which this version does not know survive a
//! rewrite (aggregates keep them in a flattened map), so that old and new binaries work side by side.

use serde::{Serialize, de::DeserializeOwned};

use super::{
    commit::{Change, Commit, LeaseChange, Write},
    document::{Document, Key, Kind, Version},
    error::StoreError,
};

/// A type that the store keeps.
pub trait Aggregate: Serialize + DeserializeOwned {
    /// Its kind.
    const KIND: Kind;
    /// The number of its layout. A body with a greater one is not touched.
    const SCHEMA: u32;

    /// The label under which pages, wakes and depths find it.
    fn status(&self) -> &'static str;

    /// What orders it in a page.
    fn created_at(&self) -> jiff::Timestamp;

    /// For receipts: from when on it does not exist.
    fn expires_at(&self) -> Option<jiff::Timestamp> {
        None
    }
}

/// A body that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// Not JSON of that shape. The text of the error may quote values, so it is not kept.
    #[error("a {kind} document is malformed")]
    Malformed {
        /// The kind's name.
        kind: &'static str,
    },
    /// Written by a newer version.
    #[error("a {kind} document has schema {found}, this version knows up to {known}")]
    TooNew {
        /// The kind's name.
        kind: &'static str,
        /// The body's schema.
        found: u32,
        /// Ours.
        known: u32,
    },
}

impl From<CodecError> for StoreError {
    fn from(error: CodecError) -> Self {
        Self::Corrupt(error.to_string())
    }
}

/// The body of `aggregate`, with its schema number.
pub fn encode<A: Aggregate>(aggregate: &A) -> String {
    #[derive(Serialize)]
    struct Body<'a, A> {
        schema: u32,
        #[serde(flatten)]
        aggregate: &'a A,
    }
    #[expect(clippy::expect_used, reason = "aggregates are structs of plain values: serialising them cannot fail")]
    serde_json::to_string(&Body { schema: A::SCHEMA, aggregate }).expect("an aggregate serialises")
}

/// The aggregate in `body`.
pub fn decode<A: Aggregate>(body: &str) -> Result<A, CodecError> {
    #[derive(serde::Deserialize)]
    struct Head {
        schema: u32,
    }
    let malformed = |_| CodecError::Malformed { kind: A::KIND.name() };
    let mut value: serde_json::Value = serde_json::from_str(body).map_err(malformed)?;
    let head: Head = serde::Deserialize::deserialize(&value).map_err(malformed)?;
    if head.schema > A::SCHEMA {
        return Err(CodecError::TooNew { kind: A::KIND.name(), found: head.schema, known: A::SCHEMA });
    }
    if let Some(object) = value.as_object_mut() {
        // `encode` writes it anew; among the kept unknown fields it would stand twice.
        object.remove("schema");
    }
    serde_json::from_value(value).map_err(malformed)
}

/// An aggregate together with what the store keeps beside it.
#[derive(Debug, Clone)]
pub struct Versioned<A> {
    /// The aggregate, perhaps already changed.
    pub value: A,
    /// As it was loaded; its `version` is what a write expects.
    pub document: Document,
}

impl<A: Aggregate> Versioned<A> {
    /// Reads a loaded document.
    pub fn read(document: Document) -> Result<Self, CodecError> {
        Ok(Self { value: decode(&document.body)?, document })
    }

    /// One that is not stored yet.
    pub fn new(value: A) -> Self {
        let document = Document {
            body: String::new(),
            version: 0,
            status: value.status().to_owned(),
            created_at: value.created_at(),
            due: None,
            lease: None,
            slot: None,
        };
        Self { value, document }
    }

    /// The version that was loaded.
    pub fn version(&self) -> Version {
        self.document.version
    }

    /// The write that puts it as it is now over what was loaded.
    pub fn put(&self, id: &str, lease: LeaseChange) -> Write {
        put(id, &self.value, self.expected(), lease)
    }

    /// `commit`, which has this aggregate's [`Versioned::put`] among its writes, is done: from now on this is as if it
    /// had been loaded again.
    pub fn written(&mut self, id: &str, commit: &Commit) {
        let Some(write) = commit.writes.iter().find(|write| write.key.kind == A::KIND && write.key.id == id) else {
            return;
        };
        let Change::Put { body, status, created_at, lease, .. } = &write.change else { return };
        self.document.version = commit.version_after(write.expected);
        self.document.body.clone_from(body);
        self.document.status = status.clone().into_owned();
        self.document.created_at = *created_at;
        match *lease {
            LeaseChange::Take(lease) | LeaseChange::Hold(lease) => self.document.lease = Some(lease),
            LeaseChange::End { due, .. } => (self.document.lease, self.document.due) = (None, due),
            LeaseChange::Leave { due } if self.document.lease.is_none() => self.document.due = due,
            LeaseChange::Leave { .. } => {}
        }
    }

    fn expected(&self) -> Option<Version> {
        (self.document.version > 0).then_some(self.document.version)
    }
}

/// The write that puts `aggregate` under `id`, expecting `expected`.
pub fn put<A: Aggregate>(id: &str, aggregate: &A, expected: Option<Version>, lease: LeaseChange) -> Write {
    Write {
        key: Key::new(A::KIND, id),
        expected,
        change: Change::Put {
            body: encode(aggregate),
            status: aggregate.status().into(),
            created_at: aggregate.created_at(),
            lease,
            expires_at: aggregate.expires_at(),
        },
    }
}
