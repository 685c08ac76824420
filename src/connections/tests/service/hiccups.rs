//! A store that stumbles, a process that stops, an ALC that says things once.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use jiff::Timestamp;

use super::*;
use crate::store::{Cursor, Depth, Due, Engine, Loaded, Page, StoreError, Taken, gate::GateReport};

/// What becomes of a commit.
pub(super) enum Fate {
    Kept,
    /// Kept, and the answer takes a while.
    Slow,
    /// Kept, and its answer is lost.
    Lost,
    /// Not kept.
    Refused,
    /// Kept, and the writer is told for good that it was not.
    Denied,
}

/// SQLite, and a function of the test that decides what becomes of each commit.
struct Stumbling<F> {
    engine: SqliteEngine,
    fate: F,
    /// How many pages were read.
    pages: Arc<AtomicUsize>,
}

#[async_trait]
impl<F: Fn(&Commit) -> Fate + Send + Sync + 'static> Engine for Stumbling<F> {
    async fn commit(&self, tenant: &Tenant, commit: &Commit, now: Timestamp) -> Result<Committed, StoreError> {
        let fate = (self.fate)(commit);
        if matches!(fate, Fate::Refused) {
            return Err(StoreError::Full);
        }
        let committed = self.engine.commit(tenant, commit, now).await;
        match fate {
            Fate::Kept | Fate::Refused => {}
            Fate::Denied => return Err(StoreError::Full),
            Fate::Slow => tokio::time::sleep(Duration::from_millis(200)).await,
            Fate::Lost => return Err(StoreError::Unavailable("the answer was lost".to_owned())),
        }
        committed
    }

    async fn load(&self, tenant: &Tenant, keys: &[Key], gates: &[Gate], now: Timestamp) -> Result<Loaded, StoreError> {
        self.engine.load(tenant, keys, gates, now).await
    }

    async fn lease_due(&self, request: &LeaseRequest, now: Timestamp) -> Result<Due, StoreError> {
        self.engine.lease_due(request, now).await
    }

    async fn put_back(
        &self,
        tenant: &Tenant,
        taken: &Taken,
        due: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.engine.put_back(tenant, taken, due, now).await
    }

    async fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.engine.next_due(now).await
    }

    async fn wake(
        &self,
        tenant: &Tenant,
        kind: Kind,
        statuses: &[&str],
        spread: Duration,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        self.engine.wake(tenant, kind, statuses, spread, now).await
    }

    async fn unleased(&self, tenant: &Tenant, kind: Kind, statuses: &[&str]) -> Result<Vec<String>, StoreError> {
        self.engine.unleased(tenant, kind, statuses).await
    }

    async fn page(
        &self,
        tenant: &Tenant,
        statuses: &[&str],
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        self.pages.fetch_add(1, Ordering::Relaxed);
        self.engine.page(tenant, statuses, cursor, limit).await
    }

    async fn depths(&self, now: Timestamp) -> Result<Vec<Depth>, StoreError> {
        self.engine.depths(now).await
    }

    async fn tenants(&self, kind: Kind) -> Result<std::collections::BTreeSet<Tenant>, StoreError> {
        self.engine.tenants(kind).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.engine.ping().await
    }

    async fn reserve(
        &self,
        tenant: &Tenant,
        gate: &Gate,
        held: Option<&Key>,
        now: Timestamp,
    ) -> Result<GateVerdict, StoreError> {
        self.engine.reserve(tenant, gate, held, now).await
    }

    async fn report(&self, tenant: &Tenant, gate: &Gate, report: GateReport, now: Timestamp) -> Result<(), StoreError> {
        self.engine.report(tenant, gate, report, now).await
    }
}

