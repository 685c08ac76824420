//! Writing the note about a result on the record, and looking for one whose answer was lost.
//!
//! The order is what keeps it single: the attempt is marked in the store, then it is made, then what came of it is
//! recorded. A mark that is found is an attempt that may have arrived.

use secrecy::SecretString;

use super::{attio::TOKEN_UNOPENED, leased::Work, triage::triage};
use crate::{
    attio::notes::Looked,
    clock::Timestamp,
    ids::{RecordId, SendId},
    leads::{
        lead::{aggregate::Lead, alc::Again, note::NoteFailure},
        service::Leads,
        words::{line_of, note_of},
    },
    store::{StoreError, gate::GateReport},
    upstream::CallError,
};

/// What Attio's credential needs.
const SCOPE: &str = "note:read-write";

impl Leads {
    /// Writes the note of that send.
    pub(super) async fn write_note(&self, work: &mut Work, send: SendId) -> Result<(), StoreError> {
        if !self.settings.note || self.note_is_over(&work.lead.value, send, self.parts.clock.now()) {
            return self.record(work, |lead, _| lead.give_note_up(send)).await;
        }
        let Some(token) = self.attio_token(work) else {
            return self.no_token_for_note(work, send).await;
        };
        let gate = self.settings.gates.attio;
        if !self.may_write(work, gate).await? {
            return Ok(());
        }
        if !self.begin_note(work, send).await? {
            return Ok(());
        }
        if !self.has_time(work) {
            // By the time of Attio's answer another worker might have the lease, and would write a second one.
            let attempt = work.lead.value.notes.of(send).map_or(0, |note| note.attempts);
            let (late, again) = (NoteFailure::Later, Again::failed(self.parts.clock.now()));
            let detail = "the store took too long, and the note was not sent";
            return self
                .record(work, |lead, now| lead.note_not_written((send, attempt), late, again, detail, now))
                .await;
        }
        work.attio.go = false;
        let lead = &work.lead.value;
        let (Some(note), Some(outcome)) = (lead.notes.of(send), lead.outcome_of(send)) else {
            return self.record(work, |lead, _| lead.give_note_up(send)).await;
        };
        let (record, attempt, failures) = (lead.shown_at(), note.attempts, note.trying.failures);
        let (title, content) = note_of(outcome, note.since, &self.words_of(&work.tenant, lead, note));
        let error = match self.parts.attio.create_note(&token, record, &title, &content).await {
            Ok(()) => {
                self.record(work, |lead, _| lead.note_written(send)).await?;
                self.report_on_attio(work, GateReport::Recovered).await;
                return Ok(());
            }
            Err(error) => error,
        };
        let (mut failure, mut again) = self.read_note_refusal(&error, record, failures);
        if error == CallError::Unauthorized
            && let Some(sooner) = self.after_attios_401(work, &token, failures).await?
        {
            (failure, again) = (NoteFailure::Later, sooner);
        }
        let detail = detail(&error);
        self.record(work, |lead, now| lead.note_not_written((send, attempt), failure, again, &detail, now)).await?;
        self.report_on_attio(work, triage(&error).report).await;
        Ok(())
    }

    /// Looks for the note of that send, after an attempt whose outcome is not known: on the record that it was made on,
    /// and where a merge was told of meanwhile, on the one made of two.
    pub(super) async fn look_for_note(&self, work: &mut Work, send: SendId) -> Result<(), StoreError> {
        let Some(token) = self.attio_token(work) else {
            return self.no_token_for_note(work, send).await;
        };
        let lead = &work.lead.value;
        let Some((note, tried)) = lead.notes.of(send).and_then(|note| Some((note, note.tried.as_ref()?))) else {
            return Ok(());
        };
        let (attempt, looks, failures) = (note.attempts, tried.looks, note.trying.failures);
        let (now_at, then_at) = (lead.shown_at(), tried.record);
        let mut is_there = Ok(false);
        for record in [Some(now_at), (then_at != now_at).then_some(then_at)].into_iter().flatten() {
            let Some(looked) = self.look_through(work, (&token, record), &line_of(send)).await? else { return Ok(()) };
            is_there = looked;
            if is_there != Ok(false) {
                break;
            }
        }
        match is_there {
            Ok(is_there) => {
                let seen = (now_at, looks);
                self.record(work, |lead, _| lead.note_looked_for((send, attempt), seen, is_there)).await
            }
            Err(error) => {
                let mut again = triage(&error).again(self, failures);
                if matches!(error, CallError::Forbidden { .. } | CallError::Rejected { .. }) {
                    again = self.slowly();
                }
                if error == CallError::Unauthorized {
                    again = self.after_attios_401(work, &token, failures).await?.unwrap_or_else(|| self.slowly());
                }
                let detail = detail(&error);
                self.record(work, |lead, _| lead.note_not_looked_for(send, again, &detail)).await
            }
        }
    }

