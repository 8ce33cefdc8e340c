//! Crashes: at every operation, inside every write, with any unsynced sector lost, and again during recovery.

extern crate std;

use std::vec::Vec;
use std::{assert, assert_eq, vec};

use super::disk::{Disk, Node, entry, founding, identity, voted};
use crate::entry::Entry;
use crate::error::RestoreError;
use crate::journal::{DiskOp, OnDamage, initialise};
use crate::types::Index;
use crate::write::{HardState, Restored, Write};

/// A small generator, so that a failure repeats.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> bool {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 & 64 == 0
    }
}

/// A state that a crash may show.
type State = (HardState, Vec<Entry>);

fn shown(restored: &Restored) -> State {
    (restored.hard_state, restored.entries.clone())
}

/// What a crash in the middle of a batch may show: each part old or new, and never a new log beside an old promise.
fn legal_between(old: &State, new: &State) -> Vec<State> {
    vec![old.clone(), (new.0, old.1.clone()), new.clone()]
}

/// All disks that a crash before `op`, or inside it, may leave.
fn crashes(disk: &Disk, op: Option<&DiskOp>, dice: &mut Dice) -> Vec<Disk> {
    let mut moments = vec![disk.clone()];
    if let Some(op @ DiskOp::Write { bytes, .. }) = op {
        for sectors in 1..=bytes.len() / 512 {
            let mut part = disk.clone();
            part.perform_part(op, sectors);
            moments.push(part);
        }
    }
    let mut left = Vec::new();
    for moment in moments {
        left.push(moment.power_loss(&mut || false));
        left.push(moment.power_loss(&mut || dice.roll()));
        left.push(moment);
    }
    left
}

/// Recovers from a crash, and from a crash at each step of that recovery.
fn check(disk: &Disk, legal: &[State], dice: &mut Dice, recoveries: &mut u64) {
    let recovery = disk.recover(OnDamage::Refuse).expect("a crash is not damage");
    let mut half = disk.clone();
    for op in recovery.ops() {
        let moments = crashes(&half, Some(op), dice);
        let chosen = *recoveries as usize % moments.len();
        let again = moments[chosen].recover(OnDamage::Refuse).expect("a crash in recovery is not damage");
        let (_, restored) = again.finish();
        assert!(legal.contains(&shown(&restored)), "half a recovery: {:?}", shown(&restored));
        *recoveries += 1;
        half.perform(op);
    }
    let (_, restored) = recovery.finish();
    assert!(legal.contains(&shown(&restored)), "{:?} is none of {legal:?}", shown(&restored));

    // What a finished recovery has shown is there to stay, whatever is lost now.
    let after = half.power_loss(&mut || dice.roll());
    let mut node = Node::start(after);
    assert_eq!((node.hard_state, node.log.clone()), shown(&restored));
    assert!(node.boot.0 > restored.boot.0, "a boot is never used twice");
    node.append(9, 40);
    node.settle();
    let (_, last) = node.disk.recover(OnDamage::Refuse).expect("whole").finish();
    assert_eq!(last.entries, node.log);
    *recoveries += 2;
}

/// A history with votes alone, appends alone, both, truncations, groups of writes, and segments that fill up.
fn script() -> Vec<Vec<Write>> {
    let append = |entries: Vec<Entry>| Write { append: entries.into(), ..Write::default() };
    let vote = |term| Write { hard_state: Some(voted(term)), ..Write::default() };
    vec![
        vec![vote(1)],
        vec![append(vec![entry(1, 1, 10)])],
        vec![append(vec![entry(1, 2, 1200)])],
        vec![append(vec![entry(1, 3, 5)]), append(vec![entry(1, 4, 700)])],
        vec![vote(2), append(vec![entry(2, 5, 30)])],
        vec![Write { truncate_from: Some(Index(4)), append: [entry(2, 4, 600)].into(), ..vote(3) }],
        vec![append(vec![entry(3, 5, 1)]), Write { truncate_from: Some(Index(5)), ..Write::default() }],
        vec![append(vec![entry(3, 5, 5000)])],
        vec![vote(4)],
    ]
}

