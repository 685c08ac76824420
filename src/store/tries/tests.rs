//! The waits, on tokio's clock standing still: it goes on by itself to the next wait.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::*;
use crate::store::{
    Change, Cursor, Depth, Document, Due, Engine, Kind, LeaseRequest, Page, Taken,
    gate::{GateReport, Verdict},
};

/// One aggregate in memory, and what becomes of each call until it is exhausted.
#[derive(Default)]
struct One {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    stored: Option<Document>,
    /// For how long, from the begin of the test, the store does not answer.
    away: Duration,
    /// It takes what it is told before it goes away, and does not say so.
    takes_without_answer: bool,
    full: u32,
    /// How many commits other writers slip in before ours.
    others: u32,
    seen: Vec<uuid::Uuid>,
    done: Vec<uuid::Uuid>,
    loads: u32,
}

#[expect(clippy::disallowed_methods, reason = "tokio's clock, which the test has stopped")]
fn now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

thread_local! {
    static BEGAN: tokio::time::Instant = now();
}

fn is_away(state: &State) -> bool {
    now() - BEGAN.with(|began| *began) < state.away
}

fn gone<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable("away".to_owned()))
}

impl State {
    fn take(&mut self, commit: &Commit) -> Committed {
        if self.done.contains(&commit.id) {
            return Committed::Done(Verdict::Go);
        }
        let [write] = &commit.writes[..] else { return Committed::Conflict };
        let Change::Put { body, status, created_at, .. } = &write.change else { return Committed::Conflict };
        if self.stored.as_ref().map(|document| document.version) != write.expected {
            return Committed::Conflict;
        }
        self.stored = Some(Document {
            body: body.clone(),
            version: commit.version_after(write.expected),
            status: status.clone().into_owned(),
            created_at: *created_at,
            due: None,
            lease: None,
            slot: None,
            urgent: false,
        });
        self.done.push(commit.id);
        Committed::Done(Verdict::Go)
    }
}

#[async_trait]
impl Engine for One {
    async fn load(&self, _: &Tenant, _: &[Key], _: &[Gate], _: Timestamp) -> Result<Loaded, StoreError> {
        let mut state = self.state.lock().expect("no panic");
        state.loads += 1;
        if is_away(&state) { gone() } else { Ok(Loaded::new(vec![state.stored.clone()], Vec::new())) }
    }

    async fn commit(&self, _: &Tenant, commit: &Commit, _: Timestamp) -> Result<Committed, StoreError> {
        let mut state = self.state.lock().expect("no panic");
        state.seen.push(commit.id);
        if is_away(&state) {
            if state.takes_without_answer {
                let _ = state.take(commit);
            }
            return gone();
        }
        if state.full > 0 {
            state.full -= 1;
            return Err(StoreError::Full);
        }
        if state.others > 0 {
            state.others -= 1;
            if let Some(stored) = &mut state.stored {
                stored.version += 1;
            }
        }
        Ok(state.take(commit))
    }

    async fn lease_due(&self, _: &LeaseRequest, _: Timestamp) -> Result<Due, StoreError> {
        gone()
    }

    async fn put_back(&self, _: &Tenant, _: &Taken, _: Timestamp, _: Timestamp) -> Result<bool, StoreError> {
        gone()
    }

    async fn next_due(&self, _: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        gone()
    }

    async fn wake(&self, _: &Tenant, _: Kind, _: &[&str], _: Duration, _: Timestamp) -> Result<u64, StoreError> {
        gone()
    }

    async fn unleased(&self, _: &Tenant, _: Kind, _: &[&str]) -> Result<Vec<String>, StoreError> {
        gone()
    }

    async fn page(&self, _: &Tenant, _: &[&str], _: Option<&Cursor>, _: usize) -> Result<Page, StoreError> {
        gone()
    }

    async fn depths(&self, _: Timestamp) -> Result<Vec<Depth>, StoreError> {
        gone()
    }

    async fn tenants(&self, _: Kind) -> Result<BTreeSet<Tenant>, StoreError> {
        gone()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        gone()
    }

    async fn reserve(&self, _: &Tenant, _: &Gate, _: Option<&Key>, _: Timestamp) -> Result<Verdict, StoreError> {
        gone()
    }

    async fn report(&self, _: &Tenant, _: &Gate, _: GateReport, _: Timestamp) -> Result<(), StoreError> {
        gone()
    }
}

/// Facts that were applied to it, each as often as it was.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Facts {
    facts: Vec<String>,
}

impl Aggregate for Facts {
    const KIND: Kind = Kind::Lead;
    const SCHEMA: u32 = 1;

    fn status(&self) -> &'static str {
        "pending"
    }

    fn created_at(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
}

/// Applies a fact that may be there already.
async fn apply(store: &Store, fact: &str, patience: Patience) -> Result<Vec<String>, StoreError> {
    let tenant = Tenant::new("tenant");
    let change = |found: &mut Option<Versioned<Facts>>, _| {
        let facts = &mut found.get_or_insert_with(|| Versioned::new(Facts::default())).value.facts;
        if !facts.iter().any(|known| known == fact) {
            facts.push(fact.to_owned());
        }
        Decision::Write(LeaseChange::Leave { due: None }, ())
    };
    let (_, stored) = store.change(&tenant, "1", patience, change).await?;
    Ok(stored.expect("it is written").value.facts)
}

