//! What Attio tells of records: merged, deleted.
//!
//! Promises that nothing changes for who cannot prove the URL and the signature, that an event is durable before it is
//! answered, and that each is one commit over all the leads that it concerns. What it means is decided in `merge`.

use std::collections::BTreeMap;

use super::{Lead, Leads, TRIES, answered_in_time, merge, receipt::digest_of, work::lead_key};
use crate::{
    attio::webhooks::{self, Malformed, RecordEvent},
    clock::Timestamp,
    connections::{self, Workspace},
    ids::{OpaqueToken, RecordId, WorkspaceId},
    store::{Commit, Committed, Key, LeaseChange, StoreError, Tenant, Versioned, Write, put},
};

/// Why events are not accepted.
#[derive(Debug, thiserror::Error)]
pub enum EventsRefused {
    /// No webhook, or none any more, under this token.
    #[error("the webhook is gone")]
    Gone,
    /// The signature is missing or wrong.
    #[error("the signature is refused")]
    Signature,
    /// The body is no call of Attio's.
    #[error(transparent)]
    Malformed(Malformed),
    /// Not durable: Attio is to try again.
    #[error(transparent)]
    Store(#[from] StoreError),
}

type Found = BTreeMap<RecordId, Option<Versioned<Lead>>>;

impl Leads {
    /// Takes a call of Attio's; `token` is the last part of the URL, one of `signatures` has to be right, `call` is the
    /// `Idempotency-Key`, which Attio keeps over its repeats.
    pub async fn take_attio_events(
        &self,
        token: &str,
        signatures: &[&str],
        call: Option<&str>,
        body: &[u8],
    ) -> Result<(), EventsRefused> {
        answered_in_time(self.take_events(token, signatures, call, body)).await
    }

    async fn take_events(
        &self,
        token: &str,
        signatures: &[&str],
        call: Option<&str>,
        body: &[u8],
    ) -> Result<(), EventsRefused> {
        let token = OpaqueToken::parse(token).ok_or(EventsRefused::Gone)?;
        let id: WorkspaceId = token.owner.parse().map_err(|_| EventsRefused::Gone)?;
        let tenant = connections::tenant(id);
        let workspace: Versioned<Workspace> = self.parts.connections.load(&tenant).await?.ok_or(EventsRefused::Gone)?;
        let webhook = workspace.value.attio_webhook_by_secret(&token.secret).ok_or(EventsRefused::Gone)?;
        let secret = self.parts.connections.attio_webhook_secret(&workspace.value, webhook).map_err(|error| {
            tracing::error!(%error, "a webhook's secret cannot be opened");
            // Fails closed: Attio tries again until the operator has put the key back.
            StoreError::Corrupt("a webhook's secret cannot be opened".to_owned())
        })?;
        // Attio's answer with the secret may still be on its way: later it can be judged.
        let secret = secret.ok_or_else(|| StoreError::Unavailable("the webhook is being made".to_owned()))?;
        if !signatures.iter().any(|signature| webhooks::is_signed(&secret, signature, body)) {
            return Err(EventsRefused::Signature);
        }
        let call = call.map(digest_of);
        let mut malformed = Ok(());
        for event in webhooks::events(body, id).map_err(EventsRefused::Malformed)? {
            match event {
                Ok(event) => self.take_event(&tenant, event, call.as_deref()).await?,
                Err(bad) => malformed = Err(EventsRefused::Malformed(bad)),
            }
        }
        malformed
    }

    async fn take_event(&self, tenant: &Tenant, event: RecordEvent, call: Option<&str>) -> Result<(), StoreError> {
        for _ in 0..TRIES {
            let now = self.parts.clock.now();
            let found = self.find_concerned(tenant, event, call, now).await?;
            if self.write_changed(tenant, found, now).await? {
                return Ok(());
            }
        }
        Err(StoreError::Unavailable("too many conflicts on one lead".to_owned()))
    }

