//! Load, change, commit, and again: how often and for how long, said once for every room.
//!
//! Owns [`Patience`] and the loop over a conflict. Promises that a commit whose answer is lost is repeated as it is, so
//! that it has one effect; that a conflict is met with what is stored by then, after a growing pause; and that a fact
//! is not given up because others keep writing. The pauses are real time, also where a test's clock stands still.

#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;

use super::{
    aggregate::{Aggregate, Versioned},
    commit::{Commit, Committed, LeaseChange},
    document::{Key, Tenant},
    error::StoreError,
    found::Loaded,
    gate::Gate,
    handle::Store,
    patience::{Patience, Pressed},
};

/// How much longer each further conflict in a row makes the wait before the next load.
const CONFLICT_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_CONFLICT_PAUSE: Duration = Duration::from_millis(200);
/// So many conflicts in a row end a caller's wait: each means that another writer got ahead.
const CALLERS_CONFLICTS: u32 = 50;
/// What becomes of one aggregate, as [`Store::change`] asks.
#[derive(Debug)]
pub enum Decision<T> {
    /// It is written as it is now, and the lease becomes this.
    Write(LeaseChange, T),
    /// Nothing is written.
    Leave(T),
}

/// Tries at one change of a tenant's aggregates: load, commit, and on a conflict load again.
#[derive(Debug)]
pub struct Tries<'a> {
    store: &'a Store,
    tenant: &'a Tenant,
    patience: Patience,
    conflicts: u32,
}

impl Store {
    /// Tries at one change, over as many aggregates as it takes.
    pub fn tries<'a>(&'a self, tenant: &'a Tenant, patience: Patience) -> Tries<'a> {
        Tries { store: self, tenant, patience, conflicts: 0 }
    }

    /// One aggregate: loaded, changed, written; on a conflict all again with what is stored by then, so `change` has to
    /// be fit to run more than once. `None` is no such aggregate; [`Versioned::new`] makes one. Returns the answer and
    /// the aggregate as it is stored then.
    pub async fn change<A: Aggregate, T>(
        &self,
        tenant: &Tenant,
        id: &str,
        patience: Patience,
        mut change: impl FnMut(&mut Option<Versioned<A>>, Timestamp) -> Decision<T>,
    ) -> Result<(T, Option<Versioned<A>>), StoreError> {
        let mut tries = self.tries(tenant, patience);
        loop {
            let mut found = tries.load(&[Key::new(A::KIND, id)], &[]).await?.take::<A>()?;
            let (lease, answer) = match change(&mut found, self.now()) {
                Decision::Write(lease, answer) => (lease, answer),
                Decision::Leave(answer) => return Ok((answer, found)),
            };
            let Some(changed) = &mut found else { return Ok((answer, found)) };
            if let Committed::Done(_) = tries.write(id, changed, lease).await? {
                return Ok((answer, found));
            }
        }
    }
}

impl Tries<'_> {
    /// As [`super::Engine::load`], now.
    pub async fn load(&self, keys: &[Key], gates: &[Gate]) -> Result<Loaded, StoreError> {
        self.patience.load(|| self.store.load(self.tenant, keys, gates, self.store.now())).await
    }

    /// Writes all or nothing. On [`Committed::Conflict`] load again and decide anew: it comes after a pause that grows,
    /// and a caller's last one as an error. A fact that meets an outage of minutes gets one, too, although its commit
    /// may have taken effect: what is stored then may have the fact in it already.
    pub async fn commit(&mut self, commit: &Commit) -> Result<Committed, StoreError> {
        let press = || self.store.commit(self.tenant, commit, self.store.now());
        match self.patience.press(press).await {
            Pressed::Answered(Ok(Committed::Conflict)) => {
                self.met_a_conflict().await?;
                Ok(Committed::Conflict)
            }
            Pressed::Answered(answer) => answer,
            Pressed::Forgotten => Ok(Committed::Conflict),
        }
    }

    /// As [`Tries::commit`], of this aggregate alone; once written it is as if loaded again.
    pub async fn write<A: Aggregate>(
        &mut self,
        id: &str,
        aggregate: &mut Versioned<A>,
        lease: LeaseChange,
    ) -> Result<Committed, StoreError> {
        let commit = Commit::of(vec![aggregate.put(id, lease)]);
        let committed = self.commit(&commit).await?;
        if let Committed::Done(_) = committed {
            aggregate.written(id, &commit);
        }
        Ok(committed)
    }

    async fn met_a_conflict(&mut self) -> Result<(), StoreError> {
        self.conflicts = self.conflicts.saturating_add(1);
        if matches!(self.patience, Patience::Caller(_)) && self.conflicts >= CALLERS_CONFLICTS {
            return Err(StoreError::Unavailable("others keep changing the same".to_owned()));
        }
        // The first conflict may be the last: the writer that was faster is most likely done.
        tokio::time::sleep((CONFLICT_PAUSE * (self.conflicts - 1)).min(LONGEST_CONFLICT_PAUSE)).await;
        Ok(())
    }
}
