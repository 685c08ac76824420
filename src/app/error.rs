//! Why an App could not be built.

use std::io;

/// Why an App could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The store did not open.
    #[error("the store cannot be opened: {0}")]
    Store(String),
    /// A key cannot be used.
    #[error("{0}")]
    Keys(String),
    /// No HTTP client for ALC and Attio.
    #[error("{0}")]
    HttpClient(String),
    /// A listener's address is taken or not ours.
    #[error("{variable} cannot be bound: {source}")]
    Bind {
        /// The setting.
        variable: &'static str,
        /// The system's reason.
        source: io::Error,
    },
}
