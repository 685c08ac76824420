//! What the store keeps of an attempt: that its state was used and, until the client has redeemed our code, the tokens
//! that ALC and Attio granted.
//!
//! Promises that of all callbacks with a state, on all replicas, one takes it; and that tokens which wait here end up
//! in a connection or are given back: when the browser does not come back in time, when the second consent fails, when
//! the process that was connecting is gone, and when the client does not redeem the code. Its aggregate is of
//! [`Kind::Attempt`], its tenant the state itself.

mod answer;
mod redeem;
mod resealing;
#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub(super) use self::answer::{Answer, Found};
pub use self::resealing::examine;
use super::{
    Authorization,
    attempt::{Provider, StateFault, place},
};
use crate::{
    alc::oauth::Tokens,
    clock::{later, until},
    connections::{Code, Granted},
    ids::WorkspaceId,
    sealing::{OpenError, Place, Sealed},
    store::{
        Aggregate, Change, Commit, Committed, Kind, LeaseChange, Leased, Patience, StoreError, Tenant, Versioned, Write,
    },
};

/// How long after its expiry a used state is remembered: more than replicas' clocks may disagree, which all follow the
/// store's. Not longer: every attempt leaves a mark, and a browser may begin as many as it likes.
const MARGIN: Duration = Duration::from_secs(60);
/// A callback gets from the tokens to a code in far less, a code is good for a minute, and its redemption takes
/// seconds; after that the process at it is gone, or the client never came.
const TAKEN_AT_MOST: Duration = Duration::from_secs(5 * 60);
/// The first wait after a token could not be given back; it doubles.
const GIVE_BACK_AGAIN: Duration = Duration::from_secs(60);
/// The longest.
const LONGEST_WAIT: Duration = Duration::from_secs(2 * 60 * 60);
/// How long giving back is tried.
const GIVE_BACK_LIMIT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// An attempt in the store.
#[derive(Serialize, Deserialize)]
pub(super) struct Kept {
    /// When the state was taken or, while it waits, made.
    used_at: Timestamp,
    /// From then on its cookie has expired by every replica's clock, and the mark may go.
    forget_at: Timestamp,
    #[serde(default)]
    held: Option<Held>,
    /// What the browser was answered, for a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) answer: Option<Answer>,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

/// Tokens that are in no connection yet.
#[derive(Serialize, Deserialize)]
struct Held {
    phase: Phase,
    /// The workspace that the tokens are for, once Attio has named it: what a connection of it lives on is not given
    /// back.
    #[serde(default)]
    workspace: Option<WorkspaceId>,
    /// When the reconciler sees to them: the browser did not come back, the process that took them is gone, or giving
    /// them back failed.
    due_at: Timestamp,
    /// When ALC was asked for its tokens.
    asked_at: Timestamp,
    expires_in: Option<Duration>,
    alc_refresh_token: Option<Sealed>,
    alc_access_token: Option<Sealed>,
    attio_token: Option<Sealed>,
    /// The code by which the client gets all this, once it has been given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<Code>,
    #[serde(default)]
    attempts: u32,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Phase {
    /// For the browser to come back from Attio.
    Waiting,
    /// For the callback that holds them to get a code, and then for the client to redeem that code.
    Taken,
    /// To be given back.
    Unwanted,
}

/// Tokens that only the holder of this may use.
pub(super) struct Taken {
    state: String,
    kept: Versioned<Kept>,
}

impl Aggregate for Kept {
    const KIND: Kind = Kind::Attempt;
    const SCHEMA: u32 = 1;

    fn status(&self) -> &'static str {
        match &self.held {
            None => "used",
            Some(held) => match held.phase {
                Phase::Waiting => "waiting",
                Phase::Taken => "taken",
                Phase::Unwanted => "unwanted",
            },
        }
    }

