//! What operators ask of leads and have done to them. The rules are pure and lie in `lead/story.rs`,
//! `lead/dead_letters.rs` and `lead/mend.rs`; here they meet the store.
//!
//! Promises that whatever is done is decided on the lead that is written, so that two operators who replay the same
//! dead letter at once have it done once.

use super::{
    lead::{
        aggregate::Lead,
        dead_letters::{DeadLetter, LetterId},
        mend::NotAgain,
        next_step::Surroundings,
        outcome::Status,
        send::PresentSend,
        story::{Kept, LeadStory, LeadSummary},
    },
    service::{Leads, lead_key},
    work::leased::Work,
};
use crate::{
    clock::{Timestamp, later},
    connections::{self, Standing, Workspace},
    ids::{RecordId, SendId, WorkspaceId},
    store::{Commit, Committed, Cursor, Decision, Key, LeaseChange, Patience, StoreError, Tenant, Versioned},
};

/// What a replay came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replayed {
    /// It is done once more.
    Done,
    /// There is no such dead letter any more: it was replayed before, or has mended itself.
    Already,
    /// Not done; what to do instead.
    Refused(&'static str),
}

impl Replayed {
    /// All that a refused replay may advise.
    pub const ADVICE: [&'static str; 5] = [
        NOT_CONNECTED,
        NotAgain::Over.advice(),
        NotAgain::MayBeAtAlc.advice(),
        NotAgain::Pointless.advice(),
        NotAgain::Forgotten.advice(),
    ];
}

/// What the workspace's connection has to be for a new send.
const NOT_CONNECTED: &str = "not sent again: the workspace is not connected to ALC. Connect it in Attio, then replay";

/// Some leads of a workspace as the store has them, and where the next ones begin.
pub struct Looked {
    /// The leads, newest first.
    pub leads: Vec<Versioned<Lead>>,
    /// Where the next page begins.
    pub next: Option<Cursor>,
}

impl Looked {
    /// As lists have them.
    pub fn summaries(&self, workspace: WorkspaceId) -> Vec<(Cursor, LeadSummary)> {
        self.each(|lead| lead.value.summary(workspace, lead.document.due))
    }

    /// What was given up of each.
    pub fn dead_letters(&self, workspace: WorkspaceId) -> Vec<(Cursor, Vec<DeadLetter>)> {
        self.each(|lead| lead.value.dead_letters(workspace))
    }

    fn each<T>(&self, of: impl Fn(&Versioned<Lead>) -> T) -> Vec<(Cursor, T)> {
        let place = |lead: &Versioned<Lead>| Cursor::at(&lead_key(lead.value.record_id), &lead.document);
        self.leads.iter().map(|lead| (place(lead), of(lead))).collect()
    }
}

