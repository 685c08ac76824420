//! A year on a manual clock: what is over is forgotten, and nothing grows (operations `sendLead`, `sendLeads`,
//! `alcCallback`, `attioWebhook`, `connectionAdded`, `connectionRemoved`).
//!
//! How: one service works through twelve months of thirty days. Each month some people go every way that there is
//! ([`month`]), and as many more finished leads as are asked for are put into the store, as copies of one of theirs. At
//! each month's end the store is counted and its files are searched ([`books`]; in a large run in a few months alone);
//! then four months pass in which nobody does anything, and nothing may be left but the workspace.

mod books;
mod month;

use std::{collections::BTreeMap, time::Duration};

use alc_connector::{
    clock::later,
    ids::random_uuid,
    lifecycle::Lifecycle,
    store::{Change, Commit, Committed, Document, LeaseChange, Store, Write},
};
use books::{Books, Census, lead_key, memory, tenant};
use futures_util::{StreamExt as _, stream};
use month::{Life, PIPELINE, SENDING};
use serde_json::Value;

use super::{asked, tell};
use crate::support::{
    ambient::Stopwatch,
    harness::{DAY, Setup, run},
    secrets, stored,
};

const MONTHS: usize = 12;
const MONTH: Duration = Duration::from_secs(30 * 86_400);
/// `LEADS__RETENTION`, after `LEADS__DEADLINE` at the latest; a day of ours for what is looked at once a day.
const OLDEST: Duration = Duration::from_secs((90 + 30 + 1) * 86_400);
/// From then on as much is forgotten each month as comes in.
const STEADY: usize = 6;
/// Where many leads are stored, all of them are looked at in these months alone.
const COUNTED: [usize; 4] = [1, 3, STEADY, MONTHS];
/// How many leads one commit puts into the store.
const A_COMMIT: usize = 100;

/// One run.
#[derive(Debug, Clone, Copy)]
struct Plan {
    is_on_redis: bool,
    /// People who go through everything, each month.
    people: usize,
    /// Finished leads besides, each month.
    copies: usize,
    /// The process is this run's alone, so that its memory can be judged.
    is_alone: bool,
}

#[test]
fn a_year_leaves_nothing_behind_on_redis() {
    run(year(Plan { is_on_redis: true, people: 11, copies: 30, is_alone: false }));
}

#[test]
fn a_year_leaves_nothing_behind_on_sqlite() {
    run(year(Plan { is_on_redis: false, people: 11, copies: 30, is_alone: false }));
}

/// `make soak`.
#[test]
#[ignore = "as long as its variables say: make soak"]
fn as_asked_for() {
    let number = |name, usual: usize| asked(name).map_or(usual, |value| value.parse().expect("a number"));
    let leads = number("SOAK_YEAR_LEADS", 5_000);
    if leads == 0 {
        return;
    }
    // At least one on each way.
    let people = number("SOAK_YEAR_PEOPLE", 44).clamp(11, leads.max(11));
    let copies = leads.saturating_sub(people);
    let is_on_redis = asked("SOAK_STORE").is_none_or(|store| store != "sqlite");
    secrets::be_deaf();
    run(year(Plan { is_on_redis, people, copies, is_alone: true }));
}

impl Plan {
    const fn is_small(&self) -> bool {
        self.copies <= 100
    }
}

/// What a month came to.
struct Month {
    census: Census,
    memory: u64,
}

async fn year(plan: Plan) {
    let setup = if plan.is_on_redis { Setup::redis() } else { Setup::sqlite() };
    let mut world = setup
        .with("ATTIO__WRITES_PER_SECOND", "1000")
        .with("ATTIO__NOTE", "on-result")
        .with("ATTIO__PROSPECTS", "upsert")
        .with("ATTIO__SEND_ON_LIST", SENDING)
        .with("ATTIO__PIPELINE__LIST", PIPELINE)
        .with("ATTIO__PIPELINE__STAGE_ATTRIBUTE", "stage")
        .with("ATTIO__PIPELINE__STAGES", "qualified:Qualified,not_interested:Lost")
        .prepare()
        .await;
    let lifecycle = Lifecycle::new();
    let store = stored::open(&world, &lifecycle).await;
    world.start_replica_on(store.clone()).await;
    let mut books = Books::of(&world);
    let mut life = Life::new(&world, &mut books, if plan.is_alone { DAY } else { 3 * DAY }).await;
    let mut months = BTreeMap::new();
    for number in 1..=MONTHS {
        let watch = Stopwatch::start();
        life.month(plan.people, number == 1 || plan.is_small()).await;
        put_copies(&life, &store, plan.copies).await;
        if plan.is_small() || COUNTED.contains(&number) {
            let month = Month { memory: memory(), census: life.books.census(&world, OLDEST).await };
            if plan.is_alone {
                tell(&format!("month {number} in {:.0?}: {}", watch.elapsed(), month.told()));
            }
            months.insert(number, month);
        } else {
            tell(&format!("month {number} in {:.0?}", watch.elapsed()));
        }
    }
    flat(&months, plan);
    while_nobody_does_anything(&mut life).await;
    let end = life.books.census(&world, OLDEST).await;
    let kept: Vec<_> = end.counts.iter().filter(|(name, count)| **count > 0 && is_to_be_gone(name)).collect();
    assert!(kept.is_empty(), "still there when all is over: {kept:?}");
    tell(&format!(
        "a year of {} leads a month on {}: {}",
        plan.people + plan.copies,
        store_of(plan),
        months[&MONTHS].told()
    ));
    world.stop().await;
    lifecycle.stop();
}

