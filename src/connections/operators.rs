//! What operators ask of connections and have done to them.

use super::{
    service::{Connections, tenant},
    workspace::{aggregate::Workspace, story::WorkspaceStory},
    writing::Edit,
};
use crate::{ids::WorkspaceId, store::StoreError};

const NO_KEY: &str = "its tokens are sealed under a key that is not configured: set KEYS__SEALING_PREVIOUS to that key, \
                      or connect the workspace again, in Attio";

impl Connections {
    /// What is known of a workspace; `None`: there is none of that id.
    pub async fn story(&self, workspace: WorkspaceId) -> Result<Option<WorkspaceStory>, StoreError> {
        let found = self.load(&tenant(workspace)).await?;
        Ok(found.map(|found| {
            let story = found.value.story(self.base(), found.document.due, self.clock.now());
            if found.value.current().is_some_and(|current| !self.opens_tokens(current)) {
                return WorkspaceStory { status: "reauthorization-required", advice: Some(NO_KEY), ..story };
            }
            story
        }))
    }

    /// Tries now what fails, and looks at the webhooks now; what is to be done. `None`: there is no such workspace.
    pub async fn repair(&self, workspace: WorkspaceId) -> Result<Option<Vec<&'static str>>, StoreError> {
        let repair = |found: Option<&mut Workspace>, now| match found {
            Some(found) => Edit::Write(Some(found.repair(now))),
            None => Edit::Leave(None),
        };
        Ok(self.update(&tenant(workspace), repair).await?.0)
    }
}
