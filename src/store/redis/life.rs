//! Whether a service runs on a namespace: each replica says so every half minute, sooner after a sign that the server
//! did not take, and no longer once it has stopped.
//!
//! Promises that a copy of the store can tell whether a replica is still there, one that was killed for a good minute.
//! A replica of a release before this one says nothing.

use std::{sync::Arc, time::Duration};

use redis::{RedisError, Value};
use uuid::Uuid;

use super::{
    connection::{Connection, Insist},
    scripts::Scripts,
};
use crate::ids::random_uuid;

/// How far apart the signs are.
const SHOWN_EVERY: Duration = Duration::from_secs(30);
/// How soon another one is tried after one that was not taken: two more that fail would make the replica seem gone.
const SHOWN_AGAIN: Duration = Duration::from_secs(5);
/// How long a sign counts; longer than it takes until the next.
const COUNTS_FOR: Duration = Duration::from_secs(75);
/// To stop must not wait for a server that is gone.
const LEAVING_PATIENCE: Duration = Duration::from_secs(1);

/// One replica's signs of life.
#[derive(Clone)]
pub(super) struct Life {
    pub(super) connection: Connection,
    pub(super) scripts: Arc<Scripts>,
    /// The partition that they stand in.
    place: String,
    replica: Uuid,
}

impl Life {
    pub(super) fn new(connection: Connection, scripts: Arc<Scripts>, place: String) -> Self {
        Self { connection, scripts, place, replica: random_uuid() }
    }

    /// Gives a sign; when the next one is due.
    pub(super) async fn show(&self) -> Duration {
        if self.say(COUNTS_FOR).await.is_ok() { SHOWN_EVERY } else { SHOWN_AGAIN }
    }

    pub(super) async fn leave(&self) {
        drop(tokio::time::timeout(LEAVING_PATIENCE, self.say(Duration::ZERO)).await);
    }

    /// For how many seconds the last sign of any replica still counts.
    pub(super) async fn of_any(&self) -> Result<Option<u64>, RedisError> {
        let seconds: u64 = self.connection.call(&self.scripts.living.key(&self.place), Insist::Patiently).await?;
        Ok((seconds > 0).then_some(seconds))
    }

    async fn say(&self, counts_for: Duration) -> Result<Value, RedisError> {
        let mut call = self.scripts.alive.key(&self.place);
        call.arg(self.replica.to_string()).arg(counts_for.as_secs());
        self.connection.run(&call).await
    }
}
