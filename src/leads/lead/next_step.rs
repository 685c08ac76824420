//! What a lead needs next. Pure, and computed from the state alone, so a crash repeats at most the step under way.

use std::time::Duration;

use super::{
    aggregate::Lead,
    note::NoteDue,
    outcome::{Reason, Status},
    reach::Reach,
    shown::Showing,
};
use crate::{
    clock::{Timestamp, later},
    ids::SendId,
};

/// How long a live lead of a removed connection waits for the workspace to connect again.
pub const DISCONNECT_GRACE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a call to a workflow waits for a step that is about to be due: it must not delay the record in Attio.
const CALLS_GIVE_WAY: Duration = Duration::from_secs(5);
/// The rarest look-up of a pending lead.
const RAREST_POLL: Duration = Duration::from_secs(24 * 60 * 60);

/// The deadlines of a lead's life.
#[derive(Debug, Clone)]
pub struct Deadlines {
    /// `LEADS__SEND_DEADLINE`.
    pub send: Duration,
    /// `LEADS__DEADLINE`.
    pub result: Duration,
    /// `LEADS__RETENTION`.
    pub retention: Duration,
    /// `ALC__POLL_AFTER`; `None`: off.
    pub poll_after: Option<Duration>,
}

impl Deadlines {
    /// When a pending lead is looked up next, after `polls` look-ups: ever rarer, at least daily.
    pub fn next_poll(&self, polls: u32, now: Timestamp) -> Option<Timestamp> {
        let wait = self.poll_after?.saturating_mul(2u32.saturating_pow(polls.min(16)));
        Some(later(now, wait.min(RAREST_POLL)))
    }
}

/// Whether the workspace has access to ALC, as far as the next step depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlcAccess {
    /// ALC can be called.
    Connected,
    /// ALC's grant is dead.
    Reauthorization,
    /// There is no current connection.
    Disconnected {
        /// When the last one went.
        since: Timestamp,
    },
}

/// What surrounds the lead.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// Whether the workspace has access to ALC.
    pub alc: AlcAccess,
    /// Whether there is a credential for Attio.
    pub attio: bool,
    /// ALC's gate lets no lead through before then.
    pub alc_opens_at: Option<Timestamp>,
    /// Attio's gate lets this lead through no earlier.
    pub attio_opens_at: Option<Timestamp>,
    /// Workflows are not called before then.
    pub workflows_open_at: Option<Timestamp>,
    /// Since when the workspace has had a trigger.
    pub triggers_since: Option<Timestamp>,
    /// The deadlines.
    pub deadlines: &'a Deadlines,
}

/// The next step of a lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The send ends without a result.
    Expire(Reason),
    /// The send has finished: the calls to workflows that this owes are to be written down.
    NoteEnd,
    /// Ask ALC what it has for the record, before the first attempt: an earlier send's id was never learnt.
    TakeBaseline,
    /// Ask ALC whether it has this send.
    LookUp,
    /// Ask Attio for the name and the number of a person whom a list entry named.
    ReadPerson,
    /// Forget what Attio had of the person.
    ForgetPerson,
    /// Forget the calls to workflows that were given up long ago.
    ForgetCalls,
    /// Forget what ALC said of a person whose record is gone.
    ForgetWords,
    /// Post the lead to ALC.
    Submit,
    /// Write the record in Attio.
    Show(Showing),
    /// Read the record in Attio: a PATCH may have arrived late.
    ReadBack(usize),
    /// Ask ALC for the result of a pending lead.
    Poll,
    /// Tell workflows what a send came to.
    Tell,
    /// Write a note about this send's result on the record.
    WriteNote(SendId),
    /// Look whether an attempt without an answer wrote it.
    LookForNote(SendId),
    /// Put the record into the list, at the stage that the result of this send names.
    Place(SendId),
    /// Erase the lead.
    Forget,
    /// Nothing now; again at that time.
    Rest(Timestamp),
}

