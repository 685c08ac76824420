//! The workers' seats: how many there are, and which work may take them.
//!
//! Promises that urgent work and the rest have seats of their own: calls to an ALC that hangs hold none of those from
//! which results go to Attio. That one tenant is given at most a quarter of the seats of each sort, and all full syncs
//! together two. And that work which
//! is handed to a worker by the commit that made it due passes nothing that this process has seen waiting in the store:
//! it gets a seat only where the end of the queue was seen the last time, and nothing was turned away since. What is
//! handed over while the store is asked sits beside what that leases: for as long there may be more than the seats.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use crate::store::{Beside, Due, Kind, LeaseRequest, Quota, Tenant};

/// Aggregates of each sort that one process works on at once.
const WORKERS: usize = 32;
/// Of these, at most that many of one tenant, and of all attempts.
const SHARE: usize = WORKERS / 4;
/// And of all full syncs: each holds a page of hundreds of people for a moment, and nobody waits for it.
const SYNCS: usize = 2;

/// The seats of one process.
#[derive(Default)]
pub struct Seats {
    urgent: Lane,
    others: Lane,
    attempts: Mutex<usize>,
    syncs: Mutex<usize>,
    freed: Notify,
}

/// The seats for one sort of work.
#[derive(Default)]
struct Lane(Mutex<Taken>);

#[derive(Default)]
struct Taken {
    /// How many each tenant has now.
    by: HashMap<Tenant, usize>,
    /// Whether all that waits in the store is known to be of the tenants in `waiting`.
    is_known: bool,
    waiting: HashSet<Tenant>,
    /// Turned away since the store was last asked: what it answers then may not tell of them.
    turned_away: HashSet<Tenant>,
}

impl Taken {
    fn free(&self) -> usize {
        WORKERS.saturating_sub(self.by.values().sum())
    }

    fn of(&self, tenant: &Tenant) -> usize {
        self.by.get(tenant).copied().unwrap_or(0)
    }

    fn sit(&mut self, tenant: &Tenant) {
        *self.by.entry(tenant.clone()).or_default() += 1;
    }
}

impl Lane {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What may be leased now.
    fn quota(&self) -> Quota {
        let taken = self.taken();
        let (full, some): (Vec<_>, Vec<_>) = taken.by.iter().partition(|(_, taken)| **taken >= SHARE);
        let most = some.iter().map(|(_, taken)| **taken).max().unwrap_or(0);
        let skip = full.into_iter().map(|(tenant, _)| tenant.clone()).collect();
        Quota { max: taken.free(), per_tenant: SHARE - most, skip }
    }

    /// Whether one more of this tenant may sit down ahead of the store's queue, and does. What is turned away joins
    /// that queue.
    fn hand_over(&self, tenant: &Tenant) -> bool {
        let mut taken = self.taken();
        taken.is_known &= taken.free() > 0;
        let goes = taken.is_known && !taken.waiting.contains(tenant) && taken.of(tenant) < SHARE;
        if goes {
            taken.sit(tenant);
        } else {
            taken.waiting.insert(tenant.clone());
            taken.turned_away.insert(tenant.clone());
        }
        goes
    }

    /// What the store has leased of what was asked for tells what it has left; whether that is nothing.
    fn saw(&self, quota: &Quota, leased: impl Iterator<Item = Tenant>, saw_end: bool) -> bool {
        let mut counts: HashMap<Tenant, usize> = HashMap::new();
        for tenant in leased {
            *counts.entry(tenant).or_default() += 1;
        }
        let mut taken = self.taken();
        taken.is_known = saw_end && counts.values().sum::<usize>() < quota.max;
        let at_its_share = counts.into_iter().filter(|(_, count)| *count >= quota.per_tenant);
        taken.waiting = at_its_share.map(|(tenant, _)| tenant).chain(quota.skip.iter().cloned()).collect();
        let turned_away = std::mem::take(&mut taken.turned_away);
        taken.waiting.extend(turned_away);
        taken.is_known && taken.waiting.is_empty()
    }
}

impl Seats {
    /// What may be leased now; `None` while every seat is taken.
    pub fn request(&self, duration: Duration) -> Option<LeaseRequest> {
        let (urgent, others) = (self.urgent.quota(), self.others.quota());
        for (lane, quota) in [(&self.urgent, &urgent), (&self.others, &others)] {
            let mut taken = lane.taken();
            taken.turned_away.clear();
            // One of their seats may be freed before the store has answered.
            taken.waiting.extend(quota.skip.iter().cloned());
        }
        (urgent.max + others.max > 0).then_some(LeaseRequest { urgent, others, duration, beside: Beside::default() })
    }

