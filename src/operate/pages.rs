//! Lists that go from workspace to workspace: where a page begins, and how much one looks at.
//!
//! Promises that a page ends after a bounded number of documents, however few of them it wants, and that the next one
//! goes on behind the last that was looked at.

use std::{fmt, str::FromStr};

use super::Operate;
use crate::{
    connections,
    ids::WorkspaceId,
    leads::{Looked, Status},
    store::{Cursor, Kind, StoreError},
};

/// Leads looked at for one page: the store is asked for so much, and the caller waits for it.
const MOST_LOOKED_AT: usize = 2_000;
/// Asked of the store at once.
const AT_ONCE: usize = 200;

/// Where a page begins: in which workspace, and behind which lead there. Travels as `<workspace>` or
/// `<workspace>~<cursor>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The workspace, if it is still there; else the next one.
    pub workspace: WorkspaceId,
    /// Behind this lead of it.
    pub after: Option<Cursor>,
}

/// The text is no place of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor: pass `next_cursor` of the previous page unchanged")]
pub struct BadPlace;

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.after {
            Some(after) => write!(f, "{}~{after}", self.workspace),
            None => write!(f, "{}", self.workspace),
        }
    }
}

impl FromStr for Place {
    type Err = BadPlace;

    fn from_str(text: &str) -> Result<Self, BadPlace> {
        let (workspace, after) = text.split_once('~').map_or((text, None), |(left, right)| (left, Some(right)));
        let after = after.map(str::parse).transpose().map_err(|_| BadPlace)?;
        Ok(Self { workspace: workspace.parse().map_err(|_| BadPlace)?, after })
    }
}

impl Operate {
    /// The workspaces that have something of that kind, from `from` on.
    pub(super) async fn workspaces(
        &self,
        kind: Kind,
        only: Option<WorkspaceId>,
        from: Option<WorkspaceId>,
    ) -> Result<Vec<WorkspaceId>, StoreError> {
        if let Some(only) = only {
            return Ok(vec![only]);
        }
        let tenants = self.store.tenants(kind).await?;
        let from = from.map(connections::tenant);
        let tenants = tenants.into_iter().filter(|tenant| from.as_ref().is_none_or(|from| tenant >= from));
        Ok(tenants.filter_map(|tenant| tenant.as_str().parse().ok()).collect())
    }

    /// Up to `limit` of what `pick` finds among the leads of these statuses, and where to go on.
    pub(super) async fn walk<T>(
        &self,
        (only, from): (Option<WorkspaceId>, Option<&Place>),
        statuses: &[Status],
        limit: usize,
        pick: impl Fn(&Looked, WorkspaceId) -> Vec<(Cursor, Vec<T>)>,
    ) -> Result<(Vec<T>, Option<Place>), StoreError> {
        let mut found = Vec::new();
        let mut looked_at = 0;
        for workspace in self.workspaces(Kind::Lead, only, from.map(|from| from.workspace)).await? {
            let mut after = from.filter(|from| from.workspace == workspace).and_then(|from| from.after.clone());
            loop {
                if looked_at >= MOST_LOOKED_AT || found.len() >= limit {
                    return Ok((found, Some(Place { workspace, after })));
                }
                let page = self.leads.listed(workspace, statuses, after.as_ref(), AT_ONCE).await?;
                looked_at += AT_ONCE;
                for (place, picked) in pick(&page, workspace) {
                    found.extend(picked);
                    if found.len() >= limit {
                        return Ok((found, Some(Place { workspace, after: Some(place) })));
                    }
                }
                after = page.next.clone();
                if after.is_none() {
                    break;
                }
            }
        }
        Ok((found, None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_survives_its_way_over_the_wire() {
        let workspace = WorkspaceId::random();
        let after = Some("1700000000000000.abc".parse().expect("a cursor"));
        for place in [Place { workspace, after }, Place { workspace, after: None }] {
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        for bad in ["", "~", "x~1.a", "00000000-0000-0000-0000-000000000000~x"] {
            assert_eq!(bad.parse::<Place>(), Err(BadPlace), "{bad}");
        }
    }
}
