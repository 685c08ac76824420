//! What operators see of a lead and may do to it: dead letters are replayed once, and never past ALC's doubt.

use std::time::Duration;

use serde_json::Map;

use super::{
    super::{
        aggregate::Lead,
        alc::Again,
        attio::ShowFailure,
        calls::{BOOKKEEPING, CallOutcome, Recipient},
        dead_letters::{LetterId, LetterKind},
        mend::NotAgain,
        merge::{Known, deleted, merged},
        next_step::Step,
        outcome::{Reason, Status},
        reach::Reach,
        send::{PresentSend, SealedPerson},
        shown::Title,
        story::Kept,
    },
    world::{HOUR, Telling, World},
};
use crate::{
    clock::{earlier, later},
    ids::{SendId, WorkspaceId},
    sealing::Sealed,
};

const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);

fn failed(reach: Reach, reason: Reason) -> World {
    let mut world = World::new(Telling::LeadId);
    let sealed = || Sealed::from_text("sealed");
    world.lead.send.person = Some(SealedPerson { name: sealed(), phone_number: sealed(), extra: Map::new() });
    world.lead.send.reach = reach;
    let now = world.now;
    world.lead.send.finish(Status::Failed, Some(reason), now);
    world
}

#[test]
fn only_a_failed_send_that_certainly_never_arrived_may_be_sent_again() {
    let there = Reach::There { since: crate::clock::from_micros(1) };
    let under_way = Reach::UnderWay { doubted: false };
    for reason in [Reason::NotSent, Reason::Rejected] {
        let world = failed(Reach::NotThere, reason);
        let send = world.lead.send.outcome.id;
        assert!(world.lead.may_be_sent_again(send).is_ok(), "{reason:?}");
        assert_eq!(world.lead.may_be_sent_again(SendId::random()).err(), Some(NotAgain::Over), "another send's letter");
        for doubt in [Reach::InDoubt, Reach::MayArrive, under_way, there] {
            let world = failed(doubt, reason);
            let answer = world.lead.may_be_sent_again(world.lead.send.outcome.id);
            assert_eq!(answer.err(), Some(NotAgain::MayBeAtAlc), "{reason:?} {doubt:?}");
            assert!(world.lead.send.person.is_none(), "nothing is kept that cannot be used: {doubt:?}");
        }
    }
    for (reason, why) in [
        (Reason::Superseded, NotAgain::Pointless),
        (Reason::RecordDeleted, NotAgain::Pointless),
        (Reason::TimedOut, NotAgain::Forgotten),
        (Reason::Disconnected, NotAgain::Forgotten),
    ] {
        let world = failed(Reach::NotThere, reason);
        assert_eq!(world.lead.may_be_sent_again(world.lead.send.outcome.id).err(), Some(why), "{reason:?}");
        assert!(world.lead.send.person.is_none(), "{reason:?}");
    }
}

#[test]
fn a_result_that_comes_after_all_erases_what_was_kept_for_a_replay() {
    let mut world = failed(Reach::NotThere, Reason::Rejected);
    let now = world.now;
    world.lead.complete("qualified", now);
    assert!(world.lead.send.person.is_none());
    assert_eq!(world.lead.may_be_sent_again(world.lead.send.outcome.id).err(), Some(NotAgain::Over));
}

#[test]
fn what_alc_may_still_do_for_an_earlier_send_is_not_begun_again() {
    for (lead_id, unlearnt) in [(None, true), (Some("17".to_owned()), false)] {
        let mut world = failed(Reach::NotThere, Reason::Rejected);
        let mut earlier = World::new(Telling::LeadId).lead.send.into_earlier();
        (earlier.outcome.status, earlier.outcome.reason) = (Status::Failed, Some(Reason::TimedOut));
        (earlier.outcome.lead_id, earlier.unlearnt) = (lead_id, unlearnt);
        world.lead.earlier.push(earlier);
        let answer = |world: &World| world.lead.may_be_sent_again(world.lead.send.outcome.id).err();
        assert_eq!(answer(&world), Some(NotAgain::MayBeAtAlc));
        world.lead.earlier[0].outcome.status = Status::Complete;
        world.lead.earlier[0].unlearnt = false;
        assert_eq!(answer(&world), None, "ALC has told its end");
    }
}

