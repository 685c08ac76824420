//! How often both sides are looked through as a whole.

use std::time::Duration;

use crate::config::{check, reader::Reader};

/// A full sync takes a while: one that is due again before it has ended never ends.
const OFTENEST: Duration = Duration::from_secs(60 * 60);

/// `SYNC__…`.
#[derive(Debug, Clone)]
pub struct Sync {
    /// From the begin of one to the begin of the next; `None`: only when an operator asks for one.
    pub every: Option<Duration>,
}

impl Sync {
    pub(in crate::config) fn read(r: &mut Reader) -> Option<Self> {
        let every = r.parsed("sync.every", "set it to a duration such as 24h, or to 0s", |text| {
            let every = check::duration(text)?;
            let is_too_often = !every.is_zero() && every < OFTENEST;
            if is_too_often { Err("must be at least 1h, or 0s for never".to_owned()) } else { Ok(every) }
        })?;
        Some(Self { every: Some(every).filter(|every| !every.is_zero()) })
    }
}
