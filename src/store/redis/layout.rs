//! The mark of a namespace as a whole: which layout it has, or that a copy into it has not finished.
//!
//! Promises that no service opens a namespace of another layout or a half filled one, and that a copy which another one
//! has overtaken writes nothing more: each partition names the copy that fills it, and a write looks at that name.

use redis::{RedisError, Value};

use super::{
    connection::Connection,
    failure::failure,
    fitness::refused,
    keys::{Keys, LAYOUT, PARTITIONS},
};
use crate::{
    ids::random_uuid,
    store::{OpenError, StoreError, moving::Purpose},
};

/// How the mark begins until a copy has finished; a name for that copy follows. A service refuses it as a layout that
/// it does not know, also one of a release that knows of no copies.
const UNFINISHED: &str = "unfinished copy";

/// The mark of one namespace.
pub(super) struct Layout<'a> {
    pub(super) connection: &'a Connection,
    pub(super) keys: &'a Keys,
}

impl Layout<'_> {
    /// Whether the namespace is what `purpose` needs; to serve from, a new one is made.
    pub(super) async fn check(&self, purpose: Purpose) -> Result<(), OpenError> {
        let found = match (self.found().await?, purpose) {
            (Some(found), _) => found,
            (None, Purpose::Check | Purpose::CopyFrom) => return Err(OpenError::Nothing),
            (None, Purpose::CopyInto) => return Ok(()),
            // A full server refuses to write even what is there already: only a new namespace writes.
            (None, Purpose::Serve) => {
                let mut set = redis::cmd("SET");
                set.arg(self.keys.layout()).arg(known()).arg("NX");
                self.connection.insist::<Value>(&set).await.map_err(|error| refused(&error))?;
                self.found().await?.unwrap_or_default()
            }
        };
        match is_unfinished(&found) {
            true if purpose == Purpose::CopyInto => Ok(()),
            true => Err(OpenError::Unfinished),
            false if found == known() => Ok(()),
            false => Err(OpenError::Layout { found, known: known() }),
        }
    }

    pub(super) async fn is_unfinished(&self) -> Result<bool, OpenError> {
        Ok(self.found().await?.is_some_and(|found| is_unfinished(&found)))
    }

    /// From now on no service opens the namespace. Returns the mark.
    pub(super) async fn begin_copy(&self) -> Result<String, OpenError> {
        let mark = format!("{UNFINISHED} {}", random_uuid());
        self.put(self.keys.layout(), &mark).await.map_err(OpenError::Store)?;
        Ok(mark)
    }

    /// From now on only the copy of that mark writes into any partition.
    pub(super) async fn claim(&self, mark: &str) -> Result<(), StoreError> {
        for partition in 0..PARTITIONS {
            self.put(self.keys.copy(partition), mark).await?;
        }
        Ok(())
    }

    /// The namespace is whole, unless another copy has begun anew meanwhile.
    pub(super) async fn finish_copy(&self, mark: &str) -> Result<(), StoreError> {
        let found = self.read().await.map_err(|error| failure(&error))?;
        if found.as_deref() != Some(mark) {
            return Err(overtaken());
        }
        for partition in 0..PARTITIONS {
            let mut del = redis::cmd("DEL");
            del.arg(self.keys.copy(partition));
            self.connection.insist::<Value>(&del).await.map_err(|error| failure(&error))?;
        }
        self.put(self.keys.layout(), &known()).await
    }

    async fn found(&self) -> Result<Option<String>, OpenError> {
        self.read().await.map_err(|error| refused(&error))
    }

    async fn read(&self) -> Result<Option<String>, RedisError> {
        let mut get = redis::cmd("GET");
        get.arg(self.keys.layout());
        self.connection.insist(&get).await
    }

    async fn put(&self, key: String, mark: &str) -> Result<(), StoreError> {
        let mut set = redis::cmd("SET");
        set.arg(key).arg(mark);
        self.connection.insist::<Value>(&set).await.map(drop).map_err(|error| failure(&error))
    }
}

/// A copy has lost its place to another one.
pub(super) fn overtaken() -> StoreError {
    StoreError::Unavailable("another copy into it has begun".to_owned())
}

fn is_unfinished(mark: &str) -> bool {
    mark.starts_with(UNFINISHED)
}

fn known() -> String {
    format!("{LAYOUT} in {PARTITIONS} partitions")
}
