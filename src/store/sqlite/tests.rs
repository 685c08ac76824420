//! What only an embedded store meets: a killed process, a second one, a full disk.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use futures_util::future::join_all;

use rusqlite::Connection;

use super::{SqliteEngine, file::READERS};
use crate::store::conformance::{
    DONE, IDLE, at, commit, create, due, erase, lead, lease_due, plain, put, read, sqlite, tenant,
};
use crate::store::{
    Engine, Key, Kind, OpenError, StoreError, Tenant,
    gate::{Gate, GateReport},
};

const DATABASE: &str = "ALC_CONNECTOR_TEST_DATABASE";

/// The victim of the next test: writes for ever and says what was acknowledged.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started and killed by what_was_acknowledged_survives_a_kill"]
async fn a_process_that_writes_until_it_is_killed() {
    #[expect(clippy::disallowed_methods, reason = "how the parent says where to write")]
    let path = std::env::var(DATABASE).expect("the parent names the database");
    let engine = SqliteEngine::open(Path::new(&path), Duration::ZERO).await.expect("it opens");
    let writers = (0..8).map(|writer| {
        let engine = &engine;
        async move {
            for n in 0.. {
                let key = lead(format!("{writer}-{n}"));
                create(engine, &tenant(), &key, due(at(0))).await;
                println!("acknowledged {}", key.id);
            }
        }
    });
    join_all(writers).await;
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("x.db");
    let victim = "store::sqlite::tests::a_process_that_writes_until_it_is_killed";
    for round in 1..=3 {
        let mut child = Command::new(std::env::current_exe().expect("the test binary"))
            .args([victim, "--exact", "--ignored", "--nocapture"])
            .env(DATABASE, path.with_file_name(format!("{round}.db")))
            .stdout(Stdio::piped())
            .spawn()
            .expect("it runs");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let said = |line: String| line.split_once("acknowledged ").map(|(_, id)| id.to_owned());
        let mut acknowledged: Vec<String> = lines.by_ref().filter_map(said).take(150 * round).collect();
        assert_eq!(acknowledged.len(), 150 * round, "it ended by itself");
        child.kill().expect("it can be killed");
        // The kill may have cut the last line short.
        let mut rest: Vec<String> = lines.filter_map(said).collect();
        rest.pop();
        acknowledged.extend(rest);
        child.wait().expect("it ends");
        let database = path.with_file_name(format!("{round}.db"));
        let engine = SqliteEngine::open(&database, Duration::ZERO).await.expect("the lock went with the process");
        for id in &acknowledged {
            assert!(read(&engine, &lead(id), at(0)).await.is_some(), "{id} was acknowledged and is gone");
        }
        assert!(lease_due(&engine, 10_000, at(1)).await.len() >= acknowledged.len());
    }
}

#[tokio::test]
async fn a_reader_whose_caller_hung_up_is_still_out() {
    let (engine, _folder) = sqlite().await;
    let (started, starts) = mpsc::channel();
    let mut releases = Vec::new();
    for _ in 0..READERS {
        let (release, held) = mpsc::channel::<()>();
        let started = started.clone();
        let mut reading = Box::pin(engine.read(move |_| {
            started.send(()).expect("the test waits");
            Ok(held.recv())
        }));
        assert!(futures_util::poll!(&mut reading).is_pending());
        releases.push(release);
    }
    assert_eq!(starts.iter().take(READERS).count(), READERS, "every reader is out, and nobody waits for it");
    let mut next = engine.next_due(at(0));
    assert!(tokio::time::timeout(Duration::from_millis(100), &mut next).await.is_err(), "it waits for a reader");
    drop(releases);
    assert_eq!(next.await.expect("not closed"), None);
}

#[tokio::test]
async fn a_second_process_waits_for_the_first_to_go() {
    let (first, folder) = sqlite().await;
    create(&first, &tenant(), &lead(1), IDLE).await;
    let path = folder.path().join("x.db");
    let refused = SqliteEngine::open(&path, Duration::ZERO).await.err().expect("it is in use");
    assert!(matches!(refused, OpenError::InUse { .. }), "{refused}");
    let mut second = Box::pin(SqliteEngine::open(&path, Duration::from_secs(30)));
    assert!(futures_util::poll!(&mut second).is_pending());
    let (second, ()) = tokio::join!(second, first.close());
    let second = second.expect("the first has gone");
    assert!(read(&second, &lead(1), at(0)).await.is_some());
    assert!(matches!(first.ping().await, Err(StoreError::Unavailable(_))), "closed");
    assert!(first.next_due(at(0)).await.is_err(), "closed");
}

