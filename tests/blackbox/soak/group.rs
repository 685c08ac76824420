//! Redis on several servers, with Sentinel or as a Cluster: a primary that dies is followed by a replica, slots move,
//! and what a dead primary had acknowledged and not passed on is read off its files.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::Store;
use crate::support::{
    ambient::{Stopwatch, eventually},
    appended::{self, Write},
    redis_cluster::RedisCluster,
    redis_sentinel::RedisSentinel,
    redis_server::{RedisServer, ask},
    turns::Dice,
};

/// What docs/operations.md has an operator set where there are replicas.
const SETTINGS: [&str; 8] =
    ["--appendonly", "yes", "--appendfsync", "always", "--min-replicas-to-write", "1", "--min-replicas-max-lag", "10"];
/// Silent for so long, a primary is dead; a busy machine makes a living one silent for less.
const DOWN_AFTER: u32 = 1_500;
const PARTITIONS: u32 = 16;

/// What Redis acknowledged and lost, over all fail-overs.
#[derive(Debug, Default)]
pub struct Lost {
    /// Writes, acknowledged or about to be.
    pub writes: usize,
    /// How many primaries died while their replicas were cut off from them.
    pub cut_off: usize,
    /// Whose leads were among them.
    pub records: BTreeSet<String>,
    /// What else was, by its kind.
    pub others: BTreeSet<String>,
}

/// Shared by the one that breaks things, the callers and the verdict.
#[derive(Debug, Clone, Default)]
pub struct SharedLost(Arc<Mutex<Lost>>);

impl SharedLost {
    pub fn all(&self) -> MutexGuard<'_, Lost> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn has(&self, record: &str) -> bool {
        self.all().records.contains(record)
    }

    /// Whether something of the workspace itself was lost.
    pub fn has_workspace(&self) -> bool {
        self.all().others.contains("workspace")
    }

    fn add(&self, writes: &[Write]) {
        let mut lost = self.all();
        lost.writes += writes.len();
        for key in writes.iter().flatten().filter_map(|command| command.get(1)) {
            // "alc:{08}:a:<tenant>:<kind>:<id>", as docs/architecture.md's aggregates are kept.
            if let [_, _, "a", _, kind, id] = key.split(':').collect::<Vec<_>>()[..] {
                if kind == "lead" {
                    lost.records.insert(id.to_owned());
                } else {
                    lost.others.insert(kind.to_owned());
                }
            }
        }
    }
}

enum Kind {
    Sentinel(RedisSentinel),
    Cluster(RedisCluster),
}

/// The servers.
pub struct Group {
    kind: Kind,
    marks: usize,
    pub lost: SharedLost,
}

impl Group {
    /// The servers of that store; none: it is one server or a file.
    pub fn start(store: Store) -> Option<Self> {
        let kind = match store {
            Store::Redis | Store::Sqlite => return None,
            Store::Sentinel => Kind::Sentinel(RedisSentinel::start(2, &SETTINGS, DOWN_AFTER)),
            Store::Cluster => {
                let settings = || SETTINGS.map(str::to_owned).to_vec();
                let mut cluster = RedisCluster::start_with(|_| settings());
                (0..3).for_each(|primary| cluster.add_replica_with(primary, &settings()));
                Kind::Cluster(cluster)
            }
        };
        Some(Self { kind, marks: 0, lost: SharedLost::default() })
    }

    pub fn url(&self) -> String {
        match &self.kind {
            Kind::Sentinel(sentinel) => sentinel.url(""),
            Kind::Cluster(cluster) => cluster.url(),
        }
    }

    fn servers(&self) -> &[RedisServer] {
        match &self.kind {
            Kind::Sentinel(sentinel) => &sentinel.servers,
            Kind::Cluster(cluster) => &cluster.servers,
        }
    }

    fn server(&mut self, number: usize) -> &mut RedisServer {
        match &mut self.kind {
            Kind::Sentinel(sentinel) => &mut sentinel.servers[number],
            Kind::Cluster(cluster) => &mut cluster.servers[number],
        }
    }

