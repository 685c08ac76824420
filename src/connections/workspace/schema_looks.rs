//! What a look at the attributes and the list at Attio does to the workspace: what is found, and when the next look is.
//!
//! Promises one look at most in [`CHECK_AFTER`] for a workspace, spread over the workspaces, and none where nothing
//! can be written; that what was found stands until the next look that found something; and that the id by which
//! events name the list is never that of a list which the operator has not named.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Map;

use super::{
    aggregate::Workspace,
    schema::{EntryList, Found, SchemaProblem},
    side::Side,
};
use crate::{attio::webhooks::Told, clock::later, ids::ListId};

/// What was looked at is looked at again no sooner than this.
const CHECK_AFTER: Duration = Duration::from_secs(30 * 60);
/// Over so long after that the looks of all workspaces are spread.
const CHECK_WITHIN: Duration = Duration::from_secs(5 * 60);
/// Within so long after a start the list is looked for that the operator has named since the last look.
const NAMED_WITHIN: Duration = Duration::from_secs(60);

impl Workspace {
    /// The id of the list whose entries send, where the operator names it so; `None`: none does, or it was not found.
    pub(in crate::connections) fn list_that_sends(&self, asked: Option<&str>) -> Option<ListId> {
        self.entry_list.as_ref().filter(|list| Some(&*list.asked) == asked).map(|list| list.id)
    }

    /// What Attio is to tell of, besides merged and deleted records.
    pub(in crate::connections) fn told(&self, asked: Option<&str>) -> Told {
        let list = self.entry_list.as_ref().filter(|list| Some(&*list.asked) == asked);
        list.map_or_else(Told::default, |list| Told { entries_of: Some(list.id), changes_of: list.sent_by.clone() })
    }

    /// When Attio is looked at next; `None`: nothing could be written, or nothing is planned yet.
    pub(super) fn check_at(&self) -> Option<Timestamp> {
        self.attio_schema.look_at.filter(|_| self.is_checked())
    }

    /// Whether Attio is looked at.
    pub(super) fn is_checked(&self) -> bool {
        let writes = self.current().is_some_and(|current| !current.alc.dead && !current.lost_attio());
        writes && !self.without_key
    }

    /// What was never looked at is, within the time between two looks.
    pub(super) fn plan_first_check(&mut self, now: Timestamp) {
        if self.is_checked() && self.attio_schema.look_at.is_none() {
            self.attio_schema.look_at = Some(later(now, self.part_of(CHECK_AFTER + CHECK_WITHIN)));
        }
    }

    /// The process has started: a list that the operator has named since the last look is looked for soon.
    pub(super) fn plan_check(&mut self, asked: Option<&str>, now: Timestamp) {
        self.plan_first_check(now);
        if asked.is_some() && self.is_checked() && self.list_that_sends(asked).is_none() {
            let soon = later(now, self.part_of(NAMED_WITHIN));
            self.attio_schema.look_at = self.attio_schema.look_at.map(|at| at.min(soon));
        }
    }

    /// Attio was looked at. A webhook that tells of another list is replaced at once.
    pub(in crate::connections) fn schema_checked(&mut self, found: &Found, now: Timestamp) {
        let next = later(later(now, CHECK_AFTER), self.part_of(CHECK_WITHIN));
        let schema = &mut self.attio_schema;
        (schema.checked_at, schema.look_at) = (Some(now), Some(next));
        schema.problems.clone_from(&found.problems);
        schema.retry.reset();
        let asked = found.list.as_ref().map(|(asked, _)| asked.as_str());
        match &found.list {
            Some((asked, Some(id))) => {
                let sent_by = found.sent_by.clone();
                match self.entry_list.as_mut().filter(|list| list.asked == *asked && list.id == *id) {
                    Some(list) => list.sent_by = sent_by,
                    None => {
                        self.entry_list = Some(EntryList { asked: asked.clone(), id: *id, sent_by, extra: Map::new() });
                    }
                }
            }
            Some((asked, None)) if self.list_that_sends(Some(asked)).is_none() => self.entry_list = None,
            Some(_) => {}
            None => self.entry_list = None,
        }
        let wanted = self.told(asked);
        let told = self.watched(Side::Attio).filter(|webhook| webhook.told() != wanted).map(|webhook| webhook.id);
        if let Some(webhook) = told.and_then(|id| self.webhook_mut(Side::Attio, id)) {
            webhook.look_at = Some(now);
        }
    }

    /// Nothing was learnt; again at `retry_at`, or when the next look would be.
    pub(in crate::connections) fn check_postponed(&mut self, retry_at: Option<Timestamp>, now: Timestamp) {
        let next = later(later(now, CHECK_AFTER), self.part_of(CHECK_WITHIN));
        if let Some(retry_at) = retry_at {
            self.attio_schema.retry.postpone(retry_at);
        }
        self.attio_schema.look_at = Some(retry_at.map_or(next, |at| at.min(next)));
    }

    /// What a person has to mend, by the last look and by what is known of the webhook.
    pub(super) fn schema_problems(&self, asked: Option<&str>) -> Vec<SchemaProblem> {
        let mut problems = self.attio_schema.problems.clone();
        let list = self.list_that_sends(asked);
        let is_told = self.watched(Side::Attio).is_some_and(|webhook| webhook.entries_of == list);
        if let (Some(asked), Some(_), false) = (asked, list, is_told) {
            let what = "is there, and Attio does not tell of its entries: its webhook wants the scope \
                        webhook:read-write and an https PUBLIC_URL, then connect again";
            problems.push(SchemaProblem::of_list(asked, format!("Attio's list `{asked}` {what}")));
        }
        problems
    }

    /// Ids are random, so each workspace has a part of its own.
    fn part_of(&self, whole: Duration) -> Duration {
        whole * u32::from(self.id.0.as_bytes()[0]) / 256
    }
}