#[tokio::test]
async fn dropping_the_engine_lets_go_of_the_file() {
    let (first, folder) = sqlite().await;
    create(&first, &tenant(), &lead(1), IDLE).await;
    drop(first);
    let again = SqliteEngine::open(&folder.path().join("x.db"), Duration::from_secs(30)).await.expect("it opens");
    assert!(read(&again, &lead(1), at(0)).await.is_some());
}

#[tokio::test]
async fn the_folder_is_made_and_another_layout_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a/b/x.db");
    let engine = SqliteEngine::open(&path, Duration::ZERO).await.expect("it opens");
    engine.writer.write(|c| c.pragma_update(None, "user_version", 7)).await.expect("it writes");
    engine.close().await;
    let refused = SqliteEngine::open(&path, Duration::ZERO).await.err().expect("another layout");
    assert!(matches!(&refused, OpenError::Layout { found, .. } if found == "7"), "{refused}");
    let file = folder.path().join("file");
    std::fs::write(&file, "not a folder").expect("it writes");
    let refused = SqliteEngine::open(&file.join("x.db"), Duration::ZERO).await.err().expect("no folder");
    assert!(matches!(refused, OpenError::Folder { .. }), "{refused}");
    let refused = SqliteEngine::open(&file, Duration::ZERO).await.err().expect("no database");
    assert!(matches!(refused, OpenError::Store(_)), "{refused}");
}

