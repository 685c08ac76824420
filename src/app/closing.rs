//! A listener that is about to close: it takes no new connection any more, and loses none that it has taken.
//!
//! Closing a listening socket resets every connection that the kernel has completed and the server has not accepted
//! yet, and a server that stops drops what it has accepted and not begun. The caller has sent its request by then, so
//! that a proxy such as nginx must not ask another replica for it: a POST becomes a 502. Therefore the kernel first
//! drops the packets that ask for a connection (SYN), as if nobody were there, while the server goes on accepting what
//! is connected. A proxy whose packet was dropped has sent nothing, and asks the next replica.

use std::{
    io,
    net::{Shutdown, TcpListener},
    time::Duration,
};

use actix_web::dev::ServerHandle;

#[cfg(target_os = "linux")]
use socket2::SockFilter;
use socket2::SockRef;

/// Classic BPF (<https://www.kernel.org/doc/html/latest/networking/filter.html>). For a TCP socket a packet begins with
/// its TCP header, whose flags are at offset 13 (RFC 9293, section 3.1).
#[cfg(target_os = "linux")]
const NO_NEW_CONNECTION: [SockFilter; 5] = {
    const LOAD_BYTE: u16 = 0x30;
    const AND: u16 = 0x54;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    [
        SockFilter::new(LOAD_BYTE, 0, 0, 13),
        SockFilter::new(AND, 0, 0, SYN | ACK),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ]
};

/// So soon the thread that accepts connections has noticed that it is to pause.
const PAUSES_WITHIN: Duration = Duration::from_millis(20);

/// A listening socket, to be told that it will close. Keeps the socket open as long as it lives.
pub(super) struct Closing(TcpListener);

impl Closing {
    pub(super) fn of(listener: &TcpListener) -> io::Result<Self> {
        listener.try_clone().map(Self)
    }

    /// From now on nothing new connects; what is connected can be accepted and served as before. Where there is no
    /// such filter, as on macOS, all goes on.
    pub(super) fn admit_no_more(&self) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        SockRef::from(&self.0).attach_filter(&NO_NEW_CONNECTION)?;
        Ok(())
    }

    /// From now on a caller that connects is refused, as after the socket is closed; the server goes on without it, for
    /// what is connected. Where a listening socket cannot be shut down, as on macOS, all goes on.
    pub(super) async fn close(self, server: &ServerHandle) {
        if cfg!(target_os = "linux") {
            // So that nothing connects in the moment that follows, to be reset.
            if let Err(error) = self.admit_no_more() {
                tracing::debug!(%error, "what connects at the last moment is reset");
            }
            server.pause().await;
            // The pause is granted before the thread that accepts has taken it in: it would complain of a socket that
            // is shut down under it.
            tokio::time::sleep(PAUSES_WITHIN).await;
            if let Err(error) = SockRef::from(&self.0).shutdown(Shutdown::Both) {
                tracing::debug!(%error, "the listening socket stays open to the last");
            }
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpStream,
        time::Duration,
    };

    use super::*;

    #[test]
    fn what_has_connected_is_served_and_nothing_new_connects() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("an address");
        let connect = || TcpStream::connect_timeout(&addr, Duration::from_millis(200));
        let mut waiting = connect().expect("it listens");
        let closing = Closing::of(&listener).expect("a second handle");
        closing.admit_no_more().expect("the kernel takes the filter");
        connect().expect_err("nothing new connects");
        waiting.write_all(b"asked").expect("it is connected");
        let (mut accepted, _) = listener.accept().expect("what had connected is there");
        let mut heard = [0; 5];
        accepted.read_exact(&mut heard).expect("and is heard");
        assert_eq!(&heard, b"asked");
        drop((listener, closing));
        let refused = connect().expect_err("it has closed");
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused, "no handle is left open");
    }
}
