//! Whether a history can be true: pure, over what was written down.
//!
//! Promises to name each aggregate whose history no order of the calls explains: of two commits upon one version, of a
//! commit whose repeat was answered otherwise, of what was read though it had been replaced or never written, of a
//! lease with two holders at one time of the store, and of one that was ended or held by a worker from which another
//! had taken it.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

mod tests;

/// A commit with all its repeats.
struct Deed<'a> {
    commit: &'a Commit,
    /// When it was first tried.
    began: u64,
    /// When it was first answered; the end of time unless it was.
    answered: u64,
    now: Timestamp,
    answers: Vec<Committed>,
}

impl Deed<'_> {
    fn is_done(&self) -> bool {
        self.answers.iter().any(|answer| matches!(answer, Committed::Done(_)))
    }
}

/// One aggregate's part of a commit that was done, or may have been.
struct Link<'a> {
    deed: &'a Deed<'a>,
    write: &'a Write,
    /// None: erased.
    after: Option<Version>,
}

/// One worker's lease.
struct Term {
    lease: Lease,
    began: u64,
    /// From then on the holder knows of it.
    ended: u64,
    now: Timestamp,
    /// When anybody first tried to end it.
    freed: u64,
    /// Each with when it was known.
    extended: Vec<(u64, Timestamp)>,
    /// None: taken by a commit.
    ran_out: Option<bool>,
}

/// An aggregate as it was seen.
struct Sight {
    began: u64,
    ended: u64,
    version: Option<Version>,
}

const NEVER: u64 = u64::MAX;

/// Everything in `history` that cannot be, each with its aggregate.
pub(super) fn faults(history: &[Call]) -> Vec<String> {
    let mut faults = Vec::new();
    let tenants: BTreeSet<_> = history.iter().map(|call| &call.tenant).collect();
    for tenant in tenants {
        let calls: Vec<_> = history.iter().filter(|call| call.tenant == *tenant).collect();
        let deeds = deeds(&calls);
        for deed in deeds.iter().filter(|deed| deed.answers.iter().any(|answer| *answer != deed.answers[0])) {
            faults.push(format!("commit {} was answered {:?}", deed.commit.id, deed.answers));
        }
        let keys = deeds.iter().flat_map(|deed| &deed.commit.writes).map(|write| &write.key);
        for key in keys.collect::<BTreeSet<_>>() {
            let links = links(&deeds, key);
            let mut found = of_versions(&links);
            found.extend(of_sights(&links, &sights(&calls, key)));
            found.extend(of_leases(&links, &terms(&calls, &links, key), &puts_back(&calls, key)));
            faults.extend(found.into_iter().map(|fault| format!("{tenant} {} {}: {fault}", key.kind.name(), key.id)));
        }
    }
    faults
}

fn deeds<'a>(calls: &[&'a Call]) -> Vec<Deed<'a>> {
    let mut deeds: BTreeMap<Uuid, Deed<'a>> = BTreeMap::new();
    for call in calls {
        let Asked::Commit(commit, answer) = &call.asked else { continue };
        let first = || Deed { commit, began: call.began, answered: NEVER, now: call.now, answers: Vec::new() };
        let deed = deeds.entry(commit.id).or_insert_with(first);
        if let (Some(answer), Some(ended)) = (answer, call.ended) {
            deed.answered = deed.answered.min(ended);
            deed.answers.push(*answer);
        }
    }
    deeds.into_values().collect()
}

