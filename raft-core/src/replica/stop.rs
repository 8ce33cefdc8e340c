//! Why a member is silent.

use alloc::string::String;
use core::fmt;

use crate::types::LogId;

/// Why a node stopped itself, for good: a restart is the cure, of the same version or of a newer one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The host reported a failed disk. What the last writes left behind is only known after a recovery.
    DiskFailed,
    /// Something on the disk that was read back is not what was written, or can't be read. A restart recovers as a
    /// damaged node, which its peers repair.
    Damaged,
    /// A snapshot can't be written or read: the disk is at fault, or the state machine's `write` or `restore`.
    Snapshot {
        /// What is wrong.
        what: String,
    },
    /// A committed entry is of a kind that this version does not know. Start a version that does.
    UnknownEntry {
        /// The entry.
        at: LogId,
        /// Its kind.
        kind: &'static str,
    },
    /// A committed command has bytes that this version can't read. Start a version that can.
    Undecodable {
        /// The entry.
        at: LogId,
        /// What is wrong with it.
        what: String,
    },
    /// A response of the state machine can't be encoded, or not read back: its serde implementation is at fault.
    Response {
        /// The entry.
        at: LogId,
        /// What is wrong with it.
        what: String,
    },
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StopReason::DiskFailed => write!(f, "the disk failed; restart the node to recover from it"),
            StopReason::Damaged => {
                write!(
                    f,
                    "the disk does not hold what was written to it; restart the node to have it repaired"
                )
            }
            StopReason::Snapshot { what } => {
                write!(f, "a snapshot can't be used ({what}); check the state machine, then restart the node")
            }
            StopReason::UnknownEntry { at, kind } => {
                write!(
                    f,
                    "the entry {at} is of a kind ({kind}) that this version does not know; start a newer one"
                )
            }
            StopReason::Undecodable { at, what } => {
                write!(f, "the command of the entry {at} can't be read ({what}); start a version that can")
            }
            StopReason::Response { at, what } => {
                write!(
                    f,
                    "the response to the entry {at} can't be encoded and read back ({what}); fix its serde"
                )
            }
        }
    }
}
