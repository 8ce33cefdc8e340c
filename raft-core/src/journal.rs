//! The bytes of a data directory: what a [`Write`](crate::Write) becomes on disk, and what a disk is worth after a crash.
//!
//! Still without I/O: the journal turns writes into [`DiskOp`]s, which the host performs in order, and recovery reads
//! the bytes that the host hands to it.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use crate::error::RestoreError;
use crate::membership::Configuration;
use crate::write::{Durable, Identity, Persist, Restored};

/// The unit that a disk writes whole or not at all.
pub const SECTOR_BYTES: u64 = 512;

/// Something for the host to do to its data directory. In order; the first failure poisons the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskOp {
    /// Creates a file of that many zero bytes, replacing an old one.
    Create {
        /// The file's name in the data directory.
        file: String,
        /// Its length.
        bytes: u64,
    },
    /// Writes whole sectors inside an existing file.
    Write {
        /// The file.
        file: String,
        /// Where: a multiple of [`SECTOR_BYTES`].
        offset: u64,
        /// What: a multiple of [`SECTOR_BYTES`] long.
        bytes: Vec<u8>,
    },
    /// Makes a file's content durable (fdatasync).
    Sync {
        /// The file.
        file: String,
    },
    /// Removes a file.
    Remove {
        /// The file.
        file: String,
    },
    /// Makes creations and removals durable (fsync of the directory).
    SyncDirectory,
}

/// Sizes of a journal's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalConfig {
    /// Bytes of a segment: a multiple of [`SECTOR_BYTES`]. A batch larger than that gets a segment of its own size.
    pub segment_bytes: u64,
    /// Bytes of entries in one batch (one sync); a single larger write still goes.
    pub batch_bytes_max: u64,
}

impl Default for JournalConfig {
    fn default() -> JournalConfig {
        JournalConfig { segment_bytes: 64 << 20, batch_bytes_max: 1 << 20 }
    }
}

/// All files of a data directory, by name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// What to do about damage below the `synced_to` mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDamage {
    /// Return [`RestoreError::Damaged`].
    Refuse,
    /// Write a durable abstaining hard state, then cut the log at the damage; peers repair it.
    Abstain,
}

/// What recovery found, for logs and for the simulator's counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Torn batches cut off the end.
    pub torn: u64,
    /// Batches above `synced_to` that were rewritten to a fresh segment.
    pub rewritten: u64,
    /// Hard-state slots whose one copy was damaged and the other good.
    pub hard_state_copies_damaged: u64,
    /// Where the log was cut because of damage: (file, offset). Only with [`OnDamage::Abstain`].
    pub damaged_at: Option<(String, u64)>,
}

/// The operations that initialise an empty directory: identity and, for a founding member, the founding set.
#[must_use]
#[allow(clippy::todo, unused_variables)]
pub fn initialise(identity: Identity, founding: &Configuration) -> Vec<DiskOp> {
    todo!()
}

/// A recovery under way.
#[derive(Clone, Debug)]
pub struct Recovery {
    _todo: (),
}

#[allow(clippy::todo, unused_variables, missing_docs)]
impl Recovery {
    /// Reads a directory. Nothing is changed yet.
    pub fn start(
        config: JournalConfig,
        files: &Files,
        on_damage: OnDamage,
    ) -> Result<Recovery, RestoreError> {
        todo!()
    }
    /// What to perform, in order, before [`finish`](Recovery::finish). A crash anywhere in it can be recovered from.
    #[must_use]
    pub fn ops(&self) -> &[DiskOp] {
        todo!()
    }
    #[must_use]
    pub fn report(&self) -> &RecoveryReport {
        todo!()
    }
    /// To be called once every operation of [`ops`](Recovery::ops) has succeeded, and not before.
    #[must_use]
    pub fn finish(self) -> (Journal, Restored) {
        todo!()
    }
}

/// A batch of operations that ends in a sync. One is under way at a time; what is submitted meanwhile shares the next.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Batch {
    /// To be performed in order.
    pub ops: Vec<DiskOp>,
}

/// The write queue of a node: group commit, and silence after the first failure.
#[derive(Clone, Debug)]
pub struct Journal {
    _todo: (),
}

#[allow(clippy::todo, unused_variables, missing_docs)]
impl Journal {
    /// Queues a write.
    pub fn submit(&mut self, persist: Persist) {
        todo!()
    }
    /// The next batch, unless one is under way, nothing is queued, or the journal is poisoned.
    #[must_use]
    pub fn poll_batch(&mut self) -> Option<Batch> {
        todo!()
    }
    /// The batch under way is synced. Hand the result to the core.
    #[must_use]
    pub fn handle_batch_done(&mut self) -> Option<Durable> {
        todo!()
    }
    /// An operation failed: nothing is ever written again in this process (a second sync would prove nothing).
    pub fn handle_failure(&mut self) {
        todo!()
    }
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        todo!()
    }
}