#[tokio::test]
async fn every_commit_is_synced() {
    let (engine, _folder) = sqlite().await;
    let settings = engine.writer.write(|c| {
        let journal: String = c.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
        Ok((journal, c.pragma_query_value::<i64, _>(None, "synchronous", |row| row.get(0))?))
    });
    assert_eq!(settings.await.expect("it answers"), ("wal".to_owned(), 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_transaction_takes_all_that_waits_and_a_job_that_fails_spoils_no_other() {
    let (engine, folder) = sqlite().await;
    let path = folder.path().join("x.db");
    let seen = move || -> Result<Option<String>, rusqlite::Error> {
        Connection::open(&path)?.query_row("SELECT group_concat(tenant) FROM turns", [], |row| row.get(0))
    };
    let (release, held) = mpsc::channel::<()>();
    let (says, runs) = mpsc::channel::<()>();
    let mut blocker = Box::pin(engine.writer.write(move |_| {
        says.send(()).expect("the test listens");
        held.recv().expect("the test releases it");
        Ok(())
    }));
    assert!(futures_util::poll!(&mut blocker).is_pending());
    // Else the writer may take some of the jobs below into the blocker's transaction, and the others into the next.
    runs.recv().expect("it runs");
    let insert = |n: i64| {
        let seen = seen.clone();
        engine.writer.write(move |c| {
            assert_eq!(seen(), Ok(None), "what the jobs before wrote is not committed yet");
            c.execute("INSERT INTO turns (tenant, turn) VALUES (?1, 0)", [format!("t{n}")])?;
            if n == 2 { c.execute("no such statement", []).map(drop) } else { Ok(()) }
        })
    };
    // All wait while the blocker runs, and so share the next transaction.
    let mut jobs: Vec<_> = (1..=4).map(|n| Box::pin(insert(n))).collect();
    for job in &mut jobs {
        assert!(futures_util::poll!(job).is_pending());
    }
    release.send(()).expect("it waits");
    blocker.await.expect("it ran");
    let outcomes: Vec<_> = join_all(jobs).await.into_iter().map(|outcome| outcome.is_ok()).collect();
    assert_eq!(outcomes, [true, false, true, true]);
    assert_eq!(seen(), Ok(Some("t1,t3,t4".to_owned())), "what the failed job had written is gone");
}

#[tokio::test]
async fn a_full_disk_says_so_and_nothing_is_half_written() {
    let (engine, _folder) = sqlite().await;
    create(&engine, &tenant(), &lead(1), due(at(0))).await;
    let limit = |pages: &'static str| {
        engine.writer.write(move |c| c.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(())))
    };
    limit("1").await.expect("it answers");
    let mut refused = None;
    for n in 2..2_000 {
        let writes = vec![put(&lead(n), None, due(at(0))), put(&lead(format!("{n}b")), None, due(at(0)))];
        match engine.commit(&tenant(), &plain(writes), at(0)).await {
            Ok(done) => assert_eq!(done, DONE),
            Err(error) => {
                refused = Some((n, error));
                break;
            }
        }
    }
    let (n, error) = refused.expect("the disk fills up");
    assert!(matches!(error, StoreError::Full), "{error}");
    assert!(read(&engine, &lead(n), at(0)).await.is_none());
    let erased = (2..n).map(|n| erase(&lead(n), 1)).collect();
    assert_eq!(commit(&engine, erased, at(0)).await, DONE, "what needs no room goes on");
    assert_eq!(lease_due(&engine, 1, at(0)).await.len(), 1, "and so does all the rest in the room that it frees");
    limit("1000000").await.expect("it answers");
    assert_eq!(commit(&engine, vec![put(&lead(n), None, IDLE)], at(0)).await, DONE);
}

/// The file as releases before the urgent lane and before the counts made it.
const EARLIER: &str = "DROP TRIGGER counts_one_more; DROP TRIGGER counts_one_less; DROP TRIGGER counts_another;
    DROP TABLE counts; DROP INDEX by_urgency; ALTER TABLE aggregates DROP COLUMN urgent;
    CREATE INDEX by_creation ON aggregates (tenant, kind, created_at, id);";

#[tokio::test]
async fn a_file_of_an_earlier_release_becomes_one_of_this_release_and_stays_readable_by_that_release() {
    let (engine, folder) = sqlite().await;
    create(&engine, &tenant(), &lead(1), due(at(0))).await;
    engine.close().await;
    drop(engine);
    let path = folder.path().join("x.db");
    Connection::open(&path).and_then(|c| c.execute_batch(EARLIER)).expect("it is as it was");
    for _ in 0..2 {
        let engine = SqliteEngine::open(&path, Duration::from_secs(30)).await.expect("it opens");
        assert!(!read(&engine, &lead(1), at(0)).await.expect("it is there").urgent);
        assert_eq!(engine.depths(at(0)).await.expect("answers")[0].count, 1);
        let left = "SELECT count(*) FROM sqlite_schema WHERE name = 'by_creation'";
        let left = engine.read(|c| c.query_row(left, [], |row| row.get::<_, i64>(0))).await;
        assert_eq!(left.expect("answers"), 0, "an index that nothing needs");
        engine.close().await;
    }
    // The earlier release names the columns that it writes.
    let written = Connection::open(&path).and_then(|c| {
        c.execute_batch(
            "INSERT INTO aggregates (tenant, kind, id, body, version, status, created_at, due)
             SELECT tenant, kind, '2', body, version, status, created_at, due FROM aggregates WHERE id = '1'",
        )
    });
    written.expect("it is written");
    let engine = SqliteEngine::open(&path, Duration::from_secs(30)).await.expect("it opens");
    assert_eq!(engine.depths(at(0)).await.expect("answers")[0].count, 2);
    assert_eq!(lease_due(&engine, 9, at(1)).await.len(), 2);
}

#[tokio::test]
async fn how_much_waits_is_known_without_counting_it() {
    let (engine, _folder) = sqlite().await;
    let plan = engine.read(|c| {
        let mut statement = c.prepare(&format!("EXPLAIN QUERY PLAN {}", super::engine::DEPTHS))?;
        statement.query_map([], |row| row.get::<_, String>("detail"))?.collect::<Result<Vec<_>, _>>()
    });
    let plan = plan.await.expect("answers").join("; ");
    assert!(!plan.contains("SCAN aggregates") && plan.contains("by_depth"), "{plan}");
}

#[tokio::test]
async fn an_index_that_cannot_be_dropped_stays() {
    let (engine, _folder) = sqlite().await;
    let left = engine.writer.write(|c| {
        c.execute_batch(
            "CREATE INDEX by_creation ON aggregates (tenant, kind, created_at, id); PRAGMA query_only = 1",
        )?;
        super::file::drop_what_nothing_needs(c);
        c.execute_batch("PRAGMA query_only = 0")?;
        c.query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'by_creation'", [], |row| row.get::<_, i64>(0))
    });
    assert_eq!(left.await.expect("answers"), 1);
    create(&engine, &tenant(), &lead(1), IDLE).await;
}

/// How often a statement that the cache keeps has been prepared again.
fn prepared_again(c: &Connection) -> rusqlite::Result<i32> {
    let sql = "SELECT id FROM aggregates WHERE tenant = ?1 AND kind = 'lead' AND status = ?2 AND urgent = ?3 LIMIT ?4";
    for urgent in 0..9 {
        c.prepare_cached(sql)?.exists(rusqlite::params!["t", "pending", urgent, urgent])?;
    }
    Ok(c.prepare_cached(sql)?.get_status(rusqlite::StatementStatus::RePrepare))
}

/// To prepare a statement costs more than what it does.
#[tokio::test]
async fn no_statement_is_prepared_anew_for_what_is_asked_for() {
    let (engine, _folder) = sqlite().await;
    assert_eq!(engine.writer.write(prepared_again).await.expect("answers"), 0, "the one that writes");
    assert_eq!(engine.read(prepared_again).await.expect("answers"), 0, "one that reads");
}

#[tokio::test]
async fn expired_receipts_leave_the_file_with_the_next_commit_an_hour_later() {
    let (engine, _folder) = sqlite().await;
    let keep = async |n: i64, until, now| {
        let mut write = put(&Key::new(Kind::Receipt, n), None, IDLE);
        if let crate::store::Change::Put { expires_at, .. } = &mut write.change {
            *expires_at = Some(until);
        }
        assert_eq!(commit(&engine, vec![write], now).await, DONE);
        let held =
            engine.read(|c| c.query_row("SELECT count(*) FROM aggregates", [], |row| row.get::<_, i64>(0))).await;
        held.expect("answers")
    };
    assert_eq!(keep(1, at(10), at(0)).await, 1);
    assert_eq!(keep(2, at(9_000), at(3_609)).await, 2, "a clock that is put back would see it again");
    assert_eq!(keep(3, at(9_000), at(3_611)).await, 2);
}

#[tokio::test]
async fn a_writing_thread_that_panicked_is_told_of() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let engine = SqliteEngine::open(&folder.path().join("x.db"), Duration::ZERO).await.expect("it opens");
    engine.ping().await.expect("it writes");
    assert_eq!(engine.broken(), None);
    let died = engine.writer.write(|_| -> Result<(), rusqlite::Error> { panic!("a fault of ours") }).await;
    assert!(died.is_err());
    // Its last waiter hears of it before the thread has quite ended.
    for _ in 0..500 {
        if engine.broken().is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(engine.broken(), Some("the store's writing thread"));
    assert!(engine.ping().await.is_err());
}

#[tokio::test]
async fn gates_at_rest_leave_the_file_and_those_that_still_say_something_stay() {
    let (engine, _folder) = sqlite().await;
    let attio = Gate { upstream: "attio", per_second: Some(25), ahead: false };
    let alc = Gate { upstream: "alc", per_second: None, ahead: false };
    let day = Duration::from_secs(86_400);
    let later = |days: u32| crate::clock::later(at(0), day * days);
    for (name, when) in [("old", at(0)), ("fresh", later(2))] {
        engine.reserve(&Tenant::new(name), &attio, None, when).await.expect("answers");
    }
    for _ in 0..5 {
        engine.report(&Tenant::new("opened"), &alc, GateReport::Failed, at(0)).await.expect("answers");
    }
    // Of a tenant that is gone, and of one that is there.
    for name in ["gone", "there"] {
        engine.report(&Tenant::new(name), &alc, GateReport::Failed, at(0)).await.expect("answers");
    }
    create(&engine, &Tenant::new("there"), &Key::workspace(), IDLE).await;
    let paused = GateReport::Limited { until: later(3) };
    engine.report(&Tenant::new("paused"), &attio, paused, at(0)).await.expect("answers");
    let made = join_all((0..300).map(|n| {
        let (engine, commit) = (&engine, plain(vec![put(&lead(n), None, IDLE)]));
        async move { engine.commit(&tenant(), &commit, later(2)).await }
    }));
    assert!(made.await.iter().all(Result::is_ok));
    let kept =
        engine.read(|c| c.query_row("SELECT group_concat(tenant) FROM gates", [], |row| row.get::<_, String>(0))).await;
    assert_eq!(kept.expect("answers"), "fresh,paused,there");
}

#[tokio::test]
async fn what_was_erased_or_replaced_is_in_the_file_no_more() {
    let (engine, folder) = sqlite().await;
    let file = folder.path().join("x.db");
    let leads: Vec<_> = (0..60).map(|n| lead(format!("{n}-to-be-forgotten"))).collect();
    let in_files = || {
        let has = |path: &Path| {
            let bytes = std::fs::read(path).expect("a file");
            bytes.windows(15).filter(|window| window == b"to-be-forgotten").count()
        };
        (has(&file), has(&folder.path().join("x.db-wal")))
    };
    let checkpoint = |mode: &str| {
        let connection = Connection::open(&file).expect("it opens");
        connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(())).expect("it is written back");
    };
    for key in &leads {
        create(&engine, &tenant(), key, IDLE).await;
    }
    checkpoint("PASSIVE");
    assert!(in_files().0 >= leads.len() && in_files().1 >= leads.len());
    let erased = leads.iter().map(|key| erase(key, 1)).collect();
    assert_eq!(commit(&engine, erased, at(0)).await, DONE);
    checkpoint("PASSIVE");
    assert_eq!(in_files().0, 0, "free pages, and what is free of the others, are overwritten");
    // The next write begins the log anew, and cuts off the rest.
    create(&engine, &tenant(), &lead("next"), IDLE).await;
    assert_eq!(in_files().1, 0, "of the log");
    engine.close().await;
}