    /// What a server answers; "" as long as it does not.
    fn ask(&self, server: usize, line: &str) -> String {
        ask(self.servers()[server].port(), line).unwrap_or_default()
    }

    /// The primary of `slot`, and its replicas that follow it.
    fn led_by(&self, slot: u32) -> Option<(usize, Vec<usize>)> {
        let leads = |server: &usize| {
            self.ask(*server, "ROLE").contains("master")
                && match &self.kind {
                    Kind::Sentinel(_) => true,
                    Kind::Cluster(_) => has_slot(&self.ask(*server, "CLUSTER NODES"), slot),
                }
        };
        let primary = (0..self.servers().len()).find(leads)?;
        let port = format!("master_port:{}\r", self.servers()[primary].port());
        let follows = |server: &usize| {
            let told = self.ask(*server, "INFO replication");
            told.contains(&port) && told.contains("master_link_status:up")
        };
        let replicas = (0..self.servers().len()).filter(follows).collect();
        Some((primary, replicas))
    }

    /// How many replicas a primary has when all is well.
    fn replicas(&self) -> usize {
        match &self.kind {
            Kind::Sentinel(_) => 2,
            Kind::Cluster(_) => 1,
        }
    }

    async fn whole(&self, slot: u32) -> (usize, Vec<usize>) {
        eventually("the primary has all its replicas", async || {
            let led = self.led_by(slot).filter(|(_, replicas)| replicas.len() == self.replicas());
            tokio::time::sleep(Duration::from_millis(20)).await;
            led
        })
        .await
    }

    /// The slot of the most keys, or the one that the time is asked of; and its number as a partition.
    fn draw_slot(&self, dice: &mut Dice) -> (u32, u32) {
        let Kind::Cluster(cluster) = &self.kind else { return (0, 0) };
        let slots = (0..PARTITIONS).map(|number| (number, cluster.slot(&format!("alc:{{{number:02}}}:"))));
        if dice.below(4) == 0 {
            return (cluster.slot("alc:{00}:"), 0);
        }
        let keys = |slot: u32| {
            let (primary, _) = self.led_by(slot)?;
            let count = self.ask(primary, &format!("CLUSTER COUNTKEYSINSLOT {slot}"));
            count.trim_start_matches(':').trim().parse::<u64>().ok()
        };
        let (number, slot) = slots.max_by_key(|(_, slot)| keys(*slot)).expect("there are some");
        (slot, number)
    }

    /// A primary dies and comes again as a replica of the one that followed it. At times its replicas have been cut off
    /// from it before, and it goes on all the same, as one without `min-replicas-to-write` does: then it acknowledges
    /// what nobody else has.
    pub async fn fail_over(&mut self, dice: &mut Dice) -> String {
        let (slot, partition) = self.draw_slot(dice);
        let (primary, replicas) = self.whole(slot).await;
        let mark = self.mark(primary, partition).await;
        let is_cut_off = dice.below(2) == 0;
        if is_cut_off {
            self.ask(primary, "CONFIG SET min-replicas-to-write 0");
            // Else they would follow again at once.
            self.ask(primary, "ACL SETUSER default -psync -sync");
            self.ask(primary, "CLIENT KILL TYPE replica");
        }
        pause(dice, 1, 600).await;
        self.server(primary).kill();
        let watch = Stopwatch::start();
        let heir = eventually("a replica follows", async || {
            tokio::time::sleep(Duration::from_millis(20)).await;
            replicas.iter().copied().find(|replica| self.ask(*replica, "ROLE").contains("master"))
        })
        .await;
        let took = watch.elapsed();
        let lost = self.lost_between(primary, heir, &mark);
        self.lost.add(&lost);
        self.lost.all().cut_off += usize::from(is_cut_off);
        pause(dice, 1, 1_500).await;
        let port = self.servers()[heir].port().to_string();
        match &mut self.kind {
            Kind::Sentinel(sentinel) => {
                sentinel.servers[primary].start_again_with(&["--replicaof", "127.0.0.1", &port]);
            }
            Kind::Cluster(cluster) => cluster.servers[primary].start_again(),
        }
        let cut = if is_cut_off { "cut off from its replicas, " } else { "" };
        format!("of server {primary}, {cut}after {took:.1?} to {heir}; {} writes lost", lost.len())
    }

