//! What Attio's People must have before anything is sent: the attributes that we write, and the status's options.
//!
//! Promises that what is there and can be written is taken as it is, that what is missing is made once however many
//! replicas connect at the same time, and that what cannot be written is named, with what to do about it.

use secrecy::SecretString;

use super::{
    super::service::{Connections, pause},
    attempt::{CALL_AGAIN, CALLS, ConnectAttempt, ConnectError},
};
use crate::{
    attio::{
        Attributes, CallError, Titles,
        attributes::{Attribute, NewAttribute, People, SENT_BY, SelectOption},
    },
    connections::workspace::schema::SchemaProblem,
};

const SCOPE: &str = "object_configuration:read-write";

/// One attribute that is needed.
struct Needed<'a> {
    slug: &'a str,
    variable: &'static str,
    title: &'static str,
    description: &'static str,
    /// The first is made if there is none.
    kinds: &'static [&'static str],
    /// Two records show the same.
    repeats: bool,
}

/// Why a round ended early.
pub(super) enum Trouble {
    /// No clear answer: look again.
    Again(String),
    /// As [`Trouble::Again`]; if it stays so, a person has to act.
    Taken(String),
    Final(ConnectError),
}

/// Rounds over something of Attio's, `what`, until one comes to an end or there were enough.
pub(super) async fn rounds<T, F>(what: &str, round: impl Fn() -> F) -> Result<T, ConnectError>
where
    F: Future<Output = Result<T, Trouble>>,
{
    let mut last = ConnectError::Timeout;
    for tries in 0..CALLS {
        if tries > 0 {
            pause(CALL_AGAIN).await;
        }
        match round().await {
            Ok(found) => return Ok(found),
            Err(Trouble::Again(why)) => last = ConnectError::Unavailable(format!("Attio's {what}: {why}")),
            Err(Trouble::Taken(why)) => last = ConnectError::Refused(why),
            Err(Trouble::Final(error)) => return Err(error),
        }
    }
    Err(last)
}

impl From<ConnectError> for Trouble {
    fn from(error: ConnectError) -> Self {
        Self::Final(error)
    }
}

fn needed(attributes: &Attributes) -> Vec<Needed<'_>> {
    let status = Needed {
        slug: &attributes.status,
        variable: "ATTIO__ATTRIBUTES__STATUS",
        title: "ALC status",
        description: "Where the person stands at Acme Lead Checker.",
        kinds: &["select", "text"],
        repeats: true,
    };
    // ALC's words are free, so they are no options.
    let text = |slug, variable, title, description, repeats| Needed {
        slug,
        variable,
        title,
        description,
        kinds: &["text"],
        repeats,
    };
    let lead_id = attributes.lead_id.as_deref().map(|slug| {
        text(slug, "ATTIO__ATTRIBUTES__LEAD_ID", "ALC lead", "The person's lead at Acme Lead Checker.", false)
    });
    let result = attributes
        .result
        .as_deref()
        .map(|slug| text(slug, "ATTIO__ATTRIBUTES__RESULT", "ALC result", "What Acme Lead Checker found out.", true));
    [Some(status), lead_id, result].into_iter().flatten().collect()
}

impl Needed<'_> {
    /// Why the attribute cannot be written, with what to do.
    fn misfit(&self, found: &Attribute) -> Option<String> {
        let Self { slug, variable, .. } = self;
        let kinds = self.kinds.join(" or ");
        let misfit = if found.is_archived {
            format!("is archived: restore it in Attio's settings, or name another one in {variable}")
        } else if !self.kinds.contains(&found.kind.as_str()) {
            format!("is of type `{}`: make {variable} name one of type {kinds}", found.kind)
        } else if found.is_multiselect {
            format!("takes several values: make {variable} name a single-value one")
        } else if found.is_unique && self.repeats {
            format!("has to be unique, and many people show the same: make {variable} name one that has not")
        } else {
            return None;
        };
        Some(format!("Attio's attribute `{slug}` on People {misfit}"))
    }
}

/// What a person has to mend of these attributes, as they were found with the status's `options`. What connect would
/// make is named all the same: it is not made behind the back of a person who has taken it away.
pub(in crate::connections) fn problems_of(
    attributes: &Attributes,
    titles: &Titles,
    found: &People,
    options: Option<&[SelectOption]>,
) -> Vec<SchemaProblem> {
    let of = |slug: &str| found.attributes.iter().find(|attribute| attribute.api_slug == slug);
    let problem = |needed: &Needed<'_>| match of(needed.slug) {
        Some(found) => needed.misfit(found),
        None => {
            Some(format!("Attio's attribute `{}` on People is missing: connect again, which makes it", needed.slug))
        }
    };
    let unfit = needed(attributes)
        .into_iter()
        .filter_map(|needed| problem(&needed).map(|problem| SchemaProblem::of_attribute(needed.slug, problem)));
    let slug = &attributes.status;
    let is_there = |title: &str| options.is_none_or(|all| all.iter().any(|it| it.title == title && !it.is_archived));
    let without = titles.all().into_iter().filter(|title| !is_there(title)).map(|title| {
        let problem = "is missing or archived: restore it in Attio's settings, or connect again, which does so";
        SchemaProblem::of_attribute(
            slug,
            format!("the option `{title}` of Attio's attribute `{slug}` on People {problem}"),
        )
    });
    unfit.chain(without).collect()
}

