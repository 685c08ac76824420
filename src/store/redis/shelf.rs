//! A whole namespace: walked through by SCAN, or filled.
//!
//! Where one server has all partitions, one SCAN finds them all; in a cluster each partition's server is asked for it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use redis::FromRedisValue;
use secrecy::SecretString;
use serde_json::{Map, Value, json};

use super::{
    answers::{self, Fields},
    clock::ServerClock,
    connection::Insist,
    engine::RedisEngine,
    failure::failure,
    fitness::{is_forbidden, refused},
    keys::{self, PARTITIONS, member, sortable},
    layout,
    scripts::{Call, Script},
};
use crate::{
    clock::{Clock as _, from_micros, until},
    store::{
        Kind, OpenError, StoreError, Tenant,
        gate::GateState,
        moving::{Finding, Held, HeldGate, INDEX, Place, Purpose, REBUILD, Shelf, Stretch, Subject, Tally},
    },
};

/// How many keys a SCAN looks at in one go, and how many aggregates are written in one.
const AT_ONCE: usize = 250;
/// As in `answers`: an expired receipt stays so much longer.
const GARBAGE_AGE_MS: u128 = 3_600_000;
/// As `gate.lua` names them; the second name is that of [`GateState`].
const GATE_FIELDS: [(&str, &str); 12] = [
    ("grid", "grid"),
    ("tail", "tail"),
    ("returning", "returning"),
    ("paused", "paused_until"),
    ("open", "open_until"),
    ("probe", "probe_until"),
    ("cool", "cool_down"),
    ("failures", "failures"),
    ("left", "departures"),
    ("ahead", "ahead"),
    ("since", "since"),
    ("last", "last"),
];

type FoundAggregate = (String, String, Fields, Vec<String>);
type FoundGate = (String, String, Fields);

/// See the module.
pub struct RedisShelf {
    engine: RedisEngine,
    /// Of the copy that fills it.
    mark: String,
}

impl RedisShelf {
    /// Connects as the service does. What is opened to be filled is emptied of what a copy left behind.
    pub async fn open(url: &SecretString, namespace: &str, purpose: Purpose) -> Result<Self, OpenError> {
        let engine = RedisEngine::connect(url, namespace, ServerClock::new(), purpose).await?;
        let mut shelf = Self { engine, mark: String::new() };
        shelf.may_scan().await?;
        if matches!(purpose, Purpose::CopyFrom | Purpose::CopyInto)
            && let Some(seconds) = shelf.engine.life.of_any().await.map_err(|error| refused(&error))?
        {
            return Err(OpenError::Running { seconds });
        }
        if purpose == Purpose::CopyInto {
            shelf.mark = shelf.make_room().await?;
        }
        Ok(shelf)
    }

    /// A service needs no SCAN, so its user may be one who may not run it.
    async fn may_scan(&self) -> Result<(), OpenError> {
        let mut call = self.engine.scripts.names.key(&self.engine.keys.partition(0));
        call.arg("0").arg(self.engine.keys.partition(0)).arg(1);
        match self.engine.connection.call::<redis::Value>(&call, Insist::Patiently).await {
            Ok(_) => Ok(()),
            Err(error) if is_forbidden(&error.to_string()) => Err(OpenError::Forbidden { commands: "SCAN".to_owned() }),
            Err(error) => Err(refused(&error)),
        }
    }

    /// Empties what a copy left behind, and leaves this copy's mark; what else is there is let alone.
    async fn make_room(&self) -> Result<String, OpenError> {
        let layout = self.engine.layout();
        if layout.is_unfinished().await? {
            let mark = layout.begin_copy().await?;
            // Before anything is cleared: what the copy before still writes meanwhile might be missed.
            layout.claim(&mark).await.map_err(OpenError::Store)?;
            self.clear().await.map_err(OpenError::Store)?;
            layout.claim(&mark).await.map_err(OpenError::Store)?;
            return Ok(mark);
        }
        let (held, findings) = Tally::of(self, self.now()).await.map_err(OpenError::Store)?;
        if held.total() > 0 || !findings.is_empty() {
            return Err(OpenError::NotEmpty);
        }
        let mark = layout.begin_copy().await?;
        layout.claim(&mark).await.map_err(OpenError::Store)?;
        Ok(mark)
    }

    async fn clear(&self) -> Result<(), StoreError> {
        for pass in 0..self.passes() {
            let mut cursor = "0".to_owned();
            loop {
                cursor = self.scan(&self.engine.scripts.clear, pass, &cursor, "*").await?;
                if cursor == "0" {
                    break;
                }
            }
        }
        Ok(())
    }

    fn passes(&self) -> u8 {
        if self.engine.is_whole { 1 } else { PARTITIONS }
    }

