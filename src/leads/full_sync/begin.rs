//! How a sync is begun, by an operator or by the clock, and what is told of it.

use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use super::run::{End, Phase, SyncRun, Why};
use crate::{
    clock::{Timestamp, later},
    connections::{self, Workspace},
    ids::{RecordId, WorkspaceId, random_uuid, unit_random},
    leads::{lead::next_step::DISCONNECT_GRACE, service::Leads},
    store::{Aggregate as _, Decision, Key, Kind, LeaseChange, Patience, StoreError, Tenant, Versioned},
};

/// A workspace that has connected since is found after so long.
const LOOK_AGAIN: Duration = Duration::from_secs(15 * 60);
/// What is due for all workspaces at once begins within so long.
const SPREAD: Duration = Duration::from_secs(10 * 60);

/// A sync as operators read it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SyncView {
    /// Whose.
    pub workspace_id: WorkspaceId,
    /// Tells the workspace's syncs apart.
    pub sync_id: Uuid,
    /// `running`, `done`, `not-connected`, `refused` or `unreachable`.
    pub state: &'static str,
    /// What a running one goes through: `people` or `leads`.
    pub phase: Phase,
    /// Records that nobody knows are set to `Failed`.
    pub mend: bool,
    /// People of Attio's list and leads of ours that were looked at.
    pub checked: u64,
    /// How many that were the last time: what tells how far it is.
    pub expected: Option<u64>,
    /// Differences that were set right.
    pub mended: u64,
    /// Differences that were not.
    pub left: u64,
    /// The first hundred of these.
    pub differences: Vec<Difference>,
    /// What an upstream said last, if it does not answer as it should.
    pub last_error: Option<String>,
    /// When it was asked for.
    pub begun_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// A difference that was not set right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The record.
    pub record_id: RecordId,
    /// Why not.
    pub reason: Why,
}

/// What the wish for a sync came to.
#[derive(Debug, Clone, PartialEq)]
pub struct SyncBegun {
    /// The sync that runs now.
    pub view: SyncView,
    /// It was begun by this wish; else one ran already.
    pub is_new: bool,
}

impl SyncRun {
    fn view(&self, workspace: WorkspaceId) -> SyncView {
        let state = match self.ended.as_ref().map(|ended| ended.how) {
            None => "running",
            Some(End::Done) => "done",
            Some(End::NotConnected) => "not-connected",
            Some(End::Refused) => "refused",
            Some(End::Unreachable) => "unreachable",
        };
        let differences = self.named.iter().map(|left| Difference { record_id: left.record, reason: left.why });
        SyncView {
            workspace_id: workspace,
            sync_id: self.id,
            state,
            phase: self.phase,
            mend: self.mend,
            checked: self.checked(),
            expected: self.expected,
            mended: self.mended,
            left: self.left,
            differences: differences.collect(),
            last_error: self.last_error.clone(),
            begun_at: self.begun_at,
            ended_at: self.ended.as_ref().map(|ended| ended.at),
        }
    }
}

impl Leads {
    /// Begins a workspace's sync, if none runs that does as much; `None`: there is no such workspace.
    pub async fn begin_sync(&self, workspace: WorkspaceId, mend: bool) -> Result<Option<SyncBegun>, StoreError> {
        let (tenant, id) = (connections::tenant(workspace), random_uuid());
        if self.parts.store.find::<Workspace>(&tenant, "").await?.is_none() {
            return Ok(None);
        }
        let begin = |found: &mut Option<Versioned<SyncRun>>, now| {
            let runs = found.as_ref().filter(|found| found.value.ended.is_none());
            if runs.is_some_and(|found| found.value.mend || !mend) {
                return Decision::Leave(false);
            }
            next_of(found, id, mend, now);
            Decision::Write(LeaseChange::Leave { due: Some(now) }, true)
        };
        let (is_new, found) = self.parts.store.change(&tenant, "", Patience::CALLER, begin).await?;
        Ok(found.map(|found| SyncBegun { view: found.value.view(workspace), is_new }))
    }

