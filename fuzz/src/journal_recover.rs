//! Real journal bytes of random histories, torn by a power loss and then damaged, through recovery: nothing panics; what
//! was synced is there after any power loss; a changed byte loses nothing silently; and what was recovered is recovered
//! again.
//!
//! ```text
//! 0                                64             72
//! | history: 16 steps of 4 bytes   | power loss    | damage: 6 bytes each, 32 at most
//! ```

mod damage;
mod history;
mod snapshots;

use std::collections::VecDeque;

use raft_core::journal::{DiskOp, Files, Journal, JournalConfig, OnDamage, Recovery};
use raft_core::{HardState, Persist};

use super::disk::{Model, after_next_batch, perform_all, perform_torn};
use damage::{Damage, EDIT_BYTES};
use history::{History, STEP_BYTES, STEPS};
pub use snapshots::SnapshotCounts;

const CONFIG: JournalConfig =
    JournalConfig { segment_bytes: 4_096, batch_bytes_max: 2_048, recovered_bytes_max: u64::MAX };
/// Where the bytes of the power loss start.
const POWER_LOSS_AT: usize = STEPS * STEP_BYTES;
const DAMAGE_AT: usize = POWER_LOSS_AT + 8;
const EDITS_MAX: usize = 32;

/// What a directory may hold.
struct Expected {
    /// What is legal without damage.
    legal: Vec<Model>,
    /// The disk after each batch: where damage may throw it back to.
    past: Vec<Model>,
}

/// Makes the history, tears and damages it, and recovers.
///
/// # Panics
/// If something that must hold does not.
pub fn run(input: &[u8]) {
    count_snapshots(input);
}

/// As [`run`], and says what the history had of snapshots.
///
/// # Panics
/// If something that must hold does not.
pub fn count_snapshots(input: &[u8]) -> SnapshotCounts {
    let mut head = [0; DAMAGE_AT];
    let length = input.len().min(DAMAGE_AT);
    head[..length].copy_from_slice(&input[..length]);
    let history = History::make(&head[..POWER_LOSS_AT]);
    let History { mut files, disk, past, mut journal, unsynced, counts, .. } = history;
    let mut expected = Expected { legal: vec![disk], past };
    lose_power(&mut files, &mut journal, &unsynced, &head[POWER_LOSS_AT..], &mut expected);

    let mut damage = Damage::default();
    for edit in input.get(DAMAGE_AT..).unwrap_or_default().chunks_exact(EDIT_BYTES).take(EDITS_MAX) {
        damage.add(&mut files, edit);
    }
    for on_damage in [OnDamage::Refuse, OnDamage::Abstain] {
        recover(files.clone(), on_damage, &damage, &expected);
    }
    counts
}

/// The power goes in the middle of the next batch, if the history left one: some of its operations were performed, and
/// of what they did not sync, some sectors.
fn lose_power(
    files: &mut Files,
    journal: &mut Journal,
    unsynced: &VecDeque<Persist>,
    bytes: &[u8],
    expected: &mut Expected,
) {
    let [ops, luck @ ..] = bytes else { return };
    let Some(batch) = journal.poll_batch().filter(|_| *ops > 0) else { return };
    let performed = &batch.ops[..usize::from(*ops).min(batch.ops.len())];
    let mut sector = 0;
    perform_torn(files, performed, &mut || {
        sector += 1;
        luck[(sector / 8) % luck.len()] >> (sector % 8) & 1 == 1
    });
    let [hard_state, whole] = after_next_batch(&expected.legal[0], journal, unsynced);
    let is_whole =
        performed.len() == batch.ops.len() && matches!(batch.ops.last(), Some(DiskOp::Sync { .. }));
    if is_whole {
        // All of it was synced: nothing else is legal.
        expected.legal = vec![whole];
    } else {
        expected.legal.extend([hard_state, whole]);
    }
}

fn recover(mut files: Files, on_damage: OnDamage, damage: &Damage, expected: &Expected) {
    let recovery = match Recovery::start(CONFIG, &files, on_damage) {
        Ok(recovery) => recovery,
        Err(error) => {
            let may_refuse = damage.edits > 1 || (damage.edits == 1 && on_damage == OnDamage::Refuse);
            assert!(may_refuse || !damage.is_gentle(), "refused {on_damage:?} after {damage:?}: {error}");
            return;
        }
    };
    let is_cut = recovery.report().damaged_at.is_some();
    assert!(!is_cut || damage.edits > 0, "nothing is damaged");
    perform_all(&mut files, recovery.ops());
    let first = recovery.finish().1;
    let boot = first.boot();
    let found = Model::of(&first);
    assert!(!is_cut || found.hard_state.abstaining, "a log that lost something");
    if damage.is_gentle() {
        check(&found, is_cut, expected);
    }
    // A forged record, with the right checksum, may claim what no directory holds; that stays an error.
    let again = match Recovery::start(CONFIG, &files, OnDamage::Refuse) {
        Ok(again) => again,
        Err(error) => {
            assert!(damage.forged, "what recovery left is not good: {error}");
            return;
        }
    };
    perform_all(&mut files, again.ops());
    let again = again.finish().1;
    assert_eq!((again.boot().0, again.identity()), (boot.0 + 1, first.identity()));
    assert_eq!(Model::of(&again), found);
}

/// At most one byte was changed: all that was synced is there, or the log ends and the node abstains.
fn check(found: &Model, is_cut: bool, expected: &Expected) {
    let Expected { legal, past } = expected;
    let cut = || {
        let of_one = |model: &Model| found.hard_state == HardState { abstaining: true, ..model.hard_state };
        // A snapshot that is needed and is damaged takes with it all that was built on it: that is the empty disk, the
        // first.
        let is_past = past.iter().chain(legal).any(|model| model.same_log(found));
        legal.iter().any(of_one) && is_past
    };
    let holds = if is_cut { cut() } else { legal.contains(found) };
    assert!(holds, "recovered {found:?}, with a cut {is_cut}; legal is {legal:?}");
}
