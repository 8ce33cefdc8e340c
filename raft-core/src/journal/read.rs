//! Reading a data directory without a [`Journal`](super::Journal): for oracles, and for people.
//!
//! Nothing here keeps or trusts what a running journal has in memory: bytes in, facts out, and nothing is changed.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write as _;

use super::hard_state::{self, HardStateRecord, Slot};
use super::replay::{self, Damage};
use super::sector::{SECTOR, describe, identity_digest, sector};
use super::segment::{self, HEADER_BYTES, HeaderState, Parsed, Place};
use super::snapshot::{self, Home, Unread};
use super::{Directory, Files, View, identity, recovery};
use crate::entry::Entry;
use crate::error::RestoreError;
use crate::membership::Configuration;
use crate::snapshot::SnapshotMeta;
use crate::types::LogId;
use crate::write::Identity;

pub use super::hard_state::{HardStateRecord as HardStateImage, LogMark};
pub use super::record::Record;
pub use super::segment::{Base, SegmentHeader};

/// The names of the two hard-state files.
pub const HARD_STATE_FILES: [&str; 2] = hard_state::FILES;

/// Borrows all files.
#[must_use]
pub fn view(files: &Files) -> View<'_> {
    files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect()
}

/// The newest intact hard-state record of two files, whatever else is in them.
///
/// Cheap: it compares sequences, and computes the checksum of the winner only.
#[must_use]
pub fn hard_state_of(a: Option<&[u8]>, b: Option<&[u8]>) -> Option<HardStateRecord> {
    hard_state::newest(a, b)
}

/// The newest record, given one that was the newest earlier on the same files: looks at the slots after it only, for
/// an oracle that looks often. Records are written one after the other, so none is skipped.
#[must_use]
pub fn hard_state_since(known: HardStateRecord, a: Option<&[u8]>, b: Option<&[u8]>) -> HardStateRecord {
    let mut newest = known;
    loop {
        let next = newest.sequence.wrapping_add(1);
        let found = [a, b].into_iter().flatten().find_map(|file| {
            match hard_state::slot(file, next % hard_state::SLOTS) {
                Slot::Valid(record) => (record.sequence == next).then_some(record),
                Slot::Zero | Slot::Damaged | Slot::Unsupported => None,
            }
        });
        match found {
            Some(record) => newest = record,
            None => return newest,
        }
    }
}

/// Follows one segment as it grows, each batch read once.
#[derive(Clone, Debug)]
pub struct SegmentReader {
    header: SegmentHeader,
    place: Place,
    offset: usize,
    next_batch: u64,
}

impl SegmentReader {
    /// Starts at the first batch. None while the segment's header is not intact: it does not count yet, or it is
    /// damaged.
    #[must_use]
    pub fn open(bytes: &[u8]) -> Option<SegmentReader> {
        let HeaderState::Valid { header, .. } = segment::read_header(bytes) else { return None };
        let place = Place { identity_digest: identity_digest(header.identity), segment: header.number };
        Some(SegmentReader { header, place, offset: HEADER_BYTES, next_batch: header.first_batch })
    }

    /// What the segment says about itself. A segment supersedes all those with numbers between `previous` and its
    /// own.
    #[must_use]
    pub fn header(&self) -> &SegmentHeader {
        &self.header
    }

    /// The number of the batch that [`next`](SegmentReader::next) will look for.
    #[must_use]
    pub fn next_batch(&self) -> u64 {
        self.next_batch
    }

    /// The byte at which it will look.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset as u64
    }

    /// The next batch's records, if it is there and intact; the same question may be asked again later.
    #[must_use]
    pub fn next(&mut self, bytes: &[u8]) -> Option<Vec<Record>> {
        let parsed = segment::parse(bytes, self.header.bytes, self.place, self.offset, self.next_batch);
        let Parsed::Batch(header, batch) = parsed else { return None };
        let mut scratch = Vec::new();
        let records = super::record::decode(segment::payload(header, batch, &mut scratch))?;
        self.offset += batch.len();
        self.next_batch += 1;
        Some(records)
    }
}

