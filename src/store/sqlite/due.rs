//! Due times: whose turn it is, leasing, waking.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::rows;
use crate::{
    clock::{from_micros, later},
    ids::random_uuid,
    store::{Key, Kind, Lease, LeaseRequest, Leased, Quota, Taken, Tenant},
};

type Result<T> = std::result::Result<T, rusqlite::Error>;

/// Puts a tenant in the queue for leases, after something changed its earliest due time. A tenant that waits
/// for its turn already keeps its place.
pub(super) fn requeue(c: &Connection, tenant: &Tenant, now: Timestamp) -> Result<()> {
    let now = now.as_microsecond();
    let Some(earliest) = earliest(c, tenant)? else {
        c.prepare_cached("DELETE FROM turns WHERE tenant = ?1")?.execute([tenant.as_str()])?;
        return Ok(());
    };
    let turn: Option<i64> = c
        .prepare_cached("SELECT turn FROM turns WHERE tenant = ?1")?
        .query_row([tenant.as_str()], |row| row.get(0))
        .optional()?;
    if earliest > now || turn.is_none_or(|turn| turn > now) {
        set_turn(c, tenant, earliest)?;
    }
    Ok(())
}

fn earliest(c: &Connection, tenant: &Tenant) -> Result<Option<i64>> {
    c.prepare_cached("SELECT min(due_at) FROM aggregates WHERE tenant = ?1 AND due_at IS NOT NULL")?
        .query_row([tenant.as_str()], |row| row.get(0))
}

fn set_turn(c: &Connection, tenant: &Tenant, turn: i64) -> Result<()> {
    c.prepare_cached(
        "INSERT INTO turns (tenant, turn) VALUES (?1, ?2) ON CONFLICT (tenant) DO UPDATE SET turn = excluded.turn",
    )?
    .execute(params![tenant.as_str(), turn])?;
    Ok(())
}

/// See [`crate::store::Engine::lease_due`].
pub(super) fn lease(c: &Connection, request: &LeaseRequest, now: Timestamp) -> Result<Vec<Leased>> {
    let mut leased = Vec::new();
    for (urgent, quota) in [(true, &request.urgent), (false, &request.others)] {
        leased.extend(lease_lane(c, quota, urgent, request.duration, now)?);
    }
    let served: BTreeSet<_> = leased.iter().map(|one| one.tenant.clone()).collect();
    for tenant in served {
        if let Some(earliest) = earliest(c, &tenant)? {
            // Served: with more due it goes to the end of the queue.
            set_turn(c, &tenant, earliest.max(now.as_microsecond()))?;
        }
        if request.beside.is_empty() {
            continue;
        }
        let beside = match rows::load(c, &tenant, &request.beside.keys, &request.beside.gates, now) {
            Ok(beside) => Some(beside),
            // It has ended the transaction, and with it the leases.
            Err(error) if c.is_autocommit() => return Err(error),
            // What is damaged there must not keep its leads from a worker, which will find it out.
            Err(_) => None,
        };
        leased.iter_mut().filter(|one| one.tenant == tenant).for_each(|one| one.beside.clone_from(&beside));
    }
    Ok(leased)
}

/// Leases of what is urgent, or of the others: one of each tenant, then the second of each, and so on.
fn lease_lane(c: &Connection, quota: &Quota, urgent: bool, duration: Duration, now: Timestamp) -> Result<Vec<Leased>> {
    let mut tenants = tenants_due(c, quota.tenants_to_look_at(), urgent, now)?;
    tenants.retain(|tenant| !quota.skip.contains(tenant));
    tenants.truncate(quota.max);
    let mut queues = Vec::new();
    for tenant in tenants {
        queues.push((keys_due(c, &tenant, quota.per_tenant.min(quota.max), urgent, now)?.into_iter(), tenant));
    }
    let mut leased = Vec::new();
    while leased.len() < quota.max {
        let before = leased.len();
        for (keys, tenant) in &mut queues {
            if leased.len() < quota.max
                && let Some(key) = keys.next()
                && let Some(one) = lease_one(c, tenant, key, duration, now)?
            {
                leased.push(one);
            }
        }
        if leased.len() == before {
            break;
        }
    }
    Ok(leased)
}

/// In the words of the index over what is urgent, which SQLite uses for a constant alone.
const fn lane(urgent: bool) -> &'static str {
    if urgent { "urgent = 1" } else { "urgent = 0" }
}

fn tenants_due(c: &Connection, at_most: usize, urgent: bool, now: Timestamp) -> Result<Vec<Tenant>> {
    let mut statement = c.prepare_cached(&format!(
        "SELECT tenant FROM turns WHERE turn <= ?1 AND EXISTS (
             SELECT 1 FROM aggregates WHERE aggregates.tenant = turns.tenant AND {}
             AND due_at IS NOT NULL AND due_at <= ?1)
         ORDER BY turn, tenant LIMIT ?2",
        lane(urgent)
    ))?;
    let at_most = i64::try_from(at_most).unwrap_or(i64::MAX);
    let tenants =
        statement.query_map(params![now.as_microsecond(), at_most], |row| Ok(Tenant::new(row.get::<_, String>(0)?)))?;
    tenants.collect()
}

