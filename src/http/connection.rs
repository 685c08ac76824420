//! `GET /v1/connection`: how the token's connection stands.

use actix_web::{HttpResponse, web};

use super::{bearer::Bearer, endpoint::Endpoint, problem::Problem, standing};
use crate::connections::Connections;

/// The endpoints of this resource.
pub fn endpoints() -> [Endpoint; 1] {
    [Endpoint::new("/v1/connection").get(get)]
}

async fn get(bearer: Bearer, connections: web::Data<Connections>) -> Result<HttpResponse, Problem> {
    let view = connections.view(bearer.workspace, bearer.connection).await.map_err(|error| standing::store(&error))?;
    view.map(|view| HttpResponse::Ok().json(view)).map_err(standing::refusal)
}
