//! Never lost, never doubled, whatever breaks (operations `sendLead`, `sendLeads`, `alcCallback`, `connectionAdded`,
//! `connectionRemoved`).
//!
//! How: real processes, three on Redis (one server, with Sentinel, or a Cluster: [`group`]) or one on SQLite, each
//! with wires of its own to its store, to ALC and to Attio
//! ([`rig`]). A seed draws what goes wrong and when ([`trouble`]), while callers press and ALC calls back ([`life`]).
//! Then all is mended, and ALC's and Attio's own books are read, not the connector's ([`verdict`], and [`further`] for
//! notes, the pipeline and sends by list, which every other seed has on). `make soak` runs it at the length that its
//! variables say; the short runs here are part of every test run.

mod further;
mod group;
mod life;
mod records;
mod rig;
mod trouble;
mod verdict;
mod year;

use std::time::Duration;

use life::Callers;
use rig::Rig;
use trouble::Trouble;

use crate::support::{ambient::Stopwatch, harness::run};

const SHORT: Duration = Duration::from_secs(15);

/// One run.
#[derive(Debug, Clone)]
struct Plan {
    seed: u64,
    lasts: Duration,
    leads: usize,
    store: Store,
    tokens: Tokens,
    /// Whether results are told in notes and in a pipeline, and people are sent by list.
    goes_further: bool,
}

/// What the replicas share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Store {
    /// One server, which dies and comes again.
    Redis,
    /// A primary and two replicas, watched by three sentinels.
    Sentinel,
    /// Three primaries, with a replica each.
    Cluster,
    /// A file, and one process.
    Sqlite,
}

impl Store {
    fn named(name: &str) -> Self {
        match name {
            "redis" => Self::Redis,
            "sentinel" => Self::Sentinel,
            "cluster" => Self::Cluster,
            "sqlite" => Self::Sqlite,
            other => panic!("SOAK_STORE is redis, sentinel, cluster or sqlite, and not {other}"),
        }
    }
}

/// What ALC's tokens are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tokens {
    /// A refresh leaves the refresh token as it is.
    Kept,
    /// A refresh ends it and hands out another one.
    Rotating,
    /// ALC does not say when an access token ends.
    WithoutExpiry,
}

#[test]
fn nothing_is_lost_or_doubled_in_a_short_run_of_trouble_on_redis() {
    run(soak(Plan {
        seed: 1,
        lasts: SHORT,
        leads: 60,
        store: Store::Redis,
        tokens: Tokens::Rotating,
        goes_further: true,
    }));
}

#[test]
fn nothing_is_lost_or_doubled_in_a_short_run_of_trouble_on_sqlite() {
    run(soak(Plan {
        seed: 2,
        lasts: SHORT,
        leads: 60,
        store: Store::Sqlite,
        tokens: Tokens::Kept,
        goes_further: true,
    }));
}

/// `make soak`.
#[test]
#[ignore = "as long as its variables say: make soak"]
fn as_asked() {
    let number = |name, usual| asked(name).map_or(usual, |value| value.parse().expect("a number"));
    let first = number("SOAK_SEED", 1);
    for seed in first..first + number("SOAK_SEEDS", 1) {
        run(soak(Plan {
            seed,
            lasts: Duration::from_secs(number("SOAK_SECONDS", 120)),
            leads: usize::try_from(number("SOAK_LEADS", 2_000)).expect("a number of leads"),
            store: Store::named(&asked("SOAK_STORE").unwrap_or_else(|| "redis".to_owned())),
            goes_further: seed % 2 == 1,
            tokens: [Tokens::Kept, Tokens::Rotating, Tokens::WithoutExpiry][usize::try_from(seed % 3).expect("small")],
        }));
    }
}

#[expect(clippy::disallowed_methods, reason = "how long a run is to be, nothing but the environment can say")]
fn asked(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

async fn soak(plan: Plan) {
    let mut rig = Rig::start(&plan).await;
    let callers = Callers::new(&rig, &plan).await;
    let watch = Stopwatch::start();
    let mut trouble = Trouble::new(&plan);
    let lives = callers.live(&plan);
    tokio::pin!(lives);
    // The callers go on when the trouble has ended, and not the other way round.
    let early = {
        let troubles = trouble.make(&mut rig, &callers, plan.lasts);
        tokio::pin!(troubles);
        tokio::select! {
            () = &mut troubles => None,
            done = &mut lives => { troubles.await; Some(done) }
        }
    };
    let story = match early {
        Some(story) => story,
        None => callers.consenting(&rig.world, lives).await,
    };
    let losses = verdict::of(&rig, &callers, &story).await;
    let losses = if losses.is_empty() && plan.goes_further {
        further::verdict(&mut rig, &callers, &story).await
    } else {
        losses
    };
    let losses = if losses.is_empty() { verdict::of_removal(&rig, &callers).await } else { losses };
    let summary = format!(
        "seed {}, {:?}, {}, tokens {:?}{}: {} in {:.0?}; {}; {}; {} losses",
        plan.seed,
        plan.store,
        if plan.store == Store::Sqlite { "1 process" } else { "3 replicas" },
        plan.tokens,
        if plan.goes_further { ", notes and lists" } else { "" },
        story.summary(&rig),
        watch.elapsed(),
        trouble.summary(),
        rig.summary(),
        losses.len(),
    );
    tell(&summary);
    assert!(losses.is_empty(), "{summary}\n{}", losses.join("\n"));
    rig.stop().await;
}

#[expect(clippy::print_stdout, reason = "the figures of a run are what one runs it for")]
fn tell(summary: &str) {
    println!("{summary}");
}
