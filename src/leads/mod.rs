//! Leads: the life of a person record between Attio and ALC.
//!
//! Owns the [`Lead`] aggregate with its pure transitions and [`Step`]s, the service that the handlers call, and the
//! effect of each step. Promises that a lead which was accepted is sent, once; that every accepted result reaches
//! Attio; and that Attio never shows Pending once the result is known.

mod accept;
mod answer;
mod attio_events;
mod batch;
mod callbacks;
mod effects;
mod lead;
mod merge;
mod person;
mod receipt;
mod send;
mod shown;
mod step;
mod tell;
mod telling;
#[cfg(test)]
mod tests;
mod transitions;
mod waiter;
mod work;

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use serde_json::Value;

pub use self::{
    accept::{Accepted, NewLead, SendRefused},
    attio_events::EventsRefused,
    batch::ItemResult,
    callbacks::{CallbackOutcome, CallbackRefused},
    lead::{AttioView, Lead, LeadView},
    person::{Name, PhoneNumber},
    send::{Reason, Status},
    shown::Title,
    step::{Connection, DISCONNECT_GRACE, Deadlines, Step, Surroundings},
    tell::MOST_WAITING,
};
use crate::{
    alc,
    attio::{self, Attributes, Titles},
    clock::{SharedClock, Timestamp},
    connections::{self, Connections, Standing, Workspace},
    ids::{ConnectionId, RecordId, WorkspaceId},
    lifecycle::Lifecycle,
    notify,
    sealing::{Place, Sealer},
    store::{
        Cursor, Key, Kind, Leased, Store, StoreError, Versioned,
        gate::{Gate, Gates},
    },
    upstream::Schedule,
};

/// Conflicts in a row before giving up: each means that somebody else got ahead.
const TRIES: u32 = 50;
/// ALC and Attio are answered within five seconds, whatever the store does: they try again.
const ANSWERED_WITHIN: Duration = Duration::from_millis(4_500);

fn title_text(titles: &Titles, title: Title) -> &str {
    match title {
        Title::Pending => &titles.pending,
        Title::Complete => &titles.complete,
        Title::Failed => &titles.failed,
    }
}

/// What the operator sets.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Deadlines, retention, polling.
    pub deadlines: Deadlines,
    /// `RETRY__SCHEDULE`.
    pub schedule: Schedule,
    /// `ALC__RESEND_UNKNOWN`.
    pub resend_unknown: bool,
    /// `LEADS__SEND_WAIT`.
    pub send_wait: Duration,
    /// The longer of the two upstream timeouts.
    pub upstream_timeout: Duration,
    /// `LEADS__DEFAULT_REGION`.
    pub default_region: Option<String>,
    /// `ATTIO__ATTRIBUTES__*`.
    pub attributes: Attributes,
    /// `ATTIO__TITLES__*`.
    pub titles: Titles,
    /// What every request to an upstream goes through.
    pub gates: Gates,
}

/// What the service works with.
#[derive(Clone)]
pub struct Parts {
    /// The store.
    pub store: Store,
    /// The workspaces.
    pub connections: Connections,
    /// ALC.
    pub alc: alc::Client,
    /// Attio.
    pub attio: attio::Client,
    /// The workflows that wait.
    pub workflows: notify::Client,
    /// Seals names and numbers.
    pub sealer: Arc<Sealer>,
    /// The time.
    pub clock: SharedClock,
    /// Where steps run.
    pub lifecycle: Lifecycle,
}

/// The service. Clones share everything.
#[derive(Clone)]
pub struct Leads {
    parts: Parts,
    settings: Arc<Settings>,
}

/// Why a question about leads is not answered.
#[derive(Debug, thiserror::Error)]
pub enum ReadRefused {
    /// The token's connection may not read.
    #[error("the connection is {0:?}")]
    Standing(Standing),
    /// The store cannot be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Some leads of a workspace, newest first.
#[derive(Debug, Clone, serde::Serialize)]
pub struct LeadPage {
    /// The leads.
    pub leads: Vec<LeadView>,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}

impl Leads {
    /// The service over its parts.
    pub fn new(parts: Parts, settings: Settings) -> Self {
        Self { parts, settings: Arc::new(settings) }
    }

    /// The region that numbers without `+` belong to.
    pub fn default_region(&self) -> Option<&str> {
        self.settings.default_region.as_deref()
    }