    /// Runs a script that begins with a SCAN over keys of that pass, all partitions or one.
    async fn scan<T: FromRedisValue>(
        &self,
        script: &Script,
        pass: u8,
        cursor: &str,
        what: &str,
    ) -> Result<T, StoreError> {
        let keys = &self.engine.keys;
        let (mut call, pattern): (Call<'_>, _) = if self.engine.is_whole {
            let all: Vec<_> = (0..PARTITIONS).map(|partition| keys.partition(partition)).collect();
            (script.keys(&all), keys.any_partition())
        } else {
            (script.key(&keys.partition(pass)), keys.partition(pass))
        };
        call.arg(cursor).arg(format!("{pattern}{what}")).arg(AT_ONCE);
        self.call(&call).await
    }

    async fn call<T: FromRedisValue>(&self, call: &Call<'_>) -> Result<T, StoreError> {
        self.engine.connection.call(call, Insist::Patiently).await.map_err(|error| failure(&error))
    }

    /// The entries of one index that nothing stands behind.
    async fn entries(&self, key: &str, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
        let Some(place) = key.find("}:").map(|at| key[..at + 2].to_owned()) else { return Ok(()) };
        let index = &key[place.len()..];
        let mut first = 0;
        loop {
            let mut call = self.engine.scripts.entries.key(&place);
            call.arg(key).arg(first).arg(AT_ONCE);
            let (looked, wrong): (usize, Vec<(String, String)>) = self.call(&call).await?;
            findings.extend(wrong.iter().map(|(tenant, member)| entry_finding(index, tenant, member)));
            first += looked;
            if looked < AT_ONCE {
                return Ok(());
            }
        }
    }
}

fn entry_finding(index: &str, tenant: &str, member: &str) -> Finding {
    let (kind, id) = member.split_once(':').unwrap_or(("tenant", ""));
    // An attempt's tenant must not be told, and of a queue's entry the kind is not known.
    let tenant = Tenant::new(if kind == "tenant" { "" } else { tenant });
    let named = match index.split(':').collect::<Vec<_>>()[..] {
        [one @ ("due" | "turn")] => one,
        ["t", _, one @ ("due" | "leads")] => one,
        _ => "status",
    };
    Finding {
        fault: INDEX,
        subject: Subject::aggregate(&tenant, kind, id),
        detail: format!("the index by {named} has an entry that no aggregate stands behind"),
        advice: REBUILD,
    }
}

#[async_trait]
impl Shelf for RedisShelf {
    fn now(&self) -> Timestamp {
        self.engine.clock.now()
    }

    async fn walk(&self, place: Option<&Place>) -> Result<Stretch, StoreError> {
        let (pass, cursor) = place.and_then(|place| place.0.split_once(' ')).unwrap_or(("0", "0"));
        let pass: u8 = pass.parse().map_err(|_| answers::corrupt("a place"))?;
        let (next, aggregates, gates, others): (String, Vec<FoundAggregate>, Vec<FoundGate>, Vec<String>) =
            self.scan(&self.engine.scripts.scan, pass, cursor, "[ag]:*").await?;
        let mut stretch = Stretch::default();
        for (tenant, member, fields, wrong) in aggregates {
            take_aggregate(&mut stretch, &Tenant::new(tenant), &member, fields, &wrong);
        }
        for (tenant, upstream, fields) in gates {
            let tenant = Tenant::new(tenant);
            match gate_state(&fields) {
                Some(state) => stretch.gates.push(HeldGate { tenant, upstream, state }),
                None => stretch.findings.push(Finding::unreadable_gate(&tenant, &upstream)),
            }
        }
        stretch.findings.extend(others.iter().map(|_| Finding::unreadable(Subject::store(), "a key of another type")));
        stretch.next = match (next.as_str(), pass + 1 < self.passes()) {
            ("0", false) => None,
            ("0", true) => Some(Place(format!("{} 0", pass + 1))),
            (cursor, _) => Some(Place(format!("{pass} {cursor}"))),
        };
        Ok(stretch)
    }

    async fn index_findings(&self) -> Result<Vec<Finding>, StoreError> {
        let mut findings = Vec::new();
        for pass in 0..self.passes() {
            let mut cursor = "0".to_owned();
            loop {
                let (next, found): (String, Vec<String>) =
                    self.scan(&self.engine.scripts.names, pass, &cursor, "[dnt]*").await?;
                for key in found {
                    self.entries(&key, &mut findings).await?;
                }
                cursor = next;
                if cursor == "0" {
                    break;
                }
            }
        }
        // A SCAN may name a key twice.
        findings.sort_unstable();
        findings.dedup();
        Ok(findings)
    }

