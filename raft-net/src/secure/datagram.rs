//! The bytes of a datagram, all integers little-endian.
//!
//! ```text
//! every datagram   0 kind   1 version   2..4 zero
//! initiation  168  4..8 sender's index   8..152 Noise message 1   152..168 mac
//! response    100  4..8 sender's index   8..12 receiver's index   12..84 Noise message 2   84..100 mac
//! transport  32..  4..8 receiver's index   8..16 counter   16.. sealed payload and tag
//! ```
//!
//! The mac covers all bytes before it under a key made of the cluster secret, the cluster, its epoch and the
//! receiver's public key. A response is shorter than the initiation that it answers.

use blake2::digest::consts::U16;
use blake2::digest::{KeyInit, Mac};
use blake2::{Blake2s256, Blake2sMac, Digest};
use raft_core::{Boot, ClusterId, Epoch, Incarnation, Member, NodeId};
use zeroize::Zeroizing;

use super::dropped::Dropped;
use super::keys::{ClusterSecret, PublicKey};

/// Of this layout. A change of anything in this file is a new version.
pub(crate) const VERSION: u8 = 1;

const INITIATION: u8 = 1;
const RESPONSE: u8 = 2;
const TRANSPORT: u8 = 3;

pub(crate) const TAG_BYTES: usize = 16;
const MAC_BYTES: usize = 16;
const EPHEMERAL_BYTES: usize = 32;
const STATIC_BYTES: usize = 32 + TAG_BYTES;

/// Who speaks, in which boot, the how manieth initiation of it, and to whom.
pub(crate) const HELLO_BYTES: usize = 16 + 8 + 8 + 16;
/// Who answers, and in which boot.
pub(crate) const WELCOME_BYTES: usize = 16 + 8;

const INITIATION_AT: usize = 8;
const RESPONSE_AT: usize = 12;
pub(crate) const INITIATION_NOISE_BYTES: usize = EPHEMERAL_BYTES + STATIC_BYTES + HELLO_BYTES + TAG_BYTES;
pub(crate) const RESPONSE_NOISE_BYTES: usize = EPHEMERAL_BYTES + WELCOME_BYTES + TAG_BYTES;
pub(crate) const INITIATION_BYTES: usize = INITIATION_AT + INITIATION_NOISE_BYTES + MAC_BYTES;
pub(crate) const RESPONSE_BYTES: usize = RESPONSE_AT + RESPONSE_NOISE_BYTES + MAC_BYTES;
pub(crate) const TRANSPORT_AT: usize = 16;
/// Bytes that sealing adds to a payload.
pub const SEAL_BYTES: usize = TRANSPORT_AT + TAG_BYTES;

// Nobody is made to send more than he was sent.
const _: () = assert!(RESPONSE_BYTES < INITIATION_BYTES);

