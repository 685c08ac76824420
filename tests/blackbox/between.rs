//! Operations `connectionRemoved` and `sendLead` at the same instant: when something else is written between a task's
//! load and its commit, the commit has to notice. And how many commits are on their way at once.
//!
//! How: an SQLite engine of the test's own holds a lead's commit back at the last moment; meanwhile the test lets the
//! other thing happen, and then lets the commit go.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use alc_connector::{
    clock::Timestamp,
    store::{
        Commit, Committed, Cursor, Depth, Due, Engine, Key, Kind, LeaseRequest, Loaded, Page, Store, StoreError, Taken,
        Tenant,
        gate::{Gate, GateReport, Verdict},
        sqlite::SqliteEngine,
    },
};
use async_trait::async_trait;
use sandbox::{Callback, Fault, Stage};
use serde_json::json;
use tokio::sync::{Notify, watch};

use crate::support::{
    ambient::{eventually, spawn},
    attio_app::{AttioApp, lead_body},
    harness::{MINUTE, Person, Setup, World, run},
    http::send,
    raw::post_lead,
};

/// SQLite, where a commit of a lead can be held back at the last moment.
struct HeldBack {
    engine: Arc<SqliteEngine>,
    hold: Arc<Hold>,
}

/// Holds back the next commit of a lead, once it is asked to; or all of them, until so many have come. Or answers them
/// wrongly.
#[derive(Default)]
struct Hold {
    /// The first commit of a lead is done, and nobody learns of it; after it the store takes none.
    unanswered: AtomicBool,
    /// That commit.
    taken: OnceLock<uuid::Uuid>,
    /// There is no room for commits of leads.
    full: AtomicBool,
    /// Commits of leads are not taken, and not answered before this ends.
    silent: watch::Sender<bool>,
    /// Those, each as often as it came.
    begun: Mutex<Vec<uuid::Uuid>>,
    next: AtomicBool,
    /// Commits of leads have no answer, and are done once they are let go.
    late: AtomicBool,
    /// One of those has come.
    delayed: AtomicBool,
    /// So often what surrounds a press was loaded.
    looked: AtomicUsize,
    /// So many commits that write nothing were done.
    empty: watch::Sender<usize>,
    together: AtomicUsize,
    waiting: watch::Sender<usize>,
    reached: Notify,
    go: Notify,
}

impl Hold {
    fn next(&self) {
        self.next.store(true, Ordering::SeqCst);
    }

    fn until_there_are(&self, count: usize) {
        self.together.store(count, Ordering::SeqCst);
    }
}

#[async_trait]
impl Engine for HeldBack {
    async fn commit(&self, tenant: &Tenant, commit: &Commit, now: Timestamp) -> Result<Committed, StoreError> {
        let lead = commit.writes.iter().any(|write| write.key.kind == Kind::Lead);
        if lead && self.hold.next.swap(false, Ordering::SeqCst) {
            self.hold.reached.notify_one();
            self.hold.go.notified().await;
        }
        if lead && self.hold.late.load(Ordering::SeqCst) {
            let (engine, hold) = (self.engine.clone(), self.hold.clone());
            let (tenant, commit) = (tenant.clone(), commit.clone());
            hold.delayed.store(true, Ordering::SeqCst);
            spawn(async move {
                hold.go.notified().await;
                engine.commit(&tenant, &commit, now).await.expect("it is done")
            });
            return Err(StoreError::Unavailable("no answer in time".to_owned()));
        }
        let together = self.hold.together.load(Ordering::SeqCst);
        if lead && together > 0 {
            self.hold.waiting.send_modify(|waiting| *waiting += 1);
            let mut waiting = self.hold.waiting.subscribe();
            waiting.wait_for(|waiting| *waiting >= together).await.expect("the hold lives as long as the store");
        }
        if lead && self.hold.full.load(Ordering::SeqCst) {
            return Err(StoreError::Full);
        }
        if lead && *self.hold.silent.borrow() {
            self.hold.begun.lock().expect("no panic").push(commit.id);
            let mut silent = self.hold.silent.subscribe();
            silent.wait_for(|silent| !silent).await.expect("the hold lives as long as the store");
            return Err(StoreError::Unavailable("it takes no writes".to_owned()));
        }
        let unanswered = lead && self.hold.unanswered.load(Ordering::SeqCst);
        if unanswered && self.hold.taken.get().is_some_and(|taken| *taken != commit.id) {
            return Err(StoreError::Unavailable("it is away".to_owned()));
        }
        let committed = self.engine.commit(tenant, commit, now).await;
        // A conflict has stored nothing, and is answered: the press loads again.
        if unanswered && matches!(committed, Ok(Committed::Done(_))) {
            self.hold.taken.get_or_init(|| commit.id);
            return Err(StoreError::Unavailable("the answer is lost".to_owned()));
        }
        if commit.writes.is_empty() {
            self.hold.empty.send_modify(|done| *done += 1);
        }
        committed
    }

