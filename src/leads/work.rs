//! The worker: takes a leased lead from step to step until nothing is left to do now.
//!
//! Owns the lease while it lasts. Promises that what an upstream answered is never dropped: on a conflict the fact is
//! applied to what is found and committed again, and a worker that lost its lease still records it and takes no further
//! step. Every commit after which nothing is left to do now ends the lease, so resting costs no commit of its own.

use std::time::Duration;

use backon::{ConstantBuilder, Retryable as _};

use super::{
    Leads,
    lead::Lead,
    step::{Connection, Step, Surroundings},
    two,
    waiter::Waiter,
};
use crate::{
    clock::{Timestamp, later, until},
    connections::Workspace,
    ids::SendId,
    store::{
        Change, Commit, Committed, Document, Key, Kind, Lease, LeaseChange, Leased, Reserve, StoreError, Tenant,
        Version, Versioned, Write,
        gate::{Gate, GateReport, GateView, Verdict},
        put,
    },
};

/// How long a fact is pressed upon a store that does not answer, before the next holder has to find out.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(200);
/// How often the state is loaded again to apply a fact to it.
const LOADS: usize = 20;

/// A lead under way.
pub(super) struct Work {
    pub(super) tenant: Tenant,
    pub(super) key: Key,
    pub(super) lead: Versioned<Lead>,
    /// `None`: ended, or lost to another.
    pub(super) lease: Option<Lease>,
    pub(super) workspace: Option<Versioned<Workspace>>,
    pub(super) alc: GateView,
    pub(super) attio: GateView,
    pub(super) alc_opens_at: Option<Timestamp>,
    pub(super) attio_opens_at: Option<Timestamp>,
    pub(super) workflows_open_at: Option<Timestamp>,
    /// Attio's gate has said Go and the PATCH has not begun.
    pub(super) attio_go: bool,
    /// ALC's gate has said Go to a worker that came for it.
    pub(super) alc_go: bool,
    /// The grant turned out to be dead, whatever the workspace says.
    pub(super) grant_dead: bool,
    /// How often there was no grant.
    pub(super) grants_refused: u32,
    /// A 401 has been answered with a fresh token once.
    pub(super) token_renewed: bool,
    pub(super) waiter: Option<Waiter>,
}

impl Work {
    /// A leased lead in what surrounds it; nothing asked and nothing done yet.
    pub(super) fn new(
        tenant: Tenant,
        key: Key,
        lead: Versioned<Lead>,
        workspace: Option<Versioned<Workspace>>,
        gates: [GateView; 2],
    ) -> Self {
        let [alc, attio] = gates;
        Self {
            tenant,
            key,
            lease: lead.document.lease,
            lead,
            workspace,
            alc,
            attio,
            alc_opens_at: None,
            attio_opens_at: None,
            workflows_open_at: None,
            attio_go: false,
            alc_go: false,
            grant_dead: false,
            grants_refused: 0,
            token_renewed: false,
            waiter: None,
        }
    }

    pub(super) fn publish(&self) {
        if let Some(waiter) = &self.waiter {
            waiter.publish(|progress| {
                progress.lead = self.lead.value.view_of(waiter.send).or_else(|| progress.lead.take());
                progress.reauthorization = self.grant_dead;
            });
        }
    }

    /// Whether the caller that waits for this work tells of this send's refusal. See also [`Lead::is_watched`].
    pub(super) fn claims_refusal(&self, send: SendId) -> bool {
        self.waiter.as_ref().is_some_and(|waiter| waiter.claim_refusal(send))
    }

    /// The lease ends only if nobody has connected or removed anything since we looked: who wakes a workspace's leads
    /// passes over the leased ones.
    fn end_checks(&self) -> Vec<(Key, Version)> {
        self.workspace.iter().map(|workspace| (Key::workspace(), workspace.version())).collect()
    }
}

