//! `x-problems` and `x-everywhere` of openapi.yaml: what every operation has in common; and that the contract names all
//! that is served, and no more.

use std::collections::BTreeSet;

use alc_connector::http::{self, endpoint::Endpoint, problem::Slug};
use reqwest::Method;
use sandbox::Callback;
use serde_json::{Value, json};

use crate::support::{
    attio_app::{connection_event, lead_body},
    contract::{CONTRACT, Operation},
    harness::{Setup, World, run, scenario},
    http::send,
};

#[test]
fn the_contract_lists_every_slug_as_it_is() {
    let listed: BTreeSet<_> = CONTRACT.document()["x-problems"]
        .as_array()
        .expect("x-problems")
        .iter()
        .map(|problem| (problem["slug"].to_string(), problem["status"].to_string(), problem["title"].to_string()))
        .collect();
    let known = Slug::ALL.iter().map(|slug| {
        (json!(slug.name()).to_string(), json!(slug.status()).to_string(), json!(slug.title()).to_string())
    });
    assert_eq!(listed, known.collect());
    let types = &CONTRACT.document()["components"]["schemas"]["Problem"]["properties"]["type"]["enum"];
    assert_eq!(types.as_array().map(Vec::len), Some(Slug::ALL.len()));
}

#[test]
fn every_problem_of_the_contract_says_what_to_do_and_is_shown() {
    let problems = CONTRACT.document()["x-problems"].as_array().expect("x-problems");
    let shown: Vec<_> = CONTRACT.examples().into_iter().flat_map(|(_, examples)| examples).collect();
    for problem in problems {
        assert!(problem["do"].as_str().is_some_and(|advice| !advice.trim().is_empty()), "{problem}");
        let is_it =
            |example: &&&Value| example["type"] == format!("/problems/{}", problem["slug"].as_str().unwrap_or(""));
        assert_ne!(shown.iter().filter(is_it).count(), 0, "no example: {problem}");
        for example in shown.iter().filter(is_it) {
            assert_eq!((&example["status"], &example["title"]), (&problem["status"], &problem["title"]));
        }
    }
}

#[test]
fn the_contract_and_the_code_have_the_same_operations() {
    let registered = |endpoints: Vec<Endpoint>| {
        let mut operations = BTreeSet::new();
        for endpoint in &endpoints {
            // The contract says once for all that HEAD is answered wherever GET is.
            for method in endpoint.methods().iter().filter(|method| *method != "HEAD") {
                operations.insert(Operation { method: method.to_string(), template: endpoint.path().to_owned() });
            }
        }
        operations
    };
    assert_eq!(registered(http::public_endpoints()), CONTRACT.operations_of("public"));
    assert_eq!(registered(http::management_endpoints()), CONTRACT.operations_of("management"));
}

#[test]
fn every_body_of_the_contract_has_examples_that_follow_its_schema() {
    let examples = CONTRACT.examples();
    assert!(examples.len() > 50, "they are found: {}", examples.len());
    let bare: Vec<_> = examples.iter().filter(|(_, examples)| examples.is_empty()).map(|(body, _)| body).collect();
    assert_eq!(bare, Vec::<&String>::new(), "no example");
    assert_eq!(CONTRACT.bad_examples(), Vec::<String>::new());
}

async fn ask_for_the_operators_pages(world: &World, workspace: &str, record: &str) {
    let management = world.replicas()[0].management;
    let lead = format!("/operate/page/leads/{workspace}/{record}");
    for path in ["/operate", "/operate/page/leads", "/operate/page/dead-letters", &lead] {
        send(world.client.get(format!("http://{management}{path}"))).await.expect(200);
    }
    for path in [
        format!("leads/{workspace}/{record}/retry"),
        "leads/retry".to_owned(),
        "dead-letters/replay".to_owned(),
        "gates/open".to_owned(),
        format!("connections/{workspace}/repair"),
    ] {
        let form = [("workspace_id", workspace), ("these", "")];
        send(world.client.post(format!("http://{management}/operate/page/{path}")).form(&form)).await.expect(303);
    }
}

