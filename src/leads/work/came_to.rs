//! A step as the log and the metrics tell it: on whose behalf, for which time in a row, and what it came to.
//!
//! Read off the lead before and after, so that no step has to say it. Promises that a failure is one warning however
//! often the step is tried again, and its end one line more; in between only the metrics count.

use tracing::Span;

use super::leased::Work;
use crate::{
    clock::Timestamp,
    leads::lead::{aggregate::Lead, next_step::Step},
    store::{StoreError, Version},
    telemetry::{self, traces},
};

/// What is told of a step under way.
pub(in crate::leads) struct Telling {
    step: Step,
    version: Version,
    failures: u32,
    retries: [Option<Timestamp>; 3],
    trace: traces::Span,
}

impl Telling {
    /// A step begins: each line from here on names it, in the span of the work.
    pub(in crate::leads) fn begin(work: &Work, step: Step) -> Self {
        let lead = &work.lead.value;
        let failures = failures(lead, step);
        let connection = work.workspace.as_ref().and_then(|workspace| workspace.value.current());
        // At once: each time that fields are added, the log writes them down.
        let span = Span::current();
        tracing::record_all!(
            span,
            step = step.name(),
            attempt = failures.saturating_add(1),
            send = display(lead.send.outcome.id),
            connection = connection.map(|connection| display(connection.id))
        );
        let trace = traces::step("lead", step.name(), lead.send.trace.as_deref());
        trace.describe(|| {
            [
                ("alc_connector.workspace", Some(work.tenant.as_str().to_owned().into())),
                ("alc_connector.record", Some(work.key.id.to_string().into())),
                ("alc_connector.send", Some(lead.send.outcome.id.to_string().into())),
                ("alc_connector.connection", connection.map(|connection| connection.id.to_string().into())),
                ("alc_connector.attempt", Some(i64::from(failures.saturating_add(1)).into())),
            ]
        });
        Self { step, version: work.lead.version(), failures, retries: retries(lead), trace }
    }

    /// The step's calls belong to its span.
    pub(in crate::leads) fn within<F: Future>(&self, step: F) -> impl Future<Output = F::Output> + use<F> {
        self.trace.within(step)
    }

    /// The step has ended.
    pub(in crate::leads) fn end(self, work: &Work, result: &Result<(), StoreError>) {
        let after = failures(&work.lead.value, self.step);
        let outcome = self.outcome(work, after, result.is_ok());
        telemetry::step("lead", self.step.name(), outcome);
        self.trace.came_to(outcome);
        // The store's trouble is told where the work ends for it.
        match (outcome, self.failures) {
            ("failed", 0) => tracing::warn!("a step failed, and is tried again"),
            ("done", 1..) if after == 0 => tracing::info!("a step that had failed has succeeded"),
            _ => tracing::debug!(outcome, "a step was taken"),
        }
    }

    /// `failed`: an upstream did not do it. `put_off`: the upstream wants to be asked later. `held_back`: nothing was
    /// asked, for want of leave by a gate, of a grant, or of time.
    fn outcome(&self, work: &Work, failures: u32, was_stored: bool) -> &'static str {
        let after = retries(&work.lead.value);
        let is_put_off = self.retries.iter().zip(&after).any(|(before, after)| after.is_some() && before != after);
        if !was_stored {
            "store_error"
        } else if failures > self.failures {
            "failed"
        } else if work.lead.version() == self.version && work.lease.is_some() {
            "held_back"
        } else if is_put_off {
            "put_off"
        } else {
            "done"
        }
    }
}

/// How often in a row what the step asks has failed.
fn failures(lead: &Lead, step: Step) -> u32 {
    match step {
        Step::ReadPerson => lead.send.to_read.as_ref().map_or(0, |to_read| to_read.failures),
        Step::TakeBaseline | Step::LookUp | Step::Submit | Step::Poll => lead.send.failures,
        Step::Show(_) | Step::ReadBack(_) => lead.attio.failures,
        Step::WriteNote(send) | Step::LookForNote(send) => lead.notes.of(send).map_or(0, |note| note.trying.failures),
        Step::Place(_) => lead.pipeline.as_ref().map_or(0, |placement| placement.trying.failures),
        Step::Tell => lead.calls.owed.iter().map(|owed| owed.failures).max().unwrap_or(0),
        Step::Expire(_) | Step::NoteEnd | Step::Forget | Step::Rest(_) => 0,
        Step::ForgetPerson | Step::ForgetCalls | Step::ForgetWords => 0,
    }
}

fn retries(lead: &Lead) -> [Option<Timestamp>; 3] {
    let to_read = lead.send.to_read.as_ref().and_then(|to_read| to_read.retry_at);
    [lead.send.retry_at, lead.attio.retry_at, to_read]
}
