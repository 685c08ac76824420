//! What others send as they really send it: what we do not read cannot fail us, and a refusal names what its reader can
//! change.

use reqwest::Method;
use sandbox::Callback;
use serde_json::{Value, json};

use crate::support::{
    attio_app::{AttioApp, connection_event, lead_body},
    harness::{MINUTE, Person, Setup, World, scenario},
    http::{Answer, send},
};

/// Members that no endpoint reads, with what a strict parser would not take.
const UNREAD: [&[u8]; 12] = [
    br#""note": "\ud83d""#,
    br#""\udc00": ["\ude00\ud83d"]"#,
    br#""big": [1e999, -1E+400]"#,
    br#""score": NaN, "limit": -Infinity, "old": undefined"#,
    b"\"latin\": \"Jos\xe9\"",
    b"\"cut\": {\"emoji\": \"\xf0\x9f\x98\"}",
    b"\"lines\": \"one\ntwo\x00\"",
    br#""again": 1, "again": 2"#,
    br#""escape": "\q\u12""#,
    b"\"python\": [True, None,], 'quotes': 'it'",
    b"\"octal\": 007, /* a comment */ \"hex\": 0x1F",
    b"\"empty\": {}",
];

/// Nesting that no parser follows.
fn deep() -> Vec<u8> {
    format!("\"deep\": {}{}", "[".repeat(5_000), "]".repeat(5_000)).into_bytes()
}

fn every_unread() -> impl Iterator<Item = Vec<u8>> {
    UNREAD.into_iter().map(<[u8]>::to_vec).chain([deep()])
}

