//! Each thread that answers requests has a runtime, and its calls a connection that this runtime serves.

use tokio::runtime::{Builder, Runtime};

use super::*;

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
    for round in 0..2 {
        for (n, other) in others.iter().enumerate() {
            other.block_on(writes(&engine, 10 * round + n));
            assert_eq!(clients(&server), if round == 0 { (n + 2).min(4) } else { 4 });
        }
        // Lost ones are made anew.
        assert!(server.command("CLIENT KILL TYPE normal").starts_with(':'));
        others.iter().enumerate().for_each(|(n, other)| other.block_on(writes(&engine, 100 + 10 * round + n)));
        assert_eq!(clients(&server), 4);
    }
}

#[test]
fn where_no_further_one_can_be_made_the_first_serves() {
    let (server, opening) = (RedisServer::start(), opening());
    let allow = |password: &str| {
        let allowed = server.command(&format!("ACL SETUSER app on resetpass >{password} ~* +@all"));
        assert!(allowed.starts_with("+OK"), "{allowed}");
    };
    allow("hunter2");
    let url = server.url().replace("redis://", "redis://app:hunter2@");
    let engine = opening.block_on(RedisEngine::open(&url.into(), "alc", &Lifecycle::new())).expect("it opens");
    // The first connection stays logged in.
    allow("hunter3");
    let other = runtime();
    for id in 0..3 {
        other.block_on(writes(&engine, id));
    }
    assert_eq!(clients(&server), 1);
}
