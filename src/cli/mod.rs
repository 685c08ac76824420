//! The commands of operators: they speak to a running service over its management listener; those of `store` speak to
//! the store itself.
//!
//! Owns their words and how answers are printed. They read the same configuration as `serve`, of which they need the
//! section `MANAGEMENT` alone. Promises that an error says what to do, and exits with 1; that `--json` prints what the
//! listener answered; and that no control character of an answer reaches the terminal, in a table or in JSON.

mod client;
mod doctor;
mod show;
mod store;
mod sync;
mod table;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use self::client::Client;
pub use self::{
    store::{StoreCommand, store},
    sync::{SYNC_HELP, SyncArgs, sync},
};
use crate::config::Environment;

/// What operators ask of leads.
#[derive(Subcommand)]
pub enum LeadsCommand {
    /// Lists leads over all workspaces.
    List {
        /// Which leads.
        #[command(flatten)]
        filter: LeadArgs,
        /// At most so many.
        #[arg(long, default_value_t = 50)]
        limit: usize,
        /// How the answer is printed.
        #[command(flatten)]
        output: Output,
    },
    /// Tells what happened to a record, what comes next, and why.
    Show {
        /// The record's id in Attio.
        record: String,
        /// Where two workspaces share the id.
        #[arg(long)]
        workspace: Option<String>,
        /// How the answer is printed.
        #[command(flatten)]
        output: Output,
    },
    /// Tries now what waits only for its next try: of one record's lead, or of all leads that the filter finds.
    Retry {
        /// The record's id in Attio, with --workspace where two workspaces share it; without it the filter says which
        /// leads.
        #[arg(conflicts_with_all = ["status", "reason", "waiting", "failing", "all"])]
        record: Option<String>,
        /// Which leads.
        #[command(flatten)]
        filter: LeadArgs,
        /// Every lead that there is.
        #[arg(long)]
        all: bool,
        /// Who asks.
        #[command(flatten)]
        by: ByWhom,
        /// How the answer is printed.
        #[command(flatten)]
        output: Output,
    },
}

/// Which leads.
#[derive(Args)]
pub struct LeadArgs {
    /// Of this workspace only.
    #[arg(long)]
    workspace: Option<String>,
    /// queued, pending, complete or failed.
    #[arg(long)]
    status: Option<String>,
    /// Failed for this reason: rejected, not-sent, timed-out, superseded, record-deleted, disconnected,
    /// no-phone-number or no-name.
    #[arg(long)]
    reason: Option<String>,
    /// Only those for which something is still to be done.
    #[arg(long)]
    waiting: bool,
    /// Only those of which the last try has failed.
    #[arg(long)]
    failing: bool,
}

/// What operators ask of dead letters.
#[derive(Subcommand)]
pub enum LettersCommand {
    /// Lists what was given up: failed leads, writes that Attio refuses, calls to workflows.
    List {
        /// Which letters.
        #[command(flatten)]
        filter: LetterArgs,
        /// At most so many.
        #[arg(long, default_value_t = 50)]
        limit: usize,
        /// How the answer is printed.
        #[command(flatten)]
        output: Output,
    },
    /// Does once more what was given up: one letter by --workspace, --record and --id, else all that the filter finds.
    Replay {
        /// Which letters.
        #[command(flatten)]
        filter: LetterArgs,
        /// The letter's id, as the list has it.
        #[arg(long, requires = "record", requires = "workspace")]
        id: Option<String>,
        /// Every dead letter that there is.
        #[arg(long)]
        all: bool,
        /// Who asks.
        #[command(flatten)]
        by: ByWhom,
        /// How the answer is printed.
        #[command(flatten)]
        output: Output,
    },
}

/// Which dead letters.
#[derive(Args)]
pub struct LetterArgs {
    /// Of this workspace only.
    #[arg(long)]
    workspace: Option<String>,
    /// Of this record only.
    #[arg(long)]
    record: Option<String>,
    /// lead, attio-write or workflow-call.
    #[arg(long)]
    kind: Option<String>,
    /// As the list has it, such as not-sent, refused or nobody-there.
    #[arg(long)]
    reason: Option<String>,
}

