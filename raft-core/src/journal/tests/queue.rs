//! The write queue: order, group commit, silence after a failure; and what a restart gives back.

extern crate std;

use std::vec::Vec;
use std::{assert, assert_eq, vec};

use proptest::prelude::*;

use super::disk::{Disk, Node, config, entry, founding, identity, lived_in, persist, voted};
use crate::error::RestoreError;
use crate::journal::read::{self, Record, SegmentReader};
use crate::journal::{DiskOp, Files, JournalConfig, OnDamage, Recovery};
use crate::types::{Boot, Index};
use crate::write::Write;

#[test]
fn a_restart_gives_back_what_was_written_and_a_new_boot() {
    let mut node = lived_in();
    let (_, restored, report) = node.disk.restart();
    assert_eq!(restored.entries, node.log);
    assert_eq!(restored.hard_state, node.hard_state);
    assert_eq!(restored.identity, identity());
    assert_eq!(restored.founding, founding());
    assert_eq!(restored.boot, Boot(2));
    assert_eq!((report.torn, report.rewritten), (0, 1), "only the last batch is vouched for by nothing");
    let (_, again, report) = node.disk.restart();
    assert_eq!((again.entries, again.boot), (node.log, Boot(3)));
    assert_eq!(report.rewritten, 0, "the copy is vouched for by its segment's header");
}

#[test]
fn an_empty_directory_is_not_initialised() {
    assert_eq!(
        Recovery::start(config(), &Files::new(), OnDamage::Abstain).err(),
        Some(RestoreError::NotInitialised)
    );
}

#[test]
fn a_plain_append_is_one_write_and_one_sync() {
    let mut node = Node::start(Disk::initialised());
    node.append(1, 100);
    let ops = node.journal.poll_batch().expect("queued").ops;
    assert!(matches!(&ops[..], [DiskOp::Write { .. }, DiskOp::Sync { .. }]), "{ops:?}");
}

#[test]
fn hard_state_is_durable_in_both_files_before_the_log_is_touched() {
    let mut node = Node::start(Disk::initialised());
    node.append(1, 100);
    node.submit(Write { hard_state: Some(voted(1)), append: [entry(1, 2, 3)].into(), ..Write::default() });
    node.submit(Write { hard_state: Some(voted(2)), ..Write::default() });
    let ops = node.journal.poll_batch().expect("queued").ops;
    let names: Vec<_> = ops
        .iter()
        .map(|op| match op {
            DiskOp::Write { file, .. } => ("write", file.as_str()),
            DiskOp::Sync { file } => ("sync", file.as_str()),
            DiskOp::Create { .. } | DiskOp::Remove { .. } | DiskOp::SyncDirectory => panic!("{op:?}"),
        })
        .collect();
    let segment = "segment-00000000000000000001";
    let expected = [
        ("write", "hard-state-a"),
        ("write", "hard-state-b"),
        ("sync", "hard-state-a"),
        ("sync", "hard-state-b"),
        ("write", segment),
        ("sync", segment),
    ];
    assert_eq!(names, expected, "three writes share one batch, and the last hard state goes first");
    node.disk.perform_all(&ops);
    assert_eq!(node.disk.restart().1.hard_state, voted(2));
}

#[test]
fn one_batch_is_under_way_at_a_time_and_vouches_for_all_its_writes() {
    let mut node = Node::start(Disk::initialised());
    node.append(1, 1);
    let first = node.journal.poll_batch().expect("queued");
    node.append(1, 2);
    node.append(1, 3);
    assert!(node.journal.poll_batch().is_none());
    node.disk.perform_all(&first.ops);
    assert_eq!(node.journal.handle_batch_done(), Some(persist(node.boot, 1, Write::default()).durable()));
    let second = node.journal.poll_batch().expect("queued");
    node.disk.perform_all(&second.ops);
    assert_eq!(node.journal.handle_batch_done(), Some(persist(node.boot, 3, Write::default()).durable()));
    assert!(node.journal.is_idle());
}

#[test]
fn a_batch_is_bounded_and_a_larger_write_still_goes() {
    let small = JournalConfig { segment_bytes: 4096, batch_bytes_max: 100, ..JournalConfig::default() };
    let mut disk = Disk::initialised();
    let recovery = Recovery::start(small, &disk.cache, OnDamage::Refuse).expect("fresh");
    disk.perform_all(recovery.ops());
    let (mut journal, restored) = recovery.finish();
    for (number, bytes) in [(1, 30), (2, 30), (3, 9000), (4, 1)] {
        let append = vec![entry(1, number, bytes)];
        journal.submit(persist(restored.boot, number, Write { append: append.into(), ..Write::default() }));
    }
    let mut batches = 0;
    while let Some(batch) = journal.poll_batch() {
        disk.perform_all(&batch.ops);
        let _ = journal.handle_batch_done();
        batches += 1;
    }
    assert_eq!(batches, 4, "each pair is more than 100 bytes with the allowance for each entry");
    assert_eq!(disk.restart().1.entries.len(), 4);
}

