//! Attio's client against answers in the shapes of Attio's OpenAPI document.

use std::time::Duration;

use mockito::{Matcher, Server, ServerGuard};

use super::*;
use crate::{
    clock::later,
    upstream::testing::{NOW, answering, caller, clock},
};

pub(super) const RECORD: &str = "bf071e1f-6035-429d-b874-d83ea64ea13b";
const PERSON: &str = "/v2/objects/people/records/bf071e1f-6035-429d-b874-d83ea64ea13b";

pub(super) fn client(server: &ServerGuard) -> Client {
    at(server.url().parse().expect("a URL"))
}

fn at(url: Url) -> Client {
    Client::new(caller(&clock()), url)
}

pub(super) fn token() -> SecretString {
    SecretString::from("attio-token")
}

pub(super) fn record() -> RecordId {
    RECORD.parse().expect("a UUID")
}

fn values() -> Values {
    let values = json!({ "alc_lead_id": ["L-1"], "alc_status": ["Pending"] });
    values.as_object().expect("an object").clone()
}

/// What `identify` makes of an answer.
async fn identified(status: usize, body: Value) -> Result<Identity, CallError> {
    let mut server = Server::new_async().await;
    let mock = server.mock("GET", "/v2/self").match_header("authorization", "Bearer attio-token");
    let mock = mock.with_status(status).with_body(body.to_string()).create_async().await;
    let identity = client(&server).identify(&token()).await;
    mock.assert_async().await;
    identity
}

#[tokio::test]
async fn a_token_is_identified_by_the_flat_answer() {
    let workspace = "14beef7a-99f7-4534-a87e-70b564330a4c";
    let active = json!({
        "active": true, "scope": "record_permission:read-write webhook:read-write", "client_id": "c",
        "token_type": "Bearer", "exp": null, "iat": 1, "sub": workspace, "workspace_id": workspace,
    });
    let identity = Identity::Active {
        workspace: workspace.parse().expect("a UUID"),
        scopes: vec!["record_permission:read-write".to_owned(), "webhook:read-write".to_owned()],
    };
    assert_eq!(identified(200, active).await, Ok(identity));
    assert_eq!(identified(200, json!({ "active": false })).await, Ok(Identity::Inactive));
    assert_eq!(identified(401, json!({ "code": "unauthorized" })).await, Ok(Identity::Inactive));
    for strange in [json!({}), json!({ "active": true }), json!({ "active": true, "workspace_id": "x" }), json!([])] {
        let identity = identified(200, strange.clone()).await;
        assert!(matches!(identity, Err(CallError::Unreadable { .. })), "{strange}: {identity:?}");
    }
    let forbidden = identified(403, json!({ "code": "billing_error", "message": "Pay." })).await;
    assert_eq!(forbidden, Err(CallError::Forbidden { detail: "Pay.".to_owned() }));
}

#[tokio::test]
async fn a_person_is_patched_with_exactly_these_values() {
    let mut server = Server::new_async().await;
    let body = json!({ "data": { "values": { "alc_lead_id": ["L-1"], "alc_status": ["Pending"] } } });
    let mock = server.mock("PATCH", PERSON).match_header("authorization", "Bearer attio-token");
    let mock = mock.match_header("content-type", "application/json").match_body(Matcher::Json(body));
    let mock = mock.with_body("{}").create_async().await;
    assert_eq!(client(&server).update_person(&token(), record(), &values()).await, Ok(()));
    mock.assert_async().await;
}

#[tokio::test]
async fn a_patch_is_done_once_the_status_says_so() {
    // The body repeats the record and may be huge, or not come at all.
    for body in ["x".repeat(1_000_000), "x".repeat(10)] {
        let url = answering(format!("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n{body}"));
        assert_eq!(at(url).update_person(&token(), record(), &values()).await, Ok(()));
    }
}

#[tokio::test]
async fn refusals_are_named_by_what_to_do() {
    let refused = |status: u16, code: &'static str| async move {
        let mut server = Server::new_async().await;
        let body = json!({ "status_code": status, "type": "t", "code": code, "message": "No attio-token." });
        let mock = server.mock("PATCH", PERSON).with_status(status.into()).with_body(body.to_string());
        let _mock = mock.create_async().await;
        client(&server).update_person(&token(), record(), &values()).await.expect_err("a refusal")
    };
    let detail = "No ….".to_owned();
    for code in ["value_not_found", "merge_in_progress"] {
        let expected = CallError::Rejected { status: 400, code: Some(code.to_owned()), detail: detail.clone() };
        assert_eq!(refused(400, code).await, expected);
    }
    assert_eq!(refused(401, "unauthorized").await, CallError::Unauthorized);
    assert_eq!(refused(403, "quota_exceeded").await, CallError::Forbidden { detail: detail.clone() });
    assert_eq!(refused(404, "not_found").await, CallError::NotFound);
    let code = Some("concurrent_write_conflict".to_owned());
    assert_eq!(refused(409, "concurrent_write_conflict").await, CallError::Conflict { code, id: None, detail });
    assert!(matches!(refused(500, "oops").await, CallError::Unknown { .. }));
}

