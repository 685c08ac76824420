//! Traces: what a collector learns of a press, of its callback and of what comes later, and what nobody learns.
//!
//! How: the real binary, because spans are the process's and not an App's, delivers to a collector that keeps all that
//! it is sent. What it was sent is searched for secrets and people as the log is.

use std::{
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use reqwest::Method;
use sandbox::Fault;
use serde_json::Value;

use crate::support::{
    ambient::{Stopwatch, eventually},
    attio_app::{AttioApp, lead_body},
    collector::{Collector, Span},
    harness::{Person, Setup, World, run},
    http::{Answer, send},
    process::Process,
    redis_server::ports,
    secrets,
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
/// What the collector asks for.
const PROOF: &str = "Bearer proof-for-the-collector";
const INTERNAL: i32 = 1;
const SERVER: i32 = 2;
const CLIENT: i32 = 3;
/// How many deliveries have come to that.
async fn counted(world: &World, process: &Process, outcome: &str) -> u64 {
    let metrics = format!("http://{}/metrics", process.management());
    let text = send(world.client.get(metrics)).await.expect(200).body;
    let name = format!("alc_connector_trace_exports_total{{outcome=\"{outcome}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or_default()
}

/// How long one delivery may take.
const DELIVERY: Duration = Duration::from_secs(5);

/// A process that is connected and tells this collector.
async fn telling(endpoint: &str, more: &[(&str, &str)]) -> (World, Process, AttioApp) {
    let setup = Setup::sqlite().with("TRACES__ENDPOINT", endpoint).with("RETRY__SCHEDULE", "100ms");
    let setup = more.iter().fold(setup, |setup, (name, value)| setup.with(name, value));
    let mut world = setup.prepare().await;
    world.live_in_real_time();
    let mut process = Process::new(&world.settings);
    process.start().await;
    world.lead_to(vec![process.public]);
    let app = world.connect().await;
    (world, process, app)
}

async fn press_in(app: &AttioApp, body: &Value, traceparent: &str) -> Answer {
    let request = app.request(Method::POST, "/v1/leads").json(body);
    send(request.header("traceparent", traceparent).header("tracestate", "vendor=theirs")).await
}

async fn shows(world: &World, person: &Person, status: &str) {
    let shown = async || (world.attio.status(&person.record_id).as_deref() == Some(status)).then_some(());
    eventually(&format!("Attio shows {status}"), shown).await;
}

#[track_caller]
fn the<'a>(spans: &'a [Span], what: &str, is_it: impl Fn(&Span) -> bool) -> &'a Span {
    spans.iter().find(|span| is_it(span)).unwrap_or_else(|| panic!("no {what} in {spans:#?}"))
}

/// The spans of the step that this span is of, in its trace, and that it goes up to by its parents.
fn is_below(spans: &[Span], span: &Span, top: &Span) -> bool {
    let parent = spans.iter().find(|other| other.trace == span.trace && other.id == span.parent);
    parent.is_some_and(|parent| parent.id == top.id || is_below(spans, parent, top))
}

#[test]
fn a_press_and_what_it_led_to_is_told_as_traces_that_name_each_other() {
    run(async {
        let collector = Collector::start();
        let headers = format!("authorization={PROOF}");
        let (world, mut process, app) = telling(&collector.url(), &[("TRACES__HEADERS", &headers)]).await;
        let person = world.person();
        // The record turns Pending only at a second try: that one is the reconciler's.
        world.attio.faults().next("patch_record", Fault::status(429));
        let mut body = lead_body(&person);
        body["finish_callback_url"] = world.attio.callback_url("a-step-that-waits").into();
        press_in(&app, &body, &format!("00-{TRACE}-{PARENT}-01")).await.expect(201);
        shows(&world, &person, "Pending").await;
        world.call_back(&person, "qualified").await;
        shows(&world, &person, "Complete").await;
        world.attio.journal().wait_answered("workflow_callback", 1).await;
        assert!(String::from_utf8_lossy(&world.stored()).contains(&format!("00-{TRACE}-")), "kept with the send");
        // The last spans are delivered before it ends.
        assert_eq!(process.terminate().await, Some(0));
        secrets::learn(PROOF);
        secrets::learn("a-step-that-waits");
        secrets::hear(&collector.raw());

        assert!(collector.authorizations().iter().all(|proof| proof == PROOF));
        assert_eq!(collector.resource()["service.name"], "alc-connector");
        let told = Told { spans: collector.spans(), world, app, person };
        let press = told.press();
        told.submit(press);
        told.what_came_later(press);
        told.to_strangers();
    });
}

/// What the collector and the upstreams know at the end.
struct Told {
    spans: Vec<Span>,
    world: World,
    app: AttioApp,
    person: Person,
}

impl Told {
    fn press(&self) -> &Span {
        let press = the(&self.spans, "press", |span| span.kind == SERVER && span.name == "POST /v1/leads");
        let begun = (press.trace.as_str(), press.parent.as_str(), press.state.as_str());
        assert_eq!(begun, (TRACE, PARENT, "vendor=theirs"));
        assert_eq!(says(press, "http.request.method"), "POST");
        assert_eq!(says(press, "http.route"), "/v1/leads");
        assert_eq!(says(press, "http.response.status_code"), "201");
        assert_eq!(says(press, "alc_connector.record"), self.person.record_id);
        assert_eq!(says(press, "alc_connector.workspace"), self.app.workspace_id);
        press
    }

    fn submit(&self, press: &Span) {
        let posted = self.world.alc.journal().requests("create_lead").remove(0);
        let submitted = the(&self.spans, "call to ALC", |span| span.name == "POST submit_lead");
        assert_eq!(posted.headers["traceparent"], format!("00-{TRACE}-{}-01", submitted.id));
        assert!(submitted.kind == CLIENT && is_below(&self.spans, submitted, press), "{submitted:?}");
        assert_eq!(says(submitted, "server.address"), "127.0.0.1");
        assert_eq!(says(submitted, "http.response.status_code"), "201");
        let step = the(&self.spans, "step", |span| span.id == submitted.parent);
        assert_eq!((step.kind, step.name.as_str()), (INTERNAL, "lead submit"));
        assert_eq!(says(step, "alc_connector.attempt"), "1");
        assert!(!says(step, "alc_connector.send").is_empty() && step.links.is_empty(), "{step:?}");
    }

    fn what_came_later(&self, press: &Span) {
        let (spans, to_send) = (&self.spans, [(press.trace.clone(), press.id.clone())]);
        let patches = self.world.attio.journal().requests("patch_record");
        assert_eq!(patches.len(), 3, "refused, Pending, Complete: {patches:?}");
        let trace_of = |index: usize| -> String { patches[index].headers["traceparent"][3..35].to_owned() };
        assert_eq!(trace_of(0), TRACE, "the press's own worker");
        let refused = the(spans, "refusal", |span| span.trace == TRACE && span.name == "PATCH update_person");
        assert!(refused.failed && says(refused, "error.type") == "rate_limited", "{refused:?}");
        let later = the(spans, "later step", |span| span.trace == trace_of(1) && span.name == "lead show");
        assert_ne!(later.trace, TRACE, "the reconciler's step is a trace of its own");
        assert_eq!((later.parent.as_str(), later.links.as_slice()), ("", &to_send[..]));
        let callback = the(spans, "callback", |span| span.name == "POST /webhooks/alc/{token}");
        assert_ne!(callback.trace, TRACE, "ALC's callback is a trace of its own");
        assert_eq!((callback.parent.as_str(), callback.links.as_slice()), ("", &to_send[..]));
        // By the callback's own worker, or by the one that still has the lead in hand.
        let patched = the(spans, "its PATCH", |span| patches[2].headers["traceparent"].contains(&span.id));
        let shown = the(spans, "its step", |span| span.id == patched.parent);
        assert!(shown.name == "lead show" && shown.trace != TRACE, "{shown:?}");
        assert_eq!(shown.links, to_send);
    }

    fn to_strangers(&self) {
        let told_of = self.world.alc.journal().all().into_iter().chain(self.world.attio.journal().all());
        for seen in told_of {
            assert!(!seen.headers.contains_key("tracestate") && !seen.headers.contains_key("baggage"), "{seen:?}");
            let is_workflow = seen.operation == "workflow_callback";
            assert!(!is_workflow || !seen.headers.contains_key("traceparent"), "{seen:?}");
        }
        let told = the(&self.spans, "call to a workflow", |span| says(span, "alc_connector.upstream") == "workflow");
        assert!(told.kind == CLIENT && says(told, "server.address").is_empty(), "{told:?}");
        assert!(!self.spans.iter().any(|span| span.name.contains("readyz")), "probes are no traces");
    }
}

fn says(span: &Span, name: &str) -> String {
    span.attributes.get(name).cloned().unwrap_or_default()
}

#[test]
fn nonsense_in_a_traceparent_is_a_trace_of_our_own_and_a_strangers_one_too() {
    run(async {
        let collector = Collector::start();
        let (world, mut process, app) = telling(&collector.url(), &[]).await;
        let people = [world.person(), world.person()];
        for (person, traceparent) in people.iter().zip(["nonsense", "00-00000000000000000000000000000000-00-01"]) {
            press_in(&app, &lead_body(person), traceparent).await.expect(201);
        }
        let stranger = world.client.post(format!("{}/webhooks/alc/no.such", world.url())).json(&());
        send(stranger.header("traceparent", format!("00-{TRACE}-{PARENT}-01"))).await.expect(410);
        // Nor does the button of a caller without a token of ours.
        let stranger = world.client.post(format!("{}/v1/leads", world.url())).bearer_auth("no.token.ofours");
        let stranger = stranger.header("traceparent", format!("00-{TRACE}-{PARENT}-01")).json(&lead_body(&people[0]));
        send(stranger).await.expect(401);
        send(world.client.get(format!("{}/a-path-of-nobodys", world.url()))).await.expect(404);
        assert_eq!(process.terminate().await, Some(0));
        secrets::learn("a-path-of-nobodys");
        secrets::hear(&collector.raw());
        let spans = collector.spans();
        let nowhere = the(&spans, "visit", |span| span.name == "GET" && span.kind == SERVER);
        assert!(!nowhere.attributes.contains_key("http.route"), "{nowhere:?}");
        let presses: Vec<_> = spans.iter().filter(|span| span.name == "POST /v1/leads").collect();
        assert_eq!(presses.len(), 3);
        for press in presses {
            assert!(press.parent.is_empty() && press.trace != TRACE && press.state.is_empty(), "{press:?}");
        }
        let callback = the(&spans, "callback", |span| span.name == "POST /webhooks/alc/{token}");
        assert!(callback.parent.is_empty() && callback.trace != TRACE, "{callback:?}");
    });
}

#[test]
fn a_collector_that_never_answers_costs_spans_and_nothing_else() {
    run(async {
        // Connections are made, and nothing is ever read.
        let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let endpoint = format!("http://{}", silent.local_addr().expect("bound"));
        let (world, mut process, app) = telling(&endpoint, &[]).await;
        let warned = async || process.log().contains("the collector does not take spans").then_some(());
        eventually("the collector is missed", warned).await;
        let watch = Stopwatch::start();
        for _ in 0..3 {
            app.press(&world.person()).await.expect(201);
        }
        assert!(watch.elapsed() < DELIVERY * 3, "presses wait for the collector: {:?}", watch.elapsed());
        assert_eq!(process.terminate().await, Some(0));
    });
}

#[test]
fn a_collector_that_is_away_is_one_warning_and_one_line_more_when_it_is_back() {
    run(async {
        let address = SocketAddr::from(([127, 0, 0, 1], ports::free()));
        let (world, mut process, app) = telling(&format!("http://{address}"), &[]).await;
        let lines = |words: &str| process.log().matches(words).count();
        let failures = async || (counted(&world, &process, "failed").await >= 3).then_some(());
        eventually("deliveries fail again and again", failures).await;
        assert_eq!(lines("the collector does not take spans"), 1);
        let collector = Collector::start_on(address);
        let person = world.person();
        app.press(&person).await.expect(201);
        let is_back = async || (lines("the collector takes spans again") == 1).then_some(());
        eventually("the collector is back", is_back).await;
        assert_eq!(process.terminate().await, Some(0));
        the(&collector.spans(), "press", |span| span.name == "POST /v1/leads");
        secrets::hear(&collector.raw());
    });
}

#[test]
fn spans_that_a_collector_takes_and_throws_away_are_counted_and_told_once() {
    run(async {
        let collector = Collector::start();
        collector.reject();
        let (world, mut process, app) = telling(&collector.url(), &[]).await;
        app.press(&world.person()).await.expect(201);
        let rejected = async || {
            // Each has something to tell.
            world.client.get(format!("http://{}/v1/connection", process.public)).send().await.ok()?;
            (counted(&world, &process, "rejected").await >= 2).then_some(())
        };
        eventually("spans are thrown away again and again", rejected).await;
        assert_eq!(counted(&world, &process, "failed").await, 0, "the deliveries were taken");
        let log = process.log();
        let told: Vec<_> = log.lines().filter(|line| line.contains("has thrown spans away")).collect();
        assert!(told.len() == 1 && told[0].contains("one is too old"), "{told:?}");
        assert_eq!(process.terminate().await, Some(0));
    });
}

#[test]
fn without_a_collector_nothing_is_told_or_kept() {
    run(async {
        let (world, app) = Setup::sqlite().connected().await;
        let person = world.person();
        press_in(&app, &lead_body(&person), &format!("00-{TRACE}-{PARENT}-01")).await.expect(201);
        world.shows(&person, "Pending").await;
        for seen in world.alc.journal().all().into_iter().chain(world.attio.journal().all()) {
            assert!(!seen.headers.contains_key("traceparent"), "{seen:?}");
        }
        assert!(!String::from_utf8_lossy(&world.stored()).contains(TRACE));
    });
}
