//! What only Redis can do to us: go away, fill up, be set up wrongly, lose an answer.

mod clocks;
mod cluster;
mod doors;
mod runtimes;
mod sentinel;
mod tls;

use std::time::Duration;

use jiff::Timestamp;
use redis::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{
    RedisEngine,
    clock::ServerClock,
    keys::{self, PARTITIONS},
    watch::policies,
};
use crate::{
    clock::{Clock as _, SystemClock},
    lifecycle::Lifecycle,
    store::conformance::{
        DONE, IDLE, at, commit, create, due, erase, lead, lease_due, plain, put, read, redis,
        redis_server::RedisServer, tenant, token, v,
    },
    store::{
        Beside, Change, Engine, Key, Kind, LeaseChange, LeaseRequest, Leased, OpenError, StoreError, Tenant,
        gate::{Gate, GateReport, Verdict},
    },
};

const ATTIO: Gate = Gate { upstream: "attio", per_second: Some(25), ahead: false };

async fn refusal(url: String) -> OpenError {
    RedisEngine::open(&url.into(), "alc", &Lifecycle::new()).await.expect_err("it is refused")
}

/// Waits until a new connection is there; a call made before says Unavailable.
async fn recovered(engine: &RedisEngine) {
    for _ in 0..200 {
        if engine.ping().await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the engine does not find its server again");
}

#[tokio::test]
async fn a_server_that_restarts_has_everything_and_needs_no_restart_of_ours() {
    let mut server = RedisServer::start_durable();
    let engine = redis(&server).await;
    create(&engine, &tenant(), &lead(1), due(at(5))).await;
    server.kill();
    let lost = engine.commit(&tenant(), &plain(vec![put(&lead(2), None, IDLE)]), at(0)).await;
    assert!(matches!(lost, Err(StoreError::Unavailable(_))), "{lost:?}");
    for answer in [engine.ping().await, engine.next_due(at(0)).await.map(drop), engine.depths(at(0)).await.map(drop)] {
        assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    }
    server.start_again();
    recovered(&engine).await;
    assert_eq!(read(&engine, &lead(1), at(0)).await.expect("it is there").due, Some(at(5)));
    assert!(read(&engine, &lead(2), at(0)).await.is_none());
    assert_eq!(lease_due(&engine, 10, at(5)).await.len(), 1, "the indexes are there, too");
}

/// A replica of a release before the urgent lane works on the same server: it writes, leases and erases without it.
#[tokio::test]
async fn what_an_earlier_release_does_to_urgent_work_is_noticed() {
    let server = RedisServer::start();
    let engine = redis(&server).await;
    for n in 1..=4 {
        let mut write = put(&lead(n), None, due(at(1)));
        if let Change::Put { urgent, .. } = &mut write.change {
            *urgent = true;
        }
        assert_eq!(commit(&engine, vec![write], at(0)).await, DONE);
    }
    let place = engine.keys.of(&tenant());
    let (of, due) = (|n| format!("{place}a:{}:lead:{n}", tenant()), format!("{place}t:{}:due", tenant()));
    let until = at(100).as_microsecond();
    for command in [
        format!("HDEL {} u", of(1)),
        format!("DEL {}", of(2)),
        format!("ZREM {due} lead:2"),
        format!("HSET {} lt {} lu {until}", of(3), crate::ids::random_uuid()),
        format!("ZADD {due} {until} lead:3"),
    ] {
        assert!(server.command(&command).starts_with(':'), "{command}");
    }
    let ids = |leased: Vec<Leased>| leased.into_iter().map(|one| one.key.id).collect::<Vec<_>>();
    let mut request = crate::store::conformance::request(1);
    request.others.max = 0;
    assert_eq!(ids(engine.lease_due(&request, at(2)).await.expect("answers").leased), ["4"]);
    assert_eq!(ids(lease_due(&engine, 9, at(3)).await), ["1"]);
    let mut all = ids(lease_due(&engine, 9, at(100)).await);
    all.sort();
    assert_eq!(all, ["1", "3", "4"]);
}

/// An entry is taken away only where there may be one: a lane in which entries stayed would be walked for nothing.
#[tokio::test]
async fn what_is_urgent_no_more_leaves_its_lane() {
    let server = RedisServer::start();
    let engine = redis(&server).await;
    let lane = format!("{}t:{}:urgent", engine.keys.of(&tenant()), tenant());
    let entries = || server.command(&format!("ZCARD {lane}")).trim().to_owned();
    let put_as = |version, is_urgent| {
        let mut write = put(&lead(1), version, due(at(1)));
        if let Change::Put { urgent, .. } = &mut write.change {
            *urgent = is_urgent;
        }
        write
    };
    for (version, is_urgent, left) in
        [(None, true, ":1"), (Some(1), false, ":0"), (Some(2), false, ":0"), (Some(3), true, ":1")]
    {
        assert_eq!(commit(&engine, vec![put_as(version, is_urgent)], at(0)).await, DONE);
        assert_eq!(entries(), left, "over {version:?}");
    }
    assert_eq!(commit(&engine, vec![erase(&lead(1), 4)], at(0)).await, DONE);
    assert_eq!(entries(), ":0");
}

#[tokio::test]
async fn a_sign_of_life_that_was_not_taken_is_given_again_long_before_the_last_one_counts_no_more() {
    let server = RedisServer::start();
    let engine = redis(&server).await;
    assert_eq!(engine.life.show().await, Duration::from_secs(30));
    assert!(server.command("CONFIG SET min-replicas-to-write 1").starts_with("+OK"));
    let again = engine.life.show().await;
    assert!(again <= Duration::from_secs(10), "{again:?}");
    assert!(server.command("CONFIG SET min-replicas-to-write 0").starts_with("+OK"));
    assert_eq!(engine.life.show().await, Duration::from_secs(30));
}

#[tokio::test]
async fn a_dropped_connection_is_not_even_noticed() {
    let server = RedisServer::start();
    let engine = redis(&server).await;
    for n in 0..5 {
        assert!(server.command("CLIENT KILL TYPE normal").starts_with(':'));
        assert_eq!(commit(&engine, vec![put(&lead(n), None, IDLE)], at(0)).await, DONE);
        assert!(server.command("CLIENT KILL TYPE normal").starts_with(':'));
        assert!(read(&engine, &lead(n), at(0)).await.is_some());
    }
    assert!(server.command("SCRIPT FLUSH").starts_with("+OK"));
    assert_eq!(commit(&engine, vec![put(&lead(9), None, IDLE)], at(0)).await, DONE);
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_repeated_without_a_second_effect() {
    let server = RedisServer::start();
    let engine = redis(&server).await;
    assert_eq!(commit(&engine, vec![put(&lead(1), None, IDLE)], at(0)).await, DONE);
    // Longer than we wait for an answer: the first attempt is carried out after we have given it up.
    assert!(server.command("CLIENT PAUSE 2300 ALL").starts_with("+OK"));
    assert_eq!(commit(&engine, vec![put(&lead(1), Some(1), IDLE)], at(0)).await, DONE);
    assert_eq!(read(&engine, &lead(1), at(0)).await.expect("it is there").version, v(2));
}

#[tokio::test]
async fn leases_whose_answer_is_lost_are_not_taken_twice() {
    let server = RedisServer::start();
    let engine = redis(&server).await;
    for n in 0..10 {
        create(&engine, &tenant(), &lead(n), due(at(0))).await;
    }
    assert_eq!(lease_due(&engine, 1, at(1)).await.len(), 1, "the server has the script from now on");
    // What is due can still be read. The leases may be taken after we have given them up: they run out, and no others
    // go with them.
    assert!(server.command("CLIENT PAUSE 2300 WRITE").starts_with("+OK"));
    let request = crate::store::conformance::request(3);
    let lost = engine.lease_due(&request, at(1)).await;
    assert!(matches!(lost, Err(StoreError::Unavailable(_))), "{lost:?}");
    assert!(server.command("CLIENT UNPAUSE").starts_with("+OK"));
    let left = lease_due(&engine, 10, at(1)).await.len();
    assert!(left >= 6, "{left}");
}

/// Its worker finds out what is wrong with it, by loading it.
#[tokio::test]
async fn what_is_damaged_beside_a_lead_keeps_no_lead_from_its_worker() {
    let server = RedisServer::start();
    let engine = redis(&server).await;
    let (damaged, sound) = (Tenant::new("damaged"), tenant());
    let beside = Beside { keys: vec![Key::workspace()], gates: vec![ATTIO] };
    let request = LeaseRequest { beside, ..LeaseRequest::up_to(9, Duration::from_secs(30)) };
    let workspace = format!("{}a:damaged:workspace:", engine.keys.of(&damaged));
    let harm = [format!("HSET {workspace} v 1 b \"\\xff\""), format!("SET {workspace} 1")];
    for (n, harm) in harm.iter().enumerate() {
        server.command(&format!("DEL {workspace}"));
        assert!(!server.command(harm).starts_with('-'), "{harm}");
        for tenant in [&damaged, &sound] {
            create(&engine, tenant, &lead(n), due(at(0))).await;
        }
        let leased = engine.lease_due(&request, at(1)).await.expect("answers").leased;
        let read: Vec<_> = leased.iter().map(|one| (one.tenant == damaged, one.beside.is_some())).collect();
        assert!(read.len() == 2 && read.contains(&(true, false)) && read.contains(&(false, true)), "{read:?}");
    }
}

#[tokio::test]
async fn a_reservation_whose_answer_is_lost_takes_one_slot() {
    let server = RedisServer::start();
    let engine = redis(&server).await;
    let reserve = async || engine.reserve(&tenant(), &ATTIO, None, at(0)).await.expect("answers");
    assert_eq!(reserve().await, Verdict::Go);
    assert!(server.command("CLIENT PAUSE 2300 ALL").starts_with("+OK"));
    let slot = |n: u64| Verdict::At(crate::clock::later(at(0), Duration::from_micros(n * 41_667)));
    assert_eq!(reserve().await, slot(1));
    assert_eq!(reserve().await, slot(2), "the repeat took none");
}

#[tokio::test]
async fn a_full_server_drains_and_accepts_nothing_new() {
    let server = RedisServer::start();
    let engine = redis(&server).await;
    for n in 0..6 {
        create(&engine, &tenant(), &lead(n), due(at(0))).await;
    }
    create(&engine, &tenant(), &Key::workspace(), IDLE).await;
    assert!(server.command("CONFIG SET maxmemory 1").starts_with("+OK"));
    let accept = |n| plain(vec![put(&lead(n), None, IDLE)]);
    let refused = engine.commit(&tenant(), &accept(9), at(0)).await;
    assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
    assert!(matches!(engine.ping().await, Err(StoreError::Full)));
    let degraded = engine.serving().await.expect("callbacks are settled");
    assert_eq!(degraded, [crate::store::Degraded::Full].into());
    let take = LeaseChange::Take(crate::store::conformance::lease_until(at(9)));
    let press = crate::store::Commit { begins: true, ..plain(vec![put(&lead(0), Some(1), take)]) };
    assert!(matches!(engine.commit(&tenant(), &press, at(0)).await, Err(StoreError::Full)));
    let handed_over = vec![put(&lead(5), Some(1), take)];
    assert_eq!(commit(&engine, handed_over, at(0)).await, DONE, "a callback whose worker sits here");

    assert!(read(&engine, &lead(9), at(0)).await.is_none());
    assert_eq!(commit(&engine, vec![put(&lead(4), Some(1), due(at(0)))], at(0)).await, DONE, "a callback");
    assert_eq!(
        engine.next_due(crate::clock::earlier(at(0), Duration::from_secs(1))).await.expect("answers"),
        Some(at(0))
    );
    let leased = lease_due(&engine, 2, at(1)).await;
    let end = LeaseChange::End { token: token(&leased[0].document), due: None };
    assert_eq!(commit(&engine, vec![put(&leased[0].key, Some(1), end)], at(1)).await, DONE, "settled");
    assert_eq!(commit(&engine, vec![erase(&leased[1].key, 1)], at(1)).await, DONE, "forgotten");
    assert_eq!(engine.wake(&tenant(), Kind::Lead, &["pending"], Duration::ZERO, at(1)).await.expect("answers"), 4);
    assert_eq!(engine.page(&tenant(), &["pending"], None, 10).await.expect("answers").documents.len(), 5);
    assert_eq!(engine.depths(at(1)).await.expect("answers").len(), 2);
    assert_eq!(engine.reserve(&tenant(), &ATTIO, None, at(1)).await.expect("answers"), Verdict::Go);
    engine.report(&tenant(), &ATTIO, GateReport::Failed, at(1)).await.expect("answers");
    let again = redis(&server).await;
    assert!(read(&again, &lead(3), at(0)).await.is_some(), "it starts on a full server, too");

    assert!(server.command("CONFIG SET maxmemory 0").starts_with("+OK"));
    let kept = accept(9);
    assert_eq!(engine.commit(&tenant(), &kept, at(1)).await.expect("answers"), DONE);
    assert!(server.command("CONFIG SET maxmemory 1").starts_with("+OK"));
    let repeated = engine.commit(&tenant(), &kept, at(1)).await.expect("it was written before the server filled up");
    assert_eq!(repeated, DONE);
}

#[tokio::test]
async fn only_what_may_be_forgotten_expires_and_a_tenant_is_in_one_slot() {
    let server = RedisServer::start();
    let engine = redis(&server).await;
    let mut receipt = put(&Key::new(Kind::Receipt, "r"), None, IDLE);
    if let Change::Put { expires_at, .. } = &mut receipt.change {
        *expires_at = Some(at(86_400));
    }
    let writes = vec![receipt, put(&lead(1), None, due(at(0))), put(&Key::workspace(), None, IDLE)];
    assert_eq!(commit(&engine, writes, at(0)).await, DONE);
    assert_eq!(engine.reserve(&tenant(), &ATTIO, None, at(0)).await.expect("answers"), Verdict::Go);
    lease_due(&engine, 1, at(1)).await;
    let listing = server.command("KEYS *");
    let keys: Vec<&str> = listing.lines().filter(|line| line.starts_with("alc:")).collect();
    assert!(keys.len() > 10, "{keys:?}");
    let slot = engine.keys.of(&tenant());
    for key in keys {
        let expires = !server.command(&format!("PTTL {key}")).starts_with(":-1");
        let may = [":g:", ":c:", ":receipt:"].iter().any(|part| key.contains(part));
        if [":marker", ":alive"].iter().any(|part| key.ends_with(part)) {
            assert!(expires, "{key}: of use while a service runs alone");
            continue;
        }
        assert_eq!(expires, may, "{key}");
        assert!(key == "alc:layout" || key.starts_with(&slot), "{key}");
    }
}

#[tokio::test]
async fn a_server_that_evicts_is_refused() {
    for policy in ["allkeys-lru", "volatile-ttl"] {
        let server = RedisServer::start_with(&["--maxmemory-policy", policy]);
        let error = refusal(server.url()).await;
        assert!(error.to_string().contains(policy) && error.to_string().contains("noeviction"), "{error}");
    }
}

#[test]
fn a_server_that_does_not_tell_its_policy_is_counted() {
    let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
    let told = text("# Memory\r\nmaxmemory_policy:allkeys-lru\r\n");
    assert_eq!(policies(&told), [Some("allkeys-lru".to_owned())]);
    let servers = vec![(text("a:1"), text("# Memory\r\n")), (text("b:1"), told), (text("c:1"), Value::Nil)];
    assert_eq!(policies(&Value::Map(servers)), [None, Some("allkeys-lru".to_owned()), None]);
}

#[tokio::test]
async fn another_layout_is_refused_and_another_namespace_is_not() {
    let server = RedisServer::start();
    let engine = redis(&server).await;
    create(&engine, &tenant(), &lead(1), due(at(0))).await;
    let other = RedisEngine::open(&server.url().into(), "other", &Lifecycle::new()).await.expect("it opens");
    assert!(read(&other, &lead(1), at(0)).await.is_none());
    assert_eq!(other.next_due(at(0)).await.expect("answers"), None);
    assert!(server.command("SET alc:layout 1-in-8").starts_with("+OK"));
    let error = refusal(server.url()).await;
    assert!(error.to_string().contains("1-in-8"), "{error}");
}

#[tokio::test]
async fn a_server_that_hides_its_policy_is_believed_and_no_password_is_shown() {
    let server = RedisServer::start();
    let acl = server.command("ACL SETUSER app on >hunter2 ~* +@all -info");
    assert!(acl.starts_with("+OK"), "{acl}");
    let url = |password: &str| server.url().replace("redis://", &format!("redis://app:{password}@"));
    let engine = RedisEngine::open(&url("hunter2").into(), "alc", &Lifecycle::new()).await.expect("it opens");
    assert_eq!(commit(&engine, vec![put(&lead(1), None, IDLE)], at(0)).await, DONE);
    assert!(!format!("{engine:?}").contains("hunter2"));
    let error = refusal(url("hunter3")).await;
    assert!(!format!("{error} {error:?}").contains("hunter3"), "{error:?}");
    drop(server);
    let error = refusal("redis://app:hunter2@127.0.0.1:1/0".to_owned()).await;
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn what_our_user_may_not_do_is_named_with_its_cure() {
    let server = RedisServer::start();
    let url = server.url().replace("redis://", "redis://app:hunter2@");
    let refused = async |rules: &str| {
        assert!(server.command(&format!("ACL SETUSER app reset on >hunter2 {rules}")).starts_with("+OK"));
        let error = refusal(url.clone()).await;
        assert!(!error.passes(), "waiting does not mend {error}");
        error.to_string()
    };
    let said = refused("~* +@all -zadd -hset").await;
    assert!(said.contains("HSET, ZADD") && said.contains("docs/operations.md"), "{said}");
    let said = refused("~* +@all -evalsha -eval").await;
    assert!(said.contains("EVALSHA") && said.contains("ACL SETUSER"), "{said}");
    let said = refused("~other:* +@all").await;
    assert!(said.contains("~<namespace>:*"), "{said}");
    // What docs/operations.md lists is enough.
    let documented =
        include_str!("../../../docs/operations.md").lines().find(|line| line.starts_with("ACL SETUSER alc "));
    let rules = documented.and_then(|line| line.split_once("~alc:* ")).expect("it is documented").1;
    let allowed = server.command(&format!("ACL SETUSER app reset on >hunter2 ~alc:* {rules}"));
    assert!(allowed.starts_with("+OK"), "{allowed}");
    let engine = RedisEngine::open(&url.clone().into(), "alc", &Lifecycle::new()).await.expect("it opens");
    create(&engine, &tenant(), &lead(1), due(at(0))).await;
    assert_eq!(lease_due(&engine, 10, at(5)).await.len(), 1);
    assert_eq!(engine.serving().await.expect("answers"), [].into());
    assert_eq!(engine.depths(at(0)).await.expect("answers").len(), 1);
}

#[tokio::test]
async fn an_old_server_is_refused_by_its_version() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("redis://{}/0", listener.local_addr().expect("an address"));
    let lifecycle = Lifecycle::new();
    // No such server is at hand: this one answers as Redis 6.2 does, as far as it is asked.
    let _old = lifecycle.spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.expect("a caller");
            let mut asked = vec![0; 4096];
            while let Ok(length @ 1..) = socket.read(&mut asked).await {
                let asked = String::from_utf8_lossy(&asked[..length]).to_uppercase();
                let told = "redis_version:6.2.14\r\n";
                let answer = if asked.contains("INFO\r\n") && !asked.contains("SETINFO") {
                    format!("${}\r\n{told}\r\n", told.len())
                } else {
                    "+OK\r\n".repeat(asked.matches('*').count())
                };
                socket.write_all(answer.as_bytes()).await.expect("it listens");
            }
        }
    });
    let error = refusal(url).await;
    assert!(error.to_string().contains("6.2.14") && error.to_string().contains("7.0 or later"), "{error}");
    assert!(!error.passes());
}

#[tokio::test]
async fn the_clock_is_the_servers() {
    let server = RedisServer::start();
    let engine = redis(&server).await;
    let clock = Engine::clock(&engine).expect("Redis has one");
    let apart =
        crate::clock::until(SystemClock.now(), clock.now()).max(crate::clock::until(clock.now(), SystemClock.now()));
    assert!(apart < Duration::from_secs(1), "{apart:?}");
    let soon = crate::clock::later(clock.now(), Duration::from_millis(5));
    clock.sleep_until(soon).await;
    assert!(clock.now() >= soon);
}

#[tokio::test]
async fn closing_ends_what_runs_in_the_background() {
    let server = RedisServer::start();
    let lifecycle = Lifecycle::new();
    let engine = RedisEngine::open(&server.url().into(), "alc", &lifecycle).await.expect("it opens");
    assert!(!lifecycle.drained(Duration::ZERO).await);
    assert_eq!(lifecycle.beating(), ["store clock"], "what runs can be seen to stand still");
    engine.close().await;
    assert!(lifecycle.drained(Duration::from_secs(5)).await);
}
