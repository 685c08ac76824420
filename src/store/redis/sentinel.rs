//! Which server is the master, by what the sentinels that watch it say.

use std::{collections::HashMap, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use redis::{ConnectionInfo, ErrorKind, RedisError, ServerErrorKind, Value, aio::MultiplexedConnection};
use tokio::time::timeout;

use super::{address::Watched, dial::connect, failure::is_lost};

/// For all sentinels together to say which server they take for the master.
const ASKING_TIMEOUT: Duration = Duration::from_millis(750);
/// To connect to a server that they name and ask it for its role.
const TRYING_TIMEOUT: Duration = Duration::from_secs(1);

/// The connection to the master that most sentinels name; if that one is none, to the next. All are asked at once: some
/// may be gone, some may not have heard yet, and one beside a master that is cut off names that master for as long.
pub(super) async fn master(watched: &Watched) -> Result<MultiplexedConnection, RedisError> {
    let mut worst = None;
    for (host, port) in named(watched, &mut worst).await {
        match timeout(TRYING_TIMEOUT, master_at(watched, &host, port)).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => telling(&mut worst, error),
            Err(_) => {}
        }
    }
    Err(worst.unwrap_or_else(|| (ErrorKind::Io, "no sentinel names a master that answers").into()))
}

/// A refusal says more than silence.
fn telling(worst: &mut Option<RedisError>, error: RedisError) {
    if worst.is_none() || !error.is_io_error() {
        *worst = Some(error);
    }
}

/// The masters that the sentinels name, the most named first. Once more than half name the same, no other one is waited
/// for.
async fn named(watched: &Watched, worst: &mut Option<RedisError>) -> Vec<(String, u16)> {
    let sentinels = watched.sentinels.iter().zip(&watched.let_in);
    let asked = sentinels.map(|(bare, let_in)| timeout(ASKING_TIMEOUT, named_by_either(bare, let_in, &watched.name)));
    let mut asked: FuturesUnordered<_> = asked.collect();
    let mut votes: HashMap<(String, u16), usize> = HashMap::new();
    while let Some(answer) = asked.next().await {
        match answer {
            Ok(Ok(address)) => {
                let count = votes.entry(address).or_default();
                *count += 1;
                if *count > watched.sentinels.len() / 2 {
                    break;
                }
            }
            Ok(Err(error)) => telling(worst, error),
            Err(_) => {}
        }
    }
    let mut named: Vec<_> = votes.into_iter().collect();
    named.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    named.into_iter().map(|(address, _)| address).collect()
}

fn unknown() -> RedisError {
    (ErrorKind::MasterNameNotFoundBySentinel, "no such master").into()
}

/// Without credentials, which a sentinel that has no password would refuse; with them if it wants some.
async fn named_by_either(
    bare: &ConnectionInfo,
    let_in: &ConnectionInfo,
    name: &str,
) -> Result<(String, u16), RedisError> {
    match named_by(bare, name).await {
        Err(error) if wants_credentials(&error) => named_by(let_in, name).await,
        answer => answer,
    }
}

fn wants_credentials(error: &RedisError) -> bool {
    matches!(error.code(), Some("NOAUTH" | "NOPERM"))
}

async fn named_by(sentinel: &ConnectionInfo, name: &str) -> Result<(String, u16), RedisError> {
    let mut ask = redis::cmd("SENTINEL");
    ask.arg("get-master-addr-by-name").arg(name);
    let named: Option<(String, u16)> = ask.query_async(&mut connect(sentinel.clone()).await?).await?;
    named.ok_or_else(unknown)
}

async fn master_at(watched: &Watched, host: &str, port: u16) -> Result<MultiplexedConnection, RedisError> {
    let mut connection = connect(watched.at(host, port).ok_or_else(unknown)?).await?;
    // A sentinel that has not heard yet names the old master. One that hides its role refuses writes if it is none.
    let role: Result<Vec<Value>, _> = redis::cmd("ROLE").query_async(&mut connection).await;
    match role {
        Ok(role) if role.first().is_none_or(|role| *role != Value::BulkString(b"master".into())) => {
            Err((ErrorKind::Server(ServerErrorKind::ReadOnly), "it is no master any more").into())
        }
        Err(error) if is_lost(&error) => Err(error),
        _ => Ok(connection),
    }
}
