//! Any interleaving of connects, takeovers, removals, refreshes and crashes.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use jiff::Timestamp;
use proptest::prelude::*;
use uuid::Uuid;

use crate::{
    clock::{from_micros, later},
    connections::{
        Connection, Phase, Standing, Webhook, WebhookState, Workspace,
        workspace::{
            agenda::Step,
            claim::Claim,
            code::Code,
            grant::{AttioGrant, FreshTokens},
            schema::Found,
            settle::CLEAN_UP_LIMIT,
            side::Side,
            transitions::MOST_INCOMING,
        },
    },
    ids::{ConnectionId, OpaqueToken, WebhookId, WorkspaceId, random_uuid},
    sealing::Sealed,
    store::{decode, encode},
};

pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(60 * 60);
pub(super) const BASE: &str = "https://now.example";

fn tokens(now: Timestamp, with_refresh: bool) -> FreshTokens {
    FreshTokens {
        access: Sealed::from_text("access"),
        refresh: with_refresh.then(|| Sealed::from_text("refresh")),
        lifetime: HOUR,
        requested_at: now,
    }
}

fn connection(now: Timestamp, with_refresh: bool, with_attio: bool) -> Connection {
    let code = Code::new(&OpaqueToken::new("w"), "https://app".to_owned(), None, now);
    let attio = with_attio.then(|| AttioGrant::new(Sealed::from_text("attio")));
    Connection::incoming(ConnectionId::random(), tokens(now, with_refresh), attio, code, 0.5, now)
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Event {
    Open { with_refresh: bool, with_attio: bool },
    BeginConnecting(usize),
    Register(usize),
    FinishConnecting(usize),
    FailConnecting(usize),
    Remove(usize),
    BeginRefresh(usize),
    Refreshed(usize),
    RefreshRefused(usize),
    RefreshFailed(usize),
    RefreshDenied(usize),
    AccessRefused(usize),
    AttioRefused(usize),
    Wait(u32),
    Step(Outcome),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    Failed,
    Unauthorized,
    /// Done outside, and not recorded.
    Lost,
}

fn event() -> impl Strategy<Value = Event> {
    let which = 0usize..6;
    let outcome = prop_oneof![
        4 => Just(Outcome::Done),
        1 => Just(Outcome::Failed),
        1 => Just(Outcome::Unauthorized),
        1 => Just(Outcome::Lost),
    ];
    prop_oneof![
        2 => any::<(bool, bool)>().prop_map(|(with_refresh, with_attio)| Event::Open { with_refresh, with_attio }),
        2 => which.clone().prop_map(Event::BeginConnecting),
        2 => which.clone().prop_map(Event::Register),
        2 => which.clone().prop_map(Event::FinishConnecting),
        1 => which.clone().prop_map(Event::FailConnecting),
        1 => which.clone().prop_map(Event::Remove),
        1 => which.clone().prop_map(Event::BeginRefresh),
        1 => which.clone().prop_map(Event::Refreshed),
        1 => which.clone().prop_map(Event::RefreshRefused),
        1 => which.clone().prop_map(Event::RefreshFailed),
        2 => which.clone().prop_map(Event::RefreshDenied),
        1 => which.clone().prop_map(Event::AccessRefused),
        1 => which.prop_map(Event::AttioRefused),
        3 => prop_oneof![0u32..120, 600u32..4000, 80_000u32..100_000].prop_map(Event::Wait),
        6 => outcome.prop_map(Event::Step),
    ]
}

/// What an upstream answered, to be recorded.
type Fact = Box<dyn Fn(&mut Workspace, Timestamp)>;

/// A workspace and what the test remembers of the outside.
pub(super) struct World {
    pub(super) workspace: Workspace,
    pub(super) now: Timestamp,
    connecting: HashMap<ConnectionId, Uuid>,
    refreshing: HashMap<ConnectionId, (Uuid, u64)>,
    revoked: HashSet<ConnectionId>,
    revoked_at_attio: HashSet<ConnectionId>,
    forgotten: bool,
}

impl World {
    pub(super) fn new() -> Self {
        let now = from_micros(1_700_000_000_000_000);
        Self {
            workspace: Workspace::new(WorkspaceId::random(), now),
            now,
            connecting: HashMap::new(),
            refreshing: HashMap::new(),
            revoked: HashSet::new(),
            revoked_at_attio: HashSet::new(),
            forgotten: false,
        }
    }

    fn pick(&self, which: usize) -> Option<ConnectionId> {
        let all = &self.workspace.connections;
        (!all.is_empty()).then(|| all[which % all.len()].id)
    }

    pub(super) fn apply(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Open { with_refresh, with_attio } => {
                self.forgotten = false;
                self.workspace.opened(connection(now, with_refresh, with_attio), now);
            }
            Event::Wait(seconds) => self.now = later(now, Duration::from_secs(seconds.into())),
            Event::Step(outcome) => self.step(outcome),
            Event::BeginConnecting(which) => self.begin_connecting(which),
            Event::Register(which) => {
                let Some(id) = self.pick(which) else { return };
                let Some(webhook) = self.workspace.connection(id).and_then(|it| it.webhook) else { return };
                self.workspace.webhook_registered(Side::Alc, webhook, Some("alc".to_owned()), None, now);
            }
            Event::FinishConnecting(which) => self.finish_connecting(which),
            Event::FailConnecting(which) => {
                let Some(id) = self.pick(which) else { return };
                let Some(owner) = self.connecting.remove(&id) else { return };
                self.workspace.connect_failed(id, owner, now);
            }
            Event::Remove(which) => self.remove(which),
            Event::BeginRefresh(which) => self.begin_refresh(which),
            Event::Refreshed(which) => {
                let Some((id, owner, _)) = self.refresh_of(which) else { return };
                self.workspace.refreshed(id, tokens(now, true), owner, now);
                self.revoked.remove(&id);
            }
            Event::RefreshRefused(which) => {
                let Some((connection, owner, generation)) = self.refresh_of(which) else { return };
                self.workspace.refresh_refused(connection, generation, owner);
            }
            Event::RefreshFailed(which) => {
                let Some((connection, owner, _)) = self.refresh_of(which) else { return };
                self.workspace.refresh_failed(connection, owner, later(now, MINUTE));
            }
            Event::RefreshDenied(which) => {
                let Some((connection, owner, generation)) = self.refresh_of(which) else { return };
                let was_dead = self.workspace.connection(connection).is_some_and(|it| it.alc.dead);
                let dead = self.workspace.refresh_denied(connection, generation, owner, later(now, MINUTE), now);
                let asked = self.workspace.connection(connection).is_some_and(|it| it.alc.is_suspected(generation));
                assert!(!dead || was_dead || asked, "a refusal was believed before ALC's API was asked");
            }
            Event::AccessRefused(which) => {
                let Some(connection) = self.pick(which) else { return };
                let generation = self.workspace.connection(connection).expect("picked").alc.generation;
                self.workspace.access_refused(connection, generation, now);
            }
            Event::AttioRefused(which) => {
                let Some(connection) = self.pick(which) else { return };
                let before = self.workspace.standing(connection);
                self.workspace.attio_died(connection);
                assert_eq!(self.workspace.standing(connection), before, "leads go to ALC all the same");
            }
        }
    }

    fn begin_connecting(&mut self, which: usize) {
        let now = self.now;
        let Some(id) = self.pick(which) else { return };
        let claim = Claim::new(random_uuid(), later(now, MINUTE));
        if self.workspace.claim_connecting(id, claim.clone(), now) {
            self.connecting.insert(id, claim.owner);
            let token = OpaqueToken::new("w").hash();
            let webhook = Webhook::intended(WebhookId::random(), id, token, now);
            assert!(self.workspace.intend_webhook(Side::Alc, webhook, claim.owner));
            if self.workspace.connection(id).is_some_and(|it| it.attio.is_some()) {
                let webhook = Webhook::intended(WebhookId::random(), id, OpaqueToken::new("w").hash(), now);
                let made = webhook.id;
                assert!(self.workspace.intend_webhook(Side::Attio, webhook, claim.owner));
                self.workspace.webhook_registered(Side::Attio, made, Some("attio".to_owned()), None, now);
            }
        }
    }

    fn finish_connecting(&mut self, which: usize) {
        let now = self.now;
        let Some(id) = self.pick(which) else { return };
        let Some(owner) = self.connecting.remove(&id) else { return };
        if self.workspace.connected(id, owner, now) {
            assert_eq!(self.workspace.current().map(|it| it.id), Some(id));
        }
    }

    fn remove(&mut self, which: usize) {
        let now = self.now;
        let Some(id) = self.pick(which) else { return };
        self.workspace.removed(id, now);
        assert!(!self.workspace.removed(id, now), "a removal is repeated without effect");
        assert!(matches!(self.workspace.standing(id), Standing::Leaving | Standing::Replaced));
    }

    fn begin_refresh(&mut self, which: usize) {
        let now = self.now;
        let Some(id) = self.pick(which) else { return };
        let claim = Claim::new(random_uuid(), later(now, MINUTE));
        if self.workspace.claim_refresh(id, claim.clone(), now) {
            let generation = self.workspace.connection(id).expect("claimed").alc.generation;
            self.refreshing.insert(id, (claim.owner, generation));
        }
    }

    fn refresh_of(&mut self, which: usize) -> Option<(ConnectionId, Uuid, u64)> {
        let id = self.pick(which)?;
        let (owner, generation) = self.refreshing.remove(&id)?;
        Some((id, owner, generation))
    }

    fn settle(&mut self) {
        let before = self.workspace.connections.clone();
        self.workspace.settle(self.now);
        for connection in before {
            if self.workspace.connection(connection.id).is_none() {
                let tired = connection.leaving_since.is_some_and(|since| later(since, CLEAN_UP_LIMIT) <= self.now);
                assert!(
                    connection.alc.dead || tired || self.revoked.contains(&connection.id),
                    "tokens were erased while they were good at ALC"
                );
                assert!(
                    connection.attio.as_ref().is_none_or(|grant| grant.dead || tired)
                        || self.revoked_at_attio.contains(&connection.id),
                    "a token was erased while it was good at Attio"
                );
                let webhooks = before_gone(&self.workspace, connection.id);
                assert!(connection.alc.dead || webhooks, "tokens were erased before the webhook was deleted");
            }
        }
        let settled = self.workspace.clone();
        self.workspace.settle(self.now);
        assert_eq!(settled, self.workspace, "settling twice is settling once");
        assert_ne!(self.workspace.next_step(self.now), Step::Settle, "settling leaves nothing to settle");
    }

    pub(super) fn step(&mut self, outcome: Outcome) {
        self.settle();
        let now = self.now;
        let fact = match self.workspace.next_step(now) {
            Step::Rest => return,
            Step::Settle => panic!("settled already"),
            Step::Forget => {
                assert!(self.workspace.connections.is_empty() && self.workspace.webhooks.is_empty());
                self.forgotten = true;
                self.workspace = Workspace::new(self.workspace.id, now);
                return;
            }
            step => self.take(step, outcome),
        };
        if outcome != Outcome::Lost {
            fact(&mut self.workspace, now);
        }
        self.settle();
    }

    /// What the step came to.
    fn take(&mut self, step: Step, outcome: Outcome) -> Fact {
        let now = self.now;
        let retry_at = later(now, MINUTE);
        match step {
            Step::Rest | Step::Settle | Step::Forget => unreachable!("done by the caller"),
            Step::WakeLeads => {
                let since = self.workspace.wake_leads;
                Box::new(move |workspace, _| workspace.leads_woken(since))
            }
            Step::Refresh(connection) => self.refresh(connection, outcome),
            Step::FindWebhook(Side::Attio, webhook) | Step::DeleteWebhook(Side::Attio, webhook) => {
                Box::new(move |workspace, _| workspace.webhook_gone(Side::Attio, webhook))
            }
            Step::FindWebhook(side, webhook) => match outcome {
                Outcome::Done => {
                    Box::new(move |workspace, now| workspace.webhook_missing(side, webhook, retry_at, now))
                }
                Outcome::Lost => Box::new(move |workspace, now| {
                    workspace.webhook_registered(side, webhook, Some("alc".to_owned()), None, now);
                }),
                _ => self.webhook_refused(webhook, outcome),
            },
            Step::DeleteWebhook(side, webhook) => match outcome {
                Outcome::Done | Outcome::Lost => Box::new(move |workspace, _| workspace.webhook_gone(side, webhook)),
                _ => self.webhook_refused(webhook, outcome),
            },
            Step::CheckWebhook(side, webhook) => match outcome {
                Outcome::Done => {
                    let listed = Some("listed".to_owned());
                    Box::new(move |workspace, now| {
                        workspace.webhook_looked_at(side, webhook, listed.clone(), BASE, now);
                    })
                }
                // It is lost. The worker that makes another one dies, or lives.
                Outcome::Failed | Outcome::Lost => {
                    let next = self.replacement(side, webhook);
                    Box::new(move |workspace, now| workspace.intend_instead(side, webhook, true, next.clone(), now))
                }
                Outcome::Unauthorized => {
                    let next = self.replacement(side, webhook);
                    Box::new(move |workspace, now| {
                        workspace.intend_instead(side, webhook, false, next.clone(), now);
                        workspace.webhook_replaced(side, webhook, next.id, (Some("next".to_owned()), None), now);
                    })
                }
            },
            Step::CheckSchema => match outcome {
                Outcome::Done => Box::new(move |workspace, now| workspace.schema_checked(&Found::default(), now)),
                Outcome::Failed => Box::new(move |workspace, now| workspace.check_postponed(Some(retry_at), now)),
                _ => Box::new(move |workspace, now| workspace.check_postponed(None, now)),
            },
            Step::RetireWebhook(webhook) => match outcome {
                Outcome::Done => Box::new(move |workspace, _| workspace.webhook_retired(webhook)),
                _ => Box::new(move |workspace, _| workspace.webhook_postponed(Side::Alc, webhook, later(now, HOUR))),
            },
            Step::Revoke(side, connection) => self.revoke(side, connection, outcome),
        }
    }

    fn refresh(&mut self, connection: ConnectionId, outcome: Outcome) -> Fact {
        let (now, retry_at) = (self.now, later(self.now, MINUTE));
        let (owner, claim_ends) = (random_uuid(), later(now, MINUTE));
        let claimed = self.workspace.claim_refresh(connection, Claim::new(owner, claim_ends), now);
        assert!(claimed, "a refresh is due only when unclaimed");
        let generation = self.workspace.connection(connection).expect("due").alc.generation;
        match outcome {
            Outcome::Done | Outcome::Lost => Box::new(move |workspace, at| {
                workspace.refreshed(connection, tokens(now, false), owner, at);
            }),
            Outcome::Failed => Box::new(move |workspace, _| workspace.refresh_failed(connection, owner, retry_at)),
            Outcome::Unauthorized => {
                Box::new(move |workspace, _| workspace.refresh_refused(connection, generation, owner))
            }
        }
    }

    fn revoke(&mut self, side: Side, connection: ConnectionId, outcome: Outcome) -> Fact {
        let retry_at = later(self.now, MINUTE);
        let found = self.workspace.connection(connection).expect("due");
        assert_eq!(found.phase, Phase::Leaving);
        let open = self.workspace.webhooks.iter().any(|it| it.connection == connection && it.may_be_upstream());
        let dead = side == Side::Attio && found.alc.dead;
        assert!(!open || dead, "the webhook is deleted before the grant is revoked");
        let generation = found.generation(side);
        match outcome {
            Outcome::Done | Outcome::Lost => {
                match side {
                    Side::Alc => self.revoked.insert(connection),
                    Side::Attio => self.revoked_at_attio.insert(connection),
                };
                Box::new(move |workspace, _| workspace.grant_released(side, connection, generation))
            }
            _ => Box::new(move |workspace, _| workspace.revoke_postponed(side, connection, retry_at)),
        }
    }

    pub(super) fn replacement(&self, side: Side, webhook: WebhookId) -> Webhook {
        let last = self.workspace.webhook(side, webhook).expect("due");
        Webhook::intended(WebhookId::random(), last.connection, OpaqueToken::new("w").hash(), self.now)
    }

    fn webhook_refused(&self, webhook: WebhookId, outcome: Outcome) -> Fact {
        let known = self.workspace.webhook(Side::Alc, webhook).expect("due");
        let cleaner = self.workspace.cleaner(known).expect("there are tokens that work");
        let (connection, generation, retry_at) = (cleaner.id, cleaner.alc.generation, later(self.now, MINUTE));
        Box::new(move |workspace, now| {
            if outcome == Outcome::Unauthorized {
                workspace.access_refused(connection, generation, now);
            }
            workspace.webhook_postponed(Side::Alc, webhook, retry_at);
        })
    }

    fn check(&self) {
        let of = |phase| self.workspace.connections.iter().filter(move |it| it.phase == phase).count();
        assert!(of(Phase::Current) <= 1);
        assert!(of(Phase::Incoming) <= MOST_INCOMING);
        let at_rest = self.workspace.connections.iter().all(|it| it.phase == Phase::Current && !it.alc.can_refresh())
            && self.workspace.webhooks.iter().all(|it| it.state != WebhookState::Deleting)
            && !self.workspace.connections.is_empty();
        let due = self.workspace.due(self.now);
        assert!(at_rest || due.is_some(), "nobody would ever come back to {:?}", self.workspace);
        assert!(due.is_none_or(|due| due >= self.now));
        assert_eq!(decode::<Workspace>(&encode(&self.workspace)).expect("reads"), self.workspace);
    }
}

