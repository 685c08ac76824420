//! The figures of "who waits for whom", measured in real time against a process; `priority.rs` has the promises.
//!
//! How: one process, a bulk in batches of 250 at an ALC that takes a while for each lead, and two seconds later ALC's
//! callback for a lead that was sent before. Counted is the time until Attio shows the bulk's first Pending, and that
//! until it shows Complete. `cargo test --test blackbox who_waits -- --ignored --nocapture`.

use std::time::Duration;

use sandbox::Fault;
use serde_json::json;

use crate::support::{
    ambient::{Stopwatch, eventually_within},
    attio_app::lead_body,
    harness::{Setup, run},
    http::send,
};

const LONGEST: Duration = Duration::from_secs(180);

#[expect(clippy::print_stdout, reason = "the figures are what one runs this for")]
async fn figures(setup: Setup, store: &str, leads: usize, alc_takes: u64) {
    let mut world = setup.start().await;
    let _process = world.in_a_process().await;
    let app = world.connect().await;
    let ada = world.person();
    app.press(&ada).await.expect(201);
    let shows = |status: &'static str| world.attio.status(&ada.record_id).as_deref() == Some(status);
    eventually_within(LONGEST, "ada is Pending", async || shows("Pending").then_some(())).await;
    world.alc.faults().always("create_lead", Fault::late(alc_takes));
    let people: Vec<_> = (0..leads).map(|_| world.person()).collect();
    let bulk = Stopwatch::start();
    let storing = async {
        for people in people.chunks(250) {
            let leads: Vec<_> = people.iter().map(lead_body).collect();
            let batch = app.request(reqwest::Method::POST, "/v1/leads/batch").json(&json!({ "leads": leads }));
            send(batch).await.expect(202);
        }
        bulk.elapsed()
    };
    let showing = async {
        let written = || world.attio.journal().count("patch_record");
        eventually_within(LONGEST, "the first Pending", async || (written() > 1).then_some(())).await;
        bulk.elapsed()
    };
    let (stored, first) = tokio::join!(storing, showing);
    tokio::time::sleep((stored + Duration::from_secs(2)).saturating_sub(bulk.elapsed())).await;
    let (sent, called_back) = (world.alc.journal().count("create_lead") - 1, Stopwatch::start());
    world.call_back(&ada, "qualified").await;
    eventually_within(LONGEST, "ada is Complete", async || shows("Complete").then_some(())).await;
    let result = called_back.elapsed();
    println!(
        "{store}, {leads} leads at {alc_takes} ms: stored after {stored:.1?}, first Pending after {first:.1?}; with \
         {sent} sent, Complete {result:.1?} after its callback"
    );
}

#[test]
#[ignore = "minutes of real time; prints only"]
fn behind_five_hundred_leads() {
    run(async {
        figures(Setup::sqlite(), "SQLite", 500, 100).await;
        figures(Setup::redis(), "Redis", 500, 100).await;
    });
}

#[test]
#[ignore = "minutes of real time; prints only"]
fn behind_a_thousand_leads() {
    run(async {
        figures(Setup::sqlite(), "SQLite", 1000, 300).await;
        figures(Setup::redis(), "Redis", 1000, 300).await;
    });
}
