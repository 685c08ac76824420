//! What a sync counts, names, gives up and keeps.

use super::*;
use crate::{
    clock::from_micros,
    store::{decode, encode, with_unknown_members},
};

const HOUR: Duration = Duration::from_secs(60 * 60);

fn run() -> SyncRun {
    SyncRun::new(Uuid::from_u128(1), true, None, from_micros(0))
}

fn records(count: usize) -> Vec<RecordId> {
    (0..count).map(|_| RecordId::random()).collect()
}

#[test]
fn a_short_page_is_the_last_and_who_leaves_the_list_moves_the_next_page() {
    let (mut run, page) = (run(), records(500));
    run.read_page(page.len() as u64, &page, page[..3].to_vec());
    assert_eq!((run.phase, run.offset, run.people), (Phase::People, 500, 500));
    assert!(run.is_page_before(&page) && !run.is_page_before(&records(500)) && !run.is_page_before(&[]));
    run.settled(Settled::WrittenOff);
    run.settled(Settled::Mended);
    run.settled(Settled::Left(Why::Unknown));
    run.settled(Settled::Mended);
    assert_eq!((run.offset, run.mended, run.left, run.checked()), (499, 2, 1, 500), "there was no fourth");
    assert_eq!(run.named[0].record, page[0]);
    let mut odd = run.clone();
    odd.read_page(500, &records(499), Vec::new());
    assert_eq!(odd.phase, Phase::People, "one that cannot be read does not make it the last page");
    run.read_page(499, &records(499), Vec::new());
    assert_eq!(run.phase, Phase::Leads);
}

#[test]
fn what_is_named_is_bounded_and_what_is_counted_is_not() {
    let mut run = run();
    let page = records(300);
    run.read_page(page.len() as u64, &page, page.clone());
    for _ in &page {
        run.settled(Settled::Left(Why::Unknown));
    }
    assert_eq!((run.left, run.named.len()), (300, NAMED));
}

#[test]
fn a_page_that_does_not_come_through_is_asked_for_in_parts_and_given_up_after_a_day() {
    let mut run = run();
    for hour in 0..24 {
        run.failed("no".to_owned(), true, from_micros(hour * 3_600_000_000));
    }
    assert_eq!((run.at_once, run.ended.is_some()), (FEWEST_AT_ONCE, false));
    let page = records(25);
    let mut lucky = run.clone();
    lucky.read_page(page.len() as u64, &page, Vec::new());
    assert_eq!((lucky.at_once, lucky.failures, lucky.last_error.is_none()), (50, 0, true));
    lucky.failed("no".to_owned(), true, from_micros(24 * 3_600_000_000));
    assert!(lucky.ended.is_none(), "the day begins anew");
    run.failed("no".to_owned(), true, from_micros(24 * 3_600_000_000));
    assert_eq!(run.ended.map(|ended| ended.how), Some(End::Unreachable));
}

#[test]
fn leads_of_which_alc_says_nothing_are_left_after_some_looks() {
    let mut run = run();
    let asked = |record| Asked { record, send: SendId::random(), polls: 0, extra: Map::new() };
    let all: Vec<_> = records(3).into_iter().map(asked).collect();
    run.ask(all.clone(), None);
    assert!(run.is_last && run.checked() == 3);
    run.looked(1, all[1..].to_vec());
    for _ in 1..LOOKS {
        assert_eq!(run.asked.len(), 2);
        run.looked(0, all[1..].to_vec());
    }
    assert_eq!((run.mended, run.left, run.asked.len()), (1, 2, 0));
    assert_eq!(run.named[0].why, Why::AlcSilent);
}

#[test]
fn one_that_has_ended_is_looked_at_daily_and_forgotten_and_tells_the_next_what_to_expect() {
    let (mut run, page) = (run(), records(7));
    assert_eq!(run.rests_until(HOUR, from_micros(0)), None);
    run.read_page(page.len() as u64, &page, page.clone());
    run.end(End::Done, from_micros(0));
    assert_eq!((run.status(), run.suspects.len()), ("ended", 0));
    assert_eq!(run.rests_until(HOUR * 48, from_micros(5)), Some(later(from_micros(5), HOUR * 24)));
    assert_eq!(run.rests_until(HOUR * 2, from_micros(5)), Some(later(from_micros(0), HOUR * 2)));
    assert_eq!(run.rests_until(HOUR, later(from_micros(0), HOUR)), None);
    let mut next = SyncRun::new(Uuid::from_u128(2), false, Some(&run), from_micros(9));
    assert_eq!((next.expected, next.checked()), (Some(7), 0));
    next.end(End::Refused, from_micros(9));
    let third = SyncRun::new(Uuid::from_u128(3), false, Some(&next), from_micros(9));
    assert_eq!(third.expected, Some(7), "one that was cut short tells nothing of how many there are");
}

#[test]
fn what_a_newer_version_adds_survives_a_rewrite() {
    let (mut run, page) = (run(), records(2));
    run.read_page(page.len() as u64, &page, page.clone());
    run.settled(Settled::Left(Why::Unknown));
    run.ask(vec![Asked { record: page[0], send: SendId::random(), polls: 1, extra: Map::new() }], Some("1.a".into()));
    run.end(End::Done, from_micros(1));
    run.asked = vec![Asked { record: page[0], send: SendId::random(), polls: 1, extra: Map::new() }];
    let mut body: Value = serde_json::from_str(&encode(&run)).expect("JSON");
    let objects = with_unknown_members(&mut body);
    assert_eq!(objects, 4, "the run, what is asked, what is left, and its end");
    let read: SyncRun = decode(&body.to_string()).expect("reads");
    let again: Value = serde_json::from_str(&encode(&read)).expect("JSON");
    assert_eq!(again, body);
}
