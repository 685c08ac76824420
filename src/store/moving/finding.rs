//! What is wrong with a store, each time with what to do about it.

use std::fmt;

use crate::store::{Kind, Tenant};

/// What a finding is about. Of an attempt and of a receipt nothing is named but the kind: the name of an attempt is a
/// browser's secret, and that of a receipt is made of what a caller sent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// `workspace`, `lead`, `receipt`, `attempt`, `gate`, `index` or `store`.
    pub kind: String,
    /// The workspace's id.
    pub workspace: Option<String>,
    /// The lead's record, or the gate's upstream.
    pub id: Option<String>,
}

impl Subject {
    /// The aggregate of that tenant.
    pub fn aggregate(tenant: &Tenant, kind: &str, id: &str) -> Self {
        let is_secret = kind == Kind::Attempt.name();
        Self {
            kind: kind.to_owned(),
            workspace: (!is_secret && !tenant.as_str().is_empty()).then(|| tenant.to_string()),
            id: (kind == Kind::Lead.name()).then(|| id.to_owned()),
        }
    }

    /// The gate before that upstream.
    pub fn gate(tenant: &Tenant, upstream: &str) -> Self {
        Self { kind: "gate".to_owned(), workspace: Some(tenant.to_string()), id: Some(upstream.to_owned()) }
    }

    /// The store as a whole.
    pub fn store() -> Self {
        Self { kind: "store".to_owned(), workspace: None, id: None }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if let Some(id) = &self.id {
            write!(f, " {id}")?;
        }
        match &self.workspace {
            Some(workspace) if self.kind == Kind::Workspace.name() => write!(f, " {workspace}"),
            Some(workspace) => write!(f, " of workspace {workspace}"),
            None => Ok(()),
        }
    }
}

/// Something that is wrong, with what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// What is wrong, as a stable word for programs.
    pub fault: &'static str,
    /// With what.
    pub subject: Subject,
    /// What is wrong, as a sentence.
    pub detail: String,
    /// What to do.
    pub advice: &'static str,
}

/// An index does not say what its aggregate says; the word for it.
pub const INDEX: &str = "index";
/// What to do about an index that does not say what its aggregate says.
pub const REBUILD: &str = "copy the store into an empty one (`alc-connector store copy`): the copy's \
     indexes are built anew from the aggregates";
/// What to do about what cannot be read.
pub const RESTORE: &str = "restore it from a backup; if there is none, the person's button has to be \
     pressed again, or the workspace has to connect again";

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fault, subject, detail, advice } = self;
        write!(f, "{subject} [{fault}]: {detail}; {advice}")
    }
}

impl Finding {
    pub(super) fn is_about_an_index(&self) -> bool {
        self.fault == INDEX
    }

    pub(in crate::store) fn unreadable(subject: Subject, why: &str) -> Self {
        Self { fault: "unreadable", subject, detail: format!("it cannot be read: {why}"), advice: RESTORE }
    }

    pub(in crate::store) fn of_newer_version(subject: Subject) -> Self {
        let detail = "a newer version of the connector wrote it".to_owned();
        Self { fault: "too-new", subject, detail, advice: "run this command of the version that serves from the store" }
    }

    pub(in crate::store) fn unreadable_gate(tenant: &Tenant, upstream: &str) -> Self {
        let subject = Subject::gate(tenant, upstream);
        let detail = "the gate's state cannot be read".to_owned();
        Self { fault: "gate", subject, detail, advice: GATE }
    }

    pub(in crate::store) fn lease_alone(subject: Subject) -> Self {
        let detail = "a lease is stored, and no aggregate".to_owned();
        Self { fault: "lease-alone", subject, detail, advice: RESTORE }
    }

    pub(in crate::store) fn index(subject: Subject, index: &str) -> Self {
        Self {
            fault: INDEX,
            subject,
            detail: format!("the index by {index} does not say what it says"),
            advice: REBUILD,
        }
    }
}

/// What to do about a gate.
pub const GATE: &str = "nothing is lost with a gate: it begins anew when its key (Redis: <namespace>:{…}:g:<workspace>:\
     <upstream>) or its row in `gates` (SQLite) is deleted while the service is stopped";
