//! Gates: what the store keeps of them, that both engines do the same arithmetic, and that a worker is told of them.

use super::*;
use crate::store::{
    Reserve,
    gate::{Gate, GateReport, GateState, GateView},
};

const ATTIO: Gate = Gate { upstream: "attio", per_second: Some(25), ahead: false };
const ALC: Gate = Gate { upstream: "alc", per_second: None, ahead: false };

async fn reserve(engine: &dyn Engine, gate: &Gate, held: Option<&Key>, now: Timestamp) -> Verdict {
    engine.reserve(&tenant(), gate, held, now).await.expect("answers")
}

async fn report(engine: &dyn Engine, gate: &Gate, report: GateReport, now: Timestamp) {
    engine.report(&tenant(), gate, report, now).await.expect("answers");
}

async fn view(engine: &dyn Engine, gate: &Gate, now: Timestamp) -> GateView {
    engine.load(&tenant(), &[], std::slice::from_ref(gate), now).await.expect("answers").gates[0]
}

pub(super) async fn a_slot_is_kept_beside_the_aggregate_and_honoured(engine: &dyn Engine) {
    create(engine, &tenant(), &lead(1), IDLE).await;
    assert_eq!(reserve(engine, &ATTIO, Some(&lead("none")), at(0)).await, Verdict::Go);
    let Verdict::At(slot) = reserve(engine, &ATTIO, Some(&lead(1)), at(0)).await else { panic!("one at a time") };
    let document = read(engine, &lead(1), at(0)).await.expect("it is there");
    assert_eq!((document.slot, document.version), (Some(slot), v(1)));
    // A request that comes later is behind it, and coming back early changes nothing.
    for _ in 0..50 {
        assert!(reserve(engine, &ATTIO, None, at(0)).await > Verdict::At(slot));
    }
    assert_eq!(reserve(engine, &ATTIO, Some(&lead(1)), ms(1)).await, Verdict::At(slot));
    // A write keeps it.
    assert_eq!(commit(engine, vec![put(&lead(1), Some(1), due(slot))], at(0)).await, DONE);
    assert_eq!(read(engine, &lead(1), at(0)).await.expect("it is there").slot, Some(slot));
    // The gate of ALC does not pace and leaves it.
    assert_eq!(reserve(engine, &ALC, Some(&lead(1)), at(0)).await, Verdict::Go);
    assert_eq!(read(engine, &lead(1), at(0)).await.expect("it is there").slot, Some(slot));
    assert_eq!(reserve(engine, &ATTIO, Some(&lead(1)), slot).await, Verdict::Go);
    assert_eq!(read(engine, &lead(1), at(0)).await.expect("it is there").slot, None, "it was used");
}

pub(super) async fn a_reservation_comes_with_its_commit_or_not_at_all(engine: &dyn Engine) {
    let reserving = |key: &Key, expected| Commit {
        reserve: Some(Reserve { gate: ATTIO, key: key.clone() }),
        ..plain(vec![put(key, expected, IDLE)])
    };
    let commit = async |commit: Commit, now| engine.commit(&tenant(), &commit, now).await.expect("answers");
    assert_eq!(commit(reserving(&lead(1), Some(9)), at(0)).await, Committed::Conflict);
    assert_eq!(commit(reserving(&lead(1), None), at(0)).await, DONE, "the conflict took no slot");
    let Committed::Done(Verdict::At(slot)) = commit(reserving(&lead(2), None), at(0)).await else {
        panic!("one at a time")
    };
    assert_eq!(read(engine, &lead(2), at(0)).await.expect("it is there").slot, Some(slot));
    assert_eq!(commit(reserving(&lead(2), Some(1)), at(0)).await, Committed::Done(Verdict::At(slot)), "it has one");
    assert_eq!(commit(reserving(&lead(2), Some(2)), slot).await, DONE);
    assert_eq!(read(engine, &lead(2), at(0)).await.expect("it is there").slot, None);
    assert_eq!(read(engine, &lead(1), at(0)).await.expect("it is there").slot, None);
}

