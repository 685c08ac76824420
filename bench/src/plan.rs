//! What a run measures: its arguments, each of which may also be given as a variable.

use std::{path::PathBuf, str::FromStr};

use clap::{Args, ValueEnum};

/// Measures the connector beside a bare service that does only the least, and prints a table.
#[derive(Debug, Clone, Args)]
pub(crate) struct Plan {
    /// The connector's binary.
    #[arg(long, env = "BENCH_CONNECTOR", default_value = "target/dist/alc-connector")]
    pub(crate) connector: PathBuf,
    /// The stores, one after the other.
    #[arg(long, env = "BENCH_STORE", value_enum, value_delimiter = ',', default_value = "redis")]
    pub(crate) store: Vec<StoreKind>,
    /// The jobs, in this order: send, callback, batch, mixed (a send, then its callback). `callback@1000`: an open
    /// loop, 1,000 a second, whose latency counts from the moment when a request should have started.
    #[arg(long, env = "BENCH_JOB", value_delimiter = ',', default_value = "send,callback,callback@1000,batch,mixed")]
    pub(crate) job: Vec<Job>,
    /// Leads in each job of each round.
    #[arg(long, env = "BENCH_REQUESTS", default_value_t = 6_000)]
    pub(crate) requests: usize,
    /// Callers of a closed loop: each sends its next request when it has the answer to its last.
    #[arg(long, env = "BENCH_CALLERS", default_value_t = 64)]
    pub(crate) callers: usize,
    /// Workspaces that the leads are spread over.
    #[arg(long, env = "BENCH_WORKSPACES", default_value_t = 200)]
    pub(crate) workspaces: usize,
    /// Rounds; each measures first the limit, then the connector, and the table has the medians.
    #[arg(long, env = "BENCH_ROUNDS", default_value_t = 3)]
    pub(crate) rounds: usize,
    /// Leads in one batch.
    #[arg(long, env = "BENCH_BATCH", default_value_t = 50)]
    pub(crate) batch: usize,
    /// The connector's `ATTIO__WRITES_PER_SECOND`, for each workspace.
    #[arg(long, env = "BENCH_WRITES", default_value_t = 25)]
    pub(crate) writes_per_second: u32,
    /// The limit writes as often as a service has to that sends no lead twice and loses no result: beside what it
    /// writes anyway, ALC's answer before its own, and that Attio was told.
    #[arg(long, env = "BENCH_AS_PROMISED")]
    pub(crate) as_promised: bool,
    /// Instead of the limit, compare an empty store with a full one, and ask for pages, `/metrics` and `/readyz` too.
    #[arg(long, env = "BENCH_SCALE")]
    pub(crate) scale: bool,
    /// What fills the store: `cargo build -p bench --example seed`.
    #[arg(long, env = "BENCH_SEED", default_value = "target/dist/examples/seed")]
    pub(crate) seed: PathBuf,
    /// Finished leads of a full store.
    #[arg(long, env = "BENCH_FINISHED", default_value_t = 1_000_000)]
    pub(crate) finished: usize,
    /// Leads of a full store that are all due when the connector starts.
    #[arg(long, env = "BENCH_DUE", default_value_t = 100_000)]
    pub(crate) due: usize,
    /// Connected workspaces of a full store.
    #[arg(long, env = "BENCH_CONNECTIONS", default_value_t = 10_000)]
    pub(crate) connections: usize,
}

/// Where leads are kept, and how safely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StoreKind {
    /// Redis with an append-only file, synced every second.
    Redis,
    /// Redis with an append-only file, synced before each answer.
    RedisAlways,
    /// SQLite, synced before each answer.
    Sqlite,
}

impl StoreKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Redis => "Redis, AOF everysec",
            Self::RedisAlways => "Redis, AOF always",
            Self::Sqlite => "SQLite",
        }
    }
}

/// What the callers do, and whether at a given pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) work: Work,
    /// Requests a second of an open loop; none: a closed one.
    pub(crate) rate: Option<u32>,
}

/// What one caller does again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// `POST /v1/leads`.
    Send,
    /// `POST /webhooks/alc/{token}` for a lead that was sent before.
    Callback,
    /// `POST /v1/leads/batch`.
    Batch,
    /// A send, then its callback.
    Mixed,
}

impl FromStr for Job {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, rate) = text.split_once('@').map_or((text, None), |(name, rate)| (name, Some(rate)));
        let work = match name.trim() {
            "send" => Work::Send,
            "callback" => Work::Callback,
            "batch" => Work::Batch,
            "mixed" => Work::Mixed,
            other => return Err(format!("{other} is none of send, callback, batch, mixed")),
        };
        let rate = rate.map(|rate| rate.trim().parse::<u32>().ok().filter(|rate| *rate > 0).ok_or(rate));
        let rate = rate.transpose().map_err(|rate| format!("{rate} is no number of requests a second"))?;
        Ok(Self { work, rate })
    }
}

impl Job {
    pub(crate) fn name(self) -> String {
        let name = match self.work {
            Work::Send => "send",
            Work::Callback => "callback",
            Work::Batch => "batch",
            Work::Mixed => "mixed",
        };
        self.rate.map_or_else(|| name.to_owned(), |rate| format!("{name} at {rate}/s"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_may_have_a_pace() {
        assert_eq!("callback@1000".parse(), Ok(Job { work: Work::Callback, rate: Some(1000) }));
        assert_eq!("send".parse(), Ok(Job { work: Work::Send, rate: None }));
        for wrong in ["", "sends", "send@", "send@0", "send@fast"] {
            assert!(wrong.parse::<Job>().is_err(), "{wrong}");
        }
    }
}
