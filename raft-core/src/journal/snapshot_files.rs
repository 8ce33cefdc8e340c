//! The snapshot files of a directory, as its journal knows them.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::DiskOp;
use super::snapshot::{self, Incoming};
use crate::snapshot::{Chunk, SnapshotMeta};
use crate::write::Identity;

/// The snapshot files of a directory.
#[derive(Clone, Debug, Default)]
pub(super) struct SnapshotFiles {
    /// The highest serial in use.
    pub(super) last_serial: u64,
    /// Complete ones, by serial.
    pub(super) complete: BTreeMap<u64, SnapshotMeta>,
    /// Being written by a [`SnapshotPlan`].
    pub(super) planned: Option<u64>,
    pub(super) incoming: Option<Incoming>,
}

impl SnapshotFiles {
    pub(super) fn next_serial(&mut self) -> u64 {
        self.last_serial += 1;
        self.last_serial
    }

    /// Writes a piece of an incoming snapshot.
    pub(super) fn push(&mut self, identity: Identity, chunk: &Chunk, ops: &mut Vec<DiskOp>) {
        if chunk.offset == 0 {
            if let Some(unfinished) = self.incoming.take() {
                ops.push(DiskOp::Remove { file: snapshot::file_name(unfinished.serial) });
            }
            let serial = self.next_serial();
            self.incoming = Some(Incoming::new(identity, serial, &chunk.snapshot, ops));
        }
        let incoming = self.incoming.as_mut().expect("a snapshot's first piece comes first");
        incoming.push(chunk.offset, &chunk.bytes, ops);
    }

    /// Makes the incoming snapshot whole.
    pub(super) fn finish(&mut self, snapshot: &SnapshotMeta, ops: &mut Vec<DiskOp>) -> u64 {
        let mut incoming = self.incoming.take().expect("what is installed has come");
        assert_eq!(incoming.snapshot, *snapshot, "what is installed is what has come");
        incoming.finish(ops);
        self.complete.insert(incoming.serial, incoming.snapshot);
        incoming.serial
    }

    /// The file of a snapshot that is complete.
    pub(super) fn serial_of(&self, snapshot: &SnapshotMeta) -> Option<u64> {
        let mut complete = self.complete.iter().rev();
        complete.find(|(_, known)| known.same_content(snapshot)).map(|(serial, _)| *serial)
    }

    /// Forgets the files before the current one that nothing works on any more.
    pub(super) fn take_outdated(&mut self, current: u64) -> Vec<u64> {
        let kept = self.complete.split_off(&current);
        core::mem::replace(&mut self.complete, kept).into_keys().collect()
    }
}
