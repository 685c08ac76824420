//! A Redis of a subject's own, and what Redis counts of the work it was given.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use redis::aio::MultiplexedConnection;

use crate::{
    ambient::search_path,
    children::{Process, free_address, last_words},
};

/// A running server.
pub(crate) struct RedisServer {
    process: Process,
    address: String,
    connection: MultiplexedConnection,
}

impl RedisServer {
    /// A server with an append-only file that is synced as `fsync` says.
    pub(crate) async fn start(folder: &Path, fsync: &str) -> io::Result<Self> {
        let address = free_address()?;
        let port = address.port().to_string();
        let folder = folder.to_string_lossy().into_owned();
        let log = PathBuf::from(&folder).join("redis.log");
        let arguments = ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"];
        let more = ["--appendfsync", fsync, "--maxmemory-policy", "noeviction", "--dir", &folder];
        let variables = [("PATH".to_owned(), search_path())];
        let mut process =
            Process::start(Path::new("redis-server"), &[&arguments[..], &more].concat(), &variables, &log)?;
        let client = redis::Client::open(format!("redis://{address}")).map_err(io::Error::other)?;
        for _ in 0..400 {
            if process.has_ended() {
                break;
            }
            if let Ok(mut connection) = client.get_multiplexed_async_connection().await
                && redis::cmd("PING").query_async::<String>(&mut connection).await.is_ok()
            {
                return Ok(Self { process, address: address.to_string(), connection });
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        Err(io::Error::other(format!("redis-server did not come up:\n{}", last_words(&log))))
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// How many scripts it has run so far.
    pub(crate) async fn scripts(&self) -> Result<u64, String> {
        Ok(scripts_in(&self.info("commandstats").await?))
    }

    /// How much memory its data takes, in bytes.
    pub(crate) async fn memory(&self) -> Result<u64, String> {
        let info = self.info("memory").await?;
        let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
        line.and_then(|bytes| bytes.trim().parse().ok()).ok_or_else(|| "INFO memory has no used_memory".to_owned())
    }

    /// Waits until the append-only file is not written anew: that takes a core, and each page that is changed meanwhile
    /// is copied. It follows once after the store was filled, and not again until as much has been written.
    pub(crate) async fn at_rest(&self) -> Result<(), String> {
        while self.info("persistence").await?.lines().any(is_rewriting) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    async fn info(&self, section: &str) -> Result<String, String> {
        let mut connection = self.connection.clone();
        redis::cmd("INFO").arg(section).query_async(&mut connection).await.map_err(|error| error.to_string())
    }
}

fn is_rewriting(line: &str) -> bool {
    ["aof_rewrite_in_progress:1", "aof_rewrite_scheduled:1", "rdb_bgsave_in_progress:1"].contains(&line.trim())
}

/// The calls of EVAL, EVALSHA, FCALL and their read-only kin.
fn scripts_in(info: &str) -> u64 {
    let scripts = ["eval", "eval_ro", "evalsha", "evalsha_ro", "fcall", "fcall_ro"];
    info.lines()
        .filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(":calls="))
        .filter(|(command, _)| scripts.contains(command))
        .filter_map(|(_, rest)| rest.split(',').next()?.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::scripts_in;

    #[test]
    fn only_scripts_are_counted() {
        let info = "# Commandstats\r\ncmdstat_evalsha:calls=40,usec=1,usec_per_call=1.0\r\ncmdstat_get:calls=9,usec=1\r\n\
                    cmdstat_eval:calls=2,usec=1\r\n";
        assert_eq!(scripts_in(info), 42);
    }
}
