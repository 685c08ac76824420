//! A workspace in the hands of the worker that leased it.
//!
//! Promises that what an upstream answered is recorded also by a worker that has lost its lease; that worker then takes
//! no further step, because another has the lease.

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    service::Connections,
    workspace::{agenda::Step, aggregate::Workspace, claim::Claim},
    writing::leave_lease,
};
use crate::{
    clock::later,
    store::{Change, Commit, Committed, Key, Lease, LeaseChange, Patience, StoreError, Tenant, Versioned, Write},
};

/// What the worker has in hand.
pub(super) struct Work {
    pub(super) tenant: Tenant,
    /// As it was last loaded or written.
    pub(super) workspace: Versioned<Workspace>,
    holding: Holding,
    /// The workspace was forgotten.
    is_gone: bool,
}

/// The lease of this worker.
#[derive(Debug, Clone, Copy)]
pub(super) struct Holding {
    token: Uuid,
    duration: Duration,
}

impl Holding {
    fn extended(self, now: Timestamp) -> Lease {
        Lease { token: self.token, until: later(now, self.duration) }
    }

    fn holds(self, workspace: &Versioned<Workspace>) -> bool {
        workspace.document.lease.is_some_and(|lease| lease.token == self.token)
    }

    /// Keeps the lease if this worker still has it.
    pub(super) fn keep(self, workspace: &Versioned<Workspace>, now: Timestamp) -> LeaseChange {
        if self.holds(workspace) { LeaseChange::Hold(self.extended(now)) } else { leave_lease(workspace, now) }
    }
}

impl Work {
    pub(super) fn new(tenant: Tenant, workspace: Versioned<Workspace>, lease: Lease, duration: Duration) -> Self {
        Self { tenant, workspace, holding: Holding { token: lease.token, duration }, is_gone: false }
    }

    /// Whether this worker may take a step.
    pub(super) fn goes_on(&self) -> bool {
        !self.is_gone && self.holding.holds(&self.workspace)
    }

    pub(super) fn holding(&self) -> Holding {
        self.holding
    }

    pub(super) fn replace(&mut self, found: Option<Versioned<Workspace>>) {
        match found {
            Some(found) => self.workspace = found,
            None => self.is_gone = true,
        }
    }
}

impl Connections {
    /// Records what a step came to.
    pub(super) async fn note(
        &self,
        work: &mut Work,
        fact: impl Fn(&mut Workspace, Timestamp),
    ) -> Result<(), StoreError> {
        let holding = work.holding;
        let lease = move |workspace: &Versioned<Workspace>, now| holding.keep(workspace, now);
        let recorded = self.record(&work.tenant, Some(work.workspace.clone()), lease, fact).await?;
        work.replace(recorded.map(|((), found)| found));
        Ok(())
    }

    pub(super) async fn reload(&self, work: &mut Work) -> Result<(), StoreError> {
        work.replace(self.load(&work.tenant).await?);
        Ok(())
    }

    /// Makes the lease last for the step's requests, writes down what was `settled`, on which the step may rest, and
    /// claims what other tasks could do as well. `false`: another replica wrote meanwhile, or the store took so long
    /// that the lease does not outlast the step; the worker has to look again.
    pub(super) async fn hold(&self, work: &mut Work, settled: bool, step: Step) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let timeout = self.settings.upstream_timeout;
        let leased_until = work.workspace.document.lease.map_or(Timestamp::MIN, |lease| lease.until);
        let mut must_commit = settled || later(now, timeout * 2) > leased_until;
        let held = work.holding.extended(now);
        if let Step::Refresh(id) = step {
            let claim = Claim::new(work.holding.token, held.until);
            work.workspace.value.claim_refresh(id, claim, now);
            must_commit = true;
        }
        if !must_commit {
            return Ok(true);
        }
        let mut tries = self.store.tries(&work.tenant, Patience::Fact);
        let committed = tries.write("", &mut work.workspace, LeaseChange::Hold(held)).await?;
        let in_time = later(self.clock.now(), timeout) <= held.until;
        Ok(matches!(committed, Committed::Done(_)) && in_time)
    }

    /// Ends the lease with the next due time.
    pub(super) async fn end(&self, work: &mut Work) -> Result<(), StoreError> {
        let due = work.workspace.value.due(self.clock.now());
        let end = LeaseChange::End { token: work.holding.token, due };
        let mut tries = self.store.tries(&work.tenant, Patience::Fact);
        match tries.write("", &mut work.workspace, end).await? {
            Committed::Done(_) => Ok(()),
            Committed::Conflict => self.reload(work).await,
        }
    }

    /// Erases the workspace.
    pub(super) async fn forget(&self, work: &mut Work) -> Result<(), StoreError> {
        let erase = Write { key: Key::workspace(), expected: Some(work.workspace.version()), change: Change::Erase };
        let mut tries = self.store.tries(&work.tenant, Patience::Fact);
        match tries.commit(&Commit::of(vec![erase])).await? {
            Committed::Done(_) => work.is_gone = true,
            Committed::Conflict => self.reload(work).await?,
        }
        Ok(())
    }
}
