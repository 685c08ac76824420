//! The Redis engine: the product's store.
//!
//! Owns the layout (`keys`, `scripts/`) and the only use of the `redis` crate. All of a tenant is in one of sixteen
//! partitions, each one slot of a cluster, so each commit is one Lua script. Promises what [`Engine`] promises, as
//! durable as the server's persistence and replication are set; that a lost answer is asked for again without a second
//! effect; that a full server still drains; and that losing the server heals without a restart.

mod answers;
mod clock;
mod keys;
mod scripts;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::future::try_join_all;
use jiff::Timestamp;
use redis::{
    Client, ConnectionAddr, ErrorKind, FromRedisValue, IntoConnectionInfo as _, RedisError, ScriptInvocation,
    aio::{ConnectionManager, ConnectionManagerConfig},
    io::tcp::TcpSettings,
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio_util::sync::CancellationToken;

use self::{
    answers::{Fields, commit_arguments, is_accepting, verdict},
    clock::ServerClock,
    keys::{Keys, LAYOUT, PARTITIONS, member},
    scripts::Scripts,
};
use super::{
    Commit, Committed, Cursor, Depth, Engine, Key, Kind, LeaseRequest, Leased, Loaded, OpenError, Page, StoreError,
    Tenant,
    gate::{Gate, GateReport, Verdict},
};
use crate::{clock::SharedClock, ids::unit_random, lifecycle::Lifecycle};

/// A script takes well under a millisecond; a server that is silent for so long is gone.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(1);
/// Between the attempts at one call: a dropped connection is back within the first, a restart takes longer than a
/// caller should wait.
const RETRY_PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(250)];
const CLOCK_MEASURED_EVERY: Duration = Duration::from_secs(30);

/// See the module.
pub struct RedisEngine {
    connection: ConnectionManager,
    keys: Keys,
    scripts: Scripts,
    clock: ServerClock,
    closed: CancellationToken,
}

impl fmt::Debug for RedisEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The connection knows the password.
        f.debug_struct("RedisEngine").field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// Whether `url` names one Redis server; asks nobody, and never quotes the URL.
pub(super) fn check_url(url: &str) -> Result<(), String> {
    let bad = "is not of the form `redis://user:password@host:port/number` (or `rediss://`)";
    let info = url.into_connection_info().map_err(|_| bad.to_owned())?;
    match info.addr() {
        ConnectionAddr::TcpTls { insecure: true, .. } => {
            Err("`#insecure` would trust any server: remove it, and have the server's authority trusted".to_owned())
        }
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } if !host.is_empty() => Ok(()),
        _ => Err(bad.to_owned()),
    }
}

impl RedisEngine {
    /// Connects, refuses a server that would lose data or holds another layout, and measures its clock; that is
    /// measured again now and then until `lifecycle` stops.
    pub async fn open(url: &SecretString, namespace: &str, lifecycle: &Lifecycle) -> Result<Self, OpenError> {
        check_url(url.expose_secret()).map_err(OpenError::Url)?;
        super::check_namespace(namespace).map_err(OpenError::Namespace)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECTION_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            // Who has to wait decides how often to try: see RETRY_PAUSES.
            .set_number_of_retries(1)
            .set_max_delay(Duration::from_millis(250));
        let opened = async {
            let info = url.expose_secret().into_connection_info()?;
            let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
            ConnectionManager::new_with_config(Client::open(info)?, config).await
        };
        let connection = opened.await.map_err(|error| refused(&error))?;
        let engine = Self {
            connection,
            keys: Keys::new(namespace),
            scripts: Scripts::new(),
            clock: ServerClock::new(),
            closed: CancellationToken::new(),
        };
        engine.refuse_eviction().await?;
        engine.check_layout().await?;
        measure(&engine.clock, &engine.connection).await.map_err(|error| refused(&error))?;
        lifecycle.spawn(keep_measuring(
            engine.clock.clone(),
            engine.connection.clone(),
            engine.closed.clone(),
            lifecycle.clone(),
        ));
        Ok(engine)
    }

    async fn refuse_eviction(&self) -> Result<(), OpenError> {
        let info: Result<String, _> = redis::cmd("INFO").arg("memory").query_async(&mut self.connection.clone()).await;
        let policy = info.ok().and_then(|info| {
            info.lines().find_map(|line| line.strip_prefix("maxmemory_policy:").map(|policy| policy.trim().to_owned()))
        });
        match policy {
            Some(policy) if policy != "noeviction" => Err(OpenError::Evicts { policy }),
            Some(_) => Ok(()),
            None => {
                tracing::warn!("cannot read Redis' maxmemory-policy: make sure that it is noeviction");
                Ok(())
            }
        }
    }

    async fn check_layout(&self) -> Result<(), OpenError> {
        let known = format!("{LAYOUT} in {PARTITIONS} partitions");
        let mut connection = self.connection.clone();
        let stored = async {
            redis::cmd("SET").arg(self.keys.layout()).arg(&known).arg("NX").exec_async(&mut connection).await?;
            redis::cmd("GET").arg(self.keys.layout()).query_async::<String>(&mut connection).await
        };
        let found = stored.await.map_err(|error| refused(&error))?;
        if found == known { Ok(()) } else { Err(OpenError::Layout { found, known }) }
    }