impl Leads {
    /// A page of a workspace's leads in these statuses, for operators.
    pub async fn listed(
        &self,
        workspace: WorkspaceId,
        statuses: &[Status],
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Looked, StoreError> {
        let statuses: Vec<_> = statuses.iter().map(|status| status.name()).collect();
        let page = self.parts.store.page(&connections::tenant(workspace), &statuses, cursor, limit).await?;
        let next = page.next.clone();
        Ok(Looked { leads: page.read::<Lead>().into_iter().map(|(_, lead)| lead).collect(), next })
    }

    /// All that is known of a record's lead; `None`: there is none.
    pub async fn story(&self, workspace: WorkspaceId, record: RecordId) -> Result<Option<LeadStory>, StoreError> {
        let tenant = connections::tenant(workspace);
        let [alc, attio] = self.gates();
        let gates = [alc, attio, self.settings.gates.workflows];
        let now = self.parts.clock.now();
        let mut loaded = self.parts.store.load(&tenant, &[Key::workspace(), lead_key(record)], &gates, now).await?;
        let found = loaded.take::<Workspace>()?;
        let Some(lead) = loaded.take::<Lead>()? else { return Ok(None) };
        let views: [_; 3] = loaded.gates();
        let work = Work::new(tenant, lead_key(record), lead, found, [views[0], views[1]]);
        let document = &work.lead.document;
        let leased_until = document.lease.map(|lease| lease.until);
        let kept = Kept { due: document.due, leased_until, opens: self.opens_what_alc_takes(&work) };
        let around = self.surroundings(&work);
        let closed = |view: usize| views[view].closed_until.filter(|until| *until > now);
        let around = Surroundings {
            alc_opens_at: around.alc_opens_at.max(closed(0)),
            attio_opens_at: around.attio_opens_at.max(closed(1)),
            workflows_open_at: around.workflows_open_at.max(closed(2)),
            ..around
        };
        Ok(Some(work.lead.value.story(workspace, kept, &around, now)))
    }

    /// Whether the sealing keys of now are those of name, number and token.
    fn opens_what_alc_takes(&self, work: &Work) -> bool {
        let person = work.lead.value.send.person.as_ref();
        let sealer = &self.parts.sealer;
        person.is_none_or(|person| sealer.knows_key_of(&person.name) && sealer.knows_key_of(&person.phone_number))
            && work.workspace.as_ref().is_none_or(|found| self.parts.connections.opens_alc_grant(&found.value))
    }

    /// What waits only for its next try is tried now, or in its `turn` of those that are tried together: all at once
    /// they would crowd before the gates. The sides that this concerns; `None`: there is no such lead.
    pub async fn try_now(
        &self,
        workspace: WorkspaceId,
        record: RecordId,
        turn: Option<u32>,
    ) -> Result<Option<Vec<&'static str>>, StoreError> {
        let tenant = connections::tenant(workspace);
        let pace = self.pace();
        let change = |found: &mut Option<Versioned<Lead>>, now| {
            let Some(lead) = found else { return Decision::Leave(None) };
            let sides = lead.value.try_now(now);
            if !sides.is_empty() {
                lead.value.keep_request("retried", now);
            } else if turn.is_some() {
                // Of many those that have nothing to hurry are left alone.
                return Decision::Leave(Some(sides));
            }
            let at = Some(later(now, pace.saturating_mul(turn.unwrap_or(0))));
            Decision::Write(LeaseChange::Leave { due: lead.document.due.min(at).or(at) }, Some(sides))
        };
        Ok(self.parts.store.change(&tenant, &lead_key(record).id, Patience::CALLER, change).await?.0)
    }

    /// Has a worker look at a record's lead by then; `false`: there is none, or one does so before.
    pub async fn look_by(&self, workspace: WorkspaceId, record: RecordId, at: Timestamp) -> Result<bool, StoreError> {
        let change = |found: &mut Option<Versioned<Lead>>, _| match found {
            Some(lead) if lead.document.due.is_none_or(|due| due > at) => {
                Decision::Write(LeaseChange::Leave { due: Some(at) }, true)
            }
            _ => Decision::Leave(false),
        };
        let tenant = connections::tenant(workspace);
        Ok(self.parts.store.change(&tenant, &lead_key(record).id, Patience::CALLER, change).await?.0)
    }

    /// Does once more what was given up. A send goes out in its `turn` of those that are replayed together, as one of a
    /// batch does: a press beside them is shown soon.
    pub async fn replay(
        &self,
        workspace: WorkspaceId,
        record: RecordId,
        letter: LetterId,
        turn: u32,
    ) -> Result<Replayed, StoreError> {
        let tenant = connections::tenant(workspace);
        let done = |done| if done { Replayed::Done } else { Replayed::Already };
        let replayed = match letter {
            LetterId::Lead(send) => return self.send_once_more(&tenant, record, send, turn).await,
            LetterId::AttioWrite(send) => {
                self.mend(&tenant, record, |lead, now| {
                    let is_owed = lead.write_again(send);
                    if is_owed {
                        lead.keep_request("replayed", now);
                    }
                    (Some(done(is_owed)), is_owed)
                })
                .await?
            }
            LetterId::WorkflowCall(number) => {
                self.mend(&tenant, record, |lead, now| {
                    let outcome = lead.calls.given_up.iter().find(|given_up| given_up.call.number == number);
                    let outcome = outcome.and_then(|given_up| lead.outcome_of(given_up.call.send)).cloned();
                    let is_owed = lead.calls.owe_again(number, outcome.as_ref(), self.settings.deadlines.result, now);
                    if is_owed {
                        lead.keep_request("replayed", now);
                    }
                    (Some(done(is_owed)), is_owed)
                })
                .await?
            }
        };
        Ok(replayed.unwrap_or(Replayed::Already))
    }

