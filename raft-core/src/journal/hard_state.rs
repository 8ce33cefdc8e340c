//! Hard state: records of one sector, in a ring of slots, in two files.
//!
//! The record with sequence `s` goes to slot `s % SLOTS` of both files, and both are synced before anything depends
//! on it. So the newest record is never overwritten in place (a vote can't be torn away), and one bad copy never
//! matters. Records are written one after the other, each synced before the next: if records newer than the newest
//! intact one were lost, the slot after that one held the first of them. Two bad copies of that slot: a vote may be
//! forgotten, and the node must not start. Two bad copies of any other slot held an older record, or none.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use super::sector::{self, Sealed, Writer};
use super::sector::{SECTOR, is_zero, u64_at};
use super::{DiskOp, View};
use crate::error::RestoreError;
use crate::types::{Boot, Incarnation, Member, NodeId, Term};
use crate::write::HardState;

const MAGIC: &[u8; 8] = b"RAFThard";
/// Where [`encode`](HardStateRecord::encode) puts the sequence: after magic, version, flags and identity digest.
const SEQUENCE_AT: usize = 24;
const FLAG_VOTE: u32 = 1;
const FLAG_ABSTAINING: u32 = 2;

/// Slots of a file. One would be enough for safety with two files (the other copy holds the old record), but the
/// rule "never overwrite the newest" needs two, and more spread the wear.
pub(super) const SLOTS: u64 = 64;

/// The two copies.
pub(super) const FILES: [&str; 2] = ["hard-state-a", "hard-state-b"];

/// The length of each copy.
pub(super) const FILE_BYTES: u64 = SLOTS * SECTOR as u64;

/// What a hard-state record says about the log, so that a log that lost its end is not taken for a shorter log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogMark {
    /// This segment's header was durable.
    pub segment: u64,
    /// All batches through this one were durable.
    pub synced_to: u64,
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HardStateRecord {
    /// Stands for the directory's identity.
    pub identity_digest: u64,
    /// Numbers the records from 0; the highest wins.
    pub sequence: u64,
    /// The boot that wrote it.
    pub boot: Boot,
    /// What it says.
    pub hard_state: HardState,
    /// What was known of the log when it was written.
    pub mark: LogMark,
}

impl HardStateRecord {
    pub(super) fn encode(&self) -> [u8; SECTOR] {
        let vote = if self.hard_state.vote.is_some() { FLAG_VOTE } else { 0 };
        let abstaining = if self.hard_state.abstaining { FLAG_ABSTAINING } else { 0 };
        let mut writer = Writer::new(MAGIC);
        writer.u32(vote | abstaining);
        writer.u64(self.identity_digest);
        writer.u64(self.sequence);
        writer.u64(self.boot.0);
        writer.u64(self.hard_state.term.0);
        writer.u64(self.hard_state.vote.map_or(0, |member| member.id.0));
        writer.u64(self.hard_state.vote.map_or(0, |member| member.incarnation.0));
        writer.u64(self.mark.segment);
        writer.u64(self.mark.synced_to);
        writer.finish()
    }

    /// Writes the record to both files and syncs both.
    pub(super) fn ops(&self, ops: &mut Vec<DiskOp>) {
        let bytes = self.encode();
        let offset = self.sequence % SLOTS * SECTOR as u64;
        for file in FILES {
            ops.push(DiskOp::Write { file: file.to_owned(), offset, bytes: bytes.to_vec() });
        }
        for file in FILES {
            ops.push(DiskOp::Sync { file: file.to_owned() });
        }
    }
}

/// What a slot is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// Never written.
    Zero,
    /// Written, and not what was written; or the file ends before it.
    Damaged,
    /// Intact, of a version (or with a flag) that this code does not know.
    Unsupported,
    /// Intact.
    Valid(HardStateRecord),
}

/// Judges one slot of a file.
pub(super) fn slot(file: &[u8], slot: u64) -> Slot {
    let Some(bytes) = sector::sector(file, slot as usize * SECTOR) else { return Slot::Damaged };
    let mut fields = match sector::open(bytes, MAGIC) {
        Sealed::Zero => return Slot::Zero,
        Sealed::Damaged => return Slot::Damaged,
        Sealed::Unsupported(_) => return Slot::Unsupported,
        Sealed::Good(fields) => fields,
    };
    let flags = fields.u32();
    if flags & !(FLAG_VOTE | FLAG_ABSTAINING) != 0 {
        return Slot::Unsupported;
    }
    let identity_digest = fields.u64();
    let sequence = fields.u64();
    let boot = Boot(fields.u64());
    let term = Term(fields.u64());
    let member = Member { id: NodeId(fields.u64()), incarnation: Incarnation(fields.u64()) };
    let mark = LogMark { segment: fields.u64(), synced_to: fields.u64() };
    if sequence % SLOTS != slot {
        return Slot::Damaged; // a write that went to the wrong place
    }
    let vote = (flags & FLAG_VOTE != 0).then_some(member);
    let hard_state = HardState { term, vote, abstaining: flags & FLAG_ABSTAINING != 0 };
    Slot::Valid(HardStateRecord { identity_digest, sequence, boot, hard_state, mark })
}

