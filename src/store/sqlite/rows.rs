//! Rows and back: one aggregate, one gate.
//!
//! Promises that a receipt past its `expires_at` is never seen, and that nothing outside knows the columns.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use uuid::Uuid;

use crate::{
    clock::from_micros,
    store::{
        Cursor, Document, Key, Kind, Lease, Loaded, Tenant,
        gate::{Gate, GateState},
    },
};

type Result<T> = std::result::Result<T, rusqlite::Error>;

/// What [`document`] reads, in its order.
pub(super) const COLUMNS: &str = "body, version, status, created_at, due, lease_token, lease_until, slot, urgent";

/// A row that begins with [`COLUMNS`].
pub(super) fn document(row: &Row<'_>) -> Result<Document> {
    Ok(Document {
        body: row.get(0)?,
        version: row.get::<_, i64>(1)?.cast_unsigned(),
        status: row.get(2)?,
        created_at: from_micros(row.get(3)?),
        due: time(row, 4)?,
        lease: lease(row, 5)?,
        slot: time(row, 7)?,
        urgent: row.get(8)?,
    })
}

fn time(row: &Row<'_>, column: usize) -> Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(from_micros))
}

fn lease(row: &Row<'_>, column: usize) -> Result<Option<Lease>> {
    let (Some(token), Some(until)) = (row.get::<_, Option<String>>(column)?, time(row, column + 1)?) else {
        return Ok(None);
    };
    let token = Uuid::parse_str(&token).map_err(|_| {
        rusqlite::Error::InvalidColumnType(column, "lease_token".to_owned(), rusqlite::types::Type::Text)
    })?;
    Ok(Some(Lease { token, until }))
}

/// The aggregate at `now`.
pub(super) fn read(c: &Connection, tenant: &Tenant, key: &Key, now: Timestamp) -> Result<Option<Document>> {
    c.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM aggregates
         WHERE tenant = ?1 AND kind = ?2 AND id = ?3 AND (expires_at IS NULL OR expires_at > ?4)"
    ))?
    .query_row(params![tenant.as_str(), key.kind.name(), key.id, now.as_microsecond()], document)
    .optional()
}

/// See [`crate::store::Engine::load`].
pub(super) fn load(c: &Connection, tenant: &Tenant, keys: &[Key], gates: &[Gate], now: Timestamp) -> Result<Loaded> {
    let documents = keys.iter().map(|key| read(c, tenant, key, now)).collect::<Result<_>>()?;
    let gates = gates.iter().map(|gate| Ok(read_gate(c, tenant, gate)?.view(now))).collect::<Result<_>>()?;
    Ok(Loaded::new(documents, gates))
}

/// The leads of one status after `cursor`, newest first, one more than `limit` at most.
pub(super) fn page(
    c: &Connection,
    tenant: &Tenant,
    status: &str,
    cursor: Option<&Cursor>,
    limit: usize,
) -> Result<Vec<(Key, Document)>> {
    let after = cursor.map_or((i64::MAX, ""), |cursor| (cursor.created_at.as_microsecond(), &*cursor.id));
    let mut statement = c.prepare_cached(&format!(
        "SELECT {COLUMNS}, id FROM aggregates WHERE tenant = ?1 AND kind = 'lead' AND status = ?2
         AND (created_at, id) < (?3, ?4) ORDER BY created_at DESC, id DESC LIMIT ?5"
    ))?;
    let one_more = i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX);
    let found = statement.query_map(params![tenant.as_str(), status, after.0, after.1, one_more], |row| {
        Ok((Key::new(Kind::Lead, row.get::<_, String>("id")?), document(row)?))
    })?;
    found.collect()
}

