//! Gates: the limiter and breaker before one upstream for one workspace, shared by all replicas.
//!
//! Owns the arithmetic ([`GateState`]: GCRA with burst 1, and a breaker) that the SQLite engine runs as it stands and
//! the Redis engine runs as the same steps in Lua; the conformance suite holds the two together. Promises: never two
//! slots at once; a slot kept is honoured ahead of new ones; after a pause nobody goes early; an open gate lets one
//! probe through at a time.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::from_micros;

/// Consecutive failures that open a gate.
pub const FAILURES_TO_OPEN: u32 = 5;
/// The first cool-down of an open gate; doubled by each failed probe.
pub const FIRST_COOL_DOWN: Duration = Duration::from_secs(5);
/// The longest cool-down.
pub const LONGEST_COOL_DOWN: Duration = Duration::from_secs(300);
/// How long a probe may go unreported before another is let through.
pub const PROBE_PATIENCE: Duration = Duration::from_secs(30);
/// How late a kept slot may be used.
pub const SLOT_TOLERANCE: Duration = Duration::from_secs(1);
/// How much of the upstream's limit is used: the rest absorbs the jitter of the network.
pub const SHARE_OF_LIMIT: f64 = 0.96;

/// A gate of a tenant: which upstream, and how fast.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    /// `alc` or `attio`.
    pub upstream: &'static str,
    /// The upstream's limit in requests per second; `None`: the gate only breaks and never paces.
    pub per_second: Option<u32>,
}

impl Gate {
    /// The time between two slots; `None`: the gate does not pace.
    pub fn interval(&self) -> Option<Duration> {
        self.per_second.map(|rate| Duration::from_secs_f64(1.0 / (f64::from(rate.max(1)) * SHARE_OF_LIMIT)))
    }
}

/// Whether to go. [`Verdict::Go`] is the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Now.
    Go,
    /// Not before then. A paced slot at that time is the caller's if it comes back for it.
    At(Timestamp),
}

/// What came of going through a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateReport {
    /// The upstream said that it is limiting: nobody goes before `until`.
    Limited {
        /// The time that the upstream named.
        until: Timestamp,
    },
    /// The upstream is ailing: no connection, 5xx, a timeout.
    Failed,
    /// The upstream answered. Needs telling only if [`GateView::failures`] is not zero.
    Recovered,
}

/// A gate as [`super::Engine::load`] sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GateView {
    /// Nobody goes before then (pause or cool-down). A cool-down that is over still shows, in the past, until a probe
    /// has been reported: then [`super::Engine::reserve`] decides who probes.
    pub closed_until: Option<Timestamp>,
    /// Failures in a row.
    pub failures: u32,
}

const MICROS: i64 = 1_000_000;

/// A verdict, and the slot that is from now on kept beside the aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserved {
    /// Whether to go.
    pub verdict: Verdict,
    /// What to keep; `None`: nothing, the slot was used or there never was one.
    pub slot: Option<Timestamp>,
}

/// What is stored of a gate: microseconds throughout, because that is what both engines keep.
///
/// New slots lie on a grid, one interval apart. Whoever comes back and cannot use its slot any more gets a place in a
/// second lane between the grid's points, ahead of every slot handed out afterwards: were it put behind the others each
/// time, everybody would be put behind everybody and nobody would ever go. What really left in the last second decides
/// on top of both lanes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateState {
    /// The first point of the grid that new slots lie on.
    grid: Option<i64>,
    /// The last slot handed out on the grid.
    tail: Option<i64>,
    /// The last slot handed out between the grid's points.
    returning: Option<i64>,
    /// The last departures, oldest first, as many as may leave in a second.
    departures: Vec<i64>,
    /// The upstream limits until then.
    paused_until: Option<i64>,
    /// The breaker is open; from then on one probe at a time.
    open_until: Option<i64>,
    /// A probe is under way, and counts as lost after that.
    probe_until: Option<i64>,
    /// The present cool-down of the open breaker.
    cool_down: i64,
    /// In a row.
    failures: u32,
}

