//! What happened to a lead, as operators read it: its sends, what is owed, what comes next and why.
//!
//! Promises that nobody is recognised by it: no name, no number, no callback URL; what ALC said is shortened, and what
//! looks like a phone number is masked.

use serde::Serialize;

use super::{
    aggregate::Lead,
    dead_letters::{DeadLetter, recipient_name},
    history::Happened,
    next_step::{AlcAccess, Step, Surroundings},
    outcome::{Outcome, Reason, Status},
    owed::Owed,
    reach::Reach,
    shown::Title,
    view::{AttioView, NoteView, PlacementView},
};
use crate::{
    clock::Timestamp,
    ids::{RecordId, SendId, WorkspaceId},
    upstream,
};

/// A lead in a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LeadSummary {
    /// Whose.
    pub workspace_id: WorkspaceId,
    /// The record in Attio.
    pub record_id: RecordId,
    /// The present send.
    pub send_id: SendId,
    /// ALC's id of it.
    pub lead_id: Option<String>,
    /// Where it stands.
    pub status: Status,
    /// Why it failed.
    pub reason: Option<Reason>,
    /// Whether Attio shows that.
    pub attio: AttioView,
    /// Something is still to be done for it: at ALC, at Attio, or at a workflow.
    pub waiting: bool,
    /// The last try of something that is still to be done has failed.
    pub failing: bool,
    /// Requests to ALC begun.
    pub attempts: u32,
    /// Calls that workflows are owed.
    pub owed_calls: usize,
    /// What was given up.
    pub dead_letters: usize,
    /// The last thing that went wrong.
    pub last_error: Option<String>,
    /// When the send was asked for.
    pub created_at: Timestamp,
    /// When any of this last changed.
    pub updated_at: Timestamp,
    /// When a worker looks at it next.
    pub due: Option<Timestamp>,
}

/// All that is known of a lead.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LeadStory {
    /// As a list has it.
    #[serde(flatten)]
    pub summary: LeadSummary,
    /// The sends, the present one first.
    pub sends: Vec<SendStory>,
    /// Attio's side.
    pub attio_record: AttioStory,
    /// The note about the present send's result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<Box<NoteView>>,
    /// Where that puts the record in a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<Box<PlacementView>>,
    /// Workflows that wait for the end of the present send.
    pub workflows_waiting: usize,
    /// Calls that are to be made.
    pub calls: Vec<CallStory>,
    /// What was given up.
    pub letters: Vec<DeadLetter>,
    /// What happened, oldest first: the last fifty entries.
    pub history: Vec<Happened>,
    /// What comes next.
    pub next: NextStep,
    /// Until when a worker has it in hand.
    pub leased_until: Option<Timestamp>,
    /// The record that speaks for this one since a merge.
    pub joined: Option<RecordId>,
}

/// One send.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SendStory {
    /// Its id, and the `Idempotency-Key` at ALC.
    pub send_id: SendId,
    /// Where it stands.
    pub status: Status,
    /// Why it failed.
    pub reason: Option<Reason>,
    /// ALC's word.
    pub result: Option<String>,
    /// ALC's id.
    pub lead_id: Option<String>,
    /// Whether ALC has it: `no`, `under-way`, `unknown`, `yes`.
    pub at_alc: &'static str,
    /// Requests to ALC begun.
    pub attempts: u32,
    /// Failures in a row at ALC.
    pub failures: u32,
    /// The last thing that went wrong.
    pub last_error: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When any of this last changed.
    pub updated_at: Timestamp,
}

/// Attio's side.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttioStory {
    /// The record that is written: another one after a merge.
    pub record_id: RecordId,
    /// The title that Attio has certainly taken last.
    pub shows: Option<Title>,
    /// The title that it is to show and does not yet.
    pub owed: Option<Title>,
    /// Failures in a row.
    pub failures: u32,
    /// No write before then.
    pub retry_at: Option<Timestamp>,
    /// Writes without an answer that are read back.
    pub doubts: usize,
    /// What it says against a write that it still owes, or against what was left out of one.
    pub last_error: Option<String>,
}

/// A call to a workflow.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CallStory {
    /// Tells the calls of a lead apart.
    pub number: u64,
    /// `step` or `trigger`.
    pub to: &'static str,
    /// The trigger's activation.
    pub trigger: Option<String>,
    /// The send that has ended.
    pub send_id: SendId,
    /// What is told.
    pub status: Status,
    /// Failures in a row.
    pub failures: u32,
    /// The next try.
    pub due: Timestamp,
    /// Until when it is tried.
    pub until: Timestamp,
}

