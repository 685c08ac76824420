//! A master that dies, and one that is demoted.

use std::process::{Child, Command, Stdio};

use super::*;
use crate::store::conformance::{redis_cluster::wait, redis_server::ports};

/// A master and its replica, watched by three sentinels, all real processes.
struct Watched {
    master: RedisServer,
    replica: RedisServer,
    sentinels: Vec<Child>,
    ports: Vec<u16>,
    folder: tempfile::TempDir,
}

impl Watched {
    fn start() -> Self {
        let master = RedisServer::start_with(&["--repl-diskless-sync-delay", "0"]);
        let port = master.port().to_string();
        let replica = RedisServer::start_with(&["--replicaof", "127.0.0.1", &port]);
        for server in [&master, &replica] {
            assert!(server.command("ACL SETUSER app on >hunter2 ~* +@all").starts_with("+OK"));
        }
        wait("the replica follows", || replica.command("INFO replication").contains("master_link_status:up"));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut watched = Self { master, replica, sentinels: Vec::new(), ports: Vec::new(), folder };
        for n in 0..3 {
            watched.watch(n, &port, 2);
        }
        wait("the sentinels know the replica and one another", || {
            watched.ports.iter().all(|port| {
                let told = watched.ask(*port, "SENTINEL MASTER main");
                let value = |name: &str| told.lines().skip_while(|line| *line != name).nth(2).map(str::to_owned);
                value("num-slaves").as_deref() == Some("1") && value("num-other-sentinels").as_deref() == Some("2")
            })
        });
        watched
    }

    /// One more sentinel; `quorum` of them have to agree.
    fn watch(&mut self, n: usize, master: &str, quorum: usize) {
        let port = ports::free();
        let file = self.folder.path().join(format!("sentinel-{n}.conf"));
        let folder = self.folder.path().display();
        let text = format!(
            "port {port}\nbind 127.0.0.1\ndir {folder}\nsentinel monitor main 127.0.0.1 {master} {quorum}\n\
             sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 5000\n"
        );
        std::fs::write(&file, text).expect("the sentinel's configuration");
        let sentinel = Command::new("redis-server")
            .arg(file)
            .arg("--sentinel")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server runs (`apt-get install redis-server`; `make test` installs it)");
        self.sentinels.push(sentinel);
        self.ports.push(port);
    }

    /// What a sentinel or a server answers; "" as long as it does not: a sentinel has clients dropped when it
    /// reconfigures their server.
    fn ask(&self, port: u16, line: &str) -> String {
        crate::store::conformance::redis_server::ask(port, line).unwrap_or_default()
    }

