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
    /// The number of its body's layout, which the body repeats as `schema`. A body with a greater one is left alone.
    const SCHEMA: u32;

    /// The number that this body names: lower than [`Aggregate::SCHEMA`] where a version that knows only that one works
    /// on the body rightly, so that only those bodies wait for the end of a roll-out that have to.
    fn schema(&self) -> u32 {
        Self::SCHEMA
    }

    /// The label under which pages, wakes and depths find it.
    fn status(&self) -> &'static str;

    /// What orders it in a page.
    fn created_at(&self) -> jiff::Timestamp;

    /// Whether a person waits for what is to be done next. It is leased from a lane of its own: work that is not urgent
    /// can neither be ahead of it nor hold its workers.
    fn is_urgent(&self) -> bool {
        false
    }

    /// For receipts: from when on it does not exist.
    fn expires_at(&self) -> Option<jiff::Timestamp> {
        None
    }
}

/// Whether a field need not be written, since reading a body without it makes the same of it. A third of a lead's body
/// would say that nothing is there, in each commit, in the store's memory and in its files. Every release reads a body
/// without those fields: they came after the first one, or are optional.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A body that cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Not JSON of that shape. The text of serde's error may quote values, so it is not kept.
    #[error("a {kind} document is malformed")]
    Malformed {
        /// The kind's name.
        kind: &'static str,
    },
    /// Written by a newer version: its schema number is greater than ours, or a value is none of those that we know.
    #[error("a {kind} document was written by a newer version")]
    TooNew {
        /// The kind's name.
        kind: &'static str,
    },
}

impl From<CodecError> for StoreError {
    fn from(error: CodecError) -> Self {
        match error {
            CodecError::Malformed { .. } => Self::Corrupt(error.to_string()),
            CodecError::TooNew { .. } => Self::TooNew(error.to_string()),
        }
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
    serde_json::to_string(&Body { schema: aggregate.schema(), aggregate }).expect("an aggregate serialises")
}

/// The aggregate in `body`.
pub fn decode<A: Aggregate>(body: &str) -> Result<A, CodecError> {
    #[derive(serde::Deserialize)]
    struct Head {
        schema: u32,
    }
    // `schema` stays out of the aggregate: `encode` writes it anew, and among the kept unknown fields it would stand
    // twice.
    #[derive(serde::Deserialize)]
    struct Body<A> {
        schema: u32,
        #[serde(flatten)]
        aggregate: A,
    }
    if let Some((schema, members)) = after_schema(body)
        && schema <= A::SCHEMA
        && let Ok(aggregate) = serde_json::from_str(&["{", members].concat())
    {
        return Ok(aggregate);
    }
    let kind = A::KIND.name();
    match serde_json::from_str::<Body<A>>(body) {
        Ok(found) if found.schema <= A::SCHEMA => Ok(found.aggregate),
        Ok(_) => Err(CodecError::TooNew { kind }),
        // A newer layout may have another shape.
        Err(error) => match serde_json::from_str::<Head>(body) {
            Ok(head) if head.schema > A::SCHEMA || is_of_unknown_value(&error) => Err(CodecError::TooNew { kind }),
            _ => Err(CodecError::Malformed { kind }),
        },
    }
}

/// The schema number of a body that begins with it, as [`encode`] writes all, and what comes after it. serde reads a
/// flattened member by way of a buffer of all members, with an allocation for each; what is left of such a body is read
/// straight away.
fn after_schema(body: &str) -> Option<(u32, &str)> {
    let (schema, members) = body.strip_prefix(r#"{"schema":"#)?.split_once(',')?;
    let is_number = !schema.starts_with('0') && schema.bytes().all(|digit| digit.is_ascii_digit());
    Some((schema.parse().ok().filter(|_| is_number)?, members))
}

/// Whether an enum has a value that we do not know. A release may add values without a new schema number, since the
/// release before has to go on reading everything else. serde tells the two apart by its words alone.
fn is_of_unknown_value(error: &serde_json::Error) -> bool {
    let words = error.to_string();
    // The second where the enum lies flat among other fields.
    words.starts_with("unknown variant ") || words.starts_with("no variant of enum ")
}

/// An aggregate together with what the store keeps beside it.
#[derive(Debug, Clone)]
pub struct Versioned<A> {
    /// The aggregate, perhaps already changed. Boxed: a lead is more than a kilobyte, and each future that has one at
    /// hand would have room for several, and be moved with them.
    pub value: Box<A>,
    /// As it was loaded; its `version` is what a write expects.
    pub document: Document,
}

impl<A: Aggregate> Versioned<A> {
    /// Reads a loaded document.
    pub fn read(document: Document) -> Result<Self, CodecError> {
        Ok(Self { value: Box::new(decode(&document.body)?), document })
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
            urgent: value.is_urgent(),
        };
        Self { value: Box::new(value), document }
    }

    /// The version that was loaded.
    pub fn version(&self) -> Version {
        self.document.version
    }

    /// The write that puts it as it is now over what was loaded.
    pub fn put(&self, id: &str, lease: LeaseChange) -> Write {
        put(id, &*self.value, self.expected(), lease)
    }

    /// `commit`, which has this aggregate's [`Versioned::put`] among its writes, is done: from now on this is as if it
    /// had been loaded again.
    pub fn written(&mut self, id: &str, commit: &Commit) {
        let Some(write) = commit.writes.iter().find(|write| write.key.kind == A::KIND && write.key.id == id) else {
            return;
        };
        let Change::Put { body, status, created_at, lease, urgent, .. } = &write.change else { return };
        self.document.version = commit.version_after(write.expected);
        self.document.body.clone_from(body);
        self.document.status = status.clone().into_owned();
        self.document.created_at = *created_at;
        self.document.urgent = *urgent;
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
            urgent: aggregate.is_urgent(),
            expires_at: aggregate.expires_at(),
        },
    }
}

