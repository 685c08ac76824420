//! What the store keeps of an attempt survives a rewrite by a version that does not know all of it.

use serde_json::json;

use super::*;
use crate::{
    clock::from_micros,
    ids::OpaqueToken,
    store::{decode, encode},
};

fn full() -> Value {
    let now = from_micros(1_700_000_000_000_000);
    let sealed = || Some(Sealed::from_text("sealed"));
    let held = Held {
        phase: Phase::Taken,
        workspace: Some(WorkspaceId::random()),
        due_at: now,
        asked_at: now,
        expires_in: Some(Duration::from_millis(1500)),
        alc_refresh_token: sealed(),
        alc_access_token: sealed(),
        attio_token: sealed(),
        code: Some(Code::new(&OpaqueToken::new("owner"), "https://app.test/".to_owned(), Some("c".to_owned()), now)),
        attempts: 1,
        unknown: Map::new(),
    };
    let mut kept = Kept::new(Some(held), now, now);
    kept.answer = Some(Answer::given(Sealed::from_text("sealed"), now));
    serde_json::from_str(&encode(&kept)).expect("JSON")
}

#[test]
fn what_a_newer_version_keeps_survives_at_every_level() {
    let mut body = full();
    body["x_of_a_newer_version"] = json!({ "nested": [1] });
    body["held"]["x_of_a_newer_version"] = json!({ "nested": [2] });
    body["held"]["code"]["x_of_a_newer_version"] = json!({ "nested": [4] });
    body["answer"]["x_of_a_newer_version"] = json!({ "nested": [3] });
    let read: Kept = decode(&body.to_string()).expect("an attempt");
    let again: Value = serde_json::from_str(&encode(&read)).expect("JSON");
    assert_eq!(again, body);
    // The span of a lifetime is an object too, of the standard library's: it has no room for members of ours.
    let objects = |value: &Value| value.as_object().map_or(0, |it| it.values().filter(|it| it.is_object()).count());
    let counts = [&full(), &full()["held"], &full()["held"]["code"], &full()["answer"]].map(objects);
    assert_eq!(counts, [2, 2, 0, 0], "another object has to be walked through");
}

#[test]
fn a_phase_that_only_a_newer_version_knows_is_not_guessed_at() {
    let mut body = full();
    body["held"]["phase"] = json!("paused");
    assert!(decode::<Kept>(&body.to_string()).is_err());
}
