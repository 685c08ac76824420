//! The parts of a run: the pretend services, the store, the replicas, and the wires between them.

use std::{net::SocketAddr, path::PathBuf};

use alc_connector::clock::{Clock as _, ManualClock, SystemClock};

use super::{
    Plan, Store, Tokens, further,
    group::{Group, SharedLost},
    life::PATIENCE,
};
use crate::support::{
    ambient::eventually_within,
    faketime::FakeTime,
    harness::{Setup, World},
    process::Process,
    wire::{Mood, Wire},
};

/// One replica and its wires.
pub struct Seat {
    pub process: Process,
    pub is_up: bool,
    pub to_alc: Wire,
    pub to_attio: Wire,
    /// None on SQLite, and where servers name one another.
    pub to_store: Option<Wire>,
    /// None where there is no libfaketime.
    pub clock: Option<FakeTime>,
}

impl Seat {
    /// All its wires are like that.
    pub fn all_wires(&self, mood: Mood) {
        for wire in [Some(&self.to_alc), Some(&self.to_attio), self.to_store.as_ref()].into_iter().flatten() {
            wire.be(mood);
        }
    }
}

/// Everything that runs.
pub struct Rig {
    pub world: World,
    pub seats: Vec<Seat>,
    /// None where the store is one server or a file.
    pub group: Option<Group>,
    /// What Redis has lost, by its own files.
    pub lost: SharedLost,
}

impl Rig {
    /// Starts the parts of a plan, in real time.
    pub async fn start(plan: &Plan) -> Self {
        let group = Group::start(plan.store);
        let setup = match (&group, plan.store) {
            // The world brings no Redis of its own beside these.
            (Some(group), _) => Setup::sqlite().with("STORE__URL", &group.url()),
            (None, Store::Sqlite) => Setup::sqlite(),
            (None, _) => Setup::redis(),
        };
        let setup = setup.with("ATTIO__WRITES_PER_SECOND", "1000").with("RETRY__SCHEDULE", "200ms,500ms,1s,2s");
        let setup = setup.with("ALC__TIMEOUT", "1s").with("ATTIO__TIMEOUT", "1s").with("LEADS__SEND_WAIT", "3s");
        let setup = setup.alc(|alc| {
            alc.rotate_refresh_tokens = plan.tokens == Tokens::Rotating;
            if plan.tokens == Tokens::WithoutExpiry {
                alc.expires_in = None;
            }
        });
        let setup = if plan.goes_further { further::on(setup) } else { setup };
        let mut world = setup.prepare().await;
        world.live_in_real_time();
        // The listener here has no TLS.
        world.attio.configure(|attio| attio.https_webhooks_only = false);
        if plan.goes_further {
            further::make_lists(&world.attio);
        }
        let mut seats = Vec::new();
        for _ in 0..if plan.store == Store::Sqlite { 1 } else { 3 } {
            seats.push(seat(&world).await);
        }
        for seat in &mut seats {
            seat.process.start().await;
        }
        world.lead_to(seats.iter().map(|seat| seat.process.public).collect());
        let lost = group.as_ref().map(|group| group.lost.clone()).unwrap_or_default();
        Self { world, seats, group, lost }
    }

    /// Every fault is over, and every replica runs.
    pub async fn mend(&mut self) {
        self.world.alc.faults().clear_all();
        self.world.attio.faults().clear_all();
        if let Some(group) = &self.group {
            group.mend().await;
        }
        for seat in &mut self.seats {
            seat.all_wires(Mood::Clear);
            if let Some(clock) = &seat.clock {
                clock.shift(0);
            }
            if !seat.is_up {
                seat.process.start().await;
                seat.is_up = true;
            }
        }
    }

    /// Every replica has found its store again.
    pub async fn is_ready(&self) {
        for seat in &self.seats {
            eventually_within(PATIENCE, "the replica is ready", async || seat.process.is_ready().await.then_some(()))
                .await;
        }
    }

    /// The store's file; none on Redis.
    pub fn file(&self) -> Option<PathBuf> {
        self.world.settings.get("STORE__URL").strip_prefix("sqlite:").map(PathBuf::from)
    }

    /// How many writes of that to a record a parted wire had kept.
    pub fn late_writes(&self, record: &str, what: &str) -> usize {
        self.seats.iter().map(|seat| seat.to_attio.late(record, what)).sum()
    }

    /// How much the wires have spoilt.
    pub fn summary(&self) -> String {
        let wires = |seat: &Seat| {
            seat.to_alc.spoilt() + seat.to_attio.spoilt() + seat.to_store.as_ref().map_or(0, Wire::spoilt)
        };
        format!("{} pieces spoilt on the wires", self.seats.iter().map(wires).sum::<u64>())
    }

    /// Each replica ends, and one in this process goes on in their place, by a clock that begins now and stands still.
    pub async fn leave_it_to_one(&mut self) {
        self.end_all().await;
        self.world.clock = ManualClock::new(SystemClock.now());
        self.world.start_replica().await;
    }

    /// Time for what has failed once, where it does not pass by itself.
    pub async fn give_time(&self) {
        if !self.world.replicas().is_empty() {
            self.world.pass(further::AGAIN).await;
        }
    }

    /// Each replica ends well on SIGTERM.
    pub async fn stop(mut self) {
        self.end_all().await;
        self.world.stop().await;
    }

    async fn end_all(&mut self) {
        for seat in self.seats.iter_mut().filter(|seat| seat.is_up) {
            assert_eq!(seat.process.terminate().await, Some(0), "SIGTERM ends it well");
            seat.is_up = false;
        }
    }
}

/// A replica, not yet started, whose settings lead to its own wires.
async fn seat(world: &World) -> Seat {
    let mut settings = world.settings.clone();
    let to_alc = Wire::to(address_in(&world.alc.url())).await;
    let to_attio = Wire::to(address_in(&world.attio.url())).await;
    for (name, wire) in [
        ("ALC__BASE_URL", &to_alc),
        ("ALC__TOKEN_URL", &to_alc),
        ("ALC__REVOKE_URL", &to_alc),
        ("ATTIO__BASE_URL", &to_attio),
    ] {
        let through = by(&settings.get(name), wire);
        settings.set(name, &through);
    }
    let store = settings.get("STORE__URL");
    let to_store = if store.starts_with("redis:") { Some(Wire::to(address_in(&store)).await) } else { None };
    if let Some(wire) = &to_store {
        settings.set("STORE__URL", &by(&store, wire));
    }
    let mut process = Process::new(&settings);
    let clock = FakeTime::found();
    let shifted = clock.as_ref().map_or_else(|| ":".to_owned(), FakeTime::exports);
    // A file that may not grow is to be an error, as on a full disk.
    process.after(&format!("trap '' XFSZ; {shifted}"));
    process.keep_log(format!("soak-{}.log", process.public.port()));
    Seat { process, is_up: true, to_alc, to_attio, to_store, clock }
}

fn address_in(url: &str) -> SocketAddr {
    let url = url::Url::parse(url).expect("a URL");
    format!("{}:{}", url.host_str().expect("a host"), url.port().expect("a port")).parse().expect("an address")
}

/// That URL, by way of the wire.
fn by(url: &str, wire: &Wire) -> String {
    let mut url = url::Url::parse(url).expect("a URL");
    url.set_port(Some(wire.address.port())).expect("it has a host");
    url.into()
}
