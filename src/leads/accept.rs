//! The button: `POST /v1/leads`.
//!
//! Promises that nothing is sent before the intent is stored, that a record whose send is live is not sent again, and
//! that a key which was seen before never makes a second send, also while the first still runs. Three waits for the
//! store before the answer: what surrounds the lead; "attempted"; ALC's id.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use super::{
    Leads,
    lead::{Lead, LeadView},
    logical_key,
    person::{Name, PhoneNumber, canonical},
    place,
    receipt::{self, Receipt},
    send::{Person, Send, Status},
    waiter::{self, Waiting},
    work::{Work, lead_key},
};
use crate::{
    clock::{Timestamp, later},
    connections::{self, Grant, Standing, Workspace},
    ids::{ConnectionId, RecordId, SendId, WorkspaceId, random_uuid},
    sealing::Fingerprint,
    store::{
        Commit, Committed, Document, Key, Kind, Lease, LeaseChange, StoreError, Tenant, Version, Versioned,
        gate::GateView, put,
    },
};

/// Conflicts in a row before giving up: each means that somebody else got ahead.
const TRIES: u32 = 50;
/// How often a send that somebody else works on is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long a refusal that is being written down is waited for, past `SEND_WAIT`.
const REFUSAL_GRACE: Duration = Duration::from_secs(10);

/// A lead as the Attio app sends it, checked.
#[derive(Debug, Clone)]
pub struct NewLead {
    /// The person record.
    pub record_id: RecordId,
    /// The person's name.
    pub name: Name,
    /// The person's number.
    pub phone_number: PhoneNumber,
}

/// What became of a press.
#[derive(Debug, Clone)]
pub enum Accepted {
    /// ALC has it: 201.
    Sent(LeadView),
    /// It goes on in the background: 202.
    Queued(LeadView),
    /// The record's present send is live: 200, nothing was sent.
    Joined(LeadView),
}

/// Why a press did not lead to a send.
#[derive(Debug, thiserror::Error)]
pub enum SendRefused {
    /// ALC refuses the lead for good.
    #[error("ALC refuses the lead")]
    Rejected(LeadView),
    /// ALC's grant is dead; with the lead if it was stored.
    #[error("ALC has to be connected again")]
    ReauthorizationRequired(Option<LeadView>),
    /// The token's connection may not send.
    #[error("the connection is {0:?}")]
    Standing(Standing),
    /// The key came with another body before.
    #[error("the idempotency key was used with another body")]
    KeyReused,
    /// The store cannot take it. Nothing was sent.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What was found, before anything is decided.
struct Found {
    workspace: Option<Versioned<Workspace>>,
    lead: Option<Versioned<Lead>>,
    receipt: Option<Versioned<Receipt>>,
    alc: GateView,
    attio: GateView,
}

/// How far a press has come when its handler begins to wait.
enum Begun {
    /// There is nothing to wait for.
    Answered(Accepted),
    /// A task of ours takes the steps.
    Ours { record: RecordId, waiting: Waiting },
    /// Another worker has the lead in hand and goes on with this send.
    Anothers { record: RecordId, send: SendId },
}

/// The caller's key, if there is one.
#[derive(Clone)]
struct Idempotency {
    key: Key,
    body: SecretString,
}

impl Leads {
    /// Sends a lead to ALC, or says why not.
    pub async fn send(
        &self,
        workspace: WorkspaceId,
        connection: ConnectionId,
        new: NewLead,
        idempotency_key: Option<&str>,
    ) -> Result<Accepted, SendRefused> {
        let tenant = connections::tenant(workspace);
        let deadline = later(self.parts.clock.now(), self.settings.send_wait);
        let key = idempotency_key.map(|text| Idempotency {
            key: Key::new(Kind::Receipt, receipt::id(text)),
            body: canonical(&new.name, &new.phone_number),
        });
        // In a task of its own from the first write on: a caller that hangs up between "stored" and "posted" would
        // leave a send that was marked as begun and that nobody has begun.
        let (leads, within) = (self.clone(), tenant.clone());
        let begun =
            self.parts.lifecycle.spawn(async move { leads.begin_send(&within, connection, new, key, deadline).await });
        let begun = begun.await.map_err(|_| StoreError::Unavailable("the send's task has ended".to_owned()))?;
        match begun? {
            Begun::Answered(accepted) => Ok(accepted),
            Begun::Ours { record, waiting } => self.wait(&tenant, record, waiting, deadline).await,
            Begun::Anothers { record, send } => self.watch(&tenant, record, send, deadline).await,
        }
    }

