//! How far a send got at ALC. The one place that says so: whether it is asked for, sent again, completed by a callback.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// How far a send got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredReach", into = "StoredReach")]
pub enum Reach {
    /// Certainly not at ALC: it was never attempted, or every attempt certainly failed to arrive.
    NotThere,
    /// An attempt is under way, or was when its worker vanished or the store lost what came of it. With `doubted`, an
    /// attempt before it may have arrived.
    UnderWay {
        /// An attempt before it had no clear answer.
        doubted: bool,
    },
    /// The last attempt had no clear answer, and ALC has not been asked since.
    InDoubt,
    /// An attempt had no clear answer, and ALC, asked since, did not have it: it may yet arrive late.
    MayArrive,
    /// ALC has it.
    There {
        /// When that was first known.
        since: Timestamp,
    },
}

impl Reach {
    /// Another attempt is about to be made.
    pub fn begun(self) -> Self {
        match self {
            Self::NotThere => Self::UnderWay { doubted: false },
            Self::UnderWay { .. } | Self::InDoubt | Self::MayArrive => Self::UnderWay { doubted: true },
            Self::There { .. } => self,
        }
    }

    /// The attempt under way certainly did not make ALC take it.
    pub fn not_taken(self) -> Self {
        match self {
            Self::UnderWay { doubted: false } => Self::NotThere,
            Self::UnderWay { doubted: true } => Self::MayArrive,
            other => other,
        }
    }

    /// An attempt had no clear answer: the last one, or one before it.
    pub fn unanswered(self, is_last: bool) -> Self {
        match self {
            Self::UnderWay { .. } if is_last => Self::InDoubt,
            Self::UnderWay { .. } => Self::UnderWay { doubted: true },
            Self::NotThere => Self::MayArrive,
            other => other,
        }
    }

    /// ALC was asked, and does not have it.
    pub fn not_found(self) -> Self {
        match self {
            Self::UnderWay { .. } | Self::InDoubt => Self::MayArrive,
            other => other,
        }
    }

    /// ALC has to be asked once more.
    pub fn asked_again(self) -> Self {
        if self == Self::MayArrive { Self::InDoubt } else { self }
    }

    /// ALC has it.
    pub fn there(self, now: Timestamp) -> Self {
        Self::There { since: self.since().unwrap_or(now) }
    }

    /// Since when ALC has been known to have it.
    pub fn since(self) -> Option<Timestamp> {
        if let Self::There { since } = self { Some(since) } else { None }
    }

    /// Whether an attempt before the one under way may have arrived.
    pub fn was_doubted(self) -> bool {
        !matches!(self, Self::NotThere | Self::UnderWay { doubted: false })
    }
}

/// As every version has stored it.
#[derive(Serialize, Deserialize)]
struct StoredReach {
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    under_way: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    in_doubt: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    ever_in_doubt: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    accepted_at: Option<Timestamp>,
}

impl From<StoredReach> for Reach {
    fn from(stored: StoredReach) -> Self {
        match stored {
            StoredReach { accepted_at: Some(since), .. } => Self::There { since },
            StoredReach { under_way: true, ever_in_doubt: doubted, .. } => Self::UnderWay { doubted },
            StoredReach { in_doubt: true, .. } => Self::InDoubt,
            StoredReach { ever_in_doubt: true, .. } => Self::MayArrive,
            _ => Self::NotThere,
        }
    }
}

impl From<Reach> for StoredReach {
    fn from(reach: Reach) -> Self {
        Self {
            under_way: matches!(reach, Reach::UnderWay { .. }),
            in_doubt: reach == Reach::InDoubt,
            ever_in_doubt: matches!(reach, Reach::UnderWay { doubted: true } | Reach::InDoubt | Reach::MayArrive),
            accepted_at: reach.since(),
        }
    }
}
