//! The write queue: group commit, order, and silence after the first failure.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem;

use super::hard_state::{HardStateRecord, LogMark};
use super::index::{LoadPlan, LoadSource, LogIndex, Sample};
use super::sector::identity_digest;
use super::segment::{self, Base, HEADER_BYTES, Place, SegmentHeader};
use super::snapshot::{self, Home, RestorePlan, SnapshotPlan, WrittenSnapshot};
use super::snapshot_files::SnapshotFiles;
use super::{Batch, DiskOp, JournalConfig, ReceiveJob, record};
use crate::entry::entries_size;
use crate::load::{LoadRequest, Wanted};
use crate::snapshot::{Chunk, Received, SnapshotMeta};
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
    /// The last entry that any batch handed out so far leaves.
    written_through: Index,
    queue: VecDeque<Persist>,
    seal_wanted: bool,
    under_way: Option<UnderWay>,
    is_poisoned: bool,
    /// Used again for each batch's records.
    payload: Vec<u8>,
    /// The segments that hold the log, oldest first; the last one is being written.
    segments: VecDeque<LiveSegment>,
    index: LogIndex,
    base: Base,
    snapshots: SnapshotFiles,
}

/// A segment on disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct LiveSegment {
    pub(super) number: u64,
    /// The index of the next entry when it was begun.
    pub(super) first_index: Index,
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

/// What a batch is made of.
#[derive(Default)]
struct Drained {
    durable: Option<Durable>,
    has_hard_state: bool,
    /// The lowest index that its records are about.
    first: Option<Index>,
    /// The end of the log after it.
    last: Index,
    /// Where the log begins after it, if that changes.
    base: Option<Base>,
}

impl Drained {
    fn note(&mut self, index: Index) {
        self.first = Some(self.first.map_or(index, |first| first.min(index)));
    }
}

