//! The socket: many datagrams a system call, never fragmented by IP.
//!
//! Datagrams may be lost, doubled and reordered here as anywhere on their way; what the socket can't take at once is
//! dropped, counted and reported, not kept.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;

use quinn_udp::{RecvMeta, UdpSockRef, UdpSocketState};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::secure::Transmit;

/// Datagrams that one system call sends at most. Longer bursts overrun the receiver's buffer.
const SEGMENTS_MAX: usize = 8;
/// Bytes that one system call sends at most: below what fits one UDP length field.
const SEND_BYTES_MAX: usize = 60_000;
/// Bytes of a receive buffer. The kernel joins up to 64 KiB of datagrams, and cuts silently what does not fit.
const RECEIVE_BYTES: usize = 65_536;
/// Receive buffers filled by one system call.
const RECEIVE_BUFFERS: usize = 8;

/// Bytes of the socket's buffers in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferBytes {
    /// For datagrams not yet sent.
    pub send: usize,
    /// For datagrams not yet received. It bounds the bursts that peers may send.
    pub receive: usize,
}

/// What was asked for and what the kernel gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffers {
    /// Asked for.
    pub requested: BufferBytes,
    /// Given.
    pub granted: BufferBytes,
}

impl Buffers {
    /// Whether the kernel gave less than was asked for: on Linux, raise `net.core.rmem_max` and `net.core.wmem_max`.
    #[must_use]
    pub fn are_clamped(&self) -> bool {
        self.granted.send < self.requested.send || self.granted.receive < self.requested.receive
    }
}

impl fmt::Display for Buffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Buffers { requested, granted } = self;
        write!(
            f,
            "send buffer {} of {} bytes, receive buffer {} of {} bytes",
            granted.send, requested.send, granted.receive, requested.receive
        )
    }
}

/// There is no socket.
#[derive(Debug)]
pub enum UdpError {
    /// The address can't be had: it is in use, or none of this machine's.
    Bind(SocketAddr, io::Error),
    /// The operating system refused an option that datagrams need.
    Setup(SocketAddr, io::Error),
}

impl fmt::Display for UdpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UdpError::Bind(address, error) => write!(
                f,
                "can't listen on UDP {address}: {error}; use an address of this machine that no other process has"
            ),
            UdpError::Setup(address, error) => write!(f, "can't set up the UDP socket on {address}: {error}"),
        }
    }
}

impl std::error::Error for UdpError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            UdpError::Bind(_, error) | UdpError::Setup(_, error) => Some(error),
        }
    }
}

/// What became of the datagrams handed to [`UdpTransport::try_send_all`]. Those not sent are lost.
#[derive(Debug, Default)]
pub struct SendReport {
    /// Handed to the kernel.
    pub sent: usize,
    /// Not taken, because the socket's send buffer is full.
    pub would_block: usize,
    /// Larger than the path to their address takes in one piece: lower `datagram_bytes_max`.
    pub too_large: usize,
    /// Failed otherwise, as to an address without a route.
    pub failed: usize,
    /// The last error of those that failed or were too large.
    pub error: Option<(SocketAddr, io::Error)>,
}

/// A UDP socket for a node's datagrams.
pub struct UdpTransport {
    socket: UdpSocket,
    state: UdpSocketState,
    buffers: Buffers,
    address: SocketAddr,
    /// [`RECEIVE_BUFFERS`] times [`RECEIVE_BYTES`].
    receive: Vec<u8>,
    /// Segments side by side, for one system call.
    send: Vec<u8>,
}

