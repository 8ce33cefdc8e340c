//! Recovery: from the bytes of a directory to a log and a hard state that are durable and safe to build on.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::vec::Vec;

use super::hard_state::{self, HardStateRecord, LogMark};
use super::identity;
use super::queue::{Journal, Position};
use super::replay::{self, Reading, Segments, Tail};
use super::sector::{SECTOR, identity_digest};
use super::segment::{self, HEADER_BYTES, HeaderState, Place, SegmentHeader};
use super::{DiskOp, Files, JournalConfig, OnDamage, RecoveryReport, read};
use crate::entry;
use crate::error::RestoreError;
use crate::membership::Configuration;
use crate::types::{Boot, LogId};
use crate::write::{HardState, Identity, Restored};

/// A recovery under way.
///
/// # How it survives its own crash
/// Reads may show bytes that a failed sync left in a cache, and that no later sync will write. So the segment in
/// which the log ends is copied to a fresh one:
///
/// 1. The fresh segment is created, full of zeros. It is *void*: the next recovery ignores and removes it.
/// 2. The batches are copied into it; it is synced, and its directory entry too. Still void.
/// 3. Its header is written and synced. From here on it stands for the segment that it was copied from, and for
///    everything between the two.
/// 4. The hard state with the new boot is written to both files and synced. It names the fresh segment, so that its
///    loss is noticed.
/// 5. What is superseded is removed.
///
/// Until 3 the old segments are untouched; after it they are not read. A torn batch is cut by not being copied.
///
/// With damage and [`OnDamage::Abstain`], a hard state that abstains goes first.
#[derive(Clone, Debug)]
pub struct Recovery {
    ops: Vec<DiskOp>,
    report: RecoveryReport,
    journal: Journal,
    restored: Restored,
}

impl Recovery {
    /// Reads a directory. Nothing is changed yet.
    ///
    /// # Errors
    /// [`RestoreError`], each with its cure. With [`OnDamage::Abstain`], a damaged log is one only for a sole voter.
    pub fn start(
        config: JournalConfig,
        files: &Files,
        on_damage: OnDamage,
    ) -> Result<Recovery, RestoreError> {
        config.validate().map_err(RestoreError::Config)?;
        let files = read::view(files);
        let mut ops = Vec::new();
        let mut report = RecoveryReport::default();

        let record = identity::read_identity(&files, &mut ops)?;
        let founding = identity::read_founding(&files, &record, &mut ops)?;
        let identity = record.identity;
        let digest = identity_digest(identity);
        let both = hard_state::read(&files, digest)?;
        report.hard_state_copies_damaged = both.damaged.len() as u64;
        let segments = replay::segments(&files, identity)?;
        let mut reading = replay::read(&segments, identity, both.newest.mark)?;
        report.copies_repaired = ops.iter().filter(|op| matches!(op, DiskOp::Write { .. })).count() as u64;
        report.torn = u64::from(reading.is_torn);
        report.rewritten = reading.last_batch.saturating_sub(reading.synced_to);
        hard_state::repair_ops(&files, &both, &mut ops);

        let last = entry::last_id(LogId::default(), &reading.entries);
        let mut newest = recovered_hard_state(both.newest, last)?;
        newest.boot = Boot(newest.boot.0 + 1);
        if let Some(damage) = reading.damage.take() {
            match on_damage {
                OnDamage::Refuse => return Err(damage.into()),
                OnDamage::Abstain if is_sole_voter(&segments, identity, &founding) => {
                    return Err(RestoreError::SoleVoterDamaged { file: damage.file, offset: damage.offset });
                }
                OnDamage::Abstain => report.damaged_at = Some((damage.file, damage.offset)),
            }
            // Durable before anything is cut: else a crash in between leaves a shorter log that looks whole.
            newest.hard_state.abstaining = true;
            newest.sequence += 1;
            newest.mark = LogMark::default();
            newest.ops(&mut ops);
        }

        report.copies_repaired += repair_headers(&segments, &reading, &mut ops);
        let position = rewrite(&config, identity, &segments, &reading, both.newest.mark, &mut ops);
        newest.sequence += 1;
        newest.mark = LogMark { segment: position.segment, synced_to: reading.last_batch };
        newest.ops(&mut ops);
        remove_superseded(&segments, &reading, &mut ops);

        let journal = Journal::new(config, identity, newest, position, last.index);
        let restored = Restored::of_log(identity, newest.boot, newest.hard_state, founding, reading.entries);
        Ok(Recovery { ops, report, journal, restored })
    }

    /// What to perform, in order, before [`finish`](Recovery::finish). A crash anywhere in it can be recovered from.
    #[must_use]
    pub fn ops(&self) -> &[DiskOp] {
        &self.ops
    }

