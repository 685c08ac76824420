//! JSON as others really write it, made into JSON that a strict parser takes.
//!
//! Owns what counts as damage that can be repaired: another encoding than UTF-8, bytes and escapes that are no text,
//! the extensions of JSON that widespread writers produce (`NaN`, comments, commas too many, single quotes, bare keys),
//! numbers that no float can hold, and nesting that no parser follows. Promises that strict JSON without any of these
//! comes back as it is, so that a tolerant reader never finds another id, record or status than a strict one; that no
//! bytes make it panic; and that the time it takes grows with the length of the body alone. Structure is not guessed: a
//! body that was cut stays broken, and the parser says so.
//!
//! No library does all of this: those that mend half a character want UTF-8 first, and those that decode want strict
//! JSON.

mod encoding;
mod repair;
mod word;

use std::borrow::Cow;

use serde_json::Value;

/// The longest id, in characters. What is longer is no id but something that would fill the store.
pub const LONGEST_ID: usize = 200;

/// `body` as strict JSON, as far as it can be made so; what is not text in it becomes U+FFFD. For what can only be
/// taken as it is: its sender would send the same bytes again.
pub fn json(body: &[u8]) -> Cow<'_, str> {
    decoded(body, repair::Broken::Replaced)
}

/// As [`json`], but a text that was broken stays unreadable: skipping it works, reading it fails. For what its sender
/// can correct.
pub fn json_keeping_faults(body: &[u8]) -> Cow<'_, str> {
    decoded(body, repair::Broken::Kept)
}

fn decoded(body: &[u8], broken: repair::Broken) -> Cow<'_, str> {
    match encoding::utf8(body) {
        Cow::Borrowed(body) => repair::repaired(body, broken),
        Cow::Owned(body) => Cow::Owned(repair::repaired(&body, broken).into_owned()),
    }
}

/// An id, whichever JSON type its writer chose for it: a text without the blanks around it, or a whole number as text,
/// `17.0` as `17`. `None` for everything that identifies nothing: also for a text that was broken on its way, since it
/// would be taken for the id of something else.
pub fn id(value: &Value) -> Option<String> {
    /// From here on a float may stand for more than one whole number.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::String(text) => {
            let id = text.trim();
            let usable = !id.is_empty() && !id.contains(char::REPLACEMENT_CHARACTER);
            (usable && id.chars().count() <= LONGEST_ID).then(|| id.to_owned())
        }
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        Value::Number(number) => {
            let whole = number.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < EXACT)?;
            // Adding zero takes the sign off -0.
            Some(format!("{:.0}", whole + 0.0))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
