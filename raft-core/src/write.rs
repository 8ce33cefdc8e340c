//! What a node must have on disk before it may say certain things, and the proof that it has.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::entry::Entry;
use crate::membership::Configuration;
use crate::types::{Boot, ClusterId, Epoch, Index, LogId, Member, Term};

/// A node's promises (Raft figure 2, "persistent state"), kept apart from the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HardState {
    /// The highest term seen.
    pub term: Term,
    /// Who got this node's vote in that term.
    pub vote: Option<Member>,
    /// The disk lost something that was promised: until it is repaired, this node elects nobody.
    pub abstaining: bool,
}

/// Changes to the disk. Field order is write order; any prefix is a legal state to crash in.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Write {
    /// Replaces the hard state, in both copies.
    pub hard_state: Option<HardState>,
    /// Removes this entry and all after it.
    pub truncate_from: Option<Index>,
    /// Adds these, consecutive, right after the last one left.
    pub append: Vec<Entry>,
    /// Reserved for snapshots: pieces of an incoming one.
    pub chunks: Vec<Chunk>,
    /// Reserved for snapshots: makes the received snapshot current and discards the log through it.
    pub install: Option<Box<SnapshotMeta>>,
    /// Reserved for snapshots: discards the prefix that this durable snapshot covers.
    pub discard_through: Option<Box<SnapshotMeta>>,
}

impl Write {
    /// Whether nothing is to be written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hard_state.is_none()
            && self.truncate_from.is_none()
            && self.append.is_empty()
            && self.chunks.is_empty()
            && self.install.is_none()
            && self.discard_through.is_none()
    }
}

/// Which snapshot: the last entry that it covers, its length in bytes and its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotMeta {
    /// The last entry covered.
    pub last: LogId,
    /// The configuration as of `last`.
    pub configuration: Configuration,
    /// Bytes.
    pub length: u64,
    /// XXH3-64 of the bytes.
    pub digest: u64,
}

/// A piece of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Which snapshot, by its last entry.
    pub snapshot: LogId,
    /// Where the piece starts, in bytes.
    pub offset: u64,
    /// The piece.
    pub bytes: Bytes,
}

/// A write to perform. Write it, sync it, then hand back [`durable`](Persist::durable); several may share one sync.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "an unperformed write leaves the node silent"]
pub struct Persist {
    pub(crate) boot: Boot,
    pub(crate) number: u64,
    /// What to write.
    pub write: Write,
}

impl Persist {
    /// The proof to hand back once this write, and all before it, are synced. There is no other way to make one.
    #[must_use]
    pub fn durable(&self) -> Durable {
        Durable { boot: self.boot, number: self.number }
    }
}

/// Says that a write and all before it are synced. Idempotent, and void in another boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durable {
    pub(crate) boot: Boot,
    pub(crate) number: u64,
}

/// Who a data directory belongs to; written once, when it is initialised, and repeated in every file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The cluster.
    pub cluster: ClusterId,
    /// The cluster's epoch.
    pub epoch: Epoch,
    /// The member: its number, and the incarnation minted with the directory.
    pub member: Member,
}

/// What recovery found on a disk, made durable and safe to build on. Only [`crate::journal`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Whose disk it is.
    pub(crate) identity: Identity,
    /// This boot's number, synced.
    pub(crate) boot: Boot,
    /// The last hard state.
    pub(crate) hard_state: HardState,
    /// The founding configuration, in force until the log holds another.
    pub(crate) founding: Configuration,
    /// The snapshot that the log starts after; none means that it starts at 1.
    pub(crate) snapshot: Option<SnapshotMeta>,
    /// The log after it, consecutive.
    pub(crate) entries: Vec<Entry>,
}

impl Restored {
    /// Whose disk it is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// This boot's number.
    #[must_use]
    pub fn boot(&self) -> Boot {
        self.boot
    }

    /// The last hard state.
    #[must_use]
    pub fn hard_state(&self) -> HardState {
        self.hard_state
    }

    /// The log, consecutive.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}
