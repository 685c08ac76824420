//! Each fault does what it says, as a client sees it.

use std::time::Duration;

use sandbox::{Alc, Fault, Rule, Stage, ambient::http_client};
use serde_json::{Value, json};

async fn send(alc: &Alc, token: &str, record: &str) -> Result<reqwest::Response, reqwest::Error> {
    http_client(Duration::from_secs(2))
        .post(format!("{}/api/v1/leads", alc.url()))
        .bearer_auth(token)
        .json(&json!({ "recordId": record, "name": "Ada", "phoneNumber": "+4915112345678" }))
        .send()
        .await
}

async fn with(fault: Fault) -> (Alc, Result<reqwest::Response, reqwest::Error>) {
    let alc = Alc::start().await.expect("a free port");
    alc.faults().next("create_lead", fault);
    let token = alc.issue_access_token();
    let answer = send(&alc, &token, "r1").await;
    (alc, answer)
}

#[tokio::test]
async fn refuse_does_nothing_and_closes() {
    let (alc, answer) = with(Fault::Refuse).await;
    assert!(!answer.unwrap_err().is_timeout());
    assert!(alc.leads().is_empty());
    assert_eq!(alc.journal().count("create_lead"), 1);
}

#[tokio::test]
async fn status_does_nothing_and_answers_as_told() {
    let (alc, answer) = with(Fault::status_with(429, ("retry-after", "7"), json!({ "error": "slow down" }))).await;
    let answer = answer.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["retry-after"].to_str().unwrap()), (429, "7"));
    assert_eq!(answer.json::<Value>().await.unwrap()["error"], "slow down");
    assert!(alc.leads().is_empty());
}

#[tokio::test]
async fn hang_does_nothing_and_says_nothing() {
    let (alc, answer) = with(Fault::Hang).await;
    assert!(answer.unwrap_err().is_timeout());
    assert!(alc.leads().is_empty());
}

#[tokio::test]
async fn done_but_hang_does_it_and_says_nothing() {
    let (alc, answer) = with(Fault::DoneButHang).await;
    assert!(answer.unwrap_err().is_timeout());
    assert_eq!(alc.leads().len(), 1);
}

#[tokio::test]
async fn late_answers_truly_but_late() {
    let (alc, answer) = with(Fault::late(200)).await;
    assert_eq!(answer.unwrap().json::<Value>().await.unwrap()["id"], alc.leads()[0].id);
}

#[tokio::test]
async fn done_but_500_does_it() {
    let (alc, answer) = with(Fault::done_but_500()).await;
    assert_eq!(answer.unwrap().status(), 500);
    assert_eq!(alc.leads().len(), 1);
}

#[tokio::test]
async fn reset_does_it_and_resets() {
    let (alc, answer) = with(Fault::Reset).await;
    let error = format!("{:?}", answer.unwrap_err());
    assert!(error.contains("ConnectionReset"), "{error}");
    assert_eq!(alc.leads().len(), 1);
}

#[tokio::test]
async fn garbage_and_truncated_and_huge_do_it_and_cannot_be_read() {
    for fault in [Fault::Garbage, Fault::Truncated] {
        let (alc, answer) = with(fault).await;
        let answer = answer.unwrap();
        assert!(answer.status().is_success());
        assert!(answer.json::<Value>().await.is_err());
        assert_eq!(alc.leads().len(), 1);
    }
    let (alc, answer) = with(Fault::huge()).await;
    assert_eq!(answer.unwrap().content_length(), Some(64 << 20));
    assert_eq!(alc.leads().len(), 1);
}

#[tokio::test]
async fn rules_are_used_in_order_and_standing_ones_stay_until_cleared() {
    let alc = Alc::start().await.unwrap();
    let token = alc.issue_access_token();
    alc.faults().always("create_lead", Fault::status(503));
    alc.faults().next("create_lead", Fault::status(500));
    alc.faults().next("create_lead", Fault::Pass);
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(send(&alc, &token, "r1").await.unwrap().status().as_u16());
    }
    assert_eq!(seen, [500, 201, 503, 503]);
    alc.faults().clear_all();
    alc.faults().add(Rule {
        operation: "create_lead".to_owned(),
        fault: Fault::status(500),
        times: None,
        contains: Some("r7".to_owned()),
    });
    assert_eq!(send(&alc, &token, "r6").await.unwrap().status(), 201);
    assert_eq!(send(&alc, &token, "r7").await.unwrap().status(), 500);
}

#[tokio::test]
async fn a_hold_stops_before_or_after_the_work() {
    for (stage, done) in [(Stage::Before, 0), (Stage::After, 1)] {
        let alc = Alc::start().await.unwrap();
        let token = alc.issue_access_token();
        let hold = alc.faults().hold("create_lead", stage);
        let release = async {
            hold.reached(1).await;
            let leads = alc.leads().len();
            hold.release();
            leads
        };
        let (answer, leads) = tokio::join!(send(&alc, &token, "r1"), release);
        assert_eq!((answer.unwrap().status().as_u16(), leads), (201, done));
    }
}

#[tokio::test]
async fn a_service_that_is_down_refuses_connections_and_keeps_its_state() {
    let alc = Alc::start().await.unwrap();
    let token = alc.issue_access_token();
    send(&alc, &token, "r1").await.unwrap();
    alc.server().go_down().await;
    assert!(send(&alc, &token, "r2").await.unwrap_err().is_connect());
    alc.server().come_up().await;
    assert_eq!(send(&alc, &token, "r3").await.unwrap().status(), 201);
    assert_eq!(alc.leads().len(), 2);
    alc.stop().await;
    assert!(send(&alc, &token, "r4").await.unwrap_err().is_connect());
}

#[tokio::test]
async fn everything_can_be_switched_over_http() {
    let alc = Alc::start().await.unwrap();
    let token = alc.issue_access_token();
    let client = http_client(Duration::from_secs(5));
    let at = |path: &str| format!("{}/_sandbox/{path}", alc.url());
    let rule = json!({ "operation": "create_lead", "fault": { "kind": "status", "status": 502 }, "times": 1 });
    assert_eq!(client.put(at("faults")).json(&rule).send().await.unwrap().status(), 204);
    let wrong = json!({ "operation": "make_coffee", "fault": { "kind": "hang" } });
    assert_eq!(client.put(at("faults")).json(&wrong).send().await.unwrap().status(), 400);
    assert_eq!(send(&alc, &token, "r1").await.unwrap().status(), 502);
    assert_eq!(send(&alc, &token, "r1").await.unwrap().status(), 201);

    let waited: Value =
        client.get(at("wait?operation=create_lead&count=2")).send().await.unwrap().json().await.unwrap();
    assert_eq!(waited["requests"][0]["status"], 502);
    let state: Value = client.get(at("state")).send().await.unwrap().json().await.unwrap();
    assert_eq!(state["leads"][0]["record_id"], "r1");

    assert_eq!(
        client
            .put(at("faults"))
            .json(&json!({ "operation": "token", "fault": { "kind": "hang" } }))
            .send()
            .await
            .unwrap()
            .status(),
        204
    );
    assert_eq!(client.delete(at("faults")).send().await.unwrap().status(), 204);
    assert!(alc.faults().rules().is_empty());
    let settings = json!({ "idempotency": false });
    assert_eq!(client.patch(at("settings")).json(&settings).send().await.unwrap().status(), 200);
}
