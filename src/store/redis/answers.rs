//! What the scripts are told and what they answer, as text.
//!
//! Owns the order of arguments and fields; the scripts' first lines say the same.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::{
    keys::{from_sortable, key_of, member, sortable},
    scripts::Call,
};
use crate::{
    clock::from_micros,
    store::{
        Beside, Change, Commit, Depth, Document, Key, Kind, Lease, LeaseChange, LeaseRequest, Leased, Loaded, Quota,
        StoreError, Tenant,
        gate::{Gate, GateView, Verdict},
    },
};
use jiff::Timestamp;
use redis::ToRedisArgs;
use uuid::Uuid;

/// Fields of a hash in the order asked for: of an aggregate `b, v, s, c, d, lt, lu, sl, x, u`.
pub(super) type Fields = Vec<Option<String>>;
/// Tenant, member, whether a lease had run out, fields.
pub(super) type LeasedFields = (String, String, u8, Fields);
/// Tenant, and what stands beside what was leased of it, as [`loaded`] takes it: read one by one, so that what is
/// damaged of one tenant costs no other its leases.
pub(super) type BesideFields = (String, redis::Value);

/// Expired receipts stay that much longer: only `now` decides, and clocks may differ.
const GARBAGE_AGE_MS: u128 = 3_600_000;

/// Whether a full store refuses the commit: one that begins something, as opposed to one that settles what is there. A
/// commit by the holder of a lease and one that erases settle; of the others, one that says so or that creates begins.
pub(super) fn is_accepting(commit: &Commit) -> bool {
    let settles = commit.writes.iter().any(|write| {
        matches!(
            write.change,
            Change::Erase | Change::Put { lease: LeaseChange::Hold(_) | LeaseChange::End { .. }, .. }
        )
    });
    let creates = commit.writes.iter().any(|write| write.expected.is_none());
    (commit.begins || creates) && !settles
}

/// The arguments of `commit.lua`.
pub(super) fn commit_arguments(call: &mut Call<'_>, tenant: &Tenant, commit: &Commit, now: Timestamp) {
    id(call, Some(commit.id)).arg(now.as_microsecond()).arg(tenant.as_str());
    call.arg(commit.checks.len()).arg(commit.writes.len());
    gate_arguments(call, commit.reserve.as_ref().map(|reserve| reserve.gate));
    call.arg(commit.reserve.as_ref().map(|reserve| member(&reserve.key)).unwrap_or_default());
    for (key, version) in &commit.checks {
        call.arg(member(key)).arg(*version);
    }
    for write in &commit.writes {
        call.arg(member(&write.key));
        number(call, write.expected).arg(commit.version_after(write.expected));
        match &write.change {
            Change::Erase => {
                call.arg("erase");
                for _ in 0..9 {
                    call.arg("");
                }
            }
            Change::Put { body, status, created_at, lease, urgent, expires_at } => {
                call.arg("put").arg(body).arg(status.as_ref()).arg(sortable(*created_at));
                micros(call, *expires_at);
                number(call, expires_at.map(|at| crate::clock::until(now, at).as_millis() + GARBAGE_AGE_MS));
                let (change, token, time) = match lease {
                    LeaseChange::Leave { due } => ("leave", None, *due),
                    LeaseChange::Take(lease) => ("take", Some(lease.token), Some(lease.until)),
                    LeaseChange::Hold(lease) => ("hold", Some(lease.token), Some(lease.until)),
                    LeaseChange::End { token, due } => ("end", Some(*token), *due),
                };
                id(call.arg(change), token);
                micros(call, time).arg(if *urgent { "1" } else { "" });
            }
        }
    }
}

/// The number, or a blank.
fn number<'a, 'b>(call: &'a mut Call<'b>, number: Option<impl ToRedisArgs>) -> &'a mut Call<'b> {
    match number {
        Some(number) => call.arg(number),
        None => call.arg(""),
    }
}

fn micros<'a, 'b>(call: &'a mut Call<'b>, time: Option<Timestamp>) -> &'a mut Call<'b> {
    number(call, time.map(Timestamp::as_microsecond))
}

fn id<'a, 'b>(call: &'a mut Call<'b>, id: Option<Uuid>) -> &'a mut Call<'b> {
    let mut text = Uuid::encode_buffer();
    call.arg(id.map_or("", |id| id.hyphenated().encode_lower(&mut text)))
}

