//! Snapshot files: blocks with a checksum each, the first of which says what the others hold.
//!
//! A file means nothing until a record of the log, or the header of a segment, names it.

use alloc::format;
use alloc::string::{String, ToString};

use alloc::vec::Vec;
use core::mem;

use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

use super::directory::{ReadBytes, ReadFailed};
use super::sector::{SECTOR, VERSION, identity_digest, u32_at, u64_at};
use super::{Directory, DiskOp};
use crate::membership::Configuration;
use crate::snapshot::{Sink, SnapshotMeta, Source, SourceError};
use crate::types::LogId;
use crate::write::Identity;

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

/// How to write a snapshot of one's own, on whatever thread.
#[derive(Clone, Debug)]
pub struct SnapshotPlan {
    home: Home,
}

/// A snapshot that is complete and synced, its directory too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenSnapshot {
    pub(super) serial: u64,
    pub(super) snapshot: SnapshotMeta,
}

impl WrittenSnapshot {
    /// Its name.
    #[must_use]
    pub fn meta(&self) -> &SnapshotMeta {
        &self.snapshot
    }
}

/// Why a snapshot was not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotWriteError<E> {
    /// The disk refused.
    Disk(E),
    /// The content can't be a snapshot, and why.
    Content(String),
}

impl SnapshotPlan {
    pub(super) fn new(identity: Identity, serial: u64) -> SnapshotPlan {
        SnapshotPlan { home: Home::new(identity, serial) }
    }

    /// Writes and syncs the file: once over `content` to measure, once to write.
    ///
    /// # Errors
    /// That of `perform`; or the content differs from the first time to the second, or the configuration is too large
    /// for its block.
    pub fn write<E>(
        &self,
        last: LogId,
        configuration: &Configuration,
        content: &dyn Fn(&mut dyn Sink),
        perform: &mut dyn FnMut(DiskOp) -> Result<(), E>,
    ) -> Result<WrittenSnapshot, SnapshotWriteError<E>> {
        let mut measure = Measure::default();
        content(&mut measure);
        let (length, digest) = (measure.length, measure.digest.digest());
        let snapshot = SnapshotMeta { last, configuration: configuration.clone(), length, digest };
        let Some(head) = self.home.head(&snapshot) else {
            let what = String::from("the configuration is too large for the snapshot's first block");
            return Err(SnapshotWriteError::Content(what));
        };
        let file = file_name(self.home.serial);
        let mut blocks =
            Blocks { home: self.home, file: file.clone(), next: 1, body: Vec::new(), out: head, offset: 0 };
        let mut failure = None;
        {
            let mut perform = |op| {
                if failure.is_none() {
                    failure = perform(op).err();
                }
            };
            perform(DiskOp::Create { file: file.clone(), bytes: file_bytes(length) });
            let mut writing =
                Writing { measure: Measure::default(), length, blocks: &mut blocks, perform: &mut perform };
            content(&mut writing);
            measure = mem::take(&mut writing.measure);
            if let Some(op) = blocks.finish() {
                perform(op);
            }
            perform(DiskOp::Sync { file });
            perform(DiskOp::SyncDirectory);
        }
        if let Some(error) = failure {
            return Err(SnapshotWriteError::Disk(error));
        }
        if (measure.length, measure.digest.digest()) != (length, digest) {
            let what = String::from("the state machine wrote other bytes the second time than the first");
            return Err(SnapshotWriteError::Content(what));
        }
        Ok(WrittenSnapshot { serial: self.home.serial, snapshot })
    }
}

/// Counts and digests.
#[derive(Clone, Default)]
struct Measure {
    length: u64,
    digest: Xxh3,
}

impl Sink for Measure {
    fn write(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        self.digest.update(bytes);
    }
}

/// Counts, digests and writes, no further than the file is long.
struct Writing<'a> {
    measure: Measure,
    length: u64,
    blocks: &'a mut Blocks,
    perform: &'a mut dyn FnMut(DiskOp),
}

impl Sink for Writing<'_> {
    fn write(&mut self, bytes: &[u8]) {
        self.measure.write(bytes);
        if self.measure.length <= self.length {
            for op in self.blocks.push(bytes) {
                (self.perform)(op);
            }
        }
    }
}

