//! One person whom Attio's list shows as Pending, and whose lead does not say so: looked at once more, at both sides.

use secrecy::SecretString;

use super::{
    run::{Settled, Why},
    step::SyncWork,
};
use crate::{
    clock::Timestamp,
    ids::RecordId,
    leads::{
        lead::{aggregate::Lead, compared::Compared, shown::Showing},
        service::{Leads, lead_key},
    },
    store::{LeaseChange, StoreError, Tenant, Versioned, Write},
    upstream::CallError,
};

/// What this service has of a record.
pub(super) struct Spoken {
    /// The lead that speaks for it.
    pub(super) lead: Option<Versioned<Lead>>,
    /// Merges have left something under it.
    pub(super) is_remembered: bool,
}

impl Leads {
    /// Looks at the last suspect, and does what is to be done.
    pub(super) async fn settle(&self, work: &mut SyncWork, token: &SecretString) -> Result<(), StoreError> {
        let Some(record) = work.run.value.suspects.last().copied() else { return Ok(()) };
        // Before Attio is asked: a lead that changes meanwhile refuses the commit.
        let spoken = match self.speaks_for(&work.tenant, record).await {
            Err(error) if error.is_unreadable() => {
                tracing::warn!(%record, %error, "a full sync leaves a lead alone");
                return self.settled(work, Settled::Left(Why::Unreadable), Vec::new()).await;
            }
            spoken => spoken?,
        };
        let title = match self.parts.attio.read_person(token, record, &self.settings.attributes.status).await {
            Ok(title) => title,
            Err(CallError::NotFound) => return self.settled(work, Settled::Alike, Vec::new()).await,
            Err(error) => return self.sync_failed(work, &error, token, false).await,
        };
        self.attio_answered_sync(work).await;
        let is_pending = title.as_ref() == Some(&self.settings.titles.pending);
        let is_failed = title.as_ref() == Some(&self.settings.titles.failed);
        match spoken.lead {
            Some(lead) if work.run.value.writing => self.settle_pressed(work, lead).await,
            Some(lead) if is_pending => self.settle_ended(work, lead, record).await,
            None if is_pending => self.settle_unknown(work, token, record, spoken.is_remembered).await,
            // A write whose answer was lost has arrived.
            None if is_failed && work.run.value.writing => self.settled(work, Settled::WrittenOff, Vec::new()).await,
            Some(_) | None => self.settled(work, Settled::Alike, Vec::new()).await,
        }
    }

    /// Pending in Attio, and there is a lead.
    async fn settle_ended(
        &self,
        work: &mut SyncWork,
        lead: Versioned<Lead>,
        record: RecordId,
    ) -> Result<(), StoreError> {
        let (settled, writes) = match lead.value.compared(record) {
            Compared::Settled => (Settled::Alike, Vec::new()),
            Compared::Refused => (Settled::Left(Why::Refused), Vec::new()),
            Compared::Untold => (Settled::Left(Why::Untold), Vec::new()),
            Compared::Undone(showing) => (Settled::Mended, vec![self.shown_again(lead, showing)]),
        };
        self.settled(work, settled, writes).await
    }

    fn shown_again(&self, mut lead: Versioned<Lead>, showing: Showing) -> Write {
        let now = self.parts.clock.now();
        lead.value.show_again(showing);
        lead.value.keep_request("shown-again", now);
        due_now(&lead, now)
    }

    /// A press has made a lead of a record into which `Failed` was being written.
    pub(super) async fn settle_pressed(
        &self,
        work: &mut SyncWork,
        mut lead: Versioned<Lead>,
    ) -> Result<(), StoreError> {
        let now = self.parts.clock.now();
        lead.value.overwritten(now);
        self.settled(work, Settled::Alike, vec![due_now(&lead, now)]).await
    }

    /// What this service has of a record, as it is now.
    pub(super) async fn speaks_for(&self, tenant: &Tenant, record: RecordId) -> Result<Spoken, StoreError> {
        let Some(found) = self.parts.store.find::<Lead>(tenant, &lead_key(record).id).await? else {
            return Ok(Spoken { lead: None, is_remembered: false });
        };
        let speaker = self.speaker(tenant, &found).await?;
        let own = (!found.value.forwarding).then_some(found);
        Ok(Spoken { lead: speaker.or(own), is_remembered: true })
    }
}

/// The write of a lead whose worker is to look at it now.
pub(super) fn due_now(lead: &Versioned<Lead>, now: Timestamp) -> Write {
    lead.put(&lead_key(lead.value.record_id).id, LeaseChange::Leave { due: Some(now) })
}
