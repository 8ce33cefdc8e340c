//! The bytes of a data directory: what a [`Write`](crate::Write) becomes on disk, and what a disk is worth after a crash.
//!
//! Still without I/O: the journal turns writes into [`DiskOp`]s, which the host performs in order, and recovery reads
//! the bytes that the host hands to it.
//!
//! ```text
//! identity, founding           whose directory it is; written once
//! hard-state-a, hard-state-b   term and vote: a ring of one-sector records, twice
//! segment-<20 digits>          the log: batches of records
//! snapshot-<20 digits>         a snapshot: blocks; it counts once a record or a segment's header names it
//! ```
//!
//! Every byte is drawn in the architecture document. The rules that recovery stands on:
//!
//! - One batch is under way at a time, and each says through which batch everything was durable before it
//!   (`synced_to`). Below the highest `synced_to`, any damage is an error; above it there is one batch, which may be
//!   torn: that is, one of its sectors is unwritten.
//! - Nothing that counts is ever overwritten in place, and no segment is used twice.
//! - What tells of a loss is kept apart from what may be lost: a hard-state record names the segment in use.

mod directory;
mod hard_state;
mod identity;
mod index;
mod log_builder;
mod queue;
pub mod read;
mod record;
mod recovery;
mod replay;
mod sector;
mod segment;
mod snapshot;
mod snapshot_files;
#[cfg(test)]
mod tests;

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use crate::config::ConfigError;

pub use directory::{Directory, ReadBytes, ReadFailed};
pub use identity::initialise;
pub use index::LoadPlan;
pub use queue::Journal;
pub use recovery::Recovery;
pub(crate) use snapshot::can_hold;
pub use snapshot::{RestorePlan, SnapshotPlan, SnapshotSource, SnapshotWriteError, WrittenSnapshot};

/// The unit that a disk writes whole or not at all.
pub const SECTOR_BYTES: u64 = 512;

/// Something for the host to do to its data directory. In order; the first failure poisons the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskOp {
    /// Creates a file of that many zero bytes, replacing an old one. With none, it grows as it is written.
    Create {
        /// The file's name in the data directory.
        file: String,
        /// Its length.
        bytes: u64,
    },
    /// Writes whole sectors inside an existing file, or right at its end.
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
    /// Bytes of the newest entries ([`Entry::size`](crate::Entry::size)) that recovery hands back; older ones are read
    /// when they are needed.
    pub recovered_bytes_max: u64,
}

impl Default for JournalConfig {
    fn default() -> JournalConfig {
        JournalConfig { segment_bytes: 16 << 20, batch_bytes_max: 1 << 20, recovered_bytes_max: 16 << 20 }
    }
}

impl JournalConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// The first setting that can't work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let rules = [
            (self.segment_bytes.is_multiple_of(SECTOR_BYTES), "segment_bytes", "must be a multiple of 512"),
            (self.segment_bytes >= 4 * SECTOR_BYTES, "segment_bytes", "must be at least 2048"),
            (self.segment_bytes <= 1 << 40, "segment_bytes", "must be at most 2^40"),
        ];
        match rules.into_iter().find(|(holds, ..)| !holds) {
            Some((_, setting, rule)) => Err(ConfigError { setting, rule }),
            None => Ok(()),
        }
    }
}

/// All files of a data directory, by name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// The same, borrowed.
pub type View<'a> = BTreeMap<&'a str, &'a [u8]>;

/// What to do about damage below the `synced_to` mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDamage {
    /// Return [`RestoreError::Damaged`](crate::RestoreError::Damaged).
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
    /// Damaged copies of identity, founding set and segment headers whose other copy was good.
    pub copies_repaired: u64,
    /// Where the log was cut because of damage: (file, offset). Only with [`OnDamage::Abstain`].
    pub damaged_at: Option<(String, u64)>,
    /// Files of snapshots that nothing names: of transfers and of writing that a crash ended.
    pub orphans: u64,
}

/// Work on incoming snapshots, beside the batches: a piece that is written and synced, or a file that is not needed any more.
/// One is under way at a time. Its files are its own, so that nothing waits for it but what follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct ReceiveJob {
    /// To be performed in order.
    pub ops: Vec<DiskOp>,
}

/// A batch of operations that ends in a sync. One is under way at a time; what is submitted meanwhile shares the next.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Batch {
    /// To be performed in order.
    pub ops: Vec<DiskOp>,
}
