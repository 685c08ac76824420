//! What ALC sends to our webhook: `{"record_id" | "recordId", "status", "lead_id"?, "event"?, "summary"?, "transcript"?}`.
//!
//! Promises that no body makes it panic, and that a fault is named by where it is, never by what stands there.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Value, value::RawValue};

use super::words::Words;
use crate::{ids::RecordId, lenient};

/// How often an object may have been put into a text or a list.
const MOST_WRAPPINGS: usize = 2;

/// A callback's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback {
    /// The person record.
    pub record_id: RecordId,
    /// ALC's word: a result, or [`is_unfinished`]. As long as the body lets it be: refused, it would be lost for ever.
    pub status: String,
    /// ALC's id of the lead, numbers as text.
    pub lead_id: Option<String>,
    /// `None` counts as `lead.processed`.
    pub event: Option<String>,
    /// What ALC says of the talk besides.
    pub words: Words,
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

/// Reads a callback. Members that it does not know are ignored, whatever they hold; what is not text in those that it
/// knows becomes U+FFFD: ALC would send the same bytes again for ever. For the same reason an object that was encoded
/// twice, or is the only item of a list, is read as that object, and text behind it is passed over; not so a second
/// object, whose result would be lost in silence.
///
/// One of `record_id` and `recordId` is needed; both are fine if they name the same record, or if only one names any.
/// An optional member that says nothing counts as absent. A member that occurs twice is refused unless both say the
/// same: readers differ in which one they take, and a signature covers both.
pub fn parse(body: &[u8]) -> Result<Callback, Malformed> {
    let members = Members::read(body)?;
    if members.ambiguous {
        return Err(malformed("", "a member occurs twice"));
    }
    Ok(Callback {
        record_id: members.record()?,
        status: word(&members.status).ok_or_else(|| malformed("/status", "is missing, empty or no text"))?,
        lead_id: lenient::id(&members.lead_id),
        event: text(&members.event),
        words: Words::read(&members.summary, &members.transcript),
    })
}

/// The event that a body names, whatever else it has: other events have other forms.
pub fn event(body: &[u8]) -> Option<String> {
    text(&Members::read(body).ok()?.event)
}

/// The members that we read, each as whatever it is; `null` where there is none.
#[derive(Default)]
struct Members {
    record_id: Value,
    record_id_camel: Value,
    status: Value,
    lead_id: Value,
    event: Value,
    summary: Value,
    transcript: Value,
    /// One of them occurs twice, with two values.
    ambiguous: bool,
}

impl Members {
    fn read(body: &[u8]) -> Result<Self, Malformed> {
        Self::within(&lenient::json(body), MOST_WRAPPINGS).ok_or_else(|| malformed("", "the body is no JSON object"))
    }

    fn within(text: &str, wrappings: usize) -> Option<Self> {
        let text = text.trim_start();
        match text.as_bytes().first()? {
            b'{' => {
                let mut values = serde_json::Deserializer::from_str(text).into_iter::<Self>();
                let members = values.next()?.ok()?;
                (!text[values.byte_offset()..].contains(['{', '['])).then_some(members)
            }
            b'"' if wrappings > 0 => {
                let inner = serde_json::from_str::<String>(text).ok()?;
                Self::within(&lenient::json(inner.as_bytes()), wrappings - 1)
            }
            b'[' if wrappings > 0 => match serde_json::from_str::<Vec<&RawValue>>(text).ok()?.as_slice() {
                [only] => Self::within(only.get(), wrappings - 1),
                _ => None,
            },
            _ => None,
        }
    }

    fn member(&mut self, name: &str) -> Option<&mut Value> {
        match name {
            "record_id" => Some(&mut self.record_id),
            "recordId" => Some(&mut self.record_id_camel),
            "status" => Some(&mut self.status),
            "lead_id" => Some(&mut self.lead_id),
            "event" => Some(&mut self.event),
            _ => None,
        }
    }