fn keys_due(c: &Connection, tenant: &Tenant, at_most: usize, urgent: bool, now: Timestamp) -> Result<Vec<Key>> {
    let mut statement = c.prepare_cached(&format!(
        "SELECT kind, id FROM aggregates WHERE tenant = ?1 AND {} AND due_at IS NOT NULL AND due_at <= ?2
         ORDER BY due_at LIMIT ?3",
        lane(urgent)
    ))?;
    let at_most = i64::try_from(at_most).unwrap_or(i64::MAX);
    let keys = statement.query_map(params![tenant.as_str(), now.as_microsecond(), at_most], |row| {
        Ok((row.get::<_, String>(0)?, row.get(1)?))
    })?;
    // A kind of a newer version is left to that version.
    keys.filter_map(|key| key.map(|(kind, id)| Kind::from_name(&kind).map(|kind| Key { kind, id })).transpose())
        .collect()
}

fn lease_one(c: &Connection, tenant: &Tenant, key: Key, duration: Duration, now: Timestamp) -> Result<Option<Leased>> {
    let Some(mut document) = rows::read(c, tenant, &key, now)? else { return Ok(None) };
    let lease = Lease { token: random_uuid(), until: later(now, duration) };
    c.prepare_cached(
        "UPDATE aggregates SET lease_token = ?4, lease_until = ?5 WHERE tenant = ?1 AND kind = ?2 AND id = ?3",
    )?
    .execute(params![
        tenant.as_str(),
        key.kind.name(),
        key.id,
        lease.token.to_string(),
        lease.until.as_microsecond()
    ])?;
    let ran_out = document.lease.replace(lease).is_some();
    Ok(Some(Leased { tenant: tenant.clone(), key, document, ran_out, beside: None }))
}

/// See [`crate::store::Engine::put_back`].
pub(super) fn put_back(c: &Connection, tenant: &Tenant, taken: &Taken, due: Timestamp, now: Timestamp) -> Result<bool> {
    let change = if taken.ran_out { "lease_until = ?5" } else { "lease_token = NULL, lease_until = NULL, due = ?5" };
    let changed = c
        .prepare_cached(&format!(
            "UPDATE aggregates SET {change} WHERE tenant = ?1 AND kind = ?2 AND id = ?3 AND lease_token = ?4"
        ))?
        .execute(params![
            tenant.as_str(),
            taken.key.kind.name(),
            taken.key.id,
            taken.token.to_string(),
            due.as_microsecond()
        ])?;
    requeue(c, tenant, now)?;
    Ok(changed > 0)
}

/// Whether anything is.
pub(super) fn any(c: &Connection, now: Timestamp) -> Result<bool> {
    c.prepare_cached("SELECT EXISTS (SELECT 1 FROM aggregates WHERE due_at <= ?1)")?
        .query_row([now.as_microsecond()], |row| row.get(0))
}

/// See [`crate::store::Engine::next_due`].
pub(super) fn next(c: &Connection, now: Timestamp) -> Result<Option<Timestamp>> {
    c.prepare_cached("SELECT min(due_at) FROM aggregates WHERE due_at > ?1")?
        .query_row([now.as_microsecond()], |row| row.get::<_, Option<i64>>(0))
        .map(|due| due.map(from_micros))
}

/// See [`crate::store::Engine::wake`]: the ids of the aggregates to be woken, in the order of their creation.
pub(super) fn unleased(c: &Connection, tenant: &Tenant, kind: Kind, statuses: &[String]) -> Result<Vec<String>> {
    let mut found: Vec<(i64, String)> = Vec::new();
    for (at, status) in statuses.iter().enumerate() {
        if kind == Kind::Receipt || statuses[..at].contains(status) {
            continue;
        }
        let mut statement = c.prepare_cached(
            "SELECT created_at, id FROM aggregates
             WHERE tenant = ?1 AND kind = ?2 AND status = ?3 AND lease_token IS NULL",
        )?;
        let rows =
            statement.query_map(params![tenant.as_str(), kind.name(), status], |row| Ok((row.get(0)?, row.get(1)?)))?;
        for row in rows {
            found.push(row?);
        }
    }
    found.sort_unstable();
    Ok(found.into_iter().map(|(_, id)| id).collect())
}

/// One round of [`crate::store::Engine::wake`].
pub(super) fn wake(
    c: &Connection,
    tenant: &Tenant,
    kind: Kind,
    statuses: &[String],
    round: &[(String, Timestamp)],
    now: Timestamp,
) -> Result<u64> {
    let mut status = c.prepare_cached(
        "SELECT status FROM aggregates WHERE tenant = ?1 AND kind = ?2 AND id = ?3 AND lease_token IS NULL",
    )?;
    let mut update = c.prepare_cached(
        "UPDATE aggregates SET due = min(coalesce(due, ?4), ?4) WHERE tenant = ?1 AND kind = ?2 AND id = ?3",
    )?;
    let mut woken = 0;
    for (id, due) in round {
        let found: Option<String> =
            status.query_row(params![tenant.as_str(), kind.name(), id], |row| row.get(0)).optional()?;
        if found.is_some_and(|status| statuses.contains(&status)) {
            update.execute(params![tenant.as_str(), kind.name(), id, due.as_microsecond()])?;
            woken += 1;
        }
    }
    requeue(c, tenant, now)?;
    Ok(woken)
}