fn store(state: State) -> (Store, Arc<One>) {
    let _begins = BEGAN.with(|began| *began);
    let engine = Arc::new(One { state: Mutex::new(state) });
    (Store::new(engine.clone()), engine)
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn a_fact_outlasts_any_outage() {
    let (store, engine) = store(State { away: HOUR, ..State::default() });
    assert_eq!(apply(&store, "sent", Patience::Fact).await.expect("it is taken"), ["sent"]);
    assert_eq!(engine.state.lock().expect("no panic").seen.len(), 1, "a load came first");
}

#[tokio::test(start_paused = true)]
async fn a_commit_is_repeated_under_its_id_as_long_as_that_is_remembered() {
    let (store, engine) = store(State::default());
    apply(&store, "before", Patience::Fact).await.expect("it is taken");
    let tenant = Tenant::new("tenant");
    let mut tries = store.tries(&tenant, Patience::Fact);
    let mut found = tries.load(&[], &[]).await.expect("answers").take::<Facts>().expect("it is read").expect("there");
    found.value.facts.push("sent".to_owned());
    {
        let mut state = engine.state.lock().expect("no panic");
        (state.away, state.seen) = (Duration::from_secs(200), Vec::new());
    }
    let written = tries.write("1", &mut found, LeaseChange::Leave { due: None }).await;
    assert_eq!(written.expect("it is taken"), Committed::Done(Verdict::Go));
    let state = engine.state.lock().expect("no panic");
    assert!(state.seen.len() > 100 && state.seen.iter().all(|id| *id == state.seen[0]), "one commit, again and again");
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_may_be_forgotten_is_no_second_time_made() {
    for takes_without_answer in [false, true] {
        let (store, engine) = store(State::default());
        apply(&store, "before", Patience::Fact).await.expect("it is taken");
        {
            let mut state = engine.state.lock().expect("no panic");
            state.away = now() - BEGAN.with(|began| *began) + HOUR;
            state.takes_without_answer = takes_without_answer;
        }
        let tenant = Tenant::new("tenant");
        let mut tries = store.tries(&tenant, Patience::Fact);
        let commit = {
            let mut found = Versioned::new(Facts { facts: vec!["before".to_owned(), "sent".to_owned()] });
            found.document = engine.state.lock().expect("no panic").stored.clone().expect("there");
            Commit::of(vec![found.put("1", LeaseChange::Leave { due: None })])
        };
        assert_eq!(tries.commit(&commit).await.expect("no error"), Committed::Conflict, "look again");
        // The room loads what is there now, with or without the fact, and applies it.
        assert_eq!(apply(&store, "sent", Patience::Fact).await.expect("it is taken"), ["before", "sent"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_store_takes_a_fact_once_there_is_room_and_tells_a_caller() {
    let (store, _) = store(State { full: 500, ..State::default() });
    assert!(matches!(apply(&store, "asked", Patience::CALLER).await, Err(StoreError::Full)));
    assert_eq!(apply(&store, "sent", Patience::Fact).await.expect("it is taken"), ["sent"]);
}

#[tokio::test(start_paused = true)]
async fn a_caller_whose_commit_had_no_answer_is_not_told_that_nothing_is_stored() {
    let (store, engine) = store(State { full: 500, ..State::default() });
    let commit = Commit::of(vec![Versioned::new(Facts::default()).put("1", LeaseChange::Leave { due: None })]);
    let tenant = Tenant::new("tenant");
    let mut tries = store.tries(&tenant, Patience::CALLER);
    assert!(matches!(tries.commit(&commit).await, Err(StoreError::Full)));
    engine.state.lock().expect("no panic").away = now() - BEGAN.with(|began| *began) + Duration::from_millis(150);
    // The first attempt has no answer and may yet find room; then the store answers that it has none.
    assert!(matches!(tries.commit(&commit).await, Err(StoreError::Unavailable(_))));
}

#[tokio::test(start_paused = true)]
async fn a_caller_is_told_of_an_outage_at_once_and_of_an_unknown_outcome_in_time() {
    let (store, engine) = store(State { away: HOUR, ..State::default() });
    let began = now();
    assert!(matches!(apply(&store, "asked", Patience::CALLER).await, Err(StoreError::Unavailable(_))));
    assert_eq!(now(), began, "nothing is lost with a load");
    let commit = Commit::of(vec![Versioned::new(Facts::default()).put("1", LeaseChange::Leave { due: None })]);
    let tenant = Tenant::new("tenant");
    let told = store.tries(&tenant, Patience::Caller(Duration::from_secs(3))).commit(&commit).await;
    assert!(matches!(told, Err(StoreError::Unavailable(_))));
    assert!((3..5).contains(&(now() - began).as_secs()));
    assert!(engine.state.lock().expect("no panic").seen.len() > 3, "it was repeated meanwhile");
}

#[tokio::test(start_paused = true)]
async fn conflicts_end_a_callers_wait_and_no_facts() {
    for (others, patience, ends) in
        [(49, Patience::CALLER, false), (50, Patience::CALLER, true), (500, Patience::Fact, false)]
    {
        let (store, engine) = store(State::default());
        apply(&store, "before", Patience::Fact).await.expect("it is taken");
        engine.state.lock().expect("no panic").others = others;
        let told = apply(&store, "more", patience).await;
        assert_eq!(matches!(told, Err(StoreError::Unavailable(_))), ends, "{others}: {told:?}");
    }
}
