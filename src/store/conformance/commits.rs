//! Commits: versions, checks, repeats, receipts, erasing.

use futures_util::future::join_all;

use super::*;
use crate::store::Reserve;
use crate::store::gate::Gate;

pub(super) async fn what_is_written_is_read(engine: &dyn Engine) {
    let key = lead("with:colon|and bar");
    assert!(read(engine, &key, at(0)).await.is_none());
    let write = put_as(&key, None, "queued", at(7), due(at(9)));
    let Change::Put { body, .. } = write.change.clone() else { unreachable!("it is a put") };
    assert_eq!(commit(engine, vec![write], at(1)).await, DONE);
    let expected = Document {
        body,
        version: v(1),
        status: "queued".into(),
        created_at: at(7),
        due: Some(at(9)),
        lease: None,
        slot: None,
        urgent: false,
    };
    let loaded = engine.load(&tenant(), &[lead("none"), key.clone(), Key::workspace()], &[], at(1)).await;
    assert_eq!(loaded.expect("answers").documents, [None, Some(expected), None]);
}

pub(super) async fn a_version_that_moved_conflicts_and_nothing_is_written(engine: &dyn Engine) {
    let key = lead(1);
    assert_eq!(commit(engine, vec![put(&key, None, IDLE)], at(0)).await, DONE);
    assert_eq!(commit(engine, vec![put(&key, None, IDLE)], at(0)).await, Committed::Conflict);
    assert_eq!(commit(engine, vec![put(&key, Some(2), IDLE)], at(0)).await, Committed::Conflict);
    assert_eq!(commit(engine, vec![put(&lead(2), Some(1), IDLE)], at(0)).await, Committed::Conflict);
    assert_eq!(commit(engine, vec![erase(&key, 2)], at(0)).await, Committed::Conflict);
    assert_eq!(read(engine, &key, at(0)).await.expect("it is there").version, v(1));
    assert_eq!(commit(engine, vec![put(&key, Some(1), due(at(5)))], at(0)).await, DONE);
    let document = read(engine, &key, at(0)).await.expect("it is there");
    assert_eq!((document.version, document.due), (v(2), Some(at(5))));
}

pub(super) async fn writes_are_all_or_nothing(engine: &dyn Engine) {
    create(engine, &tenant(), &lead(1), IDLE).await;
    for bad in [put(&lead(9), Some(1), IDLE), erase(&lead(9), 1), put(&lead(1), None, IDLE)] {
        let writes = vec![put(&lead(2), None, due(at(0))), put(&Key::workspace(), None, IDLE), bad];
        assert_eq!(commit(engine, writes, at(0)).await, Committed::Conflict);
    }
    assert!(read(engine, &lead(2), at(0)).await.is_none());
    assert_eq!(engine.next_due(at(0)).await.expect("answers"), None);
    let writes = vec![put(&lead(2), None, IDLE), put(&Key::workspace(), None, IDLE), erase(&lead(1), 1)];
    assert_eq!(commit(engine, writes, at(0)).await, DONE);
    let keys = [lead(1), lead(2), Key::workspace()];
    let loaded = engine.load(&tenant(), &keys, &[], at(0)).await.expect("answers");
    assert_eq!(loaded.documents.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, true]);
}

pub(super) async fn checks_must_stand(engine: &dyn Engine) {
    create(engine, &tenant(), &Key::workspace(), IDLE).await;
    let checked = |version| Commit {
        checks: vec![(Key::workspace(), v(version))],
        ..plain(vec![put(&lead(version), None, IDLE)])
    };
    assert_eq!(engine.commit(&tenant(), &checked(1), at(0)).await.expect("answers"), DONE);
    assert_eq!(commit(engine, vec![put(&Key::workspace(), Some(1), IDLE)], at(0)).await, DONE);
    let mut stale = checked(1);
    stale.writes = vec![put(&lead("late"), None, IDLE)];
    assert_eq!(engine.commit(&tenant(), &stale, at(0)).await.expect("answers"), Committed::Conflict);
    assert!(read(engine, &lead("late"), at(0)).await.is_none());
    assert_eq!(engine.commit(&tenant(), &checked(2), at(0)).await.expect("answers"), DONE);
    assert_eq!(commit(engine, vec![erase(&Key::workspace(), 2)], at(0)).await, DONE);
    let mut gone = checked(2);
    gone.writes = vec![put(&lead("later"), None, IDLE)];
    assert_eq!(engine.commit(&tenant(), &gone, at(0)).await.expect("answers"), Committed::Conflict);
}

