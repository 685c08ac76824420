//! What of a store does not serve as it should, while the rest does.

/// What is wrong with a store that still serves some callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Degraded {
    /// It takes nothing new. What is there goes on: callbacks are settled, connections removed.
    Full,
    /// A part of it gives no answer, and its tenants are not served; the others are.
    PartLost,
}

impl Degraded {
    /// Each of them.
    pub const ALL: [Self; 2] = [Self::Full, Self::PartLost];

    /// As `/readyz` and the metric have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "store-full",
            Self::PartLost => "store-part-lost",
        }
    }
}
