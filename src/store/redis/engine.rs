//! The engine itself: how it opens, and each operation as the scripts that it runs.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::future::{join_all, try_join_all};
use jiff::Timestamp;
use redis::{FromRedisValue, Value};
use secrecy::{ExposeSecret as _, SecretString};
use tokio_util::sync::CancellationToken;

use super::{
    address::Address,
    answers::{self, Fields, commit_arguments, is_accepting, verdict},
    clock::ServerClock,
    connection::{Attempts, Connection, Insist},
    everywhere::{Answers, Everywhere, partitions},
    failure::{failure, is_moving},
    fitness::{self, refused},
    keys::{self, Keys, member},
    layout::Layout,
    life::Life,
    scripts::{Call, Scripts},
    serving,
    watch::{Watch, evicting},
};
use crate::{
    clock::{SharedClock, later},
    ids::random_uuid,
    lifecycle::Lifecycle,
    store::{
        Commit, Committed, Cursor, Degraded, Depth, Due, Engine, Key, Kind, LeaseRequest, Loaded, Page, Quota,
        StoreError, Taken, Tenant,
        engine::{WAKEN_AT_ONCE, evenly},
        gate::{Gate, GateReport, Verdict},
        moving::Purpose,
        opening::{OpenError, check_namespace},
    },
};

/// See the module.
pub struct RedisEngine {
    pub(super) connection: Connection,
    pub(super) keys: Keys,
    pub(super) scripts: Arc<Scripts>,
    pub(super) clock: ServerClock,
    /// One server has all partitions, and lets one script ask them all.
    pub(super) is_whole: bool,
    pub(super) life: Life,
    closed: CancellationToken,
}

impl fmt::Debug for RedisEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The connection knows the password.
        f.debug_struct("RedisEngine").field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// Whether `url` names Redis as [`RedisEngine::open`] knows it; connects to nothing, and never quotes the URL.
pub fn check_url(url: &str) -> Result<(), String> {
    Address::parse(url).map(drop)
}

impl RedisEngine {
    /// Connects, refuses a server that would lose data or holds another layout, and measures its clock; that is
    /// measured again now and then until `lifecycle` stops.
    pub async fn open(url: &SecretString, namespace: &str, lifecycle: &Lifecycle) -> Result<Self, OpenError> {
        Self::open_by(url, namespace, lifecycle, ServerClock::new()).await
    }

    pub(super) async fn open_by(
        url: &SecretString,
        namespace: &str,
        lifecycle: &Lifecycle,
        clock: ServerClock,
    ) -> Result<Self, OpenError> {
        let engine = Self::connect(url, namespace, clock, Purpose::Serve).await?;
        engine.life.show().await;
        lifecycle.spawn_loop(engine.watch().keep_measuring(engine.closed.clone(), lifecycle.clone()));
        Ok(engine)
    }

    /// Without anything that goes on in the background.
    pub(super) async fn connect(
        url: &SecretString,
        namespace: &str,
        clock: ServerClock,
        purpose: Purpose,
    ) -> Result<Self, OpenError> {
        let address = Address::parse(url.expose_secret()).map_err(OpenError::Url)?;
        check_namespace(namespace).map_err(OpenError::Namespace)?;
        let connection = Connection::open(address).await.map_err(|error| refused(&error))?;
        let (keys, scripts) = (Keys::new(namespace), Arc::new(Scripts::new()));
        let life = Life::new(connection.clone(), Arc::clone(&scripts), keys.partition(0));
        let mut engine =
            Self { connection, keys, scripts, clock, life, is_whole: false, closed: CancellationToken::new() };
        // Of a server that is only read nothing more is asked than that it answers.
        if matches!(purpose, Purpose::Serve | Purpose::CopyInto) {
            if let Some(policy) = evicting(&engine.connection).await {
                return Err(OpenError::Evicts { policy });
            }
            fitness::check(&engine.connection, &engine.scripts.probe, engine.keys.partition(0)).await?;
        }
        engine.layout().check(purpose).await?;
        engine.is_whole = engine.everywhere().is_whole(&engine.scripts.whole).await;
        let mut attempts = Attempts::new(Insist::Patiently);
        while let Err(error) = engine.watch().measure().await {
            attempts.after(error).await.map_err(|error| refused(&error))?;
        }
        Ok(engine)
    }

    fn watch(&self) -> Watch {
        let (life, clock) = (self.life.clone(), self.clock.clone());
        let (connection, scripts) = (self.connection.clone(), Arc::clone(&self.scripts));
        Watch { connection, scripts, place: self.keys.partition(0), clock, life }
    }

