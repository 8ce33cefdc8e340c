//! Sectors: the unit that a disk writes whole or not at all, so the unit that a checksum covers.

use alloc::format;
use alloc::string::String;

use xxhash_rust::xxh3::xxh3_64;

use super::SECTOR_BYTES;
use crate::types::{ClusterId, Epoch, Incarnation, Member, NodeId};
use crate::write::Identity;

/// [`SECTOR_BYTES`] as a length in memory.
pub(super) const SECTOR: usize = SECTOR_BYTES as usize;

/// The version of every file's format. A file of a later one stops the node.
pub(super) const VERSION: u32 = 1;

/// A sealed sector ends in the XXH3-64 of all that is before it.
const CHECKSUM_AT: usize = SECTOR - 8;

/// Whether nothing was ever written here: files are created full of zeros, and no sector of ours is all zeros.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    words.iter().fold(0, |all, word| all | u64::from_le_bytes(*word)) == 0
        && rest.iter().all(|byte| *byte == 0)
}

/// The whole sector at an offset, if the file reaches that far.
pub(super) fn sector(file: &[u8], offset: usize) -> Option<&[u8; SECTOR]> {
    file.get(offset..)?.first_chunk()
}

/// Fills a sealed sector: magic, version, fields, zeros, checksum.
pub(super) struct Writer {
    bytes: [u8; SECTOR],
    at: usize,
}

impl Writer {
    pub(super) fn new(magic: &[u8; 8]) -> Writer {
        let mut writer = Writer { bytes: [0; SECTOR], at: 0 };
        writer.put(magic);
        writer.u32(VERSION);
        writer
    }

    fn put(&mut self, field: &[u8]) {
        let end = self.at + field.len();
        assert!(end <= CHECKSUM_AT, "the fields of a sealed sector fit before its checksum");
        self.bytes[self.at..end].copy_from_slice(field);
        self.at = end;
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.put(&value.to_le_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.put(&value.to_le_bytes());
    }

    pub(super) fn identity(&mut self, identity: Identity) {
        self.put(&identity_bytes(identity));
    }

    pub(super) fn finish(mut self) -> [u8; SECTOR] {
        let checksum = xxh3_64(&self.bytes[..CHECKSUM_AT]);
        self.bytes[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
        self.bytes
    }
}

/// What a sealed sector is worth.
pub(super) enum Sealed<'a> {
    /// Never written.
    Zero,
    /// Written, and not what was written.
    Damaged,
    /// Intact, of a version that this code does not know.
    Unsupported(u32),
    /// Intact.
    Good(Reader<'a>),
}

/// Judges a sealed sector.
pub(super) fn open<'a>(bytes: &'a [u8; SECTOR], magic: &[u8; 8]) -> Sealed<'a> {
    let checksum = u64_at(bytes, CHECKSUM_AT);
    if !bytes.starts_with(magic) || checksum != xxh3_64(&bytes[..CHECKSUM_AT]) {
        return if is_zero(bytes) { Sealed::Zero } else { Sealed::Damaged };
    }
    let mut reader = Reader { bytes, at: magic.len() };
    match reader.u32() {
        VERSION => Sealed::Good(reader),
        version => Sealed::Unsupported(version),
    }
}

/// Takes the fields of an intact sector in the order in which [`Writer`] put them.
pub(super) struct Reader<'a> {
    bytes: &'a [u8; SECTOR],
    at: usize,
}

impl Reader<'_> {
    pub(super) fn u32(&mut self) -> u32 {
        let value = u32_at(self.bytes, self.at);
        self.at += 4;
        value
    }

    pub(super) fn u64(&mut self) -> u64 {
        let value = u64_at(self.bytes, self.at);
        self.at += 8;
        value
    }

    pub(super) fn identity(&mut self) -> Identity {
        let cluster = ClusterId(self.u64());
        let epoch = Epoch(self.u32());
        let member = Member { id: NodeId(self.u64()), incarnation: Incarnation(self.u64()) };
        Identity { cluster, epoch, member }
    }
}

/// A number inside a slice; the caller knows that it is long enough.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

/// A number inside a slice; the caller knows that it is long enough.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

fn identity_bytes(identity: Identity) -> [u8; 28] {
    let mut bytes = [0; 28];
    bytes[..8].copy_from_slice(&identity.cluster.0.to_le_bytes());
    bytes[8..12].copy_from_slice(&identity.epoch.0.to_le_bytes());
    bytes[12..20].copy_from_slice(&identity.member.id.0.to_le_bytes());
    bytes[20..].copy_from_slice(&identity.member.incarnation.0.to_le_bytes());
    bytes
}

/// Eight bytes that stand for an identity where all of it would not pay.
pub(super) fn identity_digest(identity: Identity) -> u64 {
    xxh3_64(&identity_bytes(identity))
}

/// An identity in words, for errors.
pub(super) fn describe(identity: Identity) -> String {
    format!("cluster {}, epoch {}, member {}", identity.cluster, identity.epoch, identity.member)
}
