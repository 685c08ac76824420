//! What a copy promises, over both engines and a cluster.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use proptest::{
    collection::vec,
    option,
    prelude::*,
    test_runner::{Config, TestRunner},
};
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

use super::*;
use crate::{
    clock::{Clock as _, SystemClock, earlier, from_micros, later},
    lifecycle::Lifecycle,
    store::{
        Document, Key, Kind, Lease, LeaseChange, LeaseRequest, OpenError, Store, StoreError, Tenant,
        conformance::{
            DONE, IDLE, commit, create, due, lead, lease_until, plain, put, redis_cluster::RedisCluster,
            redis_server::RedisServer, tenant,
        },
        gate::{Gate, GateReport, GateState},
        open, open_shelf,
    },
};

const HOUR: Duration = Duration::from_secs(3600);

/// Files and namespaces that nothing is in yet.
struct Stores {
    folder: tempfile::TempDir,
    server: RedisServer,
    next: AtomicU32,
}

/// A store's URL and its namespace.
type Named = (SecretString, String);

impl Stores {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { folder, server: RedisServer::start(), next: AtomicU32::new(0) }
    }

    fn sqlite(&self) -> Named {
        (format!("sqlite:{}", self.file("db").display()).into(), "alc".to_owned())
    }

    fn redis(&self) -> Named {
        (self.server.url().into(), format!("n{}", self.next.fetch_add(1, Ordering::Relaxed)))
    }

    fn file(&self, ending: &str) -> PathBuf {
        self.folder.path().join(format!("{}.{ending}", self.next.fetch_add(1, Ordering::Relaxed)))
    }

    /// One of each kind.
    fn both(&self) -> [Named; 2] {
        [self.sqlite(), self.redis()]
    }
}

async fn shelf(store: &Named, purpose: Purpose) -> Result<Arc<dyn Shelf>, OpenError> {
    open_shelf(&store.0, &store.1, purpose).await
}

async fn refusal(store: &Named, purpose: Purpose) -> OpenError {
    shelf(store, purpose).await.map(drop).expect_err("it is refused")
}

async fn copied(from: &Named, to: &Named) -> Result<Copied, CopyError> {
    let source = shelf(from, Purpose::CopyFrom).await.expect("the source opens");
    let target = shelf(to, Purpose::CopyInto).await.expect("the target opens");
    copy(source.as_ref(), target.as_ref(), |_, _| {}).await
}

/// An aggregate, and a gate, in the words of the store.
type Contents = (BTreeMap<(Tenant, Key), Held>, BTreeMap<(Tenant, String), GateState>);

async fn contents(store: &Named) -> Contents {
    let shelf = shelf(store, Purpose::Check).await.expect("it opens");
    let (mut found, mut place) = (Contents::default(), None);
    loop {
        let stretch = shelf.walk(place.as_ref()).await.expect("the store answers");
        assert_eq!(stretch.findings, []);
        found.0.extend(stretch.aggregates.into_iter().map(|held| ((held.tenant.clone(), held.key.clone()), held)));
        found.1.extend(stretch.gates.into_iter().map(|gate| ((gate.tenant, gate.upstream), gate.state)));
        place = stretch.next;
        if place.is_none() {
            break;
        }
    }
    assert_eq!(shelf.index_findings().await.expect("the store answers"), []);
    found
}

async fn filled(store: &Named, (aggregates, gates): &(Vec<Held>, Vec<HeldGate>)) {
    let shelf = shelf(store, Purpose::CopyInto).await.expect("it opens");
    shelf.put(aggregates, gates, SystemClock.now()).await.expect("the store takes it");
    shelf.finish().await.expect("the store takes it");
}

fn time() -> impl Strategy<Value = Timestamp> {
    (1_600_000_000_000_000_i64..1_790_000_000_000_000).prop_map(from_micros)
}