#[test]
fn name_and_number_of_a_failed_send_are_not_kept_beyond_its_record_nor_for_a_person_whom_another_lead_reached() {
    let now = crate::clock::from_micros(1);
    let kept = |lead: &Lead| lead.send.person.is_some();
    let mut deleted_one = failed(Reach::NotThere, Reason::NotSent).lead;
    let mut known = Known::from([(deleted_one.record_id, Some(deleted_one.clone()))]);
    deleted(&mut known, deleted_one.record_id, None, now).expect("all is known");
    assert!(known.values().flatten().all(|lead| !kept(lead)), "the record is gone");
    let send = deleted_one.send.outcome.id;
    deleted_one.submitted(send, Some("17".to_owned()), None, now);
    assert!(!kept(&deleted_one), "ALC has it after all");
    for (newer, older) in [(0, 1), (1, 0)] {
        let mut leads = [0, 1].map(|_| failed(Reach::NotThere, Reason::NotSent).lead);
        leads[newer].send.outcome.created_at = later(leads[older].send.outcome.created_at, MONTH);
        leads[older].send.outcome.status = Status::Complete;
        let [into, from] = [0, 1].map(|at: usize| leads[at].record_id);
        let mut known: Known = leads.into_iter().map(|lead| (lead.record_id, Some(lead))).collect();
        merged(&mut known, into, from, now).expect("all is known");
        assert!(known.values().flatten().all(|lead| !kept(lead)), "one of the two may have been talked to");
    }
    let [mut queued, mut pending] = [0, 1].map(|_| failed(Reach::NotThere, Reason::NotSent).lead);
    queued.send.outcome.status = Status::Queued;
    queued.send.outcome.created_at = later(pending.send.outcome.created_at, MONTH);
    pending.send.outcome.status = Status::Pending;
    let (winner, loser) = (queued.record_id, pending.record_id);
    let mut known = Known::from([(winner, Some(queued)), (loser, Some(pending))]);
    merged(&mut known, winner, loser, now).expect("all is known");
    let mut lead = known.remove(&winner).flatten().expect("it speaks");
    assert!(kept(&lead), "it has yet to go out");
    lead.expire(Reason::NotSent, now);
    assert!(!kept(&lead), "ALC may talk to the person on behalf of the other one");
    lead.send_again(PresentSend::new(SendId::random(), now));
    assert!(lead.send.beside_another, "whatever follows it");
    let mut gone = failed(Reach::NotThere, Reason::NotSent).lead;
    gone.not_shown(ShowFailure::Gone, Again::failed(now), None, now);
    assert!(!kept(&gone), "Attio does not have the record any more");
}

#[test]
fn a_send_in_doubt_keeps_its_time_whoever_asks() {
    let mut world = World::new(Telling::LeadId);
    let (now, at) = (world.now, later(world.now, HOUR));
    world.lead.begin(now);
    world.lead.unknown(world.lead.attempt(), Again::failed(at), None, now);
    assert_eq!(world.lead.try_now(now), Vec::<&str>::new());
    assert_eq!(world.lead.send.retry_at, Some(at), "it is looked up or sent again as the settings have it");
    let mut world = World::new(Telling::LeadId);
    world.lead.begin(now);
    world.lead.not_sent(world.lead.attempt(), Again::failed(at), None, now);
    assert_eq!(world.lead.try_now(now), ["alc"]);
    assert_eq!(world.lead.try_now(now), Vec::<&str>::new(), "nothing waits any more");
}

#[test]
fn a_call_that_was_given_up_is_kept_sealed_and_made_once_more() {
    let mut world = World::new(Telling::LeadId);
    let now = world.now;
    let outcome = world.lead.send.outcome.clone();
    let calls = &mut world.lead.calls;
    for trigger in 0..30 {
        calls.owe(Recipient::Trigger(trigger.to_string()), &outcome, now, now, MONTH);
    }
    let late = later(now, BOOKKEEPING);
    calls.called(1, CallOutcome::NobodyThere, now, now);
    assert!(calls.given_up.is_empty(), "Attio's bookkeeping may be behind");
    calls.called(2, CallOutcome::Heard, late, late);
    calls.called(3, CallOutcome::Failed, late, late);
    assert!(calls.given_up.is_empty());
    for number in 1..=30 {
        calls.called(number, CallOutcome::NobodyThere, late, late);
    }
    let kept: Vec<_> = calls.given_up.iter().map(|given_up| given_up.call.number).collect();
    assert_eq!(kept, (11..=30).collect::<Vec<_>>(), "the newest twenty");
    assert!(calls.owe_again(30, None, MONTH, late));
    assert!(!calls.owe_again(30, None, MONTH, late), "asked for twice, it is owed once");
    assert_eq!(calls.owed.iter().map(|owed| (owed.number, owed.due)).collect::<Vec<_>>(), [(30, late)]);
    let workspace = WorkspaceId::random();
    let letters = world.lead.dead_letters(workspace);
    assert_eq!(letters.len(), 19);
    assert_eq!((letters[0].kind, letters[0].reason), (LetterKind::WorkflowCall, "nobody-there"));
    assert_eq!(letters[0].id.to_string().parse(), Ok(letters[0].id));
}