    /// What means something to people only.
    fn words(&mut self, name: &str) -> Option<&mut Value> {
        match name {
            "summary" => Some(&mut self.summary),
            "transcript" => Some(&mut self.transcript),
            _ => None,
        }
    }

    fn record(&self) -> Result<RecordId, Malformed> {
        let read = |value: &Value| value.as_str().and_then(|text| text.trim().parse::<RecordId>().ok());
        match (read(&self.record_id), read(&self.record_id_camel)) {
            (Some(one), Some(other)) if one != other => {
                Err(malformed("/recordId", "names another record than record_id does"))
            }
            (Some(id), _) | (None, Some(id)) => Ok(id),
            (None, None) if !self.record_id.is_null() => Err(malformed("/record_id", "is no UUID")),
            (None, None) if !self.record_id_camel.is_null() => Err(malformed("/recordId", "is no UUID")),
            (None, None) => Err(malformed("/record_id", "is missing")),
        }
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Members::default();
        while let Some(name) = map.next_key::<String>()? {
            if let Some(words) = members.words(&name) {
                // Whatever it holds, and however often it is there, it costs no other: the first that can be read counts.
                let value = map.next_value::<Box<RawValue>>()?;
                if words.is_null() {
                    *words = serde_json::from_str(value.get()).unwrap_or_default();
                }
                continue;
            }
            let Some(member) = members.member(&name) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value = map.next_value::<Value>()?;
            if value.is_null() {
                continue;
            }
            let other = std::mem::replace(member, value.clone());
            members.ambiguous |= !other.is_null() && other != value;
        }
        Ok(members)
    }
}

