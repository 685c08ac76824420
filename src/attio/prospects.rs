//! People who are looked for by their e-mail address, and made where there is none.
//!
//! Asserting alone (`PUT` with `matching_attribute=email_addresses`) would do for a person who is not there: Attio adds
//! values to the attribute that it matches by and deletes none of its values, so that no other address of a person is
//! lost, and a repeat finds what the first made. But every other attribute it overwrites: a name that people keep would
//! give way to what a stranger has typed for ALC. So the person is looked for first, and nothing is asserted of one who
//! has a name.

use reqwest::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::{CallError, Client, RECORD_CAP, error_without, unreadable};
use crate::ids::RecordId;

/// Attio's own attribute of people.
const EMAILS: &str = "email_addresses";

/// A person who is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The record.
    pub record: RecordId,
    /// Whether Attio has a name of theirs.
    pub has_name: bool,
}

impl Client {
    /// `POST /v2/objects/people/records/query`, by one e-mail address; it only reads.
    pub async fn find_by_email(&self, token: &SecretString, email: &SecretString) -> Result<Option<Found>, CallError> {
        let filter = json!({ "filter": { EMAILS: email.expose_secret() }, "limit": 1 });
        let path = ["objects", "people", "records", "query"];
        let request = self.request(Method::POST, &path, token).json(&filter);
        let answer = self.caller.call_capped("find_by_email", request, RECORD_CAP).await?;
        if !answer.status.is_success() {
            return Err(error_without(&answer, &[token, email]));
        }
        let first = answer.find(|value| {
            let people = value.get("data")?.as_array()?;
            people.first().map_or(Some(None), |first| Some(Some(found(first)?)))
        });
        first?.ok_or_else(|| unreadable("it is no list of records"))
    }

    /// `PUT /v2/objects/people/records?matching_attribute=email_addresses`: the person of that address, made if there
    /// is none. Idempotent.
    pub async fn assert_person(
        &self,
        token: &SecretString,
        email: &SecretString,
        name: Option<&SecretString>,
    ) -> Result<RecordId, CallError> {
        let mut values = json!({ EMAILS: [email.expose_secret()] });
        if let Some(name) = name {
            values["name"] = json!([name_value(name.expose_secret())]);
        }
        let request = self.request(Method::PUT, &["objects", "people", "records"], token);
        let request = request.query(&[("matching_attribute", EMAILS)]).json(&json!({ "data": { "values": values } }));
        let answer = self.caller.call_capped("assert_person", request, RECORD_CAP).await?;
        if !answer.status.is_success() {
            let secrets: Vec<_> = [token, email].into_iter().chain(name).collect();
            return Err(error_without(&answer, &secrets));
        }
        answer.find(|value| record_of(value.get("data")?))?.ok_or_else(|| unreadable("it is no record"))
    }
}

fn found(person: &Value) -> Option<Found> {
    let names = person.pointer("/values/name").and_then(Value::as_array);
    let is_told = |name: &Value| {
        ["full_name", "first_name", "last_name"]
            .iter()
            .any(|part| name[*part].as_str().is_some_and(|it| !it.trim().is_empty()))
    };
    Some(Found { record: record_of(person)?, has_name: names.is_some_and(|names| names.iter().any(is_told)) })
}

fn record_of(record: &Value) -> Option<RecordId> {
    record.pointer("/id/record_id")?.as_str()?.parse().ok()
}

/// All three parts, as Attio wants them; what stands behind the first word is the last name.
fn name_value(name: &str) -> Value {
    let (first, last) = name.split_once(' ').unwrap_or((name, ""));
    json!({ "first_name": first, "last_name": last, "full_name": name })
}
