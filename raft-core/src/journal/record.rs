//! Records: what a batch says, in postcard, the kind first.

use alloc::boxed::Box;
use alloc::vec::Vec;

use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Serialize};

use crate::entry::Entry;
use crate::snapshot::{Discard, SnapshotMeta};
use crate::types::Index;

/// One change of the log. Append-only: the position of a variant is its number on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// This entry and all after it are gone.
    Truncate {
        /// The first one gone.
        from: Index,
    },
    /// These follow the last one left.
    Append {
        /// Consecutive.
        entries: Vec<Entry>,
    },
    /// Nothing. Reserved: the mark of a hard-state record says more than a record of the log could (see
    /// [`Journal::seal`](super::Journal::seal)).
    Seal,
    /// The snapshot in this file is current, and the log is empty after it.
    Install {
        /// The number in the file's name.
        file: u64,
        /// The snapshot.
        snapshot: Box<SnapshotMeta>,
    },
    /// The snapshot in this file is current, and the log's beginning is gone.
    Discard {
        /// The number in the file's name.
        file: u64,
        /// What is discarded.
        discard: Box<Discard>,
    },
}

/// [`Record`] without owning the entries; the same bytes.
#[derive(Serialize)]
enum Borrowed<'a> {
    Truncate {
        from: Index,
    },
    Append {
        entries: &'a [Entry],
    },
    #[expect(dead_code, reason = "it keeps the numbers of those after it")]
    Seal,
    Install {
        file: u64,
        snapshot: &'a SnapshotMeta,
    },
    Discard {
        file: u64,
        discard: &'a Discard,
    },
}

pub(super) fn encode_truncate(from: Index, out: &mut Vec<u8>) {
    encode(&Borrowed::Truncate { from }, out);
}

pub(super) fn encode_append(entries: &[Entry], out: &mut Vec<u8>) {
    encode(&Borrowed::Append { entries }, out);
}

pub(super) fn encode_install(file: u64, snapshot: &SnapshotMeta, out: &mut Vec<u8>) {
    encode(&Borrowed::Install { file, snapshot }, out);
}

pub(super) fn encode_discard(file: u64, discard: &Discard, out: &mut Vec<u8>) {
    encode(&Borrowed::Discard { file, discard }, out);
}

fn encode(record: &Borrowed<'_>, out: &mut Vec<u8>) {
    postcard::serialize_with_flavor(record, Growing(out))
        .expect("a vector grows, and the types have only shapes that postcard knows");
}

/// All records of a payload, or nothing if it holds anything else.
pub(super) fn decode(mut payload: &[u8]) -> Option<Vec<Record>> {
    let mut records = Vec::new();
    while !payload.is_empty() {
        let (record, rest) = postcard::take_from_bytes(payload).ok()?;
        records.push(record);
        payload = rest;
    }
    Some(records)
}

/// Writes postcard to the end of a vector that is used again for the next batch.
struct Growing<'a>(&'a mut Vec<u8>);

impl Flavor for Growing<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}
