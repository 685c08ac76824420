//! JSON in the body of an answer, read past what is around it and what is missing of it.
//!
//! An upstream that said 2xx has done what was asked. Whatever can be had of its words is worth having: without them
//! the same request goes out again. Promises that a body which is JSON is read as exactly that JSON; that nothing is
//! read out of the inside of a broken value, where an `id` may be anybody's; and that what is read of a cut body stands
//! in the whole one, at the same place.

use std::borrow::Cow;

use serde_json::{Deserializer, Value};

use crate::lenient;

/// Places in a body at which JSON is looked for. A page of prose has more, and nothing for us.
const MOST_STARTS: usize = 32;

/// What only documents have.
const PAGES: [&str; 7] = ["<!doctype", "<?xml", "<html", "<head", "<body", "<script", "<style"];

/// The value that the body is, or begins with: text behind it is passed over. A text that holds JSON is that JSON: some
/// gateways encode twice. `None` also for a number or a word with something behind it.
pub fn whole(body: &[u8]) -> Option<Value> {
    match first(&lenient::json(body))? {
        Value::String(text) if text.trim_start().starts_with(['{', '[']) => first(&text).or(Some(Value::String(text))),
        value => Some(value),
    }
}

fn first(text: &str) -> Option<Value> {
    let mut values = Deserializer::from_str(text).into_iter::<Value>();
    let value = values.next()?.ok()?;
    (is_container(&value) || text[values.byte_offset()..].trim().is_empty()).then_some(value)
}

/// What `read` makes of a body: of the value that it is, else of the first one in it of which it makes something.
/// `None`: the body is not JSON, nor has it anything for `read` within; `Some(None)`: it is JSON, without what `read`
/// looks for.
pub fn find<T>(body: &[u8], read: impl Fn(&Value) -> Option<T>) -> Option<Option<T>> {
    let whole = whole(body);
    let within = || within(body).find_map(|value| read(&value)).map(Some);
    match whole {
        None => within(),
        Some(value) => {
            read(&value).map(Some).or_else(|| if is_container(&value) { within() } else { None }).or(Some(None))
        }
    }
}

fn is_container(value: &Value) -> bool {
    value.is_object() || value.is_array()
}

/// The objects and lists in a body that begins with something else: a warning of the upstream's own, `)]}',`, the name
/// of a function, `data:`. None in a page of HTML, whose scripts hold objects that have nothing to do with us.
pub fn within(body: &[u8]) -> impl Iterator<Item = Value> {
    let mut rest = if is_page(body) { Cow::Borrowed(&[][..]) } else { Cow::Borrowed(body) };
    let mut starts = 0;
    std::iter::from_fn(move || {
        while let Some(at) = start(&rest).filter(|_| starts < MOST_STARTS) {
            starts += 1;
            let text = lenient::json(&rest[at..]);
            let mut values = Deserializer::from_str(&text).into_iter::<Value>();
            let value = values.next().and_then(Result::ok);
            rest = match &value {
                Some(_) => Cow::Owned(text.as_bytes()[values.byte_offset()..].to_vec()),
                // `[info]`, `{%`: prose, which no repair must touch.
                None if !begins_a_value(&text) => Cow::Owned(rest[at + 1..].to_vec()),
                // JSON, and broken: what is inside of it is not ours to interpret.
                None => Cow::Borrowed(&[]),
            };
            if value.is_some() {
                return value;
            }
        }
        None
    })
}

/// What is left of an object whose end is missing: its members up to the last complete one. `None` if none is.
pub fn remains(body: &[u8]) -> Option<Value> {
    if is_page(body) {
        return None;
    }
    let mut rest = body;
    for _ in 0..MOST_STARTS {
        let at = start(rest)?;
        let text = lenient::json(&rest[at..]);
        if begins_a_value(&text) {
            return closed(&text);
        }
        rest = &rest[at + 1..];
    }
    None
}

fn start(body: &[u8]) -> Option<usize> {
    body.iter().position(|byte| matches!(byte, b'{' | b'['))
}

/// Whether the body is a page of HTML or another document: by the tags before its first bracket, whatever stands before
/// those (a byte order mark, a comment) and whatever its encoding. A few tags around JSON (`<pre>`, a warning in bold)
/// make no page.
pub(super) fn is_page(body: &[u8]) -> bool {
    let head = &body[..start(body).unwrap_or(body.len())];
    // UTF-16 has a NUL in each letter of a tag.
    let head: Vec<u8> = head.iter().filter(|byte| **byte != 0).map(u8::to_ascii_lowercase).collect();
    PAGES.iter().any(|tag| head.windows(tag.len()).any(|at| at == tag.as_bytes()))
}

