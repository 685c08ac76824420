//! What can keep a store from opening.

use std::path::PathBuf;

use super::error::StoreError;

/// Why the store did not open; the texts say what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// See [`super::check_url`].
    #[error("STORE__URL: {0}")]
    Url(String),
    /// See [`super::check_namespace`].
    #[error("STORE__NAMESPACE: {0}")]
    Namespace(String),
    /// The store gave no answer, or refused us.
    #[error("{0}; check STORE__URL and whether it is up")]
    Store(StoreError),
    /// The store is not there, or not yet.
    #[error("{0}; check STORE__URL and whether it is up")]
    Away(StoreError),
    /// The server lacks what the scripts need.
    #[error("Redis {version} is too old: use Redis 7.0 or later, or any Valkey")]
    Old {
        /// What it says of itself.
        version: String,
    },
    /// The server's user may not run what the service needs.
    #[error(
        "Redis does not let us run {commands}: give STORE__URL's user the commands that docs/operations.md lists \
         (`ACL SETUSER <user> +<command>`); a Redis that has them switched off cannot be the store"
    )]
    Forbidden {
        /// Their names.
        commands: String,
    },
    /// The server's user may not touch our keys.
    #[error(
        "Redis does not let STORE__URL's user touch the keys of STORE__NAMESPACE: `ACL SETUSER <user> ~<namespace>:*`"
    )]
    Keys,
    /// The server wants scripts to name all keys beforehand.
    #[error(
        "this Redis lets scripts touch declared keys only, and the connector's scripts find theirs while they run: switch \
         the check off (Dragonfly: `--default_lua_flags=allow-undeclared-keys`) or use a Redis or Valkey without it"
    )]
    Undeclared,
    /// Another version's data, or another number of partitions.
    #[error(
        "the store has layout {found}, this version knows {known}: run the version that made it, or name another \
         STORE__NAMESPACE or file"
    )]
    Layout {
        /// What is stored.
        found: String,
        /// What this version writes.
        known: String,
    },
    /// A copy into the store was cut short.
    #[error(
        "a `store copy` into this store did not finish, so that part of what it should hold is missing: run the copy again \
         (it begins anew), or name another STORE__NAMESPACE or file"
    )]
    Unfinished,
    /// There is no store to read.
    #[error("there is no store of this connector here; check the URL and the namespace")]
    Nothing,
    /// What should be filled holds something.
    #[error(
        "the store is not empty, and a copy would mix two stores: name a file that does not exist yet, or a namespace that \
         nothing uses"
    )]
    NotEmpty,
    /// A replica gave a sign of life.
    #[error(
        "a service runs on this store, or was killed a moment ago: stop every replica, and try again in {seconds} s if \
         all have stopped"
    )]
    Running {
        /// For how long the sign counts.
        seconds: u64,
    },
    /// The server may throw data away.
    #[error(
        "Redis has maxmemory-policy {policy} and so would throw leads away when it is full: set `maxmemory-policy \
         noeviction`"
    )]
    Evicts {
        /// The server's policy.
        policy: String,
    },
    /// Another process did not let go.
    #[error("another process uses the database ({}): stop it, or give this one its own file", path.display())]
    InUse {
        /// The lock file.
        path: PathBuf,
    },
    /// The folder or the lock file cannot be made.
    #[error("{} cannot be used: {source}; make it writable or name another file in STORE__URL", folder.display())]
    Folder {
        /// Where.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl OpenError {
    /// Whether it may pass by itself, so that it makes sense to wait.
    pub fn passes(&self) -> bool {
        matches!(self, Self::Away(_))
    }
}

/// Whether `namespace` can be a prefix of keys.
pub fn check_namespace(namespace: &str) -> Result<(), String> {
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    if !namespace.is_empty() && namespace.len() <= 64 && namespace.chars().all(good) {
        return Ok(());
    }
    Err("1 to 64 letters, digits, `-`, `_`, `.` or `:`".to_owned())
}