#[test]
fn a_call_that_was_given_up_is_kept_no_longer_than_a_finished_lead() {
    let mut world = World::new(Telling::LeadId);
    let (now, retention) = (world.now, world.around().deadlines.retention);
    let (outcome, gone) = (world.lead.send.outcome.clone(), later(now, BOOKKEEPING));
    for (number, at) in [(1, gone), (2, later(gone, HOUR))] {
        world.lead.calls.owe(Recipient::Trigger("t".to_owned()), &outcome, now, now, MONTH);
        world.lead.calls.called(number, CallOutcome::NobodyThere, at, at);
    }
    // Its record is sent again and again: the lead lives.
    let next = |world: &mut World, at| {
        world.lead.send.outcome.created_at = at;
        world.lead.next_step(at, &world.around())
    };
    let end = later(gone, retention);
    assert_ne!(next(&mut world, earlier(end, Duration::from_micros(1))), Step::ForgetCalls);
    assert_eq!(next(&mut world, end), Step::ForgetCalls);
    world.lead.calls.given_up.forget_until(earlier(end, retention));
    assert_eq!(world.lead.calls.given_up.iter().map(|kept| kept.call.number).collect::<Vec<_>>(), [2]);
    assert_ne!(next(&mut world, end), Step::ForgetCalls);
}

#[test]
fn what_attio_refused_is_a_dead_letter_until_it_is_written_again() {
    let mut world = failed(Reach::NotThere, Reason::NotSent);
    let (now, send) = (world.now, world.lead.send.outcome.id);
    let kinds = |world: &World| -> Vec<_> {
        world.lead.dead_letters(WorkspaceId::random()).iter().map(|letter| (letter.id, letter.reason)).collect()
    };
    let own = (LetterId::Lead(send), "not-sent");
    for (failure, reason) in [(ShowFailure::Refused, "refused"), (ShowFailure::Gone, "record-gone")] {
        world.lead.not_shown(failure, Again::failed(later(now, HOUR)), Some("no".to_owned()), now);
        assert_eq!(kinds(&world), [own, (LetterId::AttioWrite(send), reason)]);
        assert!(!world.lead.write_again(SendId::random()), "another send's");
        assert!(world.lead.write_again(send));
        assert!(!world.lead.write_again(send), "once");
        assert_eq!((kinds(&world), world.lead.attio.retry_at), (vec![own], None));
        assert!(world.lead.is_to_be_shown());
    }
    // Attio has taken the title alone.
    world.lead.not_shown(ShowFailure::ResultRefused, Again::failed(now), None, now);
    assert_eq!(kinds(&world), [own]);
    let wanted = world.lead.wanted().expect("Failed");
    world.lead.shown(wanted, None, now);
    assert_eq!(kinds(&world), [own, (LetterId::AttioWrite(send), "result-refused")]);
    assert!(world.lead.write_again(send) && world.lead.is_to_be_shown());
}

#[test]
fn a_replayed_send_is_a_new_one_and_its_letter_is_over() {
    let mut world = failed(Reach::NotThere, Reason::NotSent);
    let (now, first) = (world.now, world.lead.send.outcome.id);
    let person = world.lead.may_be_sent_again(first).expect("it may").cloned();
    let next = PresentSend { person, ..PresentSend::new(SendId::random(), now) };
    world.lead.follow_with(next, &[], MONTH);
    assert_eq!(world.lead.may_be_sent_again(first).err(), Some(NotAgain::Over));
    assert_eq!(world.lead.dead_letters(WorkspaceId::random()), []);
}