#[test]
fn every_operation_of_the_contract_is_answered() {
    run(async {
        let (world, app) = Setup::sqlite().connected().await;
        let ada = world.person();
        app.press(&ada).await.expect(201);
        app.lead(&ada).await.expect(200);
        app.leads("").await.expect(200);
        app.connection().await.expect(200);
        let batch = json!({ "leads": [crate::support::attio_app::lead_body(&ada)] });
        send(app.request(Method::POST, "/v1/leads/batch").json(&batch)).await.expect(202);
        let trigger = || app.request(Method::PUT, "/v1/triggers/a");
        send(trigger().json(&json!({ "callback_url": "https://api.attio.com/x" }))).await.expect(201);
        send(app.request(Method::DELETE, "/v1/triggers/a")).await.expect(204);
        // The pretend ALC's own calls are not judged; this one is.
        let url = &world.alc.webhooks()[0].url;
        send(world.client.post(url).body("{}")).await.expect(401);
        send(world.client.get(url)).await.expect(200);
        world.tell(Callback::new(&ada.record_id, "qualified"), 200).await;
        for path in [
            "/openapi.yaml",
            "/healthz",
            "/readyz",
            "/.well-known/oauth-authorization-server",
            "/.well-known/jwks.json",
        ] {
            send(world.client.get(format!("{}{path}", world.url()))).await.expect(200);
        }
        send(world.client.get(format!("{}/oauth/callback/attio", world.url()))).await.expect(400);
        send(world.client.post(format!("{}/webhooks/attio/x.y", world.url())).body("{}")).await.expect(410);
        let management = world.replicas()[0].management;
        for path in ["/healthz", "/readyz", "/version", "/metrics"] {
            send(world.client.get(format!("http://{management}{path}"))).await.expect(200);
        }
        let (record, workspace) = (&ada.record_id, &app.workspace_id);
        for path in ["leads", "dead-letters", "connections", "gates"] {
            send(world.client.get(format!("http://{management}/operate/{path}"))).await.expect(200);
        }
        for path in [format!("leads/{record}"), format!("connections/{workspace}")] {
            send(world.client.get(format!("http://{management}/operate/{path}"))).await.expect(200);
        }
        for path in [
            format!("leads/{record}/retry"),
            "leads/retry".to_owned(),
            "dead-letters/replay".to_owned(),
            format!("connections/{workspace}/repair"),
            "gates".to_owned(),
        ] {
            let all = json!({ "all": true });
            send(world.client.post(format!("http://{management}/operate/{path}")).json(&all)).await.expect(200);
        }
        ask_for_the_operators_pages(&world, workspace, record).await;
        // Without Attio's grants nobody comes here, and its webhook is not registered on a loopback URL.
        send(world.client.get(format!("{}/oauth/callback/attio", world.url()))).await.expect(400);
        send(world.client.post(format!("{}/webhooks/attio/x.y", world.url())).json(&json!({}))).await.expect(410);
        app.connection_removed().await.expect(202);
        app.revoke().await.expect(200);
        assert_eq!(CONTRACT.never_answered(), Vec::new());
    });
}

scenario! {
    async fn without_a_good_token_401_with_a_challenge(setup: Setup) {
        let (world, app) = setup.connected().await;
        let record = world.person().record_id;
        for (method, path) in [
            (Method::GET, "/v1/connection".to_owned()),
            (Method::GET, "/v1/leads".to_owned()),
            (Method::POST, "/v1/leads".to_owned()),
            (Method::GET, format!("/v1/leads/{record}")),
            (Method::POST, "/v1/leads/batch".to_owned()),
            (Method::PUT, "/v1/triggers/a".to_owned()),
            (Method::DELETE, "/v1/triggers/a".to_owned()),
            (Method::POST, "/v1/events/connection-added".to_owned()),
            (Method::POST, "/v1/events/connection-removed".to_owned()),
        ] {
            let url = format!("{}{path}", world.url());
            let bare = || world.client.request(method.clone(), &url).json(&json!({}));
            send(bare()).await.expect_problem(401, "unauthorized");
            send(bare().bearer_auth("nonsense")).await.expect_problem(401, "unauthorized");
            send(bare().basic_auth("a", Some("b"))).await.expect_problem(401, "unauthorized");
            let (head, _) = app.access_token().rsplit_once('.').map(|(head, tail)| (head.to_owned(), tail.len())).expect("a JWT");
            send(bare().bearer_auth(format!("{head}."))).await.expect_problem(401, "unauthorized");
        }
    }
}

