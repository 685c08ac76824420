//! Leases and due times.

use std::collections::HashSet;

use futures_util::future::join_all;

use super::*;
use crate::clock::earlier;

pub(super) async fn leave_sets_the_due_time_of_who_is_unleased_and_leaves_a_lease_alone(engine: &dyn Engine) {
    let key = lead(1);
    create(engine, &tenant(), &key, due(at(50))).await;
    let lease = lease_until(at(10));
    assert_eq!(commit(engine, vec![put(&key, Some(1), LeaseChange::Take(lease))], at(0)).await, DONE);
    assert_eq!(commit(engine, vec![put(&key, Some(2), due(at(1)))], at(0)).await, DONE);
    let document = read(engine, &key, at(0)).await.expect("it is there");
    assert_eq!((document.version, document.lease, document.due), (v(3), Some(lease), Some(at(50))));
    assert_eq!(engine.next_due(at(0)).await.expect("answers"), Some(at(10)), "when the lease runs out");
    // Also a lease that ran out is left for lease_due.
    assert_eq!(commit(engine, vec![put(&key, Some(3), due(at(1)))], at(20)).await, DONE);
    assert_eq!(read(engine, &key, at(20)).await.expect("it is there").lease, Some(lease));
    let end = LeaseChange::End { token: lease.token, due: Some(at(40)) };
    assert_eq!(commit(engine, vec![put(&key, Some(4), end)], at(20)).await, DONE);
    assert_eq!(commit(engine, vec![put(&key, Some(5), due(at(30)))], at(20)).await, DONE);
    let document = read(engine, &key, at(20)).await.expect("it is there");
    assert_eq!((document.lease, document.due), (None, Some(at(30))));
    assert_eq!(commit(engine, vec![put(&key, Some(6), IDLE)], at(20)).await, DONE);
    assert_eq!(engine.next_due(at(20)).await.expect("answers"), None);
}

pub(super) async fn take_is_for_who_has_no_lease(engine: &dyn Engine) {
    let (key, lease) = (lead(1), lease_until(at(10)));
    assert_eq!(commit(engine, vec![put(&key, None, LeaseChange::Take(lease))], at(0)).await, DONE);
    assert_eq!(read(engine, &key, at(0)).await.expect("it is there").lease, Some(lease));
    assert!(lease_due(engine, 10, ms(9_999)).await.is_empty());
    for now in [at(0), at(10), at(100)] {
        let take = put(&key, Some(1), LeaseChange::Take(lease_until(at(200))));
        assert_eq!(commit(engine, vec![take], now).await, Committed::Conflict);
    }
    let end = LeaseChange::End { token: lease.token, due: None };
    assert_eq!(commit(engine, vec![put(&key, Some(1), end)], at(0)).await, DONE);
    let again = lease_until(at(30));
    assert_eq!(commit(engine, vec![put(&key, Some(2), LeaseChange::Take(again))], at(0)).await, DONE);
    assert_eq!(read(engine, &key, at(0)).await.expect("it is there").lease, Some(again));
}

pub(super) async fn only_the_holder_holds_and_ends(engine: &dyn Engine) {
    let (key, lease) = (lead(1), lease_until(at(10)));
    create(engine, &tenant(), &key, due(at(0))).await;
    for stranger in [LeaseChange::Hold(lease), LeaseChange::End { token: lease.token, due: None }] {
        assert_eq!(commit(engine, vec![put(&key, Some(1), stranger)], at(0)).await, Committed::Conflict);
        assert_eq!(commit(engine, vec![put(&lead(2), None, stranger)], at(0)).await, Committed::Conflict);
    }
    assert_eq!(commit(engine, vec![put(&key, Some(1), LeaseChange::Take(lease))], at(0)).await, DONE);
    let foreign = lease_until(at(99));
    for stranger in [LeaseChange::Hold(foreign), LeaseChange::End { token: foreign.token, due: None }] {
        assert_eq!(commit(engine, vec![put(&key, Some(2), stranger)], at(0)).await, Committed::Conflict);
    }
    // The holder holds on even when the lease has run out, as long as nobody took it over.
    let longer = Lease { until: at(30), ..lease };
    assert_eq!(commit(engine, vec![put(&key, Some(2), LeaseChange::Hold(longer))], at(15)).await, DONE);
    assert_eq!(engine.next_due(at(15)).await.expect("answers"), Some(at(30)));
    assert!(lease_due(engine, 10, at(29)).await.is_empty());
    let end = LeaseChange::End { token: lease.token, due: Some(at(60)) };
    assert_eq!(commit(engine, vec![put(&key, Some(3), end)], at(29)).await, DONE);
    assert_eq!(engine.next_due(at(29)).await.expect("answers"), Some(at(60)));
    assert_eq!(commit(engine, vec![put(&key, Some(4), end)], at(29)).await, Committed::Conflict, "it has ended");
}