pub(super) async fn a_pause_and_a_cool_down_show_and_hold(engine: &dyn Engine) {
    assert_eq!(view(engine, &ATTIO, at(0)).await, GateView::default());
    report(engine, &ATTIO, GateReport::Limited { until: at(30) }, at(0)).await;
    report(engine, &ATTIO, GateReport::Limited { until: at(20) }, at(0)).await;
    assert_eq!(view(engine, &ATTIO, at(29)).await, GateView { closed_until: Some(at(30)), failures: 0 });
    assert_eq!(view(engine, &ATTIO, at(30)).await, GateView::default());
    assert_eq!(reserve(engine, &ATTIO, None, at(1)).await, Verdict::At(at(30)));
    for n in 1..=5 {
        assert_eq!(reserve(engine, &ALC, None, at(0)).await, Verdict::Go);
        report(engine, &ALC, GateReport::Failed, at(0)).await;
        assert_eq!(view(engine, &ALC, at(0)).await.failures, n);
    }
    assert_eq!(view(engine, &ALC, at(9)).await, GateView { closed_until: Some(at(5)), failures: 5 });
    assert_eq!(reserve(engine, &ALC, None, at(1)).await, Verdict::At(at(5)));
    assert_eq!(reserve(engine, &ALC, None, at(5)).await, Verdict::Go, "the probe");
    assert_eq!(reserve(engine, &ALC, None, at(5)).await, Verdict::At(at(10)), "one at a time");
    report(engine, &ALC, GateReport::Failed, at(6)).await;
    assert_eq!(reserve(engine, &ALC, None, at(7)).await, Verdict::At(at(16)), "twice as long");
    assert_eq!(reserve(engine, &ALC, None, at(16)).await, Verdict::Go);
    report(engine, &ALC, GateReport::Recovered, at(16)).await;
    assert_eq!(view(engine, &ALC, at(16)).await, GateView::default());
    assert_eq!(reserve(engine, &ALC, None, at(16)).await, Verdict::Go);
    assert_eq!(reserve(engine, &ALC, None, at(16)).await, Verdict::Go);
    report(engine, &ALC, GateReport::Limited { until: at(60) }, at(20)).await;
    assert_eq!(reserve(engine, &ALC, None, at(21)).await, Verdict::At(at(60)));
    report(engine, &ALC, GateReport::Opened, at(22)).await;
    assert_eq!(reserve(engine, &ALC, None, at(22)).await, Verdict::Go, "an operator has opened it");
}

pub(super) async fn gates_of_tenants_and_upstreams_are_their_own(engine: &dyn Engine) {
    report(engine, &ATTIO, GateReport::Limited { until: at(30) }, at(0)).await;
    assert_eq!(reserve(engine, &ALC, None, at(0)).await, Verdict::Go);
    let other = Tenant::new("other");
    assert_eq!(engine.reserve(&other, &ATTIO, None, at(0)).await.expect("answers"), Verdict::Go);
    let gates = engine.load(&tenant(), &[], &[ALC, ATTIO], at(0)).await.expect("answers").gates;
    assert_eq!(gates, [GateView::default(), GateView { closed_until: Some(at(30)), failures: 0 }]);
}

