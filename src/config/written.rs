//! Settings as they were written, before anything is made of them, and the names that variables have.

use std::collections::BTreeMap;

/// What our variables begin with.
pub(super) const PREFIX: &str = "ALC_CONNECTOR__";
/// What they begin with when an underscore is missing, and what the next two begin with.
pub(super) const NEARLY: &str = "ALC_CONNECTOR_";
pub(super) const ENVIRONMENT: &str = "ALC_CONNECTOR_ENV";
pub(super) const DIRECTORY: &str = "ALC_CONNECTOR_CONFIG_DIR";

/// A value as it was written.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Written {
    Text(String),
    List(Vec<String>),
}

/// A value, and where it was written.
#[derive(Clone)]
pub(super) struct Setting {
    pub written: Written,
    /// The file; `None`: a variable.
    pub file: Option<String>,
}

/// By dotted path: `http.bind`.
pub(super) type Settings = BTreeMap<String, Setting>;