impl World {
    /// From now on the store is a new one, which does with each commit what `fate` says, and counts its pages.
    pub(super) async fn stumbles(
        &mut self,
        fate: impl Fn(&Commit) -> Fate + Send + Sync + 'static,
    ) -> Arc<AtomicUsize> {
        let path = self._folder.path().join("stumbling");
        let engine = SqliteEngine::open(&path, Duration::ZERO).await.expect("opens");
        let pages = Arc::<AtomicUsize>::default();
        let store = Store::new(Arc::new(Stumbling { engine, fate, pages: Arc::clone(&pages) }));
        self.store = store.on_clock(Arc::new(self.clock.clone()));
        pages
    }
}

impl World {
    /// Gives them back by this many requests.
    async fn gives_back(&mut self, workspace: Option<WorkspaceId>, tokens: Tokens, requests: usize) {
        let revoked = self.server.mock("POST", "/oauth/revoke").expect(requests).create_async().await;
        self.connections().give_back(workspace, &Granted::by_alc(tokens)).await.expect("given back");
        revoked.assert_async().await;
        revoked.remove_async().await;
    }
}

fn takes_over(commit: &Commit) -> bool {
    commit.writes.iter().any(|write| matches!(&write.change, Change::Put { status, .. } if status == "connected"))
}

#[tokio::test]
async fn what_is_refused_for_want_of_a_secret_is_deleted_where_nothing_is_listed() {
    let mut world = World::new().await;
    world.alc_registers(201, None).await;
    world.server.mock("GET", "/api/v1/webhooks").with_status(404).expect_at_least(0).create_async().await;
    let (connection, _) = world.open(tokens("a1", None)).await;
    let owner = world.workspace.to_string();
    let strict = world.connections_with(WebhookSignature::Required);
    let refused = strict.connection_added(world.workspace, connection, "workspace", &owner).await;
    assert!(matches!(refused, Err(ConnectError::Refused(_))), "{refused:?}");
    let deleted = world.server.mock("DELETE", "/api/v1/webhooks/h1").with_status(204).create_async().await;
    world.reconcile().await;
    deleted.assert_async().await;
}

#[tokio::test]
async fn what_a_takeover_that_could_not_be_stored_made_is_deleted() {
    let mut world = World::new().await;
    world.stumbles(|commit| if takes_over(commit) { Fate::Refused } else { Fate::Kept }).await;
    world.alc_registers(201, Some("whsec_c2VjcmV0")).await;
    world.server.mock("GET", "/api/v1/webhooks").with_status(404).expect_at_least(0).create_async().await;
    let (connection, _) = world.open(tokens("a1", None)).await;
    let failed = world.added(connection).await;
    assert!(matches!(failed, Err(ConnectError::Store(_))), "{failed:?}");
    let deleted = world.server.mock("DELETE", "/api/v1/webhooks/h1").with_status(204).create_async().await;
    world.reconcile().await;
    deleted.assert_async().await;
    assert_eq!(world.standing(connection).await, Standing::Incoming);
}

#[tokio::test]
async fn a_takeover_that_ends_after_the_deadline_is_told_as_it_ended() {
    let mut world = World::new().await;
    let clock = world.clock.clone();
    world
        .stumbles(move |commit| {
            if !takes_over(commit) {
                return Fate::Kept;
            }
            clock.advance(Duration::from_secs(21));
            Fate::Slow
        })
        .await;
    world.alc_registers(201, None).await;
    let (connection, _) = world.open(tokens("a1", None)).await;
    let told = world.added(connection).await;
    assert_eq!(world.standing(connection).await, Standing::Current);
    assert!(told.expect("it took over").newly);
}

#[tokio::test]
async fn a_takeover_that_was_kept_is_told_whatever_the_store_said() {
    let mut world = World::new().await;
    world.stumbles(|commit| if takes_over(commit) { Fate::Denied } else { Fate::Kept }).await;
    world.alc_registers(201, None).await;
    let (connection, _) = world.open(tokens("a1", None)).await;
    let told = world.added(connection).await;
    assert_eq!(world.standing(connection).await, Standing::Current);
    assert!(told.expect("it took over").newly);
}

