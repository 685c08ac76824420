//! Never lost, never doubled, whatever breaks (operations `sendLead`, `sendLeads`, `alcCallback`, `connectionAdded`,
//! `connectionRemoved`).
//!
//! How: real processes, three on Redis or one on SQLite, each with wires of its own to its store, to ALC and to Attio
//! ([`rig`]). A seed draws what goes wrong and when ([`trouble`]), while callers press and ALC calls back ([`life`]).
//! Then all is mended, and ALC's and Attio's own books are read, not the connector's ([`verdict`]). `make soak` runs it
//! at the length that its variables say; the short runs here are part of every test run.

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
    is_on_redis: bool,
    tokens: Tokens,
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
    run(soak(Plan { seed: 1, lasts: SHORT, leads: 60, is_on_redis: true, tokens: Tokens::Rotating }));
}

#[test]
fn nothing_is_lost_or_doubled_in_a_short_run_of_trouble_on_sqlite() {
    run(soak(Plan { seed: 2, lasts: SHORT, leads: 60, is_on_redis: false, tokens: Tokens::Kept }));
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
    let mut trouble = Trouble::new(plan.seed);
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
    let losses = if losses.is_empty() { verdict::of_removal(&rig, &callers).await } else { losses };
    let summary = format!(
        "seed {}, {}, tokens {:?}: {} in {:.0?}; {}; {}; {} losses",
        plan.seed,
        if plan.is_on_redis { "redis, 3 replicas" } else { "sqlite, 1 process" },
        plan.tokens,
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
