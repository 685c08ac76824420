//! One caller of a service: one connection, one request at a time; and how its requests are made.
//!
//! hyper's connection without a pool around it: what the generator costs is missing to the services on the same cores.

use std::net::SocketAddr;

use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, StatusCode,
    body::Bytes,
    client::conn::http1::{SendRequest, handshake},
    header::{AUTHORIZATION, CONTENT_TYPE, HOST},
    http::request,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::ambient::spawn;

/// What a caller sends.
pub(crate) type Call = Request<Full<Bytes>>;

/// What it got: the status and the body.
pub(crate) type Answer = (StatusCode, Bytes);

/// A connection, made when first needed and again when the service has closed it.
pub(crate) struct Caller {
    service: SocketAddr,
    open: Option<SendRequest<Full<Bytes>>>,
}

impl Caller {
    pub(crate) fn to(service: SocketAddr) -> Self {
        Self { service, open: None }
    }

    pub(crate) async fn call(&mut self, call: Call) -> Result<Answer, String> {
        let answer = self.attempt(call).await;
        if answer.is_err() {
            self.open = None;
        }
        answer.map_err(|error| format!("no answer: {error}"))
    }

    async fn attempt(&mut self, call: Call) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        // The connection is used only by this caller, so it is closed now or will take the request.
        let usable = match &mut self.open {
            Some(open) => open.ready().await.is_ok(),
            None => false,
        };
        if !usable {
            let stream = TcpStream::connect(self.service).await?;
            stream.set_nodelay(true)?;
            let (open, connection) = handshake(TokioIo::new(stream)).await?;
            spawn(connection);
            self.open = Some(open);
        }
        let Some(open) = &mut self.open else { return Err("no connection".into()) };
        let answer = open.send_request(call).await?;
        let status = answer.status();
        Ok((status, answer.into_body().collect().await?.to_bytes()))
    }
}

/// A request to a service, without a body yet.
pub(crate) fn request(method: &str, service: SocketAddr, path: &str) -> request::Builder {
    Request::builder().method(method).uri(path).header(HOST, service.to_string())
}

/// With its body. All that the bench puts into a request is valid there.
pub(crate) fn whole(request: request::Builder, body: String) -> Call {
    request.body(Full::new(Bytes::from(body))).expect("a request of the bench's own is well-formed")
}

/// `GET path`.
pub(crate) fn get(service: SocketAddr, path: &str) -> Call {
    whole(request("GET", service, path), String::new())
}

/// `POST path` with a bearer token and JSON.
pub(crate) fn post_json(service: SocketAddr, path: &str, bearer: &str, body: String) -> Call {
    let request = request("POST", service, path).header(AUTHORIZATION, bearer);
    whole(request.header(CONTENT_TYPE, "application/json"), body)
}