/// Turns content into blocks, and blocks into writes.
#[derive(Clone, Debug)]
struct Blocks {
    home: Home,
    file: String,
    /// The number of the block that is being filled.
    next: u64,
    body: Vec<u8>,
    /// Whole blocks to be written at `offset`.
    out: Vec<u8>,
    offset: u64,
}

impl Blocks {
    /// Takes content, and gives what is worth writing now.
    fn push(&mut self, mut bytes: &[u8]) -> Vec<DiskOp> {
        let mut ops = Vec::new();
        while !bytes.is_empty() {
            let room = BODY - self.body.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.body.extend_from_slice(now);
            bytes = later;
            if self.body.len() == BODY {
                self.seal();
                if self.out.len() >= BLOCKS_AT_ONCE * BLOCK {
                    ops.extend(self.flush());
                }
            }
        }
        ops
    }

    fn seal(&mut self) {
        self.home.seal(self.next, &self.body, &mut self.out);
        self.body.clear();
        self.next += 1;
    }

    fn flush(&mut self) -> Option<DiskOp> {
        let bytes = mem::take(&mut self.out);
        let offset = self.offset;
        self.offset += bytes.len() as u64;
        (!bytes.is_empty()).then(|| DiskOp::Write { file: self.file.clone(), offset, bytes })
    }

    /// Writes what is left.
    fn finish(&mut self) -> Option<DiskOp> {
        if !self.body.is_empty() {
            self.seal();
        }
        self.flush()
    }
}

/// A snapshot that comes in, piece by piece.
#[derive(Clone, Debug)]
pub(super) struct Incoming {
    pub(super) serial: u64,
    pub(super) snapshot: SnapshotMeta,
    received: u64,
    blocks: Blocks,
}

impl Incoming {
    /// Begins a file.
    pub(super) fn new(
        identity: Identity,
        serial: u64,
        snapshot: &SnapshotMeta,
        ops: &mut Vec<DiskOp>,
    ) -> Incoming {
        let home = Home::new(identity, serial);
        let file = file_name(serial);
        ops.push(DiskOp::Create { file: file.clone(), bytes: file_bytes(snapshot.length) });
        let out = home.head(snapshot).expect("the core refuses a message that names more than fits");
        let blocks = Blocks { home, file, next: 1, body: Vec::new(), out, offset: 0 };
        Incoming { serial, snapshot: snapshot.clone(), received: 0, blocks }
    }

    /// Takes the next piece.
    pub(super) fn push(&mut self, offset: u64, bytes: &[u8], ops: &mut Vec<DiskOp>) {
        assert_eq!(offset, self.received, "pieces come in order");
        self.received += bytes.len() as u64;
        ops.extend(self.blocks.push(bytes));
    }

    /// Makes the file whole and durable.
    pub(super) fn finish(&mut self, ops: &mut Vec<DiskOp>) {
        assert_eq!(self.received, self.snapshot.length, "only what is whole is installed");
        ops.extend(self.blocks.finish());
        ops.push(DiskOp::Sync { file: self.blocks.file.clone() });
        ops.push(DiskOp::SyncDirectory);
    }
}

/// Why content could not be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// There is no such file.
    Missing,
    /// It can't be read, or is not what was written: where, and what.
    Damaged(u64, String),
}

/// Content from `offset` on, `length` bytes of it. The caller knows that there are so many.
pub(super) fn read_content(
    home: Home,
    offset: u64,
    length: u64,
    read: &mut ReadBytes<'_>,
) -> Result<Vec<u8>, Unread> {
    if length == 0 {
        return Ok(Vec::new());
    }
    let first = offset / BODY as u64;
    let last = (offset + length - 1) / BODY as u64;
    let file = file_name(home.serial);
    let start = (1 + first) * BLOCK as u64;
    let bytes = match read(&file, start, (last - first + 1) * BLOCK as u64) {
        Ok(bytes) => bytes,
        Err(ReadFailed::Missing) => return Err(Unread::Missing),
        Err(ReadFailed::Failed(what)) => return Err(Unread::Damaged(start, what)),
    };
    let mut content = Vec::with_capacity(bytes.len());
    for block in first..=last {
        let at = (block - first) as usize * BLOCK;
        let body = bytes.get(at..at + BLOCK).and_then(|bytes| home.open(1 + block, bytes));
        let damaged = || Unread::Damaged((1 + block) * BLOCK as u64, NOT_WRITTEN.to_string());
        content.extend_from_slice(body.ok_or_else(damaged)?);
    }
    let skipped = (offset - first * BODY as u64) as usize;
    content.drain(..skipped);
    content.truncate(length as usize);
    Ok(content)
}

