//! `/operate/page/leads` and `/operate/page/dead-letters`: lists with a filter, page by page.

use actix_web::{HttpResponse, web};
use askama::Template;
use serde::Deserialize;

use super::{
    super::{operator::Operator, reading::Reading},
    answer::{Failure, Frame, address, page},
    form::given,
    moments::Moments,
};
use crate::{
    ids::{RecordId, WorkspaceId},
    leads::{DeadLetter, LeadSummary, LetterKind, Status},
    operate::{LeadFilter, LetterFilter, Operate},
};

/// Entries of a page.
pub(super) const LIMIT: usize = 50;

/// What either list is asked for.
#[derive(Deserialize, Default)]
pub(super) struct Query {
    workspace_id: Option<String>,
    record_id: Option<String>,
    status: Option<String>,
    kind: Option<String>,
    reason: Option<String>,
    /// `waiting`, `failing`, or all.
    only: Option<String>,
    cursor: Option<String>,
    notice: Option<String>,
}

#[derive(Template)]
#[template(path = "operate/leads.html")]
struct LeadsPage {
    frame: Frame,
    at: Moments,
    query: Query,
    leads: Vec<LeadSummary>,
    next: Option<String>,
}

/// Which leads the list shows.
pub(super) struct LeadsAt {
    workspace: Option<WorkspaceId>,
    status: Option<Status>,
    only: Option<String>,
}

impl LeadsAt {
    pub(super) fn read(
        reading: &mut Reading,
        workspace: &Option<String>,
        status: &Option<String>,
        only: &Option<String>,
    ) -> Self {
        let known = |only: &str| ["waiting", "failing"].contains(&only).then(|| only.to_owned());
        Self {
            workspace: reading.uuid("workspace_id", given(workspace)).map(WorkspaceId),
            status: reading.status(given(status)),
            only: reading.read("only", given(only), "must be waiting or failing", known),
        }
    }

    fn filter(&self) -> LeadFilter {
        let is = |word| self.only.as_deref() == Some(word);
        let (waiting, failing) = (is("waiting"), is("failing"));
        LeadFilter { workspace: self.workspace, status: self.status, reason: None, waiting, failing }
    }

    /// The address of the list.
    pub(super) fn address(&self, cursor: Option<String>, notice: Option<String>) -> String {
        let query = [
            ("workspace_id", self.workspace.map(|workspace| workspace.to_string())),
            ("status", self.status.map(|status| status.name().to_owned())),
            ("only", self.only.clone()),
            ("cursor", cursor.filter(|cursor| !cursor.is_empty())),
            ("notice", notice),
        ];
        address("/operate/page/leads", &query)
    }
}

pub(super) async fn leads(
    _: Operator,
    operate: web::Data<Operate>,
    query: web::Query<Query>,
) -> Result<HttpResponse, Failure> {
    let query = query.into_inner();
    let mut reading = Reading::of_query();
    let record = reading.uuid("record_id", given(&query.record_id)).map(RecordId);
    let place = LeadsAt::read(&mut reading, &query.workspace_id, &query.status, &query.only);
    let from = reading.place(given(&query.cursor));
    reading.done()?;
    let (leads, next) = if let Some(record) = record {
        let stories = operate.lead(place.workspace, record).await?;
        (stories.leads.into_iter().map(|story| story.summary).collect(), None)
    } else {
        let found = operate.leads(&place.filter(), from.as_ref(), LIMIT).await?;
        (found.leads, found.next_cursor)
    };
    let next = next.map(|cursor| place.address(Some(cursor), None));
    let at = Moments { now: operate.now() };
    page(&LeadsPage { frame: Frame::new("Leads").telling(query.notice.as_ref()), at, query, leads, next })
}

impl LeadsPage {
    /// Those for which something is still to be done: what else is shown has nothing to be tried.
    fn waiting(&self) -> Vec<&LeadSummary> {
        self.leads.iter().filter(|lead| lead.waiting).collect()
    }
}

#[derive(Template)]
#[template(path = "operate/dead_letters.html")]
struct LettersPage {
    frame: Frame,
    at: Moments,
    query: Query,
    letters: Vec<DeadLetter>,
    next: Option<String>,
    is_narrowed: bool,
}

pub(super) async fn dead_letters(
    _: Operator,
    operate: web::Data<Operate>,
    query: web::Query<Query>,
) -> Result<HttpResponse, Failure> {
    let query = query.into_inner();
    let mut reading = Reading::of_query();
    let filter =
        reading.letters(given(&query.workspace_id), given(&query.record_id), given(&query.kind), given(&query.reason));
    let from = reading.place(given(&query.cursor));
    reading.done()?;
    let found = operate.dead_letters(&filter, from.as_ref(), LIMIT).await?;
    let next = found.next_cursor.map(|cursor| letters_at(&filter, Some(cursor), None));
    let frame = Frame::new("Dead letters").telling(query.notice.as_ref());
    let is_narrowed = filter.is_narrowed();
    let at = Moments { now: operate.now() };
    page(&LettersPage { frame, at, query, letters: found.dead_letters, next, is_narrowed })
}

/// The address of the list of what that filter finds.
pub(super) fn letters_at(filter: &LetterFilter, cursor: Option<String>, notice: Option<String>) -> String {
    let query = [
        ("workspace_id", filter.workspace.map(|workspace| workspace.to_string())),
        ("record_id", filter.record.map(|record| record.to_string())),
        ("kind", filter.kind.map(|kind| kind.name().to_owned())),
        ("reason", filter.reason.clone()),
        ("cursor", cursor),
        ("notice", notice),
    ];
    address("/operate/page/dead-letters", &query)
}

impl Query {
    fn says(&self, field: &Option<String>, value: &str) -> bool {
        field.as_deref() == Some(value)
    }

    fn kinds(&self) -> [&'static str; 3] {
        LetterKind::ALL.map(LetterKind::name)
    }

    fn statuses(&self) -> Vec<&'static str> {
        Status::ALL.iter().map(|status| status.name()).collect()
    }
}