/// Writes the aggregate, whatever was there.
pub(super) fn write(
    c: &Connection,
    tenant: &Tenant,
    key: &Key,
    document: &Document,
    expires_at: Option<Timestamp>,
) -> Result<()> {
    let expires_at = expires_at.filter(|_| key.kind == Kind::Receipt);
    c.prepare_cached(
        "INSERT INTO aggregates
             (tenant, kind, id, body, version, status, created_at, due, lease_token, lease_until, slot, expires_at, urgent)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
         ON CONFLICT (tenant, kind, id) DO UPDATE SET
             body = excluded.body, version = excluded.version, status = excluded.status,
             created_at = excluded.created_at, due = excluded.due, lease_token = excluded.lease_token,
             lease_until = excluded.lease_until, slot = excluded.slot, expires_at = excluded.expires_at,
             urgent = excluded.urgent",
    )?
    .execute(params![
        tenant.as_str(),
        key.kind.name(),
        key.id,
        document.body,
        document.version.cast_signed(),
        document.status,
        document.created_at.as_microsecond(),
        document.due.map(Timestamp::as_microsecond),
        document.lease.map(|lease| lease.token.to_string()),
        document.lease.map(|lease| lease.until.as_microsecond()),
        document.slot.map(Timestamp::as_microsecond),
        expires_at.map(Timestamp::as_microsecond),
        document.urgent,
    ])?;
    Ok(())
}

/// Removes the aggregate from the table and so from every index.
pub(super) fn erase(c: &Connection, tenant: &Tenant, key: &Key) -> Result<()> {
    c.prepare_cached("DELETE FROM aggregates WHERE tenant = ?1 AND kind = ?2 AND id = ?3")?.execute(params![
        tenant.as_str(),
        key.kind.name(),
        key.id
    ])?;
    Ok(())
}

/// Keeps `slot` beside the aggregate; its version stays.
pub(super) fn keep_slot(c: &Connection, tenant: &Tenant, key: &Key, slot: Option<Timestamp>) -> Result<()> {
    c.prepare_cached("UPDATE aggregates SET slot = ?4 WHERE tenant = ?1 AND kind = ?2 AND id = ?3")?
        .execute(params![tenant.as_str(), key.kind.name(), key.id, slot.map(Timestamp::as_microsecond)])?;
    Ok(())
}

/// The gate; one never used before is open and idle.
pub(super) fn read_gate(c: &Connection, tenant: &Tenant, gate: &Gate) -> Result<GateState> {
    let state: Option<String> = c
        .prepare_cached("SELECT state FROM gates WHERE tenant = ?1 AND upstream = ?2")?
        .query_row(params![tenant.as_str(), gate.upstream], |row| row.get(0))
        .optional()?;
    // A gate that cannot be read is worth less than the service: it begins anew.
    Ok(state.and_then(|state| serde_json::from_str(&state).ok()).unwrap_or_default())
}

/// Forgets the gates that have been at rest since before then, whatever they said; one that counts failures and has not
/// opened is kept as long as its tenant has anything here.
pub(super) fn collect_gates(c: &Connection, before: i64) -> Result<()> {
    c.prepare_cached(
        "DELETE FROM gates WHERE CASE WHEN NOT json_valid(state) THEN 1 ELSE
             max(coalesce(json_extract(state, '$.grid'), 0), coalesce(json_extract(state, '$.tail'), 0),
                 coalesce(json_extract(state, '$.returning'), 0), coalesce(json_extract(state, '$.departures[#-1]'), 0),
                 coalesce(json_extract(state, '$.paused_until'), 0), coalesce(json_extract(state, '$.open_until'), 0),
                 coalesce(json_extract(state, '$.probe_until'), 0)) < ?1
             AND (coalesce(json_extract(state, '$.failures'), 0) = 0
                 OR json_extract(state, '$.open_until') IS NOT NULL
                 OR NOT EXISTS (SELECT 1 FROM aggregates WHERE aggregates.tenant = gates.tenant))
         END",
    )?
    .execute([before])?;
    Ok(())
}

/// Keeps the gate.
pub(super) fn write_gate(c: &Connection, tenant: &Tenant, upstream: &str, state: &GateState) -> Result<()> {
    let state = serde_json::to_string(state).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    c.prepare_cached(
        "INSERT INTO gates (tenant, upstream, state) VALUES (?1, ?2, ?3)
         ON CONFLICT (tenant, upstream) DO UPDATE SET state = excluded.state",
    )?
    .execute(params![tenant.as_str(), upstream, state])?;
    Ok(())
}