    /// Runs a script; if `repeatable`, again when the answer was lost.
    async fn call<T: FromRedisValue>(
        &self,
        invocation: &ScriptInvocation<'_>,
        repeatable: bool,
    ) -> Result<T, StoreError> {
        let mut pauses = RETRY_PAUSES.iter();
        loop {
            let error = match invocation.invoke_async(&mut self.connection.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            match pauses.next() {
                Some(pause) if repeatable && (error.is_io_error() || error.is_unrecoverable_error()) => {
                    tokio::time::sleep(*pause).await;
                }
                _ => return Err(failure(&error)),
            }
        }
    }

    /// The partitions in a random rotation, so that no tenant is always asked for last.
    fn partitions() -> impl Iterator<Item = u8> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is in 0.0..16.0")]
        let start = (unit_random() * f64::from(PARTITIONS)) as u8;
        (0..PARTITIONS).map(move |n| (start + n) % PARTITIONS)
    }
}

async fn measure(clock: &ServerClock, connection: &ConnectionManager) -> Result<(), RedisError> {
    // The quickest answer says it best.
    let mut best: Option<(i64, i64, i64)> = None;
    for _ in 0..3 {
        let asked = clock.local();
        let (seconds, micros): (i64, i64) = redis::cmd("TIME").query_async(&mut connection.clone()).await?;
        let answered = clock.local();
        if best.is_none_or(|(_, a, b)| answered - asked < b - a) {
            best = Some((seconds * 1_000_000 + micros, asked, answered));
        }
    }
    if let Some((server, asked, answered)) = best {
        clock.set(server, asked, answered);
    }
    Ok(())
}

async fn keep_measuring(
    clock: ServerClock,
    connection: ConnectionManager,
    closed: CancellationToken,
    lifecycle: Lifecycle,
) {
    loop {
        tokio::select! {
            () = closed.cancelled() => return,
            () = lifecycle.stopping() => return,
            () = tokio::time::sleep(CLOCK_MEASURED_EVERY) => {}
        }
        // Without an answer the last offset serves on: whoever needs the server notices its loss.
        drop(measure(&clock, &connection).await);
    }
}

fn refused(error: &RedisError) -> OpenError {
    OpenError::Store(failure(error))
}

/// Says what kind of failure it was; what the server wrote stays out, it may quote what it was sent.
fn failure(error: &RedisError) -> StoreError {
    if error.code() == Some("OOM") {
        return StoreError::Full;
    }
    match error.kind() {
        ErrorKind::UnexpectedReturnType | ErrorKind::Parse => StoreError::Corrupt("an answer has another shape".into()),
        _ => {
            // Of a lost connection this machine knows more than its kind: refused, timed out, a certificate.
            let cause = error.code().map(str::to_owned).or_else(|| {
                let cause = std::error::Error::source(error).filter(|_| error.is_io_error());
                cause.map(ToString::to_string)
            });
            StoreError::Unavailable(match cause {
                Some(cause) => format!("Redis: {} ({cause})", error.category()),
                None => format!("Redis: {}", error.category()),
            })
        }
    }
}

#[async_trait]
impl Engine for RedisEngine {
    async fn load(&self, tenant: &Tenant, keys: &[Key], gates: &[Gate], now: Timestamp) -> Result<Loaded, StoreError> {
        let mut call = self.scripts.load.key(self.keys.of(tenant));
        call.arg(tenant.as_str()).arg(keys.len());
        for key in keys {
            call.arg(member(key));
        }
        for gate in gates {
            call.arg(gate.upstream);
        }
        let (found, views): (Vec<Fields>, Vec<Fields>) = self.call(&call, true).await?;
        Ok(Loaded {
            documents: found.into_iter().map(|fields| answers::document(fields, now)).collect::<Result<_, _>>()?,
            gates: views.iter().map(|fields| answers::gate_view(fields, now)).collect::<Result<_, _>>()?,
        })
    }

    async fn commit(&self, tenant: &Tenant, commit: &Commit, now: Timestamp) -> Result<Committed, StoreError> {
        let script = if is_accepting(commit) { &self.scripts.accept } else { &self.scripts.settle };
        let mut call = script.key(self.keys.of(tenant));
        commit_arguments(&mut call, tenant, commit, now);
        let answer: String = match self.call(&call, true).await {
            Err(StoreError::Full) => {
                // The first attempt may have been written before the store filled up, and only its answer lost.
                let mut command = redis::cmd("GET");
                command.arg(self.keys.commit(tenant, commit.id));
                let known: Result<Option<_>, _> = command.query_async(&mut self.connection.clone()).await;
                known.map_err(|error| failure(&error))?.ok_or(StoreError::Full)?
            }
            answer => answer?,
        };
        if answer == "conflict" { Ok(Committed::Conflict) } else { verdict(&answer).map(Committed::Done) }
    }

