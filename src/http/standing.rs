//! What every resource says when the connection or the store does not let it go on.

use super::problem::{Problem, Slug};
use crate::{connections::Standing, store::StoreError, telemetry::warn_sparingly};

/// The problem of a connection that may not do this.
pub fn refusal(standing: Standing) -> Problem {
    match standing {
        Standing::Unknown => Problem::new(Slug::Unauthorized, "This connection is gone: connect ALC again in Attio."),
        Standing::Replaced => Problem::new(
            Slug::ConnectionReplaced,
            "The workspace has connected again since: use the newer connection's token.",
        ),
        Standing::ReauthorizationRequired => reauthorization_required(),
        Standing::Incoming => Problem::new(
            Slug::ConnectionNotReady,
            "The connection is not confirmed yet: wait until connection-added has been answered.",
        ),
        Standing::Leaving => {
            Problem::new(Slug::ConnectionNotReady, "The connection is being removed: connect ALC again in Attio.")
        }
        // Asked about only where it is an obstacle.
        Standing::Current => Problem::new(Slug::Internal, "Send it again."),
    }
}

/// The problem of a dead grant.
pub fn reauthorization_required() -> Problem {
    Problem::new(
        Slug::ReauthorizationRequired,
        "ALC no longer accepts this workspace's authorization: connect ALC again in Attio.",
    )
}

/// The problem of a store that could not do it. The log has the reason, once, here, and not for each of many: who has no
/// more than a webhook's token can come often.
pub fn store(error: &StoreError) -> Problem {
    match error {
        StoreError::Unavailable(_) | StoreError::Full => {
            warn_sparingly!(%error, "refused: the store cannot take it");
            Problem::store_unavailable()
        }
        StoreError::TooNew(_) => {
            warn_sparingly!(%error, "refused: only a newer version can read this");
            Problem::store_unavailable()
        }
        StoreError::Corrupt(_) => {
            tracing::error!(%error, "refused: the store's content cannot be read");
            // Does not pass by itself; ALC, for one, tries again after a 500 too.
            Problem::new(
                Slug::Internal,
                "What is stored about this cannot be read: report this request's id to whoever runs the service.",
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_does_not_fill_the_log() {
        let lines = tempfile::NamedTempFile::new().expect("a file");
        let file = lines.reopen().expect("a file");
        let subscriber = tracing_subscriber::fmt().with_writer(std::sync::Mutex::new(file)).finish();
        tracing::subscriber::with_default(subscriber, || {
            (0..1000).for_each(|_| drop(store(&StoreError::Unavailable("no route".to_owned()))));
        });
        let written = std::fs::read_to_string(lines.path()).expect("text").lines().count();
        assert!(written <= 22, "{written} lines");
    }

    #[test]
    fn a_store_that_is_down_passes_and_one_that_cannot_be_read_does_not() {
        for passing in
            [StoreError::Unavailable("no route".to_owned()), StoreError::Full, StoreError::TooNew("a lead".to_owned())]
        {
            let problem = store(&passing);
            assert_eq!(problem.slug(), Slug::StoreUnavailable);
            let said = problem.to_value(None).to_string();
            assert!(said.contains("not sent twice") && !said.contains("Nothing was done"), "{said}");
        }
        assert_eq!(store(&StoreError::Corrupt("no JSON".to_owned())).slug(), Slug::Internal);
    }
}
