//! The way of what came in to the worker that shows it, without a detour over the store's queue.
//!
//! Promises that it passes nothing that waits there, which is the seats' to say; and that a lead which another worker
//! has in hand is left to that one. Where the process dies in between, or the caller's wait ends before the store has
//! answered, the lease has no worker: it runs out, and the next worker goes on.

use tracing::Instrument as _;

use super::leased::Work;
use crate::{
    clock::later,
    ids::random_uuid,
    leads::{lead::next_step::Step, service::Leads},
    seats::Seat,
    store::{Aggregate as _, Commit, Committed, Lease, LeaseChange, Reserve, StoreError, Tries, Write},
};

impl Leads {
    /// Commits the lead of `work`, as what came in has left it, together with `beside`, and has it looked at at
    /// once: by a worker of this process where a seat is free, else by the next that leases what is due. `false`: a
    /// conflict, and nothing is written.
    pub(in crate::leads) async fn hand_over(
        &self,
        tries: &mut Tries<'_>,
        mut work: Work,
        beside: Option<Write>,
    ) -> Result<bool, StoreError> {
        let now = self.parts.store.now();
        let seat = self.seat_for(&work);
        let change = match seat {
            Some(_) => LeaseChange::Take(Lease { token: random_uuid(), until: later(now, self.lease_duration()) }),
            None => LeaseChange::Leave { due: Some(now) },
        };
        let mut commit = Commit::of(vec![work.lead.put(&work.key.id, change)]);
        commit.writes.extend(beside);
        if seat.is_some()
            && let Step::Show(showing) = self.step_of(&work, &work.lead.value, now)
        {
            commit.reserve = Some(Reserve { gate: self.gate_for(showing), key: work.key.clone() });
        }
        let Committed::Done(verdict) = tries.commit(&commit).await? else { return Ok(false) };
        if let Some(seat) = seat {
            work.written(work.lead.value.clone(), change, &commit);
            if commit.reserve.is_some() {
                work.attio.take_down(verdict);
            }
            self.go_on_in(seat, work);
        }
        Ok(true)
    }

    fn seat_for(&self, work: &Work) -> Option<Seat> {
        let is_free = work.lead.document.lease.is_none() && !self.parts.lifecycle.is_stopping();
        let seat = || self.parts.seats.hand_over(&work.tenant, work.lead.value.is_urgent());
        is_free.then(seat).flatten()
    }

    fn go_on_in(&self, seat: Seat, work: Work) {
        let leads = self.clone();
        let (workspace, record) = (work.tenant.as_str(), &*work.key.id);
        let span = tracing::error_span!("step", kind = "lead", workspace, record, step = tracing::field::Empty);
        let task = async move {
            let _seat = seat;
            if let Err(error) = leads.run(work).await {
                // The lease runs out, and the worker that takes it over finds out.
                tracing::warn!(%error, "left to the next holder of its lease");
            }
        };
        self.parts.lifecycle.spawn(task.instrument(span));
    }
}
