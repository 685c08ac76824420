//! The pure parts that a send or a callback goes through in the process: `cargo bench -p bench`.
//!
//! Only what the library shows to the outside can be measured from here; what is inside `leads` shows in `make bench`.

use std::{hint::black_box, time::Duration};

use alc_connector::{
    alc::{
        callback,
        signature::{self, Headers},
    },
    authorization::{
        keys::{self, SigningKeys},
        tokens::{AccessTokens, Subject},
    },
    ids::{ConnectionId, WorkspaceId},
    leads::{Name, PhoneNumber},
    lenient,
    store::gate::{GateState, Gates},
};
use aws_lc_rs::hmac;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use criterion::{Criterion, criterion_group, criterion_main};
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use uuid::Uuid;

const NOW: Timestamp = Timestamp::constant(1_790_000_000, 0);
const CALLBACK: &str = r#"{"record_id":"6f1c0000-0000-4000-8000-000000000001","status":"qualified","lead_id":"lead_1",
    "event":"lead.processed"}"#;

/// Once for each request of the Attio app.
fn access_token(bench: &mut Criterion) {
    let keys = SigningKeys::new(&keys::generate(), None).expect("a fresh key is a key");
    let tokens = AccessTokens::new(keys, "http://127.0.0.1:8080");
    let subject = Subject { workspace: WorkspaceId(Uuid::nil()), connection: ConnectionId(Uuid::nil()) };
    let token = tokens.issue(subject, NOW);
    assert_eq!(tokens.verify(&token, NOW), Ok(subject));
    bench.bench_function("verify an access token", |bench| bench.iter(|| tokens.verify(black_box(&token), NOW)));
}

/// Once for each press.
fn person(bench: &mut Criterion) {
    assert!(PhoneNumber::parse("+12015550123", None).is_ok() && Name::parse("Ada Lovelace").is_ok());
    bench.bench_function("read a phone number", |bench| {
        bench.iter(|| PhoneNumber::parse(black_box("+12015550123"), None));
    });
    bench.bench_function("read a name", |bench| bench.iter(|| Name::parse(black_box("Ada Lovelace"))));
}

/// Once for each callback.
fn callbacks(bench: &mut Criterion) {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
    let secret = SecretString::from(format!("whsec_{}", BASE64_STANDARD.encode([7; 32])));
    let at = NOW.as_second().to_string();
    let tag = hmac::sign(&key, format!("msg_1.{at}.{CALLBACK}").as_bytes());
    let written = format!("v1,{}", BASE64_STANDARD.encode(tag));
    let headers = || Headers { id: Some("msg_1"), timestamp: Some(&at), signature: Some(&written) };
    assert!(signature::verify(&secret, headers(), CALLBACK.as_bytes(), NOW).is_ok());
    assert!(callback::parse(CALLBACK.as_bytes()).is_ok());
    bench.bench_function("verify a callback's signature", |bench| {
        bench.iter(|| signature::verify(&secret, headers(), black_box(CALLBACK.as_bytes()), NOW));
    });
    bench.bench_function("read a callback", |bench| {
        bench.iter(|| callback::parse(black_box(CALLBACK.as_bytes())));
    });
    bench.bench_function("repair what needs no repair", |bench| {
        bench.iter(|| lenient::json(black_box(CALLBACK.as_bytes())));
    });
}

/// Once for each write at Attio: at a busy workspace's gate, with its last second full.
fn gate(bench: &mut Criterion) {
    for limit in [25, 1_000] {
        let gate = Gates::new(limit).attio;
        let step = SignedDuration::from_micros(1_000_000 / i64::from(limit));
        bench.bench_function(&format!("reserve at a gate of {limit} a second, read and written"), |bench| {
            let (mut state, mut now) = (GateState::default(), NOW);
            for _ in 0..limit {
                now += step;
                state.reserve(&gate, None, now);
            }
            let mut stored = serde_json::to_string(&state).expect("a gate serialises");
            bench.iter(|| {
                now += step;
                let mut state: GateState = serde_json::from_str(&stored).expect("a gate was stored");
                black_box(state.reserve(&gate, None, now));
                stored = serde_json::to_string(&state).expect("a gate serialises");
            });
        });
    }
}

criterion_group! {
    name = pure;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = access_token, person, callbacks, gate
}
criterion_main!(pure);
