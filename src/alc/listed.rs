//! What ALC lists.

/// A lead as ALC lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedLead {
    /// ALC's id, numbers as text.
    pub id: String,
    /// ALC's word for where it stands.
    pub status: Option<String>,
}

/// A webhook as ALC lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedWebhook {
    /// ALC's id.
    pub id: String,
    /// The name that we gave it.
    pub name: Option<String>,
}
