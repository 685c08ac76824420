//! Many leads are tried now, by one command or by a page's button, once the upstream that they failed at is back.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    attio_app::AttioApp,
    harness::{HOUR, MINUTE, Person, Setup, World, run, scenario},
    http::{Answer, send},
    process, secrets,
};

async fn get(world: &World, path: &str) -> Answer {
    let url = format!("http://{}{path}", world.replicas()[0].management);
    let answer = send(world.client.request(Method::GET, url)).await.expect(200);
    secrets::hear(answer.body.as_bytes());
    answer
}

async fn post(world: &World, path: &str, body: &Value) -> Answer {
    send(world.client.post(format!("http://{}{path}", world.replicas()[0].management)).json(body)).await
}

/// People whose leads wait long for their next try at an ALC that is there again, before open gates.
async fn failing(world: &World, app: &AttioApp, count: usize) -> Vec<Person> {
    let mut people: Vec<_> = (0..count).map(|_| world.person()).collect();
    world.alc.server().go_down().await;
    for person in &people {
        world.while_time_passes(app.press(person)).await.expect(202);
    }
    let all_wait = async || {
        let page = get(world, "/operate/leads?failing=true&status=queued").await.json();
        let leads = page["leads"].as_array().expect("leads").clone();
        let far = |lead: &Value| {
            let due = lead["due"].as_str().and_then(|due| due.parse::<jiff::Timestamp>().ok());
            due.is_some_and(|due| due.as_second() - world.now().as_second() > 15 * 60)
        };
        leads.len() == count && leads.iter().all(far)
    };
    world.pass_until("all wait long for ALC", MINUTE * 5, HOUR * 12, all_wait).await;
    world.alc.server().come_up().await;
    // The first calls may meet a connection that ALC's end has cut: such a lead waits like the others.
    loop {
        post(world, "/operate/gates", &json!({ "all": true })).await.expect(200);
        let person = world.person();
        if world.while_time_passes(app.press(&person)).await.status == 201 {
            break;
        }
        people.push(person);
    }
    world.pass_slowly(std::time::Duration::from_secs(1), 8).await;
    people
}

fn tried(answer: &Value) -> Vec<(String, usize)> {
    let of = |lead: &Value| {
        let tried = lead["tried"].as_array().expect("a list").len();
        (lead["record_id"].as_str().expect("an id").to_owned(), tried)
    };
    answer["retried"].as_array().expect("a list").iter().map(of).collect()
}

scenario! {
    async fn all_that_fail_are_tried_now_page_by_page_once(setup: Setup) {
        let (world, app) = setup.impatient().with("RETRY__SCHEDULE", "1h,2h").connected().await;
        let people = failing(&world, &app, 5).await;
        for person in &people {
            assert_eq!(app.lead_says(person, "status").await, "queued", "opening the gates alone hurries no next try");
        }
        let unnamed = post(&world, "/operate/leads/retry", &json!({ "failing": false })).await;
        unnamed.expect_problem(400, "invalid-request");
        post(&world, "/operate/leads/retry", &json!({ "status": "odd" })).await.expect_problem(400, "invalid-request");
        let nobody = json!({ "failing": true, "workspace_id": uuid::Uuid::new_v4(), "by": "ada" });
        let none = post(&world, "/operate/leads/retry", &nobody).await.expect(200).json();
        assert_eq!(tried(&none), []);
        let (mut seen, mut cursor) = (Vec::new(), Value::Null);
        loop {
            let body = json!({ "failing": true, "limit": 2, "cursor": cursor, "by": "ada" });
            let page = post(&world, "/operate/leads/retry", &body).await.expect(200).json();
            assert!(tried(&page).len() <= 2, "{page}");
            seen.extend(tried(&page));
            cursor = page["next_cursor"].clone();
            if cursor.is_null() {
                break;
            }
        }
        seen.sort();
        let mut expected: Vec<_> = people.iter().map(|person| (person.record_id.to_string(), 1)).collect();
        expected.sort();
        assert_eq!(seen, expected, "each once");
        let leads = get(&world, "/operate/leads?failing=true").await.json()["leads"].as_array().expect("leads").clone();
        let now = world.now();
        let soon = |lead: &&Value| {
            let due = lead["due"].as_str().and_then(|due| due.parse::<jiff::Timestamp>().ok());
            due.is_some_and(|due| due > now && due.as_second() - now.as_second() < 60)
        };
        assert!(leads.iter().any(|lead| soon(&lead)), "one after the other, not all at once: {leads:?}");
        // One may have met another connection that was cut; asked for again, only what failed anew is tried.
        let out = async || {
            let again = json!({ "failing": true, "by": "ada" });
            let left = tried(&post(&world, "/operate/leads/retry", &again).await.expect(200).json());
            assert!(left.len() < people.len(), "{left:?}");
            left.is_empty()
        };
        world.pass_until("all go out", std::time::Duration::from_secs(1), MINUTE, out).await;
        for person in &people {
            assert_eq!(app.lead_says(person, "status").await, "pending");
            assert_eq!(world.alc.leads_of(&person.record_id).len(), 1, "one SMS");
            let audit = secrets::lines_with("an operator has changed something");
            let is_told = |line: &&String| line.contains("ada (loopback)") && line.contains(&*person.record_id);
            assert!(audit.iter().any(|line| is_told(&line)), "{audit:?}");
        }
    }
}

