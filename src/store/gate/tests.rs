use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::clock::from_micros;

const MICROS: i64 = 1_000_000;

const ATTIO: Gate = Gate { upstream: "attio", per_second: Some(25), ahead: false };
const ALC: Gate = Gate { upstream: "alc", per_second: None, ahead: false };

fn at(micros: i64) -> Timestamp {
    from_micros(micros)
}

fn ms(ms: i64) -> Timestamp {
    from_micros(ms * 1000)
}

fn fail(state: &mut GateState, times: u32, now: Timestamp) {
    for _ in 0..times {
        state.report(GateReport::Failed, now);
    }
}

/// A crowd of leads, each knocking when its slot says so but late by its own habit.
fn run_crowd(arrivals: &[i64], lateness: &[i64], pause: Option<(i64, i64)>) -> Vec<i64> {
    run_crowds(ATTIO, arrivals, &[], lateness, pause).0
}

/// A crowd, and requests that go ahead of it: when each left, and how long each of those that go ahead took.
fn run_crowds(
    paced: Gate,
    arrivals: &[i64],
    ahead: &[i64],
    lateness: &[i64],
    pause: Option<(i64, i64)>,
) -> (Vec<i64>, Vec<i64>) {
    struct Waiting {
        knocks: i64,
        held: Option<Timestamp>,
        late: i64,
        /// Of a request that goes ahead: when it came.
        came: Option<i64>,
    }
    let mut state = GateState::default();
    let late = |(arrival, late): (&i64, &i64)| Waiting { knocks: *arrival, held: None, late: *late, came: None };
    let mut waiting: Vec<_> = arrivals.iter().zip(lateness.iter().cycle()).map(late).collect();
    waiting.extend(ahead.iter().map(|came| Waiting { knocks: *came, held: None, late: 0, came: Some(*came) }));
    let all = waiting.len();
    let (mut left, mut took) = (Vec::new(), Vec::new());
    let mut slots = std::collections::HashSet::new();
    let mut paused = false;
    for _ in 0..all * 200 {
        let Some(next) = (0..waiting.len()).min_by_key(|i| waiting[*i].knocks) else { break };
        let Waiting { knocks: now, held, late, came } = waiting[next];
        if let Some((from, until)) = pause.filter(|(from, _)| now >= *from && !paused) {
            state.report(GateReport::Limited { until: at(until) }, at(from));
            paused = true;
        }
        let gate = if came.is_some() { paced.ahead() } else { paced };
        let reserved = state.reserve(&gate, held, at(now));
        match reserved.verdict {
            Verdict::Go => {
                assert!(!(paused && pause.is_some_and(|(_, until)| now < until)), "went through a pause");
                left.push(now);
                took.extend(came.map(|came| now - came));
                waiting.swap_remove(next);
            }
            Verdict::At(slot) => {
                assert_eq!(reserved.slot, Some(slot));
                assert!(slot > at(now), "a slot lies ahead");
                if held != Some(slot) {
                    assert!(slots.insert((gate.ahead, slot)), "two slots at once");
                }
                waiting[next] = Waiting { knocks: slot.as_microsecond() + late, held: Some(slot), late, came };
            }
        }
    }
    assert!(waiting.is_empty(), "{} of {all} never went", waiting.len());
    (left, took)
}

fn fullest_second(left: &[i64]) -> usize {
    left.iter().map(|end| left.iter().filter(|t| **t > end - MICROS && *t <= end).count()).max().unwrap_or(0)
}

proptest! {
    #[test]
    fn no_second_sees_more_than_the_limit_and_everybody_goes(
        arrivals in proptest::collection::vec(0i64..3_000_000, 1..120),
        lateness in proptest::collection::vec(prop_oneof![0i64..60_000, 900_000i64..1_100_000, 2_000_000i64..2_500_000], 1..7),
        pause in proptest::option::of((0i64..2_000_000, 1i64..5_000_000).prop_map(|(from, long)| (from, from + long))),
        most in prop_oneof![Just(25), 1u32..70],
    ) {
        let paced = Gate { per_second: Some(most), ..ATTIO };
        let (left, _) = run_crowds(paced, &arrivals, &[], &lateness, pause);
        prop_assert!(fullest_second(&left) <= most as usize);
    }

    /// Results come to a bulk under way: each goes within a second and a half, however many hold slots, and never do
    /// more than the limit go in a second.
    #[test]
    fn what_goes_ahead_waits_for_no_bulk(
        bulk in proptest::collection::vec(0i64..1_000_000, 1..300),
        results in proptest::collection::vec(0i64..8_000_000, 1..12),
        lateness in proptest::collection::vec(0i64..60_000, 1..7),
    ) {
        let (left, took) = run_crowds(ATTIO, &bulk, &results, &lateness, None);
        prop_assert!(fullest_second(&left) <= 25);
        prop_assert!(took.iter().all(|took| *took <= 1_500_000), "{took:?}");
    }

    #[test]
    fn a_state_survives_its_journey(arrivals in proptest::collection::vec(0i64..3_000_000, 1..40)) {
        let mut state = GateState::default();
        for arrival in arrivals {
            state.reserve(&ATTIO, None, at(arrival));
        }
        let text = serde_json::to_string(&state).expect("serialises");
        prop_assert_eq!(serde_json::from_str::<GateState>(&text).expect("reads"), state);
    }
}

#[test]
fn a_thousand_at_once_are_spread_over_forty_seconds() {
    let left = run_crowd(&[0; 1000], &[0], None);
    assert_eq!(*left.last().expect("all went"), 999 * 41_667);
    assert_eq!(fullest_second(&left), 24);
}

