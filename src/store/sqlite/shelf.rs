//! A whole file: read from one end to the other, or filled.
//!
//! Each call works on the one connection while its caller waits: nothing else runs in such a process. To look, the
//! file is opened for reading and not locked, so that a service may have it; to copy, it is locked.

use std::{
    collections::BTreeSet,
    fs::File,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, params};

use super::{
    due,
    failure::failure,
    file::{LAYOUT, UNFINISHED, connect, lock, with_suffix},
    rows,
};
use crate::{
    clock::{Clock as _, SystemClock, from_micros},
    store::{
        Key, Kind, OpenError, StoreError, Tenant,
        moving::{Finding, Held, HeldGate, INDEX, Place, Purpose, REBUILD, RESTORE, Shelf, Stretch, Subject},
    },
};

type Result<T> = std::result::Result<T, rusqlite::Error>;

const AT_ONCE: i64 = 500;
/// A process that has just ended, or started another one, may hold the file for a moment.
const LETS_GO: Duration = Duration::from_secs(2);
/// Where the walk over gates begins, once it is through with the aggregates.
const GATES: &str = "gates";

/// See the module.
pub struct SqliteShelf {
    connection: Mutex<Connection>,
    _lock: Option<File>,
}

impl SqliteShelf {
    /// Opens the file. What is opened to be filled is emptied of what a copy left behind.
    pub async fn open(path: &Path, purpose: Purpose) -> std::result::Result<Self, OpenError> {
        if purpose != Purpose::CopyInto && !path.exists() {
            return Err(OpenError::Nothing);
        }
        if purpose == Purpose::Check {
            let connection = opened(look_at(path))?;
            return Ok(Self { connection: Mutex::new(connection), _lock: None });
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(|source| OpenError::Folder { folder: folder.to_owned(), source })?;
        // An operator who forgot to stop the service should hear of it soon.
        let lock = lock(&with_suffix(path, ".lock"), LETS_GO).await?;
        match purpose {
            // A service makes a store of any file that is none yet; a file that is only read has to be one.
            Purpose::CopyFrom => drop(opened(look_at(path))?),
            Purpose::CopyInto if path.exists() => {
                opened(make_way(path))?;
            }
            _ => {}
        }
        let (connection, _readers) = connect(path)?;
        if purpose == Purpose::CopyInto {
            let held = "SELECT EXISTS (SELECT 1 FROM aggregates) OR EXISTS (SELECT 1 FROM gates)";
            if opened(connection.query_row(held, [], |row| row.get(0)).map(Ok))? {
                return Err(OpenError::NotEmpty);
            }
            opened(connection.pragma_update(None, "user_version", UNFINISHED).map(Ok))?;
        }
        Ok(Self { connection: Mutex::new(connection), _lock: Some(lock) })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> std::result::Result<T, StoreError> {
        work(&self.connection()).map_err(|error| failure(&error))
    }
}

fn opened<T>(result: Result<std::result::Result<T, OpenError>>) -> std::result::Result<T, OpenError> {
    result.map_err(|error| OpenError::Store(failure(&error)))?
}

fn look_at(path: &Path) -> Result<std::result::Result<Connection, OpenError>> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    Ok(match connection.pragma_query_value(None, "user_version", |row| row.get(0))? {
        LAYOUT => Ok(connection),
        UNFINISHED => Err(OpenError::Unfinished),
        0_i64 => Err(OpenError::Nothing),
        found => Err(OpenError::Layout { found: found.to_string(), known: LAYOUT.to_string() }),
    })
}

/// Removes what a copy left behind; another program's database is let alone.
fn make_way(path: &Path) -> Result<std::result::Result<(), OpenError>> {
    let connection = Connection::open(path)?;
    match connection.pragma_query_value(None, "user_version", |row| row.get(0))? {
        UNFINISHED => connection.execute_batch(&format!(
            "BEGIN; DELETE FROM aggregates; DELETE FROM gates; DELETE FROM turns; DELETE FROM commits;
             PRAGMA user_version = {LAYOUT}; COMMIT;"
        ))?,
        0_i64 if connection.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))? => {
            return Ok(Err(OpenError::NotEmpty));
        }
        _ => {}
    }
    Ok(Ok(()))
}

/// An aggregate's name: tenant, kind, id. None of the first two has a line break in it.
fn place(tenant: &str, kind: &str, id: &str) -> Place {
    Place(format!("{tenant}\n{kind}\n{id}"))
}