const fn store_of(plan: Plan) -> &'static str {
    if plan.is_on_redis { "redis" } else { "sqlite" }
}

impl Month {
    fn told(&self) -> String {
        let counts = self.census.counts.iter().map(|(name, count)| format!("{name} {count}"));
        format!(
            "{}; longest {:?}; store {} KB, on disk {} KB, process {} KB",
            counts.collect::<Vec<_>>().join(", "),
            self.census.longest,
            self.census.bytes / 1024,
            self.census.on_disk / 1024,
            self.memory / 1024
        )
    }
}

/// Nobody comes any more until the last lead has been forgotten.
async fn while_nobody_does_anything(life: &mut Life<'_>) {
    let mut passed = Duration::ZERO;
    while passed <= OLDEST {
        life.pass(life.stride).await;
        passed += life.stride;
    }
}

/// What is of one person, press, consent or call, and so over some day.
fn is_to_be_gone(name: &str) -> bool {
    let over = ["lead", "receipt", "attempt", "prospect", "keys lead", "keys receipt", "keys attempt", "keys prospect"];
    over.iter().any(|over| name == *over || name.starts_with(&format!("{over} ")))
        || name.starts_with("keys of-tenant-n:lead")
        || name == "keys of-tenant-leads"
}

/// The months of the steady part do not differ by more than a few.
fn flat(months: &BTreeMap<usize, Month>, plan: Plan) {
    let (first, last) = (&months[&STEADY], &months[&MONTHS]);
    let mut grown = Vec::new();
    let mut compare = |name: &str, before: u64, after: u64, slack: u64| {
        if after > before + before / 20 + slack {
            grown.push(format!("{name}: {before} after {STEADY} months, {after} after {MONTHS}"));
        }
    };
    for (name, after) in &last.census.counts {
        let slack = match name.as_str() {
            // Bounded by numbers of their own: the last commits are remembered; a partition has labels from its first
            // attempt on; what a call came to is remembered for five minutes.
            "commits" => 10_000,
            "keys labels" => 16,
            "keys c" => 50,
            _ => 3,
        };
        compare(name, first.census.counts.get(name).copied().unwrap_or(0), *after, slack);
    }
    for (name, after) in &last.census.longest {
        let before = first.census.longest.get(name).copied().unwrap_or(0);
        // A record that is sent each month remembers twenty sends and fifty things that happened.
        let slack = if *name == "lead" { 4_000 } else { 400 };
        compare(&format!("the longest {name}"), before as u64, *after as u64, slack);
    }
    compare("the store's bytes", first.census.bytes, last.census.bytes, 512 * 1024);
    compare("the files' bytes", first.census.on_disk, last.census.on_disk, 512 * 1024);
    if plan.is_alone {
        compare("the process's memory", first.memory, last.memory, 24 * 1024 * 1024);
    }
    assert!(grown.is_empty(), "grown:\n{}\n{}\n{}", grown.join("\n"), first.told(), last.told());
}

/// So many finished leads are put into the store, as if they had come in now and been finished: each is a copy of one
/// that the service itself has finished, and due when that is to be forgotten.
async fn put_copies(life: &Life<'_>, store: &Store, count: usize) {
    let (tenant, now) = (tenant(life.world), life.world.now());
    let record = life.example().record_id.clone();
    let mut found = store.load(&tenant, &[lead_key(&record)], &[], now).await.expect("the store answers");
    let like = found.documents.remove(0).expect("a lead");
    assert!(like.status == "complete" && like.due <= Some(later(now, 3 * MONTH)), "{like:?}");
    // Each copy would owe it, and the writes of the year would wait behind those.
    assert!(!owes_attio(&like.body), "Attio has not been told of all of it: {}", like.body);
    let commits = (0..count.div_ceil(A_COMMIT)).map(|at| {
        let size = A_COMMIT.min(count - at * A_COMMIT);
        Commit::of((0..size).map(|_| copy(&like, &record)).collect())
    });
    stream::iter(commits)
        .for_each_concurrent(8, async |commit| {
            let committed = store.commit(&tenant, &commit, now).await.expect("the store answers");
            assert!(matches!(committed, Committed::Done(_)));
        })
        .await;
}

/// Whether a note or a place in the pipeline is still to be written.
fn owes_attio(body: &str) -> bool {
    let lead: Value = serde_json::from_str(body).expect("a lead's body");
    let notes = lead["notes"].as_array().into_iter().flatten();
    notes.chain(lead.get("pipeline")).any(|one| one["ended"].is_null())
}

fn copy(like: &Document, record: &str) -> Write {
    let copied = random_uuid().to_string();
    let change = Change::Put {
        body: like.body.replace(record, &copied),
        status: like.status.clone().into(),
        created_at: like.created_at,
        lease: LeaseChange::Leave { due: like.due },
        urgent: false,
        expires_at: None,
    };
    Write { key: lead_key(&copied), expected: None, change }
}