#[test]
fn any_crash_shows_a_legal_state_and_recovery_may_crash_too() {
    let mut dice = Dice(0x5EED);
    let mut recoveries = 0;
    let mut node = Node::start(Disk::initialised());
    for writes in script() {
        let old = (node.hard_state, node.log.clone());
        for write in writes {
            node.submit(write);
        }
        let new = (node.hard_state, node.log.clone());
        let legal = legal_between(&old, &new);
        let batch = node.journal.poll_batch().expect("queued");
        for op in &batch.ops {
            for disk in crashes(&node.disk, Some(op), &mut dice) {
                check(&disk, &legal, &mut dice, &mut recoveries);
            }
            node.disk.perform(op);
        }
        let _ = node.journal.handle_batch_done();
        for disk in crashes(&node.disk, None, &mut dice) {
            check(&disk, core::slice::from_ref(&new), &mut dice, &mut recoveries);
        }
    }
    assert!(recoveries > 2_000, "{recoveries}");
}

#[test]
fn a_crash_during_initialisation_leaves_a_directory_that_is_not_initialised_or_whole() {
    let mut dice = Dice(7);
    let ops = initialise(identity(), &founding());
    let mut disk = Disk::default();
    for op in &ops {
        for mut crashed in crashes(&disk, Some(op), &mut dice) {
            match crashed.recover(OnDamage::Refuse) {
                Ok(recovery) => assert_eq!(recovery.finish().1.founding, founding()),
                Err(error) => {
                    assert_eq!(error, RestoreError::NotInitialised);
                    crashed.perform_all(&ops);
                    assert_eq!(crashed.restart().1.founding, founding());
                }
            }
        }
        disk.perform(op);
    }
}

/// 1. A sync fails, and the process stops. The cache shows the new bytes, the disk does not hold them.
/// 2. Recovery reads the cache. Its own syncs succeed, and write only what was written again.
/// 3. The power fails. What recovery showed must be on the disk.
#[test]
fn what_recovery_showed_after_a_failed_sync_survives_a_power_loss() {
    let mut failures = 0;
    let mut shown_new = 0;
    for (round, _) in script().iter().enumerate() {
        for failing in 0.. {
            let mut node = Node::start(Disk::initialised());
            for writes in script().into_iter().take(round) {
                writes.into_iter().for_each(|write| node.submit(write));
                node.settle();
            }
            let old = (node.hard_state, node.log.clone());
            script()[round].iter().cloned().for_each(|write| node.submit(write));
            let new = (node.hard_state, node.log.clone());
            let ops = node.journal.poll_batch().expect("queued").ops;
            let syncs = ops.iter().enumerate().filter(|(_, op)| matches!(op, DiskOp::Sync { .. }));
            let Some((position, _)) = syncs.into_iter().nth(failing) else { break };
            node.disk.perform_all(&ops[..position]);
            let mut failed = node.disk.fail_sync();
            node.journal.handle_failure();

            let mut disk = node.disk.clone();
            let recovery = disk.recover(OnDamage::Refuse).expect("the cache is whole");
            for op in recovery.ops() {
                // The power may fail here too; then nothing was shown, and either state is legal.
                let early =
                    failed.power_loss(&disk).recover(OnDamage::Refuse).expect("a crash is not damage");
                assert!(legal_between(&old, &new).contains(&shown(&early.finish().1)));
                failed.note(op);
                disk.perform(op);
            }
            let (_, restored) = recovery.finish();
            let (_, after) = failed.power_loss(&disk).recover(OnDamage::Refuse).expect("whole").finish();
            assert_eq!(shown(&after), shown(&restored));
            shown_new += u64::from(restored.entries == new.1 && new.1 != old.1);
            failures += 1;
        }
    }
    assert!(failures > 20 && shown_new > 3, "{failures} {shown_new}");
}