pub(super) async fn an_end_that_names_a_moved_version_conflicts(engine: &dyn Engine) {
    let (key, lease) = (lead(1), lease_until(at(10)));
    assert_eq!(commit(engine, vec![put(&key, None, LeaseChange::Take(lease))], at(0)).await, DONE);
    // A callback comes in meanwhile.
    assert_eq!(commit(engine, vec![put(&key, Some(1), due(at(1)))], at(1)).await, DONE);
    let end = LeaseChange::End { token: lease.token, due: Some(at(3600)) };
    assert_eq!(commit(engine, vec![put(&key, Some(1), end)], at(2)).await, Committed::Conflict);
    assert_eq!(read(engine, &key, at(2)).await.expect("it is there").lease, Some(lease));
    assert_eq!(commit(engine, vec![put(&key, Some(2), end)], at(2)).await, DONE);
}

pub(super) async fn a_lease_that_ran_out_is_taken_over_and_the_loser_still_records_its_fact(engine: &dyn Engine) {
    let key = lead(1);
    create(engine, &tenant(), &key, due(at(0))).await;
    let first = lease_due(engine, 10, at(1)).await.remove(0);
    assert_eq!((&first.key, first.ran_out, first.document.version), (&key, false, v(1)));
    assert_eq!(first.document.lease.expect("leased").until, at(31));
    assert_eq!(first.document, read(engine, &key, at(1)).await.expect("it is there"));
    assert!(lease_due(engine, 10, ms(30_999)).await.is_empty());
    let second = lease_due(engine, 10, at(31)).await.remove(0);
    assert!(second.ran_out, "the step then under way has an unknown outcome");
    assert_eq!(second.document.version, v(1));
    let lost = token(&first.document);
    let hold = LeaseChange::Hold(Lease { token: lost, until: at(90) });
    assert_eq!(commit(engine, vec![put(&key, Some(1), hold)], at(32)).await, Committed::Conflict);
    let end = LeaseChange::End { token: lost, due: None };
    assert_eq!(commit(engine, vec![put(&key, Some(1), end)], at(32)).await, Committed::Conflict);
    assert_eq!(commit(engine, vec![put(&key, Some(1), due(at(32)))], at(32)).await, DONE, "the fact");
    let document = read(engine, &key, at(32)).await.expect("it is there");
    assert_eq!((document.version, token(&document)), (v(2), token(&second.document)));
    let end = LeaseChange::End { token: token(&second.document), due: None };
    assert_eq!(commit(engine, vec![put(&key, Some(2), end)], at(33)).await, DONE);
    assert!(lease_due(engine, 10, at(1000)).await.is_empty());
}

