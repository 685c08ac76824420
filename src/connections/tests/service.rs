//! Over a real store and real HTTP; time by a manual clock.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use mockito::{Matcher, Mock, Server, ServerGuard};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

use crate::{
    alc::{
        self,
        oauth::{self, Tokens},
    },
    attio,
    clock::{Clock as _, ManualClock, SharedClock, from_micros},
    connections::{
        Code, ConnectError, Connected, Connection, Connections, Consent, FactsOfLead, Grant, Granted, IdentifyError,
        MayNotConnect, NoGrant, Parts, RedeemError, Settings, Standing, Webhook, WebhookSignature, Workspace, tenant,
        workspace::{claim::Claim, side::Side},
        writing::Edit,
    },
    ids::{ConnectionId, OpaqueToken, RecordId, WebhookId, WorkspaceId},
    lifecycle::Lifecycle,
    sealing::{Sealer, generate_key},
    store::{
        Change, Commit, Committed, Decision, Document, Key, Kind, LeaseChange, LeaseRequest, Patience, Store,
        StoreError, Tenant, Versioned, Write,
        gate::{Gate, Gates, Verdict as GateVerdict},
        sqlite::SqliteEngine,
    },
    upstream::{Caller, Schedule, http_clients},
};

mod cleanup;
mod hiccups;
mod secrets;
mod takeover;

const LEASE: Duration = Duration::from_secs(25);
const HOUR: Duration = Duration::from_secs(60 * 60);
/// How long a leaving connection's tokens may be in use.
const UNDER_WAY: Duration = Duration::from_secs(30);
const REDIRECT: &str = "https://app.attio.test/callback";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// What ALC was asked to register, as it came.
type Hooks = Arc<Mutex<Vec<Value>>>;