/// What operators ask of connections.
#[derive(Subcommand)]
pub enum ConnectionsCommand {
    /// Lists all workspaces with their connections.
    List {
        /// How the answer is printed.
        #[command(flatten)]
        output: Output,
    },
    /// Shows a workspace's connections and webhooks.
    Show {
        /// The workspace's id.
        workspace: String,
        /// How the answer is printed.
        #[command(flatten)]
        output: Output,
    },
    /// Looks at the webhooks now, and tries now what fails. Harmless to repeat.
    Repair {
        /// The workspace's id.
        workspace: String,
        /// Who asks.
        #[command(flatten)]
        by: ByWhom,
        /// How the answer is printed.
        #[command(flatten)]
        output: Output,
    },
}

/// What operators ask of gates.
#[derive(Subcommand)]
pub enum GatesCommand {
    /// Lists the gates before ALC, Attio and workflows.
    List {
        /// Of this workspace only.
        #[arg(long)]
        workspace: Option<String>,
        /// Only those that hold something back or count failures.
        #[arg(long)]
        closed: bool,
        /// How the answer is printed.
        #[command(flatten)]
        output: Output,
    },
    /// Opens closed gates now, and wakes the leads that wait there.
    Open {
        /// Of this workspace only.
        #[arg(long)]
        workspace: Option<String>,
        /// alc, attio or workflow.
        #[arg(long)]
        upstream: Option<String>,
        /// Every gate that there is.
        #[arg(long)]
        all: bool,
        /// Who asks.
        #[command(flatten)]
        by: ByWhom,
        /// How the answer is printed.
        #[command(flatten)]
        output: Output,
    },
}

/// How an answer is printed.
#[derive(Args, Clone, Copy)]
pub struct Output {
    /// Prints JSON for programs, and no tables.
    #[arg(long)]
    json: bool,
}

/// Who asks.
#[derive(Args)]
pub struct ByWhom {
    /// A name for the audit line in the service's log.
    #[arg(long)]
    by: Option<String>,
}

/// An answer, and what is a table of it.
type Told = (Value, Output, fn(&Value) -> String);

/// What a command prints.
pub struct Printed {
    /// What came of it.
    pub text: String,
    /// What went wrong behind that: the rest was not done.
    pub then: Option<String>,
}

/// `alc-connector leads …`.
pub fn leads(environment: &Environment, command: LeadsCommand) -> Result<Printed, String> {
    run(environment, async |client| {
        let mut then = None;
        let told: Told = match command {
            LeadsCommand::List { filter, limit, output } => {
                let LeadArgs { workspace, status, reason, waiting, failing } = filter;
                let query = [
                    ("workspace_id", workspace),
                    ("status", status),
                    ("reason", reason),
                    ("waiting", waiting.then(|| "true".to_owned())),
                    ("failing", failing.then(|| "true".to_owned())),
                ];
                (client.list("/operate/leads", &query, "leads", limit).await?, output, show::leads)
            }
            LeadsCommand::Show { record, workspace, output } => {
                let path = format!("/operate/leads/{}", client::segment(&record));
                (client.get(&path, &[("workspace_id", workspace)]).await?, output, show::stories)
            }
            LeadsCommand::Retry { record: Some(record), filter: LeadArgs { workspace, .. }, by, output, .. } => {
                let path = format!("/operate/leads/{}/retry", client::segment(&record));
                let body = members([("workspace_id", workspace), ("by", by.by)]);
                (client.post(&path, &body).await?, output, show::tried)
            }
            LeadsCommand::Retry { record: None, filter, all, by, output } => {
                let LeadArgs { workspace, status, reason, waiting, failing } = filter;
                let named = [("workspace_id", workspace), ("status", status), ("reason", reason), ("by", by.by)];
                let mut body = members(named);
                (body["waiting"], body["failing"], body["all"]) = (json!(waiting), json!(failing), json!(all));
                let (answer, error) = client.post_pages("/operate/leads/retry", body, "retried").await?;
                then = error;
                (answer, output, show::retried)
            }
        };
        Ok((told, then))
    })
}

