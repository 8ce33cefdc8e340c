//! What a node must have on disk before it may say certain things, and the proof that it has.

use alloc::boxed::Box;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::entry::{Entries, Entry};
use crate::membership::Configuration;
use crate::snapshot::{Discard, SnapshotMeta};
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
    pub append: Entries,
    /// One record that makes the snapshot, which is complete and synced in a file of its own, current, and discards the whole log: what
    /// follows starts after it. It closes its write: no truncation and no append beside it.
    pub install: Option<Box<SnapshotMeta>>,
    /// Lets go of the beginning of the log, which a durable snapshot covers.
    pub discard_through: Option<Box<Discard>>,
}

impl Write {
    /// Whether nothing is to be written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hard_state.is_none()
            && self.truncate_from.is_none()
            && self.append.is_empty()
            && self.install.is_none()
            && self.discard_through.is_none()
    }
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
    /// The current snapshot, complete and checked.
    pub(crate) snapshot: Option<SnapshotMeta>,
    /// The log starts after this entry; at most the snapshot's last.
    pub(crate) base: LogId,
    /// Where each term after `base` starts.
    pub(crate) runs: Vec<LogId>,
    /// The log's last entry, or `base`. At least the snapshot's last.
    pub(crate) last: LogId,
    /// The configurations in the log after `base`, with the index of their entry.
    pub(crate) configurations: Vec<(Index, Configuration)>,
    /// The newest entries, consecutive through `last`; those before them are read back when they are needed.
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

    /// The current snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Option<&SnapshotMeta> {
        self.snapshot.as_ref()
    }

    /// The log starts after this entry.
    #[must_use]
    pub fn base(&self) -> LogId {
        self.base
    }

    /// Where each term of the log after the base starts.
    #[must_use]
    pub fn runs(&self) -> &[LogId] {
        &self.runs
    }

    /// The log's last entry.
    #[must_use]
    pub fn last(&self) -> LogId {
        self.last
    }

    /// The newest entries of the log, consecutive: all of them, or as many as
    /// [`JournalConfig::recovered_bytes_max`](crate::journal::JournalConfig::recovered_bytes_max) allows.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

#[cfg(test)]
impl Restored {
    /// A disk without a snapshot, whose whole log is in memory.
    pub(crate) fn of_log(
        identity: Identity,
        boot: Boot,
        hard_state: HardState,
        founding: Configuration,
        entries: Vec<Entry>,
    ) -> Restored {
        let mut runs: Vec<LogId> = Vec::new();
        let mut configurations = Vec::new();
        for entry in &entries {
            if runs.last().is_none_or(|run| run.term < entry.term) {
                runs.push(entry.id());
            }
            if let crate::entry::Payload::Configuration(configuration) = &entry.payload {
                configurations.push((entry.index, (**configuration).clone()));
            }
        }
        let base = LogId::default();
        let last = crate::entry::last_id(base, &entries);
        Restored {
            identity,
            boot,
            hard_state,
            founding,
            snapshot: None,
            base,
            runs,
            last,
            configurations,
            entries,
        }
    }
}
