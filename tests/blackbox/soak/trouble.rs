//! What goes wrong, drawn by a seed: the same seed makes the same troubles after the same pauses.

use std::{collections::BTreeMap, path::Path, time::Duration};

use sandbox::{Fault, Faults};

use super::{Plan, group::Group, life::Callers, rig::Rig};
use crate::support::{ambient::Stopwatch, turns::Dice, wire::Mood};

/// Draws and makes them, and remembers what it did.
pub struct Trouble {
    dice: Dice,
    goes_further: bool,
    watch: Stopwatch,
    counts: BTreeMap<&'static str, usize>,
    /// Each with its time since the start.
    told: Vec<String>,
    /// By its operation: whose an upstream fault that stands is, and when it ends at the latest.
    standing: BTreeMap<&'static str, (Upstream, Duration)>,
}

/// How long an upstream fault stands whose requests do not come: a gate that has opened asks every few minutes, and
/// faults that waited for it would pile up until ALC was gone for good.
const FAULT_LASTS: Duration = Duration::from_secs(8);

/// Whose operation meets a fault.
#[derive(Debug, Clone, Copy)]
enum Upstream {
    Alc,
    Attio,
}

impl Upstream {
    fn faults(self, rig: &Rig) -> &Faults {
        match self {
            Self::Alc => rig.world.alc.faults(),
            Self::Attio => rig.world.attio.faults(),
        }
    }
}

impl Trouble {
    pub fn new(plan: &Plan) -> Self {
        Self {
            dice: Dice(plan.seed),
            goes_further: plan.goes_further,
            watch: Stopwatch::start(),
            counts: BTreeMap::new(),
            told: Vec::new(),
            standing: BTreeMap::new(),
        }
    }

    /// Makes trouble for so long; then all is mended.
    pub async fn make(&mut self, rig: &mut Rig, callers: &Callers, lasts: Duration) {
        self.watch = Stopwatch::start();
        while self.watch.elapsed() < lasts {
            self.pause(100, 900).await;
            self.end_old_faults(rig);
            if rig.world.alc.rotates_refresh_tokens() {
                rig.is_ready().await;
                callers.consent_if_asked(&rig.world).await;
            }
            if self.dice.below(2) == 0 {
                self.upstream_fails(rig);
            }
            if self.goes_further && self.dice.below(2) == 0 {
                self.what_follows_a_result_fails(rig);
            }
            // Where the store is several servers, it is what the run is about.
            match self.dice.below(if rig.group.is_some() { 18 } else { 13 }) {
                0 | 1 => self.end_a_replica(rig).await,
                2 => self.freeze(rig).await,
                3..=5 => self.spoil_a_wire(rig).await,
                6 | 7 | 13.. => self.strike_the_store(rig).await,
                8 => self.take_over(rig, callers).await,
                9 => self.remove_and_return(rig, callers).await,
                10 | 11 => self.shift_a_clock(rig),
                _ => {
                    self.tell("access tokens expire");
                    rig.world.alc.expire_access_tokens();
                }
            }
        }
        self.tell("all is mended");
        rig.mend().await;
    }

    pub fn summary(&self) -> String {
        let counts: Vec<_> = self.counts.iter().map(|(what, count)| format!("{what} {count}")).collect();
        counts.join(", ")
    }

    fn tell(&mut self, what: &'static str) {
        self.note(what, "");
    }

    fn note(&mut self, what: &'static str, more: &str) {
        *self.counts.entry(what).or_default() += 1;
        self.told.push(format!("{:>7.1?} {what} {more}", self.watch.elapsed()));
    }

    async fn pause(&mut self, least: usize, more: usize) {
        tokio::time::sleep(Duration::from_millis((least + self.dice.below(more)) as u64)).await;
    }