#[test]
fn the_story_tells_what_comes_next_and_masks_what_alc_said() {
    let mut world = World::new(Telling::LeadId);
    let (now, at) = (world.now, later(world.now, Duration::from_secs(90)));
    world.lead.begin(now);
    world.lead.not_sent(world.lead.attempt(), Again::failed(at), Some("ALC: no route".to_owned()), now);
    let next = world.lead.next(&world.around(), true, now);
    assert_eq!((next.step, next.at), ("submit", at));
    assert!(next.why.contains("ALC failed 1 times in a row"), "{}", next.why);
    world.lead.submitted(world.lead.send.outcome.id, Some("7".to_owned()), None, now);
    world.lead.finish("call +1 201 555 0123 \u{1b}[31mnow", Some("7"), None, now);
    let kept = Kept { due: None, leased_until: None, opens: true };
    let text =
        serde_json::to_string(&world.lead.story(WorkspaceId::random(), kept, &world.around(), now)).expect("JSON");
    assert!(!text.contains("555") && !text.contains("u001b"), "{text}");
    assert!(text.contains("call … [31mnow"), "{text}");
}

#[test]
fn why_a_send_has_failed_outlives_attios_trouble_with_showing_it() {
    let said = |world: &World| world.lead.view().last_error;
    for reason in [Reason::NotSent, Reason::TimedOut, Reason::Disconnected] {
        let mut world = World::new(Telling::LeadId);
        let (now, at) = (world.now, later(world.now, HOUR));
        world.lead.begin(now);
        world.lead.not_sent(world.lead.attempt(), Again::failed(at), Some("ALC: no route".to_owned()), now);
        world.lead.expire(reason, now);
        assert_eq!(said(&world).as_deref(), Some("ALC: no route"), "{reason:?}");
        let showing = world.lead.wanted().expect("it is to be shown");
        assert_eq!(showing.title, Title::Failed);
        let before = world.lead.clone();
        world.lead.not_shown(ShowFailure::Refused, Again::failed(at), Some("Attio: no such word".to_owned()), now);
        world.lead.keep_history(Some(&before), now);
        assert_eq!(said(&world).as_deref(), Some("Attio: no such word"), "what Attio refuses is the newer trouble");
        let letters = world.lead.dead_letters(WorkspaceId::random());
        let told: Vec<_> = letters.iter().map(|letter| letter.last_error.as_deref()).collect();
        assert_eq!(told, [Some("ALC: no route"), Some("Attio: no such word")], "each letter says its own");
        world.lead.shown(showing, None, now);
        assert_eq!(said(&world).as_deref(), Some("ALC: no route"), "{reason:?}");
        assert_eq!(world.lead.attio.error, None);
        let limited = Some("Attio: rate limited".to_owned());
        world.lead.not_shown(ShowFailure::Later, Again::paused(at), limited.clone(), now);
        assert_eq!(said(&world), limited, "a pause that Attio asks for is no failure, and is told");
    }
}

#[test]
fn words_of_attios_that_an_older_version_kept_in_the_sends_place_end_with_attios_trouble() {
    for (reason, error, kept) in [
        (Reason::NotSent, "Attio: forbidden", None),
        (Reason::NotSent, "Attio's token cannot be opened", None),
        (Reason::NotSent, "ALC: no route", Some("ALC: no route")),
        (Reason::Rejected, "Attio: is what ALC said", Some("Attio: is what ALC said")),
    ] {
        let mut world = failed(Reach::NotThere, reason);
        let now = world.now;
        world.lead.send.outcome.last_error = Some(error.to_owned());
        let showing = world.lead.wanted().expect("it is to be shown");
        world.lead.shown(showing, None, now);
        assert_eq!(world.lead.view().last_error.as_deref(), kept, "{error}");
    }
}

