//! Waiting for what a press came to.
//!
//! Promises that the answer is true of the send that was asked for when it is given: a caller that waited to the end is
//! told from the store, and a refusal is taken before it is told, so that Attio does not tell it as well.

use std::time::Duration;

use tokio::sync::watch;

use super::answer::{Accepted, Answer, SendRefused, settled};
use crate::{
    clock::Timestamp,
    connections::{Connection, Workspace},
    ids::{RecordId, SendId},
    leads::{
        lead::{aggregate::Lead, view::LeadView},
        service::{Leads, lead_key},
        work::waiter::Progress,
    },
    store::{Decision, Key, LeaseChange, Patience, StoreError, Tenant, Versioned},
};

/// How often a send that another worker has in hand is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

impl Leads {
    /// Waits for a send that a task of this press has in hand.
    pub(super) async fn wait(
        &self,
        tenant: &Tenant,
        record: RecordId,
        send: SendId,
        mut waiting: watch::Receiver<Progress>,
        deadline: Timestamp,
    ) -> Answer {
        let mut timeout = self.parts.clock.sleep_until(deadline);
        loop {
            let Progress { view, reauthorization } = waiting.borrow_and_update().clone();
            if let Some(answer) = settled(view.clone()) {
                return self.told(tenant, record, send, answer).await;
            }
            if reauthorization {
                return Err(SendRefused::ReauthorizationRequired(Some(view)));
            }
            tokio::select! {
                changed = waiting.changed() => if changed.is_err() {
                    // The task has ended: nothing more happens now.
                    return Ok(Accepted::Queued(view));
                },
                // A callback may have come in while the request is under way: the store knows.
                () = &mut timeout => return self.look_last(tenant, record, send).await,
            }
        }
    }

    /// Waits for a send that another worker has in hand, by looking at it.
    pub(super) async fn watch(&self, tenant: &Tenant, record: RecordId, send: SendId, deadline: Timestamp) -> Answer {
        loop {
            let (view, dead) = self.look(tenant, record, send).await?;
            if let Some(answer) = settled(view.clone()) {
                return self.told(tenant, record, send, answer).await;
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

    /// The answer at the end of the wait: from the state as it is now.
    pub(super) async fn look_last(&self, tenant: &Tenant, record: RecordId, send: SendId) -> Answer {
        let (view, _) = self.look(tenant, record, send).await?;
        match settled(view.clone()) {
            Some(answer) => self.told(tenant, record, send, answer).await,
            None => Ok(Accepted::Queued(view)),
        }
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

    /// The answer; a refusal is taken first, so that Attio leaves the record as it was.
    async fn told(&self, tenant: &Tenant, record: RecordId, send: SendId, answer: Answer) -> Answer {
        if matches!(answer, Err(SendRefused::Rejected(_))) {
            let take = |found: &mut Option<Versioned<Lead>>, now| match found
                .as_mut()
                .is_some_and(|lead| lead.value.take_refusal(send, now))
            {
                true => Decision::Write(LeaseChange::Leave { due: Some(now) }, ()),
                false => Decision::Leave(()),
            };
            self.parts.store.change(tenant, &lead_key(record).id, Patience::CALLER, take).await?;
        }
        answer
    }
}
