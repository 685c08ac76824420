//! A person was put into the list that sends by itself (`ATTIO__SEND_ON_LIST`), or is not as they were read for it.
//!
//! Promises that an entry asks once, however often Attio tells of it; that it joins a send that is live, as a press
//! does; and that nothing begins in a workspace that is not connected.

use crate::{
    ids::{EntryId, RecordId, SendId},
    leads::{
        lead::{aggregate::Lead, send::PresentSend},
        service::{Leads, lead_key},
    },
    store::{Commit, Committed, Key, LeaseChange, Patience, StoreError, Tenant, Versioned},
    telemetry::traces,
};

impl Leads {
    /// The record has another name or number, or may have: what was read of it is not believed any more.
    pub(super) async fn forget_known(&self, tenant: &Tenant, record: RecordId) -> Result<(), StoreError> {
        let mut tries = self.parts.store.tries(tenant, Patience::CALLER);
        loop {
            let found = self.find_situation(tenant, &tries, record, None).await?;
            let Some(mut lead) = found.lead else { return Ok(()) };
            if !lead.value.forget_known() {
                return Ok(());
            }
            let due = Some(self.parts.store.now());
            let write = lead.put(&lead_key(lead.value.record_id).id, LeaseChange::Leave { due });
            if matches!(tries.commit(&Commit::of(vec![write])).await?, Committed::Done(_)) {
                return Ok(());
            }
        }
    }

    /// Takes an entry of that record.
    pub(super) async fn take_entry(
        &self,
        tenant: &Tenant,
        (record, entry): (RecordId, EntryId),
    ) -> Result<(), StoreError> {
        let mut tries = self.parts.store.tries(tenant, Patience::CALLER);
        loop {
            let found = self.find_situation(tenant, &tries, record, None).await?;
            // Attio may repeat what it told before the record was merged into another one.
            if found.passed().any(|lead| lead.entries.contains(&entry)) {
                return Ok(());
            }
            // ALC's grant may be dead: the send waits for the workspace to connect again, as no caller can be told.
            let Some(workspace) = found.workspace.filter(|found| found.value.current().is_some()) else {
                return Ok(());
            };
            let now = self.parts.store.now();
            let last = found.lead.as_ref().map(|lead| lead.value.clone());
            let mut send = PresentSend::by_entry(SendId::random(), now);
            send.trace = traces::to_keep();
            send.put_under(workspace.value.sending_webhook());
            let (mut lead, begins) = match found.lead {
                Some(lead) if lead.value.send.outcome.status.is_live() => (lead, None),
                Some(lead) => (lead, Some(send)),
                None => (Versioned::new(Lead::new(record, send)), None),
            };
            if !lead.value.remember_entry(entry) {
                return Ok(());
            }
            let (is_new, mut back) = (begins.is_some() || last.is_none(), None);
            if let Some(send) = begins {
                if lead.value.forwarding {
                    back = self.move_to_end(tenant, &mut lead, now).await?;
                }
                lead.value.follow_with(send, &workspace.value.triggers(), self.settings.deadlines.result);
            }
            lead.value.read_from_memory(now);
            lead.value.keep_history(last.as_deref(), now);
            let write = lead.put(&lead_key(lead.value.record_id).id, LeaseChange::Leave { due: Some(now) });
            let mut commit = Commit::of(vec![write]);
            commit.writes.extend(back);
            if is_new {
                commit.begins = true;
                // No send begins after a removal.
                commit.checks.push((Key::workspace(), workspace.version()));
            }
            if matches!(tries.commit(&commit).await?, Committed::Done(_)) {
                return Ok(());
            }
        }
    }
}
