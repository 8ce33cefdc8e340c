//! Settings, and what can be wrong with them.

use std::fmt;
use std::net::SocketAddr;

use raft_core::{Boot, ClusterId, Epoch, Member, Span};

use super::SEAL_BYTES;
use super::keys::{ClusterSecrets, PrivateKey, PublicKey};

/// Peers of one member at most: as many as the core joins messages for.
pub const PEERS_MAX: usize = raft_core::wire::JOINING_PEERS_MAX;
/// Bytes of a sealed datagram at least: a datagram of the core's, sealed.
pub const DATAGRAM_BYTES_MIN: usize = raft_core::wire::DATAGRAM_BYTES_MIN + SEAL_BYTES;
/// Bytes of a sealed datagram at most: what UDP carries.
pub const DATAGRAM_BYTES_LIMIT: usize = 65_507;

/// Another member, as this one knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Who it is. A wiped disk is another member, and wants another key.
    pub member: Member,
    /// Its static key: whoever holds the private half is this member.
    pub public: PublicKey,
    /// Where to look for it. Once it was heard, its datagrams' source address counts.
    pub address: SocketAddr,
}

/// Everything that [`Secure`](super::Secure) needs to know.
#[derive(Clone, Debug)]
pub struct SecureConfig {
    /// This member.
    pub own: Member,
    /// This start of it. Must have grown since the last one: it is what makes old handshakes old.
    pub boot: Boot,
    /// The cluster; another's datagrams are not answered.
    pub cluster: ClusterId,
    /// The cluster's epoch; another's datagrams are not answered.
    pub epoch: Epoch,
    /// This member's static key.
    pub key: PrivateKey,
    /// The cluster's secrets.
    pub secrets: ClusterSecrets,
    /// The other members; all with names, keys and secrets of their own. At most [`PEERS_MAX`].
    pub peers: Vec<Peer>,
    /// Bytes of a sealed datagram at most, from [`DATAGRAM_BYTES_MIN`] to [`DATAGRAM_BYTES_LIMIT`]. Peers may use
    /// different values. 1,200 passes nearly everywhere without fragments.
    pub datagram_bytes_max: usize,
    /// How long sessions live.
    pub limits: SessionLimits,
}

/// How long a session lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// Age at which a successor is sought.
    pub rekey_age: Span,
    /// Age at which it ends, successor or not. Longer than `rekey_age` by at least two seconds.
    pub reject_age: Span,
    /// Datagrams sent, at which a successor is sought. At least 1.
    pub rekey_count: u64,
    /// Datagrams at which it ends. Above `rekey_count`, at most 2^40: far inside what AES-GCM allows for one key.
    pub reject_count: u64,
}

impl Default for SessionLimits {
    fn default() -> SessionLimits {
        SessionLimits {
            rekey_age: Span::from_millis(3_600_000),
            reject_age: Span::from_millis(3_900_000),
            rekey_count: 1 << 30,
            reject_count: 1 << 32,
        }
    }
}

const REJECT_COUNT_LIMIT: u64 = 1 << 40;

impl SecureConfig {
    /// Checks the settings against each other.
    ///
    /// # Errors
    /// The first that can't work.
    pub fn validate(&self) -> Result<(), SecureError> {
        let limits = &self.limits;
        let rules = [
            (
                (DATAGRAM_BYTES_MIN..=DATAGRAM_BYTES_LIMIT).contains(&self.datagram_bytes_max),
                "datagram_bytes_max",
                "must be from 160 to 65,507",
            ),
            (limits.rekey_age.0 > 0, "rekey_age", "must be above zero"),
            (
                limits.reject_age.0 >= limits.rekey_age.0.saturating_add(2_000_000),
                "reject_age",
                "must exceed rekey_age by two seconds",
            ),
            (limits.rekey_count > 0, "rekey_count", "must be above zero"),
            (
                limits.rekey_count < limits.reject_count && limits.reject_count <= REJECT_COUNT_LIMIT,
                "reject_count",
                "must be above rekey_count and at most 2^40",
            ),
        ];
        for (holds, setting, rule) in rules {
            if !holds {
                return Err(SecureError::Setting { setting, rule });
            }
        }
        self.validate_peers(&self.peers)
    }

    /// Checks a table of peers against this member.
    pub(crate) fn validate_peers(&self, peers: &[Peer]) -> Result<(), SecureError> {
        if peers.len() > PEERS_MAX {
            return Err(SecureError::TooManyPeers { peers: peers.len() });
        }
        let own_key = self.key.public();
        for (place, peer) in peers.iter().enumerate() {
            if peer.member == self.own {
                return Err(SecureError::PeerIsSelf(peer.member));
            }
            if peer.public.is_weak() {
                return Err(SecureError::WeakKey(peer.member));
            }
            if peer.public == own_key {
                return Err(SecureError::SharedKey(peer.member, self.own));
            }
            for earlier in &peers[..place] {
                if earlier.member == peer.member {
                    return Err(SecureError::PeerTwice(peer.member));
                }
                if earlier.public == peer.public {
                    return Err(SecureError::SharedKey(peer.member, earlier.member));
                }
            }
        }
        Ok(())
    }
}

/// Sessions can't be had with these settings, or on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecureError {
    /// A number out of its range.
    Setting {
        /// Its name.
        setting: &'static str,
        /// What it must be.
        rule: &'static str,
    },
    /// More peers than [`PEERS_MAX`].
    TooManyPeers {
        /// How many there are.
        peers: usize,
    },
    /// This member is among its own peers.
    PeerIsSelf(Member),
    /// A member is listed twice.
    PeerTwice(Member),
    /// Two members with one key: nobody could tell them apart.
    SharedKey(Member, Member),
    /// A public key that no private key makes.
    WeakKey(Member),
    /// The operating system has no randomness to give.
    NoRandomness,
    /// Noise could not begin a handshake.
    Noise(String),
}

impl fmt::Display for SecureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecureError::Setting { setting, rule } => write!(f, "{setting} {rule}"),
            SecureError::TooManyPeers { peers } => {
                write!(f, "{peers} peers, more than the {PEERS_MAX} that one member speaks to")
            }
            SecureError::PeerIsSelf(member) => {
                write!(f, "{member} is this member itself; list only the others as peers")
            }
            SecureError::PeerTwice(member) => write!(f, "{member} is listed twice among the peers"),
            SecureError::SharedKey(one, other) => {
                write!(
                    f,
                    "{one} and {other} have the same public key; give each member a key pair of its own"
                )
            }
            SecureError::WeakKey(member) => {
                write!(f, "the public key of {member} belongs to nobody; make a new key pair for it")
            }
            SecureError::NoRandomness => write!(f, "the operating system gives no randomness for keys"),
            SecureError::Noise(error) => write!(f, "no handshake could be begun: {error}"),
        }
    }
}

impl std::error::Error for SecureError {}