    async fn begin_send(
        &self,
        tenant: &Tenant,
        connection: ConnectionId,
        new: NewLead,
        key: Option<Idempotency>,
        deadline: Timestamp,
    ) -> Result<Begun, SendRefused> {
        for _ in 0..TRIES {
            let now = self.parts.clock.now();
            let found = self.find_all(tenant, new.record_id, key.as_ref(), now).await?;
            let workspace = found.workspace.as_ref();
            let standing = workspace.map_or(Standing::Unknown, |workspace| workspace.value.standing(connection));
            // Whose token is no good learns nothing, not even what a key of the workspace has made.
            if matches!(standing, Standing::Unknown | Standing::Replaced) {
                return Err(SendRefused::Standing(standing));
            }
            if let (Some(key), Some(receipt)) = (&key, &found.receipt)
                && let Some(answer) = self.replay(key, &receipt.value, found.lead.as_ref(), new.record_id)
            {
                return answer.map(Begun::Answered);
            }
            let workspace = match (standing, workspace) {
                (Standing::Current, Some(workspace)) => workspace,
                (Standing::ReauthorizationRequired, _) => return Err(SendRefused::ReauthorizationRequired(None)),
                (other, _) => return Err(SendRefused::Standing(other)),
            };
            if let Some(lead) = &found.lead
                && lead.value.send.status.is_live()
            {
                let view = lead.value.view();
                let expected = found.receipt.as_ref().map(Versioned::version);
                if self.join(tenant, lead, key.as_ref(), expected, now).await? {
                    return Ok(Begun::Answered(Accepted::Joined(view)));
                }
                continue;
            }
            let send = self.prepare(workspace, tenant, &new, now);
            if let Some(begun) = self.start(tenant, new.record_id, found, send, key.as_ref(), deadline).await? {
                return Ok(begun);
            }
        }
        Err(StoreError::Unavailable("too many conflicts on one lead".to_owned()).into())
    }

    async fn find_all(
        &self,
        tenant: &Tenant,
        record: RecordId,
        key: Option<&Idempotency>,
        now: Timestamp,
    ) -> Result<Found, StoreError> {
        let mut keys = vec![Key::workspace(), lead_key(record)];
        keys.extend(key.map(|key| key.key.clone()));
        let loaded = self.parts.store.load(tenant, &keys, &self.gates(), now).await?;
        let mut documents = loaded.documents.into_iter();
        let mut next = || documents.next().flatten();
        Ok(Found {
            workspace: next().map(Versioned::read).transpose()?,
            lead: next().map(Versioned::read).transpose()?,
            receipt: next()
                .map(Versioned::<Receipt>::read)
                .transpose()?
                .filter(|receipt| receipt.value.expires_at > now),
            alc: loaded.gates.first().copied().unwrap_or_default(),
            attio: loaded.gates.get(1).copied().unwrap_or_default(),
        })
    }

    /// The answer to a key that was seen before; `None` if its send is forgotten.
    fn replay(
        &self,
        key: &Idempotency,
        receipt: &Receipt,
        lead: Option<&Versioned<Lead>>,
        record: RecordId,
    ) -> Option<Result<Accepted, SendRefused>> {
        let body = key.body.expose_secret().as_bytes();
        if receipt.record_id != record || !self.parts.sealer.matches(&purpose(record), body, &receipt.body) {
            return Some(Err(SendRefused::KeyReused));
        }
        let view = lead?.value.view_of(receipt.send)?;
        Some(match (view.status, view.reason) {
            (Status::Queued, _) => Ok(Accepted::Queued(view)),
            (Status::Failed, Some(super::Reason::Rejected)) => Err(SendRefused::Rejected(view)),
            _ => Ok(Accepted::Sent(view)),
        })
    }

    /// Writes the receipt of a press that joined a live send; `false` if the lead has moved.
    async fn join(
        &self,
        tenant: &Tenant,
        lead: &Versioned<Lead>,
        key: Option<&Idempotency>,
        expected: Option<Version>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let Some(key) = key else { return Ok(true) };
        let receipt = self.receipt(key, lead.value.send.id, lead.value.record_id, now);
        let mut commit = Commit::of(vec![put(&key.key.id, &receipt, expected, LeaseChange::Leave { due: None })]);
        commit.checks.push((lead_key(lead.value.record_id), lead.version()));
        Ok(matches!(self.parts.store.commit(tenant, &commit, now).await?, Committed::Done(_)))
    }

