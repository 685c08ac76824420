//! What is watched while the service runs: the server's clock, and whether a new server might drop what is stored. The
//! replica's signs of life are given on the way.

use std::{sync::Arc, time::Duration};

use redis::{RedisError, Value};
use tokio_util::sync::CancellationToken;

use super::{clock::ServerClock, connection::Connection, dial::told, life::Life, scripts::Scripts};
use crate::lifecycle::Lifecycle;

const CLOCK_MEASURED_EVERY: Duration = Duration::from_secs(30);

/// Keeps the clock right, and an eye on the server that takes this one's place.
pub(super) struct Watch {
    pub(super) connection: Connection,
    pub(super) scripts: Arc<Scripts>,
    /// The partition whose server's clock counts: one, so that all replicas ask the same server.
    pub(super) place: String,
    pub(super) clock: ServerClock,
    pub(super) life: Life,
}

impl Watch {
    pub(super) async fn measure(&self) -> Result<(), RedisError> {
        // The quickest answer says it best.
        let mut best: Option<(i64, i64, i64)> = None;
        for _ in 0..3 {
            let call = self.scripts.time.key(&self.place);
            let asked = self.clock.local();
            let (seconds, micros): (i64, i64) = self.connection.run(&call).await?;
            let answered = self.clock.local();
            if best.is_none_or(|(_, a, b)| answered - asked < b - a) {
                best = Some((seconds * 1_000_000 + micros, asked, answered));
            }
        }
        if let Some((server, asked, answered)) = best {
            self.clock.set(server, asked, answered);
        }
        Ok(())
    }

    pub(super) async fn keep_measuring(self, closed: CancellationToken, lifecycle: Lifecycle) {
        let heartbeat = lifecycle.steady_heartbeat("store clock", CLOCK_MEASURED_EVERY * 4);
        let mut pause = CLOCK_MEASURED_EVERY;
        loop {
            heartbeat.beat();
            tokio::select! {
                () = closed.cancelled() => return,
                () = lifecycle.stopping() => return,
                () = tokio::time::sleep(pause) => {}
                () = self.connection.replaced() => {
                    // Too late to refuse it.
                    if let Some(policy) = evicting(&self.connection).await {
                        tracing::error!(policy, "Redis may drop what is stored: set its maxmemory-policy to noeviction");
                    }
                }
            }
            pause = self.life.show().await.min(CLOCK_MEASURED_EVERY);
            // Without an answer the last offset serves on: the next call notices the loss.
            drop(self.measure().await);
        }
    }
}

/// The policy of a server that would drop what is stored. Warns of servers that do not tell theirs.
pub(super) async fn evicting(connection: &Connection) -> Option<String> {
    let info: Result<Value, _> = connection.query(redis::cmd("INFO").arg("memory")).await;
    let policies = info.map_or_else(|_| vec![None], |info| policies(&info));
    if policies.iter().any(Option::is_none) {
        tracing::warn!("cannot read every Redis server's maxmemory-policy: make sure that it is noeviction");
    }
    policies.into_iter().flatten().find(|policy| policy != "noeviction")
}

/// The policies in what INFO answers, a text, or of a cluster one text per server; `None`: that server does not tell.
pub(super) fn policies(info: &Value) -> Vec<Option<String>> {
    told(info, "maxmemory_policy:")
}