const NOT_WRITTEN: &str = "a block of the snapshot is not what was written";

/// Reads a whole file against its digest, a few blocks at a time.
pub(super) fn verify(home: Home, directory: &dyn Directory) -> Result<SnapshotMeta, Unread> {
    let mut read = |file: &str, offset, bytes| directory.read(file, offset, bytes);
    let head = match read(&file_name(home.serial), 0, BLOCK as u64) {
        Ok(bytes) => bytes,
        Err(ReadFailed::Missing) => return Err(Unread::Missing),
        Err(ReadFailed::Failed(what)) => return Err(Unread::Damaged(0, what)),
    };
    let snapshot = home.read_head(&head).ok_or_else(|| Unread::Damaged(0, NOT_WRITTEN.to_string()))?;
    let mut digest = Xxh3::new();
    let mut offset = 0;
    while offset < snapshot.length {
        let length = (snapshot.length - offset).min((BLOCKS_AT_ONCE * BODY) as u64);
        digest.update(&read_content(home, offset, length, &mut read)?);
        offset += length;
    }
    if digest.digest() == snapshot.digest {
        Ok(snapshot)
    } else {
        Err(Unread::Damaged(0, "the content is not what its digest says".to_string()))
    }
}

/// How to read the current snapshot back, on whatever thread.
#[derive(Clone, Debug)]
pub struct RestorePlan {
    pub(super) home: Home,
    pub(super) snapshot: SnapshotMeta,
}

impl RestorePlan {
    /// What it reads.
    #[must_use]
    pub fn snapshot(&self) -> &SnapshotMeta {
        &self.snapshot
    }

    /// Begins to read. `read` gives that many bytes of a file of the data directory from an offset on.
    pub fn open<'a>(&self, read: &'a mut ReadBytes<'a>) -> SnapshotSource<'a> {
        SnapshotSource {
            plan: self.clone(),
            read,
            next: 0,
            digest: Xxh3::new(),
            buffer: Vec::new(),
            taken: 0,
        }
    }
}

/// A snapshot's content, checked as it is read.
pub struct SnapshotSource<'a> {
    plan: RestorePlan,
    read: &'a mut ReadBytes<'a>,
    /// The content before this is in the buffer, or was.
    next: u64,
    digest: Xxh3,
    buffer: Vec<u8>,
    taken: usize,
}

impl SnapshotSource<'_> {
    fn fill(&mut self) -> Result<(), SourceError> {
        let length = (self.plan.snapshot.length - self.next).min((BLOCKS_AT_ONCE * BODY) as u64);
        let content = read_content(self.plan.home, self.next, length, self.read);
        self.buffer = content.map_err(|unread| match unread {
            Unread::Missing => {
                SourceError { what: format!("{} is missing", file_name(self.plan.home.serial)) }
            }
            Unread::Damaged(at, what) => {
                SourceError { what: format!("{} at byte {at}: {what}", file_name(self.plan.home.serial)) }
            }
        })?;
        self.digest.update(&self.buffer);
        self.taken = 0;
        self.next += length;
        Ok(())
    }

    /// Reads what is left, and checks all of it against the digest.
    ///
    /// # Errors
    /// The bytes can't be read, or are not what was written.
    pub fn finish(mut self) -> Result<(), SourceError> {
        while self.next < self.plan.snapshot.length {
            self.fill()?;
        }
        if self.digest.digest() == self.plan.snapshot.digest {
            return Ok(());
        }
        let file = file_name(self.plan.home.serial);
        Err(SourceError { what: format!("{file}: the content is not what its digest says") })
    }
}

impl Source for SnapshotSource<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, SourceError> {
        let mut filled = 0;
        while filled < buffer.len() {
            if self.taken == self.buffer.len() {
                if self.next == self.plan.snapshot.length {
                    break;
                }
                self.fill()?;
            }
            let count = (buffer.len() - filled).min(self.buffer.len() - self.taken);
            buffer[filled..filled + count].copy_from_slice(&self.buffer[self.taken..self.taken + count]);
            self.taken += count;
            filled += count;
        }
        Ok(filled)
    }
}
