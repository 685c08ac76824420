//! `/operate/…`: what operators read and mend, on the management listener. Thin: the room `operate` does it.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    endpoint::Endpoint,
    json::{Body, JsonBody},
    operator::Operator,
    problem::{Fault, Problem, Slug},
    standing,
};
use crate::{
    ids::{RecordId, WorkspaceId},
    leads::{LetterId, LetterKind, Reason, Status},
    operate::{LeadFilter, LetterFilter, OpenGates, Operate, Place, Replay, Retry},
    store::StoreError,
};

const LIMITS: std::ops::RangeInclusive<usize> = 1..=200;
const USUAL_LIMIT: usize = 50;
pub(super) const UPSTREAMS: [&str; 3] = ["alc", "attio", "workflow"];

/// The endpoints of operators.
pub fn endpoints() -> [Endpoint; 9] {
    [
        Endpoint::new("/operate/leads").get(leads),
        Endpoint::new("/operate/leads/{record_id}").get(lead),
        Endpoint::new("/operate/leads/{record_id}/retry").post(retry),
        Endpoint::new("/operate/dead-letters").get(dead_letters),
        Endpoint::new("/operate/dead-letters/replay").post(replay),
        Endpoint::new("/operate/connections").get(connections),
        Endpoint::new("/operate/connections/{workspace_id}").get(connection),
        Endpoint::new("/operate/connections/{workspace_id}/repair").post(repair),
        Endpoint::new("/operate/gates").get(gates).post(open_gates),
    ]
}

/// Every query of these endpoints; each reads its own part.
#[derive(Deserialize, Default)]
pub(super) struct Query {
    pub(super) workspace_id: Option<String>,
    record_id: Option<String>,
    status: Option<String>,
    reason: Option<String>,
    kind: Option<String>,
    waiting: Option<String>,
    failing: Option<String>,
    closed: Option<String>,
    pub(super) limit: Option<String>,
    pub(super) cursor: Option<String>,
}

#[derive(Deserialize)]
struct RetryBody {
    workspace_id: Option<Uuid>,
    by: Option<String>,
}

#[derive(Deserialize)]
struct ReplayBody {
    workspace_id: Option<Uuid>,
    record_id: Option<Uuid>,
    id: Option<String>,
    kind: Option<String>,
    reason: Option<String>,
    #[serde(default)]
    all: Option<bool>,
    limit: Option<usize>,
    cursor: Option<String>,
    by: Option<String>,
}

#[derive(Deserialize)]
struct RepairBody {
    by: Option<String>,
}

#[derive(Deserialize)]
struct OpenBody {
    workspace_id: Option<Uuid>,
    upstream: Option<String>,
    #[serde(default)]
    all: Option<bool>,
    limit: Option<usize>,
    cursor: Option<String>,
    by: Option<String>,
}

impl Body for RetryBody {}
impl Body for ReplayBody {}
impl Body for RepairBody {}
impl Body for OpenBody {}

/// Reads texts, and gathers what is wrong with them.
pub(super) struct Reading {
    before: &'static str,
    faults: Vec<Fault>,
}

impl Reading {
    pub(super) const fn of_query() -> Self {
        Self { before: "#/query/", faults: Vec::new() }
    }

    pub(super) const fn of_body() -> Self {
        Self { before: "/", faults: Vec::new() }
    }

    pub(super) fn fault(&mut self, name: &str, detail: impl Into<String>) {
        self.faults.push(Fault { pointer: format!("{}{name}", self.before), detail: detail.into() });
    }

    /// A fault of the whole.
    pub(super) fn fault_of_all(&mut self, detail: &str) {
        self.faults.push(Fault { pointer: String::new(), detail: detail.to_owned() });
    }

    pub(super) fn read<T>(
        &mut self,
        name: &str,
        text: Option<&String>,
        expected: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let read = read(text?);
        if read.is_none() {
            self.fault(name, expected);
        }
        read
    }

    pub(super) fn uuid(&mut self, name: &str, text: Option<&String>) -> Option<Uuid> {
        self.read(name, text, "must be a UUID", |text| text.parse().ok())
    }

    /// Of which dead letters; all, where nothing narrows them down.
    pub(super) fn letters(
        &mut self,
        workspace: Option<&String>,
        record: Option<&String>,
        kind: Option<&String>,
        reason: Option<&String>,
    ) -> LetterFilter {
        LetterFilter {
            workspace: self.uuid("workspace_id", workspace).map(WorkspaceId),
            record: self.uuid("record_id", record).map(RecordId),
            kind: self.kind(kind),
            reason: reason.cloned(),
            id: None,
        }
    }