    /// Whether every seat is taken.
    pub fn are_taken(&self) -> bool {
        self.urgent.quota().max + self.others.quota().max == 0
    }

    /// A seat for what was leased; `None` where all attempts, or all syncs, have theirs.
    pub fn take(self: &Arc<Self>, tenant: &Tenant, kind: Kind, urgent: bool) -> Option<Seat> {
        let few = matches!(kind, Kind::Attempt | Kind::Sync).then_some(kind);
        if let Some((taken, most)) = self.few(few) {
            let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
            if *taken >= most {
                return None;
            }
            *taken += 1;
        }
        let seat = Seat { seats: self.clone(), tenant: tenant.clone(), urgent, few };
        self.lane(urgent).taken().sit(tenant);
        Some(seat)
    }

    /// A seat for a lead that a commit is about to lease, so that it need not be asked for in the store; `None`: it is
    /// to wait its turn there.
    pub fn hand_over(self: &Arc<Self>, tenant: &Tenant, urgent: bool) -> Option<Seat> {
        let seat = || Seat { seats: self.clone(), tenant: tenant.clone(), urgent, few: None };
        self.lane(urgent).hand_over(tenant).then(seat)
    }

    /// How many seats work of this sort has of all tenants together, and how many at most.
    fn few(&self, kind: Option<Kind>) -> Option<(&Mutex<usize>, usize)> {
        match kind? {
            Kind::Attempt => Some((&self.attempts, SHARE)),
            Kind::Sync => Some((&self.syncs, SYNCS)),
            Kind::Workspace | Kind::Lead | Kind::Receipt | Kind::Prospect => None,
        }
    }

    fn lane(&self, urgent: bool) -> &Lane {
        if urgent { &self.urgent } else { &self.others }
    }

    /// Takes down what [`crate::store::Engine::lease_due`] has given for `request`, before seats are taken for it;
    /// whether that was all that was due, of what is urgent and of the rest.
    pub fn saw(&self, request: &LeaseRequest, due: &Due) -> [bool; 2] {
        let lanes = [(&self.urgent, &request.urgent, true), (&self.others, &request.others, false)];
        lanes.map(|(lane, quota, urgent)| {
            let in_lane = due.leased.iter().filter(|one| one.document.urgent == urgent);
            lane.saw(quota, in_lane.map(|one| one.tenant.clone()), due.saw_end)
        })
    }

    /// Resolves when a seat has been freed that something may wait for.
    pub async fn freed(&self) {
        self.freed.notified().await;
    }
}

/// One worker's place; freed when dropped, also by a panic.
pub struct Seat {
    seats: Arc<Seats>,
    tenant: Tenant,
    urgent: bool,
    /// Of a sort that has few.
    few: Option<Kind>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut lane = self.seats.lane(self.urgent).taken();
        // A seat that nothing waits for is no reason to ask the store.
        let is_waited_for = !lane.is_known || lane.waiting.contains(&self.tenant) || lane.free() == 0;
        if let Some(taken) = lane.by.get_mut(&self.tenant) {
            *taken -= 1;
            if *taken == 0 {
                lane.by.remove(&self.tenant);
            }
        }
        drop(lane);
        if let Some((taken, _)) = self.seats.few(self.few) {
            *taken.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        }
        if is_waited_for {
            self.seats.freed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Document, Key, Leased};

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

    #[test]
    fn all_syncs_together_take_two_seats() {
        let seats = Arc::new(Seats::default());
        let sync = |n: usize| seats.take(&Tenant::new(n), Kind::Sync, false);
        let mut taken: Vec<_> = (0..SYNCS).map(|n| sync(n).expect("a seat")).collect();
        assert!(sync(SYNCS).is_none());
        assert!(seats.take(&Tenant::new("workspace"), Kind::Attempt, false).is_some(), "those of attempts are others");
        taken.pop();
        assert!(sync(SYNCS).is_some());
    }

