//! A wire between two parties that a test can spoil: a TCP proxy whose mood is told from outside.
//!
//! What it carries is not read. A mood holds for the connections that stand as much as for new ones.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

use super::ambient::spawn;

/// What a wire does to the bytes that come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// It carries them.
    Clear,
    /// It carries each piece after so many milliseconds.
    Slow(u64),
    /// It carries them one by one.
    Drip,
    /// It carries so many of a piece, and then breaks the connection.
    Cut(usize),
    /// It breaks each connection (RST) as soon as bytes come.
    Reset,
    /// It keeps them until its mood changes, as a network that is parted does: both sides wait, and what was sent
    /// arrives late.
    Parted,
    /// It loses them and says nothing, as a peer that died without a word does. What comes later on such a connection
    /// is lost as well.
    HalfOpen,
}

/// The proxy; closes when dropped.
pub struct Wire {
    /// Where it listens.
    pub address: SocketAddr,
    mood: watch::Sender<Mood>,
    spoilt: Arc<Spoilt>,
    listening: JoinHandle<()>,
}

/// What a wire has done to what it carries.
#[derive(Default)]
struct Spoilt {
    pieces: AtomicU64,
    /// The requests that it had kept while it was parted.
    late: Mutex<Vec<Vec<u8>>>,
}

impl Wire {
    /// A clear wire to `target`.
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (mood, spoilt) = (watch::Sender::new(Mood::Clear), Arc::default());
        let listening = spawn(listen(listener, target, mood.subscribe(), Arc::clone(&spoilt)));
        Self { address, mood, spoilt, listening }
    }

    /// From now on it is like that.
    pub fn be(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    /// How many pieces it has spoilt.
    pub fn spoilt(&self) -> u64 {
        self.spoilt.pieces.load(Ordering::SeqCst)
    }

    /// How many requests that say both it had kept while it was parted: their sender may have given them up long
    /// before they arrived.
    pub fn late(&self, one: &str, other: &str) -> usize {
        let late = self.spoilt.late.lock().unwrap_or_else(PoisonError::into_inner);
        let says = |piece: &[u8], what: &str| piece.windows(what.len()).any(|at| at == what.as_bytes());
        late.iter().filter(|piece| says(piece, one) && says(piece, other)).count()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(listener: TcpListener, target: SocketAddr, mood: watch::Receiver<Mood>, spoilt: Arc<Spoilt>) {
    loop {
        let Ok((near, _)) = listener.accept().await else { return };
        spawn(connect(near, target, mood.clone(), Arc::clone(&spoilt)));
    }
}

async fn connect(near: TcpStream, target: SocketAddr, mood: watch::Receiver<Mood>, spoilt: Arc<Spoilt>) {
    let Ok(far) = TcpStream::connect(target).await else { return };
    for side in [&near, &far] {
        // A proxy that waits to fill its packets would be a fault that nobody asked for.
        drop(side.set_nodelay(true));
    }
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    let there = carry(near_read, far_write, mood.clone(), &spoilt);
    let back = carry(far_read, near_write, mood, &spoilt);
    // One direction that ended well leaves the other open, as a caller that has sent all still reads.
    let _broken: Result<((), ()), Broken> = tokio::try_join!(there, back);
}

/// The connection is over, in both directions.
struct Broken;

async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut mood: watch::Receiver<Mood>,
    spoilt: &Spoilt,
) -> Result<(), Broken> {
    let (mut piece, mut is_lost) = (vec![0; 16 * 1024], false);
    loop {
        let length = from.read(&mut piece).await.map_err(|_| Broken)?;
        if length == 0 {
            drop(to.shutdown().await);
            return Ok(());
        }
        let now = *mood.borrow();
        if now != Mood::Clear {
            spoilt.pieces.fetch_add(1, Ordering::SeqCst);
        }
        is_lost |= now == Mood::HalfOpen;
        if is_lost {
            continue;
        }
        match now {
            Mood::Clear | Mood::HalfOpen => {}
            Mood::Slow(millis) => tokio::time::sleep(Duration::from_millis(millis)).await,
            Mood::Drip => {
                for byte in &piece[..length] {
                    to.write_all(&[*byte]).await.map_err(|_| Broken)?;
                    tokio::task::yield_now().await;
                }
                continue;
            }
            Mood::Cut(after) => {
                drop(to.write_all(&piece[..length.min(after)]).await);
                return Err(Broken);
            }
            Mood::Reset => {
                for socket in [SockRef::from(from.as_ref()), SockRef::from(to.as_ref())] {
                    drop(socket.set_linger(Some(Duration::ZERO)));
                }
                return Err(Broken);
            }
            Mood::Parted => {
                drop(mood.wait_for(|mood| *mood != Mood::Parted).await);
                // An answer of the other side is kept too, and says neither which record it is of nor what was written.
                spoilt.late.lock().unwrap_or_else(PoisonError::into_inner).push(piece[..length].to_vec());
            }
        }
        to.write_all(&piece[..length]).await.map_err(|_| Broken)?;
    }
}
