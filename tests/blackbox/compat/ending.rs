//! From the end of a stage to the end of everything in it.

use std::time::Duration;

use sandbox::Callback;

use super::{
    kept::{Kept, left},
    stage::{Act, End, Ending},
};
use crate::support::{
    ambient::{eventually, eventually_within},
    attio_app::AttioApp,
    harness::{DAY, MINUTE, Person, World},
};

/// How long anything may take: upstreams have asked to be left alone for up to ten minutes.
const LIMIT: Duration = Duration::from_secs(6 * 3600);

/// Works on what was kept until every lead has come to what it should, every workflow was told, the workspace has sent
/// one more lead, and its connection was removed and has cleaned up after itself.
pub async fn work_to_the_end(world: &World, kept: &Kept) {
    let ending = kept.ending(world);
    let mut app = ending.app.as_ref().map(|tokens| tokens.app(world));
    for act in &ending.first {
        app = do_first(world, act, app, &ending).await;
    }
    let reader = app.as_ref().filter(|_| !ending.leaving);
    for end in ending.leads.iter().filter(|end| end.calls_back.is_some()) {
        call_back(world, end, reader).await;
    }
    for end in ending.leads.iter().filter(|end| end.shows.is_some()) {
        let shown_at = end.shown_at.as_ref().unwrap_or(&end.record_id);
        let shows = async || world.attio.status(shown_at) == end.shows;
        world.pass_until(&format!("shown: {}", end.was), MINUTE, LIMIT, shows).await;
    }
    if reader.is_none() {
        cleans_up(world).await;
    }
    let app = match app.filter(|_| !ending.leaving) {
        Some(app) => app,
        None => world.connect().await,
    };
    for end in &ending.leads {
        came_to(world, end, &app).await;
    }
    workflows_were_told(world, &ending).await;
    for end in &ending.leads {
        assert_eq!(world.alc.leads_of(&end.record_id).len(), end.sent, "at ALC: {}", end.was);
    }
    sends_one_more(world, &app).await;
    app.connection_removed().await.expect(202);
    cleans_up(world).await;
}

/// Nothing is kept for ever: once the leads' retention and the memory of the workspace are over, the store is empty.
pub async fn is_forgotten(mut world: World) {
    world.pass_slowly(DAY * 25, 8).await;
    world.stop().await;
    assert_eq!(left(&world).await, Vec::<String>::new(), "what is left in the store");
}

async fn do_first(world: &World, act: &Act, app: Option<AttioApp>, ending: &Ending) -> Option<AttioApp> {
    match act {
        Act::Reconnect => return Some(world.connect().await),
        Act::ComeBack { callback, cookies } => {
            let mut browser = world.browser();
            browser.keep(cookies.clone());
            let back = browser.visit(callback).await.expect(302).location_query();
            return Some(AttioApp::redeem(world, back.get("code").expect("a code")).await);
        }
        Act::Wait(minutes) => world.pass_slowly(MINUTE, *minutes).await,
        Act::AddConnection => {
            let app = app.as_ref().expect("an app");
            // A worker that is not there any more may have begun with it: its claim has to run out.
            world.pass_slowly(MINUTE, 5).await;
            world.while_time_passes(app.connection_added()).await.expect(201);
        }
        Act::PressAgain { key, lead, status } => {
            let end = &ending.leads[*lead];
            let answer = app.as_ref().expect("an app").press_with_key(&end.person(), key).await.expect(*status).json();
            assert_eq!(
                (answer["record_id"].as_str(), &answer["result"]),
                (Some(&*end.record_id), &end.result.clone().into())
            );
        }
    }
    app
}

async fn call_back(world: &World, end: &End, reader: Option<&AttioApp>) {
    let sent = async || {
        let is_queued = match reader {
            Some(app) => app.lead_says(&end.person(), "status").await == "queued",
            None => false,
        };
        !is_queued && world.alc.leads_of(&end.record_id).len() >= end.sent
    };
    world.pass_until(&format!("at ALC: {}", end.was), MINUTE, LIMIT, sent).await;
    let word = end.calls_back.as_deref().expect("a word");
    let callback = Callback::new(&end.record_id, word);
    let callback = match &end.through {
        Some(webhook) => callback.to(webhook),
        None => callback,
    };
    tell(world, callback).await;
}

/// ALC makes this call until it is taken, as it does: in real time a busy machine's store may be late.
pub async fn tell(world: &World, callback: Callback) {
    let answer = world.alc.call_back_until_taken(callback, 20, Duration::from_millis(250)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

/// Presses until it is taken, whole or in the background; the key keeps a repeat from being another send.
pub async fn press(app: &AttioApp, person: &Person) {
    let key = format!("key of {}", person.record_id);
    let taken = async || {
        let answer = app.press_with_key(person, &key).await;
        assert!([201, 202, 503].contains(&answer.status), "{answer:?}");
        (answer.status != 503).then_some(())
    };
    eventually("the press is taken", taken).await;
}

async fn came_to(world: &World, end: &End, app: &AttioApp) {
    let settled = async || app.lead_says(&end.person(), "attio").await == end.attio.as_str();
    world.pass_until(&format!("settled: {}", end.was), MINUTE, LIMIT, settled).await;
    let lead = app.lead(&end.person()).await.expect(200).json();
    let said = ["status", "reason", "result"].map(|name| lead[name].as_str().map(str::to_owned));
    assert_eq!(said, [Some(end.status.clone()), end.reason.clone(), end.result.clone()], "{}: {lead}", end.was);
    let shown_at = end.shown_at.as_ref().unwrap_or(&end.record_id);
    assert_eq!(world.attio.status(shown_at), end.shows, "shown at last: {}", end.was);
}

async fn workflows_were_told(world: &World, ending: &Ending) {
    for (name, count) in &ending.told {
        let told = async || world.attio.told(name).len() >= *count;
        world.pass_until(&format!("{name} is told"), MINUTE, LIMIT, told).await;
    }
    world.pass_slowly(MINUTE, 3).await;
    for (name, count) in &ending.told {
        assert_eq!(world.attio.told(name).len(), *count, "{name} is told so often");
    }
}

async fn sends_one_more(world: &World, app: &AttioApp) {
    let person = world.person();
    press(app, &person).await;
    let out = async || app.lead_says(&person, "status").await == "pending";
    world.pass_until("one more lead goes out", MINUTE, LIMIT, out).await;
    tell(world, Callback::new(&person.record_id, "qualified")).await;
    let complete = async || world.attio.status(&person.record_id).as_deref() == Some("Complete");
    world.pass_until("one more lead is complete", MINUTE, LIMIT, complete).await;
    assert_eq!(world.alc.leads_of(&person.record_id).len(), 1);
}

/// Waits until no connection has left anything at ALC or Attio. Tokens are not given back while a send may be under way
/// with them: in real time that is half a minute.
pub async fn cleans_up(world: &World) {
    let what = "nothing is left of the connections";
    if world.is_in_real_time() {
        eventually_within(MINUTE * 2, what, async || is_clean(world).then_some(())).await;
    } else {
        world.pass_until(what, MINUTE, LIMIT, async || is_clean(world)).await;
    }
}

fn is_clean(world: &World) -> bool {
    let grants = world.alc.living_grants() + world.attio.living_grants();
    grants == 0 && world.alc.webhooks().is_empty() && world.attio.webhooks().is_empty()
}
