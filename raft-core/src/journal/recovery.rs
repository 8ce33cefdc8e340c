//! Recovery: from the bytes of a directory to a log and a hard state that are durable and safe to build on.

use alloc::borrow::ToOwned;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::hard_state::{self, HardStateRecord, LogMark};
use super::log_builder::Built;
use super::queue::{Found, Journal, LiveSegment, Position};
use super::replay::{self, Damage, Reading, Segment, Segments, Tail};
use super::sector::{SECTOR, identity_digest};
use super::segment::{self, Base, HEADER_BYTES, HeaderState, Place, SegmentHeader};
use super::snapshot::{self, Home, Unread};
use super::snapshot_files::SnapshotFiles;
use super::{Directory, DiskOp, Files, JournalConfig, OnDamage, ReadFailed, RecoveryReport, read};
use super::{directory, identity};
use crate::error::RestoreError;
use crate::membership::Configuration;
use crate::snapshot::SnapshotMeta;
use crate::types::{Boot, Index, LogId};
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
    /// Reads a directory, no more than a segment of it in memory at a time. Nothing is changed yet.
    ///
    /// # Errors
    /// [`RestoreError`], each with its cure. With [`OnDamage::Abstain`], a damaged log is one only for a sole voter.
    pub fn start(
        config: JournalConfig,
        directory: &dyn Directory,
        on_damage: OnDamage,
    ) -> Result<Recovery, RestoreError> {
        config.validate().map_err(RestoreError::Config)?;
        let names =
            directory.names().map_err(|failed| directory::unreadable("the data directory", &failed))?;
        let small = read_small(directory, &names)?;
        let files = read::view(&small);
        let mut ops = Vec::new();
        let mut report = RecoveryReport::default();

        let record = identity::read_identity(&files, &mut ops)?;
        let founding = identity::read_founding(&files, &record, &mut ops)?;
        let identity = record.identity;
        let both = hard_state::read(&files, identity_digest(identity))?;
        report.hard_state_copies_damaged = both.damaged.len() as u64;
        let segments = replay::segments(directory, &names, identity)?;
        let bytes_max = config.recovered_bytes_max;
        let mut reading = replay::read(directory, &segments, identity, both.newest.mark, bytes_max)?;
        report.copies_repaired = ops.iter().filter(|op| matches!(op, DiskOp::Write { .. })).count() as u64;
        report.torn = u64::from(reading.is_torn);
        report.rewritten = reading.last_batch.saturating_sub(reading.synced_to);
        hard_state::repair_ops(&files, &both, &mut ops);

        let (built, snapshot, hole) = settle_log(directory, &reading, identity)?;
        let damage = reading.damage.take().or(hole.clone());
        let snapshot_last = snapshot.as_ref().map_or(LogId::default(), |(_, snapshot)| snapshot.last);
        let last = if built.last.index >= snapshot_last.index { built.last } else { snapshot_last };
        let mut newest = recovered_hard_state(both.newest, last)?;
        newest.boot = Boot(newest.boot.0 + 1);
        if let Some(damage) = damage {
            let named = replay::newest_configuration(directory, &segments, identity)
                .or(snapshot.as_ref().map(|(_, snapshot)| snapshot.configuration.clone()));
            match on_damage {
                OnDamage::Refuse => return Err(damage.into()),
                OnDamage::Abstain if is_sole_voter(named.as_ref().unwrap_or(&founding), identity) => {
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

        let begins_anew = built.is_overtaken || hole.is_some();
        if begins_anew {
            reading.live.clear();
            reading.tail = None;
        }
        report.copies_repaired += repair_headers(&segments, &reading, &mut ops);
        let fresh = Fresh {
            first_index: built.last.index.next(),
            base: snapshot.as_ref().map_or(Base::default(), |(file, snapshot)| Base {
                file: *file,
                last: snapshot.last,
                through: built.base,
            }),
        };
        let position = rewrite(&config, identity, &segments, &reading, fresh, both.newest.mark, &mut ops);
        newest.sequence += 1;
        newest.mark = LogMark { segment: position.segment, synced_to: reading.last_batch };
        newest.ops(&mut ops);
        let current = snapshot.as_ref().map(|(file, _)| *file);
        report.orphans = remove_superseded(&segments, &reading, &names, current, &mut ops);

        let found = found(&segments, &reading, &built, &snapshot, &position, fresh, &names);
        let journal = Journal::new(config, identity, newest, position, built.last.index, found);
        let restored = Restored {
            identity,
            boot: newest.boot,
            hard_state: newest.hard_state,
            founding,
            snapshot: snapshot.map(|(_, snapshot)| snapshot),
            base: built.base,
            runs: built.runs,
            last: built.last,
            configurations: built.configurations,
            entries: built.entries,
        };
        Ok(Recovery { ops, report, journal, restored })
    }

    /// What to perform, in order, before [`finish`](Recovery::finish). A crash anywhere in it can be recovered from.
    #[must_use]
    pub fn ops(&self) -> &[DiskOp] {
        &self.ops
    }

    /// Whose directory it is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.restored.identity
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

/// The files that are neither segments nor snapshots, whole; of segments the names only.
fn read_small(directory: &dyn Directory, names: &[String]) -> Result<Files, RestoreError> {
    const SMALL_BYTES_MAX: u64 = 1 << 20;
    let mut files = Files::new();
    for name in names.iter().filter(|name| !name.starts_with(snapshot::PREFIX)) {
        let is_segment = name.starts_with(segment::PREFIX);
        let bytes =
            if is_segment { Vec::new() } else { directory::read(directory, name, 0, SMALL_BYTES_MAX)? };
        files.insert(name.clone(), bytes);
    }
    Ok(files)
}

/// The snapshot that the log names, checked whole; none if it names none.
fn read_current(
    directory: &dyn Directory,
    reading: &Reading,
    identity: Identity,
) -> Result<Result<Option<(u64, SnapshotMeta)>, Damage>, RestoreError> {
    let serial = reading.log.base().file;
    if serial == 0 {
        return Ok(Ok(None));
    }
    let damage = |offset, what| Damage { file: snapshot::file_name(serial), offset, what };
    Ok(match snapshot::verify(Home::new(identity, serial), directory) {
        Ok(snapshot) if reading.log.agrees_with(&snapshot) => Ok(Some((serial, snapshot))),
        Ok(snapshot) => {
            Err(damage(0, format!("it is a snapshot of {}, not the one that the log names", snapshot.last)))
        }
        Err(Unread::Missing) => Err(damage(0, "the file is missing".to_owned())),
        Err(Unread::Damaged(offset, what)) => Err(damage(offset, what)),
        // What the disk may give another time is not thrown away.
        Err(Unread::Refused(what)) => {
            return Err(directory::unreadable(&snapshot::file_name(serial), &ReadFailed::Failed(what)));
        }
    })
}

/// A log, the number and the name of the snapshot that it stands on, and the damage that emptied it.
type Settled = (Built, Option<(u64, SnapshotMeta)>, Option<Damage>);

/// The log and the snapshot that it stands on. One that is lost takes with it all that was built on it: a hole from 0.
pub(super) fn settle_log(
    directory: &dyn Directory,
    reading: &Reading,
    identity: Identity,
) -> Result<Settled, RestoreError> {
    let snapshot = match read_current(directory, reading, identity)? {
        Ok(snapshot) => snapshot,
        Err(damage) => return Ok((Built::default(), None, Some(damage))),
    };
    Ok(match reading.log.clone().build() {
        Some(built) => (built, snapshot, None),
        None => {
            let first = reading.live.first().copied().unwrap_or(0);
            let what = "entries are missing between what the snapshot covers and the first segment";
            (Built::default(), None, Some(Damage::at(first, 0, what)))
        }
    })
}

/// Whether nobody else could repair this member.
fn is_sole_voter(configuration: &Configuration, identity: Identity) -> bool {
    let mut voters = configuration.voters.iter().chain(&configuration.outgoing);
    configuration.is_voter(identity.member) && voters.all(|voter| voter == identity.member)
}

/// The segments that stay get back the copy of their header that was lost.
fn repair_headers(segments: &Segments, reading: &Reading, ops: &mut Vec<DiskOp>) -> u64 {
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
fn staying(reading: &Reading) -> &[u64] {
    reading.live.split_last().map_or(&[], |(_, staying)| staying)
}

/// What the header of a segment says that continues no other.
#[derive(Clone, Copy)]
struct Fresh {
    first_index: Index,
    base: Base,
}

/// Copies the segment in which the log ends to a fresh one, or begins one, and returns where the log goes on.
fn rewrite(
    config: &JournalConfig,
    identity: Identity,
    segments: &Segments,
    reading: &Reading,
    fresh: Fresh,
    mark: LogMark,
    ops: &mut Vec<DiskOp>,
) -> Position {
    let highest = segments.last_key_value().map_or(0, |(number, _)| *number);
    let number = highest.max(mark.segment) + 1;
    let identity_digest = identity_digest(identity);
    let last_batch = reading.last_batch.max(mark.synced_to).max(reading.synced_to);
    let (previous, first_batch, last_batch, fresh, batches) = match &reading.tail {
        Some(Tail { header, batches }) => {
            let from = Place { identity_digest, segment: header.number };
            let to = Place { identity_digest, segment: number };
            let kept = Fresh { first_index: header.first_index, base: header.base };
            let batches = segment::copy_batches(batches, from, to);
            (header.previous, header.first_batch, reading.last_batch, kept, batches)
        }
        None => (0, last_batch + 1, last_batch, fresh, Vec::new()),
    };
    let offset = HEADER_BYTES + batches.len();
    let bytes = config.segment_bytes.max(offset as u64);
    let Fresh { first_index, base } = fresh;
    let header = SegmentHeader {
        identity,
        number,
        previous,
        first_batch,
        synced_to: last_batch,
        bytes,
        first_index,
        base,
    };
    let file = segment::file_name(number);
    ops.push(DiskOp::Create { file: file.clone(), bytes });
    if !batches.is_empty() {
        ops.push(DiskOp::Write { file: file.clone(), offset: HEADER_BYTES as u64, bytes: batches });
    }
    ops.push(DiskOp::Sync { file: file.clone() });
    ops.push(DiskOp::SyncDirectory);
    ops.push(DiskOp::Write { file: file.clone(), offset: 0, bytes: header.encode() });
    ops.push(DiskOp::Sync { file: file.clone() });
    Position { segment: number, file, offset, bytes, last_batch }
}

/// Removes every segment but those that stay, and every snapshot but the current one. Counts the snapshots.
fn remove_superseded(
    segments: &Segments,
    reading: &Reading,
    names: &[String],
    current: Option<u64>,
    ops: &mut Vec<DiskOp>,
) -> u64 {
    let before = ops.len();
    for number in segments.keys().filter(|number| !staying(reading).contains(number)) {
        ops.push(DiskOp::Remove { file: segment::file_name(*number) });
    }
    let mut orphans = 0;
    for serial in serials(names).filter(|serial| Some(*serial) != current) {
        orphans += 1;
        ops.push(DiskOp::Remove { file: snapshot::file_name(serial) });
    }
    if ops.len() > before {
        ops.push(DiskOp::SyncDirectory);
    }
    orphans
}

fn serials(names: &[String]) -> impl Iterator<Item = u64> {
    names.iter().filter_map(|name| snapshot::parse_name(name))
}

/// What the journal goes on with.
fn found(
    segments: &Segments,
    reading: &Reading,
    built: &Built,
    snapshot: &Option<(u64, SnapshotMeta)>,
    position: &Position,
    fresh: Fresh,
    names: &[String],
) -> Found {
    let header = |number: &u64| segments.get(number).and_then(Segment::header);
    let live = |number: &u64| {
        header(number).map(|header| LiveSegment { number: *number, first_index: header.first_index })
    };
    let tail = reading.tail.as_ref().map(|tail| tail.header);
    let first_index = tail.map_or(fresh.first_index, |tail| tail.first_index);
    let mut live: VecDeque<LiveSegment> = staying(reading).iter().filter_map(live).collect();
    live.push_back(LiveSegment { number: position.segment, first_index });
    let mut index = built.index.clone();
    if let Some(tail) = tail {
        index.rename_segment(tail.number, position.segment);
    }
    let last_serial = serials(names).max().unwrap_or(0).max(reading.log.base().file);
    let mut snapshots = SnapshotFiles::new(last_serial);
    let base = match snapshot {
        Some((file, snapshot)) => {
            snapshots.complete.insert(*file, snapshot.clone());
            Base { file: *file, last: snapshot.last, through: built.base }
        }
        None => Base::default(),
    };
    Found { segments: live, index, base, snapshots }
}
