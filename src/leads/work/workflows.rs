//! Calling the workflows that are owed a call, and what came of it.

use futures_util::future::join_all;

use super::leased::Work;
use crate::{
    leads::{
        hooks::FIELD,
        lead::{
            calls::{CallOutcome, Owed, Recipient},
            outcome::Reason,
        },
        places::{logical_key, place},
        service::Leads,
    },
    notify::{News, Told},
    store::{Key, StoreError, gate::GateReport},
};

impl Leads {
    /// Writes down the calls that the send's end owes.
    pub(super) async fn note_end(&self, work: &mut Work) -> Result<(), StoreError> {
        self.record_within(work, |lead, workspace, _| {
            let triggers = workspace.map(|found| found.value.triggers()).unwrap_or_default();
            let triggers = triggers.iter().map(|(activation, since)| (activation.as_str(), *since));
            lead.note_end(triggers, self.settings.deadlines.result);
        })
        .await
    }

    /// Makes the calls that are due. A host that swallows calls closes a gate of its own, so that it keeps no worker
    /// from other leads for long.
    pub(super) async fn call_workflows(&self, work: &mut Work) -> Result<(), StoreError> {
        let gate = self.settings.gates.workflows;
        let now = self.parts.store.now();
        let keys = [Key::workspace()];
        let mut loaded = self.parts.store.load(&work.tenant, &keys, std::slice::from_ref(&gate), now).await?;
        // A trigger that has been taken away meanwhile is called no more.
        work.see(loaded.take()?);
        [work.workflows.view] = loaded.gates();
        let probing = work.workflows.view.closed_until.is_some();
        if probing {
            let verdict = self.parts.store.reserve(&work.tenant, &gate, None, now).await?;
            if !work.workflows.take_down(verdict) {
                return Ok(());
            }
        }
        if !self.ensure_time(work).await? {
            return Ok(());
        }
        let mut due = work.lead.value.calls.due(self.parts.clock.now());
        if probing {
            due.truncate(1);
        }
        let told = join_all(due.iter().map(|owed| self.call(work, owed))).await;
        let results: Vec<_> = due
            .iter()
            .zip(&told)
            .map(|(owed, told)| {
                let (outcome, after) = match told {
                    Some(Told::Heard) => (CallOutcome::Heard, None),
                    Some(Told::NobodyThere) => (CallOutcome::NobodyThere, None),
                    Some(Told::Again { after, .. }) => (CallOutcome::Failed, *after),
                    Some(Told::Forbidden) => (CallOutcome::Failed, None),
                    None => (CallOutcome::Pointless, None),
                };
                (owed.number, outcome, self.retry_at(owed.failures, after))
            })
            .collect();
        self.record(work, |lead, now| {
            for (number, outcome, retry_at) in &results {
                lead.calls.called(*number, *outcome, *retry_at, now);
            }
        })
        .await?;
        let silent = |told: &Option<Told>| matches!(told, Some(Told::Again { silent: true, .. }));
        let report = match told.iter().any(silent) {
            true if told.iter().all(silent) => GateReport::Failed,
            false => GateReport::Recovered,
            true => return Ok(()),
        };
        self.report(&work.tenant, &gate, &mut work.workflows, report).await;
        Ok(())
    }

    /// One call; `None` if the workflow that was to be called is not there any more.
    async fn call(&self, work: &Work, owed: &Owed) -> Option<Told> {
        let record = work.lead.value.record_id;
        let opened = match &owed.to.recipient {
            Recipient::Step(hook) => {
                let logical = logical_key(&work.tenant, record);
                self.parts.sealer.open(place(&logical, FIELD), &hook.url)
            }
            Recipient::Trigger(activation) => {
                self.parts.connections.trigger_url(&work.workspace.as_ref()?.value, activation)?
            }
        };
        let url = match opened {
            Ok(url) => url,
            Err(error) => {
                tracing::error!(%error, "a callback URL cannot be opened");
                return Some(Told::Again { after: None, silent: false });
            }
        };
        let news = News {
            record_id: record.to_string(),
            lead_id: owed.lead_id.as_deref(),
            status: owed.status.name(),
            result: owed.result.as_deref(),
            reason: owed.reason.map(Reason::name),
        };
        let told = self.parts.workflows.tell(&url, &news).await;
        if told == Told::Forbidden {
            tracing::warn!("a workflow's callback URL is not one that ATTIO__CALLBACK_HOSTS allows any more");
        }
        Some(told)
    }
}
