//! What ALC says besides a result: sealed in the lead until it is written on the record, and the note that it becomes.
//!
//! Promises that nothing which ALC says can break the note's form, or pass for the line by which a note of ours is
//! found again.

use secrecy::{ExposeSecret as _, SecretString};

use super::{
    lead::{aggregate::Lead, note::Note, outcome::Outcome},
    places::{logical_key, place},
    service::Leads,
};
use crate::{alc::Words, clock::Timestamp, ids::SendId, sealing::Sealed, store::Tenant};

/// The name of the sealed field.
pub(super) const FIELD: &str = "alc_words";
/// How the last line of each note begins, which names the send.
const LINE: &str = "alc-connector:";
/// Of the result, so many characters are in the title.
const TITLE_KEPT: usize = 80;

impl Leads {
    /// What a result that was not there `before` is owed in Attio besides the record, as the operator has it.
    pub(super) fn owe_more(
        &self,
        tenant: &Tenant,
        lead: &mut Lead,
        before: Option<&Lead>,
        words: &Words,
        now: Timestamp,
    ) {
        let keep_trying = self.settings.deadlines.retention;
        if self.settings.note {
            let sealed = self.seal_words(&logical_key(tenant, lead.record_id), words);
            lead.owe_note(before, sealed.as_ref(), keep_trying, now);
        }
        if let Some(pipeline) = &self.settings.pipeline {
            lead.owe_placement(before, |result| pipeline.stage_of(result), keep_trying, now);
        }
    }

    /// What ALC said, sealed under a lead or a person of that logical key; `None`: it said nothing, or notes are off.
    pub(super) fn seal_words(&self, logical: &str, words: &Words) -> Option<Sealed> {
        let text = serde_json::to_string(words).ok().filter(|_| self.settings.note && !words.is_empty())?;
        Some(self.parts.sealer.seal(place(logical, FIELD), &SecretString::from(text)))
    }

    /// What ALC said besides the result that a note is about.
    pub(super) fn words_of(&self, tenant: &Tenant, lead: &Lead, note: &Note) -> Words {
        self.open_words(&logical_key(tenant, lead.record_id), note.words.as_ref())
    }

    /// What ALC said. What cannot be opened is left out: the result counts.
    pub(super) fn open_words(&self, logical: &str, sealed: Option<&Sealed>) -> Words {
        let Some(sealed) = sealed else { return Words::default() };
        match self.parts.sealer.open(place(logical, FIELD), sealed) {
            Ok(text) => serde_json::from_str(text.expose_secret()).unwrap_or_default(),
            Err(error) => {
                tracing::error!(%error, "what ALC said cannot be opened: the note goes without it");
                Words::default()
            }
        }
    }
}

/// The line that names the send in its note.
pub(super) fn line_of(send: SendId) -> String {
    format!("{LINE} {send}")
}

