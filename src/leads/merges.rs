//! Which lead speaks for a record that merges have ended or made.
//!
//! The one resolver for every part of this room that follows merges. What a chain of merges means is decided by the
//! pure [`merge`]; here the leads that it asks for are loaded, until it can answer.

use std::collections::BTreeMap;

use super::{
    lead::{
        aggregate::Lead,
        merge::{self, Known, Unknown},
    },
    service::{Leads, lead_key},
};
use crate::{
    clock::Timestamp,
    ids::RecordId,
    store::{LeaseChange, StoreError, Tenant, Versioned, Write, put},
};

/// Leads as they were loaded; `None`: looked for and not there.
pub(super) type Documents = BTreeMap<RecordId, Option<Versioned<Lead>>>;

/// What a look along the merges came to.
pub(super) struct Resolved<T> {
    /// The answer.
    pub(super) answer: T,
    /// The leads that were looked at, as the look has left them.
    pub(super) known: Known,
    /// The same as they were loaded.
    pub(super) documents: Documents,
}

impl Leads {
    /// What `look` finds. It begins with `documents` and `wanted`, and whatever else it asks for is loaded.
    pub(super) async fn resolve<T>(
        &self,
        tenant: &Tenant,
        mut documents: Documents,
        mut wanted: Vec<RecordId>,
        look: impl Fn(&mut Known) -> Result<T, Unknown>,
    ) -> Result<Resolved<T>, StoreError> {
        loop {
            if !wanted.is_empty() {
                let keys: Vec<_> = wanted.iter().map(|record| lead_key(*record)).collect();
                let mut loaded = self.parts.store.load(tenant, &keys, &[], self.parts.store.now()).await?;
                for record in wanted.drain(..) {
                    documents.insert(record, loaded.take()?);
                }
            }
            let value = |lead: &Option<Versioned<Lead>>| lead.as_ref().map(|lead| Lead::clone(&lead.value));
            let mut known: Known = documents.iter().map(|(record, lead)| (*record, value(lead))).collect();
            match look(&mut known) {
                Ok(answer) => return Ok(Resolved { answer, known, documents }),
                Err(Unknown(record)) => wanted.push(record),
            }
        }
    }

    /// Under which record the lead is that speaks for this one's, if there is one, and the leads on the way to it.
    pub(super) async fn follow(
        &self,
        tenant: &Tenant,
        lead: Versioned<Lead>,
    ) -> Result<Resolved<Option<RecordId>>, StoreError> {
        let record = lead.value.record_id;
        let documents = Documents::from([(record, Some(lead))]);
        self.resolve(tenant, documents, Vec::new(), |known| merge::speaker(known, record)).await
    }

    /// The lead that speaks for this one's record, if that is another one and still there.
    pub(super) async fn speaker(
        &self,
        tenant: &Tenant,
        lead: &Versioned<Lead>,
    ) -> Result<Option<Versioned<Lead>>, StoreError> {
        if lead.value.next_hop().is_none() {
            return Ok(None);
        }
        let mut found = self.follow(tenant, lead.clone()).await?;
        Ok(found.answer.and_then(|speaker| found.documents.remove(&speaker).flatten()))
    }

    /// Of a lead that is taken up under a record which merges have ended: it is shown at what that has become, and the
    /// lead that is kept there is to point back to it. `None`: there was no merge.
    pub(super) async fn move_to_end(
        &self,
        tenant: &Tenant,
        lead: &mut Versioned<Lead>,
        now: Timestamp,
    ) -> Result<Option<Write>, StoreError> {
        let record = lead.value.record_id;
        if lead.value.merged_into.is_none() {
            return Ok(None);
        }
        let documents = Documents::from([(record, Some(lead.clone()))]);
        let mut resolved =
            self.resolve(tenant, documents, Vec::new(), |known| merge::end_of_chain(known, record)).await?;
        let end = resolved.answer;
        let kept = resolved.documents.remove(&end).flatten();
        if end == record || kept.as_ref().is_some_and(|kept| !kept.value.forwarding) {
            // A press has sent the new record since: that lead speaks for it.
            return Ok(None);
        }
        let expected = kept.as_ref().map(Versioned::version);
        let back = merge::speak_at(&mut lead.value, end, kept.map(|kept| *kept.value), now);
        Ok(Some(put(&lead_key(end).id, &back, expected, LeaseChange::Leave { due: Some(now) })))
    }
}
