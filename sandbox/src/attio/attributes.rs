//! The attributes of people, and the options of selects.
//!
//! Owns the schema. Promises that nothing is created by writing a value: an option or attribute that is not there is a
//! 400.

use serde_json::{Value, json};

use super::{
    errors::{invalid, not_found},
    handle::Attio,
    state::{Attribute, SelectOption, State},
};
use crate::wire::{Reply, Request};

impl Attribute {
    pub(super) fn new(slug: &str, title: &str, kind: &str) -> Self {
        Self {
            attribute_id: uuid::Uuid::new_v4().to_string(),
            title: title.to_owned(),
            description: None,
            api_slug: slug.to_owned(),
            kind: kind.to_owned(),
            is_multiselect: false,
            is_unique: false,
            is_archived: false,
            is_system: false,
            options: Vec::new(),
        }
    }

    /// An option by title or id that can be written.
    pub(super) fn option(&self, named: &str) -> Option<&SelectOption> {
        let mut usable = self.options.iter().filter(|option| !option.is_archived);
        usable.find(|option| option.title == named || option.option_id == named)
    }

    pub(super) fn add_option(&mut self, title: &str) -> SelectOption {
        let option_id = uuid::Uuid::new_v4().to_string();
        let option = SelectOption { option_id, title: title.to_owned(), is_archived: false };
        self.options.push(option.clone());
        option
    }
}

impl State {
    pub(super) fn preset_attributes(&mut self) {
        let mut status = Attribute::new("alc_status", "ALC status", "select");
        for title in ["Pending", "Complete", "Failed"] {
            status.add_option(title);
        }
        self.attributes = vec![
            Attribute { is_system: true, ..Attribute::new("name", "Name", "personal-name") },
            Attribute {
                is_system: true,
                is_multiselect: true,
                ..Attribute::new("phone_numbers", "Phone numbers", "phone-number")
            },
            Attribute {
                is_system: true,
                is_multiselect: true,
                is_unique: true,
                ..Attribute::new("email_addresses", "Email addresses", "email-address")
            },
            status,
            Attribute::new("alc_lead_id", "ALC lead", "text"),
            Attribute::new("alc_result", "ALC result", "text"),
        ];
    }

