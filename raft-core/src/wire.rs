//! The bytes of a message: checksummed, versioned, canonical, split into datagrams and joined again.
//!
//! [`Encoder`] makes datagrams of an [`Envelope`], [`Decoder`] makes envelopes of datagrams. What a decoder returns
//! is exactly what an encoder was given: damage, another format, a second spelling of the same message and anything
//! left over are a [`WireError`]. ARCHITECTURE.md draws every byte.
//!
//! Architecture Invariant: nothing here is allocated for a length that a datagram only claims.
//!
//! Absent: who sent a datagram is claimed, not proven. Secrecy and authenticity are the transport's.

use alloc::vec::Vec;
use core::fmt;

use crate::config::ConfigError;
use crate::message::Envelope;
use crate::types::Instant;

pub(crate) mod canonical;
mod datagram;
mod joining;

use datagram::{Datagram, PREFIX_BYTES, PieceHeader};
use joining::Joining;

pub use joining::{JOINING_MESSAGES_MAX, JOINING_PEERS_MAX, JOINING_SPAN};

/// Sizes of datagrams and messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireConfig {
    /// Bytes of one datagram at most. At least [`DATAGRAM_BYTES_MIN`]. Peers may use different values.
    pub datagram_bytes_max: usize,
    /// Bytes of one message at most; a longer one is not sent and not joined. It must leave room for the largest
    /// append: the larger of `append_bytes_max` and `command_bytes_max` of [`Config`](crate::Config), and 1 KiB.
    pub message_bytes_max: usize,
    /// Bytes of half-joined messages held for one peer; the oldest go first. At least `message_bytes_max`.
    pub joining_bytes_max: usize,
}

/// Room for the header of a piece and a little of its content.
pub const DATAGRAM_BYTES_MIN: usize = 128;

impl Default for WireConfig {
    fn default() -> WireConfig {
        WireConfig { datagram_bytes_max: 1_200, message_bytes_max: 2 << 20, joining_bytes_max: 8 << 20 }
    }
}

impl WireConfig {
    /// Checks the sizes against each other.
    ///
    /// # Errors
    /// The first setting that can't work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let rules = [
            (self.datagram_bytes_max >= DATAGRAM_BYTES_MIN, "datagram_bytes_max", "must be at least 128"),
            (self.message_bytes_max >= DATAGRAM_BYTES_MIN, "message_bytes_max", "must be at least 128"),
            (u32::try_from(self.message_bytes_max).is_ok(), "message_bytes_max", "must be below 2^32"),
            (
                self.joining_bytes_max >= self.message_bytes_max,
                "joining_bytes_max",
                "must be at least message_bytes_max",
            ),
        ];
        for (holds, setting, rule) in rules {
            if !holds {
                return Err(ConfigError { setting, rule });
            }
        }
        Ok(())
    }
}

/// Turns messages into datagrams.
///
/// One encoder serves all peers of a node for a whole boot: it numbers the messages that it splits, and
/// (member, boot, number) names such a message once and for all.
///
/// # Example
/// ```
/// use raft_core::message::{Heartbeat, Message};
/// use raft_core::wire::{Decoder, Encoder, WireConfig};
/// use raft_core::*;
///
/// let member = |id| Member { id: NodeId(id), incarnation: Incarnation(7) };
/// let envelope = Envelope {
///     cluster: ClusterId(1), epoch: Epoch(0), from: member(1), from_boot: Boot(1), to: member(2), to_boot: Boot(0),
///     message: Message::Heartbeat(Heartbeat { term: Term(3), round: Round(9), commit: Index(17) }),
/// };
/// let mut decoder = Decoder::new(WireConfig::default());
/// let mut arrived = Vec::new();
/// Encoder::new(WireConfig::default())
///     .encode(&envelope, &mut |datagram| arrived.push(decoder.handle_datagram(Instant(0), datagram)))?;
/// assert_eq!(arrived, [Ok(Some(envelope))]);
/// # Ok::<(), raft_core::wire::WireError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Encoder {
    config: WireConfig,
    /// The number of the next message that must be split.
    number: u64,
    /// Kept for its capacity: the prefix and the message.
    whole: Vec<u8>,
    /// Kept for its capacity: one piece.
    piece: Vec<u8>,
}

impl Encoder {
    /// An encoder for one boot of one node.
    ///
    /// # Panics
    /// With settings that [`WireConfig::validate`] refuses.
    #[must_use]
    pub fn new(config: WireConfig) -> Encoder {
        assert_eq!(config.validate(), Ok(()));
        Encoder { config, number: 0, whole: Vec::new(), piece: Vec::new() }
    }

    /// Calls `send` for each datagram of the message, in order.
    ///
    /// # Errors
    /// [`WireError::TooLarge`] for a message above `message_bytes_max`. Nothing was sent then.
    pub fn encode(&mut self, envelope: &Envelope, send: &mut dyn FnMut(&[u8])) -> Result<(), WireError> {
        let mut whole = core::mem::take(&mut self.whole);
        datagram::start_whole(&mut whole);
        let written = canonical::append(envelope, &mut whole, PREFIX_BYTES + self.config.message_bytes_max);
        if written {
            if whole.len() + datagram::CHECKSUM_BYTES <= self.config.datagram_bytes_max {
                datagram::seal(&mut whole);
                send(&whole);
            } else {
                self.split(envelope, &whole[PREFIX_BYTES..], send);
            }
        }
        whole.clear();
        self.whole = whole;
        if written { Ok(()) } else { Err(WireError::TooLarge) }
    }

