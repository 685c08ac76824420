//! Never lost, never doubled, whatever breaks (operations `sendLead`, `sendLeads`, `alcCallback`, `connectionAdded`,
//! `connectionRemoved`).
//!
//! How: real processes, three on Redis or one on SQLite, each with wires of its own to its store, to ALC and to Attio
//! ([`rig`]). A seed draws what goes wrong and when ([`trouble`]), while callers press and ALC calls back ([`life`]).
//! Then all is mended, and ALC's and Attio's own books are read, not the connector's ([`verdict`]). `make soak` runs it
//! at the length that its variables say; the short runs here are part of every test run.

mod life;
mod rig;
mod trouble;
mod verdict;

use std::time::Duration;

use life::Callers;
use rig::Rig;
use trouble::Trouble;

use crate::support::{
    ambient::Stopwatch,
    harness::{Setup, run},
};

/// One run.
#[derive(Debug, Clone)]
struct Plan {
    seed: u64,
    lasts: Duration,
    leads: usize,
    is_on_redis: bool,
}

#[test]
fn nothing_is_lost_or_doubled_in_a_short_run_of_trouble_on_redis() {
    run(soak(Plan { seed: 1, lasts: Duration::from_secs(15), leads: 60, is_on_redis: true }));
}

#[test]
fn nothing_is_lost_or_doubled_in_a_short_run_of_trouble_on_sqlite() {
    run(soak(Plan { seed: 2, lasts: Duration::from_secs(15), leads: 60, is_on_redis: false }));
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
            is_on_redis: asked("SOAK_STORE").is_none_or(|store| store != "sqlite"),
        }));
    }
}

#[expect(clippy::disallowed_methods, reason = "how long a run is to be, nothing but the environment can say")]
fn asked(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

async fn soak(plan: Plan) {
    let setup = if plan.is_on_redis { Setup::redis() } else { Setup::sqlite() };
    let mut rig = Rig::start(setup, if plan.is_on_redis { 3 } else { 1 }).await;
    let callers = Callers::new(&rig, &plan).await;
    let watch = Stopwatch::start();
    let mut trouble = Trouble::new(plan.seed);
    let mut story = None;
    {
        let (troubles, lives) = (trouble.make(&mut rig, &callers, plan.lasts), callers.live(&plan));
        tokio::pin!(troubles, lives);
        // The callers go on when the trouble has ended, and not the other way round.
        tokio::select! {
            () = &mut troubles => {}
            done = &mut lives => { story = Some(done); troubles.await; }
        }
        if story.is_none() {
            story = Some(lives.await);
        }
    }
    let story = story.expect("the callers have ended");
    let losses = verdict::of(&rig, &callers, &story).await;
    let losses = if losses.is_empty() { verdict::of_removal(&rig, &callers).await } else { losses };
    let summary = format!(
        "seed {}, {}: {} in {:.0?}; {}; {}; {} losses",
        plan.seed,
        if plan.is_on_redis { "redis, 3 replicas" } else { "sqlite, 1 process" },
        story.summary(),
        watch.elapsed(),
        trouble.summary(),
        rig.summary(),
        losses.len(),
    );
    tell(&summary);
    assert!(losses.is_empty(), "{summary}\n{}\nwhat went wrong:\n{}", losses.join("\n"), trouble.told.join("\n"));
    rig.stop().await;
}

#[expect(clippy::print_stdout, reason = "the figures of a run are what one runs it for")]
fn tell(summary: &str) {
    println!("{summary}");
}