/// What a directory holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Whose it is.
    pub identity: Identity,
    /// The founding configuration; empty for a member that joined.
    pub founding: Configuration,
    /// The newest hard-state record, as it is on disk.
    pub hard_state: HardStateRecord,
    /// The log starts after this entry.
    pub base: LogId,
    /// The current snapshot, if the log names one and it is intact: the number in the file's name, and what it is.
    pub snapshot: Option<(u64, SnapshotMeta)>,
    /// The log after `base`, as far as recovery would keep it.
    pub entries: Vec<Entry>,
    /// The last batch that it would keep.
    pub last_batch: u64,
    /// The highest `synced_to` that is written anywhere.
    pub synced_to: u64,
    /// Whether it would cut a torn batch.
    pub is_torn: bool,
    /// Why the log ends where it does, if damage is the reason: what recovery would refuse with.
    pub damage: Option<RestoreError>,
}

/// Reads a whole directory as recovery would.
///
/// # Errors
/// What recovery refuses with in any mode; damage to the log is in [`Contents::damage`].
pub fn contents(files: &View<'_>) -> Result<Contents, RestoreError> {
    let mut repairs = Vec::new();
    let record = identity::read_identity(files, &mut repairs)?;
    let founding = identity::read_founding(files, &record, &mut repairs)?;
    let identity = record.identity;
    let both = hard_state::read(files, identity_digest(identity))?;
    let names: Vec<String> = files.keys().map(ToString::to_string).collect();
    let segments = replay::segments(files, &names, identity)?;
    let mut reading = replay::read(files, &segments, identity, both.newest.mark, u64::MAX)?;
    let (built, snapshot, hole) = recovery::settle_log(files, &reading, identity)?;
    Ok(Contents {
        identity,
        founding,
        hard_state: both.newest,
        base: built.base,
        snapshot,
        entries: built.entries,
        last_batch: reading.last_batch,
        synced_to: reading.synced_to,
        is_torn: reading.is_torn,
        damage: reading.damage.take().or(hole).map(Damage::into),
    })
}

/// Reads a snapshot file whole, against its checksums and its digest.
///
/// # Errors
/// Why it is not a snapshot of this directory, in words.
pub fn snapshot(directory: &dyn Directory, identity: Identity, file: u64) -> Result<SnapshotMeta, String> {
    snapshot::verify(Home::new(identity, file), directory).map_err(|unread| match unread {
        Unread::Missing => "the file is missing".to_string(),
        Unread::Damaged(at, what) => format!("at byte {at}: {what}"),
        Unread::Refused(what) => format!("it can't be read: {what}"),
    })
}

/// The name of a snapshot's file.
#[must_use]
pub fn snapshot_name(file: u64) -> String {
    snapshot::file_name(file)
}

/// The log that recovery would keep.
///
/// # Errors
/// What recovery would refuse with, damage included.
pub fn durable_log(files: &View<'_>) -> Result<Vec<LogId>, RestoreError> {
    let contents = contents(files)?;
    match contents.damage {
        Some(damage) => Err(damage),
        None => Ok(contents.entries.iter().map(Entry::id).collect()),
    }
}

/// Everything in a directory, in words: one line a record, a batch, a fault.
#[must_use]
pub fn dump(files: &View<'_>) -> String {
    let mut out = String::new();
    let verdict = contents(files);
    if let Ok(contents) = &verdict {
        line(&mut out, format_args!("identity  {}", describe(contents.identity)));
        line(&mut out, format_args!("founding  {:?}", contents.founding.voters));
    }
    for name in HARD_STATE_FILES {
        dump_hard_state(&mut out, name, files.get(name).copied());
    }
    for (name, file) in files.range(segment::PREFIX..).filter(|(name, _)| name.starts_with(segment::PREFIX)) {
        dump_segment(&mut out, name, file);
    }
    match verdict {
        Ok(Contents { damage: None, base, snapshot, entries, last_batch, synced_to, is_torn, .. }) => {
            if let Some((file, snapshot)) = snapshot {
                line(
                    &mut out,
                    format_args!(
                        "snapshot  {file}, of {}, {} bytes; the log starts after {base}",
                        snapshot.last, snapshot.length
                    ),
                );
            }
            let torn = if is_torn { ", then a torn batch" } else { "" };
            let entries = entries.len();
            line(
                &mut out,
                format_args!(
                    "verdict   {entries} entries in {last_batch} batches{torn}; synced to {synced_to}"
                ),
            );
        }
        Ok(Contents { damage: Some(error), .. }) | Err(error) => {
            line(&mut out, format_args!("verdict   {error}"));
        }
    }
    out
}

