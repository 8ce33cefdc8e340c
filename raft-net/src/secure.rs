//! Authenticated, encrypted sessions between members, over datagrams: everything between the socket and
//! [`raft_core::wire`], without a socket.
//!
//! A forged message is lost data: Raft trusts its peers. So each datagram is sealed, in WireGuard's shape: a
//! `Noise_IKpsk2_25519_AESGCM_BLAKE2s` handshake under a static key for each member and a secret of the cluster, then
//! datagrams with a counter each, of which every one is accepted at most once. Who sent a payload is read off the
//! session, never off the payload. A member without its key in the table of peers is out.
//!
//! - **Strangers hear nothing.** A handshake datagram is looked at only if it proves knowledge of the cluster secret,
//!   for this cluster, epoch and receiver, at the price of one short hash. No answer is longer than its question.
//! - **The past stays past.** Handshakes are ordered by (boot, number); each session has keys of its own; a new boot
//!   of a peer ends the sessions of the old one.
//! - **Constant memory.** For each peer three sessions, one handshake and a few payloads; nothing is allocated for a
//!   datagram before it passed the mac of a handshake and the rate limit, or the tag of a session.
//! - **Always connected.** Sessions are sought with every peer from the start, again when half a second brought no
//!   answer, and renewed with an overlap before they wear out. Where datagrams arrive, a payload that is sent anew
//!   every 100 ms arrives within 900 ms and one exchange, whatever was lost before and whoever restarted. Round
//!   trips may take up to 400 ms.
//!
//! What it is worth: `snow`, which implements Noise, says of itself that it **has had no formal audit**, and it leaves
//! its own copies of keys in memory. Whoever holds the cluster secret but no member's key can use up the rate limit
//! of handshakes, though not touch a session. Lengths and times of datagrams are not hidden.
//!
//! Architecture Invariant: nothing here reads a clock or touches a socket.

mod config;
mod connection;
mod datagram;
mod dropped;
mod handshake;
mod keys;
mod limit;
mod opening;
mod peer;
mod randomness;
mod secrets;
mod session;
mod window;

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;

use raft_core::{Boot, Instant, Member};

use dropped::DropCounters;
use handshake::{Initiating, Local};
use limit::HandshakeLimit;
use peer::{PeerState, Pending};
use secrets::Secrets;

pub use config::{
    DATAGRAM_BYTES_LIMIT, DATAGRAM_BYTES_MIN, PEERS_MAX, Peer, SecureConfig, SecureError, SessionLimits,
};
pub use connection::{Connection, ConnectionState};
pub use datagram::SEAL_BYTES;
pub use dropped::Dropped;
pub use keys::{ClusterSecret, ClusterSecrets, KeyError, PrivateKey, PublicKey};
pub use peer::Traffic;
pub use randomness::Randomness;
pub use window::WINDOW_COUNTERS;

/// Datagrams that wait to be polled at most; later ones are dropped and counted as `unsent`.
pub const TRANSMITS_MAX: usize = 8_192;

/// A datagram to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub address: SocketAddr,
    /// Its bytes, at most `datagram_bytes_max`.
    pub datagram: Vec<u8>,
}

/// A payload whose sender is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received<'a> {
    /// The member that sealed it.
    pub from: Member,
    /// The boot in which it did.
    pub boot: Boot,
    /// What it sealed.
    pub payload: &'a [u8],
}

/// A payload can't be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealError {
    /// The member is not in the table of peers.
    UnknownPeer(Member),
    /// The payload is longer than [`Secure::payload_bytes_max`].
    TooLarge {
        /// The payload's bytes.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SealError::UnknownPeer(member) => write!(f, "{member} is not among the peers"),
            SealError::TooLarge { bytes, bytes_max } => {
                write!(f, "a payload of {bytes} bytes, more than the {bytes_max} that fit one datagram")
            }
        }
    }
}

impl std::error::Error for SealError {}

