//! The judge of Attio's shapes notices what is wrong: else its silence after every scenario would say nothing.

use reqwest::Method;
use sandbox::{Attio, Fault};
use serde_json::{Value, json};

use crate::support::{
    attio_shapes::{delivery_faults, faults},
    harness::run,
    http,
};

async fn ask(attio: &Attio, method: Method, path: &str, body: Value) {
    let request = http::client().request(method, format!("{}/v2/{path}", attio.url())).bearer_auth(attio.api_key());
    let request = if body.is_null() { request } else { request.json(&body) };
    drop(request.send().await.expect("an answer"));
}

/// What is said about one request.
async fn said(method: Method, path: &str, body: Value) -> String {
    let attio = Attio::start().await.expect("a pretend Attio");
    ask(&attio, method, path, body).await;
    faults(&attio).join("\n")
}

fn webhook(url: &str) -> Value {
    json!({ "data": { "target_url": url, "subscriptions": [{ "event_type": "record.merged", "filter": null }] } })
}

#[test]
fn wrong_requests_are_named() {
    run(async {
        let record = format!("objects/people/records/{}", uuid::Uuid::new_v4());
        let values = |values: Value| json!({ "data": { "values": values } });
        assert_eq!(said(Method::PATCH, &record, values(json!({ "alc_status": ["Pending"] }))).await, "");
        assert!(said(Method::PATCH, &record, values(json!({ "alc_status": "Pending" }))).await.contains("array"));
        assert!(said(Method::PATCH, &record, json!({ "values": {} })).await.contains("data"));
        assert!(said(Method::GET, &record, json!({})).await.contains("a body where there is none"));
        assert!(said(Method::GET, "objects/people/attributes?archived=true", Value::Null).await.contains("query"));
        assert!(said(Method::GET, "tasks", Value::Null).await.contains("no operation"));
        let option = "objects/people/attributes/alc_status/options";
        assert!(said(Method::POST, option, json!({ "data": { "title": "" } })).await.contains("shorter"));
        assert!(
            said(Method::POST, "objects/people/attributes", json!({ "data": { "title": "x" } }))
                .await
                .contains("api_slug")
        );
    });
}

#[test]
fn a_webhooks_target_may_be_http_on_loopback_only() {
    run(async {
        assert_eq!(said(Method::POST, "webhooks", webhook("https://example.com/x")).await, "");
        assert_eq!(said(Method::POST, "webhooks", webhook("http://127.0.0.1:8080/x")).await, "");
        assert!(said(Method::POST, "webhooks", webhook("http://example.com/x")).await.contains("target_url"));
    });
}

#[test]
fn an_injected_answer_is_exempt_and_the_request_is_not() {
    run(async {
        let attio = Attio::start().await.expect("a pretend Attio");
        attio.faults().always("self", Fault::Garbage);
        ask(&attio, Method::GET, "self", Value::Null).await;
        assert!(faults(&attio).is_empty());
        ask(&attio, Method::GET, "self", json!({})).await;
        assert_eq!(faults(&attio).len(), 1);
    });
}

#[test]
fn a_delivery_names_its_records_by_id_and_is_signed() {
    let id = || uuid::Uuid::new_v4().to_string();
    let record = json!({ "workspace_id": id(), "object_id": id(), "record_id": id() });
    let mut merged = json!({
        "event_type": "record.merged", "id": record, "actor": { "type": "workspace-member", "id": id() },
        "duplicate_object_id": id(), "duplicate_record_id": id(),
    });
    let deleted = json!({ "event_type": "record.deleted", "id": record, "actor": { "type": "system", "id": null } });
    let headers = json!({ "attio-signature": "0f".repeat(32), "idempotency-key": id() });
    let body = |events: &[&Value]| json!({ "webhook_id": id(), "events": events });
    assert_eq!(delivery_faults(&headers, &body(&[&merged, &deleted])), Vec::<String>::new());
    assert!(!delivery_faults(&json!({ "idempotency-key": id() }), &body(&[&deleted])).is_empty());
    merged["duplicate_record_id"] = Value::Null;
    assert!(!delivery_faults(&headers, &body(&[&merged])).is_empty());
    assert!(!delivery_faults(&headers, &body(&[])).is_empty());
}
