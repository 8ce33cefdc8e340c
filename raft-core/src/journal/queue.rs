//! The write queue: group commit, order, and silence after the first failure.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem;

use super::hard_state::{HardStateRecord, LogMark};
use super::sector::identity_digest;
use super::segment::{self, HEADER_BYTES, Place, SegmentHeader};
use super::{Batch, DiskOp, JournalConfig, record};
use crate::entry::entries_size;
use crate::types::Index;
use crate::write::{Durable, Identity, Persist};

/// The write queue of a node: group commit, and silence after the first failure.
///
/// ```text
/// submit -> queue -> poll_batch -> (the host) -> handle_batch_done -> Durable
/// ```
///
/// # What is on disk at each step of a batch
/// A batch is, in this order: a new segment, if the old one is full; one hard-state record, in both files, both
/// synced; the log's records, as one checksummed batch, synced. Hard states of one batch are coalesced, and the last
/// one is durable before any of the batch's log records is written: promising more than the log shows is always
/// safe, the reverse never is. Truncations and appends of one batch are whole or absent together, so an old suffix
/// can't come back after new entries.
///
/// The queue is bounded by the core (`unsynced_bytes_max`).
#[derive(Clone, Debug)]
pub struct Journal {
    config: JournalConfig,
    identity: Identity,
    /// The newest hard-state record handed out.
    newest: HardStateRecord,
    position: Position,
    /// All batches through this one are durable.
    synced_to: u64,
    /// Something durable says so, through this one.
    attested: u64,
    /// The last entry that any write submitted so far leaves.
    last_index: Index,
    queue: VecDeque<Persist>,
    seal_wanted: bool,
    under_way: Option<UnderWay>,
    is_poisoned: bool,
    /// Used again for each batch's records.
    payload: Vec<u8>,
}

/// Where the log goes on.
#[derive(Clone, Debug)]
pub(super) struct Position {
    pub(super) segment: u64,
    /// The segment's name.
    pub(super) file: String,
    pub(super) offset: usize,
    pub(super) bytes: u64,
    /// The last batch written.
    pub(super) last_batch: u64,
}

#[derive(Clone, Debug)]
struct UnderWay {
    /// None for a seal.
    durable: Option<Durable>,
    /// What it will have said durably.
    attests: u64,
}

impl Journal {
    pub(super) fn new(
        config: JournalConfig,
        identity: Identity,
        newest: HardStateRecord,
        position: Position,
        last_index: Index,
    ) -> Journal {
        Journal {
            config,
            identity,
            newest,
            synced_to: position.last_batch,
            attested: position.last_batch,
            position,
            last_index,
            queue: VecDeque::new(),
            seal_wanted: false,
            under_way: None,
            is_poisoned: false,
            payload: Vec::new(),
        }
    }

    /// Queues a write. A poisoned journal drops it: its `Durable` never comes.
    ///
    /// # Panics
    /// If the write is of another boot, does not fit the writes before it, or carries snapshot records, which are
    /// reserved: all of these would make a journal that recovery refuses.
    pub fn submit(&mut self, persist: Persist) {
        if self.is_poisoned {
            return;
        }
        let write = &persist.write;
        assert_eq!(persist.boot, self.newest.boot, "a write of another boot");
        assert!(
            write.chunks.is_empty() && write.install.is_none() && write.discard_through.is_none(),
            "snapshot records are reserved: this version of the journal does not write them"
        );
        if let Some(from) = write.truncate_from {
            assert!(from > Index(0) && from <= self.last_index.next(), "a truncation from beyond the log");
            self.last_index = from.previous();
        }
        if let (Some(first), Some(last)) = (write.append.first(), write.append.last()) {
            let length = write.append.len() as u64;
            assert_eq!(first.index, self.last_index.next(), "an append that does not follow the log");
            assert_eq!(last.index.0 - self.last_index.0, length, "an append that is not consecutive");
            self.last_index = last.index;
        }
        self.queue.push_back(persist);
    }

    /// Wants the last batch to be vouched for, when nothing else is to be written: call it when idle, and before a
    /// shutdown. Without it, a last batch that loses a whole sector looks like a torn write.
    pub fn seal(&mut self) {
        self.seal_wanted = true;
    }