    pub(super) fn flag(&mut self, name: &str, text: Option<&String>) -> bool {
        self.read(name, text, "must be true or false", |text| text.parse().ok()).unwrap_or(false)
    }

    pub(super) fn place(&mut self, text: Option<&String>) -> Option<Place> {
        let expected = "not a cursor: pass `next_cursor` of the previous page unchanged";
        self.read("cursor", text, expected, |text| text.parse().ok())
    }

    pub(super) fn limit(&mut self, limit: Option<&String>) -> usize {
        let expected = format!("must be a whole number from {} to {}", LIMITS.start(), LIMITS.end());
        let read = |text: &str| text.parse().ok().filter(|limit| LIMITS.contains(limit));
        self.read("limit", limit, &expected, read).unwrap_or(USUAL_LIMIT)
    }

    pub(super) fn limit_of_body(&mut self, limit: Option<usize>) -> usize {
        let limit = limit.unwrap_or(USUAL_LIMIT);
        if !LIMITS.contains(&limit) {
            self.fault("limit", format!("must be a whole number from {} to {}", LIMITS.start(), LIMITS.end()));
        }
        limit
    }

    pub(super) fn kind(&mut self, text: Option<&String>) -> Option<LetterKind> {
        self.read("kind", text, "must be one of lead, attio-write, workflow-call", LetterKind::from_name)
    }

    pub(super) fn done(self) -> Result<(), Problem> {
        if self.faults.is_empty() { Ok(()) } else { Err(Problem::invalid(self.faults)) }
    }
}

pub(super) fn answered<T: Serialize>(answer: Result<T, StoreError>) -> Result<HttpResponse, Problem> {
    // Of one moment: no cache between here and an operator's browser may keep it.
    let answer = answer.map_err(|error| standing::store(&error))?;
    Ok(HttpResponse::Ok().insert_header(("cache-control", "no-store")).json(answer))
}

pub(super) fn found<T: Serialize>(answer: Result<Option<T>, StoreError>, what: &str) -> Result<HttpResponse, Problem> {
    match answer.transpose() {
        Some(answer) => answered(answer),
        None => Err(Problem::new(Slug::NotFound, what)),
    }
}

pub(super) const NO_LEAD: &str =
    "No workspace has a lead of this record: it was never sent, or is forgotten after its retention.";
pub(super) const NO_WORKSPACE: &str = "There is no such workspace: `connections list` shows those that there are.";

async fn leads(_: Operator, operate: web::Data<Operate>, query: web::Query<Query>) -> Result<HttpResponse, Problem> {
    let mut reading = Reading::of_query();
    let filter = LeadFilter {
        workspace: reading.uuid("workspace_id", query.workspace_id.as_ref()).map(WorkspaceId),
        status: reading.read(
            "status",
            query.status.as_ref(),
            "must be one of queued, pending, complete, failed",
            Status::from_name,
        ),
        reason: reading.read(
            "reason",
            query.reason.as_ref(),
            "must be one of rejected, not-sent, timed-out, superseded, record-deleted, disconnected",
            Reason::from_name,
        ),
        waiting: reading.flag("waiting", query.waiting.as_ref()),
        failing: reading.flag("failing", query.failing.as_ref()),
    };
    let (from, limit) = (reading.place(query.cursor.as_ref()), reading.limit(query.limit.as_ref()));
    reading.done()?;
    answered(operate.leads(&filter, from.as_ref(), limit).await)
}

async fn lead(
    _: Operator,
    operate: web::Data<Operate>,
    record: web::Path<Uuid>,
    query: web::Query<Query>,
) -> Result<HttpResponse, Problem> {
    let mut reading = Reading::of_query();
    let workspace = reading.uuid("workspace_id", query.workspace_id.as_ref()).map(WorkspaceId);
    reading.done()?;
    let stories = operate.lead(workspace, RecordId(record.into_inner())).await;
    found(stories.map(|stories| Some(stories).filter(|stories| !stories.leads.is_empty())), NO_LEAD)
}

async fn retry(
    operator: Operator,
    operate: web::Data<Operate>,
    record: web::Path<Uuid>,
    body: JsonBody<RetryBody>,
) -> Result<HttpResponse, Problem> {
    let by = operator.named(body.0.by.as_deref());
    let workspace = body.0.workspace_id.map(WorkspaceId);
    let record = RecordId(record.into_inner());
    match operate.retry(workspace, record, &by).await.map_err(|error| standing::store(&error))? {
        Retry::Done(retried) => answered(Ok(retried)),
        Retry::Unknown => Err(Problem::new(Slug::NotFound, NO_LEAD)),
        Retry::Ambiguous(workspaces) => {
            let named = workspaces.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let detail =
                format!("is needed, as more than one workspace has a lead of this record: name one of {named}");
            Err(Problem::invalid(vec![Fault { pointer: "/workspace_id".to_owned(), detail }]))
        }
    }
}

