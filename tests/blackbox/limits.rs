//! Attio's limit of 25 writes in a clock second: kept, used, and survived when another program has used it up.
//!
//! Time here is elastic: it goes on in small steps, each only when what may be written by then has been written or a
//! busy machine has had its moment. The pretend Attio counts by the seconds of the same clock.

use std::time::Duration;

use alc_connector::clock::Clock as _;
use futures_util::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use sandbox::{Fault, Seen, Stage};
use serde_json::json;

use crate::support::{
    ambient::{Stopwatch, eventually},
    attio_app::AttioApp,
    harness::{MINUTE, Person, Setup, World, run, scenario},
    process::Process,
};

/// Attio's limit.
const WRITES_PER_SECOND: u32 = 25;
/// How many are in one workspace's crowd.
const CROWD: usize = 1000;
/// The step of time: less than the time between two writes.
const STEP: Duration = Duration::from_millis(10);
/// What a step waits for writes that are late.
const MOMENT: Duration = Duration::from_millis(80);

/// Attio counts, by the clock of the service.
fn limit_writes(world: &World) {
    let clock = world.clock.clone();
    world.attio.time().follow(move || clock.now());
    world.attio.configure(|attio| attio.writes_per_second = Some(WRITES_PER_SECOND));
}

/// That many people, all pressed.
async fn press_all(world: &World, app: &AttioApp, count: usize) -> Vec<Person> {
    let people: Vec<_> = (0..count).map(|_| world.person()).collect();
    let presses: Vec<_> = people.iter().map(|person| app.press(person)).collect();
    let mut answers = stream::iter(presses).buffer_unordered(16);
    while let Some(answer) = answers.next().await {
        answer.expect(201);
    }
    drop(answers);
    people
}

fn patches(world: &World) -> Vec<Seen> {
    world.attio.journal().requests("patch_record")
}

fn refused(world: &World) -> usize {
    patches(world).iter().filter(|seen| seen.status == Some(429)).count()
}

fn micros(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64() * 1e6
}

