//! What a press is answered.
//!
//! Promises that the answer is true of the send that was asked for when it is given: whoever waited to the end is told
//! from the store, and a refusal that is being written down is waited for.

use std::time::Duration;

use super::{
    Leads,
    accept::{Accepted, SendRefused},
    lead::{Lead, LeadView},
    send::Status,
    two,
    waiter::Waiting,
    work::lead_key,
};
use crate::{
    clock::{Timestamp, later},
    connections::{self, Workspace},
    ids::{RecordId, SendId},
    store::{Commit, Committed, Key, LeaseChange, StoreError, Tenant, Versioned, put},
};

/// How often a send that somebody else works on is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long a refusal that is being written down is waited for, past `SEND_WAIT`.
const REFUSAL_GRACE: Duration = Duration::from_secs(10);

impl Leads {
    pub(super) async fn wait(
        &self,
        tenant: &Tenant,
        record: RecordId,
        mut waiting: Waiting,
        deadline: Timestamp,
    ) -> Result<Accepted, SendRefused> {
        let mut timeout = self.parts.clock.sleep_until(deadline);
        let mut granted = false;
        loop {
            let progress = waiting.progress.borrow_and_update().clone();
            if let Some(lead) = progress.lead {
                if let Some(answer) = settled(lead.clone()) {
                    return answer;
                }
                if progress.reauthorization {
                    return Err(SendRefused::ReauthorizationRequired(Some(lead)));
                }
                if progress.ended {
                    return Ok(Accepted::Queued(lead));
                }
            }
            tokio::select! {
                changed = waiting.progress.changed() => if changed.is_err() && !waiting.progress.borrow().ended {
                    return Err(StoreError::Unavailable("the send was left to another worker".to_owned()).into());
                },
                () = &mut timeout => {
                    if granted || waiting.give_up() {
                        // A callback may have come in while the request is under way: the store knows.
                        return self.look_last(tenant, record, waiting.send).await;
                    }
                    // A refusal is being written down: the caller is who is told.
                    granted = true;
                    timeout = self.parts.clock.sleep_until(later(deadline, REFUSAL_GRACE));
                }
            }
        }
    }

    /// The answer at the end of the wait: from the state as it is now.
    pub(super) async fn look_last(
        &self,
        tenant: &Tenant,
        record: RecordId,
        send: SendId,
    ) -> Result<Accepted, SendRefused> {
        let (view, _) = self.look(tenant, record, send).await?;
        settled(view.clone()).unwrap_or(Ok(Accepted::Queued(view)))
    }

    /// The send as it is now, and whether ALC's grant is dead.
    async fn look(&self, tenant: &Tenant, record: RecordId, send: SendId) -> Result<(LeadView, bool), StoreError> {
        let keys = [Key::workspace(), lead_key(record)];
        let loaded = self.parts.store.load(tenant, &keys, &[], self.parts.clock.now()).await?;
        let [workspace, lead] = two(loaded.documents);
        let workspace = workspace.map(Versioned::<Workspace>::read).transpose()?;
        let current = workspace.as_ref().and_then(|workspace| workspace.value.current());
        let dead = current.is_some_and(connections::Connection::needs_reauthorization);
        let lead = lead.map(Versioned::<Lead>::read).transpose()?;
        let view = lead.and_then(|lead| lead.value.view_of(send));
        view.map(|view| (view, dead)).ok_or_else(|| StoreError::Unavailable("the lead was erased meanwhile".to_owned()))
    }

    /// Waits for a send that another worker has in hand, by looking at it. A caller that hangs up is told nothing more:
    /// then Attio has to show a refusal.
    pub(super) async fn watch(
        &self,
        tenant: &Tenant,
        record: RecordId,
        send: SendId,
        deadline: Timestamp,
    ) -> Result<Accepted, SendRefused> {
        let mut caller = Watching { leads: self.clone(), tenant: tenant.clone(), record, send, answered: false };
        let answer = self.look_again(tenant, record, send, deadline).await;
        // Who is told of something else waits for the refusal no longer either.
        caller.answered = !matches!(answer, Err(SendRefused::Store(_) | SendRefused::ReauthorizationRequired(_)));
        answer
    }

    /// Nobody waits for this send's refusal any more.
    async fn unwatch(&self, tenant: &Tenant, record: RecordId, send: SendId) -> Result<(), StoreError> {
        loop {
            let now = self.parts.clock.now();
            let key = lead_key(record);
            let loaded = self.parts.store.load(tenant, std::slice::from_ref(&key), &[], now).await?;
            let Some(document) = loaded.documents.into_iter().next().flatten() else { return Ok(()) };
            let mut lead = Versioned::<Lead>::read(document)?;
            if lead.value.send.id != send || !lead.value.nobody_watches() {
                return Ok(());
            }
            let write = put(&key.id, &lead.value, Some(lead.version()), LeaseChange::Leave { due: Some(now) });
            if matches!(self.commit_surely(tenant, &Commit::of(vec![write])).await?, Committed::Done(_)) {
                return Ok(());
            }
        }
    }

    async fn look_again(
        &self,
        tenant: &Tenant,
        record: RecordId,
        send: SendId,
        deadline: Timestamp,
    ) -> Result<Accepted, SendRefused> {
        loop {
            let (view, dead) = self.look(tenant, record, send).await?;
            if let Some(answer) = settled(view.clone()) {
                return answer;
            }
            if dead {
                return Err(SendRefused::ReauthorizationRequired(Some(view)));
            }
            if self.parts.clock.now() >= deadline {
                return Ok(Accepted::Queued(view));
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.parts.clock.sleep_until(deadline) => {}
            }
        }
    }
}

/// A caller that watches a send; dropped without an answer, it has hung up.
struct Watching {
    leads: Leads,
    tenant: Tenant,
    record: RecordId,
    send: SendId,
    answered: bool,
}

impl Drop for Watching {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        let (leads, tenant, record, send) = (self.leads.clone(), self.tenant.clone(), self.record, self.send);
        self.leads.parts.lifecycle.spawn(async move {
            if let Err(error) = leads.unwatch(&tenant, record, send).await {
                tracing::warn!(%error, "a refusal may be shown to nobody");
            }
        });
    }
}

/// The answer once a send is no longer queued.
pub(super) fn settled(view: LeadView) -> Option<Result<Accepted, SendRefused>> {
    match (view.status, view.reason) {
        (Status::Queued, _) => None,
        (Status::Failed, Some(super::Reason::Rejected)) => Some(Err(SendRefused::Rejected(view))),
        _ => Some(Ok(Accepted::Sent(view))),
    }
}

/// Merges may have put the lead under another record than the one that the caller knows.
pub(super) fn name_as_asked(answer: &mut Result<Accepted, SendRefused>, asked: RecordId) {
    match answer {
        Ok(Accepted::Sent(view) | Accepted::Queued(view) | Accepted::Joined(view))
        | Err(SendRefused::Rejected(view) | SendRefused::ReauthorizationRequired(Some(view))) => {
            view.record_id = asked;
        }
        Err(_) => {}
    }
}
