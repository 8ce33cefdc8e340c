//! The snapshot files of a directory, as its journal knows them.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::mem;

use super::snapshot::{self, Incoming};
use super::{DiskOp, ReceiveJob};
use crate::snapshot::{Chunk, Received, SnapshotMeta};
use crate::types::Index;
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
    /// Coming in.
    incoming: Option<Incoming>,
    /// Something has come since the last job.
    has_news: bool,
    /// What the next job does before it syncs what has come.
    ops: Vec<DiskOp>,
    /// The job under way.
    under_way: Option<UnderWay>,
}

/// A job on an incoming snapshot, or a cleaning up.
#[derive(Clone, Debug)]
struct UnderWay {
    /// How far a snapshot is when it is done, and its file.
    received: Option<(Received, u64)>,
    /// Which operation makes its file, if one does.
    created_by: Option<usize>,
}

impl SnapshotFiles {
    /// A directory whose highest serial is this.
    pub(super) fn new(last_serial: u64) -> SnapshotFiles {
        SnapshotFiles { last_serial, ..SnapshotFiles::default() }
    }

    pub(super) fn next_serial(&mut self) -> u64 {
        self.last_serial += 1;
        self.last_serial
    }

    /// Takes a piece of an incoming snapshot.
    pub(super) fn receive(&mut self, identity: Identity, chunk: &Chunk) {
        if self.incoming.as_ref().is_none_or(|incoming| incoming.transfer != chunk.transfer) {
            assert_eq!(chunk.offset, 0, "a snapshot's first piece comes first");
            if let Some(unfinished) = self.incoming.take() {
                self.remove(unfinished.serial);
            }
            let serial = self.next_serial();
            self.incoming = Some(Incoming::new(identity, serial, chunk, &mut self.ops));
        }
        let incoming = self.incoming.as_mut().expect("it was begun");
        incoming.push(chunk.offset, &chunk.bytes, &mut self.ops);
        self.has_news = true;
    }

    /// A file that nothing will ever name goes, whatever was to be done to it.
    pub(super) fn remove(&mut self, serial: u64) {
        let file = snapshot::file_name(serial);
        let makes = |op: &DiskOp| matches!(op, DiskOp::Create { file: made, .. } if *made == file);
        let is_made = !self.ops.iter().any(makes);
        self.forget(serial, is_made);
    }

    /// The same, where it is known whether there is such a file yet.
    fn forget(&mut self, serial: u64, is_made: bool) {
        let gone = snapshot::file_name(serial);
        self.ops.retain(|op| match op {
            DiskOp::Create { file, .. }
            | DiskOp::Write { file, .. }
            | DiskOp::Sync { file }
            | DiskOp::Remove { file } => *file != gone,
            DiskOp::SyncDirectory => true,
        });
        if is_made {
            self.ops.extend([DiskOp::Remove { file: gone }, DiskOp::SyncDirectory]);
        }
    }

    /// The next job, unless one is under way, or there is nothing to do.
    pub(super) fn poll_job(&mut self) -> Option<ReceiveJob> {
        if self.under_way.is_some() || (self.ops.is_empty() && !self.has_news) {
            return None;
        }
        let mut ops = mem::take(&mut self.ops);
        let mut received = None;
        if mem::take(&mut self.has_news)
            && let Some(incoming) = &mut self.incoming
        {
            incoming.sync(&mut ops);
            let (transfer, through) = (incoming.transfer, incoming.received);
            received = Some((Received { transfer, through, is_whole: incoming.is_whole() }, incoming.serial));
        }
        let created_by = ops.iter().position(|op| matches!(op, DiskOp::Create { .. }));
        self.under_way = Some(UnderWay { received, created_by });
        Some(ReceiveJob { ops })
    }

    /// The job under way is done.
    pub(super) fn job_done(&mut self) -> Option<Received> {
        let (received, serial) = self.under_way.take()?.received?;
        if received.is_whole
            && let Some(whole) = self.incoming.take_if(|incoming| incoming.serial == serial)
        {
            self.complete.insert(serial, whole.snapshot);
        }
        Some(received)
    }

    /// There was no room for the job under way, of which so many operations were performed: what it was for goes. The
    /// transfer that ends so.
    pub(super) fn job_failed(&mut self, performed: usize) -> Option<u64> {
        let UnderWay { received, created_by } = self.under_way.take()?;
        let (received, serial) = received?;
        // Another may have begun since.
        if self.incoming.take_if(|incoming| incoming.serial == serial).is_some() {
            self.has_news = false;
        }
        self.forget(serial, created_by.is_none_or(|created_by| created_by < performed));
        Some(received.transfer)
    }

    /// The file of a snapshot that is complete.
    pub(super) fn serial_of(&self, snapshot: &SnapshotMeta) -> Option<u64> {
        let mut complete = self.complete.iter().rev();
        complete.find(|(_, known)| known.same_content(snapshot)).map(|(serial, _)| *serial)
    }

    /// Forgets the files before the current one that nothing works on any more. One that has come whole and covers more is
    /// to be installed yet, though its file is older than a snapshot of one's own that was taken meanwhile.
    pub(super) fn take_outdated(&mut self, current: u64) -> Vec<u64> {
        let covered = self.complete.get(&current).map_or(Index(0), |snapshot| snapshot.last.index);
        let is_outdated =
            |serial: &u64, snapshot: &SnapshotMeta| *serial < current && snapshot.last.index <= covered;
        let outdated = self.complete.iter().filter(|(serial, snapshot)| is_outdated(serial, snapshot));
        let outdated: Vec<u64> = outdated.map(|(serial, _)| *serial).collect();
        for serial in &outdated {
            self.complete.remove(serial);
        }
        outdated
    }
}
