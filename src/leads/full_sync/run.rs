//! What is stored of a workspace's sync: how far it is, what it has found, and what the last one came to.

#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    clock::{Timestamp, later, until},
    ids::{RecordId, SendId},
    store::{Aggregate, Kind},
};

/// People of one page; as many as Attio gives at once.
const PEOPLE_AT_ONCE: u32 = 500;
/// A page whose answer does not come through is asked for in parts, not smaller than this.
const FEWEST_AT_ONCE: u32 = 25;
/// Differences that are named; the others are counted.
const NAMED: usize = 100;
/// An upstream that gives nothing for so long ends the sync.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// How often leads are looked at again of which ALC's answer is awaited.
const LOOKS: u32 = 6;
/// A sync that has ended is looked at so often: whether its workspace is still there.
const LOOKED_AT: Duration = Duration::from_secs(24 * 60 * 60);

/// A workspace's sync: the one that runs, or the last one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SyncRun {
    /// Tells the runs of a workspace apart.
    pub id: Uuid,
    /// When it was asked for.
    pub begun_at: Timestamp,
    /// Records that nobody knows are set to `Failed`.
    #[serde(default)]
    pub mend: bool,
    /// What it goes through.
    pub phase: Phase,
    /// So many people of Attio's list are behind it.
    #[serde(default)]
    pub offset: u64,
    /// People of a page.
    pub at_once: u32,
    /// The first of the page before: an Attio that gives the same again would be asked for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<RecordId>,
    /// Of the last page, those that are to be looked at one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suspects: Vec<RecordId>,
    /// `Failed` is being written into the last of these, or was when a worker vanished.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub writing: bool,
    /// That is written without a word for why: Attio does not take it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wordless: bool,
    /// Where the next page of our own leads begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// There is no such page.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_last: bool,
    /// Leads of whose results ALC is asked just now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<Asked>,
    /// How often these have been looked at since.
    #[serde(default)]
    pub looks: u32,
    /// People of Attio's list that were looked at.
    #[serde(default)]
    pub people: u64,
    /// Our own leads of which ALC was asked.
    #[serde(default)]
    pub leads: u64,
    /// Differences that were set right.
    #[serde(default)]
    pub mended: u64,
    /// Differences that were not.
    #[serde(default)]
    pub left: u64,
    /// Some of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub named: Vec<Left>,
    /// How many the last one that came to its end had looked at: what tells how far this one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<u64>,
    /// Failures in a row.
    #[serde(default)]
    pub failures: u32,
    /// Since when nothing but failures came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Timestamp>,
    /// What failed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// When it ended, and how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
    /// What a newer version keeps here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What a sync goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Attio's people whose status is Pending or Complete.
    People,
    /// Our own leads that wait for ALC's result.
    Leads,
}

/// A lead of whose result ALC is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The lead's record.
    pub record: RecordId,
    /// Its send.
    pub send: SendId,
    /// How often ALC had been asked before.
    pub polls: u32,
    /// What a newer version keeps here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A difference that was not set right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// The record.
    pub record: RecordId,
    /// Why not.
    pub why: Why,
    /// What a newer version keeps here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Why a difference stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// Pending in Attio, and neither this service nor ALC knows of it.
    Unknown,
    /// Pending in Attio and at ALC, which has told no result; this service does not know of it.
    AtAlc,
    /// ALC could not be asked, or did not answer.
    AlcSilent,
    /// Finished, and Attio refuses to show it: a dead letter.
    Refused,
    /// Finished in a way of which Attio is told nothing, and Pending there.
    Untold,
    /// What is stored of it cannot be read by this version.
    Unreadable,
}

/// How a sync ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// When.
    pub at: Timestamp,
    /// How.
    pub how: End,
    /// What a newer version keeps here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// How a sync ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// Everything was looked through.
    Done,
    /// The workspace has no access to Attio.
    NotConnected,
    /// Attio refuses the question.
    Refused,
    /// Attio gave nothing for a day.
    Unreachable,
}

impl Aggregate for SyncRun {
    const KIND: Kind = Kind::Sync;
    const SCHEMA: u32 = 1;

    fn status(&self) -> &'static str {
        if self.ended.is_some() { "ended" } else { "running" }
    }

    fn created_at(&self) -> Timestamp {
        self.begun_at
    }
}

