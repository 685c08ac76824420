//! `/operate/page/leads/{workspace_id}/{record_id}`: what happened to a record, what comes next, and why.

use actix_web::{HttpResponse, web};
use askama::Template;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    super::{
        operate::NO_LEAD,
        operator::Operator,
        problem::{Problem, Slug},
    },
    answer::{Failure, Frame, address, page},
    moments::Moments,
};
use crate::{
    ids::{RecordId, WorkspaceId},
    leads::LeadStory,
    operate::Operate,
};

#[derive(Deserialize)]
pub(super) struct Query {
    notice: Option<String>,
}

#[derive(Template)]
#[template(path = "operate/lead.html")]
struct LeadPage {
    frame: Frame,
    at: Moments,
    lead: LeadStory,
}

pub(super) async fn lead(
    _: Operator,
    operate: web::Data<Operate>,
    which: web::Path<(Uuid, Uuid)>,
    query: web::Query<Query>,
) -> Result<HttpResponse, Failure> {
    let (workspace, record) = which.into_inner();
    let stories = operate.lead(Some(WorkspaceId(workspace)), RecordId(record)).await?;
    let Some(lead) = stories.leads.into_iter().next() else {
        return Err(Problem::new(Slug::NotFound, NO_LEAD).into());
    };
    let frame = Frame::new("Lead").telling(query.notice.as_ref());
    page(&LeadPage { frame, at: Moments { now: operate.now() }, lead })
}

/// The address of this page.
pub(super) fn here(workspace: WorkspaceId, record: RecordId, notice: String) -> String {
    address(&format!("/operate/page/leads/{workspace}/{record}"), &[("notice", Some(notice))])
}

impl LeadPage {
    /// ALC may have the present send: then no try is made before its time.
    fn is_doubted(&self) -> bool {
        self.lead.sends.first().is_some_and(|send| send.at_alc == "unknown")
    }
}

/// The word that the endpoints have for it.
pub(super) fn word(of: &impl Serialize) -> String {
    serde_json::to_value(of).ok().and_then(|value| Some(value.as_str()?.to_owned())).unwrap_or_else(|| "–".to_owned())
}