    async fn load(&self, tenant: &Tenant, keys: &[Key], gates: &[Gate], now: Timestamp) -> Result<Loaded, StoreError> {
        if !gates.is_empty() && keys.iter().any(|key| key.kind == Kind::Lead) {
            self.hold.looked.fetch_add(1, Ordering::SeqCst);
        }
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
        self.engine.page(tenant, statuses, cursor, limit).await
    }

    async fn depths(&self, now: Timestamp) -> Result<Vec<Depth>, StoreError> {
        self.engine.depths(now).await
    }

    async fn tenants(&self, kind: Kind) -> Result<BTreeSet<Tenant>, StoreError> {
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
    ) -> Result<Verdict, StoreError> {
        self.engine.reserve(tenant, gate, held, now).await
    }

    async fn report(&self, tenant: &Tenant, gate: &Gate, report: GateReport, now: Timestamp) -> Result<(), StoreError> {
        self.engine.report(tenant, gate, report, now).await
    }

    async fn close(&self) {
        self.engine.close().await;
    }
}

/// One service on such a store, connected.
async fn connected(setup: Setup) -> (World, AttioApp, Arc<Hold>, tempfile::TempDir) {
    let mut world = setup.start().await;
    world.stop().await;
    let folder = tempfile::tempdir().expect("a folder");
    let engine = SqliteEngine::open(&folder.path().join("store.db"), Duration::ZERO).await.expect("it opens");
    let hold = Arc::new(Hold::default());
    world.start_replica_on(Store::new(Arc::new(HeldBack { engine: Arc::new(engine), hold: Arc::clone(&hold) }))).await;
    let app = world.connect().await;
    (world, app, hold, folder)
}

/// The same with a lead that Attio shows as Pending; Attio's gate is at rest.
async fn with_a_pending_lead() -> (World, Person, Arc<Hold>, tempfile::TempDir) {
    let (world, app, hold, folder) = connected(Setup::sqlite()).await;
    let ada = world.person();
    app.press(&ada).await.expect(201);
    world.shows(&ada, "Pending").await;
    world.pass_slowly(Duration::from_secs(1), 2).await;
    (world, ada, hold, folder)
}

/// ALC tells a result, and hangs up without an answer once `has_come`.
async fn alc_hangs_up(world: &World, person: &Person, what: &str, has_come: impl Fn() -> bool) {
    tokio::select! {
        () = world.call_back(person, "qualified") => panic!("the store has not answered"),
        () = eventually(what, async || has_come().then_some(())) => {}
    }
}

/// While the clock stands still.
async fn the_result_is_shown_at_once(world: &World, person: &Person) {
    let shown = async || (world.attio.status(&person.record_id).as_deref() == Some("Complete")).then_some(());
    eventually("the result is shown", shown).await;
}

#[test]
fn of_many_presses_within_a_second_one_looks_at_what_surrounds_it() {
    run(async {
        let (world, app, hold, _folder) = connected(Setup::sqlite()).await;
        let looked = || hold.looked.load(Ordering::SeqCst);
        let first = world.person();
        app.press(&first).await.expect(201);
        let before = looked();
        for _ in 0..8 {
            app.press(&world.person()).await.expect(201);
        }
        // What goes on behind a connect may write the workspace meanwhile, and then it is looked at again.
        assert!(looked() - before < 4, "what the first one found is a moment old: {before}, then {}", looked());
        let before = looked();
        app.press(&first).await.expect(200);
        assert!(looked() > before, "its record has a lead");
        assert_eq!(world.alc.leads_of(&first.record_id).len(), 1);
        let before = looked();
        world.pass(Duration::from_secs(2)).await;
        app.press(&world.person()).await.expect(201);
        assert!(looked() > before, "what is two seconds old is looked at again");
    });
}

