//! Stages of a workspace, its connections, webhooks, grants and attempts.

use std::time::Duration;

use reqwest::Method;
use sandbox::{Callback, Fault, Stage as When};
use serde_json::json;

use super::stage::{Act, End, Ending, Stage, Tokens};
use crate::support::{
    ambient::spawn,
    attio_app::{AttioApp, at_attio, authorize_url},
    harness::{HOUR, MINUTE, World},
    http::send,
};

const LONG_AGO: Duration = Duration::from_secs(40 * 60);
const MOMENT: Duration = Duration::from_millis(50);

/// Every one of them.
pub const ALL: [Stage; 12] = [
    Stage {
        name: "incoming",
        about: "A connection waits for connection-added, another one's code was never redeemed.",
        attio_grants: false,
        settings: &[],
        age: LONG_AGO,
        play: |world| Box::pin(incoming(world)),
    },
    Stage {
        name: "connecting",
        about: "connection-added is under way: ALC has made the webhook and not answered.",
        attio_grants: false,
        settings: &[],
        age: LONG_AGO,
        play: |world| Box::pin(connecting(world)),
    },
    Stage {
        name: "connected",
        about: "Connected with a grant at Attio, webhooks on both sides and a trigger.",
        attio_grants: true,
        settings: &[],
        age: LONG_AGO,
        play: |world| Box::pin(connected(world)),
    },
    Stage {
        name: "dead-grant",
        about: "ALC has revoked its grant; a lead is pending and one waits to be sent.",
        attio_grants: false,
        settings: &[],
        age: LONG_AGO,
        play: |world| Box::pin(dead_grant(world)),
    },
    Stage {
        name: "attio-lost",
        about: "Attio has revoked its grant; a result could not be shown.",
        attio_grants: true,
        settings: &[],
        age: LONG_AGO,
        play: |world| Box::pin(attio_lost(world)),
    },
    Stage {
        name: "taken-over",
        about: "Connected again after Attio's grant was lost; the leads have not heard of it yet.",
        attio_grants: true,
        settings: &[],
        age: LONG_AGO,
        play: |world| Box::pin(taken_over(world)),
    },
    Stage {
        name: "leaving",
        about: "Removed, while ALC and Attio refuse to clean up; a lead is pending.",
        attio_grants: false,
        settings: &[],
        age: LONG_AGO,
        play: |world| Box::pin(leaving(world)),
    },
    Stage {
        name: "leaving-with-grants",
        about: "One connection was replaced, one removed; ALC's grant of the one and Attio's of the other stand.",
        attio_grants: true,
        settings: &[],
        age: LONG_AGO,
        play: |world| Box::pin(leaving_with_grants(world)),
    },
    Stage {
        name: "replaced",
        about: "Another connection took over; a lead may be called about under both webhooks; the old grant stands.",
        attio_grants: false,
        settings: &[],
        age: LONG_AGO,
        play: |world| Box::pin(replaced(world)),
    },
    Stage {
        name: "disconnected",
        about: "Removed more than a day ago: the leads have failed, and Attio shows nothing of it yet.",
        attio_grants: false,
        settings: &[("LEADS__SEND_DEADLINE", "3d"), ("LEADS__RETENTION", "120d")],
        age: LONG_AGO,
        play: |world| Box::pin(disconnected(world)),
    },
    Stage {
        name: "attempts",
        about: "Between the two consents: tokens wait for a browser, are being connected, are to be given back.",
        attio_grants: true,
        settings: &[],
        age: LONG_AGO,
        play: |world| Box::pin(attempts(world)),
    },
    Stage {
        name: "consent",
        about: "A browser is at Attio's consent page, and the workspace is connected already.",
        attio_grants: true,
        settings: &[],
        age: MINUTE,
        play: |world| Box::pin(consent(world)),
    },
];

async fn incoming(world: &World) -> Ending {
    let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let mut browser = world.browser();
    let asked = authorize_url(world, &[("code_challenge", challenge), ("code_challenge_method", "S256")]);
    let consent = browser.visit(&asked).await.expect(302).location();
    let callback = browser.consent(consent.as_str()).await;
    browser.visit(&callback).await.expect(302);
    // The two are not given up at one time.
    world.pass(MINUTE * 30).await;
    let app = world.authorize().await;
    Ending { app: Tokens::of(&app), first: vec![Act::AddConnection], ..Ending::default() }
}

async fn connecting(world: &World) -> Ending {
    let app = world.authorize().await;
    let hold = world.alc.faults().hold("create_webhook", When::After);
    drop(spawn({
        let app = app.clone();
        async move { app.connection_added().await }
    }));
    hold.reached(1).await;
    hold.keep();
    Ending { app: Tokens::of(&app), first: vec![Act::AddConnection], ..Ending::default() }
}

