//! The cookie in which an attempt to connect travels: a `Cookie` header on the first line, an unsealed attempt after
//! it.
#![no_main]

use std::sync::LazyLock;

use alc_connector::{authorization::attempt, sealing::Sealer};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use secrecy::SecretString;

const NOW: Timestamp = Timestamp::constant(1_790_000_000, 0);

static SEALER: LazyLock<Sealer> = LazyLock::new(|| {
    let key = SecretString::from("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
    Sealer::new(&key, None).expect("a key")
});

fuzz_target!(|text: &str| {
    let (header, attempt) = text.split_once('\n').unwrap_or((text, text));
    attempt::fuzz(&SEALER, header, attempt, NOW);
});
