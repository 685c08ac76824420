//! The arithmetic: GCRA with burst 1, and a breaker.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::verdict::{Gate, GateReport, GateView, Reserved, Verdict};
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
const MICROS: i64 = 1_000_000;
/// No queue at a gate is as long, and no upstream is believed that it wants a longer pause.
const FARTHEST: i64 = 7 * 24 * 3600 * MICROS;
/// So many times of departures are kept, however many may leave in a second: at a faster gate each stands for the last
/// of several. What that takes from its pace is less than what [`super::SHARE_OF_LIMIT`] leaves unused.
const MARKS: usize = 25;

/// What is stored of a gate: microseconds throughout, because that is what both engines keep.
///
/// New slots lie on a grid, one interval apart. A lead that comes back and cannot use its slot any more gets a place in
/// a second lane between the grid's points, ahead of every slot handed out afterwards: were it put behind the others
/// each time, every lead would be put behind every other and none would ever go. What goes ahead has a third lane. No
/// two slots of the first two are the same; one of the third may fall on one that was handed out between the points of
/// an older grid. What really left in the last second decides on top of all lanes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateState {
    /// The first point of the grid that new slots lie on.
    grid: Option<i64>,
    /// The last slot handed out on the grid.
    tail: Option<i64>,
    /// The last slot handed out between the grid's points.
    returning: Option<i64>,
    /// The last slot handed out in the third lane, to a request that goes ahead of all others. Until then only such go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ahead: Option<i64>,
    /// The last departures, oldest first, as many as may leave in a second; of a gate that is faster than [`MARKS`] a
    /// second each n-th.
    departures: Vec<i64>,
    /// How many have left since the last of these. None at a gate of which every departure is kept.
    #[serde(default, skip_serializing_if = "is_zero")]
    since: usize,
    /// The last departure, where it is not among those kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<i64>,
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
    /// What no gate comes to by its own steps, in words; `None`: it makes sense at `now`.
    pub fn nonsense(&self, now: Timestamp) -> Option<&'static str> {
        let now = now.as_microsecond();
        let ends = [self.tail, self.returning, self.ahead, self.last, self.paused_until, self.open_until];
        if ends.iter().flatten().chain(self.departures.last()).any(|at| *at > now.saturating_add(FARTHEST)) {
            return Some("it lets nothing go for more than a week");
        }
        if self.probe_until.is_some() && self.open_until.is_none() {
            return Some("it waits for a probe, and its breaker is not open");
        }
        if !self.departures.is_sorted() {
            return Some("its departures are in no order");
        }
        (!(0..=micros(LONGEST_COOL_DOWN)).contains(&self.cool_down)).then_some("no cool-down is that long")
    }

    /// See [`crate::store::Engine::reserve`]; `held` is the slot kept beside the aggregate.
    pub fn reserve(&mut self, gate: &Gate, held: Option<Timestamp>, now: Timestamp) -> Reserved {
        let now = now.as_microsecond();
        let opens = self.opens_at(now);
        let (Some(interval), Some(most)) = (gate.interval_micros(), gate.most_in_a_second()) else {
            return Reserved { verdict: self.go_or(opens, now), slot: held };
        };
        let mut earliest = opens.max(self.room_at(most, now)).max(now);
        if let Some(last) = self.ahead.filter(|last| !gate.ahead && *last > now) {
            earliest = earliest.max(last + interval);
        }
        let spaced = earliest.max(after(self.last_departure(), interval, earliest));
        let at = match held.map(Timestamp::as_microsecond) {
            // Its time has not come; a pause or cool-down that ends before then does not move it. What goes ahead gives
            // up a later slot that it was given before.
            Some(slot) if slot > now && slot >= opens && !(gate.ahead && Some(slot) > self.ahead) => slot,
            Some(slot) if slot <= now && now - slot <= micros(SLOT_TOLERANCE) && earliest == now => now,
            // Too late for its slot, but the gate stands idle.
            Some(_) if spaced == now => now,
            _ if gate.ahead => {
                let at = spaced.max(after(self.ahead, interval, spaced));
                let at = if at > now { self.quarter_grid(at, interval) } else { at };
                self.ahead = Some(at);
                at
            }
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
        self.depart(most, now);
        Reserved { verdict: self.go_or(opens, now), slot: None }
    }

    /// See [`crate::store::Engine::report`].
    pub fn report(&mut self, report: GateReport, now: Timestamp) {
        let now = now.as_microsecond();
        match report {
            GateReport::Limited { until } => {
                self.paused_until = self.paused_until.max(Some(until.as_microsecond()));
                // An upstream that says it is limiting is up.
                self.close();
            }
            GateReport::Recovered => self.close(),
            GateReport::Opened => {
                self.paused_until = None;
                self.close();
            }
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

    /// See [`crate::store::Engine::load`].
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

    /// Before then no request goes: there is a pause, a cool-down, or another request that probes.
    fn opens_at(&self, now: i64) -> i64 {
        let pause = self.paused_until.unwrap_or(i64::MIN);
        let Some(open) = self.open_until else { return pause };
        match self.probe_until {
            // The probe will most likely be answered long before its patience ends.
            Some(probe) if now >= open && probe > now => pause.max(probe.min(now + micros(FIRST_COOL_DOWN))),
            _ => pause.max(open),
        }
    }

    /// The request that goes while the breaker is open is its probe.
    fn go_or(&mut self, opens: i64, now: i64) -> Verdict {
        if opens > now {
            return Verdict::At(from_micros(opens));
        }
        if self.open_until.is_some() {
            self.probe_until = Some(now + micros(PROBE_PATIENCE));
        }
        Verdict::Go
    }

    fn last_departure(&self) -> Option<i64> {
        self.last.or(self.departures.last().copied())
    }

    /// When fewer than `most` will have left in the second before.
    fn room_at(&self, most: usize, now: i64) -> i64 {
        let still_there = most.saturating_sub(1 + self.since) / each_nth(most);
        match self.departures.len().checked_sub(still_there + 1) {
            Some(gone) => self.departures[gone] + MICROS,
            None => now,
        }
    }

    fn depart(&mut self, most: usize, now: i64) {
        let nth = each_nth(most);
        // Clocks of replicas may differ by a little.
        let now = self.last_departure().map_or(now, |last| last.max(now));
        self.since += 1;
        self.last = Some(now);
        if self.since >= nth {
            (self.since, self.last) = (0, None);
            self.departures.push(now);
        }
        let surplus = self.departures.len().saturating_sub(most.div_ceil(nth));
        self.departures.drain(..surplus);
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

    /// The next slot of those who go ahead, not before `at`: a quarter behind a point of the grid, where neither of the
    /// other lanes has slots.
    fn quarter_grid(&self, at: i64, interval: i64) -> i64 {
        let quarter = interval / 4;
        match (self.grid, self.tail) {
            (Some(grid), Some(tail)) if at > grid - interval && at < tail + interval => {
                grid + quarter + ceil_div(at - grid - quarter, interval) * interval
            }
            _ => at + quarter,
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

/// How many departures each of those kept stands for.
fn each_nth(most: usize) -> usize {
    most.div_ceil(MARKS).max(1)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over like that")]
fn is_zero(count: &usize) -> bool {
    *count == 0
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
