//! Operations `sendLead`, `alcCallback` and `connectionAdded` under faults in any order: in the end Attio shows the
//! result of each record's last send, and ALC was never asked under two keys for one send.
//!
//! How: a seeded die makes 120 moves over eight records (a press, a callback, a fault at ALC or Attio, expired tokens,
//! a restart, a Redis that dies, a takeover, minutes that pass). Then every fault is cleared, days pass on the manual
//! clock, and each record is held against what ALC was asked and told. A failure prints the moves so far, and the seed
//! repeats them.

use std::collections::BTreeSet;

use alc_connector::clock::Clock as _;
use sandbox::{Callback, Fault};

use crate::support::{
    ambient::eventually,
    attio_app::AttioApp,
    harness::{HOUR, MINUTE, Person, Setup, World, scenario},
    http::send,
    turns::Dice,
};

const PEOPLE: usize = 8;
const MOVES: usize = 120;

scenario! {
    async fn any_run_of_trouble_ends_at_rest_with_the_right_status(setup: Setup) {
        Chaos::begin(setup.clone(), 11).await.play().await;
        // Without keys, what was done is found by looking it up.
        Chaos::begin(setup.alc(|alc| alc.idempotency = false), 12).await.play().await;
    }
}

struct Chaos {
    world: World,
    app: AttioApp,
    people: Vec<Person>,
    /// Per person: presses that may have begun a send.
    begun: Vec<usize>,
    dice: Dice,
    told: Vec<String>,
}

impl Chaos {
    async fn begin(setup: Setup, seed: u64) -> Self {
        let (world, app) = setup.impatient().connected().await;
        let people = (0..PEOPLE).map(|_| world.person()).collect();
        let told = vec![format!("seed {seed}")];
        Self { world, app, people, begun: vec![0; PEOPLE], dice: Dice(seed), told }
    }

    async fn play(mut self) {
        for _ in 0..MOVES {
            self.make_a_move().await;
        }
        self.world.alc.faults().clear_all();
        self.world.attio.faults().clear_all();
        self.world.alc.server().come_up().await;
        self.world.attio.server().come_up().await;
        self.is_ready().await;
        for number in 0..PEOPLE {
            self.comes_to_rest(number).await;
        }
    }

    async fn make_a_move(&mut self) {
        let number = self.dice.below(PEOPLE);
        let person = self.people[number].clone();
        match self.dice.below(21) {
            0..=5 => {
                let answer = self.world.while_time_passes(self.app.press(&person)).await;
                self.tell(&format!("press {number}: {}", answer.status));
                self.begun[number] += usize::from(answer.status != 200);
            }
            6..=9 => self.call_back(number).await,
            10..=12 => {
                let fault = self.dice.fault(Fault::Hang);
                self.tell(&format!("create_lead meets {fault:?}"));
                self.world.alc.faults().next("create_lead", fault);
            }
            13..=15 => {
                let fault = self.dice.fault(Fault::Hang);
                self.tell(&format!("patch_record meets {fault:?}"));
                self.world.attio.faults().next("patch_record", fault);
            }
            16 => {
                self.tell("tokens expire");
                self.world.alc.expire_access_tokens();
            }
            17 => {
                self.tell("restart");
                self.world.restart().await;
            }
            18 => {
                self.tell("Redis dies and comes again");
                self.world.restart_redis();
            }
            19 => {
                self.tell("takeover");
                self.is_ready().await;
                let app = self.world.authorize().await;
                if self.world.while_time_passes(app.connection_added()).await.status == 201 {
                    self.app = app;
                }
            }
            _ => {
                let by = MINUTE * u32::try_from(self.dice.below(20)).expect("small");
                self.tell(&format!("{by:?} pass"));
                self.world.pass_slowly(by, 1).await;
            }
        }
    }

    /// Every replica has found its store again.
    async fn is_ready(&self) {
        for replica in self.world.replicas() {
            let url = format!("http://{}/readyz", replica.management);
            let ready = async || (send(self.world.client.get(&url)).await.status == 200).then_some(());
            eventually("the replica is ready", ready).await;
        }
    }

    /// ALC tells of one of the record's leads, perhaps an old one, perhaps for the second time.
    async fn call_back(&mut self, number: usize) {
        let leads = self.world.alc.leads_of(&self.people[number].record_id);
        if leads.is_empty() {
            return;
        }
        let which = self.dice.below(leads.len());
        let status =
            if leads[which].status == "processing" { format!("result {which}") } else { leads[which].status.clone() };
        let callback = Callback::new(&self.people[number].record_id, &status).lead_id(&leads[which].id);
        self.is_ready().await;
        let answer = self.world.alc.call_back(callback).await;
        self.tell(&format!("callback {number}.{which} {status}: {}", answer.status));
        assert_eq!(answer.status, 200, "{:#?}", self.told);
    }

    fn tell(&mut self, what: &str) {
        self.told.push(format!("{} {what}", self.world.clock.now()));
    }

    /// The last send goes out, ALC tells its result, Attio shows it and goes on showing it.
    async fn comes_to_rest(&mut self, number: usize) {
        let person = self.people[number].clone();
        if self.begun[number] == 0 {
            return;
        }
        let (world, app, told) = (&self.world, &self.app, self.told.join("\n"));
        let out = async || app.lead_says(&person, "status").await != "queued";
        world.pass_until(&format!("{number} goes out:\n{told}"), MINUTE * 5, HOUR * 12, out).await;
        let leads = world.alc.leads_of(&person.record_id);
        let last = leads.last().unwrap_or_else(|| panic!("{number} was sent:\n{told}"));
        let result = if last.status == "processing" { "the last result" } else { last.status.as_str() };
        world.tell(Callback::new(&person.record_id, result).lead_id(&last.id), 200).await;
        let shown = async || {
            world.attio.status(&person.record_id).as_deref() == Some("Complete")
                && world.attio.value(&person.record_id, "alc_result").as_deref() == Some(result)
                && world.attio.value(&person.record_id, "alc_lead_id").as_ref() == Some(&last.id)
        };
        let what =
            format!("Attio shows {result} for {number}, not {:?}:\n{told}", world.attio.history(&person.record_id));
        world.pass_until(&what, MINUTE * 5, HOUR * 12, shown).await;
        world.pass_slowly(MINUTE * 8, 3).await;
        assert_eq!(world.attio.status(&person.record_id).as_deref(), Some("Complete"), "{number} stays:\n{told}");
        assert_eq!(app.lead_says(&person, "status").await, "complete", "{number}:\n{told}");
        let keys: BTreeSet<_> = leads.iter().map(|lead| lead.idempotency_key.clone()).collect();
        assert_eq!(keys.len(), leads.len(), "{number}: one lead per send:\n{told}");
        assert!(keys.len() <= self.begun[number], "{number}: one key per send:\n{told}");
    }
}
