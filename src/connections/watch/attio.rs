//! The look at Attio's webhook.

use secrecy::SecretString;

use super::listed::{Listed, Seen, look_for};
use crate::{
    attio::{CallError, webhooks::ListedWebhook},
    connections::{
        service::{ATTIO_SECRET, Connections},
        work::Work,
        workspace::{side::Side, webhook::Webhook},
    },
    ids::WebhookId,
    store::StoreError,
    telemetry,
};

impl From<ListedWebhook> for Listed {
    fn from(ListedWebhook { id, url }: ListedWebhook) -> Self {
        Self { id, name: None, url }
    }
}

impl Connections {
    /// Asks Attio whether it still has the webhook, and makes another one if not.
    pub(in crate::connections) async fn check_attio_webhook(
        &self,
        work: &mut Work,
        id: WebhookId,
    ) -> Result<(), StoreError> {
        let Some(token) = self.attio_token(&work.workspace.value) else {
            return self.look_tomorrow(work, Side::Attio, id).await;
        };
        let Some(webhook) = work.workspace.value.watched(Side::Attio).filter(|watched| watched.id == id).cloned()
        else {
            return self.reload(work).await;
        };
        let list: Vec<_> = match self.attio.list_webhooks(&token).await {
            Ok(list) => list.into_iter().map(Listed::from).collect(),
            Err(error) => return self.attio_look_failed(work, id, &token, error).await,
        };
        self.delete_orphans_at_attio(work, &token, &list).await?;
        let base = self.base();
        let seen = match look_for(Side::Attio, &webhook, work.workspace.value.id, base, &list) {
            // It tells of another list than the operator names now.
            Seen::Listed(_) if webhook.told() != work.workspace.value.told(self.asked_list()) => Seen::Moved,
            seen => seen,
        };
        telemetry::webhook_look(Side::Attio.label(), seen.name());
        match seen {
            Seen::Lost | Seen::Moved => self.replace_at_attio(work, (&webhook, seen == Seen::Lost), &token).await,
            Seen::Listed(listed) => {
                let listed = Some(listed);
                self.note(work, |workspace, now| {
                    workspace.webhook_looked_at(Side::Attio, id, listed.clone(), base, now);
                })
                .await
            }
            Seen::Unlisted | Seen::Taken => self.look_tomorrow(work, Side::Attio, id).await,
        }
    }

    async fn delete_orphans_at_attio(
        &self,
        work: &mut Work,
        token: &SecretString,
        list: &[Listed],
    ) -> Result<(), StoreError> {
        for id in self.orphans_among(work, Side::Attio, list).await? {
            if !self.lasts(work).await? {
                return Ok(());
            }
            self.attio_turn(&work.tenant).await?;
            let workspace = work.workspace.value.id;
            match self.attio.delete_webhook(token, &id).await {
                Ok(()) | Err(CallError::NotFound) => {
                    tracing::info!(%workspace, "an orphan of our webhooks is deleted at Attio");
                }
                Err(error) => {
                    tracing::warn!(%workspace, %error, "an orphan of our webhooks stays at Attio until tomorrow");
                }
            }
        }
        Ok(())
    }

    /// Makes another webhook. Whatever comes of it, the last one is there until the next is stored as made.
    async fn replace_at_attio(
        &self,
        work: &mut Work,
        (last, lost): (&Webhook, bool),
        token: &SecretString,
    ) -> Result<(), StoreError> {
        let workspace = work.workspace.value.id;
        let (next, url) = self.new_webhook(Side::Attio, workspace, last.connection);
        let told = work.workspace.value.told(self.asked_list());
        let next = next.telling(&told);
        if !self.intend_next(work, Side::Attio, (last.id, lost), &next).await? {
            return Ok(());
        }
        self.attio_turn(&work.tenant).await?;
        match self.attio.create_webhook(token, &url, &told).await {
            Ok(made) => {
                let known = (Some(made.id), Some(self.seal(workspace, next.id, ATTIO_SECRET, &made.secret)));
                self.note(work, |workspace, now| {
                    workspace.webhook_replaced(Side::Attio, last.id, next.id, known.clone(), now);
                })
                .await
            }
            Err(error @ (CallError::Unknown { .. } | CallError::Unreadable { .. })) => {
                // It may be there, but its secret is lost: it is found by its URL and deleted.
                self.note(work, |workspace, now| {
                    workspace.webhook_mut(Side::Attio, next.id).into_iter().for_each(|webhook| webhook.unwanted(now));
                })
                .await?;
                self.attio_look_failed(work, last.id, token, error).await
            }
            Err(error) => {
                self.note(work, |workspace, _| workspace.webhook_gone(Side::Attio, next.id)).await?;
                self.attio_look_failed(work, last.id, token, error).await
            }
        }
    }

    async fn attio_look_failed(
        &self,
        work: &mut Work,
        id: WebhookId,
        token: &SecretString,
        error: CallError,
    ) -> Result<(), StoreError> {
        match error {
            CallError::RateLimited { until } => self.report_attio_limit(&work.tenant, until).await,
            // Whether the grant is over is Attio's to say, and is written down there.
            CallError::Unauthorized => drop(self.attio_refused(&work.tenant, token).await?),
            // Neither a scope nor an https PUBLIC_URL comes within the hour.
            CallError::Forbidden { .. } | CallError::Rejected { .. } => {
                let workspace = work.workspace.value.id;
                tracing::warn!(
                    %workspace, %error,
                    "Attio refuses the webhook, so merged and deleted records go unheard: \
                     it wants the scope webhook:read-write and an https PUBLIC_URL"
                );
                return self.look_tomorrow(work, Side::Attio, id).await;
            }
            _ => {}
        }
        self.look_later(work, Side::Attio, id, Some(&error)).await
    }
}
