//! What operators ask for, in a query, a body or a form, as it is read.
//!
//! Promises that all that is wrong with a request is told at once, each with its place, and that nothing of it is
//! quoted.

use uuid::Uuid;

use super::problem::{Fault, Problem};
use crate::{
    ids::{RecordId, WorkspaceId},
    leads::{LetterKind, Reason, Status},
    operate::{LetterFilter, Place},
};

const LIMITS: std::ops::RangeInclusive<usize> = 1..=200;
const USUAL_LIMIT: usize = 50;

/// Reads texts, and gathers what is wrong with them.
pub(super) struct Reading {
    before: &'static str,
    faults: Vec<Fault>,
}

impl Reading {
    pub(super) const fn of_query() -> Self {
        Self { before: "#/query/", faults: Vec::new() }
    }

    pub(super) const fn of_body() -> Self {
        Self { before: "/", faults: Vec::new() }
    }

    pub(super) fn fault(&mut self, name: &str, detail: impl Into<String>) {
        self.faults.push(Fault { pointer: format!("{}{name}", self.before), detail: detail.into() });
    }

    pub(super) fn read<T>(
        &mut self,
        name: &str,
        text: Option<&String>,
        expected: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let read = read(text?);
        if read.is_none() {
            self.fault(name, expected);
        }
        read
    }

    pub(super) fn uuid(&mut self, name: &str, text: Option<&String>) -> Option<Uuid> {
        self.read(name, text, "must be a UUID", |text| text.parse().ok())
    }

    /// Of which dead letters; all, where nothing narrows them down.
    pub(super) fn letters(
        &mut self,
        workspace: Option<&String>,
        record: Option<&String>,
        kind: Option<&String>,
        reason: Option<&String>,
    ) -> LetterFilter {
        LetterFilter {
            workspace: self.uuid("workspace_id", workspace).map(WorkspaceId),
            record: self.uuid("record_id", record).map(RecordId),
            kind: self.kind(kind),
            reason: reason.cloned(),
            id: None,
        }
    }

    pub(super) fn flag(&mut self, name: &str, text: Option<&String>) -> bool {
        self.read(name, text, "must be true or false", |text| text.parse().ok()).unwrap_or(false)
    }

    pub(super) fn place(&mut self, text: Option<&String>) -> Option<Place> {
        let expected = "not a cursor: pass `next_cursor` of the previous page unchanged";
        self.read("cursor", text, expected, |text| text.parse().ok())
    }

    pub(super) fn limit(&mut self, limit: Option<&String>) -> usize {
        let expected = format!("must be a whole number from {} to {}", LIMITS.start(), LIMITS.end());
        let read = |text: &str| text.parse().ok().filter(|limit| LIMITS.contains(limit));
        self.read("limit", limit, &expected, read).unwrap_or(USUAL_LIMIT)
    }

    pub(super) fn limit_of_body(&mut self, limit: Option<usize>) -> usize {
        let limit = limit.unwrap_or(USUAL_LIMIT);
        if !LIMITS.contains(&limit) {
            self.fault("limit", format!("must be a whole number from {} to {}", LIMITS.start(), LIMITS.end()));
        }
        limit
    }

    pub(super) fn kind(&mut self, text: Option<&String>) -> Option<LetterKind> {
        self.read("kind", text, "must be one of lead, attio-write, workflow-call", LetterKind::from_name)
    }

    pub(super) fn status(&mut self, text: Option<&String>) -> Option<Status> {
        self.read("status", text, "must be one of queued, pending, complete, failed", Status::from_name)
    }

    pub(super) fn reason(&mut self, text: Option<&String>) -> Option<Reason> {
        let expected = "must be one of rejected, not-sent, timed-out, superseded, record-deleted, disconnected, \
                        no-phone-number, no-name";
        self.read("reason", text, expected, Reason::from_name)
    }

    /// What is to be done to all that there are has to be asked for: a filter that was forgotten must not come to that.
    /// What was misspelt in a filter is told alone.
    pub(super) fn is_meant_for_all(&mut self, is_narrowed: bool, all: bool, name: &str, detail: &str) {
        if self.faults.is_empty() && !is_narrowed && !all {
            let pointer = if name.is_empty() { String::new() } else { format!("{}{name}", self.before) };
            self.faults.push(Fault { pointer, detail: detail.to_owned() });
        }
    }

    pub(super) fn done(self) -> Result<(), Problem> {
        if self.faults.is_empty() { Ok(()) } else { Err(Problem::invalid(self.faults)) }
    }
}
