//! Why the store could not be asked.

/// Why the store could not be asked. Never a conflict.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// No answer, or a refusal to serve: try again later. Whether a commit took effect is unknown; repeat it as it is.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The store takes nothing new. What is there can still be settled. Of a commit a caller made: nothing of it is
    /// written, nor will be, so that nothing has to be pressed on; an attempt without an answer before it makes this
    /// [`StoreError::Unavailable`].
    #[error("the store is full")]
    Full,
    /// What is stored cannot be read by any version.
    #[error("the store holds what cannot be read: {0}")]
    Corrupt(String),
    /// What is stored was written by a newer version: another replica may read it, and so will this one once it is
    /// updated.
    #[error("the store holds what a newer version wrote: {0}")]
    TooNew(String),
}

impl StoreError {
    /// What was asked for is there and cannot be read by this version: asked for again, it says the same, and what goes
    /// through many documents passes this one over.
    pub const fn is_unreadable(&self) -> bool {
        matches!(self, Self::Corrupt(_) | Self::TooNew(_))
    }
}
