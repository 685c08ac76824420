//! The bearer token for ALC, and the turns that the work takes without one.

use super::leased::Work;
use crate::{
    connections::{Grant, NoGrant, Workspace},
    leads::{
        lead::{alc::Again, outcome::Status},
        service::Leads,
    },
    store::{StoreError, Versioned},
};

impl Leads {
    /// A token for ALC, or the turn that the work takes without one.
    pub(super) async fn grant(&self, work: &mut Work) -> Result<Option<Grant>, StoreError> {
        let Some(workspace) = &work.workspace else {
            work.grants.dead = true;
            return Ok(None);
        };
        match self.parts.connections.alc_grant(&work.tenant, workspace).await {
            Ok((grant, newer)) => {
                if newer.is_some() {
                    work.see(newer);
                }
                Ok(Some(grant))
            }
            Err(refused) => {
                self.no_grant(work, refused).await?;
                Ok(None)
            }
        }
    }

    /// ALC, which is there, refused a token: once, a fresh one is tried at once.
    pub(super) async fn renew(&self, work: &mut Work, used: &Grant) -> Result<(), StoreError> {
        self.alc_answered(work).await;
        if work.grants.renewed {
            let again = Again::failed(self.retry_at(work.lead.value.send.failures, None));
            let detail = Some("ALC refuses even a fresh access token".to_owned());
            if work.lead.value.send.outcome.status == Status::Pending {
                return self.polled(work).await;
            }
            return self.record(work, |lead, now| lead.delay(again, detail.clone(), now)).await;
        }
        work.grants.renewed = true;
        match self.parts.connections.alc_grant_after_401(&work.tenant, used).await {
            Ok((_, workspace)) => {
                work.see(Some(workspace));
                Ok(())
            }
            Err(refused) => self.no_grant(work, refused).await,
        }
    }

    /// ALC took a token: if it refused the same one before, that was a stray.
    pub(super) async fn token_accepted(&self, work: &mut Work, used: &Grant) {
        if let Some(workspace) = &work.workspace
            && let Err(error) = self.parts.connections.alc_accepted(&work.tenant, &workspace.value, used).await
        {
            tracing::warn!(%error, "that ALC takes its token again could not be recorded");
        }
        self.alc_answered(work).await;
    }

    async fn no_grant(&self, work: &mut Work, refused: NoGrant) -> Result<(), StoreError> {
        match refused {
            NoGrant::ReauthorizationRequired | NoGrant::NotConnected => {
                self.look_again(work).await?;
                work.grants.refused += 1;
                // A workspace that has connected again since deserves another try, once.
                let lives = |workspace: &Versioned<Workspace>| {
                    workspace.value.current().is_some_and(|current| !current.needs_reauthorization())
                };
                work.grants.dead = work.grants.refused > 1 || !work.workspace.as_ref().is_some_and(lives);
                work.publish();
                Ok(())
            }
            NoGrant::Unavailable { retry_at, detail } => {
                let detail = Some(format!("ALC's token endpoint: {detail}"));
                self.record(work, |lead, now| lead.delay(Again::failed(retry_at), detail.clone(), now)).await
            }
            NoGrant::Unopened { retry_at, detail } => {
                let detail = format!("ALC's token cannot be opened: {detail}");
                self.record(work, |lead, now| lead.not_opened(retry_at, detail.clone(), now)).await
            }
            NoGrant::Store(error) => Err(error),
        }
    }
}
