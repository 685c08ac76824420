//! A Redis Cluster of a test's own: three primaries as real processes, and slots that can be moved between them.
//!
//! Included by path from the unit tests and the integration tests.

use std::time::Duration;

use super::redis_server::{RedisServer, ports};

/// The first slot of each primary, and one past the last.
const BOUNDS: [u32; 4] = [0, 5461, 10923, 16384];

/// The cluster; gone with the value.
pub struct RedisCluster {
    /// The primaries of the start, and then the replicas.
    pub servers: Vec<RedisServer>,
}

impl RedisCluster {
    /// Three primaries whose acknowledged writes survive a kill, once all slots are served.
    pub fn start() -> Self {
        Self::start_with(|_| Vec::new())
    }

    /// The same with further arguments for each.
    pub fn start_with(more: impl Fn(usize) -> Vec<String>) -> Self {
        let cluster = Self { servers: (0..3).map(|n| member(&more(n))).collect() };
        for (n, server) in cluster.servers.iter().enumerate() {
            ok(server, &format!("CLUSTER SET-CONFIG-EPOCH {}", n + 1));
            ok(server, &format!("CLUSTER ADDSLOTSRANGE {} {}", BOUNDS[n], BOUNDS[n + 1] - 1));
        }
        for server in &cluster.servers[1..] {
            cluster.meet(server);
        }
        cluster.wait_until_served();
        cluster
    }

    /// One more server: a replica of that primary, once it follows.
    pub fn add_replica_of(&mut self, primary: usize) {
        self.add_replica_with(primary, &[]);
    }

    /// The same with further arguments.
    pub fn add_replica_with(&mut self, primary: usize, more: &[String]) {
        let replica = member(more);
        self.meet(&replica);
        self.servers.push(replica);
        self.wait_until_served();
        let (replica, id) = (&self.servers[self.servers.len() - 1], self.id(primary));
        ok(replica, &format!("CLUSTER REPLICATE {id}"));
        wait("the replica follows", || replica.command("INFO replication").contains("master_link_status:up"));
        // Else nobody would vote for it.
        wait("all know of it", || {
            let replicas =
                |server: &RedisServer| server.command("CLUSTER NODES").matches(&format!("slave {id}")).count();
            self.servers.iter().all(|server| replicas(server) == 1)
        });
    }

    fn meet(&self, server: &RedisServer) {
        let first = &self.servers[0];
        let bus = field(&first.command("CLUSTER NODES"), "myself", '@');
        ok(server, &format!("CLUSTER MEET 127.0.0.1 {} {bus}", first.port()));
    }

    /// Until every server knows all of them and serves.
    pub fn wait_until_served(&self) {
        let known = format!("cluster_known_nodes:{}\r", self.servers.len());
        wait("the cluster serves all slots", || {
            self.servers.iter().all(|server| {
                let info = server.command("CLUSTER INFO");
                info.contains("cluster_state:ok") && info.contains(&known)
            })
        });
    }

    /// Where it is.
    pub fn url(&self) -> String {
        let hosts: Vec<_> = self.servers.iter().map(|server| format!("127.0.0.1:{}", server.port())).collect();
        format!("redis+cluster://{}", hosts.join(","))
    }

    /// The slot of a key.
    pub fn slot(&self, key: &str) -> u32 {
        let answer = self.servers[0].command(&format!("CLUSTER KEYSLOT {key}"));
        answer.trim_start_matches(':').trim().parse().expect("a slot")
    }

    /// Who had it at the start.
    pub fn first_owner(slot: u32) -> usize {
        (0..3).find(|n| slot < BOUNDS[n + 1]).expect("a slot")
    }

    /// From now on until [`Self::end_move`] its keys are on one of them or on the other.
    pub fn begin_move(&self, slot: u32, from: usize, to: usize) {
        let (from_id, to_id) = (self.id(from), self.id(to));
        ok(&self.servers[to], &format!("CLUSTER SETSLOT {slot} IMPORTING {from_id}"));
        ok(&self.servers[from], &format!("CLUSTER SETSLOT {slot} MIGRATING {to_id}"));
    }

    /// Moves up to `max` keys; whether there were any. A key that is there already fails the test: a caller wrote
    /// beside the keys that were still to come.
    pub fn move_keys(&self, slot: u32, from: usize, to: usize, max: usize) -> bool {
        let listing = self.servers[from].command(&format!("CLUSTER GETKEYSINSLOT {slot} {max}"));
        let keys: Vec<_> = listing.lines().filter(|line| !line.starts_with(['*', '$'])).collect();
        if keys.is_empty() {
            return false;
        }
        let port = self.servers[to].port();
        let answer =
            self.servers[from].command(&format!("MIGRATE 127.0.0.1 {port} \"\" 0 5000 KEYS {}", keys.join(" ")));
        assert!(answer.starts_with("+OK") || answer.starts_with("+NOKEY"), "{answer}");
        true
    }

    /// The slot is the other one's.
    pub fn end_move(&self, slot: u32, from: usize, to: usize) {
        let to_id = self.id(to);
        let others = self.primaries().into_iter().filter(|n| ![from, to].contains(n));
        for n in [to, from].into_iter().chain(others) {
            ok(&self.servers[n], &format!("CLUSTER SETSLOT {slot} NODE {to_id}"));
        }
    }

    /// Who are primaries now.
    pub fn primaries(&self) -> Vec<usize> {
        (0..self.servers.len()).filter(|n| self.servers[*n].command("ROLE").contains("master")).collect()
    }

    /// How many calls were refused because their slot was on the move.
    pub fn refusals(&self) -> u64 {
        let count = |server: &RedisServer| {
            let stats = server.command("INFO errorstats");
            let count = |line: &str| line.split_once(":count=").and_then(|(_, count)| count.trim().parse::<u64>().ok());
            let moving = |line: &&str| ["ASK", "TRYAGAIN"].iter().any(|code| line.contains(&format!("_{code}:")));
            stats.lines().filter(moving).filter_map(count).sum::<u64>()
        };
        self.servers.iter().map(count).sum()
    }

    fn id(&self, server: usize) -> String {
        self.servers[server].command("CLUSTER MYID").lines().nth(1).expect("an id").to_owned()
    }
}

/// Polls with a deadline.
pub fn wait(what: &str, done: impl Fn() -> bool) {
    for _ in 0..6_000 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("not within 30 seconds: {what}");
}

fn ok(server: &RedisServer, line: &str) {
    let answer = server.command(line);
    assert!(answer.starts_with("+OK"), "{line}: {answer}");
}

/// What stands after `after` in the line of CLUSTER NODES that says `of`.
fn field(nodes: &str, of: &str, after: char) -> String {
    let line = nodes.lines().find(|line| line.contains(of)).expect("the line is there");
    let (_, rest) = line.split_once(after).expect("the field is there");
    rest.split([' ', ',']).next().unwrap_or_default().to_owned()
}

/// A server that belongs to no cluster yet.
fn member(more: &[String]) -> RedisServer {
    // The default bus port, 10,000 above, need not exist.
    let bus = ports::free().to_string();
    let mut arguments = vec![
        "--cluster-enabled",
        "yes",
        "--cluster-port",
        &bus,
        "--cluster-announce-ip",
        "127.0.0.1",
        "--cluster-node-timeout",
        "2000",
        "--repl-diskless-sync-delay",
        "0",
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
    ];
    arguments.extend(more.iter().map(String::as_str));
    RedisServer::start_with(&arguments)
}