/// Upstream, interval, limit and lane; blank where there is none.
pub(super) fn gate_arguments(call: &mut Call<'_>, gate: Option<Gate>) {
    call.arg(gate.map(|gate| gate.upstream).unwrap_or_default());
    number(call, gate.and_then(Gate::interval_micros));
    call.arg(gate.and_then(Gate::most_in_a_second).unwrap_or(0));
    call.arg(if gate.is_some_and(|gate| gate.ahead) { "ahead" } else { "" });
}

pub(super) fn corrupt(what: &str) -> StoreError {
    StoreError::Corrupt(format!("{what} has another shape"))
}

fn time(text: &str) -> Result<Timestamp, StoreError> {
    text.parse().map(from_micros).map_err(|_| corrupt("a time"))
}

fn optional_time(field: Option<String>) -> Result<Option<Timestamp>, StoreError> {
    field.map(|text| time(&text)).transpose()
}

/// "go" or a slot.
pub(super) fn verdict(answer: &str) -> Result<Verdict, StoreError> {
    if answer == "go" { Ok(Verdict::Go) } else { time(answer).map(Verdict::At) }
}

/// The score of a member of a sorted set, which Redis keeps as a double: exact for microseconds until the year 2255.
pub(super) fn score(text: &str) -> Result<Timestamp, StoreError> {
    let micros: f64 = text.parse().map_err(|_| corrupt("a score"))?;
    #[expect(clippy::cast_possible_truncation, reason = "it was a whole number when it was written")]
    Ok(from_micros(micros as i64))
}

/// An aggregate; `None`: there is none, or it is a receipt that expired by `now`.
pub(super) fn document(fields: Fields, now: Timestamp) -> Result<Option<Document>, StoreError> {
    let Ok([body, version, status, created, due, token, until, slot, expires, urgent]) = <[_; 10]>::try_from(fields)
    else {
        return Err(corrupt("an aggregate"));
    };
    let (Some(body), Some(version), Some(status), Some(created)) = (body, version, status, created) else {
        return Ok(None);
    };
    if optional_time(expires)?.is_some_and(|expires| expires <= now) {
        return Ok(None);
    }
    let lease = match (token, optional_time(until)?) {
        (Some(token), Some(until)) => Some(Lease { token: token.parse().map_err(|_| corrupt("a lease"))?, until }),
        _ => None,
    };
    Ok(Some(Document {
        body,
        version: version.parse().map_err(|_| corrupt("a version"))?,
        status,
        created_at: from_sortable(&created).ok_or_else(|| corrupt("a time of creation"))?,
        due: optional_time(due)?,
        lease,
        slot: optional_time(slot)?,
        urgent: urgent.is_some(),
    }))
}

/// The end of a pause, the end of a cool-down, failures.
pub(super) fn gate_view(fields: &Fields, now: Timestamp) -> Result<GateView, StoreError> {
    let [paused, open, failures] = &fields[..] else { return Err(corrupt("a gate")) };
    let pause = optional_time(paused.clone())?.filter(|until| *until > now);
    let failures = failures.as_deref().map_or(Ok(0), str::parse).map_err(|_| corrupt("a gate"))?;
    Ok(GateView { closed_until: pause.max(optional_time(open.clone())?), failures })
}

/// A tenant in the queue for leases.
pub(super) struct InQueue {
    pub(super) tenant: Tenant,
    pub(super) turn: i64,
    /// How much it has due.
    pub(super) urgent: usize,
    pub(super) others: usize,
}

/// How much each tenant gets: of what is urgent and of the others.
pub(super) fn shares(mut queue: Vec<InQueue>, request: &LeaseRequest) -> Vec<(Tenant, [usize; 2])> {
    queue.sort_by_key(|one| one.turn);
    let in_lane = |quota: &Quota, due: fn(&InQueue) -> usize| {
        let share = |one: &InQueue| if quota.skip.contains(&one.tenant) { 0 } else { due(one).min(quota.per_tenant) };
        in_rounds(&queue.iter().map(share).collect::<Vec<_>>(), quota.max)
    };
    let urgent = in_lane(&request.urgent, |one| one.urgent);
    let others = in_lane(&request.others, |one| one.others);
    let shares = queue.into_iter().zip(urgent.into_iter().zip(others));
    shares.map(|(one, (urgent, others))| (one.tenant, [urgent, others])).filter(|(_, share)| *share != [0, 0]).collect()
}