    fn created_at(&self) -> Timestamp {
        self.used_at
    }
}

impl Kept {
    fn new(held: Option<Held>, expires_at: Timestamp, now: Timestamp) -> Self {
        Self { used_at: now, forget_at: later(expires_at, MARGIN), held, answer: None, unknown: Map::new() }
    }

    fn due(&self) -> Timestamp {
        let due = self.held.as_ref().map_or(self.forget_at, |held| held.due_at);
        self.answer.as_ref().and_then(Answer::due).map_or(due, |answer| answer.min(due))
    }
}

impl Held {
    /// The provider whose tokens are given back next.
    fn next(&self) -> Option<Provider> {
        if self.attio_token.is_some() {
            return Some(Provider::Attio);
        }
        self.alc_access_token.is_some().then_some(Provider::Alc)
    }

    fn forget(&mut self, provider: Provider) {
        match provider {
            Provider::Attio => self.attio_token = None,
            Provider::Alc => (self.alc_refresh_token, self.alc_access_token) = (None, None),
        }
    }
}

const ATTIO_TOKEN: &str = "attio_token";
const ALC_REFRESH_TOKEN: &str = "alc_refresh_token";
const ALC_ACCESS_TOKEN: &str = "alc_access_token";

impl Authorization {
    /// Whether a callback has taken this state.
    pub(super) async fn is_taken(&self, state: &str) -> Result<bool, StoreError> {
        Ok(self.inner.store.find::<Kept>(&Tenant::new(state), state).await?.is_some())
    }

    /// Takes `state`, which has nothing in the store; what is kept there from now on.
    pub(super) async fn take(
        &self,
        state: &str,
        expires_at: Timestamp,
    ) -> Result<Result<Versioned<Kept>, StateFault>, StoreError> {
        let now = self.inner.clock.now();
        let mut mark = Versioned::new(Kept::new(None, expires_at, now));
        mark.value.answer = Some(Answer::awaited(now));
        let taken = self.write(state, &mut mark).await?;
        Ok(if taken { Ok(mark) } else { Err(StateFault::Used) })
    }

    /// Lets ALC's tokens wait under `state` for the browser to come back from Attio.
    pub(super) async fn hold(
        &self,
        state: &str,
        tokens: &Tokens,
        asked_at: Timestamp,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let held = Held { due_at: expires_at, ..self.held(Phase::Waiting, state, tokens, asked_at) };
        let kept = Kept::new(Some(held), expires_at, self.inner.clock.now());
        let written = self.write(state, &mut Versioned::new(kept)).await?;
        if written { Ok(()) } else { Err(StoreError::Unavailable("the state is not fresh".to_owned())) }
    }

    /// Lets ALC's tokens wait under `state`, of which `kept` is the mark: whatever happens now, they are given back
    /// unless they end up in a connection.
    pub(super) async fn hold_taken(
        &self,
        (state, mut kept): (&str, Versioned<Kept>),
        tokens: &Tokens,
        asked_at: Timestamp,
    ) -> Result<Taken, StoreError> {
        kept.value.held = Some(self.held(Phase::Taken, state, tokens, asked_at));
        kept.value.answer = Some(Answer::awaited(self.inner.clock.now()));
        let mut taken = Taken { state: state.to_owned(), kept };
        self.rewrite(&mut taken).await?;
        Ok(taken)
    }

    fn held(&self, phase: Phase, state: &str, tokens: &Tokens, asked_at: Timestamp) -> Held {
        let seal = |field, token: &SecretString| self.seal_for(state, field, token);
        Held {
            phase,
            workspace: None,
            due_at: later(self.inner.clock.now(), TAKEN_AT_MOST),
            asked_at,
            expires_in: tokens.expires_in,
            alc_refresh_token: tokens.refresh.as_ref().map(|token| seal(ALC_REFRESH_TOKEN, token)),
            alc_access_token: Some(seal(ALC_ACCESS_TOKEN, &tokens.access)),
            attio_token: None,
            code: None,
            attempts: 0,
            unknown: Map::new(),
        }
    }

