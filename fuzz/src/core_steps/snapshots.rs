//! What the node's host does about snapshots: it writes its own, reads the installed one into its state, and reads back
//! what the core let go.

use std::collections::VecDeque;
use std::convert::Infallible;

use raft_core::journal::{Directory, DiskOp, Files, LoadPlan, ReadFailed, RestorePlan, WrittenSnapshot};
use raft_core::{LoadRequest, Loaded, LogId, SnapshotMeta, Wanted};

use super::super::disk::perform_all;
use super::host::Host;

/// Pieces of a snapshot of its own, at most.
const PIECES_MAX: u64 = 64;

/// What is under way with snapshots in a process.
#[derive(Default)]
pub(super) struct Snapshots {
    /// One of its own that is being written.
    writing: Option<Writing>,
    /// A snapshot on its way into the state.
    restoring: Option<RestorePlan>,
    loads: VecDeque<(LoadRequest, LoadPlan)>,
}

struct Writing {
    ops: VecDeque<DiskOp>,
    written: WrittenSnapshot,
}

impl Snapshots {
    pub(super) fn is_restoring(&self) -> bool {
        self.restoring.is_some()
    }
}

/// What every snapshot of these lengths consists of, whoever wrote it: pieces that are sent can be checked.
pub(super) fn content(last: LogId, length: u64) -> Vec<u8> {
    (0..length).map(|place| byte(last, place)).collect()
}

/// One byte of it.
pub(super) fn byte(last: LogId, place: u64) -> u8 {
    (last.index.0 ^ last.term.0 << 3).wrapping_add(place.wrapping_mul(7)) as u8
}

/// Lengths of snapshots: none, little, a block, and more.
pub(super) fn length(how: u8) -> u64 {
    [0, 1, 64, 100, 700, 3_000, 4_088, 9_000][usize::from(how % 8)]
}

fn read(files: &Files) -> impl FnMut(&str, u64, u64) -> Result<Vec<u8>, ReadFailed> {
    move |file, offset, bytes| Directory::read(files, file, offset, bytes)
}

impl Host {
    /// The state as it is applied is to be a snapshot; of so many bytes.
    pub(super) fn freeze(&mut self, how: u8) {
        let Some(last) = self.raft.id_at(self.raft.status().applied).filter(|id| id.index.0 > 0) else {
            return;
        };
        let configuration = self.raft.configuration_at(last.index).expect("of what the log holds").clone();
        let pieces_bytes = PIECES_MAX * self.config.chunk_bytes_max;
        let content = content(last, length(how).min(pieces_bytes));
        let mut ops = VecDeque::new();
        let mut perform = |op| {
            ops.push_back(op);
            Ok::<(), Infallible>(())
        };
        let plan = self.journal.plan_snapshot();
        let written = plan.write(last, &configuration, &|out| out.write(&content), &mut perform);
        self.snapshots.writing =
            Some(Writing { ops, written: written.expect("the same bytes each time, and few members") });
    }

    /// Some of the writing is done; what is complete is offered.
    pub(super) fn write_snapshot(&mut self, ops_max: usize) {
        let Some(mut writing) = self.snapshots.writing.take() else { return };
        let count = writing.ops.len().min(ops_max);
        let ops: Vec<DiskOp> = writing.ops.drain(..count).collect();
        perform_all(&mut self.files, &ops);
        if !writing.ops.is_empty() {
            self.snapshots.writing = Some(writing);
            return;
        }
        let (before, log_start) = (self.raft.snapshot_last(), self.raft.status().log_start);
        let meta = writing.written.meta();
        let is_taken = self.raft.offer_snapshot(self.now, meta.clone()).is_ok();
        self.sending.note_offer(is_taken, log_start, &self.raft);
        if is_taken {
            assert!(meta.last.index > before.index, "{meta:?} is no newer than {before}");
            self.journal.handle_snapshot_written(&writing.written);
        }
        self.poll(usize::MAX);
    }

    pub(super) fn note_restore(&mut self, snapshot: &SnapshotMeta) {
        let plan = self.journal.plan_restore().expect("it is durable");
        assert_eq!(plan.snapshot(), snapshot, "the disk's is another");
        self.snapshots.restoring = Some(plan);
    }

    /// The state becomes that of the snapshot, unless a newer one is being installed.
    pub(super) fn restore(&mut self) {
        let Some(plan) = self.snapshots.restoring.take() else { return };
        let last = plan.snapshot().last;
        if self.raft.snapshot_last() == last {
            let read = &mut read(&self.files);
            plan.open(read).finish().expect("it is durable and current");
            self.raft.handle_applied(last.index);
        }
        self.poll(usize::MAX);
    }

    pub(super) fn note_load(&mut self, request: LoadRequest) {
        let plan = self.journal.plan_load(&request);
        self.snapshots.loads.push_back((request, plan));
    }

    /// One of the requests is answered by what the disk shows now.
    pub(super) fn load(&mut self, which: usize) {
        let count = self.snapshots.loads.len();
        let Some((request, plan)) = self.snapshots.loads.remove(which % count.max(1)) else { return };
        let loaded = plan.run(&mut read(&self.files));
        let told = format!("{loaded:?}");
        let restarts = self.raft.transfers_restarted();
        self.raft.handle_loaded(self.now, request, loaded);
        self.sending.note_unread(restarts, &self.raft);
        assert!(!self.raft.is_stopped(), "the disk is good, and yet the node stops: {told}");
        self.poll(usize::MAX);
    }

    /// A request finds nothing, or damage; a node that can't go on with that stops, and starts again.
    pub(super) fn fail_load(&mut self, which: usize, is_damaged: bool) -> bool {
        let count = self.snapshots.loads.len();
        let Some((request, _)) = self.snapshots.loads.remove(which % count.max(1)) else { return true };
        let loaded = if is_damaged { Loaded::Damaged } else { Loaded::Gone };
        let restarts = self.raft.transfers_restarted();
        self.raft.handle_loaded(self.now, request, loaded);
        self.sending.note_unread(restarts, &self.raft);
        assert!(self.raft.is_stopped() || !is_damaged, "it goes on with a damaged disk");
        if self.raft.is_stopped() {
            return self.fail_disk();
        }
        self.poll(usize::MAX);
        true
    }

    /// The entries that wait are read back, and no pieces of snapshots.
    pub(super) fn load_entries(&mut self) {
        let is_entries = |request: &LoadRequest| matches!(request.wanted, Wanted::Entries { .. });
        for _ in 0..self.snapshots.loads.len() {
            let Some(which) = self.snapshots.loads.iter().position(|(request, _)| is_entries(request)) else {
                return;
            };
            self.load(which);
        }
    }

    /// All that waits is read back, and all that was handed out is applied.
    pub(super) fn catch_up(&mut self) {
        self.confirm_applied(0, 0);
        for _ in 0..self.snapshots.loads.len() {
            self.load(0);
        }
    }
}
