//! The workers' seats: how many there are, and who may take them.
//!
//! Promises that one tenant takes at most a quarter of them; and that calls of one sort that hang leave seats for those
//! of the other: a hanging ALC does not keep results from Attio, nor a hanging Attio the sends from ALC.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use crate::store::{LeaseRequest, Quota, Tenant};

/// Aggregates worked on at once by one process.
const WORKERS: usize = 32;
/// Of these, at most that many of one tenant.
const SHARE: usize = WORKERS / 4;
/// How many of all seats, and of a tenant's, are out of reach for what is urgent, and as many for the others.
const KEPT: usize = WORKERS / 4;
const KEPT_OF_SHARE: usize = SHARE / 4;

/// Who has a seat now.
#[derive(Default)]
pub(super) struct Seats {
    tenants: Mutex<HashMap<Tenant, Taken>>,
    freed: Notify,
}

/// How many seats are taken.
#[derive(Debug, Default, Clone, Copy)]
struct Taken {
    urgent: usize,
    others: usize,
}

impl Taken {
    fn all(self) -> usize {
        self.urgent + self.others
    }
}

impl Seats {
    /// What may be leased now; `None` while every seat is taken.
    pub(super) fn request(&self, duration: Duration) -> Option<LeaseRequest> {
        let tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let quota = |max: usize, share: usize, of: fn(Taken) -> usize| {
            let taken: usize = tenants.values().map(|taken| of(*taken)).sum();
            let (full, some): (Vec<_>, Vec<_>) = tenants.iter().partition(|(_, taken)| of(**taken) >= share);
            let most = some.iter().map(|(_, taken)| of(**taken)).max().unwrap_or(0);
            let skip = full.into_iter().map(|(tenant, _)| tenant.clone()).collect();
            Quota { max: max.saturating_sub(taken), per_tenant: share - most, skip }
        };
        let all = quota(WORKERS, SHARE, Taken::all);
        let urgent = quota(WORKERS - KEPT, SHARE - KEPT_OF_SHARE, |taken| taken.urgent);
        let others = quota(WORKERS - KEPT, SHARE - KEPT_OF_SHARE, |taken| taken.others);
        (all.max > 0).then_some(LeaseRequest { all, urgent, others, duration })
    }

    pub(super) fn are_taken(&self) -> bool {
        let tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        tenants.values().map(|taken| taken.all()).sum::<usize>() >= WORKERS
    }

    pub(super) fn take(self: &Arc<Self>, tenant: &Tenant, urgent: bool) -> Seat {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = tenants.entry(tenant.clone()).or_default();
        *(if urgent { &mut taken.urgent } else { &mut taken.others }) += 1;
        Seat { seats: self.clone(), tenant: tenant.clone(), urgent }
    }

    /// Resolves when a seat has been freed.
    pub(super) async fn freed(&self) {
        self.freed.notified().await;
    }
}

/// One worker's place; freed when dropped, also by a panic.
pub(super) struct Seat {
    seats: Arc<Seats>,
    tenant: Tenant,
    urgent: bool,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut tenants = self.seats.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = tenants.get_mut(&self.tenant) {
            *(if self.urgent { &mut taken.urgent } else { &mut taken.others }) -= 1;
            if taken.all() == 0 {
                tenants.remove(&self.tenant);
            }
        }
        drop(tenants);
        self.seats.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn no_tenant_takes_more_than_its_share() {
        let seats = Arc::new(Seats::default());
        let (greedy, other) = (Tenant::new("greedy"), Tenant::new("other"));
        let mut taken = Vec::new();
        for tenant in [&greedy, &other] {
            for urgent in [false, true] {
                loop {
                    let request = seats.request(SECOND).expect("most are free");
                    let quota = if urgent { &request.urgent } else { &request.others };
                    if request.all.skip.contains(tenant) || quota.skip.contains(tenant) {
                        break;
                    }
                    let most = quota.per_tenant.min(request.all.per_tenant);
                    taken.extend((0..most.min(quota.max)).map(|_| seats.take(tenant, urgent)));
                }
            }
        }
        assert_eq!(taken.len(), 2 * SHARE);
        taken.clear();
        assert_eq!(seats.request(SECOND).map(|request| request.all.max), Some(WORKERS));
    }

    #[test]
    fn what_hangs_leaves_seats_to_the_rest() {
        for urgent in [false, true] {
            let seats = Arc::new(Seats::default());
            let mut taken = Vec::new();
            for n in 0.. {
                let request = seats.request(SECOND).expect("some are kept");
                let quota = if urgent { &request.urgent } else { &request.others };
                if quota.max == 0 {
                    break;
                }
                taken.push(seats.take(&Tenant::new(n), urgent));
            }
            let request = seats.request(SECOND).expect("some are kept");
            let rest = if urgent { &request.others } else { &request.urgent };
            assert_eq!((taken.len(), rest.max.min(request.all.max)), (WORKERS - KEPT, KEPT));
            assert!(!seats.are_taken());
        }
    }
}