#[test]
fn a_removal_between_looking_and_storing_stops_the_send() {
    run(async {
        let (world, app, hold, _folder) = connected(Setup::sqlite()).await;
        let ada = world.person();
        hold.next();
        let pressed = spawn({
            let (app, ada) = (app.clone(), ada.clone());
            async move { app.press(&ada).await }
        });
        hold.reached.notified().await;
        app.connection_removed().await.expect(202);
        hold.go.notify_one();
        // Still leaving, or gone by now.
        let answer = pressed.await.expect("an answer");
        assert!([401, 409].contains(&answer.status), "{answer:?}");
        world.pass_slowly(MINUTE, 5).await;
        assert_eq!(world.alc.journal().count("create_lead"), 0, "a send was begun after the removal");
    });
}

#[test]
fn a_removal_between_looking_and_trying_again_stops_the_attempt() {
    run(async {
        let (world, app, hold, _folder) = connected(Setup::sqlite().impatient()).await;
        let ada = world.person();
        world.alc.server().go_down().await;
        app.press(&ada).await.expect(202);
        eventually("the failure is noted", async || app.lead_says(&ada, "last_error").await.is_string().then_some(()))
            .await;
        world.alc.server().come_up().await;
        hold.next();
        let begins = async || !hold.next.load(Ordering::SeqCst);
        // In small steps: the attempt has to fit into the rest of its lease.
        world.pass_until("it is tried again", Duration::from_millis(200), MINUTE, begins).await;
        hold.reached.notified().await;
        app.connection_removed().await.expect(202);
        hold.go.notify_one();
        // First while the lease still lasts.
        world.pass_slowly(Duration::ZERO, 10).await;
        world.pass_slowly(MINUTE, 5).await;
        assert_eq!(world.alc.journal().count("create_lead"), 0, "an attempt was begun after the removal");
    });
}

#[test]
fn a_batch_is_stored_many_at_a_time() {
    run(async {
        let (world, app, hold, _folder) = connected(Setup::sqlite()).await;
        let leads: Vec<_> = (0..20).map(|_| lead_body(&world.person())).collect();
        // One after the other, the first would wait for ever: a batch of 250 has a second in all.
        hold.until_there_are(10);
        let request = app.request(reqwest::Method::POST, "/v1/leads/batch").json(&json!({ "leads": leads }));
        let sent = spawn(async move { send(request).await });
        eventually("it is answered", async || sent.is_finished().then_some(())).await;
        sent.await.expect("an answer").expect(202);
    });
}

#[test]
fn a_send_that_is_stored_without_an_answer_was_not_posted_and_goes_out() {
    run(async {
        // The store is given up after a second of real time; ALC is not: a request that a busy machine holds up for
        // half a second would have an unknown outcome, after which this ALC is not asked again.
        let setup = Setup::sqlite().minimal_alc().with("LEADS__SEND_WAIT", "1s").with("ALC__RESEND_UNKNOWN", "false");
        let (world, app, hold, _folder) = connected(setup).await;
        let ada = world.person();
        hold.unanswered.store(true, Ordering::SeqCst);
        app.press(&ada).await.expect_problem(503, "store-unavailable");
        // The lease of the press runs out meanwhile.
        world.pass_slowly(Duration::from_secs(10), 6).await;
        hold.unanswered.store(false, Ordering::SeqCst);
        // Every second of the clock's it is looked at whether that is written down, which takes a second of real time.
        world
            .pass_until("it goes out", Duration::from_secs(1), MINUTE * 10, async || {
                world.alc.journal().count("create_lead") == 1
            })
            .await;
        world.shows(&ada, "Pending").await;
        assert!(app.lead_says(&ada, "lead_id").await.is_string());
    });
}

