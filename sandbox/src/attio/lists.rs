//! Lists of people, with their attributes and entries.
//!
//! Owns entries. Promises that a write is taken whole or refused whole, that an assertion finds the entry of its
//! record, and that each entry that is made is told to the webhooks that ask for it, as Attio does.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    errors::{invalid, not_found},
    handle::Attio,
    records::{attio_time, plain},
    state::{Attribute, Change, Entry, List, SelectOption, Shared, State},
};
use crate::wire::{Reply, Request};

impl Entry {
    fn set(&mut self, slug: &str, values: Vec<Value>, at: Timestamp) {
        let shown = |values: Option<&Vec<Value>>| values.and_then(|values| plain(values.first()?));
        let before = shown(self.values.get(slug));
        let value = shown(Some(&values));
        self.values.insert(slug.to_owned(), values);
        if value != before {
            self.changes.push(Change { slug: slug.to_owned(), value, at });
        }
    }
}

/// What the routes do with lists.
impl State {
    fn list(&self, named: &str) -> Result<&List, Reply> {
        let found = self.lists.iter().find(|list| list.list_id == named || list.api_slug == named);
        found.ok_or_else(|| not_found(&format!("List with slug/ID \"{named}\" not found.")))
    }

    fn list_mut(&mut self, list_id: &str) -> Option<&mut List> {
        self.lists.iter_mut().find(|list| list.list_id == list_id)
    }

    fn list_shown(&self, list: &List) -> Value {
        json!({
            "id": { "workspace_id": self.settings.workspace_id, "list_id": list.list_id },
            "api_slug": list.api_slug,
            "name": list.name,
            "parent_object": list.parent_object,
            "workspace_access": "full-access",
            "workspace_member_access": [],
            "created_by_actor": { "type": "workspace-member", "id": MEMBER },
            "created_at": attio_time(list.created_at),
        })
    }

    fn entry_shown(&self, list: &List, entry: &Entry) -> Value {
        json!({
            "id": {
                "workspace_id": self.settings.workspace_id,
                "list_id": list.list_id,
                "entry_id": entry.entry_id,
            },
            "parent_record_id": entry.parent_record_id,
            "parent_object": "people",
            "created_at": attio_time(entry.created_at),
            "entry_values": entry.values,
        })
    }

    pub(super) fn status_shown(&self, owner: &str, attribute: &Attribute, status: &SelectOption) -> Value {
        json!({
            "id": {
                "workspace_id": self.settings.workspace_id,
                "object_id": owner,
                "attribute_id": attribute.attribute_id,
                "status_id": status.option_id,
            },
            "title": status.title,
            "is_archived": status.is_archived,
            "celebration_enabled": false,
            "target_time_in_status": null,
        })
    }

    pub(super) fn list_lists(&self) -> Reply {
        let shown: Vec<_> = self.lists.iter().map(|list| self.list_shown(list)).collect();
        Reply::json(200, &json!({ "data": shown }))
    }

    pub(super) fn get_list(&self, named: &str) -> Reply {
        self.list(named)
            .map_or_else(|refusal| refusal, |list| Reply::json(200, &json!({ "data": self.list_shown(list) })))
    }

    /// `GET /v2/lists/{list}/attributes`, `…/{attribute}`, `…/{attribute}/options`, `…/{attribute}/statuses`.
    pub(super) fn read_list_attributes(&self, named: &str, below: &[&str], request: &Request) -> Reply {
        let list = match self.list(named) {
            Ok(list) => list,
            Err(refusal) => return refusal,
        };
        let archived = request.query_pairs().get("show_archived").is_some_and(|value| value == "true");
        let shown = |attribute: &Attribute| self.attribute_shown(&list.list_id, attribute);
        let Some(slug) = below.first() else {
            let all = list.attributes.iter().filter(|attribute| archived || !attribute.is_archived);
            return Reply::json(200, &json!({ "data": all.map(shown).collect::<Vec<_>>() }));
        };
        let named = |attribute: &&Attribute| attribute.api_slug == *slug || attribute.attribute_id == *slug;
        let Some(attribute) = list.attributes.iter().find(named) else {
            return not_found(&format!("Attribute with slug/ID \"{slug}\" not found."));
        };
        let options = attribute.options.iter().filter(|option| archived || !option.is_archived);
        let data = match (below.get(1).copied(), attribute.kind.as_str()) {
            (None, _) => shown(attribute),
            (Some("options"), "select") => {
                options.map(|option| self.option_shown(&list.list_id, attribute, option)).collect()
            }
            (Some("statuses"), "status") => {
                options.map(|status| self.status_shown(&list.list_id, attribute, status)).collect()
            }
            (Some(wanted), _) => {
                let wanted = if wanted == "options" { "select" } else { "status" };
                return invalid(400, "validation_type", &format!("This attribute is not a {wanted} attribute."));
            }
        };
        Reply::json(200, &json!({ "data": data }))
    }