pub(super) async fn what_is_put_back_is_as_it_was_but_due_later(engine: &dyn Engine) {
    let key = lead(1);
    create(engine, &tenant(), &key, due(at(0))).await;
    let first = lease_due(engine, 10, at(1)).await.remove(0);
    let taken = first.taken().expect("it is leased");
    let put_back = async |taken: &Taken, due, now| engine.put_back(&tenant(), taken, due, now).await.expect("answers");
    assert!(!put_back(&Taken { token: random_uuid(), ..taken.clone() }, at(50), at(2)).await, "another's lease");
    assert!(!put_back(&Taken { key: lead(2), ..taken.clone() }, at(50), at(2)).await, "not there");
    assert_eq!(read(engine, &key, at(2)).await, Some(first.document.clone()));
    assert!(put_back(&taken, at(50), at(2)).await);
    let document = read(engine, &key, at(2)).await.expect("it is there");
    assert_eq!(document, Document { lease: None, due: Some(at(50)), ..first.document.clone() });
    assert_eq!(engine.next_due(at(2)).await.expect("answers"), Some(at(50)));
    assert!(!put_back(&taken, at(60), at(2)).await, "the lease has ended");
    assert!(lease_due(engine, 10, ms(49_999)).await.is_empty());
    let second = lease_due(engine, 10, at(50)).await.remove(0);
    assert!(!second.ran_out);
    // The worker died; the one that takes over cannot read it, and nor can the next: all are told of the first.
    let mut now = at(80);
    for _ in 0..2 {
        let over = lease_due(engine, 10, now).await.remove(0);
        assert!(over.ran_out);
        now = later(now, Duration::from_secs(100));
        assert!(put_back(&over.taken().expect("it is leased"), now, at(90)).await);
        assert_eq!(engine.next_due(at(90)).await.expect("answers"), Some(now));
        assert!(lease_due(engine, 10, earlier(now, Duration::from_millis(1))).await.is_empty());
    }
    assert_eq!(read(engine, &key, now).await.expect("it is there").version, v(1));
    assert!(lease_due(engine, 10, now).await.remove(0).ran_out);
}

pub(super) async fn the_longest_due_comes_first(engine: &dyn Engine) {
    for (id, seconds) in [(1, 5), (2, 3), (3, 9), (4, 1), (5, 7)] {
        create(engine, &tenant(), &lead(id), due(at(seconds))).await;
    }
    let order: Vec<_> = lease_due(engine, 3, at(20)).await.into_iter().map(|one| one.key).collect();
    assert_eq!(order, [lead(4), lead(2), lead(1)]);
    let order: Vec<_> = lease_due(engine, 3, at(20)).await.into_iter().map(|one| one.key).collect();
    assert_eq!(order, [lead(5), lead(3)]);
}

pub(super) async fn what_is_not_due_stays(engine: &dyn Engine) {
    create(engine, &tenant(), &lead(1), due(ms(1_001))).await;
    create(engine, &tenant(), &lead(2), IDLE).await;
    assert!(lease_due(engine, 10, at(1)).await.is_empty());
    assert_eq!(lease_due(engine, 10, ms(1_001)).await.len(), 1);
    assert!(lease_due(engine, 0, at(100)).await.is_empty());
}

pub(super) async fn one_due_lead_comes_out_beside_ten_thousand_of_another(engine: &dyn Engine) {
    for chunk in 0..40 {
        let writes = (0..250).map(|n| put(&lead(chunk * 250 + n), None, due(at(0)))).collect();
        assert_eq!(commit(engine, writes, at(0)).await, DONE);
    }
    let small = Tenant::new("small");
    create(engine, &small, &lead("one"), due(at(1))).await;
    // Even one at a time the big tenant gets every other turn at most.
    let mut leased = Vec::new();
    for n in 0..2 {
        leased.extend(lease_due(engine, 1, ms(2_000 + n)).await);
    }
    assert!(leased.iter().any(|one| one.tenant == small), "{leased:?}");
}

pub(super) async fn tenants_take_turns_and_none_takes_more_than_its_share(engine: &dyn Engine) {
    let names = ["a", "b", "c", "d"].map(Tenant::new);
    for (n, tenant) in names.iter().enumerate() {
        for id in 0..=(n * 4) {
            create(engine, tenant, &lead(id), due(at(n as u64))).await;
        }
    }
    let mut request = request(8);
    request.others.per_tenant = 3;
    let leased = engine.lease_due(&request, at(10)).await.expect("answers").leased;
    let order: Vec<_> = leased.iter().map(|one| one.tenant.as_str()).collect();
    assert_eq!(order, ["a", "b", "c", "d", "b", "c", "d", "b"]);
    let leased = engine.lease_due(&request, at(11)).await.expect("answers").leased;
    let count = |name: &str| leased.iter().filter(|one| one.tenant.as_str() == name).count();
    assert_eq!((leased.len(), count("a"), count("b"), count("c"), count("d")), (8, 0, 2, 3, 3));
}

