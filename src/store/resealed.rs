//! How a document is written whose sealed members were sealed anew.
//!
//! Promises that such a write moves no lease, that a document which another replica wrote meanwhile is left as that
//! replica wrote it, and that a wake-up meanwhile, which moves no version, is not lost: what no worker leases is due at
//! once, and a worker finds its next due time anew.

use std::fmt;

use super::{
    aggregate::{Aggregate, Versioned},
    commit::{Commit, Committed, LeaseChange},
    document::Tenant,
    error::StoreError,
    handle::Store,
};

/// What came of sealing a document anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resealed {
    /// All that it seals was sealed by the current key.
    Current,
    /// It is now.
    Now,
    /// It is not: another replica wrote it just now, or it was only looked at.
    Left,
}

impl Store {
    /// Writes `aggregate`, in which nothing but its sealed members changed, if any did. A member that does not open is
    /// an error all the same, once the others are written.
    pub async fn put_resealed<A: Aggregate>(
        &self,
        tenant: &Tenant,
        id: &str,
        aggregate: &Versioned<A>,
        (changed, outcome): (bool, Result<(), impl fmt::Display>),
    ) -> Result<Resealed, StoreError> {
        let written = if changed { self.write_resealed(tenant, id, aggregate).await? } else { Resealed::Left };
        outcome.map_err(|error| StoreError::Corrupt(error.to_string()))?;
        Ok(written)
    }

    async fn write_resealed<A: Aggregate>(
        &self,
        tenant: &Tenant,
        id: &str,
        aggregate: &Versioned<A>,
    ) -> Result<Resealed, StoreError> {
        let now = self.now();
        let commit = Commit::of(vec![aggregate.put(id, LeaseChange::Leave { due: Some(now) })]);
        Ok(match self.commit(tenant, &commit, now).await? {
            Committed::Done(_) => Resealed::Now,
            Committed::Conflict => Resealed::Left,
        })
    }
}
