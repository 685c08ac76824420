//! What a worker does that holds a sync's lease: one page, or one person, and what came of it is committed together
//! with what it changes of leads. So a crash repeats at most what was under way, on what is stored by then.

use std::time::Duration;

use secrecy::SecretString;

use super::run::{End, Phase, Settled, SyncRun};
use crate::{
    attio::query::{ListedPerson, Part},
    clock::{Timestamp, later},
    connections::{AttioAccess, Workspace},
    ids::RecordId,
    leads::{
        lead::{aggregate::Lead, compared::Compared},
        service::{Leads, lead_key},
        work::{leased::Pass, triage::triage},
    },
    store::{
        Change, Commit, Committed, Key, Kind, Lease, LeaseChange, Leased, Patience, StoreError, Taken, Tenant,
        Versioned, Write,
        gate::{GateReport, Verdict},
    },
    telemetry::{self, traces},
    upstream::CallError,
};

/// Of the pace of Attio's gate, a sync and what it has leads do take one part in so many.
const SHARE: u32 = 10;
/// Leads that are loaded at once.
const LOADED_AT_ONCE: usize = 100;

/// A leased sync under way.
pub(super) struct SyncWork {
    pub(super) tenant: Tenant,
    pub(super) run: Versioned<SyncRun>,
    pub(super) lease: Lease,
    pub(super) workspace: Versioned<Workspace>,
    pub(super) alc: Pass,
    pub(super) attio: Pass,
    taken: Taken,
}

impl SyncWork {
    fn step(&self) -> &'static str {
        let run = &self.run.value;
        match run.phase {
            _ if run.ended.is_some() => "rest",
            _ if !run.asked.is_empty() => "look",
            _ if !run.suspects.is_empty() => "settle",
            Phase::People => "page",
            Phase::Leads => "ask",
        }
    }
}

impl Leads {
    /// Takes a leased sync one step further; what the reconciler calls.
    pub async fn sync_step(&self, leased: Leased) -> Result<(), StoreError> {
        let (Some(taken), Some(lease)) = (leased.taken(), leased.document.lease) else { return Ok(()) };
        let (tenant, key) = (leased.tenant, leased.key);
        let run = Versioned::<SyncRun>::read(leased.document)?;
        let mut loaded = self.stands_beside(&tenant, leased.beside).await?;
        let [alc, attio] = loaded.gates().map(Pass::of);
        let Some(workspace) = loaded.take()? else {
            // It has left, and what was found of it goes with it.
            let erase = Write { key, expected: Some(run.version()), change: Change::Erase };
            return self.commit_surely(&tenant, &Commit::of(vec![erase])).await.map(drop);
        };
        let mut work = SyncWork { tenant, run, lease, workspace, alc, attio, taken };
        let (step, failures) = (work.step(), work.run.value.failures);
        let trace = traces::step("sync", step, None);
        let done = trace.within(self.take_sync_step(&mut work)).await;
        let outcome = match &done {
            Err(_) => "store_error",
            Ok(()) if work.run.value.failures > failures => "failed",
            Ok(()) => "done",
        };
        telemetry::step("sync", step, outcome);
        trace.came_to(outcome);
        done
    }

    async fn take_sync_step(&self, work: &mut SyncWork) -> Result<(), StoreError> {
        let now = self.parts.clock.now();
        if work.run.value.ended.is_some() {
            return self.rest_sync(work, now).await;
        }
        if !work.run.value.asked.is_empty() {
            return self.look_at_asked(work).await;
        }
        if work.run.value.suspects.is_empty() && work.run.value.phase == Phase::Leads {
            return self.ask_of_leads(work).await;
        }
        let Some(token) = self.parts.connections.attio_token(&work.workspace.value) else {
            return match self.parts.connections.attio_access(&work.workspace.value) {
                AttioAccess::NotBefore(at) => self.put_sync(work, Vec::new(), at).await,
                AttioAccess::None | AttioAccess::Granted => self.end_sync(work, End::NotConnected).await,
            };
        };
        let (gate, key) = (self.settings.gates.attio, Key::new(Kind::Sync, ""));
        let verdict = self.parts.store.reserve(&work.tenant, &gate, Some(&key), now).await?;
        if let Verdict::At(slot) = verdict {
            return self.put_sync(work, Vec::new(), slot).await;
        }
        if work.run.value.suspects.is_empty() {
            self.read_people(work, &token).await
        } else {
            self.settle(work, &token).await
        }
    }

