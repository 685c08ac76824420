//! The body of an answer of ALC's, whatever stands around or beside its id: the tolerant reader finds what a strict one
//! finds, wherever the strict one finds anything, and what it reads of a cut body stands in the whole one.
#![no_main]

use alc_connector::upstream::reading;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|body: &[u8]| {
    let strict = serde_json::from_slice::<Value>(body).ok();
    let found = reading::find(body, id);
    if let Some(strict) = &strict {
        let is_coded_twice = strict.as_str().is_some_and(|text| text.trim_start().starts_with(['{', '[']));
        if !is_coded_twice {
            assert_eq!(reading::whole(body).as_ref(), Some(strict), "another value");
            assert_eq!(found, Some(id(strict)), "another id");
        }
    }
    // A cut takes away, and never changes.
    let Some(whole) = strict.filter(|value| value.is_object() || value.is_array()) else { return };
    // Written anew: of two members of one name a parser takes the last, and a cut may leave the first. And read anew: a
    // float may lose its last digit on the way through its text.
    let text = whole.to_string();
    let whole = serde_json::from_str(&text).expect("what was written is JSON");
    for cut in (0..text.len()).step_by(text.len() / 16 + 1) {
        if let Some(left) = reading::remains(&text.as_bytes()[..cut]) {
            assert!(is_part(&left, &whole), "{left} is not in {whole}");
        }
    }
});

fn id(value: &Value) -> Option<String> {
    alc_connector::lenient::id(value.get("id")?)
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
