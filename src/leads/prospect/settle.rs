//! From a person whom ALC brought to the lead of their record.

use super::{aggregate::Prospect, resealing::logical_key};
use crate::{
    alc::Words,
    ids::{RecordId, SendId},
    leads::{
        lead::{aggregate::Lead, send::PresentSend},
        service::{Leads, lead_key},
    },
    store::{Change, Commit, Committed, Key, LeaseChange, Patience, StoreError, Tenant, Versioned, Write, put},
};

impl Leads {
    /// Attio has the person, as `record`: in one commit they are forgotten here and what ALC said is the record's
    /// lead's to show. Whichever worker holds the lease, this is done once: the commit expects what was read.
    pub(super) async fn settle_prospect(&self, tenant: &Tenant, key: &Key, record: RecordId) -> Result<(), StoreError> {
        let mut tries = self.parts.store.tries(tenant, Patience::Fact);
        loop {
            let mut loaded = tries.load(&[key.clone(), lead_key(record)], &[]).await?;
            let Some(prospect) = loaded.take::<Prospect>()? else { return Ok(()) };
            let found = match loaded.take::<Lead>()? {
                // Merges have ended or made the record: the lead that speaks for it.
                Some(lead) if lead.value.next_hop().is_some() => self.speaker(tenant, &lead).await?.or(Some(lead)),
                found => found,
            };
            let erase = Write { key: key.clone(), expected: Some(prospect.version()), change: Change::Erase };
            let mut commit = Commit::of(vec![erase]);
            let words = self.open_words(&logical_key(tenant, &key.id), prospect.value.words.as_ref());
            commit.writes.extend(self.told_by(tenant, record, (&prospect.value, &words), found).await?);
            if let Committed::Done(_) = tries.commit(&commit).await? {
                tracing::info!(record = %record, "a person whom ALC brought is in Attio");
                return Ok(());
            }
        }
    }

    /// The writes by which the record's lead knows what ALC said; none if it knew.
    async fn told_by(
        &self,
        tenant: &Tenant,
        record: RecordId,
        (prospect, words): (&Prospect, &Words),
        found: Option<Versioned<Lead>>,
    ) -> Result<Vec<Write>, StoreError> {
        let now = self.parts.store.now();
        let mut send = PresentSend::new(SendId::random(), now);
        send.webhook = Some(prospect.webhook);
        let before = found.as_ref().map(|lead| lead.value.clone());
        let (mut lead, mut back) = (found, None);
        let lead = match &mut lead {
            Some(lead) if !lead.value.forwarding => {
                if !lead.value.take_brought(prospect.brought(), send, now) {
                    return Ok(Vec::new());
                }
                lead
            }
            lead => {
                let lead = lead.get_or_insert_with(|| Versioned::new(Lead::new(record, send.clone())));
                lead.value.adopt_brought(prospect.brought(), send, now);
                back = self.move_to_end(tenant, lead, now).await?;
                lead
            }
        };
        self.owe_more(tenant, &mut lead.value, before.as_deref(), words, now);
        lead.value.keep_history(before.as_deref(), now);
        let change = LeaseChange::Leave { due: Some(now) };
        let expected = (lead.version() > 0).then(|| lead.version());
        let own = put(&lead_key(lead.value.record_id).id, &*lead.value, expected, change);
        Ok(std::iter::once(own).chain(back).collect())
    }
}
