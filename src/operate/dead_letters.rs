//! Dead letters over all workspaces: what was given up, listed by reason and replayed.

use serde::Serialize;

use super::{Operate, audit::By, pages::Place};
use crate::{
    ids::{RecordId, WorkspaceId},
    leads::{DeadLetter, LetterId, LetterKind, Looked, Replayed, Status},
    store::{Cursor, StoreError},
    telemetry,
};

/// Which dead letters are meant.
#[derive(Debug, Clone, Default)]
pub struct LetterFilter {
    /// Of this workspace only.
    pub workspace: Option<WorkspaceId>,
    /// Of this record only.
    pub record: Option<RecordId>,
    /// Of this kind only.
    pub kind: Option<LetterKind>,
    /// Given up for this reason only.
    pub reason: Option<String>,
    /// This one only.
    pub id: Option<LetterId>,
}

/// Some dead letters.
#[derive(Debug, Clone, Serialize)]
pub struct LettersPage {
    /// The letters.
    pub dead_letters: Vec<DeadLetter>,
    /// Where the next page begins; see [`super::LeadsPage::next_cursor`].
    pub next_cursor: Option<String>,
}

/// A replay of whatever the filter finds from some place on.
#[derive(Debug, Clone)]
pub struct Replay {
    /// What.
    pub filter: LetterFilter,
    /// From where on.
    pub from: Option<Place>,
    /// At most so many in this request.
    pub limit: usize,
}

/// What a replay came to, letter by letter.
#[derive(Debug, Clone, Serialize)]
pub struct ReplayDone {
    /// Each letter that was found.
    pub replayed: Vec<ReplaySummary>,
    /// Where the rest begins.
    pub next_cursor: Option<String>,
}

/// What the replay of one letter came to.
#[derive(Debug, Clone, Serialize)]
pub struct ReplaySummary {
    /// Whose.
    pub workspace_id: WorkspaceId,
    /// Of which record.
    pub record_id: RecordId,
    /// Which.
    pub id: LetterId,
    /// What it came to.
    pub outcome: ReplayOutcome,
    /// What to do instead of a refused replay.
    pub advice: Option<&'static str>,
}

/// What a replay came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplayOutcome {
    /// It is done once more.
    Replayed,
    /// It was replayed before, or has mended itself.
    Already,
    /// Not done; see the advice.
    Refused,
}

impl ReplayOutcome {
    const fn name(self) -> &'static str {
        match self {
            Self::Replayed => "replayed",
            Self::Already => "already",
            Self::Refused => "refused",
        }
    }
}

impl LetterFilter {
    /// Whether it leaves anything out.
    pub fn is_narrowed(&self) -> bool {
        self.workspace.is_some() || self.record.is_some() || self.kind.is_some() || self.reason.is_some()
    }

    fn takes(&self, letter: &DeadLetter) -> bool {
        self.record.is_none_or(|record| letter.record_id == record)
            && self.kind.is_none_or(|kind| letter.kind == kind)
            && self.reason.as_ref().is_none_or(|reason| letter.reason == reason)
            && self.id.is_none_or(|id| letter.id == id)
    }

    fn statuses(&self) -> Vec<Status> {
        // Nothing of a queued send was given up yet; of the others Attio may have refused the Pending.
        match self.kind {
            Some(LetterKind::Lead) => vec![Status::Failed],
            _ => Status::ALL.to_vec(),
        }
    }
}

impl Operate {
    /// A page of what was given up.
    pub async fn dead_letters(
        &self,
        filter: &LetterFilter,
        from: Option<&Place>,
        limit: usize,
    ) -> Result<LettersPage, StoreError> {
        let (dead_letters, next) = self.letters(filter, from, limit).await?;
        Ok(LettersPage { dead_letters, next_cursor: next.map(|next| next.to_string()) })
    }

    /// Replays what the filter finds. One letter that is named by workspace, record and id is replayed without a
    /// search, so that asked for again it says that it is done.
    pub async fn replay(&self, replay: &Replay, by: &By) -> Result<ReplayDone, StoreError> {
        let filter = &replay.filter;
        if let (Some(workspace), Some(record), Some(id)) = (filter.workspace, filter.record, filter.id) {
            return self.replay_these(&[(workspace, record, id)], by).await;
        }
        let (letters, next) = self.letters(filter, replay.from.as_ref(), replay.limit).await?;
        let found: Vec<_> = letters.iter().map(|it| (it.workspace_id, it.record_id, it.id)).collect();
        let done = self.replay_these(&found, by).await?;
        Ok(ReplayDone { next_cursor: next.map(|next| next.to_string()), ..done })
    }

    /// Replays these and no others, whatever else a filter would find by now; asked for again it says that they are
    /// done.
    pub async fn replay_these(
        &self,
        letters: &[(WorkspaceId, RecordId, LetterId)],
        by: &By,
    ) -> Result<ReplayDone, StoreError> {
        let (pace, now) = (self.leads.pace(), self.clock.now());
        // One that is asked for by itself waits for no list.
        let first = if letters.len() == 1 { 0 } else { self.turns.first(pace, now) };
        let mut replayed = Vec::new();
        for (turn, (workspace, record, id)) in (first..=u32::MAX).zip(letters) {
            replayed.push(self.replay_one(*workspace, *record, *id, turn, by).await?);
            self.turns.taken(turn.saturating_add(1), pace, now);
        }
        Ok(ReplayDone { replayed, next_cursor: None })
    }

    async fn replay_one(
        &self,
        workspace: WorkspaceId,
        record: RecordId,
        id: LetterId,
        turn: u32,
        by: &By,
    ) -> Result<ReplaySummary, StoreError> {
        let of = format_args!("{workspace}/{record} {id}");
        let replayed =
            self.leads.replay(workspace, record, id, turn).await.inspect_err(|_| by.may_have_done("replay", &of))?;
        let (outcome, advice) = match replayed {
            Replayed::Done => (ReplayOutcome::Replayed, None),
            Replayed::Already => (ReplayOutcome::Already, None),
            Replayed::Refused(advice) => (ReplayOutcome::Refused, Some(advice)),
        };
        by.did("replay", &of, outcome.name());
        telemetry::replayed(id.kind().name(), outcome.name());
        Ok(ReplaySummary { workspace_id: workspace, record_id: record, id, outcome, advice })
    }

    async fn letters(
        &self,
        filter: &LetterFilter,
        from: Option<&Place>,
        limit: usize,
    ) -> Result<(Vec<DeadLetter>, Option<Place>), StoreError> {
        if let Some(record) = filter.record {
            let stories = self.lead(filter.workspace, record).await?;
            let letters = stories.leads.into_iter().flat_map(|story| story.letters);
            return Ok((letters.filter(|letter| filter.takes(letter)).collect(), None));
        }
        let pick = |page: &Looked, workspace| -> Vec<(Cursor, Vec<DeadLetter>)> {
            let letters = page.dead_letters(workspace).into_iter();
            letters.map(|(at, of)| (at, of.into_iter().filter(|letter| filter.takes(letter)).collect())).collect()
        };
        self.walk((filter.workspace, from), &filter.statuses(), limit, pick).await
    }
}
