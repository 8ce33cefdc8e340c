//! A disk in memory, and what it holds by the words of the writes.

use std::collections::{BTreeMap, VecDeque};

use raft_core::journal::{DiskOp, Files, Journal, SECTOR_BYTES};
use raft_core::{Entry, HardState, Index, LogId, Persist, Restored, SnapshotMeta, Term, Write};

/// Bytes that a disk writes whole or not at all.
pub const SECTOR: usize = SECTOR_BYTES as usize;

/// What the disk holds, by the words of the writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    /// The last hard state.
    pub hard_state: HardState,
    /// The current snapshot.
    pub snapshot: Option<SnapshotMeta>,
    /// The log starts after this entry.
    pub base: LogId,
    /// The log, from its first entry on.
    pub log: Vec<Entry>,
}

impl Model {
    /// Performs a write.
    pub fn apply(&mut self, write: &Write) {
        self.apply_hard_state(write);
        if let Some(from) = write.truncate_from {
            self.log.retain(|entry| entry.index < from);
        }
        self.log.extend(write.append.iter().cloned());
        if let Some(snapshot) = &write.install {
            self.log.clear();
            self.base = snapshot.last;
            self.snapshot = Some((**snapshot).clone());
        }
        if let Some(discard) = &write.discard_through {
            self.log.retain(|entry| entry.index > discard.through.index);
            self.base = discard.through;
            self.snapshot = Some(discard.snapshot.clone());
        }
    }

    /// Performs the part of it that goes first.
    pub fn apply_hard_state(&mut self, write: &Write) {
        self.hard_state = write.hard_state.unwrap_or(self.hard_state);
    }

    /// The last entry, or the base.
    #[must_use]
    pub fn last(&self) -> LogId {
        self.log.last().map_or(self.base, Entry::id)
    }

    /// Whether two disks hold the same snapshot and log, whatever their hard states.
    #[must_use]
    pub fn same_log(&self, other: &Model) -> bool {
        (&self.snapshot, self.base, &self.log) == (&other.snapshot, other.base, &other.log)
    }

    /// Whether there is neither a log nor a snapshot.
    #[must_use]
    pub fn is_bare(&self) -> bool {
        self.same_log(&Model::default())
    }

    /// A term is durable by the hard state, or by an entry of it.
    #[must_use]
    pub fn term(&self) -> Term {
        self.hard_state.term.max(self.last().term)
    }

    /// The identity of the entry at an index, from the base on.
    #[must_use]
    pub fn id_at(&self, index: Index) -> Option<LogId> {
        if index == self.base.index { Some(self.base) } else { self.entry(index).map(Entry::id) }
    }

    /// The entry at an index.
    #[must_use]
    pub fn entry(&self, index: Index) -> Option<&Entry> {
        self.log.iter().rev().find(|entry| entry.index == index)
    }

    /// What recovery found.
    #[must_use]
    pub fn of(restored: &Restored) -> Model {
        Model {
            hard_state: restored.hard_state(),
            snapshot: restored.snapshot().cloned(),
            base: restored.base(),
            log: restored.entries().to_vec(),
        }
    }
}

/// What the batch under way leaves if it is interrupted: only its hard state, which goes first; or all of it.
#[must_use]
pub fn after_next_batch(disk: &Model, journal: &Journal, unsynced: &VecDeque<Persist>) -> [Model; 2] {
    let (mut first, mut whole) = (disk.clone(), disk.clone());
    let Some(done) = journal.clone().handle_batch_done() else { return [first, whole] };
    for persist in unsynced {
        first.apply_hard_state(&persist.write);
        whole.apply(&persist.write);
        if persist.durable() == done {
            break;
        }
    }
    [first, whole]
}

/// A disk that never fails.
pub fn perform_all(files: &mut Files, ops: &[DiskOp]) {
    perform(files, ops, &mut |_| true);
}

/// Power is lost after these operations: what was synced is there, and `luck` decides about each other sector. (Names
/// are always there: the core's own tests lose them.)
pub fn perform_torn(files: &mut Files, ops: &[DiskOp], luck: &mut dyn FnMut() -> bool) {
    let mut synced: BTreeMap<&String, usize> = BTreeMap::new();
    for (number, op) in ops.iter().enumerate() {
        if let DiskOp::Sync { file } = op {
            synced.insert(file, number);
        }
    }
    for (number, op) in ops.iter().enumerate() {
        let is_synced = |file: &String| synced.get(file).is_some_and(|sync| *sync > number);
        perform(files, std::slice::from_ref(op), &mut |file| is_synced(file) || luck());
    }
}

fn perform(files: &mut Files, ops: &[DiskOp], arrives: &mut dyn FnMut(&String) -> bool) {
    for op in ops {
        match op {
            DiskOp::Create { file, bytes } => {
                files.insert(file.clone(), vec![0; usize::try_from(*bytes).expect("small")]);
            }
            DiskOp::Write { file, offset, bytes } => {
                assert_eq!((offset % SECTOR_BYTES, bytes.len() % SECTOR), (0, 0), "whole sectors");
                let mut at = usize::try_from(*offset).expect("small");
                let content = files.get_mut(file).expect("created before");
                // A file that damage cut short grows again.
                content.resize(content.len().max(at + bytes.len()), 0);
                for sector in bytes.chunks(SECTOR) {
                    if arrives(file) {
                        content[at..at + SECTOR].copy_from_slice(sector);
                    }
                    at += SECTOR;
                }
            }
            DiskOp::Remove { file } => drop(files.remove(file)),
            DiskOp::Sync { .. } | DiskOp::SyncDirectory => {}
        }
    }
}
