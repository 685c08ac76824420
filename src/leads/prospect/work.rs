//! What a worker does that holds the lease of a person whom ALC brings: it has Attio know them.

use secrecy::SecretString;

use super::{
    aggregate::{Access, EMAIL, NAME, Prospect, Step},
    resealing::logical_key,
};
use crate::{
    clock::Timestamp,
    connections::{AttioAccess, AttioRefusal, Workspace},
    ids::RecordId,
    leads::{
        lead::alc::Again,
        places::place,
        service::Leads,
        work::{leased::Pass, triage::triage},
    },
    sealing::OpenError,
    store::{
        Change, Commit, Committed, Key, Lease, LeaseChange, Leased, Patience, StoreError, Tenant, Version, Versioned,
        Write,
        gate::{GateReport, Verdict},
    },
    telemetry::{self, traces},
    upstream::CallError,
};

/// A person under way.
struct Work {
    tenant: Tenant,
    key: Key,
    prospect: Versioned<Prospect>,
    lease: Lease,
    workspace: Option<Versioned<Workspace>>,
    attio: Pass,
}

/// Why Attio has not taken a person.
enum Failure {
    /// Attio says so, or nothing, to what goes without the name.
    Call(CallError),
    /// The same, to what goes with the name.
    Named(CallError),
    /// A sealed field, or Attio's token, does not open.
    Sealed(String),
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self::Sealed(error.to_string())
    }
}

impl Leads {
    /// Takes a leased person as far as it goes now; what the reconciler calls.
    pub async fn step_prospect(&self, leased: Leased) -> Result<(), StoreError> {
        let Leased { tenant, key, document, beside, .. } = leased;
        let Some(lease) = document.lease else { return Ok(()) };
        let prospect = Versioned::<Prospect>::read(document)?;
        let mut loaded = self.stands_beside(&tenant, beside).await?;
        let [_, attio] = loaded.gates().map(Pass::of);
        let mut work = Work { tenant, key, prospect, lease, workspace: loaded.take()?, attio };
        let now = self.parts.clock.now();
        if self.parts.lifecycle.is_stopping() {
            // Another replica goes on at once.
            return self.rest(&work, now).await.map(drop);
        }
        let access = self.prospects_access(work.workspace.as_ref());
        match work.prospect.value.next_step(access, self.settings.deadlines.retention, now) {
            Step::Rest(at) => self.rest(&work, at).await.map(drop),
            Step::GiveUp => self.give_up(&work).await,
            Step::Upsert => {
                let trace = traces::step("prospect", "upsert", None);
                let outcome = trace.within(self.upsert(&mut work)).await;
                let told = outcome.as_ref().map_or("store_error", |told| told);
                telemetry::step("prospect", "upsert", told);
                trace.came_to(told);
                outcome.map(drop)
            }
        }
    }

    fn prospects_access(&self, workspace: Option<&Versioned<Workspace>>) -> Access {
        // One that the store has lost connects again; until then its people wait.
        let Some(workspace) = workspace.map(|found| &found.value) else { return Access::None };
        match (workspace.current(), workspace.disconnected_at) {
            // Also where the operator's key would do: of a workspace that has left nobody is made any more.
            (None, Some(since)) => Access::Disconnected(since),
            (None, None) => Access::None,
            (Some(_), _) => match self.parts.connections.attio_access(workspace) {
                AttioAccess::Granted => Access::Granted,
                AttioAccess::NotBefore(at) => Access::NotBefore(at),
                AttioAccess::None => Access::None,
            },
        }
    }