    /// Writes what stands in the primary's files and, when this returns, in its replicas'.
    async fn mark(&mut self, primary: usize, partition: u32) -> String {
        self.marks += 1;
        let mark = format!("mark-{}", self.marks);
        let line = format!("SET soak:{{{partition:02}}} {mark}");
        eventually("the mark is written", async || {
            tokio::time::sleep(Duration::from_millis(20)).await;
            self.ask(primary, &line).starts_with("+OK").then_some(())
        })
        .await;
        let sent = number(&self.ask(primary, "INFO replication"), "master_repl_offset:").expect("it tells");
        eventually("the mark has arrived", async || {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let told = self.ask(primary, "INFO replication");
            let arrived = told.split(",offset=").skip(1).filter(|rest| number(rest, "").is_some_and(|it| it >= sent));
            (arrived.count() >= self.replicas()).then_some(())
        })
        .await;
        mark
    }

    /// What the dead primary has written that its heir has not, of what followed the mark: an heir has some of it,
    /// in the
    /// same order, and then what it wrote itself.
    fn lost_between(&self, primary: usize, heir: usize, mark: &str) -> Vec<Write> {
        let written = |server: usize| {
            let found = appended::since(self.servers()[server].folder(), mark);
            found.unwrap_or_else(|| panic!("server {server} has not written {mark}"))
        };
        let (here, there) = (written(primary), written(heir));
        let common = here.iter().zip(&there).take_while(|(one, other)| one == other).count();
        here[common..].to_vec()
    }

    /// A primary takes no more for a while.
    pub async fn fill(&mut self, dice: &mut Dice) -> String {
        let (slot, _) = self.draw_slot(dice);
        let (primary, _) = self.whole(slot).await;
        self.ask(primary, "CONFIG SET maxmemory 1mb");
        pause(dice, 500, 3_000).await;
        self.ask(primary, "CONFIG SET maxmemory 0");
        format!("server {primary}")
    }

    /// A slot moves to another primary, some keys at a time; none: these are no cluster.
    pub async fn move_a_slot(&mut self, dice: &mut Dice) -> Option<String> {
        let (slot, partition) = self.draw_slot(dice);
        let (from, _) = self.whole(slot).await;
        let Kind::Cluster(cluster) = &self.kind else { return None };
        let others: Vec<_> = cluster.primaries().into_iter().filter(|server| *server != from).collect();
        let to = others[dice.below(others.len())];
        let watch = Stopwatch::start();
        cluster.begin_move(slot, from, to);
        while cluster.move_keys(slot, from, to, 1 + dice.below(60)) {
            pause(dice, 1, 60).await;
        }
        cluster.end_move(slot, from, to);
        Some(format!("of partition {partition} from server {from} to {to} in {:.1?}", watch.elapsed()))
    }

    /// All is well again.
    pub async fn mend(&self) {
        match &self.kind {
            Kind::Sentinel(_) => drop(self.whole(0).await),
            Kind::Cluster(cluster) => {
                for number in 0..PARTITIONS {
                    self.whole(cluster.slot(&format!("alc:{{{number:02}}}:"))).await;
                }
            }
        }
    }
}

async fn pause(dice: &mut Dice, least: usize, more: usize) {
    tokio::time::sleep(Duration::from_millis((least + dice.below(more)) as u64)).await;
}

/// The number that stands after `name`.
fn number(told: &str, name: &str) -> Option<u64> {
    let (_, rest) = told.split_once(name)?;
    rest.split(|char: char| !char.is_ascii_digit()).next()?.parse().ok()
}

/// Whether the server that lists these nodes has the slot itself.
fn has_slot(nodes: &str, slot: u32) -> bool {
    let Some(myself) = nodes.lines().find(|line| line.contains("myself,master")) else { return false };
    myself.split_whitespace().skip(8).any(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let bounds = first.parse::<u32>().ok().zip(last.parse::<u32>().ok());
        bounds.is_some_and(|(first, last)| (first..=last).contains(&slot))
    })
}