    fn leased(tenant: &Tenant, urgent: bool) -> Leased {
        let document = Document {
            body: String::new(),
            version: 1,
            status: String::new(),
            created_at: jiff::Timestamp::UNIX_EPOCH,
            due: None,
            lease: None,
            slot: None,
            urgent,
        };
        Leased { tenant: tenant.clone(), key: Key::new(Kind::Lead, ""), document, ran_out: false, beside: None }
    }

    /// Seats whose process has just asked the store, and been given this.
    fn having_seen(leased: &[Leased]) -> Arc<Seats> {
        let seats = Arc::new(Seats::default());
        let request = seats.request(SECOND).expect("all are free");
        seats.saw(&request, &Due { leased: leased.to_vec(), saw_end: true });
        seats
    }

    fn nothing(saw_end: bool) -> Due {
        Due { leased: Vec::new(), saw_end }
    }

    fn is_waited_for(seats: &Seats) -> bool {
        let mut freed = std::pin::pin!(seats.freed());
        futures_util::FutureExt::now_or_never(&mut freed).is_some()
    }

    #[test]
    fn nothing_is_handed_over_before_the_end_of_the_queue_was_seen() {
        let [a, b] = ["a", "b"].map(Tenant::new);
        for urgent in [false, true] {
            let seats = Arc::new(Seats::default());
            assert!(seats.hand_over(&a, urgent).is_none(), "nothing is known");
            // What was turned away while the store was asked may be in its queue, whatever that answers.
            let request = seats.request(SECOND).expect("all are free");
            assert!(seats.hand_over(&a, urgent).is_none());
            seats.saw(&request, &nothing(true));
            assert!(seats.hand_over(&a, urgent).is_none());
            assert!(seats.hand_over(&b, urgent).is_some());
            let request = seats.request(SECOND).expect("all are free");
            seats.saw(&request, &nothing(true));
            assert!(seats.hand_over(&a, urgent).is_some());

            // Another replica was faster, or part of the store did not answer.
            let request = seats.request(SECOND).expect("all are free");
            assert!(seats.saw(&request, &nothing(false)) == [false; 2] && seats.hand_over(&b, urgent).is_none());

            let all: Vec<_> = (0..WORKERS).map(|n| leased(&Tenant::new(n), urgent)).collect();
            assert!(having_seen(&all).hand_over(&a, urgent).is_none(), "there may be more of anybody's");
            assert!(having_seen(&all).hand_over(&a, !urgent).is_some(), "of this sort there is no more");
            let share: Vec<_> = (0..SHARE).map(|_| leased(&a, urgent)).collect();
            let seats = having_seen(&share);
            assert!(seats.hand_over(&a, urgent).is_none(), "there may be more of this tenant's");
            assert!(seats.hand_over(&b, urgent).is_some());
        }
    }

    #[test]
    fn what_is_handed_over_keeps_to_the_shares() {
        let seats = having_seen(&[]);
        let of = |tenant: usize| seats.hand_over(&Tenant::new(tenant), true);
        let mut taken: Vec<_> = (0..WORKERS).map(|n| of(n / SHARE).expect("a seat")).collect();
        assert!(of(0).is_none(), "it has its share");
        assert!(of(9).is_none(), "all are taken");
        assert!(!is_waited_for(&seats));
        // Both wait in the store's queue now: they may not be passed by what comes later.
        taken.clear();
        assert!(is_waited_for(&seats), "and a freed seat has the store asked");
        assert!(of(0).is_none() && of(9).is_none() && of(5).is_none());
    }

    #[test]
    fn a_freed_seat_that_nothing_waits_for_is_no_reason_to_ask_the_store() {
        let seats = having_seen(&[]);
        let of = |tenant: &str| seats.hand_over(&Tenant::new(tenant), true);
        drop(of("a").expect("a seat"));
        assert!(!is_waited_for(&seats));
        let taken: Vec<_> = (0..SHARE).map(|_| of("a").expect("a seat")).collect();
        let other = of("b").expect("a seat");
        assert!(of("a").is_none());
        drop(other);
        assert!(!is_waited_for(&seats), "it is of no use to the tenant that waits");
        drop(taken);
        assert!(is_waited_for(&seats));
        // While all are taken, the reconciler sleeps until one is free.
        let seats = having_seen(&[]);
        let mut all: Vec<_> = (0..WORKERS).map(|n| seats.hand_over(&Tenant::new(n), true).expect("a seat")).collect();
        all.pop();
        assert!(is_waited_for(&seats));
    }
}