impl GateState {
    /// See [`super::Engine::reserve`]; `held` is the slot kept beside the aggregate.
    pub fn reserve(&mut self, gate: &Gate, held: Option<Timestamp>, now: Timestamp) -> Reserved {
        let now = now.as_microsecond();
        let opens = self.opens_at(now);
        let (Some(interval), Some(limit)) = (gate.interval_micros(), gate.limit()) else {
            return Reserved { verdict: self.go_or(opens, now), slot: held };
        };
        let earliest = opens.max(self.room_at(limit, now)).max(now);
        let spaced = earliest.max(after(self.departures.last().copied(), interval, earliest));
        let at = match held.map(Timestamp::as_microsecond) {
            // Its time has not come; a pause or cool-down that ends before then does not move it.
            Some(slot) if slot > now && slot >= opens => slot,
            Some(slot) if slot <= now && now - slot <= micros(SLOT_TOLERANCE) && earliest == now => now,
            // Too late for its slot, but the gate stands idle.
            Some(_) if spaced == now => now,
            Some(_) => {
                let at = self.between_grid(spaced.max(after(self.returning, interval, spaced)), interval);
                self.returning = Some(at);
                at
            }
            None => {
                let behind = after(self.tail, interval, spaced).max(after(self.returning, interval, spaced));
                let at = self.on_grid(spaced.max(behind), interval, now);
                self.tail = Some(at);
                at
            }
        };
        if at > now {
            return Reserved { verdict: Verdict::At(from_micros(at)), slot: Some(from_micros(at)) };
        }
        self.departures.push(now);
        // Clocks of replicas may differ by a little.
        self.departures.sort_unstable();
        let surplus = self.departures.len().saturating_sub(limit);
        self.departures.drain(..surplus);
        Reserved { verdict: self.go_or(opens, now), slot: None }
    }

    /// See [`super::Engine::report`].
    pub fn report(&mut self, report: GateReport, now: Timestamp) {
        let now = now.as_microsecond();
        match report {
            GateReport::Limited { until } => {
                self.paused_until = self.paused_until.max(Some(until.as_microsecond()));
                // Who limits is up.
                self.close();
            }
            GateReport::Recovered => self.close(),
            GateReport::Failed => {
                self.failures = self.failures.saturating_add(1);
                if self.open_until.is_none() && self.failures >= FAILURES_TO_OPEN {
                    self.cool_down = micros(FIRST_COOL_DOWN);
                    self.open_until = Some(now + self.cool_down);
                } else if self.open_until.is_some() && self.probe_until.is_some() {
                    self.cool_down = (self.cool_down * 2).min(micros(LONGEST_COOL_DOWN));
                    self.open_until = Some(now + self.cool_down);
                    self.probe_until = None;
                }
                // Else it set out before the gate opened and says nothing new.
            }
        }
    }

    /// See [`super::Engine::load`].
    pub fn view(&self, now: Timestamp) -> GateView {
        let pause = self.paused_until.filter(|until| *until > now.as_microsecond());
        GateView { closed_until: pause.max(self.open_until).map(from_micros), failures: self.failures }
    }

    fn close(&mut self) {
        self.failures = 0;
        self.open_until = None;
        self.probe_until = None;
        self.cool_down = 0;
    }

    /// Before then nobody goes: a pause, a cool-down, or somebody else's probe.
    fn opens_at(&self, now: i64) -> i64 {
        let pause = self.paused_until.unwrap_or(i64::MIN);
        let Some(open) = self.open_until else { return pause };
        match self.probe_until {
            // The probe will most likely be answered long before its patience ends.
            Some(probe) if now >= open && probe > now => pause.max(probe.min(now + micros(FIRST_COOL_DOWN))),
            _ => pause.max(open),
        }
    }

