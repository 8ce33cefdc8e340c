//! A disk small enough to read: a cache, what is synced, and the ways in which the two part.

extern crate std;

use std::borrow::ToOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::string::String;
use std::vec::Vec;
use std::{assert_eq, vec};

use bytes::Bytes;

use crate::entry::{Entry, Payload};
use crate::journal::{DiskOp, Files, Journal, JournalConfig, OnDamage, Recovery, RecoveryReport, initialise};
use crate::membership::Configuration;
use crate::types::{Boot, ClusterId, Epoch, Incarnation, Index, Member, NodeId, Term};
use crate::write::{HardState, Identity, Persist, Restored, Write};

pub(super) const SECTOR: usize = 512;

pub(super) fn member(id: u64) -> Member {
    Member { id: NodeId(id), incarnation: Incarnation(id * 7) }
}

pub(super) fn identity() -> Identity {
    Identity { cluster: ClusterId(0xC1), epoch: Epoch(3), member: member(1) }
}

pub(super) fn founding() -> Configuration {
    Configuration::of_voters([member(1), member(2), member(3)])
}

pub(super) fn config() -> JournalConfig {
    JournalConfig { segment_bytes: 4096, batch_bytes_max: 1 << 20, ..JournalConfig::default() }
}

pub(super) fn entry(term: u64, index: u64, bytes: usize) -> Entry {
    let command = Bytes::from(vec![(index % 251) as u8; bytes]);
    Entry { term: Term(term), index: Index(index), payload: Payload::Command(command) }
}

pub(super) fn voted(term: u64) -> HardState {
    HardState { term: Term(term), vote: Some(member(2)), abstaining: false }
}

pub(super) fn persist(boot: Boot, number: u64, write: Write) -> Persist {
    Persist { boot, number, write }
}

/// Decides for each unsynced sector, file or removal whether it reached the disk.
pub(super) type Luck<'a> = &'a mut dyn FnMut() -> bool;

/// Files in the cache and on the disk. A sector is whole: old or new, never garbage.
#[derive(Clone, Default)]
pub(super) struct Disk {
    pub(super) cache: Files,
    synced: Files,
    /// Names in the directory, as it was synced.
    names: BTreeSet<String>,
}

impl Disk {
    /// These files, synced.
    pub(super) fn of(files: &Files) -> Disk {
        Disk { cache: files.clone(), synced: files.clone(), names: files.keys().cloned().collect() }
    }

    pub(super) fn initialised() -> Disk {
        let mut disk = Disk::default();
        disk.perform_all(&initialise(identity(), &founding()));
        disk
    }

    pub(super) fn perform_all(&mut self, ops: &[DiskOp]) {
        for op in ops {
            self.perform(op);
        }
    }

    pub(super) fn perform(&mut self, op: &DiskOp) {
        match op {
            DiskOp::Create { file, bytes } => {
                self.cache.insert(file.clone(), vec![0; *bytes as usize]);
            }
            DiskOp::Write { file, offset, bytes } => {
                assert_eq!((*offset as usize % SECTOR, bytes.len() % SECTOR), (0, 0), "whole sectors");
                let at = *offset as usize;
                let content = self.cache.get_mut(file).expect("exists");
                content.resize(content.len().max(at + bytes.len()), 0);
                content[at..at + bytes.len()].copy_from_slice(bytes);
            }
            DiskOp::Sync { file } => {
                self.synced.insert(file.clone(), self.cache[file].clone());
            }
            DiskOp::Remove { file } => {
                self.cache.remove(file);
            }
            DiskOp::SyncDirectory => {
                self.names = self.cache.keys().cloned().collect();
                self.synced.retain(|name, _| self.names.contains(name));
            }
        }
    }

    /// The first sectors of a write, as a kill inside it leaves them.
    pub(super) fn perform_part(&mut self, op: &DiskOp, sectors: usize) {
        if let DiskOp::Write { file, offset, bytes } = op {
            let bytes = bytes[..(sectors * SECTOR).min(bytes.len())].to_vec();
            self.perform(&DiskOp::Write { file: file.clone(), offset: *offset, bytes });
        }
    }

    /// What is left after a power loss: each unsynced sector old or new, each unsynced name there or not.
    pub(super) fn power_loss(&self, luck: Luck<'_>) -> Disk {
        let mut files = Files::new();
        let names: BTreeSet<&String> = self.cache.keys().chain(&self.names).collect();
        for name in names {
            let is_durable = self.names.contains(name);
            let old = self.synced.get(name).map_or(&[][..], Vec::as_slice);
            let Some(new) = self.cache.get(name) else {
                if luck() {
                    files.insert(name.clone(), old.to_vec()); // the removal did not happen
                }
                continue;
            };
            if !is_durable && !luck() {
                continue; // the creation did not happen
            }
            let mut bytes = new.clone();
            for (ordinal, sector) in bytes.chunks_mut(SECTOR).enumerate() {
                let mut before = [0; SECTOR];
                if let Some(old) = old.get(ordinal * SECTOR..(ordinal + 1) * SECTOR) {
                    before.copy_from_slice(old);
                }
                if before[..] != *sector && !luck() {
                    sector.copy_from_slice(&before);
                }
            }
            files.insert(name.clone(), bytes);
        }
        let names = files.keys().cloned().collect();
        Disk { cache: files.clone(), synced: files, names }
    }

