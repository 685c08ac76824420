//! Standard Webhooks signatures, as ALC makes them (standardwebhooks.com, `v1`).
//!
//! Promises that a callback passes only with a signature made with the webhook's own secret at most five minutes ago
//! (or, by clocks that disagree, ahead), and that comparing takes the same time for every wrong one.

use aws_lc_rs::{constant_time, hmac};
use jiff::Timestamp;
use secrecy::SecretString;

use super::webhook_key;

/// How far the signed time may be from now, either way, in seconds.
pub const TOLERANCE_SECONDS: i64 = 5 * 60;

/// The three headers of a signed callback, as they came.
#[derive(Debug, Clone, Copy, Default)]
pub struct Headers<'a> {
    /// `webhook-id`.
    pub id: Option<&'a str>,
    /// `webhook-timestamp`: unix seconds.
    pub timestamp: Option<&'a str>,
    /// `webhook-signature`: `v1,<base64>`, several separated by blanks.
    pub signature: Option<&'a str>,
}

/// Why a signature is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A header is missing or malformed.
    #[error("a signature header is missing or malformed")]
    Missing,
    /// More than five minutes off.
    #[error("the signed time is too far from now")]
    Time,
    /// None of the signatures is right.
    #[error("no signature matches")]
    Wrong,
}

