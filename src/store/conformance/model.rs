//! Random operations at an engine and at a model of a hundred lines: what they answer and what is then stored.

use std::collections::BTreeMap;

use super::*;

struct Model {
    kept: BTreeMap<(Tenant, Key), Document>,
}

impl Model {
    fn due_at(document: &Document) -> Option<Timestamp> {
        document.lease.map(|lease| lease.until).or(document.due)
    }

    fn commit(&mut self, tenant: &Tenant, commit: &Commit) -> Committed {
        let mut after = self.kept.clone();
        for (key, version) in &commit.checks {
            if self.kept.get(&(tenant.clone(), key.clone())).map(|document| document.version) != Some(*version) {
                return Committed::Conflict;
            }
        }
        for write in &commit.writes {
            let place = (tenant.clone(), write.key.clone());
            let present = self.kept.get(&place);
            if present.map(|document| document.version) != write.expected {
                return Committed::Conflict;
            }
            let Change::Put { body, status, created_at, lease: change, urgent, .. } = &write.change else {
                after.remove(&place);
                continue;
            };
            let (mut lease, mut due) = present.map_or((None, None), |document| (document.lease, document.due));
            let mine = |token| lease.is_some_and(|lease| lease.token == token);
            match change {
                LeaseChange::Leave { due: new } if lease.is_none() => due = *new,
                LeaseChange::Leave { .. } => {}
                LeaseChange::Take(new) if lease.is_none() => lease = Some(*new),
                LeaseChange::Hold(new) if mine(new.token) => lease = Some(*new),
                LeaseChange::End { token, due: new } if mine(*token) => (lease, due) = (None, *new),
                _ => return Committed::Conflict,
            }
            let document = Document {
                body: body.clone(),
                version: commit.version_after(write.expected),
                status: status.to_string(),
                created_at: *created_at,
                due,
                lease,
                slot: None,
                urgent: *urgent,
            };
            after.insert(place, document);
        }
        self.kept = after;
        DONE
    }

    fn wake(&mut self, tenant: &Tenant, statuses: &[&str], spread: Duration, now: Timestamp) -> u64 {
        let wakes =
            |key: &Key, d: &Document| key.kind == Kind::Lead && d.lease.is_none() && statuses.contains(&&*d.status);
        let mut woken: Vec<_> =
            self.kept.iter_mut().filter(|((t, key), document)| t == tenant && wakes(key, document)).collect();
        woken.sort_by_key(|((_, key), document)| (document.created_at, key.id.clone()));
        let count = woken.len() as u64;
        for (nth, (_, document)) in (0..).zip(woken) {
            let delay = u64::try_from(spread.as_micros()).expect("short") * nth / count;
            let woken = later(now, Duration::from_micros(delay));
            document.due = Some(document.due.map_or(woken, |due| due.min(woken)));
        }
        count
    }

    fn put_back(&mut self, tenant: &Tenant, taken: &Taken, due: Timestamp) -> bool {
        let place = (tenant.clone(), taken.key.clone());
        let Some(document) = self.kept.get_mut(&place) else { return false };
        let Some(lease) = document.lease.filter(|lease| lease.token == taken.token) else { return false };
        if taken.ran_out {
            document.lease = Some(Lease { until: due, ..lease });
        } else {
            (document.lease, document.due) = (None, Some(due));
        }
        true
    }

    /// What the engine leased must have been due: of what is urgent and of what is not as much as was asked for, the
    /// longest due of its tenant first. Then the model has it leased.
    fn leased(&mut self, leased: &[Leased], request: &LeaseRequest, now: Timestamp) {
        let due = |document: &Document| Self::due_at(document).is_some_and(|due| due <= now);
        let count = |urgent| self.kept.values().filter(|document| document.urgent == urgent && due(document)).count();
        let (urgent, others) = (count(true).min(request.urgent.max), count(false).min(request.others.max));
        let got = leased.iter().filter(|one| one.document.urgent).count();
        assert_eq!((got, leased.len() - got), (urgent, others));
        for one in leased {
            let place = (one.tenant.clone(), one.key.clone());
            let present = self.kept.get(&place).expect("what was leased exists");
            assert!(due(present));
            let longest = self
                .kept
                .iter()
                .filter(|((tenant, _), document)| *tenant == one.tenant && document.urgent == present.urgent)
                .filter_map(|(_, d)| Self::due_at(d))
                .min();
            assert_eq!(Self::due_at(present), longest, "the longest due first");
            assert_eq!(one.ran_out, present.lease.is_some());
            let expected = Document { lease: one.document.lease, ..present.clone() };
            assert_eq!(one.document, expected);
            self.kept.insert(place, expected);
        }
    }
}

pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