fn held() -> impl Strategy<Value = Held> {
    let which = (0..5_u8, 0..4_usize, "[a-z0-9-]{1,6}", "[a-z-]{1,6}");
    let beside = (option::of(time()), option::of((any::<u128>(), time())), option::of(time()), any::<bool>());
    let document = ("\\PC{0,20}", 1..u64::MAX / 2, time());
    (which, beside, document).prop_map(
        |((tenant, kind, id, status), (due, lease, slot, urgent), (body, version, at))| {
            let kind = Kind::ALL[kind];
            let lease = lease.map(|(token, until)| Lease { token: Uuid::from_u128(token), until });
            // What has expired may be dropped at any moment.
            let expires_at = (kind == Kind::Receipt).then(|| later(SystemClock.now(), HOUR));
            Held {
                tenant: Tenant::new(format!("tenant-{tenant}")),
                key: Key::new(kind, if kind == Kind::Workspace { String::new() } else { id }),
                document: Document {
                    body: format!("{{{body}}}"),
                    version,
                    status,
                    created_at: at,
                    due,
                    lease,
                    slot,
                    urgent,
                },
                expires_at,
            }
        },
    )
}

fn held_gate() -> impl Strategy<Value = HeldGate> {
    let steps = vec((0..4_u8, option::of(time()), time()), 0..40);
    (0..5_u8, "alc|attio|workflow", steps).prop_map(|(tenant, upstream, steps)| {
        let gate = Gate { upstream: "attio", per_second: Some(25), ahead: false };
        let mut state = GateState::default();
        for (step, held, at) in steps {
            match step {
                0 => state.report(GateReport::Failed, at),
                1 => state.report(GateReport::Limited { until: at }, at),
                2 => drop(state.reserve(&gate.ahead(), held, at)),
                _ => drop(state.reserve(&gate, held, at)),
            }
        }
        HeldGate { tenant: Tenant::new(format!("tenant-{tenant}")), upstream, state }
    })
}