    /// What was found.
    #[must_use]
    pub fn report(&self) -> &RecoveryReport {
        &self.report
    }

    /// To be called once every operation of [`ops`](Recovery::ops) has succeeded, and not before.
    #[must_use]
    pub fn finish(self) -> (Journal, Restored) {
        (self.journal, self.restored)
    }
}

/// The newest record, brought up to the log: a term that the log shows was entered, and no vote in it is known.
fn recovered_hard_state(newest: HardStateRecord, last: LogId) -> Result<HardStateRecord, RestoreError> {
    const FAR: u64 = 1 << 62;
    if newest.sequence.max(newest.boot.0).max(newest.mark.segment).max(newest.mark.synced_to) > FAR {
        let what = format!("record {} counts beyond what any disk lives to see", newest.sequence);
        return Err(RestoreError::Unsupported { file: hard_state::FILES[0].to_owned(), what });
    }
    let mut newest = newest;
    if last.term > newest.hard_state.term {
        newest.hard_state = HardState { term: last.term, vote: None, ..newest.hard_state };
    }
    Ok(newest)
}

/// Whether nobody else could repair this member. What the log said last is looked for beyond the damage too.
fn is_sole_voter(segments: &Segments<'_>, identity: Identity, founding: &Configuration) -> bool {
    let newest = replay::newest_configuration(segments, identity);
    let configuration = newest.as_ref().unwrap_or(founding);
    let voters: Vec<_> = configuration.voters.union(&configuration.outgoing).collect();
    voters == [&identity.member]
}

/// The segments that stay get back the copy of their header that was lost.
fn repair_headers(segments: &Segments<'_>, reading: &Reading<'_>, ops: &mut Vec<DiskOp>) -> u64 {
    let mut repaired = 0;
    for number in staying(reading) {
        let Some(HeaderState::Valid { header, bad_copy: Some(copy) }) =
            segments.get(number).map(|s| &s.state)
        else {
            continue;
        };
        let file = segment::file_name(*number);
        let bytes = header.encode()[..SECTOR].to_vec();
        ops.push(DiskOp::Write { file: file.clone(), offset: (copy * SECTOR) as u64, bytes });
        ops.push(DiskOp::Sync { file });
        repaired += 1;
    }
    repaired
}

/// The live segments but the tail, which is superseded by its copy.
fn staying<'a>(reading: &'a Reading<'_>) -> &'a [u64] {
    reading.live.split_last().map_or(&[], |(_, staying)| staying)
}

/// Copies the segment in which the log ends to a fresh one, and returns where the log goes on.
fn rewrite(
    config: &JournalConfig,
    identity: Identity,
    segments: &Segments<'_>,
    reading: &Reading<'_>,
    mark: LogMark,
    ops: &mut Vec<DiskOp>,
) -> Position {
    let highest = segments.last_key_value().map_or(0, |(number, _)| *number);
    let number = highest.max(mark.segment) + 1;
    let identity_digest = identity_digest(identity);
    let (previous, first_batch, batches) = match &reading.tail {
        Some(Tail { header, batches }) => {
            let from = Place { identity_digest, segment: header.number };
            let to = Place { identity_digest, segment: number };
            (header.previous, header.first_batch, segment::copy_batches(batches, from, to))
        }
        None => (0, 1, Vec::new()),
    };
    let offset = HEADER_BYTES + batches.len();
    let bytes = config.segment_bytes.max(offset as u64);
    let header =
        SegmentHeader { identity, number, previous, first_batch, synced_to: reading.last_batch, bytes };
    let file = segment::file_name(number);
    ops.push(DiskOp::Create { file: file.clone(), bytes });
    if !batches.is_empty() {
        ops.push(DiskOp::Write { file: file.clone(), offset: HEADER_BYTES as u64, bytes: batches });
    }
    ops.push(DiskOp::Sync { file: file.clone() });
    ops.push(DiskOp::SyncDirectory);
    ops.push(DiskOp::Write { file: file.clone(), offset: 0, bytes: header.encode() });
    ops.push(DiskOp::Sync { file: file.clone() });
    Position { segment: number, file, offset, bytes, last_batch: reading.last_batch }
}

/// Removes every segment but those that stay.
fn remove_superseded(segments: &Segments<'_>, reading: &Reading<'_>, ops: &mut Vec<DiskOp>) {
    let before = ops.len();
    for number in segments.keys().filter(|number| !staying(reading).contains(number)) {
        ops.push(DiskOp::Remove { file: segment::file_name(*number) });
    }
    if ops.len() > before {
        ops.push(DiskOp::SyncDirectory);
    }
}
