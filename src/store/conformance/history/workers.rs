//! Drawn workers on one engine: they lease, hold, end, put back, die, repeat what had no answer, and try what they may
//! not; then their history is checked.
//!
//! The same seed draws the same moves; which of them meet, the machine decides.

use super::{super::model::Random, *};
use crate::clock::{Clock as _, ManualClock};

const WORKERS: u64 = 4;
const MOVES: u64 = 12;
const LEADS: u64 = 3;
const LEASE: Duration = Duration::from_secs(30);

/// What a worker knows of a lease that it has, or had.
#[derive(Clone)]
struct Held {
    key: Key,
    version: Version,
    lease: Lease,
    ran_out: bool,
}

struct Worker<'a> {
    engine: &'a Recorded,
    clock: &'a ManualClock,
    tenant: &'a Tenant,
    random: Random,
    held: Vec<Held>,
}

impl Worker<'_> {
    async fn work(mut self) {
        for _ in 0..MOVES {
            match self.random.below(12) {
                0 | 1 => self.press().await,
                2..=4 => self.lease().await,
                5 | 6 => self.end().await,
                7 => self.hold().await,
                8 => self.put_back().await,
                9 => self.erase().await,
                10 => self.clock.advance(Duration::from_secs(self.random.below(3) * 16)),
                // It dies, and its lease runs out.
                _ => drop(self.held.pop()),
            }
        }
    }

    async fn see(&self, key: &Key) -> Option<Document> {
        let loaded = self.engine.load(self.tenant, std::slice::from_ref(key), &[], self.clock.now()).await;
        loaded.expect("the store answers").documents.remove(0)
    }

    /// The version that it gives, unless it meets a conflict. Perhaps the first answer is lost, or the first call given
    /// up in the middle.
    async fn commit(&mut self, write: Write) -> Option<Version> {
        let expected = write.expected;
        let commit = Commit::of(vec![write]);
        let asked = self.engine.commit(self.tenant, &commit, self.clock.now());
        match self.random.below(6) {
            0 => drop(asked.await),
            1 => drop(tokio::time::timeout(Duration::from_micros(self.random.below(2_000)), asked).await),
            _ => drop(asked),
        }
        let committed = self.engine.commit(self.tenant, &commit, self.clock.now()).await.expect("the store answers");
        (committed == DONE).then(|| commit.version_after(expected))
    }

    /// A caller that knows of no lease but whether there is one.
    async fn press(&mut self) {
        let key = lead(self.random.below(LEADS));
        let (found, now) = (self.see(&key).await, self.clock.now());
        let lease = lease_until(later(now, LEASE));
        let takes = found.as_ref().is_none_or(|document| document.lease.is_none()) && self.random.below(2) == 0;
        let change = if takes { LeaseChange::Take(lease) } else { due(now) };
        let version = self.commit(put(&key, found.map(|document| document.version), change)).await;
        if let Some(version) = version.filter(|_| takes) {
            self.held.push(Held { key, version, lease, ran_out: false });
        }
    }

    async fn lease(&mut self) {
        let most = 1 + usize::try_from(self.random.below(2)).expect("small");
        let request = LeaseRequest::up_to(most, LEASE);
        let due = self.engine.lease_due(&request, self.clock.now()).await.expect("the store answers");
        for one in due.leased {
            let lease = one.document.lease.expect("it is leased");
            self.held.push(Held { key: one.key, version: one.document.version, lease, ran_out: one.ran_out });
        }
    }

    /// On a conflict it tries once more upon what is stored by then, also where the lease has gone to another.
    async fn end(&mut self) {
        let Some(held) = self.draw() else { return };
        let soon = later(self.clock.now(), Duration::from_secs(self.random.below(20)));
        let end = LeaseChange::End { token: held.lease.token, due: Some(soon) };
        if self.commit(put(&held.key, Some(held.version), end)).await.is_none()
            && let Some(found) = self.see(&held.key).await
        {
            self.commit(put(&held.key, Some(found.version), end)).await;
        }
    }

    async fn hold(&mut self) {
        let Some(mut held) = self.draw() else { return };
        held.lease.until = held.lease.until.max(later(self.clock.now(), LEASE));
        if let Some(version) = self.commit(put(&held.key, Some(held.version), LeaseChange::Hold(held.lease))).await {
            self.held.push(Held { version, ..held });
        }
    }

    async fn put_back(&mut self) {
        let Some(held) = self.draw() else { return };
        let taken = Taken { key: held.key, token: held.lease.token, ran_out: held.ran_out };
        let now = self.clock.now();
        let due = later(now, Duration::from_secs(self.random.below(20)));
        let _done = self.engine.put_back(self.tenant, &taken, due, now).await.expect("the store answers");
    }

    /// Whatever its lease.
    async fn erase(&mut self) {
        let key = lead(self.random.below(LEADS));
        if let Some(found) = self.see(&key).await.filter(|_| self.random.below(2) == 0) {
            self.commit(erase(&key, found.version)).await;
        }
    }

    /// One of the leases that it has, or believes to have.
    fn draw(&mut self) -> Option<Held> {
        let count = self.held.len() as u64;
        (count > 0).then(|| {
            let at = usize::try_from(self.random.below(count)).expect("small");
            self.held.swap_remove(at)
        })
    }
}

/// Lets the workers loose on an engine once for each seed, and leaves nothing in it.
pub(super) async fn play(engine: Arc<dyn Engine>, seeds: std::ops::Range<u64>) {
    let recorded = Recorded::new(engine);
    let clock = ManualClock::new(at(0));
    let (mut leased, mut done) = (0, 0);
    for seed in seeds {
        let tenant = Tenant::new(format!("seed-{seed}"));
        let workers = (0..WORKERS).map(|nth| {
            let random = Random(seed.wrapping_mul(1_000_003) + nth);
            Worker { engine: &recorded, clock: &clock, tenant: &tenant, random, held: Vec::new() }.work()
        });
        futures_util::future::join_all(workers).await;
        let keys: Vec<_> = (0..LEADS).map(lead).collect();
        let left = recorded.load(&tenant, &keys, &[], clock.now()).await.expect("the store answers").documents;
        let erasures = keys.iter().zip(left).filter_map(|(key, left)| Some(erase(key, left?.version)));
        for erasure in erasures {
            let commit = Commit::of(vec![erasure]);
            assert_eq!(recorded.commit(&tenant, &commit, clock.now()).await.expect("the store answers"), DONE);
        }
        let history = recorded.take();
        leased += history.iter().filter(|call| matches!(call.asked, Asked::Leased { .. })).count();
        done += history.iter().filter(|call| matches!(call.asked, Asked::Commit(_, Some(Committed::Done(_))))).count();
        let faults = checker::faults(&history);
        assert!(faults.is_empty(), "seed {seed}:\n{}\n{history:#?}", faults.join("\n"));
        // What a call that was given up has left to do, it does before the next seed.
        clock.advance(LEASE * 2);
    }
    println!("{leased} leases, {done} commits");
    assert!(leased > 0 && done > 0, "something happened");
}