#[test]
fn a_send_without_a_grant_that_is_stored_without_an_answer_goes_out_before_its_lease_ends() {
    run(async {
        let setup = Setup::sqlite().alc(|alc| alc.expires_in = Some(30)).with("LEADS__SEND_WAIT", "1s");
        let (world, app, hold, _folder) = connected(setup).await;
        // By now the token has to be refreshed first: no attempt is marked as begun with the press.
        world.alc.faults().always("token", Fault::status(503));
        world.pass(MINUTE).await;
        let ada = world.person();
        hold.unanswered.store(true, Ordering::SeqCst);
        app.press(&ada).await.expect_problem(503, "store-unavailable");
        hold.unanswered.store(false, Ordering::SeqCst);
        world.alc.faults().clear("token");
        // The clock stands still but for what the gate wants: the lease does not run out meanwhile.
        let sent = async || world.alc.journal().count("create_lead") == 1;
        world.pass_until("it goes out", Duration::from_secs(1), Duration::from_secs(15), sent).await;
    });
}

#[test]
fn what_a_full_store_refuses_leaves_no_task_behind() {
    run(async {
        let (world, app, hold, _folder) = connected(Setup::sqlite()).await;
        let ada = world.person();
        app.press(&ada).await.expect(201);
        world.shows(&ada, "Pending").await;
        let before = world.under_way();
        hold.full.store(true, Ordering::SeqCst);
        for _ in 0..20 {
            world.tell(Callback::new(&ada.record_id, "qualified"), 503).await;
            app.press(&world.person()).await.expect_problem(503, "store-unavailable");
        }
        eventually("nothing goes on", async || (world.under_way() <= before).then_some(())).await;
        hold.full.store(false, Ordering::SeqCst);
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
        assert_eq!(world.alc.journal().count("create_lead"), 1);
    });
}

#[test]
fn of_a_result_that_alc_repeats_while_the_store_does_not_answer_one_commit_is_pressed_on() {
    run(async {
        let (world, ada, hold, _folder) = with_a_pending_lead().await;
        let before = world.under_way();
        hold.silent.send_replace(true);
        let begun = || hold.begun.lock().expect("no panic").clone();
        let what = "its commit has no answer";
        alc_hangs_up(&world, &ada, what, || begun().len() == 1).await;
        eventually("it is pressed on", async || (begun().len() == 2).then_some(())).await;
        for commits in 3..=6 {
            alc_hangs_up(&world, &ada, what, || begun().len() == commits).await;
        }
        eventually("the callers are gone", async || (world.under_way() <= before + 1).then_some(())).await;
        let all = begun();
        assert!(all.len() == 6 && BTreeSet::from_iter(&all).len() == 5 && all[0] == all[1], "{all:?}");
        hold.silent.send_replace(false);
        the_result_is_shown_at_once(&world, &ada).await;
    });
}

#[test]
fn a_send_that_reaches_the_store_after_its_caller_was_refused_is_not_stored_any_more() {
    run(async {
        let setup = Setup::sqlite().minimal_alc().with("LEADS__SEND_WAIT", "1s").with("ALC__RESEND_UNKNOWN", "false");
        let (world, app, hold, _folder) = connected(setup).await;
        let ada = world.person();
        hold.late.store(true, Ordering::SeqCst);
        app.press(&ada).await.expect_problem(503, "store-unavailable");
        hold.empty.subscribe().wait_for(|done| *done > 0).await.expect("the hold lives as long as the store");
        hold.late.store(false, Ordering::SeqCst);
        hold.go.notify_waiters();
        world.pass_slowly(MINUTE, 5).await;
        app.lead(&ada).await.expect(404);
        app.press(&ada).await.expect(201);
        assert_eq!(world.alc.leads_of(&ada.record_id).len(), 1);
    });
}

#[test]
fn what_alc_answered_is_not_dropped_because_the_store_is_full() {
    run(async {
        // ALC can neither look up nor tell a repeat by its key.
        let setup = Setup::sqlite().minimal_alc().alc(|alc| alc.idempotency = false);
        let (world, app, hold, _folder) = connected(setup).await;
        let ada = world.person();
        let posting = world.alc.faults().hold("create_lead", Stage::After);
        let pressed = spawn({
            let (app, ada) = (app.clone(), ada.clone());
            async move { app.press(&ada).await }
        });
        posting.reached(1).await;
        hold.full.store(true, Ordering::SeqCst);
        posting.release();
        world.pass_slowly(Duration::ZERO, 10).await;
        hold.full.store(false, Ordering::SeqCst);
        let answer = world.while_time_passes(pressed).await.expect("an answer");
        assert!([201, 202].contains(&answer.status), "{answer:?}");
        world.pass_slowly(MINUTE, 3).await;
        assert_eq!(app.lead_says(&ada, "status").await, "pending");
        assert_eq!(world.alc.journal().count("create_lead"), 1, "one SMS");
    });
}

