//! People that are looked for, and people that are made.
//!
//! Owns filters, sorting and assertion by an attribute. Promises that a filter which it does not understand is refused,
//! as Attio does, and never lets everything through.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    errors::invalid,
    handle::Attio,
    records::{attio_time, plain, with_others},
    state::{Record, State},
};
use crate::wire::{Reply, Request};

/// The most of one page.
const MOST: usize = 500;

impl State {
    pub(super) fn query_records(&self, request: &Request) -> Reply {
        let body = request.json();
        let number = |name: &str, or: usize| body[name].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(or);
        let mut found = Vec::new();
        for (record_id, record) in &self.records {
            match self.passes(record_id, record, &body["filter"]) {
                Some(true) => found.push((record_id, record)),
                Some(false) => {}
                None => return invalid(400, "filter_error", "Error in filter."),
            }
        }
        for sort in body["sorts"].as_array().into_iter().flatten().rev() {
            let slug = sort["attribute"].as_str().unwrap_or_default();
            if slug != "created_at" && self.attribute(slug).is_none() {
                return invalid(400, "value_not_found", &format!("Cannot find attribute with slug/ID \"{slug}\"."));
            }
            let key = |record: &Record| match slug {
                "created_at" => Some(attio_time(record.created_at)),
                _ => record.plain(slug),
            };
            found.sort_by_key(|(_, record)| key(record));
            if sort["direction"] == "desc" {
                found.reverse();
            }
        }
        let page = found.into_iter().skip(number("offset", 0)).take(number("limit", MOST).min(MOST));
        let shown: Vec<_> = page.map(|(record_id, record)| self.record_shown(record_id, record)).collect();
        Reply::json(200, &json!({ "data": shown }))
    }

    /// Whether a filter lets a record through; `None`: it is no filter.
    fn passes(&self, record_id: &str, record: &Record, filter: &Value) -> Option<bool> {
        let Some(conditions) = filter.as_object() else { return filter.is_null().then_some(true) };
        let mut passes = true;
        for (name, wanted) in conditions {
            let each = || -> Option<Vec<bool>> {
                wanted.as_array()?.iter().map(|one| self.passes(record_id, record, one)).collect()
            };
            passes &= match name.as_str() {
                "$and" => each()?.into_iter().all(|one| one),
                "$or" => each()?.into_iter().any(|one| one),
                "$not" => !self.passes(record_id, record, wanted)?,
                "record_id" => is_met(&[record_id.to_owned()], wanted)?,
                slug => {
                    self.attribute(slug)?;
                    let has = record.values.get(slug).into_iter().flatten().filter_map(plain).collect::<Vec<_>>();
                    is_met(&has, wanted)?
                }
            };
        }
        Some(passes)
    }

    /// Finds the person whose attribute has one of the values that are written, or makes one.
    pub(super) fn assert_record(&mut self, request: &Request, now: Timestamp) -> Reply {
        let matching = request.query_pairs().get("matching_attribute").cloned().unwrap_or_default();
        let Some(by) = self.attribute(&matching).cloned() else {
            let message = format!("No attribute was found for matching_attribute slug/ID \"{matching}\".");
            return invalid(400, "value_not_found", &message);
        };
        if !by.is_unique {
            let message = format!("The attribute \"{matching}\" is not unique: it cannot be matched by.");
            return invalid(400, "validation_type", &message);
        }
        let parsed = match self.parse_all(&self.object_id, &self.attributes, &request.json()["data"]["values"], now) {
            Ok(parsed) => parsed,
            Err(refusal) => return refusal,
        };
        let written = parsed.iter().filter(|(attribute, _)| attribute.api_slug == by.api_slug);
        let sought: Vec<_> = written.flat_map(|(_, values)| values.iter().filter_map(plain)).collect();
        if sought.is_empty() {
            return invalid(400, "missing_value", "No value was given for the matching attribute.");
        }
        let has = |record: &Record| {
            record.values.get(&by.api_slug).into_iter().flatten().filter_map(plain).any(|value| sought.contains(&value))
        };
        let found: Vec<_> = self.records.iter().filter(|(_, record)| has(record)).map(|(id, _)| id.clone()).collect();
        if found.len() > 1 {
            let message = "Multiple records were found for the matching attribute.";
            return invalid(400, "multiple_match_results", message);
        }
        let record_id = found.into_iter().next().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        let new = || Record { created_at: now, values: BTreeMap::new(), changes: Vec::new() };
        let record = self.records.entry(record_id.clone()).or_insert_with(new);
        for (attribute, values) in parsed {
            // Of the attribute that is matched by, values are added; any other has just what is written.
            let kept = if attribute.api_slug == by.api_slug { record.values.get(&by.api_slug) } else { None };
            let values = with_others(values, kept.cloned().unwrap_or_default());
            record.set(&attribute.api_slug, values, now);
        }
        self.get_record(&record_id)
    }
}

/// Whether an attribute with these values meets a condition: a plain value, an operator, or either below one of the
/// value's own fields, of which all but the plain one are taken for the plain one. `None`: it is no condition.
fn is_met(has: &[String], wanted: &Value) -> Option<bool> {
    let is = |wanted: &Value| Some(has.iter().any(|value| Some(value.as_str()) == wanted.as_str()));
    let Some(operators) = wanted.as_object() else { return if wanted.is_string() { is(wanted) } else { None } };
    let mut met = true;
    for (operator, operand) in operators {
        met &= match operator.as_str() {
            "$eq" => is(operand)?,
            "$in" => operand.as_array()?.iter().filter_map(is).any(|one| one),
            "$not_empty" => has.is_empty() != operand.as_bool()?,
            "$contains" => has.iter().any(|value| operand.as_str().is_some_and(|part| value.contains(part))),
            "value" | "option" | "status" | "full_name" | "email_address" | "phone_number" => is_met(has, operand)?,
            _ => return None,
        };
    }
    Some(met)
}

impl Attio {
    /// Adds a person with an e-mail address and no number; gives its record id.
    pub fn add_person_with_email(&self, name: &str, email_address: &str) -> String {
        let record_id = self.add_person(name, "");
        let now = self.shared.time.now();
        let mut state = self.shared.state();
        let values = json!({ "email_addresses": [email_address] });
        let parsed = state.parse_all(&state.object_id, &state.attributes, &values, now).unwrap_or_default();
        if let Some(record) = state.records.get_mut(&record_id) {
            record.values.remove("phone_numbers");
            for (attribute, values) in parsed {
                record.values.insert(attribute.api_slug, values);
            }
        }
        record_id
    }

    /// The people's record ids.
    pub fn people(&self) -> Vec<String> {
        self.shared.state().records.keys().cloned().collect()
    }

    /// Every value of an attribute of a person, plainly.
    pub fn values(&self, record_id: &str, slug: &str) -> Vec<String> {
        let state = self.shared.state();
        let values = state.records.get(record_id).and_then(|record| record.values.get(slug));
        values.into_iter().flatten().filter_map(plain).collect()
    }

    /// Gives a person these numbers, as they were typed, and no other.
    pub fn set_phone_numbers(&self, record_id: &str, numbers: &[&str]) {
        let now = self.shared.time.now();
        let mut state = self.shared.state();
        let parsed = state.parse_all(&state.object_id, &state.attributes, &json!({ "phone_numbers": numbers }), now);
        if let (Ok(parsed), Some(record)) = (parsed, state.records.get_mut(record_id)) {
            for (attribute, values) in parsed {
                record.values.insert(attribute.api_slug, values);
            }
        }
    }
}
