//! Damage: every byte, every sector, every length. Repaired or refused by name; never lost in silence, never a panic.

extern crate std;

use alloc::boxed::Box;
use std::collections::BTreeSet;
use std::string::{String, ToString};
use std::vec::Vec;
use std::{assert, assert_eq, format, panic};

use super::disk::{Disk, Node, SECTOR, config, entry, identity, lived_in, member, voted};
use crate::entry::{Entry, Payload};
use crate::error::RestoreError;
use crate::journal::hard_state::SLOTS;
use crate::journal::{DiskOp, Files, OnDamage, Recovery, initialise, read};
use crate::membership::Configuration;
use crate::types::{ClusterId, Index};
use crate::write::{HardState, Identity, Write};

#[derive(Debug, Default)]
struct Score {
    harmless: u64,
    refused: u64,
    lost: u64,
}

/// The logs that a node had after each of its batches.
fn former_logs(log: &[Entry]) -> Vec<Vec<Entry>> {
    let old: Vec<_> = [10, 300, 1500, 600, 0].into_iter().zip(1..).map(|(b, i)| entry(1, i, b)).collect();
    let olds = (0..=old.len()).map(|length| old[..length].to_vec());
    olds.chain([log[..6].to_vec(), log.to_vec()]).collect()
}

fn judge(files: &Files, node: &Node, score: &mut Score) {
    judge_how(files, node, score, true);
}

/// Not thorough: one recovery, and none of those that follow from it.
fn judge_how(files: &Files, node: &Node, score: &mut Score, is_thorough: bool) {
    match Recovery::start(config(), files, OnDamage::Refuse) {
        Ok(recovery) => {
            let ops = recovery.ops().to_vec();
            let (_, restored) = recovery.finish();
            if restored.entries == node.log && restored.hard_state == node.hard_state {
                score.harmless += 1;
                if !is_thorough {
                    return;
                }
                let mut disk = Disk::of(files);
                disk.perform_all(&ops);
                let (_, again, report) = disk.restart();
                assert_eq!(again.entries, node.log);
                assert_eq!(report.hard_state_copies_damaged + report.copies_repaired, 0, "repaired for good");
            } else {
                score.lost += 1;
            }
        }
        Err(error) => {
            score.refused += 1;
            if is_thorough && matches!(error, RestoreError::Damaged { .. }) {
                judge_abstaining(files, node, &error);
            }
        }
    }
    if is_thorough {
        let _ = read::dump(&read::view(files));
    }
}

/// Where abstaining is possible, it goes first, and the log is a former one, before and after any crash.
fn judge_abstaining(files: &Files, node: &Node, refused: &RestoreError) {
    let Ok(recovery) = Recovery::start(config(), files, OnDamage::Abstain) else {
        let RestoreError::Damaged { file, what, .. } = refused else { panic!("{refused}") };
        assert!(file == "identity" || file == "founding", "{file}: {what}");
        return;
    };
    assert!(recovery.report().damaged_at.is_some());
    let mut disk = Disk::of(files);
    let mut has_abstained = false;
    for op in recovery.ops() {
        let touches_log = matches!(op, DiskOp::Create { file, .. } | DiskOp::Remove { file } | DiskOp::Write { file, .. }
            if file.starts_with("segment"));
        assert!(!touches_log || has_abstained, "nothing is cut before the abstention is durable");
        disk.perform(op);
        if let DiskOp::Sync { file } = op {
            has_abstained |= file == "hard-state-b";
        }
        match disk.recover(OnDamage::Refuse) {
            Ok(crashed) => {
                let (_, restored) = crashed.finish();
                assert!(restored.hard_state.abstaining, "a shorter log without abstention");
                assert!(former_logs(&node.log).contains(&restored.entries));
            }
            Err(error) => assert!(matches!(error, RestoreError::Damaged { .. }), "{error}"),
        }
    }
    let (_, restored) = recovery.finish();
    assert_eq!(restored.hard_state, HardState { abstaining: true, ..node.hard_state });
    assert!(former_logs(&node.log).contains(&restored.entries), "{:?}", restored.entries.len());
    let (_, again, report) = disk.restart();
    assert_eq!((again.entries, again.hard_state), (restored.entries, restored.hard_state));
    assert_eq!(report.damaged_at, None);
}

/// Every byte of what was written, and some of what was not.
fn places(files: &Files) -> Vec<(String, usize)> {
    let mut places = Vec::new();
    for (name, bytes) in files {
        for (ordinal, sector) in bytes.chunks(SECTOR).enumerate() {
            let is_written = sector.iter().any(|byte| *byte != 0);
            let step = if is_written { 1 } else { 173 };
            places.extend((0..SECTOR).step_by(step).map(|at| (name.clone(), ordinal * SECTOR + at)));
        }
    }
    places
}

