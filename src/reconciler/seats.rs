//! The workers' seats: how many there are, and which work may take them.
//!
//! Promises that urgent work and the rest have seats of their own: calls to an ALC that hangs hold none of those from
//! which results go to Attio. And that one tenant takes at most a quarter of the seats of each sort.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use crate::store::{Kind, LeaseRequest, Quota, Tenant};

/// Aggregates of each sort that one process works on at once.
const WORKERS: usize = 32;
/// Of these, at most that many of one tenant, and of all attempts.
const SHARE: usize = WORKERS / 4;

/// The seats of one process.
#[derive(Default)]
pub(super) struct Seats {
    urgent: Lane,
    others: Lane,
    attempts: Mutex<usize>,
    freed: Notify,
}

/// The seats for one sort of work: how many each tenant has now.
#[derive(Default)]
struct Lane(Mutex<HashMap<Tenant, usize>>);

impl Lane {
    /// What may be leased now.
    fn quota(&self) -> Quota {
        let tenants = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let max = WORKERS.saturating_sub(tenants.values().sum());
        let (full, some): (Vec<_>, Vec<_>) = tenants.iter().partition(|(_, taken)| **taken >= SHARE);
        let most = some.iter().map(|(_, taken)| **taken).max().unwrap_or(0);
        let skip = full.into_iter().map(|(tenant, _)| tenant.clone()).collect();
        Quota { max, per_tenant: SHARE - most, skip }
    }
}

impl Seats {
    /// What may be leased now; `None` while every seat is taken.
    pub(super) fn request(&self, duration: Duration) -> Option<LeaseRequest> {
        let (urgent, others) = (self.urgent.quota(), self.others.quota());
        (urgent.max + others.max > 0).then_some(LeaseRequest { urgent, others, duration })
    }

    pub(super) fn are_taken(&self) -> bool {
        self.urgent.quota().max + self.others.quota().max == 0
    }

    /// A seat for what was leased; `None` where all attempts have theirs.
    pub(super) fn take(self: &Arc<Self>, tenant: &Tenant, kind: Kind, urgent: bool) -> Option<Seat> {
        let is_attempt = kind == Kind::Attempt;
        if is_attempt {
            let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
            if *attempts >= SHARE {
                return None;
            }
            *attempts += 1;
        }
        let seat = Seat { seats: self.clone(), tenant: tenant.clone(), urgent, is_attempt };
        *seat.lane().0.lock().unwrap_or_else(PoisonError::into_inner).entry(tenant.clone()).or_default() += 1;
        Some(seat)
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
    is_attempt: bool,
}

impl Seat {
    fn lane(&self) -> &Lane {
        if self.urgent { &self.seats.urgent } else { &self.seats.others }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut tenants = self.lane().0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = tenants.get_mut(&self.tenant) {
            *taken -= 1;
            if *taken == 0 {
                tenants.remove(&self.tenant);
            }
        }
        drop(tenants);
        if self.is_attempt {
            *self.seats.attempts.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        }
        self.seats.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn quota(seats: &Seats, urgent: bool) -> Quota {
        let request = seats.request(SECOND).expect("some are free");
        if urgent { request.urgent } else { request.others }
    }

    #[test]
    fn no_tenant_takes_more_than_its_share() {
        for urgent in [false, true] {
            let seats = Arc::new(Seats::default());
            let mut taken = Vec::new();
            for tenant in ["greedy", "other"].map(Tenant::new) {
                loop {
                    let quota = quota(&seats, urgent);
                    if quota.skip.contains(&tenant) {
                        break;
                    }
                    taken.extend((0..quota.per_tenant.min(quota.max)).map(|_| seats.take(&tenant, Kind::Lead, urgent)));
                }
            }
            assert_eq!(taken.len(), 2 * SHARE);
            taken.clear();
            assert_eq!((quota(&seats, urgent).max, quota(&seats, urgent).skip), (WORKERS, Vec::new()));
        }
    }

    #[test]
    fn one_sort_of_work_takes_no_seats_of_the_other() {
        for urgent in [false, true] {
            let seats = Arc::new(Seats::default());
            let mut taken: Vec<_> = (0..WORKERS).map(|n| seats.take(&Tenant::new(n), Kind::Lead, urgent)).collect();
            assert_eq!((quota(&seats, urgent).max, quota(&seats, !urgent).max), (0, WORKERS));
            assert!(!seats.are_taken());
            taken.extend((0..WORKERS).map(|n| seats.take(&Tenant::new(n), Kind::Lead, !urgent)));
            assert!(seats.are_taken() && seats.request(SECOND).is_none());
        }
    }

    #[test]
    fn all_attempts_together_take_no_more_than_one_tenant() {
        let seats = Arc::new(Seats::default());
        let attempt = |n: usize| seats.take(&Tenant::new(n), Kind::Attempt, false);
        let mut taken: Vec<_> = (0..SHARE).map(|n| attempt(n).expect("a seat")).collect();
        assert!(attempt(SHARE).is_none(), "each has a tenant of its own");
        assert_eq!(quota(&seats, false).max, WORKERS - SHARE, "the refused one holds none");
        assert!(seats.take(&Tenant::new("workspace"), Kind::Workspace, false).is_some());
        taken.pop();
        assert!(attempt(SHARE).is_some());
    }
}
