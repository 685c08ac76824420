//! The worker's loop: takes a leased lead from step to step.

use std::time::Duration;

use super::{came_to::Telling, leased::Work};
use crate::{
    clock::{Timestamp, earlier, later},
    leads::{
        lead::{aggregate::Lead, next_step::Step, reach::Reach},
        service::Leads,
    },
    store::{Change, Commit, Committed, Lease, LeaseChange, Leased, StoreError, Versioned, Write},
};

/// When a lead is looked at again of which a worker of this process knows more than the store.
const IN_HAND_AGAIN: Duration = Duration::from_secs(1);

impl Leads {
    /// Takes a leased lead as far as it goes now; what the reconciler calls.
    pub async fn step(&self, leased: Leased) -> Result<(), StoreError> {
        if self.in_hand.has(&leased.tenant, &leased.key)
            && let Some(taken) = leased.taken()
        {
            let now = self.parts.clock.now();
            return self.parts.store.put_back(&leased.tenant, &taken, later(now, IN_HAND_AGAIN), now).await.map(drop);
        }
        let lead = Versioned::<Lead>::read(leased.document)?;
        let mut loaded = self.stands_beside(&leased.tenant, leased.beside).await?;
        let mut work = Work::new(leased.tenant, leased.key, lead, loaded.take()?, loaded.gates());
        if leased.ran_out || matches!(work.lead.value.send.reach, Reach::UnderWay { .. }) {
            self.record(&mut work, Lead::lost).await?;
        }
        self.run(work).await
    }

    /// Takes steps until nothing is left to do now, the lease is lost, or the process stops.
    pub(in crate::leads) async fn run(&self, mut work: Work) -> Result<(), StoreError> {
        while let Some(lease) = work.lease {
            let now = self.parts.clock.now();
            let step = self.step_of(&work, &work.lead.value, now);
            if self.parts.lifecycle.is_stopping() && !matches!(step, Step::Rest(_)) {
                // Another replica goes on at once.
                return self.end(&mut work, lease, now).await;
            }
            if let Step::Rest(due) = step {
                self.end(&mut work, lease, due).await?;
                continue;
            }
            let telling = Telling::begin(&work, step);
            let result = telling.within(self.take(&mut work, step)).await;
            telling.end(&work, &result);
            result?;
        }
        Ok(())
    }

    /// Takes one step and records what it came to.
    async fn take(&self, work: &mut Work, step: Step) -> Result<(), StoreError> {
        match step {
            Step::Rest(_) => Ok(()),
            Step::Expire(reason) => self.record(work, move |lead, now| lead.expire(reason, now)).await,
            Step::NoteEnd => self.note_end(work).await,
            Step::TakeBaseline => self.take_baseline(work).await,
            Step::LookUp => self.look_up(work).await,
            Step::ReadPerson => self.read_entered(work).await,
            Step::ForgetPerson => self.record(work, |lead, _| lead.known = None).await,
            Step::ForgetCalls => {
                let retention = self.settings.deadlines.retention;
                self.record(work, move |lead, now| lead.calls.given_up.forget_until(earlier(now, retention))).await
            }
            Step::ForgetWords => self.record(work, Lead::forget_words).await,
            Step::Submit => self.submit(work).await,
            Step::Show(showing) => self.show(work, showing).await,
            Step::ReadBack(doubt) => self.read_back(work, doubt).await,
            Step::Poll => self.poll(work).await,
            Step::Tell => self.call_workflows(work).await,
            Step::WriteNote(send) => self.write_note(work, send).await,
            Step::LookForNote(send) => self.look_for_note(work, send).await,
            Step::Place(send) => self.place(work, send).await,
            Step::Forget => self.forget(work).await,
        }
    }

    async fn end(&self, work: &mut Work, lease: Lease, due: Timestamp) -> Result<(), StoreError> {
        let change = LeaseChange::End { token: lease.token, due: Some(due) };
        let mut commit = Commit::of(vec![work.lead.put(&work.key.id, change)]);
        commit.checks = work.checks_at_the_end();
        match self.commit_surely(&work.tenant, &commit).await? {
            Committed::Done(_) => work.written(work.lead.value.clone(), change, &commit),
            Committed::Conflict => {
                // Something came in meanwhile; it would sleep until our due time.
                self.look_again(work).await?;
            }
        }
        Ok(())
    }

    async fn forget(&self, work: &mut Work) -> Result<(), StoreError> {
        if let Some(speaker) = self.speaker(&work.tenant, &work.lead).await? {
            return self
                .record(work, |lead, now| {
                    // A trigger that came since is not told of an end long past.
                    lead.note_end([], self.settings.deadlines.result);
                    lead.stay_for(&speaker.value, self.settings.deadlines.retention, now);
                })
                .await;
        }
        let write = Write { key: work.key.clone(), expected: Some(work.lead.version()), change: Change::Erase };
        match self.commit_surely(&work.tenant, &Commit::of(vec![write])).await? {
            Committed::Done(_) => work.lease = None,
            Committed::Conflict => {
                self.look_again(work).await?;
            }
        }
        Ok(())
    }
}
