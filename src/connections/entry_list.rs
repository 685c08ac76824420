//! The list whose entries send (`ATTIO__SEND_ON_LIST`): which one that is at Attio, and whether it will do; and which
//! one is the list that results put people into (`ATTIO__PIPELINE__LIST`), so that it is not the same.

use secrecy::SecretString;

use super::{service::Connections, workspace::aggregate::Workspace};
use crate::{attio::CallError, ids::ListId};

/// What entries are of, as lists name it.
const PEOPLE: &str = "people";

impl Connections {
    /// The id of the list whose entries send in this workspace; `None`: none does.
    pub fn list_that_sends(&self, workspace: &Workspace) -> Option<ListId> {
        workspace.list_that_sends(self.asked_list())
    }

    /// The list as the operator names it.
    pub(super) fn asked_list(&self) -> Option<&str> {
        self.settings.send_on_list.as_deref()
    }

    /// Looks for the list that is `asked`; inside, what a person has to mend. `people`: Attio's id of People.
    pub(super) async fn look_for_list(
        &self,
        token: &SecretString,
        asked: &str,
        people: Option<&str>,
    ) -> Result<Result<ListId, String>, CallError> {
        let is_of_people = |parent: &String| parent == PEOPLE || people.is_none_or(|people| people == parent);
        let problem = match self.attio.find_list(token, asked).await {
            Ok(list) if list.parents.is_empty() || list.parents.iter().any(is_of_people) => return Ok(Ok(list.id)),
            Ok(list) => {
                format!("has {} and no people: make ATTIO__SEND_ON_LIST name one of people", list.parents.join(", "))
            }
            Err(error) => unseen(
                error,
                "is not there: make it in Attio, or make ATTIO__SEND_ON_LIST name another one by its slug or id",
            )?,
        };
        Ok(Err(format!("Attio's list `{asked}` {problem}")))
    }

    /// Looks for the `list` that results put people into; inside, what a person has to mend.
    pub(super) async fn look_for_pipelines_list(
        &self,
        token: &SecretString,
        list: &str,
    ) -> Result<Result<ListId, String>, CallError> {
        let problem = match self.attio.find_list(token, list).await {
            Ok(found) => return Ok(Ok(found.id)),
            Err(error) => {
                unseen(error, "is not there, or its credential may not see it: name one in ATTIO__PIPELINE__LIST")?
            }
        };
        Ok(Err(format!("Attio's list `{list}` {problem}")))
    }
}

/// What a person has to mend where a list is not shown; `missing`: where Attio has none of that name.
fn unseen(error: CallError, missing: &str) -> Result<String, CallError> {
    match error {
        CallError::NotFound => Ok(missing.to_owned()),
        CallError::Forbidden { detail } => {
            Ok(format!("cannot be seen: give Attio's credential the scope list_configuration:read ({detail})"))
        }
        error => Err(error),
    }
}
