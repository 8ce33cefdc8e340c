//! Reading back what was let go from memory: old entries, and pieces of a snapshot to send.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::entry::Entry;
use crate::snapshot::SnapshotMeta;
use crate::types::{Index, LogId};

/// Something to read back from the disk; answered by `handle_loaded`, always.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadRequest {
    /// Numbers the requests of this boot.
    pub(crate) number: u64,
    /// What is to be read.
    pub wanted: Wanted,
}

/// What is to be read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Entries, from an index on.
    Entries {
        /// The first one.
        from: Index,
        /// The last one wanted.
        through: Index,
        /// Where each term in the range starts; the first at or before `from`. An entry of another term at one of these
        /// indexes was overwritten later, and is not wanted.
        runs: Vec<LogId>,
        /// Bytes of entries ([`Entry::size`]) at most, but at least one entry.
        bytes_max: u64,
    },
    /// A piece of a snapshot.
    Chunk {
        /// Which one.
        snapshot: SnapshotMeta,
        /// Where the piece starts, in bytes of content.
        offset: u64,
        /// Its length; less at the end.
        bytes_max: u64,
    },
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// Consecutive entries from the first one wanted, at least one.
    Entries(Vec<Entry>),
    /// The piece, or the beginning of it, at least one byte.
    Chunk(Bytes),
    /// It is not there any more: a newer snapshot took its place.
    Gone,
    /// It is there, and is not what was written, or can't be read. The node stops; a restart repairs it.
    Damaged,
}
