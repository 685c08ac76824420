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
        plain(value)
    }

    pub(super) fn set(&mut self, slug: &str, values: Vec<Value>, at: Timestamp) {
        let before = self.plain(slug);
        self.values.insert(slug.to_owned(), values);
        let value = self.plain(slug);
        if value != before {
            self.changes.push(Change { slug: slug.to_owned(), value, at });
        }
    }
}

/// A value, plainly.
pub(super) fn plain(value: &Value) -> Option<String> {
    let plain = [
        &value["value"],
        &value["option"]["title"],
        &value["status"]["title"],
        &value["full_name"],
        &value["phone_number"],
        &value["email_address"],
    ];
    plain.into_iter().find_map(Value::as_str).map(str::to_owned)
}

/// What every value carries beside itself.
pub(super) fn value_of(kind: &str, now: Timestamp, own: &Value) -> Value {
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

fn phone_of(text: &str) -> Value {
    json!({ "original_phone_number": text, "country_code": country_of(text), "phone_number": text })
}

/// `"Last, First"`, or an object with the three parts.
fn name_of(written: &Value) -> Option<Value> {
    if let Some(text) = written.as_str() {
        let (last, first) = text.split_once(',').map_or((text.trim(), ""), |(last, first)| (last.trim(), first.trim()));
        let full = format!("{first} {last}");
        return Some(json!({ "first_name": first, "last_name": last, "full_name": full.trim() }));
    }
    let part = |name: &str| written[name].as_str();
    Some(json!({
        "first_name": part("first_name")?,
        "last_name": part("last_name")?,
        "full_name": part("full_name")?,
    }))
}

/// Attio compares addresses in lower case.
fn email_of(text: &str) -> Option<Value> {
    let address = text.to_lowercase();
    let (local, domain) =
        address.split_once('@').filter(|(local, domain)| !local.is_empty() && domain.contains('.'))?;
    let labels: Vec<_> = domain.rsplit('.').take(2).collect();
    Some(json!({
        "original_email_address": text,
        "email_address": address,
        "email_domain": domain,
        "email_root_domain": labels.into_iter().rev().collect::<Vec<_>>().join("."),
        "email_local_specifier": local,
    }))
}

/// These values, and of the others those that are not among them.
pub(super) fn with_others(mut values: Vec<Value>, others: Vec<Value>) -> Vec<Value> {
    let known: Vec<_> = values.iter().map(plain).collect();
    values.extend(others.into_iter().filter(|other| !known.contains(&plain(other))));
    values
}

/// Nine digits of a second, as Attio writes times.
pub(super) fn attio_time(at: Timestamp) -> String {
    format!("{at:.9}")
}

impl State {
    pub(super) fn add_person(&mut self, name: &str, phone_number: &str, now: Timestamp) -> String {
        let (first_name, last_name) = name.split_once(' ').unwrap_or((name, ""));
        let name = json!({ "first_name": first_name, "last_name": last_name, "full_name": name });
        let values = BTreeMap::from([
            ("name".to_owned(), vec![value_of("personal-name", now, &name)]),
            ("phone_numbers".to_owned(), vec![value_of("phone-number", now, &phone_of(phone_number))]),
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
        let values = self
            .attribute(slug)
            .and_then(|attribute| self.parse(&self.object_id, attribute, &json!([value]), now).ok());
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

    pub(super) fn record_shown(&self, record_id: &str, record: &Record) -> Value {
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
        let parsed = match self.parse_all(&self.object_id, &self.attributes, &request.json()["data"]["values"], now) {
            Ok(parsed) => parsed,
            Err(refusal) => return refusal,
        };
        if let Some(record) = self.records.get_mut(record_id) {
            for (attribute, values) in parsed {
                // What a PATCH names is put before what a multiselect has already.
                let kept = if attribute.is_multiselect { record.values.get(&attribute.api_slug) } else { None };
                let values = with_others(values, kept.cloned().unwrap_or_default());
                record.set(&attribute.api_slug, values, now);
            }
        }
        self.get_record(record_id)
    }

    /// Reads what was written for an object or a list with these attributes: all of it, or Attio's refusal.
    pub(super) fn parse_all(
        &self,
        owner: &str,
        attributes: &[Attribute],
        written: &Value,
        now: Timestamp,
    ) -> Result<Vec<(Attribute, Vec<Value>)>, Reply> {
        let Some(written) = written.as_object() else {
            return Err(invalid(400, "validation_type", "Body payload validation error: values must be an object."));
        };
        let one = |(slug, written): (&String, &Value)| {
            let named = |attribute: &&Attribute| attribute.api_slug == *slug || attribute.attribute_id == *slug;
            let Some(attribute) = attributes.iter().find(named).filter(|attribute| !attribute.is_archived) else {
                let message = format!("Cannot find attribute with slug/ID \"{slug}\".");
                return Err(invalid(400, "value_not_found", &message));
            };
            Ok((attribute.clone(), self.parse(owner, attribute, written, now)?))
        };
        written.iter().map(one).collect()
    }

    /// Reads what was written for one attribute; the refusal is Attio's.
    fn parse(&self, owner: &str, attribute: &Attribute, written: &Value, now: Timestamp) -> Result<Vec<Value>, Reply> {
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
                "personal-name" => Ok(value_of("personal-name", now, &name_of(item).ok_or_else(wrong)?)),
                "email-address" => {
                    let text = item.as_str().or_else(|| item["email_address"].as_str()).ok_or_else(wrong)?;
                    Ok(value_of("email-address", now, &email_of(text).ok_or_else(wrong)?))
                }
                "phone-number" => {
                    let text = item.as_str().or_else(|| item["original_phone_number"].as_str()).ok_or_else(wrong)?;
                    Ok(value_of("phone-number", now, &phone_of(text)))
                }
                "status" => {
                    let title = item.as_str().or_else(|| item["status"].as_str()).ok_or_else(wrong)?;
                    let status = attribute.option(title).ok_or_else(|| {
                        let message = format!("Cannot find status with title or ID \"{title}\".");
                        invalid(400, "value_not_found", &message)
                    })?;
                    Ok(value_of("status", now, &json!({ "status": self.status_shown(owner, attribute, status) })))
                }
                "text" => {
                    let text = item.as_str().or_else(|| item["value"].as_str()).ok_or_else(wrong)?;
                    Ok(value_of("text", now, &json!({ "value": text })))
                }
                "select" => {
                    let title = item.as_str().or_else(|| item["option"].as_str()).ok_or_else(wrong)?;
                    let option = attribute.option(title).ok_or_else(|| {
                        let message = format!("Cannot find select attribute with select option title \"{title}\".");
                        invalid(400, "value_not_found", &message)
                    })?;
                    Ok(value_of("select", now, &json!({ "option": self.option_shown(owner, attribute, option) })))
                }
                _ => Err(wrong()),
            })
            .collect()
    }
}

fn no_record(record_id: &str) -> Reply {
    not_found(&format!("Record with ID \"{record_id}\" not found."))
}
