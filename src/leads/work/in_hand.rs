//! What workers of this process have learnt and the store does not have yet.
//!
//! Promises that no other worker of this process takes up such a lead. An outage may outlast the lease under which it
//! was learnt that ALC has the send: a worker that took up what is stored would send it again.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::store::{Key, Tenant};

/// Of so many tasks, by lead. In an outage they may be many. By tenant first: each step asks, and copies no name for
/// it.
type Tasks = HashMap<Tenant, HashMap<Key, usize>>;

/// Clones share everything.
#[derive(Clone, Default)]
pub(in crate::leads) struct InHand(Arc<Mutex<Tasks>>);

/// As long as it is kept, the store does not have what was learnt of a lead.
pub(in crate::leads) struct Learnt {
    by: InHand,
    tenant: Tenant,
    key: Key,
}

impl InHand {
    /// Something was learnt of this lead.
    pub(in crate::leads) fn learn(&self, tenant: &Tenant, key: &Key) -> Learnt {
        *self.tasks().entry(tenant.clone()).or_default().entry(key.clone()).or_default() += 1;
        Learnt { by: self.clone(), tenant: tenant.clone(), key: key.clone() }
    }

    /// Whether something was learnt of this lead that the store does not have.
    pub(super) fn has(&self, tenant: &Tenant, key: &Key) -> bool {
        self.tasks().get(tenant).is_some_and(|leads| leads.contains_key(key))
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Learnt {
    fn drop(&mut self) {
        let mut tasks = self.by.tasks();
        let Some(leads) = tasks.get_mut(&self.tenant) else { return };
        match leads.get_mut(&self.key) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(leads.remove(&self.key)),
        }
        if leads.is_empty() {
            tasks.remove(&self.tenant);
        }
    }
}