/// Connected, at an Attio that takes a URL without TLS.
pub async fn subscribed(world: &World) -> AttioApp {
    world.attio.configure(|attio| attio.https_webhooks_only = false);
    let app = world.connect().await;
    assert_eq!(world.attio.webhooks().len(), 1);
    app
}

/// From now on a workflow hears of every lead that finishes.
pub async fn put_trigger(world: &World, app: &AttioApp, activation: &str) {
    let body = json!({ "callback_url": world.attio.callback_url(activation) });
    send(app.request(Method::PUT, &format!("/v1/triggers/{activation}")).json(&body)).await.expect(201);
}

/// ALC wants to be left alone for ten minutes.
pub fn alc_limits(world: &World) {
    world.alc.faults().always("create_lead", Fault::status_with(429, ("retry-after", "600"), json!(null)));
}

async fn connected(world: &World) -> Ending {
    let app = subscribed(world).await;
    put_trigger(world, &app, "trigger").await;
    let ada = world.person();
    app.press(&ada).await.expect(201);
    world.shows(&ada, "Pending").await;
    world.synced(&app, &ada).await;
    let leads = vec![End::told(&ada, "pending", "qualified")];
    Ending { app: Tokens::of(&app), leads, told: [("trigger".to_owned(), 1)].into(), ..Ending::default() }
}

async fn dead_grant(world: &World) -> Ending {
    let app = world.connect().await;
    let (ada, bob) = (world.person(), world.person());
    app.press(&ada).await.expect(201);
    world.shows(&ada, "Pending").await;
    world.synced(&app, &ada).await;
    alc_limits(world);
    app.press(&bob).await.expect(202);
    let webhook = world.alc.webhooks()[0].webhook_id.clone();
    world.alc.revoke_grants();
    let told = async || app.connection().await.json()["status"] == "reauthorization-required";
    world.pass_until("it is told", MINUTE * 5, HOUR * 2, told).await;
    let leads = vec![
        End::told(&ada, "pending under the dead grant", "qualified").through(&webhook),
        End::told(&bob, "queued under the dead grant", "unqualified"),
    ];
    Ending { app: Tokens::of(&app), first: vec![Act::Reconnect], leads, ..Ending::default() }
}

async fn taken_over(world: &World) -> Ending {
    let lost = attio_lost(world).await;
    let app = world.authorize().await;
    let (before, hold) =
        (world.alc.journal().count("create_webhook"), world.alc.faults().hold("create_webhook", When::After));
    let adding = spawn({
        let app = app.clone();
        async move { app.connection_added().await }
    });
    world.alc.journal().wait_for("create_webhook", before + 1).await;
    // What is under way still ends, and nobody begins with what comes of it.
    world.replicas()[0].begin_to_stop();
    hold.release();
    adding.await.expect("an answer").expect(201);
    Ending { app: Tokens::of(&app), first: Vec::new(), ..lost }
}

async fn attio_lost(world: &World) -> Ending {
    let app = world.connect().await;
    let ada = world.person();
    app.press(&ada).await.expect(201);
    world.shows(&ada, "Pending").await;
    world.synced(&app, &ada).await;
    world.attio.revoke_grants();
    world.call_back(&ada, "qualified").await;
    let lost = async || app.connection().await.json()["status"] == "reauthorization-required";
    world.pass_until("it is told", MOMENT, MINUTE, lost).await;
    let leads = vec![End::known(&ada, "complete, and nobody may show it", "qualified")];
    Ending { app: Tokens::of(&app), first: vec![Act::Reconnect], leads, ..Ending::default() }
}

fn nobody_cleans_up(world: &World) {
    for operation in ["delete_webhook", "revoke"] {
        world.alc.faults().always(operation, Fault::status(503));
        world.attio.faults().always(operation, Fault::status(503));
    }
}

async fn leaving(world: &World) -> Ending {
    let app = subscribed(world).await;
    let ada = world.person();
    app.press(&ada).await.expect(201);
    world.shows(&ada, "Pending").await;
    world.synced(&app, &ada).await;
    let webhook = world.alc.webhooks()[0].webhook_id.clone();
    nobody_cleans_up(world);
    app.connection_removed().await.expect(202);
    world.alc.journal().wait_answered("delete_webhook", 1).await;
    world.attio.journal().wait_answered("delete_webhook", 1).await;
    let leads = vec![End::told(&ada, "pending, its connection removed", "qualified").through(&webhook)];
    Ending { app: Tokens::of(&app), leaving: true, leads, ..Ending::default() }
}

