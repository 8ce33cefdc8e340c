//! The bytes of a message: checksummed, versioned, canonical, split into datagrams and joined again.

use alloc::vec::Vec;

use crate::message::Envelope;
use crate::types::Instant;

/// Sizes of datagrams and messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireConfig {
    /// Bytes of one datagram at most. At least [`DATAGRAM_BYTES_MIN`].
    pub datagram_bytes_max: usize,
    /// Bytes of one message at most; a longer one is not sent and not joined.
    pub message_bytes_max: usize,
    /// Bytes of half-joined messages held for one peer; the oldest go first.
    pub joining_bytes_max: usize,
}

/// Room for the header of a piece and a little of its content.
pub const DATAGRAM_BYTES_MIN: usize = 128;

impl Default for WireConfig {
    fn default() -> WireConfig {
        WireConfig { datagram_bytes_max: 1_200, message_bytes_max: 2 << 20, joining_bytes_max: 8 << 20 }
    }
}

/// Turns messages into datagrams.
#[derive(Clone, Debug)]
pub struct Encoder {
    _todo: (),
}

#[allow(clippy::todo, unused_variables, missing_docs)]
impl Encoder {
    #[must_use]
    pub fn new(config: WireConfig) -> Encoder {
        todo!()
    }
    /// Calls `send` for each datagram of the message.
    pub fn encode(&mut self, envelope: &Envelope, send: &mut dyn FnMut(&[u8])) -> Result<(), WireError> {
        todo!()
    }
}

/// Turns datagrams into messages. Bounded, whatever arrives.
#[derive(Clone, Debug)]
pub struct Decoder {
    _todo: (),
}

#[allow(clippy::todo, unused_variables, missing_docs)]
impl Decoder {
    #[must_use]
    pub fn new(config: WireConfig) -> Decoder {
        todo!()
    }
    /// Takes a datagram: `Ok(Some)` when it completes a message, `Ok(None)` when more pieces are missing.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) -> Result<Option<Envelope>, WireError> {
        todo!()
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

/// All bytes of a message in one piece, without the header of a datagram; for tests and transcripts.
#[must_use]
#[allow(clippy::todo, unused_variables)]
pub fn to_bytes(envelope: &Envelope) -> Vec<u8> {
    todo!()
}
