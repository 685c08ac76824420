//! All workspaces at a glance: what waits since when, what fails and why, what was given up, what holds it back.
//!
//! Promises that a look costs a bounded part of the store, however many leads there are: of each workspace so many of
//! the newest leads are read, and what is counted beyond them is said to be "more".

use super::{Operate, gates::GateLine, pages::Place};
use crate::{
    clock::Timestamp,
    connections::WorkspaceStory,
    ids::{RecordId, WorkspaceId},
    leads::{DeadLetter, LeadSummary, LetterKind, Looked, Status},
    store::{Cursor, Depth, Kind, StoreError},
};

/// Workspaces of one look.
const WORKSPACES: usize = 20;
/// After so many leads a look ends with the workspace that it is at.
const ENOUGH_LEADS: usize = 4_000;
/// Leads that are read of each status in which a send goes on.
const LIVE: usize = 200;
/// Leads that are read of those whose send has ended: what is owed of them is owed for the newest ones.
const ENDED: usize = 100;
/// Leads in trouble that are shown of a workspace.
const SHOWN: usize = 5;
/// Reasons that are shown of a workspace; an upstream may find ever new words.
const REASONS: usize = 8;
/// Steps towards the oldest lead: each halves the time in which it is looked for.
const STEPS: usize = 20;

/// All workspaces at a glance.
#[derive(Debug, Clone)]
pub struct Overview {
    /// When it was so.
    pub now: Timestamp,
    /// How many leads of each status there are, over all workspaces: exact.
    pub totals: Vec<Depth>,
    /// The same of the people whom ALC has brought and Attio does not have yet.
    pub prospects: Vec<Depth>,
    /// See [`super::GatesPage::all_of_alc_held_back`].
    pub all_of_alc_held_back: bool,
    /// The workspaces.
    pub workspaces: Vec<Glance>,
    /// Where the next ones begin.
    pub next: Option<Place>,
}

/// One workspace at a glance.
#[derive(Debug, Clone)]
pub struct Glance {
    /// Which.
    pub workspace_id: WorkspaceId,
    /// Its connections; `None`: it has left, and its leads are not forgotten yet.
    pub connection: Option<WorkspaceStory>,
    /// Gates that hold something back or count failures.
    pub gates: Vec<GateLine>,
    /// Sends that ALC does not have yet.
    pub queued: Waiting,
    /// Sends that ALC has, and has not answered.
    pub pending: Waiting,
    /// Ended sends of which Attio or a workflow is still to hear.
    pub owed: Waiting,
    /// What the leads that were read come to.
    pub trouble: Trouble,
    /// There are ended leads that were not read.
    pub has_older: bool,
}

/// Leads that wait for the same.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Waiting {
    /// How many of those that were read.
    pub count: usize,
    /// There are more than were read.
    pub more: bool,
    /// The one that waits longest, and since when.
    pub oldest: Option<(RecordId, Timestamp)>,
}