struct World {
    server: ServerGuard,
    clock: ManualClock,
    store: Store,
    sealer: Arc<Sealer>,
    workspace: WorkspaceId,
    tenant: Tenant,
    lifecycle: Lifecycle,
    _folder: TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let engine = SqliteEngine::open(&folder.path().join("db"), Duration::ZERO).await.expect("opens");
        let workspace = WorkspaceId::random();
        let clock = ManualClock::new(from_micros(1_700_000_000_000_000));
        let mut world = Self {
            server: Server::new_async().await,
            store: Store::new(Arc::new(engine)).on_clock(Arc::new(clock.clone())),
            clock,
            sealer: Arc::new(Sealer::new(&generate_key(), None).expect("a good key")),
            workspace,
            tenant: tenant(workspace),
            lifecycle: Lifecycle::new(),
            _folder: folder,
        };
        let me = json!({"active": true, "workspace_id": workspace, "scope": "record_permission:read-write"});
        world.server.mock("GET", "/v2/self").with_body(me.to_string()).expect_at_least(0).create_async().await;
        // As the real one does where PUBLIC_URL is not https.
        world.server.mock("POST", "/v2/webhooks").with_status(400).expect_at_least(0).create_async().await;
        let status = json!({"data": [{"api_slug": "alc_status", "type": "text"}]});
        let attributes = world.server.mock("GET", "/v2/objects/people/attributes").match_query(Matcher::Any);
        attributes.with_body(status.to_string()).expect_at_least(0).create_async().await;
        world
    }

    fn connections(&self) -> Connections {
        self.connections_with(WebhookSignature::WhenSecretKnown)
    }

    /// Another replica.
    fn connections_with(&self, webhook_signature: WebhookSignature) -> Connections {
        let clock: SharedClock = Arc::new(self.clock.clone());
        let base: Url = self.server.url().parse().expect("a URL");
        let at = |path: &str| base.join(path).expect("a URL");
        let http = http_clients(Duration::from_secs(5)).expect("a client");
        let caller = |upstream| Caller::new(http.clone(), upstream, Duration::from_secs(5), clock.clone());
        let oauth = oauth::Settings {
            authorize_url: at("/oauth/authorize"),
            token_url: at("/oauth/token"),
            revoke_url: Some(at("/oauth/revoke")),
            client_id: "us".to_owned(),
            client_secret: SecretString::from("secret"),
            scopes: Vec::new(),
            client_authentication: oauth::ClientAuthentication::Basic,
            redirect_uri: "http://127.0.0.1:8080/oauth/callback".parse().expect("a URL"),
        };
        let parts = Parts {
            store: self.store.clone(),
            sealer: self.sealer.clone(),
            alc: alc::Client::new(caller("alc"), base.clone()),
            oauth: oauth::OAuth::new(caller("alc"), oauth),
            attio: attio::Client::new(caller("attio"), base.clone()),
            attio_oauth: None,
            clock,
            lifecycle: self.lifecycle.clone(),
            facts_of_lead,
        };
        let settings = Settings {
            public_url: "http://127.0.0.1:8080".parse().expect("a URL"),
            attio_api_key: Some(SecretString::from("attio-key")),
            attributes: attio::Attributes { status: "alc_status".to_owned(), lead_id: None, result: None },
            pipeline: None,
            titles: {
                let [pending, complete, failed] = ["Pending", "Complete", "Failed"].map(str::to_owned);
                attio::Titles { pending, complete, failed }
            },
            send_on_list: None,
            attio_gate: Gates::new(25).attio,
            webhook_signature,
            retry_schedule: Schedule::new([1, 5, 30].map(Duration::from_secs).to_vec()),
            upstream_timeout: Duration::from_secs(10),
            retention: 120 * 24 * HOUR,
        };
        let connections = Connections::new(parts, settings);
        // As once Attio has said so, at the start of the process.
        connections.key_owner.is(self.workspace);
        connections
    }

    /// ALC registers webhooks, and says so with this status.
    async fn alc_registers(&mut self, status: usize, secret: Option<&str>) -> (Hooks, Mock) {
        let hooks = Hooks::default();
        let (seen, secret) = (hooks.clone(), secret.map(str::to_owned));
        let mock = self.server.mock("POST", "/api/v1/webhooks").with_status(status);
        let mock = mock.with_body_from_request(move |request| {
            let body = serde_json::from_slice(request.body().expect("a body")).expect("JSON");
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.push(body);
            json!({"webhook_id": format!("h{}", seen.len()), "secret": secret}).to_string().into()
        });
        (hooks, mock.create_async().await)
    }

    /// ALC lists what it registered.
    async fn alc_lists(&mut self, hooks: &Hooks) -> Mock {
        let hooks = hooks.clone();
        let mock = self.server.mock("GET", "/api/v1/webhooks").with_body_from_request(move |_| {
            let hooks = hooks.lock().unwrap_or_else(PoisonError::into_inner);
            let listed: Vec<_> = hooks
                .iter()
                .enumerate()
                .map(|(at, hook)| json!({"webhook_id": format!("h{}", at + 1), "name": hook["name"]}))
                .collect();
            json!({"webhooks": listed}).to_string().into()
        });
        mock.create_async().await
    }

    async fn tokens_answer(&mut self, status: usize, body: Value) -> Mock {
        let mock = self.server.mock("POST", "/oauth/token").with_status(status);
        mock.with_header("content-type", "application/json").with_body(body.to_string()).create_async().await
    }

    fn consent(&self, alc: Tokens) -> Consent {
        Consent { alc, asked_at: self.clock.now(), attio: None }
    }

    /// A code of this workspace, and what is kept of it.
    fn code(&self) -> (OpaqueToken, Code) {
        let code = OpaqueToken::new(self.workspace);
        let kept = Code::new(&code, REDIRECT.to_owned(), Some(CHALLENGE.to_owned()), self.clock.now());
        (code, kept)
    }

    async fn open(&self, tokens: Tokens) -> (ConnectionId, OpaqueToken) {
        let connections = self.connections();
        let (_, code) = self.code();
        let redeemed = connections.open_incoming(self.workspace, self.consent(tokens), code).await.expect("opens");
        (redeemed.connection, redeemed.refresh_token)
    }

    async fn connect(&self, tokens: Tokens) -> ConnectionId {
        let (connection, _) = self.open(tokens).await;
        let connected = self.added(connection).await.expect("connects");
        assert!(connected.newly);
        assert_eq!(connected.view.status, "connected");
        connection
    }

    async fn added(&self, connection: ConnectionId) -> Result<Connected, ConnectError> {
        let owner = self.workspace.to_string();
        self.connections().connection_added(self.workspace, connection, "workspace", &owner).await
    }

    async fn load(&self) -> Option<Versioned<Workspace>> {
        self.connections().load(&self.tenant).await.expect("loads")
    }

    async fn standing(&self, connection: ConnectionId) -> Standing {
        self.load().await.map_or(Standing::Unknown, |workspace| workspace.value.standing(connection))
    }

    /// ALC goes on saying 401 to a token for which there is no other.
    async fn refuses_until_dead(&self, grant: &Grant) {
        for _ in 0..4 {
            match self.connections().alc_grant_after_401(&self.tenant, grant).await {
                Err(NoGrant::ReauthorizationRequired) => return,
                Err(NoGrant::Unavailable { .. }) => self.clock.advance(Duration::from_secs(30)),
                other => panic!("{other:?}"),
            }
        }
        panic!("ALC is never believed");
    }

    /// What the reconciler does, until nothing is due.
    async fn reconcile(&self) {
        self.reconcile_by(&self.connections()).await;
    }

    /// The same by this replica.
    async fn reconcile_by(&self, connections: &Connections) {
        loop {
            let request = LeaseRequest::up_to(10, LEASE);
            let leased = self.store.lease_due(&request, self.clock.now()).await.expect("leases").leased;
            let workspaces: Vec<_> = leased.into_iter().filter(|it| it.key.kind == Kind::Workspace).collect();
            if workspaces.is_empty() {
                return;
            }
            for workspace in workspaces {
                connections.step(workspace, LEASE).await.expect("steps");
            }
        }
    }

    async fn put_lead(&self, record: RecordId, status: &'static str, webhook: WebhookId) {
        let change = Change::Put {
            body: json!({"schema": 1, "send": {"webhook": webhook}}).to_string(),
            status: status.into(),
            created_at: self.clock.now(),
            lease: LeaseChange::Leave { due: None },
            urgent: false,
            expires_at: None,
        };
        let key = Key::new(Kind::Lead, record);
        let loaded = self.store.load(&self.tenant, std::slice::from_ref(&key), &[], self.clock.now()).await;
        let expected = loaded.expect("loads").documents[0].as_ref().map(|lead| lead.version);
        let commit = Commit::of(vec![Write { key, expected, change }]);
        let committed = self.store.commit(&self.tenant, &commit, self.clock.now()).await.expect("commits");
        assert!(matches!(committed, Committed::Done(_)));
    }
}