    /// Has Attio know the person, and hands the record over to its lead; what the step came to.
    async fn upsert(&self, work: &mut Work) -> Result<&'static str, StoreError> {
        let now = self.parts.clock.now();
        let gate = self.settings.gates.attio;
        if let Verdict::At(slot) = self.parts.store.reserve(&work.tenant, &gate, Some(&work.key), now).await? {
            return self.rest(work, slot).await.map(|_| "held_back");
        }
        let token = work.workspace.as_ref().and_then(|found| self.parts.connections.attio_token(&found.value));
        let record = match &token {
            Some(token) => self.record_of(work, token).await,
            None => Err(Failure::Sealed("Attio's token cannot be opened".to_owned())),
        };
        match (record, token) {
            (Ok(record), _) => {
                self.tell_attios_gate(work, GateReport::Recovered).await;
                self.settle_prospect(&work.tenant, &work.key, record).await?;
                Ok("done")
            }
            (Err(Failure::Call(error)), Some(token)) => self.refused(work, (&error, false), &token).await,
            (Err(Failure::Named(error)), Some(token)) => self.refused(work, (&error, true), &token).await,
            (Err(failure), _) => {
                let detail = if let Failure::Sealed(detail) = failure { detail } else { String::new() };
                tracing::error!(detail, "what is sealed of a person cannot be opened");
                self.not_taken(work, self.slowly(), false).await.map(|()| "failed")
            }
        }
    }

    /// The person's record: the one that has the address, else one that is made.
    async fn record_of(&self, work: &Work, token: &SecretString) -> Result<RecordId, Failure> {
        let (sealer, prospect) = (&self.parts.sealer, &work.prospect.value);
        let logical = logical_key(&work.tenant, &work.key.id);
        let email = sealer.open(place(&logical, EMAIL), &prospect.email)?;
        let name = prospect.name.as_ref().filter(|_| !prospect.name_refused);
        let name = name.map(|name| sealer.open(place(&logical, NAME), name)).transpose()?;
        match self.parts.attio.find_by_email(token, &email).await? {
            Some(found) if found.has_name || name.is_none() => Ok(found.record),
            _ => {
                let failure = if name.is_some() { Failure::Named } else { Failure::Call };
                self.parts.attio.assert_person(token, &email, name.as_ref()).await.map_err(failure)
            }
        }
    }

    /// Attio has not taken the person: when it is asked again. Only what had the name in it is refused for its sake.
    async fn refused(
        &self,
        work: &mut Work,
        (error, sent_name): (&CallError, bool),
        token: &SecretString,
    ) -> Result<&'static str, StoreError> {
        let failures = work.prospect.value.failures;
        let judged = triage(error);
        let by_schedule = judged.again(self, failures);
        let mut refuses_name = false;
        let again = match error {
            CallError::RateLimited { .. }
            | CallError::NotSent { .. }
            | CallError::Unreadable { .. }
            | CallError::Unknown { .. }
            | CallError::Conflict { .. } => by_schedule,
            CallError::Rejected { code: Some(code), .. } if code == "merge_in_progress" => by_schedule,
            CallError::Rejected { status: 400 | 422, .. } if sent_name => {
                refuses_name = true;
                by_schedule
            }
            CallError::Unauthorized => match self.parts.connections.attio_refused(&work.tenant, token).await? {
                AttioRefusal::Key => self.slowly(),
                AttioRefusal::Stray | AttioRefusal::Ended(_) => by_schedule,
            },
            CallError::Rejected { .. } | CallError::Forbidden { .. } | CallError::NotFound | CallError::Unsupported => {
                self.slowly()
            }
        };
        self.tell_attios_gate(work, judged.report).await;
        if failures == 0 && again.failed {
            tracing::warn!(%error, "Attio does not take a person whom ALC brings, and is asked again");
        }
        self.not_taken(work, again, refuses_name).await?;
        Ok(if again.failed { "failed" } else { "put_off" })
    }

    /// Writes down that Attio has not taken the person, also where ALC has told more of them meanwhile.
    async fn not_taken(&self, work: &Work, again: Again, refuses_name: bool) -> Result<(), StoreError> {
        let mut tries = self.parts.store.tries(&work.tenant, Patience::Fact);
        let mut prospect = work.prospect.clone();
        loop {
            let mut changed = prospect.clone();
            changed.value.not_taken(again, refuses_name);
            let change = LeaseChange::End { token: work.lease.token, due: Some(again.at) };
            let mut commit = Commit::of(vec![changed.put(&work.key.id, change)]);
            commit.checks = checks(work);
            if let Committed::Done(_) = tries.commit(&commit).await? {
                return Ok(());
            }
            match tries.load(std::slice::from_ref(&work.key), &[]).await?.take::<Prospect>()? {
                Some(found) if has_lease(&found, work.lease) && found.version() != prospect.version() => {
                    prospect = found;
                }
                // The workspace has changed, and with it perhaps what was said here: the lease runs out soon.
                _ => return Ok(()),
            }
        }
    }

    /// Ends the lease, with nothing changed. Should anything have come in meanwhile, the lease runs out, and the next
    /// worker finds it.
    async fn rest(&self, work: &Work, due: Timestamp) -> Result<Committed, StoreError> {
        let change = LeaseChange::End { token: work.lease.token, due: Some(due) };
        let mut commit = Commit::of(vec![work.prospect.put(&work.key.id, change)]);
        commit.checks = checks(work);
        self.parts.store.tries(&work.tenant, Patience::Fact).commit(&commit).await
    }

    async fn give_up(&self, work: &Work) -> Result<(), StoreError> {
        let expected = Some(work.prospect.version());
        let erase = Write { key: work.key.clone(), expected, change: Change::Erase };
        let mut commit = Commit::of(vec![erase]);
        commit.checks = checks(work);
        if let Committed::Done(_) = self.parts.store.tries(&work.tenant, Patience::Fact).commit(&commit).await? {
            tracing::warn!(failures = work.prospect.value.failures, "a person whom ALC brought was given up");
            telemetry::step("prospect", "give-up", "done");
        }
        Ok(())
    }

    async fn tell_attios_gate(&self, work: &mut Work, report: GateReport) {
        self.report(&work.tenant, &self.settings.gates.attio, &mut work.attio, report).await;
    }
}

/// What must still stand for the lease to end: a connect wakes who waits for it, but passes over who is leased.
fn checks(work: &Work) -> Vec<(Key, Version)> {
    work.workspace.iter().map(|workspace| (Key::workspace(), workspace.version())).collect()
}

fn has_lease(found: &Versioned<Prospect>, lease: Lease) -> bool {
    found.document.lease.is_some_and(|stored| stored.token == lease.token)
}