    /// The next batch, unless one is under way, nothing is queued, or the journal is poisoned.
    #[must_use]
    pub fn poll_batch(&mut self) -> Option<Batch> {
        if self.is_poisoned || self.under_way.is_some() {
            return None;
        }
        if self.queue.is_empty() {
            return self.poll_seal();
        }
        let mut payload = mem::take(&mut self.payload);
        payload.clear();
        let (durable, has_hard_state) = self.drain(&mut payload);
        let mut ops = Vec::new();
        let mut attests = self.attested;
        let is_rolled = !payload.is_empty() && self.roll(segment::batch_bytes(payload.len()), &mut ops);
        if has_hard_state || is_rolled {
            // After a roll the record names the new segment: if that is lost one day, it is missed.
            self.write_hard_state(&mut ops);
            attests = self.synced_to;
        }
        if !payload.is_empty() {
            self.write_batch(&payload, &mut ops);
            attests = self.synced_to;
        }
        self.payload = payload;
        self.under_way = Some(UnderWay { durable, attests });
        Some(Batch { ops })
    }

    fn poll_seal(&mut self) -> Option<Batch> {
        let is_wanted = mem::take(&mut self.seal_wanted);
        if !is_wanted || self.attested == self.synced_to {
            return None;
        }
        let mut ops = Vec::new();
        self.write_hard_state(&mut ops);
        self.under_way = Some(UnderWay { durable: None, attests: self.synced_to });
        Some(Batch { ops })
    }

    /// Takes writes off the queue, as many as fit one batch, and at least one.
    fn drain(&mut self, payload: &mut Vec<u8>) -> (Option<Durable>, bool) {
        let mut durable = None;
        let mut has_hard_state = false;
        let mut bytes = 0;
        while let Some(persist) = self.queue.front() {
            bytes += entries_size(&persist.write.append);
            if durable.is_some() && bytes > self.config.batch_bytes_max {
                break;
            }
            durable = Some(persist.durable());
            if let Some(hard_state) = persist.write.hard_state {
                self.newest.hard_state = hard_state;
                has_hard_state = true;
            }
            if let Some(from) = persist.write.truncate_from {
                record::encode_truncate(from, payload);
            }
            if !persist.write.append.is_empty() {
                record::encode_append(&persist.write.append, payload);
            }
            self.queue.pop_front();
        }
        (durable, has_hard_state)
    }

    /// Begins a new segment if the batch does not fit the old one.
    fn roll(&mut self, batch_bytes: usize, ops: &mut Vec<DiskOp>) -> bool {
        if (self.position.offset + batch_bytes) as u64 <= self.position.bytes {
            return false;
        }
        let number = self.position.segment + 1;
        let bytes = self.config.segment_bytes.max((HEADER_BYTES + batch_bytes) as u64);
        let header = SegmentHeader {
            identity: self.identity,
            number,
            previous: self.position.segment,
            first_batch: self.position.last_batch + 1,
            synced_to: self.position.last_batch,
            bytes,
        };
        let file = segment::file_name(number);
        ops.push(DiskOp::Create { file: file.clone(), bytes });
        ops.push(DiskOp::Sync { file: file.clone() });
        ops.push(DiskOp::SyncDirectory);
        ops.push(DiskOp::Write { file: file.clone(), offset: 0, bytes: header.encode() });
        ops.push(DiskOp::Sync { file: file.clone() });
        let last_batch = self.position.last_batch;
        self.position = Position { segment: number, file, offset: HEADER_BYTES, bytes, last_batch };
        true
    }

    fn write_hard_state(&mut self, ops: &mut Vec<DiskOp>) {
        self.newest.sequence += 1;
        self.newest.mark = LogMark { segment: self.position.segment, synced_to: self.synced_to };
        self.newest.ops(ops);
    }

    fn write_batch(&mut self, payload: &[u8], ops: &mut Vec<DiskOp>) {
        assert_eq!(self.synced_to, self.position.last_batch, "one batch is under way at a time");
        let position = &mut self.position;
        let place = Place { identity_digest: identity_digest(self.identity), segment: position.segment };
        let number = position.last_batch + 1;
        let bytes = segment::encode_batch(place, position.offset, number, self.synced_to, payload);
        let offset = position.offset as u64;
        position.offset += bytes.len();
        position.last_batch = number;
        ops.push(DiskOp::Write { file: position.file.clone(), offset, bytes });
        ops.push(DiskOp::Sync { file: position.file.clone() });
    }

    /// The batch under way is synced. Hand the result to the core.
    #[must_use]
    pub fn handle_batch_done(&mut self) -> Option<Durable> {
        if self.is_poisoned {
            return None;
        }
        let done = self.under_way.take()?;
        self.synced_to = self.position.last_batch;
        self.attested = done.attests;
        done.durable
    }

    /// An operation failed: nothing is ever written again in this process (a second sync would prove nothing).
    pub fn handle_failure(&mut self) {
        self.is_poisoned = true;
        self.under_way = None;
        self.queue.clear();
    }

    /// Whether an operation failed.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.is_poisoned
    }

    /// Whether nothing is queued and nothing is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.under_way.is_none()
    }
}
