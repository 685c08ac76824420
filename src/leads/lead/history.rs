//! What happened to a lead, in order, for an operator who asks.
//!
//! Read off the lead before and after a change, so that no transition has to say it, and a change that is decided anew
//! after a conflict is told once. Promises that it is bounded, that a failure which repeats itself is one entry with a
//! count, and that nobody is recognised by it: it holds words of ours and times alone.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{aggregate::Lead, outcome::Status, reach::Reach, shown::Title};
use crate::clock::{Timestamp, from_micros};

/// Entries that a lead keeps; the oldest give way.
const KEPT: usize = 50;

/// What may be told again and again; it is counted in one entry for as long as nothing else comes in between.
const REPEATED: [&str; 6] =
    ["alc-failed", "alc-unanswered", "attio-failed", "attio-unanswered", "workflow-failed", "alc-asked"];

/// All that is kept, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct History(Vec<Entry>);

/// Something that happened: when first in milliseconds since 1970, what, how often, and how many milliseconds after
/// the first time the last one was. A list, because every lead stores some.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Entry(i64, Cow<'static, str>, u32, i64);

/// An entry as operators read it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Happened {
    /// The first time.
    pub at: Timestamp,
    /// What; docs/operations.md explains each word.
    pub what: String,
    /// How often, without anything else in between.
    pub times: u32,
    /// The last time.
    pub last: Timestamp,
}

impl History {
    /// Whether nothing has been written down.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each entry, oldest first.
    pub fn told(&self) -> Vec<Happened> {
        let moment = |millis: i64| from_micros(millis.saturating_mul(1000));
        self.0
            .iter()
            .map(|Entry(at, what, times, later)| Happened {
                at: moment(*at),
                what: what.clone().into_owned(),
                times: *times,
                last: moment(at.saturating_add(*later)),
            })
            .collect()
    }

    fn add(&mut self, what: Cow<'static, str>, now: Timestamp) {
        let now = now.as_millisecond();
        let mut repeated = self.0.iter_mut().rev().take_while(|entry| REPEATED.contains(&&*entry.1));
        if let Some(entry) = repeated.find(|entry| entry.1 == what) {
            entry.2 = entry.2.saturating_add(1);
            entry.3 = now.saturating_sub(entry.0).max(entry.3);
            return;
        }
        // The clocks of two replicas may differ: what is told later did not happen before.
        let now = self.0.last().map_or(now, |last| now.max(last.0));
        self.0.push(Entry(now, what, 1, 0));
        let surplus = self.0.len().saturating_sub(KEPT);
        self.0.drain(..surplus);
    }
}

impl Lead {
    /// Writes down what has happened since it was `before`; `None`: it has just been made.
    pub fn keep_history(&mut self, before: Option<&Self>, now: Timestamp) {
        for what in happened(before, self) {
            self.history.add(what, now);
        }
    }
}

/// In the order in which a send goes its way.
fn happened(before: Option<&Lead>, after: &Lead) -> Vec<Cow<'static, str>> {
    let Some(before) = before else {
        let made = [(after.forwarding, "merged"), (after.adopted, "adopted"), (!after.forwarding, "pressed")];
        let made = made.into_iter().find(|(is_so, _)| *is_so).map(|(_, what)| Cow::Borrowed(what));
        return made.into_iter().chain(ended(after)).collect();
    };
    let is_same_send = before.send.outcome.id == after.send.outcome.id;
    let has_ended = before.send.outcome.status.is_live()
        || !is_same_send
        || before.send.outcome.status != after.send.outcome.status;
    let begun = [
        (is_merged(before, after), "merged"),
        (before.joined.is_none() && after.joined.is_some(), "joined"),
        (before.joined.is_some() && after.joined.is_none(), "speaks-again"),
        (!is_same_send && after.adopted, "adopted"),
        (!is_same_send && !after.adopted, "pressed"),
    ];
    let asked = if is_same_send { at_alc(before, after) } else { Vec::new() };
    let end = ended(after).filter(|_| has_ended);
    let shown = at_attio(before, after).into_iter().chain(at_workflows(before, after));
    said(begun).chain(said(asked)).chain(end).chain(said(shown)).collect()
}

fn said(all: impl IntoIterator<Item = (bool, &'static str)>) -> impl Iterator<Item = Cow<'static, str>> {
    all.into_iter().filter(|(is_so, _)| *is_so).map(|(_, what)| Cow::Borrowed(what))
}

fn is_merged(before: &Lead, after: &Lead) -> bool {
    before.merged_into != after.merged_into || before.attio_record != after.attio_record
}

fn at_alc(before: &Lead, after: &Lead) -> Vec<(bool, &'static str)> {
    let (was, is) = (&before.send, &after.send);
    let is_unanswered = was.reach != is.reach && is.reach == Reach::InDoubt;
    let has_accepted = was.outcome.status == Status::Queued && is.outcome.status == Status::Pending;
    vec![
        (is_unanswered, "alc-unanswered"),
        (!is_unanswered && is.failures > was.failures, "alc-failed"),
        (is.polls > was.polls, "alc-asked"),
        (has_accepted, "accepted"),
    ]
}

fn at_attio(before: &Lead, after: &Lead) -> [(bool, &'static str); 6] {
    let shown = |lead: &Lead| lead.attio.shown.as_ref().map(|shown| shown.showing);
    let newly_shown = shown(after).filter(|now| shown(before) != Some(*now));
    let (was, is) = (&before.attio, &after.attio);
    let later = before.earlier.iter().any(|earlier| {
        let now = after.earlier.iter().find(|now| now.outcome.id == earlier.outcome.id);
        now.is_some_and(|now| now.outcome.status != earlier.outcome.status)
    });
    [
        (later, "earlier-send-complete"),
        (newly_shown.is_some(), newly_shown.map_or("", |showing| shows(showing.title))),
        (is.doubts.len() > was.doubts.len(), "attio-unanswered"),
        (is.failures > was.failures, "attio-failed"),
        (is.refused && !was.refused, "attio-refused"),
        (is.gone && !was.gone, "record-gone"),
    ]
}

fn at_workflows(before: &Lead, after: &Lead) -> [(bool, &'static str); 4] {
    let (was, is) = (&before.calls, &after.calls);
    let given_up = is.given_up.iter().count() > was.given_up.iter().count();
    let failures = |lead: &Lead| lead.calls.owed.iter().map(|owed| owed.failures).max().unwrap_or(0);
    [
        (is.waiting.len() > was.waiting.len(), "workflow-waits"),
        (given_up, "workflow-given-up"),
        (is.owed.len() < was.owed.len() && !given_up, "workflow-told"),
        (failures(after) > failures(before), "workflow-failed"),
    ]
}

fn ended(lead: &Lead) -> Option<Cow<'static, str>> {
    let outcome = &lead.send.outcome;
    match (outcome.status, outcome.reason) {
        (Status::Complete, _) => Some("complete".into()),
        (Status::Failed, Some(reason)) => Some(format!("failed-{}", reason.name()).into()),
        (Status::Failed, None) => Some("failed".into()),
        (Status::Queued | Status::Pending, _) => None,
    }
}

const fn shows(title: Title) -> &'static str {
    match title {
        Title::Pending => "attio-shows-pending",
        Title::Complete => "attio-shows-complete",
        Title::Failed => "attio-shows-failed",
    }
}