/// However many may leave in a second, that costs no more to keep, and they do leave.
#[test]
fn a_fast_gate_keeps_its_pace_and_is_no_larger() {
    let size = |gate: &Gate| {
        let mut state = GateState::default();
        let mut now = 0;
        for _ in 0..5 * gate.per_second.expect("it paces") {
            match state.reserve(gate, None, at(now)).verdict {
                Verdict::Go => now += gate.interval_micros().expect("it paces"),
                Verdict::At(slot) => panic!("{now}: not before {slot}"),
            }
        }
        serde_json::to_string(&state).expect("serialises").len()
    };
    let [slow, fast] = [25, 1_000].map(|most| size(&Gate { per_second: Some(most), ..ATTIO }));
    assert!(fast <= slow + 50, "{slow} bytes at 25 a second, {fast} at 1,000");
}

/// A thousand leads that one press sent, and a result two seconds later.
#[test]
fn a_result_goes_before_a_thousand_that_hold_slots() {
    let (left, took) = run_crowds(ATTIO, &[0; 1000], &[2_000_000], &[0], None);
    assert!(took[0] <= 100_000, "{took:?}");
    assert!(*left.last().expect("all went") <= 1001 * 41_667, "and delays them by its own turn alone");
}

#[test]
fn workers_that_are_always_late_still_get_their_leads_out() {
    let left = run_crowd(&[0; 500], &[2_000_000], None);
    assert!(*left.iter().max().expect("all went") < 90 * MICROS, "took {left:?}");
    assert!(fullest_second(&left) <= 25);
}

#[test]
fn who_comes_back_after_a_pause_goes_ahead_of_new_slots() {
    let mut state = GateState::default();
    assert_eq!(state.reserve(&ATTIO, None, ms(0)).verdict, Verdict::Go);
    let held = state.reserve(&ATTIO, None, ms(0)).slot;
    state.report(GateReport::Limited { until: ms(10_000) }, ms(10));
    let back = state.reserve(&ATTIO, held, ms(42));
    assert_eq!(back.verdict, Verdict::At(ms(10_000)));
    let Verdict::At(new) = state.reserve(&ATTIO, None, ms(43)).verdict else { panic!("the gate is paused") };
    assert!(new > ms(10_000));
    assert_eq!(state.reserve(&ATTIO, back.slot, ms(9_999)).verdict, Verdict::At(ms(10_000)));
    assert_eq!(state.reserve(&ATTIO, back.slot, ms(10_000)).verdict, Verdict::Go);
}

#[test]
fn a_slot_is_honoured_for_a_second_however_many_are_queued() {
    let mut state = GateState::default();
    state.reserve(&ATTIO, None, ms(0));
    let held = state.reserve(&ATTIO, None, ms(0)).slot;
    for _ in 0..200 {
        state.reserve(&ATTIO, None, ms(0));
    }
    assert_eq!(state.reserve(&ATTIO, held, ms(1_041)).verdict, Verdict::Go);
}

#[test]
fn five_failures_open_a_gate_and_each_failed_probe_doubles_the_cool_down() {
    let mut state = GateState::default();
    fail(&mut state, 4, ms(0));
    assert_eq!(state.reserve(&ALC, None, ms(0)).verdict, Verdict::Go);
    fail(&mut state, 1, ms(0));
    let mut opens = 5_000;
    for cool_down in [10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000] {
        assert_eq!(state.view(ms(opens)).closed_until, Some(ms(opens)));
        assert_eq!(state.reserve(&ALC, None, ms(opens - 1)).verdict, Verdict::At(ms(opens)));
        assert_eq!(state.reserve(&ALC, None, ms(opens)).verdict, Verdict::Go, "the probe");
        assert_eq!(state.reserve(&ALC, None, ms(opens)).verdict, Verdict::At(ms(opens + 5_000)), "only one");
        state.report(GateReport::Failed, ms(opens));
        opens += cool_down;
    }
    state.report(GateReport::Recovered, ms(opens));
    assert_eq!(state.view(ms(opens)), GateView::default());
    assert_eq!(state.reserve(&ALC, None, ms(opens)).verdict, Verdict::Go);
    assert_eq!(state.reserve(&ALC, None, ms(opens)).verdict, Verdict::Go);
}

#[test]
fn a_probe_that_nobody_reports_is_replaced_in_time() {
    let mut state = GateState::default();
    fail(&mut state, 5, ms(0));
    assert_eq!(state.reserve(&ALC, None, ms(5_000)).verdict, Verdict::Go);
    assert_eq!(state.reserve(&ALC, None, ms(34_999)).verdict, Verdict::At(ms(35_000)));
    assert_eq!(state.reserve(&ALC, None, ms(35_000)).verdict, Verdict::Go);
}

#[test]
fn late_failures_of_an_open_gate_do_not_lengthen_its_cool_down() {
    let mut state = GateState::default();
    fail(&mut state, 9, ms(0));
    assert_eq!(state.view(ms(0)).closed_until, Some(ms(5_000)));
}

#[test]
fn the_upstreams_limiting_pauses_and_is_no_failure() {
    let mut state = GateState::default();
    fail(&mut state, 5, ms(0));
    state.report(GateReport::Limited { until: ms(2_000) }, ms(1));
    state.report(GateReport::Limited { until: ms(1_000) }, ms(1));
    assert_eq!(state.view(ms(1)), GateView { closed_until: Some(ms(2_000)), failures: 0 });
    assert_eq!(state.view(ms(2_000)), GateView::default());
    assert_eq!(state.reserve(&ALC, None, ms(1_999)).verdict, Verdict::At(ms(2_000)));
    assert_eq!(state.reserve(&ALC, None, ms(2_000)).verdict, Verdict::Go);
}