    async fn put(&self, aggregates: &[Held], gates: &[HeldGate], now: Timestamp) -> Result<(), StoreError> {
        let mut parts: BTreeMap<u8, (Vec<&Held>, Vec<&HeldGate>)> = BTreeMap::new();
        for held in aggregates {
            parts.entry(keys::partition(&held.tenant)).or_default().0.push(held);
        }
        for gate in gates {
            parts.entry(keys::partition(&gate.tenant)).or_default().1.push(gate);
        }
        for (partition, (aggregates, gates)) in parts {
            let mut call = self.engine.scripts.restore.key(&self.engine.keys.partition(partition));
            call.arg(now.as_microsecond()).arg(aggregates.len()).arg(gates.len()).arg(&self.mark);
            aggregates.iter().for_each(|held| aggregate_arguments(&mut call, held, now));
            gates.iter().for_each(|gate| gate_arguments(&mut call, gate));
            if self.call::<String>(&call).await? == "stale" {
                return Err(layout::overtaken());
            }
        }
        Ok(())
    }

    async fn finish(&self) -> Result<(), StoreError> {
        self.engine.layout().finish_copy(&self.mark).await
    }
}

fn take_aggregate(stretch: &mut Stretch, tenant: &Tenant, named: &str, fields: Fields, wrong: &[String]) {
    let (kind, id) = named.split_once(':').unwrap_or((named, ""));
    let subject = Subject::aggregate(tenant, kind, id);
    let Some(key) = keys::key_of(named) else {
        return stretch.findings.push(Finding::of_newer_version(subject));
    };
    let is_leased = fields.get(5).is_some_and(Option::is_some);
    let expires_at = fields.get(8).cloned().flatten().and_then(|at| at.parse().ok()).map(from_micros);
    match answers::document(fields, Timestamp::MIN) {
        Ok(Some(document)) => {
            let tenant = tenant.clone();
            stretch.aggregates.push(Held { tenant, key, document, expires_at });
            stretch.findings.extend(wrong.iter().map(|index| Finding::index(subject.clone(), index)));
        }
        Ok(None) if is_leased => stretch.findings.push(Finding::lease_alone(subject)),
        Ok(None) => stretch.findings.push(Finding::unreadable(subject, "part of it is missing")),
        Err(error) => stretch.findings.push(Finding::unreadable(subject, &error.to_string())),
    }
}

fn aggregate_arguments(call: &mut Call<'_>, held: &Held, now: Timestamp) {
    let document = &held.document;
    let time = |time: Option<Timestamp>| time.map(|at| at.as_microsecond().to_string()).unwrap_or_default();
    let expires_at = held.expires_at.filter(|_| held.key.kind == Kind::Receipt);
    let life = expires_at.map(|at| (until(now, at).as_millis() + GARBAGE_AGE_MS).to_string());
    call.arg(held.tenant.as_str()).arg(member(&held.key)).arg(life.unwrap_or_default());
    // In the order of NAMES in common.lua.
    call.arg(&document.body).arg(document.version).arg(&document.status).arg(sortable(document.created_at));
    call.arg(time(document.due));
    call.arg(document.lease.map(|lease| lease.token.to_string()).unwrap_or_default());
    call.arg(time(document.lease.map(|lease| lease.until))).arg(time(document.slot));
    call.arg(if document.urgent { "1" } else { "" }).arg(time(expires_at));
}

fn gate_arguments(call: &mut Call<'_>, gate: &HeldGate) {
    call.arg(gate.tenant.as_str()).arg(&gate.upstream);
    let state = serde_json::to_value(&gate.state).unwrap_or_default();
    for (_, name) in GATE_FIELDS {
        let text = match &state[name] {
            Value::Array(times) => times.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
            Value::Null => String::new(),
            number => number.to_string(),
        };
        call.arg(text);
    }
}

/// `None`: it makes no sense.
fn gate_state(fields: &Fields) -> Option<GateState> {
    // What `GateState` does not leave out.
    let mut state: Map<String, Value> = Map::new();
    state.extend(
        [("cool_down", json!(0)), ("failures", json!(0)), ("departures", json!([]))].map(|(k, v)| (k.to_owned(), v)),
    );
    for ((_, name), text) in GATE_FIELDS.iter().zip(fields) {
        let Some(text) = text.as_deref().filter(|text| !text.is_empty()) else { continue };
        let value = if *name == "departures" {
            text.split(',').map(|at| at.parse::<i64>().ok().map(Value::from)).collect::<Option<Vec<_>>>()?.into()
        } else {
            text.parse::<i64>().ok()?.into()
        };
        state.insert((*name).to_owned(), value);
    }
    serde_json::from_value(Value::Object(state)).ok()
}
