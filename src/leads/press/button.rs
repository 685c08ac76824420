//! `POST /v1/leads`.
//!
//! Three waits for the store before the answer: what surrounds the lead; "attempted"; ALC's id.

use super::{
    answer::{Accepted, Answer, NewLead, SendRefused, name_as_asked},
    begin::Begun,
    decide::Pressed,
    receipt::Idempotency,
};
use crate::{
    clock::{Timestamp, later},
    connections,
    ids::{ConnectionId, WorkspaceId},
    leads::service::Leads,
    lifecycle,
    store::Tenant,
};

impl Leads {
    /// Sends a lead to ALC, or says why not.
    pub async fn send(
        &self,
        workspace: WorkspaceId,
        connection: ConnectionId,
        new: NewLead,
        idempotency_key: Option<&str>,
    ) -> Result<Accepted, SendRefused> {
        let tenant = connections::tenant(workspace);
        let asked = new.record_id;
        let deadline = later(self.parts.clock.now(), self.settings.send_wait);
        let key = idempotency_key.map(|text| Idempotency::new(text, &new));
        let pressed = Pressed::Alone { until: deadline };
        // In a task of its own from the first write on: a caller that hangs up between "stored" and "posted" would
        // leave a send that was marked as begun and that no task has begun.
        let (leads, within) = (self.clone(), tenant.clone());
        let begun = self
            .parts
            .lifecycle
            .spawn_here(async move { leads.begin_send(&within, connection, &new, key.as_ref(), pressed).await });
        let mut answer = match begun.await {
            Ok(Ok(Begun::Answered(accepted))) => Ok(accepted),
            Ok(Ok(Begun::Ours { record, send, waiting })) => self.wait(&tenant, record, send, waiting, deadline).await,
            Ok(Ok(Begun::Anothers { record, send })) => self.watch(&tenant, record, send, deadline).await,
            Ok(Err(refused)) => Err(refused),
            Err(error) => lifecycle::resume(error),
        };
        name_as_asked(&mut answer, asked);
        answer
    }

    /// A press that is stored and left to the reconciler, which takes it up at that time.
    pub(super) async fn press(
        &self,
        tenant: &Tenant,
        connection: ConnectionId,
        (new, at): (&NewLead, Timestamp),
        key: Option<&Idempotency>,
    ) -> Answer {
        let mut answer = match self.begin_send(tenant, connection, new, key, Pressed::InABatch { at }).await {
            Ok(Begun::Answered(accepted)) => Ok(accepted),
            Ok(Begun::Ours { record, send, .. } | Begun::Anothers { record, send }) => {
                self.look_last(tenant, record, send).await
            }
            Err(refused) => Err(refused),
        };
        name_as_asked(&mut answer, new.record_id);
        answer
    }
}