/// The sessions of one member with all its peers.
///
/// `handle_datagram` takes an event; `seal`, `set_peers` and `set_secrets` are a host's commands; `tick` takes the
/// time, as often as the host likes and at least when [`next_tick`](Secure::next_tick) says; `poll_transmit` gives
/// what is to be sent, and is to be polled until it gives nothing.
///
/// # Example
/// ```
/// use raft_core::{Boot, ClusterId, Epoch, Incarnation, Instant, Member, NodeId};
/// use raft_net::secure::{ClusterSecret, Peer, PrivateKey, Secure, SecureConfig, SessionLimits};
///
/// let member = |id| Member { id: NodeId(id), incarnation: Incarnation(7) };
/// let address = |id: u64| std::net::SocketAddr::from(([127, 0, 0, 1], 7_000 + id as u16));
/// let keys = [PrivateKey::generate()?, PrivateKey::generate()?];
/// let publics = [keys[0].public(), keys[1].public()];
/// let secret = ClusterSecret::generate()?;
/// let [mut one, mut two] = [(0, 1), (1, 0)].map(|(own, other)| {
///     let peer = Peer { member: member(other), public: publics[other as usize], address: address(other) };
///     let config = SecureConfig {
///         own: member(own), boot: Boot(1), cluster: ClusterId(9), epoch: Epoch(0), key: keys[own as usize].clone(),
///         secrets: secret.clone().into(), peers: vec![peer], datagram_bytes_max: 1_200,
///         limits: SessionLimits::default(),
///     };
///     Secure::new(config, Instant(0)).unwrap()
/// });
/// one.seal(Instant(1), member(1), b"append these")?;
/// let mut heard = Vec::new();
/// while let Some(transmit) = one.poll_transmit() {
///     if let Some(received) = two.handle_datagram(Instant(2), address(0), &transmit.datagram)? {
///         heard.push((received.from, received.payload.to_vec()));
///     }
///     while let Some(transmit) = two.poll_transmit() {
///         one.handle_datagram(Instant(3), address(1), &transmit.datagram)?;
///     }
/// }
/// assert_eq!(heard, [(member(0), b"append these".to_vec())]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Secure {
    /// The settings; `peers` and `secrets` live on in the fields below.
    config: SecureConfig,
    prologue: [u8; 24],
    secrets: Secrets,
    /// Invariant: at most [`PEERS_MAX`], no two with one member or one key.
    peers: Vec<PeerState>,
    /// Numbers the initiations of this boot, from 1.
    initiations: u64,
    randomness: Randomness,
    limit: HandshakeLimit,
    transmits: VecDeque<Transmit>,
    dropped: DropCounters,
    /// The last payload opened.
    opened: Vec<u8>,
    /// The latest time told: it never goes back.
    now: Instant,
}

impl Secure {
    /// Starts seeking sessions with every peer.
    ///
    /// # Errors
    /// The first setting that can't work, or no randomness.
    pub fn new(config: SecureConfig, now: Instant) -> Result<Secure, SecureError> {
        Secure::with_randomness(config, now, Randomness::os())
    }

    /// As [`new`](Secure::new), with another source of randomness.
    ///
    /// # Errors
    /// As [`new`](Secure::new).
    pub fn with_randomness(
        mut config: SecureConfig,
        now: Instant,
        mut randomness: Randomness,
    ) -> Result<Secure, SecureError> {
        config.validate()?;
        randomness.number().map_err(|_| SecureError::NoRandomness)?;
        let peers = std::mem::take(&mut config.peers);
        let mut secure = Secure {
            prologue: datagram::prologue(config.cluster, config.epoch),
            secrets: Secrets::new(&config),
            peers: peers.into_iter().map(|peer| PeerState::new(peer, now)).collect(),
            initiations: 0,
            randomness,
            limit: HandshakeLimit::new(now),
            transmits: VecDeque::new(),
            dropped: DropCounters::default(),
            opened: vec![0; DATAGRAM_BYTES_LIMIT],
            now,
            config,
        };
        secure.tick(now);
        Ok(secure)
    }

    /// Bytes of a payload that fit one sealed datagram.
    #[must_use]
    pub fn payload_bytes_max(&self) -> usize {
        self.config.datagram_bytes_max - SEAL_BYTES
    }

    /// Seals a payload for a member. Without a session it waits for one, with a few others; the oldest go first.
    ///
    /// # Errors
    /// [`SealError`]: nothing was sealed.
    pub fn seal(&mut self, now: Instant, to: Member, payload: &[u8]) -> Result<(), SealError> {
        self.advance(now);
        let bytes_max = self.payload_bytes_max();
        if payload.len() > bytes_max {
            return Err(SealError::TooLarge { bytes: payload.len(), bytes_max });
        }
        let place = self.peers.iter().position(|peer| peer.peer.member == to);
        let place = place.ok_or(SealError::UnknownPeer(to))?;
        self.peers[place].sessions.expire(self.now);
        if self.peers[place].sessions.current().is_some() {
            self.send(place, payload);
        } else {
            self.peers[place].wait(payload);
            self.initiate_if_due(place);
        }
        Ok(())
    }

    /// What to send next, until there is nothing.
    #[must_use]
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// Takes the time: handshakes are begun and repeated, silent peers greeted, what has ended forgotten.
    pub fn tick(&mut self, now: Instant) {
        self.advance(now);
        for place in 0..self.peers.len() {
            self.peers[place].sessions.expire(self.now);
            self.initiate_if_due(place);
            if self.peers[place].keepalive_at().is_some_and(|due| due <= self.now) {
                self.send(place, &[]);
            }
        }
    }

