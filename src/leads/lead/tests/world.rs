//! The promises of a lead's life, under any interleaving of presses, answers, callbacks, crashes and takeovers.
//!
//! The model is the reconciler's protocol in miniature: a step is begun, the upstream does or does not do it, now or
//! late, the answer is seen or not, other things happen meanwhile, and the fact is recorded at once, later, or never.

use std::time::Duration;

use super::super::{
    aggregate::Lead,
    alc::PostAttempt,
    attio::ShowFailure,
    next_step::{AlcAccess, Deadlines, Step, Surroundings},
    outcome::Status,
    result::Finished,
    send::PresentSend,
    shown::{Showing, Title},
};
use crate::{
    clock::{Timestamp, from_micros, later},
    ids::{RecordId, SendId},
};

pub(super) const HOUR: Duration = Duration::from_secs(3600);
/// No answer of an upstream arrives later than that: less than the last read-back.
const LATEST: Duration = Duration::from_secs(14 * 60);

/// What becomes of a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fate {
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
pub(super) enum Worker {
    Records,
    Crashes,
    /// Its lease goes to another; what it learnt is recorded some time later.
    RecordsLate,
}

#[derive(Debug, Clone)]
pub(super) enum Event {
    Press,
    Step(Fate, Worker, Vec<Meanwhile>),
    CallBack(usize),
    LateRequestsArrive,
    LateFactsArrive,
    Wait(u64),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Meanwhile {
    CallBack(usize),
    Press,
}

/// How ALC's callbacks tell which lead they are about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Telling {
    LeadId,
    CallbackId,
}

#[derive(Debug, Clone)]
pub(super) enum Fact {
    Submitted(SendId, String),
    NotSent(PostAttempt),
    Rejected(PostAttempt, bool),
    Unknown(PostAttempt),
    Shown(Showing),
    NotShown(ShowFailure),
}

pub(super) struct AlcLead {
    pub(super) id: String,
    pub(super) key: SendId,
    pub(super) called_back: bool,
}

pub(super) struct World {
    pub(super) now: Timestamp,
    pub(super) telling: Telling,
    pub(super) deadlines: Deadlines,
    pub(super) lead: Lead,
    pub(super) sends: Vec<SendId>,
    pub(super) alc: Vec<AlcLead>,
    pub(super) attio: Option<Showing>,
    pub(super) late_posts: Vec<SendId>,
    pub(super) late_patches: Vec<(Timestamp, Showing)>,
    pub(super) late_facts: Vec<Fact>,
    pub(super) vanished: bool,
}

