//! One pretend service on one port.
//!
//! Owns the listener and the order of things for each request: recorded, held, done, held, answered or mistreated.
//! Promises that `go_down` and `stop` return only once the port refuses, and that dropping the last handle stops it.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::{
    Fault, Faults, Journal, Oddity, Reply, Request, Stage,
    control::control,
    message::Connection,
    service::{Desk, Service},
};
use crate::ambient::{self, Time};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Up,
    Down,
    Stopped,
}

/// A running pretend service. Clones share it; dropping the last stops it.
#[derive(Debug, Clone)]
pub struct Server {
    address: SocketAddr,
    wanted: Arc<watch::Sender<Phase>>,
    settled: watch::Receiver<Phase>,
    faults: Faults,
    journal: Journal,
    time: Time,
}

impl Server {
    /// Starts `service` on `127.0.0.1:port`; port 0 takes any free one.
    pub async fn start(port: u16, service: Arc<dyn Service>, time: Time) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let address = listener.local_addr()?;
        let (wanted, phase) = watch::channel(Phase::Up);
        let (settling, settled) = watch::channel(Phase::Up);
        let faults = Faults::new(service.operations());
        let journal = Journal::new(service.operations());
        let desk = Arc::new(Desk { service, faults: faults.clone(), journal: journal.clone(), time: time.clone() });
        ambient::spawn(listen(listener, address, desk, phase, settling));
        Ok(Self { address, wanted: Arc::new(wanted), settled, faults, journal, time })
    }

    /// `http://127.0.0.1:<port>`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What goes wrong.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// What came in.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Its clock.
    pub fn time(&self) -> &Time {
        &self.time
    }

    /// The port refuses connections from now on; open ones are cut. State stays.
    pub async fn go_down(&self) {
        self.settle(Phase::Down).await;
    }

    /// Listens again, on the same port.
    pub async fn come_up(&self) {
        self.settle(Phase::Up).await;
    }

    /// Ends for good.
    pub async fn stop(&self) {
        self.settle(Phase::Stopped).await;
    }

    async fn settle(&self, phase: Phase) {
        self.wanted.send_replace(phase);
        // An error means that the listening task has ended: then the port refuses already.
        drop(self.settled.clone().wait_for(|settled| *settled == phase).await);
    }
}

async fn listen(
    first: TcpListener,
    address: SocketAddr,
    desk: Arc<Desk>,
    mut wanted: watch::Receiver<Phase>,
    settled: watch::Sender<Phase>,
) {
    let mut listener = Some(first);
    loop {
        let phase = *wanted.borrow_and_update();
        match phase {
            Phase::Up if listener.is_none() => listener = TcpListener::bind(address).await.ok(),
            Phase::Up => {}
            Phase::Down | Phase::Stopped => listener = None,
        }
        settled.send_replace(phase);
        let Some(open) = &listener else {
            if phase == Phase::Stopped || wanted.changed().await.is_err() {
                return;
            }
            continue;
        };
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() { return },
            accepted = open.accept() => if let Ok((stream, _)) = accepted {
                let (desk, mut wanted) = (desk.clone(), wanted.clone());
                ambient::spawn(async move {
                    tokio::select! {
                        () = converse(stream, &desk) => {}
                        _ = wanted.wait_for(|phase| *phase != Phase::Up) => {}
                    }
                });
            }
        }
    }
}

async fn converse(stream: TcpStream, desk: &Desk) {
    let mut connection = Connection::new(stream);
    let mut is_worn = false;
    while let Ok(Some(request)) = connection.request().await {
        let close = request.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        let outcome = if request.path.starts_with("/_sandbox/") {
            Outcome::Answer(control(desk, &request).await)
        } else {
            desk.serve(&request, is_worn).await
        };
        is_worn = true;
        match outcome.put(connection, desk).await {
            Some(same) if !close => connection = same,
            _ => return,
        }
    }
}

/// How a request ends on the wire.
enum Outcome {
    Answer(Reply),
    Close,
    Hang,
    Reset,
    Truncated(Reply),
    /// Truncated, but only of what would come behind the body.
    CutBehind(Reply),
}

impl Desk {
    async fn serve(&self, request: &Request, is_worn: bool) -> Outcome {
        let operation = self.service.operation(request).unwrap_or("unknown");
        let fault = self.faults.take(operation, request);
        let order = self.journal.arrived(self.time.now(), operation, request, &fault);
        self.faults.wait(operation, Stage::Before).await;
        let outcome = match fault {
            Fault::Refuse => return Outcome::Close,
            Fault::WornOut if is_worn => return Outcome::Close,
            Fault::Hang => return Outcome::Hang,
            Fault::Status { status, headers, body } => Outcome::Answer(Reply {
                headers: [reply_of(status, &body).headers, headers].concat(),
                ..reply_of(status, &body)
            }),
            done => mistreat(done, self.service.answer(request).await).await,
        };
        self.faults.wait(operation, Stage::After).await;
        if let Outcome::Answer(reply) | Outcome::Truncated(reply) | Outcome::CutBehind(reply) = &outcome {
            self.journal.answered(order, reply);
        }
        outcome
    }
}

/// What becomes of the true answer of work that was done.
async fn mistreat(fault: Fault, reply: Reply) -> Outcome {
    match fault {
        Fault::DoneButHang => Outcome::Hang,
        Fault::Reset => Outcome::Reset,
        Fault::Truncated => Outcome::Truncated(reply),
        Fault::Late { millis } => {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            Outcome::Answer(reply)
        }
        Fault::DoneBut { status, body } => Outcome::Answer(reply_of(status, &body)),
        Fault::Garbage => Outcome::Answer(Reply::of(200, "application/json", "<html>{\"id\": ".to_owned())),
        Fault::Huge { bytes } => {
            Outcome::Answer(Reply::of(200, "application/json", format!("\"{}\"", "x".repeat(bytes.saturating_sub(2)))))
        }
        Fault::Odd { form: Oddity::CutBehind } => Outcome::CutBehind(reply),
        Fault::Odd { form } => Outcome::Answer(form.write(reply)),
        Fault::Pass | Fault::Refuse | Fault::WornOut | Fault::Status { .. } | Fault::Hang => Outcome::Answer(reply),
    }
}

fn reply_of(status: u16, body: &Value) -> Reply {
    match body {
        Value::Null => Reply::empty(status),
        Value::String(text) => Reply::of(status, "text/plain", text.clone()),
        json => Reply::json(status, json),
    }
}

impl Outcome {
    /// Puts it on the wire; gives the connection back if it can be used again.
    async fn put(self, mut connection: Connection, desk: &Desk) -> Option<Connection> {
        match self {
            Self::Answer(reply) => {
                let head = reply.head(desk.time.now(), reply.body.len());
                connection.send(&head, &reply.body).await.ok().map(|()| connection)
            }
            Self::Truncated(reply) => {
                // At least one byte must be missing, even from an empty body.
                let head = reply.head(desk.time.now(), reply.body.len() + 1);
                drop(connection.send(&head, &reply.body[..reply.body.len() / 2]).await);
                None
            }
            Self::CutBehind(reply) => {
                let head = reply.head(desk.time.now(), reply.body.len() + 9);
                drop(connection.send(&head, &reply.body).await);
                None
            }
            Self::Close => None,
            Self::Hang => {
                let _withheld = desk.faults.withhold();
                connection.hang().await;
                None
            }
            Self::Reset => {
                connection.reset();
                None
            }
        }
    }
}