impl UdpTransport {
    /// Opens a socket on this address. Fragmentation by IP is off where the system can.
    ///
    /// # Errors
    /// [`UdpError`] names the address and what to do.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn bind(address: SocketAddr, requested: BufferBytes) -> Result<UdpTransport, UdpError> {
        let socket = std::net::UdpSocket::bind(address).map_err(|error| UdpError::Bind(address, error))?;
        UdpTransport::set_up(socket, requested).map_err(|error| UdpError::Setup(address, error))
    }

    fn set_up(socket: std::net::UdpSocket, requested: BufferBytes) -> io::Result<UdpTransport> {
        socket.set_nonblocking(true)?;
        let socket = UdpSocket::from_std(socket)?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let reference = || UdpSockRef::from(&socket);
        state.set_send_buffer_size(reference(), requested.send)?;
        state.set_recv_buffer_size(reference(), requested.receive)?;
        // Linux doubles what it is asked for, to have room for its own records, and tells the double.
        let share = if cfg!(target_os = "linux") { 2 } else { 1 };
        let granted = BufferBytes {
            send: state.send_buffer_size(reference())? / share,
            receive: state.recv_buffer_size(reference())? / share,
        };
        Ok(UdpTransport {
            address: socket.local_addr()?,
            state,
            buffers: Buffers { requested, granted },
            receive: vec![0; RECEIVE_BUFFERS * RECEIVE_BYTES],
            send: Vec::with_capacity(SEND_BYTES_MAX),
            socket,
        })
    }

    /// Where the socket listens: with the port that the system chose, if it was asked to.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The kernel's buffers.
    #[must_use]
    pub fn buffers(&self) -> Buffers {
        self.buffers
    }

    /// Whether IP may still cut datagrams: this system can't forbid it.
    #[must_use]
    pub fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }

    /// Waits for datagrams and hands each to `handle`, with its source: at least one, and all that one system call
    /// brings. Dropping the future loses nothing.
    ///
    /// # Errors
    /// The socket's. It may be used on.
    pub async fn recv(&mut self, mut handle: impl FnMut(SocketAddr, &[u8])) -> io::Result<usize> {
        loop {
            self.socket.readable().await?;
            match self.try_recv(&mut handle) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    }

    /// As [`recv`](UdpTransport::recv), without waiting.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if nothing has arrived; others of the socket.
    pub fn try_recv(&mut self, mut handle: impl FnMut(SocketAddr, &[u8])) -> io::Result<usize> {
        let mut meta = [RecvMeta::default(); RECEIVE_BUFFERS];
        let (socket, state) = (&self.socket, &self.state);
        let mut buffers = self.receive.chunks_mut(RECEIVE_BYTES).map(IoSliceMut::new);
        let mut buffers: [IoSliceMut<'_>; RECEIVE_BUFFERS] =
            std::array::from_fn(|_| buffers.next().expect("there is a chunk for each buffer"));
        let filled = socket
            .try_io(Interest::READABLE, || state.recv(UdpSockRef::from(socket), &mut buffers, &mut meta))?;
        let mut datagrams = 0;
        for (meta, buffer) in meta.iter().zip(&buffers).take(filled) {
            // An empty datagram has a stride of zero.
            for datagram in buffer[..meta.len].chunks(meta.stride.max(1)) {
                handle(meta.addr, datagram);
                datagrams += 1;
            }
        }
        Ok(datagrams)
    }

    /// Hands datagrams to the kernel, in order. Neighbours to one address share a system call.
    pub fn try_send_all(&mut self, transmits: &[Transmit]) -> SendReport {
        let mut report = SendReport::default();
        let mut rest = transmits;
        while let Some(first) = rest.first() {
            let count = self.run(rest);
            let (run, after) = rest.split_at(count);
            match self.try_send_run(run) {
                Ok(()) => report.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // It will not have room for the others either.
                    report.would_block += rest.len();
                    return report;
                }
                // The path or the driver takes no runs: each by itself, and each with its own fate.
                Err(_) if count > 1 => {
                    for transmit in run {
                        self.try_send_one(transmit, &mut report);
                    }
                }
                Err(error) => report.count(first.address, error),
            }
            rest = after;
        }
        report
    }

    /// How many of the first datagrams one system call can take: to one address and of one length, but for the last,
    /// which may be shorter.
    fn run(&self, transmits: &[Transmit]) -> usize {
        let Some(first) = transmits.first() else { return 0 };
        let length = first.datagram.len();
        let fit = SEND_BYTES_MAX.checked_div(length).unwrap_or(1);
        let count_max = SEGMENTS_MAX.min(self.state.max_gso_segments()).min(fit).max(1);
        let mut count = 1;
        for transmit in transmits.iter().take(count_max).skip(1) {
            if transmit.address != first.address
                || transmit.datagram.len() > length
                || transmit.datagram.is_empty()
            {
                break;
            }
            count += 1;
            if transmit.datagram.len() < length {
                break;
            }
        }
        count
    }

    fn try_send_run(&mut self, run: &[Transmit]) -> io::Result<()> {
        let [first, others @ ..] = run else { return Ok(()) };
        if others.is_empty() {
            return self.try_send(first.address, &first.datagram, None);
        }
        let mut joined = std::mem::take(&mut self.send);
        joined.clear();
        for transmit in run {
            joined.extend_from_slice(&transmit.datagram);
        }
        let result = self.try_send(first.address, &joined, Some(first.datagram.len()));
        self.send = joined;
        result
    }

    fn try_send_one(&self, transmit: &Transmit, report: &mut SendReport) {
        match self.try_send(transmit.address, &transmit.datagram, None) {
            Ok(()) => report.sent += 1,
            Err(error) => report.count(transmit.address, error),
        }
    }

    fn try_send(
        &self,
        destination: SocketAddr,
        contents: &[u8],
        segment_size: Option<usize>,
    ) -> io::Result<()> {
        let transmit = quinn_udp::Transmit { destination, ecn: None, contents, segment_size, src_ip: None };
        // Not by way of the runtime's readiness: nobody waits for room to send.
        self.state.try_send(UdpSockRef::from(&self.socket), &transmit)
    }
}