#[tokio::test]
async fn a_refusal_says_which_attribute_it_is_about() {
    for (body, about) in [
        (json!({ "code": "uniqueness_conflict", "message": "The value of \"alc_lead_id\" is taken." }), true),
        (
            json!({ "code": "validation_type", "message": "No.", "validation_errors": [
            { "code": "not_unique", "path": ["data", "values", "alc_lead_id", 0], "message": "taken" },
        ] }),
            true,
        ),
        (json!({ "message": "Invalid.", "validation_errors": [{ "path": "data.values.alc_lead_id.0" }] }), true),
        (json!({ "message": "x".repeat(2000), "validation_errors": [{ "path": ["alc_lead_id"] }] }), true),
        (json!({ "error": { "message": "(alc_lead_id): must be unique" } }), true),
        (json!({ "message": "alc_lead_id_2 and my_alc_lead_id and alc_lead_ids are odd." }), false),
        (json!({ "message": "No.", "validation_errors": [{ "path": ["data", "values", "alc_result"] }] }), false),
        (json!({ "message": "No.", "validation_errors": "odd" }), false),
        (json!([]), false),
    ] {
        for status in [400, 409, 422] {
            let mut server = Server::new_async().await;
            let mock = server.mock("PATCH", PERSON).with_status(status).with_body(body.to_string());
            let _mock = mock.create_async().await;
            let refused = client(&server).update_person(&token(), record(), &values()).await.expect_err("a refusal");
            assert_eq!(refused.is_about("alc_lead_id"), about, "{status} {body:.200}");
            assert!(!refused.is_about("alc_status"), "{status} {body:.200}");
        }
    }
    assert!(!CallError::Unauthorized.is_about("alc_lead_id"));
}