/// The title of a send's note, and its content in Attio's markdown.
pub(super) fn note_of(outcome: &Outcome, since: Timestamp, words: &Words) -> (String, String) {
    let result = outcome.result.as_deref().unwrap_or("no word");
    let title = one_line(result).chars().take(TITLE_KEPT).collect::<String>();
    let when = since.to_string().replace('T', " ");
    let mut parts = vec![
        format!("- **Result:** {}", escaped(&one_line(result))),
        format!("- **When:** {} UTC", when.chars().take(16).collect::<String>()),
    ];
    parts.extend(outcome.lead_id.as_deref().map(|id| format!("- **Lead at ALC:** {}", escaped(&one_line(id)))));
    let mut content = parts.join("\n");
    for (heading, said) in [("Summary", &words.summary), ("Transcript", &words.transcript)] {
        if let Some(said) = said {
            content.push_str(&format!("\n\n## {heading}\n\n{}", quoted(said)));
        }
    }
    content.push_str(&format!("\n\n{}", line_of(outcome.id)));
    (format!("ALC: {title}"), content)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Lines of ALC's, each a paragraph of its own.
fn quoted(text: &str) -> String {
    let lines = text.lines().map(one_line).filter(|line| !line.is_empty()).map(|line| {
        let bare: String = line.chars().filter(|c| c.is_alphanumeric()).collect();
        let passes_for_ours = bare.to_lowercase().contains("alcconnector");
        format!("{}{}", if passes_for_ours { "ALC said: " } else { "" }, escaped(&line))
    });
    lines.collect::<Vec<_>>().join("\n\n")
}

/// Text that means nothing to markdown.
fn escaped(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    for (at, c) in line.char_indices() {
        let begins_a_list = at == 0 && matches!(c, '-' | '+') || at == digits && digits > 0 && matches!(c, '.' | ')');
        if begins_a_list || matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '~' | '=' | '#' | '|') {
            text.push('\\');
        }
        text.push(if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c });
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{clock::from_micros, leads::lead::send::PresentSend};

    fn outcome(result: &str, lead_id: Option<&str>) -> Outcome {
        let now = from_micros(1_763_640_000_000_000);
        let mut outcome = PresentSend::new(SendId::random(), now).outcome;
        (outcome.result, outcome.lead_id) = (Some(result.to_owned()), lead_id.map(str::to_owned));
        outcome
    }

    fn words(summary: &str, transcript: &str) -> Words {
        Words { summary: Some(summary.to_owned()), transcript: Some(transcript.to_owned()) }
    }

    #[test]
    fn a_note_tells_the_result_and_what_was_said() {
        let outcome = outcome("not_interested", Some("L-1"));
        let (title, content) =
            note_of(&outcome, outcome.created_at, &words("She *is* at home.", "Ada: hi\n\n1. bot: # ho"));
        assert_eq!(title, "ALC: not_interested");
        let expected = format!(
            "- **Result:** not\\_interested\n- **When:** 2025-11-20 12:00 UTC\n- **Lead at ALC:** L-1\n\n\
             ## Summary\n\nShe \\*is\\* at home.\n\n## Transcript\n\nAda: hi\n\n1\\. bot: \\# ho\n\n\
             alc-connector: {}",
            outcome.id
        );
        assert_eq!(content, expected);
        let (_, bare) = note_of(&outcome, outcome.created_at, &Words::default());
        assert!(!bare.contains("##"), "{bare}");
    }

    #[test]
    fn a_long_result_is_cut_in_the_title_only() {
        let outcome = outcome(&"long ".repeat(100), None);
        let (title, content) = note_of(&outcome, outcome.created_at, &Words::default());
        assert!(title.chars().count() <= 85 && !title.contains('\n'));
        assert!(content.contains(&"long ".repeat(99)));
    }

    proptest! {
        /// Whatever ALC says, our line is there once, at the end; and what stands before it is no markup of ALC's.
        #[test]
        fn nothing_that_alc_says_passes_for_ours(result in ".{0,40}", said in "[ -~\\n*_#>`\\\\]{0,200}", tail in ".{0,40}") {
            let outcome = outcome(&result, Some(&tail));
            let line = line_of(outcome.id);
            for said in [said.clone(), format!("{said}\n{line}\n{tail}"), line.clone(), format!("alc\\-{}", &line[4..])] {
                let (title, content) = note_of(&outcome, outcome.created_at, &words(&said, &said));
                let bare = |text: &str| text.replace(['\\', '*', '_', '`'], "").trim_start_matches(['#', '-', '>', ' ']).trim().to_owned();
                let ours: Vec<_> = content.lines().filter(|found| bare(found) == line).collect();
                prop_assert_eq!(ours.len(), 1, "{}", content);
                prop_assert_eq!(content.lines().last(), Some(line.as_str()));
                prop_assert!(!title.contains('\n'));
                let headings = content.lines().filter(|found| found.starts_with('#')).count();
                prop_assert!(headings <= 2, "{}", content);
            }
        }
    }
}
