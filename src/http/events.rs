//! `/v1/events/*`: what happens to the connection inside Attio.

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Payload},
};
use serde::Deserialize;

use super::{
    bearer::{AnyBearer, Bearer},
    endpoint::Endpoint,
    json::{self, Body, JsonBody},
    problem::{Problem, Slug},
    standing,
};
use crate::{
    connections::{ConnectError, Connections, Standing},
    lifecycle::{self, Lifecycle},
};

/// The endpoints of this resource.
pub fn endpoints() -> [Endpoint; 2] {
    [
        Endpoint::new("/v1/events/connection-added").post(added),
        Endpoint::new("/v1/events/connection-removed").post(removed),
    ]
}

/// Attio's Connection object, as far as it is read.
#[derive(Deserialize)]
struct EventBody {
    connection: EventConnection,
}

#[derive(Deserialize)]
struct EventConnection {
    #[serde(rename = "ownedBy")]
    owned_by: OwnedBy,
}

#[derive(Deserialize)]
struct OwnedBy {
    r#type: String,
    id: String,
}

impl Body for EventBody {}

async fn added(
    bearer: Bearer,
    connections: web::Data<Connections>,
    body: JsonBody<EventBody>,
) -> Result<HttpResponse, Problem> {
    let OwnedBy { r#type, id } = body.0.connection.owned_by;
    let connected = connections.connection_added(bearer.workspace, bearer.connection, &r#type, &id).await;
    let connected = connected.map_err(refusal)?;
    let mut response = if connected.newly { HttpResponse::Created() } else { HttpResponse::Ok() };
    Ok(response.json(connected.view))
}

/// Any token that we once signed will do, and no body can be wrong: all that this can do is stop, and a refusal would
/// keep the connection in Attio.
async fn removed(
    bearer: AnyBearer,
    connections: web::Data<Connections>,
    lifecycle: web::Data<Lifecycle>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    // Begun before anything can go wrong, in a task of its own: a caller that hangs up has said all that it has to say.
    let connections = connections.get_ref().clone();
    let removal = lifecycle.spawn(async move { connections.remove(bearer.workspace, bearer.connection).await });
    // Read, so that the connection can be used again; what it says is known from the token.
    let _ = json::read(&request, payload.into_inner(), json::LIMIT).await;
    let removed = removal.await.unwrap_or_else(|error| lifecycle::resume(error));
    removed.map_err(|error| standing::store(&error))?;
    Ok(HttpResponse::Accepted().json(serde_json::json!({})))
}

fn refusal(error: ConnectError) -> Problem {
    match error {
        ConnectError::WorkspaceConnectionRequired => Problem::new(
            Slug::WorkspaceConnectionRequired,
            "Connect ALC for the whole workspace: a connection of a single user cannot be used.",
        ),
        ConnectError::WorkspaceMismatch(detail) => Problem::new(Slug::WorkspaceMismatch, detail),
        ConnectError::WorkspaceRefused(detail) => Problem::new(Slug::WorkspaceRefused, detail),
        ConnectError::Unknown => standing::refusal(Standing::Unknown),
        ConnectError::Leaving => standing::refusal(Standing::Leaving),
        ConnectError::Replaced => standing::refusal(Standing::Replaced),
        ConnectError::Refused(detail) => Problem::new(Slug::ConnectRefused, detail),
        ConnectError::ReauthorizationRequired => standing::reauthorization_required(),
        ConnectError::Unavailable(detail) => Problem::new(Slug::UpstreamFailed, detail),
        ConnectError::Timeout => Problem::new(
            Slug::Timeout,
            "ALC or Attio took more than 20 seconds. What was made is undone: connect again in a minute.",
        )
        .retry_after(Duration::from_secs(60)),
        ConnectError::Store(error) => standing::store(&error),
    }
}
