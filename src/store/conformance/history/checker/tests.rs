//! Each of the checker's complaints, and that it has none about what is true.

use super::*;

/// Calls one after the other, each at a time of its own.
#[derive(Default)]
struct Told(Vec<Call>);

impl Told {
    fn call(&mut self, now: u64, asked: Asked) -> &mut Self {
        let began = 2 * self.0.len() as u64;
        self.0.push(Call { began, ended: Some(began + 1), now: super::at(now), tenant: tenant(), asked });
        self
    }

    fn commit(&mut self, now: u64, commit: &Commit, answer: Committed) -> &mut Self {
        self.call(now, Asked::Commit(commit.clone(), Some(answer)))
    }

    fn done(&mut self, now: u64, commit: &Commit) -> &mut Self {
        self.commit(now, commit, DONE)
    }

    fn saw(&mut self, now: u64, version: Option<Version>) -> &mut Self {
        self.call(now, Asked::Loaded(lead(1), version))
    }

    fn leased(&mut self, now: u64, version: Version, lease: Lease, ran_out: bool) -> &mut Self {
        self.call(now, Asked::Leased { key: lead(1), version, lease, ran_out })
    }

    fn put_back(&mut self, now: u64, lease: Lease, done: bool) -> &mut Self {
        let taken = Taken { key: lead(1), token: lease.token, ran_out: false };
        self.call(now, Asked::PutBack(taken, Some(done)))
    }

    /// The last call began before the one before it had ended.
    fn meanwhile(&mut self) -> &mut Self {
        let last = self.0.len() - 1;
        let (before, after) = (self.0[last - 1].ended, self.0[last].began);
        (self.0[last - 1].ended, self.0[last].began) = (Some(after), before.expect("it ended"));
        self
    }

    #[track_caller]
    fn is_fine(&self) {
        assert_eq!(faults(&self.0), Vec::<String>::new());
    }

    #[track_caller]
    fn is_refused(&self, because: &str) {
        let faults = faults(&self.0);
        assert!(faults.iter().any(|fault| fault.contains(because)), "{because} is not among {faults:?}");
    }
}

/// A commit that changes the one lead, and the version it gives.
fn changes(expected: Option<Version>, change: LeaseChange) -> (Commit, Version) {
    let commit = Commit::of(vec![put(&lead(1), expected, change)]);
    let after = commit.version_after(expected);
    (commit, after)
}

fn end(lease: Lease) -> LeaseChange {
    LeaseChange::End { token: lease.token, due: None }
}

#[test]
fn what_happens_every_day_is_fine() {
    let (first, second) = (lease_until(at(30)), lease_until(at(70)));
    let (created, one) = changes(None, due(at(0)));
    let (held, two) = changes(Some(one), LeaseChange::Hold(Lease { until: at(35), ..first }));
    let (ended, three) = changes(Some(two), end(second));
    let (late, _) = changes(Some(three), end(first));
    let erased = Commit::of(vec![erase(&lead(1), three)]);
    let (anew, four) = changes(None, IDLE);
    let mut told = Told::default();
    told.saw(0, None).done(0, &created).done(0, &created).leased(0, one, first, false).saw(1, Some(one));
    told.done(5, &held).leased(40, two, second, true).done(41, &ended).commit(42, &late, Committed::Conflict);
    told.put_back(42, second, false).done(43, &erased).saw(44, None).done(45, &anew).saw(46, Some(four));
    told.is_fine();
}

#[test]
fn two_commits_cannot_follow_one_version() {
    let (created, one) = changes(None, IDLE);
    let (left, right) = (changes(Some(one), IDLE).0, changes(Some(one), IDLE).0);
    let mut told = Told::default();
    told.done(0, &created).done(0, &left).is_fine();
    told.commit(0, &right, Committed::Conflict).is_fine();
    told.done(0, &right).is_refused("both followed version");
    let mut told = Told::default();
    told.done(0, &created).done(0, &changes(None, IDLE).0).is_refused("created 2 times");
    Told::default().done(0, &changes(Some(7), IDLE).0).is_refused("which no commit gave");
}