    fn receipt(&self, key: &Idempotency, send: SendId, record_id: RecordId, now: Timestamp) -> Receipt {
        let body: Fingerprint = self.parts.sealer.fingerprint(&purpose(record_id), key.body.expose_secret().as_bytes());
        Receipt {
            send,
            record_id,
            body,
            created_at: now,
            expires_at: later(now, receipt::REMEMBERED_FOR),
            extra: serde_json::Map::new(),
        }
    }

    fn prepare(&self, workspace: &Versioned<Workspace>, tenant: &Tenant, new: &NewLead, now: Timestamp) -> Send {
        let logical = logical_key(tenant.as_str(), new.record_id);
        let seal = |field, value| self.parts.sealer.seal(place(&logical, field), value);
        Send {
            connection: workspace.value.current().map(|current| current.id),
            webhook: workspace.value.sending_webhook(),
            person: Some(Person {
                name: seal("name", new.name.as_secret()),
                phone_number: seal("phone_number", new.phone_number.as_secret()),
            }),
            ..Send::new(SendId::random(), now)
        }
    }

    /// Stores the intent and lets it run; `None` on a conflict.
    async fn start(
        &self,
        tenant: &Tenant,
        record_id: RecordId,
        found: Found,
        send: Send,
        key: Option<&Idempotency>,
        deadline: Timestamp,
    ) -> Result<Option<Begun>, SendRefused> {
        let Found { workspace, lead: before, receipt, alc, attio } = found;
        let Some(workspace) = workspace else { return Err(SendRefused::Standing(Standing::Unknown)) };
        let now = self.parts.clock.now();
        let send_id = send.id;
        let receipt = receipt.as_ref().map(Versioned::version);
        let expected = before.as_ref().map(Versioned::version);
        let leased = before.as_ref().is_some_and(|lead| lead.document.lease.is_some());
        let mut lead = match before {
            Some(before) => {
                let mut lead = before.value;
                lead.send_again(send);
                lead
            }
            None => Lead::new(record_id, send),
        };
        // A lease that another holds is left to it: it reloads and goes on with this send.
        let lease = (!leased && !self.parts.lifecycle.is_stopping())
            .then(|| Lease { token: random_uuid(), until: later(now, self.lease_duration()) });
        let grant = match lease {
            Some(_) if alc.closed_until.is_none() && !lead.has_unlearnt_earlier_send() => {
                self.parts.connections.fresh_grant(&workspace.value, now)
            }
            _ => None,
        };
        if grant.is_some() {
            lead.begin(now);
        }
        if lease.is_none() {
            lead.send.waited_until = Some(deadline);
        }
        let change = lease.map_or(LeaseChange::Leave { due: Some(now) }, LeaseChange::Take);
        let lead_key = lead_key(record_id);
        let mut writes = vec![put(&lead_key.id, &lead, expected, change)];
        if let Some(key) = key {
            let made = self.receipt(key, send_id, record_id, now);
            // One that is there is of a send that has been forgotten since.
            writes.push(put(&key.key.id, &made, receipt, LeaseChange::Leave { due: None }));
        }
        let mut commit = Commit::of(writes);
        commit.checks.push((Key::workspace(), workspace.version()));
        // Repeated under its id while the caller waits: 503 says that nothing was stored.
        let patience = self.settings.send_wait;
        let committed = self.parts.store.commit_patiently(tenant, &commit, &self.parts.clock, patience).await?;
        if !matches!(committed, Committed::Done(_)) {
            return Ok(None);
        }
        let Some(lease) = lease else {
            return Ok(Some(Begun::Anothers { record: record_id, send: send_id }));
        };
        let (waiter, waiting) = waiter::pair(send_id);
        let document = Document {
            body: String::new(),
            version: expected.unwrap_or(0) + 1,
            status: lead.send.status.name().to_owned(),
            created_at: lead.send.created_at,
            due: None,
            lease: Some(lease),
            slot: None,
        };
        let lead = Versioned { value: lead, document };
        let mut work = Work::new(tenant.clone(), lead_key, lead, Some(workspace), [alc, attio]);
        work.waiter = Some(waiter);
        work.publish();
        self.go_on_behind(work, grant);
        Ok(Some(Begun::Ours { record: record_id, waiting }))
    }

