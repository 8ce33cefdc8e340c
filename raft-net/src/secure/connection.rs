//! What an operator sees of a peer.

use std::net::SocketAddr;

use raft_core::{Boot, Instant, Member, Span};

use super::peer::{PeerState, Traffic};

/// A peer and its session, for people and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The peer.
    pub member: Member,
    /// Where its datagrams are sent.
    pub address: SocketAddr,
    /// Whether there is a session.
    pub state: ConnectionState,
    /// Counters since the peer entered the table.
    pub traffic: Traffic,
}

/// Whether there is a session with a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// Payloads can be sent.
    Connected {
        /// The boot of the peer that it is with.
        boot: Boot,
        /// How long it has lasted.
        age: Span,
    },
    /// A session is sought.
    Connecting {
        /// Initiations sent since there was a session.
        attempts: u32,
    },
}

impl Connection {
    pub(crate) fn of(peer: &PeerState, now: Instant) -> Connection {
        let state = match peer.sessions.current() {
            Some(session) => ConnectionState::Connected { boot: session.origin.boot, age: session.age(now) },
            None => ConnectionState::Connecting { attempts: peer.attempts },
        };
        Connection { member: peer.peer.member, address: peer.address, state, traffic: peer.traffic }
    }

    /// Whether there is a session.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        matches!(self.state, ConnectionState::Connected { .. })
    }
}
