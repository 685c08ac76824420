//! `/v1/leads`: the button, and what became of it.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use tracing::{Span, field::display};
use uuid::Uuid;

use super::{
    bearer::Bearer,
    endpoint::Endpoint,
    json::{Body, JsonBody},
    problem::{Fault, Problem, Slug},
    standing,
};
use crate::{
    ids::RecordId,
    leads::{Accepted, Leads, MOST_WAITING, Name, NewLead, PhoneNumber, ReadRefused, SendRefused, Status},
    store::Cursor,
    telemetry::traces,
};

/// The longest `Idempotency-Key`.
const LONGEST_KEY: usize = 255;
const LIMITS: std::ops::RangeInclusive<usize> = 1..=100;
const USUAL_LIMIT: usize = 50;

/// The endpoints of this resource.
pub fn endpoints() -> [Endpoint; 2] {
    [Endpoint::new("/v1/leads").post(send).get(page), Endpoint::new("/v1/leads/{record_id}").get(get)]
}

/// A lead as the Attio app sends it.
#[derive(Deserialize)]
pub(super) struct SendBody {
    record_id: Uuid,
    name: String,
    phone_number: String,
    finish_callback_url: Option<String>,
}

impl Body for SendBody {}

/// The query of a page.
#[derive(Deserialize)]
struct PageQuery {
    status: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

async fn send(
    bearer: Bearer,
    request: HttpRequest,
    leads: web::Data<Leads>,
    body: JsonBody<SendBody>,
) -> Result<HttpResponse, Problem> {
    Span::current().record("record", display(body.0.record_id));
    traces::tell("alc_connector.record", body.0.record_id);
    let new = checked(&body.0, &leads)?;
    let key = idempotency_key(&request)?;
    match leads.send(bearer.workspace, bearer.connection, new, key).await {
        Ok(Accepted::Sent(lead)) => Ok(HttpResponse::Created().json(lead)),
        Ok(Accepted::Queued(lead)) => Ok(HttpResponse::Accepted().json(lead)),
        Ok(Accepted::Joined(lead)) => Ok(HttpResponse::Ok().json(lead)),
        Err(refused) => Err(refusal(refused)),
    }
}

async fn get(bearer: Bearer, leads: web::Data<Leads>, record: web::Path<Uuid>) -> Result<HttpResponse, Problem> {
    let record = RecordId(record.into_inner());
    Span::current().record("record", display(record));
    traces::tell("alc_connector.record", record);
    match leads.get(bearer.workspace, bearer.connection, record).await.map_err(unreadable)? {
        Some(lead) => Ok(HttpResponse::Ok().json(lead)),
        None => Err(Problem::new(Slug::NotFound, "No lead of this record was sent: send it first.")),
    }
}

async fn page(bearer: Bearer, leads: web::Data<Leads>, query: web::Query<PageQuery>) -> Result<HttpResponse, Problem> {
    let mut faults = Vec::new();
    let mut fault = |name: &str, detail: String| faults.push(Fault { pointer: format!("#/query/{name}"), detail });
    let status = query.status.as_deref().and_then(|name| {
        let status = Status::from_name(name);
        if status.is_none() {
            fault("status", "must be one of queued, pending, complete, failed".to_owned());
        }
        status
    });
    let limit = query.limit.as_deref().map_or(Some(USUAL_LIMIT), |limit| limit.parse().ok());
    let limit = limit.filter(|limit| LIMITS.contains(limit));
    if limit.is_none() {
        fault("limit", format!("must be a whole number from {} to {}", LIMITS.start(), LIMITS.end()));
    }
    let cursor = query.cursor.as_deref().map(str::parse::<Cursor>).transpose();
    if let Err(error) = &cursor {
        fault("cursor", error.to_string());
    }
    let (true, Some(limit), Ok(cursor)) = (faults.is_empty(), limit, cursor) else {
        return Err(Problem::invalid(faults));
    };
    let page = leads.page(bearer.workspace, bearer.connection, status, cursor.as_ref(), limit).await;
    Ok(HttpResponse::Ok().json(page.map_err(unreadable)?))
}

/// The body with every fault at once.
pub(super) fn checked(body: &SendBody, leads: &Leads) -> Result<NewLead, Problem> {
    let fault = |name: &str, detail| Fault { pointer: format!("/{name}"), detail };
    let name = Name::parse(&body.name).map_err(|detail| fault("name", detail));
    let phone_number =
        PhoneNumber::parse(&body.phone_number, leads.default_region()).map_err(|detail| fault("phone_number", detail));
    let url = body.finish_callback_url.as_deref().map(|url| leads.callback_url(url)).transpose();
    let url = url.map_err(|refused| fault("finish_callback_url", refused.to_string()));
    match (name, phone_number, url) {
        (Ok(name), Ok(phone_number), Ok(finish_callback_url)) => {
            Ok(NewLead { record_id: RecordId(body.record_id), name, phone_number, finish_callback_url })
        }
        (name, phone_number, url) => {
            Err(Problem::invalid(name.err().into_iter().chain(phone_number.err()).chain(url.err()).collect()))
        }
    }
}

pub(super) fn idempotency_key(request: &HttpRequest) -> Result<Option<&str>, Problem> {
    let mut headers = request.headers().get_all("idempotency-key");
    let Some(header) = headers.next() else { return Ok(None) };
    let usable = |key: &&str| {
        (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
    };
    match (header.to_str().ok().map(str::trim).filter(usable), headers.next()) {
        (Some(key), None) => Ok(Some(key)),
        _ => Err(Problem::invalid(vec![Fault {
            pointer: "#/header/idempotency-key".to_owned(),
            detail: format!("must be one key of 1 to {LONGEST_KEY} printable ASCII characters"),
        }])),
    }
}

pub(super) fn refusal(refused: SendRefused) -> Problem {
    match refused {
        SendRefused::Rejected(lead) => {
            let words = lead.last_error.clone().unwrap_or_else(|| "ALC gave no reason.".to_owned());
            Problem::new(Slug::LeadRejected, words).with("lead", lead)
        }
        SendRefused::ReauthorizationRequired(lead) => {
            let problem = standing::reauthorization_required();
            match lead {
                Some(lead) => problem.with("lead", lead),
                None => problem,
            }
        }
        SendRefused::Standing(found) => standing::refusal(found),
        SendRefused::KeyReused => Problem::new(
            Slug::IdempotencyKeyReused,
            "This Idempotency-Key came with another body within the last day: use a new key for a new request.",
        ),
        SendRefused::TooManyWaiting(_) => Problem::new(
            Slug::TooManyCallbacks,
            format!(
                "{MOST_WAITING} workflow steps wait for this record's send already: send it without \
                 finish_callback_url, or once that send has finished."
            ),
        ),
        SendRefused::Store(error) => standing::store(&error),
    }
}

pub(super) fn unreadable(refused: ReadRefused) -> Problem {
    match refused {
        ReadRefused::Standing(found) => standing::refusal(found),
        ReadRefused::Store(error) => standing::store(&error),
    }
}
