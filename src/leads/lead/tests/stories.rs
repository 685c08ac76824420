//! The promises of a lead's life, kept in every story.
//!
//! A story is a random list of events (presses, steps with the fate of each request and of the worker that made it,
//! callbacks, late arrivals, waits), lived through in the model of `world`. After it everything that is under way
//! arrives, and what then stands at ALC, in Attio and in the lead has to fit together.

use proptest::prelude::*;

use super::{
    super::{
        next_step::Step,
        outcome::{Reason, Status},
        shown::{Showing, Title},
    },
    world::{Event, Fate, Meanwhile, Telling, Worker, World},
};

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::Done),
        1 => Just(Fate::DoneUnseen),
        1 => Just(Fate::LateUnseen),
        1 => Just(Fate::Refused),
        1 => any::<bool>().prop_map(Fate::Rejected),
        1 => any::<bool>().prop_map(Fate::RejectedAndTaken),
        1 => Just(Fate::LostUnseen),
    ]
}

fn worker() -> impl Strategy<Value = Worker> {
    prop_oneof![4 => Just(Worker::Records), 1 => Just(Worker::Crashes), 1 => Just(Worker::RecordsLate)]
}

fn meanwhile() -> impl Strategy<Value = Meanwhile> {
    prop_oneof![
        4 => (0usize..8).prop_map(Meanwhile::CallBack),
        2 => Just(Meanwhile::Press),
        1 => Just(Meanwhile::Delete),
        1 => Just(Meanwhile::Merge),
        2 => Just(Meanwhile::StepBack),
    ]
}

pub(super) fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => Just(Event::Press),
        8 => (fate(), worker(), prop::collection::vec(meanwhile(), 0..3)).prop_map(|(f, w, m)| Event::Step(f, w, m)),
        2 => (0usize..8).prop_map(Event::CallBack),
        1 => Just(Event::Repeat),
        1 => Just(Event::Delete),
        1 => Just(Event::Merge),
        1 => Just(Event::TimeOut),
        1 => Just(Event::LateRequestsArrive),
        1 => Just(Event::LateFactsArrive),
        2 => (1u64..1200).prop_map(Event::Wait),
        1 => (1u64..1200).prop_map(Event::Bulk),
    ]
}

proptest! {
    // More by PROPTEST_CASES.
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(2_000)))]

    /// However it went, Attio ends up showing how the last send ended, or, if that was refused inside its request, the
    /// last one before it that was not; a result is the send's own, and no send has two leads at ALC.
    #[test]
    fn every_story_ends_well(
        telling in prop_oneof![Just(Telling::LeadId), Just(Telling::CallbackId)],
        events in prop::collection::vec(event(), 0..40),
    ) {
        let mut world = World::new(telling);
        for event in events {
            world.happen(event);
        }
        world.come_to_rest();

        let send = &world.lead.send.outcome;
        let own = world.alc.iter().find(|lead| lead.key == send.id).map(|lead| lead.id.clone());
        prop_assert_eq!(send.status, if own.is_some() { Status::Complete } else { Status::Failed });
        prop_assert_eq!(&send.result, &own);
        let ends = world.lead.earlier.iter().map(|earlier| &earlier.outcome).chain([send]);
        let spoken = ends.rev().find(|end| end.status == Status::Complete || !end.told_in_request);
        if spoken.is_none_or(|end| end.reason != Some(Reason::RecordDeleted)) {
            prop_assert_eq!(world.attio, spoken.map(|end| Showing {
                send: end.id,
                title: if end.status == Status::Complete { Title::Complete } else { Title::Failed },
            }));
        }
        let mut keys: Vec<_> = world.alc.iter().map(|lead| lead.key).collect();
        keys.sort();
        keys.dedup();
        prop_assert_eq!(keys.len(), world.alc.len(), "one lead a key");
        prop_assert!(keys.iter().all(|key| world.sends.contains(key)));
    }

    /// Every state that is not final has a time at which a worker looks at it again.
    #[test]
    fn no_state_sleeps_for_ever(events in prop::collection::vec(event(), 0..40)) {
        let mut world = World::new(Telling::LeadId);
        for event in events {
            world.happen(event);
            if let Step::Rest(at) = world.next() {
                prop_assert!(at > world.now);
            }
        }
    }
}
