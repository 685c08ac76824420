//! What the pretend Attio keeps of one workspace: tokens, attributes, people with their history, webhooks.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use super::settings::Settings;
use crate::ambient::Time;

/// What the routes and the handle share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    pub(super) time: Time,
    pub(super) changed: watch::Sender<u64>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) settings: Settings,
    pub(super) object_id: String,
    pub(super) tokens: BTreeMap<String, Token>,
    pub(super) codes: BTreeMap<String, String>,
    pub(super) attributes: Vec<Attribute>,
    pub(super) records: BTreeMap<String, Record>,
    pub(super) webhooks: Vec<Webhook>,
    #[serde(default)]
    pub(super) lists: Vec<List>,
    #[serde(default)]
    pub(super) notes: Vec<Note>,
    /// The clock second that is counted, and what came in it: writes, reads.
    pub(super) window: (i64, u32, u32),
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn touched(&self) {
        self.changed.send_modify(|version| *version += 1);
    }
}

/// An option of a select attribute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SelectOption {
    /// Its id.
    pub option_id: String,
    /// Its title.
    pub title: String,
    /// Whether it is archived; then it can't be written.
    pub is_archived: bool,
}

/// An attribute of people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attribute {
    /// Its id.
    pub attribute_id: String,
    /// Its title.
    pub title: String,
    /// Its description.
    pub description: Option<String>,
    /// Its slug.
    pub api_slug: String,
    /// `text`, `select`, …
    pub kind: String,
    /// Whether it can hold several values.
    pub is_multiselect: bool,
    /// Whether no two records may have the same value.
    pub is_unique: bool,
    /// Whether it is archived; then it can't be written.
    pub is_archived: bool,
    /// Whether Attio made it.
    pub is_system: bool,
    /// The options, of a select.
    pub options: Vec<SelectOption>,
}

/// One change of one attribute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The attribute.
    pub slug: String,
    /// The value, plainly; none when it was cleared.
    pub value: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// A person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// When it was added.
    pub created_at: Timestamp,
    /// Its values by slug, in Attio's shape.
    pub values: BTreeMap<String, Vec<Value>>,
    /// Every change since it was added, in order.
    pub changes: Vec<Change>,
}

/// A list of people: a pipeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct List {
    /// Its id.
    pub list_id: String,
    /// Its slug.
    pub api_slug: String,
    /// Its name.
    pub name: String,
    /// What may be in it: slugs of objects.
    pub parent_object: Vec<String>,
    /// Its attributes, of which the statuses are kept as options.
    pub attributes: Vec<Attribute>,
    /// Its entries, in the order in which they were made.
    pub entries: Vec<Entry>,
    pub(super) created_at: Timestamp,
}

/// A person in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its id.
    pub entry_id: String,
    /// The person.
    pub parent_record_id: String,
    /// When it was added.
    pub created_at: Timestamp,
    /// Its values by slug, in Attio's shape.
    pub values: BTreeMap<String, Vec<Value>>,
    /// Every change since it was added, in order.
    pub changes: Vec<Change>,
}

/// A note on a record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// Its id.
    pub note_id: String,
    /// The record.
    pub parent_record_id: String,
    /// Its title.
    pub title: String,
    /// What it says, in markdown.
    pub content: String,
    pub(super) created_at: Timestamp,
}

/// An access token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Token {
    pub(super) workspace_id: String,
    pub(super) member_id: String,
    pub(super) issued_at: i64,
    pub(super) active: bool,
    /// Had at the token endpoint.
    pub(super) by_code: bool,
}

/// A subscription.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Webhook {
    /// Its id.
    pub webhook_id: String,
    /// Where Attio delivers.
    pub target_url: String,
    /// What it delivers.
    pub subscriptions: Value,
    /// What it signs with.
    pub secret: String,
    pub(super) created_at: Timestamp,
}
