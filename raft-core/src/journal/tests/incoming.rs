//! Snapshots that come in beside the batches: what they hold up, what stays of them, and what happens without room.

extern crate std;

use alloc::string::String;
use std::boxed::Box;
use std::vec::Vec;
use std::{assert, assert_eq};

use bytes::Bytes;

use super::disk::{Disk, voted};
use super::snapshots::{Node, chunks, content, id, meta};
use crate::journal::DiskOp;
use crate::snapshot::{Chunk, Discard, SnapshotMeta};
use crate::write::Write;

/// What a job beside the batches does, for tests that look.
fn job_of(node: &mut Node) -> Vec<DiskOp> {
    node.journal.poll_receive().expect("there is something to do").ops
}

fn snapshot_files(node: &Node) -> Vec<String> {
    node.disk.cache.keys().filter(|name| name.starts_with("snapshot-")).cloned().collect()
}

/// The first piece of ten gigabytes makes no room for the rest, and the batch of the next vote has nothing to do with it.
#[test]
fn an_incoming_snapshot_holds_up_no_batch() {
    let mut node = Node::start(Disk::initialised());
    node.append(1, 100);
    node.settle();
    let snapshot = SnapshotMeta { length: 10 << 30, ..meta(id(2, 500), b"") };
    let bytes = Bytes::from(content(10_000, 1));
    node.journal.receive(&Chunk { transfer: 1, snapshot, offset: 0, bytes });
    node.submit(Write { hard_state: Some(voted(3)), ..Write::default() });
    let batch = node.journal.poll_batch().expect("there is a vote to write");
    let is_its_own = |op: &DiskOp| match op {
        DiskOp::Create { file, .. } | DiskOp::Write { file, .. } | DiskOp::Sync { file } => {
            file.starts_with("hard-state-")
        }
        DiskOp::Remove { .. } | DiskOp::SyncDirectory => false,
    };
    assert!(batch.ops.iter().all(is_its_own), "{:?}", batch.ops);
    let ops = job_of(&mut node);
    let written: u64 = ops
        .iter()
        .map(|op| match op {
            DiskOp::Create { bytes, .. } => *bytes,
            DiskOp::Write { bytes, .. } => bytes.len() as u64,
            DiskOp::Sync { .. } | DiskOp::Remove { .. } | DiskOp::SyncDirectory => 0,
        })
        .sum();
    assert!((4_096..16_384).contains(&written), "{written} bytes for a piece of 10,000");
    assert!(matches!(ops.last(), Some(DiskOp::Sync { .. })), "what has come is synced");
    node.disk.perform_all(&ops);
    node.disk.perform_all(&batch.ops);
    assert!(node.journal.handle_batch_done().is_some());
    assert_eq!(
        node.journal.handle_receive_done().map(|done| (done.through, done.is_whole)),
        Some((10_000, false))
    );
}

/// A snapshot that was written and is not wanted goes at once, and one that another takes the place of, too.
#[test]
fn what_is_not_wanted_leaves_no_file() {
    let mut node = Node::start(Disk::initialised());
    for _ in 0..8 {
        node.append(1, 100);
    }
    node.settle();
    for last in 1..=5 {
        let (ops, written) = node.write_snapshot(id(1, last), &content(9_000, 1));
        node.disk.perform_all(&ops);
        node.journal.handle_snapshot_refused(&written);
        node.settle();
        assert_eq!(snapshot_files(&node), Vec::<String>::new());
    }
    for transfer in 1..=5 {
        let content = content(9_000, transfer as u8);
        let snapshot = meta(id(2, 100 + transfer), &content);
        let bytes = Bytes::copy_from_slice(&content[..5_000]);
        node.journal.receive(&Chunk { transfer, snapshot, offset: 0, bytes });
        // Some are replaced before a job has made their file, some after.
        if transfer % 2 == 0 {
            node.settle();
        }
    }
    node.settle();
    assert_eq!(snapshot_files(&node).len(), 1, "the one that comes in");
}

/// No room, at each operation of each job: the file goes, and another attempt succeeds.
#[test]
fn without_room_the_file_goes_and_another_attempt_succeeds() {
    let content = content(30_000, 5);
    let snapshot = meta(id(4, 30), &content);
    let pieces = chunks(&snapshot, &content, 7_000);
    let of = |transfer: u64, piece: &Chunk| Chunk { transfer, ..piece.clone() };
    let mut moments = 0;
    for piece in 0..pieces.len() {
        for fails in 0.. {
            let mut node = Node::start(Disk::initialised());
            node.append(1, 100);
            node.settle();
            for before in &pieces[..piece] {
                node.journal.receive(&of(1, before));
                node.settle();
            }
            node.journal.receive(&of(1, &pieces[piece]));
            let ops = job_of(&mut node);
            if fails == ops.len() {
                break;
            }
            moments += 1;
            node.disk.perform_all(&ops[..fails]);
            // Half of the time another attempt has begun meanwhile.
            let is_late = moments % 2 == 0;
            if is_late {
                node.journal.receive(&of(2, &pieces[0]));
            }
            assert_eq!(node.journal.handle_no_room(fails), Some(1));
            node.settle();
            assert_eq!(snapshot_files(&node).len(), usize::from(is_late));
            for piece in &pieces[usize::from(is_late)..] {
                node.journal.receive(&of(2, piece));
            }
            node.settle();
            node.submit(Write { install: Some(Box::new(snapshot.clone())), ..Write::default() });
            node.settle();
            let restarted = Node::start(node.disk);
            assert_eq!(
                (restarted.state.snapshot, restarted.state.content),
                (Some(snapshot.clone()), content.clone())
            );
        }
    }
    assert!(moments >= 12, "{moments}");
}

/// A snapshot came whole while its receiver campaigned, and waits for a leader's question; the node's own snapshot, whose file
/// is newer and which covers less, becomes current meanwhile.
#[test]
fn what_came_whole_stays_for_its_installation() {
    let mut node = Node::start(Disk::initialised());
    for _ in 0..8 {
        node.append(1, 100);
    }
    node.settle();
    let whole = content(3_000, 7);
    let incoming = meta(id(4, 30), &whole);
    for piece in chunks(&incoming, &whole, 2_500) {
        node.journal.receive(&piece);
    }
    node.settle();
    let (ops, written) = node.write_snapshot(id(1, 6), &content(200, 2));
    node.disk.perform_all(&ops);
    node.journal.handle_snapshot_written(&written);
    let discard = Discard { snapshot: written.meta().clone(), through: id(1, 6) };
    node.submit(Write { discard_through: Some(Box::new(discard)), ..Write::default() });
    node.settle();
    assert_eq!(snapshot_files(&node).len(), 2);
    node.submit(Write { install: Some(Box::new(incoming.clone())), ..Write::default() });
    node.settle();
    let restarted = Node::start(node.disk);
    assert_eq!((restarted.state.snapshot, restarted.state.content), (Some(incoming), whole));
}
