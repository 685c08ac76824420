//! What a connection is good for, and how it is shown.

use jiff::Timestamp;
use serde::Serialize;

use super::{
    aggregate::Workspace,
    connection::Phase,
    schema::SchemaProblem,
    side::Side,
    webhook::{Webhook, WebhookState},
};
use crate::ids::{ConnectionId, WebhookId, WorkspaceId};

/// What a connection is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Leads go out under it.
    Current,
    /// Current, but ALC's grant is dead.
    ReauthorizationRequired,
    /// Waits for connection-added.
    Incoming,
    /// Removed; cleans up after itself.
    Leaving,
    /// Another took over; cleans up after itself.
    Replaced,
    /// Not, or no longer, there.
    Unknown,
}

/// A connection as `GET /v1/connection` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConnectionView {
    /// The connection.
    pub id: ConnectionId,
    /// Its workspace.
    pub workspace_id: WorkspaceId,
    /// `incoming`, `connected`, `reauthorization-required` or `removing`.
    pub status: &'static str,
    /// The webhook at ALC, once there is one.
    pub webhook: Option<WebhookView>,
    /// The webhook at Attio, if Attio has made one for the current connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attio_webhook: Option<WebhookView>,
    /// What Attio has of what is needed there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attio: Option<AttioStanding>,
    /// When ALC granted it.
    pub created_at: Timestamp,
}

/// Attio's side of a connection as `GET /v1/connection` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AttioStanding {
    /// The attributes that are written, and the list whose entries send.
    pub schema: SchemaView,
}

/// What the last look at Attio has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SchemaView {
    /// When it was.
    pub checked_at: Timestamp,
    /// What a person has to mend.
    pub problems: Vec<ProblemView>,
}

/// Something of Attio's that a person has to mend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProblemView {
    /// The attribute of People that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    /// The list that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub list: Option<String>,
    /// What is wrong, and what to do.
    pub problem: String,
}

impl From<SchemaProblem> for ProblemView {
    fn from(SchemaProblem { attribute, list, problem, .. }: SchemaProblem) -> Self {
        Self { attribute, list, problem }
    }
}

/// A webhook as `GET /v1/connection` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WebhookView {
    /// Our id of it; the name of one at ALC ends in it.
    pub id: WebhookId,
    /// What is known of it at its side.
    pub status: WebhookState,
    /// When its side last listed it; `None`: not yet, or ALC cannot list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmed_at: Option<Timestamp>,
    /// It was made under an earlier `PUBLIC_URL`, and is about to be replaced.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub outdated: bool,
}

impl WebhookView {
    fn of(webhook: &Webhook, base: &str) -> Self {
        Self {
            id: webhook.id,
            status: if webhook.lost { WebhookState::Gone } else { webhook.state },
            confirmed_at: webhook.confirmed_at,
            outdated: webhook.is_outdated(base),
        }
    }
}

impl Workspace {
    /// What a connection is good for.
    pub fn standing(&self, id: ConnectionId) -> Standing {
        match self.connection(id) {
            None if self.replaced.iter().any(|replaced| replaced.id == id) => Standing::Replaced,
            None => Standing::Unknown,
            Some(connection) => match connection.phase {
                Phase::Incoming => Standing::Incoming,
                Phase::Current if connection.alc.dead => Standing::ReauthorizationRequired,
                Phase::Current => Standing::Current,
                Phase::Leaving if connection.replaced => Standing::Replaced,
                Phase::Leaving => Standing::Leaving,
            },
        }
    }

    /// The connection as it is shown under the `PUBLIC_URL` that is `base`, where the entries of the list that is
    /// `asked` send; `None` if it is not there.
    pub fn view(&self, id: ConnectionId, base: &str, asked: Option<&str>) -> Option<ConnectionView> {
        let connection = self.connection(id)?;
        let status = match self.standing(id) {
            Standing::Incoming => "incoming",
            // Leads still go to ALC.
            Standing::Current if connection.lost_attio() => "reauthorization-required",
            Standing::Current => "connected",
            Standing::ReauthorizationRequired => "reauthorization-required",
            Standing::Leaving | Standing::Replaced | Standing::Unknown => "removing",
        };
        let webhook = connection.webhook.and_then(|id| self.webhook(Side::Alc, id));
        let checked_at = self.attio_schema.checked_at.filter(|_| connection.phase == Phase::Current);
        let problems = || self.schema_problems(asked).into_iter().map(ProblemView::from).collect();
        let schema = checked_at.map(|checked_at| SchemaView { checked_at, problems: problems() });
        let attio_webhook = self.watched(Side::Attio).filter(|webhook| webhook.connection == id);
        Some(ConnectionView {
            id,
            workspace_id: self.id,
            status,
            webhook: webhook.map(|webhook| WebhookView::of(webhook, base)),
            attio_webhook: attio_webhook.map(|webhook| WebhookView::of(webhook, base)),
            attio: schema.map(|schema| AttioStanding { schema }),
            created_at: connection.created_at,
        })
    }
}
