//! A month of a workspace: every way that a lead goes, and what a workspace does besides.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use reqwest::Method;
use sandbox::{Callback, Fault};
use serde_json::{Value, json};

use super::books::Books;
use crate::support::{
    ambient::{Stopwatch, eventually_within},
    attio_app::{AttioApp, authorization_code, lead_body},
    harness::{DAY, HOUR, MINUTE, Person, World},
    http::send,
};

/// The list whose entries send, and the pipeline.
pub const SENDING: &str = "to-alc";
pub const PIPELINE: &str = "sales";
/// What is in every name, number, address and word of the year: nobody may find it in a file.
pub const PERSONAL: [&str; 5] = ["Quilla Zvex", "+1201234", "@zvex.example", "confided to zvex", "/callbacks/zvex"];
/// How long the work of one step may take.
const PATIENCE: Duration = Duration::from_secs(900);
const SECOND: Duration = Duration::from_secs(1);

/// The ways that a lead goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// By the button, from a workflow that hears of the result.
    Told,
    /// In a batch, while ALC is away for a moment.
    Batch,
    /// ALC refuses it.
    Refused,
    /// ALC never calls back.
    Silent,
    /// Two records, merged.
    Merged,
    /// The record is deleted.
    Deleted,
    /// By an entry of a list.
    Entry,
    /// A person whom ALC brings.
    Brought,
    /// From a workflow that is gone when it is told.
    Gone,
    /// ALC is away for longer than the send's deadline.
    NotSent,
}

/// Each as often as it needs people.
const WAYS: [Way; 11] = [
    Way::Merged,
    Way::Told,
    Way::Batch,
    Way::Refused,
    Way::Silent,
    Way::Merged,
    Way::Deleted,
    Way::Entry,
    Way::Brought,
    Way::Gone,
    Way::NotSent,
];

/// The year's workspace.
pub struct Life<'a> {
    pub world: &'a World,
    pub books: &'a mut Books,
    pub app: AttioApp,
    people: usize,
    /// Whom somebody presses each month: their leads are never forgotten.
    regulars: Vec<Person>,
    example: Option<Person>,
    /// How much time passes at once where nobody does anything.
    pub stride: Duration,
    is_thorough: bool,
    /// How much of this month has passed.
    passed: Duration,
}

impl<'a> Life<'a> {
    pub async fn new(world: &'a World, books: &'a mut Books, stride: Duration) -> Self {
        world.attio.configure(|attio| attio.https_webhooks_only = false);
        world.attio.add_list(SENDING, &[]);
        world.attio.add_list(PIPELINE, &["Qualified", "Lost"]);
        let app = world.connect().await;
        let mut life = Self {
            world,
            books,
            app,
            people: 0,
            regulars: Vec::new(),
            example: None,
            stride,
            is_thorough: true,
            passed: Duration::ZERO,
        };
        life.regulars = vec![life.person(), life.person()];
        life
    }

    fn person(&mut self) -> Person {
        self.people += 1;
        let name = format!("{} {}", PERSONAL[0], self.people);
        let phone = format!("{}{:04}", PERSONAL[1], self.people % 10_000);
        Person { record_id: self.world.attio.add_person(&name, &phone), name, phone }
    }

    /// One who was pressed this month for the first time, and whose lead has finished.
    pub fn example(&self) -> &Person {
        self.example.as_ref().expect("a month has passed")
    }

    /// Time goes on, and all that is due by then is done.
    ///
    /// A slot at a gate may be used a second late, no more. A clock that only strides would let one write through at
    /// each stride and give all others a new slot: behind a stride comes half a second in which those are used.
    pub async fn pass(&mut self, step: Duration) {
        self.pass_at_once(step).await;
        if step > SECOND && self.books.due(self.world, SECOND / 2) > 0 {
            self.pass_at_once(SECOND / 2).await;
        }
    }

    async fn pass_at_once(&mut self, step: Duration) {
        self.world.pass(step).await;
        self.books.grow_older(self.world, step);
        self.settle().await;
        self.passed += step;
    }

