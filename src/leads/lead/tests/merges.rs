//! Merges and deletions, told in any order and however often.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use proptest::prelude::*;

use super::super::{
    aggregate::Lead,
    merge::{Known, Unknown, deleted, merged, speaker},
    outcome::{Reason, Status},
    send::PresentSend,
};
use crate::{
    clock::{Timestamp, earlier, from_micros, later},
    ids::{RecordId, SendId},
};

fn id(number: usize) -> RecordId {
    RecordId(uuid::Uuid::from_u128(number as u128 + 1))
}

/// As the service tells an event: what is unknown is looked up in `stored`.
fn tell(stored: &mut BTreeMap<RecordId, Lead>, into: RecordId, from: RecordId, now: Timestamp) {
    let mut asked = BTreeSet::from([into, from]);
    loop {
        let mut known: Known = asked.iter().map(|record| (*record, stored.get(record).cloned())).collect();
        let before = known.clone();
        match merged(&mut known, into, from, now) {
            Ok(()) => {
                stored.extend(known.into_iter().filter_map(|(record, lead)| Some((record, lead?))));
                return;
            }
            Err(Unknown(record)) => {
                assert_eq!(known, before, "nothing has changed");
                assert!(asked.insert(record), "asked for once");
            }
        }
    }
}

fn whole(stored: &BTreeMap<RecordId, Lead>, records: usize) -> Known {
    (0..records).map(|number| (id(number), stored.get(&id(number)).cloned())).collect()
}

fn lead(number: usize, live: bool, at: i64) -> Lead {
    let mut lead = Lead::new(id(number), PresentSend::new(SendId::random(), from_micros(at)));
    lead.attio.gone = true;
    if !live {
        lead.send.finish(Status::Complete, None, from_micros(at));
    }
    lead
}

proptest! {
    /// In whatever order and however often merges are told, what became one record has one lead that speaks for
    /// it, the newest of the live ones, which is shown at the last record; no other one is live.
    #[test]
    fn merges_end_at_one_lead_and_one_record(
        leads in prop::collection::vec(prop::option::of((any::<bool>(), 0i64..100)), 2..6),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
    ) {
        // 0 and 1 make the record n, n and 2 make n + 1, and so on.
        let originals = leads.len();
        let (mut merges, mut last) = (Vec::new(), 0);
        for next in 1..originals {
            let made = originals + next - 1;
            merges.extend([(made, last), (made, next)]);
            last = made;
        }
        let records = last + 1;
        let mut stored: BTreeMap<_, _> = leads.iter().enumerate()
            .filter_map(|(number, lead_is)| lead_is.map(|(live, at)| (id(number), lead(number, live, at))))
            .collect();
        let living: Vec<_> = stored.values().filter(|lead| lead.send.outcome.status.is_live()).cloned().collect();
        let newest = living.iter().map(|lead| lead.send.outcome.created_at).max();

        // Some of them, in any order, several times; and then those that were not heard.
        let some: Vec<_> = order.iter().map(|index| index.index(merges.len())).collect();
        let rest = (0..merges.len()).rev().filter(|at| !some.contains(at)).collect::<Vec<_>>();
        for at in some.iter().chain(&rest) {
            tell(&mut stored, id(merges[*at].0), id(merges[*at].1), from_micros(1_000));
        }

        let known = whole(&stored, records);
        let speakers: BTreeSet<_> = (0..records).map(|number| speaker(&known, id(number)).expect("all are known")).collect();
        prop_assert_eq!(speakers.len(), 1, "whoever is asked for, the same lead answers: {:?}", speakers);
        let Some(speaks) = speakers.into_iter().next().flatten() else {
            prop_assert!(leads.iter().all(Option::is_none));
            return Ok(());
        };
        let speaks = &stored[&speaks];
        prop_assert_eq!(speaks.shown_at(), id(last));
        prop_assert!(!speaks.attio.gone, "a 404 of the old record is forgotten");
        let live: Vec<_> = stored.values().filter(|lead| lead.send.outcome.status.is_live()).collect();
        prop_assert!(live.len() <= 1, "one chat");
        if let Some(newest) = newest {
            prop_assert_eq!(live.len(), 1);
            prop_assert_eq!(live[0].record_id, speaks.record_id);
            prop_assert_eq!(speaks.send.outcome.created_at, newest);
        }
        for silent in stored.values().filter(|lead| lead.record_id != speaks.record_id) {
            prop_assert_eq!(silent.wanted(), None, "only one writes");
        }
        // A repeat changes nothing.
        let before = stored.clone();
        for (into, from) in &merges {
            tell(&mut stored, id(*into), id(*from), from_micros(2_000));
        }
        prop_assert_eq!(stored, before);
    }

    /// A record that was deleted before or after it was merged ends no lead that is shown elsewhere.
    #[test]
    fn only_the_shown_records_deletion_counts(which in 0usize..3) {
        let mut stored = BTreeMap::from([(id(0), lead(0, true, 1))]);
        tell(&mut stored, id(2), id(0), from_micros(5));
        tell(&mut stored, id(2), id(1), from_micros(6));
        let mut known = whole(&stored, 3);
        deleted(&mut known, id(which), None, from_micros(7)).expect("all are known");
        let lead = known[&id(0)].as_ref().expect("still there");
        prop_assert_eq!(lead.send.outcome.reason, (which == 2).then_some(Reason::RecordDeleted));
    }
}

#[test]
fn a_lead_for_which_another_speaks_goes_with_that_one() {
    let (retention, day) = (Duration::from_secs(90 * 86_400), Duration::from_secs(86_400));
    let now = from_micros(1_800_000_000_000_000);
    let ended = |at: Option<Timestamp>| {
        let mut lead = Lead::new(id(1), PresentSend::new(SendId::random(), now));
        lead.send.finished_at = at;
        lead
    };
    // When it is looked at again, by when the other one has ended.
    let looked_at_again = |speaker: Option<Timestamp>, retention| {
        let mut lead = ended(Some(earlier(now, retention)));
        lead.stay_for(&ended(speaker), retention, now);
        later(lead.send.finished_at.expect("it has ended"), retention)
    };
    let month_ago = earlier(now, day * 30);
    assert_eq!(looked_at_again(Some(month_ago), retention), later(month_ago, retention), "as that one is");
    assert_eq!(looked_at_again(Some(earlier(now, retention)), retention), later(now, day), "and not at once again");
    assert_eq!(looked_at_again(None, retention), later(now, retention), "it is under way");
    let short = Duration::from_secs(60);
    assert_eq!(looked_at_again(Some(earlier(now, short)), short), later(now, short));
}
