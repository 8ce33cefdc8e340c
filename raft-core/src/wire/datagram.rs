//! The frame of a datagram: version, kind, content, checksum; and the header of a piece.

use alloc::vec::Vec;

use xxhash_rust::xxh3::xxh3_64;

use super::{DATAGRAM_BYTES_MIN, WireError};
use crate::types::{Boot, Incarnation, Member, NodeId};

/// The version that is written. It changes only when every member is known to read the new one.
pub(super) const VERSION: u16 = 1;
const KIND_WHOLE: u8 = 1;
const KIND_PIECE: u8 = 2;

/// Version and kind.
pub(super) const PREFIX_BYTES: usize = 3;
/// XXH3-64 of all bytes before it, at the very end: over one run of bytes it is cheapest.
pub(super) const CHECKSUM_BYTES: usize = 8;
const PIECE_HEADER_BYTES: usize = 52;
/// What a piece costs beside its content.
pub(super) const PIECE_OVERHEAD_BYTES: usize = PREFIX_BYTES + PIECE_HEADER_BYTES + CHECKSUM_BYTES;

/// No piece but a last one is shorter: what splits in equal pieces fills them by more than half. So what is held
/// beside each piece's content is at most a small multiple of the content, which is what the bounds count.
const PIECE_BYTES_MIN: usize = (DATAGRAM_BYTES_MIN - PIECE_OVERHEAD_BYTES) / 2;

/// An undamaged datagram.
#[derive(Clone, Copy, Debug)]
pub(super) enum Datagram<'a> {
    /// The bytes of a message.
    Whole(&'a [u8]),
    /// A piece of the bytes of a message.
    Piece(PieceHeader, &'a [u8]),
}

/// Which piece of which message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PieceHeader {
    /// The sender of the message.
    pub(super) from: Member,
    /// Its boot.
    pub(super) from_boot: Boot,
    /// The message's number in that boot.
    pub(super) number: u64,
    /// Which piece, from 0. Below `count`.
    pub(super) ordinal: u32,
    /// How many pieces.
    pub(super) count: u32,
    /// Bytes of the message.
    pub(super) total_bytes: u32,
    /// XXH3-64 of the message.
    pub(super) checksum: u64,
}

/// Reads the frame: what comes back is undamaged, and of a version and kind that we know.
pub(super) fn parse(datagram: &[u8]) -> Result<Datagram<'_>, WireError> {
    let (version, _) = datagram.split_first_chunk::<2>().ok_or(WireError::Length)?;
    // The version comes before all else, the checksum included: a later version may have another one. To add a
    // version, add its line; the older line stays for as long as one older version is understood.
    match u16::from_le_bytes(*version) {
        VERSION => parse_version_1(datagram),
        unknown => Err(WireError::Version(unknown)),
    }
}

fn parse_version_1(datagram: &[u8]) -> Result<Datagram<'_>, WireError> {
    let (content, expected) = datagram.split_last_chunk::<CHECKSUM_BYTES>().ok_or(WireError::Length)?;
    if content.len() < PREFIX_BYTES {
        return Err(WireError::Length);
    }
    if checksum(content) != u64::from_le_bytes(*expected) {
        return Err(WireError::Checksum);
    }
    let (prefix, rest) = content.split_at(PREFIX_BYTES);
    match prefix[2] {
        KIND_WHOLE => Ok(Datagram::Whole(rest)),
        KIND_PIECE => {
            let (header, content) = PieceHeader::parse(rest).ok_or(WireError::Length)?;
            Ok(Datagram::Piece(header, content))
        }
        _ => Err(WireError::Malformed),
    }
}

/// Begins a whole message: its content follows, then [`seal`].
pub(super) fn start_whole(out: &mut Vec<u8>) {
    start(out, KIND_WHOLE);
}

/// Writes all of a piece.
pub(super) fn write_piece(out: &mut Vec<u8>, header: &PieceHeader, content: &[u8]) {
    start(out, KIND_PIECE);
    out.extend_from_slice(&header.from.id.0.to_le_bytes());
    out.extend_from_slice(&header.from.incarnation.0.to_le_bytes());
    out.extend_from_slice(&header.from_boot.0.to_le_bytes());
    out.extend_from_slice(&header.number.to_le_bytes());
    out.extend_from_slice(&header.ordinal.to_le_bytes());
    out.extend_from_slice(&header.count.to_le_bytes());
    out.extend_from_slice(&header.total_bytes.to_le_bytes());
    out.extend_from_slice(&header.checksum.to_le_bytes());
    assert_eq!(out.len(), PREFIX_BYTES + PIECE_HEADER_BYTES);
    out.extend_from_slice(content);
    seal(out);
}

/// Ends a datagram with the checksum of all that is there.
pub(super) fn seal(out: &mut Vec<u8>) {
    let sum = checksum(out);
    out.extend_from_slice(&sum.to_le_bytes());
}

pub(super) fn checksum(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

fn start(out: &mut Vec<u8>, kind: u8) {
    out.clear();
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.push(kind);
}

impl PieceHeader {
    fn parse(bytes: &[u8]) -> Option<(PieceHeader, &[u8])> {
        let mut rest = bytes;
        let header = PieceHeader {
            from: Member {
                id: NodeId(u64::from_le_bytes(take(&mut rest)?)),
                incarnation: Incarnation(u64::from_le_bytes(take(&mut rest)?)),
            },
            from_boot: Boot(u64::from_le_bytes(take(&mut rest)?)),
            number: u64::from_le_bytes(take(&mut rest)?),
            ordinal: u32::from_le_bytes(take(&mut rest)?),
            count: u32::from_le_bytes(take(&mut rest)?),
            total_bytes: u32::from_le_bytes(take(&mut rest)?),
            checksum: u64::from_le_bytes(take(&mut rest)?),
        };
        Some((header, rest))
    }

    /// Checks the header against itself, its content and the bound. After this, the pieces 0 to `count` of equal
    /// headers are exactly `total_bytes` bytes.
    pub(super) fn check(&self, content_bytes: usize, message_bytes_max: usize) -> Result<(), WireError> {
        if u64::from(self.total_bytes) > message_bytes_max as u64 {
            return Err(WireError::TooLarge);
        }
        // One piece is no split, and all pieces are equally long but for the last, which is not empty.
        if self.count < 2 || self.ordinal >= self.count {
            return Err(WireError::Malformed);
        }
        let piece_bytes = self.total_bytes.div_ceil(self.count);
        if (piece_bytes as usize) < PIECE_BYTES_MIN || self.total_bytes.div_ceil(piece_bytes) != self.count {
            return Err(WireError::Malformed);
        }
        let before = self.ordinal * piece_bytes;
        let expected = piece_bytes.min(self.total_bytes - before);
        if content_bytes != expected as usize {
            return Err(WireError::Length);
        }
        Ok(())
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*taken)
}
