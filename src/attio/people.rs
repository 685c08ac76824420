//! Who a person record is of: the names and the phone numbers that Attio has.
//!
//! Promises that a value which cannot be read hides no other, and that no value shows in `Debug`.

use reqwest::Method;
use secrecy::SecretString;
use serde_json::Value;

use super::{CallError, Client, RECORD_CAP, error, is_active, unreadable};
use crate::ids::RecordId;

/// What Attio has of a person.
#[derive(Debug, Clone)]
pub struct Person {
    /// The name in full, then the same put together from its parts.
    pub names: Vec<SecretString>,
    /// The numbers, in Attio's order.
    pub numbers: Vec<Number>,
}

/// A phone number of a person's.
#[derive(Debug, Clone)]
pub struct Number {
    /// As Attio has made it: E.164.
    pub phone_number: Option<SecretString>,
    /// As it was typed.
    pub original: Option<SecretString>,
    /// The country that Attio takes it to belong to (ISO 3166).
    pub country: Option<String>,
}

impl Client {
    /// Name and numbers of a person: `GET /v2/objects/people/records/{record_id}`.
    pub async fn find_person(&self, token: &SecretString, record: RecordId) -> Result<Person, CallError> {
        let request = self.person(Method::GET, record, token);
        let answer = self.caller.call_capped("read_person", request, RECORD_CAP).await?;
        if !answer.status.is_success() {
            return Err(error(&answer, token));
        }
        answer.find(person)?.ok_or_else(|| unreadable("it is no record"))
    }
}

fn person(answer: &Value) -> Option<Person> {
    let values = answer.pointer("/data/values")?.as_object()?;
    let active = |slug: &str| {
        let all = values.get(slug).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        all.iter().filter(|value| is_active(value))
    };
    let names = active("name").flat_map(|name| {
        let parts: Vec<_> = ["first_name", "last_name"].into_iter().filter_map(|part| text(name, part)).collect();
        text(name, "full_name").map(str::to_owned).into_iter().chain([parts.join(" ")]).map(SecretString::from)
    });
    let numbers = active("phone_numbers").map(|number| Number {
        phone_number: text(number, "phone_number").map(SecretString::from),
        original: text(number, "original_phone_number").map(SecretString::from),
        country: text(number, "country_code").map(str::to_owned),
    });
    Some(Person { names: names.collect(), numbers: numbers.collect() })
}

fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name)?.as_str().map(str::trim).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;
    use serde_json::json;

    use super::*;

    #[test]
    fn names_and_numbers_are_read_past_what_is_odd_or_over() {
        let answer = json!({ "data": { "values": {
            "name": [
                { "active_until": "2026-01-01T00:00:00Z", "full_name": "Ada Byron" },
                { "active_until": null, "first_name": "Ada", "last_name": "Lovelace", "full_name": "" },
            ],
            "phone_numbers": [
                7,
                { "active_until": null, "phone_number": null, "original_phone_number": "020 7946 0958", "country_code": "GB" },
                { "phone_number": "+442079460958" },
            ],
        } } });
        let person = person(&answer).expect("a record");
        let names: Vec<_> = person.names.iter().map(ExposeSecret::expose_secret).collect();
        assert_eq!(names, ["Ada Lovelace"]);
        let told = |text: &Option<SecretString>| text.as_ref().map(|text| text.expose_secret().to_owned());
        let numbers: Vec<_> = person.numbers.iter().map(|it| (told(&it.phone_number), told(&it.original))).collect();
        let (e164, typed) = ("+442079460958".to_owned(), "020 7946 0958".to_owned());
        assert_eq!(numbers, [(None, None), (None, Some(typed)), (Some(e164), None)]);
        assert!(!format!("{person:?}").contains("Ada"));
    }

    #[test]
    fn what_is_no_record_names_nobody() {
        assert!(person(&json!({ "data": {} })).is_none());
        let empty = person(&json!({ "data": { "values": {} } })).expect("a record");
        assert!(empty.names.is_empty() && empty.numbers.is_empty());
    }
}