/// What [`World::put_lead`] wrote.
fn facts_of_lead(document: &Document) -> Result<FactsOfLead, StoreError> {
    let body: Value = serde_json::from_str(&document.body).expect("JSON");
    let webhooks = vec![serde_json::from_value(body["send"]["webhook"].clone()).expect("a webhook")];
    Ok(FactsOfLead { webhooks, owes_attio: false })
}

fn tokens(access: &str, refresh: Option<&str>) -> Tokens {
    Tokens { access: access.into(), refresh: refresh.map(Into::into), expires_in: Some(HOUR) }
}

fn url_secret(hook: &Value) -> SecretString {
    let url = hook["url"].as_str().expect("a URL");
    let token = url.strip_prefix("http://127.0.0.1:8080/webhooks/alc/").expect("our path");
    OpaqueToken::parse(token).expect("a token").secret
}

fn hook(hooks: &Hooks, at: usize) -> Value {
    hooks.lock().unwrap_or_else(PoisonError::into_inner)[at].clone()
}

#[tokio::test]
async fn from_a_code_to_the_last_token() {
    let mut world = World::new().await;
    let (hooks, registered) = world.alc_registers(201, Some("whsec_c2VjcmV0")).await;
    let (connection, refresh) = world.open(tokens("a1", Some("r1"))).await;
    let connections = world.connections();
    assert_eq!(world.standing(connection).await, Standing::Incoming);
    assert!(world.added(connection).await.expect("connects").newly);
    assert!(!world.added(connection).await.expect("again").newly);
    registered.assert_async().await;

    let workspace = world.load().await.expect("there").value;
    assert_eq!(workspace.standing(connection), Standing::Current);
    let webhook = workspace.webhook_by_secret(&url_secret(&hook(&hooks, 0))).expect("answers");
    assert_eq!(workspace.sending_webhook(), Some(webhook.id));
    assert_eq!(hook(&hooks, 0)["name"], json!(format!("alc-connector {}", webhook.id)));
    let secret = connections.webhook_secret(&workspace, webhook).expect("opens").known().expect("known");
    assert_eq!(secret.expose_secret(), "whsec_c2VjcmV0");
    assert_eq!(connections.attio_token(&workspace).expect("the key").expose_secret(), "attio-key");
    assert_eq!(connections.check_refresh_token(&refresh).await.expect("good"), (world.workspace, connection));

    let deleted = world.server.mock("DELETE", "/api/v1/webhooks/h1").with_status(404).create_async().await;
    let revoked = world.server.mock("POST", "/oauth/revoke").expect(2).create_async().await;
    world.reconcile().await;
    assert_eq!(world.standing(connection).await, Standing::Current);
    let (record, webhook) = (RecordId::random(), webhook.id);
    world.put_lead(record, "queued", webhook).await;
    connections.remove(world.workspace, connection).await.expect("removes");
    assert!(connections.check_refresh_token(&refresh).await.is_err());
    assert!(world.load().await.expect("there").value.disconnected_at.is_some());
    world.reconcile().await;
    deleted.assert_async().await;
    assert!(!revoked.matched_async().await, "a send that was committed before may be under way");
    world.put_lead(record, "complete", webhook).await;
    world.clock.advance(UNDER_WAY);
    world.reconcile().await;
    revoked.assert_async().await;
    assert_eq!(world.standing(connection).await, Standing::Unknown);
    connections.remove(world.workspace, connection).await.expect("again");
    assert!(world.load().await.is_some(), "its leads have yet to end");
    world.clock.advance(119 * 24 * HOUR);
    world.reconcile().await;
    assert!(world.load().await.is_some(), "they are kept for 120 days");
    world.clock.advance(24 * HOUR);
    world.reconcile().await;
    assert!(world.load().await.is_none(), "nothing is left");
}

