//! A body of JSON, whatever its writer takes for that: the tolerant reader sees what a strict one sees, wherever the
//! strict one sees anything, and what it has repaired stays as it is.
#![no_main]

use alc_connector::lenient;
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use serde_json::Value;

fuzz_target!(|body: &[u8]| {
    let strict = serde_json::from_slice::<Value>(body).ok();
    let (replaced, kept) = (lenient::json(body), lenient::json_keeping_faults(body));
    for text in [&replaced, &kept] {
        let read = serde_json::from_str::<Value>(text).ok();
        if strict.is_some() {
            assert_eq!(read, strict, "another value");
            assert_eq!(text.as_bytes(), body, "strict JSON is not touched");
        }
        if read.is_some() {
            assert_eq!(&lenient::json(text.as_bytes()), text, "what was repaired stays");
        }
    }
    // Both see the same structure; they differ in what is no text.
    let skipped = |text: &str| serde_json::from_str::<IgnoredAny>(text).is_ok();
    assert_eq!(skipped(&replaced), skipped(&kept));
    let read = serde_json::from_str::<Value>(&replaced);
    assert_eq!(read.is_ok(), skipped(&replaced), "nothing is left that a parser takes and cannot hold");
    if let Ok(value) = read {
        check_ids(&value);
    }
});

/// An id is bounded, is a fixed point, and is the number that it was.
fn check_ids(value: &Value) {
    if let Some(id) = lenient::id(value) {
        assert!((1..=lenient::LONGEST_ID).contains(&id.chars().count()) && id.trim() == id, "{id:?}");
        assert_eq!(lenient::id(&Value::from(id.as_str())).as_ref(), Some(&id));
        if let Some(number) = value.as_f64() {
            assert_eq!(id.parse::<f64>().ok(), Some(number));
        }
    }
    match value {
        Value::Array(items) => items.iter().for_each(check_ids),
        Value::Object(members) => members.values().for_each(check_ids),
        _ => {}
    }
}
