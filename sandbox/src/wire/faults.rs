//! What goes wrong, when, and how often.
//!
//! Owns the rules and the holds of one pretend service. Promises that a rule with a count is used exactly that often,
//! in the order of the requests' arrival, and that an operation's name is checked when the rule is made.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use super::{Oddity, Request};

/// What a request meets. "Done" means that the pretend service did the work and remembers it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Fault {
    /// None: the request is answered as usual (to let some pass before others fail).
    Pass,
    /// Not done; the connection is closed without an answer. (For a port that refuses to connect: `go_down`.)
    Refuse,
    /// Not done; this answer instead. A string as `body` goes out as it is, anything else as JSON.
    Status {
        /// The status code.
        status: u16,
        /// Further headers.
        #[serde(default)]
        headers: Vec<(String, String)>,
        /// The body.
        #[serde(default)]
        body: Value,
    },
    /// Not done, never answered.
    Hang,
    /// Done, never answered.
    DoneButHang,
    /// Done, and answered only after this long.
    Late {
        /// How long, in milliseconds.
        millis: u64,
    },
    /// Done; this answer instead of the true one.
    DoneBut {
        /// The status code.
        status: u16,
        /// The body.
        #[serde(default)]
        body: Value,
    },
    /// Done; then the connection is reset (RST) before a byte of the answer.
    Reset,
    /// Done; 200 with a body that is not what its content type says.
    Garbage,
    /// Done; the true answer, in a form that a strict reader does not take.
    Odd {
        /// Which.
        form: Oddity,
    },
    /// If the connection has served a request before: not done, and closed without an answer, as an idle one that timed
    /// out just then. On a fresh one: none.
    WornOut,
    /// Done; the true answer, cut off in the middle of its body.
    Truncated,
    /// Done; 200 with a JSON string of this many bytes.
    Huge {
        /// How many; 64 MiB unless told.
        #[serde(default = "sixty_four_mebibytes")]
        bytes: usize,
    },
}

fn sixty_four_mebibytes() -> usize {
    64 << 20
}

impl Fault {
    /// Not done; answered with `status` and nothing else.
    pub fn status(status: u16) -> Self {
        Self::Status { status, headers: Vec::new(), body: Value::Null }
    }

    /// Not done; answered with `status`, one header and a JSON body.
    pub fn status_with(status: u16, header: (&str, &str), body: Value) -> Self {
        Self::Status { status, headers: vec![(header.0.to_owned(), header.1.to_owned())], body }
    }

    /// Done, but answered 500.
    pub fn done_but_500() -> Self {
        Self::DoneBut { status: 500, body: Value::Null }
    }

    /// Done, and answered after `millis`.
    pub fn late(millis: u64) -> Self {
        Self::Late { millis }
    }

    /// Done, with 64 MiB for an answer.
    pub fn huge() -> Self {
        Self::Huge { bytes: sixty_four_mebibytes() }
    }
}

/// When a fault strikes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// The operation's name; see each pretend service's `OPERATIONS`.
    pub operation: String,
    /// What happens.
    pub fault: Fault,
    /// How many requests it strikes; none: all, until cleared.
    #[serde(default)]
    pub times: Option<u32>,
    /// Only requests whose path or body contains this.
    #[serde(default)]
    pub contains: Option<String>,
}

/// Where a hold stops a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Recorded, not done.
    Before,
    /// Done, not answered.
    After,
}

#[derive(Debug, Clone)]
struct HoldEntry {
    id: u64,
    operation: String,
    stage: Stage,
    released: watch::Sender<bool>,
    reached: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Plan {
    rules: Vec<Rule>,
    holds: Vec<HoldEntry>,
    next_hold: u64,
}

/// The faults of one pretend service; changeable while it runs.
#[derive(Debug, Clone)]
pub struct Faults {
    operations: &'static [&'static str],
    plan: Arc<Mutex<Plan>>,
    withheld: Arc<AtomicUsize>,
}

