//! Notes on records.
//!
//! Owns notes. Promises none of what Attio does not: two equal requests make two notes.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    errors::{invalid, not_found},
    handle::Attio,
    records::attio_time,
    state::{Note, State},
};
use crate::wire::{Reply, Request};

/// The most of one page, and as many as are shown if nothing is said.
const MOST: usize = 50;
const UNLESS_SAID: usize = 10;

impl State {
    fn note_shown(&self, note: &Note) -> Value {
        json!({
            "id": { "workspace_id": self.settings.workspace_id, "note_id": note.note_id },
            "parent_object": "people",
            "parent_record_id": note.parent_record_id,
            "title": note.title,
            "meeting_id": null,
            "content_plaintext": plaintext(&note.content),
            "content_markdown": note.content,
            "tags": [],
            "created_by_actor": { "type": "app", "id": null },
            "created_at": attio_time(note.created_at),
        })
    }

    pub(super) fn create_note(&mut self, request: &Request, now: Timestamp) -> Reply {
        let body = request.json();
        let text = |name: &str| body["data"][name].as_str();
        let needed = ["parent_object", "parent_record_id", "title", "format", "content"];
        if let Some(missing) = needed.iter().find(|name| text(name).is_none()) {
            return invalid(400, "validation_type", &format!("Body payload validation error: {missing} is required."));
        }
        let said = |name: &str| text(name).unwrap_or_default().to_owned();
        if !["plaintext", "markdown"].contains(&said("format").as_str()) {
            return invalid(400, "validation_type", "Body payload validation error: format is not known.");
        }
        if let Err(refusal) = self.object_known(&said("parent_object")) {
            return refusal;
        }
        let record = said("parent_record_id");
        if !self.records.contains_key(&record) {
            return not_found(&format!("Record with ID \"{record}\" not found."));
        }
        let note = Note {
            note_id: uuid::Uuid::new_v4().to_string(),
            parent_record_id: record,
            title: said("title"),
            content: said("content"),
            created_at: now,
        };
        let shown = self.note_shown(&note);
        self.notes.push(note);
        Reply::json(200, &json!({ "data": shown }))
    }

    pub(super) fn list_notes(&self, request: &Request) -> Reply {
        let query = request.query_pairs();
        let number = |name: &str, or: usize| query.get(name).and_then(|text| text.parse().ok()).unwrap_or(or);
        if let Some(object) = query.get("parent_object")
            && let Err(refusal) = self.object_known(object)
        {
            return refusal;
        }
        let limit = number("limit", UNLESS_SAID);
        if limit > MOST {
            return invalid(400, "validation_type", "Query validation error: limit must be at most 50.");
        }
        let of_record =
            |note: &&Note| query.get("parent_record_id").is_none_or(|record| *record == note.parent_record_id);
        // The newest first.
        let found = self.notes.iter().rev().filter(of_record).skip(number("offset", 0)).take(limit);
        Reply::json(200, &json!({ "data": found.map(|note| self.note_shown(note)).collect::<Vec<_>>() }))
    }

    pub(super) fn get_note(&self, note_id: &str) -> Reply {
        self.notes.iter().find(|note| note.note_id == note_id).map_or_else(
            || not_found(&format!("Note with ID \"{note_id}\" was not found.")),
            |note| Reply::json(200, &json!({ "data": self.note_shown(note) })),
        )
    }

    pub(super) fn delete_note(&mut self, note_id: &str) -> Reply {
        let before = self.notes.len();
        self.notes.retain(|note| note.note_id != note_id);
        if self.notes.len() == before {
            return not_found(&format!("Note with ID \"{note_id}\" was not found."));
        }
        Reply::json(200, &json!({}))
    }
}

/// The text without the marks of headings, lists and emphasis.
fn plaintext(markdown: &str) -> String {
    let line = |line: &str| line.trim_start_matches(['#', '-', '>', ' ']).replace(['*', '_', '`', '\\'], "");
    markdown.lines().map(line).collect::<Vec<_>>().join("\n")
}

impl Attio {
    /// The notes on a record, oldest first.
    pub fn notes(&self, record_id: &str) -> Vec<Note> {
        let state = self.shared.state();
        state.notes.iter().filter(|note| note.parent_record_id == record_id).cloned().collect()
    }

    /// Puts a note on a record, as a person in Attio would.
    pub fn add_note(&self, record_id: &str, title: &str, content: &str) {
        let note = Note {
            note_id: uuid::Uuid::new_v4().to_string(),
            parent_record_id: record_id.to_owned(),
            title: title.to_owned(),
            content: content.to_owned(),
            created_at: self.shared.time.now(),
        };
        self.shared.state().notes.push(note);
    }
}
