//! A full sync between any two events of a lead's life does no harm, and sets right what it is for.

use std::time::Duration;

use proptest::prelude::*;

use super::{
    super::{
        attio::ShowFailure,
        compared::Compared,
        outcome::{Reason, Status},
        shown::{Showing, Title},
    },
    stories::event,
    world::{HOUR, Telling, World},
};
use crate::ids::RecordId;

proptest! {
    /// Whatever happens, and however often the record is set back meanwhile: Attio ends up showing how it ended, and a
    /// sync that looks once more finds nothing.
    #[test]
    fn a_sync_sets_right_what_was_set_back_and_nothing_else(
        telling in prop_oneof![Just(Telling::LeadId), Just(Telling::CallbackId)],
        events in prop::collection::vec((event(), any::<bool>(), any::<bool>()), 0..40),
    ) {
        let mut world = World::new(telling);
        for (event, is_set_back, is_synced) in events {
            world.happen(event);
            if is_set_back {
                world.set_back();
            }
            if is_synced {
                world.sync();
            }
        }
        world.come_to_rest();
        world.set_back();
        world.sync();
        world.settle();
        if let Some(wanted) = world.lead.wanted().filter(|_| !world.lead.attio.gone) {
            prop_assert!(wanted.title != Title::Pending);
            prop_assert_eq!(world.attio, Some(wanted));
        }
        let before = world.lead.clone();
        prop_assert!(!world.sync());
        prop_assert_eq!(&world.lead, &before);
    }
}

/// A lead that is complete, and shown so.
fn complete() -> World {
    let mut world = World::new(Telling::LeadId);
    world.lead.begin(world.now);
    world.lead.submitted(world.sends[0], Some("1".to_owned()), None, world.now);
    world.lead.finish("qualified", Some("1"), None, world.now);
    world.lead.shown(showing(&world, Title::Complete), Some("1".to_owned()), world.now);
    world
}

fn showing(world: &World, title: Title) -> Showing {
    Showing { send: world.sends[0], title }
}

#[test]
fn only_what_attio_has_taken_and_does_not_show_is_undone() {
    let mut world = complete();
    let record = world.lead.record_id;
    let undone = Compared::Undone(showing(&world, Title::Complete));
    assert_eq!(world.lead.compared(record), undone);
    assert_eq!(world.lead.compared(RecordId::random()), Compared::Untold, "another record is not its own");
    // Owed already, refused, restored.
    world.lead.attio.set_shown(None);
    assert_eq!(world.lead.compared(record), Compared::Settled);
    world.lead.attio.refused = true;
    assert_eq!(world.lead.compared(record), Compared::Refused);
    world.lead.attio.refused = false;
    world.lead.attio.gone = true;
    assert_eq!(world.lead.compared(record), undone, "Attio lists it, so that it is not gone");
    assert!(world.lead.show_again(showing(&world, Title::Complete)) && !world.lead.attio.gone);

    let live = World::new(Telling::LeadId);
    assert_eq!(live.lead.compared(live.lead.record_id), Compared::Settled);
    let mut deleted = World::new(Telling::LeadId);
    deleted.lead.expire(Reason::RecordDeleted, deleted.now);
    assert_eq!(deleted.lead.compared(deleted.lead.record_id), Compared::Untold);
}

#[test]
fn what_may_have_been_overwritten_is_written_again_and_read_back() {
    let mut world = World::new(Telling::LeadId);
    world.lead.begin(world.now);
    world.lead.submitted(world.sends[0], Some("1".to_owned()), None, world.now);
    let pending = showing(&world, Title::Pending);
    world.lead.shown(pending, Some("1".to_owned()), world.now);
    world.lead.overwritten(world.now);
    assert!(world.lead.is_to_be_shown());
    world.lead.shown(pending, Some("1".to_owned()), world.now);
    let (index, at) = world.lead.next_doubt().expect("a look");
    assert!(at > world.now && world.lead.attio.doubts[index].title == Title::Failed);
    world.lead.read_back(index, true);
    assert!(world.lead.is_to_be_shown(), "it came late");

    world.lead.not_shown(ShowFailure::Gone, super::super::alc::Again::failed(world.now), None, world.now);
    world.lead.overwritten(world.now);
    assert!(!world.lead.is_to_be_shown(), "the record is gone");
}

#[test]
fn alc_is_asked_of_what_it_has_had_for_a_while() {
    let mut world = World::new(Telling::LeadId);
    let minute = Duration::from_secs(60);
    assert!(!world.lead.is_worth_asking(minute, world.now) && !world.lead.ask_by(world.now));
    world.lead.begin(world.now);
    world.lead.submitted(world.sends[0], Some("1".to_owned()), world.deadlines.next_poll(0, world.now), world.now);
    assert!(!world.lead.is_worth_asking(minute, world.now));
    world.wait(HOUR);
    assert!(world.lead.is_worth_asking(minute, world.now) && world.lead.ask_by(world.now));
    assert_eq!(world.lead.send.poll_at, Some(world.now));
    let before = world.now;
    world.wait(HOUR);
    assert!(world.lead.ask_by(world.now));
    assert_eq!(world.lead.send.poll_at, Some(before), "no later than it was");
    world.lead.finish("qualified", Some("1"), None, world.now);
    assert!(!world.lead.is_worth_asking(minute, world.now) && !world.lead.ask_by(world.now));
    assert_eq!(world.lead.send.outcome.status, Status::Complete);
}