    /// The lead of a record.
    pub async fn get(
        &self,
        workspace: WorkspaceId,
        connection: ConnectionId,
        record: RecordId,
    ) -> Result<Option<LeadView>, ReadRefused> {
        let tenant = connections::tenant(workspace);
        let now = self.parts.clock.now();
        let keys = [Key::workspace(), Key::new(Kind::Lead, record)];
        let loaded = self.parts.store.load(&tenant, &keys, &[], now).await?;
        let [found, lead] = two(loaded.documents);
        may_read(found.map(Versioned::<Workspace>::read).transpose().map_err(StoreError::from)?.as_ref(), connection)?;
        let lead = lead.map(Versioned::<Lead>::read).transpose().map_err(StoreError::from)?;
        Ok(match lead {
            Some(lead) if lead.value.next_hop().is_some() => {
                let speaker = self.speaker_of(&tenant, &lead.value).await?;
                let own = (!lead.value.forwarding).then_some(lead.value);
                speaker.or(own).map(|lead| LeadView { record_id: record, ..lead.view() })
            }
            Some(lead) if lead.value.forwarding => None,
            lead => lead.map(|lead| lead.value.view()),
        })
    }

    /// One page of a workspace's leads.
    pub async fn page(
        &self,
        workspace: WorkspaceId,
        connection: ConnectionId,
        status: Option<Status>,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<LeadPage, ReadRefused> {
        let tenant = connections::tenant(workspace);
        let now = self.parts.clock.now();
        let loaded = self.parts.store.load(&tenant, &[Key::workspace()], &[], now).await?;
        let found = loaded.documents.into_iter().next().flatten();
        may_read(found.map(Versioned::<Workspace>::read).transpose().map_err(StoreError::from)?.as_ref(), connection)?;
        let page = self.parts.store.page(&tenant, status.map(Status::name), cursor, limit).await?;
        let mut leads = Vec::with_capacity(page.documents.len());
        for (_, document) in page.documents {
            let lead = Versioned::<Lead>::read(document).map_err(StoreError::from)?.value;
            // The lead itself is listed under the record that it was sent as.
            if !lead.forwarding {
                leads.push(lead.view());
            }
        }
        Ok(LeadPage { leads, next_cursor: page.next.map(|cursor| cursor.to_string()) })
    }

    /// Takes a leased lead as far as it goes now; what the reconciler calls.
    pub async fn step(&self, leased: Leased) -> Result<(), StoreError> {
        let Some(work) = self.take_up(leased).await? else { return Ok(()) };
        self.run(work).await
    }

    /// How long a lease must last: two attempts at an upstream and some air.
    pub fn lease_duration(&self) -> Duration {
        self.settings.upstream_timeout * 2 + Duration::from_secs(5)
    }

    fn gates(&self) -> [Gate; 2] {
        [self.settings.gates.alc, self.settings.gates.attio]
    }

    fn retry_at(&self, failures: u32, asked: Option<Timestamp>) -> Timestamp {
        self.settings.schedule.next(failures, crate::ids::unit_random(), asked, self.parts.clock.now())
    }

    /// What Attio is sent to show `showing`, and the lead id among it.
    fn values(&self, lead: &Lead, showing: shown::Showing) -> (attio::Values, Option<String>) {
        let slugs = &self.settings.attributes;
        let mut values = BTreeMap::new();
        values.insert(slugs.status.clone(), title_text(&self.settings.titles, showing.title).to_owned());
        let (lead_id, result) = lead.said(showing);
        let is_shown = |id: &&str| showing.title != Title::Pending && lead.attio.lead_id.as_deref() == Some(*id);
        let lead_id = lead_id.filter(|id| !is_shown(id)).map(str::to_owned);
        if let (Some(slug), Some(id)) = (&slugs.lead_id, &lead_id) {
            values.insert(slug.clone(), id.clone());
        }
        if let (Some(slug), Some(result)) = (&slugs.result, result)
            && !lead.attio.result_refused
        {
            values.insert(slug.clone(), result.to_owned());
        }
        // A bare string in an array is the one form that text and select both take.
        let values = values.into_iter().map(|(slug, value)| (slug, Value::Array(vec![Value::String(value)]))).collect();
        (values, lead_id)
    }
}

/// What comes of an upstream's call, if that is known soon enough to answer it.
async fn answered_in_time<T, E: From<StoreError>>(doing: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    match tokio::time::timeout(ANSWERED_WITHIN, doing).await {
        Ok(result) => result,
        Err(_) => Err(StoreError::Unavailable("no answer in time".to_owned()).into()),
    }
}

fn place<'a>(aggregate: &'a str, field: &'a str) -> Place<'a> {
    Place { aggregate, field }
}

/// The logical key under which a lead's fields are sealed.
fn logical_key(workspace: &str, record: RecordId) -> String {
    format!("lead/{workspace}/{record}")
}

fn may_read(workspace: Option<&Versioned<Workspace>>, connection: ConnectionId) -> Result<(), ReadRefused> {
    match workspace.map_or(Standing::Unknown, |workspace| workspace.value.standing(connection)) {
        standing @ (Standing::Unknown | Standing::Replaced) => Err(ReadRefused::Standing(standing)),
        _ => Ok(()),
    }
}

/// Exactly two, missing ones as `None`.
fn two<T>(items: Vec<Option<T>>) -> [Option<T>; 2] {
    let mut items = items.into_iter();
    [items.next().flatten(), items.next().flatten()]
}
