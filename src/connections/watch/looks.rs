//! When webhooks are looked at, and what is done with a look's list at either side.

use std::time::Duration;

use super::listed::{Listed, of_workspace, orphans};
use crate::{
    connections::{
        clean_up::asked,
        service::Connections,
        work::Work,
        workspace::{aggregate::Workspace, side::Side, webhook::Webhook},
    },
    ids::WebhookId,
    store::{Decision, Kind, LeaseChange, Patience, StoreError, Versioned},
    upstream::CallError,
};

/// Orphans deleted at one look; the next look finds the others.
const ORPHANS_AT_ONCE: usize = 5;
/// The longest pause after a look that failed.
pub(super) const AGAIN_WITHIN: Duration = Duration::from_secs(60 * 60);

impl Connections {
    /// Workspaces that an earlier version has left without a time for their first look get one, spread over a day; and
    /// those are looked at soon whose webhooks lead to an earlier `PUBLIC_URL` or tell of another list than the
    /// operator names now. For the start of a process.
    pub async fn plan_looks(&self) {
        let tenants = match self.store.tenants(Kind::Workspace).await {
            Ok(tenants) => tenants,
            Err(error) => {
                tracing::warn!(%error, "webhooks are looked at no sooner than planned before this start");
                return;
            }
        };
        for tenant in tenants {
            if self.lifecycle.is_stopping() {
                return;
            }
            let plan = |found: &mut Option<Versioned<Workspace>>, now| {
                let Some(found) = found else { return Decision::Leave(()) };
                let planned = found.value.plan_looks(self.base(), self.asked_list(), now);
                let due = found.value.due(now);
                // A replica of a version that does not look again ends its work without a due time for the next look.
                let is_late = due.is_some_and(|due| found.document.due.is_none_or(|stored| due < stored));
                if planned || is_late { Decision::Write(LeaseChange::Leave { due }, ()) } else { Decision::Leave(()) }
            };
            if let Err(error) = self.store.change(&tenant, "", Patience::CALLER, plan).await {
                tracing::warn!(%error, workspace = %tenant, "its webhooks are looked at no sooner than planned before");
            }
        }
    }

    /// Which webhooks on the list no document knows any more. The workspace is loaded after the list was: a webhook is
    /// stored before it is made, so none that was just made is taken for an orphan.
    pub(super) async fn orphans_among(
        &self,
        work: &mut Work,
        side: Side,
        list: &[Listed],
    ) -> Result<Vec<String>, StoreError> {
        let own = of_workspace(side, work.workspace.value.id, self.base(), list);
        if own.is_empty() {
            return Ok(Vec::new());
        }
        self.reload(work).await?;
        let mut found = orphans(&work.workspace.value, side, &own);
        found.truncate(ORPHANS_AT_ONCE);
        Ok(found)
    }

    /// Makes the lease outlast one more request; `false`: another worker has the lease.
    pub(super) async fn lasts(&self, work: &mut Work) -> Result<bool, StoreError> {
        self.note(work, |_, _| {}).await?;
        Ok(work.goes_on())
    }

    /// Stores `next` as about to be made; `false`: another worker is at it.
    pub(super) async fn intend_next(
        &self,
        work: &mut Work,
        side: Side,
        (last, lost): (WebhookId, bool),
        next: &Webhook,
    ) -> Result<bool, StoreError> {
        self.note(work, |workspace, now| {
            workspace.intend_instead(side, last, lost, next.clone(), now);
        })
        .await?;
        let is_stored = work.workspace.value.webhook(side, next.id).is_some();
        if is_stored {
            let (workspace, at) = (work.workspace.value.id, side.title());
            tracing::warn!(%workspace, webhook = %last, at, lost, "a webhook does not lead here: another one is made");
        }
        Ok(is_stored && work.goes_on())
    }

    /// Nothing was learnt: the look is repeated, the later the more often it failed.
    pub(super) async fn look_later(
        &self,
        work: &mut Work,
        side: Side,
        id: WebhookId,
        error: Option<&CallError>,
    ) -> Result<(), StoreError> {
        let (workspace, at) = (work.workspace.value.id, side.title());
        let attempts = work.workspace.value.webhook(side, id).map_or(0, |webhook| webhook.retry.attempts);
        // Once, not at each try; and not in the upstream's words, which may quote a webhook's URL.
        if let Some(outcome) = error.map(CallError::outcome).filter(|_| attempts == 0) {
            tracing::warn!(%workspace, webhook = %id, at, outcome, "could not look at a webhook, and tries again");
        }
        let retry_at = self.retry_at(attempts, error.and_then(asked), AGAIN_WITHIN);
        self.note(work, |workspace, now| workspace.look_postponed(side, id, Some(retry_at), now)).await
    }

    /// Nothing else would come of another look soon.
    pub(super) async fn look_tomorrow(&self, work: &mut Work, side: Side, id: WebhookId) -> Result<(), StoreError> {
        self.note(work, |workspace, now| workspace.look_postponed(side, id, None, now)).await
    }
}
