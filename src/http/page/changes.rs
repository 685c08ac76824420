//! What the pages' forms ask for: a retry, a replay, an open gate, a repair.
//!
//! Promises that each is done as the endpoint beside it does it, and answered with a redirect to the page that tells
//! what it came to.

use actix_web::{HttpResponse, web};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    super::{
        operate::{NO_LEAD, NO_WORKSPACE, UPSTREAMS},
        operator::Operator,
        problem::{Problem, Slug},
        reading::Reading,
    },
    answer::{Failure, see},
    form::{Form, given},
    lists::{self, LIMIT, LeadsAt},
    notice, one, overview,
};
use crate::{
    ids::{RecordId, WorkspaceId},
    leads::LetterId,
    operate::{LetterFilter, OpenGates, Operate, Replay, Retry},
};

#[derive(Deserialize)]
pub(super) struct ReplayForm {
    workspace_id: Option<String>,
    record_id: Option<String>,
    id: Option<String>,
    kind: Option<String>,
    reason: Option<String>,
    all: Option<String>,
    cursor: Option<String>,
    /// The letters that the page shows, so that a second click or a sending again replays no others.
    these: Option<String>,
}

/// The leads that a page shows, and where the form stood.
#[derive(Deserialize)]
pub(super) struct RetryForm {
    workspace_id: Option<String>,
    status: Option<String>,
    only: Option<String>,
    cursor: Option<String>,
    /// As those of [`ReplayForm`], each as `workspace/record`.
    these: String,
}

/// With where the form stood: the overview has pages.
#[derive(Deserialize)]
pub(super) struct GateForm {
    workspace_id: Option<String>,
    upstream: Option<String>,
    only: Option<String>,
    cursor: Option<String>,
}

/// As [`GateForm`].
#[derive(Deserialize)]
pub(super) struct RepairForm {
    only: Option<String>,
    cursor: Option<String>,
}

pub(super) async fn retry(
    operator: Operator,
    operate: web::Data<Operate>,
    which: web::Path<(Uuid, Uuid)>,
) -> Result<HttpResponse, Failure> {
    let (workspace, record) = which.into_inner();
    let (workspace, record) = (WorkspaceId(workspace), RecordId(record));
    let Retry::Done(retried) = operate.retry(Some(workspace), record, &operator.0).await? else {
        return Err(Problem::new(Slug::NotFound, NO_LEAD).into());
    };
    Ok(see(&one::here(workspace, record, notice::tried(&retried.tried))))
}

pub(super) async fn retry_these(
    operator: Operator,
    operate: web::Data<Operate>,
    form: Form<RetryForm>,
) -> Result<HttpResponse, Failure> {
    let form = form.0;
    let mut reading = Reading::of_body();
    let place = LeadsAt::read(&mut reading, &form.workspace_id, &form.status, &form.only);
    reading.place(given(&form.cursor));
    let expected = "must be the leads that the page shows";
    let these = reading.read("these", Some(&form.these), expected, |text| shown(text, lead_of));
    reading.done()?;
    let done = operate.retry_these(&these.unwrap_or_default(), &operator.0).await?;
    Ok(see(&place.address(form.cursor, Some(notice::retried(&done)))))
}

pub(super) async fn replay(
    operator: Operator,
    operate: web::Data<Operate>,
    form: Form<ReplayForm>,
) -> Result<HttpResponse, Failure> {
    let form = form.0;
    let mut reading = Reading::of_body();
    let id = "must be the id of a dead letter as the list has it";
    let filter =
        reading.letters(given(&form.workspace_id), given(&form.record_id), given(&form.kind), given(&form.reason));
    let id = reading.read("id", given(&form.id), id, |text| text.parse::<LetterId>().ok());
    let filter = LetterFilter { id, ..filter };
    let from = reading.place(given(&form.cursor));
    let all = reading.flag("all", given(&form.all));
    let detail = "tick it to replay every dead letter that there is, or narrow the list down first";
    reading.is_meant_for_all(filter.is_narrowed(), all, "all", detail);
    if filter.id.is_some() && (filter.workspace.is_none() || filter.record.is_none()) {
        reading.fault("id", "names a letter only together with workspace_id and record_id");
    }
    let expected = "must be the dead letters that the page shows";
    let these = reading.read("these", given(&form.these), expected, |text| shown(text, letter_of));
    reading.done()?;
    if let Some(these) = these {
        let told = notice::replayed(&operate.replay_these(&these, &operator.0).await?);
        return Ok(see(&lists::letters_at(&filter, form.cursor, Some(told))));
    }
    let replay = Replay { filter, from, limit: LIMIT };
    let done = operate.replay(&replay, &operator.0).await?;
    let filter = replay.filter;
    if let (Some(workspace), Some(record), Some(_)) = (filter.workspace, filter.record, filter.id) {
        return Ok(see(&one::here(workspace, record, notice::replayed_one(&done))));
    }
    let told = notice::replayed(&done);
    Ok(see(&lists::letters_at(&filter, done.next_cursor, Some(told))))
}

/// More than so many letters no lead has; a page ends with the lead that fills it.
const LETTERS: usize = 32;

/// At most a page of what `one` reads.
fn shown<T>(text: &str, one: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    text.split_ascii_whitespace().map(one).collect::<Option<Vec<_>>>().filter(|all| all.len() < LIMIT + LETTERS)
}

/// `workspace/record`.
fn lead_of(text: &str) -> Option<(WorkspaceId, RecordId)> {
    let (workspace, record) = text.split_once('/')?;
    Some((WorkspaceId(workspace.parse().ok()?), RecordId(record.parse().ok()?)))
}

/// `workspace/record/id`.
fn letter_of(text: &str) -> Option<(WorkspaceId, RecordId, LetterId)> {
    let (lead, id) = text.rsplit_once('/')?;
    let (workspace, record) = lead_of(lead)?;
    Some((workspace, record, id.parse().ok()?))
}

pub(super) async fn open_gates(
    operator: Operator,
    operate: web::Data<Operate>,
    form: Form<GateForm>,
) -> Result<HttpResponse, Failure> {
    let form = form.0;
    let mut reading = Reading::of_body();
    let workspace = reading.uuid("workspace_id", given(&form.workspace_id)).map(WorkspaceId);
    let expected = "must be one of alc, attio, workflow";
    let known = |text: &str| UPSTREAMS.contains(&text).then(|| text.to_owned());
    let upstream = reading.read("upstream", given(&form.upstream), expected, known);
    let only = reading.uuid("only", given(&form.only)).map(WorkspaceId);
    if given(&form.workspace_id).is_none() {
        reading.fault("workspace_id", "is missing: a page opens the gates of one workspace at a time");
    }
    reading.done()?;
    let done = operate.open_gates(&OpenGates { workspace, upstream, from: None, limit: 1 }, &operator.0).await?;
    Ok(see(&overview::here(only, given(&form.cursor), Some(notice::opened(&done)))))
}

pub(super) async fn repair(
    operator: Operator,
    operate: web::Data<Operate>,
    workspace: web::Path<Uuid>,
    form: Form<RepairForm>,
) -> Result<HttpResponse, Failure> {
    let mut reading = Reading::of_body();
    let only = reading.uuid("only", given(&form.0.only)).map(WorkspaceId);
    reading.done()?;
    let repaired = operate.repair(WorkspaceId(workspace.into_inner()), &operator.0).await?;
    let repaired = repaired.ok_or_else(|| Problem::new(Slug::NotFound, NO_WORKSPACE))?;
    Ok(see(&overview::here(only, given(&form.0.cursor), Some(notice::tried(&repaired.tried)))))
}
