//! ALC's client against an ALC that has everything, one that has only what is known, and worse ones.

use std::{io::Write as _, sync::mpsc, time::Duration};

use mockito::{Matcher, Server, ServerGuard};

use super::*;
use crate::{
    clock::ManualClock,
    upstream::testing::{answering, caller, clock, read_request, server},
};

const NAME: &str = "Jane Doe";
const PHONE: &str = "+15550109999";
const TOKEN: &str = "alc-token";
const CALLBACK: &str = "https://us.example/webhooks/alc/w.s3cret";

fn at(url: &str, clock: &ManualClock) -> Client {
    Client::new(caller(clock), url.parse().expect("a URL"))
}

fn client(server: &ServerGuard) -> Client {
    at(&server.url(), &clock())
}

fn token() -> SecretString {
    SecretString::from(TOKEN)
}

fn record() -> RecordId {
    "bf071e1f-6035-429d-b874-d83ea64ea13b".parse().expect("a UUID")
}

async fn submit(client: &Client, send: SendId) -> Result<AcceptedLead, CallError> {
    let (name, phone_number) = (SecretString::from(NAME), SecretString::from(PHONE));
    let lead = NewLead { record_id: record(), name: &name, phone_number: &phone_number };
    client.submit_lead(&token(), send, lead).await
}

/// What `submit_lead` makes of an answer.
async fn submitted(status: usize, body: &str) -> Result<AcceptedLead, CallError> {
    let mut server = Server::new_async().await;
    let _mock = server.mock("POST", "/api/v1/leads").with_status(status).with_body(body).create_async().await;
    submit(&client(&server), SendId::random()).await
}

fn accepted(id: Option<&str>) -> Result<AcceptedLead, CallError> {
    Ok(AcceptedLead { id: id.map(ToOwned::to_owned) })
}

#[tokio::test]
async fn a_lead_goes_out_in_the_known_shape_under_its_send() {
    let send = SendId::random();
    let mut server = Server::new_async().await;
    let body = json!({ "recordId": record(), "name": NAME, "phoneNumber": PHONE });
    let mock = server.mock("POST", "/api/v1/leads").match_header("authorization", "Bearer alc-token");
    let mock = mock.match_header("idempotency-key", send.to_string().as_str()).match_body(Matcher::Json(body));
    let mock = mock.with_status(201).with_body(r#"{"id": "L-1"}"#).expect(2).create_async().await;
    assert_eq!(submit(&client(&server), send).await, accepted(Some("L-1")));
    assert_eq!(submit(&client(&server), send).await, accepted(Some("L-1")));
    mock.assert_async().await;
}

/// ALC may have read the first copy, on a pooled connection that it closed, and taken the lead.
#[tokio::test]
async fn no_refusal_of_a_second_copy_is_certain() {
    for status in ["409 Conflict", "422 Unprocessable Entity", "429 Too Many Requests", "401 Unauthorized"] {
        let (seen, requests) = mpsc::channel();
        let mut count = 0;
        let url = server(move |mut stream| {
            while !read_request(&mut stream).is_empty() {
                count += 1;
                seen.send(()).expect("the test listens");
                match count {
                    1 => stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}").expect("it listens"),
                    2 => return,
                    _ => {
                        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\n{{}}");
                        stream.write_all(answer.as_bytes()).expect("it listens");
                    }
                }
            }
        });
        let client = at(url.as_str(), &clock());
        assert_eq!(submit(&client, SendId::random()).await, accepted(None));
        // The connection goes back into the pool behind our back.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let answer = submit(&client, SendId::random()).await;
        assert!(matches!(answer, Err(CallError::Unknown { .. })), "{status}: {answer:?}");
        assert_eq!(requests.try_iter().count(), 3, "{status}: it was sent twice");
    }
}

