//! Snapshot files: blocks with a checksum each, the first of which says what the others hold.
//!
//! A file means nothing until a record of the log, or the header of a segment, names it.

mod reading;
mod writing;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::sector::{SECTOR, VERSION, identity_digest, u32_at, u64_at};
use crate::snapshot::SnapshotMeta;
use crate::write::Identity;

pub use reading::{RestorePlan, SnapshotSource};
pub(super) use reading::{Unread, read_content, verify};
pub(super) use writing::Incoming;
pub use writing::{SnapshotPlan, SnapshotWriteError, WrittenSnapshot};

const MAGIC: &[u8; 8] = b"RAFTsnap";

/// A snapshot's name is this and 20 digits.
pub(super) const PREFIX: &str = "snapshot-";
const DIGITS: usize = 20;

/// Bytes of a block: a checksum of 8, and the body.
pub(super) const BLOCK: usize = 8 * SECTOR;
pub(super) const BODY: usize = BLOCK - 8;
/// Blocks that are written, or read, at once.
const BLOCKS_AT_ONCE: usize = 16;
/// In the body of the first block: magic, version, length of what follows the fields, identity digest, serial.
const HEAD_BYTES: usize = 8 + 4 + 4 + 8 + 8;

pub(super) fn file_name(serial: u64) -> String {
    format!("{PREFIX}{serial:020}")
}

/// The serial in a name that starts with [`PREFIX`].
pub(super) fn parse_name(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(PREFIX)?;
    let all_digits = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse().ok())?.filter(|number| *number > 0)
}

/// Which file: part of each block's checksum, so that a block in the wrong place is not taken for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Home {
    pub(super) identity_digest: u64,
    pub(super) serial: u64,
}

impl Home {
    pub(super) fn new(identity: Identity, serial: u64) -> Home {
        Home { identity_digest: identity_digest(identity), serial }
    }

    fn checksum(self, block: u64, body: &[u8]) -> u64 {
        let seed = self.identity_digest
            ^ self.serial.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(17)
            ^ block.wrapping_mul(0xC2B2_AE3D_27D4_EB4F);
        xxh3_64_with_seed(body, seed)
    }

    /// Adds a block of a body, padded with zeros.
    fn seal(self, block: u64, body: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + 8, 0);
        out.extend_from_slice(body);
        out.resize(start + BLOCK, 0);
        let checksum = self.checksum(block, &out[start + 8..]);
        out[start..start + 8].copy_from_slice(&checksum.to_le_bytes());
    }

    /// The body of a block, if it is what was written.
    fn open(self, block: u64, bytes: &[u8]) -> Option<&[u8]> {
        let (checksum, body) = bytes.split_first_chunk::<8>()?;
        let is_good = body.len() == BODY && u64::from_le_bytes(*checksum) == self.checksum(block, body);
        is_good.then_some(body)
    }

    /// The first block. None: the configuration is too large for it.
    fn head(self, snapshot: &SnapshotMeta) -> Option<Vec<u8>> {
        let meta = postcard::to_allocvec(snapshot)
            .expect("a vector grows, and the type has only shapes that postcard knows");
        if HEAD_BYTES + meta.len() > BODY {
            return None;
        }
        let mut body = Vec::with_capacity(BODY);
        body.extend_from_slice(MAGIC);
        body.extend_from_slice(&VERSION.to_le_bytes());
        body.extend_from_slice(&(meta.len() as u32).to_le_bytes());
        body.extend_from_slice(&self.identity_digest.to_le_bytes());
        body.extend_from_slice(&self.serial.to_le_bytes());
        body.extend_from_slice(&meta);
        let mut block = Vec::with_capacity(BLOCK);
        self.seal(0, &body, &mut block);
        Some(block)
    }

    /// What the first block says.
    fn read_head(self, block: &[u8]) -> Option<SnapshotMeta> {
        let body = self.open(0, block)?;
        let is_ours = body.starts_with(MAGIC)
            && u32_at(body, 8) == VERSION
            && u64_at(body, 16) == self.identity_digest
            && u64_at(body, 24) == self.serial;
        let meta = body.get(HEAD_BYTES..HEAD_BYTES + u32_at(body, 12) as usize)?;
        match postcard::take_from_bytes(meta) {
            Ok((snapshot, [])) if is_ours => Some(snapshot),
            Ok(_) | Err(_) => None,
        }
    }
}

/// Whether what names a snapshot fits the first block of its file.
pub(crate) fn can_hold(snapshot: &SnapshotMeta) -> bool {
    postcard::to_allocvec(snapshot).is_ok_and(|meta| HEAD_BYTES + meta.len() <= BODY)
}

/// Bytes of the file of a snapshot.
fn file_bytes(length: u64) -> u64 {
    (1 + length.div_ceil(BODY as u64)) * BLOCK as u64
}
