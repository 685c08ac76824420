//! The button: `POST /v1/leads`.
//!
//! Promises that nothing is sent before the intent is stored, that a record whose send is live is not sent again, and
//! that a key which was seen before never makes a second send, also while the first still runs. Three waits for the
//! store before the answer: what surrounds the lead; "attempted"; ALC's id.

use secrecy::{ExposeSecret as _, SecretString};

use super::{
    Leads, TRIES,
    answer::{name_as_asked, settled},
    lead::{Lead, LeadView},
    logical_key,
    person::{Name, PhoneNumber, canonical},
    place,
    receipt::{self, Receipt},
    send::{Person, Send},
    tell::TooManyWaiting,
    waiter::{self, Waiting},
    work::{Work, lead_key},
};
use crate::{
    clock::{Timestamp, later},
    connections::{self, Grant, Standing, Workspace},
    ids::{ConnectionId, RecordId, SendId, WorkspaceId, random_uuid},
    lifecycle,
    notify::CallbackUrl,
    sealing::Fingerprint,
    store::{
        Commit, Committed, Document, Key, Kind, Lease, LeaseChange, StoreError, Tenant, Version, Versioned,
        gate::GateView, put,
    },
};

/// A lead as the Attio app sends it, checked.
#[derive(Debug, Clone)]
pub struct NewLead {
    /// The person record.
    pub record_id: RecordId,
    /// The person's name.
    pub name: Name,
    /// The person's number.
    pub phone_number: PhoneNumber,
    /// Who is told when the send finishes.
    pub finish_callback_url: Option<CallbackUrl>,
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
    /// As many wait for the send as may.
    #[error(transparent)]
    TooManyWaiting(#[from] TooManyWaiting),
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
pub(super) struct Idempotency {
    key: Key,
    /// What the caller named; merges may have put the lead under another record.
    record: RecordId,
    body: SecretString,
}

impl Idempotency {
    /// The body is what ALC would be sent: a repeat that names another callback URL is a repeat all the same.
    pub(super) fn new(text: &str, new: &NewLead) -> Self {
        Self {
            key: Key::new(Kind::Receipt, receipt::id(text)),
            record: new.record_id,
            body: canonical(&new.name, &new.phone_number),
        }
    }
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
        let asked = new.record_id;
        let deadline = later(self.parts.clock.now(), self.settings.send_wait);
        let key = idempotency_key.map(|text| Idempotency::new(text, &new));
        // In a task of its own from the first write on: a caller that hangs up between "stored" and "posted" would
        // leave a send that was marked as begun and that nobody has begun.
        let (leads, within) = (self.clone(), tenant.clone());
        let begun = self
            .parts
            .lifecycle
            .spawn(async move { leads.begin_send(&within, connection, &new, key.as_ref(), Some(deadline)).await });
        let mut answer = match begun.await {
            Ok(Ok(Begun::Answered(accepted))) => Ok(accepted),
            Ok(Ok(Begun::Ours { record, waiting })) => self.wait(&tenant, record, waiting, deadline).await,
            Ok(Ok(Begun::Anothers { record, send })) => self.watch(&tenant, record, send, deadline).await,
            Ok(Err(refused)) => Err(refused),
            Err(error) => lifecycle::resume(error),
        };
        name_as_asked(&mut answer, asked);
        answer
    }

    /// A press that is stored and left to the reconciler.
    pub(super) async fn press(
        &self,
        tenant: &Tenant,
        connection: ConnectionId,
        new: &NewLead,
        key: Option<&Idempotency>,
    ) -> Result<Accepted, SendRefused> {
        let mut answer = match self.begin_send(tenant, connection, new, key, None).await {
            Ok(Begun::Answered(accepted)) => Ok(accepted),
            Ok(Begun::Ours { record, waiting }) => self.look_last(tenant, record, waiting.send).await,
            Ok(Begun::Anothers { record, send }) => self.look_last(tenant, record, send).await,
            Err(refused) => Err(refused),
        };
        name_as_asked(&mut answer, new.record_id);
        answer
    }

    /// With `patience` a send is worked on here and waited for until then; without, it is left to the reconciler.
    async fn begin_send(
        &self,
        tenant: &Tenant,
        connection: ConnectionId,
        new: &NewLead,
        key: Option<&Idempotency>,
        patience: Option<Timestamp>,
    ) -> Result<Begun, SendRefused> {
        let url = new.finish_callback_url.as_ref();
        let (mut record, mut forwarded) = (new.record_id, true);
        for _ in 0..TRIES {
            let now = self.parts.clock.now();
            let found = self.find_all(tenant, record, key, now).await?;
            let workspace = found.workspace.as_ref();
            let standing = workspace.map_or(Standing::Unknown, |workspace| workspace.value.standing(connection));
            // Whose token is no good learns nothing, not even what a key of the workspace has made.
            if matches!(standing, Standing::Unknown | Standing::Replaced) {
                return Err(SendRefused::Standing(standing));
            }
            if let (Some(key), Some(receipt)) = (&key, &found.receipt)
                && let Some(answer) = self.replay(key, &receipt.value, found.lead.as_ref())
            {
                let lead = found.lead.as_ref().filter(|_| !matches!(answer, Err(SendRefused::KeyReused)));
                if self.repeat(tenant, lead, receipt.value.send, url, now).await? {
                    return answer.map(Begun::Answered);
                }
                continue;
            }
            match standing {
                Standing::Current => {}
                Standing::ReauthorizationRequired => return Err(SendRefused::ReauthorizationRequired(None)),
                other => return Err(SendRefused::Standing(other)),
            }
            match &found.lead {
                Some(lead) if forwarded && let Some(next) = lead.value.next_hop() => {
                    record = next;
                    continue;
                }
                // Whoever spoke for the record is forgotten: it speaks for itself again.
                None if record != new.record_id => {
                    (record, forwarded) = (new.record_id, false);
                    continue;
                }
                _ => {}
            }
            if let Some(lead) = &found.lead
                && lead.value.send.status.is_live()
            {
                let view = lead.value.view();
                let expected = found.receipt.as_ref().map(Versioned::version);
                if self.join(tenant, lead, url, key, expected, now).await? {
                    return Ok(Begun::Answered(Accepted::Joined(view)));
                }
                continue;
            }
            if let Some(begun) = self.start(tenant, record, new, found, key, patience).await? {
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
    ) -> Option<Result<Accepted, SendRefused>> {
        let record = key.record;
        let body = key.body.expose_secret().as_bytes();
        if receipt.record_id != record || !self.parts.sealer.matches(&purpose(record), body, &receipt.body) {
            return Some(Err(SendRefused::KeyReused));
        }
        let view = lead?.value.view_of(receipt.send)?;
        Some(settled(view.clone()).unwrap_or(Ok(Accepted::Queued(view))))
    }

    /// Lets the callback URL of a repeat wait for the repeated send, or has it told again what that came to; `false` if
    /// the lead has moved.
    async fn repeat(
        &self,
        tenant: &Tenant,
        lead: Option<&Versioned<Lead>>,
        send: SendId,
        url: Option<&CallbackUrl>,
        now: Timestamp,
    ) -> Result<bool, SendRefused> {
        let (Some(lead), Some(_)) = (lead, url) else { return Ok(true) };
        let Some(view) = lead.value.view_of(send) else { return Ok(true) };
        let mut changed = lead.value.clone();
        if !self.tell_of_repeat(tenant, &mut changed, send, &view, url, now)? {
            return Ok(true);
        }
        let key = lead_key(changed.record_id);
        let write = put(&key.id, &changed, Some(lead.version()), LeaseChange::Leave { due: Some(now) });
        Ok(matches!(self.parts.store.commit(tenant, &Commit::of(vec![write]), now).await?, Committed::Done(_)))
    }

    /// Writes down who joined a live send: the callback URL that waits from now on, and the key's receipt; `false` if the
    /// lead has moved.
    async fn join(
        &self,
        tenant: &Tenant,
        lead: &Versioned<Lead>,
        url: Option<&CallbackUrl>,
        key: Option<&Idempotency>,
        expected: Option<Version>,
        now: Timestamp,
    ) -> Result<bool, SendRefused> {
        let lead_key = lead_key(lead.value.record_id);
        let mut joined = lead.value.clone();
        let waits = self.let_wait(tenant, &mut joined, url, now)?;
        let mut commit = Commit::of(Vec::new());
        if waits {
            // Looked at at once, though nothing may be due: a workspace that comes back moves due times ahead without
            // moving a version, and what was loaded would undo that.
            let change = LeaseChange::Leave { due: Some(now) };
            commit.writes.push(put(&lead_key.id, &joined, Some(lead.version()), change));
        } else {
            commit.checks.push((lead_key, lead.version()));
        }
        if let Some(key) = key {
            let receipt = self.receipt(key, lead.value.send.id, now);
            commit.writes.push(put(&key.key.id, &receipt, expected, LeaseChange::Leave { due: None }));
        }
        if commit.writes.is_empty() {
            return Ok(true);
        }
        Ok(matches!(self.parts.store.commit(tenant, &commit, now).await?, Committed::Done(_)))
    }

    fn receipt(&self, key: &Idempotency, send: SendId, now: Timestamp) -> Receipt {
        let record_id = key.record;
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

    fn prepare(
        &self,
        workspace: &Versioned<Workspace>,
        tenant: &Tenant,
        record: RecordId,
        new: &NewLead,
        now: Timestamp,
    ) -> Send {
        let logical = logical_key(tenant.as_str(), record);
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
        new: &NewLead,
        found: Found,
        key: Option<&Idempotency>,
        patience: Option<Timestamp>,
    ) -> Result<Option<Begun>, SendRefused> {
        let Found { workspace, lead: before, receipt, alc, attio } = found;
        let Some(workspace) = workspace else { return Err(SendRefused::Standing(Standing::Unknown)) };
        let now = self.parts.clock.now();
        let send = self.prepare(&workspace, tenant, record_id, new, now);
        let send_id = send.id;
        let receipt = receipt.as_ref().map(Versioned::version);
        let expected = before.as_ref().map(Versioned::version);
        let leased = before.as_ref().is_some_and(|lead| lead.document.lease.is_some());
        let mut back = None;
        let mut lead = match before {
            Some(before) => {
                let mut lead = before.value;
                if lead.forwarding {
                    back = self.moved_to_end(tenant, &mut lead, now).await?;
                }
                // What is owed of the last send is kept, also if nobody has come to write it down.
                let triggers = workspace.value.triggers();
                let triggers = triggers.iter().map(|(activation, since)| (activation.as_str(), *since));
                lead.note_end(triggers, self.settings.deadlines.result);
                lead.send_again(send);
                lead
            }
            None => Lead::new(record_id, send),
        };
        self.let_wait(tenant, &mut lead, new.finish_callback_url.as_ref(), now)?;
        // A lease that another holds is left to it: it reloads and goes on with this send.
        let lease = (patience.is_some() && !leased && !self.parts.lifecycle.is_stopping())
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
            lead.send.waited_until = patience;
        }
        let change = lease.map_or(LeaseChange::Leave { due: Some(now) }, LeaseChange::Take);
        let lead_key = lead_key(record_id);
        let mut writes = vec![put(&lead_key.id, &lead, expected, change)];
        writes.extend(back);
        if let Some(key) = key {
            let made = self.receipt(key, send_id, now);
            // One that is there is of a send that has been forgotten since.
            writes.push(put(&key.key.id, &made, receipt, LeaseChange::Leave { due: None }));
        }
        let mut commit = Commit::of(writes);
        commit.checks.push((Key::workspace(), workspace.version()));
        // Repeated under its id while the caller waits: 503 says that nothing was stored.
        let wait = self.settings.send_wait;
        let committed = self.parts.store.commit_patiently(tenant, &commit, &self.parts.clock, wait).await?;
        if !matches!(committed, Committed::Done(_)) {
            return Ok(None);
        }
        if patience.is_none() {
            return Ok(Some(Begun::Answered(Accepted::Queued(lead.view()))));
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
}

/// What a receipt's fingerprint is bound to besides name and number.
fn purpose(record: RecordId) -> String {
    format!("receipt/{record}")
}