impl Step {
    /// The word for it in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Expire(_) => "expire",
            Self::NoteEnd => "note-end",
            Self::TakeBaseline => "take-baseline",
            Self::LookUp => "look-up",
            Self::ReadPerson => "read-person",
            Self::ForgetPerson => "forget-person",
            Self::ForgetCalls => "forget-calls",
            Self::ForgetWords => "forget-words",
            Self::Submit => "submit",
            Self::Show(_) => "show",
            Self::ReadBack(_) => "read-back",
            Self::Poll => "poll",
            Self::Tell => "tell",
            Self::WriteNote(_) => "write-note",
            Self::LookForNote(_) => "look-for-note",
            Self::Place(_) => "place",
            Self::Forget => "forget",
            Self::Rest(_) => "rest",
        }
    }
}

impl Lead {
    /// What to do at `now`. Every state has a next time: a finished lead is forgotten at the end of its retention.
    pub fn next_step(&self, now: Timestamp, around: &Surroundings<'_>) -> Step {
        let mut rest = Rest::default();
        let step = self
            .end_of_life(now, around, &mut rest)
            .or_else(|| self.read_step(now, around, &mut rest))
            .or_else(|| rest.until(self.known.as_ref()?.until(), now).then_some(Step::ForgetPerson))
            .or_else(|| {
                let end = later(self.calls.given_up.oldest()?, around.deadlines.retention);
                rest.until(end, now).then_some(Step::ForgetCalls)
            })
            .or_else(|| rest.until(self.words_until()?, now).then_some(Step::ForgetWords))
            .or_else(|| self.alc_step(now, around, &mut rest))
            .or_else(|| self.attio_step(now, around, &mut rest))
            .or_else(|| self.tell_step(now, around, &mut rest))
            .or_else(|| self.after_the_record(now, around, &mut rest));
        // `end_of_life` has put a time into `rest` in every state.
        step.unwrap_or(Step::Rest(rest.0.unwrap_or(now)))
    }

    fn end_of_life(&self, now: Timestamp, around: &Surroundings<'_>, rest: &mut Rest) -> Option<Step> {
        if self.is_end_to_be_noted(around.triggers_since) {
            return Some(Step::NoteEnd);
        }
        if self.is_of_another_workspace() {
            return Some(Step::Forget);
        }
        let (send, deadlines) = (&self.send.outcome, around.deadlines);
        let (at, step) = match send.status {
            Status::Queued => (later(send.created_at, deadlines.send), Step::Expire(Reason::NotSent)),
            Status::Pending => (later(send.created_at, deadlines.result), Step::Expire(Reason::TimedOut)),
            Status::Complete | Status::Failed => {
                let retained = later(self.send.finished_at.unwrap_or(send.updated_at), deadlines.retention);
                (Some(retained).max(self.calls.owed_until()).unwrap_or(retained), Step::Forget)
            }
        };
        if rest.until(at, now) {
            return Some(step);
        }
        match around.alc {
            AlcAccess::Disconnected { since }
                if send.status.is_live() && rest.until(later(since, DISCONNECT_GRACE), now) =>
            {
                Some(Step::Expire(Reason::Disconnected))
            }
            _ => None,
        }
    }

    /// Without a grant at ALC nothing is read: name and number would only lie here.
    fn read_step(&self, now: Timestamp, around: &Surroundings<'_>, rest: &mut Rest) -> Option<Step> {
        let to_read = self.send.to_read.as_ref()?;
        if !around.attio || around.alc != AlcAccess::Connected {
            return None;
        }
        let at = to_read.retry_at.max(around.attio_opens_at).unwrap_or(now);
        rest.until(at, now).then_some(Step::ReadPerson)
    }

