//! The workspace's steps, taken by the worker that leased it.
//!
//! Promises that what each step came to is committed before the next begins, that a request starts only if the lease
//! outlasts it, and that a process which stops leaves the rest to another at once.

use std::time::Duration;

use tracing::{Span, field::display};

use super::{
    service::Connections,
    work::Work,
    workspace::{
        agenda::{Step, UNDER_WAY},
        aggregate::Workspace,
        side::Side,
    },
};
use crate::{
    clock::{Timestamp, later},
    ids::{ConnectionId, WebhookId},
    store::{
        Change, Commit, Committed, Cursor, Document, Key, Kind, LeaseChange, Leased, StoreError, Tenant, Versioned,
        Write,
    },
    telemetry::{self, traces},
};

/// The leads that have not finished.
const QUEUED: &str = "queued";
const UNFINISHED: [&str; 2] = [QUEUED, "pending"];
/// The people whom ALC has brought, until Attio has them.
const BROUGHT: [&str; 2] = ["waiting", "failing"];
/// Those that have; Attio may still be owed what they came to.
const FINISHED: [&str; 2] = ["complete", "failed"];
/// Over how long unfinished leads are woken.
const WAKE_SPREAD: Duration = Duration::from_secs(1);
/// So long after each other finished leads are woken: no faster than Attio takes them.
const OWED_APART: Duration = Duration::from_millis(40);
/// How often the leads of a webhook that is gone are looked at.
const RETIRE_CHECK: Duration = Duration::from_secs(30 * 60);
const PAGE: usize = 100;
/// A lead that came as late after the webhook was replaced is looked at all the same.
const A_MOMENT: Duration = Duration::from_secs(1);

impl Connections {
    /// Takes the leased workspace's steps until nothing is to be done now, and ends the lease with the next due time.
    pub async fn step(&self, leased: Leased, lease_duration: Duration) -> Result<(), StoreError> {
        let Leased { tenant, document, .. } = leased;
        let Some(lease) = document.lease else { return Ok(()) };
        let mut work = Work::new(tenant, Versioned::<Workspace>::read(document)?, lease, lease_duration);
        let mut stepped = false;
        while work.goes_on() {
            let now = self.clock.now();
            let settled = work.workspace.value.settle(now);
            let leaves = stepped && self.lifecycle.is_stopping();
            match if leaves { Step::Rest } else { work.workspace.value.next_step(now) } {
                Step::Rest => self.end(&mut work).await?,
                Step::Forget => {
                    if !work.workspace.value.remember_what_is_owed(self.settings.retention, now) {
                        self.forget(&mut work).await?;
                    }
                }
                // Settled just now.
                Step::Settle => {}
                step if self.hold(&mut work, settled, step).await? => {
                    stepped = true;
                    let trace = traces::step("workspace", step.name(), None);
                    let taken = trace.within(self.take(&mut work, step)).await;
                    let outcome = if taken.is_ok() { "done" } else { "store_error" };
                    telemetry::step("workspace", step.name(), outcome);
                    trace.came_to(outcome);
                    taken?;
                }
                _ => self.reload(&mut work).await?,
            }
        }
        Ok(())
    }

    /// Takes the step and records what it came to.
    async fn take(&self, work: &mut Work, step: Step) -> Result<(), StoreError> {
        name_step(&work.workspace.value, step);
        match step {
            Step::Rest | Step::Settle | Step::Forget => Ok(()),
            Step::WakeLeads => self.wake_leads(work).await,
            Step::Refresh(id) => self.refresh_leased(work, id).await,
            Step::FindWebhook(side, id) => self.find_webhook(work, side, id).await,
            Step::DeleteWebhook(side, id) => self.delete_webhook(work, side, id).await,
            Step::CheckWebhook(Side::Alc, id) => self.check_alc_webhook(work, id).await,
            Step::CheckWebhook(Side::Attio, id) => self.check_attio_webhook(work, id).await,
            Step::CheckSchema => self.check_schema(work).await,
            Step::RetireWebhook(id) => self.retire_webhook(work, id).await,
            Step::Revoke(side, id) => self.revoke_leaving(work, side, id).await,
        }
    }