pub(super) async fn random_commits_and_leases_do_what_the_model_does(engine: &dyn Engine) {
    let seed = crate::ids::random_uuid().as_u128() as u64;
    println!("seed {seed}");
    let mut random = Random(seed);
    let mut model = Model { kept: BTreeMap::new() };
    let mut done: Option<(Tenant, Commit)> = None;
    let mut taken: Vec<(Tenant, Taken)> = Vec::new();
    for step in 0..600 {
        let now = at(step / 3);
        let place = format!("step {step} of seed {seed}");
        match random.below(10) {
            0 => {
                let mut few = || usize::try_from(random.below(5)).expect("small");
                let mut request = request(9);
                (request.urgent.max, request.others.max) = (few(), few());
                let leased = engine.lease_due(&request, now).await.expect("answers").leased;
                model.leased(&leased, &request, now);
                taken.extend(leased.iter().filter_map(|one| Some((one.tenant.clone(), one.taken()?))));
            }
            1 => {
                if let Some((tenant, commit)) = &done {
                    assert_eq!(engine.commit(tenant, commit, now).await.expect("answers"), DONE, "repeat, {place}");
                }
            }
            2 if random.below(3) == 0 => {
                let (tenant, spread) =
                    (Tenant::new(format!("t{}", random.below(4))), Duration::from_millis(random.below(9_999)));
                let statuses = &["queued", "pending", "queued"][usize::try_from(random.below(3)).expect("small")..];
                let expected = model.wake(&tenant, statuses, spread, now);
                let woken = engine.wake(&tenant, Kind::Lead, statuses, spread, now).await.expect("answers");
                assert_eq!(woken, expected, "{place}");
            }
            3 => {
                if let Some((tenant, taken)) = taken.pop() {
                    let due = later(now, Duration::from_secs(random.below(20)));
                    let expected = model.put_back(&tenant, &taken, due);
                    let done = engine.put_back(&tenant, &taken, due, now).await.expect("answers");
                    assert_eq!(done, expected, "{place}");
                }
            }
            _ => {
                let tenant = Tenant::new(format!("t{}", random.below(4)));
                let commit = draw(&mut random, &model, &tenant, now);
                let expected = model.commit(&tenant, &commit);
                assert_eq!(engine.commit(&tenant, &commit, now).await.expect("answers"), expected, "{place}");
                if expected == DONE {
                    done = Some((tenant, commit));
                }
            }
        }
        if step % 20 == 19 {
            compare(engine, &model, now, &place).await;
        }
    }
}

/// One to three writes, mostly of what is there.
fn draw(random: &mut Random, model: &Model, tenant: &Tenant, now: Timestamp) -> Commit {
    let mut ids: Vec<u64> = (0..6).collect();
    let mut writes = Vec::new();
    for _ in 0..=random.below(3) {
        let at = usize::try_from(random.below(ids.len() as u64)).expect("small");
        let key = match ids.swap_remove(at) {
            0 => Key::workspace(),
            id => lead(id),
        };
        let present = model.kept.get(&(tenant.clone(), key.clone()));
        let expected = if random.below(8) == 0 { Some(random.below(4) + 1) } else { present.map(|d| d.version) };
        let soon = later(now, Duration::from_secs(random.below(20)));
        let lease = present.and_then(|document| document.lease).filter(|_| random.below(6) > 0);
        let known = lease.map_or_else(random_uuid, |lease| lease.token);
        let change = match random.below(6) {
            0 => IDLE,
            1 => due(soon),
            2 => LeaseChange::Take(lease_until(soon)),
            3 if lease.is_some() => LeaseChange::Hold(Lease { token: known, until: soon }),
            _ if lease.is_some() => LeaseChange::End { token: known, due: Some(soon) },
            _ => due(soon),
        };
        let status = ["queued", "pending", "complete"][usize::try_from(random.below(3)).expect("small")];
        writes.push(match expected {
            Some(version) if random.below(6) == 0 => erase(&key, version),
            _ => {
                let mut write = put_as(&key, expected, status, super::at(random.below(5)), change);
                if let Change::Put { urgent, .. } = &mut write.change {
                    *urgent = random.below(3) == 0;
                }
                write
            }
        });
    }
    Commit::of(writes)
}

async fn compare(engine: &dyn Engine, model: &Model, now: Timestamp, place: &str) {
    let next = model.kept.values().filter_map(Model::due_at).filter(|due| *due > now).min();
    assert_eq!(engine.next_due(now).await.expect("answers"), next, "{place}");
    let mut counts: BTreeMap<(Kind, String), (u64, Timestamp)> = BTreeMap::new();
    for ((_, key), document) in &model.kept {
        let count = counts.entry((key.kind, document.status.clone())).or_insert((0, document.created_at));
        *count = (count.0 + 1, count.1.min(document.created_at));
    }
    let depths = engine.depths(now).await.expect("answers").into_iter();
    let depths = depths.map(|d| ((d.kind, d.status), (d.count, d.oldest.expect("some are there"))));
    assert_eq!(depths.collect::<BTreeMap<_, _>>(), counts, "{place}");
    for n in 0..4 {
        let tenant = Tenant::new(format!("t{n}"));
        for statuses in [&["queued", "pending", "complete"][..], &["complete", "queued"], &["pending"]] {
            let mut expected: Vec<_> = model
                .kept
                .iter()
                .filter(|((t, key), d)| *t == tenant && key.kind == Kind::Lead && statuses.contains(&&*d.status))
                .map(|((_, key), document)| (key.clone(), document.clone()))
                .collect();
            expected.sort_by_key(|(key, document)| std::cmp::Reverse((document.created_at, key.id.clone())));
            let page = engine.page(&tenant, statuses, None, 100).await.expect("answers");
            assert_eq!(page.documents, expected, "{place}");
        }
        let loaded = engine.load(&tenant, &[Key::workspace()], &[], now).await.expect("answers").documents.remove(0);
        assert_eq!(loaded.as_ref(), model.kept.get(&(tenant, Key::workspace())), "{place}");
    }
}
