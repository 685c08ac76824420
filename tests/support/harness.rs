//! The world that a scenario lives in: a pretend ALC, a pretend Attio, a store, one or two replicas, one manual clock.
//!
//! [`scenario!`] makes three tests of one scenario: on SQLite, on Redis, and on Redis with two replicas behind a door
//! that sends each request to one of them at random.

use std::{
    fs,
    future::Future,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use alc_connector::clock::{Clock as _, ManualClock, SharedClock, Timestamp};
use sandbox::{Alc, Attio, Callback, alc};

use super::{
    ambient::{PATIENCE, Stopwatch},
    attio_app::AttioApp,
    attio_shapes,
    browser::Browser,
    http,
    process::Process,
    redis_server::RedisServer,
    replica::Replica,
    secrets,
    settings::Settings,
    turns::Turns,
};

/// When every scenario begins.
const BEGINNING: &str = "2026-11-20T12:00:00Z";

/// The time of an attempt that is not worth waiting for.
const IMPATIENCE: &str = "500ms";
/// How long time stands still for what is under way.
const LONGEST_REST: Duration = Duration::from_secs(2);

/// One of the three set-ups, and what a scenario wants changed in it.
#[derive(Clone)]
pub struct Setup {
    store: StoreChoice,
    replicas: usize,
    alc: alc::Settings,
    attio_grants: bool,
    beginning: Timestamp,
    changes: Vec<(String, String)>,
}

#[derive(Clone, Copy)]
enum StoreChoice {
    Sqlite,
    Redis,
}

enum Store {
    Sqlite(tempfile::TempDir),
    Redis(RedisServer),
}

impl Setup {
    /// One service on SQLite.
    pub fn sqlite() -> Self {
        Self {
            store: StoreChoice::Sqlite,
            replicas: 1,
            alc: alc::Settings::rich(),
            attio_grants: false,
            beginning: BEGINNING.parse().expect("a time"),
            changes: Vec::new(),
        }
    }

    /// One service on Redis.
    pub fn redis() -> Self {
        Self { store: StoreChoice::Redis, ..Self::sqlite() }
    }

    /// Two services on one Redis, taking turns at random.
    pub fn two_replicas() -> Self {
        Self { replicas: 2, ..Self::redis() }
    }

    /// With this variable, named without `ALC_CONNECTOR__`.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.changes.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With attempts that are given up within half a second, and a button that waits one.
    #[must_use]
    pub fn impatient(self) -> Self {
        self.with("ALC__TIMEOUT", IMPATIENCE).with("ATTIO__TIMEOUT", IMPATIENCE).with("LEADS__SEND_WAIT", "1s")
    }

    /// With Attio OAuth: each connection brings a grant of its own.
    #[must_use]
    pub fn attio_grants(mut self) -> Self {
        self.attio_grants = true;
        self
    }

    /// With an ALC that has nothing but what is known of it.
    #[must_use]
    pub fn minimal_alc(mut self) -> Self {
        self.alc = alc::Settings::minimal();
        self
    }

    /// With an ALC changed like this.
    #[must_use]
    pub fn alc(mut self, change: impl FnOnce(&mut alc::Settings)) -> Self {
        change(&mut self.alc);
        self
    }

    /// With a clock that begins then.
    #[must_use]
    pub fn beginning(mut self, at: Timestamp) -> Self {
        self.beginning = at;
        self
    }

    /// Starts it all.
    pub async fn start(self) -> World {
        let replicas = self.replicas;
        let mut world = self.prepare().await;
        for _ in 0..replicas {
            world.start_replica().await;
        }
        world
    }

    /// Starts everything but the replicas.
    pub async fn prepare(self) -> World {
        let told_before = secrets::listen();
        let clock = ManualClock::new(self.beginning);
        let alc = Alc::start_on(0, self.alc).await.expect("a pretend ALC");
        let attio = Attio::start().await.expect("a pretend Attio");
        let door = Turns::open(seed()).await;
        let mut settings = Settings::between(&alc, &attio, &door.url());
        if self.attio_grants {
            settings.take_attio_grants(&attio);
        }
        let store = match self.store {
            StoreChoice::Sqlite => {
                let directory = tempfile::tempdir().expect("a directory");
                let file: PathBuf = directory.path().join("store.db");
                settings.set("STORE__URL", &format!("sqlite:{}", file.display()));
                Store::Sqlite(directory)
            }
            StoreChoice::Redis => {
                let server = RedisServer::start_durable();
                settings.set("STORE__URL", &server.url());
                Store::Redis(server)
            }
        };
        for (name, value) in &self.changes {
            settings.set(name, value);
        }
        let world = World {
            clock,
            alc,
            attio,
            door,
            settings,
            store,
            replicas: Vec::new(),
            client: http::client(),
            in_real_time: false,
            told_before,
        };
        world.settings.secrets().for_each(|secret| secrets::learn(&secret));
        world.show_time();
        world
    }

    /// Starts it all, and connects.
    pub async fn connected(self) -> (World, AttioApp) {
        let world = self.start().await;
        let app = world.connect().await;
        (world, app)
    }
}

/// A different seed for each world of a run, the same ones in each run of one test by itself.
fn seed() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Everything, running.
pub struct World {
    /// The time of all replicas and both pretend services.
    pub clock: ManualClock,
    /// The pretend ALC.
    pub alc: Alc,
    /// The pretend Attio.
    pub attio: Attio,
    /// What the replicas were started with.
    pub settings: Settings,
    /// Speaks to the service.
    pub client: reqwest::Client,
    door: Turns,
    store: Store,
    replicas: Vec<Replica>,
    in_real_time: bool,
    told_before: usize,
}

/// A person in Attio.
#[derive(Debug, Clone)]
pub struct Person {
    /// The record.
    pub record_id: String,
    /// The name.
    pub name: String,
    /// The number, as E.164.
    pub phone: String,
}

impl World {
    /// The service's public URL.
    pub fn url(&self) -> String {
        self.door.url()
    }

    /// The replicas that run.
    pub fn replicas(&self) -> &[Replica] {
        &self.replicas
    }

    /// Redis dies and comes again, with all that it acknowledged; nothing happens on SQLite.
    pub fn restart_redis(&mut self) {
        if let Store::Redis(server) = &mut self.store {
            server.kill();
            server.start_again();
        }
    }

    /// The Redis server.
    ///
    /// # Panics
    /// On SQLite.
    pub fn redis(&mut self) -> &mut RedisServer {
        match &mut self.store {
            Store::Redis(server) => server,
            Store::Sqlite(directory) => panic!("the store is in {}", directory.path().display()),
        }
    }

    /// As [`World::redis`], to be asked something.
    ///
    /// # Panics
    /// On SQLite.
    pub fn redis_server(&self) -> &RedisServer {
        match &self.store {
            Store::Redis(server) => server,
            Store::Sqlite(directory) => panic!("the store is in {}", directory.path().display()),
        }
    }

    /// Whether an attempt is given up within half a second: see [`Setup::impatient`].
    pub fn is_impatient(&self) -> bool {
        self.settings.has("ALC__TIMEOUT", IMPATIENCE)
    }

    /// How many tasks of the replicas are under way, and how many that wait for the time have not noticed it yet.
    pub fn under_way(&self) -> usize {
        self.clock.waking() + self.replicas.iter().map(Replica::under_way).sum::<usize>()
    }

    /// All that the store has on its disk.
    pub fn stored(&self) -> Vec<u8> {
        match &self.store {
            Store::Sqlite(directory) => bytes_in(directory.path()),
            Store::Redis(server) => {
                let folder = server.command("CONFIG GET dir");
                bytes_in(Path::new(folder.trim_end().lines().last().expect("a folder")))
            }
        }
    }

    /// Starts one more replica.
    pub async fn start_replica(&mut self) {
        self.replicas.push(Replica::start(&self.settings, &self.clock).await);
        self.lead_to_all();
    }

    /// Starts one more replica, on a store of the test's own.
    pub async fn start_replica_on(&mut self, store: alc_connector::store::Store) {
        let clock = Arc::new(self.clock.clone());
        self.replicas.push(Replica::start_on(&self.settings, clock, Some(store)).await);
        self.lead_to_all();
    }

    /// Starts one more replica, on a clock of the test's own.
    pub async fn start_replica_by(&mut self, clock: SharedClock) {
        self.replicas.push(Replica::start_on(&self.settings, clock, None).await);
        self.lead_to_all();
    }

    /// Stops all replicas as SIGTERM would, and starts as many again.
    pub async fn restart(&mut self) {
        let count = self.replicas.len();
        self.stop().await;
        for _ in 0..count {
            self.start_replica().await;
        }
    }

    /// Stops all replicas as SIGTERM would.
    pub async fn stop(&mut self) {
        for replica in self.replicas.drain(..) {
            replica.stop().await;
        }
        self.lead_to_all();
    }

    fn lead_to_all(&self) {
        self.lead_to(self.replicas.iter().map(|replica| replica.public).collect());
    }

    /// Which replicas the front door leads to from now on, such as processes.
    pub fn lead_to(&self, addresses: Vec<SocketAddr>) {
        self.door.lead_to(addresses);
    }

    /// Stops all replicas: from now on one process serves in their place, in real time.
    pub async fn in_a_process(&mut self) -> Process {
        self.stop().await;
        self.live_in_real_time();
        let mut process = Process::new(&self.settings);
        process.start().await;
        self.lead_to(vec![process.public]);
        process
    }

    /// The pretend services go by the machine's clock, as processes do.
    pub fn live_in_real_time(&mut self) {
        self.in_real_time = true;
        self.alc.set_time(None);
        self.attio.set_time(None);
    }

    /// Whether they do.
    pub fn is_in_real_time(&self) -> bool {
        self.in_real_time
    }

    /// A fresh person in Attio.
    pub fn person(&self) -> Person {
        let (name, phone) = ("Ada Lovelace".to_owned(), "+12015550123".to_owned());
        secrets::learn(&name);
        secrets::learn(phone.trim_start_matches('+'));
        Person { record_id: self.attio.add_person(&name, &phone), name, phone }
    }

    /// A browser without cookies.
    pub fn browser(&self) -> Browser {
        Browser::new(self.client.clone())
    }

    /// Goes through the consent; the connection is `incoming`.
    pub async fn authorize(&self) -> AttioApp {
        AttioApp::authorize(self).await
    }

    /// Goes through the consent and lets Attio tell of it; the connection is `connected`.
    pub async fn connect(&self) -> AttioApp {
        let app = self.authorize().await;
        app.connection_added().await.expect(201);
        app
    }

    /// ALC tells the result of a person's newest lead; the service has taken it.
    pub async fn call_back(&self, person: &Person, result: &str) {
        self.tell(Callback::new(&person.record_id, result), 200).await;
    }

    /// ALC makes this call and gets `status`.
    pub async fn tell(&self, callback: Callback, status: u16) -> alc::Answer {
        let answer = self.alc.call_back(callback).await;
        assert_eq!(answer.status, status, "{}", answer.body);
        answer
    }

    /// The present time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Moves time ahead for all parties, once what is under way has ended: a clock that outruns an answer on its way
    /// makes leases run out that had minutes, and a busy machine would decide which tests pass.
    pub async fn pass(&self, by: Duration) {
        self.rest().await;
        self.clock.advance(by);
        self.show_time();
    }

    /// Waits until nothing is under way but what the pretend services withhold. A step that itself waits for the clock
    /// never ends so: real time bounds the wait.
    async fn rest(&self) {
        let watch = Stopwatch::start();
        let withheld = || self.alc.faults().withheld() + self.attio.faults().withheld();
        while self.under_way() > withheld() && watch.elapsed() < LONGEST_REST {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn show_time(&self) {
        if self.in_real_time {
            return;
        }
        self.alc.set_time(Some(self.clock.now()));
        self.attio.set_time(Some(self.clock.now()));
    }

    /// Moves time ahead by `step` again and again until `done`, at most by `limit`.
    ///
    /// # Panics
    /// When `limit` has passed without it.
    pub async fn pass_until(&self, what: &str, step: Duration, limit: Duration, mut done: impl AsyncFnMut() -> bool) {
        let (mut passed, watch) = (Duration::ZERO, Stopwatch::start());
        while !settled(step, &mut done).await {
            if passed >= limit {
                return self.overtime(what, limit, done).await;
            }
            assert!(watch.elapsed() < PATIENCE * 2, "{what}: {passed:?} passed in too long a real time");
            self.pass(step).await;
            passed += step;
        }
    }

    /// What is due by the `limit` may take a while on a busy machine, whose workers have lost leases as time jumped:
    /// for as long as one has patience, a tenth of the limit passes besides.
    async fn overtime(&self, what: &str, limit: Duration, mut done: impl AsyncFnMut() -> bool) {
        let (mut parts, watch) = (0, Stopwatch::start());
        while !settled(limit, &mut done).await {
            assert!(watch.elapsed() < PATIENCE, "{what}: not within {limit:?}");
            if parts < 10 && watch.elapsed() > Duration::from_secs(1) * parts {
                self.pass(limit / 100).await;
                parts += 1;
            }
        }
    }

    /// Moves time ahead in `step`s, `count` times, with room to work between, for what should not happen.
    pub async fn pass_slowly(&self, step: Duration, count: u32) {
        for _ in 0..count {
            self.pass(step).await;
            settled(step, &mut async || false).await;
        }
    }

    /// What comes of `doing` while time goes on: some answers wait for it.
    pub async fn while_time_passes<T>(&self, doing: impl Future<Output = T>) -> T {
        let mut doing = std::pin::pin!(doing);
        loop {
            if let Ok(done) = tokio::time::timeout(Duration::from_millis(300), &mut doing).await {
                return done;
            }
            self.pass(Duration::from_secs(1)).await;
        }
    }

    /// Waits until Attio shows `status` for `person`. Time creeps on meanwhile: writes to Attio are paced by it.
    pub async fn shows(&self, person: &Person, status: &str) {
        let shown = async || self.attio.status(&person.record_id).as_deref() == Some(status);
        let what = format!("Attio shows {status}");
        self.pass_until(&what, Duration::from_millis(50), MINUTE, shown).await;
    }

    /// Waits until the workspace's leads have come to rest: nothing of `person`'s lead is owed to Attio.
    pub async fn synced(&self, app: &AttioApp, person: &Person) {
        let synced = async || app.lead(person).await.json()["attio"] == "synced";
        self.pass_until("the lead is synced", Duration::from_millis(50), MINUTE, synced).await;
    }
}

impl Drop for World {
    /// Whatever else a test is about: nothing secret was told, and every request to Attio had Attio's shape, and so had
    /// every answer.
    fn drop(&mut self) {
        secrets::learn_members(&self.alc.state(), &["access_tokens", "refresh_token", "code", "codes", "secret"]);
        for webhook in self.alc.webhooks() {
            secrets::learn(webhook.url.rsplit('/').next().unwrap_or_default());
        }
        for seen in self.attio.journal().all() {
            match seen.operation {
                "token" => secrets::learn_form(&seen.body, "code"),
                "revoke" => secrets::learn_form(&seen.body, "token"),
                // Anybody who knows where a workflow waits can speak to it: its URL is a secret.
                "workflow_callback" => secrets::learn(&seen.path),
                _ => {}
            }
            if seen.operation == "token" {
                let granted = serde_json::from_str(seen.answer.as_deref().unwrap_or_default()).unwrap_or_default();
                secrets::learn_members(&granted, &["access_token"]);
            }
        }
        let leaks = secrets::leaks(self.told_before, &alc_connector::telemetry::metrics().render());
        if !std::thread::panicking() {
            assert!(
                leaks.is_empty(),
                "told to whoever reads logs, metrics or errors:
{}",
                leaks.join(
                    "
"
                )
            );
            let faults = attio_shapes::faults(&self.attio);
            assert!(
                faults.is_empty(),
                "not as Attio has it (tests/attio):
{}",
                faults.join(
                    "
"
                )
            );
        }
    }
}

/// The content of all files in a folder and below.
fn bytes_in(folder: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        bytes.extend(if path.is_dir() { bytes_in(&path) } else { fs::read(&path).expect("a file") });
    }
    bytes
}

/// Gives the service a moment of real time to do what is due after a `step`; `true` as soon as `done`.
async fn settled(step: Duration, done: &mut impl AsyncFnMut() -> bool) -> bool {
    for _ in 0..if step < HOUR { 6 } else { 20 } {
        if done().await {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}

/// Runs a scenario to its end.
pub fn run<F: Future<Output = ()>>(scenario: F) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(scenario);
    runtime.shutdown_timeout(Duration::from_secs(5));
}

/// Makes three tests of one scenario.
macro_rules! scenario {
    ($(#[$meta:meta])* async fn $name:ident($setup:ident: Setup) $body:block) => {
        $(#[$meta])*
        mod $name {
            use super::*;

            async fn scenario($setup: Setup) $body

            #[test]
            fn on_sqlite() {
                crate::support::harness::run(scenario(Setup::sqlite()));
            }

            #[test]
            fn on_redis() {
                crate::support::harness::run(scenario(Setup::redis()));
            }

            #[test]
            fn on_redis_with_two_replicas() {
                crate::support::harness::run(scenario(Setup::two_replicas()));
            }
        }
    };
}
pub(crate) use scenario;

/// A minute.
pub const MINUTE: Duration = Duration::from_secs(60);
/// An hour.
pub const HOUR: Duration = Duration::from_secs(3600);
/// A day.
pub const DAY: Duration = Duration::from_secs(86_400);
