//! The walk over all that is stored, after a change of the sealing key: what the previous key sealed is sealed anew.
//!
//! Promises that the walk goes over workspaces, leads, prospects and attempts alike; that each document is written by
//! itself, so that a process may die at any moment; that no worker loses its lease; and that
//! `alc_connector_sealed_by_previous` says how many documents are left, so that an operator knows when the previous key
//! may go. Replicas that walk at once do no harm: of two writes one finds the document changed. Without a previous key
//! there is nothing to do.

use std::time::Duration;

use super::Reconciler;
use crate::{
    clock::later,
    leads::{self, Leads},
    store::{Kind, Page, Resealed, StoreError, Tenant},
};

/// Nothing is sealed anew before then: in a roll-out the replicas that do not have the new key yet should be gone.
const AFTER_THE_START: Duration = Duration::from_secs(5 * 60);
/// A walk begins so long after the one before: another replica may have sealed under the previous key meanwhile.
const AGAIN: Duration = Duration::from_secs(15 * 60);
/// The same after a walk that found nothing left.
const SELDOM: Duration = Duration::from_secs(60 * 60);
/// Between two writes, and two pages, so that a walk takes no part worth mentioning of what the store can do. Each lead
/// that is sealed anew is looked at by a worker besides.
const APART: Duration = Duration::from_millis(20);
/// Leads that are loaded at once.
const PAGE: usize = 100;

impl Reconciler {
    /// Walks until the process stops, if there is a previous sealing key.
    pub async fn reseal(self) {
        let gauge = metrics::gauge!("alc_connector_sealed_by_previous");
        if !self.connections.is_rotating() {
            return gauge.set(0.0);
        }
        // Not 0 before all was looked at: an operator would take the previous key away.
        gauge.set(f64::NAN);
        let mut only_look = true;
        loop {
            let turn = self.lifecycle.turn();
            let walked = self.walk(only_look).await;
            drop(turn);
            if self.lifecycle.is_stopping() {
                return;
            }
            let is_done = matches!(walked, Ok(0));
            match walked {
                #[expect(clippy::cast_precision_loss, reason = "no store holds 2^52 documents")]
                Ok(left) => gauge.set(left as f64),
                Err(error) => {
                    gauge.set(f64::NAN);
                    tracing::warn!(%error, "could not look for what the previous sealing key sealed");
                }
            }
            let wait = match (only_look, is_done) {
                (true, _) => AFTER_THE_START,
                (false, true) => SELDOM,
                (false, false) => AGAIN,
            };
            only_look = false;
            tokio::select! {
                () = self.clock.sleep_until(later(self.clock.now(), wait)) => {}
                () = self.lifecycle.stopping() => {}
            }
        }
    }

    /// One walk; returns how many documents the current key has not sealed then.
    async fn walk(&self, only_look: bool) -> Result<u64, StoreError> {
        let mut left = 0;
        let workspaces = self.store.tenants(Kind::Workspace).await?;
        for tenant in workspaces.iter().take_while(|_| !self.lifecycle.is_stopping()) {
            left += self.count(tenant, Kind::Workspace, self.connections.reseal(tenant, only_look).await).await;
        }
        for tenant in self.store.tenants(Kind::Attempt).await?.into_iter().take_while(|_| !self.lifecycle.is_stopping())
        {
            left += self.count(&tenant, Kind::Attempt, self.authorization.reseal(&tenant, only_look).await).await;
        }
        // To ask the store which tenants have a lead would make it read every lead's place in one go.
        for tenant in &workspaces {
            left += self.walk_leads(tenant, only_look).await?;
            left += self.walk_prospects(tenant, only_look).await?;
        }
        Ok(left)
    }

    async fn walk_leads(&self, tenant: &Tenant, only_look: bool) -> Result<u64, StoreError> {
        let (mut left, mut cursor, labels) = (0, None, Leads::labels());
        while !self.lifecycle.is_stopping() {
            let page = self.store.page(tenant, &labels, cursor.as_ref(), PAGE).await?;
            cursor.clone_from(&page.next);
            let found = page.documents.len();
            let leads = Page { documents: page.documents, next: None }.read();
            // What only a newer version can read is left to that.
            left += (found - leads.len()) as u64;
            for (_, lead) in leads {
                left += self.count(tenant, Kind::Lead, self.leads.reseal(tenant, lead, only_look).await).await;
            }
            tokio::time::sleep(APART).await;
            if cursor.is_none() {
                break;
            }
        }
        Ok(left)
    }

    /// One that a worker leases is left to the next walk; that worker is about to have it forgotten.
    async fn walk_prospects(&self, tenant: &Tenant, only_look: bool) -> Result<u64, StoreError> {
        let mut left = 0;
        for id in self.store.unleased(tenant, Kind::Prospect, &leads::PROSPECTS).await? {
            if self.lifecycle.is_stopping() {
                break;
            }
            let resealed = self.leads.reseal_prospect(tenant, &id, only_look).await;
            left += self.count(tenant, Kind::Prospect, resealed).await;
        }
        Ok(left)
    }

    async fn count(&self, tenant: &Tenant, kind: Kind, resealed: Result<Resealed, StoreError>) -> u64 {
        if !matches!(resealed, Ok(Resealed::Current)) {
            tokio::time::sleep(APART).await;
        }
        match resealed {
            Ok(Resealed::Current | Resealed::Now) => 0,
            Ok(Resealed::Left) => 1,
            Err(error) => {
                // Of an attempt the tenant is its state, which is the browser's secret.
                let workspace = (kind != Kind::Attempt).then_some(tenant);
                let workspace = workspace.map(tracing::field::display);
                tracing::warn!(%error, workspace, kind = kind.name(), "a document could not be sealed anew");
                1
            }
        }
    }
}
