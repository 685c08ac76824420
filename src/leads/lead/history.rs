//! What happened to a lead, in order, for an operator who asks.
//!
//! Promises that it is bounded, that a failure which repeats itself is one entry with a count, and that nobody is
//! recognised by it: it holds times, words of ours, and of an upstream's words what may be shown.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};

use crate::clock::{Timestamp, from_micros};

/// Entries that a lead keeps; the oldest give way.
const KEPT: usize = 50;

/// Characters that are kept of what an upstream said.
const SAID_KEPT: usize = 100;

/// What may be told again and again; it is counted in one entry for as long as nothing else comes in between.
const REPEATED: [&str; 9] = [
    "alc-failed",
    "alc-unanswered",
    "attio-failed",
    "attio-unanswered",
    "workflow-failed",
    "alc-asked",
    "note-failed",
    "placing-failed",
    "not-opened",
];

/// All that is kept, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct History(Vec<Entry>);

/// Something that happened. Stored as a list, as every lead has some: the milliseconds since 1970, what; and where it
/// is not once and without a word, how often, the milliseconds from the first time to the last, and what was said.
#[derive(Debug, Clone, PartialEq)]
struct Entry {
    at: i64,
    what: Cow<'static, str>,
    times: u32,
    lasted: i64,
    said: Option<String>,
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (&self.said, self.times) {
            (Some(said), _) => (self.at, &self.what, self.times, self.lasted, said).serialize(serializer),
            (None, 2..) => (self.at, &self.what, self.times, self.lasted).serialize(serializer),
            (None, _) => (self.at, &self.what).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(EntryVisitor)
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = Entry;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of a time and a word")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Entry, A::Error> {
        let entry = Entry {
            at: list.next_element()?.unwrap_or_default(),
            what: Cow::Owned(list.next_element()?.unwrap_or_default()),
            times: list.next_element()?.unwrap_or(1),
            lasted: list.next_element()?.unwrap_or_default(),
            said: list.next_element::<Option<String>>()?.flatten(),
        };
        // What a newer version adds must not make the lead unreadable to this one.
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(entry)
    }
}

/// An entry as operators read it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Happened {
    /// The first time.
    pub at: Timestamp,
    /// What; docs/operations.md explains each word.
    pub what: String,
    /// How often, without anything but other failures in between.
    pub times: u32,
    /// The last time.
    pub last: Timestamp,
    /// What the upstream said the last time, masked and shortened.
    pub said: Option<String>,
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
            .map(|entry| Happened {
                at: moment(entry.at),
                what: entry.what.clone().into_owned(),
                times: entry.times,
                last: moment(entry.at.saturating_add(entry.lasted)),
                said: entry.said.clone(),
            })
            .collect()
    }

    /// Writes down that this happened, and what an upstream said.
    pub(super) fn add(&mut self, what: Cow<'static, str>, said: Option<&str>, now: Timestamp) {
        let now = now.as_millisecond();
        let said = said.map(|said| said.chars().take(SAID_KEPT).collect());
        let mut repeated = self.0.iter_mut().rev().take_while(|entry| REPEATED.contains(&&*entry.what));
        if let Some(entry) = repeated.find(|entry| entry.what == what) {
            entry.times = entry.times.saturating_add(1);
            entry.lasted = now.saturating_sub(entry.at).max(entry.lasted);
            entry.said = said;
            return;
        }
        // The clocks of two replicas may differ: what is told later did not happen before.
        let at = self.0.last().map_or(now, |last| now.max(last.at));
        self.0.push(Entry { at, what, times: 1, lasted: 0, said });
        let surplus = self.0.len().saturating_sub(KEPT);
        self.0.drain(..surplus);
    }
}
