//! What surrounded the last press of each workspace, for a second.
//!
//! A person who sends a whole list presses many times a second, and each press would load the same workspace and the
//! same gates. Promises that a press which goes by what is remembered can only begin a send: the commit that stores the
//! send checks the workspace's version, that the record has no lead and that the key has no receipt, and whatever else
//! the press might come to is decided by what is loaded. Memory is bounded.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    clock::{Timestamp, later},
    connections::Workspace,
    store::{Tenant, Versioned, gate::GateView},
};

/// What is older is loaded. Also for so long a press may not notice that another replica has closed ALC's gate.
const LIFE: Duration = Duration::from_secs(1);
/// So many workspaces are remembered, then all are forgotten: each costs one load more.
const MOST: usize = 1_024;

/// See the module.
#[derive(Default)]
pub(in crate::leads) struct Recent(Mutex<HashMap<Tenant, Seen>>);

struct Seen {
    workspace: Versioned<Workspace>,
    gates: [GateView; 2],
    at: Timestamp,
}

impl Recent {
    fn seen(&self) -> MutexGuard<'_, HashMap<Tenant, Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Workspace and gates, if they were looked at a moment ago and the gates were open.
    pub(super) fn surroundings(
        &self,
        tenant: &Tenant,
        now: Timestamp,
    ) -> Option<(Versioned<Workspace>, [GateView; 2])> {
        let seen = self.seen();
        // A clock that was set back makes nothing young again.
        let young = |seen: &&Seen| seen.at <= now && now < later(seen.at, LIFE);
        let seen = seen.get(tenant).filter(young)?;
        Some((seen.workspace.clone(), seen.gates))
    }

    /// Takes down what was loaded at `at`, before anything was decided.
    pub(super) fn remember(
        &self,
        tenant: &Tenant,
        workspace: &Versioned<Workspace>,
        gates: [GateView; 2],
        at: Timestamp,
    ) {
        let mut all = self.seen();
        // Nor are the sealed tokens of a workspace that has left kept until others need the room.
        all.retain(|_, seen| at < later(seen.at, LIFE));
        if gates.iter().any(|gate| gate.closed_until.is_some() || gate.failures > 0) {
            all.remove(tenant);
            return;
        }
        if all.len() >= MOST && !all.contains_key(tenant) {
            all.clear();
        }
        all.insert(tenant.clone(), Seen { workspace: workspace.clone(), gates, at });
    }

    /// The workspace or its gates are known to stand otherwise by now.
    pub(in crate::leads) fn forget(&self, tenant: &Tenant) {
        self.seen().remove(tenant);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::WorkspaceId;

    #[test]
    fn what_is_too_old_to_go_by_is_not_kept() {
        let (recent, began) = (Recent::default(), Timestamp::UNIX_EPOCH);
        let workspace = Versioned::new(Workspace::new(WorkspaceId::random(), began));
        let remember =
            |tenant: &str, at| recent.remember(&Tenant::new(tenant), &workspace, [GateView::default(); 2], at);
        remember("one", began);
        remember("another", later(began, LIFE / 2));
        assert!(recent.surroundings(&Tenant::new("one"), later(began, LIFE / 2)).is_some());
        remember("a third", later(began, LIFE));
        let mut kept: Vec<_> = recent.seen().keys().map(|tenant| tenant.as_str().to_owned()).collect();
        kept.sort();
        assert_eq!(kept, ["a third", "another"]);
    }
}
