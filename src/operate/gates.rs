//! Gates over all workspaces: which are closed until when, and opening them.

use std::time::Duration;

use serde::Serialize;

use super::{Operate, audit::By, pages::Place};
use crate::{
    clock::{Timestamp, later},
    connections,
    ids::WorkspaceId,
    leads::{self, Looked, Status},
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
#[derive(Debug, Clone)]
pub struct OpenGates {
    /// Of this workspace only.
    pub workspace: Option<WorkspaceId>,
    /// Before this upstream only.
    pub upstream: Option<String>,
    /// From where on.
    pub from: Option<Place>,
    /// Of at most so many workspaces.
    pub limit: usize,
}

/// What opening came to.
#[derive(Debug, Clone, Serialize)]
pub struct GatesOpened {
    /// The gates that were closed or counted failures, as they were.
    pub opened: Vec<GateLine>,
    /// How many leads were woken to go through.
    pub leads_woken: u64,
    /// Where the rest begins: with another workspace, or with leads of one whose gates are open now.
    pub next_cursor: Option<String>,
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

    /// Opens gates now, whatever their upstreams asked for or failed at, and wakes the leads that waited there. Ends
    /// with the first workspace of which ended leads are woken: those cost a walk.
    pub async fn open_gates(&self, open: &OpenGates, by: &By) -> Result<GatesOpened, StoreError> {
        let wanted = |upstream: &str| open.upstream.as_ref().is_none_or(|only| only == upstream);
        let from = open.from.as_ref();
        // One workspace's operator does not let go what protects ALC from all of them.
        if from.is_none() && open.workspace.is_none() && wanted("alc") && self.leads.holds_back_alc() {
            self.leads.let_alc_through();
            by.did("open-gate", &"alc of all workspaces", "opened");
        }
        let mut done = GatesOpened { opened: Vec::new(), leads_woken: 0, next_cursor: None };
        let all = self.workspaces(Kind::Workspace, open.workspace, from.map(|from| from.workspace)).await?;
        let mut rest = all.get(open.limit).copied();
        for (at, workspace) in all.iter().copied().enumerate().take(open.limit) {
            // The gates of one that a walk had only begun with are open by now.
            let begun = from.filter(|from| from.workspace == workspace && from.after.is_some());
            let mut is_ended_owed = begun.is_some();
            if begun.is_none() {
                for line in self.gates_of(workspace).await?.into_iter().filter(GateLine::is_worth_opening) {
                    if wanted(line.upstream) {
                        let of = format_args!("{workspace}/{}", line.upstream);
                        let woken = self.open_gate(&line).await;
                        done.leads_woken += woken.inspect_err(|_| by.may_have_done("open-gate", &of))?;
                        by.did("open-gate", &of, "opened");
                        is_ended_owed |= line.upstream != "alc";
                        done.opened.push(line);
                    }
                }
            }
            if is_ended_owed {
                let (woken, next) = self.wake_ended(workspace, begun).await?;
                done.leads_woken += woken;
                done.next_cursor = next.map(|next| next.to_string());
                rest = all.get(at + 1).copied();
                break;
            }
        }
        let rest = rest.map(|workspace| Place { workspace, after: None }.to_string());
        done.next_cursor = done.next_cursor.or(rest);
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
        if line.upstream == "attio" {
            self.store.wake(&tenant, Kind::Prospect, &leads::PROSPECTS, WOKEN_WITHIN, now).await?;
        }
        if live.is_empty() { Ok(0) } else { self.store.wake(&tenant, Kind::Lead, live, WOKEN_WITHIN, now).await }
    }

    /// Of ended leads only those are woken of which something is owed, some hundreds at most, as evenly as
    /// [`WOKEN_WITHIN`] has it: there may be months of others. How many, and where the rest begins.
    async fn wake_ended(
        &self,
        workspace: WorkspaceId,
        from: Option<&Place>,
    ) -> Result<(u64, Option<Place>), StoreError> {
        let owing = |page: &Looked, workspace| {
            let summaries = page.summaries(workspace).into_iter();
            summaries.map(|(at, lead)| (at, lead.waiting.then_some(lead.record_id).into_iter().collect())).collect()
        };
        let ended = [Status::Complete, Status::Failed];
        let (records, next) = self.walk((Some(workspace), from), &ended, WOKEN_AT_ONCE, owing).await?;
        let (now, mut woken) = (self.clock.now(), 0);
        let apart = WOKEN_WITHIN / u32::try_from(records.len()).unwrap_or(u32::MAX).max(1);
        for (turn, record) in (0..).zip(records) {
            woken += u64::from(self.leads.look_by(workspace, record, later(now, apart * turn)).await?);
        }
        Ok((woken, next))
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
