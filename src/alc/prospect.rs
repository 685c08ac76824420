//! A person whom ALC brings: `{"event": "prospect_updated", "prospectId", "prospectName", "prospectEmail", "status"?}`,
//! or a `lead.processed` that names no record but an e-mail address. In camelCase or snake_case, flat or inside `data`.
//!
//! Promises that no body makes it panic, that what it gives is bounded, and that nothing of a person shows in `Debug`.

use std::fmt;

use secrecy::SecretString;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::{
    callback::{Malformed, PROCESSED, event, is_unfinished, malformed, object, text, word},
    words::Words,
};
use crate::{ids::RecordId, lenient};

/// The event that carries nothing but a person.
pub const UPDATED: &str = "prospect_updated";

/// RFC 5321, §4.5.3.1: what fits between the angle brackets of a path; and what stands before the `@`.
const LONGEST_EMAIL: usize = 254;
const LONGEST_LOCAL_PART: usize = 64;
/// Characters of a name that are kept.
const NAME_KEPT: usize = 200;
/// Characters of a result that are kept; a lead keeps as many.
const RESULT_KEPT: usize = 1_000;

const EMAIL: [&str; 2] = ["prospectEmail", "prospect_email"];
const NAME: [&str; 3] = ["prospectName", "prospect_name", "name"];
const LEAD_ID: [&str; 4] = ["lead_id", "leadId", "prospectId", "prospect_id"];
const RECORD_ID: [&str; 2] = ["record_id", "recordId"];

/// A person whom ALC brings.
#[derive(Debug, Clone)]
pub struct Prospect {
    /// In lower case.
    pub email: SecretString,
    /// In one line.
    pub name: Option<SecretString>,
    /// ALC's id of the lead, numbers as text.
    pub lead_id: Option<String>,
    /// ALC's word, if it says one.
    pub status: Option<String>,
    /// What ALC says besides.
    pub words: Words,
}

/// The person that a body brings. `None`: it is about something else; a `lead.processed` that is no good is for the
/// reader of callbacks to refuse.
pub fn parse(body: &[u8]) -> Option<Result<Prospect, Malformed>> {
    let levels = Levels::of(object::<Object>(body)?);
    match event(body).as_deref() {
        Some(UPDATED) => Some(levels.prospect()),
        Some(PROCESSED) | None if !levels.names_a_record() => {
            levels.prospect().ok().filter(|prospect| prospect.status.is_some()).map(Ok)
        }
        _ => None,
    }
}

/// Whether ALC is not done with the person.
pub fn is_under_way(prospect: &Prospect) -> bool {
    prospect.status.as_deref().is_some_and(is_unfinished)
}

/// An object's members, each as often as it occurs.
#[derive(Default)]
struct Object(Vec<(String, Value)>);

impl Object {
    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Value> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value)
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Object(members))
    }
}

/// The object itself and what is in its `data`, which says what the object does not.
struct Levels {
    outer: Object,
    inner: Object,
}