impl SyncRun {
    /// One that begins now, after `last`.
    pub fn new(id: Uuid, mend: bool, last: Option<&Self>, now: Timestamp) -> Self {
        let done = last.filter(|last| last.ended.as_ref().is_some_and(|ended| ended.how == End::Done));
        Self {
            id,
            begun_at: now,
            mend,
            phase: Phase::People,
            offset: 0,
            at_once: PEOPLE_AT_ONCE,
            first: None,
            suspects: Vec::new(),
            writing: false,
            wordless: false,
            cursor: None,
            is_last: false,
            asked: Vec::new(),
            looks: 0,
            people: 0,
            leads: 0,
            mended: 0,
            left: 0,
            named: Vec::new(),
            expected: done.map(Self::checked).or_else(|| last.and_then(|last| last.expected)),
            failures: 0,
            failing_since: None,
            last_error: None,
            ended: None,
            extra: Map::new(),
        }
    }

    /// How many were looked at.
    pub fn checked(&self) -> u64 {
        self.people + self.leads
    }

    /// A page of so many of Attio's list was read, of which these are suspect.
    pub fn read_page(&mut self, count: u64, page: &[RecordId], suspects: Vec<RecordId>) {
        self.went_well();
        self.offset += count;
        self.people += count;
        self.first = page.first().copied();
        self.suspects = suspects;
        if count < u64::from(self.at_once) {
            self.phase = Phase::Leads;
        }
        self.at_once = self.at_once.saturating_mul(2).min(PEOPLE_AT_ONCE);
    }

    /// Whether Attio has given the page before once more.
    pub fn is_page_before(&self, page: &[RecordId]) -> bool {
        self.first.is_some() && page.first().copied() == self.first
    }

    /// The last suspect is dealt with.
    pub fn settled(&mut self, settled: Settled) {
        let Some(record) = self.suspects.pop() else { return };
        self.went_well();
        (self.writing, self.wordless) = (false, false);
        match settled {
            Settled::Alike => {}
            Settled::Mended => self.mended += 1,
            Settled::WrittenOff => {
                self.mended += 1;
                // It has left the list that the next page is counted in.
                self.offset = self.offset.saturating_sub(1);
            }
            Settled::Left(why) => self.leave(record, why),
        }
    }

    /// ALC is being asked of these, on this page of our leads.
    pub fn ask(&mut self, asked: Vec<Asked>, next: Option<String>) {
        self.went_well();
        self.leads += asked.len() as u64;
        self.asked = asked;
        self.looks = 0;
        self.is_last = next.is_none();
        self.cursor = next;
    }

    /// What has come of the asking: so many results, and those of which ALC has said nothing yet. The next look is
    /// worth while for as long as these are not given up.
    pub fn looked(&mut self, results: u64, silent: Vec<Asked>) {
        self.mended += results;
        self.looks += 1;
        self.asked = silent;
        if self.looks >= LOOKS {
            for asked in std::mem::take(&mut self.asked) {
                self.leave(asked.record, Why::AlcSilent);
            }
        }
    }

    /// This difference stands.
    pub fn leave(&mut self, record: RecordId, why: Why) {
        if self.named.iter().any(|named| named.record == record) {
            // Attio's list has named it, and then ours does.
            return;
        }
        self.left += 1;
        if self.named.len() < NAMED {
            self.named.push(Left { record, why, extra: Map::new() });
        }
    }

    /// It ended like this.
    pub fn end(&mut self, how: End, now: Timestamp) {
        self.ended = Some(Ended { at: now, how, extra: Map::new() });
        self.suspects.clear();
        self.asked.clear();
        (self.writing, self.wordless) = (false, false);
    }

    /// An upstream did not do what was asked of it. A page that does not come through is asked for in smaller parts.
    pub fn failed(&mut self, detail: String, is_page: bool, now: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        self.last_error = Some(detail);
        if is_page {
            self.at_once = (self.at_once / 2).max(FEWEST_AT_ONCE);
        }
        let since = *self.failing_since.get_or_insert(now);
        if until(since, now) >= GIVEN_UP_AFTER {
            self.end(End::Unreachable, now);
        }
    }

    fn went_well(&mut self) {
        self.failures = 0;
        self.failing_since = None;
        if self.ended.is_none() {
            self.last_error = None;
        }
    }

    /// When one that has ended is looked at next; `None`: it is forgotten now.
    pub fn rests_until(&self, retention: Duration, now: Timestamp) -> Option<Timestamp> {
        let ended = self.ended.as_ref()?;
        let forgotten = later(ended.at, retention);
        (forgotten > now).then(|| forgotten.min(later(now, LOOKED_AT)))
    }
}

/// What a suspect came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Nothing differs.
    Alike,
    /// Set right.
    Mended,
    /// Set to `Failed`.
    WrittenOff,
    /// Not set right.
    Left(Why),
}
