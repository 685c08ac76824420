//! Our own leads that wait for ALC's result: each is asked for by its own step, now, and what came of that is counted.

use std::time::Duration;

use serde_json::Map;

use super::{
    run::{Asked, End, Why},
    step::SyncWork,
};
use crate::{
    clock::later,
    leads::{
        lead::{aggregate::Lead, outcome::Status},
        service::{Leads, lead_key},
    },
    store::{Cursor, LeaseChange, StoreError, Versioned},
};

/// Leads that are asked for together.
const AT_ONCE: usize = 20;
/// ALC talks to a person for a while: no result can be missing before that.
const WORTH_ASKING_AFTER: Duration = Duration::from_secs(5 * 60);
/// The first wait for what the asking came to; each further one is twice as long.
const FIRST_LOOK: Duration = Duration::from_secs(2);

impl Leads {
    /// Has the next of our leads ask ALC, in their turns.
    pub(super) async fn ask_of_leads(&self, work: &mut SyncWork) -> Result<(), StoreError> {
        let may_be_asked = self.parts.alc.may_find_leads() || self.parts.alc.may_get_leads();
        if work.run.value.is_last || !may_be_asked {
            return self.end_sync(work, End::Done).await;
        }
        let now = self.parts.clock.now();
        let cursor = work.run.value.cursor.as_deref().and_then(|cursor| cursor.parse::<Cursor>().ok());
        let page = self.parts.store.page(&work.tenant, &[Status::Pending.name()], cursor.as_ref(), AT_ONCE).await?;
        let next = page.next.as_ref().map(ToString::to_string);
        let (mut asked, mut writes, mut turn) = (Vec::new(), Vec::new(), now);
        let leads = page.read_but::<Lead>(|key, error| {
            tracing::warn!(record = key.id, %error, "a full sync leaves a lead alone");
            key.id.parse().ok().into_iter().for_each(|record| work.run.value.leave(record, Why::Unreadable));
        });
        for (key, mut lead) in leads {
            if !lead.value.is_worth_asking(WORTH_ASKING_AFTER, now) {
                continue;
            }
            turn = later(turn, self.sync_pace());
            let (send, polls) = (lead.value.send.outcome.id, lead.value.send.polls);
            if lead.value.ask_by(turn) {
                // What else is due of it is due no later than it was.
                let due = lead.document.due.map_or(turn, |due| due.min(turn));
                writes.push(lead.put(&key.id, LeaseChange::Leave { due: Some(due) }));
                asked.push(Asked { record: lead.value.record_id, send, polls, extra: Map::new() });
            }
        }
        let first_look = if asked.is_empty() { self.sync_turn(1) } else { later(turn, FIRST_LOOK) };
        work.run.value.ask(asked, next);
        self.put_sync(work, writes, first_look).await
    }

    /// Counts what ALC has told since.
    pub(super) async fn look_at_asked(&self, work: &mut SyncWork) -> Result<(), StoreError> {
        let keys: Vec<_> = work.run.value.asked.iter().map(|asked| lead_key(asked.record)).collect();
        let mut loaded = self.parts.store.load(&work.tenant, &keys, &[], self.parts.store.now()).await?;
        let (mut results, mut silent, mut unreadable) = (0, Vec::new(), Vec::new());
        for asked in &work.run.value.asked {
            let lead: Option<Versioned<Lead>> = match loaded.take() {
                Err(error) if error.is_unreadable() => {
                    tracing::warn!(record = %asked.record, %error, "a full sync leaves a lead alone");
                    unreadable.push(asked.record);
                    continue;
                }
                lead => lead?,
            };
            let Some(send) = lead.map(|lead| lead.value.send).filter(|send| send.outcome.id == asked.send) else {
                continue;
            };
            match send.outcome.status {
                Status::Complete => results += 1,
                Status::Pending if send.polls == asked.polls => silent.push(asked.clone()),
                Status::Queued | Status::Pending | Status::Failed => {}
            }
        }
        work.run.value.looked(results, silent);
        unreadable.into_iter().for_each(|record| work.run.value.leave(record, Why::Unreadable));
        let wait = match work.run.value.asked.is_empty() {
            true => self.sync_pace(),
            false => FIRST_LOOK * 2u32.saturating_pow(work.run.value.looks),
        };
        self.put_sync(work, Vec::new(), later(self.parts.clock.now(), wait)).await
    }
}