    /// Everything that is due is done.
    pub async fn settle(&self) {
        let quiet = || self.world.under_way() == 0 && self.books.due(self.world, Duration::ZERO) == 0;
        let (watch, mut calm) = (Stopwatch::start(), 0);
        eventually_within(PATIENCE, "everything that is due is done", async || {
            // A task that waits for the clock is under way all the time, and is no work. What is leased is not due, and
            // is work: only for a while nothing is due between two steps of it.
            calm = if self.books.due(self.world, Duration::ZERO) == 0 { calm + 1 } else { 0 };
            let is_quiet = quiet() || (watch.elapsed() > 4 * SECOND && calm > 20);
            is_quiet.then_some(())
        })
        .await;
    }

    async fn creep(&mut self, step: Duration, times: u32) {
        for _ in 0..times {
            self.pass(step).await;
        }
    }

    /// One month of so many people; at its end thirty days have passed. A thorough one looks at all that is stored in
    /// between, and syncs it: either takes long where much is stored.
    pub async fn month(&mut self, people: usize, is_thorough: bool) {
        (self.passed, self.is_thorough) = (Duration::ZERO, is_thorough);
        self.reconnect().await;
        let mut by_way: BTreeMap<Way, Vec<Person>> = BTreeMap::new();
        for at in 0..people {
            let person = self.person();
            by_way.entry(WAYS[at % WAYS.len()]).or_default().push(person);
        }
        let of = |way: Way| by_way.get(&way).cloned().unwrap_or_default();
        self.send(&of).await;
        self.finish(&of).await;
        self.be_away(&of(Way::NotSent)).await;
        // Half a month later the next takes over, and somebody begins to connect and does not go on.
        self.app = self.world.connect().await;
        drop(authorization_code(self.world).await);
        if self.is_thorough {
            self.sync().await;
        }
        while self.passed < 30 * DAY {
            self.pass(self.stride.min(30 * DAY - self.passed)).await;
        }
        self.example = of(Way::Gone).pop();
        self.clear(&of);
    }

    /// A removal of a day and a new connection, and a consent of which nobody is told.
    async fn reconnect(&mut self) {
        self.app.connection_removed().await.expect(202);
        self.creep(HOUR, 3).await;
        drop(self.world.authorize().await);
        self.app = self.world.connect().await;
        let trigger = json!({ "callback_url": self.world.attio.callback_url("zvex-trigger") });
        for (method, body) in [(Method::PUT, Some(&trigger)), (Method::DELETE, None)] {
            let request = self.app.request(method, "/v1/triggers/activation");
            let status = send(if let Some(body) = body { request.json(body) } else { request }).await.status;
            assert!((200..300).contains(&status), "{status}");
        }
    }

    /// Everybody is sent; ALC is away at first.
    async fn send(&mut self, of: &impl Fn(Way) -> Vec<Person>) {
        let away = Fault::status(503);
        self.world.alc.faults().always("create_lead", away);
        let batch = [of(Way::Batch), of(Way::Merged), of(Way::Deleted), of(Way::Silent)].concat();
        for part in batch.chunks(250) {
            let leads: Vec<_> = part.iter().map(lead_body).collect();
            let request = self.app.request(Method::POST, "/v1/leads/batch").json(&json!({ "leads": leads }));
            send(request).await.expect(202);
        }
        self.creep(SECOND / 10, 2).await;
        self.look().await;
        self.world.alc.faults().clear("create_lead");
        self.creep(10 * SECOND, 4).await;
        for (name, people) in
            [("zvex-told", of(Way::Told)), ("zvex-gone", [of(Way::Gone), self.regulars.clone()].concat())]
        {
            for (at, person) in people.iter().enumerate() {
                let mut body = lead_body(person);
                body["finish_callback_url"] = json!(self.world.attio.callback_url(&format!("{name}-{at}")));
                let key = format!("{} {}", person.record_id, self.world.now());
                let request = self.app.request(Method::POST, "/v1/leads").header("idempotency-key", key);
                assert!(send(request.json(&body)).await.expect(201).json()["lead_id"].is_string());
            }
        }
        for person in of(Way::Refused) {
            self.world.alc.faults().next("create_lead", Fault::status(422));
            drop(self.app.press(&person).await);
        }
        self.world.alc.faults().clear("create_lead");
        for person in of(Way::Entry) {
            assert_eq!(self.world.attio.add_entry(SENDING, &person.record_id).await, [200]);
        }
        self.creep(SECOND, 8).await;
    }

