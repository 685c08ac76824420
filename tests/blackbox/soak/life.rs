//! What goes on meanwhile: callers press, and ALC calls back. Both repeat what had no answer, as Attio and ALC do.

use std::{
    net::SocketAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sandbox::{Alc, Attio, Callback};
use serde_json::json;

use super::{Plan, rig::Rig};
use crate::support::{
    ambient::{Stopwatch, eventually_within},
    attio_app::{AttioApp, lead_body},
    harness::{Person, World},
    http::try_send,
    turns::Dice,
};

/// A gate that trouble has opened again and again stays so for some minutes.
pub const PATIENCE: Duration = Duration::from_secs(420);

/// Attio's users and ALC.
pub struct Callers {
    alc: Alc,
    attio: Attio,
    app: Mutex<AttioApp>,
    /// A replica's.
    management: SocketAddr,
    client: reqwest::Client,
    people: Vec<Person>,
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

/// All of it.
pub struct Story {
    pub lives: Vec<Life>,
    cut: usize,
    repeated: usize,
}

impl Story {
    pub fn summary(&self) -> String {
        let sends: usize = self.lives.iter().map(|life| life.sends).sum();
        format!(
            "{} people, {sends} sends, {} presses cut, {} callbacks repeated",
            self.lives.len(),
            self.cut,
            self.repeated
        )
    }
}

impl Callers {
    pub async fn new(rig: &Rig, plan: &Plan) -> Self {
        let app = Mutex::new(rig.world.connect().await);
        Self {
            alc: rig.world.alc.clone(),
            attio: rig.world.attio.clone(),
            app,
            management: rig.seats[0].process.management(),
            client: rig.world.client.clone(),
            people: (0..plan.leads).map(|_| rig.world.person()).collect(),
            cut: AtomicUsize::new(0),
            repeated: AtomicUsize::new(0),
        }
    }

    /// The connection that stands.
    pub fn app(&self) -> AttioApp {
        self.app.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The workspace connects once more, in a lull, as a customer's browser does not try again; leads are under way.
    pub async fn takeover(&self, world: &World) {
        world.alc.faults().clear("token");
        let app = world.connect().await;
        *self.app.lock().unwrap_or_else(PoisonError::into_inner) = app;
    }

    /// Each person's life, begun at a moment of its own.
    pub async fn live(&self, plan: &Plan) -> Story {
        let lives = self.people.iter().enumerate().map(|(number, person)| async move {
            let mut dice = Dice(plan.seed.wrapping_mul(1_000_003) + number as u64);
            let latest = usize::try_from(plan.lasts.as_millis()).expect("milliseconds");
            tokio::time::sleep(Duration::from_millis(dice.below(latest) as u64)).await;
            self.live_one(person, &mut dice).await
        });
        let lives = futures_util::future::join_all(lives).await;
        let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
        Story { lives, cut: count(&self.cut), repeated: count(&self.repeated) }
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
            _ => self.press(person, &format!("first {}", person.record_id), None).await,
        }
        self.call_back(person, 1, "qualified", dice).await;
        let mut life =
            Life { person: person.clone(), sends: 1, result: "qualified".into(), is_waited_for: matches!(way, 4 | 5) };
        if dice.below(5) == 0 {
            eventually_within(PATIENCE, "the first result is shown", async || {
                (self.attio.status(&person.record_id).as_deref() == Some("Complete")).then_some(())
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
    async fn press(&self, person: &Person, key: &str, step: Option<&str>) {
        let mut body = lead_body(person);
        if let Some(step) = step {
            body["finish_callback_url"] = step.into();
        }
        self.insist("the press is taken", "/v1/leads", key, &body).await;
    }

    /// What the operators' command would say of it.
    pub async fn happened_to(&self, person: &Person) -> String {
        let url = format!("http://{}/operate/leads/{}", self.management, person.record_id);
        match try_send(self.client.get(url)).await {
            Ok(answer) => answer.body,
            Err(error) => format!("{}: {error}", person.record_id),
        }
    }

    async fn press_in_a_batch(&self, person: &Person) {
        let key = format!("batch {}", person.record_id);
        self.insist("the batch is taken", "/v1/leads/batch", &key, &json!({ "leads": [lead_body(person)] })).await;
    }

    async fn insist(&self, what: &str, path: &str, key: &str, body: &serde_json::Value) {
        eventually_within(PATIENCE, what, async || {
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
                Ok(answer) => assert!([401, 408, 409, 429, 503].contains(&answer.status().as_u16()), "{answer:?}"),
                Err(_) => _ = self.cut.fetch_add(1, Ordering::SeqCst),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            None
        })
        .await;
    }

    /// As soon as ALC has that many leads of the record: until the call is taken, perhaps after one that tells nothing,
    /// and perhaps once more.
    async fn call_back(&self, person: &Person, leads: usize, result: &str, dice: &mut Dice) {
        let watch = Stopwatch::start();
        while self.alc.leads_of(&person.record_id).len() < leads {
            if watch.elapsed() > PATIENCE {
                panic!("ALC never got the lead: {}", self.happened_to(person).await);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if dice.below(4) == 0 {
            drop(self.alc.call_back(Callback::new(&person.record_id, "processing")).await);
        }
        tokio::time::sleep(Duration::from_millis(dice.below(1_500) as u64)).await;
        let newest = self.alc.leads_of(&person.record_id).pop().expect("it was there");
        let message = format!("msg-{}", newest.id);
        let callback = Callback::new(&person.record_id, result).lead_id(&newest.id).message_id(&message);
        for _ in 0..=usize::from(dice.below(3) == 0) {
            eventually_within(PATIENCE, "the callback is taken", async || {
                if self.alc.call_back(callback.clone()).await.status == 200 {
                    return Some(());
                }
                self.repeated.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(200)).await;
                None
            })
            .await;
        }
    }
}