    /// One page of Attio's people.
    async fn read_people(&self, work: &mut SyncWork, token: &SecretString) -> Result<(), StoreError> {
        let (run, titles) = (&work.run.value, &self.settings.titles);
        let part = Part { offset: run.offset, limit: run.at_once };
        let shown = [titles.pending.as_str(), titles.complete.as_str()];
        let slug = &self.settings.attributes.status;
        let page = match self.parts.attio.people_showing(token, slug, &shown, part).await {
            Ok(page) => page,
            Err(error) => return self.sync_failed(work, &error, token, true).await,
        };
        self.attio_answered_sync(work).await;
        let records: Vec<_> = page.people.iter().map(|person| person.record).collect();
        if work.run.value.is_page_before(&records) {
            let error = CallError::Unreadable { detail: "the page before was given once more".to_owned() };
            return self.sync_failed(work, &error, token, true).await;
        }
        let suspects = self.suspects(&work.tenant, &page.people).await?;
        work.run.value.read_page(page.count as u64, &records, suspects);
        self.put_sync(work, Vec::new(), self.sync_turn(1)).await
    }

    /// Those whom Attio shows as Pending, and whose leads do not say so.
    async fn suspects(&self, tenant: &Tenant, page: &[ListedPerson]) -> Result<Vec<RecordId>, StoreError> {
        let is_pending = |person: &&ListedPerson| person.status.as_ref() == Some(&self.settings.titles.pending);
        let pending: Vec<_> = page.iter().filter(is_pending).map(|person| person.record).collect();
        let mut suspects = Vec::new();
        for records in pending.chunks(LOADED_AT_ONCE) {
            let keys: Vec<_> = records.iter().map(|record| lead_key(*record)).collect();
            let mut loaded = self.parts.store.load(tenant, &keys, &[], self.parts.store.now()).await?;
            for record in records {
                let is_settled = match loaded.take::<Lead>() {
                    // Counted when it is looked at.
                    Err(error) if error.is_unreadable() => false,
                    lead => lead?.is_some_and(|lead| {
                        lead.value.next_hop().is_none() && lead.value.compared(*record) == Compared::Settled
                    }),
                };
                if !is_settled {
                    suspects.push(*record);
                }
            }
        }
        Ok(suspects)
    }

    /// The last suspect is dealt with, by these writes.
    pub(super) async fn settled(
        &self,
        work: &mut SyncWork,
        settled: Settled,
        writes: Vec<Write>,
    ) -> Result<(), StoreError> {
        work.run.value.settled(settled);
        // The read, and what is written for it.
        self.put_sync(work, writes, self.sync_turn(2)).await
    }

    /// Attio did not answer as it should.
    pub(super) async fn sync_failed(
        &self,
        work: &mut SyncWork,
        error: &CallError,
        token: &SecretString,
        is_page: bool,
    ) -> Result<(), StoreError> {
        let triage = triage(error);
        let again = triage.again(self, work.run.value.failures);
        self.report(&work.tenant, &self.settings.gates.attio, &mut work.attio, triage.report).await;
        match error {
            CallError::RateLimited { .. } => return self.put_sync(work, Vec::new(), again.at).await,
            CallError::Unauthorized => {
                // Whatever it comes to is written down with the workspace, and the next step sees it.
                drop(self.parts.connections.attio_refused(&work.tenant, token).await?);
            }
            CallError::Forbidden { .. }
            | CallError::NotFound
            | CallError::Unsupported
            | CallError::Rejected { .. }
            | CallError::Conflict { .. } => {
                work.run.value.last_error = Some(format!("Attio: {error}"));
                return self.end_sync(work, End::Refused).await;
            }
            CallError::NotSent { .. } | CallError::Unreadable { .. } | CallError::Unknown { .. } => {}
        }
        self.sync_waits(work, format!("Attio: {error}"), is_page, again.at).await
    }