/// What fails and what was given up, of the leads that were read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trouble {
    /// Leads of which the last try has failed.
    pub failing: usize,
    /// What was said, and of how many of them: the commonest first.
    pub reasons: Vec<(String, usize)>,
    /// What was given up, by kind and reason, and how much of it: the commonest first.
    pub letters: Vec<((LetterKind, &'static str), usize)>,
    /// Some of the leads that fail, or else wait: the longest first.
    pub leads: Vec<LeadSummary>,
}

impl Waiting {
    fn of(leads: &[LeadSummary], more: bool, since: impl Fn(&LeadSummary) -> Timestamp) -> Self {
        let oldest = leads.iter().map(|lead| (lead.record_id, since(lead))).min_by_key(|(_, since)| *since);
        Self { count: leads.len(), more, oldest }
    }
}

impl Trouble {
    fn of(leads: Vec<LeadSummary>, letters: &[DeadLetter]) -> Self {
        let failing = leads.iter().filter(|lead| lead.failing).count();
        let said = leads.iter().filter(|lead| lead.failing).map(|lead| lead.last_error.clone().unwrap_or_default());
        let mut reasons = counted(said);
        reasons.truncate(REASONS);
        let letters = counted(letters.iter().map(|letter| (letter.kind, letter.reason)));
        let mut leads: Vec<_> = leads.into_iter().filter(|lead| lead.waiting).collect();
        leads.sort_by_key(|lead| (!lead.failing, lead.created_at));
        leads.truncate(SHOWN);
        Self { failing, reasons, letters, leads }
    }
}

/// How often each is there: the commonest first, and what is equally common in the order of its first.
fn counted<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<(T, usize)> {
    let mut counts: Vec<(T, usize)> = Vec::new();
    for one in all {
        match counts.iter_mut().find(|(known, _)| *known == one) {
            Some((_, count)) => *count += 1,
            None => counts.push((one, 1)),
        }
    }
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
}

impl Operate {
    /// The workspaces from `from` on, or one alone, at a glance.
    pub async fn overview(&self, only: Option<WorkspaceId>, from: Option<&Place>) -> Result<Overview, StoreError> {
        let now = self.clock.now();
        let mut totals = self.store.depths(now).await?;
        let prospects = totals.extract_if(.., |depth| depth.kind == Kind::Prospect).collect();
        totals.retain(|depth| depth.kind == Kind::Lead);
        let mut all = self.workspaces(Kind::Workspace, only, from.map(|from| from.workspace)).await?;
        all.extend(self.workspaces(Kind::Lead, only, from.map(|from| from.workspace)).await?);
        all.sort_unstable();
        all.dedup();
        let (mut workspaces, mut read, mut next) = (Vec::new(), 0, None);
        for workspace in all {
            if workspaces.len() >= WORKSPACES || read >= ENOUGH_LEADS {
                next = Some(Place { workspace, after: None });
                break;
            }
            let (glance, of_it) = self.glance(workspace, &totals).await?;
            read += of_it;
            // One that is asked for by its id need not be there.
            if of_it > 0 || glance.connection.is_some() {
                workspaces.push(glance);
            }
        }
        Ok(Overview { now, totals, prospects, all_of_alc_held_back: self.leads.holds_back_alc(), workspaces, next })
    }

    /// One workspace, and how many leads were read for it.
    async fn glance(&self, workspace: WorkspaceId, totals: &[Depth]) -> Result<(Glance, usize), StoreError> {
        let gates = self.gates_of(workspace).await?.into_iter().filter(GateLine::is_worth_opening).collect();
        let connection = self.connections.story(workspace).await?;
        let (mut leads, mut letters, mut live) = (Vec::new(), Vec::new(), Vec::new());
        for status in [Status::Queued, Status::Pending] {
            let page = self.leads.listed(workspace, &[status], None, LIVE).await?;
            let of_it = summaries(&page, workspace);
            let mut waiting = Waiting::of(&of_it, page.next.is_some(), |lead| lead.created_at);
            if let Some(seen) = &page.next {
                let floor = totals.iter().find(|depth| depth.status == status.name()).and_then(|depth| depth.oldest);
                let oldest = self.oldest(workspace, status, (floor.unwrap_or(Timestamp::UNIX_EPOCH), seen)).await?;
                waiting.oldest = oldest.or(waiting.oldest);
            }
            live.push(waiting);
            letters.extend(given_up(&page, workspace));
            leads.extend(of_it);
        }
        let ended = self.leads.listed(workspace, &[Status::Complete, Status::Failed], None, ENDED).await?;
        letters.extend(given_up(&ended, workspace));
        let all = summaries(&ended, workspace);
        let read = leads.len() + all.len();
        // If the oldest that was read is owed something, those before it may be.
        let is_more_owed = ended.next.is_some() && all.last().is_some_and(|lead| lead.waiting);
        let owed: Vec<_> = all.into_iter().filter(|lead| lead.waiting).collect();
        let waiting = Waiting::of(&owed, is_more_owed, |lead| lead.updated_at);
        leads.extend(owed);
        let pending = live.pop().unwrap_or_default();
        let queued = live.pop().unwrap_or_default();
        let trouble = Trouble::of(leads, &letters);
        let (workspace_id, owed, has_older) = (workspace, waiting, ended.next.is_some());
        Ok((Glance { workspace_id, connection, gates, queued, pending, owed, trouble, has_older }, read))
    }

    /// The oldest lead of a status, looked for behind the newest ones by halving the time in which it may be: a lead of
    /// some seconds younger may be named instead, and no lead is read for having been passed over.
    async fn oldest(
        &self,
        workspace: WorkspaceId,
        status: Status,
        (mut floor, seen): (Timestamp, &Cursor),
    ) -> Result<Option<(RecordId, Timestamp)>, StoreError> {
        let (mut found, mut before) = (None, seen.clone());
        for _ in 0..STEPS {
            let page = self.leads.listed(workspace, &[status], Some(&before), 1).await?;
            match page.summaries(workspace).pop() {
                Some((at, lead)) => {
                    found = Some((lead.record_id, lead.created_at));
                    if page.next.is_none() {
                        break;
                    }
                    before = Cursor { created_at: middle(floor, at.created_at), id: String::new() };
                }
                None => {
                    floor = before.created_at;
                    let ceiling = found.map_or(seen.created_at, |(_, since)| since);
                    before = Cursor { created_at: middle(floor, ceiling), id: String::new() };
                }
            }
        }
        Ok(found)
    }
}

fn middle(from: Timestamp, to: Timestamp) -> Timestamp {
    let (from, to) = (from.as_microsecond(), to.as_microsecond());
    // Rounded up: a lead of the floor itself stands before it.
    crate::clock::from_micros(from + (to - from + 1) / 2)
}

fn summaries(page: &Looked, workspace: WorkspaceId) -> Vec<LeadSummary> {
    page.summaries(workspace).into_iter().map(|(_, lead)| lead).collect()
}

fn given_up(page: &Looked, workspace: WorkspaceId) -> impl Iterator<Item = DeadLetter> {
    page.dead_letters(workspace).into_iter().flat_map(|(_, letters)| letters)
}
