//! Which of the two upstreams something is about.

/// A connection has a grant and a webhook at each side, which live and end alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::connections) enum Side {
    /// Acme Lead Checker: takes the leads.
    Alc,
    /// The CRM: shows what became of them.
    Attio,
}

impl Side {
    /// Both, in the order in which they are cleaned up.
    pub(in crate::connections) const BOTH: [Self; 2] = [Self::Alc, Self::Attio];

    /// Its name, for logs.
    pub(in crate::connections) fn title(self) -> &'static str {
        match self {
            Self::Alc => "ALC",
            Self::Attio => "Attio",
        }
    }

    /// Its name, for metrics.
    pub(in crate::connections) fn label(self) -> &'static str {
        match self {
            Self::Alc => "alc",
            Self::Attio => "attio",
        }
    }
}
