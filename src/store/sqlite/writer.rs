//! The one thread that writes.
//!
//! Owns the writing connection and the lock on the database's folder. Promises group commit: whatever waits is written
//! as one transaction and synced once, no caller is answered before the sync, and a job that fails spoils no other.

use std::{
    fs::File,
    sync::{Mutex, PoisonError, mpsc},
    thread::JoinHandle,
};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::failure::{failure, unavailable};
use crate::store::StoreError;

/// Bounds the time that the first of a group waits for the last.
const LARGEST_GROUP: usize = 256;

type Answer<T> = Result<T, StoreError>;

/// A write and the caller that waits for it.
trait Job: Send {
    fn run(&mut self, connection: &Connection) -> Result<(), rusqlite::Error>;
    fn answer(self: Box<Self>, durable: Result<(), StoreError>);
}

struct Waiting<T, F> {
    work: F,
    done: Option<T>,
    reply: oneshot::Sender<Answer<T>>,
}

impl<T: Send, F: FnMut(&Connection) -> Result<T, rusqlite::Error> + Send> Job for Waiting<T, F> {
    fn run(&mut self, connection: &Connection) -> Result<(), rusqlite::Error> {
        self.done = Some((self.work)(connection)?);
        Ok(())
    }

    fn answer(self: Box<Self>, durable: Result<(), StoreError>) {
        let Self { done, reply, .. } = *self;
        let answer = durable.and_then(|()| done.ok_or_else(|| unavailable("the write did not run")));
        // The caller may have hung up; what is written stays written.
        drop(reply.send(answer));
    }
}

enum Message {
    Work(Box<dyn Job>),
    Stop,
}

/// The handle on the writing thread.
pub(super) struct Writer {
    messages: mpsc::Sender<Message>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread. `lock` is let go when it has ended.
    pub(super) fn start(connection: Connection, lock: File) -> std::io::Result<Self> {
        let (messages, inbox) = mpsc::channel();
        let thread = std::thread::Builder::new().name("sqlite-writer".into()).spawn(move || {
            run(&connection, &inbox);
            drop(connection);
            drop(lock);
        })?;
        Ok(Self { messages, thread: Mutex::new(Some(thread)) })
    }

    /// Runs `work` within the next transaction and waits until it is durable.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnMut(&Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    ) -> Answer<T> {
        let (reply, answer) = oneshot::channel();
        let job = Message::Work(Box::new(Waiting { work, done: None, reply }));
        self.messages.send(job).map_err(|_| unavailable("it is closed"))?;
        answer.await.map_err(|_| unavailable("it was closed"))?
    }

    /// Whether the thread has ended by itself: it never should, and takes no write any more.
    pub(super) fn is_dead(&self) -> bool {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        thread.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// Writes what waits, then ends the thread.
    pub(super) async fn stop(&self) {
        // Fails only if the thread has ended already.
        drop(self.messages.send(Message::Stop));
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && tokio::task::spawn_blocking(|| thread.join()).await.is_err()
        {
            tracing::error!("the store's writing thread did not end well");
        }
    }
}

fn run(connection: &Connection, inbox: &mpsc::Receiver<Message>) {
    while let Ok(Message::Work(first)) = inbox.recv() {
        let mut group = vec![first];
        let mut stop = false;
        while group.len() < LARGEST_GROUP
            && !stop
            && let Ok(next) = inbox.try_recv()
        {
            match next {
                Message::Work(job) => group.push(job),
                Message::Stop => stop = true,
            }
        }
        commit_together(connection, group);
        if stop {
            break;
        }
    }
}

fn commit_together(connection: &Connection, group: Vec<Box<dyn Job>>) {
    let mut done = Vec::with_capacity(group.len());
    let mut whole = connection.execute_batch("BEGIN IMMEDIATE").map_err(|error| failure(&error));
    for mut job in group {
        if whole.is_err() {
            job.answer(whole.clone());
            continue;
        }
        match in_savepoint(connection, &mut *job) {
            Ok(()) => done.push(job),
            Err(error) => {
                // A full disk and the like take the whole transaction with them.
                if connection.is_autocommit() {
                    whole = Err(failure(&error));
                }
                job.answer(Err(failure(&error)));
            }
        }
    }
    let whole = whole.and_then(|()| connection.execute_batch("COMMIT").map_err(|error| failure(&error)));
    if whole.is_err() && !connection.is_autocommit() {
        drop(connection.execute_batch("ROLLBACK"));
    }
    for job in done {
        job.answer(whole.clone());
    }
}

fn in_savepoint(connection: &Connection, job: &mut dyn Job) -> Result<(), rusqlite::Error> {
    connection.prepare_cached("SAVEPOINT job")?.execute([])?;
    let outcome = job.run(connection);
    if outcome.is_err() && !connection.is_autocommit() {
        connection.prepare_cached("ROLLBACK TO job")?.execute([])?;
    }
    if !connection.is_autocommit() {
        connection.prepare_cached("RELEASE job")?.execute([])?;
    }
    outcome
}
