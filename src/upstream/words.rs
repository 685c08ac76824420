//! What an upstream said, made fit to be kept, shown and logged.
//!
//! Promises about every text made here: at most [`CAP`] characters, no control characters, no URL, none of the secrets
//! that the request carried (upstreams like to quote what they refuse), and nothing that looks like a phone number.

use std::error::Error;

use serde_json::Value;

use super::reading;

/// The longest text, in characters.
const CAP: usize = 300;
/// The longest code, in characters.
const CODE_CAP: usize = 64;
/// Digits that make a phone number.
const PHONE_DIGITS: usize = 7;
/// What stands where something was taken out.
const MASK: &str = "…";

/// An error of the HTTP client with its causes.
pub(super) fn of_error(error: &reqwest::Error) -> String {
    // The outermost text names the URL, and says no more than which phase failed.
    let mut text = if error.is_timeout() { "timed out".to_owned() } else { String::new() };
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        // "client error (Connect)" is what hyper calls its envelope; the cause inside says it better.
        let is_envelope = words.starts_with("client error (") && error.source().is_some();
        if !is_envelope && !text.contains(&words) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&words);
        }
        cause = error.source();
    }
    if text.is_empty() {
        text = if error.is_builder() { "the request cannot be built" } else { "the connection failed" }.to_owned();
    }
    clean(&text, &[])
}

/// The message in the body of an error: what JSON APIs commonly call it (RFC 9457 `detail`, RFC 6749
/// `error_description`, Attio's `message`), else a short text; empty for a page of HTML.
pub(super) fn of_body(body: &[u8], secrets: &[&str]) -> String {
    let text = match reading::whole(body) {
        Some(value) => {
            let message = message(&value).or_else(|| value.get("error").and_then(message));
            match (message, places(&value)) {
                (None, _) => value.to_string(),
                (Some(message), None) => message,
                // The place must survive the cut at the end.
                (Some(message), Some(places)) => {
                    format!("{} ({places})", clean(&message, secrets).chars().take(CAP / 2).collect::<String>())
                }
            }
        }
        None => {
            let text = String::from_utf8_lossy(body);
            if text.trim_start().starts_with('<') { String::new() } else { text.into_owned() }
        }
    };
    clean(&text, secrets)
}

/// Where Attio says that the fault lies: `{"validation_errors": [{"path": ["data", "values", <slug>, …]}]}`.
fn places(value: &Value) -> Option<String> {
    let errors = value.get("validation_errors")?.as_array()?;
    let place = |error: &Value| match error.get("path")? {
        Value::String(path) => Some(path.clone()),
        Value::Array(path) => Some(
            path.iter()
                .filter_map(Value::as_str)
                .filter(|part| !["data", "values"].contains(part))
                .collect::<Vec<_>>()
                .join("."),
        ),
        _ => None,
    };
    let places: Vec<_> = errors.iter().filter_map(place).filter(|place| !place.is_empty()).take(4).collect();
    (!places.is_empty()).then(|| places.join(", "))
}

fn message(value: &Value) -> Option<String> {
    if let Some(text) = value.as_str() {
        return Some(text.to_owned());
    }
    let keys = ["message", "detail", "error_description", "title", "error"];
    keys.iter().find_map(|key| value.get(key)?.as_str()).map(ToOwned::to_owned)
}

/// The machine-readable code in the body of an error: `code`, or `error` where that is one (RFC 6749 §5.2).
pub(super) fn code(body: &[u8], secrets: &[&str]) -> Option<String> {
    let value = reading::whole(body)?;
    let error = value.get("error");
    let nested = error.and_then(|error| error.get("code"));
    [value.get("code"), nested, error].into_iter().flatten().filter_map(Value::as_str).find_map(|text| {
        let fits = !text.is_empty()
            && text.len() <= CODE_CAP
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
        (fits && clean(text, secrets) == text).then(|| text.to_owned())
    })
}

/// Keeps the promises of this module. Masking comes before cutting, or half a secret would be left at the end.
pub(super) fn clean(text: &str, secrets: &[&str]) -> String {
    let mut text: Vec<char> = text.chars().collect();
    let mut secrets: Vec<&str> = secrets.iter().flat_map(|secret| parts(secret)).collect();
    // The longest first: a part must not break up the whole.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    for secret in secrets {
        text = without(&text, secret);
    }
    let text: String = text.into_iter().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let words: Vec<&str> = text.split_whitespace().map(|word| if word.contains("://") { MASK } else { word }).collect();
    let text = without_phone_numbers(&words.join(" "));
    if text.chars().count() <= CAP { text } else { text.chars().take(CAP - 1).chain(['…']).collect() }
}

/// A secret whole, and its words of three characters or more: "no such person: Jane" gives away as much as the full
/// name does.
fn parts(secret: &str) -> impl Iterator<Item = &str> {
    let secret = secret.trim();
    let words = secret.split(|c: char| c.is_whitespace() || c == ',').filter(|word| word.chars().count() >= 3);
    std::iter::once(secret).filter(|secret| !secret.is_empty()).chain(words)
}

/// `text` with every occurrence of `secret` masked, in any letter case.
fn without(text: &[char], secret: &str) -> Vec<char> {
    let fold = |c: &char| c.to_lowercase().next().unwrap_or(*c);
    let secret: Vec<char> = secret.chars().map(|c| fold(&c)).collect();
    let mut kept = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        let found = rest.len() >= secret.len() && rest.iter().map(fold).zip(&secret).all(|(a, b)| a == *b);
        if found {
            kept.extend(MASK.chars());
            rest = &rest[secret.len()..];
        } else {
            kept.push(*first);
            rest = tail;
        }
    }
    kept
}

