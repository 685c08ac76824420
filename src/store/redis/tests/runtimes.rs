//! Each thread that answers requests has a runtime, and its calls a connection that this runtime serves.

use tokio::runtime::{Builder, Runtime};

use super::*;
use crate::store::conformance::redis_cluster;

pub(super) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Serves its connections by itself, as the runtime does that a service is opened on.
pub(super) fn opening() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

/// How many clients the server has, but for the one that asks.
fn clients(server: &RedisServer) -> usize {
    server.command("CLIENT LIST TYPE normal").matches(" cmd=").count() - 1
}

async fn writes(engine: &RedisEngine, id: usize) {
    assert_eq!(commit(engine, vec![put(&lead(id), None, IDLE)], at(0)).await, DONE);
}

#[test]
fn each_has_its_own_up_to_four_and_the_others_share_the_first() {
    let (server, opening) = (RedisServer::start(), opening());
    let engine = opening.block_on(redis(&server));
    let others: Vec<_> = (0..5).map(|_| runtime()).collect();
    // A connection that was left is closed by the runtime that served it, once that runs again.
    let clients_left = || {
        others.iter().for_each(|other| other.block_on(async { tokio::time::sleep(Duration::from_millis(1)).await }));
        clients(&server)
    };
    for (n, other) in others.iter().enumerate() {
        other.block_on(writes(&engine, n));
        assert_eq!(clients(&server), (n + 2).min(4));
    }
    for round in 1..3 {
        assert!(server.command("CLIENT KILL TYPE normal").starts_with(':'));
        // The fourth finds the first one lost, and then all are left; so each is made anew in a second turn at last.
        for turn in 0..2 {
            others
                .iter()
                .enumerate()
                .for_each(|(n, other)| other.block_on(writes(&engine, 100 * round + 10 * turn + n)));
        }
        redis_cluster::wait("those that were left are closed", || clients_left() == 4);
    }
}

#[test]
fn where_no_further_one_can_be_made_the_first_serves() {
    let (server, opening) = (RedisServer::start(), opening());
    doors::allow(&server, "hunter2");
    let url = server.url().replace("redis://", "redis://app:hunter2@");
    let engine = opening.block_on(RedisEngine::open(&url.into(), "alc", &Lifecycle::new())).expect("it opens");
    // The first connection stays logged in.
    doors::allow(&server, "hunter3");
    let other = runtime();
    for id in 0..3 {
        other.block_on(writes(&engine, id));
    }
    assert_eq!(clients(&server), 1);
    // One attempt: a server that counts its clients is not burdened.
    assert!(server.command("ACL LOG").contains("count\r\n:1\r\n"));
}

#[test]
fn one_that_was_closed_for_idleness_is_made_anew_alone() {
    let (server, opening) = (RedisServer::start(), opening());
    let engine = opening.block_on(redis(&server));
    let other = runtime();
    other.block_on(writes(&engine, 0));
    let ids = || -> Vec<String> {
        let clients = server.command("CLIENT LIST TYPE normal");
        let ids = clients.lines().filter(|line| !line.contains("cmd=client"));
        ids.filter_map(|line| line.split(' ').find_map(|word| word.strip_prefix("id="))).map(str::to_owned).collect()
    };
    let [first, further] = ids().try_into().expect("two");
    assert!(server.command(&format!("CLIENT KILL ID {further}")).starts_with(':'));
    other.block_on(writes(&engine, 1));
    let now = ids();
    assert!(now.len() == 2 && now.contains(&first) && !now.contains(&further), "{now:?}");
}

#[test]
fn none_leads_elsewhere_than_the_first() {
    let (server, another, opening) = (RedisServer::start(), RedisServer::start(), opening());
    let door = doors::Door::to(&server);
    let engine = opening.block_on(door.engine());
    door.lead_to(&another);
    runtime().block_on(writes(&engine, 0));
    assert!(server.command("KEYS *:lead:0").contains(":lead:0"));
    assert!(another.command("DBSIZE").starts_with(":0"));
}