    /// When a tick next matters. `None` without peers.
    #[must_use]
    pub fn next_tick(&self) -> Option<Instant> {
        let secret = self.secrets.current().mark();
        self.peers.iter().map(|peer| peer.due_at(self.now, secret)).min()
    }

    /// Replaces the table of peers. Sessions go on with those whose member and key stay; whoever is not in the table
    /// is out at once.
    ///
    /// # Errors
    /// What is wrong with the new table. The old one stays then.
    pub fn set_peers(&mut self, now: Instant, peers: Vec<Peer>) -> Result<(), SecureError> {
        self.advance(now);
        self.config.validate_peers(&peers)?;
        let mut before = std::mem::take(&mut self.peers);
        for peer in peers {
            let same = |held: &PeerState| held.peer.member == peer.member && held.peer.public == peer.public;
            let state = match before.iter().position(same) {
                Some(place) => {
                    let mut state = before.swap_remove(place);
                    if state.peer.address != peer.address {
                        state.address = peer.address;
                    }
                    state.peer = peer;
                    state
                }
                None => PeerState::new(peer, self.now),
            };
            self.peers.push(state);
        }
        self.tick(now);
        Ok(())
    }

    /// Replaces the cluster's secrets. Sessions stay, and are renewed under the current secret.
    pub fn set_secrets(&mut self, now: Instant, secrets: ClusterSecrets) {
        self.config.secrets = secrets;
        self.secrets = Secrets::new(&self.config);
        self.tick(now);
    }

    /// Every peer with the state of its connection.
    #[must_use]
    pub fn connections(&self) -> Vec<Connection> {
        self.peers.iter().map(|peer| Connection::of(peer, self.now)).collect()
    }

    /// Datagrams dropped, by the name of the reason; every reason is named.
    pub fn dropped(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.dropped.iter()
    }

    /// Time never goes back.
    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    fn own_is_smaller_than(&self, peer: Member) -> bool {
        self.config.own < peer
    }

    /// Sends in the current session of a peer.
    fn send(&mut self, place: usize, payload: &[u8]) {
        let peer = &mut self.peers[place];
        if self.transmits.len() >= TRANSMITS_MAX {
            peer.traffic.unsent += 1;
            return;
        }
        if let Some(session) = peer.sessions.current_mut() {
            let datagram = session.seal(self.now, payload);
            peer.note_sealed(payload.len());
            self.transmits.push_back(Transmit { address: peer.address, datagram });
        }
    }

    /// A session has become usable: what waited goes out, or else an empty datagram.
    ///
    /// Something always does, as each side waits for it: whoever answered sends nothing in the session before it
    /// received something, and whoever began does not trust it before it was answered.
    fn flush(&mut self, place: usize) {
        let waiting = self.peers[place].take_waiting();
        if waiting.is_empty() {
            self.send(place, &[]);
        }
        for payload in waiting {
            self.send(place, &payload);
        }
    }

    /// Begins a handshake with a peer, if one is due.
    fn initiate_if_due(&mut self, place: usize) {
        let due = self.peers[place].initiation_at(self.now, self.secrets.current().mark());
        if due > self.now || self.transmits.len() >= TRANSMITS_MAX {
            return;
        }
        let jitter = self.randomness.number().unwrap_or(self.initiations);
        let address = self.peers[place].initiation_address();
        self.peers[place].note_initiation(self.now, jitter);
        // Without randomness for the moment there is no handshake; another attempt follows.
        let Some(local) = self.free_index() else { return };
        let secret = self.secrets.current();
        let own = Local { key: &self.config.key, prologue: &self.prologue, psk: secret.psk() };
        let peer = &mut self.peers[place];
        self.initiations += 1;
        let hello = datagram::Hello {
            from: self.config.own,
            boot: self.config.boot,
            number: self.initiations,
            to: peer.peer.member,
        };
        let Ok((initiating, noise)) = Initiating::begin(&own, &peer.peer.public, hello, &mut self.randomness)
        else {
            return;
        };
        let key = secret.mac_key_of(&self.config, &peer.peer.public);
        peer.pending = Some(Pending { local, initiating, secret: secret.mark() });
        self.transmits.push_back(Transmit { address, datagram: datagram::initiation(local, &noise, &key) });
    }

    /// An index that names none of the sessions and handshakes here.
    fn free_index(&mut self) -> Option<u32> {
        // Of 2^32 indexes fewer than 2^9 are taken.
        (0..8).find_map(|_| {
            let index = self.randomness.number().ok()? as u32;
            let taken = self.peers.iter().any(|peer| peer.owns(index));
            (!taken).then_some(index)
        })
    }
}