/// Of `max` one each in their order, then the second each, and so on, up to what each has.
fn in_rounds(due: &[usize], max: usize) -> Vec<usize> {
    let mut shares = vec![0; due.len()];
    let mut left = max;
    let mut round = 0;
    while left > 0 && due.iter().any(|due| *due > round) {
        for (due, share) in due.iter().zip(&mut shares) {
            if left > 0 && *due > round {
                *share += 1;
                left -= 1;
            }
        }
        round += 1;
    }
    shares
}

/// The arguments that name the aggregates and gates which `load.lua`, and of each tenant `lease.lua`, answers.
pub(super) fn together(call: &mut Call<'_>, keys: &[Key], gates: &[Gate]) {
    call.arg(keys.len());
    for key in keys {
        call.arg(member(key));
    }
    call.arg(gates.len());
    for gate in gates {
        call.arg(gate.upstream);
    }
}

/// What `load.lua` and, of each tenant, `lease.lua` answer.
pub(super) fn loaded((documents, gates): (Vec<Fields>, Vec<Fields>), now: Timestamp) -> Result<Loaded, StoreError> {
    let documents = documents.into_iter().map(|fields| document(fields, now)).collect::<Result<_, _>>()?;
    let gates = gates.iter().map(|fields| gate_view(fields, now)).collect::<Result<_, _>>()?;
    Ok(Loaded::new(documents, gates))
}

/// What was leased, each with what stands beside it, tenants taking turns.
pub(super) fn in_turns(
    answers: Vec<(Vec<LeasedFields>, Vec<BesideFields>)>,
    shares: &[(Tenant, [usize; 2])],
    asked: &Beside,
    now: Timestamp,
) -> Vec<Leased> {
    let (leased, beside): (Vec<_>, Vec<_>) = answers.into_iter().unzip();
    // What is damaged there must not keep its lead from a worker, which will find it out.
    let read = |(tenant, found)| Some((tenant, loaded(redis::from_redis_value(found).ok()?, now).ok()?));
    let beside = beside.into_iter().flatten().filter(|_| !asked.is_empty());
    let beside: HashMap<String, Loaded> = beside.filter_map(read).collect();
    let mut queues: HashMap<Tenant, VecDeque<Leased>> = HashMap::new();
    let mut count = 0;
    for (tenant, member, ran_out, fields) in leased.into_iter().flatten() {
        // A kind of a newer version: its lease runs out, and that version takes it.
        let Some(key) = key_of(&member) else { continue };
        let document = match document(fields, Timestamp::MIN) {
            Ok(Some(document)) => document,
            Ok(None) => continue,
            Err(error) => {
                // One that is damaged must not keep the others from their workers.
                tracing::error!(%error, kind = key.kind.name(), "left alone: its lease runs out");
                continue;
            }
        };
        let beside = beside.get(&tenant).cloned();
        let tenant = Tenant::new(tenant);
        count += 1;
        let leased = Leased { tenant: tenant.clone(), key, document, ran_out: ran_out == 1, beside };
        queues.entry(tenant).or_default().push_back(leased);
    }
    let mut ordered = Vec::with_capacity(count);
    while ordered.len() < count {
        ordered.extend(shares.iter().filter_map(|(tenant, _)| queues.get_mut(tenant)?.pop_front()));
    }
    ordered
}

/// The partitions' depths, added up.
pub(super) fn depths(parts: impl Iterator<Item = (String, u64, String)>) -> Result<Vec<Depth>, StoreError> {
    let mut sums: BTreeMap<(Kind, String), (u64, Option<Timestamp>)> = BTreeMap::new();
    for (label, count, first) in parts {
        let Some(key) = key_of(&label).filter(|_| count > 0) else { continue };
        let oldest = first.split('|').next().and_then(from_sortable).ok_or_else(|| corrupt("an index"))?;
        let sum = sums.entry((key.kind, key.id)).or_default();
        sum.0 += count;
        sum.1 = Some(sum.1.map_or(oldest, |known| known.min(oldest)));
    }
    let depth = |((kind, status), (count, oldest))| Depth { kind, status, count, oldest };
    Ok(sums.into_iter().map(depth).collect())
}