impl SendReport {
    fn count(&mut self, address: SocketAddr, error: io::Error) {
        if error.kind() == io::ErrorKind::WouldBlock {
            self.would_block += 1;
            return;
        }
        if quinn_udp::is_msg_size_err(&error) {
            self.too_large += 1;
        } else {
            self.failed += 1;
        }
        self.error = Some((address, error));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUFFERS: BufferBytes = BufferBytes { send: 100_000, receive: 100_000 };

    fn bind() -> UdpTransport {
        UdpTransport::bind(SocketAddr::from(([127, 0, 0, 1], 0)), BUFFERS).unwrap()
    }

    fn transmit(to: &UdpTransport, length: usize, fill: u8) -> Transmit {
        Transmit { address: to.local_addr(), datagram: vec![fill; length] }
    }

    #[tokio::test]
    async fn runs_arrive_as_the_datagrams_that_they_were() {
        let (mut one, mut two, mut three) = (bind(), bind(), bind());
        let lengths = [1_200, 1_200, 1_200, 700, 1_200, 3, 1_200];
        let mut sent: Vec<Transmit> =
            (0_u8..).zip(lengths).map(|(fill, length)| transmit(&two, length, fill)).collect();
        sent.insert(2, transmit(&three, 1_200, 99));
        sent.extend((100..120).map(|fill| transmit(&two, 1_000, fill)));
        let report = one.try_send_all(&sent);
        assert_eq!((report.sent, report.would_block, report.too_large, report.failed), (28, 0, 0, 0));
        for (receiver, count) in [(&mut two, 27), (&mut three, 1)] {
            let to = receiver.local_addr();
            let mut arrived = Vec::new();
            while arrived.len() < count {
                let from = one.local_addr();
                let handle = |source: SocketAddr, datagram: &[u8]| {
                    assert_eq!(source, from);
                    arrived.push(datagram.to_vec());
                };
                receiver.recv(handle).await.unwrap();
            }
            let expected: Vec<_> = sent.iter().filter(|sent| sent.address == to).collect();
            assert!(arrived.iter().eq(expected.iter().map(|sent| &sent.datagram)));
        }
    }

    #[tokio::test]
    async fn what_is_too_large_is_reported_and_the_others_go() {
        let (mut one, mut two) = (bind(), bind());
        let sent = [transmit(&two, 10, 1), transmit(&two, 65_508, 2), transmit(&two, 10, 3)];
        let report = one.try_send_all(&sent);
        assert_eq!((report.sent, report.too_large, report.failed), (2, 1, 0));
        assert_eq!(report.error.map(|(address, _)| address), Some(two.local_addr()));
        let mut arrived = Vec::new();
        while arrived.len() < 2 {
            two.recv(|_, datagram| arrived.push(datagram[0])).await.unwrap();
        }
        assert_eq!(arrived, [1, 3]);
        let error = two.try_recv(|_, _| ()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[tokio::test]
    async fn a_clamped_buffer_is_reported() {
        assert!(!bind().buffers().are_clamped(), "{}", bind().buffers());
        let greedy = BufferBytes { send: 1 << 30, receive: 1 << 30 };
        let clamped = UdpTransport::bind(SocketAddr::from(([127, 0, 0, 1], 0)), greedy).unwrap().buffers();
        assert_eq!(clamped.requested, greedy);
        assert_eq!(clamped.are_clamped(), clamped.granted != greedy);
        assert!(clamped.granted.receive > 0);
    }

    #[tokio::test]
    async fn an_address_in_use_is_named() {
        let held = bind();
        let Err(error) = UdpTransport::bind(held.local_addr(), BUFFERS) else { panic!("bound twice") };
        assert!(error.to_string().contains(&held.local_addr().to_string()), "{error}");
    }
}
