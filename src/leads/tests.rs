//! The promises of a lead's life, under any interleaving of presses, answers, callbacks, crashes and takeovers.
//!
//! The model is the reconciler's protocol in miniature: a step is begun, the upstream does or does not do it, now or
//! late, the answer is seen or not, other things happen meanwhile, and the fact is recorded at once, later, or never.

use std::time::Duration;

use proptest::prelude::*;

use super::{
    lead::Lead,
    send::{Send, Status},
    shown::{ShowFailure, Showing, Title},
    step::{Connection, Deadlines, Step, Surroundings},
    transitions::{Attempt, Finished},
};
use crate::{
    clock::{Timestamp, from_micros, later},
    ids::{RecordId, SendId, WebhookId},
};

const HOUR: Duration = Duration::from_secs(3600);
/// No answer of an upstream arrives later than that: less than the last read-back.
const LATEST: Duration = Duration::from_secs(14 * 60);

/// What becomes of a request.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Done,
    DoneUnseen,
    LateUnseen,
    Refused,
    /// ALC refuses the lead for good; whether its caller waits for that and is told.
    Rejected(bool),
    LostUnseen,
}

/// What becomes of the worker that made it.
#[derive(Debug, Clone, Copy)]
enum Worker {
    Records,
    Crashes,
    /// Its lease goes to another; what it learnt is recorded some time later.
    RecordsLate,
}

#[derive(Debug, Clone)]
enum Event {
    Press,
    Step(Fate, Worker, Vec<Meanwhile>),
    CallBack(usize),
    LateRequestsArrive,
    LateFactsArrive,
    Wait(u64),
}

#[derive(Debug, Clone, Copy)]
enum Meanwhile {
    CallBack(usize),
    Press,
}

/// How ALC's callbacks tell which lead they are about.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Telling {
    LeadId,
    CallbackId,
}

#[derive(Debug, Clone)]
enum Fact {
    Submitted(SendId, String),
    NotSent(Attempt),
    Rejected(Attempt, bool),
    Unknown(Attempt),
    Shown(Showing),
    NotShown(ShowFailure),
}

struct AlcLead {
    id: String,
    key: SendId,
    called_back: bool,
}

struct World {
    now: Timestamp,
    telling: Telling,
    deadlines: Deadlines,
    lead: Lead,
    sends: Vec<SendId>,
    alc: Vec<AlcLead>,
    attio: Option<Showing>,
    late_posts: Vec<SendId>,
    late_patches: Vec<(Timestamp, Showing)>,
    late_facts: Vec<Fact>,
    vanished: bool,
}

impl World {
    fn new(telling: Telling) -> Self {
        let now = from_micros(0);
        let first = SendId::random();
        Self {
            now,
            telling,
            deadlines: Deadlines {
                send: HOUR * 24 * 300,
                result: HOUR * 24 * 300,
                retention: HOUR * 24 * 300,
                poll_after: Some(HOUR * 6),
            },
            lead: Lead::new(RecordId::random(), Send::new(first, now)),
            sends: vec![first],
            alc: Vec::new(),
            attio: None,
            late_posts: Vec::new(),
            late_patches: Vec::new(),
            late_facts: Vec::new(),
            vanished: false,
        }
    }

    fn press(&mut self) {
        if !self.lead.send.status.is_live() {
            let send = SendId::random();
            self.lead.send_again(Send::new(send, self.now));
            self.sends.push(send);
        }
    }

    /// ALC honours keys: a second POST under one finds the first one's lead.
    fn post(&mut self, key: SendId) -> String {
        if let Some(known) = self.alc.iter().find(|lead| lead.key == key) {
            return known.id.clone();
        }
        let id = format!("lead-{}", self.alc.len());
        self.alc.push(AlcLead { id: id.clone(), key, called_back: false });
        id
    }

    /// Each lead of ALC has one result, its own id.
    fn call_back(&mut self, index: usize) {
        let count = self.alc.len();
        let Some(lead) = self.alc.get_mut(index % count.max(1)) else { return };
        lead.called_back = true;
        let id = lead.id.clone();
        let before = self.lead.clone();
        let (lead_id, callback) = match self.telling {
            Telling::LeadId => (Some(id.as_str()), None),
            Telling::CallbackId => (None, Some(id.as_str())),
        };
        let finished = self.lead.finish(&id, lead_id, callback, self.now);
        if before.send.status == Status::Complete {
            assert_eq!(finished, Finished::Already, "complete is final");
            assert_eq!(before.send.result, self.lead.send.result);
        }
    }

    /// What ALC lists; a result shows once it was called back.
    fn listed(&self) -> Vec<(String, Option<String>)> {
        self.alc.iter().map(|lead| (lead.id.clone(), lead.called_back.then(|| lead.id.clone()))).collect()
    }

