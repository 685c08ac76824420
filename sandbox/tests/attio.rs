//! The pretend Attio answers in the shapes of Attio's own documents (tests/attio).

use std::{ops::Deref, time::Duration};

use jiff::Timestamp;
use reqwest::Method;
use sandbox::{Attio, ambient::http_client};
use serde_json::{Value, json};

#[path = "../../tests/support/attio_shapes.rs"]
#[expect(dead_code, reason = "the black-box tests judge requests too; here some are wrong on purpose")]
mod attio_shapes;

/// A pretend Attio whose answers are judged at the end.
struct Judged(Attio);

impl Judged {
    async fn start() -> Self {
        Self(Attio::start().await.expect("a pretend Attio"))
    }
}

impl Deref for Judged {
    type Target = Attio;

    fn deref(&self) -> &Attio {
        &self.0
    }
}

impl Drop for Judged {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let faults = attio_shapes::answer_faults(self);
            assert!(faults.is_empty(), "not as Attio has it (tests/attio):\n{}", faults.join("\n"));
        }
    }
}

async fn call(attio: &Attio, method: Method, path: &str, body: Value) -> (u16, Value) {
    let request = http_client(Duration::from_secs(5))
        .request(method, format!("{}/v2/{path}", attio.url()))
        .bearer_auth(attio.api_key())
        .json(&body);
    let answer = request.send().await.expect("an answer");
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

async fn patch(attio: &Attio, record_id: &str, values: Value) -> (u16, Value) {
    call(attio, Method::PATCH, &format!("objects/people/records/{record_id}"), json!({ "data": { "values": values } }))
        .await
}

#[tokio::test]
async fn self_tells_active_tokens_from_others_with_200() {
    let attio = Judged::start().await;
    let (status, body) = call(&attio, Method::GET, "self", Value::Null).await;
    assert_eq!((status, &body["workspace_id"]), (200, &json!(attio.workspace_id())));
    attio.revoke_token(&attio.api_key());
    assert_eq!(call(&attio, Method::GET, "self", Value::Null).await, (200, json!({ "active": false })));
    assert_eq!(call(&attio, Method::GET, "webhooks", Value::Null).await.0, 401);
}

#[tokio::test]
async fn values_take_the_forms_of_the_real_one_and_keep_their_history() {
    let attio = Judged::start().await;
    let id = attio.add_person("Ada Lovelace", "+4915112345678");
    let (status, body) = patch(&attio, &id, json!({ "alc_status": ["Pending"], "alc_lead_id": ["l1"] })).await;
    assert_eq!(status, 200);
    let value = &body["data"]["values"]["alc_status"][0];
    assert_eq!((&value["option"]["title"], &value["attribute_type"]), (&json!("Pending"), &json!("select")));
    assert_eq!(body["data"]["values"]["alc_lead_id"][0]["value"], "l1");
    assert_eq!(body["data"]["values"]["name"][0]["full_name"], "Ada Lovelace");
    patch(&attio, &id, json!({ "alc_status": ["Pending"] })).await;
    patch(&attio, &id, json!({ "alc_status": [{ "option": "Complete" }], "alc_result": [{ "value": "ok" }] })).await;
    assert_eq!(attio.history(&id), ["Pending", "Complete"]);
    assert_eq!(attio.value(&id, "alc_lead_id").as_deref(), Some("l1"));
    attio.wait_for_status(&id, "Complete").await;
}

#[tokio::test]
async fn a_patch_is_refused_whole_in_attios_words() {
    let attio = Judged::start().await;
    let id = attio.add_person("Ada", "+4915112345678");
    let refused = patch(&attio, &id, json!({ "alc_lead_id": ["l1"], "alc_status": ["Nonsense"] })).await;
    let expected = json!({
        "status_code": 400, "type": "invalid_request_error", "code": "value_not_found",
        "message": "Cannot find select attribute with select option title \"Nonsense\".",
    });
    assert_eq!(refused, (400, expected));
    assert_eq!(attio.value(&id, "alc_lead_id"), None);
    assert_eq!(patch(&attio, &id, json!({ "nonsense": ["x"] })).await.1["code"], "value_not_found");
    assert_eq!(patch(&attio, &id, json!({ "alc_result": "x" })).await.1["code"], "validation_type");
    let unknown = patch(&attio, "891dcbfc-9141-415d-9b2a-2238a6cc012d", json!({})).await;
    assert_eq!((unknown.0, &unknown.1["code"]), (404, &json!("not_found")));
    assert_eq!(call(&attio, Method::GET, "objects/cars/records/x", Value::Null).await.0, 404);
}

#[tokio::test]
async fn attributes_and_options_are_made_once() {
    let attio = Judged::start().await;
    attio.remove_alc_attributes();
    let path = "objects/people/attributes";
    let whole = json!({ "data": {
        "title": "ALC status", "description": null, "api_slug": "alc_status", "type": "select",
        "is_required": false, "is_unique": false, "is_multiselect": false, "config": {},
    } });
    assert_eq!(call(&attio, Method::POST, path, whole.clone()).await.0, 200);
    let again = call(&attio, Method::POST, path, whole).await;
    assert_eq!((again.0, &again.1["code"]), (409, &json!("slug_conflict")));
    assert_eq!(call(&attio, Method::POST, path, json!({ "data": { "title": "x" } })).await.0, 400);
    let options = "objects/people/attributes/alc_status/options";
    let option = json!({ "data": { "title": "Pending" } });
    assert_eq!(call(&attio, Method::POST, options, option.clone()).await.0, 200);
    assert_eq!(call(&attio, Method::POST, options, option).await.1["code"], "slug_conflict");
    attio.set_attribute("alc_status", "select", |attribute| attribute.is_archived = true);
    let list = |query: &'static str| {
        let attio = &attio;
        async move { call(attio, Method::GET, &format!("{path}{query}"), Value::Null).await.1["data"].clone() }
    };
    assert_eq!(list("").await.as_array().unwrap().len(), 3);
    assert_eq!(list("?show_archived=true").await.as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn beyond_the_limit_comes_a_429_that_names_the_next_second_as_a_date() {
    let attio = Judged::start().await;
    let id = attio.add_person("Ada", "+4915112345678");
    attio.configure(|settings| settings.writes_per_second = Some(2));
    let at: Timestamp = "2026-01-02T03:04:05.5Z".parse().unwrap();
    attio.set_time(Some(at));
    for _ in 0..2 {
        assert_eq!(patch(&attio, &id, json!({ "alc_status": ["Pending"] })).await.0, 200);
    }
    let refused = http_client(Duration::from_secs(5))
        .patch(format!("{}/v2/objects/people/records/{id}", attio.url()))
        .bearer_auth(attio.api_key())
        .json(&json!({ "data": { "values": {} } }))
        .send()
        .await
        .unwrap();
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()["date"], "Fri, 02 Jan 2026 03:04:05 GMT");
    assert_eq!(refused.headers()["retry-after"], "Fri, 02 Jan 2026 03:04:06 GMT");
    assert_eq!(refused.json::<Value>().await.unwrap()["code"], "rate_limit_exceeded");
    let next: Timestamp = "2026-01-02T03:04:06Z".parse().unwrap();
    attio.time().follow(move || next);
    assert_eq!(patch(&attio, &id, json!({ "alc_status": ["Complete"] })).await.0, 200);
}

#[tokio::test]
async fn webhooks_want_https_and_show_their_secret_once() {
    let attio = Judged::start().await;
    let body = |url: &str| json!({ "data": { "target_url": url, "subscriptions": [{ "event_type": "record.merged", "filter": null }] } });
    assert_eq!(call(&attio, Method::POST, "webhooks", body("http://example.com/x")).await.1["code"], "validation_type");
    let (status, made) = call(&attio, Method::POST, "webhooks", body("https://example.com/x")).await;
    assert_eq!((status, made["data"]["secret"].as_str()), (200, Some(attio.webhooks()[0].secret.as_str())));
    let path = format!("webhooks/{}", made["data"]["id"]["webhook_id"].as_str().unwrap());
    assert!(call(&attio, Method::GET, &path, Value::Null).await.1["data"].get("secret").is_none());
    assert_eq!(call(&attio, Method::DELETE, &path, Value::Null).await.0, 200);
    assert_eq!(call(&attio, Method::DELETE, &path, Value::Null).await.0, 404);
}

#[tokio::test]
async fn a_grant_is_had_by_code_and_revoked() {
    let attio = Judged::start().await;
    let client = http_client(Duration::from_secs(5));
    let redirect = "http://127.0.0.1:9/oauth/callback/attio";
    let query = format!("client_id=attio-client&response_type=code&redirect_uri={redirect}&state=s");
    let answer = client.get(format!("{}/authorize?{query}", attio.url())).send().await.unwrap();
    let location = url::Url::parse(answer.headers()["location"].to_str().unwrap()).unwrap();
    let code = location.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    let form = [
        ("client_id", "attio-client"),
        ("client_secret", "attio-client-secret"),
        ("grant_type", "authorization_code"),
        ("code", &code),
    ];
    let exchange = || client.post(format!("{}/oauth/token", attio.url())).form(&form).send();
    let tokens: Value = exchange().await.unwrap().json().await.unwrap();
    assert_eq!(exchange().await.unwrap().status(), 400);
    let token = tokens["access_token"].as_str().unwrap();
    let who = || client.get(format!("{}/v2/self", attio.url())).bearer_auth(token).send();
    assert_eq!(who().await.unwrap().json::<Value>().await.unwrap()["active"], true);
    let revoke = client.post(format!("{}/oauth/revoke", attio.url())).form(&[("token", token)]);
    assert_eq!(revoke.send().await.unwrap().status(), 204);
    assert_eq!(who().await.unwrap().json::<Value>().await.unwrap()["active"], false);
}

#[tokio::test]
async fn an_entry_is_asserted_by_its_record_and_refused_for_a_stage_that_is_not_there() {
    let attio = Judged::start().await;
    let ada = attio.add_person("Ada Lovelace", "+4915112345678");
    let list = attio.add_list("pipeline", &["Qualified", "Lost"]);
    let body = |stage: &str| json!({ "data": { "parent_record_id": ada, "parent_object": "people", "entry_values": { "stage": [stage] } } });
    let path = "lists/pipeline/entries";
    let (status, made) = call(&attio, Method::PUT, path, body("Qualified")).await;
    assert_eq!((status, &made["data"]["id"]["list_id"]), (200, &json!(list)));
    let (_, again) = call(&attio, Method::PUT, path, body("Lost")).await;
    assert_eq!(again["data"]["id"], made["data"]["id"]);
    assert_eq!(attio.entry_value("pipeline", &ada, "stage").as_deref(), Some("Lost"));
    assert_eq!(call(&attio, Method::PUT, path, body("Nonsense")).await.1["code"], "value_not_found");
    assert_eq!(call(&attio, Method::POST, path, body("Lost")).await.0, 200);
    assert_eq!(call(&attio, Method::PUT, path, body("Lost")).await.1["code"], "multiple_match_results");
    let entries = format!("objects/people/records/{ada}/entries");
    assert_eq!(call(&attio, Method::GET, &entries, Value::Null).await.1["data"].as_array().unwrap().len(), 2);
    let statuses = call(&attio, Method::GET, "lists/pipeline/attributes/stage/statuses", Value::Null).await.1;
    assert_eq!(statuses["data"][1]["title"], "Lost");
    assert_eq!(call(&attio, Method::GET, "lists/pipeline/attributes/stage/options", Value::Null).await.0, 400);
    for (path, status) in
        [("lists/pipeline", 200), ("lists", 200), ("lists/pipeline/attributes", 200), ("lists/x", 404)]
    {
        assert_eq!(call(&attio, Method::GET, path, Value::Null).await.0, status, "{path}");
    }
}

#[tokio::test]
async fn equal_notes_are_two_and_are_paged_newest_first() {
    let attio = Judged::start().await;
    let ada = attio.add_person("Ada Lovelace", "+4915112345678");
    let note = |content: &str| {
        json!({ "data": {
            "parent_object": "people", "parent_record_id": ada, "title": "t", "format": "markdown", "content": content,
        } })
    };
    for content in ["# One", "# One", "two"] {
        assert_eq!(call(&attio, Method::POST, "notes", note(content)).await.0, 200);
    }
    assert_eq!(attio.notes(&ada).len(), 3);
    let path = |more: &str| format!("notes?parent_object=people&parent_record_id={ada}{more}");
    let page = call(&attio, Method::GET, &path("&limit=1&offset=1"), Value::Null).await.1;
    assert_eq!((page["data"].as_array().unwrap().len(), &page["data"][0]["content_plaintext"]), (1, &json!("One")));
    let id = page["data"][0]["id"]["note_id"].as_str().unwrap().to_owned();
    assert_eq!(call(&attio, Method::GET, &format!("notes/{id}"), Value::Null).await.0, 200);
    assert_eq!(call(&attio, Method::DELETE, &format!("notes/{id}"), Value::Null).await.0, 200);
    assert_eq!(call(&attio, Method::GET, &format!("notes/{id}"), Value::Null).await.0, 404);
    assert_eq!(call(&attio, Method::GET, &path("&limit=51"), Value::Null).await.0, 400);
}

#[tokio::test]
async fn people_are_found_by_filter_and_asserted_by_their_address() {
    let attio = Judged::start().await;
    let ids: Vec<_> = (0..3).map(|n| attio.add_person(&format!("P {n}"), "+4915112345678")).collect();
    attio.edit(&ids[0], "alc_status", "Pending");
    attio.edit(&ids[1], "alc_status", "Complete");
    let query = |filter: Value| {
        let attio = &attio;
        async move {
            let body = json!({ "filter": filter, "sorts": [{ "direction": "asc", "attribute": "created_at" }] });
            call(attio, Method::POST, "objects/people/records/query", body).await
        }
    };
    let count = |answer: (u16, Value)| answer.1["data"].as_array().map(Vec::len);
    assert_eq!(count(query(json!({ "alc_status": "Pending" })).await), Some(1));
    let either = json!({ "$or": [{ "alc_status": "Pending" }, { "alc_status": { "option": { "$eq": "Complete" } } }] });
    assert_eq!(count(query(either).await), Some(2));
    assert_eq!(count(query(json!({ "$not": { "alc_status": "Pending" } })).await), Some(2));
    assert_eq!(query(json!({ "nonsense": "x" })).await.1["code"], "filter_error");
    let limited = json!({ "limit": 2, "offset": 2 });
    assert_eq!(count(call(&attio, Method::POST, "objects/people/records/query", limited).await), Some(1));

    let path = "objects/people/records?matching_attribute=email_addresses";
    let body = |address: &str, name: &str| {
        let name = json!({ "first_name": name, "last_name": "L", "full_name": format!("{name} L") });
        json!({ "data": { "values": { "email_addresses": [address], "name": [name] } } })
    };
    let (status, made) = call(&attio, Method::PUT, path, body("Ada@Example.com", "Ada")).await;
    let id = made["data"]["id"]["record_id"].as_str().unwrap().to_owned();
    assert_eq!((status, attio.value(&id, "name").as_deref()), (200, Some("Ada L")));
    let again = call(&attio, Method::PUT, path, body("ada@example.com", "Augusta")).await.1;
    assert_eq!((again["data"]["id"]["record_id"].as_str(), attio.people().len()), (Some(id.as_str()), 4));
    assert_eq!(attio.values(&id, "name"), ["Augusta L"]);
    for wrong in ["objects/people/records?matching_attribute=name", "objects/people/records?matching_attribute=x"] {
        assert_eq!(call(&attio, Method::PUT, wrong, body("a@b.c", "A")).await.0, 400, "{wrong}");
    }
}

#[tokio::test]
async fn a_new_entry_is_told_to_those_that_ask_for_its_list() {
    let attio = Judged::start().await;
    let other = Judged::start().await;
    let (mine, theirs) = (attio.add_list("mine", &["New"]), attio.add_list("theirs", &["New"]));
    for list in [&mine, &theirs] {
        let filter = json!({ "$and": [{ "field": "id.list_id", "operator": "equals", "value": list }] });
        let subscription = json!([{ "event_type": "list-entry.created", "filter": filter }]);
        let url = other.callback_url(if *list == mine { "mine" } else { "theirs" });
        attio.configure(|settings| settings.https_webhooks_only = false);
        let body = json!({ "data": { "target_url": url, "subscriptions": subscription } });
        assert_eq!(call(&attio, Method::POST, "webhooks", body).await.0, 200);
    }
    let ada = attio.add_person("Ada", "+4915112345678");
    assert_eq!(attio.add_entry("mine", &ada).await, [200]);
    assert_eq!((other.told("mine").len(), other.told("theirs").len()), (1, 0));
    let event = &other.told("mine")[0]["events"][0];
    assert_eq!((&event["parent_record_id"], &event["id"]["list_id"]), (&json!(ada), &json!(mine)));
}
