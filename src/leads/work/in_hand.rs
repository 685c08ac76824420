//! What workers of this process have learnt and the store does not have yet.
//!
//! Promises that no other worker of this process takes up such a lead. An outage may outlast the lease under which it
//! was learnt that ALC has the send: a worker that took up what is stored would send it again.

use std::sync::{Arc, Mutex, PoisonError};

use crate::store::{Key, Tenant};

/// Clones share everything.
#[derive(Clone, Default)]
pub(in crate::leads) struct InHand(Arc<Mutex<Vec<(Tenant, Key)>>>);

/// As long as it is kept, the store does not have what was learnt of a lead.
pub(in crate::leads) struct Learnt {
    by: InHand,
    lead: (Tenant, Key),
}

impl InHand {
    /// Something was learnt of this lead.
    pub(in crate::leads) fn learn(&self, tenant: &Tenant, key: &Key) -> Learnt {
        let lead = (tenant.clone(), key.clone());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(lead.clone());
        Learnt { by: self.clone(), lead }
    }

    /// Whether something was learnt of this lead that the store does not have.
    pub(super) fn has(&self, tenant: &Tenant, key: &Key) -> bool {
        let leads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        leads.iter().any(|(of, lead)| of == tenant && lead == key)
    }
}

impl Drop for Learnt {
    fn drop(&mut self) {
        let mut leads = self.by.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = leads.iter().position(|lead| *lead == self.lead) {
            leads.swap_remove(at);
        }
    }
}
