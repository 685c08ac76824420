//! Another version beside this one.
//!
//! Run with `scripts/compat OTHER_BINARY`, which sets `OTHER_VERSION` to the path of another version's `alc-connector`:
//!
//! - each stage is played by this version so that it ends some time before now; its documents go into a store that this
//!   version makes; the other version's `serve` takes them up in real time and works on them to the end;
//! - both versions' `serve` share one Redis under traffic, and take over from each other, forward and back.

use std::path::PathBuf;

use alc_connector::clock::{Clock as _, SystemClock, Timestamp, earlier, until};
use futures_util::future::join_all;
use sandbox::Callback;

use super::{
    ending::{cleans_up, press, tell, work_to_the_end},
    kept::{Into, Kept},
    stage::Stage,
    stages,
};
use crate::support::{
    attio_app::AttioApp,
    harness::{Person, Setup, World, run},
    process::Process,
    settings::Settings,
};

/// In real time nobody waits for minutes.
const HASTY: [(&str, &str); 2] = [("RETRY__SCHEDULE", "200ms,500ms,1s"), ("ATTIO__WRITES_PER_SECOND", "1000")];

/// What the one who runs these tests has set.
#[expect(clippy::disallowed_methods, reason = "which other version there is, nothing but the environment can say")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// By the machine's clock.
pub fn now() -> Timestamp {
    SystemClock.now()
}

/// The binary of another version.
pub fn other_version() -> PathBuf {
    variable("OTHER_VERSION").expect("OTHER_VERSION is the path of another version's binary: see scripts/compat").into()
}

fn wanted() -> impl Iterator<Item = &'static Stage> {
    let wanted = variable("STORED_STAGE");
    stages().filter(move |stage| wanted.as_ref().is_none_or(|wanted| wanted == stage.name))
}

async fn the_other_version_takes_up(stage: &Stage, into: Into) {
    // Once to see how long it takes on its own clock, and once to end when it should.
    let trial = now();
    let length = until(trial, Kept::play(stage, trial).await.taken_at);
    let kept = Kept::play(stage, earlier(earlier(now(), stage.age), length)).await;
    let mut world = kept.prepare(into, &HASTY).await;
    world.live_in_real_time();
    let mut process = Process::of(&other_version(), &world.settings);
    process.start().await;
    world.lead_to(vec![process.public]);
    work_to_the_end(&world, &kept).await;
    assert_eq!(process.terminate().await, Some(0), "SIGTERM ends it well");
}

#[test]
#[ignore = "needs another version: scripts/compat"]
fn the_other_version_takes_up_on_sqlite_what_this_one_left() {
    for stage in wanted() {
        println!("on SQLite: {}", stage.name);
        run(the_other_version_takes_up(stage, Into::Sqlite));
    }
}

#[test]
#[ignore = "needs another version: scripts/compat"]
fn the_other_version_takes_up_on_redis_what_this_one_left() {
    for stage in wanted() {
        println!("on Redis: {}", stage.name);
        run(the_other_version_takes_up(stage, Into::Redis));
    }
}

/// Leads that are under way.
struct Traffic {
    app: AttioApp,
    people: Vec<Person>,
}

impl Traffic {
    /// Some more presses.
    async fn press(&mut self, world: &World, count: usize) {
        let people: Vec<_> = (0..count).map(|_| world.person()).collect();
        join_all(people.iter().map(|person| press(&self.app, person))).await;
        self.people.extend(people);
    }

    /// ALC calls about every other one that has not been called about.
    async fn call_back(&mut self, world: &World) {
        for person in self
            .people
            .iter()
            .filter(|person| world.attio.status(&person.record_id).as_deref() != Some("Complete"))
            .step_by(2)
        {
            tell(world, Callback::new(&person.record_id, "qualified")).await;
        }
    }

    /// ALC calls about all, and every one was sent once and is shown.
    async fn finish(&self, world: &World) {
        for person in &self.people {
            tell(world, Callback::new(&person.record_id, "qualified")).await;
        }
        for person in &self.people {
            world.shows(person, "Complete").await;
            assert_eq!(world.alc.leads_of(&person.record_id).len(), 1, "sent once");
        }
    }
}

async fn started(binary: Option<PathBuf>, settings: &Settings) -> Process {
    let mut process = binary.map_or_else(|| Process::new(settings), |binary| Process::of(&binary, settings));
    process.start().await;
    process
}

#[test]
#[ignore = "needs another version: scripts/compat"]
fn both_versions_work_side_by_side_forward_and_back() {
    run(async {
        let setup = HASTY.iter().fold(Setup::redis(), |setup, (name, value)| setup.with(name, value));
        let mut world = setup.prepare().await;
        world.attio.configure(|attio| attio.https_webhooks_only = false);
        world.live_in_real_time();
        // The other version alone; then both, then this one alone; and back.
        let mut other = started(Some(other_version()), &world.settings).await;
        world.lead_to(vec![other.public]);
        let mut traffic = Traffic { app: world.connect().await, people: Vec::new() };
        traffic.press(&world, 20).await;
        let mut this = started(None, &world.settings).await;
        world.lead_to(vec![other.public, this.public]);
        traffic.press(&world, 20).await;
        traffic.call_back(&world).await;
        traffic.press(&world, 20).await;
        world.lead_to(vec![this.public]);
        assert_eq!(other.terminate().await, Some(0), "SIGTERM ends it well");
        traffic.press(&world, 20).await;
        traffic.call_back(&world).await;
        // What this one has in hand when it is killed, the other one takes up.
        let mut other = started(Some(other_version()), &world.settings).await;
        world.lead_to(vec![other.public, this.public]);
        traffic.press(&world, 20).await;
        world.lead_to(vec![other.public]);
        this.kill();
        traffic.press(&world, 20).await;
        traffic.finish(&world).await;
        let mut this = started(None, &world.settings).await;
        world.lead_to(vec![other.public, this.public]);
        traffic.app = world.connect().await;
        traffic.press(&world, 20).await;
        traffic.finish(&world).await;
        traffic.app.connection_removed().await.expect(202);
        cleans_up(&world).await;
        for process in [&mut this, &mut other] {
            assert_eq!(process.terminate().await, Some(0), "SIGTERM ends it well");
        }
    });
}