/// As the release before this one stored a consent: in the workspace at once, with its code still to be redeemed.
async fn opened_by_the_release_before(world: &World, tokens: &Tokens, code: Code) {
    let connections = world.connections();
    let (id, now) = (ConnectionId::random(), world.clock.now());
    let tokens = connections.seal_tokens(world.workspace, id, tokens, now);
    let connection = Connection::incoming(id, tokens, None, code, 0.5, now);
    let open = |found: &mut Option<Versioned<Workspace>>, now| {
        let found = found.get_or_insert_with(|| Versioned::new(Workspace::new(world.workspace, now)));
        found.value.opened(connection.clone(), now);
        Decision::Write(LeaseChange::Leave { due: found.value.due(now) }, ())
    };
    world.store.change(&world.tenant, "", Patience::CALLER, open).await.expect("stored");
}

#[tokio::test]
async fn a_code_that_waits_in_a_connection_is_redeemed_once() {
    let world = World::new().await;
    let connections = world.connections();
    let (code, kept) = world.code();
    opened_by_the_release_before(&world, &tokens("a", None), kept).await;
    let refused = connections.redeem_code(&code, Some(REDIRECT), Some("another")).await;
    assert!(matches!(refused, Err(RedeemError::InvalidGrant(_))));
    let given = connections.redeem_code(&code, Some(REDIRECT), Some(VERIFIER)).await.expect("redeems");
    assert!(connections.check_refresh_token(&given.refresh_token).await.is_ok());
    assert!(connections.redeem_code(&code, Some(REDIRECT), Some(VERIFIER)).await.is_err());
    assert!(connections.check_refresh_token(&given.refresh_token).await.is_err(), "what it gave is taken back");

    let (late, kept) = world.code();
    opened_by_the_release_before(&world, &tokens("b", None), kept).await;
    world.clock.advance(Duration::from_secs(60));
    assert!(connections.redeem_code(&late, Some(REDIRECT), Some(VERIFIER)).await.is_err());
    assert!(connections.redeem_code(&OpaqueToken::new(world.workspace), Some(REDIRECT), None).await.is_err());
}

