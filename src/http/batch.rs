//! `/v1/leads/batch`: many leads in one request, each with an answer of its own.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use uuid::Uuid;

use super::{
    bearer::Bearer,
    endpoint::Endpoint,
    json::{BATCH_LIMIT, Body, JsonBody, convert},
    leads::{checked, idempotency_key, refusal, unreadable},
    problem::{Fault, Problem},
};
use crate::leads::{Accepted, Leads};

/// How many leads a batch has: Attio's bulk actions hand over no more.
const ITEMS: std::ops::RangeInclusive<usize> = 1..=250;

/// The endpoints of this resource. Before those of `/v1/leads/{record_id}`.
pub fn endpoints() -> [Endpoint; 1] {
    [Endpoint::new("/v1/leads/batch").post(send)]
}

/// The items are read one by one: a bad one stops no other, whatever is bad in it.
#[derive(Deserialize)]
struct BatchBody {
    leads: Vec<Box<RawValue>>,
}

/// What tells a refused item from the others.
#[derive(Deserialize)]
struct ItemRecord {
    record_id: Uuid,
}

impl Body for BatchBody {
    const LIMIT: usize = BATCH_LIMIT;
}

async fn send(
    bearer: Bearer,
    request: HttpRequest,
    leads: web::Data<Leads>,
    body: JsonBody<BatchBody>,
) -> Result<HttpResponse, Problem> {
    let key = idempotency_key(&request)?;
    let items = body.0.leads;
    if !ITEMS.contains(&items.len()) {
        let detail = format!("must have {} to {} items", ITEMS.start(), ITEMS.end());
        return Err(Problem::invalid(vec![Fault { pointer: "/leads".to_owned(), detail }]));
    }
    let mut good = Vec::with_capacity(items.len());
    let mut records = Vec::with_capacity(items.len());
    // `None`: to be answered by what becomes of it.
    let mut results: Vec<Option<Value>> = Vec::with_capacity(items.len());
    for item in items {
        let record = serde_json::from_str(item.get()).ok().map(|ItemRecord { record_id }| record_id);
        records.push(record);
        match convert(item.get()).and_then(|item| checked(&item, &leads)) {
            Ok(new) => {
                good.push(new);
                results.push(None);
            }
            Err(problem) => results.push(Some(refused(record, &problem))),
        }
    }
    let mut pressed =
        leads.send_batch(bearer.workspace, bearer.connection, good, key).await.map_err(unreadable)?.into_iter();
    let mut answers = Vec::with_capacity(results.len());
    for (unreadable, record) in results.into_iter().zip(records) {
        let answer = unreadable.or_else(|| {
            pressed.next().map(|pressed| match pressed {
                Ok(Accepted::Sent(lead) | Accepted::Queued(lead) | Accepted::Joined(lead)) => json!(lead),
                Err(found) => refused(record, &refusal(found)),
            })
        });
        answers.extend(answer);
    }
    Ok(HttpResponse::Accepted().json(json!({ "results": answers })))
}

fn refused(record: Option<Uuid>, problem: &Problem) -> Value {
    json!({ "record_id": record, "problem": problem.to_value(None) })
}
