//! Snapshots: what names one, and how its bytes go out of a state machine and back into one.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use postcard::ser_flavors::Flavor;
use serde::de::DeserializeOwned;
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

/// A piece of an incoming snapshot. Pieces of one transfer are written in order, without gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Numbers the transfers of this boot: another attempt at one snapshot is another transfer.
    pub transfer: u64,
    /// Of which snapshot. The piece at offset 0 begins its file anew.
    pub snapshot: SnapshotMeta,
    /// Where the piece starts, in bytes of content.
    pub offset: u64,
    /// The piece; empty only if the whole snapshot is.
    pub bytes: Bytes,
}

/// Says how far an incoming snapshot is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Which transfer.
    pub transfer: u64,
    /// Its content is written and synced before this, in bytes.
    pub through: u64,
    /// All of it is, its file and its directory.
    pub is_whole: bool,
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

/// Writes a value in postcard: the body of a [`StateMachine::write`](crate::replica::StateMachine::write).
///
/// # Panics
/// If the value's own `Serialize` fails.
pub fn write_value<T: Serialize>(value: &T, out: &mut dyn Sink) {
    struct Into<'a>(&'a mut dyn Sink);
    impl Flavor for Into<'_> {
        type Output = ();

        fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
            self.0.write(&[byte]);
            Ok(())
        }

        fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
            self.0.write(bytes);
            Ok(())
        }

        fn finalize(self) -> postcard::Result<()> {
            Ok(())
        }
    }
    postcard::serialize_with_flavor(value, Into(out)).expect("a state machine's image can be serialized");
}

/// Reads what [`write_value`] wrote, to the end of the source: the body of a
/// [`StateMachine::restore`](crate::replica::StateMachine::restore).
///
/// # Errors
/// Those of the source; or the bytes are not such a value, all of them.
pub fn read_value<T: DeserializeOwned>(input: &mut dyn Source) -> Result<T, SourceError> {
    const PIECE: usize = 64 << 10;
    let mut bytes = Vec::new();
    loop {
        let start = bytes.len();
        bytes.resize(start + PIECE, 0);
        let count = input.read(&mut bytes[start..])?;
        bytes.truncate(start + count);
        if count < PIECE {
            break;
        }
    }
    match postcard::take_from_bytes(&bytes) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(SourceError { what: format!("{} bytes are left over", rest.len()) }),
        Err(error) => Err(SourceError { what: format!("{error}") }),
    }
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