    fn next(&self) -> Step {
        let around = Surroundings {
            connection: Connection::Connected,
            attio: true,
            alc_opens_at: None,
            attio_opens_at: None,
            workflows_open_at: None,
            triggers_since: None,
            deadlines: &self.deadlines,
        };
        self.lead.next_step(self.now, &around)
    }

    fn take_up(&mut self) {
        if std::mem::take(&mut self.vanished) {
            self.lead.lost(self.now);
        }
    }

    fn step(&mut self, fate: Fate, worker: Worker, meanwhile: &[Meanwhile]) -> bool {
        self.take_up();
        let fact = match self.next() {
            Step::Rest(_) => return false,
            Step::Submit => {
                let complete = self.lead.send.status == Status::Complete;
                assert!(!complete, "a finished send is not sent again");
                self.lead.begin(self.now);
                let attempt = self.lead.attempt();
                match fate {
                    Fate::Done => Fact::Submitted(attempt.send, self.post(attempt.send)),
                    Fate::DoneUnseen => {
                        self.post(attempt.send);
                        Fact::Unknown(attempt)
                    }
                    Fate::LateUnseen => {
                        self.late_posts.push(attempt.send);
                        Fact::Unknown(attempt)
                    }
                    Fate::Refused => Fact::NotSent(attempt),
                    // What has arrived before is found again.
                    Fate::Rejected(_) if self.alc.iter().any(|lead| lead.key == attempt.send) => {
                        Fact::Submitted(attempt.send, self.post(attempt.send))
                    }
                    // An ALC that takes late what it has refused since, and then tells of it without an id, could not be
                    // told from one that tells of the next send.
                    Fate::Rejected(_) if self.late_posts.contains(&attempt.send) => Fact::NotSent(attempt),
                    Fate::Rejected(told) => Fact::Rejected(attempt, told),
                    Fate::LostUnseen => Fact::Unknown(attempt),
                }
            }
            Step::Show(showing) => {
                if showing.title == Title::Pending {
                    assert_eq!(self.lead.send.status, Status::Pending, "no Pending once the result is known");
                }
                match fate {
                    Fate::Done => {
                        self.attio = Some(showing);
                        Fact::Shown(showing)
                    }
                    Fate::DoneUnseen => {
                        self.attio = Some(showing);
                        Fact::NotShown(ShowFailure::Unseen(showing))
                    }
                    Fate::LateUnseen => {
                        self.late_patches.push((later(self.now, LATEST), showing));
                        Fact::NotShown(ShowFailure::Unseen(showing))
                    }
                    Fate::Refused | Fate::Rejected(_) => Fact::NotShown(ShowFailure::Later),
                    Fate::LostUnseen => Fact::NotShown(ShowFailure::Unseen(showing)),
                }
            }
            step => {
                self.ask(step, fate);
                return true;
            }
        };
        for event in meanwhile {
            match event {
                Meanwhile::CallBack(index) => self.call_back(*index),
                Meanwhile::Press => self.press(),
            }
        }
        match worker {
            Worker::Records => self.record(&fact),
            Worker::Crashes => self.vanish(),
            Worker::RecordsLate => {
                self.vanish();
                self.late_facts.push(fact);
            }
        }
        true
    }

    /// Steps that only ask: without an answer they are simply made again.
    fn ask(&mut self, step: Step, fate: Fate) {
        if !matches!(fate, Fate::Done) {
            let at = later(self.now, Duration::from_secs(1));
            match step {
                Step::Poll => self.lead.polled(self.deadlines.next_poll(1, self.now)),
                Step::ReadBack(_) => self.lead.not_shown(ShowFailure::Later, at, None, self.now),
                _ => self.lead.delay(at, None, self.now),
            }
            return;
        }
        match step {
            Step::TakeBaseline => self.lead.listed_before(self.listed().into_iter().map(|(id, _)| id).collect()),
            Step::LookUp | Step::Poll => {
                let known = self.lead.send.lead_id.clone();
                let ours = self.listed().into_iter().find(|(id, _)| match &known {
                    Some(known) => known == id,
                    None => !self.lead.is_of_earlier_send(id),
                });
                match ours {
                    Some((id, result)) => {
                        let send = self.lead.send.id;
                        if step == Step::Poll {
                            self.lead.polled(self.deadlines.next_poll(1, self.now));
                        }
                        self.lead.submitted(send, Some(id.clone()), self.deadlines.next_poll(0, self.now), self.now);
                        if let Some(result) = result {
                            self.lead.finish(&result, Some(&id), None, self.now);
                        }
                    }
                    None if step == Step::Poll => self.lead.polled(self.deadlines.next_poll(1, self.now)),
                    None => self.lead.not_found_at_alc(),
                }
            }
            Step::ReadBack(index) => {
                let doubt = self.lead.attio.doubts[index].clone();
                let wanted = self.lead.wanted();
                let look =
                    wanted.is_some_and(|wanted| self.lead.attio.shown == Some(wanted) && doubt.would_change(wanted));
                self.lead.read_back(index, look && self.attio.map(|shows| shows.title) == Some(doubt.title));
            }
            other => panic!("{other:?} is not to come up here"),
        }
    }