    async fn wake_leads(&self, work: &mut Work) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.store.wake(&work.tenant, Kind::Lead, &UNFINISHED, WAKE_SPREAD, now).await?;
        self.store.wake(&work.tenant, Kind::Prospect, &BROUGHT, WAKE_SPREAD, now).await?;
        if work.workspace.value.owes_attio {
            self.wake_owing(&work.tenant).await?;
        }
        let since = work.workspace.value.wake_leads;
        self.note(work, |workspace, _| workspace.leads_woken(since)).await
    }

    /// Wakes the finished leads of which Attio is owed something. There may be months of others, each of which would be
    /// leased and written for nothing. A lead that changed meanwhile is looked at again.
    async fn wake_owing(&self, tenant: &Tenant) -> Result<(), StoreError> {
        let (mut cursor, mut due) = (None, self.clock.now());
        loop {
            let page = self.store.page(tenant, &FINISHED, cursor.as_ref(), PAGE).await?;
            let mut commit = Commit::of(Vec::new());
            for (key, document) in page.documents {
                // One that this version cannot read may owe something.
                if (self.facts_of_lead)(&document).map_or(true, |facts| facts.owes_attio) {
                    due = later(due, OWED_APART);
                    commit.writes.push(due_by(key, document, due));
                }
            }
            let now = self.clock.now();
            if !commit.writes.is_empty() && self.store.commit(tenant, &commit, now).await? == Committed::Conflict {
                continue;
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    async fn refresh_leased(&self, work: &mut Work, id: ConnectionId) -> Result<(), StoreError> {
        let connection = work.workspace.value.connection(id).cloned();
        let Some((connection, owner)) =
            connection.and_then(|it| it.refreshing.as_ref().map(|claim| claim.owner).map(|owner| (it, owner)))
        else {
            return self.reload(work).await;
        };
        let (holding, start) = (work.holding(), Some(work.workspace.clone()));
        let lease = move |workspace: &Versioned<Workspace>, now| holding.keep(workspace, now);
        let workspace = work.workspace.value.id;
        let (found, _) = self.refresh(&work.tenant, workspace, &connection, owner, start, lease).await?;
        work.replace(found);
        Ok(())
    }

    /// One page of the unfinished leads is looked at. What was looked at in vain needs no other look: nothing new is
    /// sent under the webhook, because it is no current one's. So each lead is looked at once, but for the one that
    /// holds the webhook up; and the leads that came since it was unwanted not at all.
    async fn retire_webhook(&self, work: &mut Work, id: WebhookId) -> Result<(), StoreError> {
        let webhook = work.workspace.value.webhook(Side::Alc, id);
        let unwanted_since = webhook.and_then(|webhook| webhook.deleting_since);
        let start = unwanted_since.map(|since| Cursor { created_at: later(since, A_MOMENT), id: String::new() });
        let seen = webhook.and_then(|webhook| webhook.leads_seen.as_ref()?.parse().ok()).or(start);
        let page = self.store.page(&work.tenant, &UNFINISHED, seen.as_ref(), PAGE).await?;
        // A lead that this version cannot read may have been sent under it.
        let may_be_under =
            |document: &Document| (self.facts_of_lead)(document).map_or(true, |facts| facts.webhooks.contains(&id));
        match page.documents.iter().position(|(_, document)| may_be_under(document)) {
            Some(held_up_by) => {
                let seen = page.documents[..held_up_by].last().map(|(key, document)| Cursor::at(key, document));
                let retry_at = later(self.clock.now(), RETIRE_CHECK);
                self.note(work, |workspace, _| {
                    workspace.leads_seen(id, seen.as_ref());
                    workspace.webhook_postponed(Side::Alc, id, retry_at);
                })
                .await
            }
            None if page.next.is_some() => {
                self.note(work, |workspace, _| workspace.leads_seen(id, page.next.as_ref())).await
            }
            None => self.note(work, |workspace, _| workspace.webhook_retired(id)).await,
        }
    }

    async fn revoke_leaving(&self, work: &mut Work, side: Side, id: ConnectionId) -> Result<(), StoreError> {
        let Some(connection) = work.workspace.value.connection(id).cloned() else { return self.reload(work).await };
        if side == Side::Alc {
            let until = later(connection.leaving_since(), UNDER_WAY);
            if self.clock.now() < until && self.has_queued_leads(&work.tenant).await? {
                return self.note(work, |workspace, _| workspace.revoke_postponed(side, id, until)).await;
            }
        }
        let (workspace, at) = (work.workspace.value.id, side.title());
        let Err(detail) = self.revoke_own(side, &work.workspace.value, &connection).await else {
            tracing::info!(%workspace, connection = %id, at, "a grant was released");
            let generation = connection.generation(side);
            return self.note(work, |workspace, _| workspace.grant_released(side, id, generation)).await;
        };
        tracing::warn!(%workspace, connection = %id, at, detail, "could not revoke a grant");
        let retry_at = self.retry_at(connection.retry(side).attempts, None, Duration::MAX);
        self.note(work, |workspace, _| workspace.revoke_postponed(side, id, retry_at)).await
    }

    /// Whether a send that was committed before a connection left may be on its way with its token: while ALC has not
    /// answered, its lead is queued.
    async fn has_queued_leads(&self, tenant: &Tenant) -> Result<bool, StoreError> {
        Ok(!self.store.page(tenant, &[QUEUED], None, 1).await?.documents.is_empty())
    }
}

/// Each line that the step logs says which it is, and for which connection, for which time in a row.
fn name_step(workspace: &Workspace, step: Step) {
    let span = Span::current();
    span.record("step", step.name());
    traces::tell("alc_connector.workspace", workspace.id);
    let (side, id) = match step {
        Step::Refresh(id) => (Side::Alc, id),
        Step::Revoke(side, id) => (side, id),
        _ => return,
    };
    span.record("connection", display(id));
    traces::tell("alc_connector.connection", id);
    if let Some(connection) = workspace.connection(id) {
        span.record("attempt", connection.retry(side).attempts.saturating_add(1));
    }
}

/// As it is, but looked at by then.
fn due_by(key: Key, document: Document, by: Timestamp) -> Write {
    let Document { body, version, status, created_at, urgent, due, .. } = document;
    let lease = LeaseChange::Leave { due: Some(due.map_or(by, |due| due.min(by))) };
    let change = Change::Put { body, status: status.into(), created_at, lease, urgent, expires_at: None };
    Write { key, expected: Some(version), change }
}
