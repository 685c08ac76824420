use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::json;

use super::*;

fn read(body: impl AsRef<[u8]>) -> Result<Value, serde_json::Error> {
    serde_json::from_str(&json(body.as_ref()))
}

#[track_caller]
fn reads(body: impl AsRef<[u8]>, expected: &Value) {
    let body = body.as_ref();
    assert_eq!(read(body).as_ref().ok(), Some(expected), "{:?}: {}", String::from_utf8_lossy(body), json(body));
}

fn utf16(text: &str, order: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(order).collect()
}

fn utf32(text: &str, order: fn(u32) -> [u8; 4]) -> Vec<u8> {
    text.chars().flat_map(|character| order(u32::from(character))).collect()
}

#[test]
fn every_encoding_of_json_is_read_with_a_mark_and_without() {
    let text = r#"{"name": "José 😀"}"#;
    let expected = json!({"name": "José 😀"});
    for text in [text.to_owned(), format!("\u{feff}{text}")] {
        reads(&text, &expected);
        reads(utf16(&text, u16::to_le_bytes), &expected);
        reads(utf16(&text, u16::to_be_bytes), &expected);
        reads(utf32(&text, u32::to_le_bytes), &expected);
        reads(utf32(&text, u32::to_be_bytes), &expected);
    }
    // An odd byte at the end, and half a character, are no text; the rest is.
    let mut cut = utf16(r#"{"a": "b"}"#, u16::to_le_bytes);
    cut.splice(14..14, [0x3d, 0xd8]);
    reads(&cut, &json!({"a": "\u{fffd}b"}));
    assert!(read([&utf16(text, u16::to_be_bytes)[..], &[0]].concat()).is_err());
}

#[test]
fn what_is_no_text_becomes_the_replacement_character() {
    for (text, expected) in [
        (&br"\ud83d"[..], "\u{fffd}"),
        (br"a\ude00b", "a\u{fffd}b"),
        (br"\ud83d\ud83d\ude00", "\u{fffd}😀"),
        (br"\ud83d\u0041", "\u{fffd}A"),
        (br"\ud83dude00", "\u{fffd}ude00"),
        (br"\D83D\ud83D", "D83D\u{fffd}"),
        (b"Jos\xe9", "Jos\u{fffd}"),
        (b"\xff\xfe", "\u{fffd}\u{fffd}"),
        (b"\xf0\x9f\x98", "\u{fffd}"),
        (br"\u12", "\u{fffd}12"),
        (br"\u", "\u{fffd}"),
        (br"\xzz", "\u{fffd}zz"),
    ] {
        reads([&b"{\"a\": \""[..], text, b"\", \"b\": 1}"].concat(), &json!({"a": expected, "b": 1}));
        reads([&b"{\""[..], text, b"\": 1}"].concat(), &json!({expected: 1}));
    }
}

#[test]
fn what_widespread_writers_make_of_json_is_read() {
    for (body, expected) in [
        ("[NaN, -Infinity, Infinity, undefined, None, nan, 1]", json!([null, null, null, null, null, null, 1])),
        ("[True, FALSE, Null]", json!([true, false, null])),
        (
            "[1e999, -1e999, 1E+400, 0x1F, 007, +1, .5, 1., 17n]",
            json!([null, null, null, null, null, null, null, null, null]),
        ),
        ("[1, 2,]", json!([1, 2])),
        ("{\"a\": [1, ] , }", json!({"a": [1]})),
        ("{\"a\": 1, // why\n \"b\": /* , ] */ 2, /* end */ } // done", json!({"a": 1, "b": 2})),
        ("{'a': 'it\\'s \"b\"', 'c': \"d'e\"}", json!({"a": "it's \"b\"", "c": "d'e"})),
        ("{a: 1, $b_2 : 2, true: 3, 4: 5}", json!({"a": 1, "$b_2": 2, "true": 3, "4": 5})),
        ("{\"a\": \"b\nc\td\u{1}\"}", json!({"a": "b\nc\td\u{1}"})),
        (
            r#"{"a": "\x41\v\0\q\
b"}"#,
            json!({"a": "A\u{b}\0qb"}),
        ),
        ("\u{a0}{\"a\":\u{3000}1}\0\0", json!({"a": 1})),
        ("\u{feff}\u{feff}{}", json!({})),
    ] {
        reads(body, &expected);
    }
}

#[test]
fn structure_is_not_guessed() {
    for body in
        ["", "{", "[1", "{\"a\"", "{\"a\": zzz}", "[1,,2]", "{} {}", "]", "\"a", "\"a\\", "/* {}", "[1 2]", "{]", "é"]
    {
        assert!(read(body).is_err(), "{body}");
    }
}

#[test]
fn what_lies_too_deep_is_null_and_costs_nothing_beside_it() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{'b': ", ",},]")] {
        for deep in [100, 1_000, 100_000] {
            let body = format!("{{\"x\": {}1{}, \"y\": 2}}", open.repeat(deep), close.repeat(deep));
            let value = read(&body).expect("read");
            assert_eq!(value["y"], 2, "{deep} of {open}");
        }
    }
    let deepest = |levels: usize| format!("{}7{}", "[".repeat(levels), "]".repeat(levels));
    assert!(json(deepest(127).as_bytes()).contains('7'), "a strict parser follows as far");
    assert!(!json(deepest(128).as_bytes()).contains('7'));
    assert!(read("[".repeat(100_000)).is_err());
}

