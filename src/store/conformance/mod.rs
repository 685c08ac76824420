//! What every engine promises, as tests that run over both, with a `now` of their own.
//!
//! Each test is a function over an [`Engine`]; the list at the end makes it two tests, and a part of a third.

mod commits;
mod gates;
mod history;
mod leases;
mod listings;
mod model;

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    Beside, Change, Commit, Committed, Document, Engine, Key, Kind, Lease, LeaseChange, LeaseRequest, Leased, Taken,
    Tenant, Version, Write, gate::Verdict, redis::RedisEngine, sqlite::SqliteEngine,
};
use crate::{
    clock::{from_micros, later},
    ids::random_uuid,
    lifecycle::Lifecycle,
};

#[path = "../../../tests/support/redis_server.rs"]
#[expect(unreachable_pub, reason = "shared with the integration tests, which use other parts of it")]
pub(crate) mod redis_server;

#[path = "../../../tests/support/redis_cluster.rs"]
#[expect(unreachable_pub, reason = "shared with the integration tests")]
pub(crate) mod redis_cluster;

#[path = "../../../tests/support/redis_sentinel.rs"]
#[expect(unreachable_pub, reason = "shared with the integration tests")]
pub(crate) mod redis_sentinel;

/// That many seconds after the time at which every test begins.
pub(super) fn at(seconds: u64) -> Timestamp {
    later(from_micros(1_763_000_000_123_456), Duration::from_secs(seconds))
}

pub(super) fn ms(ms: u64) -> Timestamp {
    later(at(0), Duration::from_millis(ms))
}

pub(super) fn tenant() -> Tenant {
    Tenant::new("tenant")
}

pub(super) fn lead(id: impl std::fmt::Display) -> Key {
    Key::new(Kind::Lead, id)
}

pub(super) fn lease_until(until: Timestamp) -> Lease {
    Lease { token: random_uuid(), until }
}

/// The version that the nth of an aggregate's [`plain`] commits gives to it.
pub(super) fn v(nth: Version) -> Version {
    nth << 32
}

/// A commit whose versions have nothing random, so that tests can count them.
pub(super) fn plain(writes: Vec<Write>) -> Commit {
    let (_, low) = random_uuid().as_u64_pair();
    Commit { id: Uuid::from_u64_pair(0, low), ..Commit::of(writes) }
}

/// A test says how many commits an aggregate has had, or the very version.
fn expected(version: Version) -> Version {
    if version < v(1) { v(version) } else { version }
}

/// A `Put` of a body that tells writes apart.
pub(super) fn put(key: &Key, version: Option<Version>, lease: LeaseChange) -> Write {
    put_as(key, version, "pending", at(0), lease)
}

pub(super) fn put_as(
    key: &Key,
    version: Option<Version>,
    status: &'static str,
    created_at: Timestamp,
    lease: LeaseChange,
) -> Write {
    let expected = version.map(expected);
    let body = format!("{{\"schema\":1,\"after\":{},\"text\":\"é\\u0000\"}}", expected.unwrap_or(0));
    Write {
        key: key.clone(),
        expected,
        change: Change::Put { body, status: status.into(), created_at, lease, urgent: false, expires_at: None },
    }
}

pub(super) fn erase(key: &Key, version: Version) -> Write {
    Write { key: key.clone(), expected: Some(self::expected(version)), change: Change::Erase }
}

pub(super) const IDLE: LeaseChange = LeaseChange::Leave { due: None };

pub(super) fn due(at: Timestamp) -> LeaseChange {
    LeaseChange::Leave { due: Some(at) }
}

pub(super) const DONE: Committed = Committed::Done(Verdict::Go);

/// Commits at `now` for [`tenant`].
pub(super) async fn commit(engine: &dyn Engine, writes: Vec<Write>, now: Timestamp) -> Committed {
    engine.commit(&tenant(), &plain(writes), now).await.expect("the store answers")
}

pub(super) async fn create(engine: &dyn Engine, tenant: &Tenant, key: &Key, lease: LeaseChange) {
    let created = engine.commit(tenant, &plain(vec![put(key, None, lease)]), at(0)).await;
    assert_eq!(created.expect("the store answers"), DONE);
}

pub(super) async fn read(engine: &dyn Engine, key: &Key, now: Timestamp) -> Option<Document> {
    let loaded = engine.load(&tenant(), std::slice::from_ref(key), &[], now).await.expect("the store answers");
    loaded.documents.into_iter().next().expect("one answer per key")
}