scenario! {
    async fn an_unknown_path_404_and_a_wrong_method_405_with_allow(setup: Setup) {
        let (world, app) = setup.connected().await;
        let url = world.url();
        send(world.client.get(format!("{url}/v2/leads"))).await.expect_problem(404, "not-found");
        for (method, path, allowed) in [
            (Method::DELETE, "/v1/leads", vec!["GET", "POST"]),
            (Method::GET, "/v1/events/connection-added", vec!["POST"]),
            (Method::PUT, "/oauth/token", vec!["POST"]),
            (Method::POST, "/oauth/authorize", vec!["GET"]),
            (Method::PUT, "/webhooks/alc/x.y", vec!["GET", "HEAD", "POST"]),
            (Method::GET, "/webhooks/attio/x.y", vec!["POST"]),
            (Method::POST, "/v1/connection", vec!["GET"]),
        ] {
            let answer = send(app.request(method, path)).await.expect_problem(405, "method-not-allowed");
            let allow = answer.header("allow").unwrap_or_default().to_owned();
            assert!(allowed.iter().all(|method| allow.contains(method)), "{path}: {allow}");
        }
    }
}

scenario! {
    async fn a_long_body_413_and_a_strange_one_415(setup: Setup) {
        let (world, app) = setup.connected().await;
        let mut long = lead_body(&world.person());
        long["padding"] = json!("x".repeat(64 * 1024));
        app.press_body(&long).await.expect_problem(413, "payload-too-large");
        let text = app.request(Method::POST, "/v1/leads").header("content-type", "text/plain").body("{}");
        send(text).await.expect_problem(415, "unsupported-media-type");
        let callback = &world.alc.webhooks()[0].url;
        send(world.client.post(callback).body("x".repeat(65 * 1024))).await.expect_problem(413, "payload-too-large");
        let coded = world.client.post(callback).header("content-encoding", "gzip").body("{}");
        send(coded).await.expect_problem(415, "unsupported-media-type");
        let json = app.request(Method::POST, "/v1/leads").header("content-type", "application/json").body("{");
        send(json).await.expect_problem(400, "invalid-request");
    }
}

scenario! {
    async fn every_answer_has_a_request_id_of_its_own(setup: Setup) {
        let (world, app) = setup.connected().await;
        let mut ids = BTreeSet::new();
        for _ in 0..5 {
            let answer = app.lead(&world.person()).await.expect(404);
            let id = answer.header("x-request-id").expect("an id").to_owned();
            assert_eq!(answer.json()["request_id"], id.as_str());
            ids.insert(id);
        }
        assert_eq!(ids.len(), 5);
    }
}

scenario! {
    async fn a_bad_event_is_named(setup: Setup) {
        let (world, app) = setup.connected().await;
        for bad in [
            json!({}),
            json!({ "connection": null }),
            json!({ "connection": { "id": "x" } }),
            json!({ "connection": { "id": "x", "ownedBy": { "type": "workspace" } } }),
        ] {
            let request = app.request(Method::POST, "/v1/events/connection-added").json(&bad);
            send(request).await.expect_problem(400, "invalid-request");
        }
        let good = connection_event("workspace", &world.attio.workspace_id());
        send(app.request(Method::POST, "/v1/events/connection-added").json(&good)).await.expect(200);
    }
}