impl Leads {
    /// Loads what surrounds a leased lead.
    pub(super) async fn take_up(&self, leased: Leased) -> Result<Option<Work>, StoreError> {
        let now = self.parts.clock.now();
        let keys = [Key::workspace()];
        let loaded = self.parts.store.load(&leased.tenant, &keys, &self.gates(), now).await?;
        let workspace = loaded.documents.into_iter().next().flatten().map(Versioned::read).transpose()?;
        let gates = [0, 1].map(|index| loaded.gates.get(index).copied().unwrap_or_default());
        let lead = Versioned::<Lead>::read(leased.document)?;
        let mut work = Work::new(leased.tenant, leased.key, lead, workspace, gates);
        if leased.ran_out || work.lead.value.send.under_way {
            self.record(&mut work, Lead::lost).await?;
        }
        Ok(work.lease.is_some().then_some(work))
    }

    /// Takes steps until nothing is left to do now, the lease is lost, or the process stops.
    pub(super) async fn run(&self, mut work: Work) -> Result<(), StoreError> {
        while let Some(lease) = work.lease {
            let now = self.parts.clock.now();
            let step = self.next_step(&work, now);
            if self.parts.lifecycle.is_stopping() && !matches!(step, Step::Rest(_)) {
                // Another replica goes on at once.
                return self.end(&mut work, lease, now).await;
            }
            match step {
                Step::Rest(due) => self.end(&mut work, lease, due).await?,
                Step::Expire(reason) => self.record(&mut work, move |lead, now| lead.expire(reason, now)).await?,
                Step::NoteEnd => self.note_end(&mut work).await?,
                Step::TakeBaseline => self.take_baseline(&mut work).await?,
                Step::LookUp => self.look_up(&mut work).await?,
                Step::Submit => self.submit(&mut work).await?,
                Step::Show(showing) => self.show(&mut work, showing).await?,
                Step::ReadBack(doubt) => self.read_back(&mut work, doubt).await?,
                Step::Poll => self.poll(&mut work).await?,
                Step::Tell => self.tell(&mut work).await?,
                Step::Forget => self.forget(&mut work).await?,
            }
        }
        Ok(())
    }

    pub(super) fn next_step(&self, work: &Work, now: Timestamp) -> Step {
        self.step_of(work, &work.lead.value, now)
    }

    fn step_of(&self, work: &Work, lead: &Lead, now: Timestamp) -> Step {
        let around = Surroundings {
            connection: self.connection(work),
            attio: work
                .workspace
                .as_ref()
                .is_some_and(|found| self.parts.connections.attio_token(&found.value).is_some()),
            alc_opens_at: work.alc_opens_at,
            attio_opens_at: work.attio_opens_at,
            workflows_open_at: work.workflows_open_at,
            triggers_since: work.workspace.as_ref().and_then(|found| found.value.triggers_since()),
            deadlines: &self.settings.deadlines,
        };
        lead.next_step(now, &around)
    }

    fn connection(&self, work: &Work) -> Connection {
        // A workspace that the store has lost connects again: until then its leads wait, within their deadlines.
        let Some(workspace) = &work.workspace else { return Connection::Reauthorization };
        match (workspace.value.current(), workspace.value.disconnected_at) {
            (Some(current), _) if work.grant_dead || current.needs_reauthorization() => Connection::Reauthorization,
            (Some(_), _) => Connection::Connected,
            (None, Some(since)) => Connection::Disconnected { since },
            // Between two connections: the next one wakes its leads.
            (None, None) => Connection::Reauthorization,
        }
    }

    /// Writes a fact down, come what may; see the module's promises.
    pub(super) async fn record(&self, work: &mut Work, fact: impl Fn(&mut Lead, Timestamp)) -> Result<(), StoreError> {
        self.record_within(work, |lead, _, now| fact(lead, now)).await
    }