#[test]
fn a_fault_that_is_kept_can_be_skipped_and_not_read() {
    for broken in [&br"\ud83d"[..], b"\xff", br"\u12", br"\xzz"] {
        let body = [&b"{\"note\": \""[..], broken, b"\", \"\xff\": 1, \"id\": \"a\"}"].concat();
        let text = json_keeping_faults(&body);
        assert!(serde_json::from_str::<IgnoredAny>(&text).is_ok(), "{text}");
        assert!(serde_json::from_str::<Value>(&text).is_err(), "{text}");
        assert!(text.contains("\u{fffd}\": 1"), "a key is readable: {text}");
        let body = [&b"{\""[..], broken, b"\" /* key */ : 1}"].concat();
        assert!(serde_json::from_str::<Value>(&json_keeping_faults(&body)).is_ok());
    }
}

#[test]
fn an_id_is_what_identifies_something() {
    for (value, expected) in [
        (json!("L-1"), Some("L-1")),
        (json!("  L-1\n"), Some("L-1")),
        (json!(17), Some("17")),
        (json!(17.0), Some("17")),
        (json!(-0.0), Some("0")),
        (json!(1.7e1), Some("17")),
        (json!(u64::MAX), Some("18446744073709551615")),
        (json!(-3), Some("-3")),
        (json!(17.5), None),
        (json!(1e16), None),
        (json!(""), None),
        (json!(" "), None),
        (json!("L\u{fffd}"), None),
        (json!("x".repeat(201)), None),
        (json!(true), None),
        (json!(null), None),
        (json!({"id": 1}), None),
        (json!([1]), None),
    ] {
        assert_eq!(id(&value).as_deref(), expected, "{value}");
    }
    assert!(id(&json!("é".repeat(200))).is_some());
}

/// JSON of any form.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[\\\\\"'/*,:{}\\[\\]a\u{fffd}\u{a0}]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((any::<String>(), inner), 0..4).prop_map(|members| members.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn strict_json_comes_back_as_it_is(value in any_json(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        let text = text.expect("JSON");
        for read in [json(text.as_bytes()), json_keeping_faults(text.as_bytes())] {
            prop_assert!(matches!(&read, Cow::Borrowed(read) if *read == text), "{}: {}", text, read);
        }
        let wide = utf16(&text, u16::to_le_bytes);
        // A single character has too few bytes to be told apart, and the first two characters have to be ASCII.
        if wide.len() >= 4 && text.chars().take(2).all(|character| character.is_ascii()) {
            prop_assert_eq!(json(&wide), text);
        }
    }

    #[test]
    fn no_bytes_make_it_panic_or_see_what_a_strict_reader_does_not(
        body in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..60),
            "[\\[\\]{},:\"'\\\\/*ux0-9d8a.eE+ \n-]{0,40}".prop_map(String::into_bytes),
        ],
    ) {
        let strict = serde_json::from_slice::<Value>(&body);
        for read in [json(&body), json_keeping_faults(&body)] {
            if let Ok(strict) = &strict {
                let tolerant = serde_json::from_str::<Value>(&read).ok();
                prop_assert_eq!(tolerant.as_ref(), Some(strict));
            }
            if serde_json::from_str::<Value>(&read).is_ok() {
                prop_assert_eq!(json(read.as_bytes()), read.as_ref(), "what was repaired stays");
            }
        }
    }

    #[test]
    fn a_fault_in_one_member_costs_no_other(
        noise in proptest::collection::vec(any::<u8>().prop_filter("in the quotes", |byte| !b"\"\\".contains(byte)), 0..20),
        escape in prop_oneof![Just(""), Just(r"\ud83d"), Just(r"\udc00"), Just(r"\u"), Just(r"\x1"), Just("\\é")],
    ) {
        let body = [b"{\"note\": \"", &noise[..], escape.as_bytes(), b"\", \"record_id\": \"r-1\"}"].concat();
        prop_assert_eq!(&read(&body).expect("read")["record_id"], "r-1");
    }
}
