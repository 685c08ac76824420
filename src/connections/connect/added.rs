//! The attempt as a whole: claimed, carried out, and undone where it fails.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{
    super::{
        service::{Connections, LOOK_AGAIN, pause},
        workspace::{
            aggregate::Workspace,
            claim::Claim,
            schema::Found,
            view::{ConnectionView, Standing},
        },
        writing::Edit,
    },
    attempt::{ConnectAttempt, ConnectError, Connected},
};
use crate::{
    attio::{attributes::People, webhooks::Told},
    clock::later,
    ids::{ConnectionId, ListId, WorkspaceId},
    lifecycle,
    store::Patience,
};

/// How much longer the caller waits for a takeover that is being written: Attio gives it 30 seconds. Not a time but a
/// store's delay, so the clock has no say.
const TAKEOVER_WRITTEN_WITHIN: Duration = Duration::from_secs(5);

/// What a task that wants to connect comes upon.
enum Claiming {
    Claimed,
    Connected(ConnectionView),
    /// Another task is connecting the same connection.
    Busy,
    Refused(ConnectError),
}

impl Connections {
    /// Makes the connection work and makes it the current one. `workspace` and `connection` are what our token says,
    /// `owned_by_*` what Attio's Connection object says. Goes on when the caller hangs up.
    pub async fn connection_added(
        &self,
        workspace: WorkspaceId,
        connection: ConnectionId,
        owned_by_type: &str,
        owned_by_id: &str,
    ) -> Result<Connected, ConnectError> {
        if owned_by_type != "workspace" {
            return Err(ConnectError::WorkspaceConnectionRequired);
        }
        if owned_by_id.parse() != Ok(workspace) {
            return Err(ConnectError::WorkspaceMismatch("connect the workspace that the access token was granted for"));
        }
        let attempt = Arc::new(ConnectAttempt::begin(workspace, connection, self.clock.now()));
        let (this, its) = (self.clone(), attempt.clone());
        let mut connecting = self.lifecycle.spawn(async move { this.connect(&its).await });
        let connected = tokio::select! {
            biased;
            connected = &mut connecting => connected,
            () = self.clock.sleep_until(attempt.deadline) => {
                if !attempt.decide_takeover(false) {
                    return Err(ConnectError::Timeout);
                }
                // The takeover is being written: only its end tells what is true. No caller waits for the store for
                // ever.
                match tokio::time::timeout(TAKEOVER_WRITTEN_WITHIN, connecting).await {
                    Ok(connected) => connected,
                    Err(_) => return Err(ConnectError::Timeout),
                }
            }
        };
        connected.unwrap_or_else(|error| lifecycle::resume(error))
    }

    async fn connect(&self, attempt: &ConnectAttempt) -> Result<Connected, ConnectError> {
        loop {
            // The last request may begin just before the deadline; until it has ended no other task begins.
            let until = later(attempt.deadline, self.claim_duration());
            let claim = Claim::new(attempt.owner, until);
            let claim_it = |found: Option<&mut Workspace>, now| {
                claim_it(found, attempt.connection, &claim, (self.base(), self.asked_list()), now)
            };
            let (claiming, _) = self.update(&attempt.tenant, claim_it).await?;
            match claiming {
                Claiming::Claimed => break,
                Claiming::Connected(view) => return Ok(Connected { newly: false, view }),
                Claiming::Refused(error) => return Err(error),
                Claiming::Busy if self.clock.now() >= attempt.deadline => return Err(ConnectError::Timeout),
                Claiming::Busy => pause(LOOK_AGAIN).await,
            }
        }
        let connected = match self.carry_out(attempt).await {
            // A takeover whose answer was lost for long may have been written all the same: the state tells.
            Err(error) => match self.undo(attempt).await {
                Some(view) => Ok(Connected { newly: true, view }),
                None => Err(error),
            },
            connected => connected,
        };
        match &connected {
            Ok(_) => {
                tracing::info!(workspace = %attempt.workspace, connection = %attempt.connection, "connected");
            }
            Err(error) => {
                tracing::warn!(workspace = %attempt.workspace, connection = %attempt.connection, %error, "not connected");
            }
        }
        connected
    }