/// What recovery found of the log and the snapshots.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) segments: VecDeque<LiveSegment>,
    pub(super) index: LogIndex,
    pub(super) base: Base,
    pub(super) snapshots: SnapshotFiles,
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
        found: Found,
    ) -> Journal {
        Journal {
            config,
            identity,
            newest,
            synced_to: position.last_batch,
            attested: position.last_batch,
            position,
            last_index,
            written_through: last_index,
            queue: VecDeque::new(),
            seal_wanted: false,
            under_way: None,
            is_poisoned: false,
            payload: Vec::new(),
            segments: found.segments,
            index: found.index,
            base: found.base,
            snapshots: found.snapshots,
        }
    }

    /// Queues a write. A poisoned journal drops it: its `Durable` never comes.
    ///
    /// # Panics
    /// If the write is of another boot, or does not fit the writes before it: it would make a journal that recovery
    /// refuses.
    pub fn submit(&mut self, persist: Persist) {
        if self.is_poisoned {
            return;
        }
        let write = &persist.write;
        assert_eq!(persist.boot, self.newest.boot, "a write of another boot");
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
        if let Some(snapshot) = &write.install {
            let is_alone = write.append.is_empty() && write.truncate_from.is_none();
            assert!(is_alone && write.discard_through.is_none(), "an install closes its write");
            assert!(self.snapshots.serial_of(snapshot).is_some(), "what is installed is complete and synced");
            self.last_index = snapshot.last.index;
        }
        if let Some(discard) = &write.discard_through {
            let is_covered = discard.through.index <= discard.snapshot.last.index;
            assert!(
                is_covered && discard.snapshot.last.index <= self.last_index,
                "a snapshot covers what goes"
            );
            assert!(self.snapshots.serial_of(&discard.snapshot).is_some(), "a snapshot is written before");
        }
        self.queue.push_back(persist);
    }

    /// The current snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Option<&SnapshotMeta> {
        self.snapshots.complete.get(&self.base.file)
    }

    /// How to write a snapshot of one's own. One at a time: a second plan takes the place of the first.
    #[must_use]
    pub fn plan_snapshot(&mut self) -> SnapshotPlan {
        let serial = self.snapshots.next_serial();
        self.snapshots.planned = Some(serial);
        SnapshotPlan::new(self.identity, serial)
    }

    /// A plan was carried out: the file may be named by a write from now on. One that never is goes when a newer one
    /// becomes current.
    pub fn handle_snapshot_written(&mut self, written: &WrittenSnapshot) {
        self.snapshots.planned = None;
        self.snapshots.complete.insert(written.serial, written.snapshot.clone());
    }

    /// A plan was carried out, and the snapshot is not wanted any more: its file goes.
    pub fn handle_snapshot_refused(&mut self, written: &WrittenSnapshot) {
        self.snapshots.planned = None;
        if !self.is_poisoned {
            self.snapshots.remove(written.serial);
        }
    }

    /// Takes a piece of an incoming snapshot. A poisoned journal drops it.
    ///
    /// # Panics
    /// If it is not the next piece of its transfer, or the first of another one.
    pub fn receive(&mut self, chunk: &Chunk) {
        if !self.is_poisoned {
            self.snapshots.receive(self.identity, chunk);
        }
    }

    /// The next work beside the batches, unless some is under way, there is none, or the journal is poisoned.
    #[must_use]
    pub fn poll_receive(&mut self) -> Option<ReceiveJob> {
        if self.is_poisoned { None } else { self.snapshots.poll_job() }
    }

    /// The work under way is done: how far an incoming snapshot is, for the core.
    #[must_use]
    pub fn handle_receive_done(&mut self) -> Option<Received> {
        if self.is_poisoned { None } else { self.snapshots.job_done() }
    }

    /// There was no room for the work under way, of which so many operations were performed. The transfer that ends by
    /// this, for the core. Any other failure is one of the disk: see [`Journal::handle_failure`].
    #[must_use]
    pub fn handle_no_room(&mut self, performed: usize) -> Option<u64> {
        if self.is_poisoned { None } else { self.snapshots.job_failed(performed) }
    }

    /// How to read back what the core asks for.
    #[must_use]
    pub fn plan_load(&self, request: &LoadRequest) -> LoadPlan {
        let source = match &request.wanted {
            Wanted::Entries { from, .. } => self.find_entries(*from),
            Wanted::Chunk { snapshot, .. } => match self.snapshots.serial_of(snapshot) {
                Some(serial) => LoadSource::Snapshot { home: Home::new(self.identity, serial) },
                None => LoadSource::Gone,
            },
        };
        LoadPlan { wanted: request.wanted.clone(), source }
    }

    fn find_entries(&self, from: Index) -> LoadSource {
        let Some(start) = self.index.find(from) else { return LoadSource::Gone };
        let numbers = self.segments.iter().map(|segment| segment.number);
        let numbers = numbers.filter(|number| *number >= start.segment).collect();
        LoadSource::Segments { identity_digest: identity_digest(self.identity), numbers, start }
    }

    /// How to read the current snapshot back, if there is one.
    #[must_use]
    pub fn plan_restore(&self) -> Option<RestorePlan> {
        let snapshot = self.snapshot()?.clone();
        Some(RestorePlan { home: Home::new(self.identity, self.base.file), snapshot })
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
        let mut ops = Vec::new();
        let drained = self.drain(&mut payload);
        let mut attests = self.attested;
        let is_rolled = !payload.is_empty() && self.roll(segment::batch_bytes(payload.len()), &mut ops);
        if drained.has_hard_state || is_rolled {
            // After a roll the record names the new segment: if that is lost one day, it is missed.
            self.write_hard_state(&mut ops);
            attests = self.synced_to;
        }
        if !payload.is_empty() {
            self.write_batch(&payload, drained.first, &mut ops);
            attests = self.synced_to;
        }
        if let Some(base) = drained.base {
            self.base = base;
            self.remove_outdated(&mut ops);
        }
        self.payload = payload;
        self.written_through = drained.last;
        self.under_way = Some(UnderWay { durable: drained.durable, attests });
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

    /// Takes writes off the queue, as many as fit one batch, and at least one. An install is the last of its batch.
    fn drain(&mut self, payload: &mut Vec<u8>) -> Drained {
        let mut drained = Drained { last: self.written_through, ..Drained::default() };
        let mut bytes = 0;
        while let Some(persist) = self.queue.front() {
            let write = &persist.write;
            bytes += entries_size(&write.append);
            if drained.durable.is_some() && bytes > self.config.batch_bytes_max {
                break;
            }
            drained.durable = Some(persist.durable());
            if let Some(hard_state) = write.hard_state {
                self.newest.hard_state = hard_state;
                drained.has_hard_state = true;
            }
            if let Some(from) = write.truncate_from {
                record::encode_truncate(from, payload);
                drained.note(from);
                drained.last = from.previous();
            }
            if let (Some(first), Some(last)) = (write.append.first(), write.append.last()) {
                record::encode_append(&write.append, payload);
                drained.note(first.index);
                drained.last = last.index;
            }
            if let Some(snapshot) = &write.install {
                let file = self.snapshots.serial_of(snapshot);
                let file = file.expect("it was complete when the write was submitted");
                record::encode_install(file, snapshot, payload);
                drained.base = Some(Base { file, last: snapshot.last, through: snapshot.last });
                drained.last = snapshot.last.index;
                self.index.clear();
                drained.first = None;
            }
            if let Some(discard) = &write.discard_through {
                let file = self.snapshots.serial_of(&discard.snapshot);
                let file = file.expect("it was complete when the write was submitted");
                record::encode_discard(file, discard, payload);
                drained.base = Some(Base { file, last: discard.snapshot.last, through: discard.through });
            }
            let is_closed = write.install.is_some();
            self.queue.pop_front();
            if is_closed {
                break;
            }
        }
        drained
    }

    /// Removes what the durable record before these operations has made needless: segments whose every entry is let
    /// go, and older snapshots. Recovery goes by the same rule.
    fn remove_outdated(&mut self, ops: &mut Vec<DiskOp>) {
        let before = ops.len();
        while let Some(after) = self.segments.get(1)
            && after.first_index.previous() <= self.base.through.index
        {
            let Some(segment) = self.segments.pop_front() else { break };
            self.index.forget_segment(segment.number);
            ops.push(DiskOp::Remove { file: segment::file_name(segment.number) });
        }
        for serial in self.snapshots.take_outdated(self.base.file) {
            ops.push(DiskOp::Remove { file: snapshot::file_name(serial) });
        }
        if ops.len() > before {
            ops.push(DiskOp::SyncDirectory);
        }
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
            first_index: self.written_through.next(),
            base: self.base,
        };
        self.segments.push_back(LiveSegment { number, first_index: header.first_index });
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

    fn write_batch(&mut self, payload: &[u8], first: Option<Index>, ops: &mut Vec<DiskOp>) {
        assert_eq!(self.synced_to, self.position.last_batch, "one batch is under way at a time");
        let position = &mut self.position;
        let place = Place { identity_digest: identity_digest(self.identity), segment: position.segment };
        let number = position.last_batch + 1;
        let bytes = segment::encode_batch(place, position.offset, number, self.synced_to, payload);
        let offset = position.offset as u64;
        if let Some(first) = first {
            let sample = Sample { first, segment: position.segment, offset, batch: number };
            self.index.note(sample);
        }
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