    /// Takes the steps in a task of its own: neither `SEND_WAIT` nor a caller that hangs up cancels a request under way.
    fn go_on_behind(&self, mut work: Work, grant: Option<Grant>) {
        let leads = self.clone();
        self.parts.lifecycle.spawn(async move {
            let result = async {
                if let Some(grant) = grant {
                    leads.post_in_time(&mut work, grant).await?;
                }
                leads.run(work).await
            };
            if let Err(error) = result.await {
                // The lease runs out, and whoever takes it over finds out.
                tracing::warn!(%error, "a send was left to the next holder of its lease");
            }
        });
    }

    async fn wait(
        &self,
        tenant: &Tenant,
        record: RecordId,
        mut waiting: Waiting,
        deadline: Timestamp,
    ) -> Result<Accepted, SendRefused> {
        let mut timeout = self.parts.clock.sleep_until(deadline);
        let mut granted = false;
        loop {
            let progress = waiting.progress.borrow_and_update().clone();
            if let Some(lead) = progress.lead {
                if let Some(answer) = settled(lead.clone()) {
                    return answer;
                }
                if progress.reauthorization {
                    return Err(SendRefused::ReauthorizationRequired(Some(lead)));
                }
                if progress.ended {
                    return Ok(Accepted::Queued(lead));
                }
            }
            tokio::select! {
                changed = waiting.progress.changed() => if changed.is_err() && !waiting.progress.borrow().ended {
                    return Err(StoreError::Unavailable("the send was left to another worker".to_owned()).into());
                },
                () = &mut timeout => {
                    if granted || waiting.give_up() {
                        // A callback may have come in while the request is under way: the store knows.
                        return self.look_last(tenant, record, waiting.send).await;
                    }
                    // A refusal is being written down: the caller is who is told.
                    granted = true;
                    timeout = self.parts.clock.sleep_until(later(deadline, REFUSAL_GRACE));
                }
            }
        }
    }

    /// The answer at the end of the wait: from the state as it is now.
    async fn look_last(&self, tenant: &Tenant, record: RecordId, send: SendId) -> Result<Accepted, SendRefused> {
        let (view, _) = self.look(tenant, record, send).await?;
        settled(view.clone()).unwrap_or(Ok(Accepted::Queued(view)))
    }

    /// The send as it is now, and whether ALC's grant is dead.
    async fn look(&self, tenant: &Tenant, record: RecordId, send: SendId) -> Result<(LeadView, bool), StoreError> {
        let keys = [Key::workspace(), lead_key(record)];
        let loaded = self.parts.store.load(tenant, &keys, &[], self.parts.clock.now()).await?;
        let [workspace, lead] = super::two(loaded.documents);
        let workspace = workspace.map(Versioned::<Workspace>::read).transpose()?;
        let current = workspace.as_ref().and_then(|workspace| workspace.value.current());
        let dead = current.is_some_and(connections::Connection::needs_reauthorization);
        let lead = lead.map(Versioned::<Lead>::read).transpose()?;
        let view = lead.and_then(|lead| lead.value.view_of(send));
        view.map(|view| (view, dead)).ok_or_else(|| StoreError::Unavailable("the lead was erased meanwhile".to_owned()))
    }

    /// Waits for a send that another worker has in hand, by looking at it.
    async fn watch(
        &self,
        tenant: &Tenant,
        record: RecordId,
        send: SendId,
        deadline: Timestamp,
    ) -> Result<Accepted, SendRefused> {
        loop {
            let (view, dead) = self.look(tenant, record, send).await?;
            if let Some(answer) = settled(view.clone()) {
                return answer;
            }
            if dead {
                return Err(SendRefused::ReauthorizationRequired(Some(view)));
            }
            if self.parts.clock.now() >= deadline {
                return Ok(Accepted::Queued(view));
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.parts.clock.sleep_until(deadline) => {}
            }
        }
    }
}

/// The answer once a send is no longer queued.
fn settled(view: LeadView) -> Option<Result<Accepted, SendRefused>> {
    match (view.status, view.reason) {
        (Status::Queued, _) => None,
        (Status::Failed, Some(super::Reason::Rejected)) => Some(Err(SendRefused::Rejected(view))),
        _ => Some(Ok(Accepted::Sent(view))),
    }
}

/// What a receipt's fingerprint is bound to besides name and number.
fn purpose(record: RecordId) -> String {
    format!("receipt/{record}")
}