/// Masks runs of digits, perhaps grouped by blanks and punctuation, that begin with `+` or stand alone and have
/// [`PHONE_DIGITS`] digits or more. Digits inside words (UUIDs, hashes) stay, since they are what support asks for.
fn without_phone_numbers(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut kept = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let plus = chars[at] == '+';
        let begins = plus || chars[at] == '(' || chars[at].is_numeric();
        let inside_a_word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '-');
        if !begins || (inside_a_word && !plus) {
            kept.push(chars[at]);
            at += 1;
            continue;
        }
        let (mut end, mut digits) = (at + 1, usize::from(chars[at].is_numeric()));
        let mut run = chars.len();
        for (index, c) in chars.iter().enumerate().skip(at + 1) {
            if c.is_numeric() {
                digits += 1;
                end = index + 1;
            } else if !matches!(c, ' ' | '-' | '.' | '(' | ')' | '/' | '\u{a0}' | '‑' | '–') {
                run = index;
                break;
            }
        }
        if digits == 0 {
            // No number begins further inside either. To look from each parenthesis again would take the square of the
            // length, and an upstream may answer with nothing but parentheses.
            kept.extend(&chars[at..run]);
            at = run;
            continue;
        }
        let goes_on = chars.get(end).is_some_and(|c| c.is_alphabetic());
        if digits >= PHONE_DIGITS && (plus || !goes_on) {
            kept.push_str(MASK);
        } else {
            kept.extend(&chars[at..end]);
        }
        at = end;
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_upstreams_own_words_are_found() {
        for (body, words) in [
            (
                r#"{"status_code":400,"type":"x","code":"value_not_found","message":"No such option."}"#,
                "No such option.",
            ),
            (r#"{"title":"Bad","detail":"Say more."}"#, "Say more."),
            (r#"{"error":"invalid_grant","error_description":"Expired."}"#, "Expired."),
            (r#"{"error":{"message":"Nested."}}"#, "Nested."),
            (r#""just text""#, "just text"),
            ("plain\r\ntext", "plain text"),
            ("<!doctype html><p>Bad gateway", ""),
            ("", ""),
        ] {
            assert_eq!(of_body(body.as_bytes(), &[]), words, "{body}");
        }
    }

    #[test]
    fn codes_are_words_and_nothing_else() {
        assert_eq!(code(br#"{"code":"slug_conflict"}"#, &[]).as_deref(), Some("slug_conflict"));
        assert_eq!(code(br#"{"error":"invalid_grant"}"#, &[]).as_deref(), Some("invalid_grant"));
        assert_eq!(code(br#"{"error":{"code":"nested"}}"#, &[]).as_deref(), Some("nested"));
        for body in
            [r#"{"code":"two words"}"#, r#"{"code":""}"#, r#"{"code":15550109999}"#, r#"{"code":"15550109999"}"#]
        {
            assert_eq!(code(body.as_bytes(), &[]), None, "{body}");
        }
        assert_eq!(code(br#"{"code":"Jane"}"#, &["Jane Doe"]), None);
    }

    #[test]
    fn what_we_sent_is_never_quoted_back() {
        let secrets = ["Jane Doe", "+15550109999", "https://us.example/webhooks/alc/abc.s3cret", "abc.s3cret"];
        for text in [
            "no person JANE DOE",
            "no person called jane",
            "Doe, Jane is unknown",
            "bad number +15550109999",
            "bad number +1 (555) 010-9999",
            "bad number 15550109999.",
            "bad number (555) 010 9999",
            "cannot reach https://us.example/webhooks/alc/abc.s3cret",
            "cannot reach /webhooks/alc/abc.s3cret",
        ] {
            let text = clean(text, &secrets).to_lowercase();
            for leak in ["jane", "doe", "010", "9999", "s3cret", "example"] {
                assert!(!text.contains(leak), "{text}");
            }
        }
    }

    #[test]
    fn ids_stay_readable() {
        let text = "Record with ID \"891dcbfc-9141-415d-9b2a-2238a6cc012d\" was not found in 2026.";
        assert_eq!(clean(text, &["Jane Doe"]), text);
    }

    #[test]
    fn a_long_body_of_nothing_but_beginnings_is_read_at_once() {
        let (done, finished) = std::sync::mpsc::channel();
        for pattern in ["(", "+", "(-", "1(", "(1 ", "+(", " (", "1a", "{", "[(", "\"("] {
            let (body, done) = (pattern.repeat(256 * 1024 / pattern.len()), done.clone());
            std::thread::spawn(move || {
                let words = of_body(body.as_bytes(), &["Jane Doe", "+15550109999"]);
                let _code = code(body.as_bytes(), &[]);
                done.send(words.chars().count()).expect("the test waits");
            });
        }
        for _ in 0..11 {
            // Step by step from each beginning it would be minutes.
            let length = finished.recv_timeout(std::time::Duration::from_secs(20)).expect("read in time");
            assert!(length <= CAP);
        }
    }

    proptest! {
        #[test]
        fn every_text_keeps_the_promises(
            before in ".{0,400}", after in ".{0,400}", name in "[A-Z][a-z]{3,9} [A-Z][a-z]{3,9}", number in "\\+[1-9][0-9]{7,13}",
        ) {
            let text = clean(&format!("{before}{name} {number}{after}"), &[&name, &number]);
            prop_assert!(text.chars().count() <= CAP);
            prop_assert!(!text.chars().any(char::is_control));
            prop_assert!(!text.contains(&name) && !text.contains(&number) && !text.contains("://"));
        }
    }
}