    fn alc_step(&self, now: Timestamp, around: &Surroundings<'_>, rest: &mut Rest) -> Option<Step> {
        let send = &self.send;
        if around.alc != AlcAccess::Connected || send.to_read.is_some() {
            return None;
        }
        let (at, step) = match send.outcome.status {
            Status::Queued => {
                let step = match send.reach {
                    // An attempt that is stored as under way while its worker plans anew: what came of it is lost.
                    Reach::UnderWay { .. } | Reach::InDoubt => Step::LookUp,
                    // A merge has revived it, and what came of it is still to be asked for.
                    Reach::MayArrive if send.person.is_none() && send.poll_at.is_some() => Step::LookUp,
                    // A deletion ended it while an attempt was under way, and the merge that it was told before revived
                    // it.
                    _ if send.person.is_none() => Step::Expire(Reason::RecordDeleted),
                    _ if self.is_baseline_to_be_taken() => Step::TakeBaseline,
                    _ => Step::Submit,
                };
                (send.retry_at.max(around.alc_opens_at).unwrap_or(now), step)
            }
            Status::Pending => (send.poll_at.map(|at| Some(at).max(around.alc_opens_at).unwrap_or(at))?, Step::Poll),
            Status::Complete | Status::Failed => return None,
        };
        rest.until(at, now).then_some(step)
    }

    /// Whether ALC is to be asked what it has before the first attempt: an earlier send's id was never learnt.
    fn is_baseline_to_be_taken(&self) -> bool {
        self.send.outcome.attempts == 0 && !self.send.baseline_taken && self.has_unlearnt_earlier_send()
    }

    fn attio_step(&self, now: Timestamp, around: &Surroundings<'_>, rest: &mut Rest) -> Option<Step> {
        if !around.attio || self.attio.gone {
            return None;
        }
        if self.is_to_be_shown()
            && let Some(wanted) = self.wanted()
        {
            let at = self.attio.retry_at.max(around.attio_opens_at).max(self.refusal_waits_until()).unwrap_or(now);
            return rest.until(at, now).then_some(Step::Show(wanted));
        }
        let (index, at) = self.next_doubt()?;
        let at = Some(at).max(self.attio.retry_at).max(around.attio_opens_at).unwrap_or(at);
        rest.until(at, now).then_some(Step::ReadBack(index))
    }

    /// What a result is owed besides, once the record itself shows all that it is to show: nothing of it delays that.
    fn after_the_record(&self, now: Timestamp, around: &Surroundings<'_>, rest: &mut Rest) -> Option<Step> {
        if !around.attio || self.attio.gone || self.is_to_be_shown() {
            return None;
        }
        let placed = self.next_placement(now).zip(self.pipeline.as_ref());
        let placed = placed.map(|(at, placement)| (at, Step::Place(placement.send)));
        let note = self.next_note(now).map(|(at, due)| match due {
            NoteDue::Write(send) => (at, Step::WriteNote(send)),
            NoteDue::Look(send) => (at, Step::LookForNote(send)),
        });
        let due = |(at, step): (Timestamp, Step)| {
            rest.until(Some(at).max(around.attio_opens_at).unwrap_or(at), now).then_some(step)
        };
        placed.into_iter().chain(note).find_map(due)
    }

    /// Gives way to what is about to be due: for a while, not for ever.
    fn tell_step(&self, now: Timestamp, around: &Surroundings<'_>, rest: &mut Rest) -> Option<Step> {
        let due = self.calls.next()?;
        let at = Some(due).max(around.workflows_open_at).unwrap_or(due);
        if rest.0.is_some_and(|other| other <= later(at, CALLS_GIVE_WAY)) {
            return None;
        }
        rest.until(at, now).then_some(Step::Tell)
    }
}

/// The earliest time at which something is to be done.
#[derive(Default)]
struct Rest(Option<Timestamp>);

impl Rest {
    /// Rests until `at` at the latest; `true` if that time has come.
    fn until(&mut self, at: Timestamp, now: Timestamp) -> bool {
        if at <= now {
            return true;
        }
        self.0 = Some(self.0.map_or(at, |rest| rest.min(at)));
        false
    }
}