#[test]
fn any_store_copied_there_and_back_is_the_same() {
    let stores = Stores::start();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    let any_store = (vec(held(), 0..40), vec(held_gate(), 0..6));
    let same = runner.run(&any_store, |store| {
        runtime.block_on(async {
            let (there, between, back) = (stores.sqlite(), stores.redis(), stores.sqlite());
            filled(&there, &store).await;
            let first = copied(&there, &between).await.expect("it is copied");
            let second = copied(&between, &back).await.expect("it is copied");
            assert!(first.is_whole && second.is_whole, "{first:?} {second:?}");
            let original = contents(&there).await;
            assert_eq!(contents(&between).await, original);
            assert_eq!(contents(&back).await, original);
        });
        Ok(())
    });
    same.expect("they are the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_filled_as_well_and_all_in_it_is_found() {
    let (stores, cluster) = (Stores::start(), RedisCluster::start());
    let (from, to) = (stores.sqlite(), (SecretString::from(cluster.url()), "alc".to_owned()));
    let store = open(&from.0, &from.1, &Lifecycle::new()).await.expect("it opens");
    for n in 0..40 {
        create_there(&store, &Tenant::new(format!("tenant-{n}")), n).await;
    }
    store.close().await;
    let result = copied(&from, &to).await.expect("it is copied");
    assert!(result.is_whole && result.rows.len() == 40, "{result:?}");
    assert_eq!(contents(&to).await, contents(&from).await);
}

async fn create_there(store: &Store, tenant: &Tenant, n: u64) {
    let at = later(from_micros(1_700_000_000_000_000), Duration::from_secs(n));
    let write = put(&lead(n), None, due(at));
    let committed = store.commit(tenant, &plain(vec![write]), at).await;
    assert_eq!(committed.expect("the store answers"), DONE);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_due_is_leased_in_the_same_order_and_a_lease_that_ran_out_is_told() {
    let stores = Stores::start();
    for (from, to) in [(stores.sqlite(), stores.redis()), (stores.redis(), stores.sqlite())] {
        let store = open(&from.0, &from.1, &Lifecycle::new()).await.expect("it opens");
        let now = SystemClock.now();
        let ago = |seconds| earlier(now, Duration::from_secs(seconds));
        for (n, seconds) in [(1, 60), (2, 90), (3, 30)] {
            create(&*store, &tenant(), &lead(n), due(ago(seconds))).await;
        }
        let ran_out = LeaseChange::Take(lease_until(ago(75)));
        create(&*store, &tenant(), &lead(4), ran_out).await;
        assert_eq!(commit(&*store, vec![put(&lead(5), None, IDLE)], now).await, DONE);
        store.close().await;
        assert!(copied(&from, &to).await.expect("it is copied").is_whole);
        let store = open(&to.0, &to.1, &Lifecycle::new()).await.expect("a service opens it");
        let request = LeaseRequest::up_to(9, Duration::from_secs(30));
        let leased = store.lease_due(&request, now).await.expect("it answers").leased;
        let leased: Vec<_> = leased.into_iter().map(|one| (one.key.id, one.ran_out)).collect();
        assert_eq!(
            leased,
            [("2", false), ("4", true), ("1", false), ("3", false)].map(|(id, ran)| (id.to_owned(), ran))
        );
        store.close().await;
    }
}

/// What a process leaves that is killed in the middle of a copy: what it had written, and no `finish`.
#[tokio::test(flavor = "multi_thread")]
async fn no_service_opens_what_a_copy_left_half_filled_and_the_next_copy_begins_anew() {
    let stores = Stores::start();
    let from = stores.sqlite();
    let store = open(&from.0, &from.1, &Lifecycle::new()).await.expect("it opens");
    create_there(&store, &tenant(), 1).await;
    store.close().await;
    for to in stores.both() {
        let half = shelf(&to, Purpose::CopyInto).await.expect("it opens");
        let stray = |id: &str| Held {
            tenant: tenant(),
            key: lead(id),
            document: Document {
                body: "{}".to_owned(),
                version: 1,
                status: "pending".to_owned(),
                created_at: SystemClock.now(),
                due: Some(SystemClock.now()),
                lease: None,
                slot: None,
                urgent: true,
            },
            expires_at: None,
        };
        half.put(&[stray("stray")], &[], SystemClock.now()).await.expect("the store takes it");
        drop(half);
        let served = open(&to.0, &to.1, &Lifecycle::new()).await.map(drop);
        assert!(matches!(served, Err(OpenError::Unfinished)), "{served:?}");
        for purpose in [Purpose::Check, Purpose::CopyFrom] {
            assert!(matches!(refusal(&to, purpose).await, OpenError::Unfinished));
        }
        assert!(copied(&from, &to).await.expect("it is copied").is_whole);
        assert_eq!(contents(&to).await, contents(&from).await, "nothing is left of the first copy");
        open(&to.0, &to.1, &Lifecycle::new()).await.expect("a service opens it").close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_copies_into_one_namespace_only_the_second_makes_it_whole() {
    let stores = Stores::start();
    let to = stores.redis();
    let first = shelf(&to, Purpose::CopyInto).await.expect("it opens");
    let second = shelf(&to, Purpose::CopyInto).await.expect("it opens");
    let of = |tenant: &str, body: &str| {
        let now = SystemClock.now();
        let document = Document {
            body: body.to_owned(),
            version: 1,
            status: "queued".to_owned(),
            created_at: now,
            due: Some(now),
            lease: None,
            slot: None,
            urgent: false,
        };
        Held { tenant: Tenant::new(tenant), key: Key::new(Kind::Lead, "1"), document, expires_at: None }
    };
    let put = async |by: &Arc<dyn Shelf>, tenant, body| by.put(&[of(tenant, body)], &[], SystemClock.now()).await;
    let overtaken = |answer: Result<(), StoreError>| {
        assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    };
    put(&second, "a", "of the second").await.expect("it is its turn");
    overtaken(put(&first, "a", "of the first").await);
    overtaken(put(&first, "b", "of the first").await);
    overtaken(first.finish().await);
    second.finish().await.expect("it is whole");
    // It wakes when a service may be at work.
    overtaken(put(&first, "a", "of the first").await);
    overtaken(put(&second, "a", "late").await);
    let found = contents(&to).await;
    let bodies: Vec<_> = found.0.values().map(|held| held.document.body.as_str()).collect();
    assert_eq!(bodies, ["of the second"], "nothing of the first");
    open(&to.0, &to.1, &Lifecycle::new()).await.expect("a service opens it").close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_holds_something_or_is_in_use_or_not_there_is_neither_filled_nor_copied() {
    let stores = Stores::start();
    for to in stores.both() {
        for purpose in [Purpose::Check, Purpose::CopyFrom] {
            assert!(matches!(refusal(&to, purpose).await, OpenError::Nothing));
        }
        let store = open(&to.0, &to.1, &Lifecycle::new()).await.expect("it opens");
        for purpose in [Purpose::CopyFrom, Purpose::CopyInto] {
            let refused = refusal(&to, purpose).await;
            assert!(matches!(refused, OpenError::Running { .. } | OpenError::InUse { .. }), "{refused:?}");
        }
        assert_eq!(
            shelf(&to, Purpose::Check).await.expect("it may be looked at").index_findings().await.expect("it answers"),
            []
        );
        create_there(&store, &tenant(), 1).await;
        store.close().await;
        let refused = refusal(&to, Purpose::CopyInto).await;
        assert!(matches!(refused, OpenError::NotEmpty), "{refused:?}");
        assert_eq!(contents(&to).await.0.len(), 1, "it was let alone");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_programs_database_is_neither_read_nor_filled_nor_changed() {
    let stores = Stores::start();
    let file = stores.file("db");
    let store = (SecretString::from(format!("sqlite:{}", file.display())), "alc".to_owned());
    let anothers = rusqlite::Connection::open(&file).expect("it opens");
    anothers.execute_batch("CREATE TABLE theirs (n); INSERT INTO theirs VALUES (1)").expect("it is written");
    drop(anothers);
    let before = std::fs::read(&file).expect("it is there");
    assert!(matches!(refusal(&store, Purpose::CopyFrom).await, OpenError::Nothing));
    assert!(matches!(refusal(&store, Purpose::CopyInto).await, OpenError::NotEmpty));
    assert!(std::fs::read(&file).expect("it is there") == before, "not a byte of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_was_killed_counts_as_running_for_a_while_and_no_longer() {
    let stores = Stores::start();
    let to = stores.redis();
    // It never says that it leaves.
    drop(open(&to.0, &to.1, &Lifecycle::new()).await.expect("it opens"));
    let OpenError::Running { seconds } = refusal(&to, Purpose::CopyFrom).await else { panic!("it runs") };
    assert!((1..=75).contains(&seconds), "{seconds}");
    let place = format!("{}:{{00}}:alive", to.1);
    let signs = stores.server.command(&format!("ZRANGE {place} 0 0"));
    let replica = signs.lines().last().expect("a sign");
    assert!(stores.server.command(&format!("ZADD {place} 1 {replica}")).starts_with(":0"), "it was there");
    shelf(&to, Purpose::CopyFrom).await.expect("its last sign is of long ago");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_at_work_and_a_newer_layout_are_not_copied() {
    let stores = Stores::start();
    for from in stores.both() {
        let store = open(&from.0, &from.1, &Lifecycle::new()).await.expect("it opens");
        let until = later(SystemClock.now(), HOUR);
        create(&*store, &tenant(), &lead(1), LeaseChange::Take(lease_until(until))).await;
        store.close().await;
        let refused = copied(&from, &stores.redis()).await.map(drop);
        assert!(matches!(refused, Err(CopyError::Leased { .. })), "{refused:?}");
    }
    let [sqlite, redis] = stores.both();
    for store in [&sqlite, &redis] {
        open(&store.0, &store.1, &Lifecycle::new()).await.expect("it opens").close().await;
    }
    let file = sqlite.0.expose_secret().replace("sqlite:", "");
    let connection = rusqlite::Connection::open(file).expect("it opens");
    connection.pragma_update(None, "user_version", 2).expect("it is written");
    drop(connection);
    assert!(stores.server.command(&format!("SET {}:layout another", redis.1)).starts_with("+OK"));
    for store in [&sqlite, &redis] {
        for purpose in [Purpose::Check, Purpose::CopyFrom, Purpose::CopyInto] {
            let refused = refusal(store, purpose).await;
            assert!(matches!(refused, OpenError::Layout { .. }), "{refused:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_user_may_copy_and_check_and_one_who_may_not_scan_is_told() {
    let stores = Stores::start();
    let lines = include_str!("../../../docs/operations.md").lines();
    let documented = lines.filter_map(|line| line.strip_prefix("ACL SETUSER alc ")).next().expect("it is documented");
    let documented = documented.replace(">password", ">hunter2");
    assert!(stores.server.command(&format!("ACL SETUSER alc {documented}")).starts_with("+OK"));
    let url = stores.server.url().replace("redis://", "redis://alc:hunter2@");
    let (from, to) = (stores.sqlite(), (SecretString::from(url), "alc:1".to_owned()));
    let store = open(&from.0, &from.1, &Lifecycle::new()).await.expect("it opens");
    create_there(&store, &tenant(), 1).await;
    store.close().await;
    assert!(copied(&from, &to).await.expect("it is copied").is_whole);
    assert_eq!(contents(&to).await, contents(&from).await);
    assert!(copied(&to, &stores.sqlite()).await.expect("it is copied").is_whole);
    assert!(stores.server.command("ACL SETUSER alc -scan").starts_with("+OK"));
    let refused = refusal(&to, Purpose::Check).await.to_string();
    assert!(refused.contains("SCAN") && refused.contains("docs/operations.md"), "{refused}");
}

/// A service that was not stopped, and a program that writes into the target, as the copy meets them.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_changes_meanwhile_and_a_target_that_lacks_something_do_not_count_as_copied() {
    let stores = Stores::start();
    let from = stores.sqlite();
    let store = open(&from.0, &from.1, &Lifecycle::new()).await.expect("it opens");
    create_there(&store, &tenant(), 1).await;
    store.close().await;
    let file = from.0.expose_secret().replace("sqlite:", "");
    let changed = |sql: &str| {
        let connection = rusqlite::Connection::open(&file).expect("it opens");
        assert_eq!(connection.execute(sql, []).expect("it is done"), 1);
    };
    let to = stores.redis();
    let source = shelf(&from, Purpose::CopyFrom).await.expect("it opens");
    let target = shelf(&to, Purpose::CopyInto).await.expect("it opens");
    let due = "UPDATE aggregates SET due = due + 1";
    let result = copy(source.as_ref(), target.as_ref(), |_, all| {
        assert_eq!(all, 1);
        changed(due);
    });
    let result = result.await.map(drop);
    assert!(matches!(result, Err(CopyError::Changed)), "{result:?}");
    drop((source, target));
    for damage in ["HSET a:tenant:lead:1 b {}", "HDEL a:tenant:lead:1 d", "DEL a:tenant:lead:1"] {
        let source = shelf(&from, Purpose::CopyFrom).await.expect("it opens");
        let target = shelf(&to, Purpose::CopyInto).await.expect("it opens");
        let (command, rest) = damage.split_once(' ').expect("two words");
        let place = (0..16).map(|partition| format!("{}:{{{partition:02}}}:", to.1));
        let result = copy(source.as_ref(), target.as_ref(), |_, _| {
            let place = place
                .clone()
                .find(|place| stores.server.command(&format!("EXISTS {place}a:tenant:lead:1")).starts_with(":1"));
            // It is told once more when there is nothing left to copy.
            if let Some(place) = place {
                assert!(!stores.server.command(&format!("{command} {place}{rest}")).starts_with('-'));
            }
        });
        let result = result.await.expect("both answer");
        assert!(!result.is_whole && !result.rows[0].is_same, "{damage}: {result:?}");
        drop((source, target));
        let served = open(&to.0, &to.1, &Lifecycle::new()).await.map(drop);
        assert!(matches!(served, Err(OpenError::Unfinished)), "{damage}: {served:?}");
    }
}
