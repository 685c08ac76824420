//! What `store check` finds, over what every stage of the stored documents left; and what the commands print.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};

use secrecy::SecretString;
use serde_json::Value;

use super::*;
use crate::{
    clock::{Clock as _, SystemClock, Timestamp},
    config::keys::FreshKeys,
    store::{
        Document, Key, Kind, Lease, StoreError, Tenant,
        conformance::redis_server::RedisServer,
        moving::{Held, HeldGate, Place, Shelf, Stretch, Subject},
    },
};

/// As tests/blackbox/compat/stage.rs has it.
const SEALING: &str = "TtPlIGwubLOGlMtLWcSjq9a95eG7bKfzz7RLpHAx2Is=";

type Rows = (Vec<Held>, Vec<HeldGate>);

fn stage(path: &Path) -> Rows {
    let text = std::fs::read_to_string(path).expect("a stage file");
    let stage: Value = serde_json::from_str(&text).expect("JSON");
    let time = |value: &Value| value.as_str().map(|at| at.parse::<Timestamp>().expect("a time"));
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let aggregate = |row: &Value| Held {
        tenant: Tenant::new(text(&row["tenant"])),
        key: Key { kind: Kind::from_name(&text(&row["kind"])).expect("a kind"), id: text(&row["id"]) },
        document: Document {
            body: row["body"].to_string(),
            version: row["version"].as_u64().expect("a version"),
            status: text(&row["status"]),
            created_at: time(&row["created_at"]).expect("a time"),
            due: time(&row["due"]),
            lease: row["lease"].as_array().map(|lease| Lease {
                token: text(&lease[0]).parse().expect("a token"),
                until: time(&lease[1]).expect("a time"),
            }),
            slot: time(&row["slot"]),
            urgent: false,
        },
        expires_at: time(&row["expires_at"]),
    };
    let gate = |row: &Value| HeldGate {
        tenant: Tenant::new(text(&row["tenant"])),
        upstream: text(&row["upstream"]),
        state: serde_json::from_value(row["state"].clone()).expect("a gate"),
    };
    let rows = |name: &str| stage[name].as_array().expect("rows").clone();
    (rows("aggregates").iter().map(aggregate).collect(), rows("gates").iter().map(gate).collect())
}

fn stages() -> Vec<(String, Rows)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/stored");
    let files = std::fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file").path());
    let files = files.filter(|path| path.extension().is_some_and(|ending| ending == "json"));
    files.map(|path| (path.display().to_string(), stage(&path))).collect()
}

/// A store with that in it.
struct Filled {
    url: String,
    namespace: String,
}

impl Filled {
    async fn with(url: String, namespace: &str, (aggregates, gates): &Rows) -> Self {
        let filled = Self { url, namespace: namespace.to_owned() };
        let shelf = open_shelf(&filled.url(), namespace, Purpose::CopyInto).await.expect("it opens");
        shelf.put(aggregates, gates, SystemClock.now()).await.expect("the store takes it");
        shelf.finish().await.expect("the store takes it");
        filled
    }

    fn url(&self) -> SecretString {
        SecretString::from(self.url.as_str())
    }

    async fn findings(&self, sealing: &SecretString) -> Vec<Finding> {
        let sealer = Sealer::new(sealing, None).expect("a key");
        let shelf = open_shelf(&self.url(), &self.namespace, Purpose::Check).await.expect("it opens");
        inspection::inspect(shelf.as_ref(), &sealer).await.expect("the store answers").1
    }