/// `alc-connector dead-letters …`.
pub fn letters(environment: &Environment, command: LettersCommand) -> Result<Printed, String> {
    run(environment, async |client| {
        let mut then = None;
        let told: Told = match command {
            LettersCommand::List { filter, limit, output } => {
                let LetterArgs { workspace, record, kind, reason } = filter;
                let query = [("workspace_id", workspace), ("record_id", record), ("kind", kind), ("reason", reason)];
                (client.list("/operate/dead-letters", &query, "dead_letters", limit).await?, output, show::letters)
            }
            LettersCommand::Replay { filter, id, all, by, output } => {
                let LetterArgs { workspace, record, kind, reason } = filter;
                let mut body = members([
                    ("workspace_id", workspace),
                    ("record_id", record),
                    ("kind", kind),
                    ("reason", reason),
                    ("id", id),
                    ("by", by.by),
                ]);
                body["all"] = json!(all);
                let (answer, error) = client.post_pages("/operate/dead-letters/replay", body, "replayed").await?;
                then = error;
                (answer, output, show::replayed)
            }
        };
        Ok((told, then))
    })
}

/// `alc-connector connections …`.
pub fn connections(environment: &Environment, command: ConnectionsCommand) -> Result<Printed, String> {
    run(environment, async |client| {
        let told: Told = match command {
            ConnectionsCommand::List { output } => {
                (client.list("/operate/connections", &[], "connections", usize::MAX).await?, output, show::connections)
            }
            ConnectionsCommand::Show { workspace, output } => {
                let path = format!("/operate/connections/{}", client::segment(&workspace));
                (client.get(&path, &[]).await?, output, show::connection)
            }
            ConnectionsCommand::Repair { workspace, by, output } => {
                let path = format!("/operate/connections/{}/repair", client::segment(&workspace));
                (client.post(&path, &members([("by", by.by)])).await?, output, show::tried)
            }
        };
        Ok((told, None))
    })
}

/// `alc-connector gates …`.
pub fn gates(environment: &Environment, command: GatesCommand) -> Result<Printed, String> {
    run(environment, async |client| {
        let mut then = None;
        let told: Told = match command {
            GatesCommand::List { workspace, closed, output } => {
                let query = [("workspace_id", workspace), ("closed", closed.then(|| "true".to_owned()))];
                (client.list("/operate/gates", &query, "gates", usize::MAX).await?, output, show::gates)
            }
            GatesCommand::Open { workspace, upstream, all, by, output } => {
                let mut body = members([("workspace_id", workspace), ("upstream", upstream), ("by", by.by)]);
                body["all"] = json!(all);
                let (answer, error) = client.post_pages("/operate/gates", body, "opened").await?;
                then = error;
                (answer, output, show::opened)
            }
        };
        Ok((told, then))
    })
}

/// `alc-connector doctor`: what was found, and whether all is well.
pub fn doctor(environment: &Environment) -> Result<(String, bool), String> {
    Ok(runtime()?.block_on(doctor::examine(environment)))
}

fn run(
    environment: &Environment,
    ask: impl AsyncFnOnce(Client) -> Result<(Told, Option<String>), String>,
) -> Result<Printed, String> {
    let client = Client::of(environment)?;
    let ((answer, output, as_table), then) = runtime()?.block_on(ask(client))?;
    Ok(Printed { text: if output.json { table::json(&answer) } else { as_table(&answer) }, then })
}

fn runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())
}

/// A body of what was named.
fn members<const N: usize>(named: [(&str, Option<String>); N]) -> Value {
    let named = named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::String(value?))));
    Value::Object(named.collect::<Map<_, _>>())
}
