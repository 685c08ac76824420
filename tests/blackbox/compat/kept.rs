//! A stage as a file: the rows of the SQLite store, the time, and all that the pretend ALC and Attio remember.
//!
//! The file quotes what the service wrote, value by value, and knows no type of it: a field that a later version adds
//! is kept as it is. Only callback URLs are touched: they name the pretend Attio's port, which is another one each
//! time, so they are opened and sealed again with the new one.

use std::{collections::BTreeMap, fs, path::PathBuf};

use alc_connector::{
    clock::from_micros,
    lifecycle::Lifecycle,
    sealing::{Place, Sealed, Sealer},
    store::{
        Change, Commit, Committed, Key, Kind, Lease, LeaseChange, Store, Tenant, Write,
        gate::{Gate, GateReport, Verdict},
        open,
    },
};
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, Row, params};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Serializer, Value, json, ser::PrettyFormatter};

use super::stage::{Ending, Stage, sealing_key, set_up};
use crate::support::harness::{Setup, World};

/// Tables and indexes as the version had them that wrote the files.
const SCHEMA: &str = include_str!("../../fixtures/stored/schema.sql");

/// Stand for the addresses of the service and of the pretend Attio and ALC.
const PLACEHOLDERS: [&str; 3] = ["{{service}}", "{{attio}}", "{{alc}}"];

/// A stage file.
#[derive(Debug, Serialize, Deserialize)]
pub struct Kept {
    /// For readers.
    pub about: String,
    /// The time at the end of the stage.
    pub taken_at: Timestamp,
    /// See [`Stage::attio_grants`].
    pub attio_grants: bool,
    /// See [`Stage::settings`].
    pub settings: BTreeMap<String, String>,
    /// What is to come.
    pub ending: Ending,
    /// The table of that name.
    pub aggregates: Vec<Aggregate>,
    /// The table of that name.
    pub gates: Vec<GateRow>,
    /// The table of that name.
    pub turns: BTreeMap<String, Timestamp>,
    /// Where sealed callback URLs lead.
    attio_url: String,
    /// What the pretend ALC remembers.
    alc: Value,
    /// What the pretend Attio remembers.
    attio: Value,
}

/// A row of `aggregates`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Aggregate {
    tenant: String,
    /// Workspace, lead, receipt or attempt.
    pub kind: String,
    id: String,
    version: i64,
    /// The label in the index.
    pub status: String,
    created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    /// Who works on it: the token, and until when.
    pub lease: Option<(String, Timestamp)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slot: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    /// The document.
    pub body: Value,
}

/// A row of `gates`.
#[derive(Debug, Serialize, Deserialize)]
pub struct GateRow {
    tenant: String,
    upstream: String,
    /// JSON.
    pub state: Value,
}

/// Which store a stage is taken up in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Into {
    /// The rows as they are, in tables as they were.
    OldSqlite,
    /// The rows as they are, in tables that this version makes.
    Sqlite,
    /// The documents, leases and pauses, written by this version.
    Redis,
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/stored"))
}