impl Levels {
    fn of(outer: Object) -> Self {
        let inner = outer.all("data").find_map(Value::as_object).cloned();
        let inner = Object(inner.into_iter().flatten().collect());
        Self { outer, inner }
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Value> {
        self.outer.all(name).chain(self.inner.all(name))
    }

    fn first<T>(&self, names: &[&str], read: impl Fn(&Value) -> Option<T>) -> Option<T> {
        names.iter().find_map(|name| self.all(name).find_map(&read))
    }

    fn names_a_record(&self) -> bool {
        self.first(&RECORD_ID, |value| value.as_str()?.trim().parse::<RecordId>().ok()).is_some()
    }

    /// Whether a member that is read occurs twice on one level, with two values.
    fn is_ambiguous(&self) -> bool {
        let names = EMAIL.iter().chain(&NAME).chain(&LEAD_ID).chain(&RECORD_ID).chain(&["email", "status", "data"]);
        let differs = |level: &Object, name: &str| {
            let mut said = level.all(name).filter(|value| !value.is_null());
            let first = said.next();
            said.any(|value| Some(value) != first)
        };
        names.into_iter().any(|name| differs(&self.outer, name) || differs(&self.inner, name))
    }

    fn prospect(&self) -> Result<Prospect, Malformed> {
        if self.is_ambiguous() {
            return Err(malformed("", "a member occurs twice"));
        }
        let own: Vec<_> = EMAIL.iter().flat_map(|name| self.all(name)).filter_map(text).collect();
        let told = if own.is_empty() { self.all("email").filter_map(text).collect() } else { own };
        let mut emails = told.iter().map(|told| email(told));
        let first = emails.next().ok_or_else(|| malformed("/prospectEmail", "is missing"))?;
        let first = first.ok_or_else(|| malformed("/prospectEmail", "is no e-mail address"))?;
        // Readers differ in which one they take, and the wrong person would be shown the result.
        if emails.any(|other| other.as_ref() != Some(&first)) {
            return Err(malformed("/prospectEmail", "names another person than another member does"));
        }
        let said = |name: &'static str| self.all(name).find(|value| !value.is_null()).unwrap_or(&Value::Null);
        let status = self.first(&["status"], word).map(|status| status.chars().take(RESULT_KEPT).collect());
        Ok(Prospect {
            email: first.into(),
            name: self.first(&NAME, |value| name(&text(value)?)).map(SecretString::from),
            lead_id: self.first(&LEAD_ID, lenient::id),
            status,
            words: Words::read(said("summary"), said("transcript")),
        })
    }
}

/// An e-mail address in lower case, if it may be one: Attio has the last word.
fn email(told: &str) -> Option<String> {
    let (local, domain) = told.rsplit_once('@')?;
    let is_bad = |c: char| c.is_whitespace() || c.is_control() || "@<>()[],;:\\\"\u{fffd}".contains(c);
    let labels = domain.split('.').collect::<Vec<_>>();
    let fits = told.len() <= LONGEST_EMAIL && !local.is_empty() && local.len() <= LONGEST_LOCAL_PART;
    let is_one = fits && labels.len() > 1 && labels.iter().all(|label| !label.is_empty());
    let email = told.to_lowercase();
    (is_one && !local.contains(is_bad) && !domain.contains(is_bad) && email.len() <= LONGEST_EMAIL).then_some(email)
}

/// A name in one line; `None` if it names nobody.
fn name(told: &str) -> Option<String> {
    let words = told.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let name = words.collect::<Vec<_>>().join(" ");
    let name: String = name.chars().take(NAME_KEPT).collect();
    let name = name.trim_end();
    name.chars().any(char::is_alphanumeric).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::ExposeSecret as _;
    use serde_json::json;

    use super::*;

    type Read = (String, Option<String>, Option<String>, Option<String>);

    fn read(body: &Value) -> Option<Result<Read, String>> {
        parse(body.to_string().as_bytes()).map(|parsed| parsed.map(told).map_err(|malformed| malformed.pointer))
    }

    fn told(prospect: Prospect) -> Read {
        let name = prospect.name.map(|name| name.expose_secret().to_owned());
        (prospect.email.expose_secret().to_owned(), name, prospect.lead_id, prospect.status)
    }

    fn ada(status: Option<&str>) -> Read {
        let some = |text: &str| Some(text.to_owned());
        ("ada@example.com".to_owned(), some("Ada Lovelace"), some("p-1"), status.map(str::to_owned))
    }

    #[test]
    fn every_form_of_the_event_is_read() {
        let flat = json!({"prospectId": "p-1", "prospectName": " Ada\n Lovelace ", "prospectEmail": "Ada@Example.com"});
        let snake =
            json!({"prospect_id": "p-1", "prospect_name": "Ada Lovelace", "prospect_email": " ada@example.com "});
        for members in [flat, snake] {
            let mut whole = members.clone();
            whole["event"] = json!(UPDATED);
            let nested = json!({"event": UPDATED, "data": members});
            for body in [&whole, &nested, &json!([whole]), &json!(whole.to_string())] {
                assert_eq!(read(body), Some(Ok(ada(None))), "{body}");
            }
            whole["status"] = json!("qualified");
            assert_eq!(read(&whole), Some(Ok(ada(Some("qualified")))));
        }
    }

    #[test]
    fn a_result_without_a_record_brings_a_person() {
        let body = |more: Value| {
            let mut body =
                json!({"email": "ada@example.com", "name": "Ada Lovelace", "lead_id": "p-1", "status": "won"});
            body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            body
        };
        let event = json!({"event": "lead.processed", "record_id": null});
        assert_eq!(read(&body(json!({}))), Some(Ok(ada(Some("won")))));
        assert_eq!(read(&body(event)), Some(Ok(ada(Some("won")))));
        for about_something_else in [
            json!({"record_id": RecordId::random()}),
            json!({"data": {"recordId": RecordId::random()}}),
            json!({"status": null}),
            json!({"email": "nobody"}),
            json!({"event": "lead.created"}),
        ] {
            assert_eq!(read(&body(about_something_else.clone())), None, "{about_something_else}");
        }
    }

    #[test]
    fn what_may_be_no_address_is_pointed_at_and_not_quoted() {
        let long = format!("{}@example.com", "a".repeat(65));
        let longer = format!("a@{}.com", "a".repeat(250));
        for bad in [
            "",
            "nobody",
            "@example.com",
            "ada@",
            "ada@com",
            "ada@.com",
            "ada@example..com",
            "a b@example.com",
            "ada@exa\u{7f}mple.com",
            "a@b@example.com",
            "<ada@example.com>",
            "ada@example.com,bob@example.com",
            &long,
            &longer,
        ] {
            let malformed = read(&json!({"event": UPDATED, "prospectEmail": bad}));
            assert_eq!(malformed, Some(Err("/prospectEmail".to_owned())), "{bad}");
        }
        let two = json!({"event": UPDATED, "prospectEmail": "a@b.com", "data": {"prospect_email": "c@b.com"}});
        assert_eq!(read(&two), Some(Err("/prospectEmail".to_owned())));
        let twice = br#"{"event": "prospect_updated", "prospectEmail": "a@b.com", "prospectEmail": "c@b.com"}"#;
        assert!(parse(twice).expect("about a person").is_err());
    }

    #[test]
    fn debug_shows_nobody() {
        let body = json!({"event": UPDATED, "prospectEmail": "ada@example.com", "prospectName": "Ada"});
        let shown = format!("{:?}", parse(body.to_string().as_bytes()));
        assert!(!shown.contains("ada@") && !shown.contains("Ada"), "{shown}");
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_bounded(name in ".{0,400}", email in ".{0,40}(@.{0,300})?", status in ".{0,2000}") {
            let body = json!({"event": UPDATED, "prospectEmail": email, "prospectName": name, "status": status});
            if let Some(Ok((email, name, _, status))) = read(&body) {
                prop_assert!(email.len() <= LONGEST_EMAIL && email.matches('@').count() == 1);
                prop_assert!(!email.contains(|c: char| c.is_whitespace() || c.is_control()));
                prop_assert!(name.is_none_or(|name| name.chars().count() <= NAME_KEPT && name.trim() == name));
                prop_assert!(status.is_none_or(|status| status.chars().count() <= RESULT_KEPT));
            }
        }

        #[test]
        fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(parse(&body).is_none_or(|parsed| parsed.is_err()));
        }
    }
}