    /// Makes an entry (`POST`), or finds the one of that record first (`PUT`); and its event, if it was made.
    pub(super) fn write_entry(&mut self, named: &str, request: &Request, now: Timestamp) -> (Reply, Option<Value>) {
        match self.try_write_entry(named, request, now) {
            Ok((list_id, entry_id, is_new)) => {
                let reply = self.get_entry(&list_id, &entry_id);
                let actor = json!({ "type": "app", "id": "7c4d3a4e-9b52-4f0f-8d4e-2f3a1b5c6d7e" });
                (reply, is_new.then(|| self.entry_event(&list_id, &entry_id, &actor)))
            }
            Err(refusal) => (refusal, None),
        }
    }

    fn try_write_entry(
        &mut self,
        named: &str,
        request: &Request,
        now: Timestamp,
    ) -> Result<(String, String, bool), Reply> {
        let list = self.list(named)?;
        let list_id = list.list_id.clone();
        let body = request.json();
        let data = &body["data"];
        let text = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
        let (record, object) = (text("parent_record_id"), text("parent_object"));
        self.object_known(&object)?;
        if !list.parent_object.iter().any(|allowed| allowed == "people") {
            return Err(invalid(400, "validation_type", "Records of this object cannot be added to this list."));
        }
        if !self.records.contains_key(&record) {
            let message = format!("Parent record with slug/ID \"{record}\" not found.");
            return Err(invalid(400, "value_not_found", &message));
        }
        let parsed = self.parse_all(&list_id, &list.attributes, &data["entry_values"], now)?;
        let found: Vec<_> = list.entries.iter().filter(|entry| entry.parent_record_id == record).collect();
        let asserted = request.method == "PUT";
        if asserted && found.len() > 1 {
            let message = "Multiple entries were found for the given parent record.";
            return Err(invalid(400, "multiple_match_results", message));
        }
        let existing = found.first().filter(|_| asserted).map(|entry| entry.entry_id.clone());
        let is_new = existing.is_none();
        let entry_id = existing.unwrap_or_else(|| self.add_entry(&list_id, &record, now));
        let entries = self.list_mut(&list_id).into_iter().flat_map(|list| &mut list.entries);
        for entry in entries.filter(|entry| entry.entry_id == entry_id) {
            for (attribute, values) in &parsed {
                entry.set(&attribute.api_slug, values.clone(), now);
            }
        }
        Ok((list_id, entry_id, is_new))
    }

    fn add_entry(&mut self, list_id: &str, record_id: &str, now: Timestamp) -> String {
        let entry_id = uuid::Uuid::new_v4().to_string();
        let entry = Entry {
            entry_id: entry_id.clone(),
            parent_record_id: record_id.to_owned(),
            created_at: now,
            values: Default::default(),
            changes: Vec::new(),
        };
        if let Some(list) = self.list_mut(list_id) {
            list.entries.push(entry);
        }
        entry_id
    }

    pub(super) fn get_entry(&self, named: &str, entry_id: &str) -> Reply {
        let list = match self.list(named) {
            Ok(list) => list,
            Err(refusal) => return refusal,
        };
        list.entries.iter().find(|entry| entry.entry_id == entry_id).map_or_else(
            || not_found(&format!("Entry with ID \"{entry_id}\" not found.")),
            |entry| Reply::json(200, &json!({ "data": self.entry_shown(list, entry) })),
        )
    }

    /// `GET /v2/objects/people/records/{record_id}/entries`.
    pub(super) fn list_record_entries(&self, record_id: &str) -> Reply {
        let of_list = |list: &List| {
            let of_record = |entry: &&Entry| entry.parent_record_id == record_id;
            let shown = |entry: &Entry| {
                json!({
                    "list_id": list.list_id,
                    "list_api_slug": list.api_slug,
                    "entry_id": entry.entry_id,
                    "created_at": attio_time(entry.created_at),
                })
            };
            list.entries.iter().filter(of_record).map(shown).collect::<Vec<_>>()
        };
        let found: Vec<_> = self.lists.iter().flat_map(of_list).collect();
        Reply::json(200, &json!({ "data": found }))
    }