    /// Fault and kind of each finding.
    async fn faults(&self) -> BTreeSet<(&'static str, String)> {
        let findings = self.findings(&SEALING.into()).await;
        findings.into_iter().map(|finding| (finding.fault, finding.subject.kind)).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_wrong_with_what_any_stage_left_and_another_key_opens_nothing() {
    let (server, folder) = (RedisServer::start(), tempfile::tempdir().expect("a folder"));
    let another = FreshKeys::generate().sealing;
    let mut sealed = BTreeSet::new();
    for (number, (name, rows)) in stages().into_iter().enumerate() {
        let file = format!("sqlite:{}", folder.path().join(number.to_string()).display());
        for store in
            [Filled::with(file, "alc", &rows).await, Filled::with(server.url(), &format!("n{number}"), &rows).await]
        {
            assert_eq!(store.findings(&SEALING.into()).await, [], "{name}");
            for finding in store.findings(&another).await {
                assert_eq!(finding.fault, "sealed", "{finding}");
                assert!(finding.advice.contains("KEYS__SEALING_PREVIOUS"), "{finding}");
                sealed.insert(finding.subject.kind.clone());
                // An attempt is named by a browser's secret.
                let attempts = rows.0.iter().filter(|held| held.key.kind == Kind::Attempt);
                let shown = finding.to_string();
                assert!(attempts.map(|held| held.tenant.as_str()).all(|secret| !shown.contains(secret)), "{shown}");
            }
        }
    }
    assert_eq!(sealed, ["attempt", "lead", "workspace"].map(str::to_owned).into());
}

/// A lead that waits, its workspace, and a gate.
fn damaged() -> Rows {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/stored/workflows.json");
    let (mut aggregates, gates) = stage(Path::new(path));
    let waits = |held: &Held| held.key.kind == Kind::Lead && held.document.due.is_some();
    let mut lead = aggregates.iter().find(|held| waits(held)).expect("a lead").clone();
    lead.document.urgent = true;
    aggregates.retain(|held| held.key.kind == Kind::Workspace);
    aggregates.push(lead);
    (aggregates, gates)
}

fn each(faults: &[(&'static str, &str)]) -> BTreeSet<(&'static str, String)> {
    faults.iter().map(|(fault, kind)| (*fault, (*kind).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_damage_in_redis_is_found() {
    let server = RedisServer::start();
    let rows = damaged();
    let held = rows.0.iter().find(|held| held.key.kind == Kind::Lead).expect("a lead");
    let mut missed = Vec::new();
    let (tenant, id, status) = (&held.tenant, &held.key.id, &held.document.status);
    for (number, (damage, expected)) in [
        ("DEL $a", each(&[("index", "lead")])),
        ("HSET $a b junk", each(&[("unreadable", "lead")])),
        ("HSET $a b '{\"schema\":99}'", each(&[("too-new", "lead")])),
        ("HSET $a v junk", each(&[("unreadable", "lead")])),
        ("HSET $a s junk", each(&[("label", "lead"), ("index", "lead")])),
        ("HDEL $a d", each(&[("never-due", "lead"), ("index", "lead")])),
        ("HDEL $a u", each(&[])),
        ("ZREM $t:due lead:$i", each(&[("index", "lead")])),
        ("ZADD $t:due 7 lead:$i", each(&[("index", "lead"), ("index", "tenant")])),
        ("ZREM $t:urgent lead:$i", each(&[("index", "lead")])),
        ("DEL $t:n:lead:$s", each(&[("index", "lead")])),
        // What an earlier version entered there is of no use any more.
        ("DEL $t:leads", each(&[])),
        ("DEL $pn:lead:$s", each(&[("index", "lead")])),
        ("SREM $plabels lead:$s", each(&[("index", "lead")])),
        ("DEL $pdue", each(&[("index", "lead"), ("index", "workspace")])),
        ("ZADD $pturn 1 another", each(&[("index", "tenant")])),
        ("ZADD $t:leads 0 09223372036854775807|another", each(&[("index", "lead")])),
        ("SET $pa:$w:lead:another text", each(&[("unreadable", "store")])),
        ("HSET $pa:$w:person:another b {} v 1 s new c 09223372036854775807", each(&[("too-new", "person")])),
        ("HSET $pg:$w:attio open junk", each(&[("gate", "gate")])),
        ("HSET $pg:$w:attio open 9000000000000000", each(&[("gate", "gate")])),
    ]
    .into_iter()
    .enumerate()
    {
        let namespace = format!("n{number}");
        let store = Filled::with(server.url(), &namespace, &rows).await;
        assert_eq!(store.faults().await, each(&[]), "before {damage}");
        let keys = server.command(&format!("KEYS {namespace}:*a:{tenant}:lead:{id}"));
        let key = keys.lines().find(|line| line.starts_with(&namespace)).expect("its key");
        let place = &key[..key.find("}:").expect("a partition") + 2];
        let command = damage.replace("$a", key).replace("$p", place).replace("$t", &format!("{place}t:{tenant}"));
        let command = command.replace("$s", status).replace("$i", id).replace("$w", tenant.as_str());
        let answer = server.command(&command);
        assert!(!answer.starts_with('-'), "{command}: {answer}");
        let found = store.faults().await;
        if found != expected {
            missed.push(format!("{damage}: {found:?}, and not {expected:?}"));
        }
    }
    assert_eq!(missed, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_damage_in_sqlite_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let rows = damaged();
    for (number, (damage, expected)) in [
        ("UPDATE aggregates SET body = 'junk' WHERE kind = 'lead'", each(&[("unreadable", "lead")])),
        ("UPDATE aggregates SET body = '{\"schema\":99}' WHERE kind = 'lead'", each(&[("too-new", "lead")])),
        ("UPDATE aggregates SET lease_token = 'junk', lease_until = 1 WHERE kind = 'lead'", each(&[("unreadable", "lead")])),
        ("UPDATE aggregates SET status = 'junk' WHERE kind = 'lead'", each(&[("label", "lead")])),
        ("UPDATE aggregates SET due = NULL WHERE kind = 'lead'", each(&[("never-due", "lead")])),
        ("UPDATE aggregates SET kind = 'person' WHERE kind = 'lead'", each(&[("too-new", "person"), ("index", "store")])),
        ("DELETE FROM turns", each(&[("index", "store")])),
        ("INSERT INTO turns VALUES ('another', 1)", each(&[("index", "store")])),
        ("UPDATE counts SET count = count + 1", each(&[("index", "store")])),
        ("UPDATE gates SET state = 'junk'", each(&[("gate", "gate")])),
        (
            "PRAGMA writable_schema = 1; UPDATE sqlite_schema SET sql = 'CREATE INDEX by_urgency ON aggregates (tenant, \
             due_at) WHERE urgent = 0 AND due_at IS NOT NULL' WHERE name = 'by_urgency'",
            each(&[("index", "store")]),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let file = folder.path().join(number.to_string());
        let store = Filled::with(format!("sqlite:{}", file.display()), "alc", &rows).await;
        assert_eq!(store.faults().await, each(&[]), "before {damage}");
        rusqlite::Connection::open(&file).and_then(|file| file.execute_batch(damage)).expect("it is done");
        assert_eq!(store.faults().await, expected, "{damage}");
    }
}

fn run(environment: &[(&str, &str)], from: Option<&str>, to: &str) -> Result<(String, bool), String> {
    let text = |text: &str| text.to_owned();
    let command =
        StoreCommand::Copy { from: from.map(text), to: text(to), from_namespace: None, to_namespace: None, json: true };
    store(&environment.iter().copied().collect(), command)
}

#[test]
fn a_store_is_named_by_its_url_a_variable_a_file_or_the_configuration_and_no_password_is_printed() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    let (rows, runtime) = (damaged(), runtime().expect("a runtime"));
    runtime.block_on(Filled::with(at("old"), "alc", &rows));
    let named = folder.path().join("named");
    std::fs::write(&named, format!("{}\n", at("third"))).expect("a file");
    let file = format!("file:{}", named.display());
    let environment =
        [("ALC_CONNECTOR__STORE__URL", &*at("old")), ("NEW", &at("new"))].map(|(name, url)| (name, url.to_owned()));
    let environment: Vec<_> = environment.iter().map(|(name, url)| (*name, &**url)).collect();
    for (from, to) in [(None, "env:NEW"), (Some("env:NEW"), &*file), (Some(&*at("third")), &at("last"))] {
        let (printed, is_well) = run(&environment, from, to).expect("it is copied");
        let printed: Value = serde_json::from_str(&printed).expect("JSON");
        assert!(is_well && printed["same"] == true, "{printed}");
        let count = |row: &Value| (row["source"].as_u64(), row["source"] == row["target"]);
        let counts = printed["counts"].as_array().expect("rows").iter().map(count);
        assert_eq!(
            counts.map(|(number, is_same)| if is_same { number } else { None }).sum::<Option<u64>>(),
            Some((rows.0.len() + rows.1.len()) as u64)
        );
    }
    let (away, same) = ("redis://user:hunter2@127.0.0.1:1/0", "name the same store");
    for (from, to, said) in [
        (Some("env:NONE"), "env:NEW", "--from: the variable NONE is not set"),
        (Some("file:/nowhere"), "env:NEW", "--from: /nowhere cannot be read"),
        (None, "env:ALC_CONNECTOR__STORE__URL", same),
        (Some(away), away, same),
        (None, away, "--to"),
        (None, "postgres://user:hunter2@host", "--to: its scheme"),
        (None, "hunter2", "--to"),
        (None, &at("last"), "--to: the store is not empty"),
    ] {
        let refused = run(&environment, from, to).expect_err("it is refused");
        assert!(refused.contains(said) && !refused.contains("hunter2"), "{refused}");
    }
}

/// Else a copy would go to `alc`, and the service that starts there afterwards would find nothing.
#[test]
fn the_configured_namespace_counts_where_no_store_is_configured() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}", folder.path().join("old").display());
    let environment = [("ALC_CONNECTOR_ENV", "production"), ("ALC_CONNECTOR__STORE__NAMESPACE", "no name")];
    let refused = run(&environment, Some(&url), &url).expect_err("it is refused");
    assert!(refused.contains("STORE__NAMESPACE"), "{refused}");
}

/// A store that a service works on: one index is wrong for good, another for a moment.
#[derive(Default)]
struct Busy(AtomicU32);

#[async_trait::async_trait]
impl Shelf for Busy {
    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    async fn walk(&self, _place: Option<&Place>) -> Result<Stretch, StoreError> {
        Ok(Stretch::default())
    }

    async fn index_findings(&self) -> Result<Vec<Finding>, StoreError> {
        let look = self.0.fetch_add(1, Ordering::Relaxed);
        let finding = |detail: String| Finding { fault: "index", subject: Subject::store(), detail, advice: "" };
        Ok(vec![finding("for good".to_owned()), finding(format!("at look {look}"))])
    }

    async fn put(&self, _: &[Held], _: &[HeldGate], _: Timestamp) -> Result<(), StoreError> {
        Ok(())
    }

    async fn finish(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[tokio::test]
async fn what_is_wrong_for_a_moment_beside_a_running_service_is_not_told() {
    let sealer = Sealer::new(&SEALING.into(), None).expect("a key");
    let (_, findings) = inspection::inspect(&Busy::default(), &sealer).await.expect("it answers");
    assert_eq!(findings.iter().map(|finding| &*finding.detail).collect::<Vec<_>>(), ["for good"]);
}