impl Kept {
    /// The file of that name.
    pub fn read(name: &str) -> Self {
        let path = folder().join(format!("{name}.json"));
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Writes the file of that name.
    pub fn write(&self, name: &str) {
        // By way of a value: its members are in order.
        let value = serde_json::to_value(self).expect("plain values");
        let mut text = Vec::new();
        let one_blank = PrettyFormatter::with_indent(b" ");
        value.serialize(&mut Serializer::with_formatter(&mut text, one_blank)).expect("plain values");
        text.push(b'\n');
        fs::write(folder().join(format!("{name}.json")), text).expect("the file can be written");
    }

    /// Plays a stage that begins at `beginning`, and takes down what is stored at its end.
    pub async fn play(stage: &Stage, beginning: Timestamp) -> Self {
        let world = stage.writing().beginning(beginning).start().await;
        let ending = (stage.play)(&world).await;
        // What is under way has ended, but for what is withheld.
        world.pass(std::time::Duration::ZERO).await;
        let file = world.settings.get("STORE__URL").replace("sqlite:", "");
        let c = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("the database opens");
        let addresses = addresses(&world);
        let hide = |value: Value| {
            let pairs = addresses.iter().map(String::as_str).zip(PLACEHOLDERS);
            replaced(&value, pairs)
        };
        let ending = hide(serde_json::to_value(ending).expect("plain values"));
        Self {
            about: stage.about.to_owned(),
            taken_at: world.now(),
            attio_grants: stage.attio_grants,
            settings: stage.settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            ending: serde_json::from_value(ending).expect("as it was"),
            aggregates: all(
                &c,
                "SELECT tenant, kind, id, version, status, created_at, due, lease_token, lease_until, slot, expires_at,
                 body FROM aggregates ORDER BY tenant, kind, id",
                aggregate,
            ),
            gates: all(&c, "SELECT tenant, upstream, state FROM gates ORDER BY tenant, upstream", |row| {
                Ok(GateRow { tenant: row.get(0)?, upstream: row.get(1)?, state: parsed(&row.get::<_, String>(2)?) })
            }),
            turns: all(&c, "SELECT tenant, turn FROM turns", |row| Ok((row.get(0)?, from_micros(row.get(1)?))))
                .into_iter()
                .collect(),
            attio_url: world.attio.url(),
            alc: without_callbacks(hide(world.alc.state())),
            attio: hide(world.attio.state()),
        }
    }

    /// A world in which this is so, with nothing running yet.
    pub async fn prepare(&self, into: Into, settings: &[(&str, &str)]) -> World {
        let setup = if into == Into::Redis { Setup::redis() } else { Setup::sqlite() };
        let mut setup = set_up(setup, self.attio_grants).beginning(self.taken_at);
        for (name, value) in &self.settings {
            setup = setup.with(name, value);
        }
        for (name, value) in settings {
            setup = setup.with(name, value);
        }
        let mut world = setup.prepare().await;
        let addresses = addresses(&world);
        let show = |value: &Value| replaced(value, PLACEHOLDERS.into_iter().zip(addresses.iter().map(String::as_str)));
        world.alc.remember(show(&self.alc)).expect("a pretend ALC's memory");
        world.attio.remember(show(&self.attio)).expect("a pretend Attio's memory");
        if !self.attio_grants {
            world.settings.set("ATTIO__API_KEY", &world.attio.api_key());
        }
        let bodies: Vec<_> = self.aggregates.iter().map(|row| row.redirected(&self.attio_url, &world)).collect();
        match into {
            Into::OldSqlite => self.insert(&world, &bodies, Some(SCHEMA)),
            Into::Sqlite => {
                open_store(&world).await.close().await;
                self.insert(&world, &bodies, None);
            }
            Into::Redis => self.commit(&world, &bodies).await,
        }
        world
    }

    /// What is to come, with the addresses of this world.
    pub fn ending(&self, world: &World) -> Ending {
        let addresses = addresses(world);
        let value = serde_json::to_value(&self.ending).expect("plain values");
        let pairs = PLACEHOLDERS.into_iter().zip(addresses.iter().map(String::as_str));
        serde_json::from_value(replaced(&value, pairs)).expect("as it was")
    }

    fn insert(&self, world: &World, bodies: &[String], schema: Option<&str>) {
        let mut c = Connection::open(world.settings.get("STORE__URL").replace("sqlite:", "")).expect("a database");
        if let Some(schema) = schema {
            c.execute_batch(schema).expect("tables");
        }
        let transaction = c.transaction().expect("a transaction");
        for (row, body) in self.aggregates.iter().zip(bodies) {
            let micros = |at: Option<Timestamp>| at.map(Timestamp::as_microsecond);
            let (token, until) = row.lease.clone().unzip();
            transaction
                .execute(
                    "INSERT INTO aggregates (tenant, kind, id, version, status, created_at, due, lease_token,
                     lease_until, slot, expires_at, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
                    params![
                        row.tenant,
                        row.kind,
                        row.id,
                        row.version,
                        row.status,
                        row.created_at.as_microsecond(),
                        micros(row.due),
                        token,
                        micros(until),
                        micros(row.slot),
                        micros(row.expires_at),
                        body
                    ],
                )
                .expect("a row");
        }
        for row in &self.gates {
            let state = row.state.to_string();
            let inserted = transaction.execute(
                "INSERT INTO gates (tenant, upstream, state) VALUES (?1, ?2, ?3)",
                params![row.tenant, row.upstream, state],
            );
            inserted.expect("a row");
        }
        for (tenant, turn) in &self.turns {
            let inserted = transaction
                .execute("INSERT INTO turns (tenant, turn) VALUES (?1, ?2)", params![tenant, turn.as_microsecond()]);
            inserted.expect("a row");
        }
        transaction.commit().expect("it is written");
    }

    async fn commit(&self, world: &World, bodies: &[String]) {
        let store = open_store(world).await;
        for (row, body) in self.aggregates.iter().zip(bodies) {
            let tenant = Tenant::new(&row.tenant);
            let mut leases = vec![LeaseChange::Leave { due: row.due }];
            if let Some((token, until)) = &row.lease {
                let token = token.parse().expect("a UUID");
                leases.push(LeaseChange::Take(Lease { token, until: *until }));
            }
            let mut expected = None;
            for lease in leases {
                let change = Change::Put {
                    body: body.clone(),
                    status: row.status.clone().into(),
                    created_at: row.created_at,
                    lease,
                    urgent: false,
                    expires_at: row.expires_at,
                };
                let key = Key::new(Kind::from_name(&row.kind).expect("a kind"), &row.id);
                let commit = Commit::of(vec![Write { key, expected, change }]);
                let committed = store.commit(&tenant, &commit, self.taken_at).await;
                expected = Some(commit.version_after(expected));
                assert_eq!(committed.expect("Redis takes it"), Committed::Done(Verdict::Go));
            }
        }
        for row in &self.gates {
            let tenant = Tenant::new(&row.tenant);
            let gate = Gate { upstream: row.upstream.clone().leak(), per_second: None, ahead: false };
            let paused =
                row.state["paused_until"].as_i64().map(|until| GateReport::Limited { until: from_micros(until) });
            let failures = row.state["failures"].as_u64().unwrap_or_default();
            for report in (0..failures).map(|_| GateReport::Failed).chain(paused) {
                store.report(&tenant, &gate, report, self.taken_at).await.expect("Redis takes it");
            }
        }
        store.close().await;
    }
}

/// What is left in the store of a world that has stopped, as kind and status.
pub async fn left(world: &World) -> Vec<String> {
    let store = open_store(world).await;
    let depths = store.depths(world.now()).await.expect("the store answers");
    store.close().await;
    let there = depths.into_iter().filter(|depth| depth.count > 0);
    there.map(|depth| format!("{} {} {}", depth.count, depth.kind.name(), depth.status)).collect()
}

async fn open_store(world: &World) -> Store {
    let url = SecretString::from(world.settings.get("STORE__URL"));
    open(&url, "alc", &Lifecycle::new()).await.expect("the store opens")
}

impl Aggregate {
    /// The body, with callback URLs that lead to this world's Attio.
    fn redirected(&self, from: &str, world: &World) -> String {
        let sealer = Sealer::new(&SecretString::from(sealing_key()), None).expect("a key");
        let redirect = |sealed: &mut Value, aggregate: &str, field: &str| {
            let place = Place { aggregate, field };
            let old = Sealed::from_text(sealed.as_str().expect("something sealed"));
            let url = sealer.open(place, &old).expect("it was sealed for this place");
            let new = url.expose_secret().replace(from, &world.attio.url());
            assert_ne!(new, url.expose_secret(), "it leads to the pretend Attio");
            *sealed = Value::from(sealer.seal(place, &SecretString::from(new)).as_str());
        };
        let mut body = self.body.clone();
        let at_lead = format!("lead/{}/{}", self.tenant, self.id);
        for waiting in list(&mut body["calls"]["waiting"]) {
            redirect(&mut waiting["hook"]["url"], &at_lead, "finish_callback_url");
        }
        for owed in list(&mut body["calls"]["owed"]).iter_mut().filter(|owed| owed["to"]["step"].is_object()) {
            redirect(&mut owed["to"]["step"]["url"], &at_lead, "finish_callback_url");
        }
        for trigger in list(&mut body["triggers"]) {
            let field = format!("trigger/{}/callback_url", trigger["activation"].as_str().expect("an id"));
            redirect(&mut trigger["url"], &format!("workspace/{}", self.tenant), &field);
        }
        // Asking made members of what was not there.
        self.body.get("calls").is_none().then(|| body.as_object_mut().map(|body| body.remove("calls")));
        self.body.get("triggers").is_none().then(|| body.as_object_mut().map(|body| body.remove("triggers")));
        body.to_string()
    }
}

/// What was called back is in the documents; that it was called is of no use to anybody.
fn without_callbacks(mut alc: Value) -> Value {
    alc["callbacks"] = json!([]);
    alc
}

fn list(value: &mut Value) -> &mut [Value] {
    value.as_array_mut().map_or(&mut [], Vec::as_mut_slice)
}

fn addresses(world: &World) -> [String; 3] {
    [world.url(), world.attio.url(), world.alc.url()]
}

fn replaced<'a>(value: &Value, pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Value {
    let text = pairs.fold(value.to_string(), |text, (from, to)| text.replace(from, to));
    serde_json::from_str(&text).expect("URLs need no escapes")
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

fn all<T>(c: &Connection, query: &str, read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>) -> Vec<T> {
    let mut statement = c.prepare(query).expect("a query");
    let rows = statement.query_map([], read).expect("rows");
    rows.collect::<rusqlite::Result<_>>().expect("rows of that shape")
}

fn aggregate(row: &Row<'_>) -> rusqlite::Result<Aggregate> {
    let at = |column| row.get::<_, Option<i64>>(column).map(|micros| micros.map(from_micros));
    let token: Option<String> = row.get(7)?;
    Ok(Aggregate {
        tenant: row.get(0)?,
        kind: row.get(1)?,
        id: row.get(2)?,
        version: row.get(3)?,
        status: row.get(4)?,
        created_at: from_micros(row.get(5)?),
        due: at(6)?,
        lease: token.zip(at(8)?),
        slot: at(9)?,
        expires_at: at(10)?,
        body: parsed(&row.get::<_, String>(11)?),
    })
}
