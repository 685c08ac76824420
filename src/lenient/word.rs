//! What stands outside of quotes and is no sign: numbers, the three words of JSON, and what others write for them.

use serde_json::Number;

/// What JSON says for a word.
pub(super) enum Word {
    /// The same.
    Fine,
    /// This.
    Means(&'static str),
    /// Nothing that anybody writes: the parser is to refuse it.
    Unknown,
}

/// Whether a word may have this byte.
pub(super) fn continues(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.' | b'_' | b'$')
}

pub(super) fn read(word: &[u8]) -> Word {
    let unsigned = word.strip_prefix(b"-").or_else(|| word.strip_prefix(b"+")).unwrap_or(word);
    let is = |name: &str| unsigned.eq_ignore_ascii_case(name.as_bytes());
    if matches!(word, b"true" | b"false" | b"null") {
        Word::Fine
    } else if unsigned.first().is_some_and(|first| first.is_ascii_digit() || *first == b'.') {
        // `1e999` is a number to the grammar and none to a parser that has to hold it.
        if serde_json::from_slice::<Number>(word).is_ok() { Word::Fine } else { Word::Means("null") }
    } else if is("true") {
        Word::Means("true")
    } else if is("false") {
        Word::Means("false")
    } else if ["null", "none", "nil", "undefined", "nan", "infinity", "inf"].into_iter().any(is) {
        Word::Means("null")
    } else {
        Word::Unknown
    }
}