    /// The leads that the event concerns, as they were and as they become.
    async fn find_concerned(
        &self,
        tenant: &Tenant,
        event: RecordEvent,
        call: Option<&str>,
        now: Timestamp,
    ) -> Result<(Found, merge::Known), StoreError> {
        let mut wanted = match event {
            RecordEvent::Merged { into, from } => vec![into, from],
            RecordEvent::Deleted(record) => vec![record],
        };
        let mut found = Found::new();
        loop {
            let keys: Vec<_> = wanted.iter().map(|record| lead_key(*record)).collect();
            let loaded = self.parts.store.load(tenant, &keys, &[], now).await?;
            for (record, document) in wanted.drain(..).zip(loaded.documents) {
                found.insert(record, document.map(Versioned::read).transpose()?);
            }
            let known = |lead: &Option<Versioned<Lead>>| lead.as_ref().map(|lead| lead.value.clone());
            let mut known: merge::Known = found.iter().map(|(record, lead)| (*record, known(lead))).collect();
            let outcome = match event {
                RecordEvent::Merged { into, from } => merge::merged(&mut known, into, from, now),
                RecordEvent::Deleted(record) => merge::deleted(&mut known, record, call, now),
            };
            match outcome {
                Ok(()) => return Ok((found, known)),
                Err(merge::Unknown(record)) => wanted.push(record),
            }
        }
    }

    /// Writes what has changed, all or nothing; `false` on a conflict.
    async fn write_changed(
        &self,
        tenant: &Tenant,
        (found, known): (Found, merge::Known),
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut commit = Commit::of(Vec::new());
        for (record, lead) in known {
            let before = found.get(&record).and_then(Option::as_ref);
            match lead {
                Some(lead) if before.is_none_or(|before| before.value != lead) => {
                    let change = LeaseChange::Leave { due: Some(now) };
                    commit.writes.push(put(&lead_key(record).id, &lead, before.map(Versioned::version), change));
                }
                _ => commit.checks.extend(before.map(|before| (lead_key(record), before.version()))),
            }
        }
        if commit.writes.is_empty() {
            return Ok(true);
        }
        Ok(matches!(self.parts.store.commit(tenant, &commit, now).await?, Committed::Done(_)))
    }

    /// The lead that speaks for this one's record, if that is another one and still there.
    pub(super) async fn speaker_of(&self, tenant: &Tenant, lead: &Lead) -> Result<Option<Lead>, StoreError> {
        Ok(self.speaker_document(tenant, lead).await?.map(|lead| lead.value))
    }

    /// As [`Leads::speaker_of`], to be written.
    pub(super) async fn speaker_document(
        &self,
        tenant: &Tenant,
        lead: &Lead,
    ) -> Result<Option<Versioned<Lead>>, StoreError> {
        if lead.next_hop().is_none() {
            return Ok(None);
        }
        let (record, mut documents) = self.follow(tenant, lead, merge::speaker).await?;
        Ok(record.and_then(|record| documents.remove(&record).flatten()))
    }

    /// Of a lead that is taken up under a record which merges have ended: it is shown at what that has become, and what
    /// is kept there is to point back to it. `None`: there was no merge.
    pub(super) async fn moved_to_end(
        &self,
        tenant: &Tenant,
        lead: &mut Lead,
        now: Timestamp,
    ) -> Result<Option<Write>, StoreError> {
        if lead.merged_into.is_none() {
            return Ok(None);
        }
        let (end, mut documents) = self.follow(tenant, lead, merge::end_of_chain).await?;
        if end == lead.record_id {
            return Ok(None);
        }
        let found = documents.remove(&end).flatten();
        if found.as_ref().is_some_and(|found| !found.value.forwarding) {
            // Somebody has sent the new record since, and speaks for it.
            return Ok(None);
        }
        let expected = found.as_ref().map(Versioned::version);
        let back = merge::speaks_at(lead, end, found.map(|found| found.value), now);
        Ok(Some(put(&lead_key(end).id, &back, expected, LeaseChange::Leave { due: Some(now) })))
    }

    /// What `look` finds from this lead's record on, and the documents that were loaded for it.
    async fn follow<T>(
        &self,
        tenant: &Tenant,
        lead: &Lead,
        look: impl Fn(&merge::Known, RecordId) -> Result<T, merge::Unknown>,
    ) -> Result<(T, Found), StoreError> {
        let mut known = merge::Known::from([(lead.record_id, Some(lead.clone()))]);
        let mut documents = Found::new();
        loop {
            match look(&known, lead.record_id) {
                Ok(found) => return Ok((found, documents)),
                Err(merge::Unknown(record)) => {
                    let keys: [Key; 1] = [lead_key(record)];
                    let loaded = self.parts.store.load(tenant, &keys, &[], self.parts.clock.now()).await?;
                    let document = loaded.documents.into_iter().next().flatten();
                    let document = document.map(Versioned::<Lead>::read).transpose()?;
                    known.insert(record, document.as_ref().map(|lead| lead.value.clone()));
                    documents.insert(record, document);
                }
            }
        }
    }
}
