//! What a lead needs next. Pure, and computed from the state alone, so a crash repeats at most the step under way.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    lead::Lead,
    send::{Reason, Status},
    shown::Showing,
};
use crate::clock::later;

/// How long a live lead of a removed connection waits for the workspace to connect again.
pub const DISCONNECT_GRACE: Duration = Duration::from_secs(24 * 60 * 60);
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

/// The workspace's side, as far as the next step depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
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
    /// The workspace's side.
    pub connection: Connection,
    /// Whether there is a credential for Attio.
    pub attio: bool,
    /// ALC's gate lets nobody through before then.
    pub alc_opens_at: Option<Timestamp>,
    /// Attio's gate lets this lead through no earlier.
    pub attio_opens_at: Option<Timestamp>,
    /// The deadlines.
    pub deadlines: &'a Deadlines,
}

/// The next step of a lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The send ends without a result.
    Expire(Reason),
    /// Ask ALC what it has for the record, before the first attempt: an earlier send's id was never learnt.
    TakeBaseline,
    /// Ask ALC whether it has this send.
    LookUp,
    /// Post the lead to ALC.
    Submit,
    /// Write the record in Attio.
    Show(Showing),
    /// Read the record in Attio: a PATCH may have arrived late.
    ReadBack(usize),
    /// Ask ALC for the result of a pending lead.
    Poll,
    /// Erase the lead.
    Forget,
    /// Nothing now; again at that time.
    Rest(Timestamp),
}

impl Lead {
    /// What to do at `now`. Every state has a next time: a finished lead is forgotten at the end of its retention.
    pub fn next_step(&self, now: Timestamp, around: &Surroundings<'_>) -> Step {
        let mut rest = Rest::default();
        if let Some(step) = self.end_of_life(now, around, &mut rest) {
            return step;
        }
        if let Some(step) = self.alc_step(now, around, &mut rest) {
            return step;
        }
        if let Some(step) = self.attio_step(now, around, &mut rest) {
            return step;
        }
        // `end_of_life` has put a time into `rest` in every state.
        Step::Rest(rest.0.unwrap_or(now))
    }

    fn end_of_life(&self, now: Timestamp, around: &Surroundings<'_>, rest: &mut Rest) -> Option<Step> {
        let send = &self.send;
        let (at, step) = match (send.status, send.finished_at) {
            (Status::Queued, _) => (later(send.created_at, around.deadlines.send), Step::Expire(Reason::NotSent)),
            (Status::Pending, _) => (later(send.created_at, around.deadlines.result), Step::Expire(Reason::TimedOut)),
            (Status::Complete | Status::Failed, finished) => {
                (later(finished.unwrap_or(send.updated_at), around.deadlines.retention), Step::Forget)
            }
        };
        if rest.is_now(at, now) {
            return Some(step);
        }
        match around.connection {
            Connection::Disconnected { since }
                if send.status.is_live() && rest.is_now(later(since, DISCONNECT_GRACE), now) =>
            {
                Some(Step::Expire(Reason::Disconnected))
            }
            _ => None,
        }
    }

    fn alc_step(&self, now: Timestamp, around: &Surroundings<'_>, rest: &mut Rest) -> Option<Step> {
        let send = &self.send;
        if around.connection != Connection::Connected {
            return None;
        }
        let (at, step) = match send.status {
            Status::Queued => {
                let step = if send.in_doubt {
                    Step::LookUp
                } else if send.attempts == 0 && !send.baseline_taken && self.has_unlearnt_earlier_send() {
                    Step::TakeBaseline
                } else {
                    Step::Submit
                };
                (send.retry_at.max(around.alc_opens_at).unwrap_or(now), step)
            }
            Status::Pending => (send.poll_at.map(|at| Some(at).max(around.alc_opens_at).unwrap_or(at))?, Step::Poll),
            Status::Complete | Status::Failed => return None,
        };
        rest.is_now(at, now).then_some(step)
    }

    fn attio_step(&self, now: Timestamp, around: &Surroundings<'_>, rest: &mut Rest) -> Option<Step> {
        if !around.attio || self.attio.gone {
            return None;
        }
        if self.is_to_be_shown()
            && let Some(wanted) = self.wanted()
        {
            let at = self.attio.retry_at.max(around.attio_opens_at).unwrap_or(now);
            return rest.is_now(at, now).then_some(Step::Show(wanted));
        }
        let (index, at) = self.next_doubt()?;
        rest.is_now(Some(at).max(self.attio.retry_at).unwrap_or(at), now).then_some(Step::ReadBack(index))
    }
}

/// The earliest time at which something is to be done.
#[derive(Default)]
struct Rest(Option<Timestamp>);

impl Rest {
    fn is_now(&mut self, at: Timestamp, now: Timestamp) -> bool {
        if at <= now {
            return true;
        }
        self.0 = Some(self.0.map_or(at, |rest| rest.min(at)));
        false
    }
}