#[tokio::test]
async fn a_code_that_comes_again_takes_back_what_it_gave() {
    let world = World::new().await;
    let connections = world.connections();
    let (code, mut kept) = world.code();
    kept.used = true;
    let given = connections.open_incoming(world.workspace, world.consent(tokens("a", None)), kept).await;
    let given = given.expect("opens").refresh_token;
    assert!(connections.check_refresh_token(&given).await.is_ok());
    assert!(connections.redeem_code(&code, Some(REDIRECT), Some(VERIFIER)).await.is_err());
    assert!(connections.check_refresh_token(&given).await.is_err());
}

#[tokio::test]
async fn a_connection_that_nobody_adds_is_revoked_and_erased() {
    let mut world = World::new().await;
    let (connection, _) = world.open(tokens("a1", None)).await;
    world.clock.advance(HOUR);
    let away = world.server.mock("POST", "/oauth/revoke").with_status(503).create_async().await;
    world.reconcile().await;
    away.assert_async().await;
    assert_eq!(world.standing(connection).await, Standing::Leaving);
    away.remove_async().await;
    let revoked = world.server.mock("POST", "/oauth/revoke").create_async().await;
    world.clock.advance(Duration::from_secs(2));
    world.reconcile().await;
    revoked.assert_async().await;
    assert!(world.load().await.is_none());
}