/// `object` with more members in front, which may be no text.
fn with(object: &Value, members: &[u8]) -> Vec<u8> {
    let text = object.to_string();
    [b"{", members, b", ", &text.as_bytes()[1..]].concat()
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

async fn post(app: &AttioApp, path: &str, body: Vec<u8>) -> Answer {
    send(app.request(Method::POST, path).header("content-type", "application/json").body(body)).await
}

/// A person whose lead is pending.
async fn pressed(world: &World, app: &AttioApp) -> Person {
    let person = world.person();
    app.press(&person).await.expect(201);
    person
}

scenario! {
    async fn what_is_not_read_cannot_fail_a_lead(setup: Setup) {
        let (world, app) = setup.connected().await;
        for member in every_unread() {
            let ada = world.person();
            post(&app, "/v1/leads", with(&lead_body(&ada), &member)).await.expect(201);
            let bob = world.person();
            let batch = json!({ "leads": [] }).to_string().into_bytes();
            let item = with(&lead_body(&bob), &member);
            let batch = [&batch[..batch.len() - 2], &item, b"], ", &member[..], b"}"].concat();
            let results = post(&app, "/v1/leads/batch", batch).await.expect(202).json();
            assert_eq!(results["results"][0]["record_id"], bob.record_id.as_str(), "{results}");
            assert!(results["results"][0].get("problem").is_none(), "{results}");
            let trigger = with(&json!({ "callback_url": "https://api.attio.com/x" }), &member);
            let put = app.request(Method::PUT, "/v1/triggers/a").header("content-type", "application/json");
            assert!(send(put.body(trigger)).await.status < 300);
        }
        let lead = lead_body(&world.person()).to_string();
        post(&app, "/v1/leads", format!("\u{feff}{lead}").into_bytes()).await.expect(201);
        post(&app, "/v1/leads", utf16(&lead_body(&world.person()).to_string())).await.expect(201);
    }
}

scenario! {
    async fn what_is_not_read_cannot_fail_a_connect(setup: Setup) {
        let world = setup.start().await;
        for member in every_unread() {
            let app = world.authorize().await;
            let event = connection_event("workspace", &world.attio.workspace_id());
            let inner = [b"\"connection\": ", &with(&event["connection"], &member)[..]].concat();
            let event = [b"{", &member[..], b", ", &inner, b"}"].concat();
            post(&app, "/v1/events/connection-added", event.clone()).await.expect(201);
            post(&app, "/v1/events/connection-removed", event).await.expect(202);
        }
    }
}

scenario! {
    async fn what_is_not_read_cannot_fail_an_event_of_attio(setup: Setup) {
        let world = setup.start().await;
        world.attio.configure(|attio| attio.https_webhooks_only = false);
        let app = world.connect().await;
        let webhook = world.attio.webhooks()[0].clone();
        for member in every_unread() {
            let ada = pressed(&world, &app).await;
            let event = with(&world.attio.event("record.deleted", &ada.record_id), &member);
            let call = [b"{\"events\": [{\"event_type\": 5}, ", &event[..], b"], ", &member, b"}"].concat();
            // The one that cannot be understood is refused; it costs no other.
            assert_eq!(world.attio.deliver_to(&webhook, call).await, 400);
            assert_eq!(app.lead_says(&ada, "reason").await, "record-deleted", "{}", String::from_utf8_lossy(&member));
        }
    }
}

scenario! {
    async fn what_is_not_read_cannot_fail_a_callback(setup: Setup) {
        let (world, app) = setup.connected().await;
        for member in every_unread() {
            let ada = pressed(&world, &app).await;
            let body = with(&json!({ "record_id": ada.record_id, "status": "qualified" }), &member);
            world.tell(Callback::new(&ada.record_id, "qualified").bytes(&body), 200).await;
            assert_eq!(app.lead_says(&ada, "result").await, "qualified", "{}", String::from_utf8_lossy(&member));
        }
    }
}

scenario! {
    async fn a_bad_item_stops_no_other_also_where_its_text_is_bad(setup: Setup) {
        let (world, app) = setup.connected().await;
        for (bad, pointer) in [
            (&br#""name": "Bob \ud83d""#[..], "/name"),
            (b"\"name\": \"Jos\xe9\"", "/name"),
            (br#""name": "Bob \u12""#, "/name"),
            (br#""name": "Bob \ude00\ud83d""#, "/name"),
            (br#""name": "Bob", "phone_number": "+1\udfff""#, "/phone_number"),
            (br#""name": NaN"#, "/name"),
            (br#""name": "Bob", "name": "Rob""#, "/name"),
            (br#""name": "Bob", "finish_callback_url": "https://api.attio.com/\ud83d""#, "/finish_callback_url"),
        ] {
            let (ada, bob, eve) = (world.person(), world.person(), world.person());
            let mut rest = lead_body(&bob);
            let rest = rest.as_object_mut().expect("an object");
            for name in ["name", "phone_number"] {
                if String::from_utf8_lossy(bad).contains(&format!("\"{name}\"")) {
                    rest.remove(name);
                }
            }
            let item = with(&json!(rest), bad);
            let [first, last] = [&ada, &eve].map(|person| lead_body(person).to_string().into_bytes());
            let batch = [b"{\"leads\": [", &first[..], b",", &item, b",", &last, b"]}"].concat();
            let results = post(&app, "/v1/leads/batch", batch).await.expect(202).json();
            assert_eq!(results["results"].as_array().map(Vec::len), Some(3), "{results}");
            for (at, person) in [(0, &ada), (2, &eve)] {
                assert_eq!(results["results"][at]["record_id"], person.record_id.as_str(), "{results}");
                assert!(results["results"][at].get("problem").is_none(), "{results}");
            }
            let refused = &results["results"][1];
            assert_eq!(refused["record_id"], bob.record_id.as_str(), "{results}");
            assert_eq!(refused["problem"]["errors"][0]["pointer"], pointer, "{results}");
            // The same by itself.
            let answer = post(&app, "/v1/leads", item).await.expect_problem(400, "invalid-request");
            assert_eq!(answer.json()["errors"], refused["problem"]["errors"]);
            app.lead(&bob).await.expect(404);
        }
    }
}

scenario! {
    async fn a_callback_whose_text_is_damaged_is_taken(setup: Setup) {
        let (world, app) = setup.connected().await;
        let body = |person: &Person, status: &[u8]| {
            [format!("{{\"record_id\": \"{}\", \"status\": \"", person.record_id).as_bytes(), status, b"\"}"].concat()
        };
        for (status, result) in [
            (&br"qualified \ud83d"[..], "qualified \u{fffd}"),
            (br"\ude00 ok", "\u{fffd} ok"),
            (b"qualifi\xe9", "qualifi\u{fffd}"),
            (b"ok \xf0\x9f\x98", "ok \u{fffd}"),
            (b"two\nlines", "two\nlines"),
        ] {
            let ada = pressed(&world, &app).await;
            world.tell(Callback::new(&ada.record_id, "x").bytes(&body(&ada, status)), 200).await;
            assert_eq!(app.lead_says(&ada, "result").await, result);
            world.shows(&ada, "Complete").await;
            assert_eq!(world.attio.value(&ada.record_id, "alc_result").as_deref(), Some(result));
        }
        for encoded in [|text: String| format!("\u{feff}{text}").into_bytes(), |text: String| utf16(&text), |text: String| utf16(&format!("\u{feff}{text}"))] {
            let ada = pressed(&world, &app).await;
            let body = encoded(String::from_utf8(body(&ada, "gut gemacht ✓".as_bytes())).expect("text"));
            world.tell(Callback::new(&ada.record_id, "x").bytes(&body), 200).await;
            assert_eq!(app.lead_says(&ada, "result").await, "gut gemacht ✓");
        }
    }
}

scenario! {
    async fn what_stands_around_a_callback_costs_nothing(setup: Setup) {
        let (world, app) = setup.connected().await;
        type Dressed = fn(String) -> String;
        let dressed: [Dressed; 4] = [
            |text| json!(text).to_string(),
            |text| format!("[{text}]"),
            |text| format!("{text};"),
            |text| format!("\n{text}\n\nOK"),
        ];
        for dress in dressed {
            let ada = pressed(&world, &app).await;
            let body = dress(json!({ "record_id": ada.record_id, "status": "qualified" }).to_string());
            world.tell(Callback::new(&ada.record_id, "x").body(&body), 200).await;
            assert_eq!(app.lead_says(&ada, "result").await, "qualified", "{body}");
        }
        for (status, result) in [(json!(3), "3"), (json!(true), "true"), (json!(0.5), "0.5")] {
            let ada = pressed(&world, &app).await;
            world.tell(Callback::new(&ada.record_id, "x").field("status", status), 200).await;
            assert_eq!(app.lead_says(&ada, "result").await, result);
        }
        // The result of the second would be lost without a word.
        let (ada, bob) = (pressed(&world, &app).await, pressed(&world, &app).await);
        let bodies = [&ada, &bob].map(|person| json!({ "record_id": person.record_id, "status": "qualified" }).to_string());
        world.tell(Callback::new(&ada.record_id, "x").body(&bodies.join("\n")), 400).await;
        assert_eq!(app.lead_says(&ada, "status").await, "pending");
    }
}

scenario! {
    async fn an_optional_member_never_costs_the_known_ones(setup: Setup) {
        let (world, app) = setup.connected().await;
        for (name, value) in [
            ("lead_id", json!(true)),
            ("lead_id", json!({ "id": 5 })),
            ("lead_id", json!([])),
            ("lead_id", json!(17.5)),
            ("lead_id", json!("x".repeat(5_000))),
            ("lead_id", json!("")),
            ("lead_id", json!(null)),
            ("event", json!(null)),
            ("event", json!({ "type": "lead.processed" })),
            ("event", json!(7)),
            ("event", json!(" ")),
            ("recordId", json!(null)),
            ("recordId", json!(5)),
        ] {
            let ada = pressed(&world, &app).await;
            let callback = Callback::new(&ada.record_id, "qualified").field(name, value.clone());
            world.tell(callback, 200).await;
            assert_eq!(app.lead_says(&ada, "result").await, "qualified", "{name}: {value}");
        }
        world.pass_slowly(MINUTE, 1).await;
    }
}

scenario! {
    async fn a_number_with_a_point_is_the_id_that_it_was(setup: Setup) {
        let (world, app) = setup.alc(|alc| alc.numeric_ids = true).connected().await;
        let ada = pressed(&world, &app).await;
        let first: f64 = world.alc.leads_of(&ada.record_id)[0].id.parse().expect("a number");
        world.call_back(&ada, "unreachable").await;
        app.press(&ada).await.expect(201);
        world.tell(Callback::new(&ada.record_id, "qualified").field("lead_id", json!(first)), 200).await;
        assert_eq!(app.lead_says(&ada, "status").await, "pending", "it was the first send's");
        let second: f64 = world.alc.leads_of(&ada.record_id)[1].id.parse().expect("a number");
        world.tell(Callback::new(&ada.record_id, "qualified").field("lead_id", json!(second)), 200).await;
        assert_eq!(app.lead_says(&ada, "result").await, "qualified");
    }
}
