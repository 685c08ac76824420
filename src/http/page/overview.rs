//! `/operate`: all workspaces at a glance; loads itself again.

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
    ids::WorkspaceId,
    leads::Status,
    operate::{GateLine, Glance, Operate, Overview, Waiting},
};

/// Seconds until the page loads itself again.
const REFRESH: u32 = 30;

#[derive(Deserialize)]
pub(super) struct Query {
    workspace_id: Option<String>,
    cursor: Option<String>,
    notice: Option<String>,
}

#[derive(Template)]
#[template(path = "operate/overview.html")]
struct OverviewPage {
    frame: Frame,
    at: Moments,
    overview: Overview,
    /// Where the forms come back to.
    only: Option<WorkspaceId>,
    cursor: Option<String>,
    refresh: u32,
}

pub(super) async fn overview(
    _: Operator,
    operate: web::Data<Operate>,
    query: web::Query<Query>,
) -> Result<HttpResponse, Failure> {
    let mut reading = Reading::of_query();
    let only = reading.uuid("workspace_id", given(&query.workspace_id)).map(WorkspaceId);
    let from = reading.place(given(&query.cursor));
    reading.done()?;
    let overview = operate.overview(only, from.as_ref()).await?;
    let cursor = given(&query.cursor).cloned();
    // Without the notice: what is told once is not told for ever.
    let again = here(only, cursor.as_ref(), None);
    let frame = Frame::new("Overview").refreshed(REFRESH, &again).telling(query.notice.as_ref());
    page(&OverviewPage { frame, at: Moments { now: overview.now }, overview, only, cursor, refresh: REFRESH })
}

/// The address of this page.
pub(super) fn here(only: Option<WorkspaceId>, cursor: Option<&String>, notice: Option<String>) -> String {
    let workspace = only.map(|only| only.to_string());
    address("/operate", &[("workspace_id", workspace), ("cursor", cursor.cloned()), ("notice", notice)])
}

impl OverviewPage {
    /// What a gate holds back, and what opening it does.
    fn gate(&self, gate: &GateLine) -> String {
        let failures = gate.failures;
        match &gate.closed_until {
            Some(until) if *until > self.at.now => format!(
                "closed, opens {}; {failures} failures in a row. It opens by itself; open it now once what failed is \
                 mended.",
                self.at.away(until)
            ),
            Some(_) => format!(
                "closed until a probe gets through; {failures} failures in a row. The next request is the probe; open it \
                 now to let all of them go."
            ),
            None => format!(
                "open after {failures} failures in a row; more would close it. Opening it forgets them, and wakes what \
                 waits there."
            ),
        }
    }

    /// Each status: its name, what it means, how many leads there are, and how old the oldest is.
    fn totals(&self) -> Vec<(&'static str, &'static str, u64, Option<String>)> {
        let meanings = [
            (Status::Queued, "ALC does not have them yet"),
            (Status::Pending, "ALC has not answered yet"),
            (Status::Failed, "ended without a result"),
            (Status::Complete, "ended with ALC's result"),
        ];
        let total = |(status, meaning): (Status, _)| {
            let depth = self.overview.totals.iter().find(|depth| depth.status == status.name() && depth.count > 0);
            let oldest = depth.and_then(|depth| depth.oldest).map(|oldest| self.at.away(&oldest));
            (status.name(), meaning, depth.map_or(0, |depth| depth.count), oldest)
        };
        meanings.map(total).to_vec()
    }
}

impl Glance {
    /// What waits: its name, how much, and the query of the list that has it.
    fn waits(&self) -> Vec<(&'static str, &Waiting, &'static str)> {
        vec![
            ("queued", &self.queued, "status=queued"),
            ("pending", &self.pending, "status=pending"),
            ("owed to Attio or a workflow", &self.owed, "only=waiting"),
        ]
    }

    fn is_quiet(&self) -> bool {
        self.trouble.failing == 0 && self.gates.is_empty() && self.advice().is_none()
    }

    fn advice(&self) -> Option<&'static str> {
        self.connection
            .as_ref()
            .map_or(Some("the workspace has left; its leads are forgotten in time"), |story| story.advice)
    }
}

impl Waiting {
    fn told(&self) -> String {
        if self.more { format!("more than {}", self.count) } else { self.count.to_string() }
    }
}