pub(super) async fn a_commit_repeated_after_a_lost_answer_has_one_effect_and_the_same_verdict(engine: &dyn Engine) {
    let gate = Gate { upstream: "attio", per_second: Some(25), ahead: false };
    let mut first = None;
    for n in 0..3 {
        let repeated =
            Commit { reserve: Some(Reserve { gate, key: lead(n) }), ..plain(vec![put(&lead(n), None, due(at(0)))]) };
        let verdict = engine.commit(&tenant(), &repeated, at(0)).await.expect("answers");
        assert_eq!(engine.commit(&tenant(), &repeated, at(3)).await.expect("answers"), verdict);
        assert!(matches!(verdict, Committed::Done(_)));
        first.get_or_insert((repeated, verdict));
    }
    // Also when something else was committed in between.
    let (repeated, verdict) = first.expect("three commits");
    assert_eq!(commit(engine, vec![put(&lead(0), Some(1), IDLE)], at(1)).await, DONE);
    assert_eq!(engine.commit(&tenant(), &repeated, at(3)).await.expect("answers"), verdict);
    assert_eq!(read(engine, &lead(0), at(3)).await.expect("it is there").version, v(2));
    // Three reservations took three slots, not more.
    let next = engine.reserve(&tenant(), &gate, None, at(0)).await.expect("answers");
    assert_eq!(next, Verdict::At(from_micros(at(0).as_microsecond() + 3 * 41_667)));
}

pub(super) async fn a_conflict_is_remembered_like_any_verdict(engine: &dyn Engine) {
    create(engine, &tenant(), &lead(1), IDLE).await;
    let early = plain(vec![put(&lead(1), Some(2), IDLE)]);
    let taking = plain(vec![put(&lead(2), None, LeaseChange::Hold(lease_until(at(9))))]);
    let checked = Commit { checks: vec![(lead(1), v(2))], ..plain(vec![put(&lead(3), None, IDLE)]) };
    for round in 0..2 {
        for refused in [&early, &taking, &checked] {
            let answer = engine.commit(&tenant(), refused, at(0)).await.expect("answers");
            assert_eq!(answer, Committed::Conflict, "{round}");
        }
        // From now on the first would fit.
        if round == 0 {
            assert_eq!(commit(engine, vec![put(&lead(1), Some(1), IDLE)], at(0)).await, DONE);
        }
    }
    assert_eq!(read(engine, &lead(1), at(0)).await.expect("it is there").version, v(2));
}

pub(super) async fn many_writers_on_one_aggregate_lose_nothing(engine: &dyn Engine) {
    create(engine, &tenant(), &lead("shared"), IDLE).await;
    let writers = (0..20).map(|_| async {
        for _ in 0..5 {
            loop {
                let version = read(engine, &lead("shared"), at(0)).await.expect("it is there").version;
                if commit(engine, vec![put(&lead("shared"), Some(version), IDLE)], at(0)).await == DONE {
                    break;
                }
            }
        }
    });
    join_all(writers).await;
    assert_eq!(read(engine, &lead("shared"), at(0)).await.expect("it is there").version, v(101));
}

/// As after a fail-over: a worker has seen a commit that the store has lost, and another writer counted on without it.
pub(super) async fn counts_that_meet_again_conflict(engine: &dyn Engine) {
    let key = lead(1);
    let seen = Commit::of(vec![put(&key, None, IDLE)]);
    assert_eq!(engine.commit(&tenant(), &seen, at(0)).await.expect("answers"), DONE);
    let version = read(engine, &key, at(0)).await.expect("it is there").version;
    assert_eq!(version, seen.version_after(None));
    assert_eq!(commit(engine, vec![erase(&key, version)], at(0)).await, DONE);
    let unseen = Commit::of(vec![put(&key, None, IDLE)]);
    assert_eq!(engine.commit(&tenant(), &unseen, at(0)).await.expect("answers"), DONE);
    let (known, there) = (Some(version), read(engine, &key, at(0)).await.expect("it is there").version);
    assert_eq!(known.map(|known| known >> 32), Some(there >> 32), "as many commits");
    assert_eq!(commit(engine, vec![put(&key, known, IDLE)], at(0)).await, Committed::Conflict);
    let checked = Commit { checks: vec![(key.clone(), version)], ..Commit::of(vec![put(&lead(2), None, IDLE)]) };
    assert_eq!(engine.commit(&tenant(), &checked, at(0)).await.expect("answers"), Committed::Conflict);
    let next = Commit::of(vec![put(&key, Some(there), IDLE)]);
    assert_eq!(engine.commit(&tenant(), &next, at(0)).await.expect("answers"), DONE);
    assert!(next.version_after(Some(there)) > there);
}