fn line(out: &mut String, text: core::fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("a string grows");
}

fn dump_hard_state(out: &mut String, name: &str, file: Option<&[u8]>) {
    let Some(file) = file else { return line(out, format_args!("{name}  missing")) };
    for number in 0..hard_state::SLOTS {
        match hard_state::slot(file, number) {
            Slot::Zero => {}
            Slot::Damaged => line(out, format_args!("{name}  slot {number}: damaged")),
            Slot::Unsupported => line(out, format_args!("{name}  slot {number}: of an unknown version")),
            Slot::Valid(record) => {
                let HardStateRecord { sequence, boot, hard_state, mark, .. } = record;
                let vote = hard_state.vote.map_or("nobody".to_string(), |vote| vote.to_string());
                let abstaining = if hard_state.abstaining { ", abstaining" } else { "" };
                line(
                    out,
                    format_args!(
                        "{name}  slot {number}: record {sequence}, boot {boot}, term {}, vote {vote}{abstaining}; \
                         segment {}, synced to {}",
                        hard_state.term, mark.segment, mark.synced_to
                    ),
                );
            }
        }
    }
}

fn dump_segment(out: &mut String, name: &str, file: &[u8]) {
    let header = match segment::read_header(file) {
        HeaderState::Void => return line(out, format_args!("{name}  void")),
        HeaderState::Damaged => return line(out, format_args!("{name}  header damaged")),
        HeaderState::Unsupported(version) => return line(out, format_args!("{name}  version {version}")),
        HeaderState::Valid { header, bad_copy } => {
            let copy = bad_copy.map_or(String::new(), |copy| format!(", copy {copy} damaged"));
            line(
                out,
                format_args!(
                    "{name}  after segment {}, from batch {}, synced to {}, {} bytes{copy}",
                    header.previous, header.first_batch, header.synced_to, header.bytes
                ),
            );
            header
        }
    };
    let place = Place { identity_digest: identity_digest(header.identity), segment: header.number };
    let (mut offset, mut number, mut scratch) = (HEADER_BYTES, header.first_batch, Vec::new());
    loop {
        match segment::parse(file, header.bytes, place, offset, number) {
            Parsed::Batch(batch, bytes) => {
                let records = super::record::decode(segment::payload(batch, bytes, &mut scratch));
                let records =
                    records.map_or("unknown records".to_string(), |records| describe_records(&records));
                line(
                    out,
                    format_args!("  {offset:>10}  batch {number}, synced to {}: {records}", batch.synced_to),
                );
                offset += bytes.len();
                number += 1;
            }
            Parsed::Torn => return line(out, format_args!("  {offset:>10}  batch {number}: not all there")),
            Parsed::Damaged { at, what } => return line(out, format_args!("  {at:>10}  {what}")),
            Parsed::Unwritten => {
                let later = segment::highest_synced_to(file, place, offset);
                if later > 0 {
                    line(
                        out,
                        format_args!("  {offset:>10}  unwritten, with later batches: synced to {later}"),
                    );
                } else if sector(file, offset).is_some() && !super::sector::is_zero(&file[offset + SECTOR..])
                {
                    line(out, format_args!("  {offset:>10}  unwritten, with written sectors after it"));
                }
                return;
            }
        }
    }
}

fn describe_records(records: &[Record]) -> String {
    let mut out = String::new();
    for record in records {
        let separator = if out.is_empty() { "" } else { "; " };
        let text = match record {
            Record::Truncate { from } => format!("truncate from {from}"),
            Record::Append { entries } => match (entries.first(), entries.last()) {
                (Some(first), Some(last)) => format!("append {} to {}", first.id(), last.id()),
                _ => "append nothing".to_string(),
            },
            Record::Seal => "seal".to_string(),
            Record::Install { file, snapshot } => format!("install snapshot {file} of {}", snapshot.last),
            Record::Discard { file, discard } => {
                format!(
                    "discard through {} under snapshot {file} of {}",
                    discard.through, discard.snapshot.last
                )
            }
        };
        out.push_str(separator);
        out.push_str(&text);
    }
    out
}