    /// Takes `state` with the tokens that wait under it.
    pub(super) async fn take_held(&self, state: &str) -> Result<Result<Taken, StateFault>, StoreError> {
        let found = self.inner.store.find::<Kept>(&Tenant::new(state), state).await?;
        let Some(mut kept) = found else { return Ok(Err(StateFault::Expired)) };
        let Some(held) = kept.value.held.as_mut().filter(|held| held.phase == Phase::Waiting) else {
            return Ok(Err(StateFault::Used));
        };
        let now = self.inner.clock.now();
        held.phase = Phase::Taken;
        held.due_at = later(now, TAKEN_AT_MOST);
        kept.value.answer = Some(Answer::awaited(now));
        // If the reconciler has begun to give them back, the version has moved.
        let taken = self.write(state, &mut kept).await?;
        Ok(if taken { Ok(Taken { state: state.to_owned(), kept }) } else { Err(StateFault::Used) })
    }

    /// Lets Attio's token wait with ALC's: whatever happens now, it is given back with them.
    pub(super) async fn hold_attio(&self, taken: &mut Taken, token: &SecretString) -> Result<(), StoreError> {
        let sealed = self.seal_for(&taken.state, ATTIO_TOKEN, token);
        if let Some(held) = &mut taken.kept.value.held {
            held.attio_token = Some(sealed);
        }
        self.rewrite(taken).await
    }

    /// Attio has named the workspace that the tokens are for; written with what comes next.
    pub(super) fn belongs_to(taken: &mut Taken, workspace: WorkspaceId) {
        if let Some(held) = &mut taken.kept.value.held {
            held.workspace = Some(workspace);
        }
    }

    /// There will be no connection: the tokens are given back in the background. If not even that can be written, they
    /// are given back when [`TAKEN_AT_MOST`] has passed.
    pub(super) async fn give_up(&self, mut taken: Taken) {
        if let Some(held) = &mut taken.kept.value.held {
            held.phase = Phase::Unwanted;
            held.due_at = self.inner.clock.now();
        }
        if let Err(error) = self.rewrite(&mut taken).await {
            tracing::warn!(%error, "tokens that are not wanted wait a little longer to be given back");
        }
    }

    async fn rewrite(&self, taken: &mut Taken) -> Result<(), StoreError> {
        if self.write(&taken.state, &mut taken.kept).await? {
            return Ok(());
        }
        Err(StoreError::Unavailable("the tokens are being given back already".to_owned()))
    }

    /// `false`: another callback, or the reconciler, was faster. Loading again would not help: a callback takes its
    /// state, or finds it taken.
    pub(super) async fn write(&self, state: &str, kept: &mut Versioned<Kept>) -> Result<bool, StoreError> {
        let lease = LeaseChange::Leave { due: Some(kept.value.due()) };
        let tenant = Tenant::new(state);
        let written = self.inner.store.tries(&tenant, Patience::CALLER).write(state, kept, lease).await?;
        Ok(matches!(written, Committed::Done(_)))
    }

    pub(super) fn seal_for(&self, state: &str, field: &str, token: &SecretString) -> Sealed {
        self.inner.sealer.seal(Place { aggregate: &place(state), field }, token)
    }

    pub(super) fn open_of(&self, state: &str, field: &str, sealed: &Sealed) -> Result<SecretString, OpenError> {
        self.inner.sealer.open(Place { aggregate: &place(state), field }, sealed)
    }