pub(super) async fn receipts_expire_by_now(engine: &dyn Engine) {
    let key = Key::new(Kind::Receipt, "a key: of | theirs");
    let write = |expected, until| {
        let mut write = put(&key, expected, due(at(0)));
        if let Change::Put { expires_at, .. } = &mut write.change {
            *expires_at = Some(until);
        }
        write
    };
    assert_eq!(commit(engine, vec![write(None, at(10))], at(0)).await, DONE);
    assert!(read(engine, &key, ms(9_999)).await.is_some());
    assert_eq!(commit(engine, vec![write(None, at(10))], ms(9_999)).await, Committed::Conflict);
    assert!(read(engine, &key, at(10)).await.is_none());
    assert_eq!(commit(engine, vec![write(Some(1), at(20))], at(10)).await, Committed::Conflict);
    let checked = Commit { checks: vec![(key.clone(), v(1))], ..plain(vec![put(&lead(1), None, IDLE)]) };
    assert_eq!(engine.commit(&tenant(), &checked, at(10)).await.expect("answers"), Committed::Conflict);
    assert_eq!(commit(engine, vec![write(None, at(20))], at(10)).await, DONE);
    assert_eq!(read(engine, &key, at(19)).await.expect("it is there").version, v(1));
    // In no index, whatever it was written with.
    assert_eq!(engine.next_due(at(0)).await.expect("answers"), None);
    assert!(lease_due(engine, 10, at(11)).await.is_empty());
    assert!(engine.depths(at(11)).await.expect("answers").is_empty());
}

pub(super) async fn erasing_leaves_no_ghost(engine: &dyn Engine) {
    let held = lease_until(at(60));
    let keys = [lead(1), lead(2), Key::workspace(), Key::new(Kind::Attempt, "")];
    let changes = [IDLE, due(at(0)), LeaseChange::Take(held), due(at(5))];
    for (key, change) in keys.iter().zip(changes) {
        create(engine, &tenant(), key, change).await;
        assert_eq!(
            commit(engine, vec![put_as(key, Some(1), "changed", at(3), change_again(change))], at(0)).await,
            DONE
        );
    }
    for key in &keys {
        assert_eq!(commit(engine, vec![erase(key, 2)], at(0)).await, DONE);
        assert!(read(engine, key, at(0)).await.is_none());
    }
    assert_eq!(engine.next_due(at(0)).await.expect("answers"), None);
    assert!(lease_due(engine, 10, at(1000)).await.is_empty());
    assert!(engine.depths(at(0)).await.expect("answers").is_empty());
    assert!(engine.page(&tenant(), &["pending"], None, 10).await.expect("answers").documents.is_empty());
    assert!(engine.page(&tenant(), &["changed"], None, 10).await.expect("answers").documents.is_empty());
    let woken = engine.wake(&tenant(), Kind::Lead, &["pending", "changed"], Duration::ZERO, at(0)).await;
    assert_eq!(woken.expect("answers"), 0);
    assert_eq!(commit(engine, vec![put(&lead(1), None, IDLE)], at(0)).await, DONE, "it begins anew");
}

fn change_again(change: LeaseChange) -> LeaseChange {
    match change {
        LeaseChange::Take(lease) => LeaseChange::Hold(lease),
        other => other,
    }
}

pub(super) async fn tenants_do_not_see_each_other(engine: &dyn Engine) {
    for n in 0..40 {
        create(engine, &Tenant::new(format!("t{n}")), &lead("same"), due(at(n))).await;
    }
    assert!(read(engine, &lead("same"), at(0)).await.is_none());
    let other = Tenant::new("t7");
    let document = engine.load(&other, &[lead("same")], &[], at(0)).await.expect("answers").documents.remove(0);
    assert_eq!(document.expect("it is there").due, Some(at(7)));
    assert_eq!(engine.page(&other, &["pending"], None, 50).await.expect("answers").documents.len(), 1);
    assert_eq!(engine.depths(at(0)).await.expect("answers")[0].count, 40);
    assert_eq!(lease_due(engine, 100, at(100)).await.len(), 40);
}

pub(super) async fn the_store_answers_a_ping(engine: &dyn Engine) {
    engine.ping().await.expect("it answers");
    engine.ping().await.expect("it answers again");
}
