//! Writing a snapshot's file: one's own at once, another's piece by piece. Both beside the batches.

use alloc::string::String;
use alloc::vec::Vec;
use core::mem;

use xxhash_rust::xxh3::Xxh3;

use super::{BLOCK, BLOCKS_AT_ONCE, BODY, Home, file_bytes, file_name};
use crate::journal::DiskOp;
use crate::membership::Configuration;
use crate::snapshot::{Chunk, Sink, SnapshotMeta};
use crate::types::LogId;
use crate::write::Identity;

/// How to write a snapshot of one's own, on whatever thread.
#[derive(Clone, Debug)]
pub struct SnapshotPlan {
    home: Home,
}

/// A snapshot that is complete and synced, its directory too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenSnapshot {
    pub(in crate::journal) serial: u64,
    pub(in crate::journal) snapshot: SnapshotMeta,
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
    pub(in crate::journal) fn new(identity: Identity, serial: u64) -> SnapshotPlan {
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

/// A snapshot that comes in, piece by piece. Its file grows with it: a block says by its checksum that it was written, so no
/// room need be made of zeros before.
#[derive(Clone, Debug)]
pub(in crate::journal) struct Incoming {
    pub(in crate::journal) transfer: u64,
    pub(in crate::journal) serial: u64,
    pub(in crate::journal) snapshot: SnapshotMeta,
    pub(in crate::journal) received: u64,
    blocks: Blocks,
}

impl Incoming {
    /// Begins a file.
    pub(in crate::journal) fn new(
        identity: Identity,
        serial: u64,
        first: &Chunk,
        ops: &mut Vec<DiskOp>,
    ) -> Incoming {
        let (home, snapshot) = (Home::new(identity, serial), first.snapshot.clone());
        let file = file_name(serial);
        ops.push(DiskOp::Create { file: file.clone(), bytes: 0 });
        let out = home.head(&snapshot).expect("the core refuses a message that names more than fits");
        let blocks = Blocks { home, file, next: 1, body: Vec::new(), out, offset: 0 };
        Incoming { transfer: first.transfer, serial, snapshot, received: 0, blocks }
    }

    /// Takes the next piece.
    pub(in crate::journal) fn push(&mut self, offset: u64, bytes: &[u8], ops: &mut Vec<DiskOp>) {
        assert_eq!(offset, self.received, "pieces come in order");
        self.received += bytes.len() as u64;
        assert!(self.received <= self.snapshot.length, "no piece reaches beyond its snapshot");
        ops.extend(self.blocks.push(bytes));
    }

    /// All of it has come.
    pub(in crate::journal) fn is_whole(&self) -> bool {
        self.received == self.snapshot.length
    }

    /// Makes durable what has come so far, but for less than a block; if that is all, all of it.
    pub(in crate::journal) fn sync(&mut self, ops: &mut Vec<DiskOp>) {
        let rest = if self.is_whole() { self.blocks.finish() } else { self.blocks.flush() };
        let is_written = rest.is_some() || !ops.is_empty();
        ops.extend(rest);
        if is_written {
            ops.push(DiskOp::Sync { file: self.blocks.file.clone() });
        }
        if self.is_whole() {
            ops.push(DiskOp::SyncDirectory);
        }
    }
}
