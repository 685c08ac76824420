//! What Attio's list must have before results are to put people into it: the attribute that shows the stage, and each
//! stage that a result names.
//!
//! Promises that nothing of it is made here, as the list is people's own, and that what is missing is named, with what
//! to do about it.

use secrecy::SecretString;

use super::{
    super::service::Connections,
    attempt::{ConnectAttempt, ConnectError},
    attributes::{Trouble, rounds},
};
use crate::{
    attio::{
        CallError, Pipeline,
        lists::{List, Stage},
    },
    ids::{ListId, RecordId},
};

impl Connections {
    /// The list, its attribute and its stages are there, and it is not the list that `sends`; `people` is Attio's id of
    /// the object, if it is known.
    pub(super) async fn check_pipeline(
        &self,
        attempt: &ConnectAttempt,
        people: Option<&str>,
        sends: Option<ListId>,
    ) -> Result<(), ConnectError> {
        let Some(pipeline) = &self.settings.pipeline else { return Ok(()) };
        let Some(token) = self.attio_token_for(attempt).await? else { return Ok(()) };
        rounds("list", || self.pipeline_round(attempt, pipeline, (people, sends), &token)).await
    }

    async fn pipeline_round(
        &self,
        attempt: &ConnectAttempt,
        pipeline: &Pipeline,
        (people, sends): (Option<&str>, Option<ListId>),
        token: &SecretString,
    ) -> Result<(), Trouble> {
        let Pipeline { list, stage_attribute: slug, stages } = pipeline;
        self.in_time(attempt)?;
        let found = self.attio.find_list(token, list).await;
        let missing = || {
            format!("Attio has no list `{list}`, or its credential may not see it: name one in ATTIO__PIPELINE__LIST")
        };
        let found =
            self.seen(attempt, &format!("the list `{list}`"), "list_configuration:read", missing, found).await?;
        if !takes_people(&found, people) {
            return Err(refused(&format!(
                "Attio's list `{list}` takes no people: name a list of people in ATTIO__PIPELINE__LIST"
            )));
        }
        if sends == Some(found.id) {
            // The entry that a result makes would send the person again.
            return Err(refused(&format!(
                "ATTIO__PIPELINE__LIST and ATTIO__SEND_ON_LIST name the same list, `{list}`: name two lists"
            )));
        }
        self.in_time(attempt)?;
        let found = self.attio.list_attribute(token, list, slug).await;
        let what = format!("the attribute `{slug}` of the list `{list}`");
        let missing =
            || format!("Attio's list `{list}` has no attribute `{slug}`: name one in ATTIO__PIPELINE__STAGE_ATTRIBUTE");
        let attribute = self.seen(attempt, &what, "object_configuration:read", missing, found).await?;
        let misfit = if attribute.is_archived {
            "is archived: restore it in Attio, or name another one"
        } else if !["status", "select"].contains(&attribute.kind.as_str()) {
            "is neither a status nor a select: name one that is"
        } else if attribute.is_multiselect {
            "takes several values: name one that takes one"
        } else {
            ""
        };
        if !misfit.is_empty() {
            let change = "in ATTIO__PIPELINE__STAGE_ATTRIBUTE";
            return Err(refused(&format!("Attio's attribute `{slug}` of the list `{list}` {misfit} {change}")));
        }
        self.in_time(attempt)?;
        let found = self.attio.list_stages(token, list, &attribute).await;
        let missing = || format!("Attio shows no stages of {what}");
        let found =
            self.seen(attempt, &format!("the stages of {what}"), "object_configuration:read", missing, found).await?;
        match stages.iter().find(|(_, title)| !is_there(&found, title)) {
            Some((result, title)) => Err(refused(&format!(
                "Attio's list `{list}` has no stage `{title}` in `{slug}`, or it is archived: add it in Attio, or give \
                 the result `{result}` another stage in ATTIO__PIPELINE__STAGES"
            ))),
            None => Ok(()),
        }
    }

    async fn seen<T>(
        &self,
        attempt: &ConnectAttempt,
        what: &str,
        scope: &str,
        missing: impl Fn() -> String,
        answer: Result<T, CallError>,
    ) -> Result<T, Trouble> {
        match answer {
            Err(CallError::NotFound) => Err(refused(&missing())),
            Err(CallError::Forbidden { detail }) => {
                Err(refused(&format!("Attio's credential may not see {what}: give it the scope {scope} ({detail})")))
            }
            answer => self.judge(attempt, what, answer).await,
        }
    }
}

fn refused(why: &str) -> Trouble {
    Trouble::Final(ConnectError::Refused(format!("{why}; then connect again")))
}

fn is_there(stages: &[Stage], title: &str) -> bool {
    stages.iter().any(|stage| stage.title == title && !stage.is_archived)
}

/// Attio names the objects by slug or by id; what cannot be told is left to Attio to refuse.
fn takes_people(list: &List, people: Option<&str>) -> bool {
    let is_people = |object: &String| match people {
        Some(people) => object == "people" || object == people,
        None => object == "people" || object.parse::<RecordId>().is_ok(),
    };
    list.parents.is_empty() || list.parents.iter().any(is_people)
}