pub(super) async fn what_is_due_earlier_takes_no_turn_of_another_tenant(engine: &dyn Engine) {
    let [served, waiting] = ["served", "waiting"].map(Tenant::new);
    for id in 0..3 {
        create(engine, &served, &lead(id), due(at(4))).await;
    }
    create(engine, &waiting, &lead(1), due(at(5))).await;
    assert_eq!(lease_due(engine, 1, at(10)).await.remove(0).tenant, served);
    // Such as a batch whose leads are due from its begin on.
    let earlier = plain(vec![put(&lead(3), None, due(at(1)))]);
    assert_eq!(engine.commit(&served, &earlier, at(10)).await.expect("answers"), DONE);
    assert_eq!(lease_due(engine, 1, at(11)).await.remove(0).tenant, waiting);
    assert_eq!(ids(&lease_due(engine, 1, at(12)).await), ["3"], "its own order is by due time all the same");
}

pub(super) async fn skipped_tenants_are_left_alone(engine: &dyn Engine) {
    let names = ["a", "b", "c"].map(Tenant::new);
    for tenant in &names {
        create(engine, tenant, &lead(1), due(at(0))).await;
    }
    let mut request = request(1);
    request.others.skip = names[..2].to_vec();
    let leased = engine.lease_due(&request, at(1)).await.expect("answers").leased;
    assert_eq!(leased.len(), 1);
    assert_eq!(leased[0].tenant, names[2]);
    assert!(engine.lease_due(&request, at(1)).await.expect("answers").leased.is_empty());
}

fn urgent(write: Write) -> Write {
    match write.change {
        Change::Put { body, status, created_at, lease, expires_at, .. } => {
            Write { change: Change::Put { body, status, created_at, lease, urgent: true, expires_at }, ..write }
        }
        Change::Erase => write,
    }
}

fn ids(leased: &[Leased]) -> Vec<String> {
    leased.iter().map(|one| one.key.id.clone()).collect()
}

pub(super) async fn what_is_urgent_and_what_is_not_are_leased_apart(engine: &dyn Engine) {
    for n in 0..30 {
        create(engine, &tenant(), &lead(n), due(at(n))).await;
    }
    for n in 100..110 {
        assert_eq!(commit(engine, vec![urgent(put(&lead(n), None, due(at(n))))], at(0)).await, DONE);
    }
    assert!(read(engine, &lead(100), at(0)).await.expect("it is there").urgent);
    assert!(!read(engine, &lead(1), at(0)).await.expect("it is there").urgent);
    let lease = async |urgent: usize, others: usize, now| {
        let mut request = request(0);
        (request.urgent, request.others) = (self::request(urgent).urgent, self::request(others).others);
        ids(&engine.lease_due(&request, now).await.expect("answers").leased)
    };
    assert_eq!(lease(2, 2, at(50)).await, ["0", "1"], "urgent or not: what is not due is left");
    let mut both = lease(3, 2, at(102)).await;
    both.sort();
    assert_eq!(both, ["100", "101", "102", "2", "3"], "each lane has its own quota");
    assert_eq!(lease(1, 0, at(103)).await, ["103"]);
    assert_eq!(lease(0, 1, at(103)).await, ["4"]);
    let mut request = request(99);
    request.urgent.skip = vec![tenant()];
    let leased = engine.lease_due(&request, at(200)).await.expect("answers").leased;
    assert!(leased.iter().all(|one| !one.document.urgent), "its share of the urgent lane is taken");
    assert_eq!(leased.len(), 30);
    request.urgent.skip.clear();
    request.urgent.per_tenant = 4;
    let leased = engine.lease_due(&request, at(201)).await.expect("answers").leased;
    assert_eq!(ids(&leased), ["104", "105", "106", "107"]);
}

