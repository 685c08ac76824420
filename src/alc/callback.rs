//! What ALC sends to our webhook: `{"record_id" | "recordId", "status", "lead_id"?, "event"?}`.
//!
//! Promises that no body makes it panic, and that a fault is named by where it is, never by what stands there.

use serde::Deserialize;
use serde_json::Value;

use crate::ids::RecordId;

/// The longest id and name, in characters. A status may be as long as the body: refused, it would be lost for ever.
const LONGEST: usize = 200;

/// A callback's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback {
    /// The person record.
    pub record_id: RecordId,
    /// ALC's word: a result, or [`is_unfinished`].
    pub status: String,
    /// ALC's id of the lead, numbers as text.
    pub lead_id: Option<String>,
    /// `None` counts as `lead.processed`.
    pub event: Option<String>,
}

/// The body is no callback.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Malformed {
    /// RFC 6901 pointer to the fault.
    pub pointer: String,
    /// What is wrong with it, quoting nothing.
    pub detail: String,
}

/// Reads a callback. Members that it does not know are ignored, whatever they hold.
///
/// One of `record_id` and `recordId` is needed; both are fine if they name the same record. `null` counts as absent. A
/// member that occurs twice is refused: readers differ in which one they take, and a signature covers both.
pub fn parse(body: &[u8]) -> Result<Callback, Malformed> {
    // Serde would take an array for a struct.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(malformed("", "the body is no JSON object"));
    }
    let raw: Raw = serde_json::from_slice(body).map_err(|error| {
        // Serde's text for these names a member of ours and a position; for others it may quote the value.
        let detail = match error.classify() {
            serde_json::error::Category::Data => "a member occurs twice",
            _ => "the body is no JSON object",
        };
        malformed("", detail)
    })?;
    Ok(Callback {
        record_id: record(&raw)?,
        status: text(raw.status, "/status", usize::MAX)?.ok_or_else(|| malformed("/status", "is missing or empty"))?,
        lead_id: match raw.lead_id {
            Some(Value::Number(number)) if number.is_i64() || number.is_u64() => Some(number.to_string()),
            Some(Value::Number(_)) => return Err(malformed("/lead_id", "is neither a text nor an integer")),
            other => text(other, "/lead_id", LONGEST)?,
        },
        event: text(raw.event, "/event", LONGEST)?,
    })
}

/// The event that a body names, whatever else it has: other events have other forms.
pub fn event(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        event: String,
    }
    // Serde would take an array for a struct.
    let body = body.trim_ascii_start();
    let named = body.starts_with(b"{").then(|| serde_json::from_slice::<Named>(body).ok()).flatten();
    named.map(|named| named.event.trim().to_owned()).filter(|name| !name.is_empty())
}

/// The members that we read, each as whatever it is.
#[derive(Deserialize)]
struct Raw {
    record_id: Option<Value>,
    #[serde(rename = "recordId")]
    record_id_camel: Option<Value>,
    status: Option<Value>,
    lead_id: Option<Value>,
    event: Option<Value>,
}

fn record(raw: &Raw) -> Result<RecordId, Malformed> {
    let read = |value: &Option<Value>, pointer: &str| match value {
        None => Ok(None),
        Some(value) => {
            let id = value.as_str().and_then(|text| text.trim().parse::<RecordId>().ok());
            id.map(Some).ok_or_else(|| malformed(pointer, "is no UUID"))
        }
    };
    match (read(&raw.record_id, "/record_id")?, read(&raw.record_id_camel, "/recordId")?) {
        (Some(one), Some(other)) if one != other => {
            Err(malformed("/recordId", "names another record than record_id does"))
        }
        (Some(id), _) | (None, Some(id)) => Ok(id),
        (None, None) => Err(malformed("/record_id", "is missing")),
    }
}

/// A text without the blanks around it; `None` if absent or empty.
fn text(value: Option<Value>, pointer: &str, longest: usize) -> Result<Option<String>, Malformed> {
    match value {
        None => Ok(None),
        Some(Value::String(text)) if text.trim().chars().count() > longest => {
            Err(malformed(pointer, &format!("has more than {longest} characters")))
        }
        Some(Value::String(text)) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
        Some(_) => Err(malformed(pointer, "is no text")),
    }
}

fn malformed(pointer: &str, detail: &str) -> Malformed {
    Malformed { pointer: pointer.to_owned(), detail: detail.to_owned() }
}