    /// A workspace's sync that runs, or its last one; `None`: there was none, or it is forgotten.
    pub async fn sync_of(&self, workspace: WorkspaceId) -> Result<Option<SyncView>, StoreError> {
        let found = self.parts.store.find::<SyncRun>(&connections::tenant(workspace), "").await?;
        Ok(found.map(|found| found.value.view(workspace)))
    }

    /// Why the workspace cannot be synced, for which access to Attio is needed: it has `left`, or is `not-connected`.
    pub async fn why_not_synced(&self, workspace: WorkspaceId) -> Result<Option<&'static str>, StoreError> {
        let found = self.parts.store.find::<Workspace>(&connections::tenant(workspace), "").await?;
        let Some(Versioned { value: found, .. }) = found else { return Ok(Some("left")) };
        // Until then its leads wait for it to connect again.
        let gone_since = found.disconnected_at.filter(|_| found.status() == "disconnected");
        let has_left = gone_since.is_some_and(|since| later(since, DISCONNECT_GRACE) <= self.parts.clock.now());
        let has_access = self.parts.connections.attio_token(&found).is_some();
        Ok((!has_access).then_some(if has_left { "left" } else { "not-connected" }))
    }

    /// Begins the sync of each workspace every `SYNC__EVERY`, until the process stops; of all replicas one does.
    pub async fn sync_by_the_clock(self) {
        let Some(every) = self.settings.sync_every else { return };
        while !self.parts.lifecycle.is_stopping() {
            let turn = self.parts.lifecycle.turn();
            let now = self.parts.clock.now();
            let latest = later(now, LOOK_AGAIN.min(every));
            let next = match self.begin_what_is_due(every, now).await {
                Ok(next) => next.map_or(latest, |next| next.min(latest)),
                Err(error) => {
                    tracing::warn!(%error, "could not look whose full sync is due");
                    latest
                }
            };
            drop(turn);
            tokio::select! {
                () = self.parts.clock.sleep_until(next) => {}
                () = self.parts.lifecycle.stopping() => {}
            }
        }
    }

    /// Begins each sync that is due; when the next one is.
    async fn begin_what_is_due(&self, every: Duration, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let mut next: Option<Timestamp> = None;
        for tenant in self.parts.store.tenants(Kind::Workspace).await? {
            let due = match self.begin_if_due(&tenant, every, now).await {
                Err(error) if error.is_unreadable() => {
                    // The others' are due all the same.
                    tracing::warn!(workspace = %tenant, %error, "a full sync is not begun");
                    continue;
                }
                due => due?,
            };
            next = next.map_or(due, |next| Some(due.map_or(next, |due| due.min(next))));
        }
        Ok(next)
    }

    async fn begin_if_due(
        &self,
        tenant: &Tenant,
        every: Duration,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        let keys = [Key::workspace(), Key::new(Kind::Sync, "")];
        let mut loaded = self.parts.store.load(tenant, &keys, &[], now).await?;
        let workspace = loaded.take::<Workspace>()?;
        let run = loaded.take::<SyncRun>()?;
        if workspace.is_none_or(|found| self.parts.connections.attio_token(&found.value).is_none()) {
            return Ok(None);
        }
        if let Some(at) = run.map(|run| later(run.value.begun_at, every)).filter(|at| *at > now) {
            return Ok(Some(at));
        }
        let (id, within) = (random_uuid(), SPREAD.min(every / 10).mul_f64(unit_random()));
        let begin = |found: &mut Option<Versioned<SyncRun>>, now| {
            let is_due = found
                .as_ref()
                .is_none_or(|found| found.value.ended.is_some() && later(found.value.begun_at, every) <= now);
            if !is_due {
                return Decision::Leave(());
            }
            next_of(found, id, false, now);
            Decision::Write(LeaseChange::Leave { due: Some(later(now, within)) }, ())
        };
        self.parts.store.change(tenant, "", Patience::CALLER, begin).await?;
        Ok(Some(later(now, every)))
    }
}

/// The sync that follows what was found.
fn next_of(found: &mut Option<Versioned<SyncRun>>, id: Uuid, mend: bool, now: Timestamp) {
    let next = SyncRun::new(id, mend, found.as_ref().map(|found| &*found.value), now);
    match found {
        Some(found) => *found.value = next,
        None => *found = Some(Versioned::new(next)),
    }
}