    fn record(&mut self, fact: &Fact) {
        let soon = later(self.now, Duration::from_secs(1));
        match fact {
            Fact::Submitted(send, id) => {
                let poll_at = self.deadlines.next_poll(0, self.now);
                self.lead.submitted(*send, Some(id.clone()), poll_at, self.now);
            }
            Fact::Rejected(attempt, told) => self.lead.rejected(*attempt, String::new(), *told, self.now),
            Fact::NotSent(attempt) => self.lead.not_sent(*attempt, soon, None, self.now),
            Fact::Unknown(attempt) => self.lead.unknown(*attempt, soon, None, self.now),
            Fact::Shown(showing) => self.lead.shown(*showing, None, self.now),
            Fact::NotShown(failure) => self.lead.not_shown(*failure, soon, None, self.now),
        }
    }

    /// The lease has to run out before anybody goes on.
    fn vanish(&mut self) {
        self.vanished = true;
        self.wait(Duration::from_secs(30));
    }

    fn wait(&mut self, by: Duration) {
        self.now = later(self.now, by);
        let due: Vec<_> = self.late_patches.iter().filter(|(at, _)| *at <= self.now).map(|(_, late)| *late).collect();
        self.late_patches.retain(|(at, _)| *at > self.now);
        self.attio = due.last().copied().or(self.attio);
    }

    fn late_requests_arrive(&mut self) {
        for key in std::mem::take(&mut self.late_posts) {
            self.post(key);
        }
        for (_, late) in std::mem::take(&mut self.late_patches) {
            self.attio = Some(late);
        }
    }

    fn late_facts_arrive(&mut self) {
        for fact in std::mem::take(&mut self.late_facts) {
            self.record(&fact);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Press => self.press(),
            Event::Step(fate, worker, meanwhile) => {
                self.step(fate, worker, &meanwhile);
            }
            Event::CallBack(index) => self.call_back(index),
            Event::LateRequestsArrive => self.late_requests_arrive(),
            Event::LateFactsArrive => self.late_facts_arrive(),
            Event::Wait(seconds) => self.wait(Duration::from_secs(seconds)),
        }
    }

    fn settle(&mut self) {
        for _ in 0..200 {
            if !self.step(Fate::Done, Worker::Records, &[]) {
                return;
            }
        }
        panic!("a lead that is never at rest: {:?}", self.next());
    }

    /// Everything under way arrives, every lead is called back, and time passes.
    fn come_to_rest(&mut self) {
        self.late_facts_arrive();
        self.settle();
        self.wait(Duration::from_secs(2));
        self.settle();
        self.late_requests_arrive();
        for index in 0..self.alc.len() {
            self.call_back(index);
        }
        for _ in 0..20 {
            self.settle();
            self.wait(Duration::from_secs(60));
        }
        self.wait(HOUR * 24);
        self.settle();
    }
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::Done),
        1 => Just(Fate::DoneUnseen),
        1 => Just(Fate::LateUnseen),
        1 => Just(Fate::Refused),
        1 => any::<bool>().prop_map(Fate::Rejected),
        1 => Just(Fate::LostUnseen),
    ]
}

fn worker() -> impl Strategy<Value = Worker> {
    prop_oneof![4 => Just(Worker::Records), 1 => Just(Worker::Crashes), 1 => Just(Worker::RecordsLate)]
}