pub(super) async fn what_is_urgent_keeps_its_lane_wherever_its_due_time_moves(engine: &dyn Engine) {
    let id = lead(1);
    assert_eq!(commit(engine, vec![urgent(put(&id, None, due(at(1))))], at(0)).await, DONE);
    let mut only = request(9);
    only.others.max = 0;
    let of = async |now| engine.lease_due(&only, now).await.expect("answers").leased;
    // A lease that ends, one that is put back and a wake say when it is due from then on.
    let one = of(at(10)).await.remove(0).document;
    let end = LeaseChange::End { token: token(&one), due: Some(at(500)) };
    assert_eq!(commit(engine, vec![urgent(put(&id, Some(one.version), end))], at(11)).await, DONE);
    assert!(of(at(499)).await.is_empty());
    let back = of(at(500)).await.remove(0).taken().expect("it is leased");
    assert!(engine.put_back(&tenant(), &back, at(700), at(501)).await.expect("answers"));
    assert!(of(at(699)).await.is_empty());
    let woken = engine.wake(&tenant(), Kind::Lead, &["pending"], Duration::ZERO, at(600)).await.expect("answers");
    assert_eq!((woken, of(at(600)).await.len()), (1, 1));
    assert!(of(at(629)).await.is_empty(), "leased");
    assert_eq!(of(at(630)).await.len(), 1, "the lease has run out");
    // Once it is not urgent it takes its turn with the others.
    let version = read(engine, &id, at(700)).await.expect("it is there").version;
    assert_eq!(commit(engine, vec![put(&id, Some(version), due(at(700)))], at(700)).await, DONE);
    assert!(of(at(900)).await.is_empty());
    assert_eq!(lease_due(engine, 9, at(900)).await.len(), 1);
    let version = read(engine, &id, at(930)).await.expect("it is there").version;
    assert_eq!(commit(engine, vec![urgent(put(&id, Some(version), due(at(930))))], at(930)).await, DONE);
    let version = read(engine, &id, at(930)).await.expect("it is there").version;
    assert_eq!(commit(engine, vec![erase(&id, version)], at(930)).await, DONE);
    assert!(of(at(9_000)).await.is_empty());
}

pub(super) async fn what_is_urgent_is_found_behind_many_tenants_whose_work_has_no_workers(engine: &dyn Engine) {
    for n in 0..300 {
        create(engine, &Tenant::new(format!("t{n}")), &lead(n), due(at(0))).await;
    }
    let last = Commit::of(vec![urgent(put(&lead(1), None, due(at(5))))]);
    assert_eq!(engine.commit(&tenant(), &last, at(0)).await.expect("answers"), DONE);
    let mut request = request(3);
    request.others.max = 0;
    let leased = engine.lease_due(&request, at(10)).await.expect("answers").leased;
    assert_eq!(leased.iter().map(|one| &one.tenant).collect::<Vec<_>>(), [&tenant()]);
}

pub(super) async fn no_two_workers_lease_the_same(engine: &dyn Engine) {
    for n in 0..60 {
        create(engine, &Tenant::new(format!("t{}", n % 7)), &lead(n), due(at(0))).await;
    }
    let workers = (0..8).map(|_| async {
        let mut mine = Vec::new();
        loop {
            let leased = lease_due(engine, 3, at(1)).await;
            if leased.is_empty() {
                return mine;
            }
            mine.extend(leased.into_iter().map(|one| (one.key, token(&one.document))));
        }
    });
    let all: Vec<_> = join_all(workers).await.into_iter().flatten().collect();
    assert_eq!(all.len(), 60);
    assert_eq!(all.iter().map(|(key, _)| key).collect::<HashSet<_>>().len(), 60);
    assert_eq!(all.iter().map(|(_, token)| token).collect::<HashSet<_>>().len(), 60);
}

pub(super) async fn next_due_is_the_first_to_come(engine: &dyn Engine) {
    assert_eq!(engine.next_due(at(0)).await.expect("answers"), None);
    for n in (5..30).rev() {
        create(engine, &Tenant::new(format!("t{n}")), &lead(1), due(at(n))).await;
        assert_eq!(engine.next_due(at(0)).await.expect("answers"), Some(at(n)));
    }
    // What is due already hides nobody's later time, its own tenant's neither.
    assert_eq!(engine.next_due(at(5)).await.expect("answers"), Some(at(6)));
    assert_eq!(engine.next_due(at(29)).await.expect("answers"), None);
    create(engine, &Tenant::new("t7"), &lead(2), due(at(40))).await;
    assert_eq!(engine.next_due(at(29)).await.expect("answers"), Some(at(40)));
    assert_eq!(lease_due(engine, 1, at(6)).await.len(), 1);
    assert_eq!(engine.next_due(at(29)).await.expect("answers"), Some(at(36)), "when the lease runs out");
}

