//! The front of the house over real sockets: an App with a store that is up, down or hanging as a test wants it.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use alc_connector::{
    app::{App, Parts},
    clock::{Clock as _, ManualClock, Timestamp},
    config::{Config, Environment, keys::FreshKeys},
    http::health,
    lifecycle::Lifecycle,
    store::{
        Commit, Committed, Cursor, Depth, Due, Engine, Key, Kind, LeaseRequest, Loaded, Page, Store, StoreError, Taken,
        Tenant,
        gate::{Gate, GateReport, Verdict},
    },
};
use async_trait::async_trait;
use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tokio::task::JoinHandle;

/// A store that knows no aggregates, and is down when told to be.
#[derive(Default)]
struct Nothing {
    down: AtomicBool,
    empty: AtomicBool,
    closed: AtomicBool,
    pings: AtomicU32,
    asked_for_depths: AtomicU32,
}

impl Nothing {
    fn answer<T>(&self, answer: T) -> Result<T, StoreError> {
        if self.down.load(Ordering::Relaxed) {
            Err(StoreError::Unavailable("secret-host refused".to_owned()))
        } else {
            Ok(answer)
        }
    }
}

#[async_trait]
impl Engine for Nothing {
    async fn load(&self, _: &Tenant, _: &[Key], _: &[Gate], _: Timestamp) -> Result<Loaded, StoreError> {
        self.answer(Loaded::new(Vec::new(), Vec::new()))
    }

    async fn commit(&self, _: &Tenant, _: &Commit, _: Timestamp) -> Result<Committed, StoreError> {
        self.answer(Committed::Conflict)
    }

    async fn lease_due(&self, _: &LeaseRequest, _: Timestamp) -> Result<Due, StoreError> {
        self.answer(Due { leased: Vec::new(), saw_end: true })
    }

    async fn put_back(&self, _: &Tenant, _: &Taken, _: Timestamp, _: Timestamp) -> Result<bool, StoreError> {
        self.answer(false)
    }

    async fn next_due(&self, _: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.answer(None)
    }

    async fn wake(&self, _: &Tenant, _: Kind, _: &[&str], _: Duration, _: Timestamp) -> Result<u64, StoreError> {
        self.answer(0)
    }

    async fn unleased(&self, _: &Tenant, _: Kind, _: &[&str]) -> Result<Vec<String>, StoreError> {
        self.answer(Vec::new())
    }

    async fn page(&self, _: &Tenant, _: &[&str], _: Option<&Cursor>, _: usize) -> Result<Page, StoreError> {
        self.answer(Page { documents: Vec::new(), next: None })
    }

    async fn depths(&self, now: Timestamp) -> Result<Vec<Depth>, StoreError> {
        self.asked_for_depths.fetch_add(1, Ordering::Relaxed);
        let oldest = Some(now - Duration::from_secs(90));
        let depth = Depth { kind: Kind::Lead, status: "pending".to_owned(), count: 3, oldest };
        self.answer(if self.empty.load(Ordering::Relaxed) { Vec::new() } else { vec![depth] })
    }

    async fn tenants(&self, _: Kind) -> Result<BTreeSet<Tenant>, StoreError> {
        self.answer(BTreeSet::new())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.pings.fetch_add(1, Ordering::Relaxed);
        self.answer(())
    }

    async fn reserve(&self, _: &Tenant, _: &Gate, _: Option<&Key>, _: Timestamp) -> Result<Verdict, StoreError> {
        self.answer(Verdict::Go)
    }

    async fn report(&self, _: &Tenant, _: &Gate, _: GateReport, _: Timestamp) -> Result<(), StoreError> {
        self.answer(())
    }

    async fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}

struct Front {
    engine: Arc<Nothing>,
    clock: ManualClock,
    lifecycle: Lifecycle,
    public: SocketAddr,
    management: SocketAddr,
    run: JoinHandle<std::io::Result<()>>,
    client: reqwest::Client,
}

async fn start() -> Front {
    let engine = Arc::new(Nothing::default());
    let clock = ManualClock::new(Timestamp::UNIX_EPOCH + Duration::from_secs(1_000_000));
    let parts = Parts {
        clock: Some(Arc::new(clock.clone())),
        store: Some(Store::new(Arc::<Nothing>::clone(&engine))),
        ..Parts::default()
    };
    let app = App::build(config(), parts).await.expect("it builds");
    let (public, management, lifecycle) = (app.public_addr(), app.management_addr(), app.lifecycle());
    let run = Lifecycle::new().spawn(app.run());
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().expect("a client");
    Front { engine, clock, lifecycle, public, management, run, client }
}