    pub(super) fn layout(&self) -> Layout<'_> {
        Layout { connection: &self.connection, keys: &self.keys }
    }

    /// Runs a script, and again as far as `insist` says.
    async fn call<T: FromRedisValue>(&self, call: &Call<'_>, insist: Insist) -> Result<T, StoreError> {
        self.connection.call(call, insist).await.map_err(|error| failure(&error))
    }

    /// What no worker leases, as the index has it: the time of creation, `|`, the id. In that order.
    async fn entries_unleased(
        &self,
        tenant: &Tenant,
        kind: Kind,
        statuses: &[&str],
    ) -> Result<Vec<String>, StoreError> {
        let statuses: BTreeSet<_> = statuses.iter().collect();
        let mut found = Vec::new();
        for status in &statuses {
            let mut after = String::new();
            loop {
                let mut call = self.scripts.unleased.key(&self.keys.of(tenant));
                call.arg(tenant.as_str()).arg(kind.name()).arg(status).arg(&after).arg(WAKEN_AT_ONCE);
                let (looked, entries): (String, Vec<String>) = self.call(&call, Insist::Patiently).await?;
                found.extend(entries);
                after = looked;
                if after.is_empty() {
                    break;
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    fn everywhere(&self) -> Everywhere<'_> {
        Everywhere { connection: &self.connection, keys: &self.keys, at_once: self.is_whole }
    }

    fn places(&self) -> impl Iterator<Item = String> {
        partitions().map(|partition| self.keys.partition(partition))
    }
}

#[async_trait]
impl Engine for RedisEngine {
    async fn load(&self, tenant: &Tenant, keys: &[Key], gates: &[Gate], now: Timestamp) -> Result<Loaded, StoreError> {
        let mut call = self.scripts.load.key(&self.keys.of(tenant));
        call.arg(tenant.as_str());
        answers::together(&mut call, keys, gates);
        answers::loaded(self.call(&call, Insist::Patiently).await?, now)
    }

    async fn commit(&self, tenant: &Tenant, commit: &Commit, now: Timestamp) -> Result<Committed, StoreError> {
        let script = self.scripts.commit(is_accepting(commit), commit.reserve.is_some());
        let mut call = script.key(&self.keys.of(tenant));
        commit_arguments(&mut call, tenant, commit, now);
        let answer: String = match self.call(&call, Insist::Patiently).await {
            Err(StoreError::Full) => {
                // The first attempt may have been written before the store filled up, and only its answer lost.
                let mut command = redis::cmd("GET");
                command.arg(self.keys.commit(tenant, commit.id));
                let known: Result<Option<_>, _> = self.connection.insist(&command).await;
                known.map_err(|error| failure(&error))?.ok_or(StoreError::Full)?
            }
            answer => answer?,
        };
        if answer == "conflict" { Ok(Committed::Conflict) } else { verdict(&answer).map(Committed::Done) }
    }

    async fn lease_due(&self, request: &LeaseRequest, now: Timestamp) -> Result<Due, StoreError> {
        let enough = [&request.urgent, &request.others].map(Quota::tenants_to_look_at);
        let due = self.everywhere().ask(&self.scripts.due, Insist::Briefly, |call, _| {
            call.arg(now.as_microsecond()).arg(enough[0]).arg(enough[1]);
            true
        });
        let due: Answers<(Vec<(String, i64, usize, usize)>, u8)> = due.await?;
        let mut saw_end = due.answered && due.answers.iter().all(|(_, all)| *all == 1);
        let queue = due.answers.into_iter().flat_map(|(found, _)| found);
        let queue = queue.map(|(tenant, turn, urgent, others)| answers::InQueue {
            tenant: Tenant::new(tenant),
            turn,
            urgent,
            others,
        });
        let shares = answers::shares(queue.collect(), request);
        let until = later(now, request.duration).as_microsecond();
        // Not repeated: leases whose answer was lost run out, a repeat would take more of them.
        let leases = self.everywhere().ask(&self.scripts.lease, Insist::Never, |call, asked| {
            call.arg(now.as_microsecond()).arg(until);
            answers::together(call, &request.beside.keys, &request.beside.gates);
            let mut any = false;
            for (tenant, [urgent, others]) in &shares {
                let home = keys::partition(tenant);
                let Some(at) = asked.iter().position(|partition| *partition == home) else { continue };
                any = true;
                call.arg(at + 1).arg(tenant.as_str()).arg(*urgent).arg(*others);
                for _ in 0..urgent + others {
                    call.arg(random_uuid().to_string());
                }
            }
            any
        });
        let leases: Answers<(Vec<answers::LeasedFields>, Vec<answers::BesideFields>)> = leases.await?;
        let leased = answers::in_turns(leases.answers, &shares, &request.beside, now);
        // Fewer came than were there a moment before: another replica was faster, and what it left is not known.
        saw_end &= leases.answered && leased.len() >= shares.iter().flat_map(|(_, share)| share).sum::<usize>();
        Ok(Due { leased, saw_end })
    }

    async fn put_back(
        &self,
        tenant: &Tenant,
        taken: &Taken,
        due: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut call = self.scripts.put_back.key(&self.keys.of(tenant));
        call.arg(now.as_microsecond()).arg(tenant.as_str()).arg(member(&taken.key)).arg(taken.token.to_string());
        call.arg(due.as_microsecond()).arg(u8::from(taken.ran_out));
        self.call(&call, Insist::Patiently).await
    }

    async fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let first = self.everywhere().ask(&self.scripts.next, Insist::Briefly, |call, _| {
            call.arg(now.as_microsecond());
            true
        });
        let first: Answers<Option<String>> = first.await?;
        let first = first.answers.into_iter().flatten().map(|score| answers::score(&score));
        first.collect::<Result<Vec<_>, _>>().map(|times| times.into_iter().min())
    }

    async fn wake(
        &self,
        tenant: &Tenant,
        kind: Kind,
        statuses: &[&str],
        spread: Duration,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let found = self.entries_unleased(tenant, kind, statuses).await?;
        let statuses: BTreeSet<_> = statuses.iter().collect();
        let mut woken = 0;
        for round in evenly(found, spread, now).chunks(WAKEN_AT_ONCE) {
            let mut call = self.scripts.wake.key(&self.keys.of(tenant));
            call.arg(now.as_microsecond()).arg(tenant.as_str()).arg(statuses.len());
            for status in &statuses {
                call.arg(status);
            }
            for (entry, due) in round {
                let id = entry.split_once('|').map_or("", |(_, id)| id);
                call.arg(member(&Key::new(kind, id))).arg(due.as_microsecond());
            }
            woken += self.call::<u64>(&call, Insist::Patiently).await?;
        }
        Ok(woken)
    }

    async fn unleased(&self, tenant: &Tenant, kind: Kind, statuses: &[&str]) -> Result<Vec<String>, StoreError> {
        let found = self.entries_unleased(tenant, kind, statuses).await?;
        Ok(found.iter().filter_map(|entry| entry.split_once('|')).map(|(_, id)| id.to_owned()).collect())
    }

    async fn page(
        &self,
        tenant: &Tenant,
        statuses: &[&str],
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let after = cursor.map(|cursor| format!("{}|{}", keys::sortable(cursor.created_at), cursor.id));
        let mut call = self.scripts.page.key(&self.keys.of(tenant));
        call.arg(tenant.as_str()).arg(after.unwrap_or_default()).arg(limit.saturating_add(1));
        for status in statuses {
            call.arg(status);
        }
        let found: Vec<(String, Fields)> = self.call(&call, Insist::Patiently).await?;
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
        let asked = partitions().map(|partition| async move {
            let call = self.scripts.depths.key(&self.keys.partition(partition));
            self.call::<Vec<(String, u64, String)>>(&call, Insist::Patiently).await
        });
        answers::depths(try_join_all(asked).await?.into_iter().flatten())
    }

    async fn tenants(&self, kind: Kind) -> Result<BTreeSet<Tenant>, StoreError> {
        let asked = partitions().map(|partition| async move {
            let mut call = self.scripts.tenants.key(&self.keys.partition(partition));
            call.arg(kind.name());
            self.call::<Vec<String>>(&call, Insist::Patiently).await
        });
        let entries = try_join_all(asked).await?.into_iter().flatten();
        entries
            .map(|entry| entry.split('|').nth(1).map(Tenant::new).ok_or_else(|| answers::corrupt("an index")))
            .collect()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let asked = partitions().map(|partition| async move {
            let call = self.scripts.ping.key(&self.keys.partition(partition));
            self.connection.call::<Value>(&call, Insist::Briefly).await
        });
        // A slot on the move is no fault of the store: its tenants wait, the others do not.
        let fault = join_all(asked).await.into_iter().filter_map(Result::err).find(|error| !is_moving(error));
        fault.map_or(Ok(()), |error| Err(failure(&error)))
    }

    async fn serving(&self) -> Result<BTreeSet<Degraded>, StoreError> {
        serving::how_far(&self.connection, &self.scripts.ping, self.places()).await
    }

    async fn reserve(
        &self,
        tenant: &Tenant,
        gate: &Gate,
        held: Option<&Key>,
        now: Timestamp,
    ) -> Result<Verdict, StoreError> {
        let mut call = self.scripts.reserve.key(&self.keys.of(tenant));
        call.arg(now.as_microsecond()).arg(tenant.as_str());
        answers::gate_arguments(&mut call, Some(*gate));
        call.arg(held.map(member).unwrap_or_default()).arg(random_uuid().to_string());
        let answer: String = self.call(&call, Insist::Patiently).await?;
        verdict(&answer)
    }

    async fn report(&self, tenant: &Tenant, gate: &Gate, report: GateReport, now: Timestamp) -> Result<(), StoreError> {
        let mut call = self.scripts.report.key(&self.keys.of(tenant));
        call.arg(now.as_microsecond()).arg(tenant.as_str()).arg(gate.upstream);
        match report {
            GateReport::Limited { until } => call.arg("limited").arg(until.as_microsecond()),
            GateReport::Failed => call.arg("failed").arg(""),
            GateReport::Recovered => call.arg("recovered").arg(""),
            GateReport::Opened => call.arg("opened").arg(""),
        };
        // A failure told twice would count twice.
        let insist = if report == GateReport::Failed { Insist::Never } else { Insist::Patiently };
        self.call(&call, insist).await
    }

    fn clock(&self) -> Option<SharedClock> {
        Some(Arc::new(self.clock.clone()))
    }

    async fn close(&self) {
        self.closed.cancel();
        self.life.leave().await;
    }
}
