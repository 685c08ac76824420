//! The database's file: locked against a second process, made if it is new, opened for one writer and some readers.

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, config::DbConfig};

use super::failure::failure;
use crate::store::opening::OpenError;

/// How long a second process waits for the first to go: as long as a container's grace period.
pub const LOCK_PATIENCE: Duration = Duration::from_secs(30);

/// Tables and indexes have this layout.
pub(super) const LAYOUT: i64 = 1;
/// Stands for the layout as long as a copy into the file has not finished: a service refuses it, also one of a
/// release that knows of no copies.
pub(super) const UNFINISHED: i64 = -1;
pub(super) const READERS: usize = 4;
const LOCK_POLL: Duration = Duration::from_millis(50);

pub(super) async fn lock(path: &Path, patience: Duration) -> Result<File, OpenError> {
    let file = File::options().create(true).append(true).open(path);
    let file = file.map_err(|source| OpenError::Folder { folder: path.to_owned(), source })?;
    let mut waited = Duration::ZERO;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if waited < patience => {
                if waited.is_zero() {
                    tracing::info!(path = %path.display(), "waiting for another process to let go of the database");
                }
                tokio::time::sleep(LOCK_POLL).await;
                waited += LOCK_POLL;
            }
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(OpenError::Folder { folder: path.to_owned(), source }),
        }
    }
}

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

pub(super) fn connect(path: &Path) -> Result<(Connection, Vec<Connection>), OpenError> {
    let opened = (|| {
        let connection = Connection::open(path)?;
        prepare(&connection)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        let layout: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if layout == 0 {
            connection.execute_batch(&format!("BEGIN;{}COMMIT;", include_str!("schema.sql")))?;
        } else if layout == UNFINISHED {
            return Ok(Err(OpenError::Unfinished));
        } else if layout != LAYOUT {
            return Ok(Err(OpenError::Layout { found: layout.to_string(), known: LAYOUT.to_string() }));
        }
        know_urgency(&connection)?;
        know_counts(&connection)?;
        let readers = (0..READERS).map(|_| {
            let reader = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            prepare(&reader)?;
            Ok(reader)
        });
        Ok(Ok((connection, readers.collect::<Result<_, rusqlite::Error>>()?)))
    })();
    opened.map_err(|error| OpenError::Store(failure(&error)))?
}

/// A release before this one made the table without urgency, and goes on working with one that has it.
fn know_urgency(connection: &Connection) -> Result<(), rusqlite::Error> {
    let known = "SELECT EXISTS (SELECT 1 FROM pragma_table_info('aggregates') WHERE name = 'urgent')";
    if connection.query_row(known, [], |row| row.get(0))? {
        return Ok(());
    }
    connection.execute_batch(
        "BEGIN;
         ALTER TABLE aggregates ADD COLUMN urgent INTEGER NOT NULL DEFAULT 0;
         CREATE INDEX by_urgency ON aggregates (tenant, due_at) WHERE urgent = 1 AND due_at IS NOT NULL;
         COMMIT;",
    )
}

/// A release before this one counted anew each time.
fn know_counts(connection: &Connection) -> Result<(), rusqlite::Error> {
    let known = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'counts')";
    if connection.query_row(known, [], |row| row.get(0))? {
        return Ok(());
    }
    connection.execute_batch(&format!("BEGIN;{}COMMIT;", include_str!("counts.sql")))
}

/// Drops the index that no release in use needs, and that each new lead would be entered in. What SQLite has to write
/// for that, a hundred megabytes in a file with a million leads, may have no room: then the index stays, and does no
/// harm.
pub(super) fn drop_what_nothing_needs(connection: &Connection) {
    if let Err(error) = connection.execute_batch("DROP INDEX IF EXISTS by_creation") {
        let error = failure(&error);
        tracing::warn!(%error, "an index that is not needed could not be dropped: the next start tries again");
    }
}

fn prepare(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "synchronous", "full")?;
    // What is erased is overwritten: else it would stand in the file's free pages until something else needs them.
    connection.pragma_update(None, "secure_delete", "on")?;
    // And what is written back is cut off the log, of which later rounds may write but the beginning.
    connection.query_row("PRAGMA journal_size_limit = 0", [], |_| Ok(()))?;
    // A plan must not depend on what is asked for: else SQLite prepares most statements anew each time, to look at
    // that.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}