#[tokio::test]
async fn answers_are_read_whatever_stands_around_or_beside_them() {
    let workspace = "14beef7a-99f7-4534-a87e-70b564330a4c";
    for body in [
        format!("\u{feff}{{\"active\": true, \"workspace_id\": \"{workspace}\", \"exp\": NaN}}"),
        format!(r#"{{"data": {{"active": "true", "workspace_id": " {workspace} ", "scope": 5}}}}"#),
        format!(r#"{{"active": 1, "workspace_id": "{workspace}", "workspace_name": "\ud83d"}}"#),
        format!(")]}}'\n{{\"active\": True, \"workspace_id\": \"{workspace}\"}}"),
    ] {
        let mut server = Server::new_async().await;
        let _mock = server.mock("GET", "/v2/self").with_body(&body).create_async().await;
        let identity = Identity::Active { workspace: workspace.parse().expect("a UUID"), scopes: Vec::new() };
        assert_eq!(client(&server).identify(&token()).await, Ok(identity), "{body}");
    }
    for body in ["{\"active\": \"false\"}", "\u{feff}{'active': 0}", "{\"data\": {\"active\": false}}"] {
        let mut server = Server::new_async().await;
        let _mock = server.mock("GET", "/v2/self").with_body(body).create_async().await;
        assert_eq!(client(&server).identify(&token()).await, Ok(Identity::Inactive), "{body}");
    }
    let webhook = |id: &str| format!(r#"{{"id": {id}, "target_url": "https://us.example/w", "secret": "s3cret"}}"#);
    for (body, id) in [
        (format!("\u{feff}{{\"data\": {}}}", webhook(r#"{"webhook_id": "w-1"}"#)), "w-1"),
        (format!(r#"{{"data": {}, "more": NaN}}"#, webhook("17.0")), "17"),
        (webhook("\"w-1\""), "w-1"),
    ] {
        let mut server = Server::new_async().await;
        let _mock = server.mock("POST", "/v2/webhooks").with_body(&body).create_async().await;
        let (url, told) = (SecretString::from("https://us.example/w"), super::webhooks::Told::default());
        let made = client(&server).create_webhook(&token(), &url, &told).await;
        assert_eq!(made.expect("made").id, id, "{body}");
    }
    for id in ["{\"webhook_id\": \"w-1\"}", "\"w-1\""] {
        let listed = format!(r#"{{"data": [{{"odd": undefined}}, 5, {}]}}"#, webhook(id));
        let mut server = Server::new_async().await;
        let mock = server.mock("GET", "/v2/webhooks").match_query(Matcher::Any).with_body(&listed);
        let _mock = mock.create_async().await;
        let found = client(&server).list_webhooks(&token()).await;
        let webhook =
            super::webhooks::ListedWebhook { id: "w-1".to_owned(), url: Some("https://us.example/w".to_owned()) };
        assert_eq!(found, Ok(vec![webhook]), "{listed}");
    }
    for body in ["OK", r#"{"data": {"id": {"webhook_id": "w-1"}, "secr"#, "{}"] {
        let mut server = Server::new_async().await;
        let _mock = server.mock("POST", "/v2/webhooks").with_body(body).create_async().await;
        let (url, told) = (SecretString::from("https://us.example/w"), super::webhooks::Told::default());
        let made = client(&server).create_webhook(&token(), &url, &told).await;
        assert!(matches!(made, Err(CallError::Unreadable { .. })), "{body}: {made:?}");
    }
}

#[tokio::test]
async fn an_odd_item_hides_no_other() {
    let mut server = Server::new_async().await;
    let attribute = json!({ "api_slug": "alc_status", "type": "select", "is_archived": null, "is_unique": "true", "is_multiselect": 0 });
    let body = json!({ "data": [{ "api_slug": 5 }, "junk", attribute] });
    let _mock = server.mock("GET", "/v2/objects/people/attributes").match_query(Matcher::Any);
    let _mock = _mock.with_body(body.to_string()).create_async().await;
    let found = client(&server).find_attributes(&token(), &["alc_status"]).await.expect("found").attributes;
    assert_eq!(found.len(), 1);
    assert!(found[0].is_unique && !found[0].is_archived && !found[0].is_multiselect);
}

#[tokio::test]
async fn a_rate_limit_ends_at_the_http_date_by_attios_own_clock() {
    let url = answering(
        "HTTP/1.1 429 X\r\ncontent-length: 0\r\ndate: Tue, 22 Sep 2026 10:00:00 GMT\r\n\
         retry-after: Tue, 22 Sep 2026 10:00:03 GMT\r\n\r\n",
    );
    let limited = at(url).update_person(&token(), record(), &values()).await;
    assert_eq!(limited, Err(CallError::RateLimited { until: later(NOW, Duration::from_secs(3)) }));
}

#[tokio::test]
async fn what_a_person_shows_is_read_from_selects_and_texts() {
    let old = json!({ "active_from": "2026-01-01T00:00:00Z", "active_until": "2026-01-02T00:00:00Z", "attribute_type": "text", "value": "old" });
    let option = json!({ "id": { "option_id": RECORD }, "title": "Pending", "is_archived": false });
    let record_now = json!({ "data": { "id": { "record_id": RECORD }, "values": {
        "alc_status": [{ "active_until": null, "attribute_type": "select", "option": option }],
        "alc_result": [old, { "active_until": null, "attribute_type": "text", "value": "now" }],
        "gone": [old],
        "empty": [],
        "checked": [{ "active_until": null, "attribute_type": "checkbox", "value": true }],
    } } });
    let mut server = Server::new_async().await;
    let _mock = server.mock("GET", PERSON).with_body(record_now.to_string()).create_async().await;
    let client = client(&server);
    for (slug, shown) in [
        ("alc_status", Some("Pending")),
        ("alc_result", Some("now")),
        ("gone", None),
        ("empty", None),
        ("checked", None),
        ("no_such_slug", None),
    ] {
        let read = client.read_person(&token(), record(), slug).await;
        assert_eq!(read, Ok(shown.map(ToOwned::to_owned)), "{slug}");
    }
}

#[tokio::test]
async fn a_record_with_a_megabyte_of_text_is_read_and_no_record_is_unreadable() {
    let text = "x".repeat(1_000_000);
    let body = json!({ "data": { "values": { "alc_status": [{ "active_until": null, "value": "Pending" }], "notes": [{ "value": text }] } } });
    let mut server = Server::new_async().await;
    let mock = server.mock("GET", PERSON).with_body(body.to_string()).create_async().await;
    let shown = client(&server).read_person(&token(), record(), "alc_status").await;
    assert_eq!(shown, Ok(Some("Pending".to_owned())));
    mock.remove_async().await;
    let _mock = server.mock("GET", PERSON).with_body("{}").create_async().await;
    let shown = client(&server).read_person(&token(), record(), "alc_status").await;
    assert!(matches!(shown, Err(CallError::Unreadable { .. })), "{shown:?}");
}

#[tokio::test]
async fn people_are_picked_by_attio_and_paged() {
    let mut server = Server::new_async().await;
    let body = json!({
        "filter": { "$or": [{ "alc_status": "Pending" }, { "alc_status": "Complete" }] },
        "sorts": [{ "attribute": "created_at", "direction": "asc" }], "limit": 500, "offset": 1000,
    });
    let person = |status: Value| {
        json!({
            "id": { "workspace_id": "w", "object_id": "o", "record_id": RECORD },
            "values": { "name": [{ "value": "Ada" }], "alc_status": status },
        })
    };
    let old = json!({ "active_until": "2026-01-01T00:00:00Z", "option": { "title": "Failed" } });
    let page = json!({ "data": [
        person(json!([old, { "active_until": null, "option": { "title": "Pending" } }])),
        person(json!([{ "active_until": null, "value": "Complete" }])),
        person(json!([])),
        { "id": { "record_id": "no id" }, "values": {} },
    ]});
    let mock = server.mock("POST", "/v2/objects/people/records/query").match_body(Matcher::Json(body));
    let mock = mock.match_header("authorization", "Bearer attio-token").with_body(page.to_string());
    let mock = mock.create_async().await;
    let part = query::Part { offset: 1000, limit: 500 };
    let asked = |client: Client| async move {
        client.people_showing(&token(), "alc_status", &["Pending", "Complete"], part).await
    };
    let listed = |status: Option<&str>| query::ListedPerson { record: record(), status: status.map(str::to_owned) };
    let people = vec![listed(Some("Pending")), listed(Some("Complete")), listed(None)];
    assert_eq!(asked(client(&server)).await, Ok(query::PeoplePage { people, count: 4 }));
    mock.assert_async().await;

    let (status, body) = (400, json!({ "status_code": 400, "code": "filter_error", "message": "Error in filter." }));
    server
        .mock("POST", "/v2/objects/people/records/query")
        .with_status(status)
        .with_body(body.to_string())
        .create_async()
        .await;
    let refused = asked(client(&server)).await;
    assert!(matches!(refused, Err(CallError::Rejected { status: 400, .. })), "{refused:?}");
    for strange in ["", "[]", "{\"data\": {}}", "{\"data\": [{\"id\""] {
        server.mock("POST", "/v2/objects/people/records/query").with_body(strange).create_async().await;
        let answer = asked(client(&server)).await;
        assert!(matches!(answer, Err(CallError::Unreadable { .. })), "{strange}: {answer:?}");
    }
}

const EMAIL: &str = "ada@example.com";

fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}

#[tokio::test]
async fn a_person_is_looked_for_by_their_address() {
    let person = |name: Value| json!({ "id": { "record_id": RECORD }, "values": { "name": name } });
    let named = json!([{ "active_until": null, "full_name": "Ada", "first_name": "Ada", "last_name": "" }]);
    for (data, expected) in
        [(json!([]), None), (json!([person(json!([]))]), Some(false)), (json!([person(named)]), Some(true))]
    {
        let mut server = Server::new_async().await;
        let mock = server
            .mock("POST", "/v2/objects/people/records/query")
            .match_body(Matcher::Json(json!({ "filter": { "email_addresses": EMAIL }, "limit": 1 })));
        let mock = mock.with_body(json!({ "data": data }).to_string()).create_async().await;
        let found = client(&server).find_by_email(&token(), &secret(EMAIL)).await.expect("an answer");
        assert_eq!(found, expected.map(|has_name| prospects::Found { record: record(), has_name }));
        mock.assert_async().await;
    }
}

#[tokio::test]
async fn a_person_is_asserted_as_attios_document_has_it() {
    let name =
        |full: &str, first: &str, last: &str| json!([{ "full_name": full, "first_name": first, "last_name": last }]);
    for (told, expected) in [
        (Some("Ada King Lovelace"), Some(name("Ada King Lovelace", "Ada", "King Lovelace"))),
        (Some("Ada"), Some(name("Ada", "Ada", ""))),
        (None, None),
    ] {
        let mut values = json!({ "email_addresses": [EMAIL] });
        if let Some(name) = expected {
            values["name"] = name;
        }
        let mut server = Server::new_async().await;
        let mock = server
            .mock("PUT", "/v2/objects/people/records?matching_attribute=email_addresses")
            .match_body(Matcher::Json(json!({ "data": { "values": values } })))
            .with_body(json!({ "data": { "id": { "record_id": RECORD }, "values": {} } }).to_string());
        let mock = mock.create_async().await;
        let made = client(&server).assert_person(&token(), &secret(EMAIL), told.map(secret).as_ref()).await;
        assert_eq!(made, Ok(record()));
        mock.assert_async().await;
    }
}

#[tokio::test]
async fn what_attio_refuses_of_a_person_quotes_nobody() {
    let mut server = Server::new_async().await;
    let message = format!("\"{EMAIL}\" of Ada Lovelace is no good");
    let body = json!({ "status_code": 400, "code": "validation_type", "message": message }).to_string();
    server.mock("PUT", Matcher::Any).with_status(400).with_body(body).create_async().await;
    let refused = client(&server).assert_person(&token(), &secret(EMAIL), Some(&secret("Ada Lovelace"))).await;
    let said = refused.expect_err("refused").to_string();
    assert!(!said.contains("ada@") && !said.contains("Lovelace"), "{said}");
}
