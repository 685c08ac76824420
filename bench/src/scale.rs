//! The connector on an empty store, and on one that years of use have filled: what a user waits for must not tell them
//! apart.

use std::{net::SocketAddr, path::Path, sync::Arc};

use hyper::{StatusCode, header::AUTHORIZATION};
use tokio::process::Command;

use crate::{
    ambient::{say, tell},
    caller::{Call, get, request, whole},
    ledger::Ledger,
    load::Units,
    plan::{Job, Plan, StoreKind, Work},
    round::{Measured, complete, measure, measure_reads},
    subject::Subject,
    table::Table,
    upstreams::{Upstreams, workspace_id},
    work::Leads,
};

const SEND: Job = Job { work: Work::Send, rate: None };
const CALLBACK: Job = Job { work: Work::Callback, rate: None };
/// Reads are few beside sends: a scrape every few seconds, a page when a person looks.
const SHARE_OF_READS: usize = 20;

/// One `GET`, again and again.
struct Reads {
    listener: SocketAddr,
    path: &'static str,
    bearer: String,
    count: usize,
}

impl Units for Reads {
    fn count(&self) -> usize {
        self.count
    }

    fn requests(&self, _unit: usize) -> Vec<(Call, StatusCode)> {
        let call = if self.bearer.is_empty() {
            get(self.listener, self.path)
        } else {
            whole(request("GET", self.listener, self.path).header(AUTHORIZATION, &self.bearer), String::new())
        };
        vec![(call, StatusCode::OK)]
    }

    fn begin(&self, _unit: usize, _request: usize, _at: u64) {}
}

/// Measures both, and prints the table.
pub(crate) async fn scale(kind: StoreKind, plan: &Plan) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let ledger = Arc::new(Ledger::new(4 * plan.rounds * plan.requests + 2 * plan.workspaces));
    let upstreams = Upstreams::start(Arc::clone(&ledger)).await.map_err(|error| error.to_string())?;
    tell(&format!("{}: connecting {} workspaces", kind.name(), plan.workspaces));
    let mut subject = Subject::connector(folder.path(), kind, &upstreams, plan).await?;
    let empty = all_jobs(&subject, &ledger, plan, "empty").await?;
    let (pending, finished) = examples(&subject, &ledger, plan).await?;
    let before = subject.counts().await?.redis_memory;
    tell(&format!("seeding {} finished, {} due, {} connections", plan.finished, plan.due, plan.connections));
    let store = subject.store.clone();
    subject.while_stopped(seed(plan, &store, &pending, &finished)).await?;
    let after = subject.counts().await?.redis_memory;
    let full = all_jobs(&subject, &ledger, plan, "full").await?;
    let table = Table::of(["empty", "full"], kind != StoreKind::Sqlite);
    say(&format!("\n### {}, empty and full\n\n{}", kind.name(), table.head()));
    for ((job, empty), (_, full)) in empty.iter().zip(&full) {
        say(&table.rows(job, [empty, full]));
    }
    if let Some(start) = subject.start_to_ready {
        say(&format!("\nStart to ready on the full store: {} ms.", start.as_millis()));
    }
    if kind != StoreKind::Sqlite {
        let bytes = after.saturating_sub(before) / (plan.finished + plan.due + plan.connections).max(1) as u64;
        say(&format!("Redis memory for each seeded document: {bytes} bytes."));
    }
    Ok(())
}

type Jobs = Vec<(String, Vec<Measured>)>;

async fn all_jobs(subject: &Subject, ledger: &Arc<Ledger>, plan: &Plan, when: &str) -> Result<Jobs, String> {
    let bearer = subject.workspaces.first().map(|workspace| workspace.bearer.clone()).unwrap_or_default();
    let reads = |path, bearer: &str, listener| {
        let (bearer, count) = (bearer.to_owned(), (plan.requests / SHARE_OF_READS).max(1));
        Arc::new(Reads { listener, path, bearer, count })
    };
    let of_pages = reads("/v1/leads?limit=20", &bearer, subject.service);
    let of_metrics = reads("/metrics", "", subject.management());
    let of_readiness = reads("/readyz", "", subject.service);
    let mut jobs: Jobs = Vec::new();
    for round in 1..=plan.rounds {
        tell(&format!("{when} store: round {round} of {}", plan.rounds));
        for job in [SEND, CALLBACK] {
            push(&mut jobs, &job.name(), measure(subject, ledger, plan, job).await?);
        }
        for units in [&of_pages, &of_metrics, &of_readiness] {
            let measured = measure_reads(units.listener, subject, Arc::clone(units), 1).await?;
            push(&mut jobs, &format!("GET {}", units.path), measured);
        }
    }
    Ok(jobs)
}

fn push(jobs: &mut Jobs, name: &str, measured: Measured) {
    match jobs.iter_mut().find(|(job, _)| job == name) {
        Some((_, rounds)) => rounds.push(measured),
        None => jobs.push((name.to_owned(), vec![measured])),
    }
}

/// A pending lead's and a finished lead's record, both in the first workspace.
async fn examples(subject: &Subject, ledger: &Arc<Ledger>, plan: &Plan) -> Result<(String, String), String> {
    let fresh = || {
        let leads =
            Leads::fresh(subject.service, &subject.workspaces, ledger, (Work::Send, plan.workspaces, plan.batch));
        Arc::new(leads)
    };
    let (pending, finished) = (fresh(), fresh());
    complete(subject, Arc::clone(&pending), plan.callers, None).await?;
    complete(subject, Arc::clone(&finished), plan.callers, None).await?;
    complete(subject, Arc::new(finished.at(Work::Callback)), plan.callers, None).await?;
    let record = |leads: &Leads| leads.record_in_the_first_workspace().ok_or("no lead in the first workspace");
    Ok((record(&pending)?, record(&finished)?))
}

async fn seed(plan: &Plan, store: &str, pending: &str, finished: &str) -> Result<(), String> {
    let workspaces: Vec<String> = (0..plan.workspaces).map(workspace_id).collect();
    let status = command(&plan.seed)
        .args(["--store", store, "--workspaces", &workspaces.join(",")])
        .args(["--like-pending", pending, "--like-finished", finished])
        .args(["--finished", &plan.finished.to_string(), "--due", &plan.due.to_string()])
        .args(["--connections", &plan.connections.to_string()])
        .status()
        .await
        .map_err(|error| format!("{}: {error}; build it with `make bench`", plan.seed.display()))?;
    status.success().then_some(()).ok_or_else(|| format!("seeding failed: {status}"))
}

fn command(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    command.env_clear().kill_on_drop(true);
    command
}
