//! A look over all that is stored: `store check`.
//!
//! Promises that it only reads, that it may run beside a service, that it names everything that is wrong with what to
//! do about it, and that nothing it says shows a person, a token or a browser's secret.

use std::collections::BTreeSet;

use crate::{
    authorization,
    clock::Timestamp,
    connections, leads,
    sealing::{OpenError, Sealer},
    store::{
        CodecError, Document, Kind, StoreError,
        moving::{Examined, Finding, GATE, Held, HeldGate, RESTORE, Shelf, Subject, Tally},
    },
};

const KEY: &str = "set KEYS__SEALING_PREVIOUS to the key that sealed it; if that key is lost, the workspace has to connect \
     again, and a lead's button has to be pressed again";
const LABEL: &str = "the next change of it puts that right; until then lists and counts are wrong about it";
const WAKE: &str = "press the person's button again, or see what `alc-connector leads show` says of it";

/// Looks at every aggregate, index and gate: what there is, and what is wrong with it.
pub(super) async fn inspect(shelf: &dyn Shelf, sealer: &Sealer) -> Result<(Tally, Vec<Finding>), StoreError> {
    let now = shelf.now();
    let (held, first) = look(shelf, sealer, now).await?;
    if first.is_empty() {
        return Ok((held, Vec::new()));
    }
    // A service may run: between the parts of a look an aggregate may have been made, changed or removed. What is
    // wrong stays wrong.
    let (_, again) = look(shelf, sealer, now).await?;
    Ok((held, first.intersection(&again).cloned().collect()))
}

async fn look(shelf: &dyn Shelf, sealer: &Sealer, now: Timestamp) -> Result<(Tally, BTreeSet<Finding>), StoreError> {
    let (mut held, mut findings, mut place) = (Tally::default(), Vec::new(), None);
    loop {
        let stretch = shelf.walk(place.as_ref()).await?;
        held.add(&stretch, now);
        stretch.aggregates.iter().for_each(|one| aggregate(one, sealer, &mut findings));
        findings.extend(stretch.gates.iter().filter_map(|one| gate(one, now)));
        findings.extend(stretch.findings);
        place = stretch.next;
        if place.is_none() {
            break;
        }
    }
    findings.extend(shelf.index_findings().await?);
    Ok((held, findings.into_iter().collect()))
}

fn gate(held: &HeldGate, now: Timestamp) -> Option<Finding> {
    let subject = Subject::gate(&held.tenant, &held.upstream);
    let detail = format!("the gate makes no sense: {}", held.state.nonsense(now)?);
    Some(Finding { fault: "gate", subject, detail, advice: GATE })
}

fn aggregate(held: &Held, sealer: &Sealer, findings: &mut Vec<Finding>) {
    let subject = Subject::aggregate(&held.tenant, held.key.kind.name(), &held.key.id);
    let mut add = |fault, detail, advice| findings.push(Finding { fault, subject: subject.clone(), detail, advice });
    match examined(held, sealer) {
        Err(error @ CodecError::TooNew { .. }) => {
            add("too-new", error.to_string(), "run this command of the version that serves from the store");
        }
        Err(error @ CodecError::Malformed { .. }) => add("unreadable", error.to_string(), RESTORE),
        Ok(examined) => {
            for what in examined.beside {
                add("label", format!("the {what} kept beside it is not its own"), LABEL);
            }
            for (field, error) in examined.sealed {
                let advice = if error == OpenError::UnknownKey { KEY } else { RESTORE };
                // A field's name may begin with the id of a connection or webhook; those are no secrets.
                add("sealed", format!("{field}: {error}"), advice);
            }
        }
    }
    if is_forgotten(held.key.kind, &held.document) {
        add("never-due", "it has neither a due time nor a lease, so that no worker ever looks at it".to_owned(), WAKE);
    }
}

fn examined(held: &Held, sealer: &Sealer) -> Result<Examined, CodecError> {
    let document = &held.document;
    match held.key.kind {
        Kind::Workspace => connections::examine(document, sealer),
        Kind::Lead => leads::examine(&held.tenant, document, sealer),
        Kind::Prospect => leads::examine_prospect(&held.tenant, &held.key.id, document, sealer),
        Kind::Receipt => leads::examine_receipt(document),
        Kind::Attempt => authorization::examine(&held.tenant, document, sealer),
        Kind::Sync => leads::examine_sync(document),
    }
}

/// Every lead, attempt, sync and prospect has something left to do: to be forgotten, at last.
fn is_forgotten(kind: Kind, document: &Document) -> bool {
    matches!(kind, Kind::Lead | Kind::Attempt | Kind::Sync | Kind::Prospect)
        && document.due.is_none()
        && document.lease.is_none()
}
