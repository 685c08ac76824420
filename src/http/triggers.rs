//! `/v1/triggers/{activation_id}`: workflows that hear of every lead that finishes.

use actix_web::{HttpResponse, web};
use serde::Deserialize;

use super::{
    bearer::Bearer,
    endpoint::Endpoint,
    json::{Body, JsonBody},
    problem::{Fault, Problem, Slug},
    standing,
};
use crate::{
    connections::{Connections, MOST_TRIGGERS, TriggerPut, TriggerRefused},
    leads::Leads,
};

/// The longest activation id, in bytes.
const LONGEST_ID: usize = 255;

/// The endpoints of this resource.
pub fn endpoints() -> [Endpoint; 1] {
    [Endpoint::new("/v1/triggers/{activation_id}").put(put).delete(delete)]
}

/// A trigger as the Attio app activates it.
#[derive(Deserialize)]
struct TriggerBody {
    callback_url: String,
}

impl Body for TriggerBody {}

async fn put(
    bearer: Bearer,
    connections: web::Data<Connections>,
    leads: web::Data<Leads>,
    activation: web::Path<String>,
    body: JsonBody<TriggerBody>,
) -> Result<HttpResponse, Problem> {
    if activation.len() > LONGEST_ID || activation.chars().any(char::is_control) {
        return Err(Problem::invalid(vec![Fault {
            pointer: "#/path/activation_id".to_owned(),
            detail: format!("must have at most {LONGEST_ID} bytes and no control characters"),
        }]));
    }
    let url = leads.callback_url(&body.0.callback_url).map_err(|refused| {
        Problem::invalid(vec![Fault { pointer: "/callback_url".to_owned(), detail: refused.to_string() }])
    })?;
    let put = connections.put_trigger(bearer.workspace, bearer.connection, &activation, &url.to_secret()).await;
    match put.map_err(|error| standing::store(&error))? {
        Ok(TriggerPut::Created(trigger)) => Ok(HttpResponse::Created().json(trigger)),
        Ok(TriggerPut::Replaced(trigger)) => Ok(HttpResponse::Ok().json(trigger)),
        Err(TriggerRefused::Standing(found)) => Err(standing::refusal(found)),
        Err(TriggerRefused::TooMany) => Err(Problem::new(
            Slug::TooManyCallbacks,
            format!("The workspace has {MOST_TRIGGERS} triggers already: deactivate one first."),
        )),
    }
}

async fn delete(
    bearer: Bearer,
    connections: web::Data<Connections>,
    activation: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let deleted = connections.delete_trigger(bearer.workspace, bearer.connection, &activation).await;
    match deleted.map_err(|error| standing::store(&error))? {
        Ok(()) => Ok(HttpResponse::NoContent().finish()),
        Err(found) => Err(standing::refusal(found)),
    }
}
