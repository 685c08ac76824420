//! The copy of a whole store into an empty one.
//!
//! Promises that the source is only read, that the target then holds what the source holds, byte by byte, with all
//! that is kept beside an aggregate, and that a copy which is cut short at any point leaves a target that no service
//! opens and that the next copy fills anew. What a commit came to, which the store remembers for a repeat after a
//! lost answer, is not copied: the process that could repeat it has ended.

use jiff::Timestamp;

use super::{
    shelf::Shelf,
    tally::{Row, Tally},
};
use crate::store::StoreError;

/// Why nothing was copied, or not all.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A worker may be at it.
    #[error(
        "--from: a worker holds a lease until {until}: stop every replica, wait until then, and run the copy again"
    )]
    Leased {
        /// The last of the leases.
        until: Timestamp,
    },
    /// Something wrote.
    #[error(
        "--from: what it holds changed during the copy: a service runs on it. Stop every replica and run the copy again; \
         it begins anew"
    )]
    Changed,
    /// Something of the source cannot be read.
    #[error("--from: {count} entries cannot be read, the first is {first}; `alc-connector store check` lists all")]
    Broken {
        /// How many.
        count: usize,
        /// What, with what to do.
        first: String,
    },
    /// A side gave no answer.
    #[error("{side}: {error}; mend that and run the copy again: it begins anew")]
    Store {
        /// `--from` or `--to`.
        side: &'static str,
        /// Why.
        error: StoreError,
    },
}

/// What a copy came to.
#[derive(Debug)]
pub struct Copied {
    /// What both sides hold, by workspace and kind.
    pub rows: Vec<Row>,
    /// Both hold the same, and a service may open the target.
    pub is_whole: bool,
}

/// Copies everything and compares. `progress` is told how many of how many aggregates and gates are there.
pub async fn copy(from: &dyn Shelf, to: &dyn Shelf, mut progress: impl FnMut(u64, u64)) -> Result<Copied, CopyError> {
    let now = from.now();
    let source = |error| CopyError::Store { side: "--from", error };
    let target = |error| CopyError::Store { side: "--to", error };
    let before = of_source(from, now).await?;
    if let Some(until) = before.leased_until.filter(|until| *until > now) {
        return Err(CopyError::Leased { until });
    }
    let (mut place, mut done) = (None, 0);
    loop {
        let stretch = from.walk(place.as_ref()).await.map_err(source)?;
        to.put(&stretch.aggregates, &stretch.gates, now).await.map_err(target)?;
        done += (stretch.aggregates.len() + stretch.gates.len()) as u64;
        progress(done, before.total());
        place = stretch.next;
        if place.is_none() {
            break;
        }
    }
    let after = of_source(from, now).await?;
    if before != after {
        return Err(CopyError::Changed);
    }
    let (copied, _) = Tally::of(to, now).await.map_err(target)?;
    let is_whole = after == copied;
    if is_whole {
        to.finish().await.map_err(target)?;
    }
    Ok(Copied { rows: after.beside(&copied), is_whole })
}

/// What the source holds; refuses one of which something cannot be read.
async fn of_source(from: &dyn Shelf, now: Timestamp) -> Result<Tally, CopyError> {
    let counted = Tally::of(from, now).await;
    let (tally, mut findings) = counted.map_err(|error| CopyError::Store { side: "--from", error })?;
    // An index that says something else is no obstacle: the target's indexes are built anew.
    findings.retain(|finding| !finding.is_about_an_index());
    match findings.first() {
        None => Ok(tally),
        Some(first) => Err(CopyError::Broken { count: findings.len(), first: first.to_string() }),
    }
}