/// A text without the blanks around it; `None` for anything else, and for one that is empty.
fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// As [`text`]; a number, `true` or `false` is the word that it is written as.
fn word(value: &Value) -> Option<String> {
    if value.is_number() || value.is_boolean() { Some(value.to_string()) } else { text(value) }
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
            words: Words::default(),
        };
        for body in [
            json!({"record_id": ID, "status": "qualified"}),
            json!({"recordId": ID, "status": " qualified\n"}),
            json!({"record_id": ID, "recordId": ID.to_uppercase(), "status": "qualified", "lead_id": null, "event": null}),
            json!({"record_id": null, "recordId": ID, "status": "qualified", "lead_id": "", "more": {"a": [1, 2.5]}}),
        ] {
            assert_eq!(read(&body), Ok(bare.clone()), "{body}");
        }
        for id in [json!(17), json!(17.0), json!("17"), json!(" 17 ")] {
            let full = json!({"record_id": ID, "status": "qualified", "lead_id": id, "event": "lead.processed"});
            let expected =
                Callback { lead_id: Some("17".to_owned()), event: Some("lead.processed".to_owned()), ..bare.clone() };
            assert_eq!(read(&full), Ok(expected));
        }
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
            (json!({"record_id": ID}), "/status"),
            (json!({"record_id": ID, "status": null}), "/status"),
            (json!({"record_id": ID, "status": " "}), "/status"),
            (json!({"record_id": ID, "status": {"word": "x"}}), "/status"),
            (json!({"record_id": ID, "status": ["x"]}), "/status"),
            (json!([ID, ID, "x", "y", "z"]), ""),
            (json!([{"record_id": ID, "status": "x"}, {"record_id": ID, "status": "x"}]), ""),
            (json!([[[{"record_id": ID, "status": "x"}]]]), ""),
            (json!([]), ""),
            (json!("x"), ""),
        ] {
            assert_eq!(read(&body), Err(pointer.to_owned()), "{body}");
        }
        let long = json!({"record_id": ID, "status": "é".repeat(30_000), "lead_id": "é".repeat(200)});
        assert!(read(&long).is_ok());
    }

    #[test]
    fn what_an_optional_member_holds_costs_no_other() {
        for value in [json!(true), json!({"id": 1}), json!([1]), json!(1.5), json!("x".repeat(201)), json!("L\u{fffd}")]
        {
            let callback = read(&json!({"record_id": ID, "status": "x", "lead_id": value})).expect("a callback");
            assert_eq!((callback.status.as_str(), callback.lead_id), ("x", None), "{value}");
        }
        for value in [json!(null), json!({}), json!(7), json!(false), json!([])] {
            let callback = read(&json!({"record_id": ID, "status": "x", "event": value})).expect("a callback");
            assert_eq!((callback.status.as_str(), callback.event), ("x", None), "{value}");
        }
        for (one, other) in [(json!(ID), json!("junk")), (json!(5), json!(ID)), (json!({}), json!(ID))] {
            let callback = read(&json!({"record_id": one, "recordId": other, "status": "x"})).expect("a callback");
            assert_eq!(callback.record_id.to_string(), ID);
        }
    }

    #[test]
    fn what_stands_around_the_object_costs_nothing() {
        let plain = format!(r#"{{"record_id": "{ID}", "status": "ok", "lead_id": 17}}"#);
        let twice = json!(plain).to_string();
        for body in [
            twice.clone(),
            format!("[{plain}]"),
            format!(" [ {plain} , ] "),
            format!("[{twice}]"),
            json!(format!("\u{feff}{plain}")).to_string(),
            format!("{plain};"),
            format!("{plain}OK"),
            format!("{plain}\n\n--end"),
        ] {
            let callback = parse(body.as_bytes()).expect("a callback");
            assert_eq!((callback.status.as_str(), callback.lead_id.as_deref()), ("ok", Some("17")), "{body}");
            assert_eq!(callback.record_id.to_string(), ID, "{body}");
        }
        for body in [
            format!("{plain}{plain}"),
            format!("{plain}\n{plain}\n"),
            format!("x{plain}"),
            json!(twice).to_string() + "x",
        ] {
            assert!(parse(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn a_status_may_be_a_number_or_a_truth() {
        for (status, expected) in [(json!(3), "3"), (json!(0.5), "0.5"), (json!(true), "true"), (json!(false), "false")]
        {
            assert_eq!(read(&json!({"record_id": ID, "status": status})).expect("a callback").status, expected);
        }
    }

    #[test]
    fn what_is_no_text_is_replaced() {
        for (status, expected) in [
            (&br"ok \ud83d"[..], "ok \u{fffd}"),
            (b"ok \xff", "ok \u{fffd}"),
            (br"\ud83d\ude00", "😀"),
            (br"\ude00\ud83d", "\u{fffd}\u{fffd}"),
        ] {
            let head = format!(r#"{{"note": "\ud83d", "record_id": "{ID}", "lead_id": "L\ud83d", "status": ""#);
            for mark in ["", "\u{feff}"] {
                let callback = parse(&[mark.as_bytes(), head.as_bytes(), status, b"\"}"].concat()).expect("a callback");
                assert_eq!((callback.status.as_str(), callback.lead_id), (expected, None));
            }
        }
    }

    #[test]
    fn a_member_that_occurs_twice_is_refused_unless_it_says_the_same() {
        let body = |twice: &str| format!(r#"{{"record_id": "{ID}", "status": "good", {twice}, "a": 1, "a": 2}}"#);
        for twice in [r#""status": "bad""#, r#""lead_id": 1, "lead_id": 2"#, r#""event": "a", "event": "b""#] {
            assert_eq!(parse(body(twice).as_bytes()), Err(malformed("", "a member occurs twice")), "{twice}");
        }
        for twice in [
            r#""status": "good""#,
            r#""lead_id": 1, "lead_id": 1"#,
            r#""event": null, "event": "b""#,
            r#""status": null"#,
        ] {
            assert!(parse(body(twice).as_bytes()).is_ok(), "{twice}");
        }
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