    /// Whether one of the record's notes has that line, by page after page; `None`: plan anew, since the lease has
    /// gone, or a merge was told meanwhile.
    async fn look_through(
        &self,
        work: &mut Work,
        (token, record): (&SecretString, RecordId),
        line: &str,
    ) -> Result<Option<Result<bool, CallError>>, StoreError> {
        let (mut from, shown_at) = (0, work.lead.value.shown_at());
        loop {
            // The pages of a record with many notes take longer than one lease lasts.
            let is_renewed = !self.ensure_time(work).await?;
            if is_renewed && (!self.has_time(work) || work.lead.value.shown_at() != shown_at) {
                return Ok(None);
            }
            match self.parts.attio.has_note(token, record, line, from).await {
                Ok(Looked::NotYet { from: next }) => from = next,
                Ok(looked) => return Ok(Some(Ok(looked == Looked::There))),
                // Nothing is on a record that is gone.
                Err(CallError::NotFound) => return Ok(Some(Ok(false))),
                Err(error) => return Ok(Some(Err(error))),
            }
        }
    }

    /// Marks an attempt as begun, under this worker's lease; `false`: plan anew.
    async fn begin_note(&self, work: &mut Work, send: SendId) -> Result<bool, StoreError> {
        let Some(lease) = work.lease else { return Ok(false) };
        let now = self.parts.clock.now();
        let mut lead = work.lead.value.clone();
        if !lead.begin_note(send, now) {
            return Ok(false);
        }
        self.mark(work, lead, lease, None).await
    }

    /// There is a token, and it does not open.
    async fn no_token_for_note(&self, work: &mut Work, send: SendId) -> Result<(), StoreError> {
        let again = self.slowly();
        self.record(work, |lead, _| lead.note_not_looked_for(send, again, TOKEN_UNOPENED)).await
    }

    fn note_is_over(&self, lead: &Lead, send: SendId, now: Timestamp) -> bool {
        lead.notes.of(send).is_none_or(|note| now >= note.trying.until)
    }

    fn read_note_refusal(&self, error: &CallError, record: RecordId, failures: u32) -> (NoteFailure, Again) {
        let again = triage(error).again(self, failures);
        match error {
            CallError::RateLimited { .. } | CallError::NotSent { .. } => (NoteFailure::Later, again),
            CallError::Unreadable { .. } | CallError::Unknown { .. } => (NoteFailure::Unseen, again),
            CallError::Conflict { code: Some(code), .. } if code == "concurrent_write_conflict" => {
                (NoteFailure::Later, again)
            }
            CallError::Rejected { code: Some(code), .. } if code == "merge_in_progress" => (NoteFailure::Later, again),
            CallError::NotFound => (NoteFailure::Gone(record), again),
            CallError::Conflict { .. }
            | CallError::Rejected { .. }
            | CallError::Forbidden { .. }
            | CallError::Unauthorized
            | CallError::Unsupported => (NoteFailure::Refused, self.slowly()),
        }
    }
}

fn detail(error: &CallError) -> String {
    match error {
        CallError::Forbidden { .. } => format!("Attio's credential may need the scope {SCOPE}: {error}"),
        error => format!("Attio, of the note: {error}"),
    }
}
