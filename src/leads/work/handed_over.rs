//! The way of what came in to the worker that shows it, without a detour over the store's queue.
//!
//! Promises that it passes nothing that this process has seen waiting there, which is the seats' to say; that a lead
//! which another worker has in hand is left to that one; that the worker goes on with the workspace that the lead was
//! committed beside; and that a commit whose caller has gone, or which had no answer, is pressed on until its outcome
//! is known, so that no lease is left without a worker as long as the process lives. While a commit of a lead is
//! pressed on, what comes in about the lead after that is not: ALC repeats a callback for as long as the store takes no
//! writes.

use std::{pin::pin, sync::Arc, time::Duration};

use tracing::Instrument as _;

use super::{in_hand::Learnt, leased::Work};
use crate::{
    clock::later,
    ids::random_uuid,
    leads::service::Leads,
    seats::Seat,
    store::{
        Aggregate as _, Commit, Committed, Key, Kind, Lease, LeaseChange, Patience, StoreError, Tries, Write,
        gate::Verdict,
    },
};

/// So long a seat is kept for a commit that has no answer. A part of the store that takes no writes would else hold the
/// seats of those whose part does.
const SEAT_WAITS: Duration = Duration::from_millis(500);

impl Leads {
    /// Commits the lead of `work`, as what came in has left it, together with `beside`, and has it looked at at once:
    /// by a worker of this process where a seat is free, else by the next that leases what is due. `false`: a conflict,
    /// and nothing is written.
    pub(in crate::leads) async fn hand_over(
        &self,
        tries: &mut Tries<'_>,
        work: Work,
        beside: Option<Write>,
    ) -> Result<bool, StoreError> {
        let Some(seat) = self.seat_for(&work) else {
            let change = LeaseChange::Leave { due: Some(self.parts.store.now()) };
            let mut commit = Commit::of(vec![work.lead.put(&work.key.id, change)]);
            commit.writes.extend(beside);
            return Ok(matches!(tries.commit(&commit).await?, Committed::Done(_)));
        };
        let commit = Arc::new(self.leasing(&work, beside));
        let handing = Handing { leads: self.clone(), commit: commit.clone(), work, seat: Some(seat) };
        let mut unanswered = Unanswered(Some(handing));
        let mut committing = pin!(tries.commit(&commit));
        let committed = tokio::select! {
            biased;
            committed = &mut committing => committed,
            () = tokio::time::sleep(SEAT_WAITS) => {
                unanswered.free_the_seat();
                committing.await
            }
        };
        if matches!(committed, Err(StoreError::Full)) {
            // An answer: nothing is written.
            unanswered.0 = None;
        }
        Ok(match (committed?, unanswered.0.take()) {
            (Committed::Done(verdict), Some(handing)) => {
                handing.go_on(verdict);
                true
            }
            _ => false,
        })
    }

    fn seat_for(&self, work: &Work) -> Option<Seat> {
        let is_free = work.lead.document.lease.is_none()
            && !self.in_hand.has(&work.tenant, &work.key)
            && !self.parts.lifecycle.is_stopping();
        let seat = || self.parts.seats.hand_over(&work.tenant, work.lead.value.is_urgent());
        is_free.then(seat).flatten()
    }

    /// The commit that leases the lead, and takes its turn at Attio's gate if the record there is to be written next.
    fn leasing(&self, work: &Work, beside: Option<Write>) -> Commit {
        let now = self.parts.store.now();
        let lease = Lease { token: random_uuid(), until: later(now, self.lease_duration()) };
        let mut commit = Commit::of(vec![work.lead.put(&work.key.id, LeaseChange::Take(lease))]);
        commit.writes.extend(beside);
        // The worker does not load the workspace again: a workflow that was added meanwhile would not be told.
        commit.checks.extend(work.workspace.as_ref().map(|workspace| (Key::workspace(), workspace.version())));
        commit.reserve = self.turn_before(self.step_of(work, &work.lead.value, now), work);
        commit
    }
}

/// A lead on its way to a worker.
struct Handing {
    leads: Leads,
    commit: Arc<Commit>,
    work: Work,
    seat: Option<Seat>,
}

impl Handing {
    /// It is written: a worker goes on.
    fn go_on(mut self, verdict: Verdict) {
        self.work.leased_by(&self.commit, verdict);
        let Self { leads, work, seat, .. } = self;
        let lifecycle = leads.parts.lifecycle.clone();
        let seat = seat.or_else(|| leads.parts.seats.take(&work.tenant, Kind::Lead, work.lead.value.is_urgent()));
        let span = work.span();
        let task = async move {
            let _seat = seat;
            if let Err(error) = leads.run(work).await {
                // The lease runs out, and the worker that takes it over finds out.
                tracing::warn!(%error, "left to the next holder of its lease");
            }
        };
        lifecycle.spawn_near(task.instrument(span));
    }

    /// Repeats the commit under its id: what the caller was told says nothing of whether it took effect.
    async fn press_on(self, learnt: Learnt) {
        let pressed = self.leads.parts.store.tries(&self.work.tenant, Patience::Fact).commit(&self.commit).await;
        drop(learnt);
        if let Ok(Committed::Done(verdict)) = pressed {
            self.go_on(verdict);
        }
    }
}

/// Its commit has had no answer yet: if the caller's wait ends before it has, it is pressed on.
struct Unanswered(Option<Handing>);

impl Unanswered {
    fn free_the_seat(&mut self) {
        if let Some(handing) = &mut self.0 {
            handing.seat = None;
        }
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(mut handing) = self.0.take() {
            handing.seat = None;
            let lifecycle = handing.leads.parts.lifecycle.clone();
            let learnt = handing.leads.in_hand.learn(&handing.work.tenant, &handing.work.key);
            lifecycle.spawn(handing.press_on(learnt));
        }
    }
}
