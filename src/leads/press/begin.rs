//! The beginning of a press: found, decided, stored, and, where its caller waits, set to work.

use tokio::sync::watch;
use tracing::Instrument as _;

use super::{
    answer::{Accepted, NewLead, SendRefused, settled},
    decide::{Course, Pressed, Turn, decide},
    find::Situation,
    receipt::Idempotency,
    store::Stored,
};
use crate::{
    connections::{Grant, Standing},
    ids::{ConnectionId, RecordId, SendId},
    leads::{
        lead::next_step::Step,
        service::{Leads, lead_key},
        work::{
            came_to::Telling,
            leased::Work,
            waiter::{Progress, Waiter},
        },
    },
    store::{Patience, StoreError, Tenant, Versioned},
};

/// How far a press has come when its handler begins to wait.
pub(super) enum Begun {
    /// There is nothing to wait for.
    Answered(Accepted),
    /// A task of ours takes the steps.
    Ours { record: RecordId, send: SendId, waiting: watch::Receiver<Progress> },
    /// Another worker has the lead in hand and goes on with this send.
    Anothers { record: RecordId, send: SendId },
}

impl Leads {
    /// A lead that was pressed alone is worked on here and waited for; one of a batch is left to the reconciler.
    pub(super) async fn begin_send(
        &self,
        tenant: &Tenant,
        connection: ConnectionId,
        new: &NewLead,
        key: Option<&Idempotency>,
        pressed: Pressed,
    ) -> Result<Begun, SendRefused> {
        let url = new.finish_callback_url.as_ref();
        let mut tries = self.parts.store.tries(tenant, Patience::Caller(self.settings.send_wait));
        let mut recent = self.recent.surroundings(tenant, self.parts.clock.now());
        loop {
            let is_loaded = recent.is_none();
            let found = match recent.take() {
                Some((workspace, gates)) => Situation::without_lead(workspace, gates),
                None => self.find_situation(tenant, &tries, new.record_id, key).await?,
            };
            let workspace = found.workspace.as_ref();
            let standing =
                workspace.map_or(Standing::Unknown, |found| self.parts.connections.standing(&found.value, connection));
            match decide(standing, self.judge_key(key, &found), found.lead.as_ref().map(|lead| &*lead.value)) {
                // The caller may have connected again a moment ago, at another replica.
                Turn::Refuse(_) if !is_loaded => {}
                Turn::Refuse(refused) => return Err(refused),
                Turn::Repeat(send, view) => {
                    if self.store_repeat(tenant, &mut tries, &found, send, url).await? {
                        return settled(view.clone()).unwrap_or(Ok(Accepted::Queued(view))).map(Begun::Answered);
                    }
                }
                Turn::Join(lead) => {
                    let expected = found.receipt.as_ref().map(Versioned::version);
                    let (view, send, now) = (lead.view(), lead.send.outcome.id, self.parts.store.now());
                    let receipt = key.map(|key| self.receipt(key, send, expected, now));
                    if self.store_joining(tenant, &mut tries, &found, new, receipt).await? {
                        return Ok(Begun::Answered(Accepted::Joined(view)));
                    }
                }
                Turn::Start => {
                    let stored = match self.store_send(tenant, &mut tries, new, found, (key, pressed)).await {
                        // What a full store still answers, as for a repeat, has to be looked for.
                        Err(SendRefused::Store(StoreError::Full)) if !is_loaded => None,
                        stored => stored?,
                    };
                    if let Some(stored) = stored {
                        return Ok(self.set_to_work(tenant, stored));
                    }
                }
            }
        }
    }

    /// Lets a stored send go on by its course.
    fn set_to_work(&self, tenant: &Tenant, stored: Stored) -> Begun {
        let lead = &stored.lead.value;
        let (record, send) = (lead.record_id, lead.send.outcome.id);
        match stored.course {
            Course::Here => {
                let (progress, waiting) = watch::channel(Progress { view: lead.view(), reauthorization: false });
                let workspace = Some(stored.workspace);
                let mut work = Work::new(tenant.clone(), lead_key(record), stored.lead, workspace, stored.gates);
                work.waiter = Some(Waiter { send, progress });
                self.go_on_behind(work, stored.grant);
                Begun::Ours { record, send, waiting }
            }
            Course::WithItsWorker => Begun::Anothers { record, send },
            Course::WithTheReconciler { .. } => Begun::Answered(Accepted::Queued(lead.view())),
        }
    }

    /// Takes the steps in a task of its own: neither `SEND_WAIT` nor a caller that hangs up cancels a request under
    /// way.
    fn go_on_behind(&self, mut work: Work, grant: Option<Grant>) {
        let leads = self.clone();
        let span = work.span();
        let task = async move {
            let result = async {
                if let Some(grant) = grant {
                    let telling = Telling::begin(&work, Step::Submit);
                    let result = telling.within(leads.post_in_time(&mut work, grant)).await;
                    telling.end(&work, &result);
                    result?;
                }
                leads.run(work).await
            };
            if let Err(error) = result.await {
                // The lease runs out, and the worker that takes it over finds out.
                tracing::warn!(%error, "a send was left to the next holder of its lease");
            }
        };
        self.parts.lifecycle.spawn_here(task.instrument(span));
    }
}
