//! Snapshots in a history: its own, which take the place of the log's beginning, and those that its leaders send.

use std::convert::Infallible;

use bytes::Bytes;
use raft_core::journal::{DiskOp, WrittenSnapshot};
use raft_core::message::SnapshotChunk;
use raft_core::{Index, LogId, Message, Round, SnapshotMeta, Term};
use xxhash_rust::xxh3::xxh3_64;

use super::super::disk::{perform_all, perform_torn};
use super::history::History;

/// What a history has of snapshots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotCounts {
    /// Of a leader, whole and made current.
    pub installed: u32,
    /// Of its own, made current.
    pub taken: u32,
    /// Of its own, of which a part was written when the process ended.
    pub begun: u32,
    /// Of a leader, of which a part had come when the process ended.
    pub interrupted: u32,
}

/// A snapshot on its way to the node.
pub(super) struct Transfer {
    snapshot: SnapshotMeta,
    content: Bytes,
    /// Where the next piece starts.
    next: usize,
}

/// What a snapshot holds: nothing, little, a block, and more.
fn content(how: u8, byte: u8) -> Vec<u8> {
    vec![byte; [0, 100, 4_088, 9_000][usize::from(how % 4)]]
}

impl History {
    /// A snapshot of what is applied, as operations on the disk; none if it would not be newer than the current one.
    fn plan(&mut self, how: u8, byte: u8) -> Option<(Vec<DiskOp>, WrittenSnapshot)> {
        let last = self.raft.id_at(self.raft.status().applied)?;
        if last.index <= self.raft.snapshot_last().index {
            return None;
        }
        let configuration = self.raft.configuration_at(last.index).expect("of what the log holds").clone();
        let content = content(how, byte);
        let mut ops = Vec::new();
        let mut perform = |op| {
            ops.push(op);
            Ok::<(), Infallible>(())
        };
        let plan = self.journal.plan_snapshot();
        let written = plan.write(last, &configuration, &|out| out.write(&content), &mut perform);
        Some((ops, written.expect("the same bytes each time, and few members")))
    }

    /// A snapshot of its own takes the place of the log's beginning.
    pub(super) fn compact(&mut self, how: u8, byte: u8) {
        let Some((ops, written)) = self.plan(how, byte) else { return };
        perform_all(&mut self.files, &ops);
        self.raft.offer_snapshot(self.now, written.meta().clone()).expect("it is newer, and nobody gets one");
        self.journal.handle_snapshot_written(&written);
        self.poll();
    }

    /// A snapshot of its own is begun; what there is of it may arrive on the disk.
    pub(super) fn compact_in_part(&mut self, how: u8, luck: u8) {
        let Some((ops, _)) = self.plan(how, luck) else { return };
        let count = usize::from(how >> 4) % ops.len();
        self.counts.begun += u32::from(count > 0);
        let mut sector = 0;
        perform_torn(&mut self.files, &ops[..count], &mut || {
            sector += 1;
            luck >> (sector % 8) & 1 == 1
        });
    }

    /// The leader begins to send a snapshot of what comes after the log.
    pub(super) fn begin_transfer(&mut self, round: Round, a: u8, b: u8, c: u8) {
        let (term, last) = (self.raft.term(), self.raft.status().last.index);
        if term == Term(0) {
            return;
        }
        let last = LogId { term, index: Index(last.0 + 1 + u64::from(a % 4)) };
        let content = Bytes::from(content(b, c));
        let configuration = self.raft.configuration().clone();
        let (length, digest) = (content.len() as u64, xxh3_64(&content));
        let snapshot = SnapshotMeta { last, configuration, length, digest };
        self.transfer = Some(Transfer { snapshot, content, next: 0 });
        self.take_piece(round, usize::from(a >> 2) * 64);
    }

    /// The node restarted, and knows nothing of the pieces that it had.
    pub(super) fn begin_transfer_anew(&mut self) {
        if let Some(transfer) = &mut self.transfer {
            self.counts.interrupted += u32::from(transfer.next > 0);
            transfer.next = 0;
        }
    }

    /// The next piece of it comes, by whoever leads now; the last one makes it current.
    pub(super) fn take_piece(&mut self, round: Round, bytes_max: usize) {
        let Some(mut transfer) = self.transfer.take() else { return };
        let last = transfer.snapshot.last;
        // What came meanwhile made it needless.
        if last.index <= self.raft.status().last.index {
            return;
        }
        let end = transfer.next.saturating_add(bytes_max).min(transfer.content.len());
        let piece = SnapshotChunk {
            term: self.raft.term(),
            round,
            snapshot: Box::new(transfer.snapshot.clone()),
            offset: transfer.next as u64,
            bytes: transfer.content.slice(transfer.next..end),
        };
        transfer.next = end;
        self.transfer = Some(transfer);
        self.receive(Message::SnapshotChunk(piece));
    }
}