pub(super) fn request(max: usize) -> LeaseRequest {
    LeaseRequest::up_to(max, Duration::from_secs(30))
}

pub(super) async fn lease_due(engine: &dyn Engine, max: usize, now: Timestamp) -> Vec<Leased> {
    engine.lease_due(&request(max), now).await.expect("the store answers").leased
}

pub(super) fn token(document: &Document) -> Uuid {
    document.lease.expect("it is leased").token
}

pub(super) async fn sqlite() -> (SqliteEngine, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let engine = SqliteEngine::open(&folder.path().join("x.db"), Duration::ZERO).await.expect("it opens");
    (engine, folder)
}

pub(super) async fn redis(server: &redis_server::RedisServer) -> RedisEngine {
    RedisEngine::open(&server.url().into(), "alc", &Lifecycle::new()).await.expect("it opens")
}

macro_rules! suite {
    ($($room:ident: $($test:ident),+ $(,)?;)+) => {
        mod on_sqlite {
            $($(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                let (engine, _folder) = super::sqlite().await;
                super::$room::$test(&engine).await;
            })+)+
        }

        mod on_redis {
            $($(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                let server = super::redis_server::RedisServer::start();
                let engine = super::redis(&server).await;
                super::$room::$test(&engine).await;
            })+)+
        }

        /// Everything once more over one cluster, each test with a namespace of its own.
        #[tokio::test(flavor = "multi_thread")]
        async fn on_a_cluster() {
            let cluster = redis_cluster::RedisCluster::start();
            let mut number = 0;
            $($(number += 1;
            println!("{}", stringify!($test));
            let namespace = format!("test-{number}");
            let engine = RedisEngine::open(&cluster.url().into(), &namespace, &Lifecycle::new()).await.expect("it opens");
            $room::$test(&engine).await;)+)+
            assert!(number > 30, "the whole suite");
        }
    };
}

suite! {
    commits:
        what_is_written_is_read,
        a_version_that_moved_conflicts_and_nothing_is_written,
        writes_are_all_or_nothing,
        checks_must_stand,
        a_commit_repeated_after_a_lost_answer_has_one_effect_and_the_same_verdict,
        a_conflict_is_remembered_like_any_verdict,
        many_writers_on_one_aggregate_lose_nothing,
        counts_that_meet_again_conflict,
        receipts_expire_by_now,
        erasing_leaves_no_ghost,
        tenants_do_not_see_each_other,
        the_store_answers_a_ping;
    leases:
        leave_sets_the_due_time_of_who_is_unleased_and_leaves_a_lease_alone,
        take_is_for_who_has_no_lease,
        only_the_holder_holds_and_ends,
        an_end_that_names_a_moved_version_conflicts,
        a_lease_that_ran_out_is_taken_over_and_the_loser_still_records_its_fact,
        what_is_put_back_is_as_it_was_but_due_later,
        the_longest_due_comes_first,
        what_is_not_due_stays,
        one_due_lead_comes_out_beside_ten_thousand_of_another,
        tenants_take_turns_and_none_takes_more_than_its_share,
        what_is_due_earlier_takes_no_turn_of_another_tenant,
        skipped_tenants_are_left_alone,
        what_is_urgent_and_what_is_not_are_leased_apart,
        what_is_urgent_keeps_its_lane_wherever_its_due_time_moves,
        what_is_urgent_is_found_behind_many_tenants_whose_work_has_no_workers,
        no_two_workers_lease_the_same,
        next_due_is_the_first_to_come,
        waking_spreads_the_unleased_and_moves_no_version,
        a_crowd_is_woken_evenly_in_rounds;
    listings:
        pages_are_newest_first_with_ties_and_by_status,
        a_cursor_stands_still_while_others_write,
        depths_count_by_kind_and_status,
        every_tenant_of_a_kind_is_found_once,
        what_no_worker_leases_is_found_by_kind_and_status;
    gates:
        a_slot_is_kept_beside_the_aggregate_and_honoured,
        a_reservation_comes_with_its_commit_or_not_at_all,
        a_pause_and_a_cool_down_show_and_hold,
        gates_of_tenants_and_upstreams_are_their_own,
        a_lease_brings_what_stands_beside_it,
        a_crowd_is_paced_as_the_arithmetic_says;
    model:
        random_commits_and_leases_do_what_the_model_does;
}