    async fn carry_out(&self, attempt: &ConnectAttempt) -> Result<Connected, ConnectError> {
        self.check_attio(attempt).await?;
        let people = self.ensure_attributes(attempt).await?;
        let list = self.find_entry_list(attempt, people.object_id.as_deref()).await?;
        self.check_pipeline(attempt, people.object_id.as_deref(), list).await?;
        let sent_by = if list.is_some() { people.sent_by() } else { Vec::new() };
        self.subscribe(attempt, &Told { entries_of: list, changes_of: sent_by }).await?;
        self.register_webhook(attempt).await?;
        self.take_over(attempt, people, list).await
    }

    async fn take_over(
        &self,
        attempt: &ConnectAttempt,
        people: People,
        list: Option<ListId>,
    ) -> Result<Connected, ConnectError> {
        let asked = self.asked_list().map(|asked| (asked.to_owned(), list));
        let found = Found { problems: Vec::new(), list: asked, sent_by: people.sent_by() };
        let people = people.object_id;
        let (connected, workspace) = self
            .update(&attempt.tenant, |workspace, now| {
                let Some(workspace) = workspace else { return Edit::Leave(Err(ConnectError::Leaving)) };
                if !attempt.decide_takeover(now < attempt.deadline) {
                    return Edit::Leave(Err(ConnectError::Timeout));
                }
                workspace.people = people.clone().or(workspace.people.take());
                let connected = workspace.connected(attempt.connection, attempt.owner, now);
                if connected {
                    workspace.schema_checked(&found, now);
                }
                if connected { Edit::Write(Ok(())) } else { Edit::Leave(Err(ConnectError::Leaving)) }
            })
            .await?;
        connected?;
        let view =
            workspace.and_then(|workspace| workspace.value.view(attempt.connection, self.base(), self.asked_list()));
        Ok(Connected { newly: true, view: view.ok_or(ConnectError::Leaving)? })
    }

    /// Leaves to the background what was made. If even that cannot be written, the claim lapses, to the same effect.
    /// The connection comes back if there is nothing to undo because it has taken over.
    async fn undo(&self, attempt: &ConnectAttempt) -> Option<ConnectionView> {
        let undo = |workspace: Option<&mut Workspace>, now| match workspace {
            Some(workspace) if workspace.is_connecting(attempt.connection, attempt.owner) => {
                workspace.connect_failed(attempt.connection, attempt.owner, now);
                Edit::Write(None)
            }
            Some(workspace) if workspace.current().is_some_and(|it| it.id == attempt.connection) => {
                Edit::Leave(workspace.view(attempt.connection, self.base(), self.asked_list()))
            }
            _ => Edit::Leave(None),
        };
        let undone = self.update_within(&attempt.tenant, Patience::Fact, undo).await;
        undone.map_or(None, |(connected, _)| connected)
    }
}

fn claim_it(
    workspace: Option<&mut Workspace>,
    id: ConnectionId,
    claim: &Claim,
    (base, asked): (&str, Option<&str>),
    now: Timestamp,
) -> Edit<Claiming> {
    let Some(workspace) = workspace else { return Edit::Leave(Claiming::Refused(ConnectError::Unknown)) };
    match workspace.standing(id) {
        Standing::Unknown => Edit::Leave(Claiming::Refused(ConnectError::Unknown)),
        Standing::Leaving => Edit::Leave(Claiming::Refused(ConnectError::Leaving)),
        Standing::Replaced => Edit::Leave(Claiming::Refused(ConnectError::Replaced)),
        Standing::Current | Standing::ReauthorizationRequired => Edit::Leave(match workspace.view(id, base, asked) {
            Some(view) => Claiming::Connected(view),
            None => Claiming::Refused(ConnectError::Unknown),
        }),
        Standing::Incoming if workspace.claim_connecting(id, claim.clone(), now) => Edit::Write(Claiming::Claimed),
        Standing::Incoming => Edit::Leave(Claiming::Busy),
    }
}
