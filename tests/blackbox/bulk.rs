//! Operation `sendLeads`: many presses in one request.

use std::time::Duration;

use sandbox::{Fault, Rule};
use serde_json::{Value, json};

use crate::support::{
    ambient::Stopwatch,
    attio_app::{AttioApp, lead_body},
    harness::{HOUR, MINUTE, Person, Setup, World, scenario},
    http::{Answer, send},
};

async fn batch(app: &AttioApp, leads: &[Value]) -> Answer {
    send(app.request(reqwest::Method::POST, "/v1/leads/batch").json(&json!({ "leads": leads }))).await
}

async fn batch_with_key(app: &AttioApp, leads: &[Value], key: &str) -> Answer {
    let request = app.request(reqwest::Method::POST, "/v1/leads/batch").header("idempotency-key", key);
    send(request.json(&json!({ "leads": leads }))).await
}

fn results(answer: &Answer) -> Vec<Value> {
    answer.json()["results"].as_array().expect("results").clone()
}

async fn all_show(world: &World, people: &[Person], status: &str) {
    let shown = async || people.iter().all(|person| world.attio.status(&person.record_id).as_deref() == Some(status));
    world.pass_until(&format!("all show {status}"), Duration::from_millis(500), HOUR, shown).await;
}

scenario! {
    async fn two_hundred_and_fifty_are_answered_within_a_second_in_order_and_all_are_sent(setup: Setup) {
        let (world, app) = setup.connected().await;
        let people: Vec<_> = (0..250).map(|_| world.person()).collect();
        let bodies: Vec<_> = people.iter().map(lead_body).collect();
        let watch = Stopwatch::start();
        let answer = batch(&app, &bodies).await.expect(202);
        let took = watch.elapsed();
        let answered: Vec<_> = results(&answer).iter().map(|lead| lead["record_id"].clone()).collect();
        let asked: Vec<_> = people.iter().map(|person| json!(person.record_id)).collect();
        assert_eq!(answered, asked);
        assert!(results(&answer).iter().all(|lead| lead["status"] == "queued"), "nobody waited for ALC");
        // A second is the promise of an optimised build on a machine of its own; this one is neither.
        assert!(took < Duration::from_secs(5), "{took:?}");
        all_show(&world, &people, "Pending").await;
        assert_eq!(world.alc.leads().len(), 250);
    }
}

scenario! {
    async fn a_bad_item_stops_no_other(setup: Setup) {
        let (world, app) = setup.connected().await;
        let (ada, bob, eve) = (world.person(), world.person(), world.person());
        let with = |person: &Person, field: &str, value: Value| {
            let mut body = lead_body(person);
            body[field] = value;
            body
        };
        let items = [
            with(&ada, "name", json!("")),
            lead_body(&bob),
            json!("nonsense"),
            with(&ada, "record_id", json!("no uuid")),
            with(&ada, "finish_callback_url", json!("https://example.com/")),
            lead_body(&eve),
        ];
        let results = results(&batch(&app, &items).await.expect(202));
        assert_eq!(results.len(), 6);
        for (index, record, pointer) in [
            (0, json!(ada.record_id), "/name"),
            (2, Value::Null, ""),
            (3, Value::Null, "/record_id"),
            (4, json!(ada.record_id), "/finish_callback_url"),
        ] {
            let result = &results[index];
            assert_eq!(result["record_id"], record, "{result}");
            assert_eq!(result["problem"]["type"], "/problems/invalid-request", "{result}");
            assert_eq!(result["problem"]["errors"][0]["pointer"], pointer, "{result}");
        }
        assert_eq!((&results[1]["record_id"], &results[5]["record_id"]), (&json!(bob.record_id), &json!(eve.record_id)));
        all_show(&world, &[bob, eve], "Pending").await;
        app.lead(&ada).await.expect(404);
    }
}

scenario! {
    async fn a_record_twice_is_sent_once_and_a_live_one_is_joined(setup: Setup) {
        let (world, app) = setup.connected().await;
        let (ada, bob) = (world.person(), world.person());
        let live = app.press(&bob).await.expect(201).json();
        let results = results(&batch(&app, &[lead_body(&ada), lead_body(&bob), lead_body(&ada)]).await.expect(202));
        assert_eq!(results[1]["lead_id"], live["lead_id"]);
        assert_eq!((&results[0]["record_id"], &results[2]["record_id"]), (&json!(ada.record_id), &json!(ada.record_id)));
        all_show(&world, &[ada, bob], "Pending").await;
        assert_eq!(world.alc.journal().count("create_lead"), 2);
    }
}