impl World {
    pub(super) fn new(telling: Telling) -> Self {
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
            lead: Lead::new(RecordId::random(), PresentSend::new(first, now)),
            sends: vec![first],
            alc: Vec::new(),
            attio: None,
            late_posts: Vec::new(),
            late_patches: Vec::new(),
            late_facts: Vec::new(),
            vanished: false,
        }
    }

    pub(super) fn press(&mut self) {
        if !self.lead.send.outcome.status.is_live() {
            let send = SendId::random();
            self.lead.send_again(PresentSend::new(send, self.now));
            self.sends.push(send);
        }
    }

    /// ALC honours keys: a second POST under one finds the first one's lead.
    pub(super) fn post(&mut self, key: SendId) -> String {
        if let Some(known) = self.alc.iter().find(|lead| lead.key == key) {
            return known.id.clone();
        }
        let id = format!("lead-{}", self.alc.len());
        self.alc.push(AlcLead { id: id.clone(), key, called_back: false });
        id
    }

    /// Each lead of ALC has one result, its own id.
    pub(super) fn call_back(&mut self, index: usize) {
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
        if before.send.outcome.status == Status::Complete {
            assert_eq!(finished, Finished::Already, "complete is final");
            assert_eq!(before.send.outcome.result, self.lead.send.outcome.result);
        }
    }

    /// What ALC lists; a result shows once it was called back.
    pub(super) fn listed(&self) -> Vec<(String, Option<String>)> {
        self.alc.iter().map(|lead| (lead.id.clone(), lead.called_back.then(|| lead.id.clone()))).collect()
    }

    pub(super) fn next(&self) -> Step {
        let around = Surroundings {
            alc: AlcAccess::Connected,
            attio: true,
            alc_opens_at: None,
            attio_opens_at: None,
            workflows_open_at: None,
            triggers_since: None,
            deadlines: &self.deadlines,
        };
        self.lead.next_step(self.now, &around)
    }

    pub(super) fn take_up(&mut self) {
        if std::mem::take(&mut self.vanished) {
            self.lead.lost(self.now);
        }
    }

    pub(super) fn step(&mut self, fate: Fate, worker: Worker, meanwhile: &[Meanwhile]) -> bool {
        self.take_up();
        let fact = match self.next() {
            Step::Rest(_) => return false,
            Step::Submit => self.submit(fate),
            Step::Show(showing) => self.show(showing, fate),
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

    /// One POST, and what its worker learns of it.
    fn submit(&mut self, fate: Fate) -> Fact {
        let complete = self.lead.send.outcome.status == Status::Complete;
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
            // An ALC that takes late what it has refused since, and then tells of it without an id, could not
            // be told from one that tells of the next send.
            Fate::Rejected(_) if self.late_posts.contains(&attempt.send) => Fact::NotSent(attempt),
            Fate::Rejected(told) => Fact::Rejected(attempt, told),
            Fate::LostUnseen => Fact::Unknown(attempt),
        }
    }

    /// One PATCH, and what its worker learns of it.
    fn show(&mut self, showing: Showing, fate: Fate) -> Fact {
        if showing.title == Title::Pending {
            assert_eq!(self.lead.send.outcome.status, Status::Pending, "no Pending once the result is known");
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

    /// Steps that only ask: without an answer they are simply made again.
    pub(super) fn ask(&mut self, step: Step, fate: Fate) {
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
                let known = self.lead.send.outcome.lead_id.clone();
                let ours = self.listed().into_iter().find(|(id, _)| match &known {
                    Some(known) => known == id,
                    None => !self.lead.is_of_earlier_send(id),
                });
                match ours {
                    Some((id, result)) => {
                        let send = self.lead.send.outcome.id;
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
                let look = wanted.is_some_and(|wanted| self.lead.attio.shows(wanted) && doubt.would_change(wanted));
                self.lead.read_back(index, look && self.attio.map(|shows| shows.title) == Some(doubt.title));
            }
            other => panic!("{other:?} is not to come up here"),
        }
    }

    pub(super) fn record(&mut self, fact: &Fact) {
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
    pub(super) fn vanish(&mut self) {
        self.vanished = true;
        self.wait(Duration::from_secs(30));
    }

    pub(super) fn wait(&mut self, by: Duration) {
        self.now = later(self.now, by);
        let due: Vec<_> = self.late_patches.iter().filter(|(at, _)| *at <= self.now).map(|(_, late)| *late).collect();
        self.late_patches.retain(|(at, _)| *at > self.now);
        self.attio = due.last().copied().or(self.attio);
    }

    pub(super) fn late_requests_arrive(&mut self) {
        for key in std::mem::take(&mut self.late_posts) {
            self.post(key);
        }
        for (_, late) in std::mem::take(&mut self.late_patches) {
            self.attio = Some(late);
        }
    }

    pub(super) fn late_facts_arrive(&mut self) {
        for fact in std::mem::take(&mut self.late_facts) {
            self.record(&fact);
        }
    }

    pub(super) fn happen(&mut self, event: Event) {
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

    pub(super) fn settle(&mut self) {
        for _ in 0..200 {
            if !self.step(Fate::Done, Worker::Records, &[]) {
                return;
            }
        }
        panic!("a lead that is never at rest: {:?}", self.next());
    }

    /// Everything under way arrives, every lead is called back, and time passes.
    pub(super) fn come_to_rest(&mut self) {
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
