//! What was granted, from our code to its redemption.
//!
//! Promises that no workspace hears of a consent before the client has redeemed its code, and that a code gives what
//! waits under its state once. The code is marked as used before the workspace is written: of all requests with one
//! code, on all replicas, at most one opens a connection, and each further one takes that back. A process that ends
//! before the workspace has the connection leaves the tokens here, to be given back. One that ends after that leaves
//! them in both places: what a connection holds is not given back from here, and a connection whose token the client
//! never got is given up like any other that waits for connection-added.

use secrecy::{ExposeSecret as _, SecretString};

use super::{Held, Kept, Phase, TAKEN_AT_MOST, Taken};
use crate::{
    authorization::{Authorization, attempt::is_state},
    clock::{Timestamp, later},
    connections::{Code, Consent, RedeemError, Redeemed},
    ids::{OpaqueToken, WorkspaceId, random_secret},
    sealing::OpenError,
    store::{Decision, LeaseChange, Patience, StoreError, Tenant, Versioned},
};

/// What a request with a code finds.
#[derive(Debug, PartialEq, Eq)]
enum Use {
    /// What was granted; from now on the code is used.
    First,
    /// The code was used before: what it gave is taken back.
    Again,
    /// The code is right, and the request is not.
    Refused(&'static str),
    /// Nothing waits for this code, or not any more.
    Nothing,
}

impl Kept {
    /// The tokens that wait for this code.
    fn waiting_for(&mut self, code: &OpaqueToken) -> Option<&mut Held> {
        let is_for = |held: &&mut Held| {
            let is_owner = held.workspace.is_some_and(|workspace| workspace.to_string() == code.owner);
            held.phase == Phase::Taken && is_owner && held.code.as_ref().is_some_and(|known| known.is(code))
        };
        self.held.as_mut().filter(is_for)
    }

    fn use_up(
        &mut self,
        code: &OpaqueToken,
        redirect_uri: Option<&str>,
        verifier: Option<&str>,
        now: Timestamp,
    ) -> Use {
        let Some(held) = self.waiting_for(code) else { return Use::Nothing };
        let Some(known) = &mut held.code else { return Use::Nothing };
        if known.used {
            held.phase = Phase::Unwanted;
            held.due_at = now;
            return Use::Again;
        }
        if let Some(refusal) = known.refusal(redirect_uri, verifier, now) {
            return Use::Refused(refusal);
        }
        known.used = true;
        held.due_at = later(now, TAKEN_AT_MOST);
        Use::First
    }

    /// Nothing of the tokens stays here, because a connection has them. `false`: the same code came a second time
    /// meanwhile, or the tokens are being given back.
    fn let_go(&mut self) -> bool {
        let is_theirs = self.held.as_ref().is_some_and(|held| held.phase == Phase::Taken);
        if is_theirs {
            self.held = None;
        }
        is_theirs
    }
}

impl Authorization {
    /// Lets what was granted for this workspace wait for the client; gives the code for it, which names the state that
    /// it waits under.
    pub(in crate::authorization) async fn wait_for_client(
        &self,
        taken: &mut Taken,
        workspace: WorkspaceId,
        redirect_uri: &str,
        challenge: Option<String>,
    ) -> Result<SecretString, StoreError> {
        let now = self.inner.clock.now();
        let secret = format!("{}.{}", taken.state, random_secret().expose_secret());
        let code = OpaqueToken { owner: workspace.to_string(), secret: SecretString::from(secret) };
        if let Some(held) = &mut taken.kept.value.held {
            held.workspace = Some(workspace);
            held.due_at = later(now, TAKEN_AT_MOST);
            held.code = Some(Code::new(&code, redirect_uri.to_owned(), challenge, now));
        }
        self.rewrite(taken).await?;
        Ok(code.to_text())
    }

    /// Takes a code for a refresh token.
    pub(in crate::authorization) async fn redeem(
        &self,
        code: &OpaqueToken,
        redirect_uri: Option<&str>,
        verifier: Option<&str>,
    ) -> Result<Redeemed, RedeemError> {
        let state = code.secret.expose_secret().split_once('.').map(|(state, _)| state).filter(|state| is_state(state));
        if let Some(state) = state {
            let change = |found: &mut Option<Versioned<Kept>>, now| {
                let Some(kept) = found else { return Decision::Leave(Use::Nothing) };
                match kept.value.use_up(code, redirect_uri, verifier, now) {
                    used @ (Use::First | Use::Again) => {
                        Decision::Write(LeaseChange::Leave { due: Some(kept.value.due()) }, used)
                    }
                    unused => Decision::Leave(unused),
                }
            };
            let (used, found) = self.inner.store.change(&Tenant::new(state), state, Patience::CALLER, change).await?;
            match (used, found.and_then(|mut kept| kept.value.held.take())) {
                (Use::First, Some(held)) => return self.open_connection(state, held).await,
                (Use::Refused(why), _) => return Err(RedeemError::InvalidGrant(why)),
                _ => {}
            }
        }
        // It was used before, or a release before this one has given it: the workspace knows it.
        self.inner.connections.redeem_code(code, redirect_uri, verifier).await
    }

