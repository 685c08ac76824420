//! `alc-connector store copy` and `alc-connector store check`, which need no running service.
//!
//! Promises that no URL is printed, because a password may be in it, and that neither command changes the store that it
//! reads.

mod inspection;
#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal as _, Write as _};

use clap::Subcommand;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::{
    runtime,
    table::{clean, table},
};
use crate::{
    config::{Config, Environment},
    sealing::Sealer,
    store::{
        self, OpenError,
        moving::{Copied, Finding, Purpose, Row, copy},
        open_shelf,
    },
};

/// How often a terminal is told how far a copy is.
const TOLD_EVERY: u64 = 10_000;

const COPY_HELP: &str = "\
A URL is written as in STORE__URL. One with a password in it is best named by the variable or the file that holds it,
since the arguments of a process can be read by others on the machine:

  alc-connector store copy --from sqlite:data/alc-connector.db --to redis://localhost:6379/0
  alc-connector store copy --to env:NEW_STORE_URL                 (from the configured store)
  alc-connector store copy --from file:/run/secrets/old --to file:/run/secrets/new --to-namespace alc2

Stop every replica first. A copy that is cut short leaves a target that no service opens: run it again, it begins anew.
Exit code 0: both hold the same; 1: they differ; 2: nothing was copied, or not all.";

const CHECK_HELP: &str = "\
  alc-connector store check
  alc-connector store check --json

Reads STORE__… and KEYS__… of the configuration, and changes nothing; a service may run on the store meanwhile.
Exit code 0: all is well; 1: something is wrong; 2: the store could not be read.";

/// What can be done with a store as a whole.
#[derive(Subcommand)]
pub enum StoreCommand {
    /// Copies everything that a stopped service keeps into an empty store, and compares the two.
    #[command(after_help = COPY_HELP)]
    Copy {
        /// The store to copy: a URL, env:VARIABLE or file:PATH; else the configured store.
        #[arg(long, value_name = "URL")]
        from: Option<String>,
        /// The store to fill: a URL, env:VARIABLE or file:PATH.
        #[arg(long, value_name = "URL")]
        to: String,
        /// The namespace to copy, of a Redis; else the configured one.
        #[arg(long, value_name = "NAME")]
        from_namespace: Option<String>,
        /// The namespace to fill, of a Redis; else the configured one.
        #[arg(long, value_name = "NAME")]
        to_namespace: Option<String>,
        /// Prints JSON for programs, and no tables.
        #[arg(long)]
        json: bool,
    },
    /// Reads every aggregate, index and gate of the configured store and says what is wrong.
    #[command(after_help = CHECK_HELP)]
    Check {
        /// Prints JSON for programs.
        #[arg(long)]
        json: bool,
    },
}

/// `alc-connector store …`: what came of it, and whether all is well.
pub fn store(environment: &Environment, command: StoreCommand) -> Result<(String, bool), String> {
    match command {
        StoreCommand::Copy { from, to, from_namespace, to_namespace, json } => {
            let from = match from {
                Some(from) => named(environment, "--from", &from)?,
                None => Config::store(environment).map_err(|faults| faults.to_string())?.url,
            };
            let to = named(environment, "--to", &to)?;
            let default = Config::store_namespace(environment).map_err(|faults| faults.to_string())?;
            let [from_namespace, to_namespace] =
                [from_namespace, to_namespace].map(|name| name.unwrap_or_else(|| default.clone()));
            runtime()?.block_on(copied((&from, &from_namespace), (&to, &to_namespace), json))
        }
        StoreCommand::Check { json } => runtime()?.block_on(checked(environment, json)),
    }
}

/// The URL that an operator wrote, or what the variable or the file holds that was named instead.
fn named(environment: &Environment, option: &str, given: &str) -> Result<SecretString, String> {
    if let Some(name) = given.strip_prefix("env:") {
        let found = environment.variable(name);
        return found.ok_or_else(|| format!("{option}: the variable {name} is not set: set it to the store's URL"));
    }
    if let Some(path) = given.strip_prefix("file:") {
        let text =
            std::fs::read_to_string(path).map_err(|error| format!("{option}: {path} cannot be read: {error}"))?;
        return Ok(SecretString::from(text.trim()));
    }
    Ok(SecretString::from(given))
}