    fn split(&mut self, envelope: &Envelope, message: &[u8], send: &mut dyn FnMut(&[u8])) {
        let capacity = self.config.datagram_bytes_max - datagram::PIECE_OVERHEAD_BYTES;
        // Equal pieces, but for the last: their number and the total then say where each belongs.
        let count = message.len().div_ceil(capacity);
        let piece_bytes = message.len().div_ceil(count);
        let narrow = |length: usize| u32::try_from(length).expect("validate() keeps messages below 2^32");
        let header = PieceHeader {
            from: envelope.from,
            from_boot: envelope.from_boot,
            number: self.number,
            ordinal: 0,
            count: narrow(count),
            total_bytes: narrow(message.len()),
            checksum: datagram::checksum(message),
        };
        self.number = self.number.wrapping_add(1);
        for (ordinal, content) in (0..header.count).zip(message.chunks(piece_bytes)) {
            datagram::write_piece(&mut self.piece, &PieceHeader { ordinal, ..header }, content);
            send(&self.piece);
        }
        self.piece.clear();
    }
}

/// Turns datagrams into messages. Bounded, whatever arrives.
///
/// Half-joined messages are held per claimed sender: at most `joining_bytes_max` bytes and [`JOINING_MESSAGES_MAX`]
/// messages for each of [`JOINING_PEERS_MAX`] peers, and for [`JOINING_SPAN`] at most. Raft sends again what was lost,
/// as a new message.
#[derive(Clone, Debug)]
pub struct Decoder {
    config: WireConfig,
    joining: Joining,
}

impl Decoder {
    /// A decoder for all peers of a node.
    ///
    /// # Panics
    /// With settings that [`WireConfig::validate`] refuses.
    #[must_use]
    pub fn new(config: WireConfig) -> Decoder {
        assert_eq!(config.validate(), Ok(()));
        let joining = Joining::new(config.joining_bytes_max);
        Decoder { config, joining }
    }

    /// Takes a datagram: `Ok(Some)` when it completes a message, `Ok(None)` when more pieces are missing.
    ///
    /// `now` only ages half-joined messages; a clock that runs backwards keeps them longer, within the other bounds.
    ///
    /// # Errors
    /// What is wrong with the datagram, or with the message that it completes. Either is gone then; drop and count.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) -> Result<Option<Envelope>, WireError> {
        match datagram::parse(datagram)? {
            Datagram::Whole(message) => {
                if message.len() > self.config.message_bytes_max {
                    return Err(WireError::TooLarge);
                }
                from_bytes(message).map(Some)
            }
            Datagram::Piece(header, content) => {
                header.check(content.len(), self.config.message_bytes_max)?;
                let Some(message) = self.joining.handle_piece(now, &header, content)? else {
                    return Ok(None);
                };
                let envelope = from_bytes(&message)?;
                if (envelope.from, envelope.from_boot) != (header.from, header.from_boot) {
                    return Err(WireError::Inconsistent);
                }
                Ok(Some(envelope))
            }
        }
    }

    /// Bytes of half-joined messages held now, of all peers.
    #[must_use]
    pub fn joining_bytes(&self) -> usize {
        self.joining.bytes()
    }

    /// Half-joined messages held now, of all peers.
    #[must_use]
    pub fn joining_messages(&self) -> usize {
        self.joining.messages()
    }

    /// Half-joined messages given up so far, because of age or of a bound.
    #[must_use]
    pub fn abandoned(&self) -> u64 {
        self.joining.abandoned()
    }
}

/// A datagram that is not one of ours, is damaged, or breaks a bound. It is dropped and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireError {
    /// The checksum does not match: damaged, or not ours.
    Checksum,
    /// Shorter than a header, or longer or shorter than it says.
    Length,
    /// A format version that this version does not understand.
    Version(u16),
    /// The content is not the canonical encoding of a message.
    Malformed,
    /// A message above `message_bytes_max`.
    TooLarge,
    /// A piece that contradicts another of the same message.
    Inconsistent,
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WireError::Checksum => {
                write!(
                    f,
                    "a datagram's checksum does not match: it is damaged, or not ours; drop and count it"
                )
            }
            WireError::Length => {
                write!(f, "a datagram is shorter or longer than its header says; drop and count it")
            }
            WireError::Version(version) => write!(
                f,
                "a datagram of format version {version}, and this node understands only {}; drop and count it, and \
                 upgrade this node if the sender is a newer one",
                datagram::VERSION
            ),
            WireError::Malformed => {
                write!(
                    f,
                    "a datagram's content is not the canonical encoding of a message; drop and count it"
                )
            }
            WireError::TooLarge => {
                write!(
                    f,
                    "a message above message_bytes_max; drop and count it, and compare both nodes' settings"
                )
            }
            WireError::Inconsistent => {
                write!(f, "a piece contradicts other pieces of its message; drop and count it")
            }
        }
    }
}

impl core::error::Error for WireError {}

/// All bytes of a message in one piece, without the header of a datagram; for tests and transcripts.
#[must_use]
pub fn to_bytes(envelope: &Envelope) -> Vec<u8> {
    let mut bytes = Vec::new();
    let written = canonical::append(envelope, &mut bytes, usize::MAX);
    assert!(written, "an envelope's types have no failing encoding, and nothing bounds it here");
    bytes
}

/// The reverse of [`to_bytes`]: the one message whose bytes these are.
///
/// # Errors
/// [`WireError::Malformed`] for anything that [`to_bytes`] never returns.
pub fn from_bytes(bytes: &[u8]) -> Result<Envelope, WireError> {
    canonical::parse(bytes).map_err(|_| WireError::Malformed)
}