scenario! {
    async fn of_a_record_with_several_names_the_first_is_sent(setup: Setup) {
        let (world, app) = setup.connected().await;
        let people: Vec<_> = (0..10).map(|_| world.person()).collect();
        let named = |name: &str| {
            let name = name.to_owned();
            people.iter().map(move |person| lead_body(&Person { name: name.clone(), ..person.clone() }))
        };
        let items: Vec<_> = named("Ada One").chain(named("Ada Two")).chain(named("Ada Three")).collect();
        batch(&app, &items).await.expect(202);
        all_show(&world, &people, "Pending").await;
        let sent: Vec<_> = world.alc.leads().into_iter().map(|lead| lead.name).collect();
        assert_eq!(sent, vec!["Ada One"; people.len()]);
    }
}

scenario! {
    async fn the_same_batch_under_its_key_sends_nothing_twice(setup: Setup) {
        let (world, app) = setup.connected().await;
        let people = [world.person(), world.person(), world.person()];
        let bodies: Vec<_> = people.iter().map(lead_body).collect();
        batch_with_key(&app, &bodies, "k").await.expect(202);
        all_show(&world, &people, "Pending").await;
        for person in &people {
            world.call_back(person, "qualified").await;
        }
        let again = results(&batch_with_key(&app, &bodies, "k").await.expect(202));
        assert!(again.iter().all(|lead| lead["status"] == "complete"), "{again:?}");
        let mut other = bodies.clone();
        other[1]["name"] = json!("Somebody Else");
        let other = results(&batch_with_key(&app, &other, "k").await.expect(202));
        assert_eq!(other[1]["problem"]["type"], "/problems/idempotency-key-reused");
        all_show(&world, &people, "Complete").await;
        assert_eq!(world.alc.journal().count("create_lead"), 3);
    }
}

scenario! {
    async fn one_to_two_hundred_and_fifty_items_and_a_mebibyte(setup: Setup) {
        let (world, app) = setup.connected().await;
        let item = lead_body(&world.person());
        for count in [0, 251] {
            let problem = batch(&app, &vec![item.clone(); count]).await.expect_problem(400, "invalid-request").json();
            assert_eq!(problem["errors"][0]["pointer"], "/leads");
        }
        let mut long = item.clone();
        long["name"] = "x".repeat(200 * 1024).into();
        let problem = &results(&batch(&app, &[long]).await.expect(202))[0]["problem"];
        assert_eq!(problem["errors"][0]["pointer"], "/name", "more than a single lead may be long, and judged");
        let mut longer = item.clone();
        longer["name"] = "x".repeat(1024 * 1024).into();
        batch(&app, &[longer]).await.expect_problem(413, "payload-too-large");
        assert_eq!(world.alc.journal().count("create_lead"), 0);
    }
}

scenario! {
    async fn an_item_may_have_a_step_that_waits_for_it(setup: Setup) {
        let (world, app) = setup.connected().await;
        let (ada, bob) = (world.person(), world.person());
        let (mut one, mut two) = (lead_body(&ada), lead_body(&bob));
        one["finish_callback_url"] = world.attio.callback_url("one").into();
        two["finish_callback_url"] = world.attio.callback_url("two").into();
        world.alc.faults().add(Rule {
            operation: "create_lead".to_owned(),
            fault: Fault::status(400),
            times: Some(1),
            contains: Some(bob.record_id.clone()),
        });
        batch(&app, &[one, two]).await.expect(202);
        all_show(&world, std::slice::from_ref(&ada), "Pending").await;
        world.call_back(&ada, "qualified").await;
        let both = async || world.attio.told("one").len() == 1 && world.attio.told("two").len() == 1;
        world.pass_until("both are told", MINUTE / 10, HOUR, both).await;
        assert_eq!(world.attio.told("two")[0]["reason"], "rejected", "nobody waited in the request for the refusal");
        // So Attio shows it.
        world.shows(&bob, "Failed").await;
    }
}
