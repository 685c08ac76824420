//! What goes on meanwhile: callers press, and ALC calls back. Both repeat what had no answer, as Attio and ALC do.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sandbox::{Alc, Attio, Callback};
use serde_json::json;

use super::{Plan, Store, group::SharedLost, records::Merged, rig::Rig, verdict};
use crate::support::{
    ambient::{Stopwatch, eventually_within},
    attio_app::{AttioApp, connection_event, lead_body},
    harness::{Person, World},
    http::try_send,
    turns::Dice,
};

/// A gate that trouble has opened again and again stays so for some minutes.
pub const PATIENCE: Duration = Duration::from_secs(420);

/// Attio's users and ALC.
pub struct Callers {
    pub alc: Alc,
    pub attio: Attio,
    app: Mutex<AttioApp>,
    /// The connections before it, replaced or removed.
    before: Mutex<Vec<AttioApp>>,
    consents: AtomicUsize,
    /// A replica's.
    management: SocketAddr,
    client: reqwest::Client,
    people: Vec<Person>,
    /// Each two that become one record.
    pub pairs: Vec<(Person, Person)>,
    /// Whose records are deleted.
    pub doomed: Vec<Person>,
    /// Whether people may be sent by list.
    sends_by_list: bool,
    /// Held while a connection has to stand: nobody is sent from a list of a workspace that has left.
    pub standing: tokio::sync::RwLock<()>,
    /// Nothing comes of a lead that Redis has lost.
    lost: SharedLost,
    watch: Stopwatch,
    /// How long there is trouble.
    trouble: Duration,
    /// SQLite's time is the machine's, and is put back: of two leads the one that is pressed later may look older.
    time_turns: bool,
    cut: AtomicUsize,
    repeated: AtomicUsize,
}

/// What became of one person, as the callers know it.
pub struct Life {
    pub person: Person,
    /// How often somebody pressed for a new send.
    pub sends: usize,
    /// ALC's last result.
    pub result: String,
    /// A workflow step waited for the first send.
    pub is_waited_for: bool,
}

impl Life {
    /// What ALC said of each send, in turn.
    pub fn results(&self) -> Vec<&str> {
        if self.sends == 2 { vec!["qualified", &self.result] } else { vec![&self.result] }
    }
}

/// All of it.
pub struct Story {
    pub lives: Vec<Life>,
    pub merged: Vec<Merged>,
    pub deleted: Vec<Person>,
    consents: usize,
    cut: usize,
    repeated: usize,
}

impl Story {
    pub fn summary(&self, rig: &Rig) -> String {
        let sends: usize = self.lives.iter().map(|life| life.sends).sum();
        format!(
            "{} people, {sends} sends, {} merges, {} deletions, {} consents asked for, {} presses cut, {} callbacks repeated",
            self.lives.len(),
            self.merged.len(),
            self.deleted.len(),
            self.consents,
            self.cut,
            self.repeated
        ) + &self.lost(rig)
    }

    /// What Redis itself lost, and how many of those leads are right all the same.
    fn lost(&self, rig: &Rig) -> String {
        if rig.group.is_none() {
            return String::new();
        }
        let lost = rig.lost.all();
        let people: Vec<_> = self.lives.iter().filter(|life| lost.records.contains(&life.person.record_id)).collect();
        let right = people.iter().filter(|life| verdict::is_right(rig, life)).count();
        format!(
            ", {} of the dead primaries were cut off, Redis lost {} writes: of {} leads, {} of them of these people ({right} \
             right all the same), and of {:?}",
            lost.cut_off,
            lost.writes,
            lost.records.len(),
            people.len(),
            lost.others
        )
    }
}

impl Callers {
    pub async fn new(rig: &Rig, plan: &Plan) -> Self {
        let app = Mutex::new(rig.world.connect().await);
        let few = plan.leads.div_ceil(20);
        Self {
            alc: rig.world.alc.clone(),
            attio: rig.world.attio.clone(),
            app,
            before: Mutex::default(),
            consents: AtomicUsize::new(0),
            management: rig.seats[0].process.management(),
            client: rig.world.client.clone(),
            people: (0..plan.leads).map(|_| rig.world.person()).collect(),
            pairs: (0..few).map(|_| (rig.world.person(), rig.world.person())).collect(),
            doomed: (0..few).map(|_| rig.world.person()).collect(),
            sends_by_list: plan.goes_further,
            standing: tokio::sync::RwLock::default(),
            lost: rig.lost.clone(),
            watch: Stopwatch::start(),
            trouble: plan.lasts,
            time_turns: plan.store == Store::Sqlite,
            cut: AtomicUsize::new(0),
            repeated: AtomicUsize::new(0),
        }
    }

