//! A master that dies, and one that is demoted.

use super::*;
use crate::store::conformance::{redis_cluster::wait, redis_sentinel::RedisSentinel};

/// A master and its replica, and a user of their own.
fn watched() -> RedisSentinel {
    let watched = RedisSentinel::start(1, &[], 500);
    for server in &watched.servers {
        assert!(server.command("ACL SETUSER app on >hunter2 ~* +@all").starts_with("+OK"));
    }
    watched
}

fn url(watched: &RedisSentinel) -> String {
    watched.url("app:hunter2@")
}

/// Repeats the commit as it is until it is acknowledged; how often it was not.
async fn insist(engine: &RedisEngine, key: &Key) -> u32 {
    let commit = plain(vec![put(key, None, due(at(0)))]);
    for failed in 0..300 {
        if let Ok(done) = engine.commit(&tenant(), &commit, at(0)).await {
            assert_eq!(done, DONE);
            return failed;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the store does not come back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_is_over_within_seconds_and_its_loss_is_counted() {
    let mut watched = watched();
    let engine = RedisEngine::open(&url(&watched).into(), "alc", &Lifecycle::new()).await.expect("it opens");
    let mut written = 0;
    for _ in 0..200 {
        assert_eq!(insist(&engine, &lead(written)).await, 0);
        written += 1;
    }
    watched.servers[0].kill();
    let failed = tokio::time::timeout(Duration::from_secs(20), insist(&engine, &lead(written))).await;
    assert!(failed.expect("back within seconds") > 0, "the master was gone");
    written += 1;
    for _ in 0..50 {
        assert_eq!(insist(&engine, &lead(written)).await, 0, "it stays");
        written += 1;
    }
    assert!(watched.ask(watched.servers[1].port(), "ROLE").contains("master"));

    let mut kept = 0;
    for n in 0..written {
        kept += usize::from(read(&engine, &lead(n), at(0)).await.is_some());
    }
    println!("acknowledged {written}, of which {} were lost with the master", written - kept);
    assert!(kept >= 51, "what the new master acknowledged is there");
    // What is left is whole.
    assert_eq!(engine.depths(at(0)).await.expect("answers")[0].count, kept as u64);
    assert_eq!(lease_due(&engine, 500, at(1)).await.len(), kept);
    engine.ping().await.expect("it is ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_nobody_knows_and_a_wrong_password_are_refused() {
    let watched = watched();
    let error = refusal(url(&watched).replace("/main/", "/other/")).await;
    assert!(error.to_string().contains("master name not found"), "{error}");
    let error = refusal(url(&watched).replace("hunter2", "hunter3")).await;
    assert!(error.to_string().contains("authentication failed"), "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter3"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_is_demoted_is_left_for_the_new_one() {
    let watched = watched();
    let engine = RedisEngine::open(&url(&watched).into(), "alc", &Lifecycle::new()).await.expect("it opens");
    assert_eq!(insist(&engine, &lead(1)).await, 0);
    assert!(watched.ask(watched.ports[0], "SENTINEL FAILOVER main").starts_with("+OK"));
    // Sentinel cuts off clients that speak to a server that it gives another role: asked again.
    let (old, new) = (watched.servers[0].port(), watched.servers[1].port());
    wait("the replica was promoted", || watched.ask(new, "ROLE").contains("master"));
    // As Sentinel will have it in a while; and our connection stays: only the refusal to write tells.
    wait("it is demoted", || watched.ask(old, &format!("REPLICAOF 127.0.0.1 {new}")).starts_with("+OK"));
    insist(&engine, &lead(2)).await;
    wait("the new master has it", || watched.ask(new, "KEYS *:lead:2").contains(":lead:2"));
    assert!(read(&engine, &lead(1), at(0)).await.is_some());
}

#[test]
fn what_one_thread_learns_of_a_demotion_counts_for_all() {
    let (watched, opening) = (watched(), runtimes::opening());
    let engine = opening.block_on(RedisEngine::open(&url(&watched).into(), "alc", &Lifecycle::new()));
    let engine = engine.expect("it opens");
    let [writer, reader] = [runtimes::runtime(), runtimes::runtime()];
    writer.block_on(insist(&engine, &lead(1)));
    let reads = |id: usize| reader.block_on(async { read(&engine, &lead(id), at(0)).await.is_some() });
    assert!(reads(1));
    let (old, new) = (watched.servers[0].port(), watched.servers[1].port());
    let of_ours = || watched.ask(old, "CLIENT LIST").matches("user=app ").count();
    assert_eq!(of_ours(), 3);
    assert!(watched.ask(watched.ports[0], "SENTINEL FAILOVER main").starts_with("+OK"));
    wait("the replica was promoted", || watched.ask(new, "ROLE").contains("master"));
    wait("it is demoted", || watched.ask(old, &format!("REPLICAOF 127.0.0.1 {new}")).starts_with("+OK"));
    writer.block_on(insist(&engine, &lead(2)));
    // The old master answers reads, so the reader meets no error that would tell it.
    assert!(reads(1) && reads(2));
    wait("all are left", || of_ours() == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_lost_its_replicas_is_left_for_the_new_one() {
    let watched = watched();
    let engine = RedisEngine::open(&url(&watched).into(), "alc", &Lifecycle::new()).await.expect("it opens");
    assert_eq!(insist(&engine, &lead(1)).await, 0);
    wait("the replica has it", || watched.servers[1].command("KEYS *:lead:1").contains(":lead:1"));
    // It takes no more writes once alone, and cannot be told that it is no master any more.
    assert!(watched.servers[0].command("CONFIG SET min-replicas-to-write 1").starts_with("+OK"));
    assert!(watched.servers[0].command("ACL SETUSER default -replicaof -slaveof -exec").starts_with("+OK"));
    assert!(watched.ask(watched.ports[0], "SENTINEL FAILOVER main").starts_with("+OK"));
    wait("the replica was promoted", || watched.ask(watched.servers[1].port(), "ROLE").contains("master"));
    insist(&engine, &lead(2)).await;
    wait("the new master has it", || watched.ask(watched.servers[1].port(), "KEYS *:lead:2").contains(":lead:2"));
    assert!(watched.servers[0].command("ROLE").contains("master"), "the old one has not heard");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_master_is_the_one_that_most_sentinels_name() {
    let mut watched = watched();
    let stranger = RedisServer::start();
    assert!(stranger.command("ACL SETUSER app on >hunter2 ~* +@all").starts_with("+OK"));
    watched.watch(3, &stranger.port().to_string(), 1);
    wait("the fourth sentinel answers", || watched.ask(watched.ports[3], "PING").starts_with("+PONG"));
    watched.ports.rotate_right(1);
    for n in 0..20 {
        let engine = RedisEngine::open(&url(&watched).into(), "alc", &Lifecycle::new()).await.expect("it opens");
        assert_eq!(insist(&engine, &lead(n)).await, 0);
        engine.close().await;
    }
    assert!(!stranger.command("KEYS *").contains("alc"), "what one sentinel alone names is no master");
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_that_want_a_password_get_the_urls_or_their_own() {
    let watched = watched();
    for port in &watched.ports {
        assert!(watched.ask(*port, "ACL SETUSER app on >hunter2 +@all").starts_with("+OK"));
        assert!(watched.ask(*port, "ACL SETUSER default resetpass >s3cret").starts_with("+OK"));
    }
    for own in ["", "?sentinels=:s3cret", "?sentinels=default:s3cret"] {
        let url = format!("{}{own}", url(&watched));
        RedisEngine::open(&url.into(), "alc", &Lifecycle::new()).await.unwrap_or_else(|error| panic!("{own}: {error}"));
    }
    let error = refusal(format!("{}?sentinels=:hunter3", url(&watched))).await;
    assert!(!error.passes() && !format!("{error} {error:?}").contains("hunter3"), "{error:?}");
}