#[tokio::test]
async fn what_time_brought_about_is_written_before_anything_is_done_about_it() {
    let mut world = World::new().await;
    let commits = Arc::new(AtomicUsize::new(0));
    let counted = commits.clone();
    world
        .stumbles(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            Fate::Kept
        })
        .await;
    let (connection, _) = world.open(tokens("a1", None)).await;
    let now = world.clock.now();
    let claim = Claim::new(crate::ids::random_uuid(), now + Duration::from_secs(50));
    let webhook = Webhook::intended(WebhookId::random(), connection, OpaqueToken::new(world.workspace).hash(), now);
    let connections = world.connections();
    let crashed = connections.update(&world.tenant, |workspace, now| {
        let workspace = workspace.expect("there");
        assert!(workspace.claim_connecting(connection, claim.clone(), now));
        assert!(workspace.intend_webhook(Side::Alc, webhook.clone(), claim.owner));
        Edit::Write(())
    });
    crashed.await.expect("commits");
    world.clock.advance(Duration::from_secs(50));
    let before = commits.load(Ordering::SeqCst);
    let at_request = Arc::new(AtomicUsize::new(0));
    let seen = at_request.clone();
    let asked = world.server.mock("GET", "/api/v1/webhooks").with_body_from_request(move |_| {
        seen.store(commits.load(Ordering::SeqCst), Ordering::SeqCst);
        br#"{"webhooks": []}"#.to_vec()
    });
    let asked = asked.create_async().await;
    world.reconcile().await;
    asked.assert_async().await;
    assert!(at_request.load(Ordering::SeqCst) > before, "the store still said that somebody was connecting");
}

