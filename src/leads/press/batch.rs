//! Many presses at once: `POST /v1/leads/batch`.
//!
//! Promises that each item fares as a press of its own would, that a bad one stops no other, and that the answer waits
//! for the store alone: items are stored with due times one slot of Attio's gate apart, and the reconciler sends them.

use std::collections::HashMap;

use futures_util::stream::{self, StreamExt as _};

use super::{
    answer::{Accepted, NewLead, SendRefused},
    receipt::Idempotency,
};
use crate::{
    clock::later,
    connections,
    ids::{ConnectionId, RecordId, WorkspaceId},
    leads::{
        reads::{ReadRefused, may_read},
        service::Leads,
    },
};

/// Items worked on at once. Enough to share the SQLite writer's transactions and to hide Redis's round trips; few
/// enough that a batch does not starve the single presses beside it.
const AT_ONCE: usize = 16;

/// What became of an item.
pub type ItemResult = Result<Accepted, SendRefused>;

impl Leads {
    /// Sends many leads; one result for each, in their order. The same record again joins the first of its items.
    pub async fn send_batch(
        &self,
        workspace: WorkspaceId,
        connection: ConnectionId,
        items: Vec<NewLead>,
        idempotency_key: Option<&str>,
    ) -> Result<Vec<ItemResult>, ReadRefused> {
        let tenant = connections::tenant(workspace);
        // A token that is no good, or a store that is down, concerns the batch and not its items.
        let found = self.parts.connections.load(&tenant).await?;
        may_read(found.as_ref(), connection)?;
        // Items of one record take turns, so that which of them is sent does not depend on chance.
        let mut records: HashMap<RecordId, Vec<(usize, NewLead)>> = HashMap::new();
        for (index, item) in items.into_iter().enumerate() {
            records.entry(item.record_id).or_default().push((index, item));
        }
        let (tenant, now) = (&tenant, self.parts.clock.now());
        // Sent faster than Attio's gate lets a Pending through, they would only wait there, and keep the workspace's
        // workers from what is due meanwhile.
        let pace = self.pace();
        let turn_of = |index: usize| later(now, pace.saturating_mul(u32::try_from(index).unwrap_or(u32::MAX)));
        let pressed = stream::iter(records.into_values()).map(|items| async move {
            let mut results = Vec::with_capacity(items.len());
            for (turn, (index, new)) in items.into_iter().enumerate() {
                // A key is for one request, and each item is one.
                let key =
                    idempotency_key.map(|key| Idempotency::new(&format!("{key}\0{}\0{turn}", new.record_id), &new));
                results.push((index, self.press(tenant, connection, (&new, turn_of(index)), key.as_ref()).await));
            }
            results
        });
        let results: Vec<Vec<_>> = pressed.buffer_unordered(AT_ONCE).collect().await;
        let mut results: Vec<_> = results.into_iter().flatten().collect();
        results.sort_by_key(|(index, _)| *index);
        let (_, results): (Vec<usize>, Vec<ItemResult>) = results.into_iter().unzip();
        Ok(results)
    }
}
