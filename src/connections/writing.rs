//! How a change of the workspace is written.
//!
//! Promises that a decision is taken on the workspace that is written, and that what an upstream answered is recorded
//! however often other replicas write in between.

use jiff::Timestamp;

use super::{service::Connections, workspace::aggregate::Workspace};
use crate::store::{Committed, Decision, Key, LeaseChange, Patience, StoreError, Tenant, Versioned};

/// What a caller that holds no lease made of the workspace.
pub(super) enum Edit<T> {
    /// The workspace was changed: to be written.
    Write(T),
    /// It was not.
    Leave(T),
}

impl Connections {
    /// Changes the workspace for a caller that holds no lease on it; again from the start if another replica was
    /// faster.
    pub(super) async fn update<T>(
        &self,
        tenant: &Tenant,
        change: impl FnMut(Option<&mut Workspace>, Timestamp) -> Edit<T>,
    ) -> Result<(T, Option<Versioned<Workspace>>), StoreError> {
        self.update_within(tenant, Patience::CALLER, change).await
    }

    /// As [`Connections::update`], for as long as that.
    pub(super) async fn update_within<T>(
        &self,
        tenant: &Tenant,
        patience: Patience,
        mut change: impl FnMut(Option<&mut Workspace>, Timestamp) -> Edit<T>,
    ) -> Result<(T, Option<Versioned<Workspace>>), StoreError> {
        let change = |found: &mut Option<Versioned<Workspace>>, now| match change(
            found.as_mut().map(|workspace| &mut *workspace.value),
            now,
        ) {
            Edit::Write(answer) => {
                let due = found.as_ref().and_then(|workspace| workspace.value.due(now));
                Decision::Write(LeaseChange::Leave { due }, answer)
            }
            Edit::Leave(answer) => Decision::Leave(answer),
        };
        self.store.change(tenant, "", patience, change).await
    }

    /// Records a fact, on `start` if no other replica wrote since that was loaded, else on what is there. `lease` says
    /// what the write does to the lease. Returns what the fact came to and the workspace as it is then; `None`: there
    /// is no workspace.
    pub(super) async fn record<T>(
        &self,
        tenant: &Tenant,
        start: Option<Versioned<Workspace>>,
        lease: impl Fn(&Versioned<Workspace>, Timestamp) -> LeaseChange,
        fact: impl Fn(&mut Workspace, Timestamp) -> T,
    ) -> Result<Option<(T, Versioned<Workspace>)>, StoreError> {
        let recorded = self.try_to_record(tenant, start, lease, fact).await;
        recorded.inspect_err(|error| {
            tracing::error!(%tenant, %error, "what an upstream answered could not be recorded");
        })
    }

    async fn try_to_record<T>(
        &self,
        tenant: &Tenant,
        mut start: Option<Versioned<Workspace>>,
        lease: impl Fn(&Versioned<Workspace>, Timestamp) -> LeaseChange,
        fact: impl Fn(&mut Workspace, Timestamp) -> T,
    ) -> Result<Option<(T, Versioned<Workspace>)>, StoreError> {
        let mut tries = self.store.tries(tenant, Patience::Fact);
        loop {
            let found = match start.take() {
                Some(start) => Some(start),
                None => tries.load(&[Key::workspace()], &[]).await?.take()?,
            };
            let Some(mut workspace) = found else { return Ok(None) };
            let now = self.clock.now();
            let value = fact(&mut workspace.value, now);
            let lease = lease(&workspace, now);
            match tries.write("", &mut workspace, lease).await? {
                Committed::Done(_) => return Ok(Some((value, workspace))),
                Committed::Conflict => {}
            }
        }
    }

    /// As [`Connections::record`], for a caller that holds no lease.
    pub(super) async fn record_unleased<T>(
        &self,
        tenant: &Tenant,
        fact: impl Fn(&mut Workspace, Timestamp) -> T,
    ) -> Result<Option<(T, Versioned<Workspace>)>, StoreError> {
        self.record(tenant, None, leave_lease, fact).await
    }
}

/// What the write of a caller without a lease does: a worker that holds one keeps it.
pub(super) fn leave_lease(workspace: &Versioned<Workspace>, now: Timestamp) -> LeaseChange {
    LeaseChange::Leave { due: workspace.value.due(now) }
}
