//! What servers make of RFC 6749 §5.1, brought to its letter.

use serde_json::{Map, Value, json};

use super::{error::TokenError, leftover::Leftover, refusal};
use crate::upstream::Answer;

/// The longest lifetime that is believed, in seconds: ten years. "Never" is commonly said as a huge number, and some
/// servers give the time of the end instead of the span.
const LONGEST_LIFE: u64 = 10 * 365 * 24 * 60 * 60;

/// The members that we use.
const MEMBERS: [&str; 4] = ["access_token", "token_type", "expires_in", "refresh_token"];

/// The tokens in an answer: JSON (at the top, in an envelope or in the only item of a list), or a form, as GitHub has
/// it; in the RFC's writing of the names, or else as `accessToken`. `None`: there are none.
pub(super) fn found(answer: &Answer) -> Option<Value> {
    let with_token = |value: &Value| {
        let item = value.as_array().filter(|items| items.len() == 1).map(|items| &items[0]);
        let inside = [Some(value), value.get("data"), value.get("result"), value.get("token"), item];
        let named = inside.into_iter().flatten().filter_map(named);
        named.into_iter().find(|value| value.get("access_token").is_some_and(|it| !it.is_null()))
    };
    let form = || {
        let form = refusal::form(std::str::from_utf8(&answer.body).ok()?.trim())?;
        with_token(&form)
    };
    answer.find_in_remains(with_token).ok().flatten().or_else(form)
}

/// The members of an object under the RFC's names; a name that stands there as it should goes before any other writing.
fn named(value: &Value) -> Option<Value> {
    let members = value.as_object()?;
    let bare = |name: &str| name.replace(['_', '-'], "").to_ascii_lowercase();
    let find = |name: &str| {
        let other = || members.iter().find(|(key, _)| bare(key) == bare(name)).map(|(_, value)| value);
        members.get(name).or_else(other)
    };
    Some(MEMBERS.iter().filter_map(|name| Some(((*name).to_owned(), find(name)?.clone()))).collect())
}

/// The four members that we use, and nothing else.
///
/// - `access_token`: what must be usable; without the blanks around it.
/// - `token_type`: missing, `null`, empty, of another JSON type and everything with "bearer" in it counts as bearer;
///   another type is refused (§7.1: a client must not use a token of a type that it does not know).
/// - `expires_in`: a number, perhaps as text; zero, negative or unreadable counts as missing; at most ten years.
/// - `refresh_token`: one that cannot be used counts as missing.
/// - Tokens consist of the characters that §A.12 and §A.17 allow (printable ASCII): the access token goes into a
///   header.
pub(super) fn tidy(body: &Value) -> Result<Value, TokenError> {
    let mut tidy = Map::new();
    let access = token(body.get("access_token"))
        .ok_or_else(|| unusable(body, "it is empty, or has other characters than printable ASCII"))?;
    tidy.insert("access_token".into(), access.into());
    if let Some(refresh) = token(body.get("refresh_token")) {
        tidy.insert("refresh_token".into(), refresh.into());
    }
    let kind = body.get("token_type").and_then(Value::as_str).map_or("", str::trim);
    if !kind.is_empty() && !kind.to_ascii_lowercase().contains("bearer") {
        return Err(unusable(body, "its token_type is not bearer"));
    }
    tidy.insert("token_type".into(), json!("bearer"));
    if let Some(seconds) = body.get("expires_in").and_then(seconds) {
        tidy.insert("expires_in".into(), json!(seconds));
    }
    Ok(Value::Object(tidy))
}

fn token(value: Option<&Value>) -> Option<&str> {
    let text = value?.as_str()?.trim_ascii();
    (!text.is_empty() && text.bytes().all(|byte| (0x20..0x7f).contains(&byte))).then_some(text)
}

fn unusable(body: &Value, detail: &str) -> TokenError {
    TokenError::Unusable { detail: detail.to_owned(), leftover: Leftover::of(body) }
}

fn seconds(value: &Value) -> Option<u64> {
    let seconds = match value {
        Value::Number(number) => number.as_u64().map_or_else(|| number.as_f64(), |whole| Some(floating(whole)))?,
        Value::String(text) => text.trim().parse::<f64>().ok()?,
        _ => return None,
    };
    // A float beyond u64 saturates, which the cap takes care of; a negative one becomes zero, as NaN does.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturating is what is wanted")]
    let seconds = seconds as u64;
    (seconds > 0).then_some(seconds.min(LONGEST_LIFE))
}

#[expect(clippy::cast_precision_loss, reason = "exact up to far beyond the cap")]
fn floating(whole: u64) -> f64 {
    whole as f64
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
        assert_eq!(expires_in(json!("3600.0")), Some(3600));
        assert_eq!(expires_in(json!(" 3600 ")), Some(3600));
        for huge in [json!(u64::MAX), json!(1e300), json!("99999999999")] {
            assert_eq!(expires_in(huge), Some(LONGEST_LIFE));
        }
        for none in [json!(0), json!(-5), json!(-0.5), json!(0.4), json!(null), json!("soon"), json!([]), json!("-1")] {
            assert_eq!(expires_in(none.clone()), None, "{none}");
        }
    }

    #[test]
    fn the_rfcs_names_are_found_in_other_writing_and_go_before_it() {
        let odd =
            json!({"accessToken": "a", "Refresh-Token": "r", "expiresIn": "60", "tokenType": "Bearer", "x": null});
        let named = super::named(&odd).expect("an object");
        assert_eq!(
            named,
            json!({"access_token": "a", "refresh_token": "r", "expires_in": "60", "token_type": "Bearer"})
        );
        let both = json!({"accessToken": "other", "access_token": "a", "ACCESS_TOKEN": "third"});
        assert_eq!(super::named(&both), Some(json!({"access_token": "a"})));
        assert_eq!(super::named(&json!("a")), None);
    }

    #[test]
    fn a_missing_token_type_is_bearer_and_a_foreign_one_is_refused() {
        for kind in [
            json!(null),
            json!(""),
            json!("bearer"),
            json!("BEARER"),
            json!("Bearer "),
            json!("BearerToken"),
            json!("bearer_token"),
            json!("Bearer Token"),
            json!(5),
        ] {
            let tidy = tidy(&json!({"access_token": "a", "token_type": kind})).expect("usable");
            assert_eq!(tidy, json!({"access_token": "a", "token_type": "bearer"}), "{kind}");
        }
        for kind in ["mac", "DPoP", "pop"] {
            let refused = tidy(&json!({"access_token": "a", "token_type": kind}));
            assert!(matches!(refused, Err(TokenError::Unusable { .. })), "{kind}");
        }
    }

    #[test]
    fn tokens_that_do_not_fit_into_a_header_are_refused() {
        for bad in [json!("a\nb"), json!("a\u{0}"), json!("é"), json!(5), json!({}), json!(""), json!(null)] {
            assert!(tidy(&json!({"access_token": bad})).is_err(), "{bad}");
        }
        let padded = tidy(&json!({"access_token": " a\n", "refresh_token": "\tb "})).expect("usable");
        assert_eq!((&padded["access_token"], &padded["refresh_token"]), (&json!("a"), &json!("b")));
    }

    #[test]
    fn an_optional_member_that_cannot_be_used_does_not_cost_the_access_token() {
        for bad in
            [json!("a\r\nb"), json!(5), json!(null), json!(""), json!({}), json!(["r"]), json!("é"), json!(false)]
        {
            let tidy = tidy(&json!({"access_token": "a", "refresh_token": bad, "expires_in": bad})).expect("usable");
            assert!(tidy.get("refresh_token").is_none(), "{bad}");
        }
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
