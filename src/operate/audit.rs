//! The audit line: which operator has asked for which change, of what, and what it came to.

use std::fmt;

/// The longest name that an operator gives.
const LONGEST_NAME: usize = 64;

/// On whose behalf something is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    /// What proves the caller: a fingerprint of the token, or `loopback`.
    proof: String,
    /// The name that the caller gives; nothing proves it.
    name: Option<String>,
}

impl By {
    /// A caller with that proof.
    pub fn proven(proof: impl Into<String>) -> Self {
        Self { proof: proof.into(), name: None }
    }

    /// Whether that is what proves it.
    pub fn is_proven_by(&self, proof: &str) -> bool {
        self.proof == proof
    }

    /// With the name that it gives. What would not stay one word of a log line is taken out.
    #[must_use]
    pub fn named(mut self, name: Option<&str>) -> Self {
        let is_plain = |c: &char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '@' | ' ');
        let name: Option<String> = name.map(|name| name.chars().filter(is_plain).take(LONGEST_NAME).collect());
        self.name = name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        self
    }

    /// Writes down a change that ended in an error: the store may have taken it, and only its answer was lost.
    pub(super) fn may_have_done(&self, action: &'static str, of: &dyn fmt::Display) {
        self.did(action, of, "unknown");
    }

    /// Writes it down.
    pub(super) fn did(&self, action: &'static str, of: &dyn fmt::Display, outcome: &str) {
        tracing::info!(by = %self, action, of = %of, outcome, "an operator has changed something");
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} ({})", self.proof),
            None => f.write_str(&self.proof),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::By;

    #[test]
    fn a_given_name_stays_beside_its_proof_and_on_its_line() {
        let by = |name| By::proven("loopback").named(name).to_string();
        assert_eq!(by(None), "loopback");
        assert_eq!(by(Some("ada@ops")), "ada@ops (loopback)");
        assert_eq!(by(Some("ada\n\u{1b}[31mroot\"")), "ada31mroot (loopback)");
        assert_eq!(by(Some("  \u{7} ")), "loopback");
        assert_eq!(by(Some(&"a".repeat(200))).len(), 64 + " (loopback)".len());
    }
}
