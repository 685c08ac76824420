//! What ALC says of a talk beside its result: a summary, a transcript.
//!
//! Promises that no form of them fails what they stand beside, that they are bounded, with a mark where they were cut,
//! and that they show in no `Debug`.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The most that is kept of a summary, in characters.
const SUMMARY_KEPT: usize = 4_000;
/// The most that is kept of a transcript, in characters.
const TRANSCRIPT_KEPT: usize = 20_000;
/// Stands where the rest was cut off.
pub const CUT: &str = "… (cut: ALC said more)";
/// Lists in a transcript that are looked into.
const DEEPEST: usize = 2;

/// A person's own words may stand there.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Words {
    /// ALC's summary.
    #[serde(default)]
    pub summary: Option<String>,
    /// What was said, line by line.
    #[serde(default)]
    pub transcript: Option<String>,
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Words").finish_non_exhaustive()
    }
}

impl Words {
    /// Reads both, each from whatever stands in its place.
    pub fn read(summary: &Value, transcript: &Value) -> Self {
        Self { summary: text(summary, SUMMARY_KEPT), transcript: text(transcript, TRANSCRIPT_KEPT) }
    }

    /// Whether there is neither.
    pub fn is_empty(&self) -> bool {
        self.summary.is_none() && self.transcript.is_none()
    }
}

fn text(value: &Value, most: usize) -> Option<String> {
    let text = lines(value, 0)?;
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    match text.char_indices().nth(most) {
        Some((end, _)) => Some(format!("{}{CUT}", &text[..end])),
        None => Some(text.to_owned()),
    }
}

/// A text; or a list of texts and of turns (`{"speaker", "text"}`, by whatever common names), one a line.
fn lines(value: &Value, depth: usize) -> Option<String> {
    let member = |names: &[&str]| names.iter().find_map(|name| value.get(name)?.as_str());
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(items) if depth < DEEPEST => {
            let lines: Vec<_> = items.iter().filter_map(|item| lines(item, depth + 1)).collect();
            (!lines.is_empty()).then(|| lines.join("\n"))
        }
        Value::Object(_) => {
            let said = member(&["text", "content", "message", "body"]);
            let Some(said) = said else {
                let inside = ["messages", "turns", "entries"].iter().find_map(|name| value.get(name));
                return inside.filter(|_| depth < DEEPEST).and_then(|inside| lines(inside, depth + 1));
            };
            let speaker = member(&["speaker", "role", "from", "author", "sender"]);
            Some(speaker.map_or_else(|| said.to_owned(), |speaker| format!("{speaker}: {said}")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_transcript_is_read_in_any_common_form() {
        for (value, expected) in [
            (json!(" a\nb "), Some("a\nb")),
            (json!(["a", 5, "b"]), Some("a\nb")),
            (
                json!([{"speaker": "Ada", "text": "hi"}, {"role": "bot", "content": "ho"}, {"text": "x"}]),
                Some("Ada: hi\nbot: ho\nx"),
            ),
            (json!({"messages": [{"from": "Ada", "message": "hi"}]}), Some("Ada: hi")),
            (json!(""), None),
            (json!([]), None),
            (json!({"a": 1}), None),
            (json!(17), None),
            (json!(null), None),
            (json!([[[["deep"]]]]), None),
        ] {
            assert_eq!(Words::read(&Value::Null, &value).transcript.as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn a_long_one_is_cut_with_a_mark_and_nothing_shows() {
        let words = Words::read(&json!("é".repeat(50_000)), &json!("secret ".repeat(50_000)));
        for (text, most) in [(words.summary.as_deref(), SUMMARY_KEPT), (words.transcript.as_deref(), TRANSCRIPT_KEPT)] {
            let text = text.expect("a text");
            assert!(text.ends_with(CUT));
            assert_eq!(text.chars().count(), most + CUT.chars().count());
        }
        assert!(!format!("{words:?}").contains("secret"));
        let short = Words::read(&json!("é".repeat(SUMMARY_KEPT)), &Value::Null);
        assert!(!short.summary.expect("a text").contains(CUT), "it is whole");
    }
}