/// The newest intact record of two copies, in whatever state the rest is. Looks at the checksum of the winner only.
pub(super) fn newest(a: Option<&[u8]>, b: Option<&[u8]>) -> Option<HardStateRecord> {
    let claims = |file: &[u8], number: u64| {
        let bytes = sector::sector(file, number as usize * SECTOR)?;
        bytes.starts_with(MAGIC).then(|| u64_at(bytes, SEQUENCE_AT))
    };
    let mut below = None;
    loop {
        let mut best = None;
        for file in [a, b].into_iter().flatten() {
            for number in 0..SLOTS {
                let claim = claims(file, number).filter(|claim| below.is_none_or(|below| *claim < below));
                best = best.max(claim);
            }
        }
        let sequence = best?;
        for file in [a, b].into_iter().flatten() {
            // A damaged sector may claim any sequence from any slot; only one in its own slot can be valid.
            if let Slot::Valid(record) = slot(file, sequence % SLOTS)
                && record.sequence == sequence
            {
                return Some(record);
            }
        }
        below = Some(sequence);
    }
}

/// Both copies, read for recovery.
pub(super) struct Both {
    /// The newest record.
    pub(super) newest: HardStateRecord,
    /// (file, slot): damaged in this file. If in the other one as well, it was an older record.
    pub(super) damaged: Vec<(usize, u64)>,
}

/// Reads both copies.
pub(super) fn read(files: &View<'_>, identity_digest: u64) -> Result<Both, RestoreError> {
    let copies = FILES.map(|file| files.get(file).copied().unwrap_or_default());
    let mut newest: Option<HardStateRecord> = None;
    let mut damaged = Vec::new();
    let mut lost = Vec::new(); // slots that are damaged in both
    for number in 0..SLOTS {
        let mut bad = 0;
        for (copy, file) in copies.iter().enumerate() {
            match slot(file, number) {
                Slot::Zero => {}
                Slot::Damaged => {
                    bad += 1;
                    damaged.push((copy, number));
                }
                Slot::Unsupported => {
                    let what = format!("slot {number} is of a format that this version does not know");
                    return Err(RestoreError::Unsupported { file: FILES[copy].to_owned(), what });
                }
                Slot::Valid(record) if record.identity_digest != identity_digest => {
                    let what = format!("slot {number} belongs to another data directory");
                    return Err(RestoreError::WrongIdentity { file: FILES[copy].to_owned(), what });
                }
                Slot::Valid(record) => {
                    if newest.is_none_or(|newest| newest.sequence < record.sequence) {
                        newest = Some(record);
                    }
                }
            }
        }
        if bad == FILES.len() {
            lost.push(number);
        }
    }
    let Some(newest) = newest else { return Err(RestoreError::HardStateLost { slot: 0 }) };
    let next = (newest.sequence + 1) % SLOTS;
    if lost.contains(&next) {
        return Err(RestoreError::HardStateLost { slot: next });
    }
    // Two short files can't be repaired from each other: the one that is made anew forgets what it still held.
    match lost.first() {
        Some(slot) if copies.into_iter().all(is_short) => Err(RestoreError::HardStateLost { slot: *slot }),
        _ => Ok(Both { newest, damaged }),
    }
}

fn is_short(file: &[u8]) -> bool {
    (file.len() as u64) < FILE_BYTES
}

/// Copies what is good over what is damaged; what is damaged in both files is as if it had never been written: its
/// turn may come next. A file that is missing or too short is made anew, after the other one is whole and synced:
/// creating it forgets what it still held.
pub(super) fn repair_ops(files: &View<'_>, both: &Both, ops: &mut Vec<DiskOp>) {
    let copies = FILES.map(|file| files.get(file).copied().unwrap_or_default());
    let mut order = [0, 1];
    order.sort_by_key(|copy| is_short(copies[*copy]));
    for copy in order {
        let slots = || both.damaged.iter().filter(move |(file, _)| *file == copy).map(|(_, slot)| *slot);
        let repaired = |slot: u64| {
            if both.damaged.contains(&(1 - copy, slot)) {
                return [0; SECTOR].to_vec();
            }
            let at = slot as usize * SECTOR;
            copies[1 - copy][at..at + SECTOR].to_vec()
        };
        let file = FILES[copy].to_owned();
        if is_short(copies[copy]) {
            ops.push(DiskOp::Create { file: file.clone(), bytes: FILE_BYTES });
            let mut bytes = vec![0; FILE_BYTES as usize];
            bytes[..copies[copy].len()].copy_from_slice(copies[copy]);
            for slot in slots() {
                let at = slot as usize * SECTOR;
                bytes[at..at + SECTOR].copy_from_slice(&repaired(slot));
            }
            ops.push(DiskOp::Write { file: file.clone(), offset: 0, bytes });
            ops.push(DiskOp::Sync { file });
            ops.push(DiskOp::SyncDirectory);
        } else if slots().next().is_some() {
            for slot in slots() {
                let offset = slot * SECTOR as u64;
                ops.push(DiskOp::Write { file: file.clone(), offset, bytes: repaired(slot) });
            }
            ops.push(DiskOp::Sync { file });
        }
    }
}

/// Whether the files show more than an initialisation: then a missing identity is damage, not an empty directory.
pub(super) fn is_in_use(files: &View<'_>) -> bool {
    let copy = |file: &'static str| files.get(file).copied();
    let newest = newest(copy(FILES[0]), copy(FILES[1]));
    let beyond_first = |file: &'static str| {
        copy(file).is_some_and(|bytes| !is_zero(bytes.get(SECTOR..).unwrap_or_default()))
    };
    newest.is_some_and(|newest| newest.sequence > 0) || FILES.into_iter().any(beyond_first)
}
