//! Fills a store with what years of use leave there, while no replica runs on it: finished leads, leads that are due,
//! and connections of other workspaces. `bench --scale` runs it.
//!
//! All is written through the store's own commits, as copies of a lead and a workspace that the connector itself has
//! made. A copy's sealed members belong to another place and cannot be opened there; neither a finished lead nor the
//! look at a pending one asks for them.

use std::{process::ExitCode, time::Duration};

use alc_connector::{
    clock::{Clock as _, SystemClock},
    ids::random_uuid,
    lifecycle::Lifecycle,
    store::{self, Change, Commit, Committed, Document, Key, Kind, LeaseChange, Store, Tenant, Write},
};
use clap::Parser;
use futures_util::{TryStreamExt as _, stream};
use secrecy::SecretString;

/// How many leads one commit writes, and how many commits are under way at once.
const A_COMMIT: usize = 100;
const AT_ONCE: usize = 8;
/// A finished lead is due when it is to be forgotten.
const RETENTION: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// What to write, and where.
#[derive(Parser)]
struct Arguments {
    /// The connector's `STORE__URL`.
    #[arg(long)]
    store: String,
    /// The workspaces that the leads are spread over; the first has the two leads to copy.
    #[arg(long, value_delimiter = ',', required = true)]
    workspaces: Vec<String>,
    /// The record of a finished lead.
    #[arg(long)]
    like_finished: String,
    /// The record of a pending lead.
    #[arg(long)]
    like_pending: String,
    #[arg(long)]
    finished: usize,
    #[arg(long)]
    due: usize,
    #[arg(long)]
    connections: usize,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let lifecycle = Lifecycle::new();
    let done = match store::open(&SecretString::from(arguments.store.as_str()), "alc", &lifecycle).await {
        Ok(store) => {
            let done = seed(&store, &arguments).await;
            lifecycle.stop();
            store.close().await;
            done
        }
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "a tool's complaint goes to its standard error")]
fn complain(words: &str) {
    eprintln!("{words}");
}

async fn seed(store: &Store, arguments: &Arguments) -> Result<(), Failure> {
    let tenants: Vec<Tenant> = arguments.workspaces.iter().map(Tenant::new).collect();
    let first = &tenants[0];
    let now = SystemClock.now();
    let keys = [
        Key::workspace(),
        Key::new(Kind::Lead, &arguments.like_finished),
        Key::new(Kind::Lead, &arguments.like_pending),
    ];
    let found = store.load(first, &keys, &[], now).await?.documents;
    let [workspace, finished, pending] =
        <[Option<Document>; 3]>::try_from(found).map_err(|_| "three were asked for")?;
    let missing = || "the store does not have what is to be copied";
    let (workspace, finished) = (workspace.ok_or_else(missing)?, finished.ok_or_else(missing)?);
    let pending = pending.ok_or_else(missing)?;
    let forgotten = now + RETENTION;
    let founding = (0..arguments.connections).map(|_| {
        let write = written(Key::workspace(), workspace.body.clone(), &workspace, workspace.due);
        (Tenant::new(random_uuid()), Commit::of(vec![write]))
    });
    let commits = founding
        .chain(copies(&tenants, arguments.finished, &finished, &arguments.like_finished, Some(forgotten)))
        .chain(copies(&tenants, arguments.due, &pending, &arguments.like_pending, Some(now)));
    stream::iter(commits.map(Ok))
        .try_for_each_concurrent(AT_ONCE, |(tenant, commit)| async move {
            match store.commit(&tenant, &commit, now).await? {
                Committed::Done(_) => Ok(()),
                Committed::Conflict => Err(Failure::from("a fresh key met a conflict")),
            }
        })
        .await
}

/// One commit after the other, made as it is needed: a million leads are more than the memory should hold.
fn copies(
    tenants: &[Tenant],
    count: usize,
    like: &Document,
    record: &str,
    due: Option<jiff::Timestamp>,
) -> impl Iterator<Item = (Tenant, Commit)> {
    (0..count.div_ceil(A_COMMIT)).map(move |at| {
        let size = A_COMMIT.min(count - at * A_COMMIT);
        let writes = (0..size).map(|_| copy_of_lead(like, record, due)).collect();
        (tenants[at % tenants.len()].clone(), Commit::of(writes))
    })
}

/// The same lead of a record that Attio does not have.
fn copy_of_lead(like: &Document, record: &str, due: Option<jiff::Timestamp>) -> Write {
    let copy = random_uuid().to_string();
    written(Key::new(Kind::Lead, &copy), like.body.replace(record, &copy), like, due)
}

fn written(key: Key, body: String, like: &Document, due: Option<jiff::Timestamp>) -> Write {
    let change = Change::Put {
        body,
        status: like.status.clone().into(),
        created_at: like.created_at,
        lease: LeaseChange::Leave { due },
        urgent: false,
        expires_at: None,
    };
    Write { key, expected: None, change }
}