fn config() -> Config {
    let keys = FreshKeys::generate();
    let environment: Environment = [
        ("HTTP__BIND", "127.0.0.1:0"),
        ("MANAGEMENT__BIND", "127.0.0.1:0"),
        ("KEYS__SEALING", keys.sealing.expose_secret()),
        ("KEYS__SIGNING", keys.signing.expose_secret()),
        ("ATTIO_APP__CLIENT_ID", "app"),
        ("ATTIO_APP__CLIENT_SECRET", "secret"),
        ("ATTIO_APP__REDIRECT_URIS", "https://app.attio.com/callback"),
        ("ALC__AUTHORIZE_URL", "https://alc.example/authorize"),
        ("ALC__TOKEN_URL", "https://alc.example/token"),
        ("ALC__CLIENT_ID", "connector"),
        ("ALC__CLIENT_SECRET", "secret"),
        ("ATTIO__API_KEY", "key"),
    ]
    .iter()
    .map(|(name, value)| (format!("ALC_CONNECTOR__{name}"), (*value).to_owned()))
    .collect();
    Config::load(&environment).expect("a whole configuration")
}

struct Answer {
    status: StatusCode,
    headers: reqwest::header::HeaderMap,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    /// The body, which must be a problem that carries the answer's own id.
    fn problem(&self, status: u16, slug: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem: Value = serde_json::from_str(&self.body).expect("JSON");
        assert_eq!(problem["type"], format!("/problems/{slug}"));
        assert_eq!(problem["status"], status);
        assert!(!self.header("x-request-id").is_empty());
        assert_eq!(problem["request_id"], self.header("x-request-id"));
        problem
    }
}

