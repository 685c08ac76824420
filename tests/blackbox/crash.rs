//! `kill -9` at any moment loses nothing and sends nothing twice (operations `sendLead` and `alcCallback`).
//!
//! How: two hundred leads run through a real process against slow upstreams, thirty-two at once, while the process is
//! killed six times with at least twenty under way, each time after a seeded pause. A driver repeats the presses and
//! the callbacks that a kill has cut, as Attio and ALC would; in the end every record is Complete, and ALC has one lead
//! of each.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use sandbox::{Alc, Callback, Fault};

use crate::support::{
    ambient::{Stopwatch, eventually_within},
    attio_app::AttioApp,
    harness::{Person, Setup, run},
    turns::Dice,
};

const LEADS: usize = 200;
const AT_ONCE: usize = 32;
const KILLS: usize = 6;
const UNDER_WAY: usize = 20;
/// A lead whose process was killed waits for its lease to run out, and may be unlucky at every kill.
const LEASES: Duration = Duration::from_secs(90);

#[test]
fn two_hundred_leads_survive_kills_on_sqlite() {
    run(survives(Setup::sqlite(), 1));
}

#[test]
fn two_hundred_leads_survive_kills_on_redis() {
    run(survives(Setup::redis(), 2));
}

async fn survives(setup: Setup, seed: u64) {
    let setup = setup.with("ATTIO__WRITES_PER_SECOND", "1000").with("RETRY__SCHEDULE", "200ms,500ms,1s");
    let setup = setup.with("ALC__TIMEOUT", "1s").with("ATTIO__TIMEOUT", "1s");
    let mut world = setup.start().await;
    let mut process = world.in_a_process().await;
    let app = world.connect().await;
    // Slow enough upstream that work is under way whenever the process dies.
    world.alc.faults().always("create_lead", Fault::late(100));
    world.attio.faults().always("patch_record", Fault::late(30));

    let people: Vec<_> = (0..LEADS).map(|_| world.person()).collect();
    let driver = Driver {
        alc: world.alc.clone(),
        app,
        under_way: AtomicUsize::new(0),
        done: AtomicUsize::new(0),
        cut: AtomicUsize::new(0),
    };
    let killing = async {
        let mut dice = Dice(seed);
        for kill in 1..=KILLS {
            let through = async || (driver.done.load(Ordering::SeqCst) >= kill * 20).then_some(());
            eventually_within(LEASES, "some more leads are through", through).await;
            tokio::time::sleep(Duration::from_millis(dice.below(60) as u64)).await;
            let enough = async || (driver.under_way.load(Ordering::SeqCst) >= UNDER_WAY).then_some(());
            eventually_within(LEASES, "enough is under way for a kill", enough).await;
            process.kill();
            process.start().await;
        }
    };
    tokio::join!(driver.drive(&people), killing);
    assert!(driver.cut.load(Ordering::SeqCst) >= KILLS, "each kill cut calls");

    let watch = Stopwatch::start();
    for person in &people {
        while world.attio.status(&person.record_id).as_deref() != Some("Complete") {
            assert!(
                watch.elapsed() < LEASES,
                "{} shows {:?}",
                person.record_id,
                world.attio.history(&person.record_id)
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(world.alc.leads_of(&person.record_id).len(), 1, "{} at ALC", person.record_id);
    }
    assert_eq!(process.terminate().await, Some(0));
}

/// Attio's and ALC's side: presses and calls back, and repeats what was cut.
struct Driver {
    alc: Alc,
    app: AttioApp,
    under_way: AtomicUsize,
    done: AtomicUsize,
    cut: AtomicUsize,
}

impl Driver {
    async fn drive(&self, people: &[Person]) {
        let lives = people.iter().map(|person| async move {
            self.under_way.fetch_add(1, Ordering::SeqCst);
            self.press(person, &format!("key of {}", person.record_id)).await;
            self.call_back(person).await;
            self.under_way.fetch_sub(1, Ordering::SeqCst);
            self.done.fetch_add(1, Ordering::SeqCst);
        });
        stream::iter(lives).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    }

    /// Until it was taken, whole or in the background.
    async fn press(&self, person: &Person, key: &str) {
        eventually_within(LEASES, "the press is taken", async || {
            let Some(answer) = self.app.try_press_with_key(person, key).await else {
                self.cut.fetch_add(1, Ordering::SeqCst);
                return None;
            };
            assert!([201, 202, 503].contains(&answer.status), "{answer:?}");
            (answer.status != 503).then_some(())
        })
        .await;
    }

    /// As soon as ALC has the lead, until the call is taken.
    async fn call_back(&self, person: &Person) {
        eventually_within(LEASES, "ALC has the lead", async || {
            (!self.alc.leads_of(&person.record_id).is_empty()).then_some(())
        })
        .await;
        let callback = Callback::new(&person.record_id, "qualified").message_id(&format!("msg-{}", person.record_id));
        eventually_within(LEASES, "the callback is taken", async || {
            (self.alc.call_back(callback.clone()).await.status == 200).then_some(())
        })
        .await;
    }
}