    async fn end_a_replica(&mut self, rig: &mut Rig) {
        let which = self.dice.below(rig.seats.len());
        let seat = &mut rig.seats[which];
        if self.dice.below(3) == 0 {
            self.note("SIGTERM", &format!("to {which}"));
            // A wire that is parted holds up its end as a real network would.
            let _exit_code = seat.process.terminate().await;
        } else {
            self.note("kill -9", &format!("of {which}"));
            seat.process.kill();
        }
        seat.is_up = false;
        self.pause(1, 1_000).await;
        let seat = &mut rig.seats[which];
        seat.all_wires(Mood::Clear);
        seat.process.start().await;
        seat.is_up = true;
    }

    /// It loses its leases meanwhile, and goes on as if nothing had been.
    async fn freeze(&mut self, rig: &mut Rig) {
        let which = self.dice.below(rig.seats.len());
        let millis = if self.dice.below(4) == 0 { 20_000 } else { 3_000 };
        self.note("SIGSTOP", &format!("to {which}"));
        rig.seats[which].process.freeze();
        self.pause(500, millis).await;
        rig.seats[which].process.thaw();
    }

    async fn spoil_a_wire(&mut self, rig: &Rig) {
        let which = self.dice.below(rig.seats.len());
        let mood = match self.dice.below(8) {
            0 => Mood::Slow(300),
            1 => Mood::Drip,
            2 => Mood::Cut(self.dice.below(120)),
            3 | 4 => Mood::Reset,
            5 | 6 => Mood::Parted,
            _ => Mood::HalfOpen,
        };
        let seat = &rig.seats[which];
        let end = match self.dice.below(4) {
            0 => "alc",
            1 => "attio",
            2 => "store",
            _ => "all",
        };
        self.note("spoilt wire", &format!("of {which} to {end}: {mood:?}"));
        match (end, &seat.to_store) {
            ("alc", _) => seat.to_alc.be(mood),
            ("attio", _) => seat.to_attio.be(mood),
            ("store", Some(wire)) => wire.be(mood),
            _ => seat.all_wires(mood),
        }
        self.pause(500, 4_000).await;
        rig.seats[which].all_wires(Mood::Clear);
    }

    /// The connection before is removed, too, or just forgotten.
    async fn take_over(&mut self, rig: &Rig, callers: &Callers) {
        self.tell("takeover");
        rig.is_ready().await;
        let spare = callers.app();
        callers.takeover(&rig.world).await;
        if self.dice.below(2) == 0 {
            self.tell("removal of what was replaced");
            callers.remove(&spare).await;
        }
    }

    /// The workspace leaves, with leads under way, and comes again.
    async fn remove_and_return(&mut self, rig: &mut Rig, callers: &Callers) {
        let operation = ["revoke", "delete_webhook"][self.dice.below(2)];
        let (times, fault) =
            (1 + u32::try_from(self.dice.below(4)).expect("small"), self.dice.fault(Fault::late(1_500)));
        self.upstream_meets(rig, "removal", Upstream::Alc, operation, times, fault);
        let _leaves = callers.standing.write().await;
        callers.remove(&callers.app()).await;
        if self.dice.below(2) == 0 {
            self.end_a_replica(rig).await;
        } else {
            self.pause(1, 2_000).await;
        }
        rig.is_ready().await;
        callers.takeover(&rig.world).await;
    }

    /// By up to two hours, until another shift or the end: a step, as each is from what was before.
    fn shift_a_clock(&mut self, rig: &Rig) {
        let which = self.dice.below(rig.seats.len());
        let seconds = self.dice.below(14_400) as i64 - 7_200;
        // One process alone has to take callbacks, whose signatures are good for five minutes; and what is due by a
        // clock that is put back is due that much later.
        let seconds = if rig.seats.len() == 1 { seconds / 120 } else { seconds };
        if let Some(clock) = &rig.seats[which].clock {
            self.note("clock shifted", &format!("of {which} by {seconds} s"));
            clock.shift(seconds);
        }
    }