impl Front {
    async fn send(&self, method: Method, at: SocketAddr, path: &str, id: Option<&str>) -> Answer {
        let mut request = self.client.request(method, format!("http://{at}{path}"));
        if let Some(id) = id {
            request = request.header("x-request-id", id);
        }
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status(), response.headers().clone());
        Answer { status, headers, body: response.text().await.expect("a body") }
    }

    async fn get(&self, at: SocketAddr, path: &str) -> Answer {
        self.send(Method::GET, at, path, None).await
    }

    /// The answer once it has this status: what the store said last is good for half a second.
    async fn get_until(&self, at: SocketAddr, path: &str, status: u16) -> Answer {
        for _ in 0..500 {
            let answer = self.get(at, path).await;
            if answer.status == status {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{path} does not become {status}");
    }

    async fn metrics_say(&self, line: &str) {
        for _ in 0..500 {
            if self.get(self.management, "/metrics").await.body.contains(line) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the metrics never say {line}");
    }

    async fn stop(self) {
        self.lifecycle.stop();
        self.run.await.expect("no panic").expect("no error");
        assert!(self.engine.closed.load(Ordering::Relaxed), "the store is closed last");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_path_and_a_wrong_method_are_problems() {
    let front = start().await;
    for at in [front.public, front.management] {
        front.get(at, "/nothing/here").await.problem(404, "not-found");
        let refused = front.send(Method::DELETE, at, "/healthz", None).await;
        refused.problem(405, "method-not-allowed");
        assert_eq!(refused.header("allow"), "GET, HEAD");
    }
    front.get(front.public, "/metrics").await.problem(404, "not-found");
    front.get(front.public, "/version").await.problem(404, "not-found");
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn head_is_answered_as_get_without_the_body_where_get_only_reads() {
    let front = start().await;
    for (at, path) in [(front.public, "/healthz"), (front.public, "/openapi.yaml"), (front.management, "/version")] {
        let (get, head) = (front.get(at, path).await, front.send(Method::HEAD, at, path, None).await);
        assert_eq!((head.status.as_u16(), head.body.as_str()), (200, ""), "{path}");
        for header in ["content-type", "content-length"] {
            assert_eq!(head.header(header), get.header(header), "{path}");
        }
    }
    let callback = front.send(Method::HEAD, front.public, "/oauth/callback?state=x&code=y", None).await;
    assert_eq!((callback.status.as_u16(), callback.header("allow")), (405, "GET"), "the code would be thrown away");
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_harmless_request_id_is_kept_and_any_other_replaced() {
    let front = start().await;
    for (id, kept) in
        [("Ab-9_.z", true), (&"a".repeat(64), true), (&"a".repeat(65), false), ("a b", false), ("a\"b", false)]
    {
        for path in ["/healthz", "/nothing"] {
            let answer = front.send(Method::GET, front.public, path, Some(id)).await;
            assert_eq!(answer.header("x-request-id") == id, kept, "{id} {path}");
            assert!(!answer.header("x-request-id").is_empty());
        }
    }
    let (one, two) = (front.get(front.public, "/healthz").await, front.get(front.public, "/healthz").await);
    assert_ne!(one.header("x-request-id"), two.header("x-request-id"));
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ready_is_a_store_that_takes_writes() {
    let front = start().await;
    for at in [front.public, front.management] {
        front.get_until(at, "/readyz", 200).await;
        front.engine.down.store(true, Ordering::Relaxed);
        let down = front.get_until(at, "/readyz", 503).await;
        down.problem(503, "store-unavailable");
        assert_eq!(down.header("retry-after"), "2");
        assert!(!down.body.contains("secret-host"), "the store's words are for the log");
        assert_eq!(front.get(at, "/healthz").await.status, 200, "alive all the same");
        front.engine.down.store(false, Ordering::Relaxed);
    }
    front.get_until(front.management, "/readyz", 200).await;
    let (management, asked) = (front.management, Lifecycle::new());
    let healthy = asked.spawn(async move { health::ask(management) }).await.expect("no panic");
    assert_eq!(healthy, Ok(()));
    front.engine.down.store(true, Ordering::Relaxed);
    front.get_until(front.management, "/readyz", 503).await;
    let healthy = asked.spawn(async move { health::ask(management) }).await.expect("no panic");
    assert_eq!(healthy, Err("not ready: 503".to_owned()));
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_ask_at_once_cost_the_store_one_write() {
    let front = start().await;
    #[expect(clippy::disallowed_methods, reason = "how often the store may be asked goes by real time")]
    let start = std::time::Instant::now();
    let all = (0..200).map(|_| front.get(front.public, "/readyz"));
    assert!(futures_util::future::join_all(all).await.iter().all(|answer| answer.status == 200));
    let all = (0..50).map(|_| front.get(front.management, "/metrics"));
    assert!(futures_util::future::join_all(all).await.iter().all(|answer| answer.status == 200));
    let at_most = 1 + u32::try_from(start.elapsed().as_millis() / 500).expect("a short while");
    for asked in [&front.engine.pings, &front.engine.asked_for_depths] {
        let asked = asked.load(Ordering::Relaxed);
        assert!((1..=at_most).contains(&asked), "{asked} of at most {at_most}");
    }
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_loop_has_a_heartbeat() {
    let front = start().await;
    front.get(front.public, "/healthz").await;
    let mut beating = front.lifecycle.beating();
    beating.sort_unstable();
    assert_eq!(beating, ["reconciler", "upkeep"]);
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_that_stands_still_is_not_healthy() {
    let front = start().await;
    let beat = front.lifecycle.heartbeat("reconciler", Duration::from_secs(5), front.clock.now());
    front.clock.advance(Duration::from_secs(6));
    let stalled = front.get(front.public, "/healthz").await;
    assert!(stalled.problem(503, "loop-stalled")["detail"].as_str().is_some_and(|text| text.contains("reconciler")));
    beat.beat(front.clock.now());
    assert_eq!(front.get(front.public, "/healthz").await.status, 200);
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_name_patterns_and_what_the_store_holds() {
    let front = start().await;
    front.get(front.public, "/a-path-with/a-secret").await;
    front.get(front.public, "/healthz?token=a-secret").await;
    let metrics = front.get(front.management, "/metrics").await;
    assert_eq!(metrics.status, 200);
    for line in [
        "alc_connector_store_up 1",
        r#"alc_connector_aggregates{kind="lead",status="pending"} 3"#,
        r#"alc_connector_oldest_age_seconds{kind="lead",status="pending"} 90"#,
        r#"alc_connector_http_requests_total{method="GET",route="none",status="404"}"#,
        r#"alc_connector_http_requests_total{method="GET",route="/healthz",status="200"}"#,
        r#"alc_connector_http_request_duration_seconds_bucket{method="GET",route="/healthz",le="0.001"}"#,
        r#"alc_connector_http_request_duration_seconds_bucket{method="GET",route="/healthz",le="30"}"#,
    ] {
        assert!(metrics.body.contains(line), "{line} in {}", metrics.body);
    }
    assert!(!metrics.body.contains("a-secret"));
    for name in metrics.body.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
        assert!(metrics.body.contains(&format!("# HELP {name} ")), "nobody says what {name} is");
    }

    front.engine.down.store(true, Ordering::Relaxed);
    front.metrics_say("alc_connector_store_up 0").await;
    front.engine.down.store(false, Ordering::Relaxed);

    front.engine.empty.store(true, Ordering::Relaxed);
    front.metrics_say(r#"alc_connector_aggregates{kind="lead",status="pending"} 0"#).await;
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_and_the_version_are_served() {
    let front = start().await;
    let contract = front.get(front.public, "/openapi.yaml").await;
    assert_eq!((contract.status.as_u16(), contract.body.as_str()), (200, include_str!("../openapi.yaml")));
    let version: Value = serde_json::from_str(&front.get(front.management, "/version").await.body).expect("JSON");
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_waits_for_what_is_under_way_and_says_unready_meanwhile() {
    let front = start().await;
    let (release, gate) = tokio::sync::oneshot::channel::<()>();
    let step = front.lifecycle.spawn(async move { gate.await.is_ok() });
    front.lifecycle.stop();
    let fresh = reqwest::Client::builder().no_proxy().build().expect("a client");
    let refused = async || fresh.get(format!("http://{}/healthz", front.public)).send().await.is_err();
    for _ in 0..500 {
        if refused().await {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(refused().await, "no new connections");
    front.get(front.management, "/readyz").await.problem(503, "stopping");
    assert!(!front.run.is_finished());
    release.send(()).expect("the step still waits");
    assert!(step.await.expect("no panic"), "the step ran to its end");
    front.stop().await;
}
