//! A front door that sends each new connection to a replica drawn at random, by a seed.
//!
//! Its address is known before any replica starts, as that of a load balancer is; it is `HTTP__PUBLIC_URL`.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use sandbox::Fault;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::ambient::spawn;

/// The front door; closes when dropped.
pub struct Turns {
    address: SocketAddr,
    replicas: Arc<Mutex<Vec<SocketAddr>>>,
    door: JoinHandle<()>,
}

impl Turns {
    /// Opens the door; it leads to no replica yet.
    pub async fn open(seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let replicas = Arc::<Mutex<Vec<SocketAddr>>>::default();
        let door = spawn(admit(listener, Arc::clone(&replicas), Dice(seed)));
        Self { address, replicas, door }
    }

    /// The URL of the door.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Which replicas the door leads to from now on.
    pub fn lead_to(&self, replicas: Vec<SocketAddr>) {
        *self.replicas.lock().unwrap_or_else(PoisonError::into_inner) = replicas;
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        self.door.abort();
    }
}

async fn admit(listener: TcpListener, replicas: Arc<Mutex<Vec<SocketAddr>>>, mut dice: Dice) {
    loop {
        let Ok((mut outside, _)) = listener.accept().await else { return };
        let replicas = replicas.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if replicas.is_empty() {
            continue;
        }
        let chosen = replicas[dice.below(replicas.len())];
        spawn(async move {
            if let Ok(mut inside) = TcpStream::connect(chosen).await {
                // An error is a side that went away; the other side sees it when both sockets are dropped.
                drop(copy_bidirectional(&mut outside, &mut inside).await);
            }
        });
    }
}

/// SplitMix64: small, seeded, good enough to take turns by.
pub struct Dice(pub u64);

impl Dice {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).expect("below a usize")
    }

    /// What a call to an upstream meets; `slow` is one of them.
    pub fn fault(&mut self, slow: Fault) -> Fault {
        match self.below(8) {
            0 => Fault::status(500),
            1 => Fault::status(429),
            2 => Fault::Refuse,
            3 => Fault::Reset,
            4 => Fault::done_but_500(),
            5 => Fault::DoneButHang,
            6 => Fault::Garbage,
            _ => slow,
        }
    }
}
