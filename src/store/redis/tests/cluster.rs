//! What only a cluster can do to us: move a slot while we work, lose all connections at once.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use super::*;
use crate::store::{
    Degraded,
    conformance::redis_cluster::{RedisCluster, wait},
};

async fn engine(cluster: &RedisCluster) -> RedisEngine {
    RedisEngine::open(&cluster.url().into(), "alc", &Lifecycle::new()).await.expect("it opens")
}

/// A tenant in that partition.
fn tenant_in(partition: u8) -> Tenant {
    (0..).map(|n| Tenant::new(format!("t{n}"))).find(|tenant| keys::partition(tenant) == partition).expect("there is")
}

/// Partition 0's slot, who has it, and who shall get it.
fn route(cluster: &RedisCluster) -> (u32, usize, usize) {
    let slot = cluster.slot("alc:{00}:");
    let from = RedisCluster::first_owner(slot);
    (slot, from, (from + 1) % 3)
}

async fn version(engine: &RedisEngine, tenant: &Tenant, key: &Key) -> Option<u64> {
    let loaded = engine.load(tenant, std::slice::from_ref(key), &[], at(0)).await.expect("answers");
    loaded.documents[0].as_ref().map(|document| document.version)
}

/// Creates leads and writes each twice more, until told to stop; a commit that fails is repeated as it is.
async fn write_until(engine: &RedisEngine, tenant: &Tenant, writer: usize, stop: &AtomicBool) -> Vec<(Key, u64)> {
    let mut kept = Vec::new();
    for n in 0.. {
        let key = lead(format!("{writer}-{n}"));
        for version in 0..3 {
            let change = put(&key, Some(version).filter(|version| *version > 0), due(at(n)));
            let commit = plain(vec![change]);
            let mut patience = 0;
            loop {
                match engine.commit(tenant, &commit, at(0)).await {
                    Ok(done) => {
                        assert_eq!(done, DONE, "{key:?} {version}");
                        break;
                    }
                    Err(error) if patience > 20 => panic!("{error}"),
                    Err(_) => patience += 1,
                }
            }
        }
        kept.push((key, 3));
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    kept
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_moves_under_load_loses_nothing() {
    let cluster = Arc::new(RedisCluster::start());
    let engine = Arc::new(engine(&cluster).await);
    let (slot, from, to) = route(&cluster);
    let tenants = [tenant_in(0), tenant_in(5)];
    for n in 0..100 {
        create(&*engine, &tenants[0], &lead(n), due(at(n))).await;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let moving = {
        let (cluster, stop) = (Arc::clone(&cluster), Arc::clone(&stop));
        tokio::task::spawn_blocking(move || {
            // There and back, a key at a time.
            for (from, to) in [(from, to), (to, from)] {
                cluster.begin_move(slot, from, to);
                let before = cluster.refusals();
                wait("somebody is refused", || cluster.refusals() > before);
                while cluster.move_keys(slot, from, to, 1) {}
                cluster.end_move(slot, from, to);
            }
            stop.store(true, Ordering::Relaxed);
        })
    };
    let writers = (0..8).map(|n| write_until(&engine, &tenants[n % 2], n, &stop));
    let kept = futures_util::future::join_all(writers).await;
    moving.await.expect("the slot moves there and back");

    for (n, kept) in kept.iter().enumerate() {
        for (key, expected) in kept {
            assert_eq!(version(&engine, &tenants[n % 2], key).await, Some(v(*expected)), "{key:?}");
        }
    }
    let of = |first: usize| kept.iter().skip(first).step_by(2).map(Vec::len).sum::<usize>();
    for (tenant, expected) in [(&tenants[0], 100 + of(0)), (&tenants[1], of(1))] {
        let (mut found, mut cursor) = (0, None);
        loop {
            let page = engine.page(tenant, &["pending"], cursor.as_ref(), 500).await.expect("answers");
            found += page.documents.len();
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(found, expected, "the indexes came along");
    }
    let mut leased = 0;
    loop {
        match lease_due(&*engine, 500, at(1_000_000)).await.len() {
            0 => break,
            some => leased += some,
        }
    }
    assert_eq!(leased, 100 + of(0) + of(1), "the due times came along");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_slot_moves_its_tenants_wait_and_the_others_do_not() {
    let cluster = RedisCluster::start();
    let engine = engine(&cluster).await;
    let (slot, from, to) = route(&cluster);
    let (frozen, other) = (tenant_in(0), tenant_in(7));
    for tenant in [&frozen, &other] {
        create(&engine, tenant, &lead(1), due(at(0))).await;
    }
    cluster.begin_move(slot, from, to);

    let leased = lease_due(&engine, 10, at(1)).await;
    assert_eq!(leased.iter().map(|one| &one.tenant).collect::<Vec<_>>(), [&other]);
    assert_eq!(engine.next_due(at(1)).await.expect("answers"), Some(at(31)));
    engine.ping().await.expect("a slot on the move makes nobody unready");
    let late = engine.load(&frozen, &[lead(1)], &[], at(0)).await;
    assert!(matches!(late, Err(StoreError::Unavailable(_))), "{late:?}");

    // A commit that comes in while the slot moves is only late.
    let before = cluster.refusals();
    let change = plain(vec![put(&lead(1), Some(1), due(at(5)))]);
    let (committed, ()) = tokio::join!(engine.commit(&frozen, &change, at(0)), async {
        tokio::time::timeout(Duration::from_secs(30), async {
            while cluster.refusals() == before {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await
        .expect("it is refused first");
        while cluster.move_keys(slot, from, to, 100) {}
        cluster.end_move(slot, from, to);
    });
    assert_eq!(committed.expect("it waited"), DONE);
    assert_eq!(version(&engine, &frozen, &lead(1)).await, Some(v(2)));
    assert_eq!(lease_due(&engine, 10, at(5)).await.len(), 1, "its due time came along");
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_connections_and_a_restart_of_all_servers_heal_by_themselves() {
    let mut cluster = RedisCluster::start();
    let engine = engine(&cluster).await;
    let tenants: Vec<_> = (0..PARTITIONS).map(tenant_in).collect();
    let owners: std::collections::BTreeSet<_> =
        (0..PARTITIONS).map(|n| RedisCluster::first_owner(cluster.slot(&engine.keys.partition(n)))).collect();
    assert_eq!(owners.len(), 3, "every primary has some of the partitions");
    let made = AtomicU64::new(0);
    for round in 0..3 {
        for server in &cluster.servers {
            assert!(server.command("CLIENT KILL TYPE normal").starts_with(':'));
        }
        futures_util::future::join_all(tenants.iter().map(|tenant| async {
            create(&engine, tenant, &lead(round), due(at(0))).await;
            made.fetch_add(1, Ordering::Relaxed);
        }))
        .await;
    }
    for server in &mut cluster.servers {
        server.kill();
    }
    for answer in [engine.ping().await, engine.next_due(at(0)).await.map(drop)] {
        assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    }
    for server in &mut cluster.servers {
        server.start_again();
    }
    cluster.wait_until_served();
    recovered(&engine).await;
    let depths = engine.depths(at(0)).await.expect("answers");
    assert_eq!(depths.iter().map(|depth| depth.count).sum::<u64>(), made.into_inner());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_lost_shard_is_told_of_and_the_tenants_of_the_others_are_served() {
    let mut cluster = RedisCluster::start_with(|_| vec!["--cluster-require-full-coverage".into(), "no".into()]);
    let engine = engine(&cluster).await;
    assert_eq!(engine.serving().await.expect("answers"), BTreeSet::new());
    let owner = |cluster: &RedisCluster, n| RedisCluster::first_owner(cluster.slot(&engine.keys.partition(n)));
    let lost = owner(&cluster, 0);
    let other = (0..PARTITIONS).find(|n| owner(&cluster, *n) != lost).expect("three have some each");
    cluster.servers[lost].kill();
    assert_eq!(engine.serving().await.expect("some answer"), BTreeSet::from([Degraded::PartLost]));
    create(&engine, &tenant_in(other), &lead(1), due(at(0))).await;
    for server in &mut cluster.servers {
        // Ends what is left of the one that is gone, too.
        server.kill();
    }
    assert!(matches!(engine.serving().await, Err(StoreError::Unavailable(_))), "nothing is served");
}

/// Repeats the commit as it is until it is acknowledged; how often it was not.
async fn insist(engine: &RedisEngine, tenant: &Tenant, key: &Key) -> u32 {
    let commit = plain(vec![put(key, None, due(at(0)))]);
    for failed in 0..300 {
        if let Ok(done) = engine.commit(tenant, &commit, at(0)).await {
            assert_eq!(done, DONE);
            return failed;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the store does not come back");
}

/// How far the replication has come by that server. Redis's `WAIT` does not tell: it asks about the writes of the
/// connection that asks, and a fresh connection has made none.
fn offset(cluster: &RedisCluster, server: usize, field: &str) -> u64 {
    let told = cluster.servers[server].command("INFO replication");
    let line = told.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_else(|| panic!("no {field} in {told}"));
    line.trim_start_matches(':').trim().parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_dies_is_followed_to_its_replica_and_its_loss_is_counted() {
    let mut cluster = RedisCluster::start();
    let (_, primary, another) = route(&cluster);
    cluster.add_replica_of(primary);
    let engine = RedisEngine::open(&cluster.url().into(), "alc", &Lifecycle::new()).await.expect("it opens");
    // One tenant at the server that is going to die, one elsewhere.
    let owner = |partition| RedisCluster::first_owner(cluster.slot(&engine.keys.partition(partition)));
    let elsewhere = tenant_in((0..PARTITIONS).find(|partition| owner(*partition) == another).expect("it has some"));
    let tenant = tenant_in(0);
    let mut written = 0;
    for _ in 0..200 {
        assert_eq!(insist(&engine, &tenant, &lead(written)).await, 0);
        assert_eq!(insist(&engine, &elsewhere, &lead(written)).await, 0);
        written += 1;
    }
    let replica = cluster.servers.len() - 1;
    // These have arrived there: whatever is lost, they are not.
    let sent = offset(&cluster, primary, "master_repl_offset");
    while offset(&cluster, replica, "slave_repl_offset") < sent {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let replicated = written;
    for _ in 0..20 {
        assert_eq!(insist(&engine, &tenant, &lead(written)).await, 0);
        written += 1;
    }
    cluster.servers[primary].kill();
    let failed = tokio::time::timeout(Duration::from_secs(20), insist(&engine, &tenant, &lead(written))).await;
    assert!(failed.expect("back within seconds") > 0, "the primary was gone");
    written += 1;
    for _ in 0..50 {
        assert_eq!(insist(&engine, &tenant, &lead(written)).await, 0, "it stays");
        written += 1;
    }
    assert!(cluster.servers[replica].command("ROLE").contains("master"));

    let mut kept = 0;
    for n in 0..written {
        let there = version(&engine, &tenant, &lead(n)).await.is_some();
        assert!(there || n >= replicated, "lead {n} had been replicated");
        kept += u64::from(there);
    }
    println!("acknowledged {written}, of which {} were lost with the primary", written - kept);
    assert!(kept >= replicated + 51, "what the new primary acknowledged is there");
    for n in 0..replicated {
        assert!(version(&engine, &elsewhere, &lead(n)).await.is_some(), "the others lost nothing");
    }
    // What is left is whole, and everybody is asked for it.
    let all = kept + replicated;
    assert_eq!(engine.depths(at(0)).await.expect("answers")[0].count, all);
    let mut leased = 0;
    loop {
        match lease_due(&engine, 500, at(1)).await.len() as u64 {
            0 => break,
            some => leased += some,
        }
    }
    assert_eq!(leased, all);
    engine.ping().await.expect("it is ready");
}
