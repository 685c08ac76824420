//! What ALC lists.

use std::fmt;

use super::words::Words;

/// A lead as ALC lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedLead {
    /// ALC's id, numbers as text.
    pub id: String,
    /// ALC's word for where it stands.
    pub status: Option<String>,
    /// What ALC says of the talk besides.
    pub words: Words,
}

/// A webhook as ALC lists it.
#[derive(Clone, PartialEq, Eq)]
pub struct ListedWebhook {
    /// ALC's id.
    pub id: String,
    /// The name that we gave it.
    pub name: Option<String>,
    /// Where ALC calls.
    pub url: Option<String>,
}

impl fmt::Debug for ListedWebhook {
    /// The URL is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListedWebhook").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}
