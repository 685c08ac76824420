//! Operation `sendLead` beside a wall clock that is put right: no send goes out twice for that.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use alc_connector::clock::{Clock as _, SteadyClock, SystemClock, later};
use reqwest::Method;
use sandbox::Stage;
use serde_json::json;

use crate::support::{
    ambient::{eventually, spawn},
    attio_app::{AttioApp, lead_body},
    harness::{Person, Setup, World, run},
    http::send,
};

fn posts_of(world: &World, person: &Person) -> usize {
    let posts = world.alc.journal().requests("create_lead");
    posts.iter().filter(|post| post.body.contains(&person.record_id)).count()
}

/// The reconciler takes up what is due, this person's lead among it.
async fn taken_up(world: &World, app: &AttioApp) {
    let person = world.person();
    let batch = json!({ "leads": [lead_body(&person)] });
    send(app.request(Method::POST, "/v1/leads/batch").json(&batch)).await.expect(202);
    eventually("what is due is taken up", async || (posts_of(world, &person) > 0).then_some(())).await;
}

#[test]
fn a_wall_clock_that_is_put_ahead_sends_nothing_again() {
    run(async {
        // ALC can neither look up nor tell a repeat by its key.
        let mut world = Setup::sqlite().minimal_alc().alc(|alc| alc.idempotency = false).prepare().await;
        world.live_in_real_time();
        let ahead = Arc::new(AtomicU64::new(0));
        let put_ahead = Arc::clone(&ahead);
        let wall = move || later(SystemClock.now(), Duration::from_secs(put_ahead.load(Ordering::SeqCst)));
        world.start_replica_by(Arc::new(SteadyClock::beside(wall))).await;
        let app = world.connect().await;
        let ada = world.person();
        let posting = world.alc.faults().hold("create_lead", Stage::After);
        let pressed = spawn({
            let (app, ada) = (app.clone(), ada.clone());
            async move { app.press(&ada).await }
        });
        posting.reached(1).await;
        // Longer than a lease.
        ahead.store(60, Ordering::SeqCst);
        for _ in 0..3 {
            taken_up(&world, &app).await;
        }
        assert_eq!(posts_of(&world, &ada), 1, "its worker still waits for ALC's answer");
        posting.release();
        pressed.await.expect("an answer").expect(201);
        let shown = async || (world.attio.status(&ada.record_id).as_deref() == Some("Pending")).then_some(());
        eventually("Attio shows Pending", shown).await;
        assert_eq!(posts_of(&world, &ada), 1, "one SMS");
    });
}
