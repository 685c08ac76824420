//! Gates over all workspaces: which are closed until when, and opening them.

use std::time::Duration;

use serde::Serialize;

use super::{Operate, audit::By, pages::Place};
use crate::{
    clock::Timestamp,
    connections,
    ids::WorkspaceId,
    leads::{Looked, Status},
    store::{
        Kind, StoreError,
        gate::{Gate, GateReport},
    },
};

/// Over so long the leads are woken that waited before a gate: all at once they would close it again.
const WOKEN_WITHIN: Duration = Duration::from_secs(5);
const WOKEN_AT_ONCE: usize = 500;

/// A gate of a workspace.
#[derive(Debug, Clone, Serialize)]
pub struct GateLine {
    /// Whose.
    pub workspace_id: WorkspaceId,
    /// `alc`, `attio` or `workflow`.
    pub upstream: &'static str,
    /// No request goes before then; in the past: the next request is a probe.
    pub closed_until: Option<Timestamp>,
    /// Failures in a row.
    pub failures: u32,
}

/// Some gates.
#[derive(Debug, Clone, Serialize)]
pub struct GatesPage {
    /// The gates.
    pub gates: Vec<GateLine>,
    /// This process holds back all calls to ALC, for every workspace: no call of any had an answer.
    pub all_of_alc_held_back: bool,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}

/// Which gates are opened.
#[derive(Debug, Clone, Default)]
pub struct OpenGates {
    /// Of this workspace only.
    pub workspace: Option<WorkspaceId>,
    /// Before this upstream only.
    pub upstream: Option<String>,
}

/// What opening came to.
#[derive(Debug, Clone, Serialize)]
pub struct GatesOpened {
    /// The gates that were closed or counted failures, as they were.
    pub opened: Vec<GateLine>,
    /// How many leads were woken to go through.
    pub leads_woken: u64,
}

impl Operate {
    /// A page of gates, by so many workspaces; `closed`: only those that hold something back or count failures.
    pub async fn gates(
        &self,
        only: Option<WorkspaceId>,
        closed: bool,
        from: Option<&Place>,
        limit: usize,
    ) -> Result<GatesPage, StoreError> {
        let all = self.workspaces(Kind::Workspace, only, from.map(|from| from.workspace)).await?;
        let next = all.get(limit).map(|next| Place { workspace: *next, after: None }.to_string());
        let mut gates = Vec::new();
        for workspace in all.into_iter().take(limit) {
            gates.extend(self.gates_of(workspace).await?.into_iter().filter(|gate| !closed || gate.is_worth_opening()));
        }
        Ok(GatesPage { gates, all_of_alc_held_back: self.leads.holds_back_alc(), next_cursor: next })
    }

    /// Opens gates now, whatever their upstreams asked for or failed at, and wakes the leads that waited there.
    pub async fn open_gates(&self, open: &OpenGates, by: &By) -> Result<GatesOpened, StoreError> {
        let wanted = |upstream: &str| open.upstream.as_ref().is_none_or(|only| only == upstream);
        if wanted("alc") && self.leads.holds_back_alc() {
            self.leads.let_alc_through();
            by.did("open-gate", &"alc of all workspaces", "opened");
        }
        let mut done = GatesOpened { opened: Vec::new(), leads_woken: 0 };
        for workspace in self.workspaces(Kind::Workspace, open.workspace, None).await? {
            for line in self.gates_of(workspace).await? {
                if wanted(line.upstream) && line.is_worth_opening() {
                    let of = format_args!("{workspace}/{}", line.upstream);
                    let woken = self.open_gate(&line).await;
                    done.leads_woken += woken.inspect_err(|_| by.may_have_done("open-gate", &of))?;
                    by.did("open-gate", &of, "opened");
                    done.opened.push(line);
                }
            }
        }
        Ok(done)
    }

    async fn open_gate(&self, line: &GateLine) -> Result<u64, StoreError> {
        let Some(gate) = self.all_gates().into_iter().find(|gate| gate.upstream == line.upstream) else { return Ok(0) };
        let (tenant, now) = (connections::tenant(line.workspace_id), self.clock.now());
        self.store.report(&tenant, &gate, GateReport::Opened, now).await?;
        let live: &[&str] = match line.upstream {
            "alc" => &["queued", "pending"],
            "attio" => &["pending"],
            _ => &[],
        };
        let woken =
            if live.is_empty() { 0 } else { self.store.wake(&tenant, Kind::Lead, live, WOKEN_WITHIN, now).await? };
        Ok(woken + if line.upstream == "alc" { 0 } else { self.wake_finished(line.workspace_id).await? })
    }

    /// Of finished leads only those are woken of which something is owed: there may be months of others.
    async fn wake_finished(&self, workspace: WorkspaceId) -> Result<u64, StoreError> {
        let owing = |page: &Looked, workspace| {
            let summaries = page.summaries(workspace).into_iter();
            summaries.map(|(at, lead)| (at, lead.waiting.then_some(lead.record_id).into_iter().collect())).collect()
        };
        let finished = [Status::Complete, Status::Failed];
        let (mut from, mut woken) = (None, 0);
        loop {
            let (records, next) = self.walk((Some(workspace), from.as_ref()), &finished, WOKEN_AT_ONCE, owing).await?;
            for record in records {
                woken += u64::from(self.leads.look_now(workspace, record).await?);
            }
            from = next;
            if from.is_none() {
                return Ok(woken);
            }
        }
    }

    pub(super) async fn gates_of(&self, workspace: WorkspaceId) -> Result<Vec<GateLine>, StoreError> {
        let gates = self.all_gates();
        let loaded = self.store.load(&connections::tenant(workspace), &[], &gates, self.clock.now()).await?;
        let lines = gates.iter().zip(loaded.gates).map(|(gate, view)| GateLine {
            workspace_id: workspace,
            upstream: gate.upstream,
            closed_until: view.closed_until,
            failures: view.failures,
        });
        Ok(lines.collect())
    }

    fn all_gates(&self) -> [Gate; 3] {
        [self.gates.alc, self.gates.attio, self.gates.workflows]
    }
}

impl GateLine {
    pub(super) fn is_worth_opening(&self) -> bool {
        self.closed_until.is_some() || self.failures > 0
    }
}
