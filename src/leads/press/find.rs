//! What surrounds a press: one wait for the store, and one more for each merge on the way to the lead.

use super::{
    decide::KeySeen,
    receipt::{Idempotency, Receipt},
};
use crate::{
    connections::Workspace,
    ids::{RecordId, SendId},
    leads::{
        lead::aggregate::Lead,
        service::{Leads, lead_key},
    },
    store::{Key, StoreError, Tenant, Tries, Versioned, gate::GateView},
};

/// What was found, before anything is decided.
pub(in crate::leads) struct Situation {
    pub(in crate::leads) workspace: Option<Versioned<Workspace>>,
    /// The lead that speaks for the record.
    pub(in crate::leads) lead: Option<Versioned<Lead>>,
    /// The leads that merges have led past.
    passed: Vec<Versioned<Lead>>,
    pub(super) receipt: Option<Versioned<Receipt>>,
    /// ALC's gate and Attio's.
    pub(super) gates: [GateView; 2],
}

impl Situation {
    /// A press on a record that has no lead, under a key that was never seen.
    pub(super) fn without_lead(workspace: Versioned<Workspace>, gates: [GateView; 2]) -> Self {
        Self { workspace: Some(workspace), lead: None, passed: Vec::new(), receipt: None, gates }
    }

    /// The leads that merges have led past.
    pub(in crate::leads) fn passed(&self) -> impl Iterator<Item = &Lead> {
        self.passed.iter().map(|lead| &*lead.value)
    }

    /// The lead that has this send.
    pub(super) fn lead_of(&self, send: SendId) -> Option<&Versioned<Lead>> {
        self.lead.iter().chain(&self.passed).find(|lead| lead.value.outcome_of(send).is_some())
    }
}

impl Leads {
    /// Loads what surrounds a press.
    pub(in crate::leads) async fn find_situation(
        &self,
        tenant: &Tenant,
        tries: &Tries<'_>,
        record: RecordId,
        key: Option<&Idempotency>,
    ) -> Result<Situation, StoreError> {
        let asked_at = self.parts.clock.now();
        let mut keys = vec![Key::workspace(), lead_key(record)];
        keys.extend(key.map(|key| key.key.clone()));
        let mut loaded = tries.load(&keys, &self.gates()).await?;
        let workspace: Option<Versioned<Workspace>> = loaded.take()?;
        let mut lead = loaded.take::<Lead>()?;
        let receipt = loaded.take::<Receipt>()?.filter(|receipt| receipt.value.expires_at > self.parts.store.now());
        let mut passed = Vec::new();
        if let Some(own) = lead.take_if(|own| own.value.next_hop().is_some()) {
            let mut followed = self.follow(tenant, own).await?;
            // If the lead that spoke for the record is forgotten, the record speaks for itself again.
            let speaks = followed.answer.unwrap_or(record);
            lead = followed.documents.remove(&speaks).flatten();
            passed.extend(followed.documents.into_values().flatten());
        }
        let gates = loaded.gates();
        if let Some(workspace) = &workspace {
            self.recent.remember(tenant, workspace, gates, asked_at);
        }
        Ok(Situation { workspace, lead, passed, receipt, gates })
    }

    /// What the key of a press is known for.
    pub(super) fn judge_key(&self, key: Option<&Idempotency>, found: &Situation) -> KeySeen {
        let (Some(key), Some(receipt)) = (key, &found.receipt) else { return KeySeen::Never };
        if !self.is_receipt_of(key, &receipt.value) {
            return KeySeen::WithAnotherBody;
        }
        let send = receipt.value.send;
        let view = found.lead_of(send).and_then(|lead| lead.value.view_of(send));
        view.map_or(KeySeen::Never, |view| KeySeen::ForThisSend(send, view))
    }
}