    async fn strike_the_store(&mut self, rig: &mut Rig) {
        if let Some(file) = rig.file() {
            return self.strike_the_file(rig, &file).await;
        }
        if let Some(group) = &mut rig.group {
            return self.strike_the_group(group).await;
        }
        if self.dice.below(2) == 0 {
            self.tell("Redis dies and comes again");
            let redis = rig.world.redis();
            redis.kill();
            self.pause(1, 3_000).await;
            rig.world.redis().start_again();
        } else {
            self.tell("Redis is full");
            rig.world.redis().command("CONFIG SET maxmemory 1mb");
            self.pause(500, 3_000).await;
            rig.world.redis().command("CONFIG SET maxmemory 0");
        }
    }

    async fn strike_the_group(&mut self, group: &mut Group) {
        match self.dice.below(5) {
            0 => {
                let which = group.fill(&mut self.dice).await;
                self.note("Redis is full", &which);
            }
            1 | 2 => {
                if let Some(what) = group.move_a_slot(&mut self.dice).await {
                    return self.note("slot moved", &what);
                }
                let what = group.fail_over(&mut self.dice).await;
                self.note("fail-over", &what);
            }
            _ => {
                let what = group.fail_over(&mut self.dice).await;
                self.note("fail-over", &what);
            }
        }
    }

    async fn strike_the_file(&mut self, rig: &Rig, file: &Path) {
        if self.dice.below(2) == 0 {
            self.tell("the disk is full");
            rig.seats[0].process.limit_its_files(Some(4_096));
            self.pause(500, 3_000).await;
            rig.seats[0].process.limit_its_files(None);
            return;
        }
        let other = rusqlite::Connection::open(file).expect("the file opens");
        if other.execute_batch("BEGIN EXCLUSIVE").is_ok() {
            self.tell("another process locks the file");
            // The service has five seconds' patience with it.
            self.pause(500, 8_000).await;
            other.execute_batch("ROLLBACK").expect("it ends");
        }
    }

    fn what_follows_a_result_fails(&mut self, rig: &Rig) {
        let fault = self.dice.fault(Fault::late(1_500));
        let times = 1 + u32::try_from(self.dice.below(6)).expect("small");
        let operation = ["create_note", "create_note", "list_notes", "assert_entry", "get_record"][self.dice.below(5)];
        self.upstream_meets(rig, "upstream fault", Upstream::Attio, operation, times, fault);
    }

    fn upstream_fails(&mut self, rig: &Rig) {
        let fault = self.dice.fault(Fault::late(1_500));
        let times = 1 + u32::try_from(self.dice.below(12)).expect("small");
        let (upstream, operation) = match self.dice.below(6) {
            0 | 1 => (Upstream::Alc, "create_lead"),
            2 | 3 => (Upstream::Attio, "patch_record"),
            4 => (Upstream::Attio, "workflow_callback"),
            _ => (Upstream::Alc, "token"),
        };
        self.upstream_meets(rig, "upstream fault", upstream, operation, times, fault);
    }

    fn upstream_meets(
        &mut self,
        rig: &Rig,
        why: &'static str,
        upstream: Upstream,
        operation: &'static str,
        times: u32,
        fault: Fault,
    ) {
        self.note(why, &format!("{operation} meets {fault:?}, {times} times"));
        upstream.faults(rig).clear(operation);
        upstream.faults(rig).times(operation, times, fault);
        self.standing.insert(operation, (upstream, self.watch.elapsed() + FAULT_LASTS));
    }

    fn end_old_faults(&mut self, rig: &Rig) {
        let now = self.watch.elapsed();
        self.standing.retain(|operation, (upstream, ends)| {
            let stands = *ends > now;
            if !stands {
                upstream.faults(rig).clear(operation);
            }
            stands
        });
    }
}

/// A run that fails before its verdict tells of it too.
impl Drop for Trouble {
    #[expect(clippy::print_stderr, reason = "the reader of a red run has to find it")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("what went wrong:\n{}", self.told.join("\n"));
        }
    }
}