    /// The first address is nobody's: some sentinel is always down.
    fn url(&self) -> String {
        let hosts: Vec<_> = self.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        format!("redis+sentinel://app:hunter2@127.0.0.1:1,{}/main/0", hosts.join(","))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        for sentinel in &mut self.sentinels {
            drop(sentinel.kill());
            drop(sentinel.wait());
        }
    }
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
    let mut watched = Watched::start();
    let engine = RedisEngine::open(&watched.url().into(), "alc", &Lifecycle::new()).await.expect("it opens");
    let mut written = 0;
    for _ in 0..200 {
        assert_eq!(insist(&engine, &lead(written)).await, 0);
        written += 1;
    }
    watched.master.kill();
    let failed = tokio::time::timeout(Duration::from_secs(20), insist(&engine, &lead(written))).await;
    assert!(failed.expect("back within seconds") > 0, "the master was gone");
    written += 1;
    for _ in 0..50 {
        assert_eq!(insist(&engine, &lead(written)).await, 0, "it stays");
        written += 1;
    }
    assert!(watched.ask(watched.replica.port(), "ROLE").contains("master"));

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
    let watched = Watched::start();
    let error = refusal(watched.url().replace("/main/", "/other/")).await;
    assert!(error.to_string().contains("master name not found"), "{error}");
    let error = refusal(watched.url().replace("hunter2", "hunter3")).await;
    assert!(error.to_string().contains("authentication failed"), "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter3"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_is_demoted_is_left_for_the_new_one() {
    let watched = Watched::start();
    let engine = RedisEngine::open(&watched.url().into(), "alc", &Lifecycle::new()).await.expect("it opens");
    assert_eq!(insist(&engine, &lead(1)).await, 0);
    assert!(watched.ask(watched.ports[0], "SENTINEL FAILOVER main").starts_with("+OK"));
    // Sentinel cuts off clients that speak to a server that it gives another role: asked again.
    let (old, new) = (watched.master.port(), watched.replica.port());
    wait("the replica was promoted", || watched.ask(new, "ROLE").contains("master"));
    // As Sentinel will have it in a while; and our connection stays: only the refusal to write tells.
    wait("it is demoted", || watched.ask(old, &format!("REPLICAOF 127.0.0.1 {new}")).starts_with("+OK"));
    insist(&engine, &lead(2)).await;
    wait("the new master has it", || watched.ask(new, "KEYS *:lead:2").contains(":lead:2"));
    assert!(read(&engine, &lead(1), at(0)).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_lost_its_replicas_is_left_for_the_new_one() {
    let watched = Watched::start();
    let engine = RedisEngine::open(&watched.url().into(), "alc", &Lifecycle::new()).await.expect("it opens");
    assert_eq!(insist(&engine, &lead(1)).await, 0);
    wait("the replica has it", || watched.replica.command("KEYS *:lead:1").contains(":lead:1"));
    // It takes no more writes once alone, and cannot be told that it is no master any more.
    assert!(watched.master.command("CONFIG SET min-replicas-to-write 1").starts_with("+OK"));
    assert!(watched.master.command("ACL SETUSER default -replicaof -slaveof -exec").starts_with("+OK"));
    assert!(watched.ask(watched.ports[0], "SENTINEL FAILOVER main").starts_with("+OK"));
    wait("the replica was promoted", || watched.ask(watched.replica.port(), "ROLE").contains("master"));
    insist(&engine, &lead(2)).await;
    wait("the new master has it", || watched.ask(watched.replica.port(), "KEYS *:lead:2").contains(":lead:2"));
    assert!(watched.master.command("ROLE").contains("master"), "the old one has not heard");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_master_is_the_one_that_most_sentinels_name() {
    let mut watched = Watched::start();
    let stranger = RedisServer::start();
    assert!(stranger.command("ACL SETUSER app on >hunter2 ~* +@all").starts_with("+OK"));
    watched.watch(3, &stranger.port().to_string(), 1);
    wait("the fourth sentinel answers", || watched.ask(watched.ports[3], "PING").starts_with("+PONG"));
    watched.ports.rotate_right(1);
    for n in 0..20 {
        let engine = RedisEngine::open(&watched.url().into(), "alc", &Lifecycle::new()).await.expect("it opens");
        assert_eq!(insist(&engine, &lead(n)).await, 0);
        engine.close().await;
    }
    assert!(!stranger.command("KEYS *").contains("alc"), "what one sentinel alone names is no master");
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_that_want_a_password_get_the_urls_or_their_own() {
    let watched = Watched::start();
    for port in &watched.ports {
        assert!(watched.ask(*port, "ACL SETUSER app on >hunter2 +@all").starts_with("+OK"));
        assert!(watched.ask(*port, "ACL SETUSER default resetpass >s3cret").starts_with("+OK"));
    }
    for own in ["", "?sentinels=:s3cret", "?sentinels=default:s3cret"] {
        let url = format!("{}{own}", watched.url());
        RedisEngine::open(&url.into(), "alc", &Lifecycle::new()).await.unwrap_or_else(|error| panic!("{own}: {error}"));
    }
    let error = refusal(format!("{}?sentinels=:hunter3", watched.url())).await;
    assert!(!error.passes() && !format!("{error} {error:?}").contains("hunter3"), "{error:?}");
}