/// Puts a member that no version knows into every object of a body, at every level, the innermost first; returns how
/// many objects there are. For the tests of what is kept on a rewrite.
#[cfg(test)]
pub(crate) fn with_unknown_members(body: &mut serde_json::Value) -> usize {
    fn visit(value: &mut serde_json::Value, seen: &mut usize) {
        match value {
            serde_json::Value::Object(members) => {
                members.values_mut().for_each(|member| visit(member, seen));
                *seen += 1;
                members.insert("x_of_a_newer_version".to_owned(), serde_json::json!({ "nested": [*seen] }));
            }
            serde_json::Value::Array(items) => items.iter_mut().for_each(|item| visit(item, seen)),
            _ => {}
        }
    }
    let mut seen = 0;
    visit(body, &mut seen);
    seen
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Thing {
        colour: Colour,
        #[serde(flatten)]
        unknown: serde_json::Map<String, serde_json::Value>,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Colour {
        Red,
        Mixed { parts: Vec<Colour> },
    }

    impl Aggregate for Thing {
        const KIND: Kind = Kind::Lead;
        const SCHEMA: u32 = 2;

        fn status(&self) -> &'static str {
            "pending"
        }

        fn created_at(&self) -> jiff::Timestamp {
            jiff::Timestamp::UNIX_EPOCH
        }
    }

    #[test]
    fn what_a_newer_version_wrote_is_told_from_what_is_malformed() {
        let read = |value: serde_json::Value| decode::<Thing>(&value.to_string());
        let newer = Err(CodecError::TooNew { kind: "lead" });
        let malformed = Err(CodecError::Malformed { kind: "lead" });
        assert!(read(json!({"schema": 2, "colour": "red", "shade": 1})).is_ok(), "an unknown field is kept");
        assert!(read(json!({"schema": 1, "colour": {"mixed": {"parts": ["red"]}}})).is_ok());
        assert_eq!(read(json!({"schema": 3, "colour": "red"})), newer);
        assert_eq!(read(json!({"schema": 3})), newer);
        assert_eq!(read(json!({"schema": 2, "colour": "green"})), newer);
        assert_eq!(read(json!({"schema": 2, "colour": {"mixed": {"parts": ["red", "green"]}}})), newer);
        assert_eq!(read(json!({"schema": 2})), malformed);
        assert_eq!(read(json!({"schema": 2, "colour": 7})), malformed);
        assert_eq!(read(json!({"colour": "red"})), malformed);
        assert_eq!(decode::<Thing>("no JSON"), malformed);
    }

    #[test]
    fn where_the_schema_stands_makes_no_difference() {
        let first = r#"{"schema":2,"colour":"red","shade":{"deep":[1,null]}}"#;
        let thing = decode::<Thing>(first).expect("it is read");
        assert_eq!(encode(&thing), first);
        for other in [
            r#"{"colour":"red","schema":2,"shade":{"deep":[1,null]}}"#,
            r#"{ "schema" : 2 , "colour" : "red" , "shade" : {"deep":[1,null]} }"#,
            r#"{"schema":1,"colour":"red","shade":{"deep":[1,null]}}"#,
        ] {
            assert_eq!(decode::<Thing>(other).as_ref(), Ok(&thing), "{other}");
        }
        assert_eq!(decode::<Thing>(r#"{"schema":3,"colour":"red"}"#), Err(CodecError::TooNew { kind: "lead" }));
        for malformed in [
            r#"{"schema":2,}"#,
            r#"{"schema":2,"colour":"red""#,
            r#"{"schema":-1,"colour":"red"}"#,
            r#"{"schema":+1,"colour":"red"}"#,
            r#"{"schema":01,"colour":"red"}"#,
        ] {
            assert_eq!(decode::<Thing>(malformed), Err(CodecError::Malformed { kind: "lead" }), "{malformed}");
        }
    }

    #[test]
    fn what_is_not_known_survives_a_rewrite() {
        let body = json!({"schema": 2, "colour": "red", "shade": {"deep": [1, null]}});
        let thing = decode::<Thing>(&body.to_string()).expect("it is read");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&encode(&thing)).expect("JSON"), body);
    }
}
