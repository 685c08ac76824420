//! Waiting for what a press came to.
//!
//! Promises that the answer is true of the send that was asked for when it is given: a caller that waited to the end is
//! told from the store, and a refusal that is being written down is waited for.

use std::time::Duration;

use super::answer::{Accepted, Answer, SendRefused, settled};
use crate::{
    clock::{Timestamp, later},
    connections::{Connection, Workspace},
    ids::{RecordId, SendId},
    leads::{
        lead::{aggregate::Lead, view::LeadView},
        service::{Leads, lead_key},
        work::waiter::Waiting,
    },
    store::{Decision, Key, LeaseChange, Patience, StoreError, Tenant, Versioned},
};

/// How often a send that another worker has in hand is looked at.
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
    ) -> Answer {
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
                    // A refusal is being written down: this caller is to be told it.
                    granted = true;
                    timeout = self.parts.clock.sleep_until(later(deadline, REFUSAL_GRACE));
                }
            }
        }
    }

    /// The answer at the end of the wait: from the state as it is now.
    pub(super) async fn look_last(&self, tenant: &Tenant, record: RecordId, send: SendId) -> Answer {
        let (view, _) = self.look(tenant, record, send).await?;
        settled(view.clone()).unwrap_or(Ok(Accepted::Queued(view)))
    }

    /// The send as it is now, and whether ALC's grant is dead.
    async fn look(&self, tenant: &Tenant, record: RecordId, send: SendId) -> Result<(LeadView, bool), StoreError> {
        let keys = [Key::workspace(), lead_key(record)];
        let mut loaded = self.parts.store.load(tenant, &keys, &[], self.parts.store.now()).await?;
        let workspace = loaded.take::<Workspace>()?;
        let current = workspace.as_ref().and_then(|workspace| workspace.value.current());
        let dead = current.is_some_and(Connection::needs_reauthorization);
        let view = loaded.take::<Lead>()?.and_then(|lead| lead.value.view_of(send));
        view.map(|view| (view, dead)).ok_or_else(|| StoreError::Unavailable("the lead was erased meanwhile".to_owned()))
    }

    /// Waits for a send that another worker has in hand, by looking at it. A caller that hangs up is told nothing more:
    /// then Attio has to show a refusal.
    pub(super) async fn watch(&self, tenant: &Tenant, record: RecordId, send: SendId, deadline: Timestamp) -> Answer {
        let mut caller = Watching { leads: self.clone(), tenant: tenant.clone(), record, send, answered: false };
        let answer = self.look_again(tenant, record, send, deadline).await;
        // A caller that is told of something else does not wait for the refusal any longer either.
        caller.answered = !matches!(answer, Err(SendRefused::Store(_) | SendRefused::ReauthorizationRequired(_)));
        answer
    }

    /// The caller does not wait for this send's refusal any more.
    async fn unwatch(&self, tenant: &Tenant, record: RecordId, send: SendId) -> Result<(), StoreError> {
        let id = lead_key(record).id;
        let stop = |found: &mut Option<Versioned<Lead>>, now| {
            let changed =
                found.as_mut().is_some_and(|lead| lead.value.send.outcome.id == send && lead.value.stop_watching());
            if changed { Decision::Write(LeaseChange::Leave { due: Some(now) }, ()) } else { Decision::Leave(()) }
        };
        self.parts.store.change(tenant, &id, Patience::Fact, stop).await.map(|_| ())
    }

    async fn look_again(&self, tenant: &Tenant, record: RecordId, send: SendId, deadline: Timestamp) -> Answer {
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
                tracing::warn!(%error, "a refusal may be shown neither by the caller nor by Attio");
            }
        });
    }
}