#[tokio::test]
async fn a_refresh_is_not_begun_on_a_claim_that_does_not_outlast_it() {
    let mut world = World::new().await;
    let clock = world.clock.clone();
    let slow = Arc::new(AtomicUsize::new(0));
    let slowly = slow.clone();
    world
        .stumbles(move |commit| {
            let claims =
                |write: &Write| matches!(&write.change, Change::Put { body, .. } if body.contains(r#""refreshing":{"#));
            if commit.writes.iter().any(claims) && slowly.fetch_add(1, Ordering::SeqCst) < 2 {
                clock.advance(Duration::from_secs(16));
            }
            Fate::Kept
        })
        .await;
    world.alc_registers(201, None).await;
    world.connect(tokens("a1", Some("r1"))).await;
    world.reconcile().await;
    let asked = world.tokens_answer(200, json!({"access_token": "a2", "token_type": "bearer"})).await.expect(0);
    world.clock.advance(2 * HOUR);
    let workspace = world.load().await.expect("there");
    let late = world.connections().alc_grant(&world.tenant, &workspace).await;
    assert!(matches!(late, Err(NoGrant::Unavailable { .. })), "{late:?}");
    world.clock.advance(Duration::from_secs(30));
    world.reconcile().await;
    assert!(slow.load(Ordering::SeqCst) >= 2, "the reconciler claimed it, too");
    asked.assert_async().await;
    asked.remove_async().await;
    let asked = world.tokens_answer(200, json!({"access_token": "a2", "token_type": "bearer"})).await;
    world.clock.advance(Duration::from_secs(30));
    world.reconcile().await;
    asked.assert_async().await;
}

#[tokio::test]
async fn an_alc_that_refuses_each_new_token_is_not_asked_for_one_by_every_lead() {
    let mut world = World::new().await;
    world.alc_registers(201, None).await;
    let connection = world.connect(tokens("a1", Some("r1"))).await;
    let connections = world.connections();
    let (mut grant, _) = connections.alc_grant(&world.tenant, &world.load().await.expect("there")).await.expect("a1");
    let answer = json!({"access_token": "a2", "refresh_token": "r2", "expires_in": 3600, "token_type": "bearer"});
    let asked = world.tokens_answer(200, answer).await.expect(2);
    (grant, _) = connections.alc_grant_after_401(&world.tenant, &grant).await.expect("another");
    let asked_at = world.clock.now();
    for _ in 0..3 {
        let refused = connections.alc_grant_after_401(&world.tenant, &grant).await;
        let Err(NoGrant::Unavailable { retry_at, .. }) = refused else { panic!("{refused:?}") };
        assert_eq!(retry_at, asked_at + Duration::from_secs(30));
        world.clock.advance(Duration::from_secs(9));
    }
    world.clock.advance(Duration::from_secs(9));
    connections.alc_grant_after_401(&world.tenant, &grant).await.expect("another");
    asked.assert_async().await;
    assert_eq!(world.standing(connection).await, Standing::Current);
}

#[tokio::test]
async fn an_alc_that_limits_for_longer_than_anybody_waits_is_asked_once() {
    let mut world = World::new().await;
    let limiting = world.server.mock("POST", "/api/v1/webhooks").with_status(429).with_header("retry-after", "60");
    let limiting = limiting.expect(1).create_async().await;
    let (connection, _) = world.open(tokens("a1", None)).await;
    let told = world.added(connection).await;
    assert!(matches!(told, Err(ConnectError::Unavailable(_))), "{told:?}");
    limiting.assert_async().await;
}

#[tokio::test]
async fn a_token_that_is_old_when_it_comes_still_deletes_a_webhook() {
    let mut world = World::new().await;
    world.alc_registers(201, None).await;
    let connection = world.connect(tokens("a1", Some("r1"))).await;
    world.reconcile().await;
    world.clock.advance(2 * HOUR);
    world.connections().remove(world.workspace, connection).await.expect("removes");
    let clock = world.clock.clone();
    let asked = world.server.mock("POST", "/oauth/token").with_header("content-type", "application/json");
    let asked = asked.with_body_from_request(move |_| {
        clock.advance(Duration::from_secs(2));
        br#"{"access_token": "a2", "token_type": "bearer", "expires_in": 1}"#.to_vec()
    });
    let asked = asked.expect(1).create_async().await;
    let deleted = world.server.mock("DELETE", "/api/v1/webhooks/h1").match_header("authorization", "Bearer a2");
    let deleted = deleted.with_status(204).create_async().await;
    world.server.mock("POST", "/oauth/revoke").create_async().await;
    let done = tokio::time::timeout(Duration::from_secs(5), world.reconcile()).await;
    assert!(done.is_ok(), "it refreshes without end");
    asked.assert_async().await;
    deleted.assert_async().await;
    assert_eq!(world.standing(connection).await, Standing::Unknown);
}

#[tokio::test]
async fn a_short_life_is_no_reason_to_renew_a_fresh_token() {
    let mut world = World::new().await;
    world.alc_registers(201, None).await;
    let short = Tokens { expires_in: Some(Duration::from_secs(8)), ..tokens("a1", Some("r1")) };
    world.connect(short).await;
    let asked = world.tokens_answer(503, json!({})).await.expect(0);
    let workspace = world.load().await.expect("there");
    let (grant, newer) = world.connections().alc_grant(&world.tenant, &workspace).await.expect("a grant");
    assert_eq!((grant.generation, newer.is_none()), (1, true));
    asked.assert_async().await;
}

#[tokio::test]
async fn a_code_is_redeemed_however_often_the_answer_is_lost() {
    let mut world = World::new().await;
    let lost = Mutex::new(0);
    world
        .stumbles(move |_| {
            let mut lost = lost.lock().unwrap_or_else(PoisonError::into_inner);
            *lost += 1;
            // The first commit opens the connection, the second redeems its code.
            if (2..8).contains(&*lost) { Fate::Lost } else { Fate::Kept }
        })
        .await;
    let (connection, refresh) = world.open(tokens("a1", None)).await;
    let held = world.connections().check_refresh_token(&refresh).await.expect("good");
    assert_eq!(held, (world.workspace, connection));
}

#[tokio::test]
async fn tokens_that_a_connection_needs_are_not_given_back() {
    let mut world = World::new().await;
    world.alc_registers(201, None).await;
    let connection = world.connect(tokens("a1", Some("r1"))).await;
    let (own, other) = (Some(world.workspace), Some(WorkspaceId::random()));
    for (workspace, access, refresh, revoked) in [
        (own, "a1", None, 0),
        (own, "x", Some("r1"), 0),
        (own, "x", Some("x"), 2),
        (own, "r1", None, 1),
        // One account at ALC may serve two workspaces.
        (other, "a1", None, 0),
        (other, "y", None, 1),
        (None, "a1", None, 0),
        (None, "y", None, 1),
    ] {
        world.gives_back(workspace, tokens(access, refresh), revoked).await;
    }
    world.connections().remove(world.workspace, connection).await.expect("removes");
    world.gives_back(own, tokens("a1", Some("r1")), 0).await;
    world.server.mock("DELETE", "/api/v1/webhooks/h1").with_status(204).create_async().await;
    world.reconcile().await;
    world.gives_back(own, tokens("a1", Some("r1")), 2).await;
}

#[tokio::test]
async fn a_process_that_stops_takes_no_further_step_and_leaves_at_once() {
    let mut world = World::new().await;
    world.alc_registers(201, None).await;
    let connection = world.connect(tokens("a1", Some("r1"))).await;
    world.reconcile().await;
    world.connections().remove(world.workspace, connection).await.expect("removes");
    let lifecycle = world.lifecycle.clone();
    let stopping = world.server.mock("DELETE", "/api/v1/webhooks/h1").with_body_from_request(move |_| {
        lifecycle.stop();
        Vec::new()
    });
    let stopping = stopping.create_async().await;
    let revoked = world.server.mock("POST", "/oauth/revoke").expect(0).create_async().await;
    // The leads are told first; then comes the webhook.
    let request = LeaseRequest::up_to(1, LEASE);
    let leased = world.store.lease_due(&request, world.clock.now()).await.expect("leases").leased.remove(0);
    world.connections().step(leased, LEASE).await.expect("steps");
    stopping.assert_async().await;
    revoked.assert_async().await;
    let left = world.load().await.expect("there").document;
    assert_eq!((left.lease, left.due), (None, Some(world.clock.now())), "for another to take up now");
}

#[tokio::test]
async fn a_webhook_that_one_old_lead_holds_up_costs_one_page_a_look() {
    let mut world = World::new().await;
    let pages = world.stumbles(|_| Fate::Kept).await;
    let (hooks, _registered) = world.alc_registers(201, None).await;
    world.connect(tokens("a1", Some("shared"))).await;
    let old = world.load().await.expect("there").value.sending_webhook().expect("one");
    let held_up_by = RecordId::random();
    world.put_lead(held_up_by, "pending", old).await;
    world.server.mock("DELETE", "/api/v1/webhooks/h1").create_async().await;
    world.tokens_answer(200, json!({"access_token": "a3", "token_type": "bearer"})).await;
    world.clock.advance(Duration::from_millis(1));
    world.connect(tokens("a2", Some("shared"))).await;
    world.reconcile().await;
    // As many as three pages, sent just before under another webhook.
    for _ in 0..250 {
        world.put_lead(RecordId::random(), "pending", WebhookId::random()).await;
    }
    let look = async || {
        let before = pages.load(Ordering::Relaxed);
        world.clock.advance(HOUR);
        world.reconcile().await;
        pages.load(Ordering::Relaxed) - before
    };
    assert_eq!([look().await, look().await, look().await], [3, 1, 1]);
    let secret = url_secret(&hook(&hooks, 0));
    let answers = async || world.load().await.expect("there").value.webhook_by_secret(&secret).is_some();
    assert!(answers().await, "its lead is unfinished");
    world.put_lead(held_up_by, "complete", old).await;
    assert_eq!(look().await, 1);
    assert!(!answers().await);
}