async fn dead_letters(
    _: Operator,
    operate: web::Data<Operate>,
    query: web::Query<Query>,
) -> Result<HttpResponse, Problem> {
    let mut reading = Reading::of_query();
    let filter = reading.letters(
        query.workspace_id.as_ref(),
        query.record_id.as_ref(),
        query.kind.as_ref(),
        query.reason.as_ref(),
    );
    let (from, limit) = (reading.place(query.cursor.as_ref()), reading.limit(query.limit.as_ref()));
    reading.done()?;
    answered(operate.dead_letters(&filter, from.as_ref(), limit).await)
}

async fn replay(
    operator: Operator,
    operate: web::Data<Operate>,
    body: JsonBody<ReplayBody>,
) -> Result<HttpResponse, Problem> {
    let body = body.0;
    let mut reading = Reading::of_body();
    let id = "must be the id of a dead letter as the list has it, such as lead.<uuid>";
    let filter = LetterFilter {
        workspace: body.workspace_id.map(WorkspaceId),
        record: body.record_id.map(RecordId),
        kind: reading.kind(body.kind.as_ref()),
        reason: body.reason.clone(),
        id: reading.read("id", body.id.as_ref(), id, |text| text.parse::<LetterId>().ok()),
    };
    let from = reading.place(body.cursor.as_ref());
    let limit = reading.limit_of_body(body.limit);
    let is_narrowed =
        body.record_id.is_some() || body.kind.is_some() || body.reason.is_some() || body.workspace_id.is_some();
    if !is_narrowed && body.all != Some(true) {
        let detail = "name workspace_id, record_id, kind or reason (--workspace, --record, --kind, --reason); or all: true (--all) \
                      for every dead letter that there is";
        reading.fault_of_all(detail);
    }
    reading.done()?;
    answered(operate.replay(&Replay { filter, from, limit }, &operator.named(body.by.as_deref())).await)
}

async fn connections(
    _: Operator,
    operate: web::Data<Operate>,
    query: web::Query<Query>,
) -> Result<HttpResponse, Problem> {
    let mut reading = Reading::of_query();
    let (from, limit) = (reading.place(query.cursor.as_ref()), reading.limit(query.limit.as_ref()));
    reading.done()?;
    answered(operate.connections(from.as_ref(), limit).await)
}

async fn connection(
    _: Operator,
    operate: web::Data<Operate>,
    workspace: web::Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    found(operate.connection(WorkspaceId(workspace.into_inner())).await, NO_WORKSPACE)
}

async fn repair(
    operator: Operator,
    operate: web::Data<Operate>,
    workspace: web::Path<Uuid>,
    body: JsonBody<RepairBody>,
) -> Result<HttpResponse, Problem> {
    let by = operator.named(body.0.by.as_deref());
    found(operate.repair(WorkspaceId(workspace.into_inner()), &by).await, NO_WORKSPACE)
}

async fn gates(_: Operator, operate: web::Data<Operate>, query: web::Query<Query>) -> Result<HttpResponse, Problem> {
    let mut reading = Reading::of_query();
    let workspace = reading.uuid("workspace_id", query.workspace_id.as_ref()).map(WorkspaceId);
    let closed = reading.flag("closed", query.closed.as_ref());
    let (from, limit) = (reading.place(query.cursor.as_ref()), reading.limit(query.limit.as_ref()));
    reading.done()?;
    answered(operate.gates(workspace, closed, from.as_ref(), limit).await)
}

async fn open_gates(
    operator: Operator,
    operate: web::Data<Operate>,
    body: JsonBody<OpenBody>,
) -> Result<HttpResponse, Problem> {
    let body = body.0;
    let mut reading = Reading::of_body();
    let expected = "must be one of alc, attio, workflow";
    let known = |text: &str| UPSTREAMS.contains(&text).then(|| text.to_owned());
    let upstream = reading.read("upstream", body.upstream.as_ref(), expected, known);
    let from = reading.place(body.cursor.as_ref());
    let limit = reading.limit_of_body(body.limit);
    if body.workspace_id.is_none() && body.upstream.is_none() && body.all != Some(true) {
        let detail = "name workspace_id or upstream (--workspace, --upstream); or all: true (--all) for every gate that there is";
        reading.fault_of_all(detail);
    }
    reading.done()?;
    let open = OpenGates { workspace: body.workspace_id.map(WorkspaceId), upstream, from, limit };
    answered(operate.open_gates(&open, &operator.named(body.by.as_deref())).await)
}
