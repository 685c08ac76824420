//! What servers make of RFC 6749 §5.1, brought to its letter.

use serde_json::{Map, Value, json};

use super::{TokenError, unavailable};

/// The longest lifetime that is believed, in seconds: ten years. "Never" is commonly said as a huge number, and some
/// servers give the time of the end instead of the span.
const LONGEST_LIFE: u64 = 10 * 365 * 24 * 60 * 60;

/// The four members that we use, and nothing else.
///
/// - `token_type`: missing, `null` and empty count as bearer; another type is refused (§7.1: a client must not use a
///   token of a type that it does not know).
/// - `expires_in`: a number, perhaps as text; zero, negative or unreadable counts as missing; at most ten years.
/// - `refresh_token`: empty counts as missing.
/// - Tokens consist of the characters that §A.12 and §A.17 allow (printable ASCII): the access token goes into a
///   header.
pub(super) fn tidy(body: &Value) -> Result<Value, TokenError> {
    let mut tidy = Map::new();
    let access = token(body.get("access_token"))?;
    tidy.insert("access_token".into(), access.ok_or_else(|| unavailable("the answer holds no access token"))?.into());
    if let Some(refresh) = token(body.get("refresh_token"))? {
        tidy.insert("refresh_token".into(), refresh.into());
    }
    let kind = body.get("token_type").and_then(Value::as_str).map_or("", str::trim);
    if !kind.is_empty() && !kind.eq_ignore_ascii_case("bearer") {
        return Err(TokenError::Refused { error: "unsupported token_type".to_owned() });
    }
    tidy.insert("token_type".into(), json!("bearer"));
    if let Some(seconds) = body.get("expires_in").and_then(seconds) {
        tidy.insert("expires_in".into(), json!(seconds));
    }
    Ok(Value::Object(tidy))
}

fn token(value: Option<&Value>) -> Result<Option<&str>, TokenError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) if text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) => Ok(Some(text)),
        Some(_) => Err(unavailable("a token in the answer is not usable")),
    }
}

fn seconds(value: &Value) -> Option<u64> {
    let seconds = match value {
        // A float beyond u64 saturates, which the cap takes care of; a negative one becomes zero.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturating is what is wanted")]
        Value::Number(number) => number.as_u64().or_else(|| number.as_f64().map(|seconds| seconds as u64))?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    (seconds > 0).then_some(seconds.min(LONGEST_LIFE))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_lifetime_is_a_positive_number_of_at_most_ten_years() {
        let expires_in = |value: Value| {
            let body = json!({"access_token": "a", "expires_in": value});
            tidy(&body).expect("usable").get("expires_in").and_then(Value::as_u64)
        };
        assert_eq!(expires_in(json!(3600)), Some(3600));
        assert_eq!(expires_in(json!("3600")), Some(3600));
        assert_eq!(expires_in(json!(3599.9)), Some(3599));
        for huge in [json!(u64::MAX), json!(1e300), json!("99999999999")] {
            assert_eq!(expires_in(huge), Some(LONGEST_LIFE));
        }
        for none in [json!(0), json!(-5), json!(-0.5), json!(0.4), json!(null), json!("soon"), json!([]), json!("-1")] {
            assert_eq!(expires_in(none.clone()), None, "{none}");
        }
    }

    #[test]
    fn a_missing_token_type_is_bearer_and_a_foreign_one_is_refused() {
        for kind in [json!(null), json!(""), json!("bearer"), json!("BEARER"), json!("Bearer "), json!(5)] {
            let tidy = tidy(&json!({"access_token": "a", "token_type": kind})).expect("usable");
            assert_eq!(tidy, json!({"access_token": "a", "token_type": "bearer"}), "{kind}");
        }
        let refused = tidy(&json!({"access_token": "a", "token_type": "mac"}));
        assert!(matches!(refused, Err(TokenError::Refused { .. })));
    }

    #[test]
    fn tokens_that_do_not_fit_into_a_header_are_refused() {
        for bad in [json!("a\nb"), json!("a\u{0}"), json!("é"), json!(5), json!({}), json!(""), json!(null)] {
            assert!(tidy(&json!({"access_token": bad})).is_err(), "{bad}");
        }
        for bad in [json!("a\r\nb"), json!(5)] {
            assert!(tidy(&json!({"access_token": "a", "refresh_token": bad})).is_err(), "{bad}");
        }
        let tidy = tidy(&json!({"access_token": "a", "refresh_token": ""})).expect("usable");
        assert!(tidy.get("refresh_token").is_none());
    }

    proptest! {
        #[test]
        fn what_is_let_through_fits_into_a_header(access in ".{0,40}|[!-~]{1,40}") {
            if let Ok(tidy) = tidy(&json!({"access_token": access})) {
                let token = tidy["access_token"].as_str().expect("a text");
                let header = reqwest::header::HeaderValue::from_str(&format!("Bearer {token}"));
                prop_assert!(header.is_ok());
            }
        }
    }
}