impl Connections {
    /// Makes the attributes and options that are missing; refuses those that cannot be written.
    /// What comes back is People as it was found.
    pub(super) async fn ensure_attributes(&self, attempt: &ConnectAttempt) -> Result<People, ConnectError> {
        let Some(token) = self.attio_token_for(attempt).await? else { return Ok(People::default()) };
        rounds("attributes", || self.attributes_round(attempt, &token)).await
    }

    async fn attributes_round(&self, attempt: &ConnectAttempt, token: &SecretString) -> Result<People, Trouble> {
        let attributes = &self.settings.attributes;
        let needed = needed(attributes);
        self.in_time(attempt)?;
        let found = self.attio.find_attributes(token, &self.slugs_looked_for()).await;
        let found = self.judge(attempt, "the attributes of People", found).await?;
        let of = |slug: &str| found.attributes.iter().find(|attribute| attribute.api_slug == slug);
        if let Some(misfit) = needed.iter().find_map(|needed| needed.misfit(of(needed.slug)?)) {
            return Err(ConnectError::Refused(format!("{misfit}; then connect again")).into());
        }
        let mut status_is_select = true;
        for needed in &needed {
            let slug = needed.slug;
            if let Some(found) = of(slug) {
                status_is_select &= slug != attributes.status || found.kind == "select";
                continue;
            }
            let Needed { title, description, kinds, .. } = *needed;
            let new = NewAttribute { api_slug: slug, title, description, kind: kinds[0] };
            self.take_turn(attempt).await?;
            let made = self.attio.create_attribute(token, new).await;
            self.judge(attempt, &format!("the attribute `{slug}`"), made).await?;
            tracing::info!(workspace = %attempt.workspace, slug, "attribute made in Attio");
        }
        if status_is_select {
            self.ensure_options(attempt, token).await?;
        }
        Ok(found)
    }

    /// The slugs of the attributes that are written and, where entries of a list send, of those that are read.
    pub(in crate::connections) fn slugs_looked_for(&self) -> Vec<&str> {
        let read = self.asked_list().into_iter().flat_map(|_| SENT_BY);
        self.settings.attributes.slugs().into_iter().chain(read).collect()
    }

    async fn ensure_options(&self, attempt: &ConnectAttempt, token: &SecretString) -> Result<(), Trouble> {
        let (slug, titles) = (&self.settings.attributes.status, &self.settings.titles);
        let what = |title: &str| format!("the option `{title}` of the attribute `{slug}`");
        self.in_time(attempt)?;
        let listed = self.attio.list_options(token, slug).await;
        let listed = self.judge(attempt, &format!("the options of the attribute `{slug}`"), listed).await?;
        for title in titles.all() {
            // Of several of one title, one that can be written goes before those that cannot.
            let known = listed.iter().filter(|option| option.title == title).min_by_key(|option| option.is_archived);
            if known.is_some_and(|option| !option.is_archived) {
                continue;
            }
            self.take_turn(attempt).await?;
            let made = match known {
                Some(archived) => self.attio.restore_option(token, slug, &archived.id).await,
                None => self.attio.create_option(token, slug, title).await,
            };
            self.judge(attempt, &what(title), made).await?;
        }
        Ok(())
    }

    /// Waits for a turn while there is time to connect.
    async fn take_turn(&self, attempt: &ConnectAttempt) -> Result<(), ConnectError> {
        self.in_time(attempt)?;
        self.attio_turn(&attempt.tenant).await?;
        self.in_time(attempt)
    }

    pub(super) async fn judge<T>(
        &self,
        attempt: &ConnectAttempt,
        what: &str,
        answer: Result<T, CallError>,
    ) -> Result<T, Trouble> {
        let error = match answer {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        Err(match error {
            CallError::Forbidden { detail } => Trouble::Final(ConnectError::Refused(format!(
                "Attio's credential may not see or make {what}: give it the scope {SCOPE}, then connect again ({detail})"
            ))),
            CallError::RateLimited { until } => {
                self.report_attio_limit(&attempt.tenant, until).await;
                self.clock.sleep_until(until.min(attempt.deadline)).await;
                Trouble::Again("Attio is limiting requests".to_owned())
            }
            // Another replica has just made it; or something that is not quite it has its name.
            CallError::Conflict { detail, .. } => Trouble::Taken(format!(
                "Attio does not make {what} ({detail}): rename what has its name in Attio's settings, then connect again"
            )),
            CallError::NotSent { .. } | CallError::Unreadable { .. } | CallError::Unknown { .. } => {
                Trouble::Again(format!("{what}: {error}"))
            }
            error => Trouble::Final(ConnectError::Refused(format!(
                "Attio refuses {what}: {error}. Make it by hand in Attio's settings, then connect again"
            ))),
        })
    }
}