#[test]
fn a_repeat_has_the_first_answer_and_no_effect() {
    let (created, one) = changes(None, IDLE);
    let (changed, two) = changes(Some(one), IDLE);
    let mut told = Told::default();
    told.done(0, &created).done(0, &changed).saw(0, Some(two)).done(0, &created).is_fine();
    told.saw(0, Some(one)).is_refused("was seen after commit");
    let mut told = Told::default();
    told.done(0, &created).commit(0, &created, Committed::Conflict).is_refused("was answered");
}

#[test]
fn what_is_read_was_written_and_stands() {
    let (created, one) = changes(None, IDLE);
    let (changed, _) = changes(Some(one), IDLE);
    let mut told = Told::default();
    told.done(0, &created).saw(0, Some(one)).done(0, &changed).saw(0, Some(one)).is_refused("was seen after commit");
    let mut told = Told::default();
    told.done(0, &created).done(0, &changed).saw(0, Some(one)).meanwhile().is_fine();
    let mut told = Told::default();
    told.done(0, &created).saw(0, Some(one + 1)).is_refused("which no commit gave");
    let mut told = Told::default();
    told.done(0, &created).saw(0, None).is_refused("and then not there");
    let mut told = Told::default();
    told.done(0, &created).done(0, &Commit::of(vec![erase(&lead(1), one)])).saw(0, None).is_fine();
    told.saw(0, Some(one)).is_refused("was seen after commit");
}

#[test]
fn a_lease_has_one_holder_at_a_time() {
    let (first, second) = (lease_until(at(30)), lease_until(at(60)));
    let (created, one) = changes(None, due(at(0)));
    let mut told = Told::default();
    told.done(0, &created).leased(0, one, first, false).leased(29, one, second, true).is_refused("at one time");
    let mut told = Told::default();
    told.done(0, &created).leased(0, one, first, false).leased(30, one, second, true).is_fine();
    let mut told = Told::default();
    told.done(0, &created).leased(0, one, first, false).leased(0, one, second, false).meanwhile();
    told.is_refused("at one time");
    let (held, two) = changes(Some(one), LeaseChange::Hold(Lease { until: at(50), ..first }));
    let mut told = Told::default();
    told.done(0, &created).leased(0, one, first, false).done(20, &held).leased(40, two, second, true);
    told.is_refused("at one time");
    let mut told = Told::default();
    told.done(0, &created).leased(0, one, first, false).put_back(1, first, true).leased(2, one, second, false);
    told.is_fine();
    let mut told = Told::default();
    told.done(0, &created).leased(0, one, first, false).leased(30, one, second, false).is_refused("was not told");
}

#[test]
fn nothing_comes_of_a_lease_that_another_has_taken() {
    let (first, second) = (lease_until(at(30)), lease_until(at(70)));
    let (created, one) = changes(None, due(at(0)));
    let (ended, _) = changes(Some(one), end(first));
    let (held, _) = changes(Some(one), LeaseChange::Hold(first));
    let stolen = || {
        let mut told = Told::default();
        told.done(0, &created).leased(0, one, first, false).leased(40, one, second, true);
        told
    };
    stolen().commit(41, &ended, Committed::Conflict).is_fine();
    stolen().done(41, &ended).is_refused("was ended after another worker");
    stolen().done(41, &held).is_refused("was held after another worker");
    stolen().put_back(41, first, true).is_refused("was put back after another worker");
    // It was ended before, and its worker asked again as it had no answer.
    let mut told = Told::default();
    told.done(0, &created).leased(0, one, first, false).done(1, &ended).done(50, &ended).is_fine();
    let mut told = Told::default();
    told.done(0, &created).done(1, &ended).is_refused("which nobody had");
    let mut told = Told::default();
    let (again, _) = changes(Some(ended.version_after(Some(one))), end(first));
    told.done(0, &created).leased(0, one, first, false).done(1, &ended).done(2, &again).is_refused("ended twice");
}