/// Lets time pass until `count` PATCHes have been answered, of which `already` came by `begin`.
async fn drain(world: &World, begin: Timestamp, already: usize, count: usize) {
    let journal = world.attio.journal();
    let interval = 1e6 / (f64::from(WRITES_PER_SECOND) * 0.96);
    let all = || journal.count("patch_record") >= count && journal.under_way("patch_record") == 0;
    while !all() {
        world.clock.advance(STEP);
        let passed = micros(begin, world.now());
        assert!(passed < 3.0 * 60e6, "{} of {count} after three minutes", journal.count("patch_record"));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some thousands")]
        let may = count.min(already + (passed / interval) as usize);
        let watch = Stopwatch::start();
        let done = || journal.count("patch_record") >= may && journal.under_way("patch_record") == 0;
        while !done() && watch.elapsed() < MOMENT {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// How much of the limit was used between the first PATCH and the last.
fn share_used(patches: &[Seen]) -> f64 {
    let mut at: Vec<_> = patches.iter().map(|seen| seen.at).collect();
    at.sort_unstable();
    let (first, last) = (at.first().expect("a PATCH"), at.last().expect("a PATCH"));
    let possible = last.duration_since(*first).as_secs_f64() * f64::from(WRITES_PER_SECOND);
    #[expect(clippy::cast_precision_loss, reason = "a thousand")]
    {
        (at.len() - 1) as f64 / possible
    }
}

#[expect(clippy::print_stdout, reason = "the figure is what one runs this for")]
fn judge(world: &World, people: &[Person], least: f64) {
    let patches = patches(world);
    assert_eq!(refused(world), 0, "Attio refused none");
    assert_eq!(patches.len(), people.len(), "one PATCH each");
    assert!(people.iter().all(|person| world.attio.status(&person.record_id).as_deref() == Some("Pending")));
    let used = share_used(&patches);
    println!("{:.1} % of the limit used", used * 100.0);
    assert!(used >= least, "{:.1} % of the limit used", used * 100.0);
}

async fn a_crowd_is_written_at_the_pace_of_the_limit(setup: Setup, more_replicas: usize, least: f64) {
    let (mut world, app) = setup.connected().await;
    for _ in 0..more_replicas {
        world.start_replica().await;
    }
    limit_writes(&world);
    let begin = world.now();
    let people = press_all(&world, &app, CROWD).await;
    drain(&world, begin, 1, CROWD).await;
    judge(&world, &people, least);
}

#[test]
fn a_thousand_leads_use_95_percent_of_the_limit_on_sqlite() {
    run(a_crowd_is_written_at_the_pace_of_the_limit(Setup::sqlite(), 0, 0.95));
}

#[test]
fn a_thousand_leads_use_95_percent_of_the_limit_on_redis() {
    run(a_crowd_is_written_at_the_pace_of_the_limit(Setup::redis(), 0, 0.95));
}

#[test]
fn a_thousand_leads_over_three_replicas_use_90_percent_of_the_limit() {
    run(a_crowd_is_written_at_the_pace_of_the_limit(Setup::two_replicas(), 1, 0.90));
}

/// The same on the machine's clock and with real processes: forty seconds each, and worth something on a quiet machine
/// only.
async fn a_crowd_in_real_time(setup: Setup, processes: usize, least: f64) {
    let mut world = setup.start().await;
    world.stop().await;
    world.live_in_real_time();
    let mut running = Vec::new();
    for _ in 0..processes {
        let mut process = Process::new(&world.settings);
        process.start().await;
        running.push(process);
    }
    world.lead_to(running.iter().map(|process| process.public).collect());
    let app = world.connect().await;
    world.attio.configure(|attio| attio.writes_per_second = Some(WRITES_PER_SECOND));
    let people = press_all(&world, &app, CROWD).await;
    let (journal, watch) = (world.attio.journal(), Stopwatch::start());
    while journal.count("patch_record") < CROWD || journal.under_way("patch_record") > 0 {
        assert!(watch.elapsed() < Duration::from_secs(90), "{} written", journal.count("patch_record"));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    judge(&world, &people, least);
}

#[test]
#[ignore = "forty seconds of real time on a quiet machine"]
fn in_real_time_a_thousand_leads_use_95_percent_of_the_limit() {
    run(a_crowd_in_real_time(Setup::redis(), 1, 0.95));
}

#[test]
#[ignore = "forty seconds of real time on a quiet machine"]
fn in_real_time_a_thousand_leads_over_three_processes_use_90_percent_of_the_limit() {
    run(a_crowd_in_real_time(Setup::redis(), 3, 0.90));
}

/// All the leads of these people are shown, and none has failed on the way.
async fn all_are_well(app: &AttioApp, people: &[Person]) {
    for person in people {
        let lead = eventually("the lead is synced", async || {
            let lead = app.lead(person).await.json();
            (lead["attio"] == "synced").then_some(lead)
        });
        assert_eq!(lead.await["status"], "pending");
    }
}

scenario! {
    async fn when_another_app_has_used_the_limit_up_all_wait_for_attios_date(setup: Setup) {
        let (world, app) = setup.connected().await;
        // What connecting wrote counts in its own second.
        world.pass(Duration::from_secs(1)).await;
        limit_writes(&world);
        let theirs = world.person();
        let url = format!("{}/v2/objects/people/records/{}", world.attio.url(), theirs.record_id);
        for _ in 0..WRITES_PER_SECOND {
            let body = json!({ "data": { "values": { "alc_result": ["another app"] } } });
            let write = world.client.patch(&url).bearer_auth(world.attio.api_key()).json(&body);
            assert_eq!(write.send().await.expect("an answer").status(), 200);
        }
        let (theirs, date) = (patches(&world).len(), world.now() + SignedDuration::from_secs(1));
        let people = press_all(&world, &app, 40).await;
        world.attio.journal().wait_answered("patch_record", theirs + 1).await;
        eventually("the refusal was taken", async || {
            for person in &people {
                if app.lead_says(person, "last_error").await.is_string() {
                    return Some(());
                }
            }
            None
        })
        .await;
        for _ in 0..30 {
            world.clock.advance(Duration::from_millis(33));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(world.now() < date);
        assert_eq!(patches(&world).len(), theirs + 1, "nobody went before Attio's date");
        drain(&world, date, theirs + 1, theirs + 1 + people.len()).await;
        assert_eq!(refused(&world), 1, "and nobody was refused again");
        all_are_well(&app, &people).await;
    }
}

scenario! {
    async fn a_run_of_failures_opens_the_gate_until_a_single_probe_gets_through(setup: Setup) {
        let (world, app) = setup.connected().await;
        world.attio.faults().always("patch_record", Fault::status(503));
        let people = press_all(&world, &app, 30).await;
        let journal = world.attio.journal();
        // The calls that were under way when the gate opened may be a few more than the five failures that open it.
        let gap = |seen: &[Seen]| seen.windows(2).rposition(|pair| seconds(&pair[0], &pair[1]) < 4.0).map(|at| at + 2);
        let probes = || {
            let seen = patches(&world);
            let first = gap(&seen).unwrap_or(seen.len());
            seen[first.min(seen.len())..].to_vec()
        };
        world.pass_until("three probes", Duration::from_millis(200), MINUTE, async || probes().len() >= 3).await;
        let (probes, all) = (probes(), journal.count("patch_record"));
        assert!(all - probes.len() <= 13, "{all} went to an Attio that was down");
        let waits: Vec<_> = probes.windows(2).map(|pair| seconds(&pair[0], &pair[1])).collect();
        assert!((9.9..13.0).contains(&waits[0]) && (19.9..23.0).contains(&waits[1]), "ever rarer: {waits:?}");
        world.attio.faults().clear("patch_record");
        let shown = async || people.iter().all(|person| world.attio.status(&person.record_id).is_some());
        world.pass_until("it has closed by itself", Duration::from_millis(200), MINUTE * 3, shown).await;
        all_are_well(&app, &people).await;
    }
}

scenario! {
    async fn an_ailing_alc_is_probed_by_one_lead_at_a_time(setup: Setup) {
        let (world, app) = setup.impatient().with("ALC__TIMEOUT", "12s").with("RETRY__SCHEDULE", "1m").connected().await;
        let (faults, journal) = (world.alc.faults(), world.alc.journal());
        let asking = ["create_lead", "list_leads"];
        for operation in asking {
            faults.always(operation, Fault::status(503));
        }
        let people: Vec<_> = (0..8).map(|_| world.person()).collect();
        for person in &people {
            app.press(person).await.expect(202);
        }
        assert_eq!(journal.count("create_lead"), 5, "the run that opens the gate");
        for operation in asking {
            faults.clear(operation);
        }
        let holds = asking.map(|operation| faults.hold(operation, Stage::Before));
        let probes = || asking.map(|operation| journal.under_way(operation)).iter().sum::<usize>();
        world.pass(MINUTE * 2).await;
        world.pass_until("a probe", Duration::from_millis(50), MINUTE, async || probes() > 0).await;
        world.pass_slowly(Duration::from_millis(50), 20).await;
        assert_eq!(probes(), 1);
        drop(holds);
        let all = async || world.alc.leads().len() == people.len();
        world.pass_until("all go out", Duration::from_secs(1), MINUTE * 10, all).await;
    }
}

fn seconds(from: &Seen, to: &Seen) -> f64 {
    to.at.duration_since(from.at).as_secs_f64()
}