fn before_gone(workspace: &Workspace, id: ConnectionId) -> bool {
    workspace.webhooks.iter().all(|webhook| webhook.connection != id || !webhook.may_be_upstream())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_interleaving_keeps_the_promises_and_ends_at_rest(events in prop::collection::vec(event(), 1..60)) {
        let mut world = World::new();
        for event in events {
            world.apply(event);
            world.check();
        }
        if let Some(current) = world.workspace.current().map(|it| it.id) {
            world.workspace.removed(current, world.now);
        }
        for _ in 0..400 {
            world.step(Outcome::Done);
            if world.forgotten {
                return Ok(());
            }
            world.now = world.workspace.due(world.now).expect("not at rest before it is forgotten");
        }
        prop_assert!(false, "never forgotten: {:?}", world.workspace);
    }

    #[test]
    fn cleaning_up_ends_also_when_alc_never_answers(events in prop::collection::vec(event(), 1..40)) {
        let mut world = World::new();
        for event in events {
            world.apply(event);
        }
        if let Some(current) = world.workspace.current().map(|it| it.id) {
            world.workspace.removed(current, world.now);
        }
        let end = later(world.now, CLEAN_UP_LIMIT + 72 * HOUR);
        while world.now < end {
            world.step(Outcome::Failed);
            world.now = later(world.now, 12 * HOUR);
        }
        // Leads unfinished, as far as the failing look says, keep their webhooks answering; nothing else is left.
        prop_assert!(world.workspace.connections.is_empty());
        prop_assert!(world.workspace.webhooks.iter().all(|it| it.state == WebhookState::Gone));
    }
}

