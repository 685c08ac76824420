//! What a press writes: a commit for a repeat, for joining a live send, and for a send that begins.

use uuid::Uuid;

use super::{
    answer::{NewLead, SendRefused},
    decide::{Course, Pressed, course},
    find::Situation,
    receipt::Idempotency,
};
use crate::{
    clock::{Timestamp, later},
    connections::{Grant, Standing, Workspace},
    ids::{RecordId, SendId, random_uuid},
    leads::{
        lead::{
            aggregate::Lead,
            alc::{Again, PostAttempt},
            send::{PresentSend, SealedPerson},
        },
        places::{logical_key, place},
        service::{Leads, lead_key},
    },
    notify::CallbackUrl,
    store::{
        Commit, Committed, Decision, Key, Lease, LeaseChange, Patience, StoreError, Tenant, Tries, Versioned, Write,
        gate::GateView,
    },
    telemetry::traces,
};

/// A send that has been stored.
pub(super) struct Stored {
    pub(super) lead: Versioned<Lead>,
    pub(super) workspace: Versioned<Workspace>,
    pub(super) gates: [GateView; 2],
    pub(super) course: Course,
    /// With which the first attempt is to be made at once: it is marked as begun.
    pub(super) grant: Option<Grant>,
}

impl Leads {
    /// Lets the callback URL of a repeat wait for the repeated send, or has it told again what that came to; `false` if
    /// the lead has moved.
    pub(super) async fn store_repeat(
        &self,
        tenant: &Tenant,
        tries: &mut Tries<'_>,
        found: &Situation,
        send: SendId,
        url: Option<&CallbackUrl>,
    ) -> Result<bool, SendRefused> {
        let now = self.parts.store.now();
        let Some(mut lead) = found.lead_of(send).cloned() else { return Ok(true) };
        let before = lead.value.clone();
        if !self.tell_of_repeat(tenant, &mut lead.value, send, url, now)? {
            return Ok(true);
        }
        lead.value.keep_history(Some(&before), now);
        let write = lead.put(&lead_key(lead.value.record_id).id, LeaseChange::Leave { due: Some(now) });
        Ok(matches!(tries.commit(&Commit::of(vec![write])).await?, Committed::Done(_)))
    }

    /// Writes down what joins a live send: the callback URL that waits from now on, name and number where Attio has yet
    /// to say them, and the key's receipt; `false` if the lead has moved.
    pub(super) async fn store_joining(
        &self,
        tenant: &Tenant,
        tries: &mut Tries<'_>,
        found: &Situation,
        new: &NewLead,
        receipt: Option<Write>,
    ) -> Result<bool, SendRefused> {
        let Some(mut lead) = found.lead.clone() else { return Ok(false) };
        let now = self.parts.store.now();
        let lead_key = lead_key(lead.value.record_id);
        let mut commit = Commit::of(Vec::new());
        let before = lead.value.clone();
        let record = lead.value.record_id;
        let is_told = lead.value.person_told(|| self.seal_person(tenant, record, new), now);
        if is_told {
            // Nobody is named to a workspace that has been removed meanwhile.
            commit.checks.extend(found.workspace.as_ref().map(|found| (Key::workspace(), found.version())));
        }
        if self.let_wait(tenant, &mut lead.value, new.finish_callback_url.as_ref(), now)? || is_told {
            lead.value.keep_history(Some(&before), now);
            // Looked at at once, though nothing may be due: a workspace that comes back moves due times ahead without
            // moving a version, and what was loaded would undo that.
            let change = LeaseChange::Leave { due: Some(now) };
            commit.writes.push(lead.put(&lead_key.id, change));
        } else {
            commit.checks.push((lead_key, lead.version()));
        }
        commit.writes.extend(receipt);
        if commit.writes.is_empty() {
            return Ok(true);
        }
        Ok(matches!(tries.commit(&commit).await?, Committed::Done(_)))
    }