fn aggregates(c: &Connection, after: Option<&Place>) -> Result<Stretch> {
    let mut parts = after.map_or("", |place| &place.0).splitn(3, '\n');
    let (tenant, kind, id) =
        (parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let mut statement = c.prepare_cached(&format!(
        "SELECT {}, tenant, kind, id, expires_at FROM aggregates WHERE (tenant, kind, id) > (?1, ?2, ?3)
         ORDER BY tenant, kind, id LIMIT ?4",
        rows::COLUMNS
    ))?;
    let mut rows = statement.query(params![tenant, kind, id, AT_ONCE])?;
    let (mut stretch, mut looked) = (Stretch::default(), 0);
    while let Some(row) = rows.next()? {
        looked += 1;
        let (tenant, kind, id): (String, String, String) = (row.get("tenant")?, row.get("kind")?, row.get("id")?);
        stretch.next = Some(place(&tenant, &kind, &id));
        let tenant = Tenant::new(tenant);
        let subject = Subject::aggregate(&tenant, &kind, &id);
        let Some(kind) = Kind::from_name(&kind) else {
            stretch.findings.push(Finding::of_newer_version(subject));
            continue;
        };
        match rows::document(row) {
            Ok(document) => {
                let expires_at = row.get::<_, Option<i64>>("expires_at")?.map(from_micros);
                stretch.aggregates.push(Held { tenant, key: Key { kind, id }, document, expires_at });
            }
            Err(_) => stretch.findings.push(Finding::unreadable(subject, "a column has another type")),
        }
    }
    if looked < AT_ONCE {
        stretch.next = Some(Place(GATES.to_owned()));
    }
    Ok(stretch)
}

/// All of them: there are three for a workspace at most.
fn gates(c: &Connection) -> Result<Stretch> {
    let mut statement = c.prepare_cached("SELECT tenant, upstream, state FROM gates")?;
    let found = statement
        .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?)))?;
    let mut stretch = Stretch::default();
    for one in found {
        let (tenant, upstream, state) = one?;
        let tenant = Tenant::new(tenant);
        match serde_json::from_str(&state) {
            Ok(state) => stretch.gates.push(HeldGate { tenant, upstream, state }),
            Err(_) => stretch.findings.push(Finding::unreadable_gate(&tenant, &upstream)),
        }
    }
    Ok(stretch)
}

/// Tenants of which the queue for leases says something else than their aggregates.
const QUEUE: &str = "SELECT tenant FROM turns WHERE NOT EXISTS
        (SELECT 1 FROM aggregates WHERE aggregates.tenant = turns.tenant AND due_at IS NOT NULL)
    UNION SELECT tenant FROM aggregates WHERE due_at IS NOT NULL AND tenant NOT IN (SELECT tenant FROM turns)";
/// Statuses of which another count is kept than there are.
const COUNTS: &str = "SELECT kind || ' ' || status FROM
        (SELECT kind, status, count(*) AS count FROM aggregates WHERE kind <> 'receipt' GROUP BY kind, status
         UNION ALL SELECT kind, status, -count FROM counts)
    GROUP BY kind, status HAVING sum(count) <> 0";

fn index_findings(c: &Connection) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let all = |sql: &str| -> Result<Vec<String>> { c.prepare(sql)?.query_map([], |row| row.get(0))?.collect() };
    for said in all("PRAGMA integrity_check")?.into_iter().filter(|said| said != "ok") {
        let advice = if said.contains("index") { "stop the service and run REINDEX in sqlite3" } else { RESTORE };
        findings.push(Finding {
            fault: INDEX,
            subject: Subject::store(),
            detail: format!("SQLite says: {said}"),
            advice,
        });
    }
    // An attempt's tenant is a secret: only how many there are is told.
    for _ in all(QUEUE)? {
        findings.push(Finding::index(Subject::store(), "tenants that wait"));
    }
    for what in all(COUNTS)? {
        let detail = format!("the number kept of {what} is not how many there are");
        findings.push(Finding { fault: INDEX, subject: Subject::store(), detail, advice: REBUILD });
    }
    Ok(findings)
}

#[async_trait]
impl Shelf for SqliteShelf {
    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    async fn walk(&self, place: Option<&Place>) -> std::result::Result<Stretch, StoreError> {
        self.ask(|c| if place.is_some_and(|place| place.0 == GATES) { gates(c) } else { aggregates(c, place) })
    }

    async fn index_findings(&self) -> std::result::Result<Vec<Finding>, StoreError> {
        self.ask(index_findings)
    }

    async fn put(
        &self,
        aggregates: &[Held],
        gates: &[HeldGate],
        now: Timestamp,
    ) -> std::result::Result<(), StoreError> {
        let mut connection = self.connection();
        let written = connection.transaction().and_then(|transaction| {
            for Held { tenant, key, document, expires_at } in aggregates {
                rows::write(&transaction, tenant, key, document, *expires_at)?;
            }
            for tenant in aggregates.iter().map(|held| &held.tenant).collect::<BTreeSet<_>>() {
                due::requeue(&transaction, tenant, now)?;
            }
            for HeldGate { tenant, upstream, state } in gates {
                rows::write_gate(&transaction, tenant, upstream, state)?;
            }
            transaction.commit()
        });
        written.map_err(|error| failure(&error))
    }

    async fn finish(&self) -> std::result::Result<(), StoreError> {
        self.ask(|c| c.pragma_update(None, "user_version", LAYOUT))
    }
}
