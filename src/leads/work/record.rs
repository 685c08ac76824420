//! How a worker writes down what it has learnt.
//!
//! Every commit after which nothing is left to do now ends the lease, so resting costs no commit of its own.

use std::time::Duration;

use super::leased::Work;
use crate::{
    alc::Words,
    clock::{Timestamp, later, until},
    connections::{AttioAccess, Workspace},
    ids::SendId,
    leads::{
        lead::{
            aggregate::Lead,
            next_step::{Step, Surroundings},
            outcome::Status,
        },
        service::Leads,
    },
    store::{Commit, Committed, Key, Lease, LeaseChange, Patience, StoreError, Tenant, Version, Versioned, put},
    telemetry,
};

/// A lease this much shorter than a new one lasts long enough.
const FRESH: Duration = Duration::from_secs(1);

impl Leads {
    /// Writes a fact down, come what may; see the promises of [`super`].
    pub(in crate::leads) async fn record(
        &self,
        work: &mut Work,
        fact: impl Fn(&mut Lead, Timestamp),
    ) -> Result<(), StoreError> {
        self.record_within(work, |lead, _, now| fact(lead, now)).await
    }

    /// As [`Leads::record`], for a fact that depends on the workspace as it is then.
    pub(super) async fn record_within(
        &self,
        work: &mut Work,
        fact: impl Fn(&mut Lead, Option<&Versioned<Workspace>>, Timestamp),
    ) -> Result<(), StoreError> {
        let tenant = work.tenant.clone();
        let _learnt = self.in_hand.learn(&tenant, &work.key);
        let mut tries = self.parts.store.tries(&tenant, Patience::Fact);
        loop {
            let now = self.parts.clock.now();
            let mut lead = work.lead.value.clone();
            self.tell_again(work, &mut lead, now);
            fact(&mut lead, work.workspace.as_ref(), now);
            self.owe_more(&tenant, &mut lead, Some(&work.lead.value), &Words::default(), now);
            lead.keep_history(Some(&work.lead.value), now);
            if work.lead.value.send.outcome.status.is_live() && !lead.send.outcome.status.is_live() {
                self.look_for_triggers(work).await;
            }
            let (commit, change) = self.commit_of(work, &lead, now);
            match tries.commit(&commit).await? {
                Committed::Done(verdict) => {
                    Self::count_given_up(Some(&work.lead.value), &lead);
                    work.written(lead, change, &commit);
                    if commit.reserve.is_some() {
                        work.attio.take_down(verdict);
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

    /// Counts what a commit that is stored has given up of a lead.
    pub(in crate::leads) fn count_given_up(before: Option<&Lead>, after: &Lead) {
        for (kind, reason) in after.given_up_since(before) {
            telemetry::given_up(kind.name(), reason);
        }
    }

    /// What ALC has taken from this worker stays taken, also if the store has lost the commit that said so.
    fn tell_again(&self, work: &Work, lead: &mut Lead, now: Timestamp) {
        if let Some((send, lead_id)) = work.taken.clone().filter(|(send, _)| is_queued(lead, *send)) {
            lead.submitted(send, lead_id, self.settings.deadlines.next_poll(0, now), now);
        }
    }

    /// The commit that writes `lead`: it ends the lease if nothing is left to do now, and reserves a slot at Attio's
    /// gate if the record there is to be written next.
    fn commit_of(&self, work: &Work, lead: &Lead, now: Timestamp) -> (Commit, LeaseChange) {
        let step = self.step_of(work, lead, now);
        let change = match work.lease {
            None => LeaseChange::Leave { due: Some(now) },
            Some(lease) => match step {
                Step::Rest(due) => LeaseChange::End { token: lease.token, due: Some(due) },
                _ => LeaseChange::Hold(self.extended(lease, now)),
            },
        };
        let mut commit = Commit::of(vec![put(&work.key.id, lead, Some(work.lead.version()), change)]);
        match change {
            LeaseChange::End { .. } => commit.checks = work.checks_at_the_end(),
            LeaseChange::Hold(_) => commit.reserve = self.turn_before(step, work),
            _ => {}
        }
        (commit, change)
    }

    /// The step that `lead` would need next in the surroundings of this work.
    pub(super) fn step_of(&self, work: &Work, lead: &Lead, now: Timestamp) -> Step {
        lead.next_step(now, &self.surroundings(work))
    }

    /// What surrounds the lead of this work.
    pub(in crate::leads) fn surroundings(&self, work: &Work) -> Surroundings<'_> {
        let workspace = work.workspace.as_ref().map(|found| &*found.value);
        let access = workspace.map_or(AttioAccess::None, |found| self.parts.connections.attio_access(found));
        let not_before = if let AttioAccess::NotBefore(at) = access { Some(at) } else { None };
        Surroundings {
            alc: work.alc_access(),
            attio: access != AttioAccess::None,
            alc_opens_at: work.alc.opens_at,
            attio_opens_at: work.attio.opens_at.max(not_before),
            workflows_open_at: work.workflows.opens_at,
            triggers_since: workspace.and_then(Workspace::triggers_since),
            deadlines: &self.settings.deadlines,
        }
    }

    /// A send that ends in a worker's hands is told to the triggers of now, not to those of when the work began. If the
    /// store does not answer, what is known has to do: the fact matters more.
    async fn look_for_triggers(&self, work: &mut Work) {
        if let Ok(Some(found)) = self.parts.store.find(&work.tenant, "").await {
            work.see(Some(found));
        }
    }

    /// Marks an attempt at ALC as begun, if the workspace still stands as it was; `false`: look again.
    pub(super) async fn begin(&self, work: &mut Work) -> Result<bool, StoreError> {
        let (Some(lease), Some(workspace)) = (work.lease, &work.workspace) else { return Ok(false) };
        let now = self.parts.clock.now();
        let mut lead = work.lead.value.clone();
        lead.begin(now);
        lead.send.put_under(workspace.value.sending_webhook());
        // So that no send begins after a removal: the workspace's version must still be the one that was looked at.
        let stands = (Key::workspace(), workspace.version());
        self.mark(work, lead, lease, Some(stands)).await
    }

    /// Writes down what is about to be attempted, under this worker's lease, if what is to `stand` does; `false`: look
    /// again.
    pub(super) async fn mark(
        &self,
        work: &mut Work,
        lead: Box<Lead>,
        lease: Lease,
        stand: Option<(Key, Version)>,
    ) -> Result<bool, StoreError> {
        let change = LeaseChange::Hold(self.extended(lease, self.parts.clock.now()));
        let mut commit = Commit::of(vec![put(&work.key.id, &*lead, Some(work.lead.version()), change)]);
        commit.checks.extend(stand);
        match self.commit_surely(&work.tenant, &commit).await? {
            Committed::Done(_) => {
                work.written(lead, change, &commit);
                Ok(true)
            }
            Committed::Conflict => {
                self.look_again(work).await?;
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

    /// Whether a whole attempt at an upstream fits into the rest of the lease.
    pub(super) fn has_time(&self, work: &Work) -> bool {
        let needed = self.settings.upstream_timeout + Duration::from_secs(1);
        work.lease.is_some_and(|lease| until(self.parts.clock.now(), lease.until) >= needed)
    }

    /// Loads lead and workspace again, because something came in. If the store has lost what ALC has taken from this
    /// worker, that is written down at once: else the next step, here or at another worker, would post it again.
    pub(super) async fn look_again(&self, work: &mut Work) -> Result<(), StoreError> {
        let is_there = self.reload(work).await?;
        if is_there && work.taken.as_ref().is_some_and(|(send, _)| is_queued(&work.lead.value, *send)) {
            self.record(work, |_, _| {}).await?;
        }
        Ok(())
    }

    /// Loads lead and workspace again; `false` if the lead is gone. Notices a lease that went to another worker.
    async fn reload(&self, work: &mut Work) -> Result<bool, StoreError> {
        let keys = [Key::workspace(), work.key.clone()];
        let mut loaded = self.parts.store.tries(&work.tenant, Patience::Fact).load(&keys, &[]).await?;
        work.see(loaded.take()?);
        let Some(lead) = loaded.take::<Lead>()? else {
            work.lease = None;
            return Ok(false);
        };
        let stored = lead.document.lease;
        if lead.value.wanted() != work.lead.value.wanted() {
            // A result does not wait for the slot that the Pending before it was given.
            work.attio.opens_at = None;
        }
        work.lead = lead;
        work.lease = work.lease.filter(|lease| stored.is_some_and(|stored| stored.token == lease.token));
        Ok(true)
    }

    /// Repeats a commit whose answer was lost, under its id, for as long as it may matter.
    pub(in crate::leads) async fn commit_surely(
        &self,
        tenant: &Tenant,
        commit: &Commit,
    ) -> Result<Committed, StoreError> {
        self.parts.store.tries(tenant, Patience::Fact).commit(commit).await
    }

    /// The lease, long enough again for what comes next. The store's indexes go by its end: one that has hardly begun
    /// is left as it is, at the cost of some of its air.
    pub(in crate::leads) fn extended(&self, lease: Lease, now: Timestamp) -> Lease {
        let until = later(now, self.lease_duration());
        if until <= later(lease.until, FRESH) { lease } else { Lease { until, ..lease } }
    }
}

/// Whether this send is the lead's present one and, as far as the lead tells, not at ALC yet.
fn is_queued(lead: &Lead, send: SendId) -> bool {
    lead.send.outcome.id == send && lead.send.outcome.status == Status::Queued
}
