//! The look at what is needed in Attio: whether what is written can be written, and which list sends.
//!
//! Promises that nothing is made or changed at Attio: connect does that, with a person there who wants it. Here a
//! person may have archived something on purpose, and is told.

use secrecy::SecretString;

use super::looks::AGAIN_WITHIN;
use crate::{
    attio::{CallError, Pipeline},
    connections::{
        clean_up::asked as asked_for,
        connect::attributes::problems_of,
        service::Connections,
        work::Work,
        workspace::schema::{Found, SchemaProblem},
    },
    store::StoreError,
};

impl Connections {
    /// Looks at Attio's attributes and list, and writes down what a person has to mend.
    pub(in crate::connections) async fn check_schema(&self, work: &mut Work) -> Result<(), StoreError> {
        let Some(token) = self.attio_token(&work.workspace.value) else {
            return self.note(work, |workspace, now| workspace.check_postponed(None, now)).await;
        };
        let workspace = work.workspace.value.id;
        match self.look_at_schema(work, &token).await? {
            // Another worker looks. What this one has not asked for would be taken for what is not there.
            Ok(None) => Ok(()),
            Ok(Some(found)) => {
                for SchemaProblem { problem, .. } in &found.problems {
                    tracing::warn!(%workspace, problem, "Attio does not have what is needed");
                }
                self.note(work, |workspace, now| workspace.schema_checked(&found, now)).await
            }
            Err(error) => {
                let attempts = work.workspace.value.attio_schema.retry.attempts;
                match &error {
                    CallError::RateLimited { until } => self.report_attio_limit(&work.tenant, *until).await,
                    CallError::Unauthorized => drop(self.attio_refused(&work.tenant, &token).await?),
                    _ => {}
                }
                if attempts == 0 {
                    let outcome = error.outcome();
                    tracing::warn!(%workspace, outcome, "could not look at Attio's attributes, and tries again");
                }
                let retry_at = Some(self.retry_at(attempts, asked_for(&error), AGAIN_WITHIN));
                self.note(work, |workspace, now| workspace.check_postponed(retry_at, now)).await
            }
        }
    }

    /// What is there; inside, why that was not learnt, or `None`: another worker has the lease.
    async fn look_at_schema(
        &self,
        work: &mut Work,
        token: &SecretString,
    ) -> Result<Result<Option<Found>, CallError>, StoreError> {
        let (attributes, titles) = (&self.settings.attributes, &self.settings.titles);
        let people = match self.attio.find_attributes(token, &self.slugs_looked_for()).await {
            Ok(people) => people,
            Err(error) => return Ok(Err(error)),
        };
        let is_select = |slug: &str| people.attributes.iter().any(|it| it.api_slug == slug && it.kind == "select");
        let mut options = None;
        if is_select(&attributes.status) {
            if !self.lasts(work).await? {
                return Ok(Ok(None));
            }
            options = match self.attio.list_options(token, &attributes.status).await {
                Ok(options) => Some(options),
                Err(error) => return Ok(Err(error)),
            };
        }
        let problems = problems_of(attributes, titles, &people, options.as_deref());
        let mut found = Found { problems, list: None, sent_by: people.sent_by() };
        if let Some(asked) = self.asked_list() {
            if !self.lasts(work).await? {
                return Ok(Ok(None));
            }
            let object = people.object_id.as_deref().or(work.workspace.value.people.as_deref());
            let list = match self.look_for_list(token, asked, object).await {
                Ok(list) => list,
                Err(error) => return Ok(Err(error)),
            };
            let id = list.map_err(|problem| found.problems.push(SchemaProblem::of_list(asked, problem))).ok();
            found.list = Some((asked.to_owned(), id));
        }
        self.look_at_pipeline(work, token, found).await
    }

    /// `found`, and what there is to say of the list that results put people into.
    async fn look_at_pipeline(
        &self,
        work: &mut Work,
        token: &SecretString,
        mut found: Found,
    ) -> Result<Result<Option<Found>, CallError>, StoreError> {
        let Some(Pipeline { list, .. }) = &self.settings.pipeline else { return Ok(Ok(Some(found))) };
        if !self.lasts(work).await? {
            return Ok(Ok(None));
        }
        let known = self.list_that_sends(&work.workspace.value);
        match self.look_for_pipelines_list(token, list).await {
            Ok(Ok(id)) => found.keep_apart(list, id, known),
            Ok(Err(problem)) => found.problems.push(SchemaProblem::of_list(list, problem)),
            Err(error) => return Ok(Err(error)),
        }
        Ok(Ok(Some(found)))
    }
}