/// What of a lead only the store and the sealing keys tell.
#[derive(Debug, Clone, Copy)]
pub struct Kept {
    /// When a worker looks at it next.
    pub due: Option<Timestamp>,
    /// Until when a worker has it in hand.
    pub leased_until: Option<Timestamp>,
    /// The sealing keys of now open what is needed to ask ALC.
    pub opens: bool,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NextStep {
    /// The step's name, as the log has it.
    pub step: &'static str,
    /// When.
    pub at: Timestamp,
    /// Why not before, or what it is for.
    pub why: String,
}

impl Lead {
    /// As a list has it.
    pub fn summary(&self, workspace: WorkspaceId, due: Option<Timestamp>) -> LeadSummary {
        let view = self.view();
        let is_shown_late = self.is_to_be_shown();
        LeadSummary {
            workspace_id: workspace,
            record_id: self.record_id,
            send_id: self.send.outcome.id,
            lead_id: view.lead_id,
            status: view.status,
            reason: view.reason,
            attio: view.attio,
            waiting: view.status.is_live()
                || is_shown_late
                || !self.calls.owed.is_empty()
                || self.owes_more() && !self.attio.gone,
            failing: (view.status.is_live() && self.send.failures > 0)
                || self.send.to_read.as_ref().is_some_and(|to_read| to_read.failures > 0)
                || (is_shown_late && (self.attio.failures > 0 || self.attio.refused))
                || self.calls.owed.iter().any(|owed| owed.failures > 0)
                || self.notes.iter().any(|note| note.trying.failures > 0)
                || self.pipeline.as_ref().is_some_and(|placement| placement.trying.failures > 0),
            attempts: view.attempts,
            owed_calls: self.calls.owed.len(),
            dead_letters: self.dead_letters(workspace).len(),
            last_error: view.last_error,
            created_at: view.created_at,
            updated_at: view.updated_at,
            due,
        }
    }

    /// All that is known of it at `now`.
    pub fn story(&self, workspace: WorkspaceId, kept: Kept, around: &Surroundings<'_>, now: Timestamp) -> LeadStory {
        let Kept { due, leased_until, opens } = kept;
        let present = SendStory {
            at_alc: at_alc(self.send.reach),
            failures: self.send.failures,
            ..SendStory::of(&self.send.outcome)
        };
        let earlier = self.earlier.iter().rev().map(|earlier| SendStory {
            at_alc: match (&earlier.outcome.lead_id, earlier.unlearnt) {
                (Some(_), _) => "yes",
                (None, true) => "unknown",
                (None, false) => "no",
            },
            ..SendStory::of(&earlier.outcome)
        });
        let owed = self.wanted().filter(|wanted| !self.attio.shows(*wanted)).map(|wanted| wanted.title);
        let view = self.view();
        LeadStory {
            note: view.note,
            pipeline: view.pipeline,
            summary: self.summary(workspace, due),
            sends: std::iter::once(present).chain(earlier).collect(),
            attio_record: AttioStory {
                record_id: self.shown_at(),
                shows: self.attio.shown.as_ref().map(|shown| shown.showing.title),
                owed,
                failures: self.attio.failures,
                retry_at: self.attio.retry_at,
                doubts: self.attio.doubts.len(),
                last_error: self.attio.present_error().map(str::to_owned),
            },
            workflows_waiting: self.calls.waiting.len(),
            calls: self.calls.owed.iter().map(CallStory::of).collect(),
            letters: self.dead_letters(workspace),
            history: self.history.told(),
            next: self.next(around, opens, now).looked_at(due.filter(|_| leased_until.is_none())),
            leased_until,
            joined: self.joined,
        }
    }