    /// A sync that fails: later syncs of these sectors succeed and write nothing. From here on the cache shows what
    /// `lost` says is not on the disk, until the sector is written again.
    pub(super) fn fail_sync(&mut self) -> FailedSync {
        let mut sectors = BTreeMap::new();
        for (name, bytes) in &self.cache {
            for (ordinal, sector) in bytes.chunks(SECTOR).enumerate() {
                let at = ordinal * SECTOR;
                let old =
                    self.synced.get(name).and_then(|old| old.get(at..at + SECTOR)).unwrap_or(&[0; SECTOR]);
                if old != sector {
                    sectors.insert((name.to_owned(), at), old.to_vec());
                }
            }
        }
        FailedSync { sectors }
    }

    pub(super) fn recover(&self, on_damage: OnDamage) -> Result<Recovery, crate::error::RestoreError> {
        Recovery::start(config(), &self.cache, on_damage)
    }

    /// A whole recovery.
    pub(super) fn restart(&mut self) -> (Journal, Restored, RecoveryReport) {
        let recovery = self.recover(OnDamage::Refuse).expect("recoverable");
        self.perform_all(recovery.ops());
        let report = recovery.report().clone();
        let (journal, restored) = recovery.finish();
        (journal, restored, report)
    }
}

/// Sectors that the cache shows and the disk does not hold.
pub(super) struct FailedSync {
    sectors: BTreeMap<(String, usize), Vec<u8>>,
}

impl FailedSync {
    /// Forgets a sector that is written again: it is dirty, and the next sync writes it.
    pub(super) fn note(&mut self, op: &DiskOp) {
        match op {
            DiskOp::Write { file, offset, bytes } => {
                let range = *offset as usize..*offset as usize + bytes.len();
                self.sectors.retain(|(name, at), _| name != file || !range.contains(at));
            }
            DiskOp::Create { file, .. } | DiskOp::Remove { file } => {
                self.sectors.retain(|(name, _), _| name != file);
            }
            DiskOp::Sync { .. } | DiskOp::SyncDirectory => {}
        }
    }

    /// The disk after a power loss: what was never written is not there.
    pub(super) fn power_loss(&self, disk: &Disk) -> Disk {
        let mut after = disk.power_loss(&mut || true);
        for ((name, at), old) in &self.sectors {
            if let Some(file) = after.cache.get_mut(name) {
                file[*at..at + SECTOR].copy_from_slice(old);
            }
        }
        after.synced = after.cache.clone();
        after
    }
}

/// A node's journal over a disk, and the states that a crash may legally show.
pub(super) struct Node {
    pub(super) disk: Disk,
    pub(super) journal: Journal,
    pub(super) boot: Boot,
    pub(super) log: Vec<Entry>,
    pub(super) hard_state: HardState,
    number: u64,
}

impl Node {
    pub(super) fn start(mut disk: Disk) -> Node {
        let (journal, restored, _) = disk.restart();
        Node {
            disk,
            journal,
            boot: restored.boot,
            log: restored.entries,
            hard_state: restored.hard_state,
            number: 0,
        }
    }

    pub(super) fn submit(&mut self, write: Write) {
        if let Some(hard_state) = write.hard_state {
            self.hard_state = hard_state;
        }
        if let Some(from) = write.truncate_from {
            self.log.truncate(from.0 as usize - 1);
        }
        self.log.extend(write.append.iter().cloned());
        self.number += 1;
        self.journal.submit(persist(self.boot, self.number, write));
    }

    pub(super) fn append(&mut self, term: u64, bytes: usize) {
        let index = self.log.len() as u64 + 1;
        self.submit(Write { append: [entry(term, index, bytes)].into(), ..Write::default() });
    }

    /// Performs all that is queued.
    pub(super) fn settle(&mut self) {
        while let Some(batch) = self.journal.poll_batch() {
            self.disk.perform_all(&batch.ops);
            let _ = self.journal.handle_batch_done();
        }
    }
}

/// A directory with some of everything: several segments, batches of one and of many sectors, a truncation, votes.
pub(super) fn lived_in() -> Node {
    let mut node = Node::start(Disk::initialised());
    node.submit(Write { hard_state: Some(voted(1)), ..Write::default() });
    node.settle();
    for bytes in [10, 300, 1500, 600, 0] {
        node.append(1, bytes);
        node.settle();
    }
    node.submit(Write {
        hard_state: Some(voted(2)),
        truncate_from: Some(Index(5)),
        append: [entry(2, 5, 700), entry(2, 6, 20)].into(),
        ..Write::default()
    });
    node.settle();
    node.append(2, 900);
    node.settle();
    assert_eq!(node.log.len(), 7);
    node
}