impl Faults {
    pub(super) fn new(operations: &'static [&'static str]) -> Self {
        Self { operations, plan: Arc::default(), withheld: Arc::default() }
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn knows(&self, operation: &str) -> bool {
        self.operations.contains(&operation)
    }

    pub(super) fn check(&self, operation: &str) {
        assert!(self.knows(operation), "no operation {operation:?}; there are {:?}", self.operations);
    }

    /// Adds a rule. Rules with a count are used up first, in order; of standing ones the newest wins.
    pub fn add(&self, rule: Rule) {
        self.check(&rule.operation);
        self.plan().rules.push(rule);
    }

    /// The next request of `operation` meets `fault`. Further calls queue up behind it.
    pub fn next(&self, operation: &str, fault: Fault) {
        self.times(operation, 1, fault);
    }

    /// The next `times` requests of `operation` meet `fault`.
    pub fn times(&self, operation: &str, times: u32, fault: Fault) {
        self.add(Rule { operation: operation.to_owned(), fault, times: Some(times), contains: None });
    }

    /// Every request of `operation` meets `fault`, until cleared.
    pub fn always(&self, operation: &str, fault: Fault) {
        self.add(Rule { operation: operation.to_owned(), fault, times: None, contains: None });
    }

    /// Takes away the faults of `operation`.
    pub fn clear(&self, operation: &str) {
        self.check(operation);
        self.plan().rules.retain(|rule| rule.operation != operation);
    }

    /// Takes away every fault. Holds stay.
    pub fn clear_all(&self) {
        self.plan().rules.clear();
    }

    /// The rules that are left.
    pub fn rules(&self) -> Vec<Rule> {
        self.plan().rules.clone()
    }

    /// Stops every request of `operation` at `stage` until the hold is released (or dropped).
    pub fn hold(&self, operation: &str, stage: Stage) -> Hold {
        self.check(operation);
        let mut plan = self.plan();
        plan.next_hold += 1;
        let entry = HoldEntry {
            id: plan.next_hold,
            operation: operation.to_owned(),
            stage,
            released: watch::Sender::new(false),
            reached: watch::Sender::new(0),
        };
        plan.holds.push(entry.clone());
        Hold { faults: self.clone(), entry }
    }

    /// What a request that has just arrived meets.
    pub(super) fn take(&self, operation: &str, request: &Request) -> Fault {
        let mut plan = self.plan();
        let strikes = |rule: &Rule| rule.operation == operation && contained(rule.contains.as_deref(), request);
        if let Some(at) = plan.rules.iter().position(|rule| rule.times.is_some() && strikes(rule)) {
            let rule = &mut plan.rules[at];
            let left = rule.times.unwrap_or(1).saturating_sub(1);
            rule.times = Some(left);
            let fault = rule.fault.clone();
            if left == 0 {
                plan.rules.remove(at);
            }
            return fault;
        }
        plan.rules.iter().rev().find(|rule| strikes(rule)).map_or(Fault::Pass, |rule| rule.fault.clone())
    }

    /// How many requests wait at a hold, or for an answer that will never come.
    pub fn withheld(&self) -> usize {
        self.withheld.load(Ordering::SeqCst)
    }

    /// Counts a request among the withheld ones until the guard is dropped.
    pub(super) fn withhold(&self) -> Withheld {
        self.withheld.fetch_add(1, Ordering::SeqCst);
        Withheld(self.withheld.clone())
    }

    /// Waits at every hold of `operation` and `stage`.
    pub(super) async fn wait(&self, operation: &str, stage: Stage) {
        let holds: Vec<_> = self
            .plan()
            .holds
            .iter()
            .filter(|hold| hold.operation == operation && hold.stage == stage)
            .cloned()
            .collect();
        for hold in holds {
            let _withheld = self.withhold();
            hold.reached.send_modify(|count| *count += 1);
            // An error means that the hold is gone altogether: go on.
            drop(hold.released.subscribe().wait_for(|released| *released).await);
        }
    }

    /// Releases all holds of `operation`.
    pub fn release(&self, operation: &str) {
        self.plan().holds.retain(|hold| {
            let keep = hold.operation != operation;
            if !keep {
                hold.released.send_replace(true);
            }
            keep
        });
    }
}

/// A request whose answer is kept back.
pub(super) struct Withheld(Arc<AtomicUsize>);

impl Drop for Withheld {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn contained(wanted: Option<&str>, request: &Request) -> bool {
    wanted.is_none_or(|text| request.path.contains(text) || String::from_utf8_lossy(&request.body).contains(text))
}

/// A barrier in the way of an operation. Dropping it releases what waits.
#[derive(Debug)]
#[must_use = "a hold that is dropped holds nothing"]
pub struct Hold {
    faults: Faults,
    entry: HoldEntry,
}

impl Hold {
    /// Resolves once `count` requests have come to this hold.
    pub async fn reached(&self, count: usize) {
        drop(self.entry.reached.subscribe().wait_for(|reached| *reached >= count).await);
    }

    /// Lets go of what waits and of what comes later.
    pub fn release(self) {
        drop(self);
    }

    /// Leaves the hold in place without a handle; [`Faults::release`] ends it.
    pub fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.faults.plan().holds.retain(|hold| hold.id != self.entry.id);
        self.entry.released.send_replace(true);
    }
}
