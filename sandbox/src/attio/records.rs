//! People records, with the history of their values.
//!
//! Owns values. Promises that a PATCH is taken whole or refused whole, that attributes not named stay as they are, and
//! that each change is kept in order.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    errors::{invalid, not_found},
    state::{Attribute, Change, Record, State},
};
use crate::wire::{Reply, Request};

impl Record {
    /// The first value of an attribute, plainly.
    pub(super) fn plain(&self, slug: &str) -> Option<String> {
        let value = self.values.get(slug)?.first()?;
        let plain = [&value["value"], &value["option"]["title"], &value["full_name"], &value["phone_number"]];
        plain.into_iter().find_map(Value::as_str).map(str::to_owned)
    }

    fn set(&mut self, slug: &str, values: Vec<Value>, at: Timestamp) {
        let before = self.plain(slug);
        self.values.insert(slug.to_owned(), values);
        let value = self.plain(slug);
        if value != before {
            self.changes.push(Change { slug: slug.to_owned(), value, at });
        }
    }
}

/// What every value carries beside itself.
fn value_of(kind: &str, now: Timestamp, own: &Value) -> Value {
    let mut value = json!({
        "active_from": attio_time(now),
        "active_until": null,
        "created_by_actor": { "type": "api-token", "id": null },
        "attribute_type": kind,
    });
    for (name, field) in own.as_object().into_iter().flatten() {
        value[name.as_str()] = field.clone();
    }
    value
}

/// Enough of the world for test numbers; Attio always names a country.
fn country_of(phone_number: &str) -> &'static str {
    const CODES: &[(&str, &str)] = &[("+49", "DE"), ("+44", "GB"), ("+33", "FR"), ("+43", "AT"), ("+41", "CH")];
    CODES.iter().find(|(code, _)| phone_number.starts_with(code)).map_or("US", |(_, country)| country)
}

/// Nine digits of a second, as Attio writes times.
pub(super) fn attio_time(at: Timestamp) -> String {
    format!("{at:.9}")
}

impl State {
    pub(super) fn add_person(&mut self, name: &str, phone_number: &str, now: Timestamp) -> String {
        let (first_name, last_name) = name.split_once(' ').unwrap_or((name, ""));
        let name = json!({ "first_name": first_name, "last_name": last_name, "full_name": name });
        let phone = json!({ "original_phone_number": phone_number, "country_code": country_of(phone_number), "phone_number": phone_number });
        let values = BTreeMap::from([
            ("name".to_owned(), vec![value_of("personal-name", now, &name)]),
            ("phone_numbers".to_owned(), vec![value_of("phone-number", now, &phone)]),
        ]);
        let record_id = uuid::Uuid::new_v4().to_string();
        self.records.insert(record_id.clone(), Record { created_at: now, values, changes: Vec::new() });
        record_id
    }

    pub(super) fn edit(&mut self, record_id: &str, slug: &str, value: &str, now: Timestamp) {
        if let Some(attribute) = self.attribute_mut(slug)
            && attribute.kind == "select"
            && !attribute.options.iter().any(|option| option.title == value)
        {
            attribute.add_option(value);
        }
        let values = self.attribute(slug).and_then(|attribute| self.parse(attribute, &json!([value]), now).ok());
        if let (Some(values), Some(record)) = (values, self.records.get_mut(record_id)) {
            record.set(slug, values, now);
        }
    }

    pub(super) fn object_known(&self, object: &str) -> Result<(), Reply> {
        if object == "people" || object == self.object_id {
            return Ok(());
        }
        Err(not_found(&format!("Object with slug/ID \"{object}\" not found.")))
    }

    pub(super) fn get_record(&self, record_id: &str) -> Reply {
        self.records.get(record_id).map_or_else(
            || no_record(record_id),
            |record| Reply::json(200, &json!({ "data": self.record_shown(record_id, record) })),
        )
    }

    fn record_shown(&self, record_id: &str, record: &Record) -> Value {
        let mut values = json!(record.values);
        // Attio names every attribute, also those without a value.
        for attribute in self.attributes.iter().filter(|attribute| !attribute.is_archived) {
            if values.get(&attribute.api_slug).is_none() {
                values[&attribute.api_slug] = json!([]);
            }
        }
        json!({
            "id": {
                "workspace_id": self.settings.workspace_id,
                "object_id": self.object_id,
                "record_id": record_id,
            },
            "created_at": attio_time(record.created_at),
            "web_url": format!("https://app.attio.com/sandbox-workspace/person/{record_id}"),
            "values": values,
        })
    }

    pub(super) fn patch_record(&mut self, record_id: &str, request: &Request, now: Timestamp) -> Reply {
        if !self.records.contains_key(record_id) {
            return no_record(record_id);
        }
        let body = request.json();
        let Some(values) = body["data"]["values"].as_object() else {
            return invalid(400, "validation_type", "Body payload validation error: data.values must be an object.");
        };
        let mut parsed = Vec::new();
        for (slug, written) in values {
            let Some(attribute) = self.attribute(slug).filter(|attribute| !attribute.is_archived) else {
                return invalid(400, "value_not_found", &format!("Cannot find attribute with slug/ID \"{slug}\"."));
            };
            match self.parse(attribute, written, now) {
                Ok(values) => parsed.push((attribute.api_slug.clone(), values)),
                Err(refusal) => return refusal,
            }
        }
        if let Some(record) = self.records.get_mut(record_id) {
            for (slug, values) in parsed {
                record.set(&slug, values, now);
            }
        }
        self.get_record(record_id)
    }

    /// Reads what was written for one attribute; the refusal is Attio's.
    fn parse(&self, attribute: &Attribute, written: &Value, now: Timestamp) -> Result<Vec<Value>, Reply> {
        let slug = &attribute.api_slug;
        let wrong =
            || invalid(400, "validation_type", &format!("Invalid value was passed to attribute with slug \"{slug}\"."));
        let items = written.as_array().ok_or_else(wrong)?;
        if items.len() > 1 && !attribute.is_multiselect {
            return Err(wrong());
        }
        items
            .iter()
            .map(|item| match attribute.kind.as_str() {
                "text" => {
                    let text = item.as_str().or_else(|| item["value"].as_str()).ok_or_else(wrong)?;
                    Ok(value_of("text", now, &json!({ "value": text })))
                }
                "select" => {
                    let title = item.as_str().or_else(|| item["option"].as_str()).ok_or_else(wrong)?;
                    let option = attribute
                        .options
                        .iter()
                        .find(|option| (option.title == title || option.option_id == title) && !option.is_archived)
                        .ok_or_else(|| {
                            let message = format!("Cannot find select attribute with select option title \"{title}\".");
                            invalid(400, "value_not_found", &message)
                        })?;
                    Ok(value_of("select", now, &json!({ "option": self.option_shown(attribute, option) })))
                }
                _ => Err(wrong()),
            })
            .collect()
    }
}

fn no_record(record_id: &str) -> Reply {
    not_found(&format!("Record with ID \"{record_id}\" not found."))
}
