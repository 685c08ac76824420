//! The SQLite engine: for demo, development and a single node.
//!
//! Owns one database file: one table of aggregates whose indexes SQLite keeps, so an operator can look inside with
//! `sqlite3`. Promises what `Engine` promises, for one process: WAL with `synchronous=FULL`, so what is acknowledged
//! is synced; one writing thread with group commit (`writer`), readers beside it; a lock file that a second process
//! waits for.

mod commit;
mod due;
mod engine;
mod failure;
mod file;
mod rows;
mod shelf;
#[cfg(test)]
mod tests;
mod writer;

pub use self::{engine::SqliteEngine, file::LOCK_PATIENCE, shelf::SqliteShelf};