pub(super) async fn waking_spreads_the_unleased_and_moves_no_version(engine: &dyn Engine) {
    let statuses = ["queued", "pending", "complete", "queued", "pending"];
    for (id, status) in statuses.into_iter().enumerate() {
        // The fourth is due sooner than the wake would have it.
        let before = if id == 3 { at(103) } else { at(9_000) };
        let write = put_as(&lead(id), None, status, at(id as u64), due(before));
        assert_eq!(commit(engine, vec![write], at(0)).await, DONE);
    }
    let lease = lease_until(at(500));
    assert_eq!(
        commit(engine, vec![put_as(&lead(5), None, "queued", at(0), LeaseChange::Take(lease))], at(0)).await,
        DONE
    );
    assert_eq!(commit(engine, vec![put_as(&Key::workspace(), None, "queued", at(0), IDLE)], at(0)).await, DONE);
    create(engine, &Tenant::new("other"), &lead(1), due(at(9_000))).await;
    let (tenant, statuses) = (tenant(), ["queued", "pending"]);
    let wake = || engine.wake(&tenant, Kind::Lead, &statuses, Duration::from_secs(8), at(100));
    assert_eq!(wake().await.expect("answers"), 4);
    assert_eq!(wake().await.expect("answers"), 4, "harmless to repeat");
    for (id, expected) in [(0, at(100)), (1, at(102)), (2, at(9_000)), (3, at(103)), (4, at(106))] {
        let document = read(engine, &lead(id), at(100)).await.expect("it is there");
        assert_eq!((document.due, document.version), (Some(expected), v(1)), "{id}");
    }
    assert_eq!(read(engine, &lead(5), at(100)).await.expect("it is there").lease, Some(lease));
    assert_eq!(engine.next_due(ms(99_999)).await.expect("answers"), Some(at(100)));
    assert_eq!(lease_due(engine, 10, at(104)).await.len(), 3);
    assert_eq!(wake().await.expect("answers"), 1);
}

/// More than one round's worth, so that whatever is counted or placed per round would show.
pub(super) async fn a_crowd_is_woken_evenly_in_rounds(engine: &dyn Engine) {
    const CROWD: u64 = 2_500;
    for chunk in 0..10 {
        let writes = (0..250).map(|n| {
            let n = chunk * 250 + n;
            let status = if n % 5 == 0 { "queued" } else { "pending" };
            // Two of each time, and leases here and there.
            let lease = if n % 100 == 99 { LeaseChange::Take(lease_until(at(9_000))) } else { due(at(9_000)) };
            put_as(&lead(format!("{n:04}")), None, status, at(n / 2), lease)
        });
        assert_eq!(commit(engine, writes.collect(), at(0)).await, DONE);
    }
    let spread = Duration::from_secs(60);
    let woken = engine.wake(&tenant(), Kind::Lead, &["queued", "pending", "queued"], spread, at(100)).await;
    assert_eq!(woken.expect("answers"), CROWD - 25);
    for (nth, n) in (0..).zip((0..CROWD).filter(|n| n % 100 != 99)) {
        let expected = later(at(100), Duration::from_micros(60_000_000 * nth / (CROWD - 25)));
        if n % 83 == 0 {
            let document = read(engine, &lead(format!("{n:04}")), at(100)).await.expect("it is there");
            assert_eq!((document.due, document.version), (Some(expected), v(1)), "{n}");
        }
    }
    let leased = lease_due(engine, 5_000, at(161)).await;
    assert_eq!(leased.len() as u64, CROWD - 25);
    assert!(leased.is_sorted_by_key(|one| &one.key.id), "in the order of their creation");
}
