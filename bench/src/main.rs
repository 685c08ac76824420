//! `make bench`: how fast the connector is, beside a bare service that does only the least, on the same machine in
//! the same run.
//!
//! The generator and the pretend services live in this process; the connector, the limit and their Redis servers are
//! processes of their own, so that the machine counts their CPU time and memory apart.

mod ambient;
mod caller;
mod children;
mod connect;
mod connector;
mod ledger;
mod limit;
mod load;
mod machine;
mod plan;
mod redis_server;
mod round;
mod scale;
mod subject;
mod table;
mod upstreams;
mod work;

use std::{process::ExitCode, sync::Arc};

use clap::{Parser, Subcommand};

use self::{
    ambient::{say, tell},
    ledger::Ledger,
    plan::{Plan, StoreKind},
    round::measure,
    subject::Subject,
    table::Table,
    upstreams::Upstreams,
};

#[derive(Parser)]
#[command(about)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    plan: Plan,
}

#[derive(Subcommand)]
enum Command {
    /// Serves as the limit; the bench starts it by itself.
    #[command(hide = true)]
    Limit(limit::Settings),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command {
        Some(Command::Limit(settings)) => {
            actix_web::rt::System::new().block_on(limit::serve(settings)).map_err(|error| error.to_string())
        }
        None => tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())
            .and_then(|runtime| runtime.block_on(bench(&arguments.plan))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&format!("✗ {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn bench(plan: &Plan) -> Result<(), String> {
    say(&format!("{}\n", machine::described()));
    let (requests, callers, workspaces) = (plan.requests, plan.callers, plan.workspaces);
    let (rounds, writes) = (plan.rounds, plan.writes_per_second);
    say(&format!(
        "{requests} leads a job and round, {callers} callers, {workspaces} workspaces, {writes} writes a second each, \
         medians of {rounds} rounds; CPU, scripts and Redis bytes for each request (batch: each lead)"
    ));
    for kind in &plan.store {
        if plan.scale {
            scale::scale(*kind, plan).await?;
        } else {
            bench_on(*kind, plan).await?;
        }
    }
    Ok(())
}

async fn bench_on(kind: StoreKind, plan: &Plan) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    // Callbacks need leads that were sent before; a batch is rounded up.
    let each = (plan.requests + plan.batch) * 2 * plan.rounds * plan.job.len();
    let ledger = Arc::new(Ledger::new(each));
    let upstreams = Upstreams::start(Arc::clone(&ledger)).await.map_err(|error| error.to_string())?;
    let limit = Subject::limit(&folder.path().join("limit"), kind, &upstreams, plan.as_promised).await?;
    tell(&format!("{}: connecting {} workspaces", kind.name(), plan.workspaces));
    let connector = Subject::connector(&folder.path().join("connector"), kind, &upstreams, plan).await?;
    let mut results = vec![(Vec::new(), Vec::new()); plan.job.len()];
    for round in 1..=plan.rounds {
        for (job, (of_limit, of_connector)) in plan.job.iter().zip(&mut results) {
            tell(&format!("{}: round {round} of {}, {}", kind.name(), plan.rounds, job.name()));
            of_limit.push(measure(&limit, &ledger, plan, *job).await?);
            of_connector.push(measure(&connector, &ledger, plan, *job).await?);
        }
    }
    let table = Table::of(["limit", "connector"], kind != StoreKind::Sqlite);
    say(&format!("\n### {}\n\n{}", kind.name(), table.head()));
    for (job, (of_limit, of_connector)) in plan.job.iter().zip(&results) {
        say(&table.rows(&job.name(), [of_limit, of_connector]));
    }
    if let Some(start) = connector.start_to_ready {
        say(&format!("\nStart to ready: {} ms, with {} workspaces stored.", start.as_millis(), plan.workspaces));
    }
    Ok(())
}
