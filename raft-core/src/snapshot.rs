//! Snapshots: what names one, and how its bytes go out of a state machine and back into one.

use alloc::string::String;
use core::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::membership::Configuration;
use crate::types::LogId;

/// Which snapshot: the last entry that it covers, its length in bytes and its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotMeta {
    /// The last entry covered.
    pub last: LogId,
    /// The configuration as of `last`.
    pub configuration: Configuration,
    /// Bytes of content.
    pub length: u64,
    /// XXH3-64 of the content.
    pub digest: u64,
}

impl SnapshotMeta {
    /// Whether two names mean the same bytes: a transfer of one may go on as a transfer of the other.
    #[must_use]
    pub fn same_content(&self, other: &SnapshotMeta) -> bool {
        (self.last, self.length, self.digest) == (other.last, other.length, other.digest)
    }
}

/// A piece of an incoming snapshot. Pieces of one snapshot are written in order, without gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Of which snapshot. The piece at offset 0 begins its file anew.
    pub snapshot: SnapshotMeta,
    /// Where the piece starts, in bytes of content.
    pub offset: u64,
    /// The piece; empty only if the whole snapshot is.
    pub bytes: Bytes,
}

/// Lets go of the beginning of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discard {
    /// The snapshot that covers it: complete and durable already, and from now on the current one.
    pub snapshot: SnapshotMeta,
    /// The last entry let go; at most the snapshot's last. What is kept between the two spares a slow follower the
    /// snapshot.
    pub through: LogId,
}

/// Where a state machine writes its image. It never fails from the writer's point of view: a failed disk is
/// somebody else's business.
pub trait Sink {
    /// Takes the next bytes.
    fn write(&mut self, bytes: &[u8]);
}

/// Where a state machine reads its image back.
pub trait Source {
    /// Fills the buffer as far as there are bytes, and says how many it filled: fewer than asked for only at the end.
    ///
    /// # Errors
    /// The bytes can't be read, or are not what was written.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, SourceError>;
}

/// Why a snapshot could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceError {
    /// What is wrong, and where.
    pub what: String,
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the snapshot can't be read: {}", self.what)
    }
}

impl core::error::Error for SourceError {}
