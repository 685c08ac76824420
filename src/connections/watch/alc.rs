//! The look at ALC's webhook.

use super::listed::{Listed, Seen, look_for};
use crate::{
    alc::{CallError, CreatedWebhook, ListedWebhook},
    connections::{
        alc_grant::{Grant, NoGrant},
        clean_up::named,
        service::{Connections, WEBHOOK_SECRET},
        work::Work,
        workspace::{side::Side, webhook::Webhook},
    },
    ids::WebhookId,
    store::StoreError,
    telemetry,
};

impl From<ListedWebhook> for Listed {
    fn from(ListedWebhook { id, name, url }: ListedWebhook) -> Self {
        Self { id, name, url }
    }
}

impl Connections {
    /// Asks ALC whether it still has the webhook, and makes another one if not.
    pub(in crate::connections) async fn check_alc_webhook(
        &self,
        work: &mut Work,
        id: WebhookId,
    ) -> Result<(), StoreError> {
        let grant = match self.alc_grant(&work.tenant, &work.workspace).await {
            Ok((grant, None)) => grant,
            Ok((grant, newer)) => {
                work.replace(newer);
                grant
            }
            Err(NoGrant::Store(error)) => return Err(error),
            Err(_) => return self.look_later(work, Side::Alc, id, None).await,
        };
        let Some(webhook) = work.workspace.value.watched(Side::Alc).filter(|watched| watched.id == id).cloned() else {
            return self.reload(work).await;
        };
        let (seen, lists) = match self.alc.list_webhooks(&grant.access_token).await {
            Ok(list) => {
                let list: Vec<_> = list.into_iter().map(Listed::from).collect();
                self.delete_orphans_at_alc(work, &grant, &list).await?;
                (look_for(Side::Alc, &webhook, work.workspace.value.id, self.base(), &list), true)
            }
            Err(error) if !cannot_list(&error) => return self.look_later(work, Side::Alc, id, Some(&error)).await,
            Err(_) if webhook.lost => (Seen::Lost, false),
            Err(_) if webhook.is_outdated(self.base()) => (Seen::Moved, false),
            Err(_) => (Seen::Unlisted, false),
        };
        telemetry::webhook_look(Side::Alc.label(), seen.name());
        let listed = match seen {
            Seen::Listed(upstream_id) => Some(upstream_id),
            Seen::Unlisted => None,
            Seen::Lost | Seen::Moved => {
                return self.replace_at_alc(work, (&webhook, seen == Seen::Lost), &grant, lists).await;
            }
            Seen::Taken => {
                let workspace = work.workspace.value.id;
                tracing::warn!(%workspace, webhook = %id, "ALC calls another workspace under this webhook's id");
                return self.look_tomorrow(work, Side::Alc, id).await;
            }
        };
        let base = self.base();
        self.note(work, |workspace, now| workspace.webhook_looked_at(Side::Alc, id, listed.clone(), base, now)).await
    }

    async fn delete_orphans_at_alc(&self, work: &mut Work, grant: &Grant, list: &[Listed]) -> Result<(), StoreError> {
        for id in self.orphans_among(work, Side::Alc, list).await? {
            if !self.lasts(work).await? {
                return Ok(());
            }
            let workspace = work.workspace.value.id;
            match self.alc.delete_webhook(&grant.access_token, &id).await {
                Ok(()) => tracing::info!(%workspace, "an orphan of our webhooks is deleted at ALC"),
                Err(error) => {
                    tracing::warn!(%workspace, %error, "an orphan of our webhooks stays at ALC until tomorrow");
                }
            }
        }
        Ok(())
    }

    /// Makes another webhook. Whatever comes of it, the last one is there until the next is stored as made.
    async fn replace_at_alc(
        &self,
        work: &mut Work,
        (last, lost): (&Webhook, bool),
        grant: &Grant,
        lists: bool,
    ) -> Result<(), StoreError> {
        let (next, url) = self.new_webhook(Side::Alc, work.workspace.value.id, grant.connection);
        if !self.intend_next(work, Side::Alc, (last.id, lost), &next).await? {
            return Ok(());
        }
        let (name, token) = (next.name(), &grant.access_token);
        let made = match self.alc.create_webhook(token, &name, &url).await {
            Ok(made) if made.id.is_some() || !lists => made,
            Ok(made) => {
                let id = self.alc.list_webhooks(token).await.ok().and_then(|list| named(list, &name));
                CreatedWebhook { id, ..made }
            }
            // Made at an ALC that lists nothing: it can never be deleted, so it is used.
            Err(CallError::Unreadable { .. }) if !lists => CreatedWebhook { id: None, secret: None },
            // It may be there, but its secret is lost: it is found by its name and deleted.
            Err(error @ (CallError::Unknown { .. } | CallError::Unreadable { .. })) => {
                self.drop_next(work, next.id).await?;
                if !lists {
                    // Each try may leave one there that cannot be found.
                    return self.look_tomorrow(work, Side::Alc, last.id).await;
                }
                return self.look_later(work, Side::Alc, last.id, Some(&error)).await;
            }
            Err(error) => {
                self.note(work, |workspace, _| workspace.webhook_gone(Side::Alc, next.id)).await?;
                // A clear refusal is the same within the hour.
                if cannot_list(&error) {
                    return self.look_tomorrow(work, Side::Alc, last.id).await;
                }
                return self.look_later(work, Side::Alc, last.id, Some(&error)).await;
            }
        };
        self.take_next_at_alc(work, last.id, next.id, made).await
    }

    async fn take_next_at_alc(
        &self,
        work: &mut Work,
        last: WebhookId,
        next: WebhookId,
        made: CreatedWebhook,
    ) -> Result<(), StoreError> {
        let workspace = work.workspace.value.id;
        let secret = made.secret.as_ref().map(|secret| self.seal(workspace, next, WEBHOOK_SECRET, secret));
        let known = (made.id.clone(), secret);
        if let Err(error) = self.judge_secret(&made) {
            tracing::warn!(%workspace, %error, "ALC's new webhook is of no use and is deleted");
            self.note(work, |workspace, now| {
                let (id, secret) = known.clone();
                workspace.webhook_registered(Side::Alc, next, id, secret, now);
            })
            .await?;
            self.drop_next(work, next).await?;
            return self.look_tomorrow(work, Side::Alc, last).await;
        }
        self.note(work, |workspace, now| workspace.webhook_replaced(Side::Alc, last, next, known.clone(), now)).await
    }

    async fn drop_next(&self, work: &mut Work, next: WebhookId) -> Result<(), StoreError> {
        self.note(work, |workspace, now| {
            workspace.webhook_mut(Side::Alc, next).into_iter().for_each(|webhook| webhook.unwanted(now));
        })
        .await
    }
}

/// Whether ALC does not list its webhooks to us. A look is no evidence about the grant: a gateway answers 401 or 403
/// to a call that ALC does not know, or for which our scopes do not do, while leads are taken.
fn cannot_list(error: &CallError) -> bool {
    matches!(
        error,
        CallError::Unsupported
            | CallError::NotFound
            | CallError::Unauthorized
            | CallError::Forbidden { .. }
            | CallError::Rejected { .. }
            | CallError::Unreadable { .. }
    )
}
