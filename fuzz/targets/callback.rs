//! A callback from ALC: id, timestamp and signature headers on three lines, then the body. `RIGHT` in the signature
//! header becomes the right signature, which no fuzzer would come upon.
#![no_main]

use alc_connector::{
    alc::{
        Words,
        callback::{self, Callback},
        signature::{self, Headers, TOLERANCE_SECONDS},
    },
    ids::RecordId,
    lenient,
};
use aws_lc_rs::hmac;
use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use secrecy::SecretString;
use serde_json::{Value, json};

/// The secret of the specification's example; one seed is that example.
const SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const LOOSE: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);
const NOW: Timestamp = Timestamp::constant(1_614_265_330, 0);

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(4, |byte| *byte == b'\n');
    let mut text = || parts.next().and_then(|part| std::str::from_utf8(part).ok());
    let (id, timestamp, signatures) = (text(), text(), text());
    let body = parts.next().unwrap_or_default();
    signed(id, timestamp, signatures, body);
    read(body);
});

/// A signature passes if, and only if, it is the right one and its time is near.
fn signed(id: Option<&str>, timestamp: Option<&str>, signatures: Option<&str>, body: &[u8]) {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(SECRET).expect("base64"));
    let content = [id.unwrap_or_default().as_bytes(), timestamp.unwrap_or_default().as_bytes(), body].join(&b'.');
    let right = STANDARD.encode(hmac::sign(&key, &content));
    let signatures = signatures.map(|text| text.replace("RIGHT", &right));
    let headers = Headers { id, timestamp, signature: signatures.as_deref() };
    let verify = |body: &[u8]| signature::verify(&SecretString::from(format!("whsec_{SECRET}")), headers, body, NOW);

    let near = timestamp.is_some_and(|digits| {
        let seconds = if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse::<i64>().ok() } else { None };
        seconds.is_some_and(|seconds| seconds.abs_diff(NOW.as_second()) <= TOLERANCE_SECONDS.unsigned_abs())
    });
    // In either alphabet, padded or not; the last character before the padding may have bits that say nothing.
    let bytes = STANDARD.decode(&right).expect("base64");
    let signed = |given: &str| {
        LOOSE.decode(given.replace('-', "+").replace('_', "/")).is_ok_and(|given| given == bytes)
            && !(given.contains(['-', '_']) && given.contains(['+', '/']))
    };
    let mut given = signatures.as_deref().unwrap_or_default().split_ascii_whitespace();
    let known = given.any(|signature| signature.strip_prefix("v1,").is_some_and(signed));
    let expected = near && known && id.is_some_and(|id| !id.is_empty());
    assert_eq!(verify(body).is_ok(), expected, "{headers:?}");
    assert!(verify(&[body, b" "].concat()).is_err(), "a signature fits another body");
}

/// What was read is bounded, is what a strict reader finds wherever that finds anything, and is read again from what we
/// would write.
fn read(body: &[u8]) {
    let strict = serde_json::from_slice::<Value>(body).ok();
    let callback = match callback::parse(body) {
        Ok(callback) => callback,
        Err(malformed) => {
            let known = ["", "/record_id", "/recordId", "/status"];
            assert!(known.contains(&malformed.pointer.as_str()), "{malformed:?}");
            // An object is refused only for what we have to know, or for a member that occurs twice.
            if malformed.pointer.is_empty() && strict.is_some_and(|value| value.is_object()) {
                assert_eq!(malformed.detail, "a member occurs twice");
            }
            return;
        }
    };
    let Callback { record_id, status, lead_id, event, words } = &callback;
    // A status is as long as its body lets it be.
    for text in [Some(status), lead_id.as_ref(), event.as_ref()].into_iter().flatten() {
        assert!(!text.is_empty() && text.trim() == text, "{text:?}");
    }
    assert!(lead_id.as_ref().is_none_or(|id| id.chars().count() <= lenient::LONGEST_ID), "{lead_id:?}");
    for said in [&words.summary, &words.transcript].into_iter().flatten() {
        assert!(!said.trim().is_empty() && said.chars().count() < 21_000, "{} characters", said.chars().count());
    }
    assert_eq!(callback::event(body), *event, "both readers see the same event");
    if let Some(value) = strict {
        let text = |name: &str| value[name].as_str().map(str::trim).filter(|text| !text.is_empty());
        let records: Vec<_> = ["record_id", "recordId"].into_iter().filter_map(text).collect();
        let records: Vec<RecordId> = records.into_iter().filter_map(|text| text.parse().ok()).collect();
        // Of a member that occurs twice a strict reader keeps the last, which may say nothing.
        assert!(records.iter().all(|record| record == record_id), "another record");
        assert!(text("status").is_none_or(|strict| strict == status), "another status");
        assert!(text("event").is_none_or(|strict| Some(strict) == event.as_deref()), "another event");
        let strict = lenient::id(&value["lead_id"]);
        assert!(strict.is_none() || strict == *lead_id, "another id");
    }
    let written = json!({"recordId": record_id, "status": status, "lead_id": lead_id, "event": event});
    let without_words = Callback { words: Words::default(), ..callback.clone() };
    assert_eq!(callback::parse(written.to_string().as_bytes()), Ok(without_words));
}