async fn leaving_with_grants(world: &World) -> Ending {
    subscribed(world).await;
    // The lease of whoever cleans up may not run out meanwhile: in small steps.
    let revoked = async |grants: usize| {
        let stand = async || world.alc.living_grants() + world.attio.living_grants() == grants;
        world.pass_until("one grant is given back", MOMENT, MINUTE, stand).await;
    };
    world.alc.faults().always("revoke", Fault::status(503));
    let app = world.connect().await;
    revoked(3).await;
    world.alc.faults().clear("revoke");
    world.attio.faults().always("revoke", Fault::status(503));
    app.connection_removed().await.expect(202);
    revoked(2).await;
    Ending { app: Tokens::of(&app), leaving: true, ..Ending::default() }
}

async fn replaced(world: &World) -> Ending {
    let old = world.connect().await;
    let (ada, bob) = (world.person(), world.person());
    old.press(&ada).await.expect(201);
    world.shows(&ada, "Pending").await;
    world.synced(&old, &ada).await;
    world.alc.faults().always("create_lead", Fault::status(500));
    old.press(&bob).await.expect(202);
    let webhook = world.alc.webhooks()[0].webhook_id.clone();
    world.alc.faults().always("revoke", Fault::status(503));
    let new = world.connect().await;
    let before = world.alc.journal().count("create_lead");
    let again = async || {
        world.alc.journal().count("create_lead") > before
            && world.alc.webhooks().len() == 1
            && world.alc.journal().count("revoke") > 0
    };
    world.pass_until("it is tried under the new one", MINUTE, HOUR, again).await;
    world.tell(Callback::new(&ada.record_id, "qualified").to(&webhook), 200).await;
    world.shows(&ada, "Complete").await;
    world.synced(&new, &ada).await;
    let leads = vec![
        End::known(&ada, "sent under the old connection", "qualified"),
        // The old webhook answers for it alone.
        End::told(&bob, "in doubt under both connections", "unqualified").through(&webhook),
    ];
    // Longer than the old webhook is left alone after it was looked whether its leads have finished.
    Ending { app: Tokens::of(&new), first: vec![Act::Wait(30)], leads, ..Ending::default() }
}

async fn disconnected(world: &World) -> Ending {
    let app = world.connect().await;
    put_trigger(world, &app, "trigger").await;
    let (ada, bob) = (world.person(), world.person());
    app.press(&ada).await.expect(201);
    world.shows(&ada, "Pending").await;
    world.synced(&app, &ada).await;
    alc_limits(world);
    app.press(&bob).await.expect(202);
    app.connection_removed().await.expect(202);
    world.attio.faults().always("patch_record", Fault::status(503));
    world.attio.faults().always("workflow_callback", Fault::status(503));
    let failed = async || world.attio.journal().count("workflow_callback") >= 2;
    world.pass_until("both have failed", HOUR, HOUR * 30, failed).await;
    let leads = vec![
        End::failed(&ada, "pending when it was disconnected", "disconnected"),
        End::failed(&bob, "queued when it was disconnected", "disconnected").sent(0),
    ];
    Ending { leads, told: [("trigger".to_owned(), 2)].into(), ..Ending::default() }
}

async fn attempts(world: &World) -> Ending {
    // Refused at Attio, and ALC does not take its grant back.
    let (mut refused, callback) = at_attio(world).await;
    let callback = url::Url::parse(&callback).expect("a URL");
    let (_, state) = callback.query_pairs().find(|(name, _)| name == "state").expect("a state");
    world.alc.faults().always("revoke", Fault::status(503));
    let refusal = format!("{}/oauth/callback/attio?error=access_denied&state={state}", world.url());
    refused.visit(&refusal).await.expect(302);
    world.alc.journal().wait_answered("revoke", 1).await;
    // Back from Attio, whose answer to who it is does not come.
    let (mut taken, callback) = at_attio(world).await;
    let hold = world.attio.faults().hold("self", When::Before);
    drop(spawn(async move { taken.visit(&callback).await }));
    hold.reached(1).await;
    hold.keep();
    // Still at Attio.
    at_attio(world).await;
    Ending::default()
}

async fn consent(world: &World) -> Ending {
    let app = world.connect().await;
    let (browser, callback) = at_attio(world).await;
    let come_back = Act::ComeBack { callback, cookies: browser.cookies().clone() };
    Ending { app: Tokens::of(&app), first: vec![come_back, Act::AddConnection], ..Ending::default() }
}