fn meanwhile() -> impl Strategy<Value = Meanwhile> {
    prop_oneof![2 => (0usize..8).prop_map(Meanwhile::CallBack), 1 => Just(Meanwhile::Press)]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => Just(Event::Press),
        8 => (fate(), worker(), prop::collection::vec(meanwhile(), 0..3)).prop_map(|(f, w, m)| Event::Step(f, w, m)),
        2 => (0usize..8).prop_map(Event::CallBack),
        1 => Just(Event::LateRequestsArrive),
        1 => Just(Event::LateFactsArrive),
        2 => (1u64..1200).prop_map(Event::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// However it went, Attio ends up showing how the last send ended, or, if that was refused inside its request, the
    /// last one before it that was not; a result is the send's own, and no send has two leads at ALC.
    #[test]
    fn every_story_ends_well(
        telling in prop_oneof![Just(Telling::LeadId), Just(Telling::CallbackId)],
        events in prop::collection::vec(event(), 0..40),
    ) {
        let mut world = World::new(telling);
        for event in events {
            world.happen(event);
        }
        world.come_to_rest();

        let send = &world.lead.send;
        let own = world.alc.iter().find(|lead| lead.key == send.id).map(|lead| lead.id.clone());
        prop_assert_eq!(send.status, if own.is_some() { Status::Complete } else { Status::Failed });
        prop_assert_eq!(&send.result, &own);
        let ends = world.lead.earlier.iter().map(|earlier| (earlier.id, earlier.status, earlier.told_in_request));
        let ends: Vec<_> = ends.chain([(send.id, send.status, send.told_in_request)]).collect();
        let spoken = ends.iter().rev().find(|(_, _, told)| !told);
        prop_assert_eq!(world.attio, spoken.map(|(send, status, _)| Showing {
            send: *send,
            title: if *status == Status::Complete { Title::Complete } else { Title::Failed },
        }));
        let mut keys: Vec<_> = world.alc.iter().map(|lead| lead.key).collect();
        keys.sort();
        keys.dedup();
        prop_assert_eq!(keys.len(), world.alc.len(), "one lead a key");
        prop_assert!(keys.iter().all(|key| world.sends.contains(key)));
    }

    /// Every state that is not final has a time at which somebody looks at it again.
    #[test]
    fn no_state_sleeps_for_ever(events in prop::collection::vec(event(), 0..40)) {
        let mut world = World::new(Telling::LeadId);
        for event in events {
            world.happen(event);
            if let Step::Rest(at) = world.next() {
                prop_assert!(at > world.now);
            }
        }
    }

    /// Old binaries and new ones rewrite each other's documents: what one does not know survives.
    #[test]
    fn unknown_fields_survive_a_rewrite(name in "x_[a-z]{1,8}", value in "[a-z]{0,8}") {
        let lead = World::new(Telling::LeadId).lead;
        let mut body: serde_json::Value = serde_json::from_str(&crate::store::encode(&lead)).expect("JSON");
        body[&name] = value.clone().into();
        body["send"][&name] = value.clone().into();
        let read: Lead = crate::store::decode(&body.to_string()).expect("a lead");
        let again: serde_json::Value = serde_json::from_str(&crate::store::encode(&read)).expect("JSON");
        prop_assert_eq!(again, body);
    }
}

#[test]
fn a_sends_deadlines_end_it() {
    let mut world = World::new(Telling::LeadId);
    world.deadlines.send = HOUR * 24;
    world.deadlines.result = HOUR * 24 * 30;
    world.wait(HOUR * 24);
    assert_eq!(world.next(), Step::Expire(super::Reason::NotSent));
    world.lead.begin(world.now);
    world.lead.submitted(world.sends[0], Some("1".to_owned()), None, world.now);
    world.wait(HOUR * 24 * 29);
    assert_eq!(world.next(), Step::Expire(super::Reason::TimedOut));
    world.lead.expire(super::Reason::TimedOut, world.now);
    assert_eq!(world.lead.wanted().map(|wanted| wanted.title), Some(Title::Failed));
    assert_eq!(world.lead.finish("qualified", Some("1"), None, world.now), Finished::Now, "its own later result");
}

#[test]
fn name_and_number_are_erased_once_alc_has_them() {
    let sealer = crate::sealing::Sealer::new(&crate::sealing::generate_key(), None).expect("a good key");
    let sealed = sealer.seal(super::place("a", "b"), &secrecy::SecretString::from("Ada"));
    let mut lead = World::new(Telling::LeadId).lead;
    lead.send.person = Some(super::send::Person { name: sealed.clone(), phone_number: sealed });
    lead.begin(from_micros(0));
    assert!(lead.send.person.is_some());
    lead.submitted(lead.send.id, None, None, from_micros(0));
    assert!(lead.send.person.is_none());
}

#[test]
fn an_attempt_that_may_have_arrived_keeps_its_webhook_answering() {
    let mut send = Send::new(SendId::random(), from_micros(0));
    let [first, second, third] = [(); 3].map(|()| Some(WebhookId::random()));
    send.goes_under(None, first);
    send.goes_under(None, second);
    assert_eq!((send.webhook, send.other_webhooks.len()), (second, 0), "nothing arrived under the first");
    send.ever_in_doubt = true;
    send.goes_under(None, second);
    send.goes_under(None, third);
    assert_eq!((send.webhook, send.other_webhooks.clone()), (third, second.into_iter().collect()));
    send.goes_under(None, second);
    assert_eq!((send.webhook, send.other_webhooks), (second, third.into_iter().collect()));
}
