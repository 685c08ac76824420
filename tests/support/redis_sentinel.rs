//! A master with its replicas and the three sentinels that watch them, all real processes of a test's own.
//!
//! Included by path from the unit tests and the integration tests.

use std::process::{Child, Command, Stdio};

use super::{
    redis_cluster::wait,
    redis_server::{RedisServer, ask, ports},
};

/// How many sentinels there are at the start.
const SENTINELS: usize = 3;

/// All of them; gone with the value.
pub struct RedisSentinel {
    /// The master of the start, and then its replicas.
    pub servers: Vec<RedisServer>,
    sentinels: Vec<Child>,
    /// The sentinels'.
    pub ports: Vec<u16>,
    folder: tempfile::TempDir,
    down_after: u32,
}

impl RedisSentinel {
    /// With so many replicas and these arguments for each server, once all know one another; a master that is silent
    /// for
    /// `down_after` milliseconds is taken for dead.
    pub fn start(replicas: usize, arguments: &[&str], down_after: u32) -> Self {
        let master = RedisServer::start_with(&[&["--repl-diskless-sync-delay", "0"], arguments].concat());
        let port = master.port().to_string();
        let follow = ["--repl-diskless-sync-delay", "0", "--replicaof", "127.0.0.1", &port];
        let mut servers = vec![master];
        servers.extend((0..replicas).map(|_| RedisServer::start_with(&[&follow, arguments].concat())));
        for replica in &servers[1..] {
            wait("the replica follows", || replica.command("INFO replication").contains("master_link_status:up"));
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut watched = Self { servers, sentinels: Vec::new(), ports: Vec::new(), folder, down_after };
        for n in 0..SENTINELS {
            watched.watch(n, &port, 2);
        }
        wait("the sentinels know the replicas and one another", || {
            watched.ports.iter().all(|port| {
                let told = watched.ask(*port, "SENTINEL MASTER main");
                let value = |name: &str| told.lines().skip_while(|line| *line != name).nth(2)?.parse::<usize>().ok();
                value("num-slaves") == Some(replicas) && value("num-other-sentinels") == Some(SENTINELS - 1)
            })
        });
        watched
    }

    /// One more sentinel, of the master at that port; `quorum` of them have to agree.
    pub fn watch(&mut self, n: usize, master: &str, quorum: usize) {
        let (port, down_after) = (ports::free(), self.down_after);
        let file = self.folder.path().join(format!("sentinel-{n}.conf"));
        let folder = self.folder.path().display();
        let text = format!(
            "port {port}\nbind 127.0.0.1\ndir {folder}\nsentinel monitor main 127.0.0.1 {master} {quorum}\n\
             sentinel down-after-milliseconds main {down_after}\nsentinel failover-timeout main 5000\n"
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
    pub fn ask(&self, port: u16, line: &str) -> String {
        ask(port, line).unwrap_or_default()
    }

    /// Where it is, for a user with that password (`user:password@`). The first address is nobody's: some sentinel is
    /// always down.
    pub fn url(&self, credentials: &str) -> String {
        let hosts: Vec<_> = self.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        format!("redis+sentinel://{credentials}127.0.0.1:1,{}/main/0", hosts.join(","))
    }
}

impl Drop for RedisSentinel {
    fn drop(&mut self) {
        for sentinel in &mut self.sentinels {
            drop(sentinel.kill());
            drop(sentinel.wait());
        }
    }
}
