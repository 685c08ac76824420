//! The limit's store: one durable write, and nothing that could be asked of it later.
//!
//! On Redis a write is one script that keeps the document and its due time. On SQLite one thread writes, and commits
//! together what has come in meanwhile, as a store with group commit does.

use std::sync::mpsc;

use redis::{Script, aio::MultiplexedConnection};
use rusqlite::Connection;
use tokio::sync::oneshot;

/// Keeps each document under its record's key, and when it is due in one sorted set.
const PUT: &str = "for at = 2, #KEYS do redis.call('SET', KEYS[at], ARGV[1]) \
                   redis.call('ZADD', KEYS[1], ARGV[2], KEYS[at]) end return 1";

/// What all workers share.
pub(super) enum Opened {
    Redis(Box<redis::Client>),
    Sqlite(mpsc::Sender<Write>),
}

/// What one worker has.
pub(super) enum Store {
    Redis { connection: MultiplexedConnection, put: Script },
    Sqlite(mpsc::Sender<Write>),
}

/// Documents to keep, and where to say that they are safe.
pub(super) struct Write {
    records: Vec<String>,
    document: String,
    done: oneshot::Sender<Result<(), String>>,
}

impl Opened {
    pub(super) fn open(url: &str) -> Result<Self, String> {
        if let Some(file) = url.strip_prefix("sqlite:") {
            let (sender, receiver) = mpsc::channel();
            let connection = open_file(file).map_err(|error| error.to_string())?;
            std::thread::spawn(move || write_all(connection, &receiver));
            return Ok(Self::Sqlite(sender));
        }
        redis::Client::open(url).map(Box::new).map(Self::Redis).map_err(|error| error.to_string())
    }

    pub(super) async fn of_worker(&self) -> Result<Store, String> {
        match self {
            Self::Redis(client) => {
                let connection = client.get_multiplexed_async_connection().await.map_err(|error| error.to_string())?;
                Ok(Store::Redis { connection, put: Script::new(PUT) })
            }
            Self::Sqlite(writer) => Ok(Store::Sqlite(writer.clone())),
        }
    }
}

impl Store {
    /// Keeps one document for each of these records; they are safe when it returns.
    pub(super) async fn put(&self, records: &[&str], document: &str) -> Result<(), String> {
        match self {
            Self::Redis { connection, put } => {
                let mut invocation = put.prepare_invoke();
                invocation.key("limit:due");
                for record in records {
                    invocation.key(format!("limit:{record}"));
                }
                invocation.arg(document).arg(0);
                invocation.invoke_async(&mut connection.clone()).await.map_err(|error| error.to_string())
            }
            Self::Sqlite(writer) => {
                let (done, outcome) = oneshot::channel();
                let records = records.iter().map(|record| (*record).to_owned()).collect();
                let write = Write { records, document: document.to_owned(), done };
                writer.send(write).map_err(|_| "the writer has ended".to_owned())?;
                outcome.await.map_err(|_| "the writer has ended".to_owned())?
            }
        }
    }
}

fn open_file(file: &str) -> rusqlite::Result<Connection> {
    let connection = Connection::open(file)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    let table = "create table if not exists leads (record text primary key, document text, due integer) without rowid";
    connection.execute_batch(table)?;
    Ok(connection)
}

fn write_all(mut connection: Connection, writes: &mpsc::Receiver<Write>) {
    while let Ok(first) = writes.recv() {
        let group: Vec<Write> = std::iter::once(first).chain(writes.try_iter().take(255)).collect();
        let outcome = commit(&mut connection, &group).map_err(|error| error.to_string());
        for write in group {
            // A caller that has gone away does not need the answer.
            drop(write.done.send(outcome.clone()));
        }
    }
}

fn commit(connection: &mut Connection, group: &[Write]) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for write in group {
        let mut statement = transaction.prepare_cached("insert or replace into leads values (?1, ?2, 0)")?;
        for record in &write.records {
            statement.execute((record, &write.document))?;
        }
    }
    transaction.commit()
}