async fn copied(
    from: (&SecretString, &str),
    to: (&SecretString, &str),
    as_json: bool,
) -> Result<(String, bool), String> {
    if store::is_same(from, to) {
        return Err(
            "--from and --to name the same store: name a file that does not exist yet, another server or another \
                    namespace (--to-namespace)"
                .to_owned(),
        );
    }
    let source = open_shelf(from.0, from.1, Purpose::CopyFrom).await.map_err(|error| refused("--from", &error))?;
    let target = open_shelf(to.0, to.1, Purpose::CopyInto).await.map_err(|error| refused("--to", &error))?;
    let mut told = 0;
    let progress = |done: u64, all: u64| {
        if io::stderr().is_terminal() && done >= told + TOLD_EVERY {
            told = done;
            let _unheard = writeln!(io::stderr(), "{done} of {all}");
        }
    };
    let Copied { rows, is_whole } =
        copy(source.as_ref(), target.as_ref(), progress).await.map_err(|error| error.to_string())?;
    let is_well = is_whole && !rows.is_empty();
    if as_json {
        let counts: Vec<_> = rows.iter().map(row_as_json).collect();
        return Ok((format!("{:#}", json!({ "same": is_whole, "counts": counts })), is_well));
    }
    let counts =
        table(&["workspace", "kind", "source", "target", ""], &rows.iter().map(row_as_text).collect::<Vec<_>>());
    let verdict = if rows.is_empty() {
        "The source holds nothing: is it the right one, and the right namespace (--from-namespace)?"
    } else if is_whole {
        "The target holds what the source holds: set STORE__URL (and STORE__NAMESPACE) to it, start the service, and let \
         nothing start on the source any more."
    } else {
        "The target does not hold what the source holds, and no service will open it: did something else write into it? \
         Run the copy again; it begins anew."
    };
    Ok((format!("{counts}\n\n{verdict}"), is_well))
}

fn refused(option: &str, error: &OpenError) -> String {
    match error {
        OpenError::Url(fault) => format!("{option}: {fault}"),
        error => format!("{option}: {error}"),
    }
}

fn row_as_text(row: &Row) -> Vec<String> {
    let workspace = row.workspace.as_deref().map_or_else(|| "-".to_owned(), clean);
    let verdict = if row.is_same { "" } else { "differs" };
    vec![workspace, row.kind.clone(), row.source.to_string(), row.target.to_string(), verdict.to_owned()]
}

fn row_as_json(row: &Row) -> Value {
    let Row { workspace, kind, source, target, is_same } = row;
    json!({ "workspace": workspace, "kind": kind, "source": source, "target": target, "same": is_same })
}

async fn checked(environment: &Environment, as_json: bool) -> Result<(String, bool), String> {
    let (store, keys) = Config::store_and_keys(environment).map_err(|faults| faults.to_string())?;
    let sealer = Sealer::new(&keys.sealing, keys.sealing_previous.as_ref()).map_err(|error| error.to_string())?;
    let shelf = open_shelf(&store.url, &store.namespace, Purpose::Check).await.map_err(|error| error.to_string())?;
    let looked_at = inspection::inspect(shelf.as_ref(), &sealer).await;
    let (held, findings) = looked_at.map_err(|error| error.to_string())?;
    let is_well = findings.is_empty();
    if as_json {
        let findings: Vec<_> = findings.iter().map(finding_as_json).collect();
        return Ok((format!("{:#}", json!({ "checked": held.total(), "findings": findings })), is_well));
    }
    let mut lines: Vec<_> = findings.iter().map(|finding| clean(&finding.to_string())).collect();
    lines.push(format!("{} aggregates and gates looked at, {} findings", held.total(), findings.len()));
    Ok((lines.join("\n"), is_well))
}

fn finding_as_json(finding: &Finding) -> Value {
    let Finding { fault, subject, detail, advice } = finding;
    json!({
        "fault": fault, "kind": subject.kind, "workspace": subject.workspace, "id": subject.id,
        "detail": detail, "advice": advice,
    })
}
