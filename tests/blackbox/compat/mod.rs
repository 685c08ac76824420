//! Documents that another version wrote are read and worked on to the end.
//!
//! `tests/fixtures/stored/` has one file for each *stage*: all rows of the store at a moment in the life of a
//! workspace and its leads, the time, and what the pretend ALC and Attio remembered then. The files were written by the
//! version before the rooms were rebuilt (commit aa216cf), and stay as they are: what was stored once must be readable
//! for ever. `facts.txt` beside them lists the members and the states that the files must have among them.
//!
//! - `stage` says what a stage is; `workspaces` and `leads` play each one over HTTP and say what is to become of it.
//! - `kept` takes a stage down as a file, and puts a file into a fresh store: into SQLite row by row, in tables as they
//!   were then; into Redis through the store's own interface.
//! - `ending` works on a stage to its end, on a clock that the test moves: each lead reaches its end and is shown, each
//!   workflow is told as often as it is owed, nothing is sent twice, and at last nothing is left in the store.
//! - `moved` has a stage's store copied into another one by `store copy` first;
//! - `versions` lets another version's binary take up what this one wrote, and lets both work side by side.
//!
//! A new stage is added by a `Stage` and a line below, and written with
//! `STORED_STAGE=<name> cargo test --test blackbox compat::write_stage -- --ignored`. Never write an old stage anew
//! with a version that stores anything differently: add another one.

mod ending;
mod kept;
mod leads;
mod moved;
mod stage;
pub mod versions;
mod workspaces;

use std::collections::BTreeSet;

use serde_json::Value;

use self::{
    ending::{is_forgotten, work_to_the_end},
    kept::{Into, Kept},
    stage::Stage,
};
use crate::support::harness::run;

fn stages() -> impl Iterator<Item = &'static Stage> {
    static WORKSPACES: [Stage; 12] = workspaces::ALL;
    static LEADS: [Stage; 9] = leads::ALL;
    WORKSPACES.iter().chain(&LEADS)
}

async fn taken_up(name: &str, into: Into) {
    let kept = Kept::read(name);
    let mut world = kept.prepare(into, &[]).await;
    world.start_replica().await;
    work_to_the_end(&world, &kept).await;
    is_forgotten(world).await;
}

/// Two tests of each stage file, and the names of all.
macro_rules! taken_up {
    ($($name:ident = $file:literal),* $(,)?) => {
        $(mod $name {
            use super::*;

            #[test]
            fn on_sqlite() {
                run(taken_up($file, Into::OldSqlite));
            }

            #[test]
            fn on_redis() {
                run(taken_up($file, Into::Redis));
            }
        })*

        const FILES: &[&str] = &[$($file),*];
    };
}

taken_up! {
    incoming = "incoming",
    connecting = "connecting",
    connected = "connected",
    dead_grant = "dead-grant",
    attio_lost = "attio-lost",
    taken_over = "taken-over",
    leaving = "leaving",
    leaving_with_grants = "leaving-with-grants",
    replaced = "replaced",
    disconnected = "disconnected",
    attempts = "attempts",
    consent = "consent",
    queued = "queued",
    in_doubt = "in-doubt",
    pending = "pending",
    complete = "complete",
    failed = "failed",
    workflows = "workflows",
    merges = "merges",
    earlier = "earlier",
    receipts = "receipts",
}

/// What stands in the files, as `kind member.member = word` for each word that names a state, and `kind member.member`
/// for each member that has a value.
fn facts() -> BTreeSet<String> {
    let mut facts = BTreeSet::new();
    for kept in FILES.iter().map(|name| Kept::read(name)) {
        for row in &kept.aggregates {
            facts.insert(format!("{} is {}", row.kind, row.status));
            if row.lease.is_some() {
                facts.insert(format!("{} is leased", row.kind));
            }
            walk(&row.kind, &row.body, &mut facts);
        }
        kept.gates.iter().for_each(|gate| walk("gate", &gate.state, &mut facts));
    }
    facts
}

fn walk(path: &str, value: &Value, facts: &mut BTreeSet<String>) {
    match value {
        Value::Null | Value::Bool(false) => {}
        Value::Object(members) => {
            for (name, member) in members {
                walk(&format!("{path}.{name}"), member, facts);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| walk(path, item, facts)),
        Value::String(word) if word.len() < 20 && word.chars().all(|c| c.is_ascii_lowercase() || c == '-') => {
            facts.extend([path.to_owned(), format!("{path} = {word}")]);
        }
        Value::Number(number) if number.as_u64() == Some(0) => {}
        _ => drop(facts.insert(path.to_owned())),
    }
}

/// A stage that loses what it stands for would go on being green.
#[test]
fn the_files_have_every_kind_and_every_phase() {
    let (facts, wanted) = (facts(), include_str!("../../fixtures/stored/facts.txt"));
    let missing: Vec<_> = wanted.lines().filter(|line| !facts.contains(*line)).collect();
    assert!(missing.is_empty(), "no stage file has:\n{}", missing.join("\n"));
    let played: BTreeSet<_> = stages().map(|stage| stage.name).collect();
    assert_eq!(played, FILES.iter().copied().collect(), "each stage has its file and its tests");
}

/// Writes the file of the stage that `STORED_STAGE` names, or of `all`, as this version stores it.
#[test]
#[ignore = "writes into the sources: see the head of this module"]
fn write_stage() {
    let wanted = versions::variable("STORED_STAGE").expect("STORED_STAGE names a stage, or is `all`");
    for stage in stages().filter(|stage| wanted == "all" || wanted == stage.name) {
        run(async { Kept::play(stage, versions::now()).await.write(stage.name) });
    }
}

/// Prints what [`the_files_have_every_kind_and_every_phase`] sees, for `facts.txt`.
#[test]
#[ignore = "prints only"]
fn print_facts() {
    facts().iter().for_each(|fact| println!("{fact}"));
}