#[test]
fn every_flipped_byte_is_repaired_or_refused() {
    let node = lived_in();
    let mut score = Score::default();
    for (ordinal, (name, at)) in places(&node.disk.cache).into_iter().enumerate() {
        let mut files = node.disk.cache.clone();
        files.get_mut(&name).expect("exists")[at] ^= [0x01, 0x80, 0xFF][ordinal % 3];
        judge_how(&files, &node, &mut score, ordinal % 61 == 0);
        assert_eq!(score.lost, 0, "{name} {at}");
    }
    assert!(score.harmless > 1000 && score.refused > 1000, "{score:?}");
}

#[test]
fn every_zeroed_sector_is_repaired_or_refused_but_in_the_last_batch() {
    let node = lived_in();
    let last_batch = 2; // sectors: 900 bytes
    let mut score = Score::default();
    for (name, bytes) in &node.disk.cache {
        for at in (0..bytes.len()).step_by(SECTOR) {
            let mut files = node.disk.cache.clone();
            files.get_mut(name).expect("exists")[at..at + SECTOR].fill(0);
            judge(&files, &node, &mut score);
        }
    }
    assert_eq!(score.lost, last_batch, "the admitted case: it looks like a torn write. {score:?}");
    assert!(score.refused >= 6, "{score:?}");
}

#[test]
fn a_sealed_log_loses_nothing_to_a_zeroed_sector() {
    let mut node = lived_in();
    node.journal.seal();
    node.settle();
    let mut score = Score::default();
    for (name, bytes) in &node.disk.cache {
        for at in (0..bytes.len()).step_by(SECTOR) {
            let mut files = node.disk.cache.clone();
            files.get_mut(name).expect("exists")[at..at + SECTOR].fill(0);
            judge(&files, &node, &mut score);
        }
    }
    assert_eq!(score.lost, 0, "{score:?}");
}

/// 1. Batches 1 and 2 were written, one after the other, into one segment.
/// 2. Batch 1 loses a sector, whichever: by itself it looks torn.
/// 3. Batch 2 says that batch 1 was synced, so it is damage, though batch 1's length may be unknown.
#[test]
fn a_later_batch_vouches_for_the_one_before_it() {
    let mut node = Node::start(Disk::initialised());
    node.append(1, 600);
    node.settle();
    node.append(1, 1);
    node.settle();
    let name = "segment-00000000000000000001".to_string();
    for sector in [2, 3] {
        let mut disk = node.disk.clone();
        disk.cache.get_mut(&name).expect("exists")[sector * SECTOR..(sector + 1) * SECTOR].fill(0);
        let error = disk.recover(OnDamage::Refuse).err();
        assert!(matches!(&error, Some(RestoreError::Damaged { file, offset: 1024, .. }) if *file == name));
    }
}

#[test]
fn every_shorter_file_is_repaired_or_refused() {
    let node = lived_in();
    let mut score = Score::default();
    for (name, bytes) in &node.disk.cache {
        let step = if name.starts_with("hard") { 97 } else { 1 };
        for (ordinal, length) in (0..bytes.len()).step_by(step).enumerate() {
            let mut files = node.disk.cache.clone();
            files.get_mut(name).expect("exists").truncate(length);
            judge_how(&files, &node, &mut score, ordinal % 61 == 0);
            assert_eq!(score.lost, 0, "{name} {length}");
        }
    }
    assert!(score.harmless > 100 && score.refused > 100, "{score:?}");
}

#[test]
fn every_missing_file_is_repaired_or_refused() {
    let node = lived_in();
    for name in node.disk.cache.keys() {
        let mut score = Score::default();
        let mut files = node.disk.cache.clone();
        files.remove(name);
        judge(&files, &node, &mut score);
        let expected = if name.starts_with("hard") { (1, 0) } else { (0, 1) };
        assert_eq!((score.harmless, score.refused), expected, "{name}");
    }
}

/// A directory of which so many hard states were written after the first two, of initialisation and recovery.
fn voted_often(times: u64) -> Node {
    let mut node = Node::start(Disk::initialised());
    for term in 1..=times {
        node.submit(Write { hard_state: Some(voted(term)), ..Write::default() });
        node.settle();
    }
    node
}

/// Damages a slot in both files, or what of it there is.
fn rot_slot(files: &mut Files, slot: u64) {
    for name in read::HARD_STATE_FILES {
        files.get_mut(name).expect("exists")[slot as usize * SECTOR + 9] ^= 4;
    }
}