fn links<'a>(deeds: &'a [Deed<'a>], key: &Key) -> Vec<Link<'a>> {
    let may_be_done = deeds.iter().filter(|deed| deed.is_done() || deed.answers.is_empty());
    let writes = may_be_done.flat_map(|deed| deed.commit.writes.iter().map(move |write| (deed, write)));
    let writes = writes.filter(|(_, write)| write.key == *key);
    writes
        .map(|(deed, write)| {
            let erased = matches!(write.change, Change::Erase);
            Link { deed, write, after: (!erased).then(|| deed.commit.version_after(write.expected)) }
        })
        .collect()
}

/// What came after a version, all the way.
fn after<'a>(links: &'a [Link<'a>], version: Version) -> Vec<&'a Link<'a>> {
    let (mut chain, mut at) = (Vec::new(), Some(version));
    while let Some(version) = at {
        let follow = links.iter().filter(|link| link.write.expected == Some(version));
        let next = follow.max_by_key(|link| link.deed.is_done());
        at = next.filter(|_| chain.len() <= links.len()).and_then(|link| link.after);
        chain.extend(next);
    }
    chain
}

/// Each commit follows what another one wrote, and no two follow the same.
fn of_versions(links: &[Link<'_>]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut followed: BTreeMap<Version, Uuid> = BTreeMap::new();
    let done = || links.iter().filter(|link| link.deed.is_done());
    for link in done() {
        let (deed, Some(expected)) = (link.deed, link.write.expected) else { continue };
        if let Some(other) = followed.insert(expected, deed.commit.id) {
            faults.push(format!("commits {other} and {} both followed version {expected}", deed.commit.id));
        }
        if !links.iter().any(|other| other.after == Some(expected) && other.deed.began < deed.answered) {
            faults.push(format!("commit {} followed version {expected}, which no commit gave", deed.commit.id));
        }
    }
    let created: Vec<_> = done().filter(|link| link.write.expected.is_none()).filter_map(|link| link.after).collect();
    let erased = |version: Version| after(links, version).iter().any(|link| link.after.is_none());
    let living = created.iter().filter(|version| !erased(**version)).count();
    if living > 1 {
        faults.push(format!("it was created {living} times and never erased in between"));
    }
    faults
}

fn sights(calls: &[&Call], key: &Key) -> Vec<Sight> {
    let seen = calls.iter().filter_map(|call| {
        let version = match &call.asked {
            Asked::Loaded(of, version) if of == key => *version,
            Asked::Leased { key: of, version, .. } if of == key => Some(*version),
            _ => return None,
        };
        Some(Sight { began: call.began, ended: call.ended?, version })
    });
    seen.collect()
}

/// What is seen was written, and had not been replaced before it was asked for.
fn of_sights(links: &[Link<'_>], sights: &[Sight]) -> Vec<String> {
    let mut faults = Vec::new();
    for sight in sights {
        let Some(version) = sight.version else {
            for link in links.iter().filter(|link| link.write.expected.is_none() && link.deed.is_done()) {
                let (known, Some(version)) = (link.deed.answered < sight.began, link.after) else { continue };
                let may_be_erased = |link: &&Link<'_>| link.after.is_none() && link.deed.began < sight.ended;
                if known && !after(links, version).iter().any(may_be_erased) {
                    faults.push(format!("it was created with version {version} and then not there"));
                }
            }
            continue;
        };
        if !links.iter().any(|link| link.after == Some(version) && link.deed.began < sight.ended) {
            faults.push(format!("version {version} was seen, which no commit gave"));
        }
        let replaced = after(links, version).into_iter().find(|link| link.deed.answered < sight.began);
        if let Some(replaced) = replaced.filter(|link| link.deed.is_done()) {
            faults.push(format!("version {version} was seen after commit {}", replaced.deed.commit.id));
        }
    }
    faults
}

fn puts_back<'a>(calls: &[&'a Call], key: &Key) -> Vec<(&'a Call, Uuid, Option<bool>)> {
    let tries = calls.iter().filter_map(|call| match &call.asked {
        Asked::PutBack(taken, done) if taken.key == *key => Some((*call, taken.token, *done)),
        _ => None,
    });
    tries.collect()
}

/// In the order in which their holders learnt of them.
fn terms(calls: &[&Call], links: &[Link<'_>], key: &Key) -> Vec<Term> {
    let term = |lease: Lease, call: (u64, u64, Timestamp), ran_out| {
        let (began, ended, now) = call;
        Term { lease, began, ended, now, freed: NEVER, extended: Vec::new(), ran_out }
    };
    let given = calls.iter().filter_map(|call| match &call.asked {
        Asked::Leased { key: of, lease, ran_out, .. } if of == key => {
            Some(term(*lease, (call.began, call.ended?, call.now), Some(*ran_out)))
        }
        _ => None,
    });
    let taken = links.iter().filter(|link| link.deed.is_done()).filter_map(|Link { deed, write, .. }| {
        let Change::Put { lease: LeaseChange::Take(lease), .. } = &write.change else { return None };
        Some(term(*lease, (deed.began, deed.answered, deed.now), None))
    });
    let mut terms: Vec<_> = given.chain(taken).collect();
    terms.sort_by_key(|term| term.ended);
    let puts_back = puts_back(calls, key);
    for term in &mut terms {
        let tries = puts_back.iter().filter(|(_, token, _)| *token == term.lease.token).map(|(call, ..)| call.began);
        term.freed = tries.min().unwrap_or(NEVER);
        let began = term.began;
        for link in links.iter().filter(|link| link.deed.answered > began) {
            term.meets(link);
        }
    }
    terms
}

impl Term {
    fn meets(&mut self, link: &Link<'_>) {
        let deed = link.deed;
        match &link.write.change {
            // The holder, or a worker that knows nothing of the lease but that it saw the last state.
            Change::Erase => self.freed = self.freed.min(deed.began),
            Change::Put { lease: LeaseChange::End { token, .. }, .. } if *token == self.lease.token => {
                self.freed = self.freed.min(deed.began);
            }
            Change::Put { lease: LeaseChange::Hold(lease), .. } if lease.token == self.lease.token => {
                self.extended.push((deed.answered, lease.until));
            }
            Change::Put { .. } => {}
        }
    }

    /// Until when it lasted for certain, as far as was known then.
    fn until(&self, known: u64) -> Timestamp {
        let extended = self.extended.iter().filter(|(at, _)| *at < known).map(|(_, until)| *until);
        extended.chain([self.lease.until]).max().unwrap_or(self.lease.until)
    }

    /// Both held it at some moment, and neither had run out when the other was given it.
    fn overlaps(&self, other: &Self) -> bool {
        let together = self.ended.max(other.ended) < self.freed.min(other.freed);
        together && other.now < self.until(other.began) && self.now < other.until(self.began)
    }
}

/// One holder at a time, and nothing comes of what a worker does under a lease that it has lost.
fn of_leases(links: &[Link<'_>], terms: &[Term], puts_back: &[(&Call, Uuid, Option<bool>)]) -> Vec<String> {
    let mut faults = Vec::new();
    for (before, term) in terms.iter().zip(terms.iter().skip(1)) {
        let (first, token) = (before.lease.token, term.lease.token);
        if before.overlaps(term) {
            faults.push(format!("leases {first} and {token} were held at one time"));
        }
        // A term whose begin cannot be told apart from the first one's may have followed it, and have ended.
        let may_lie_between = |other: &Term| {
            ![first, token].contains(&other.lease.token) && other.ended >= before.began && other.freed <= term.ended
        };
        if term.ran_out == Some(false)
            && before.ended < term.began
            && before.freed > term.ended
            && !terms.iter().any(may_lie_between)
        {
            faults.push(format!("the holder of {token} was not told that {first} ran out"));
        }
    }
    let taken_before = |token: Uuid, began: u64| {
        let mine = terms.iter().find(|term| term.lease.token == token);
        mine.is_some_and(|mine| terms.iter().any(|other| other.began > mine.ended && other.ended < began))
    };
    let mut ended = BTreeSet::new();
    for Link { deed, write, .. } in links.iter().filter(|link| link.deed.is_done()) {
        let (what, token) = match &write.change {
            Change::Put { lease: LeaseChange::End { token, .. }, .. } => ("ended", *token),
            Change::Put { lease: LeaseChange::Hold(lease), .. } => ("held", lease.token),
            Change::Put { .. } | Change::Erase => continue,
        };
        if !terms.iter().any(|term| term.lease.token == token && term.began < deed.answered) {
            faults.push(format!("lease {token} was {what}, which nobody had"));
        }
        if taken_before(token, deed.began) {
            faults.push(format!("lease {token} was {what} after another worker had taken it"));
        }
        if what == "ended" && !ended.insert(token) {
            faults.push(format!("lease {token} was ended twice"));
        }
    }
    for (call, token, done) in puts_back {
        if *done == Some(true) && taken_before(*token, call.began) {
            faults.push(format!("lease {token} was put back after another worker had taken it"));
        }
    }
    faults
}
