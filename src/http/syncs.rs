//! `/operate/syncs`: full syncs begun, and how far they are.

use actix_web::{HttpResponse, web};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    endpoint::Endpoint,
    json::{Body, JsonBody},
    operate::{NO_WORKSPACE, Query, answered, found},
    operator::Operator,
    problem::Problem,
    reading::Reading,
};
use crate::{ids::WorkspaceId, operate::Operate};

/// The endpoint of syncs.
pub fn endpoints() -> [Endpoint; 1] {
    [Endpoint::new("/operate/syncs").get(syncs).post(begin)]
}

#[derive(Deserialize)]
struct SyncBody {
    workspace_id: Option<Uuid>,
    #[serde(default)]
    all: Option<bool>,
    #[serde(default)]
    mend: Option<bool>,
    limit: Option<usize>,
    cursor: Option<String>,
    by: Option<String>,
}

impl Body for SyncBody {}

async fn syncs(_: Operator, operate: web::Data<Operate>, query: web::Query<Query>) -> Result<HttpResponse, Problem> {
    let mut reading = Reading::of_query();
    let workspace = reading.uuid("workspace_id", query.workspace_id.as_ref()).map(WorkspaceId);
    let (from, limit) = (reading.place(query.cursor.as_ref()), reading.limit(query.limit.as_ref()));
    reading.done()?;
    answered(operate.syncs(workspace, from.as_ref(), limit).await)
}

async fn begin(
    operator: Operator,
    operate: web::Data<Operate>,
    body: JsonBody<SyncBody>,
) -> Result<HttpResponse, Problem> {
    let body = body.0;
    let mut reading = Reading::of_body();
    let from = reading.place(body.cursor.as_ref());
    let limit = reading.limit_of_body(body.limit);
    let detail = "name workspace_id, or all: true for every workspace that there is";
    reading.is_meant_for_all(body.workspace_id.is_some(), body.all == Some(true), "", detail);
    reading.done()?;
    let wish = (body.workspace_id.map(WorkspaceId), body.mend == Some(true));
    let by = operator.named(body.by.as_deref());
    found(operate.begin_syncs(wish, from.as_ref(), limit, &by).await, NO_WORKSPACE)
}
