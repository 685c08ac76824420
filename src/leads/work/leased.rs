//! A leased lead under way: what its worker knows, and what the gates have said to it.

use tracing::{Span, field::Empty};

use crate::{
    clock::Timestamp,
    connections::Workspace,
    ids::SendId,
    leads::{
        lead::{aggregate::Lead, next_step::AlcAccess},
        work::waiter::Waiter,
    },
    store::{
        Commit, Key, Lease, LeaseChange, Tenant, Version, Versioned,
        gate::{GateView, Verdict},
    },
    upstream::breaker::Probe,
};

/// A lead under way.
pub(in crate::leads) struct Work {
    pub(in crate::leads) tenant: Tenant,
    pub(super) key: Key,
    pub(in crate::leads) lead: Versioned<Lead>,
    /// `None`: ended, or lost to another worker.
    pub(super) lease: Option<Lease>,
    pub(in crate::leads) workspace: Option<Versioned<Workspace>>,
    pub(super) alc: Pass,
    /// The next call to ALC is the one that shows whether ALC answers any workspace again.
    pub(super) alc_probe: Option<Probe>,
    pub(super) attio: Pass,
    pub(super) workflows: Pass,
    pub(super) grants: Grants,
    /// The send that ALC has taken from this worker, and ALC's id of it: so that a store which loses that commit is
    /// told again.
    pub(super) taken: Option<(SendId, Option<String>)>,
    pub(in crate::leads) waiter: Option<Waiter>,
}

/// What the gate before one upstream has said to this worker.
#[derive(Default)]
pub(in crate::leads) struct Pass {
    /// The gate as it was loaded.
    pub(in crate::leads) view: GateView,
    /// The gate lets this lead through no earlier.
    pub(super) opens_at: Option<Timestamp>,
    /// The gate has said Go, and the call has not begun.
    pub(super) go: bool,
}

/// What came of asking for grants at ALC.
#[derive(Default)]
pub(super) struct Grants {
    /// The grant turned out to be dead, whatever the workspace says.
    pub(super) dead: bool,
    /// How often there was no grant.
    pub(super) refused: u32,
    /// A 401 has been answered with a fresh token once.
    pub(super) renewed: bool,
}

impl Pass {
    pub(in crate::leads) fn of(view: GateView) -> Self {
        Self { view, ..Self::default() }
    }

    /// Takes down what the gate has said; whether it said Go.
    pub(super) fn take_down(&mut self, verdict: Verdict) -> bool {
        self.go = verdict == Verdict::Go;
        self.opens_at = match verdict {
            Verdict::Go => None,
            Verdict::At(slot) => Some(slot),
        };
        self.go
    }
}

impl Work {
    /// A leased lead in what surrounds it; nothing asked and nothing done yet.
    pub(in crate::leads) fn new(
        tenant: Tenant,
        key: Key,
        lead: Versioned<Lead>,
        workspace: Option<Versioned<Workspace>>,
        gates: [GateView; 2],
    ) -> Self {
        let [alc, attio] = gates.map(Pass::of);
        Self {
            tenant,
            key,
            lease: lead.document.lease,
            lead,
            workspace,
            alc,
            alc_probe: None,
            attio,
            workflows: Pass::default(),
            grants: Grants::default(),
            taken: None,
            waiter: None,
        }
    }

    /// What every line names that is logged while this lead is worked on, as those of the reconciler's steps do. Of the
    /// highest level, so that no level takes it from the lines that are let through.
    pub(in crate::leads) fn span(&self) -> Span {
        tracing::error_span!(
            "step",
            kind = "lead",
            workspace = self.tenant.as_str(),
            record = &*self.key.id,
            send = Empty,
            connection = Empty,
            step = Empty,
            attempt = Empty
        )
    }

    /// Tells the caller that waits for this work, if one does, how far it has come.
    pub(in crate::leads) fn publish(&self) {
        if let Some(waiter) = &self.waiter {
            waiter.progress.send_modify(|progress| {
                if let Some(view) = self.lead.value.view_of(waiter.send) {
                    progress.view = view;
                }
                progress.reauthorization = self.grants.dead;
            });
        }
    }

    /// The workspace as it was loaded again. If it has changed, it may have connected anew: what was true of its grant
    /// before says nothing of the one of now, and a lead that went on believing it would sleep until its deadline.
    pub(super) fn see(&mut self, workspace: Option<Versioned<Workspace>>) {
        if self.workspace.as_ref().map(Versioned::version) != workspace.as_ref().map(Versioned::version) {
            (self.grants.dead, self.grants.refused) = (false, 0);
        }
        self.workspace = workspace;
    }

    /// Whether the workspace has access to ALC.
    pub(super) fn alc_access(&self) -> AlcAccess {
        // A workspace that the store has lost connects again: until then its leads wait, within their deadlines.
        let Some(workspace) = &self.workspace else { return AlcAccess::Reauthorization };
        match (workspace.value.current(), workspace.value.disconnected_at) {
            (Some(current), _) if self.grants.dead || current.needs_reauthorization() => AlcAccess::Reauthorization,
            (Some(_), _) => AlcAccess::Connected,
            (None, Some(since)) => AlcAccess::Disconnected { since },
            // Between two connections: the next one wakes its leads.
            (None, None) => AlcAccess::Reauthorization,
        }
    }

    /// What must still stand for the lease to end: nothing was connected or removed since the workspace was loaded. A
    /// connect wakes the workspace's leads but passes over the leased ones: this one would sleep on.
    pub(super) fn checks_at_the_end(&self) -> Vec<(Key, Version)> {
        self.workspace.iter().map(|workspace| (Key::workspace(), workspace.version())).collect()
    }

    /// `commit` has written the lead as it is, and leased it to this worker; Attio's gate has said `verdict`, if it was
    /// asked.
    pub(super) fn leased_by(&mut self, commit: &Commit, verdict: Verdict) {
        self.lead.written(&self.key.id, commit);
        self.lease = self.lead.document.lease;
        if commit.reserve.is_some() {
            self.attio.take_down(verdict);
        }
    }

    /// `commit` has written the lead as it is in `lead`, with this change of its lease.
    pub(super) fn written(&mut self, lead: Box<Lead>, change: LeaseChange, commit: &Commit) {
        self.lead.value = lead;
        self.lead.written(&self.key.id, commit);
        self.lease = match change {
            LeaseChange::Hold(lease) | LeaseChange::Take(lease) => Some(lease),
            LeaseChange::End { .. } | LeaseChange::Leave { .. } => None,
        };
    }
}