    async fn open_connection(&self, state: &str, held: Held) -> Result<Redeemed, RedeemError> {
        let connections = &self.inner.connections;
        let consent = self.consent(state, &held).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let (Some(consent), Some(workspace), Some(code)) = (consent, held.workspace, held.code) else {
            return Err(RedeemError::InvalidGrant("nothing waits for the code"));
        };
        let redeemed = connections.open_incoming(workspace, consent, code).await?;
        if self.let_go(state).await? {
            return Ok(redeemed);
        }
        connections.remove(workspace, redeemed.connection).await?;
        Err(RedeemError::InvalidGrant("the code came twice or too late; what it gave is revoked"))
    }

    fn consent(&self, state: &str, held: &Held) -> Result<Option<Consent>, OpenError> {
        let (alc, attio) = (self.alc_tokens(state, held)?, self.attio_token(state, held)?);
        Ok(alc.map(|alc| Consent { alc, asked_at: held.asked_at, attio }))
    }

    async fn let_go(&self, state: &str) -> Result<bool, StoreError> {
        let change = |found: &mut Option<Versioned<Kept>>, _| {
            let Some(kept) = found else { return Decision::Leave(false) };
            if kept.value.let_go() {
                Decision::Write(LeaseChange::Leave { due: Some(kept.value.due()) }, true)
            } else {
                Decision::Leave(false)
            }
        };
        let let_go = self.inner.store.change(&Tenant::new(state), state, Patience::CALLER, change).await?;
        Ok(let_go.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;
    use crate::{clock::from_micros, sealing::Sealed};

    const REDIRECT: Option<&str> = Some("https://app.test/");

    /// What waits for a code of this workspace.
    fn waiting(workspace: WorkspaceId) -> (Kept, OpaqueToken) {
        let (code, now) = (OpaqueToken::new(workspace), from_micros(0));
        let held = Held {
            phase: Phase::Taken,
            workspace: Some(workspace),
            due_at: now,
            asked_at: now,
            expires_in: None,
            alc_refresh_token: None,
            alc_access_token: Some(Sealed::from_text("sealed")),
            attio_token: None,
            code: Some(Code::new(&code, "https://app.test/".to_owned(), None, now)),
            attempts: 0,
            unknown: Map::new(),
        };
        (Kept::new(Some(held), now, now), code)
    }

    #[test]
    fn a_code_is_used_once_and_the_second_use_takes_all_of_it_back() {
        let (mut kept, code) = waiting(WorkspaceId::random());
        let now = from_micros(1_000_000);
        assert!(matches!(kept.use_up(&code, Some("https://elsewhere.test/"), None, now), Use::Refused(_)));
        assert_eq!(kept.use_up(&code, REDIRECT, None, now), Use::First, "a refused request uses nothing up");
        assert!(kept.due() > later(now, TAKEN_AT_MOST / 2), "there is time to write it to the workspace");
        assert_eq!(kept.use_up(&code, REDIRECT, None, now), Use::Again);
        assert!(kept.held.as_ref().is_some_and(|held| held.phase == Phase::Unwanted && held.due_at == now));
        assert_eq!(kept.use_up(&code, REDIRECT, None, now), Use::Nothing, "it is being given back");
    }

    #[test]
    fn a_connection_keeps_its_tokens_only_if_its_code_came_once() {
        for times in 1..=2 {
            let (mut kept, code) = waiting(WorkspaceId::random());
            for _ in 0..times {
                kept.use_up(&code, REDIRECT, None, from_micros(0));
            }
            assert_eq!(kept.let_go(), times == 1);
            assert_eq!(kept.held.is_some(), times == 2, "what no connection has is still to be given back");
            assert!(!kept.let_go());
        }
    }

    #[test]
    fn a_code_is_for_its_own_workspace_and_for_its_minute() {
        let (mut kept, code) = waiting(WorkspaceId::random());
        let another = OpaqueToken { owner: WorkspaceId::random().to_string(), secret: code.secret.clone() };
        let guessed = OpaqueToken { owner: code.owner.clone(), secret: random_secret() };
        for wrong in [another, guessed] {
            assert_eq!(kept.use_up(&wrong, REDIRECT, None, from_micros(0)), Use::Nothing);
        }
        assert!(matches!(kept.use_up(&code, REDIRECT, None, from_micros(60_000_000)), Use::Refused(_)));
        assert_eq!(kept.use_up(&code, REDIRECT, None, from_micros(59_999_999)), Use::First);
    }
}
