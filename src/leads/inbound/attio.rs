//! What Attio tells of records: merged, deleted, put into the list that sends by itself.
//!
//! Promises that each event is one commit over all the leads that it concerns. What it means is decided in
//! [`crate::leads::lead::merge`].

use super::patience::answered_in_time;
use crate::{
    alc::Words,
    attio::webhooks::{self, Malformed, RecordEvent},
    clock::Timestamp,
    connections::{self, Workspace},
    ids::{OpaqueToken, WorkspaceId},
    leads::{
        lead::merge,
        merges::{Documents, Resolved},
        places::digest_of,
        service::{Leads, lead_key},
    },
    store::{Commit, Committed, LeaseChange, Patience, StoreError, Tenant, Versioned, put},
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
        for event in webhooks::events(body, id, workspace.value.people.as_deref()).map_err(EventsRefused::Malformed)? {
            match event {
                Ok(event) => self.take_event(&workspace.value, &tenant, event, call.as_deref()).await?,
                Err(bad) => malformed = Err(EventsRefused::Malformed(bad)),
            }
        }
        malformed
    }

    async fn take_event(
        &self,
        workspace: &Workspace,
        tenant: &Tenant,
        event: RecordEvent,
        call: Option<&str>,
    ) -> Result<(), StoreError> {
        if let RecordEvent::Entered { list, entry, record } = event {
            let is_wanted = self.parts.connections.list_that_sends(workspace) == Some(list);
            return if is_wanted { self.take_entry(tenant, (record, entry)).await } else { Ok(()) };
        }
        if let RecordEvent::Changed(record) = event {
            return self.forget_known(tenant, record).await;
        }
        let mut tries = self.parts.store.tries(tenant, Patience::CALLER);
        loop {
            let now = self.parts.store.now();
            let concerned = match event {
                RecordEvent::Merged { into, from } => vec![into, from],
                RecordEvent::Deleted(record) => vec![record],
                RecordEvent::Entered { .. } | RecordEvent::Changed(_) => Vec::new(),
            };
            let resolved = self.resolve(tenant, Documents::new(), concerned, |known| match event {
                RecordEvent::Merged { into, from } => merge::merged(known, into, from, now),
                RecordEvent::Deleted(record) => merge::deleted(known, record, call, now),
                RecordEvent::Entered { .. } | RecordEvent::Changed(_) => Ok(()),
            });
            let resolved = resolved.await?;
            let commit = self.commit_told(tenant, &resolved, now);
            if commit.writes.is_empty() || matches!(tries.commit(&commit).await?, Committed::Done(_)) {
                for (record, lead) in &resolved.known {
                    let before = resolved.documents.get(record).and_then(Option::as_ref).map(|lead| &*lead.value);
                    lead.iter().for_each(|lead| Self::count_given_up(before, lead));
                }
                return Ok(());
            }
        }
    }

    /// Writes the leads that have changed, all or nothing, if those that were looked at stand as they were.
    fn commit_told(&self, tenant: &Tenant, resolved: &Resolved<()>, now: Timestamp) -> Commit {
        let mut commit = Commit::of(Vec::new());
        for (record, lead) in &resolved.known {
            let before = resolved.documents.get(record).and_then(Option::as_ref);
            match lead {
                Some(lead) if before.is_none_or(|before| *before.value != *lead) => {
                    let change = LeaseChange::Leave { due: Some(now) };
                    let (mut lead, last) = (lead.clone(), before.map(|before| &*before.value));
                    // A merge may bring back a send whose result was told after the record's deletion.
                    self.owe_more(tenant, &mut lead, last, &Words::default(), now);
                    lead.keep_history(last, now);
                    commit.writes.push(put(&lead_key(*record).id, &lead, before.map(Versioned::version), change));
                }
                _ => commit.checks.extend(before.map(|before| (lead_key(*record), before.version()))),
            }
        }
        commit
    }
}