#[test]
fn after_a_failure_nothing_is_written_and_nothing_is_promised() {
    let mut node = Node::start(Disk::initialised());
    node.append(1, 1);
    let _batch = node.journal.poll_batch().expect("queued");
    node.append(1, 2);
    node.journal.handle_failure();
    assert!(node.journal.is_poisoned());
    node.append(1, 3);
    assert!(node.journal.poll_batch().is_none());
    assert_eq!(node.journal.handle_batch_done(), None);
}

#[test]
fn a_seal_vouches_for_the_last_batch_once() {
    let mut node = lived_in();
    node.journal.seal();
    let seal = node.journal.poll_batch().expect("the last batch is vouched for by nothing");
    node.disk.perform_all(&seal.ops);
    assert_eq!(node.journal.handle_batch_done(), None);
    node.journal.seal();
    assert!(node.journal.poll_batch().is_none());
    assert_eq!(node.disk.restart().2.rewritten, 0);
}

#[test]
fn a_reader_follows_a_segment_as_it_grows() {
    let mut node = Node::start(Disk::initialised());
    let name = "segment-00000000000000000001";
    let mut reader = SegmentReader::open(&node.disk.cache[name]).expect("begun");
    assert_eq!(reader.next(&node.disk.cache[name]), None);
    for bytes in [5, 800] {
        node.append(1, bytes);
        node.settle();
        let records = reader.next(&node.disk.cache[name]).expect("one batch");
        assert_eq!(records, [Record::Append { entries: vec![node.log[node.log.len() - 1].clone()] }]);
        assert_eq!(reader.next(&node.disk.cache[name]), None);
    }
    let files = read::view(&node.disk.cache);
    let ids: Vec<_> = node.log.iter().map(crate::entry::Entry::id).collect();
    assert_eq!(read::durable_log(&files), Ok(ids));
}

#[test]
fn the_newest_hard_state_is_found_around_the_ring_and_past_damage() {
    let mut node = Node::start(Disk::initialised());
    let mut followed = None;
    for term in 1..200 {
        node.submit(Write { hard_state: Some(voted(term)), ..Write::default() });
        node.settle();
        let files = read::view(&node.disk.cache);
        let copy = |name| files.get(name).copied();
        let newest = read::hard_state_of(copy("hard-state-a"), copy("hard-state-b")).expect("some");
        assert_eq!(newest.hard_state, voted(term));
        let known = followed.unwrap_or(newest);
        followed = Some(read::hard_state_since(known, copy("hard-state-a"), copy("hard-state-b")));
        assert_eq!(followed, Some(newest));
    }
    let mut file = node.disk.cache["hard-state-a"].clone();
    let newest = read::hard_state_of(Some(&file), None).expect("some");
    file[(newest.sequence % 64) as usize * 512 + 40] ^= 1;
    let older = read::hard_state_of(Some(&file), None).expect("some");
    assert_eq!(older.sequence, newest.sequence - 1);
    assert_eq!(node.disk.restart().1.hard_state, voted(199));
}

#[test]
fn a_log_of_a_later_term_forgets_the_vote_of_an_earlier_one() {
    let mut node = Node::start(Disk::initialised());
    node.submit(Write { hard_state: Some(voted(1)), append: [entry(4, 1, 0)].into(), ..Write::default() });
    node.settle();
    let (_, restored, _) = node.disk.restart();
    assert_eq!((restored.hard_state.term.0, restored.hard_state.vote), (4, None));
}

#[test]
#[should_panic(expected = "does not follow")]
fn a_hole_in_the_log_is_never_written() {
    let mut node = Node::start(Disk::initialised());
    node.submit(Write { append: [entry(1, 2, 0)].into(), ..Write::default() });
}

fn any_write() -> impl Strategy<Value = (bool, u64, Vec<usize>, bool)> {
    (any::<bool>(), 0..4_u64, prop::collection::vec(0..1200_usize, 0..4), any::<bool>())
}

proptest! {
    #[test]
    fn whatever_is_written_comes_back(writes in prop::collection::vec(any_write(), 1..30)) {
        let mut node = Node::start(Disk::initialised());
        let mut term = 0;
        for (has_hard_state, cut, sizes, is_flushed) in writes {
            term += u64::from(has_hard_state);
            let length = node.log.len() as u64;
            let left = length - cut.min(length);
            let append = (left + 1..).zip(&sizes).map(|(index, bytes)| entry(term, index, *bytes)).collect();
            node.submit(Write {
                hard_state: has_hard_state.then(|| voted(term)),
                truncate_from: (left < length).then_some(Index(left + 1)),
                append,
                ..Write::default()
            });
            if is_flushed {
                node.settle();
            }
        }
        node.settle();
        let (_, restored, report) = node.disk.restart();
        prop_assert_eq!(&restored.entries, &node.log);
        prop_assert_eq!(restored.hard_state, node.hard_state);
        prop_assert_eq!(report.torn, 0);
        let (_, again, _) = node.disk.restart();
        prop_assert_eq!(again.entries, node.log);
    }
}
