//! Load, change, commit, and again: how often and for how long, said once for every room.
//!
//! Owns [`Patience`] and the loop over a conflict. Promises that a commit whose answer is lost is repeated as it is, so
//! that it has one effect; that a conflict is met with what is stored by then, after a growing pause; and that a fact is
//! not given up because others keep writing. The pauses are real time, also where a test's clock stands still.

use std::{future::Future, pin::pin, time::Duration};

use jiff::Timestamp;

use super::{Aggregate, Commit, Committed, Key, LeaseChange, Loaded, Store, StoreError, Tenant, Versioned, gate::Gate};

/// The wait before a call without an answer is repeated.
const UNANSWERED_PAUSE: Duration = Duration::from_millis(100);
/// How much longer each further conflict in a row makes the wait before the next load.
const CONFLICT_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_CONFLICT_PAUSE: Duration = Duration::from_millis(200);
/// So many conflicts in a row end a caller's wait: each means that another writer got ahead.
const CALLERS_CONFLICTS: u32 = 50;
/// A Redis that is silent is given up after six seconds: a commit is repeated at least once.
const CALLER_WAITS: Duration = Duration::from_secs(10);
/// How long a store that does not answer is pressed to take a fact, before the next holder of the lease has to find out.
const FACT_LASTS: Duration = Duration::from_secs(20);

/// How long a change is tried while the store does not answer, and how often while others keep writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// A caller waits for the answer, and asks again after an error. A load that fails is not repeated, since nothing is
    /// lost with it; a commit whose outcome is unknown is, for so long in real time: only its answer says whether the
    /// caller may be told that nothing was stored.
    Caller(Duration),
    /// What an upstream answered, or whatever else cannot be asked for again. Loads are repeated as commits are, and no
    /// number of conflicts ends it.
    Fact,
}

impl Patience {
    /// A caller that names no time of its own.
    pub const CALLER: Self = Self::Caller(CALLER_WAITS);

    fn lasts(self) -> Duration {
        match self {
            Self::Caller(waits) => waits,
            Self::Fact => FACT_LASTS,
        }
    }
}

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
        let load = || self.store.load(self.tenant, keys, gates, self.store.now());
        match self.patience {
            Patience::Caller(_) => load().await,
            Patience::Fact => self.until_answered(load).await,
        }
    }

    /// Writes all or nothing. On [`Committed::Conflict`] load again and decide anew: it comes after a pause that grows,
    /// and a caller's last one as an error.
    pub async fn commit(&mut self, commit: &Commit) -> Result<Committed, StoreError> {
        let committed = self.until_answered(|| self.store.commit(self.tenant, commit, self.store.now())).await?;
        if committed == Committed::Conflict {
            self.met_a_conflict().await?;
        }
        Ok(committed)
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
        // The first conflict may be the last: whoever was faster is most likely done.
        tokio::time::sleep((CONFLICT_PAUSE * (self.conflicts - 1)).min(LONGEST_CONFLICT_PAUSE)).await;
        Ok(())
    }

    async fn until_answered<T, F>(&self, call: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        until_answered(self.patience.lasts(), call).await
    }
}

/// The same call again for as long as `lasts`, in real time, while its outcome is unknown. Bounded by time and not by
/// tries: on a store that does not answer each try may take seconds.
pub(super) async fn until_answered<T, F>(lasts: Duration, call: impl Fn() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut over = pin!(tokio::time::sleep(lasts));
    loop {
        let outcome = call().await;
        if !matches!(outcome, Err(StoreError::Unavailable(_))) {
            return outcome;
        }
        tokio::select! {
            biased;
            () = &mut over => return outcome,
            () = tokio::time::sleep(UNANSWERED_PAUSE) => {}
        }
    }
}
