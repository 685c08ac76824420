//! The commit: every expectation first, then every write.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{due, rows};
use crate::{
    clock::from_micros,
    store::{Change, Commit, Committed, Document, Kind, Lease, LeaseChange, Tenant, gate::Verdict},
};

type Result<T> = std::result::Result<T, rusqlite::Error>;

/// How many commit ids are remembered: far more than can be waiting for a repeat.
const REMEMBERED: i64 = 10_000;
/// How long an expired receipt stays in the file.
const GARBAGE_AGE: i64 = 3_600_000_000;
/// A gate at rest for so long is garbage, as in Redis.
const GATES_REST: i64 = 86_400_000_000;

/// Stands for a conflict where a slot would: no slot is as early.
const CONFLICT: i64 = -1;

/// See [`crate::store::Engine::commit`]; runs within the writer's transaction.
pub(super) fn commit(c: &Connection, tenant: &Tenant, commit: &Commit, now: Timestamp) -> Result<Committed> {
    if let Some(known) = remembered(c, commit)? {
        return Ok(known);
    }
    let committed = attempt(c, tenant, commit, now)?;
    remember(c, commit, committed, now)?;
    Ok(committed)
}

fn attempt(c: &Connection, tenant: &Tenant, commit: &Commit, now: Timestamp) -> Result<Committed> {
    for (key, version) in &commit.checks {
        if rows::read(c, tenant, key, now)?.map(|document| document.version) != Some(*version) {
            return Ok(Committed::Conflict);
        }
    }
    let mut planned = Vec::with_capacity(commit.writes.len());
    for write in &commit.writes {
        let present = rows::read(c, tenant, &write.key, now)?;
        if present.as_ref().map(|document| document.version) != write.expected {
            return Ok(Committed::Conflict);
        }
        match &write.change {
            Change::Erase => planned.push((&write.key, None, None)),
            Change::Put { body, status, created_at, lease, urgent, expires_at } => {
                let Some((lease, due)) = leased(present.as_ref(), *lease) else { return Ok(Committed::Conflict) };
                let document = Document {
                    body: body.clone(),
                    version: commit.version_after(write.expected),
                    status: status.to_string(),
                    created_at: *created_at,
                    due,
                    lease,
                    slot: present.and_then(|document| document.slot),
                    urgent: *urgent,
                };
                planned.push((&write.key, Some(document), *expires_at));
            }
        }
    }
    let mut verdict = Verdict::Go;
    if let Some(reserve) = &commit.reserve {
        let beside =
            planned.iter_mut().find(|(key, ..)| **key == reserve.key).and_then(|(_, document, _)| document.as_mut());
        let mut gate = rows::read_gate(c, tenant, &reserve.gate)?;
        let reserved = gate.reserve(&reserve.gate, beside.as_ref().and_then(|document| document.slot), now);
        rows::write_gate(c, tenant, reserve.gate.upstream, &gate)?;
        verdict = reserved.verdict;
        if let Some(document) = beside {
            document.slot = reserved.slot;
        }
    }
    for (key, document, expires_at) in &planned {
        match document {
            Some(document) => rows::write(c, tenant, key, document, *expires_at)?,
            None => rows::erase(c, tenant, key)?,
        }
    }
    if planned.iter().any(|(key, ..)| key.kind != Kind::Receipt) {
        due::requeue(c, tenant, now)?;
    }
    Ok(Committed::Done(verdict))
}

/// The lease and due time after a change; `None`: the change does not fit the lease.
fn leased(present: Option<&Document>, change: LeaseChange) -> Option<(Option<Lease>, Option<Timestamp>)> {
    let lease = present.and_then(|document| document.lease);
    let stored = present.and_then(|document| document.due);
    match change {
        LeaseChange::Leave { .. } if lease.is_some() => Some((lease, stored)),
        LeaseChange::Leave { due } => Some((None, due)),
        LeaseChange::Take(new) => lease.is_none().then_some((Some(new), stored)),
        LeaseChange::Hold(new) => (lease?.token == new.token).then_some((Some(new), stored)),
        LeaseChange::End { token, due } => (lease?.token == token).then_some((None, due)),
    }
}

fn remembered(c: &Connection, commit: &Commit) -> Result<Option<Committed>> {
    let found: Option<Option<i64>> = c
        .prepare_cached("SELECT slot FROM commits WHERE id = ?1")?
        .query_row([commit.id.to_string()], |row| row.get(0))
        .optional()?;
    Ok(found.map(|slot| match slot {
        None => Committed::Done(Verdict::Go),
        Some(CONFLICT) => Committed::Conflict,
        Some(slot) => Committed::Done(Verdict::At(from_micros(slot))),
    }))
}

fn remember(c: &Connection, commit: &Commit, committed: Committed, now: Timestamp) -> Result<()> {
    let slot = match committed {
        Committed::Done(Verdict::Go) => None,
        Committed::Done(Verdict::At(slot)) => Some(slot.as_microsecond()),
        Committed::Conflict => Some(CONFLICT),
    };
    c.prepare_cached("INSERT INTO commits (id, slot) VALUES (?1, ?2)")?
        .execute(params![commit.id.to_string(), slot])?;
    let seq = c.last_insert_rowid();
    c.prepare_cached("DELETE FROM commits WHERE seq <= ?1")?.execute([seq - REMEMBERED])?;
    // At every commit, by an index of their own: in a file with few commits a press would be found for months after.
    c.prepare_cached("DELETE FROM aggregates WHERE expires_at < ?1")?.execute([now.as_microsecond() - GARBAGE_AGE])?;
    if seq % 256 == 0 {
        rows::collect_gates(c, now.as_microsecond() - GATES_REST)?;
    }
    Ok(())
}
