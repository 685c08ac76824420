//! A person's transitions, and what their record's lead takes of them.

use std::time::Duration;

use proptest::prelude::*;

use super::aggregate::{Access, Prospect, Step, Told};
use crate::{
    clock::{Timestamp, later},
    ids::{RecordId, SendId, WebhookId},
    leads::lead::{
        aggregate::Lead,
        alc::Again,
        outcome::{Reason, Status},
        prospect::Brought,
        send::PresentSend,
        shown::{Showing, Title},
    },
    sealing::Sealed,
    store::Aggregate as _,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

fn told(result: Option<&str>, lead_id: Option<&str>, call: Option<&str>) -> Told {
    let owned = |text: &str| text.to_owned();
    Told {
        email: Sealed::from_text("sealed"),
        name: None,
        lead_id: lead_id.map(owned),
        result: result.map(owned),
        words: None,
        webhook: WebhookId::random(),
        call: call.map(owned),
    }
}

fn send() -> PresentSend {
    PresentSend::new(SendId::random(), NOW)
}

fn brought<'a>(result: Option<&'a str>, lead_id: Option<&'a str>) -> Brought<'a> {
    Brought { result, lead_id, callbacks: &[] }
}

#[test]
fn a_later_word_replaces_an_earlier_one_and_silence_replaces_nothing() {
    let mut prospect = Prospect::new(told(None, Some("p"), Some("1")), NOW);
    assert!(prospect.tell(told(Some("unreachable"), Some("q"), Some("2"))));
    assert!(prospect.tell(told(Some("qualified"), Some("r"), Some("3"))));
    assert!(prospect.tell(told(None, Some("s"), None)));
    assert!(!prospect.tell(told(Some("a repeat"), None, Some("2"))));
    let said = prospect.brought();
    assert_eq!((said.result, said.lead_id), (Some("qualified"), Some("r")));
}

#[test]
fn what_alc_said_besides_goes_with_its_result() {
    let with_words =
        |result, words: Option<&str>| Told { words: words.map(Sealed::from_text), ..told(result, None, None) };
    for (then, words, kept) in [
        (Some("won"), None, Some("first")),
        (Some("lost"), None, None),
        (Some("lost"), Some("then"), Some("then")),
        (None, Some("then"), Some("first")),
    ] {
        let mut prospect = Prospect::new(with_words(Some("won"), Some("first")), NOW);
        assert!(prospect.tell(with_words(then, words)));
        assert_eq!(prospect.words, kept.map(Sealed::from_text), "{then:?} {words:?}");
    }
}

#[test]
fn nothing_is_made_for_a_workspace_that_has_left_and_nobody_is_kept_for_ever() {
    let prospect = Prospect::new(told(None, None, None), NOW);
    let step = |access, after| prospect.next_step(access, DAY * 3, later(NOW, after));
    assert_eq!(step(Access::Granted, Duration::ZERO), Step::Upsert);
    assert_eq!(step(Access::Granted, DAY * 3), Step::GiveUp);
    assert_eq!(step(Access::None, DAY), Step::Rest(later(NOW, DAY * 3)));
    assert_eq!(step(Access::Disconnected(NOW), DAY / 2), Step::Rest(later(NOW, DAY)));
    assert_eq!(step(Access::Disconnected(NOW), DAY), Step::GiveUp);
    assert_eq!(step(Access::NotBefore(later(NOW, DAY)), Duration::ZERO), Step::Rest(later(NOW, DAY)));
}

#[test]
fn a_failure_is_told_by_the_label_and_a_pause_is_none() {
    let mut prospect = Prospect::new(told(None, None, None), NOW);
    prospect.not_taken(Again::paused(later(NOW, DAY)), false);
    assert_eq!((prospect.status(), prospect.failures), ("waiting", 0));
    assert_eq!(prospect.next_step(Access::Granted, DAY * 3, NOW), Step::Rest(later(NOW, DAY)));
    prospect.not_taken(Again::failed(later(NOW, DAY)), true);
    assert_eq!((prospect.status(), prospect.name_refused), ("failing", true));
}

#[test]
fn a_lead_under_way_ends_by_its_own_id_alone() {
    let mut lead = Lead::new(RecordId::random(), send());
    lead.submitted(lead.send.outcome.id, Some("own".to_owned()), None, NOW);
    for other in [None, Some("a stranger's")] {
        lead.take_brought(brought(Some("qualified"), other), send(), NOW);
        assert_eq!(lead.send.outcome.status, Status::Pending);
    }
    assert!(lead.take_brought(brought(Some("qualified"), Some("own")), send(), NOW));
    assert_eq!(lead.send.outcome.result.as_deref(), Some("qualified"));
    assert!(!lead.take_brought(brought(Some("another"), Some("own")), send(), NOW));
    assert!(!lead.take_brought(brought(None, Some("own")), send(), NOW));
}

#[test]
fn where_the_id_of_a_lead_under_way_is_not_known_alc_is_asked() {
    for (own, told, is_asked) in
        [(None, Some("p"), true), (None, None, true), (Some("own"), None, true), (Some("own"), Some("p"), false)]
    {
        let mut lead = Lead::new(RecordId::random(), send());
        lead.submitted(lead.send.outcome.id, own.map(str::to_owned), Some(later(NOW, DAY)), NOW);
        lead.take_brought(brought(Some("qualified"), told), send(), NOW);
        assert_eq!(lead.send.outcome.status, Status::Pending);
        assert_eq!(lead.send.poll_at == Some(NOW), is_asked, "{own:?} {told:?}");
    }
}

#[test]
fn an_earlier_sends_result_ends_that_send_while_another_is_live() {
    let mut lead = Lead::new(RecordId::random(), send());
    lead.submitted(lead.send.outcome.id, Some("first".to_owned()), None, NOW);
    lead.send.finish(Status::Failed, Some(Reason::TimedOut), NOW);
    lead.send_again(send());
    lead.submitted(lead.send.outcome.id, Some("second".to_owned()), None, NOW);
    assert!(lead.take_brought(brought(Some("qualified"), Some("first")), send(), NOW));
    assert_eq!(lead.earlier[0].outcome.result.as_deref(), Some("qualified"));
    assert_eq!((lead.send.outcome.status, &lead.send.outcome.result), (Status::Pending, &None));
}

#[test]
fn a_send_that_another_took_the_place_of_is_followed_by_none() {
    for reason in [Reason::Superseded, Reason::RecordDeleted] {
        let mut lead = Lead::new(RecordId::random(), send());
        lead.submitted(lead.send.outcome.id, Some("own".to_owned()), None, NOW);
        lead.send.finish(Status::Failed, Some(reason), NOW);
        lead.attio.gone = true;
        let before = lead.send.outcome.id;
        lead.take_brought(brought(Some("qualified"), Some("own")), send(), NOW);
        assert_eq!((lead.send.outcome.id, lead.send.outcome.status), (before, Status::Failed));
    }
}

proptest! {
    #[test]
    fn a_result_that_is_known_is_never_taken_back(
        words in proptest::collection::vec(
            (proptest::option::of("[a-c]"), proptest::option::of("[x-z]"), proptest::bool::ANY),
            1..8,
        )
    ) {
        let mut lead = Lead::new(RecordId::random(), send());
        let mut known: Option<String> = None;
        for (n, (result, lead_id, is_shown)) in words.iter().enumerate() {
            let said = brought(result.as_deref(), lead_id.as_deref());
            if n == 0 {
                lead.adopt_brought(said, send(), NOW);
            } else {
                lead.take_brought(said, send(), NOW);
            }
            if *is_shown {
                let showing = Showing { send: lead.send.outcome.id, title: Title::Complete };
                lead.shown(showing, None, NOW);
            }
            known = known.or_else(|| result.clone());
            prop_assert_eq!(lead.send.outcome.status, Status::Complete);
            prop_assert_eq!(&lead.send.outcome.result, &known);
        }
    }
}