    async fn lease_due(&self, request: &LeaseRequest, now: Timestamp) -> Result<Vec<Leased>, StoreError> {
        let asked = Self::partitions().map(|partition| async move {
            let mut call = self.scripts.due.key(self.keys.partition(partition));
            call.arg(now.as_microsecond()).arg(request.max).arg(request.per_tenant.min(request.max));
            for tenant in &request.skip {
                call.arg(tenant.as_str());
            }
            self.call::<Vec<(String, i64, usize)>>(&call, true).await
        });
        let queue = try_join_all(asked).await?.into_iter().flatten();
        let shares = answers::shares(queue.collect(), request.max);
        let until = crate::clock::later(now, request.duration).as_microsecond();
        let leases = Self::partitions().filter_map(|partition| {
            let mut call = self.scripts.lease.key(self.keys.partition(partition));
            call.arg(now.as_microsecond()).arg(until);
            let mut any = false;
            for (tenant, count) in shares.iter().filter(|(tenant, _)| keys::partition(tenant) == partition) {
                any = true;
                call.arg(tenant.as_str()).arg(*count);
                for _ in 0..*count {
                    call.arg(crate::ids::random_uuid().to_string());
                }
            }
            // Not repeated: leases whose answer was lost run out, a repeat would take more of them.
            any.then_some(async move { self.call::<Vec<answers::LeasedFields>>(&call, false).await })
        });
        let mut leased = Vec::new();
        let mut lost = None;
        for answer in futures_util::future::join_all(leases).await {
            match answer {
                Ok(found) => leased.extend(found),
                Err(error) => lost = Some(error),
            }
        }
        match lost {
            Some(error) if leased.is_empty() => Err(error),
            _ => answers::in_turns(leased, &shares),
        }
    }

    async fn next_due(&self, _now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let asked = Self::partitions().map(|partition| async move {
            let call = self.scripts.next.key(self.keys.partition(partition));
            let first: Option<String> = self.call(&call, true).await?;
            first.map(|score| answers::score(&score)).transpose()
        });
        Ok(try_join_all(asked).await?.into_iter().flatten().min())
    }

    async fn wake(
        &self,
        tenant: &Tenant,
        kind: Kind,
        statuses: &[&str],
        spread: Duration,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let mut call = self.scripts.wake.key(self.keys.of(tenant));
        let spread = u64::try_from(spread.as_micros()).unwrap_or(u64::MAX);
        call.arg(now.as_microsecond()).arg(tenant.as_str()).arg(kind.name()).arg(spread).arg(statuses);
        self.call(&call, true).await
    }

    async fn page(
        &self,
        tenant: &Tenant,
        status: Option<&str>,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let after = cursor.map(|cursor| format!("{}|{}", keys::sortable(cursor.created_at), cursor.id));
        let mut call = self.scripts.page.key(self.keys.of(tenant));
        call.arg(tenant.as_str()).arg(status.unwrap_or_default()).arg(after.unwrap_or_default());
        call.arg(limit.saturating_add(1));
        let found: Vec<(String, Fields)> = self.call(&call, true).await?;
        let mut documents = Vec::with_capacity(found.len());
        for (id, fields) in found {
            // Leads do not expire: any time will do.
            if let Some(document) = answers::document(fields, Timestamp::MIN)? {
                documents.push((Key { kind: Kind::Lead, id }, document));
            }
        }
        Ok(Page::cut(documents, limit))
    }

    async fn depths(&self, _now: Timestamp) -> Result<Vec<Depth>, StoreError> {
        let asked = Self::partitions().map(|partition| async move {
            let call = self.scripts.depths.key(self.keys.partition(partition));
            self.call::<Vec<(String, u64, String)>>(&call, true).await
        });
        answers::depths(try_join_all(asked).await?.into_iter().flatten())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let call = self.scripts.ping.key(self.keys.partition(0));
        self.call(&call, true).await
    }

    async fn reserve(
        &self,
        tenant: &Tenant,
        gate: &Gate,
        held: Option<&Key>,
        now: Timestamp,
    ) -> Result<Verdict, StoreError> {
        let mut call = self.scripts.reserve.key(self.keys.of(tenant));
        call.arg(now.as_microsecond()).arg(tenant.as_str());
        answers::gate_arguments(&mut call, Some(gate));
        call.arg(held.map(member).unwrap_or_default());
        let answer: String = self.call(&call, true).await?;
        verdict(&answer)
    }

    async fn report(&self, tenant: &Tenant, gate: &Gate, report: GateReport, now: Timestamp) -> Result<(), StoreError> {
        let mut call = self.scripts.report.key(self.keys.of(tenant));
        call.arg(now.as_microsecond()).arg(tenant.as_str()).arg(gate.upstream);
        match report {
            GateReport::Limited { until } => call.arg("limited").arg(until.as_microsecond()),
            GateReport::Failed => call.arg("failed").arg(""),
            GateReport::Recovered => call.arg("recovered").arg(""),
        };
        // A failure told twice would count twice.
        self.call(&call, report != GateReport::Failed).await
    }

    fn clock(&self) -> Option<SharedClock> {
        Some(Arc::new(self.clock.clone()))
    }

    async fn close(&self) {
        self.closed.cancel();
    }
}
