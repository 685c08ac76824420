//! The promises of a lead's life, under any interleaving of presses, answers, callbacks, crashes and takeovers.
//!
//! The model is the reconciler's protocol in miniature: a step is begun, the upstream does or does not do it, now or
//! late, the answer is seen or not, other things happen meanwhile, and the fact is recorded at once, later, or never.

use std::{collections::BTreeSet, time::Duration};

use serde_json::Map;

use super::super::{
    aggregate::Lead,
    alc::{Again, PostAttempt},
    attio::ShowFailure,
    compared::Compared,
    merge::{self, Known, Unknown},
    next_step::{AlcAccess, Deadlines, Step, Surroundings},
    outcome::{Reason, Status},
    result::Finished,
    send::{PresentSend, SealedPerson},
    shown::{Showing, Title},
};
use crate::{
    clock::{Timestamp, from_micros, later},
    ids::{RecordId, SendId},
    sealing::Sealed,
    store::Aggregate as _,
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
    /// ALC refuses the lead for good; whether its caller waits for that and takes it.
    Rejected(bool),
    /// The same, and ALC calls back all the same: it is at this person already.
    RejectedAndTaken(bool),
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
    /// An old callback once more, without an id.
    Repeat,
    /// The record is deleted: by a person, or by the merge that is told next.
    Delete,
    Merge,
    TimeOut,
    LateRequestsArrive,
    LateFactsArrive,
    Wait(u64),
    /// A bulk is sent beside this lead: for so many seconds ALC's gate has no room, nor has Attio's for what is not
    /// urgent.
    Bulk(u64),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Meanwhile {
    CallBack(usize),
    Press,
    Delete,
    Merge,
    /// The store fails over, and loses every commit since the one that marked the last attempt as begun.
    StepBack,
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
    Shown(RecordId, Showing),
    NotShown(ShowFailure),
}

pub(super) struct AlcLead {
    pub(super) id: String,
    pub(super) key: SendId,
    pub(super) called_back: bool,
    /// Its request arrived when ALC had been asked for it.
    late: bool,
    /// ALC has refused the request that made it.
    refused: bool,
}

pub(super) struct World {
    pub(super) now: Timestamp,
    pub(super) telling: Telling,
    pub(super) deadlines: Deadlines,
    pub(super) lead: Lead,
    pub(super) sends: Vec<SendId>,
    pub(super) alc: Vec<AlcLead>,
    /// How many leads ALC has ever made.
    made: u32,
    pub(super) attio: Option<Showing>,
    pub(super) late_posts: Vec<SendId>,
    pub(super) late_patches: Vec<(Timestamp, Showing)>,
    pub(super) late_facts: Vec<Fact>,
    pub(super) vanished: bool,
    /// The lead as it was when the last attempt had been marked as begun, if no more than its answer was written since.
    begun: Option<Lead>,
    /// The sends of which an attempt may have arrived, for all that anybody knows.
    maybe_there: BTreeSet<SendId>,
    /// What merges keep under other records.
    others: Known,
    deleted: bool,
    /// Until then a bulk holds the gates.
    bulk_until: Option<Timestamp>,
}

/// How long a caller waits.
const WAIT: Duration = Duration::from_secs(3);

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
            lead: Lead::new(RecordId::random(), new_send(first, now)),
            sends: vec![first],
            alc: Vec::new(),
            made: 0,
            attio: None,
            late_posts: Vec::new(),
            late_patches: Vec::new(),
            late_facts: Vec::new(),
            vanished: false,
            begun: None,
            maybe_there: BTreeSet::new(),
            others: Known::new(),
            deleted: false,
            bulk_until: None,
        }
    }

    pub(super) fn press(&mut self) {
        if self.lead.send.outcome.status.is_live() {
            return;
        }
        if self.lead.send.outcome.status == Status::Failed {
            // What ALC told later of such a send could not be told from what it tells of the next one, unless it is
            // known by its id.
            let last = self.lead.send.outcome.id;
            let known = self.lead.send.outcome.lead_id.clone().filter(|_| self.telling == Telling::LeadId);
            self.alc.retain(|lead| lead.called_back || lead.key != last || known.as_ref() == Some(&lead.id));
            self.late_posts.retain(|key| *key != last);
        }
        let send = SendId::random();
        self.lead.send_again(new_send(send, self.now));
        self.sends.push(send);
        (self.begun, self.deleted) = (None, false);
    }

    /// ALC honours keys: a second POST under one finds the first one's lead.
    pub(super) fn post(&mut self, key: SendId, late: bool) -> String {
        if let Some(known) = self.alc.iter().find(|lead| lead.key == key) {
            return known.id.clone();
        }
        self.made += 1;
        let id = format!("lead-{}", self.made);
        self.alc.push(AlcLead { id: id.clone(), key, called_back: false, late, refused: false });
        id
    }

    /// Each lead of ALC has one result, its own id.
    pub(super) fn call_back(&mut self, index: usize) {
        let count = self.alc.len();
        let Some(lead) = self.alc.get_mut(index % count.max(1)) else { return };
        lead.called_back = true;
        self.begun = None;
        let id = lead.id.clone();
        let before = self.lead.clone();
        let (lead_id, callback) = match self.telling {
            Telling::LeadId => (Some(id.as_str()), None),
            Telling::CallbackId => (None, Some(id.as_str())),
        };
        let finished = self.lead.finish(&id, lead_id, callback, self.now);
        if finished == Finished::Now && self.lead.is_to_be_shown() {
            let is_next = matches!(self.next(), Step::Show(Showing { title: Title::Complete, .. }));
            assert!(is_next, "a result waits for nothing but Attio: {:?}", self.next());
        }
        if before.send.outcome.status == Status::Complete {
            assert_eq!(finished, Finished::Already, "complete is final");
            assert_eq!(before.send.outcome.result, self.lead.send.outcome.result);
        }
        if before.send.outcome.status.is_live() && lead_id.is_some_and(|id| before.is_of_earlier_send(id)) {
            assert_eq!(self.lead.view(), before.view(), "an earlier send's result is not the present one's");
            let wanted = self.lead.wanted();
            assert!(wanted.is_none() || wanted == before.wanted(), "and Attio does not begin to show it");
        }
    }

    /// An old callback once more, to a lead that certainly is not at ALC.
    fn repeat(&mut self) {
        if self.lead.send.outcome.status.is_live() && !self.maybe_there.contains(&self.lead.send.outcome.id) {
            let finished = self.lead.finish("old", None, None, self.now);
            assert_eq!(finished, Finished::Already, "nobody was asked to contact the person");
        }
    }

    fn delete(&mut self) {
        let (record, now) = (self.lead.shown_at(), self.now);
        // What ALC tells of a person whom it has refused and who is gone is not heard.
        let is_heard = |lead: &AlcLead| {
            let outcome = self.lead.outcome_of(lead.key);
            outcome.is_some_and(|outcome| outcome.lead_id.is_some() || outcome.status == Status::Complete)
        };
        self.alc.retain(|lead| !lead.refused || is_heard(lead));
        self.told_by_attio(|known| merge::deleted(known, record, None, now));
        self.deleted = true;
    }

    fn merge(&mut self) {
        let (into, from, now) = (RecordId::random(), self.lead.shown_at(), self.now);
        self.told_by_attio(|known| merge::merged(known, into, from, now));
        self.deleted = false;
    }

    fn told_by_attio(&mut self, change: impl Fn(&mut Known) -> Result<(), Unknown>) {
        let own = self.lead.record_id;
        self.others.insert(own, Some(self.lead.clone()));
        while let Err(Unknown(record)) = change(&mut self.others) {
            self.others.insert(record, None);
        }
        self.lead = self.others.remove(&own).flatten().expect("still there");
        // What is still on its way goes to the old record.
        self.late_patches.clear();
        self.begun = None;
    }

    fn step_back(&mut self) {
        if let Some(begun) = self.begun.take() {
            self.maybe_there.insert(begun.send.outcome.id);
            self.lead = begun;
        }
    }

    /// A person, or a backup that Attio was restored from, sets a record back to Pending that shows how its send ended.
    pub(super) fn set_back(&mut self) {
        if self.attio.is_some() && self.attio == self.lead.wanted() && !self.lead.send.outcome.status.is_live() {
            self.attio = self.attio.map(|shown| Showing { title: Title::Pending, ..shown });
        }
    }

    /// A full sync looks at the record; whether it has set something right.
    pub(super) fn sync(&mut self) -> bool {
        if self.deleted || self.attio.is_none_or(|shown| shown.title != Title::Pending) {
            return false;
        }
        let before = self.lead.clone();
        let Compared::Undone(showing) = self.lead.compared(self.lead.shown_at()) else { return false };
        assert!(!before.send.outcome.status.is_live(), "what a live send is about is left alone");
        assert!(showing.title != Title::Pending, "no finished record turns Pending");
        assert!(self.lead.show_again(showing), "what was found is set right");
        assert_eq!(self.lead.send, before.send, "of the send nothing changes");
        let after = self.lead.clone();
        assert!(!self.lead.show_again(showing) && self.lead == after, "twice is once");
        assert_ne!(self.lead.compared(self.lead.shown_at()), Compared::Undone(showing), "and it is found no more");
        self.begun = None;
        true
    }

    /// ALC takes longer for a lead than `LEADS__DEADLINE`.
    fn time_out(&mut self) {
        if self.lead.send.outcome.status == Status::Pending {
            self.begun = None;
            self.lead.expire(Reason::TimedOut, self.now);
        }
    }

    /// What ALC lists; a result shows once it was called back.
    pub(super) fn listed(&self) -> Vec<(String, Option<String>)> {
        self.alc.iter().map(|lead| (lead.id.clone(), lead.called_back.then(|| lead.id.clone()))).collect()
    }

    pub(super) fn next(&self) -> Step {
        self.lead.next_step(self.now, &self.around())
    }

    pub(super) fn around(&self) -> Surroundings<'_> {
        Surroundings {
            alc: AlcAccess::Connected,
            attio: true,
            alc_opens_at: self.bulk_until,
            attio_opens_at: self.bulk_until.filter(|_| !self.lead.is_urgent()),
            workflows_open_at: None,
            triggers_since: None,
            deadlines: &self.deadlines,
        }
    }

    pub(super) fn take_up(&mut self) {
        if std::mem::take(&mut self.vanished) {
            self.lead.lost(self.now);
        }
    }

    pub(super) fn step(&mut self, fate: Fate, worker: Worker, meanwhile: &[Meanwhile]) -> bool {
        self.take_up();
        let send = self.lead.send.outcome.id;
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
                Meanwhile::Delete => self.delete(),
                Meanwhile::Merge => self.merge(),
                // A worker that vanishes as well leaves nothing that could tell of its PATCH.
                Meanwhile::StepBack if matches!(worker, Worker::Records) => self.step_back(),
                Meanwhile::StepBack => {}
            }
        }
        if !matches!((&fact, worker), (Fact::NotSent(_), Worker::Records)) {
            self.maybe_there.insert(send);
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
        let doubted = self.lead.send.reach.was_doubted();
        self.lead.begin(self.now);
        self.begun = Some(self.lead.clone());
        let attempt = self.lead.attempt();
        let known = self.alc.iter().find(|lead| lead.key == attempt.send);
        assert!(known.is_none_or(|lead| lead.late), "ALC has it, and was not asked");
        let known = known.is_some();
        match fate {
            Fate::Done => Fact::Submitted(attempt.send, self.post(attempt.send, false)),
            Fate::DoneUnseen => {
                self.post(attempt.send, false);
                Fact::Unknown(attempt)
            }
            Fate::LateUnseen => {
                self.late_posts.push(attempt.send);
                Fact::Unknown(attempt)
            }
            Fate::Refused => Fact::NotSent(attempt),
            // What has arrived before is found again: a 409, which means that only after an attempt without an answer.
            Fate::Rejected(_) | Fate::RejectedAndTaken(_) if known && doubted => {
                Fact::Submitted(attempt.send, self.post(attempt.send, false))
            }
            // An ALC that takes late what it has refused since, and then tells of it without an id, could not
            // be told from one that tells of the next send.
            Fate::Rejected(_) | Fate::RejectedAndTaken(_) if self.late_posts.contains(&attempt.send) => {
                Fact::NotSent(attempt)
            }
            Fate::Rejected(told) => Fact::Rejected(attempt, told),
            Fate::RejectedAndTaken(told) => {
                self.post(attempt.send, false);
                self.alc.iter_mut().filter(|lead| lead.key == attempt.send).for_each(|lead| lead.refused = true);
                Fact::Rejected(attempt, told)
            }
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
                Fact::Shown(self.lead.shown_at(), showing)
            }
            Fate::DoneUnseen => {
                self.attio = Some(showing);
                Fact::NotShown(ShowFailure::Unseen(showing))
            }
            Fate::LateUnseen => {
                self.late_patches.push((later(self.now, LATEST), showing));
                Fact::NotShown(ShowFailure::Unseen(showing))
            }
            Fate::Refused | Fate::Rejected(_) | Fate::RejectedAndTaken(_) => Fact::NotShown(ShowFailure::Later),
            Fate::LostUnseen => Fact::NotShown(ShowFailure::Unseen(showing)),
        }
    }

    /// Steps that only ask: without an answer they are simply made again.
    pub(super) fn ask(&mut self, step: Step, fate: Fate) {
        if !matches!(fate, Fate::Done) {
            let again = Again::failed(later(self.now, Duration::from_secs(1)));
            match step {
                Step::Poll => self.lead.polled(&self.deadlines, self.now),
                Step::ReadBack(_) => self.lead.not_shown(ShowFailure::Later, again, None, self.now),
                _ => self.lead.delay(again, None, self.now),
            }
            return;
        }
        self.begun = None;
        match step {
            Step::Expire(reason) => self.lead.expire(reason, self.now),
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
                            self.lead.polled(&self.deadlines, self.now);
                        }
                        self.lead.submitted(send, Some(id.clone()), self.deadlines.next_poll(0, self.now), self.now);
                        if let Some(result) = result {
                            self.lead.finish(&result, Some(&id), None, self.now);
                        }
                    }
                    None if step == Step::Poll => self.lead.polled(&self.deadlines, self.now),
                    None => self.lead.not_found_at_alc(),
                }
            }
            Step::ForgetCalls => {
                let end = crate::clock::earlier(self.now, self.deadlines.retention);
                self.lead.calls.given_up.forget_until(end);
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
        let soon = Again::failed(later(self.now, Duration::from_secs(1)));
        match fact {
            Fact::Submitted(send, id) => {
                let poll_at = self.deadlines.next_poll(0, self.now);
                self.lead.submitted(*send, Some(id.clone()), poll_at, self.now);
            }
            Fact::Rejected(attempt, told) => {
                self.lead.rejected(*attempt, String::new(), self.now);
                if *told {
                    self.lead.take_refusal(attempt.send, self.now);
                }
            }
            Fact::NotSent(attempt) => self.lead.not_sent(*attempt, soon, None, self.now),
            Fact::Unknown(attempt) => self.lead.unknown(*attempt, soon, None, self.now),
            Fact::Shown(record, showing) if *record == self.lead.shown_at() => {
                self.lead.shown(*showing, None, self.now);
            }
            Fact::Shown(..) => {}
            Fact::NotShown(failure) => self.lead.not_shown(*failure, soon, None, self.now),
        }
    }

    /// The lease has to run out before another worker goes on.
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
            self.post(key, true);
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
        let before = self.lead.clone();
        self.take_place(event);
        self.lead.keep_history(Some(&before), self.now);
        let told = self.lead.history.told();
        assert!(told.len() <= 50, "what is told of a lead is bounded");
        assert!(told.is_sorted_by_key(|entry| entry.at), "and in order");
        let has_ended = before.send.outcome.status.is_live() && !self.lead.send.outcome.status.is_live();
        let is_end = |what: &str| what == "complete" || what.starts_with("failed-");
        assert!(!has_ended || told.iter().any(|entry| is_end(&entry.what)), "and no end is left out");
    }

    fn take_place(&mut self, event: Event) {
        match event {
            Event::Press => self.press(),
            Event::Step(fate, worker, meanwhile) => {
                self.step(fate, worker, &meanwhile);
            }
            Event::CallBack(index) => self.call_back(index),
            Event::Repeat => self.repeat(),
            Event::Delete => self.delete(),
            Event::Merge => self.merge(),
            Event::TimeOut => self.time_out(),
            Event::LateRequestsArrive => self.late_requests_arrive(),
            Event::LateFactsArrive => self.late_facts_arrive(),
            Event::Wait(seconds) => self.wait(Duration::from_secs(seconds)),
            Event::Bulk(seconds) => self.bulk_until = Some(later(self.now, Duration::from_secs(seconds))),
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
        if self.deleted {
            self.merge();
        }
        self.bulk_until = None;
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

fn new_send(id: SendId, now: Timestamp) -> PresentSend {
    let sealed = || Sealed::from_text("sealed");
    let person = SealedPerson { name: sealed(), phone_number: sealed(), extra: Map::new() };
    PresentSend { person: Some(person), waited_until: Some(later(now, WAIT)), ..PresentSend::new(id, now) }
}