#[test]
fn a_pending_send_that_is_asked_for_by_hand_is_asked_for_by_the_schedule_as_well() {
    let mut world = World::new(Telling::LeadId);
    let (start, first) = (world.now, later(world.now, HOUR));
    world.lead.begin(start);
    world.lead.submitted(world.lead.send.outcome.id, Some("7".to_owned()), Some(first), start);
    for minutes in [5, 10] {
        let now = later(start, Duration::from_secs(60 * minutes));
        assert_eq!(world.lead.try_now(now), ["alc"]);
        assert_eq!(world.lead.try_now(now), Vec::<&str>::new(), "it is asked for already");
        assert_eq!(world.lead.send.poll_at, Some(now), "at once");
        let before = world.lead.clone();
        // ALC is away at first.
        world.lead.delay(Again::failed(later(now, Duration::from_secs(1))), None, now);
        world.lead.polled(&world.deadlines, now);
        world.lead.keep_history(Some(&before), now);
        assert_eq!((world.lead.send.poll_at, world.lead.send.polls), (Some(first), 0), "then as before");
        assert!(world.lead.history.told().iter().any(|entry| entry.what == "alc-asked"));
    }
    world.lead.polled(&world.deadlines, first);
    assert_eq!(world.lead.send.polls, 1);
    assert_eq!(world.lead.send.poll_at, world.deadlines.next_poll(1, first), "the schedule goes on");
    // A hand that comes after the time of the schedule's has no other to go back to.
    let late = later(first, HOUR * 100);
    world.lead.send.poll_then = Some(first);
    world.lead.polled(&world.deadlines, late);
    assert_eq!((world.lead.send.poll_at, world.lead.send.polls), (world.deadlines.next_poll(2, late), 2));
}

#[test]
fn a_key_that_was_put_back_is_what_the_story_tells_of_and_not_a_failure_of_alc() {
    let mut world = World::new(Telling::LeadId);
    let (now, at) = (world.now, later(world.now, HOUR));
    let before = world.lead.clone();
    world.lead.not_opened(at, "the sealed value was sealed under a key that is not configured".to_owned(), now);
    world.lead.keep_history(Some(&before), now);
    let told: Vec<_> = world.lead.history.told().into_iter().map(|entry| (entry.what, entry.said)).collect();
    assert_eq!(told[0].0, "not-opened");
    assert!(told[0].1.as_ref().is_some_and(|said| said.contains("a key that is not configured")), "{told:?}");
    let why = |world: &World, opens| world.lead.next(&world.around(), opens, now).why;
    assert!(why(&world, false).contains("KEYS__SEALING_PREVIOUS"), "{}", why(&world, false));
    assert!(why(&world, true).contains("opens again"), "{}", why(&world, true));
    world.lead.delay(Again::failed(at), Some("ALC: no route".to_owned()), now);
    assert!(why(&world, true).contains("ALC failed 2 times in a row"), "{}", why(&world, true));
    // What held it up has ended, and no worker was woken for that.
    world.lead.send.retry_at = None;
    let kept = Kept { due: Some(at), leased_until: None, opens: true };
    let next = world.lead.story(WorkspaceId::random(), kept, &world.around(), now).next;
    assert_eq!((next.step, next.at), ("submit", at));
    assert!(next.why.contains("leads retry"), "{}", next.why);
    let in_hand = Kept { leased_until: Some(at), ..kept };
    assert_eq!(world.lead.story(WorkspaceId::random(), in_hand, &world.around(), now).next.why, "due now");
}

#[test]
fn what_is_given_up_is_counted_once_and_again_after_a_replay_that_came_to_nothing() {
    let mut world = World::new(Telling::LeadId);
    let (now, send) = (world.now, world.lead.send.outcome.id);
    let mut since = world.lead.clone();
    let mut counted = |lead: &Lead| {
        let given_up = lead.given_up_since(Some(&since));
        since = lead.clone();
        given_up
    };
    assert_eq!(world.lead.given_up_since(None), []);
    world.lead.expire(Reason::NotSent, now);
    assert_eq!(counted(&world.lead), [(LetterKind::Lead, "not-sent")]);
    for _ in 0..2 {
        world.lead.not_shown(ShowFailure::Refused, Again::failed(now), None, now);
        assert_eq!(counted(&world.lead), [(LetterKind::AttioWrite, "refused")]);
        world.lead.not_shown(ShowFailure::Refused, Again::failed(now), None, now);
        assert_eq!(counted(&world.lead), [], "tried again in vain, it is the same letter");
        assert!(world.lead.write_again(send));
        assert_eq!(counted(&world.lead), []);
    }
    let outcome = world.lead.send.outcome.clone();
    world.lead.calls.owe(Recipient::Trigger("a".to_owned()), &outcome, now, now, MONTH);
    world.lead.calls.called(1, CallOutcome::NobodyThere, later(now, BOOKKEEPING), later(now, BOOKKEEPING));
    assert_eq!(counted(&world.lead), [(LetterKind::WorkflowCall, "nobody-there")]);
}