#[tokio::test]
async fn a_success_is_a_success_with_or_without_a_usable_id() {
    assert_eq!(submitted(200, r#"{"id": 42, "more": []}"#).await, accepted(Some("42")));
    assert_eq!(submitted(202, r#"{"lead_id": "L-2"}"#).await, accepted(Some("L-2")));
    for body in ["", " \n", "{}", "[]", "null", "true", r#"{"id": ""}"#, r#"{"id": 1.5}"#] {
        assert_eq!(submitted(201, body).await, accepted(None), "{body}");
    }
    assert_eq!(submitted(204, "").await, accepted(None));
    let long = format!(r#"{{"id": "{}"}}"#, "x".repeat(201));
    assert_eq!(submitted(201, &long).await, accepted(None));
}

#[tokio::test]
async fn an_id_is_found_whatever_stands_around_or_beside_it() {
    let long = "x".repeat(300_000);
    for body in [
        "\u{feff}{\"id\": \"L-1\"}",
        r#"{"id": "L-1", "score": NaN}"#,
        r#"{"id": "L-1", "at": undefined,}"#,
        "{'id': 'L-1'}",
        "// made\n{id: \"L-1\"}",
        ")]}',\n{\"id\": \"L-1\"}",
        "callback({\"id\": \"L-1\"});",
        "<br />\n<b>Notice</b>: it's odd<br />\n{\"id\": \"L-1\"}",
        r#"{"id": "L-1", "note": "\ud83d"}"#,
        r#"{"id": "L-1", "more": [1, 2"#,
        r#"{"lead": {"id": "L-1"}, "meta": {"id": "M-1"}}"#,
        r#""{\"id\": \"L-1\"}""#,
        &format!(r#"{{"id": "L-1", "echo": "{long}"}}"#),
        &format!(r#"{{"echo": "{long}", "id": "L-1"}}"#),
        &format!(r#"{{"id": "L-1", "echo": "{}"}}"#, long.repeat(4)),
    ] {
        assert_eq!(submitted(201, body).await, accepted(Some("L-1")), "{body:.60}");
    }
    let utf_16: Vec<u8> = "{\"id\": \"L-1\"}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let latin_1 = b"{\"name\": \"Zo\xeb\", \"id\": \"L-1\"}".to_vec();
    for (headers, body) in [
        ("", utf_16),
        ("", latin_1),
        ("content-length: 99\r\n", b"{\"id\": \"L-1\"}".to_vec()),
        ("transfer-encoding: chunked\r\n", b"d\r\n{\"id\": \"L-1\"}\r\n".to_vec()),
        ("content-encoding: gzip\r\n", b"{\"id\": \"L-1\"}".to_vec()),
        ("content-encoding: br\r\n", b"\x0b\x06\x80{\"id\": \"L-1\"}\x03".to_vec()),
        ("Bad Header: x\r\n", b"{\"id\": \"L-1\"}".to_vec()),
    ] {
        let url = answering([format!("HTTP/1.1 201 Created\r\n{headers}\r\n").as_bytes(), &body].concat());
        assert_eq!(submit(&at(url.as_str(), &clock()), SendId::random()).await, accepted(Some("L-1")), "{headers}");
    }
}

#[tokio::test]
async fn a_success_that_cannot_be_read_is_a_success() {
    for body in [
        "OK",
        r#"{"id": "L-"#,
        r#"{"id": 12"#,
        "<html>",
        "<!doctype html><script>let s = {\"id\": 7};</script>",
        r#"{"customer": {"id": "C-1"}, oops, "id": "L-1"}"#,
        r#"see: {"customer": {"id": "C-1"}}"#,
        "id=L-1",
    ] {
        assert!(matches!(submitted(200, body).await, Err(CallError::Unreadable { .. })), "{body}");
    }
    for answer in [
        "content-length: 99\r\n\r\n",
        "content-length: 99\r\n\r\n{\"customer\": {\"id\": 1}, ",
        "content-length: 1\r\ncontent-length: 2\r\n\r\n{}",
        "content-encoding: gzip\r\ncontent-length: 4\r\n\r\n\u{1f}abc",
    ] {
        let url = answering(format!("HTTP/1.1 201 Created\r\n{answer}"));
        let result = submit(&at(url.as_str(), &clock()), SendId::random()).await;
        let Err(error @ CallError::Unreadable { .. }) = &result else { panic!("{answer}: {result:?}") };
        assert!(!error.is_ailing(), "{answer}");
    }
}

#[tokio::test]
async fn refusals_of_a_lead_are_told_apart_by_status() {
    for status in [400, 402, 403, 404, 405, 410, 413, 422] {
        let result = submitted(status, r#"{"message": "No."}"#).await;
        let expected = u16::try_from(status).expect("small");
        assert!(matches!(result, Err(CallError::Rejected { status, .. }) if status == expected), "{result:?}");
    }
    assert_eq!(submitted(401, "").await, Err(CallError::Unauthorized));
    assert!(matches!(submitted(429, "").await, Err(CallError::RateLimited { .. })));
    for status in [302, 408, 425, 500, 501, 503] {
        let result = submitted(status, "").await;
        assert!(matches!(result, Err(CallError::Unknown { .. })), "{status}: {result:?}");
    }
    for (body, expected) in [(r#"{"id": "L-1"}"#, Some("L-1")), (r#"{"message": "dup"}"#, None), ("dup", None)] {
        let result = submitted(409, body).await;
        let Err(CallError::Conflict { id, .. }) = result else { panic!("{result:?}") };
        assert_eq!(id.as_deref(), expected, "{body}");
    }
}

#[tokio::test]
async fn no_error_quotes_the_person() {
    let body = format!(r#"{{"message": "{NAME} ({PHONE}, 1 555 010 9999) jane {TOKEN} is not wanted"}}"#);
    for status in [400, 404, 409, 500] {
        let text = format!("{:?}", submitted(status, &body).await);
        for secret in ["Jane", "jane", "Doe", "5550109999", "010 9999", TOKEN] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    let text = format!("{:?}", submitted(422, &body).await);
    assert!(text.contains("is not wanted"), "{text}");
}

#[tokio::test]
async fn leads_are_found_by_record() {
    let mut server = Server::new_async().await;
    let query = Matcher::UrlEncoded("recordId".into(), record().to_string());
    let list = json!({ "leads": [
        { "id": "L-1", "recordId": record(), "status": "done" },
        { "id": "L-2", "recordId": RecordId::random(), "status": "done" },
    ] });
    let mock = server.mock("GET", "/api/v1/leads").match_query(query);
    let mock = mock.match_header("authorization", "Bearer alc-token").with_body(list.to_string());
    let mock = mock.create_async().await;
    let found = client(&server).find_leads(&token(), record()).await;
    assert_eq!(
        found,
        Ok(vec![ListedLead { id: "L-1".to_owned(), status: Some("done".to_owned()), words: Words::default() }])
    );
    mock.assert_async().await;
}

#[tokio::test]
async fn lists_and_webhooks_are_read_as_tolerantly() {
    let lead = format!(r#"{{"id": 17.0, "recordId": "{}", "status": "done", "score": NaN}}"#, record());
    let found = ListedLead { id: "17".to_owned(), status: Some("done".to_owned()), words: Words::default() };
    for body in [
        format!("\u{feff}[{lead}]"),
        format!(r#"{{"data": {{"items": [{lead},]}}}}"#),
        format!("Warning: it's slow\n{{\"leads\": [{lead}]}}"),
        format!(r#"{{"leads": [{{"junk": undefined}}, {lead}, 3]}}"#),
    ] {
        let mut server = Server::new_async().await;
        let mock = server.mock("GET", "/api/v1/leads").match_query(Matcher::Any).with_body(&body);
        let _mock = mock.create_async().await;
        assert_eq!(client(&server).find_leads(&token(), record()).await, Ok(vec![found.clone()]), "{body}");
    }
    // Half a list may lack just the lead that is looked for.
    for body in [format!(r#"{{"leads": [{lead}, {{"id""#), "<html>down</html>".to_owned()] {
        let mut server = Server::new_async().await;
        let mock = server.mock("GET", "/api/v1/leads").match_query(Matcher::Any).with_body(&body).expect(2);
        let mock = mock.create_async().await;
        let client = client(&server);
        for _ in 0..2 {
            let result = client.find_leads(&token(), record()).await;
            assert!(matches!(result, Err(CallError::Unreadable { .. })), "{body}: {result:?}");
        }
        mock.assert_async().await;
    }
    for (body, id, secret) in [
        ("\u{feff}{\"webhook_id\": 7.0, \"secret\": \"whsec_abc\"}", Some("7"), Some("whsec_abc")),
        (r#"{"data": {"webhook": {"id": "w", "signing_secret": "abc", "n": NaN}}}"#, Some("w"), Some("abc")),
        (r#"Notice: x {"webhook_id": "w"}"#, Some("w"), None),
        (r#"{"webhook_id": "w", "secret": 5}"#, Some("w"), Some("5")),
    ] {
        let mut server = Server::new_async().await;
        let _mock = server.mock("POST", "/api/v1/webhooks").with_status(201).with_body(body).create_async().await;
        let made = client(&server).create_webhook(&token(), "n", &SecretString::from(CALLBACK)).await.expect("made");
        assert_eq!((made.id.as_deref(), made.secret.as_ref().map(SecretString::expose_secret)), (id, secret), "{body}");
    }
    for body in ["OK", r#"{"webhook_id": "w", "sec"#, "<html>"] {
        let mut server = Server::new_async().await;
        let _mock = server.mock("POST", "/api/v1/webhooks").with_status(201).with_body(body).create_async().await;
        let made = client(&server).create_webhook(&token(), "n", &SecretString::from(CALLBACK)).await;
        assert!(matches!(made.err(), Some(CallError::Unreadable { .. })), "{body}");
    }
}

#[tokio::test]
async fn a_missing_operation_is_not_asked_for_again_for_a_day_by_any_clone() {
    for (status, body) in [(404, ""), (405, ""), (501, ""), (200, r#"{"hello": "world"}"#)] {
        let mut server = Server::new_async().await;
        let leads = server.mock("GET", "/api/v1/leads").match_query(Matcher::Any).with_status(status).with_body(body);
        let leads = leads.expect(2).create_async().await;
        let webhooks = server.mock("GET", "/api/v1/webhooks").with_status(status).with_body(body);
        let webhooks = webhooks.expect(1).create_async().await;
        let clock = clock();
        let client = at(&server.url(), &clock);
        assert_eq!(client.find_leads(&token(), record()).await, Err(CallError::Unsupported), "{status}");
        clock.advance(Duration::from_secs(24 * 60 * 60 - 1));
        assert_eq!(client.clone().find_leads(&token(), record()).await, Err(CallError::Unsupported));
        assert_eq!(client.list_webhooks(&token()).await, Err(CallError::Unsupported));
        assert_eq!(client.list_webhooks(&token()).await, Err(CallError::Unsupported));
        clock.advance(Duration::from_secs(1));
        assert_eq!(client.find_leads(&token(), record()).await, Err(CallError::Unsupported));
        leads.assert_async().await;
        webhooks.assert_async().await;
    }
}

#[tokio::test]
async fn a_bad_day_of_a_list_is_not_remembered() {
    let mut server = Server::new_async().await;
    for status in [401, 403, 429, 500, 503] {
        let mock = server.mock("GET", "/api/v1/webhooks").with_status(status).expect(1).create_async().await;
        let client = client(&server);
        let failed = client.list_webhooks(&token()).await;
        assert!(!matches!(failed, Ok(_) | Err(CallError::Unsupported)), "{failed:?}");
        mock.assert_async().await;
        mock.remove_async().await;
        let list = r#"[{"webhook_id": 7, "name": "n"}, {"id": "w", "url": "u"}, {"name": "no id"}]"#;
        let mock = server.mock("GET", "/api/v1/webhooks").with_body(list).create_async().await;
        let seven = ListedWebhook { id: "7".to_owned(), name: Some("n".to_owned()), url: None };
        let other = ListedWebhook { id: "w".to_owned(), name: None, url: Some("u".to_owned()) };
        assert_eq!(client.list_webhooks(&token()).await, Ok(vec![seven, other]));
        mock.remove_async().await;
    }
}

#[tokio::test]
async fn one_lead_is_looked_up_by_its_id() {
    let mut server = Server::new_async().await;
    let _found = server.mock("GET", "/api/v1/leads/L%2F1%3F").with_body(r#"{"id": "L/1?", "status": "done"}"#);
    let _found = _found.create_async().await;
    let _gone = server.mock("GET", "/api/v1/leads/gone").with_status(404).create_async().await;
    let _other = server.mock("GET", "/api/v1/leads/mine").with_body(r#"{"id": "theirs"}"#).create_async().await;
    let _bare = server.mock("GET", "/api/v1/leads/17").with_body(r#"{"id": 17}"#).create_async().await;
    let client = client(&server);
    let lead = |id: &str, status: Option<&str>| ListedLead {
        id: id.to_owned(),
        status: status.map(ToOwned::to_owned),
        words: Words::default(),
    };
    assert_eq!(client.get_lead(&token(), "L/1?").await, Ok(lead("L/1?", Some("done"))));
    assert_eq!(client.get_lead(&token(), "17").await, Ok(lead("17", None)));
    assert!(matches!(client.get_lead(&token(), "mine").await, Err(CallError::Unreadable { .. })));
    // A 404 is about that id only: the next one is asked for again.
    assert_eq!(client.get_lead(&token(), "gone").await, Err(CallError::NotFound));
    assert_eq!(client.get_lead(&token(), "..").await, Err(CallError::NotFound));
    assert!(client.get_lead(&token(), "17").await.is_ok());
    let mock = server.mock("GET", "/api/v1/leads/x").with_status(405).expect(1).create_async().await;
    assert_eq!(client.get_lead(&token(), "x").await, Err(CallError::Unsupported));
    assert_eq!(client.get_lead(&token(), "17").await, Err(CallError::Unsupported));
    mock.assert_async().await;
}

#[tokio::test]
async fn a_webhook_is_made_and_its_secret_kept() {
    let mut server = Server::new_async().await;
    let body = json!({ "name": "n", "url": CALLBACK, "event": "lead.processed" });
    for (answer, id, secret) in [
        (r#"{"webhook_id": "w-1", "secret": "whsec_abc"}"#, Some("w-1"), Some("whsec_abc")),
        (r#"{"webhook_id": 7, "secret": ""}"#, Some("7"), None),
        (r#"{"id": "w-2"}"#, Some("w-2"), None),
        ("{}", None, None),
        ("", None, None),
    ] {
        let mock = server.mock("POST", "/api/v1/webhooks").match_header("authorization", "Bearer alc-token");
        let mock = mock.match_body(Matcher::Json(body.clone())).with_status(201).with_body(answer).create_async().await;
        let made = client(&server).create_webhook(&token(), "n", &SecretString::from(CALLBACK)).await;
        let made = made.expect("made");
        assert_eq!(made.id.as_deref(), id, "{answer}");
        assert_eq!(made.secret.as_ref().map(SecretString::expose_secret), secret, "{answer}");
        mock.assert_async().await;
        mock.remove_async().await;
    }
    let quoted = json!({ "message": format!("cannot reach {CALLBACK} at /webhooks/alc/w.s3cret") });
    let _mock = server.mock("POST", "/api/v1/webhooks").with_status(400).with_body(quoted.to_string());
    let _mock = _mock.create_async().await;
    let refused = client(&server).create_webhook(&token(), "n", &SecretString::from(CALLBACK)).await.err();
    assert!(matches!(refused, Some(CallError::Rejected { status: 400, .. })), "{refused:?}");
    assert!(!format!("{refused:?}").contains("s3cret"), "{refused:?}");
}

#[tokio::test]
async fn a_webhook_that_is_gone_is_deleted() {
    for status in [200, 202, 204, 404, 410] {
        let mut server = Server::new_async().await;
        let mock = server.mock("DELETE", "/api/v1/webhooks/w-1").with_status(status).create_async().await;
        assert_eq!(client(&server).delete_webhook(&token(), "w-1").await, Ok(()), "{status}");
        mock.assert_async().await;
    }
    let mut server = Server::new_async().await;
    let _mock = server.mock("DELETE", "/api/v1/webhooks/w-1").with_status(401).create_async().await;
    assert_eq!(client(&server).delete_webhook(&token(), "w-1").await, Err(CallError::Unauthorized));
    // A proxy's login page is answered with 200 too, and ALC was asked nothing.
    let mut server = Server::new_async().await;
    let _mock =
        server.mock("DELETE", "/api/v1/webhooks/w-1").with_body("<!DOCTYPE html><p>Log in").create_async().await;
    let deleted = client(&server).delete_webhook(&token(), "w-1").await;
    assert!(matches!(deleted, Err(CallError::Unknown { .. })), "{deleted:?}");
    // These would name the collection, or its parent.
    for id in ["", ".", ".."] {
        assert_eq!(client(&server).delete_webhook(&token(), id).await, Ok(()), "{id}");
    }
}

#[tokio::test]
async fn the_token_is_in_the_authorization_header_and_nowhere_else() {
    let (seen, requests) = mpsc::channel();
    let url = server(move |mut stream| seen.send(read_request(&mut stream)).expect("the test listens"));
    // A base URL may have a path of its own.
    let client = at(&format!("{url}acme/"), &clock());
    let (token, callback) = (token(), SecretString::from(CALLBACK));
    let _ = submit(&client, SendId::random()).await;
    let _ = client.find_leads(&token, record()).await;
    let _ = client.get_lead(&token, "1").await;
    let _ = client.create_webhook(&token, "n", &callback).await;
    let _ = client.list_webhooks(&token).await;
    let _ = client.delete_webhook(&token, "1").await;
    let requests: Vec<String> = requests.try_iter().collect();
    let lines: Vec<&str> = requests.iter().filter_map(|request| request.lines().next()).collect();
    assert_eq!(
        lines,
        [
            "POST /acme/api/v1/leads HTTP/1.1",
            "GET /acme/api/v1/leads?recordId=bf071e1f-6035-429d-b874-d83ea64ea13b HTTP/1.1",
            "GET /acme/api/v1/leads/1 HTTP/1.1",
            "POST /acme/api/v1/webhooks HTTP/1.1",
            "GET /acme/api/v1/webhooks HTTP/1.1",
            "DELETE /acme/api/v1/webhooks/1 HTTP/1.1",
        ]
    );
    for request in requests {
        assert_eq!(request.matches(TOKEN).count(), 1, "{request}");
        assert!(request.contains("\r\nauthorization: Bearer alc-token\r\n"), "{request}");
        assert!(request.contains("\r\nuser-agent: alc-connector/"), "{request}");
    }
}

#[test]
fn what_was_said_costs_no_result_in_whatever_form_it_is() {
    let id = "bf071e1f-6035-429d-b874-d83ea64ea13b";
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    for (words, summary) in [
        (r#""summary": "short""#, Some("short")),
        (r#""summary": "one", "summary": "two""#, Some("one")),
        (r#""summary": 5, "transcript": {"a": [1, null]}"#, None),
        (&format!(r#""transcript": {deep}, "summary": "short""#), Some("short")),
    ] {
        let body = format!(r#"{{{words}, "record_id": "{id}", "status": "good"}}"#);
        let callback = callback::parse(body.as_bytes()).expect("a callback");
        assert_eq!((callback.status.as_str(), callback.words.summary.as_deref()), ("good", summary), "{words:.60}");
    }
}