pub(super) async fn a_lease_brings_what_stands_beside_it(engine: &dyn Engine) {
    let (other, workspace) = (Tenant::new("other"), Key::workspace());
    create(engine, &tenant(), &workspace, IDLE).await;
    assert_eq!(commit(engine, vec![put(&workspace, Some(1), IDLE)], at(0)).await, DONE);
    report(engine, &ATTIO, GateReport::Limited { until: at(30) }, at(0)).await;
    for (tenant, id) in [(&tenant(), 1), (&tenant(), 2), (&other, 1)] {
        create(engine, tenant, &lead(id), due(at(0))).await;
    }
    let beside = Beside { keys: vec![lead("none"), workspace.clone()], gates: vec![ALC, ATTIO, ALC] };
    let request = LeaseRequest { beside: beside.clone(), ..request(9) };
    let leased = engine.lease_due(&request, at(1)).await.expect("answers").leased;
    assert_eq!(leased.len(), 3);
    create(engine, &tenant(), &lead(3), due(at(0))).await;
    assert!(lease_due(engine, 9, at(1)).await.remove(0).beside.is_none(), "else a worker would see no workspace");
    for one in leased {
        let loaded = engine.load(&one.tenant, &beside.keys, &beside.gates, at(1)).await.expect("answers");
        let brought = one.beside.expect("it can be read");
        assert_eq!((&brought.documents, &brought.gates), (&loaded.documents, &loaded.gates));
        assert_eq!(brought.documents[1].is_some(), one.tenant == tenant());
        assert_eq!(brought.gates[1].closed_until.is_some(), one.tenant == tenant());
    }
}

/// The same knocks and reports at the engine and at [`GateState`], which has the property tests.
pub(super) async fn a_crowd_is_paced_as_the_arithmetic_says(engine: &dyn Engine) {
    crowd(engine, ATTIO, 25).await;
    // Of a faster gate not every departure is kept.
    crowd(engine, Gate { upstream: "alc", per_second: Some(60), ahead: false }, 60).await;
}

async fn crowd(engine: &dyn Engine, paced: Gate, most: u64) {
    let lead = |n: usize| Key::new(Kind::Lead, format!("{most}-{n}"));
    for n in 0..40 {
        create(engine, &tenant(), &lead(n), IDLE).await;
    }
    let mut state = GateState::default();
    let mut held: Vec<Option<Timestamp>> = vec![None; 40];
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut now = at(0);
    let mut left: Vec<Timestamp> = Vec::new();
    for step in 0..1_500 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let draw = random >> 33;
        now = later(now, Duration::from_micros(draw % (1_500_000 / most)));
        if step % 300 == 299 {
            now = later(now, Duration::from_secs(draw % 40));
        }
        let told = match draw % 97 {
            0 => Some(GateReport::Limited { until: later(now, Duration::from_millis(draw % 3_000)) }),
            1..=5 => Some(GateReport::Failed),
            6 => Some(GateReport::Recovered),
            7 => Some(GateReport::Opened),
            _ => None,
        };
        if let Some(told) = told {
            state.report(told, now);
            report(engine, &paced, told, now).await;
        } else if draw.is_multiple_of(11) {
            let expected = state.reserve(&paced, None, now);
            assert_eq!(reserve(engine, &paced, None, now).await, expected.verdict, "step {step}");
            left.extend((expected.verdict == Verdict::Go).then_some(now));
        } else {
            // Mostly the one whose slot has come.
            let who = if draw.is_multiple_of(3) {
                usize::try_from(draw % 40).expect("small")
            } else {
                (0..40).min_by_key(|n| held[*n].unwrap_or(Timestamp::MAX)).expect("forty of them")
            };
            let gate = if who < 3 { paced.ahead() } else { paced };
            let expected = state.reserve(&gate, held[who], now);
            assert_eq!(reserve(engine, &gate, Some(&lead(who)), now).await, expected.verdict, "step {step}");
            held[who] = expected.slot;
            assert_eq!(read(engine, &lead(who), now).await.expect("it is there").slot, expected.slot, "step {step}");
            left.extend((expected.verdict == Verdict::Go).then_some(now));
        }
        assert_eq!(view(engine, &paced, now).await, state.view(now), "step {step}");
    }
    assert!(left.len() > 100, "only {} went", left.len());
    for end in &left {
        let second = left.iter().filter(|t| *t <= end && later(**t, Duration::from_secs(1)) > *end).count();
        assert!(second as u64 <= most, "{second} in one second");
    }
}
