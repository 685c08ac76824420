//! The calls to workflows: whom the end of a send concerns, and what came of telling them.

use futures_util::future::join_all;
use secrecy::SecretString;

use super::{
    Leads,
    lead::{Lead, LeadView},
    logical_key, place,
    send::Status,
    tell::{Hook, Owed, Recipient, TellOutcome, TooManyWaiting},
    work::{Work, opens_at},
};
use crate::{
    clock::Timestamp,
    ids::{RecordId, SendId},
    notify::{CallbackUrl, News, Told, UrlRefused},
    store::{
        Key, StoreError, Tenant, Versioned,
        gate::{GateReport, Verdict},
    },
};

/// The name of the sealed field.
const FIELD: &str = "finish_callback_url";

impl Leads {
    /// A callback URL that may be called, or why not.
    pub fn callback_url(&self, text: &str) -> Result<CallbackUrl, UrlRefused> {
        self.parts.workflows.guard().check(&SecretString::from(text))
    }

    /// The URL as a lead keeps it.
    fn hook(&self, tenant: &Tenant, record: RecordId, url: &CallbackUrl) -> Hook {
        let (logical, url) = (logical_key(tenant.as_str(), record), url.to_secret());
        let print = self.parts.sealer.fingerprint(&purpose(&logical), expose(&url));
        Hook { url: self.parts.sealer.seal(place(&logical, FIELD), &url), print }
    }

    fn is_same(&self, tenant: &Tenant, record: RecordId, url: &CallbackUrl, hook: &Hook) -> bool {
        let purpose = purpose(&logical_key(tenant.as_str(), record));
        self.parts.sealer.matches(&purpose, expose(&url.to_secret()), &hook.print)
    }

    /// Lets `url` wait for the present send; `false` if it does already.
    pub(super) fn let_wait(
        &self,
        tenant: &Tenant,
        lead: &mut Lead,
        url: Option<&CallbackUrl>,
        now: Timestamp,
    ) -> Result<bool, TooManyWaiting> {
        let Some(url) = url else { return Ok(false) };
        let record = lead.record_id;
        if lead.calls.waiting.iter().any(|waiting| self.is_same(tenant, record, url, &waiting.hook)) {
            return Ok(false);
        }
        lead.await_end(self.hook(tenant, record, url), now)?;
        Ok(true)
    }

    /// What a repeated press changes: whoever it names waits for its send, or is told again what that came to. `false`:
    /// nothing.
    pub(super) fn tell_of_repeat(
        &self,
        tenant: &Tenant,
        lead: &mut Lead,
        send: SendId,
        view: &LeadView,
        url: Option<&CallbackUrl>,
        now: Timestamp,
    ) -> Result<bool, TooManyWaiting> {
        if matches!(view.status, Status::Queued | Status::Pending) {
            return self.let_wait(tenant, lead, url, now);
        }
        let Some(url) = url else { return Ok(false) };
        let record = lead.record_id;
        if send == lead.send.id {
            // Not noted yet: it waits, and is told with the others.
            if lead.calls.waiting.iter().any(|waiting| self.is_same(tenant, record, url, &waiting.hook)) {
                return Ok(false);
            }
        }
        lead.calls.owed.retain(|owed| match &owed.to {
            Recipient::Step(hook) => owed.send != send || !self.is_same(tenant, record, url, hook),
            Recipient::Trigger(_) => true,
        });
        lead.tell_again(self.hook(tenant, record, url), send, view, self.settings.deadlines.result, now);
        Ok(true)
    }

    /// Writes down who is to be told of the send's end.
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
    pub(super) async fn tell(&self, work: &mut Work) -> Result<(), StoreError> {
        let gate = self.settings.gates.workflows;
        let now = self.parts.clock.now();
        let keys = [Key::workspace()];
        let loaded = self.parts.store.load(&work.tenant, &keys, std::slice::from_ref(&gate), now).await?;
        // A trigger that has been taken away meanwhile is called no more.
        work.workspace = loaded.documents.into_iter().next().flatten().map(Versioned::read).transpose()?;
        let view = loaded.gates.first().copied().unwrap_or_default();
        let probing = view.closed_until.is_some();
        if probing {
            let verdict = self.parts.store.reserve(&work.tenant, &gate, None, now).await?;
            work.workflows_open_at = opens_at(verdict);
            if verdict != Verdict::Go {
                return Ok(());
            }
        }
        if !self.ensure_time(work).await? {
            return Ok(());
        }
        let mut due = work.lead.value.due_calls(self.parts.clock.now());
        if probing {
            due.truncate(1);
        }
        let told = join_all(due.iter().map(|owed| self.call(work, owed))).await;
        let results: Vec<_> = due
            .iter()
            .zip(&told)
            .map(|(owed, told)| {
                let (outcome, after) = match told {
                    Some(Told::Heard) => (TellOutcome::Heard, None),
                    Some(Told::NobodyThere) => (TellOutcome::NobodyThere, None),
                    Some(Told::Again { after, .. }) => (TellOutcome::Failed, *after),
                    Some(Told::Forbidden) => (TellOutcome::Failed, None),
                    None => (TellOutcome::Pointless, None),
                };
                (owed.number, outcome, self.retry_at(owed.failures, after))
            })
            .collect();
        self.record(work, |lead, now| {
            for (number, outcome, retry_at) in &results {
                lead.told(*number, *outcome, *retry_at, now);
            }
        })
        .await?;
        let silent = |told: &Option<Told>| matches!(told, Some(Told::Again { silent: true, .. }));
        let report = match told.iter().any(silent) {
            true if told.iter().all(silent) => Some(GateReport::Failed),
            false if view.failures > 0 || probing => Some(GateReport::Recovered),
            _ => None,
        };
        if let Some(report) = report
            && let Err(error) = self.parts.store.report(&work.tenant, &gate, report, self.parts.clock.now()).await
        {
            tracing::warn!(%error, upstream = gate.upstream, "could not report to the gate");
        }
        Ok(())
    }

    /// One call; `None` if there is nobody to be called any more.
    async fn call(&self, work: &Work, owed: &Owed) -> Option<Told> {
        let record = work.lead.value.record_id;
        let opened = match &owed.to {
            Recipient::Step(hook) => {
                let logical = logical_key(work.tenant.as_str(), record);
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
            reason: owed.reason.map(super::Reason::name),
        };
        let told = self.parts.workflows.tell(&url, &news).await;
        if told == Told::Forbidden {
            tracing::warn!("a workflow's callback URL is not one that ATTIO__CALLBACK_HOSTS allows any more");
        }
        Some(told)
    }
}

fn purpose(logical: &str) -> String {
    format!("{FIELD}/{logical}")
}

fn expose(url: &SecretString) -> &[u8] {
    secrecy::ExposeSecret::expose_secret(url).as_bytes()
}