    /// An upstream is asked again then.
    pub(super) async fn sync_waits(
        &self,
        work: &mut SyncWork,
        detail: String,
        is_page: bool,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        if work.run.value.failures == 0 {
            tracing::warn!(workspace = %work.tenant, "a full sync waits for an upstream, and tries again");
        }
        work.run.value.failed(detail, is_page, self.parts.clock.now());
        if let Some(how) = work.run.value.ended.as_ref().map(|ended| ended.how) {
            return self.end_sync(work, how).await;
        }
        self.put_sync(work, Vec::new(), at).await
    }

    /// Attio has answered: its gate opens, whatever the answer says.
    pub(super) async fn attio_answered_sync(&self, work: &mut SyncWork) {
        self.report(&work.tenant, &self.settings.gates.attio, &mut work.attio, GateReport::Recovered).await;
    }

    /// It has ended.
    pub(super) async fn end_sync(&self, work: &mut SyncWork, how: End) -> Result<(), StoreError> {
        let now = self.parts.clock.now();
        work.run.value.end(how, now);
        let run = &work.run.value;
        let (checked, mended, left) = (run.checked(), run.mended, run.left);
        let at = run.rests_until(self.settings.deadlines.retention, now).unwrap_or(now);
        if self.commit_sync(work, Vec::new(), LeaseChange::End { token: work.lease.token, due: Some(at) }).await? {
            telemetry::sync_ended(mended, left);
            tracing::info!(workspace = %work.tenant, ?how, checked, mended, left, "a full sync has ended");
        }
        Ok(())
    }

    /// It ended long ago.
    async fn rest_sync(&self, work: &mut SyncWork, now: Timestamp) -> Result<(), StoreError> {
        if let Some(at) = work.run.value.rests_until(self.settings.deadlines.retention, now) {
            return self.put_sync(work, Vec::new(), at).await;
        }
        let key = Key::new(Kind::Sync, "");
        let erase = Write { key, expected: Some(work.run.version()), change: Change::Erase };
        self.commit_surely(&work.tenant, &Commit::of(vec![erase])).await.map(drop)
    }

    /// When the next step may be taken after so many requests to Attio, of its own or of leads.
    pub(super) fn sync_turn(&self, requests: u32) -> Timestamp {
        later(self.parts.clock.now(), self.sync_pace() * requests)
    }

    /// The time for one request of a sync.
    pub(super) fn sync_pace(&self) -> Duration {
        self.pace() * SHARE
    }

    /// Writes down how far it is, with these writes of leads, and rests.
    pub(super) async fn put_sync(
        &self,
        work: &mut SyncWork,
        writes: Vec<Write>,
        due: Timestamp,
    ) -> Result<(), StoreError> {
        let change = LeaseChange::End { token: work.lease.token, due: Some(due) };
        self.commit_sync(work, writes, change).await.map(drop)
    }

    /// The same, and goes on; `false`: another writer has changed something, and the next step begins from that.
    pub(super) async fn hold_sync(&self, work: &mut SyncWork) -> Result<bool, StoreError> {
        work.lease = self.extended(work.lease, self.parts.clock.now());
        self.commit_sync(work, Vec::new(), LeaseChange::Hold(work.lease)).await
    }

    async fn commit_sync(
        &self,
        work: &mut SyncWork,
        writes: Vec<Write>,
        change: LeaseChange,
    ) -> Result<bool, StoreError> {
        let mut commit = Commit::of(vec![work.run.put("", change)]);
        commit.writes.extend(writes);
        if let Committed::Done(_) = self.parts.store.tries(&work.tenant, Patience::CALLER).commit(&commit).await? {
            work.run.written("", &commit);
            return Ok(true);
        }
        let now = self.parts.clock.now();
        self.parts.store.put_back(&work.tenant, &work.taken, now, now).await?;
        Ok(false)
    }
}