/// Whether a record newer than the newest intact one may have been written, by trying each: every intact slot must hold
/// what the ring holds once that record is written. `newest` was written last, and these slots are damaged.
fn may_be_forgotten(newest: u64, damaged: &[u64]) -> bool {
    let held =
        |last: u64, slot: u64| (0..=last).rev().take(SLOTS as usize).find(|record| record % SLOTS == slot);
    let intact = || (0..SLOTS).filter(|slot| !damaged.contains(slot));
    let Some(found) = intact().filter_map(|slot| held(newest, slot)).max() else { return true };
    (found + 1..=found + 2 * SLOTS).any(|last| intact().all(|slot| held(last, slot) == held(newest, slot)))
}

#[test]
fn a_slot_damaged_in_both_copies_refuses_a_start_only_if_it_can_have_held_the_newest_record() {
    let (mut refused, mut harmless) = (0, 0);
    for times in [0, 1, 2, 30, 61, 62, 63, 64, 100, 126, 127] {
        let node = voted_often(times);
        let newest = times + 1;
        // One slot; it and its neighbour; it and the one after the newest, or the newest itself.
        for slot in 0..SLOTS {
            for damaged in [
                &[slot][..],
                &[slot, (slot + 1) % SLOTS],
                &[slot, newest % SLOTS],
                &[slot, (newest + 1) % SLOTS],
            ] {
                let mut files = node.disk.cache.clone();
                let slots: BTreeSet<u64> = damaged.iter().copied().collect();
                slots.iter().for_each(|slot| rot_slot(&mut files, *slot));
                let may_be_forgotten = may_be_forgotten(newest, damaged);
                match Recovery::start(config(), &files, OnDamage::Refuse) {
                    Ok(recovery) => {
                        assert!(!may_be_forgotten, "{times} {damaged:?}");
                        assert_eq!(recovery.finish().1.hard_state, node.hard_state);
                        harmless += 1;
                    }
                    Err(RestoreError::HardStateLost { slot }) => {
                        assert!(may_be_forgotten && slots.contains(&slot), "{times} {damaged:?}");
                        assert!(Recovery::start(config(), &files, OnDamage::Abstain).is_err());
                        refused += 1;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }
    assert!(refused > 1_400 && harmless > 1_000, "{refused} refused, {harmless} harmless");
}

/// What was damaged in both files is repaired, so that the ring goes round: no later start is refused for it, whatever
/// a power loss leaves of the repair.
#[test]
fn a_ring_with_an_old_record_lost_goes_round() {
    for times in [1, 70] {
        let node = voted_often(times);
        let slot = (times + 20) % SLOTS;
        let mut files = node.disk.cache.clone();
        rot_slot(&mut files, slot);
        let mut disk = Disk::of(&files);
        let ops = disk.recover(OnDamage::Refuse).expect("an old record").ops().to_vec();
        for cut in 0..=ops.len() {
            let mut half = Disk::of(&files);
            half.perform_all(&ops[..cut]);
            for is_lucky in [false, true] {
                let left = half.power_loss(&mut || is_lucky);
                let recovery = left.recover(OnDamage::Refuse).expect("nothing newer can be lost");
                assert_eq!(recovery.finish().1.hard_state, node.hard_state, "cut after {cut}");
            }
        }
        disk.perform_all(&ops);
        for _ in 0..2 * SLOTS {
            let (_, restored, report) = disk.restart();
            assert_eq!(restored.hard_state, node.hard_state);
            assert_eq!(report.hard_state_copies_damaged, 0, "repaired for good");
        }
    }
}

/// A file that is gone leaves the other one alone: what is damaged there is damaged in both.
#[test]
fn with_one_file_gone_the_other_may_have_lost_an_old_record_and_not_the_newest() {
    let node = voted_often(100);
    for slot in 0..SLOTS {
        for (gone, name) in [(0, 1), (1, 0)].map(|(gone, left)| (gone, read::HARD_STATE_FILES[left])) {
            let mut files = node.disk.cache.clone();
            files.remove(read::HARD_STATE_FILES[gone]);
            files.get_mut(name).expect("exists")[slot as usize * SECTOR + 9] ^= 4;
            let mut disk = Disk::of(&files);
            if may_be_forgotten(101, &[slot]) {
                assert_eq!(disk.recover(OnDamage::Refuse).err(), Some(RestoreError::HardStateLost { slot }));
                continue;
            }
            assert_eq!(disk.restart().1.hard_state, node.hard_state);
            assert_eq!(disk.restart().2.hard_state_copies_damaged, 0, "repaired for good");
        }
    }
}

#[test]
fn a_file_under_another_name_is_refused() {
    let node = lived_in();
    let segments: Vec<_> =
        node.disk.cache.keys().filter(|name| name.starts_with("segment")).cloned().collect();
    assert!(segments.len() >= 2, "{segments:?}");
    for other in [
        "segment-1",
        "segment-0000000000000000000x",
        "segment-00000000000000000000",
        "segment-00000000000000000099",
    ] {
        let mut files = node.disk.cache.clone();
        let bytes = files.remove(&segments[0]).expect("exists");
        files.insert(other.to_string(), bytes);
        let error = Recovery::start(config(), &files, OnDamage::Abstain).err();
        assert!(matches!(&error, Some(RestoreError::Unsupported { file, .. }) if file == other), "{error:?}");
    }
}

#[test]
fn another_directorys_file_is_refused() {
    let node = lived_in();
    let mut other = Disk::default();
    other
        .perform_all(&initialise(Identity { cluster: ClusterId(9), ..identity() }, &super::disk::founding()));
    let mut other = Node::start(other);
    other.append(1, 10);
    other.settle();
    for name in other.disk.cache.keys().filter(|name| name.starts_with("segment") || name.starts_with("hard"))
    {
        let mut files = node.disk.cache.clone();
        files.insert(name.clone(), other.disk.cache[name].clone());
        let error = Recovery::start(config(), &files, OnDamage::Abstain).err();
        assert!(
            matches!(&error, Some(RestoreError::WrongIdentity { file, .. }) if file == name),
            "{error:?}"
        );
    }
}

fn single(extra: Option<Entry>) -> Disk {
    let mut disk = Disk::default();
    disk.perform_all(&initialise(identity(), &Configuration::of_voters([member(1)])));
    let mut node = Node::start(disk);
    node.submit(Write { hard_state: Some(voted(1)), append: [entry(1, 1, 10)].into(), ..Write::default() });
    node.settle();
    if let Some(entry) = extra {
        node.submit(Write { append: [entry].into(), ..Write::default() });
        node.settle();
    }
    node.append(1, 10);
    node.settle();
    let segment = node.disk.cache.keys().next_back().expect("some").clone();
    node.disk.cache.get_mut(&segment).expect("exists")[2 * SECTOR + 60] ^= 1;
    node.disk
}

#[test]
fn a_damaged_sole_voter_refuses_because_nobody_can_repair_it() {
    let error = single(None).recover(OnDamage::Abstain).err();
    assert!(matches!(error, Some(RestoreError::SoleVoterDamaged { offset: 1024, .. })), "{error:?}");
}

#[test]
fn a_founder_alone_that_was_joined_later_abstains() {
    let joined = Payload::Configuration(Box::new(Configuration::of_voters([member(1), member(2)])));
    let disk = single(Some(Entry { payload: joined, ..entry(1, 2, 0) }));
    let recovery = disk.recover(OnDamage::Abstain).expect("a peer can repair it");
    assert_eq!(recovery.finish().1.entries, []);
}

#[test]
fn a_batch_that_does_not_follow_is_damage_and_an_unknown_record_stops_the_node() {
    let mut node = lived_in();
    node.log.truncate(3);
    let files = node.disk.cache.clone();
    // The journal itself refuses to write a hole, so forge one: a valid batch whose entry is far ahead.
    let forge = |payload: &[u8]| {
        let mut files = files.clone();
        let (name, bytes) = files.iter_mut().next_back().expect("some");
        let mut reader = read::SegmentReader::open(bytes).expect("begun");
        while reader.next(bytes).is_some() {}
        let place = crate::journal::segment::Place {
            identity_digest: crate::journal::sector::identity_digest(identity()),
            segment: reader.header().number,
        };
        let (at, number) = (reader.offset() as usize, reader.next_batch());
        let batch = crate::journal::segment::encode_batch(place, at, number, number - 1, payload);
        bytes[at..at + batch.len()].copy_from_slice(&batch);
        (name.clone(), at as u64, Recovery::start(config(), &files, OnDamage::Refuse).err())
    };
    let mut payload = Vec::new();
    crate::journal::record::encode_append(&[entry(2, 70, 1)], &mut payload);
    let (name, at, error) = forge(&payload);
    assert!(
        matches!(&error, Some(RestoreError::Damaged { file, offset, .. }) if *file == name && *offset == at)
    );
    payload.clear();
    crate::journal::record::encode_truncate(Index(70), &mut payload);
    assert!(matches!(forge(&payload).2, Some(RestoreError::Damaged { .. })));
    for unknown in [&[99][..], &[1], &[1, 1, 1, 1, 77], &[3, 0, 0, 0, 0]] {
        let error = forge(unknown).2;
        assert!(
            matches!(error, Some(RestoreError::Unsupported { .. })),
            "{}",
            format!("{unknown:?} {error:?}")
        );
    }
}