/// Verifies the signed text `id.timestamp.body`, in constant time.
///
/// One without a key in it verifies nothing ([`Refused::Wrong`]).
/// Signatures of other versions than `v1` are passed over; one right signature is enough, in either alphabet of base64.
pub fn verify(secret: &SecretString, headers: Headers<'_>, body: &[u8], now: Timestamp) -> Result<(), Refused> {
    let given = [headers.id, headers.timestamp, headers.signature];
    let [Some(id), Some(timestamp), Some(signatures)] = given.map(|text| text.filter(|text| !text.is_empty())) else {
        return Err(Refused::Missing);
    };
    // Digits only: what is verified is the text as it came, so there must be one way to write a time.
    if !timestamp.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refused::Missing);
    }
    let signed_at: i64 = timestamp.parse().map_err(|_| Refused::Missing)?;
    if signed_at.abs_diff(now.as_second()) > TOLERANCE_SECONDS.unsigned_abs() {
        return Err(Refused::Time);
    }
    let key = webhook_key::decode(secret).map_err(|_| Refused::Wrong)?;
    let mut right = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &key));
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        right.update(part);
    }
    let right = right.sign();
    let is_right = |signature: &str| {
        let decoded = signature.strip_prefix("v1,").and_then(webhook_key::base64);
        decoded.is_some_and(|given| constant_time::verify_slices_are_equal(right.as_ref(), &given).is_ok())
    };
    if signatures.split_ascii_whitespace().any(is_right) { Ok(()) } else { Err(Refused::Wrong) }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, prelude::BASE64_STANDARD as BASE64};
    use proptest::prelude::*;
    use standardwebhooks::Webhook;

    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const SECONDS: i64 = 1_790_000_000;
    const NOW: Timestamp = Timestamp::constant(SECONDS, 0);

    fn sign(secret: &str, id: &str, seconds: i64, body: &str) -> String {
        Webhook::new(secret).expect("usable").sign(id, seconds, body.as_bytes()).expect("text")
    }

    fn check(secret: &str, id: &str, timestamp: &str, signature: &str, body: &str) -> Result<(), Refused> {
        let headers = Headers { id: Some(id), timestamp: Some(timestamp), signature: Some(signature) };
        verify(&SecretString::from(secret), headers, body.as_bytes(), NOW)
    }

    #[test]
    fn the_published_example_verifies() {
        // From the specification's own test vectors.
        let now = Timestamp::constant(1_614_265_330, 0);
        let headers = Headers {
            id: Some("msg_p5jXN8AQM9LWM0D4loKWxJek"),
            timestamp: Some("1614265330"),
            signature: Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        };
        assert_eq!(verify(&SecretString::from(SECRET), headers, br#"{"test": 2432232314}"#, now), Ok(()));
    }

    #[test]
    fn one_right_signature_among_several_is_enough() {
        let right = sign(SECRET, "m", SECONDS, "{}");
        let time = SECONDS.to_string();
        for signature in [
            right.clone(),
            format!("v1,AAAA {right}"),
            format!("v1a,c29tZXRoaW5n  {right} v2,x"),
            right.trim_end_matches('=').to_owned(),
            right.replace('+', "-").replace('/', "_"),
            right.replace('+', "-").replace('/', "_").trim_end_matches('=').to_owned(),
        ] {
            assert_eq!(check(SECRET, "m", &time, &signature, "{}"), Ok(()), "{signature}");
        }
        for signature in [right.replace("v1,", "v2,"), right.replace("v1,", ""), "v1,".to_owned(), "v1".to_owned()] {
            assert_eq!(check(SECRET, "m", &time, &signature, "{}"), Err(Refused::Wrong), "{signature}");
        }
    }

    #[test]
    fn five_minutes_either_way_and_not_a_second_more() {
        for (offset, expected) in [(-301, Err(Refused::Time)), (-300, Ok(())), (300, Ok(())), (301, Err(Refused::Time))]
        {
            let seconds = SECONDS + offset;
            let signature = sign(SECRET, "m", seconds, "{}");
            assert_eq!(check(SECRET, "m", &seconds.to_string(), &signature, "{}"), expected, "{offset}");
        }
    }

    #[test]
    fn missing_and_malformed_headers_are_told_apart_from_wrong_ones() {
        let right = sign(SECRET, "m", SECONDS, "{}");
        let secret = SecretString::from(SECRET);
        let time = SECONDS.to_string();
        let all = Headers { id: Some("m"), timestamp: Some(&time), signature: Some(&right) };
        for headers in [
            Headers { id: None, ..all },
            Headers { id: Some(""), ..all },
            Headers { timestamp: None, ..all },
            Headers { timestamp: Some("soon"), ..all },
            Headers { timestamp: Some("-5"), ..all },
            Headers { timestamp: Some("99999999999999999999"), ..all },
            Headers { signature: None, ..all },
            Headers { signature: Some(""), ..all },
        ] {
            assert_eq!(verify(&secret, headers, b"{}", NOW), Err(Refused::Missing), "{headers:?}");
        }
        assert_eq!(verify(&secret, all, b"{}", NOW), Ok(()));
    }

    #[test]
    fn an_unusable_secret_verifies_nothing() {
        let right = sign(SECRET, "m", SECONDS, "{}");
        for secret in ["", "whsec_", "whsec_%%%", "not base64!"] {
            assert_eq!(check(secret, "m", &SECONDS.to_string(), &right, "{}"), Err(Refused::Wrong), "{secret}");
        }
        // The HMAC under an empty key is something that anybody can compute.
        let empty = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b""), format!("m.{SECONDS}.{{}}").as_bytes());
        let signature = format!("v1,{}", BASE64.encode(empty));
        assert_eq!(check("whsec_", "m", &SECONDS.to_string(), &signature, "{}"), Err(Refused::Wrong));
    }

    proptest! {
        #[test]
        fn what_the_reference_signs_is_right_and_any_change_is_wrong(
            key in proptest::collection::vec(any::<u8>(), 24..64), id in "[a-zA-Z0-9_]{1,40}", body in ".{0,200}",
            offset in -300_i64..=300, flipped in any::<u8>(),
        ) {
            let secret = BASE64.encode(&key);
            let (seconds, prefixed) = (SECONDS + offset, format!("whsec_{secret}"));
            let (signature, time) = (sign(&secret, &id, seconds, &body), seconds.to_string());
            prop_assert_eq!(check(&secret, &id, &time, &signature, &body), Ok(()));
            prop_assert_eq!(check(&prefixed, &id, &time, &signature, &body), Ok(()));
            prop_assert_eq!(check(&secret, &id, &time, &signature, &format!("{body} ")), Err(Refused::Wrong));
            prop_assert_eq!(check(&secret, &format!("{id}x"), &time, &signature, &body), Err(Refused::Wrong));
            let mut other = key;
            let at = usize::from(flipped) % other.len();
            other[at] ^= 1;
            prop_assert_eq!(check(&BASE64.encode(other), &id, &time, &signature, &body), Err(Refused::Wrong));
        }

        #[test]
        fn no_header_makes_it_panic(id in ".{0,40}", time in ".{0,25}|[0-9]{1,25}", signature in ".{0,80}|(v1,[A-Za-z0-9+/=]{0,60} ?){0,4}") {
            let result = check(SECRET, &id, &time, &signature, "{}");
            prop_assert!(result.is_err());
        }
    }
}