    fn entry_event(&self, list_id: &str, entry_id: &str, actor: &Value) -> Value {
        let list = self.list(list_id).ok();
        let entry = list.and_then(|list| list.entries.iter().find(|entry| entry.entry_id == entry_id));
        json!({
            "event_type": "list-entry.created",
            "id": { "workspace_id": self.settings.workspace_id, "list_id": list_id, "entry_id": entry_id },
            "parent_object_id": self.object_id,
            "parent_record_id": entry.map(|entry| &entry.parent_record_id),
            "actor": actor,
        })
    }
}

/// A person who works in the workspace.
const MEMBER: &str = "50cf242c-7fa3-4cad-87d0-75b1af71c57b";

/// What the switches over HTTP and a test do alike.
impl Shared {
    /// Adds a list of people with one status attribute, `stage`; the list's id.
    pub(super) fn add_list(&self, slug: &str, stages: &[&str]) -> String {
        let list_id = uuid::Uuid::new_v4().to_string();
        let mut stage = Attribute::new("stage", "Stage", "status");
        for title in stages {
            stage.add_option(title);
        }
        let list = List {
            list_id: list_id.clone(),
            api_slug: slug.to_owned(),
            name: slug.to_owned(),
            parent_object: vec!["people".to_owned()],
            attributes: vec![stage],
            entries: Vec::new(),
            created_at: self.time.now(),
        };
        self.state().lists.push(list);
        list_id
    }

    /// Puts a person into a list, as a person in Attio would: the event; `None`: there is no such list.
    pub(super) fn add_entry(&self, named: &str, record_id: &str) -> Option<Value> {
        let now = self.time.now();
        let mut state = self.state();
        let list_id = state.list(named).ok()?.list_id.clone();
        let entry_id = state.add_entry(&list_id, record_id, now);
        let event = state.entry_event(&list_id, &entry_id, &json!({ "type": "workspace-member", "id": MEMBER }));
        drop(state);
        self.touched();
        Some(event)
    }
}

/// What a test does and sees of lists.
impl Attio {
    /// Adds a list of people with one status attribute, `stage`; the list's id.
    pub fn add_list(&self, slug: &str, stages: &[&str]) -> String {
        self.shared.add_list(slug, stages)
    }

    /// Changes a list, named by slug or id: its attributes, its stages, its name.
    ///
    /// # Panics
    /// Without such a list.
    pub fn change_list(&self, named: &str, change: impl FnOnce(&mut List)) {
        let mut state = self.shared.state();
        let found = state.lists.iter_mut().find(|list| list.list_id == named || list.api_slug == named);
        change(found.expect("a list to change"));
    }

    /// The lists, with their entries.
    pub fn lists(&self) -> Vec<List> {
        self.shared.state().lists.clone()
    }

    /// The entries of a list, named by slug or id.
    pub fn entries(&self, named: &str) -> Vec<Entry> {
        self.shared.state().list(named).map(|list| list.entries.clone()).unwrap_or_default()
    }

    /// A person's entries of a list.
    pub fn entries_of(&self, named: &str, record_id: &str) -> Vec<Entry> {
        let state = self.shared.state();
        let entries = state.list(named).into_iter().flat_map(|list| &list.entries);
        entries.filter(|entry| entry.parent_record_id == record_id).cloned().collect()
    }

    /// What a person's first entry of a list shows in an attribute now.
    pub fn entry_value(&self, named: &str, record_id: &str, slug: &str) -> Option<String> {
        let entry = self.entries_of(named, record_id).into_iter().next()?;
        plain(entry.values.get(slug)?.first()?)
    }

    /// Puts a person into a list, as a person in Attio would, without telling any webhook: the event that would.
    ///
    /// # Panics
    /// Without such a list.
    pub fn add_entry_silently(&self, named: &str, record_id: &str) -> Value {
        self.shared.add_entry(named, record_id).expect("a list")
    }

    /// As [`Attio::add_entry_silently`], and tells of it; the statuses of those that were told.
    pub async fn add_entry(&self, named: &str, record_id: &str) -> Vec<u16> {
        let event = self.add_entry_silently(named, record_id);
        self.deliver(vec![event]).await
    }
}