#[test]
fn the_oldest_of_six_incoming_gives_way() {
    let mut world = World::new();
    for _ in 0..6 {
        world.apply(Event::Open { with_refresh: true, with_attio: true });
    }
    let phases: Vec<_> = world.workspace.connections.iter().map(|it| it.phase).collect();
    assert_eq!(phases[0], Phase::Leaving);
    assert!(phases[1..].iter().all(|phase| *phase == Phase::Incoming));
}

#[test]
fn the_one_that_is_connecting_does_not_give_way() {
    let mut world = World::new();
    world.apply(Event::Open { with_refresh: true, with_attio: true });
    world.apply(Event::BeginConnecting(0));
    for _ in 0..8 {
        world.apply(Event::Open { with_refresh: true, with_attio: true });
    }
    let phases: Vec<_> = world.workspace.connections.iter().map(|it| it.phase).collect();
    assert_eq!(phases[0], Phase::Incoming, "connection-added runs");
    assert!(phases[1..=4].iter().all(|phase| *phase == Phase::Leaving), "{phases:?}");
    assert!(phases[5..].iter().all(|phase| *phase == Phase::Incoming), "{phases:?}");
    // A claim that has lapsed protects no connection.
    world.now = later(world.now, 2 * MINUTE);
    world.apply(Event::Open { with_refresh: true, with_attio: true });
    assert_eq!(world.workspace.connections[0].phase, Phase::Leaving);
}