    /// Gives back tokens that end up in no connection, one provider's at a time, and forgets a used state whose time
    /// has come; for the reconciler, which leased it.
    pub async fn reconcile(&self, leased: Leased) -> Result<(), StoreError> {
        let Some(lease) = leased.document.lease else { return Ok(()) };
        let mut kept = Versioned::<Kept>::read(leased.document)?;
        let now = self.inner.clock.now();
        let state = leased.key.id.as_str();
        let mut tries = self.inner.store.tries(&leased.tenant, Patience::CALLER);
        if kept.value.held.is_none() && now >= kept.value.forget_at {
            let erase = Write { key: leased.key.clone(), expected: Some(kept.version()), change: Change::Erase };
            return tries.commit(&Commit::of(vec![erase])).await.map(drop);
        }
        if let Some(answer) = &mut kept.value.answer {
            answer.forget(now);
        }
        if let Some(held) = kept.value.held.as_mut().filter(|held| held.due_at <= now) {
            if held.phase != Phase::Unwanted {
                // First of all no callback may take them any more.
                held.phase = Phase::Unwanted;
                if tries.write(state, &mut kept, LeaseChange::Hold(lease)).await? == Committed::Conflict {
                    return Ok(());
                }
            }
            self.give_back_next(state, &mut kept.value).await;
        }
        // Woken early, by a write of a callback, it must not make a used state good again: it is kept until its time.
        let end = LeaseChange::End { token: lease.token, due: Some(kept.value.due()) };
        self.inner.store.tries(&leased.tenant, Patience::Fact).write(state, &mut kept, end).await.map(drop)
    }

    async fn give_back_next(&self, state: &str, kept: &mut Kept) {
        let (forget_at, now) = (kept.forget_at, self.inner.clock.now());
        let Some(held) = &mut kept.held else { return };
        let attempts = held.attempts;
        let Some(provider) = held.next() else {
            kept.held = None;
            return;
        };
        match self.give_back(state, held, provider).await {
            Err(detail) if until(forget_at, now) < GIVE_BACK_LIMIT => {
                tracing::warn!(
                    detail,
                    at = provider.title(),
                    "tokens that are in no connection could not be given back"
                );
                let wait = GIVE_BACK_AGAIN.saturating_mul(2u32.saturating_pow(attempts.min(16)));
                held.attempts = attempts.saturating_add(1);
                held.due_at = later(now, wait.min(LONGEST_WAIT));
            }
            outcome => {
                if let Err(detail) = outcome {
                    let at = provider.title();
                    tracing::warn!(detail, at, "tokens that could not be given back for a month are given up");
                }
                held.forget(provider);
                held.attempts = 0;
                if held.next().is_none() {
                    kept.held = None;
                }
            }
        }
    }

    async fn give_back(&self, state: &str, held: &Held, provider: Provider) -> Result<(), String> {
        let granted = match provider {
            Provider::Attio => self.attio_token(state, held).map(|token| token.map(Granted::by_attio)),
            Provider::Alc => self.alc_tokens(state, held).map(|tokens| tokens.map(Granted::by_alc)),
        };
        match granted.map_err(|error| error.to_string())? {
            Some(granted) => self.inner.connections.give_back(held.workspace, &granted).await,
            None => Ok(()),
        }
    }

    /// ALC's tokens among what waits under `state`.
    fn alc_tokens(&self, state: &str, held: &Held) -> Result<Option<Tokens>, OpenError> {
        let access = self.opened(state, ALC_ACCESS_TOKEN, &held.alc_access_token)?;
        let refresh = self.opened(state, ALC_REFRESH_TOKEN, &held.alc_refresh_token)?;
        Ok(access.map(|access| Tokens { access, refresh, expires_in: held.expires_in }))
    }

    /// Attio's token among what waits under `state`.
    fn attio_token(&self, state: &str, held: &Held) -> Result<Option<SecretString>, OpenError> {
        self.opened(state, ATTIO_TOKEN, &held.attio_token)
    }

    fn opened(&self, state: &str, field: &str, sealed: &Option<Sealed>) -> Result<Option<SecretString>, OpenError> {
        sealed.as_ref().map(|sealed| self.open_of(state, field, sealed)).transpose()
    }
}