    /// An attribute by slug or id, archived or not.
    pub(super) fn attribute(&self, named: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.api_slug == named || attribute.attribute_id == named)
    }

    pub(super) fn attribute_mut(&mut self, named: &str) -> Option<&mut Attribute> {
        self.attributes.iter_mut().find(|attribute| attribute.api_slug == named || attribute.attribute_id == named)
    }

    /// `owner` is the object or the list that has it.
    pub(super) fn attribute_shown(&self, owner: &str, attribute: &Attribute) -> Value {
        json!({
            "id": {
                "workspace_id": self.settings.workspace_id,
                "object_id": owner,
                "attribute_id": attribute.attribute_id,
            },
            "title": attribute.title,
            "description": attribute.description,
            "api_slug": attribute.api_slug,
            "type": attribute.kind,
            "is_system_attribute": attribute.is_system,
            "is_writable": true,
            "is_required": false,
            "is_unique": attribute.is_unique,
            "is_multiselect": attribute.is_multiselect,
            "is_default_value_enabled": false,
            "is_archived": attribute.is_archived,
            "default_value": null,
            "relationship": null,
            "created_at": "2026-01-02T13:22:49.061281000Z",
            "config": {
                "currency": { "default_currency_code": null, "display_type": null },
                "record_reference": { "allowed_object_ids": null },
            },
        })
    }

    pub(super) fn option_shown(&self, owner: &str, attribute: &Attribute, option: &SelectOption) -> Value {
        json!({
            "id": {
                "workspace_id": self.settings.workspace_id,
                "object_id": owner,
                "attribute_id": attribute.attribute_id,
                "option_id": option.option_id,
            },
            "title": option.title,
            "is_archived": option.is_archived,
        })
    }

    pub(super) fn list_attributes(&self, request: &Request) -> Reply {
        let query = request.query_pairs();
        let archived = query.get("show_archived").is_some_and(|value| value == "true");
        let number = |name: &str, or: usize| query.get(name).and_then(|text| text.parse().ok()).unwrap_or(or);
        let shown: Vec<_> = self
            .attributes
            .iter()
            .filter(|attribute| archived || !attribute.is_archived)
            .skip(number("offset", 0))
            .take(number("limit", usize::MAX))
            .map(|attribute| self.attribute_shown(&self.object_id, attribute))
            .collect();
        Reply::json(200, &json!({ "data": shown }))
    }

    pub(super) fn get_attribute(&self, named: &str) -> Reply {
        self.attribute(named).map_or_else(
            || no_attribute(named),
            |attribute| Reply::json(200, &json!({ "data": self.attribute_shown(&self.object_id, attribute) })),
        )
    }

    pub(super) fn create_attribute(&mut self, request: &Request) -> Reply {
        let data = &request.json()["data"];
        let needed =
            ["title", "description", "api_slug", "type", "is_required", "is_unique", "is_multiselect", "config"];
        if let Some(missing) = needed.iter().find(|name| data.get(**name).is_none()) {
            return invalid(400, "validation_type", &format!("Body payload validation error: {missing} is required."));
        }
        let text = |name: &str| data[name].as_str().unwrap_or_default();
        let (slug, kind) = (text("api_slug"), text("type"));
        if kind == "status" {
            return invalid(400, "validation_type", "Attributes of type \"status\" are not supported on objects.");
        }
        if self.attributes.iter().any(|attribute| attribute.api_slug == slug) {
            return invalid(
                409,
                "slug_conflict",
                "An attribute with the same API slug already exists on this object. Please choose a different API slug.",
            );
        }
        let mut attribute = Attribute::new(slug, text("title"), kind);
        attribute.description = data["description"].as_str().map(str::to_owned);
        attribute.is_multiselect = data["is_multiselect"] == json!(true);
        let shown = self.attribute_shown(&self.object_id, &attribute);
        self.attributes.push(attribute);
        Reply::json(200, &json!({ "data": shown }))
    }

    pub(super) fn list_options(&self, named: &str, request: &Request) -> Reply {
        let archived = request.query_pairs().get("show_archived").is_some_and(|value| value == "true");
        let Some(attribute) = self.attribute(named) else { return no_attribute(named) };
        let shown: Vec<_> = attribute
            .options
            .iter()
            .filter(|option| archived || !option.is_archived)
            .map(|option| self.option_shown(&self.object_id, attribute, option))
            .collect();
        Reply::json(200, &json!({ "data": shown }))
    }

    pub(super) fn create_option(&mut self, named: &str, request: &Request) -> Reply {
        let json = request.json();
        let title = json["data"]["title"].as_str().unwrap_or_default();
        let Some(attribute) = self.attribute_mut(named) else { return no_attribute(named) };
        if attribute.kind != "select" {
            return invalid(400, "validation_type", "This attribute is not a select attribute.");
        }
        if title.is_empty() {
            return invalid(400, "validation_type", "Body payload validation error: title is required.");
        }
        if attribute.options.iter().any(|option| option.title == title) {
            let message = format!("There is already another select option with the title \"{title}\".");
            return invalid(409, "slug_conflict", &message);
        }
        let option = attribute.add_option(title);
        let attribute = attribute.clone();
        Reply::json(200, &json!({ "data": self.option_shown(&self.object_id, &attribute, &option) }))
    }
}

impl State {
    /// Renames, archives or restores an option, named by id or title.
    pub(super) fn update_option(&mut self, named: &str, option: &str, request: &Request) -> Reply {
        let json = request.json();
        let Some(attribute) = self.attribute_mut(named) else { return no_attribute(named) };
        let found = attribute.options.iter_mut().find(|known| known.title == option || known.option_id == option);
        let Some(found) = found else {
            let message = format!("Cannot find select attribute with select option title \"{option}\".");
            return invalid(400, "value_not_found", &message);
        };
        if let Some(archived) = json["data"]["is_archived"].as_bool() {
            found.is_archived = archived;
        }
        if let Some(title) = json["data"]["title"].as_str() {
            title.clone_into(&mut found.title);
        }
        let (found, attribute) = (found.clone(), attribute.clone());
        Reply::json(200, &json!({ "data": self.option_shown(&self.object_id, &attribute, &found) }))
    }
}

fn no_attribute(named: &str) -> Reply {
    not_found(&format!("Attribute with slug/ID \"{named}\" not found."))
}

impl Attio {
    /// The attributes of people.
    pub fn attributes(&self) -> Vec<Attribute> {
        self.shared.state().attributes.clone()
    }

    /// Takes the three attributes of ALC away, as in a workspace that never heard of it.
    pub fn remove_alc_attributes(&self) {
        self.shared.state().attributes.retain(|attribute| !attribute.api_slug.starts_with("alc_"));
    }

    /// Adds an attribute, or changes the one with this slug.
    pub fn set_attribute(&self, slug: &str, kind: &str, change: impl FnOnce(&mut Attribute)) {
        let mut state = self.shared.state();
        if state.attribute(slug).is_none() {
            state.attributes.push(Attribute::new(slug, slug, kind));
        }
        if let Some(attribute) = state.attribute_mut(slug) {
            kind.clone_into(&mut attribute.kind);
            change(attribute);
        }
    }
}