    /// The step that comes next, when, and why not before. `opens`: see [`Kept`].
    pub fn next(&self, around: &Surroundings<'_>, opens: bool, now: Timestamp) -> NextStep {
        let (step, at) = match self.next_step(now, around) {
            Step::Rest(at) => (self.next_step(at, around), at),
            step => (step, now),
        };
        let why = match step {
            _ if at <= now => "due now".to_owned(),
            Step::Expire(reason) => self.why_it_expires(reason, around),
            Step::Submit | Step::LookUp | Step::TakeBaseline if around.alc_opens_at == Some(at) => {
                "ALC's gate is closed until then".to_owned()
            }
            Step::Submit | Step::LookUp | Step::TakeBaseline | Step::Poll if self.send.unopened && opens => {
                "what no sealing key opened at the last try opens again: the next try".to_owned()
            }
            Step::Submit | Step::LookUp | Step::TakeBaseline | Step::Poll if self.send.unopened => {
                "no sealing key that is set opens what this takes: the next try. Set KEYS__SEALING_PREVIOUS to the key \
                 that sealed it"
                    .to_owned()
            }
            Step::Submit | Step::LookUp | Step::TakeBaseline => {
                format!("ALC failed {} times in a row: the next try", self.send.failures)
            }
            Step::ReadPerson if around.attio_opens_at == Some(at) => "Attio's gate is closed until then".to_owned(),
            Step::ReadPerson => {
                let failures = self.send.to_read.as_ref().map_or(0, |to_read| to_read.failures);
                format!("Attio, asked for name and number, failed {failures} times in a row: the next try")
            }
            Step::ForgetWords => "what ALC said is forgotten then, as the record is gone".to_owned(),
            Step::ForgetPerson => "name and number, as Attio had them, are forgotten then".to_owned(),
            Step::ForgetCalls => "the calls to workflows that were given up are forgotten then".to_owned(),
            Step::Poll => "ALC has it and has not called back: it is asked for the result then".to_owned(),
            Step::Show(_) if around.attio_opens_at == Some(at) => "Attio's gate is closed until then".to_owned(),
            Step::Show(_) if self.attio.refused => {
                "Attio refuses until a person mends what it names: tried slowly".to_owned()
            }
            Step::Show(_) => format!("Attio failed {} times in a row: the next try", self.attio.failures),
            Step::ReadBack(_) => "a write to Attio had no answer: the record is read back".to_owned(),
            Step::WriteNote(_) | Step::LookForNote(_) | Step::Place(_) if around.attio_opens_at == Some(at) => {
                "Attio's gate is closed until then".to_owned()
            }
            Step::WriteNote(_) => "Attio did not take the note: the next try".to_owned(),
            Step::LookForNote(_) => "a note had no answer: Attio is looked through for it".to_owned(),
            Step::Place(_) => "Attio did not take the stage: the next try".to_owned(),
            Step::Tell => "a workflow was not reached: the next call".to_owned(),
            Step::Forget if self.attio.gone => {
                "the record is gone from Attio; forgotten after its retention".to_owned()
            }
            Step::Forget => "nothing is left to do; forgotten after its retention".to_owned(),
            Step::NoteEnd | Step::Rest(_) => "a worker looks at it then".to_owned(),
        };
        NextStep { step: step.name(), at, why }
    }

    fn why_it_expires(&self, reason: Reason, around: &Surroundings<'_>) -> String {
        let blocked = match around.alc {
            AlcAccess::Connected => None,
            AlcAccess::Reauthorization => Some("ALC's grant is dead: the workspace has to connect again"),
            AlcAccess::Disconnected { .. } => Some("the workspace is disconnected: it has to connect again"),
        };
        let otherwise = if self.send.outcome.status == Status::Pending {
            "ALC has it and has not called back"
        } else if self.send.to_read.is_some() {
            "it waits for Attio to name the person"
        } else {
            "it waits for ALC"
        };
        format!("{}; else it fails then as {}", blocked.unwrap_or(otherwise), reason.name())
    }
}

impl NextStep {
    /// No worker does it before it looks at the lead. What held the step up may have ended since, and nothing wakes the
    /// lead for that: a sealing key that was put back, say.
    fn looked_at(self, due: Option<Timestamp>) -> Self {
        match due.filter(|due| *due > self.at) {
            Some(at) => {
                let why = "nothing holds it up any more: a worker looks at it then, or at once after `leads retry`";
                Self { at, why: why.to_owned(), ..self }
            }
            None => self,
        }
    }
}

impl SendStory {
    fn of(outcome: &Outcome) -> Self {
        Self {
            send_id: outcome.id,
            status: outcome.status,
            reason: outcome.reason,
            result: outcome.result.as_deref().map(upstream::masked),
            lead_id: outcome.lead_id.clone(),
            at_alc: "no",
            attempts: outcome.attempts,
            failures: 0,
            last_error: outcome.last_error.clone(),
            created_at: outcome.created_at,
            updated_at: outcome.updated_at,
        }
    }
}

impl CallStory {
    fn of(owed: &Owed) -> Self {
        let (to, trigger) = recipient_name(&owed.to.recipient);
        Self {
            number: owed.number,
            to,
            trigger,
            send_id: owed.send,
            status: owed.status,
            failures: owed.failures,
            due: owed.due,
            until: owed.until,
        }
    }
}

fn at_alc(reach: Reach) -> &'static str {
    match reach {
        Reach::NotThere => "no",
        Reach::UnderWay { .. } => "under-way",
        Reach::InDoubt | Reach::MayArrive => "unknown",
        Reach::There { .. } => "yes",
    }
}