    /// A failed send that is certainly not at ALC begins anew, as a press would have it, with the same name and number.
    async fn send_once_more(
        &self,
        tenant: &Tenant,
        record: RecordId,
        send: SendId,
        turn: u32,
    ) -> Result<Replayed, StoreError> {
        let pace = self.pace();
        let mut tries = self.parts.store.tries(tenant, Patience::CALLER);
        loop {
            let mut loaded = tries.load(&[Key::workspace(), lead_key(record)], &[]).await?;
            let (workspace, lead) = (loaded.take::<Workspace>()?, loaded.take::<Lead>()?);
            let Some(mut lead) = lead else { return Ok(Replayed::Already) };
            let person = match lead.value.may_be_sent_again(send) {
                Ok(person) => person.cloned(),
                Err(NotAgain::Over) => return Ok(Replayed::Already),
                Err(refused) => return Ok(Replayed::Refused(refused.advice())),
            };
            let workspace = workspace.filter(|found| {
                let standing =
                    found.value.current().map(|current| self.parts.connections.standing(&found.value, current.id));
                standing == Some(Standing::Current)
            });
            let Some(workspace) = workspace else { return Ok(Replayed::Refused(NOT_CONNECTED)) };
            let now = self.parts.clock.now();
            let mut next = match person {
                Some(person) => PresentSend { person: Some(person), ..PresentSend::new(SendId::random(), now) },
                None => PresentSend::by_entry(SendId::random(), now),
            };
            next.put_under(workspace.value.sending_webhook());
            let before = lead.value.clone();
            lead.value.follow_with(next, &workspace.value.triggers(), self.settings.deadlines.result);
            lead.value.read_from_memory(now);
            lead.value.keep_request("replayed", now);
            lead.value.keep_history(Some(&before), now);
            let at = Some(later(now, pace.saturating_mul(turn)));
            // What an earlier send still owes is due no later than it was.
            let due = lead.document.due.min(at).or(at);
            let write = lead.put(&lead_key(record).id, LeaseChange::Leave { due });
            let mut commit = Commit::of(vec![write]);
            // No send begins after a removal.
            commit.checks.push((Key::workspace(), workspace.version()));
            if let Committed::Done(_) = tries.commit(&commit).await? {
                Self::count_given_up(Some(&before), &lead.value);
                return Ok(Replayed::Done);
            }
        }
    }

    /// Changes a lead, and has a worker look at it now; `None`: there is no such lead.
    async fn mend<T>(
        &self,
        tenant: &Tenant,
        record: RecordId,
        mut change: impl FnMut(&mut Lead, Timestamp) -> (Option<T>, bool),
    ) -> Result<Option<T>, StoreError> {
        let change = |found: &mut Option<Versioned<Lead>>, now| {
            let Some(lead) = found else { return Decision::Leave(None) };
            match change(&mut lead.value, now) {
                (answer, true) => Decision::Write(LeaseChange::Leave { due: Some(now) }, answer),
                (answer, false) => Decision::Leave(answer),
            }
        };
        let id = lead_key(record).id;
        Ok(self.parts.store.change(tenant, &id, Patience::CALLER, change).await?.0)
    }

    /// Whether this process holds back every call to ALC, for all workspaces.
    pub fn holds_back_alc(&self) -> bool {
        self.alc_breaker.is_open()
    }

    /// This process lets calls to ALC go again.
    pub fn let_alc_through(&self) {
        self.alc_breaker.answered();
    }
}