#[test]
fn a_late_answer_to_a_refresh_revives_a_grant_that_was_thought_dead() {
    let mut world = World::new();
    world.apply(Event::Open { with_refresh: true, with_attio: true });
    world.apply(Event::BeginConnecting(0));
    world.apply(Event::FinishConnecting(0));
    let id = world.workspace.current().expect("connected").id;
    let first = random_uuid();
    assert!(world.workspace.claim_refresh(id, Claim::new(first, later(world.now, MINUTE)), world.now));
    let asked = world.now;
    world.now = later(world.now, 2 * MINUTE);
    let second = random_uuid();
    assert!(world.workspace.claim_refresh(id, Claim::new(second, later(world.now, MINUTE)), world.now));
    world.workspace.refresh_refused(id, 1, second);
    assert_eq!(world.workspace.standing(id), Standing::ReauthorizationRequired);
    world.workspace.refreshed(id, tokens(asked, true), first, world.now);
    assert_eq!(world.workspace.standing(id), Standing::Current);
    // And a refusal of the token before it says nothing about this one.
    world.workspace.refresh_refused(id, 1, second);
    assert_eq!(world.workspace.standing(id), Standing::Current);
}

#[test]
fn unknown_fields_survive_a_rewrite() {
    let mut world = World::new();
    world.apply(Event::Open { with_refresh: true, with_attio: true });
    let mut body: serde_json::Value = serde_json::from_str(&encode(&world.workspace)).expect("json");
    body["later"] = 1.into();
    body["connections"][0]["later"] = 2.into();
    body["connections"][0]["alc"]["later"] = 3.into();
    let read: Workspace = decode(&body.to_string()).expect("reads");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&encode(&read)).expect("json"), body);
}
