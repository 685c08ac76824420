//! One server behind a door: a network that swallows what is sent, and a password that is refused for a while.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU16, Ordering},
    },
};

use super::*;

/// Leads to a server, until the connections that went through it are told to fall silent.
pub(super) struct Door {
    port: u16,
    target: Arc<AtomicU16>,
    silent: Arc<Mutex<Vec<Arc<AtomicBool>>>>,
}

impl Door {
    pub(super) fn to(server: &RedisServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let silent: Arc<Mutex<Vec<_>>> = Arc::default();
        let target = Arc::new(AtomicU16::new(server.port()));
        let (to, falling_silent) = (Arc::clone(&target), Arc::clone(&silent));
        // They end with the connections, and the listener with the process.
        std::thread::spawn(move || {
            for here in listener.incoming() {
                let here = here.expect("a connection");
                let there = TcpStream::connect(("127.0.0.1", to.load(Ordering::Relaxed))).expect("the server is there");
                let silent = Arc::new(AtomicBool::new(false));
                falling_silent.lock().expect("no panic").push(Arc::clone(&silent));
                for (from, to) in [(&here, &there), (&there, &here)] {
                    let (from, to) = (from.try_clone().expect("a handle"), to.try_clone().expect("a handle"));
                    let silent = Arc::clone(&silent);
                    std::thread::spawn(move || lead_on(from, to, &silent));
                }
            }
        });
        Self { port, target, silent }
    }

    /// A connection made from now on leads to another server, as by a name that was changed.
    pub(super) fn lead_to(&self, server: &RedisServer) {
        self.target.store(server.port(), Ordering::Relaxed);
    }

    /// What is connected now hears nothing more, and is not told so; a connection made from now on does.
    fn fall_silent(&self) {
        for silent in &*self.silent.lock().expect("no panic") {
            silent.store(true, Ordering::Relaxed);
        }
    }

    pub(super) async fn engine(&self) -> RedisEngine {
        let url = format!("redis://127.0.0.1:{}/0", self.port);
        RedisEngine::open(&url.into(), "alc", &Lifecycle::new()).await.expect("it opens")
    }
}

fn lead_on(mut from: TcpStream, mut to: TcpStream, silent: &AtomicBool) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if !silent.load(Ordering::Relaxed) && to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    if !silent.load(Ordering::Relaxed) {
        // It may be gone already.
        drop(to.shutdown(std::net::Shutdown::Both));
    }
}

#[tokio::test]
async fn a_connection_that_falls_silent_is_left_for_another() {
    let server = RedisServer::start();
    let door = Door::to(&server);
    let engine = door.engine().await;
    for n in 0..2 {
        assert_eq!(commit(&engine, vec![put(&lead(n), None, IDLE)], at(0)).await, DONE);
        door.fall_silent();
    }
    let written =
        tokio::time::timeout(Duration::from_secs(10), commit(&engine, vec![put(&lead(2), None, IDLE)], at(0)));
    assert_eq!(written.await.expect("within seconds"), DONE);
}

/// From now on the user `app` gets in with this password alone.
pub(super) fn allow(server: &RedisServer, password: &str) {
    let allowed = server.command(&format!("ACL SETUSER app on resetpass >{password} ~* +@all"));
    assert!(allowed.starts_with("+OK"), "{allowed}");
}

#[tokio::test]
async fn a_password_that_is_refused_for_a_while_is_tried_again() {
    let server = RedisServer::start();
    let allow = |password: &str| allow(&server, password);
    allow("hunter2");
    let url = server.url().replace("redis://", "redis://app:hunter2@");
    let engine = RedisEngine::open(&url.into(), "alc", &Lifecycle::new()).await.expect("it opens");
    allow("hunter3");
    assert!(server.command("CLIENT KILL USER app").starts_with(':'));
    let refused = engine.load(&tenant(), &[lead(1)], &[], at(0)).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    allow("hunter2");
    recovered(&engine).await;
    assert_eq!(commit(&engine, vec![put(&lead(1), None, IDLE)], at(0)).await, DONE);
}
