//! A caller below HTTP: sends a request, then resets its connection.

use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use super::{
    attio_app::{AttioApp, lead_body},
    harness::{Person, World},
};

/// A connection with a request under way.
pub struct Caller(TcpStream);

/// Presses the button and does not read the answer.
pub async fn post_lead(world: &World, app: &AttioApp, person: &Person) -> Caller {
    let body = lead_body(person).to_string();
    post(world, app, "/v1/leads", body.len(), &body).await
}

/// Tells of the removed connection and sends nothing of the body that it announces.
pub async fn post_connection_removed(world: &World, app: &AttioApp) -> Caller {
    post(world, app, "/v1/events/connection-removed", 9, "").await
}

async fn post(world: &World, app: &AttioApp, path: &str, length: usize, body: &str) -> Caller {
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: connector\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}",
        app.access_token(),
    );
    // Past the door: it would hand on an end, not a reset.
    let mut stream = TcpStream::connect(world.replicas()[0].public).await.expect("the service listens");
    stream.write_all(request.as_bytes()).await.expect("the request goes out");
    Caller(stream)
}

impl Caller {
    /// Hangs up with an RST.
    pub fn reset(self) {
        self.0.set_zero_linger().expect("a socket");
        drop(self.0);
    }
}