    /// ALC calls back while Attio takes no notes and nobody; then it does.
    async fn finish(&mut self, of: &impl Fn(Way) -> Vec<Person>) {
        for operation in ["create_note", "query_records", "assert_record"] {
            self.world.attio.faults().always(operation, Fault::status(503));
        }
        for pair in of(Way::Merged).chunks(2) {
            if let [one, other] = pair {
                self.world.attio.merge(&one.record_id, &other.record_id).await;
            }
        }
        for person in of(Way::Deleted) {
            self.world.attio.delete_and_tell(&person.record_id).await;
        }
        let told = [of(Way::Told), of(Way::Batch), of(Way::Entry), of(Way::Merged)].concat();
        self.call_back(&told).await;
        for (at, person) in of(Way::Brought).iter().enumerate() {
            let address = format!("{}{at}{}", person.record_id, PERSONAL[2]);
            let call = Callback::prospect(&format!("prospect-{}", person.record_id), &person.name, &address);
            self.world.tell(call.field("status", json!("qualified")), 200).await;
        }
        self.creep(SECOND, 3).await;
        self.look().await;
        self.world.attio.faults().clear_all();
        self.world.attio.faults().always("workflow_callback", Fault::status(404));
        self.call_back(&[of(Way::Gone), self.regulars.clone()].concat()).await;
        self.creep(30 * SECOND, 4).await;
        self.creep(5 * MINUTE, 8).await;
        self.world.attio.faults().clear_all();
    }

    async fn call_back(&self, people: &[Person]) {
        for (at, person) in people.iter().enumerate() {
            let word = ["qualified", "not_interested"][at % 2];
            let summary = json!(format!("{} {at} by {}", PERSONAL[3], person.name));
            self.world.tell(Callback::new(&person.record_id, word).field("summary", summary), 200).await;
        }
    }

    /// ALC is away for longer than anything waits for it.
    async fn be_away(&mut self, people: &[Person]) {
        self.world.alc.faults().always("create_lead", Fault::status(503));
        let leads: Vec<_> = people.iter().map(lead_body).collect();
        for part in leads.chunks(250) {
            let request = self.app.request(Method::POST, "/v1/leads/batch").json(&json!({ "leads": part }));
            send(request).await.expect(202);
        }
        self.creep(4 * HOUR, 7).await;
        self.world.alc.faults().clear_all();
        if let Some(person) = people.first() {
            assert_eq!(self.app.lead_says(person, "reason").await, "not-sent");
        }
    }

    /// A full sync, to its end.
    async fn sync(&mut self) {
        let wish = json!({ "workspace_id": self.world.attio.workspace_id(), "mend": false, "by": "ada" });
        let url = format!("http://{}/operate/syncs", self.world.replicas()[0].management);
        send(self.world.client.post(&url).json(&wish)).await.expect(200);
        // Within its pace it asks about all who are pending, page by page.
        for _ in 0..600 {
            self.pass(10 * SECOND).await;
            let syncs: Value = send(self.world.client.get(&url)).await.expect(200).json();
            if syncs["syncs"][0]["state"] != "running" {
                return;
            }
        }
        panic!("the sync does not end");
    }

    /// Whatever is sealed now is remembered.
    async fn look(&mut self) {
        if self.is_thorough {
            self.books.look(self.world).await;
        }
    }

    /// The pretend services forget the month, so that what grows is the service's.
    fn clear(&self, of: &impl Fn(Way) -> Vec<Person>) {
        self.world.alc.journal().forget();
        self.world.attio.journal().forget();
        for person in BTreeSet::from(WAYS).into_iter().filter(|way| *way != Way::Silent).flat_map(of) {
            self.world.attio.delete_person(&person.record_id);
        }
        for list in [SENDING, PIPELINE] {
            self.world.attio.change_list(list, |list| list.entries.clear());
        }
    }
}