    /// Whoever goes while the breaker is open is its probe.
    fn go_or(&mut self, opens: i64, now: i64) -> Verdict {
        if opens > now {
            return Verdict::At(from_micros(opens));
        }
        if self.open_until.is_some() {
            self.probe_until = Some(now + micros(PROBE_PATIENCE));
        }
        Verdict::Go
    }

    /// When fewer than `limit` will have left in the second before.
    fn room_at(&self, limit: usize, now: i64) -> i64 {
        match self.departures.len().checked_sub(limit) {
            Some(first) => self.departures[first] + MICROS,
            None => now,
        }
    }

    /// The first point of the grid not before `at`. A grid whose last slot is past is given up for a new one.
    fn on_grid(&mut self, at: i64, interval: i64, now: i64) -> i64 {
        match (self.grid, self.tail) {
            (Some(grid), Some(tail)) if tail >= now => grid + ceil_div(at - grid, interval) * interval,
            _ => {
                self.grid = Some(at);
                at
            }
        }
    }

    /// `at`, or if that is among the grid's slots, the next middle between two of them.
    fn between_grid(&self, at: i64, interval: i64) -> i64 {
        let half = interval / 2;
        match (self.grid, self.tail) {
            (Some(grid), Some(tail)) if at > grid - half && at < tail + half => {
                grid + half + ceil_div(at - grid - half, interval) * interval
            }
            _ => at,
        }
    }
}

impl Gate {
    /// [`Gate::interval`] in microseconds, rounded up.
    pub fn interval_micros(&self) -> Option<i64> {
        self.interval().map(|interval| i64::try_from(interval.as_nanos().div_ceil(1000)).unwrap_or(i64::MAX))
    }

    /// How many may leave in any second.
    pub fn limit(&self) -> Option<usize> {
        self.per_second.map(|rate| rate.max(1) as usize)
    }
}

fn after(slot: Option<i64>, interval: i64, otherwise: i64) -> i64 {
    slot.map_or(otherwise, |slot| slot + interval)
}

fn ceil_div(a: i64, b: i64) -> i64 {
    (a + b - 1).div_euclid(b)
}

const fn micros(duration: Duration) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "the constants above are minutes at most")]
    {
        duration.as_micros() as i64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ATTIO: Gate = Gate { upstream: "attio", per_second: Some(25) };
    const ALC: Gate = Gate { upstream: "alc", per_second: None };

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
        let mut state = GateState::default();
        let mut waiting: Vec<(i64, Option<Timestamp>, i64)> =
            arrivals.iter().zip(lateness.iter().cycle()).map(|(arrival, late)| (*arrival, None, *late)).collect();
        let mut left = Vec::new();
        let mut slots = std::collections::HashSet::new();
        let mut paused = false;
        for _ in 0..arrivals.len() * 200 {
            let Some(next) = (0..waiting.len()).min_by_key(|i| waiting[*i].0) else { break };
            let (now, held, late) = waiting[next];
            if let Some((from, until)) = pause.filter(|(from, _)| now >= *from && !paused) {
                state.report(GateReport::Limited { until: at(until) }, at(from));
                paused = true;
            }
            let reserved = state.reserve(&ATTIO, held, at(now));
            match reserved.verdict {
                Verdict::Go => {
                    assert!(!(paused && pause.is_some_and(|(_, until)| now < until)), "went through a pause");
                    left.push(now);
                    waiting.swap_remove(next);
                }
                Verdict::At(slot) => {
                    assert_eq!(reserved.slot, Some(slot));
                    assert!(slot > at(now), "a slot lies ahead");
                    if held != Some(slot) {
                        assert!(slots.insert(slot), "two slots at once");
                    }
                    waiting[next] = (slot.as_microsecond() + late, Some(slot), late);
                }
            }
        }
        assert!(waiting.is_empty(), "{} of {} never went", waiting.len(), arrivals.len());
        left
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
        ) {
            let left = run_crowd(&arrivals, &lateness, pause);
            prop_assert!(fullest_second(&left) <= 25);
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
}
