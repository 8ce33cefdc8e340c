//! Log entries.

mod entries;

use alloc::boxed::Box;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::membership::Configuration;
use crate::types::{Index, LogId, Term};

pub use entries::Entries;

/// One entry of the replicated log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The term of the leader that created it.
    pub term: Term,
    /// Its position.
    pub index: Index,
    /// What it says.
    pub payload: Payload,
}

/// What an entry says. Append-only: the position of a variant is its number on disk and on the wire.
///
/// An entry of a kind that this version does not know stops the node; it is never skipped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Payload {
    /// Nothing: a new leader's first entry, whose commitment commits all before it (Raft §8, thesis §6.4).
    Noop,
    /// A command for the state machine.
    Command(Bytes),
    /// A configuration, in force as soon as it is in the log (Raft §6).
    Configuration(Box<Configuration>),
    /// Reserved: from here on, members may use what this feature level allows.
    FeatureLevel(u32),
    /// Reserved: the state machine's digest after `applied`, to find replicas that diverged.
    Digest {
        /// Through which index the state was built.
        applied: Index,
        /// The digest of the state then.
        digest: u64,
    },
}

impl Entry {
    /// Its identity.
    #[must_use]
    pub fn id(&self) -> LogId {
        LogId { term: self.term, index: self.index }
    }

    /// What it counts against bounds that are in bytes: its payload plus a fixed allowance for the rest, so that
    /// a million empty entries are not free.
    #[must_use]
    pub fn size(&self) -> u64 {
        let payload = match &self.payload {
            Payload::Command(command) => command.len() as u64,
            Payload::Noop | Payload::FeatureLevel(_) | Payload::Digest { .. } => 0,
            Payload::Configuration(configuration) => 32 * configuration.members().count() as u64,
        };
        payload + ENTRY_OVERHEAD_BYTES
    }
}

/// See [`Entry::size`].
pub const ENTRY_OVERHEAD_BYTES: u64 = 32;

/// The sizes of many entries together; see [`Entry::size`].
#[must_use]
pub fn entries_size(entries: &[Entry]) -> u64 {
    entries.iter().map(Entry::size).sum()
}

/// The last id of a run of entries that follows `previous`.
#[must_use]
pub fn last_id(previous: LogId, entries: &[Entry]) -> LogId {
    entries.last().map_or(previous, Entry::id)
}