#[tokio::test]
async fn two_replicas_refresh_an_expired_token_once() {
    let mut world = World::new().await;
    world.alc_registers(201, None).await;
    world.connect(tokens("a1", Some("r1"))).await;
    let asked = world.tokens_answer(200, json!({"access_token": "a2", "token_type": "bearer"})).await;
    world.clock.advance(2 * HOUR);
    let (one, two) = (world.connections(), world.connections());
    let workspace = world.load().await.expect("there");
    let (first, second) =
        tokio::join!(one.alc_grant(&world.tenant, &workspace), two.alc_grant(&world.tenant, &workspace));
    let ((first, newer), (second, _)) = (first.expect("a grant"), second.expect("a grant"));
    assert_eq!(first.access_token.expose_secret(), "a2");
    assert_eq!(second.access_token.expose_secret(), "a2");
    assert!(newer.expect("loaded again").version() > workspace.version());
    asked.assert_async().await;
    // The answer named no refresh token and no expiry: the old one stays, for an hour.
    let (grant, newer) = one.alc_grant(&world.tenant, &world.load().await.expect("there")).await.expect("a grant");
    assert!(newer.is_none());
    assert_eq!(grant.generation, 2);
    world.clock.advance(HOUR);
    asked.remove_async().await;
    let again = world.server.mock("POST", "/oauth/token").match_body(Matcher::Regex("refresh_token=r1".to_owned()));
    let again = again.with_header("content-type", "application/json");
    let again = again.with_body(r#"{"access_token":"a3","token_type":"bearer"}"#).create_async().await;
    world.reconcile().await;
    again.assert_async().await;
}

#[tokio::test]
async fn a_worker_that_lost_its_lease_still_records_what_alc_gave_it() {
    let mut world = World::new().await;
    world.alc_registers(201, None).await;
    let connection = world.connect(tokens("a1", Some("r1"))).await;
    world.reconcile().await;
    let (arrived, mut arrival) = tokio::sync::mpsc::unbounded_channel();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = Mutex::new(held);
    let slow = world.server.mock("POST", "/oauth/token").with_header("content-type", "application/json");
    let slow = slow.with_body_from_request(move |_| {
        arrived.send(()).expect("the test waits");
        let _ = held.lock().unwrap_or_else(PoisonError::into_inner).recv();
        br#"{"access_token": "a2", "refresh_token": "r2", "token_type": "bearer"}"#.to_vec()
    });
    let slow = slow.create_async().await;
    world.clock.advance(HOUR);
    let request = LeaseRequest::up_to(1, LEASE);
    let leased = world.store.lease_due(&request, world.clock.now()).await.expect("leases").leased.remove(0);
    let connections = world.connections();
    let stepping = world.lifecycle.spawn(async move { connections.step(leased, LEASE).await });
    arrival.recv().await.expect("ALC is asked");
    world.clock.advance(HOUR);
    let other = world.store.lease_due(&request, world.clock.now()).await.expect("leases").leased.remove(0);
    assert!(other.ran_out);
    release.send(()).expect("ALC waits");
    stepping.await.expect("ends").expect("records");
    slow.assert_async().await;
    let workspace = world.load().await.expect("there");
    assert_eq!(workspace.document.lease.map(|it| it.token), other.document.lease.map(|it| it.token));
    let current = workspace.value.connection(connection).expect("there");
    assert_eq!(current.alc.generation, 2, "the tokens are kept");
    assert!(current.refreshing.is_none());
}

#[tokio::test]
async fn a_401_means_other_tokens_or_a_dead_grant() {
    let mut world = World::new().await;
    world.alc_registers(201, None).await;
    let connection = world.connect(tokens("a1", Some("r1"))).await;
    let connections = world.connections();
    let (grant, _) = connections.alc_grant(&world.tenant, &world.load().await.expect("there")).await.expect("a1");
    let answer = json!({"access_token": "a2", "refresh_token": "r2", "expires_in": 3600, "token_type": "bearer"});
    let asked = world.tokens_answer(200, answer).await;
    let (newer, _) = connections.alc_grant_after_401(&world.tenant, &grant).await.expect("a2");
    assert_eq!(newer.access_token.expose_secret(), "a2");
    // A caller that still held the first token gets the second without another refresh.
    let (same, _) = connections.alc_grant_after_401(&world.tenant, &grant).await.expect("a2");
    assert_eq!(same.generation, newer.generation);
    asked.assert_async().await;
    asked.remove_async().await;

    let away = world.tokens_answer(503, json!({"error": "invalid_grant"})).await;
    world.clock.advance(Duration::from_secs(30));
    let outage = connections.alc_grant_after_401(&world.tenant, &newer).await;
    assert!(matches!(outage, Err(NoGrant::Unavailable { .. })), "{outage:?}");
    assert_eq!(world.standing(connection).await, Standing::Current, "an outage disconnects nobody");
    away.remove_async().await;
    world.clock.advance(Duration::from_secs(40));
    world.tokens_answer(400, json!({"error": "invalid_grant"})).await;
    let dead = connections.alc_grant_after_401(&world.tenant, &newer).await;
    assert!(matches!(dead, Err(NoGrant::ReauthorizationRequired)), "{dead:?}");
    let view = connections.view(world.workspace, connection).await.expect("loads").expect("stands");
    assert_eq!(view.status, "reauthorization-required");
}

#[tokio::test]
async fn without_a_refresh_token_a_401_that_goes_on_is_the_end() {
    let mut world = World::new().await;
    world.alc_registers(201, None).await;
    let connection = world.connect(tokens("a1", None)).await;
    world.clock.advance(3 * HOUR);
    let connections = world.connections();
    let (grant, _) = connections.alc_grant(&world.tenant, &world.load().await.expect("there")).await.expect("a1");
    // However many requests meet the first one, and whatever is asked before its pause is over.
    for _ in 0..3 {
        let paused = connections.alc_grant_after_401(&world.tenant, &grant).await;
        let Err(NoGrant::Unavailable { retry_at, .. }) = paused else { panic!("{paused:?}") };
        assert_eq!(retry_at, world.clock.now() + Duration::from_secs(30));
        let workspace = world.load().await.expect("there");
        assert!(connections.alc_grant(&world.tenant, &workspace).await.is_err(), "it is not used meanwhile");
        assert!(connections.fresh_grant(&workspace.value, world.clock.now()).is_none());
    }
    assert_eq!(world.standing(connection).await, Standing::Current);
    world.clock.advance(Duration::from_secs(30));
    connections.alc_grant(&world.tenant, &world.load().await.expect("there")).await.expect("it is tried again");
    world.refuses_until_dead(&grant).await;
    assert_eq!(world.standing(connection).await, Standing::ReauthorizationRequired);
}

#[tokio::test]
async fn what_a_failed_connect_made_is_undone() {
    let mut world = World::new().await;
    // ALC makes it, says 201 without a secret, and a secret is required.
    let (hooks, _registered) = world.alc_registers(201, None).await;
    world.alc_lists(&hooks).await;
    let (connection, _) = world.open(tokens("a1", None)).await;
    let owner = world.workspace.to_string();
    let strict = world.connections_with(WebhookSignature::Required);
    let refused = strict.connection_added(world.workspace, connection, "workspace", &owner).await;
    assert!(matches!(refused, Err(ConnectError::Refused(_))), "{refused:?}");
    let deleted = world.server.mock("DELETE", "/api/v1/webhooks/h1").with_status(204).create_async().await;
    world.reconcile().await;
    deleted.assert_async().await;
    let workspace = world.load().await.expect("there").value;
    assert_eq!(workspace.standing(connection), Standing::Incoming);
    assert!(workspace.webhook_by_secret(&url_secret(&hook(&hooks, 0))).is_none());
    // Another try of the same connection works.
    assert!(world.added(connection).await.expect("connects").newly);
}

#[tokio::test]
async fn a_webhook_whose_answer_was_lost_is_made_again_to_learn_its_secret() {
    let mut world = World::new().await;
    let (hooks, lost) = world.alc_registers(500, Some("whsec_bG9zdA==")).await;
    world.alc_lists(&hooks).await;
    let deleted = world.server.mock("DELETE", "/api/v1/webhooks/h1").create_async().await;
    let answered = world.server.mock("POST", "/api/v1/webhooks").with_status(201);
    let answered = answered.with_body(r#"{"webhook_id": "h2", "secret": "whsec_c2VjcmV0"}"#).create_async().await;
    world.connect(tokens("a1", None)).await;
    world.reconcile().await;
    for mock in [lost, deleted, answered] {
        mock.assert_async().await;
    }
    let workspace = world.load().await.expect("there").value;
    assert!(workspace.webhook_by_secret(&url_secret(&hook(&hooks, 0))).is_none());
    let webhook = workspace.sending_webhook().and_then(|id| workspace.webhook(Side::Alc, id)).expect("there");
    let secret = world.connections().webhook_secret(&workspace, webhook).expect("opens").known().expect("known");
    assert_eq!(secret.expose_secret(), "whsec_c2VjcmV0");
}

#[tokio::test]
async fn whom_connection_added_refuses() {
    let mut world = World::new().await;
    let (connection, _) = world.open(tokens("a1", None)).await;
    let connections = world.connections();
    let (own, other) = (world.workspace.to_string(), WorkspaceId::random().to_string());
    let user = connections.connection_added(world.workspace, connection, "user", &own).await;
    assert!(matches!(user, Err(ConnectError::WorkspaceConnectionRequired)));
    let foreign = connections.connection_added(world.workspace, connection, "workspace", &other).await;
    assert!(matches!(foreign, Err(ConnectError::WorkspaceMismatch(_))));
    let unknown = world.added(ConnectionId::random()).await;
    assert!(matches!(unknown, Err(ConnectError::Unknown)));
    world.server.mock("GET", "/api/v1/webhooks").with_status(404).create_async().await;
    world.server.mock("POST", "/api/v1/webhooks").with_status(422).with_body("no more").create_async().await;
    assert!(matches!(world.added(connection).await, Err(ConnectError::Refused(_))));
    world.server.mock("GET", "/v2/self").with_body(r#"{"active":false}"#).create_async().await;
    assert!(matches!(world.added(connection).await, Err(ConnectError::Refused(_))));
    assert_eq!(connections.identify_workspace(None).await, Err(IdentifyError::Inactive));
    let other = format!(r#"{{"active":true,"workspace_id":"{other}"}}"#);
    world.server.mock("GET", "/v2/self").with_body(other).create_async().await;
    assert!(matches!(world.added(connection).await, Err(ConnectError::WorkspaceRefused(_))), "the key is another's");
}

#[tokio::test]
async fn a_concurrent_connection_added_waits_for_the_first() {
    let mut world = World::new().await;
    let (_, registered) = world.alc_registers(201, None).await;
    let (connection, _) = world.open(tokens("a1", None)).await;
    let (one, two) = tokio::join!(world.added(connection), world.added(connection));
    let (one, two) = (one.expect("connects"), two.expect("connects"));
    assert!(one.newly != two.newly, "one of them did it");
    registered.assert_async().await;
}