    /// As [`Leads::record`], for a fact that depends on the workspace as it is then.
    pub(super) async fn record_within(
        &self,
        work: &mut Work,
        fact: impl Fn(&mut Lead, Option<&Versioned<Workspace>>, Timestamp),
    ) -> Result<(), StoreError> {
        loop {
            let now = self.parts.clock.now();
            let mut lead = work.lead.value.clone();
            fact(&mut lead, work.workspace.as_ref(), now);
            if work.lead.value.send.status.is_live() && !lead.send.status.is_live() {
                self.look_for_triggers(work).await;
            }
            let step = self.step_of(work, &lead, now);
            let change = match work.lease {
                None => LeaseChange::Leave { due: Some(now) },
                Some(lease) => match step {
                    Step::Rest(due) => LeaseChange::End { token: lease.token, due: Some(due) },
                    _ => LeaseChange::Hold(self.extended(lease, now)),
                },
            };
            let mut commit = Commit::of(vec![put(&work.key.id, &lead, Some(work.lead.version()), change)]);
            if matches!(change, LeaseChange::End { .. }) {
                commit.checks = work.end_checks();
            }
            if matches!(change, LeaseChange::Hold(_)) && matches!(step, Step::Show(_)) {
                commit.reserve = Some(Reserve { gate: self.settings.gates.attio, key: work.key.clone() });
            }
            match self.commit_surely(&work.tenant, &commit).await? {
                Committed::Done(verdict) => {
                    self.written(work, lead, change);
                    if commit.reserve.is_some() {
                        work.attio_go = verdict == Verdict::Go;
                        work.attio_opens_at = opens_at(verdict);
                    }
                    work.publish();
                    return Ok(());
                }
                Committed::Conflict => {
                    if !self.reload(work).await? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// A send that ends in a worker's hands is told to the triggers of now, not to those of when the work began. If the
    /// store does not answer, what is known has to do: the fact matters more.
    async fn look_for_triggers(&self, work: &mut Work) {
        let loaded = self.parts.store.load(&work.tenant, &[Key::workspace()], &[], self.parts.clock.now()).await;
        if let Ok(loaded) = loaded
            && let Some(Ok(found)) = loaded.documents.into_iter().next().flatten().map(Versioned::read)
        {
            work.workspace = Some(found);
        }
    }

    /// Marks an attempt at ALC as begun, if the workspace still stands as it was; `false`: look again.
    pub(super) async fn begin(&self, work: &mut Work) -> Result<bool, StoreError> {
        let (Some(lease), Some(workspace)) = (work.lease, &work.workspace) else { return Ok(false) };
        let now = self.parts.clock.now();
        let mut lead = work.lead.value.clone();
        lead.begin(now);
        lead.send.goes_under(workspace.value.current().map(|current| current.id), workspace.value.sending_webhook());
        let change = LeaseChange::Hold(self.extended(lease, now));
        let mut commit = Commit::of(vec![put(&work.key.id, &lead, Some(work.lead.version()), change)]);
        // So that no send begins after a removal: the workspace's version must still be the one that was looked at.
        commit.checks.push((Key::workspace(), workspace.version()));
        match self.commit_surely(&work.tenant, &commit).await? {
            Committed::Done(_) => {
                self.written(work, lead, change);
                Ok(true)
            }
            Committed::Conflict => {
                self.reload(work).await?;
                Ok(false)
            }
        }
    }

    /// Makes sure that a whole attempt at an upstream fits into the rest of the lease; `false`: plan anew, for the
    /// lease had to be extended and anything may have come in.
    pub(super) async fn ensure_time(&self, work: &mut Work) -> Result<bool, StoreError> {
        if self.has_time(work) {
            return Ok(true);
        }
        if work.lease.is_some() {
            self.record(work, |_, _| {}).await?;
        }
        Ok(false)
    }

    pub(super) fn has_time(&self, work: &Work) -> bool {
        let now = self.parts.clock.now();
        work.lease
            .is_some_and(|lease| until(now, lease.until) >= self.settings.upstream_timeout + Duration::from_secs(1))
    }

    async fn end(&self, work: &mut Work, lease: Lease, due: Timestamp) -> Result<(), StoreError> {
        let change = LeaseChange::End { token: lease.token, due: Some(due) };
        let mut commit = Commit::of(vec![put(&work.key.id, &work.lead.value, Some(work.lead.version()), change)]);
        commit.checks = work.end_checks();
        match self.commit_surely(&work.tenant, &commit).await? {
            Committed::Done(_) => {
                let lead = work.lead.value.clone();
                self.written(work, lead, change);
            }
            Committed::Conflict => {
                // Something came in meanwhile; it would sleep until our due time.
                self.reload(work).await?;
            }
        }
        Ok(())
    }

    async fn forget(&self, work: &mut Work) -> Result<(), StoreError> {
        if self.speaker_of(&work.tenant, &work.lead.value).await?.is_some() {
            // As long as the other lead is there, it has to be found from here: else a press would send twice.
            return self
                .record(work, |lead, now| {
                    // A trigger that came since is not told of an end long past.
                    lead.note_end([], self.settings.deadlines.result);
                    lead.send.finished_at = Some(now);
                })
                .await;
        }
        let write = Write { key: work.key.clone(), expected: Some(work.lead.version()), change: Change::Erase };
        match self.commit_surely(&work.tenant, &Commit::of(vec![write])).await? {
            Committed::Done(_) => work.lease = None,
            Committed::Conflict => {
                self.reload(work).await?;
            }
        }
        Ok(())
    }

    /// Loads lead and workspace again; `false` if the lead is gone. Notices a lease that went to another.
    pub(super) async fn reload(&self, work: &mut Work) -> Result<bool, StoreError> {
        let now = self.parts.clock.now();
        let keys = [Key::workspace(), work.key.clone()];
        let load = || self.parts.store.load(&work.tenant, &keys, &[], now);
        let tries = ConstantBuilder::new().with_delay(PAUSE).with_max_times(LOADS);
        let loaded = load.retry(tries).when(|error| matches!(error, StoreError::Unavailable(_))).await?;
        let [workspace, lead] = two::<Document>(loaded.documents);
        work.workspace = workspace.map(Versioned::read).transpose()?;
        let Some(lead) = lead else {
            work.lease = None;
            return Ok(false);
        };
        work.lead = Versioned::read(lead)?;
        work.lease = work.lease.filter(|lease| work.lead.document.lease.is_some_and(|now| now.token == lease.token));
        Ok(true)
    }

    /// Repeats a commit whose answer was lost, under its id, for as long as it may matter.
    pub(super) async fn commit_surely(&self, tenant: &Tenant, commit: &Commit) -> Result<Committed, StoreError> {
        self.parts.store.commit_patiently(tenant, commit, &self.parts.clock, PATIENCE).await
    }

    /// Tells a gate how an upstream fares; a gate without failures needs no good news.
    pub(super) async fn report(&self, work: &mut Work, gate: Gate, report: GateReport) {
        let view = if gate == self.settings.gates.alc { &mut work.alc } else { &mut work.attio };
        match report {
            GateReport::Recovered if view.failures == 0 && view.closed_until.is_none() => return,
            GateReport::Recovered => *view = GateView::default(),
            GateReport::Failed => view.failures = view.failures.saturating_add(1),
            GateReport::Limited { .. } => {}
        }
        if let Err(error) = self.parts.store.report(&work.tenant, &gate, report, self.parts.clock.now()).await {
            // The gate is advice; the lead's own back-off stands without it.
            tracing::warn!(%error, upstream = gate.upstream, "could not report to the gate");
        }
    }

    pub(super) fn extended(&self, lease: Lease, now: Timestamp) -> Lease {
        Lease { until: later(now, self.lease_duration()).max(lease.until), ..lease }
    }

    fn written(&self, work: &mut Work, lead: Lead, change: LeaseChange) {
        work.lead.value = lead;
        work.lead.document.version += 1;
        work.lease = match change {
            LeaseChange::Hold(lease) | LeaseChange::Take(lease) => Some(lease),
            LeaseChange::End { .. } | LeaseChange::Leave { .. } => None,
        };
    }
}

pub(super) fn opens_at(verdict: Verdict) -> Option<Timestamp> {
    match verdict {
        Verdict::Go => None,
        Verdict::At(slot) => Some(slot),
    }
}

/// The key of a record's lead.
pub(super) fn lead_key(record: crate::ids::RecordId) -> Key {
    Key::new(Kind::Lead, record)
}
