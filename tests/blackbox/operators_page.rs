//! The operators' page: what waits, fails and was given up is seen and mended in a browser without a script, and what
//! upstreams say stays text.

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use sandbox::Fault;
use serde_json::json;

use crate::support::{
    attio_app::lead_body,
    harness::{HOUR, MINUTE, Person, Setup, World, run},
    http::{Answer, send},
    secrets,
};

const HOSTILE: &str = "</td><script>alert(1)</script><b onclick='x'>";

fn request(world: &World, method: Method, path: &str) -> RequestBuilder {
    world.client.request(method, format!("http://{}{path}", world.replicas()[0].management))
}

/// The page at a path, which no browser runs anything of, keeps, or shows inside another page.
async fn page(world: &World, path: &str) -> String {
    let answer = send(request(world, Method::GET, path)).await.expect(200);
    let policy = answer.header("content-security-policy").expect("a policy");
    assert!(!policy.contains("script") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    secrets::hear(answer.body.as_bytes());
    assert!(!answer.body.contains("<script") && !answer.body.contains("onclick='"), "{}", answer.body);
    answer.body
}

/// What a form of the page comes to: the page that it leads to.
async fn submit(world: &World, path: &str, fields: &[(&str, &str)]) -> String {
    let answer = form(world, path, fields).await.expect(303);
    let location = answer.header("location").expect("a Location").to_owned();
    page(world, &location).await
}

async fn form(world: &World, path: &str, fields: &[(&str, &str)]) -> Answer {
    send(request(world, Method::POST, path).form(fields)).await
}

/// Whether a browser shows it.
fn is_page(answer: &Answer) -> bool {
    answer.header("content-type") == Some("text/html; charset=utf-8") && answer.body.contains("<h1>")
}

fn lead_page(workspace: &str, person: &Person) -> String {
    format!("/operate/page/leads/{workspace}/{}", person.record_id)
}

#[test]
fn what_fails_is_seen_explained_and_tried_again() {
    run(async {
        let (world, app) = Setup::sqlite().impatient().connected().await;
        let (ada, workspace) = (world.person(), app.workspace_id.clone());
        assert!(page(&world, "/operate").await.contains("Nothing waits, nothing fails."));
        let body = json!({ "detail": HOSTILE });
        world.alc.faults().always("create_lead", Fault::status_with(503, ("content-type", "application/json"), body));
        world.while_time_passes(app.press(&ada)).await.expect(202);
        let fails = async || page(&world, "/operate").await.contains("Gate before alc");
        world.pass_until("it fails", Duration::from_secs(5), HOUR, fails).await;
        let overview = page(&world, "/operate").await;
        let lead = lead_page(&workspace, &ada);
        for shown in ["http-equiv=\"refresh\"", "Why they fail", "&#60;script&#62;alert(1)", &lead, "Open now"] {
            assert!(overview.contains(shown), "no {shown} in:\n{overview}");
        }
        let list = page(&world, &format!("/operate/page/leads?workspace_id={workspace}&status=&only=failing")).await;
        assert!(list.contains(&*ada.record_id) && !list.contains("http-equiv=\"refresh\""), "{list}");
        let found = page(&world, &format!("/operate/page/leads?record_id={}", ada.record_id)).await;
        assert!(found.contains(&lead), "{found}");
        let story = page(&world, &lead).await;
        for shown in
            ["alc-unanswered", "pressed", "It is not known whether ALC has this send", "&#60;script&#62;", "Retry now"]
        {
            assert!(story.contains(shown), "no {shown} in:\n{story}");
        }
        world.alc.faults().clear("create_lead");
        let gate = [("workspace_id", &*workspace), ("upstream", "alc"), ("only", ""), ("cursor", "")];
        let opened = submit(&world, "/operate/page/gates/open", &gate).await;
        assert!(opened.contains("Gates opened: 1. Leads woken: 1."), "{opened}");
        let out = async || app.lead_says(&ada, "status").await == "pending";
        world.pass_until("it goes out", Duration::from_secs(5), HOUR, out).await;
        world.synced(&app, &ada).await;
        let tried = submit(&world, &format!("{lead}/retry"), &[]).await;
        assert!(tried.contains("Tried now: alc."), "it is asked for at ALC: {tried}");
        world.call_back(&ada, "qualified").await;
        world.synced(&app, &ada).await;
        let over = submit(&world, &format!("{lead}/retry"), &[]).await;
        assert!(
            over.contains("Nothing was waiting for its next try") && over.contains("nothing is left to do"),
            "{over}"
        );
        let repaired = submit(&world, &format!("/operate/page/connections/{workspace}/repair"), &[]).await;
        assert!(repaired.contains("look-at-alc-webhook"), "{repaired}");
        assert!(page(&world, "/operate").await.contains("Nothing waits, nothing fails."));
        let gone = send(request(&world, Method::GET, &lead.replace(&*ada.record_id, &world.person().record_id))).await;
        assert!(gone.expect(404).body.contains("No workspace has a lead of this record"));
    });
}

#[test]
fn what_was_given_up_is_replayed_one_by_one_and_by_filter() {
    run(async {
        let (world, app) = Setup::sqlite().impatient().with("LEADS__SEND_DEADLINE", "1h").connected().await;
        let people: Vec<_> = (0..3).map(|_| world.person()).collect();
        world.alc.faults().next(
            "create_lead",
            Fault::status_with(409, ("content-type", "application/json"), json!({ "detail": HOSTILE })),
        );
        app.press(&people[0]).await.expect_problem(422, "lead-rejected");
        world.alc.server().go_down().await;
        for person in &people[1..] {
            world.while_time_passes(app.press(person)).await.expect(202);
        }
        let path = "/operate/page/dead-letters";
        let count =
            async |query: &str| page(&world, &format!("{path}{query}")).await.matches("class=\"badge bad\"").count();
        world.pass_until("all are given up", MINUTE * 20, HOUR * 6, async || count("?kind=lead").await == 3).await;
        for person in &people[1..] {
            world.synced(&app, person).await;
        }
        assert_eq!((count("?reason=not-sent").await, count("?reason=rejected&kind=").await), (2, 1));
        let overview = page(&world, "/operate").await;
        assert!(overview.contains("lead: not-sent") && overview.contains("lead: rejected"), "{overview}");
        world.alc.server().come_up().await;
        let replay = "/operate/page/dead-letters/replay";
        let listed = page(&world, &format!("{path}?record_id={}", people[1].record_id)).await;
        let id = listed.split("name=\"id\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("an id");
        let one = [("workspace_id", &*app.workspace_id), ("record_id", &people[1].record_id), ("id", id)];
        let done = submit(&world, replay, &one).await;
        assert!(done.contains("Replayed: 1.") && done.contains("<b>replayed</b>"), "{done}");
        let again = submit(&world, replay, &one).await;
        assert!(again.contains("nothing left to replay"), "{again}");
        let refused = page(&world, &lead_page(&app.workspace_id, &people[0])).await;
        assert!(refused.contains("not sent again: ") && !refused.contains("<button>Replay"), "{refused}");
        form(&world, replay, &[("kind", "")]).await.expect(400);
        let listed = page(&world, &format!("{path}?kind=lead")).await;
        let these =
            listed.split("name=\"these\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("some");
        // The second click of an impatient operator finds another list, and replays nothing of it.
        let last =
            these.split_ascii_whitespace().find(|letter| letter.contains(&people[2].record_id)).expect("it is there");
        let refused =
            these.split_ascii_whitespace().find(|letter| letter.contains(&people[0].record_id)).expect("it, too");
        let nothing = submit(&world, replay, &[("all", "true"), ("these", refused)]).await;
        assert!(nothing.contains("Replayed: 0. Refused: 1"), "{nothing}");
        assert_eq!(count("?reason=not-sent").await, 1, "the letter that was not shown stays");
        form(&world, replay, &[("all", "true"), ("these", "no/letter")]).await.expect(400);
        let rest = submit(&world, replay, &[("kind", "lead"), ("these", &format!("{last} {refused}"))]).await;
        assert!(rest.contains("Replayed: 1. Refused: 1; each says why below."), "{rest}");
        let again = submit(&world, replay, &[("kind", "lead"), ("these", last)]).await;
        assert!(again.contains("Replayed: 0. Done before: 1."), "{again}");
        for person in &people[1..] {
            let out = async || app.lead_says(person, "status").await == "pending";
            world.pass_until("it goes out", MINUTE, HOUR, out).await;
        }
        assert_eq!(world.alc.leads_of(&people[1].record_id).len(), 1, "one SMS");
    });
}

#[test]
fn a_long_queue_is_looked_at_in_part_and_its_oldest_lead_is_found() {
    run(async {
        let (world, app) = Setup::sqlite().impatient().connected().await;
        let oldest = world.person();
        world.alc.server().go_down().await;
        world.while_time_passes(app.press(&oldest)).await.expect(202);
        for _ in 0..3 {
            world.pass(MINUTE).await;
            let leads: Vec<_> = (0..80).map(|_| lead_body(&world.person())).collect();
            send(app.request(Method::POST, "/v1/leads/batch").json(&json!({ "leads": leads }))).await.expect(202);
        }
        let overview = page(&world, "/operate").await;
        let lead = lead_page(&app.workspace_id, &oldest);
        assert!(overview.contains("more than 200") && overview.contains("<dd>241</dd>"), "{overview}");
        let told =
            overview.split("more than 200").nth(1).and_then(|rest| rest.split("</dd>").nth(1)).unwrap_or_default();
        assert!(told.contains("oldest") && told.contains(&lead), "{told}");
    });
}

#[test]
fn the_page_is_for_operators_alone_and_changes_nothing_for_another_page() {
    run(async {
        let token = "operators-token-of-a-test-0123456789";
        secrets::learn(token);
        let (world, app) = Setup::sqlite().with("MANAGEMENT__TOKEN", token).connected().await;
        let lead = format!("/operate/page/leads/{}/{}", app.workspace_id, world.person().record_id);
        for path in ["/operate", "/operate/page/leads", "/operate/page/dead-letters", &lead] {
            let refused = send(request(&world, Method::GET, path)).await.expect(401);
            assert!(is_page(&refused) && refused.body.contains("the token as the password"), "{}", refused.body);
            let mut challenges = refused.headers.get_all("www-authenticate").iter();
            let asks = |value: &reqwest::header::HeaderValue| value.as_bytes().starts_with(b"Basic realm=");
            assert!(challenges.any(asks), "a browser asks for a password: {:?}", refused.headers);
            let public = world.client.get(format!("{}{path}", world.url())).send().await.expect("an answer");
            assert_eq!(public.status(), 404, "{path} is not for everybody");
        }
        let by_ada = request(&world, Method::GET, "/operate").basic_auth("ada", Some(token));
        send(by_ada).await.expect(200);
        let fields = [("workspace_id", &*app.workspace_id)];
        for path in ["dead-letters/replay", "gates/open", &format!("connections/{}/repair", app.workspace_id)] {
            let post = || request(&world, Method::POST, &format!("/operate/page/{path}")).form(&fields);
            assert!(is_page(&send(post()).await.expect(401)));
            let foreign = post().basic_auth("ada", Some(token)).header("origin", "http://attacker.example");
            let refused = send(foreign).await.expect(403);
            assert!(is_page(&refused) && refused.body.contains("a page of another origin"), "{}", refused.body);
            send(post().basic_auth("ada", Some(token)).header("sec-fetch-site", "same-origin")).await.expect(303);
        }
        let audit = secrets::lines_with("an operator has changed something");
        assert!(audit.iter().any(|line| line.contains("by=ada (token ") && line.contains("repair")), "{audit:?}");
        let json = request(&world, Method::POST, "/operate/page/gates/open").basic_auth("ada", Some(token));
        let refused = send(json.json(&json!({}))).await.expect(415);
        assert!(refused.body.contains("<h1>"), "a page: {}", refused.body);
        let odd = request(&world, Method::GET, "/operate?cursor=x&workspace_id=y").basic_auth("ada", Some(token));
        let odd = send(odd).await.expect(400);
        assert!(is_page(&odd) && odd.body.contains("Correct what"), "{}", odd.body);
        for named in ["#/query/cursor", "#/query/workspace_id", "must be a UUID"] {
            assert!(odd.body.contains(named), "no {named} in:\n{}", odd.body);
        }
        for gone in ["/operate/page/leads/x/y", "/operate/page/connections/x/repair"] {
            let method = if gone.ends_with("repair") { Method::POST } else { Method::GET };
            let gone = request(&world, method, gone).basic_auth("ada", Some(token)).form(&[("only", "")]);
            assert!(is_page(&send(gone).await.expect(404)));
        }
    });
}