#[test]
fn a_refusal_is_shown_by_attio_if_its_caller_hung_up_while_the_press_was_stored() {
    run(async {
        let (world, app, hold, _folder) = connected(Setup::sqlite()).await;
        let ada = world.person();
        // The record's first send has finished, its request has not: its worker goes on with the second one.
        let posting = world.alc.faults().hold("create_lead", Stage::After);
        let first = spawn({
            let (app, ada) = (app.clone(), ada.clone());
            async move { app.press(&ada).await }
        });
        posting.reached(1).await;
        world.call_back(&ada, "qualified").await;
        world.alc.faults().next("create_lead", Fault::status(422));
        hold.next();
        let caller = post_lead(&world, &app, &ada).await;
        hold.reached.notified().await;
        caller.reset();
        world.pass_slowly(Duration::ZERO, 10).await;
        hold.go.notify_one();
        let stored = async || app.lead_says(&ada, "status").await == "queued";
        world.pass_until("the second send is stored", Duration::ZERO, MINUTE, stored).await;
        posting.release();
        first.await.expect("an answer").expect(201);
        let shown = async || world.attio.status(&ada.record_id).as_deref() == Some("Failed");
        world.pass_until("Attio shows the refusal", Duration::from_secs(1), MINUTE, shown).await;
    });
}

#[test]
fn a_result_whose_caller_hung_up_while_it_was_stored_is_shown_at_once() {
    run(async {
        let (world, ada, hold, _folder) = with_a_pending_lead().await;
        hold.late.store(true, Ordering::SeqCst);
        let delayed = || hold.delayed.load(Ordering::SeqCst);
        alc_hangs_up(&world, &ada, "it is on its way to the store", delayed).await;
        hold.late.store(false, Ordering::SeqCst);
        hold.go.notify_waiters();
        // The clock stands still: the lease that the result was stored with does not run out meanwhile.
        the_result_is_shown_at_once(&world, &ada).await;
    });
}

#[test]
fn a_workflow_that_comes_while_a_result_is_stored_is_told_of_it() {
    run(async {
        let (world, app, hold, _folder) = connected(Setup::sqlite()).await;
        let ada = world.person();
        app.press(&ada).await.expect(201);
        world.shows(&ada, "Pending").await;
        // The commit to be held back is the result's, not the one by which the worker notes that Pending is shown.
        world.synced(&app, &ada).await;
        hold.next();
        let put = async {
            hold.reached.notified().await;
            world.pass_slowly(Duration::from_secs(1), 1).await;
            let body = json!({ "callback_url": world.attio.callback_url("trigger") });
            send(app.request(reqwest::Method::PUT, "/v1/triggers/a").json(&body)).await.expect(201);
            hold.go.notify_one();
        };
        tokio::join!(world.call_back(&ada, "qualified"), put);
        world.shows(&ada, "Complete").await;
        let told = async || !world.attio.told("trigger").is_empty();
        world.pass_until("the workflow is told", Duration::from_secs(1), MINUTE, told).await;
    });
}

#[test]
fn a_reconnect_before_the_lease_of_a_lead_without_a_grant_ends_sends_it() {
    run(async {
        let (world, app, hold, _folder) = connected(Setup::sqlite()).await;
        let ada = world.person();
        world.alc.revoke_grants();
        let refreshing = world.alc.faults().hold("token", Stage::After);
        let pressed = spawn({
            let (app, ada) = (app.clone(), ada.clone());
            async move { app.press(&ada).await }
        });
        refreshing.reached(1).await;
        // The grant is dead; the next that is written of the lead is that its work rests.
        hold.next();
        refreshing.release();
        hold.reached.notified().await;
        world.connect().await;
        hold.go.notify_one();
        world.while_time_passes(pressed).await.expect("an answer");
        world.shows(&ada, "Pending").await;
    });
}