#[test]
fn the_command_and_the_page_try_what_they_name_and_no_other_lead() {
    run(async {
        let (world, app) = Setup::sqlite().impatient().with("RETRY__SCHEDULE", "1h,2h").connected().await;
        let people = failing(&world, &app, 4).await;
        let mut settings = world.settings.clone();
        settings.set("MANAGEMENT__BIND", &world.replicas()[0].management.to_string());
        let command = async |arguments: &[&str]| process::command(&settings, &[], arguments).await;
        for odd in [&["leads", "retry"][..], &["leads", "retry", "x", "--failing"]] {
            let (code, told) = command(odd).await;
            assert_ne!(code, Some(0), "{told}");
        }
        let list = "/operate/page/leads?status=queued&only=failing";
        let page = get(&world, list).await.body;
        let these = page.split("name=\"these\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
        let these: Vec<_> = these.expect("a form").split_ascii_whitespace().collect();
        assert_eq!(these.len(), people.len(), "{page}");
        assert!(page.contains("Try these now"), "{page}");
        let first = these.iter().find(|lead| lead.contains(&*people[0].record_id)).expect("it is shown");
        let form = async |fields: &[(&str, &str)]| {
            let url = format!("http://{}/operate/page/leads/retry", world.replicas()[0].management);
            send(world.client.post(url).form(fields)).await
        };
        form(&[("these", "odd")]).await.expect(400);
        form(&[("status", "queued")]).await.expect(400);
        let back = form(&[("status", "queued"), ("only", "failing"), ("these", first)]).await.expect(303);
        let told = get(&world, back.header("location").expect("a Location")).await.body;
        assert!(told.contains("Leads tried now: 1") && told.contains("name=\"status\""), "{told}");
        let out = async |person: &Person| app.lead_says(person, "status").await == "pending";
        world
            .pass_until("it goes out", std::time::Duration::from_secs(1), MINUTE, async || out(&people[0]).await)
            .await;
        assert!(!out(&people[1]).await, "the page named one");
        let (code, told) = command(&["leads", "retry", "--failing", "--by", "ada"]).await;
        assert_eq!((code, told.matches("alc").count()), (Some(0), people.len() - 1), "{told}");
        for person in &people {
            world
                .pass_until("it goes out", std::time::Duration::from_secs(1), MINUTE, async || out(person).await)
                .await;
        }
        let (code, told) = command(&["leads", "retry", "--failing"]).await;
        assert!(code == Some(0) && told.contains("There are no such leads."), "{told}");
    });
}