/// A datagram's parts; nothing in it is proven.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Datagram<'a> {
    Initiation { sender: u32, noise: &'a [u8] },
    Response { sender: u32, receiver: u32, noise: &'a [u8] },
    Transport { receiver: u32, counter: u64, sealed: &'a [u8] },
}

/// Takes a datagram apart.
pub(crate) fn parse(bytes: &[u8]) -> Result<Datagram<'_>, Dropped> {
    let Some((head, _)) = bytes.split_first_chunk::<4>() else { return Err(Dropped::TooShort) };
    let [kind, version, reserved @ ..] = *head;
    if version != VERSION || !matches!(kind, INITIATION | RESPONSE | TRANSPORT) {
        return Err(Dropped::NotOurs);
    }
    if reserved != [0, 0] {
        return Err(Dropped::Malformed);
    }
    match kind {
        INITIATION => {
            exactly(bytes, INITIATION_BYTES)?;
            let noise = &bytes[INITIATION_AT..INITIATION_BYTES - MAC_BYTES];
            Ok(Datagram::Initiation { sender: u32_at(bytes, 4), noise })
        }
        RESPONSE => {
            exactly(bytes, RESPONSE_BYTES)?;
            let noise = &bytes[RESPONSE_AT..RESPONSE_BYTES - MAC_BYTES];
            Ok(Datagram::Response { sender: u32_at(bytes, 4), receiver: u32_at(bytes, 8), noise })
        }
        _ => {
            if bytes.len() < SEAL_BYTES {
                return Err(Dropped::TooShort);
            }
            let sealed = &bytes[TRANSPORT_AT..];
            Ok(Datagram::Transport { receiver: u32_at(bytes, 4), counter: u64_at(bytes, 8), sealed })
        }
    }
}

fn exactly(bytes: &[u8], length: usize) -> Result<(), Dropped> {
    match bytes.len().cmp(&length) {
        std::cmp::Ordering::Less => Err(Dropped::TooShort),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(Dropped::Malformed),
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

/// An initiation around a Noise message, closed by its mac.
pub(crate) fn initiation(sender: u32, noise: &[u8; INITIATION_NOISE_BYTES], key: &MacKey) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(INITIATION_BYTES);
    bytes.extend_from_slice(&[INITIATION, VERSION, 0, 0]);
    bytes.extend_from_slice(&sender.to_le_bytes());
    bytes.extend_from_slice(noise);
    key.close(&mut bytes);
    bytes
}

/// A response around a Noise message, closed by its mac.
pub(crate) fn response(
    sender: u32,
    receiver: u32,
    noise: &[u8; RESPONSE_NOISE_BYTES],
    key: &MacKey,
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(RESPONSE_BYTES);
    bytes.extend_from_slice(&[RESPONSE, VERSION, 0, 0]);
    bytes.extend_from_slice(&sender.to_le_bytes());
    bytes.extend_from_slice(&receiver.to_le_bytes());
    bytes.extend_from_slice(noise);
    key.close(&mut bytes);
    bytes
}

/// A transport datagram with room for a sealed payload of this many bytes, tag included.
pub(crate) fn transport(receiver: u32, counter: u64, sealed_bytes: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(TRANSPORT_AT + sealed_bytes);
    bytes.extend_from_slice(&[TRANSPORT, VERSION, 0, 0]);
    bytes.extend_from_slice(&receiver.to_le_bytes());
    bytes.extend_from_slice(&counter.to_le_bytes());
    bytes.resize(TRANSPORT_AT + sealed_bytes, 0);
    bytes
}

/// Proves knowledge of a cluster secret to one receiver, at the price of one short hash.
#[derive(Clone)]
pub(crate) struct MacKey(Zeroizing<[u8; 32]>);

impl MacKey {
    pub(crate) fn new(
        secret: &ClusterSecret,
        cluster: ClusterId,
        epoch: Epoch,
        receiver: &PublicKey,
    ) -> MacKey {
        let digest = Blake2s256::new()
            .chain_update(b"raft-net 1 mac ")
            .chain_update(secret.bytes())
            .chain_update(cluster.0.to_le_bytes())
            .chain_update(epoch.0.to_le_bytes())
            .chain_update(receiver.as_bytes())
            .finalize();
        MacKey(Zeroizing::new(digest.into()))
    }

    fn mac(&self, bytes: &[u8]) -> Blake2sMac<U16> {
        let mut mac =
            <Blake2sMac<U16> as KeyInit>::new_from_slice(&*self.0).expect("32 bytes are a BLAKE2s key");
        Mac::update(&mut mac, bytes);
        mac
    }

    fn close(&self, bytes: &mut Vec<u8>) {
        let mac = self.mac(bytes).finalize().into_bytes();
        bytes.extend_from_slice(&mac);
    }

    /// Whether a handshake's mac was made with this key. In constant time.
    pub(crate) fn verifies(&self, handshake: &[u8]) -> bool {
        let Some((covered, mac)) = handshake.split_last_chunk::<MAC_BYTES>() else { return false };
        self.mac(covered).verify_slice(mac).is_ok()
    }
}

/// What Noise is keyed with beside the static and ephemeral keys.
pub(crate) fn noise_psk(secret: &ClusterSecret) -> Zeroizing<[u8; 32]> {
    let digest = Blake2s256::new().chain_update(b"raft-net 1 psk ").chain_update(secret.bytes()).finalize();
    Zeroizing::new(digest.into())
}

/// What both sides must agree on before Noise works at all.
pub(crate) fn prologue(cluster: ClusterId, epoch: Epoch) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(b"raft-net");
    bytes[8] = VERSION;
    bytes[12..20].copy_from_slice(&cluster.0.to_le_bytes());
    bytes[20..].copy_from_slice(&epoch.0.to_le_bytes());
    bytes
}

/// The payload of an initiation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) from: Member,
    pub(crate) boot: Boot,
    /// Counts the initiations of a boot: with the boot, it orders all that a member ever sends.
    pub(crate) number: u64,
    pub(crate) to: Member,
}