    /// As long as there is trouble, nothing need come of what is asked for: a gate may open and meet the next fault.
    pub fn patience(&self) -> Duration {
        self.trouble.saturating_sub(self.watch.elapsed()) + PATIENCE
    }

    /// The connection that stands.
    pub fn app(&self) -> AttioApp {
        self.app.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Those that were replaced or removed.
    pub fn before(&self) -> Vec<AttioApp> {
        self.before.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The workspace connects once more, in a lull, as a customer's browser does not try again; leads are under way.
    pub async fn takeover(&self, world: &World) {
        world.alc.faults().clear("token");
        let app = world.connect().await;
        let before = std::mem::replace(&mut *self.app.lock().unwrap_or_else(PoisonError::into_inner), app);
        self.before.lock().unwrap_or_else(PoisonError::into_inner).push(before);
    }

    /// Attio tells that the connection is gone, until that is taken.
    pub async fn remove(&self, app: &AttioApp) {
        let event = connection_event("workspace", &app.workspace_id);
        eventually_within(self.patience(), "the removal is taken", async || {
            let request = app.request(reqwest::Method::POST, "/v1/events/connection-removed").json(&event);
            if request.send().await.is_ok_and(|answer| answer.status() == 202) {
                return Some(());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            None
        })
        .await;
    }

    /// The customer consents anew if the connector says that ALC's grant is dead: a rotated refresh token was lost with
    /// ALC's answer.
    pub async fn consent_if_asked(&self, world: &World) {
        let asked = self.app().request(reqwest::Method::GET, "/v1/connection").send().await;
        let Ok(answer) = asked else { return };
        let connection: serde_json::Value = answer.json().await.unwrap_or_default();
        if connection["status"] == "reauthorization-required" {
            self.consents.fetch_add(1, Ordering::SeqCst);
            self.takeover(world).await;
        }
    }

    /// What comes of `lives`, with a customer who consents when asked.
    pub async fn consenting<T>(&self, world: &World, mut lives: std::pin::Pin<&mut impl Future<Output = T>>) -> T {
        loop {
            match tokio::time::timeout(Duration::from_secs(1), &mut lives).await {
                Ok(done) => return done,
                Err(_) => self.consent_if_asked(world).await,
            }
        }
    }

    /// Each person's life, begun at a moment of its own.
    pub async fn live(&self, plan: &Plan) -> Story {
        let lives = self.people.iter().enumerate().map(|(number, person)| async move {
            let mut dice = Dice(plan.seed.wrapping_mul(1_000_003) + number as u64);
            let latest = usize::try_from(plan.lasts.as_millis()).expect("milliseconds");
            tokio::time::sleep(Duration::from_millis(dice.below(latest) as u64)).await;
            self.live_one(person, &mut dice).await
        });
        let lives = futures_util::future::join_all(lives);
        let (lives, merged, ()) = tokio::join!(lives, self.merge_records(plan), self.delete_records(plan));
        let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
        let (cut, repeated, consents) = (count(&self.cut), count(&self.repeated), count(&self.consents));
        Story { lives, merged, deleted: self.doomed.clone(), consents, cut, repeated }
    }

    async fn live_one(&self, person: &Person, dice: &mut Dice) -> Life {
        let way = dice.below(10);
        match way {
            0 | 1 => self.press_in_a_batch(person).await,
            2 | 3 => {
                let key = format!("twice {}", person.record_id);
                tokio::join!(self.press(person, &key, None), self.press(person, &key, None));
            }
            4 | 5 => {
                let step = self.attio.callback_url(&person.record_id);
                self.press(person, &format!("step {}", person.record_id), Some(&step)).await;
            }
            6 | 7 if self.sends_by_list => self.enter(person, dice).await,
            _ => self.press(person, &format!("first {}", person.record_id), None).await,
        }
        self.call_back(person, 1, "qualified", dice).await;
        let mut life =
            Life { person: person.clone(), sends: 1, result: "qualified".into(), is_waited_for: matches!(way, 4 | 5) };
        if dice.below(5) == 0 {
            eventually_within(self.patience(), "the first result is shown", async || {
                let is_shown = self.attio.status(&person.record_id).as_deref() == Some("Complete");
                (is_shown || self.lost.has(&person.record_id)).then_some(())
            })
            .await;
            self.press(person, &format!("again {}", person.record_id), None).await;
            self.call_back(person, 2, "not_interested", dice).await;
            life.sends = 2;
            life.result = "not_interested".into();
        }
        life
    }

    /// Until it was taken, whole or in the background.
    pub async fn press(&self, person: &Person, key: &str, step: Option<&str>) {
        let mut body = lead_body(person);
        if let Some(step) = step {
            body["finish_callback_url"] = step.into();
        }
        self.insist("the press is taken", "/v1/leads", key, &body).await;
    }

    /// What the operators' command would say of it.
    pub async fn happened_to(&self, person: &Person) -> String {
        let url = format!("http://{}/operate/leads/{}", self.management, person.record_id);
        // Not by the judging client, as in `insist`: it is asked while there is trouble, too.
        let answer = match self.client.get(url).send().await {
            Ok(answer) => answer.text().await,
            Err(error) => Err(error),
        };
        answer.unwrap_or_else(|error| format!("{}: {error}", person.record_id))
    }

    /// What the connector still has to do for its workspaces, for people.
    pub async fn connections(&self) -> String {
        let request = self.client.get(format!("http://{}/operate/connections", self.management));
        try_send(request).await.map_or_else(|error| error.to_string(), |answer| answer.body)
    }

    /// What the connector says of a record's lead.
    pub async fn lead(&self, record: &str) -> String {
        let request = self.app().request(reqwest::Method::GET, &format!("/v1/leads/{record}"));
        try_send(request).await.map_or_else(|error| error.to_string(), |answer| answer.body)
    }

    /// Which of a merged pair goes on, and which does not: the `newer` one, which was pressed later.
    pub async fn speaker<'a>(&self, older: &'a Person, newer: &'a Person) -> (&'a Person, &'a Person) {
        eventually_within(self.patience(), "one of a merged pair goes on", async || {
            if !self.time_turns || !self.alc.leads_of(&newer.record_id).is_empty() {
                return Some((newer, older));
            }
            self.happened_to(newer).await.contains("superseded").then_some((older, newer))
        })
        .await
    }

    async fn press_in_a_batch(&self, person: &Person) {
        let key = format!("batch {}", person.record_id);
        self.insist("the batch is taken", "/v1/leads/batch", &key, &json!({ "leads": [lead_body(person)] })).await;
    }

    async fn insist(&self, what: &str, path: &str, key: &str, body: &serde_json::Value) {
        eventually_within(self.patience(), what, async || {
            let app = self.app();
            let request = app.request(reqwest::Method::POST, path).header("idempotency-key", key).json(body);
            // Not by the judging client: a process that was frozen while a request came has run out of time for it, and
            // its HTTP server answers 408 by itself (RFC 9110, section 15.5.9).
            match request.send().await {
                Ok(answer) if answer.status().is_success() => {
                    let answer: serde_json::Value = answer.json().await.unwrap_or_default();
                    // The answer to a batch is 202 whatever became of its one lead. One that was cut off says nothing.
                    if answer.is_object() && answer["results"][0].get("problem").is_none() {
                        return Some(());
                    }
                }
                // A connection that a takeover has just replaced, and a store that was away.
                Ok(answer) => {
                    let status = answer.status().as_u16();
                    assert!([401, 408, 409, 429, 503].contains(&status), "{answer:?}");
                    if status == 401 {
                        app.try_refresh().await;
                    }
                }
                Err(_) => _ = self.cut.fetch_add(1, Ordering::SeqCst),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            None
        })
        .await;
    }

    /// As soon as ALC has that many leads of the record: until the call is taken, perhaps after one that tells nothing,
    /// and perhaps once more.
    pub async fn call_back(&self, person: &Person, leads: usize, result: &str, dice: &mut Dice) {
        let (watch, patience) = (Stopwatch::start(), self.patience());
        while self.alc.leads_of(&person.record_id).len() < leads {
            if self.lost.has(&person.record_id) {
                return;
            }
            if watch.elapsed() > patience {
                panic!("ALC never got the lead: {}", self.happened_to(person).await);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        if dice.below(4) == 0
            && let Some(webhook) = self.alc.webhooks().last()
        {
            let early = Callback::new(&person.record_id, "processing").to(&webhook.webhook_id);
            drop(self.alc.call_back(early).await);
        }
        tokio::time::sleep(Duration::from_millis(dice.below(1_500) as u64)).await;
        let newest = self.alc.leads_of(&person.record_id).pop().expect("it was there");
        let message = format!("msg-{}", newest.id);
        let callback = Callback::new(&person.record_id, result).lead_id(&newest.id).message_id(&message);
        for _ in 0..=usize::from(dice.below(3) == 0) {
            self.insist_on_callback(&callback).await;
        }
    }

    /// At the newest registration that stands, until the call is taken.
    pub async fn insist_on_callback(&self, callback: &Callback) {
        eventually_within(self.patience(), "the callback is taken", async || {
            if let Some(webhook) = self.alc.webhooks().last() {
                let callback = callback.clone().to(&webhook.webhook_id);
                if self.alc.call_back(callback).await.status == 200 {
                    return Some(());
                }
            }
            self.repeated.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(200)).await;
            None
        })
        .await;
    }
}
