//! The engine itself: each operation as a read on its own snapshot or a job of the one writing thread.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::{
    commit, due,
    failure::{failure, unavailable},
    file::{connect, drop_what_nothing_needs, lock, with_suffix},
    rows,
    writer::Writer,
};
use crate::{
    clock::{SharedClock, SteadyClock, from_micros},
    store::{
        Commit, Committed, Cursor, Depth, Due, Engine, Key, Kind, LeaseRequest, Loaded, Page, StoreError, Taken,
        Tenant,
        engine::{WAKEN_AT_ONCE, evenly},
        gate::{Gate, GateReport, Verdict},
        opening::OpenError,
    },
};

/// See the module.
pub struct SqliteEngine {
    pub(super) writer: Writer,
    readers: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
    clock: SteadyClock,
}

impl SqliteEngine {
    /// Opens or makes the database at `path` and its folder; waits up to `patience` while another process has it.
    pub async fn open(path: &Path, patience: Duration) -> Result<Self, OpenError> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(|source| OpenError::Folder { folder: folder.to_owned(), source })?;
        let lock = lock(&with_suffix(path, ".lock"), patience).await?;
        let owned = path.to_owned();
        let opened = tokio::task::spawn_blocking(move || {
            connect(&owned).inspect(|(connection, _)| drop_what_nothing_needs(connection))
        });
        let opened = opened.await;
        let (connection, readers) = opened.map_err(|_| OpenError::Store(unavailable("opening it was cut short")))??;
        let writer = Writer::start(connection, lock)
            .map_err(|source| OpenError::Folder { folder: folder.to_owned(), source })?;
        Ok(Self {
            writer,
            permits: Arc::new(Semaphore::new(readers.len())),
            readers: Arc::new(Mutex::new(readers)),
            clock: SteadyClock::new(),
        })
    }

    /// Runs `work` on a reading connection, within one snapshot.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| unavailable("it is closed"))?;
        let readers = Arc::clone(&self.readers);
        let done = tokio::task::spawn_blocking(move || {
            // Freed when the connection is back, also if the caller has hung up meanwhile.
            let _permit = permit;
            let taken = readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut connection = taken.ok_or_else(|| unavailable("it is closed"))?;
            let result = connection.transaction().and_then(|snapshot| work(&snapshot));
            readers.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            result.map_err(|error| failure(&error))
        });
        done.await.map_err(|_| unavailable("a read was cut short"))?
    }
}

/// Kind, status, count and the earliest creation of what there is.
pub(super) const DEPTHS: &str = "SELECT kind, status, count, (SELECT min(created_at) FROM aggregates
    WHERE aggregates.kind = counts.kind AND aggregates.status = counts.status) FROM counts WHERE count > 0";

#[async_trait]
impl Engine for SqliteEngine {
    async fn load(&self, tenant: &Tenant, keys: &[Key], gates: &[Gate], now: Timestamp) -> Result<Loaded, StoreError> {
        let (tenant, keys, gates) = (tenant.clone(), keys.to_vec(), gates.to_vec());
        self.read(move |c| rows::load(c, &tenant, &keys, &gates, now)).await
    }

    async fn commit(&self, tenant: &Tenant, commit: &Commit, now: Timestamp) -> Result<Committed, StoreError> {
        let (tenant, commit) = (tenant.clone(), commit.clone());
        self.writer.write(move |c| commit::commit(c, &tenant, &commit, now)).await
    }

    async fn lease_due(&self, request: &LeaseRequest, now: Timestamp) -> Result<Due, StoreError> {
        let request = request.clone();
        // Most often nothing is due, and nothing is worth a sync then.
        if !self.read(move |c| due::any(c, now)).await? {
            return Ok(Due { leased: Vec::new(), saw_end: true });
        }
        let leased = self.writer.write(move |c| due::lease(c, &request, now)).await?;
        Ok(Due { leased, saw_end: true })
    }

    async fn put_back(
        &self,
        tenant: &Tenant,
        taken: &Taken,
        due: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let (tenant, taken) = (tenant.clone(), taken.clone());
        self.writer.write(move |c| due::put_back(c, &tenant, &taken, due, now)).await
    }

