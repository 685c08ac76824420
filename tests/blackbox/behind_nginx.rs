//! Three replicas behind nginx, rolled one after the other under load: no request fails, no lead is lost.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use futures_util::future::join_all;

use crate::{
    compat::versions::other_version,
    support::{
        ambient::eventually,
        attio_app::AttioApp,
        harness::{Person, Setup, World, run},
        nginx::Nginx,
        process::{Process, this_version},
    },
};

/// Callers at a time.
const CALLERS: usize = 6;

/// One caller after the other's answer: presses, looks, and ALC's callback, each of which has to be answered well.
/// Returns the people who were sent.
async fn call(world: &World, app: &AttioApp, is_over: &AtomicBool, lived: &AtomicUsize) -> Vec<Person> {
    let mut people = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let person = world.person();
        app.press(&person).await.expect(201);
        app.lead(&person).await.expect(200);
        world.call_back(&person, "qualified").await;
        people.push(person);
        lived.fetch_add(1, Ordering::Relaxed);
    }
    people
}

/// Each is told to go, and one of `binary` takes its place; then comes the next.
async fn roll(processes: &mut [Process; 3], binary: &Path, lived: &AtomicUsize) {
    for process in processes {
        let before = lived.load(Ordering::Relaxed);
        assert_eq!(process.terminate().await, Some(0), "SIGTERM ends it well");
        process.run_from_now_on(binary);
        process.start().await;
        let goes_on = async || (lived.load(Ordering::Relaxed) > before + CALLERS).then_some(());
        eventually("the callers go on", goes_on).await;
    }
}

/// From the first of these to the second, to the third; and every lead comes to its end.
async fn rolled(binaries: &[&Path]) {
    let setup = Setup::redis().with("ATTIO__WRITES_PER_SECOND", "1000").with("HTTP__DRAIN_DELAY", "1s");
    let mut world = setup.start().await;
    world.stop().await;
    world.live_in_real_time();
    let mut processes = [0; 3].map(|_| Process::of(binaries[0], &world.settings));
    for process in &mut processes {
        process.start().await;
    }
    let nginx = Nginx::before(&processes.each_ref().map(|process| process.public)).await;
    world.lead_to(vec![nginx.public]);
    let app = world.connect().await;
    let (is_over, lived) = (AtomicBool::new(false), AtomicUsize::new(0));
    let callers = join_all((0..CALLERS).map(|_| call(&world, &app, &is_over, &lived)));
    let rolling = async {
        for binary in &binaries[1..] {
            roll(&mut processes, binary, &lived).await;
        }
        is_over.store(true, Ordering::Relaxed);
    };
    let (people, ()) = tokio::join!(callers, rolling);
    for person in people.iter().flatten() {
        world.shows(person, "Complete").await;
        assert_eq!(world.alc.leads_of(&person.record_id).len(), 1, "one press is one chat");
    }
    assert!(!nginx.complaints().contains("while reading response"), "{}", nginx.complaints());
}

#[test]
fn three_replicas_behind_nginx_are_rolled_under_load_without_a_failed_request() {
    run(rolled(&[this_version(); 2]));
}

#[test]
#[ignore = "needs another version: scripts/roll"]
fn an_update_and_its_way_back_fail_no_request() {
    run(rolled(&[&other_version(), this_version(), &other_version()]));
}
