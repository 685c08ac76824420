//! `/operate/…`: what operators read and mend, on the management listener. Thin: the room `operate` does it.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    endpoint::Endpoint,
    json::{Body, JsonBody},
    operator::Operator,
    problem::{Fault, Problem, Slug},
    reading::Reading,
    standing,
};
use crate::{
    ids::{RecordId, WorkspaceId},
    leads::LetterId,
    operate::{LeadFilter, LetterFilter, OpenGates, Operate, Replay, Retry, RetryMany},
    store::StoreError,
};

pub(super) const UPSTREAMS: [&str; 3] = ["alc", "attio", "workflow"];

/// The endpoints of operators.
pub fn endpoints() -> [Endpoint; 10] {
    [
        Endpoint::new("/operate/leads").get(leads),
        // Before `/operate/leads/{record_id}`.
        Endpoint::new("/operate/leads/retry").post(retry_many),
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
struct Query {
    workspace_id: Option<String>,
    record_id: Option<String>,
    status: Option<String>,
    reason: Option<String>,
    kind: Option<String>,
    waiting: Option<String>,
    failing: Option<String>,
    closed: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

#[derive(Deserialize)]
struct RetryBody {
    workspace_id: Option<Uuid>,
    by: Option<String>,
}

#[derive(Deserialize)]
struct RetryManyBody {
    workspace_id: Option<Uuid>,
    status: Option<String>,
    reason: Option<String>,
    waiting: Option<bool>,
    failing: Option<bool>,
    all: Option<bool>,
    limit: Option<usize>,
    cursor: Option<String>,
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
impl Body for RetryManyBody {}
impl Body for ReplayBody {}
impl Body for RepairBody {}
impl Body for OpenBody {}

fn answered<T: Serialize>(answer: Result<T, StoreError>) -> Result<HttpResponse, Problem> {
    // Of one moment: no cache between here and an operator's browser may keep it.
    let answer = answer.map_err(|error| standing::store(&error))?;
    Ok(HttpResponse::Ok().insert_header(("cache-control", "no-store")).json(answer))
}

fn found<T: Serialize>(answer: Result<Option<T>, StoreError>, what: &str) -> Result<HttpResponse, Problem> {
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
        status: reading.status(query.status.as_ref()),
        reason: reading.reason(query.reason.as_ref()),
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

async fn retry_many(
    operator: Operator,
    operate: web::Data<Operate>,
    body: JsonBody<RetryManyBody>,
) -> Result<HttpResponse, Problem> {
    let body = body.0;
    let mut reading = Reading::of_body();
    let filter = LeadFilter {
        workspace: body.workspace_id.map(WorkspaceId),
        status: reading.status(body.status.as_ref()),
        reason: reading.reason(body.reason.as_ref()),
        waiting: body.waiting.unwrap_or_default(),
        failing: body.failing.unwrap_or_default(),
    };
    let from = reading.place(body.cursor.as_ref());
    let limit = reading.limit_of_body(body.limit);
    let detail = "name workspace_id, status, reason, waiting or failing (--workspace, --status, --reason, --waiting, \
                  --failing); or all: true (--all) for every lead that there is";
    reading.is_meant_for_all(filter.is_narrowed(), body.all == Some(true), "", detail);
    reading.done()?;
    answered(operate.retry_many(&RetryMany { filter, from, limit }, &operator.named(body.by.as_deref())).await)
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
    let detail = "name workspace_id, record_id, kind or reason (--workspace, --record, --kind, --reason); or all: true (--all) \
                  for every dead letter that there is";
    reading.is_meant_for_all(filter.is_narrowed(), body.all == Some(true), "", detail);
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
    let detail =
        "name workspace_id or upstream (--workspace, --upstream); or all: true (--all) for every gate that there is";
    let is_narrowed = body.workspace_id.is_some() || upstream.is_some();
    reading.is_meant_for_all(is_narrowed, body.all == Some(true), "", detail);
    reading.done()?;
    let open = OpenGates { workspace: body.workspace_id.map(WorkspaceId), upstream, from, limit };
    answered(operate.open_gates(&open, &operator.named(body.by.as_deref())).await)
}