    async fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.read(move |c| due::next(c, now)).await
    }

    async fn wake(
        &self,
        tenant: &Tenant,
        kind: Kind,
        statuses: &[&str],
        spread: Duration,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let (tenant, statuses) = (tenant.clone(), statuses.iter().map(|&status| status.to_owned()).collect::<Vec<_>>());
        let (of, among) = (tenant.clone(), statuses.clone());
        let found = self.read(move |c| due::unleased(c, &of, kind, &among)).await?;
        let mut woken = 0;
        for round in evenly(found, spread, now).chunks(WAKEN_AT_ONCE) {
            let (tenant, statuses, round) = (tenant.clone(), statuses.clone(), round.to_vec());
            woken += self.writer.write(move |c| due::wake(c, &tenant, kind, &statuses, &round, now)).await?;
        }
        Ok(woken)
    }

    async fn unleased(&self, tenant: &Tenant, kind: Kind, statuses: &[&str]) -> Result<Vec<String>, StoreError> {
        let (tenant, statuses) = (tenant.clone(), statuses.iter().map(|&status| status.to_owned()).collect::<Vec<_>>());
        self.read(move |c| due::unleased(c, &tenant, kind, &statuses)).await
    }

    async fn page(
        &self,
        tenant: &Tenant,
        statuses: &[&str],
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let (tenant, cursor) = (tenant.clone(), cursor.cloned());
        let statuses: Vec<_> = statuses.iter().map(|&status| status.to_owned()).collect();
        self.read(move |c| {
            let mut found = Vec::new();
            for status in &statuses {
                found.extend(rows::page(c, &tenant, status, cursor.as_ref(), limit)?);
            }
            found.sort_unstable_by(|(a, left), (b, right)| (right.created_at, &b.id).cmp(&(left.created_at, &a.id)));
            found.truncate(limit.saturating_add(1));
            Ok(Page::cut(found, limit))
        })
        .await
    }

    async fn depths(&self, _now: Timestamp) -> Result<Vec<Depth>, StoreError> {
        self.read(|c| {
            let mut statement = c.prepare_cached(DEPTHS)?;
            let found = statement.query_map([], |row| {
                let kind = Kind::from_name(&row.get::<_, String>(0)?).filter(|kind| *kind != Kind::Receipt);
                Ok(kind.map(|kind| (kind, row.get(1), row.get::<_, i64>(2), row.get(3))))
            })?;
            let mut depths = Vec::new();
            for one in found {
                if let Some((kind, status, count, oldest)) = one? {
                    let oldest = Some(from_micros(oldest?));
                    depths.push(Depth { kind, status: status?, count: count?.cast_unsigned(), oldest });
                }
            }
            Ok(depths)
        })
        .await
    }

    async fn tenants(&self, kind: Kind) -> Result<BTreeSet<Tenant>, StoreError> {
        self.read(move |c| {
            let mut statement = c.prepare_cached("SELECT DISTINCT tenant FROM aggregates WHERE kind = ?1")?;
            let found = statement.query_map([kind.name()], |row| row.get::<_, String>(0))?;
            found.map(|tenant| tenant.map(Tenant::new)).collect()
        })
        .await
    }

    fn clock(&self) -> Option<SharedClock> {
        Some(Arc::new(self.clock.clone()))
    }

    fn broken(&self) -> Option<&'static str> {
        self.writer.is_dead().then_some("the store's writing thread")
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let upsert = "INSERT INTO pings (one, count) VALUES (1, 1) ON CONFLICT (one) DO UPDATE SET count = count + 1";
        self.writer.write(move |c| c.prepare_cached(upsert)?.execute([]).map(drop)).await
    }

    async fn reserve(
        &self,
        tenant: &Tenant,
        gate: &Gate,
        held: Option<&Key>,
        now: Timestamp,
    ) -> Result<Verdict, StoreError> {
        let (tenant, gate, held) = (tenant.clone(), *gate, held.cloned());
        self.writer
            .write(move |c| {
                let document = match &held {
                    Some(key) => rows::read(c, &tenant, key, now)?,
                    None => None,
                };
                let mut state = rows::read_gate(c, &tenant, &gate)?;
                let reserved = state.reserve(&gate, document.and_then(|document| document.slot), now);
                rows::write_gate(c, &tenant, gate.upstream, &state)?;
                if let Some(key) = &held {
                    rows::keep_slot(c, &tenant, key, reserved.slot)?;
                }
                Ok(reserved.verdict)
            })
            .await
    }

    async fn report(&self, tenant: &Tenant, gate: &Gate, report: GateReport, now: Timestamp) -> Result<(), StoreError> {
        let (tenant, gate) = (tenant.clone(), *gate);
        self.writer
            .write(move |c| {
                let mut state = rows::read_gate(c, &tenant, &gate)?;
                state.report(report, now);
                rows::write_gate(c, &tenant, gate.upstream, &state)
            })
            .await
    }

    async fn close(&self) {
        self.permits.close();
        self.writer.stop().await;
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