impl Hello {
    pub(crate) fn to_bytes(self) -> [u8; HELLO_BYTES] {
        let mut bytes = [0; HELLO_BYTES];
        bytes[..16].copy_from_slice(&member_bytes(self.from));
        bytes[16..24].copy_from_slice(&self.boot.0.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.number.to_le_bytes());
        bytes[32..].copy_from_slice(&member_bytes(self.to));
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8; HELLO_BYTES]) -> Hello {
        Hello {
            from: member_at(bytes, 0),
            boot: Boot(u64_at(bytes, 16)),
            number: u64_at(bytes, 24),
            to: member_at(bytes, 32),
        }
    }
}

/// The payload of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Welcome {
    pub(crate) from: Member,
    pub(crate) boot: Boot,
}

impl Welcome {
    pub(crate) fn to_bytes(self) -> [u8; WELCOME_BYTES] {
        let mut bytes = [0; WELCOME_BYTES];
        bytes[..16].copy_from_slice(&member_bytes(self.from));
        bytes[16..].copy_from_slice(&self.boot.0.to_le_bytes());
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8; WELCOME_BYTES]) -> Welcome {
        Welcome { from: member_at(bytes, 0), boot: Boot(u64_at(bytes, 16)) }
    }
}

fn member_bytes(member: Member) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&member.id.0.to_le_bytes());
    bytes[8..].copy_from_slice(&member.incarnation.0.to_le_bytes());
    bytes
}

fn member_at(bytes: &[u8], at: usize) -> Member {
    Member { id: NodeId(u64_at(bytes, at)), incarnation: Incarnation(u64_at(bytes, at + 8)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_as_drawn() {
        assert_eq!((INITIATION_BYTES, RESPONSE_BYTES, SEAL_BYTES), (168, 100, 32));
    }

    #[test]
    fn what_is_built_is_parsed_and_its_mac_fits_its_receiver_alone() {
        let secret = ClusterSecret::from_bytes([1; 32]);
        let key = |cluster, epoch, receiver| {
            MacKey::new(&secret, ClusterId(cluster), Epoch(epoch), &PublicKey::from_bytes([receiver; 32]))
        };
        let noise = [7; INITIATION_NOISE_BYTES];
        let bytes = initiation(9, &noise, &key(1, 2, 3));
        assert_eq!(parse(&bytes), Ok(Datagram::Initiation { sender: 9, noise: &noise }));
        assert!(key(1, 2, 3).verifies(&bytes));
        assert!(![key(0, 2, 3), key(1, 0, 3), key(1, 2, 0)].iter().any(|other| other.verifies(&bytes)));
        let noise = [8; RESPONSE_NOISE_BYTES];
        let bytes = response(9, 10, &noise, &key(1, 2, 3));
        assert_eq!(parse(&bytes), Ok(Datagram::Response { sender: 9, receiver: 10, noise: &noise }));
    }

    #[test]
    fn what_is_not_drawn_is_named() {
        assert_eq!(parse(&[1, 1, 0]), Err(Dropped::TooShort));
        assert_eq!(parse(&[4, 1, 0, 0]), Err(Dropped::NotOurs));
        assert_eq!(parse(&[1, 2, 0, 0]), Err(Dropped::NotOurs));
        assert_eq!(parse(&[1, 1, 0, 1]), Err(Dropped::Malformed));
        for (kind, length) in [(INITIATION, INITIATION_BYTES), (RESPONSE, RESPONSE_BYTES)] {
            let mut bytes = vec![0; length + 1];
            bytes[..2].copy_from_slice(&[kind, VERSION]);
            assert_eq!(parse(&bytes), Err(Dropped::Malformed));
            assert_eq!(parse(&bytes[..length - 1]), Err(Dropped::TooShort));
        }
        assert_eq!(parse(&transport(1, 1, TAG_BYTES)[..31]), Err(Dropped::TooShort));
    }
}
