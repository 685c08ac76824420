//! How a change of the workspace is written: load, change, commit, and again if another replica wrote first.
//!
//! Promises that a decision is taken on the workspace that is written, and that what an upstream answered is recorded
//! however often other replicas write in between.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    service::{Connections, LOOK_AGAIN, pause},
    workspace::aggregate::Workspace,
};
use crate::store::{Change, Commit, Committed, LeaseChange, StoreError, Tenant, Versioned, put};

/// For how long a commit whose answer is lost is repeated: a Redis that is silent is given up after six seconds.
const COMMIT_PATIENCE: Duration = Duration::from_secs(10);
/// How often a change is tried while other replicas keep writing, or the store is away.
const CHANGE_TRIES: u32 = 40;

/// What a change of a workspace came to, before it is written.
pub(super) enum Decision<T> {
    /// The workspace was changed: to be written.
    Write(T),
    /// It was not.
    Leave(T),
}

impl Connections {
    /// Writes `workspace` if nobody has since it was loaded; then it is as if loaded again.
    pub(super) async fn commit(
        &self,
        tenant: &Tenant,
        workspace: &mut Versioned<Workspace>,
        lease: LeaseChange,
    ) -> Result<Committed, StoreError> {
        let write = put("", &workspace.value, Some(workspace.version()), lease);
        let body = match &write.change {
            Change::Put { body, .. } => body.clone(),
            Change::Erase => String::new(),
        };
        let committed = self.commit_patiently(tenant, &Commit::of(vec![write])).await?;
        if matches!(committed, Committed::Done(_)) {
            workspace.document.version += 1;
            workspace.document.body = body;
            match lease {
                LeaseChange::Take(lease) | LeaseChange::Hold(lease) => workspace.document.lease = Some(lease),
                LeaseChange::End { .. } => workspace.document.lease = None,
                LeaseChange::Leave { .. } => {}
            }
        }
        Ok(committed)
    }

    pub(super) async fn commit_patiently(&self, tenant: &Tenant, commit: &Commit) -> Result<Committed, StoreError> {
        self.store.commit_patiently(tenant, commit, &self.clock, COMMIT_PATIENCE).await
    }

    /// Changes the workspace for a caller that holds no lease on it; again from the start if another replica was faster.
    pub(super) async fn update<T>(
        &self,
        tenant: &Tenant,
        mut change: impl FnMut(Option<&mut Workspace>, Timestamp) -> Decision<T>,
    ) -> Result<(T, Option<Versioned<Workspace>>), StoreError> {
        for tries in 0..CHANGE_TRIES {
            let mut loaded = self.load(tenant).await?;
            let now = self.clock.now();
            let (value, write) = match change(loaded.as_mut().map(|workspace| &mut workspace.value), now) {
                Decision::Write(value) => (value, true),
                Decision::Leave(value) => (value, false),
            };
            let Some(workspace) = loaded.as_mut().filter(|_| write) else { return Ok((value, loaded)) };
            let due = workspace.value.due(now);
            match self.commit(tenant, workspace, LeaseChange::Leave { due }).await? {
                Committed::Done(_) => return Ok((value, loaded)),
                Committed::Conflict => pause(LOOK_AGAIN / 10 * tries).await,
            }
        }
        Err(others_keep_writing())
    }

    /// Records a fact, on `start` if nobody wrote since that was loaded, else on what is there. `lease` says what the
    /// write does to the lease. Returns what the fact came to and the workspace as it is then; `None`: there is none.
    pub(super) async fn record<T>(
        &self,
        tenant: &Tenant,
        mut start: Option<Versioned<Workspace>>,
        lease: impl Fn(&Versioned<Workspace>, Timestamp) -> LeaseChange,
        fact: impl Fn(&mut Workspace, Timestamp) -> T,
    ) -> Result<Option<(T, Versioned<Workspace>)>, StoreError> {
        let mut last = others_keep_writing();
        for tries in 0..CHANGE_TRIES {
            match self.try_to_record(tenant, start.take(), &lease, &fact).await {
                Ok(Recorded::Done(recorded)) => return Ok(recorded),
                Ok(Recorded::Conflict) => pause(LOOK_AGAIN / 10 * tries).await,
                Err(error) => {
                    last = error;
                    pause(LOOK_AGAIN * tries).await;
                }
            }
        }
        tracing::error!(%tenant, error = %last, "what an upstream answered could not be recorded");
        Err(last)
    }

    /// As [`Connections::record`], for a caller that holds no lease.
    pub(super) async fn record_unleased<T>(
        &self,
        tenant: &Tenant,
        fact: impl Fn(&mut Workspace, Timestamp) -> T,
    ) -> Result<Option<(T, Versioned<Workspace>)>, StoreError> {
        self.record(tenant, None, leave_lease, fact).await
    }

    async fn try_to_record<T>(
        &self,
        tenant: &Tenant,
        start: Option<Versioned<Workspace>>,
        lease: &impl Fn(&Versioned<Workspace>, Timestamp) -> LeaseChange,
        fact: &impl Fn(&mut Workspace, Timestamp) -> T,
    ) -> Result<Recorded<T>, StoreError> {
        let loaded = match start {
            Some(start) => Some(start),
            None => self.load(tenant).await?,
        };
        let Some(mut workspace) = loaded else { return Ok(Recorded::Done(None)) };
        let now = self.clock.now();
        let value = fact(&mut workspace.value, now);
        let lease = lease(&workspace, now);
        Ok(match self.commit(tenant, &mut workspace, lease).await? {
            Committed::Done(_) => Recorded::Done(Some((value, workspace))),
            Committed::Conflict => Recorded::Conflict,
        })
    }
}

enum Recorded<T> {
    Done(Option<(T, Versioned<Workspace>)>),
    /// Another replica was faster.
    Conflict,
}

/// What the write of a caller without a lease does: the worker that holds one keeps it.
pub(super) fn leave_lease(workspace: &Versioned<Workspace>, now: Timestamp) -> LeaseChange {
    LeaseChange::Leave { due: workspace.value.due(now) }
}

fn others_keep_writing() -> StoreError {
    StoreError::Unavailable("other replicas keep changing the workspace".to_owned())
}