/// Whether what follows the opening bracket can follow it in JSON.
fn begins_a_value(text: &str) -> bool {
    let inside = |bracket| text.strip_prefix(bracket).map(str::trim_ascii_start);
    if let Some(inside) = inside('{') {
        return inside.starts_with(['"', '}']);
    }
    let begins = |inside: &str| {
        inside.starts_with(['"', '{', '[', ']', '-'])
            || inside.starts_with(|c: char| c.is_ascii_digit())
            || ["null", "true", "false"].iter().any(|word| inside.starts_with(word))
    };
    inside('[').is_some_and(begins)
}

/// The text up to its last complete value, with the brackets closed that are open there.
fn closed(text: &str) -> Option<Value> {
    let (mut open, mut cut) = (Vec::new(), None);
    let (mut in_string, mut escaped, mut is_value) = (false, false, false);
    for (at, byte) in text.bytes().enumerate() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    in_string = false;
                    if is_value {
                        cut = Some((at + 1, open.clone()));
                    }
                }
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                open.push(if byte == b'{' { '}' } else { ']' });
                is_value = byte == b'[';
            }
            b'}' | b']' => {
                open.pop();
                cut = Some((at + 1, open.clone()));
                if open.is_empty() {
                    break;
                }
            }
            b':' => is_value = true,
            // A number or a word is complete once something follows it.
            b',' => {
                cut = Some((at, open.clone()));
                is_value = open.last() == Some(&']');
            }
            _ => {}
        }
    }
    let (end, open) = cut?;
    let text: String = text[..end].chars().chain(open.into_iter().rev()).collect();
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn id(value: &Value) -> Option<String> {
        lenient::id(value.get("id")?)
    }

    fn anywhere(body: &[u8]) -> Option<String> {
        find(body, id).flatten()
    }

    #[test]
    fn json_is_read_with_its_usual_extensions() {
        for body in [
            "\u{feff}{\"id\": \"L-1\"}",
            "\u{feff}\u{feff}{\"id\": \"L-1\"}",
            r#"{"id": "L-1", "score": NaN}"#,
            r#"{"id": "L-1", "score": -Infinity, "more": [Infinity]}"#,
            r#"{"id": "L-1", "note": undefined}"#,
            r#"{"id": "L-1", "ok": True, "no": None}"#,
            r#"{"id": "L-1", "size": 0x1F, "n": 007, "f": .5, "p": +1, "e": 1e999}"#,
            "{\"id\": \"L-1\",}",
            "{'id': 'L-1'}",
            "{id: \"L-1\"}",
            "/* lead */ {\"id\": \"L-1\"} // made",
            "{\"id\": \"L-1\", \"note\": \"a\tb\"}",
            r#"{"id": "L-1", "note": "\ud83d"}"#,
            r#"{"id": "L-1", "note": "\x41"}"#,
            "{\"id\": \"L-1\"}\0\0",
            "\r\n\r\n  {\"id\": \"L-1\"}  \n",
            "{\"id\": \"L-1\"}OK",
            "{\"id\": \"L-1\"}}",
            "{\"id\": \"L-1\"}\n{\"id\": \"L-2\"}\n",
            r#""{\"id\": \"L-1\"}""#,
        ] {
            assert_eq!(whole(body.as_bytes()).as_ref().and_then(id).as_deref(), Some("L-1"), "{body}");
        }
        for (unit, bytes) in [
            ("utf-16le", "\u{feff}{\"id\": \"L-1\"}".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>()),
            ("utf-16be", "{\"id\": \"L-1\"}".encode_utf16().flat_map(u16::to_be_bytes).collect()),
            ("latin-1", b"{\"id\": \"L-1\", \"name\": \"Zo\xeb\"}".to_vec()),
        ] {
            assert_eq!(whole(&bytes).as_ref().and_then(id).as_deref(), Some("L-1"), "{unit}");
        }
    }

    #[test]
    fn json_is_found_behind_what_is_no_json() {
        for body in [
            ")]}',\n{\"id\": \"L-1\"}",
            "for(;;);{\"id\": \"L-1\"}",
            "/**/ callback({\"id\": \"L-1\"});",
            "data: {\"id\": \"L-1\"}\n\n",
            "OK {\"id\": \"L-1\"}",
            "[info] it's done {\"id\": \"L-1\"}",
            "<br />\n<b>Warning</b>: it's odd in <b>/a.php</b> on line <b>3</b><br />\n{\"id\": \"L-1\"}",
            "<pre>{'id': 'L-1'}</pre>",
            "1f\r\n{\"id\": \"L-1\"}\r\n0\r\n\r\n",
            "{x: 1} {\"id\": \"L-1\"}",
            "notice {\"level\": 1} {\"id\": \"L-1\"}",
        ] {
            assert_eq!(anywhere(body.as_bytes()).as_deref(), Some("L-1"), "{body}");
        }
        for body in [
            "",
            "OK",
            "L-1",
            "id: L-1",
            "<!DOCTYPE html><script>var a = {\"id\": \"L-1\"}</script>",
            "\n<HTML><body>{\"id\": \"L-1\"}",
            "\u{feff}<!DOCTYPE html><title>Closed</title><script>x={\"id\": \"L-1\"}</script>",
            "<!-- cached --><head><script>x={\"id\": \"L-1\"}</script>",
            "<?xml version=\"1.0\"?><p>{\"id\": \"L-1\"}</p>",
            "<script>window.x = {\"id\": \"L-1\"}</script>",
            "<lead><id>L-1</id></lead>",
            // The inside of what is broken may be about anything.
            r#"{"customer": {"id": "L-1"} oops, "id": "L-2"}"#,
            r#"{"customer" {"id": "L-1"}}"#,
            r#"{"a": 1 "customer": {"id": "L-1"}, "id": "L-2"}"#,
            r#"see {"customer": {"id": "L-1"}, "#,
        ] {
            assert_eq!(anywhere(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn of_a_cut_object_its_complete_members_are_left() {
        for (body, left) in [
            (r#"{"id": "L-1", "more": "xx"#, json!({"id": "L-1"})),
            (r#"{"id": "L-1""#, json!({"id": "L-1"})),
            (r#"{"id": 12, "more"#, json!({"id": 12})),
            (r#"ok: {"lead": {"id": "L-1", "n"#, json!({"lead": {"id": "L-1"}})),
            (r#"{"a": [1, 2, 3"#, json!({"a": [1, 2]})),
            (r#"{"a": {}, "b": tr"#, json!({"a": {}})),
            (r#"{"a": "\"", "b": "\"#, json!({"a": "\""})),
            ("\u{feff}{'id': 'L-1', 'more", json!({"id": "L-1"})),
        ] {
            assert_eq!(remains(body.as_bytes()), Some(left), "{body}");
        }
        for body in ["", "{", r#"{"id": 12"#, r#"{"id"#, r#"{"id": "L-"#, "<html>{\"id\": \"L-1\", ", "[tag"] {
            assert_eq!(remains(body.as_bytes()), None, "{body}");
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("(id|lead|data|[a-z\"{\\[]{1,3})", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// Whether everything in `part` stands in `whole`, at the same place.
    fn is_part(part: &Value, whole: &Value) -> bool {
        match (part, whole) {
            (Value::Object(part), Value::Object(whole)) => {
                part.iter().all(|(key, part)| whole.get(key).is_some_and(|whole| is_part(part, whole)))
            }
            (Value::Array(part), Value::Array(whole)) => {
                part.len() <= whole.len() && part.iter().zip(whole).all(|(part, whole)| is_part(part, whole))
            }
            _ => part == whole,
        }
    }

    proptest! {
        #[test]
        fn json_is_read_as_itself(value in values()) {
            prop_assume!(!matches!(&value, Value::String(text) if text.trim_start().starts_with(['{', '['])));
            let text = value.to_string();
            prop_assert_eq!(whole(text.as_bytes()), Some(value.clone()));
            prop_assert_eq!(find(text.as_bytes(), id), Some(id(&value)), "nothing else is looked for in it");
        }

        #[test]
        fn what_is_left_of_a_cut_body_stands_in_the_whole_one(value in values(), at in any::<prop::sample::Index>()) {
            let text = value.to_string();
            let cut = &text.as_bytes()[..at.index(text.len() + 1)];
            if let Some(left) = remains(cut) {
                prop_assert!(is_part(&left, &value), "{left} is not in {value}");
            }
            // A body that is cut is not taken for a whole one.
            if cut.len() < text.len() && (value.is_object() || value.is_array()) {
                prop_assert_eq!(whole(cut), None);
                prop_assert_eq!(within(cut).next(), None);
            }
        }

        #[test]
        fn no_body_makes_it_panic(body in proptest::collection::vec(any::<u8>(), 0..120), text in "[\\[{}\\]\",:a1 \\\\]{0,60}") {
            for body in [body.as_slice(), text.as_bytes()] {
                let _ = (whole(body), within(body).count(), remains(body));
            }
        }
    }
}