    /// Stores the intent of a send; `None` on a conflict.
    pub(super) async fn store_send(
        &self,
        tenant: &Tenant,
        tries: &mut Tries<'_>,
        new: &NewLead,
        found: Situation,
        (key, pressed): (Option<&Idempotency>, Pressed),
    ) -> Result<Option<Stored>, SendRefused> {
        let Situation { workspace, lead: before, receipt, gates, .. } = found;
        let Some(workspace) = workspace else { return Err(SendRefused::Standing(Standing::Unknown)) };
        let now = self.parts.clock.now();
        let leased = before.as_ref().is_some_and(|lead| lead.document.lease.is_some());
        let record = before.as_ref().map_or(new.record_id, |lead| lead.value.record_id);
        let send = self.prepare(&workspace.value, tenant, record, new, now);
        let last = before.as_ref().map(|before| before.value.clone());
        let (mut lead, back) = match before {
            Some(mut lead) => {
                let back = if lead.value.forwarding { self.move_to_end(tenant, &mut lead, now).await? } else { None };
                lead.value.follow_with(send, &workspace.value.triggers(), self.settings.deadlines.result);
                (lead, back)
            }
            None => (Versioned::new(Lead::new(record, send)), None),
        };
        self.let_wait(tenant, &mut lead.value, new.finish_callback_url.as_ref(), now)?;
        lead.value.keep_history(last.as_deref(), now);
        // A lease that another worker holds is left to it: it reloads and goes on with this send.
        let course = course(pressed, leased, self.parts.lifecycle.is_stopping());
        let grant = self.grant_to_begin_with(course, &lead.value, &workspace.value, gates, now);
        if grant.is_some() {
            lead.value.begin(now);
        }
        lead.value.send.waited_until = match pressed {
            Pressed::Alone { until } => Some(until),
            Pressed::InABatch { .. } => None,
        };
        let change = match course {
            Course::Here => LeaseChange::Take(Lease { token: random_uuid(), until: later(now, self.lease_duration()) }),
            Course::WithItsWorker => LeaseChange::Leave { due: Some(now) },
            // What an earlier send still owes is due no later than it was.
            Course::WithTheReconciler { at } => {
                LeaseChange::Leave { due: lead.document.due.min(Some(at)).or(Some(at)) }
            }
        };
        let id = lead_key(record).id;
        let mut commit = Commit::of(vec![lead.put(&id, change)]);
        commit.begins = true;
        commit.writes.extend(back);
        let receipt = receipt.as_ref().map(Versioned::version);
        commit.writes.extend(key.map(|key| self.receipt(key, lead.value.send.outcome.id, receipt, now)));
        commit.checks.push((Key::workspace(), workspace.version()));
        // Repeated under its id while the caller waits: 503 says that nothing was stored.
        match tries.commit(&commit).await {
            Ok(Committed::Done(_)) => Self::count_given_up(last.as_deref(), &lead.value),
            Ok(Committed::Conflict) => return Ok(None),
            Err(error) => {
                // A full store has answered: nothing is stored.
                if let (LeaseChange::Take(lease), false) = (change, matches!(error, StoreError::Full)) {
                    self.never_posted(tenant, record, lead.value.attempt(), lease, commit.id);
                }
                return Err(error.into());
            }
        }
        lead.written(&id, &commit);
        Ok(Some(Stored { lead, workspace, gates, course, grant }))
    }

    /// The store did not say whether it has the send. If it does have it, no worker has its lease; and if it is marked
    /// as begun, no attempt was made all the same, which only this process knows: else an ALC that cannot be asked
    /// would be taken to have it.
    ///
    /// `stored_by` may still be on its way. An empty commit under the same id goes ahead of it: what arrives after that
    /// is a repeat without an effect, and what is stored by then can be seen.
    fn never_posted(&self, tenant: &Tenant, record: RecordId, attempt: PostAttempt, lease: Lease, stored_by: Uuid) {
        let (leads, tenant) = (self.clone(), tenant.clone());
        let learnt = self.in_hand.learn(&tenant, &lead_key(record));
        self.parts.lifecycle.spawn(async move {
            let tell = |found: &mut Option<Versioned<Lead>>, now| {
                let Some(lead) = found else { return Decision::Leave(()) };
                let is_ours = lead.document.lease.is_some_and(|stored| stored.token == lease.token);
                // By its attempt, not by its lease: that may have run out during an outage, and been put back.
                let is_marked = lead.value.is_under_way(attempt);
                if is_marked {
                    lead.value.not_sent(attempt, Again::failed(now), None, now);
                }
                let (token, due) = (lease.token, Some(now));
                match (is_ours, is_marked) {
                    // Also of a send that was not begun: no worker has its lease.
                    (true, _) => Decision::Write(LeaseChange::End { token, due }, ()),
                    (false, true) => Decision::Write(LeaseChange::Leave { due }, ()),
                    (false, false) => Decision::Leave(()),
                }
            };
            let empty = Commit { id: stored_by, ..Commit::of(Vec::new()) };
            let told = async {
                let store = &leads.parts.store;
                let _: Committed = store.tries(&tenant, Patience::Fact).commit(&empty).await?;
                store.change(&tenant, &lead_key(record).id, Patience::Fact, tell).await
            };
            let told = told.await;
            drop(learnt);
            if let Err(error) = told {
                tracing::warn!(%error, "a send that was not posted is left to the next holder of its lease");
            }
        });
    }

    /// The token with which the first attempt is made at once, if there is one and nothing stands in the way.
    fn grant_to_begin_with(
        &self,
        course: Course,
        lead: &Lead,
        workspace: &Workspace,
        [alc, _]: [GateView; 2],
        now: Timestamp,
    ) -> Option<Grant> {
        let is_open = alc.closed_until.is_none() && !self.alc_breaker.is_open();
        let may_begin = course == Course::Here && is_open && !lead.has_unlearnt_earlier_send();
        if may_begin { self.parts.connections.fresh_grant(workspace, now) } else { None }
    }

    /// The send of a press, with name and number sealed.
    fn prepare(
        &self,
        workspace: &Workspace,
        tenant: &Tenant,
        record: RecordId,
        new: &NewLead,
        now: Timestamp,
    ) -> PresentSend {
        let mut send = PresentSend::new(SendId::random(), now);
        send.trace = traces::to_keep();
        send.put_under(workspace.sending_webhook());
        send.person = Some(self.seal_person(tenant, record, new));
        send
    }

    /// Name and number of a press, for the lead of that record.
    fn seal_person(&self, tenant: &Tenant, record: RecordId, new: &NewLead) -> SealedPerson {
        let logical = logical_key(tenant, record);
        let seal = |field, value| self.parts.sealer.seal(place(&logical, field), value);
        SealedPerson {
            name: seal("name", new.name.as_secret()),
            phone_number: seal("phone_number", new.phone_number.as_secret()),
            extra: serde_json::Map::new(),
        }
    }
}