/// Whether a status of ALC means that the lead is not finished (`processing`, `pending`, `queued`, any letter case).
pub fn is_unfinished(status: &str) -> bool {
    ["processing", "pending", "queued"].iter().any(|word| status.trim().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const ID: &str = "bf071e1f-6035-429d-b874-d83ea64ea13b";

    fn read(value: &Value) -> Result<Callback, String> {
        parse(value.to_string().as_bytes()).map_err(|error| error.pointer)
    }

    #[test]
    fn only_an_object_names_an_event() {
        assert_eq!(event(br#" {"event": " other ", "status": 7}"#).as_deref(), Some("other"));
        for nameless in [&br#"["other"]"#[..], br#""other""#, br#"{"event": " "}"#, br#"{"event": null}"#, b"{"] {
            assert_eq!(event(nameless), None);
        }
    }

    #[test]
    fn the_known_shape_and_its_variants_are_read() {
        let bare = Callback {
            record_id: ID.parse().expect("uuid"),
            status: "qualified".to_owned(),
            lead_id: None,
            event: None,
        };
        for body in [
            json!({"record_id": ID, "status": "qualified"}),
            json!({"recordId": ID, "status": " qualified\n"}),
            json!({"record_id": ID, "recordId": ID.to_uppercase(), "status": "qualified", "lead_id": null, "event": null}),
            json!({"record_id": null, "recordId": ID, "status": "qualified", "lead_id": "", "more": {"a": [1, 2.5]}}),
        ] {
            assert_eq!(read(&body), Ok(bare.clone()), "{body}");
        }
        let full = json!({"record_id": ID, "status": "qualified", "lead_id": 17, "event": "lead.processed"});
        let expected =
            Callback { lead_id: Some("17".to_owned()), event: Some("lead.processed".to_owned()), ..bare.clone() };
        assert_eq!(read(&full), Ok(expected));
        let text = json!({"record_id": ID, "status": "qualified", "lead_id": "L-1"});
        assert_eq!(read(&text), Ok(Callback { lead_id: Some("L-1".to_owned()), ..bare }));
    }

    #[test]
    fn faults_are_pointed_at() {
        for (body, pointer) in [
            (json!({"status": "x"}), "/record_id"),
            (json!({"record_id": "no", "status": "x"}), "/record_id"),
            (json!({"record_id": 5, "status": "x"}), "/record_id"),
            (json!({"recordId": "", "status": "x"}), "/recordId"),
            (json!({"record_id": ID, "recordId": RecordId::random(), "status": "x"}), "/recordId"),
            (json!({"record_id": ID, "recordId": "junk", "status": "x"}), "/recordId"),
            (json!({"record_id": ID}), "/status"),
            (json!({"record_id": ID, "status": null}), "/status"),
            (json!({"record_id": ID, "status": " "}), "/status"),
            (json!({"record_id": ID, "status": 3}), "/status"),
            (json!({"record_id": ID, "status": "x", "lead_id": "x".repeat(201)}), "/lead_id"),
            (json!({"record_id": ID, "status": "x", "event": "x".repeat(201)}), "/event"),
            (json!({"record_id": ID, "status": "x", "lead_id": 1.5}), "/lead_id"),
            (json!({"record_id": ID, "status": "x", "lead_id": true}), "/lead_id"),
            (json!({"record_id": ID, "status": "x", "event": {}}), "/event"),
            (json!([ID, ID, "x", "y", "z"]), ""),
            (json!("x"), ""),
        ] {
            assert_eq!(read(&body), Err(pointer.to_owned()), "{body}");
        }
        let long = json!({"record_id": ID, "status": "é".repeat(30_000), "lead_id": "é".repeat(200)});
        assert!(read(&long).is_ok());
    }

    #[test]
    fn a_member_that_occurs_twice_is_refused() {
        let body = format!(r#"{{"record_id": "{ID}", "status": "good", "status": "bad"}}"#);
        assert_eq!(parse(body.as_bytes()), Err(malformed("", "a member occurs twice")));
    }

    #[test]
    fn a_depth_bomb_is_malformed_and_nothing_worse() {
        for inner in ["[".repeat(60_000), "{\"a\":".repeat(10_000)] {
            for key in ["status", "other"] {
                let body = format!(r#"{{"record_id": "{ID}", "{key}": {inner}"#);
                assert!(parse(body.as_bytes()).is_err());
            }
        }
    }

    #[test]
    fn unfinished_words_in_any_letter_case() {
        assert!(["processing", "Pending", " QUEUED "].into_iter().all(is_unfinished));
        assert!(!["failed", "complete", "", "pending review"].into_iter().any(is_unfinished));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200), text in "\\{.{0,100}\\}") {
            prop_assert!(parse(&body).is_err());
            prop_assert!(parse(text.as_bytes()).is_err());
        }

        #[test]
        fn any_status_survives_the_journey(status in "\\S(.{0,400}\\S)?", id in any::<u128>()) {
            let record_id = RecordId(uuid::Uuid::from_u128(id));
            prop_assume!(status.trim() == status);
            let callback = read(&json!({"recordId": record_id, "status": status})).expect("well-formed");
            prop_assert_eq!((callback.record_id, callback.status), (record_id, status));
        }
    }
}
