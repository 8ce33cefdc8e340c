//! Reading the log from its segments: which segments count, which batches, and what an end of the log means.
//!
//! One batch is under way at a time, and each says through which batch everything was durable when it was written
//! (`synced_to`). So all damage below the highest `synced_to` is damage to something promised, and only the last
//! batch may be the torn rest of a crash.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::directory::{self, Directory};
use super::hard_state::LogMark;
use super::index::Sample;
use super::log_builder::LogBuilder;
use super::record::{self, Record};
use super::sector::{describe, identity_digest, is_zero};
use super::segment::{self, HEADER_BYTES, HeaderState, Parsed, Place, SegmentHeader};
use crate::entry::Payload;
use crate::error::RestoreError;
use crate::membership::Configuration;
use crate::types::Index;
use crate::write::Identity;

/// Something that was synced, or written whole, is not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Damage {
    pub(super) file: String,
    pub(super) offset: u64,
    pub(super) what: String,
}

impl Damage {
    pub(super) fn at(segment: u64, offset: usize, what: impl ToString) -> Damage {
        Damage { file: segment::file_name(segment), offset: offset as u64, what: what.to_string() }
    }
}

impl From<Damage> for RestoreError {
    fn from(Damage { file, offset, what }: Damage) -> RestoreError {
        RestoreError::Damaged { file, offset, what }
    }
}

/// A segment file, of which only the header has been read.
pub(super) struct Segment {
    pub(super) state: HeaderState,
}

impl Segment {
    pub(super) fn header(&self) -> Option<SegmentHeader> {
        match self.state {
            HeaderState::Valid { header, .. } => Some(header),
            HeaderState::Void | HeaderState::Damaged | HeaderState::Unsupported(_) => None,
        }
    }
}

/// Segments by number.
pub(super) type Segments = BTreeMap<u64, Segment>;

/// The segment in which the log ends.
pub(super) struct Tail {
    pub(super) header: SegmentHeader,
    /// Its batches that count.
    pub(super) batches: Vec<u8>,
}

/// The log, as far as it can be had.
pub(super) struct Reading {
    pub(super) log: LogBuilder,
    /// The last batch read.
    pub(super) last_batch: u64,
    /// The highest `synced_to` seen anywhere.
    pub(super) synced_to: u64,
    /// Whether a torn batch was cut off the end.
    pub(super) is_torn: bool,
    /// Why the log ends where it does, if it should not.
    pub(super) damage: Option<Damage>,
    /// The segments that hold the log, ascending; the tail is the last.
    pub(super) live: Vec<u64>,
    pub(super) tail: Option<Tail>,
}

/// Finds the segments among the files of a directory, and refuses what is not this directory's.
pub(super) fn segments(
    directory: &dyn Directory,
    names: &[String],
    identity: Identity,
) -> Result<Segments, RestoreError> {
    let mut segments = Segments::new();
    for name in names.iter().filter(|name| name.starts_with(segment::PREFIX)) {
        let unsupported = |what: String| RestoreError::Unsupported { file: name.clone(), what };
        let Some(number) = segment::parse_name(name) else {
            return Err(unsupported("not a segment's name; the journal never made this file".to_owned()));
        };
        let state = segment::read_header(&directory::read(directory, name, 0, HEADER_BYTES as u64)?);
        match &state {
            HeaderState::Unsupported(version) => {
                return Err(unsupported(format!("format version {version} is not known to this version")));
            }
            HeaderState::Valid { header, .. } if header.identity != identity => {
                let what = format!("it belongs to {}", describe(header.identity));
                return Err(RestoreError::WrongIdentity { file: name.clone(), what });
            }
            HeaderState::Valid { header, .. } if header.number != number || header.previous >= number => {
                let what = format!("it is segment {} under another name; rename it back", header.number);
                return Err(unsupported(what));
            }
            HeaderState::Valid { .. } | HeaderState::Void | HeaderState::Damaged => {}
        }
        segments.insert(number, Segment { state });
    }
    Ok(segments)
}

/// Reads the log, one segment in memory at a time. Damage is part of the result; an error is what no cut could cure.
pub(super) fn read(
    directory: &dyn Directory,
    segments: &Segments,
    identity: Identity,
    mark: LogMark,
    bytes_max: u64,
) -> Result<Reading, RestoreError> {
    const LOST: &str = "the segment's header is lost, or the whole file";
    let begun = segments.iter().rev().find(|(_, segment)| segment.state != HeaderState::Void);
    let top = begun.map_or(0, |(number, _)| *number);
    let mut damage = (mark.segment > top).then(|| Damage::at(mark.segment, 0, LOST));
    if let Some((number, segment)) = begun
        && segment.header().is_none()
        && damage.is_none()
    {
        damage = Some(Damage::at(*number, 0, LOST));
    }
    let mut below = u64::MAX;
    loop {
        let (chain, lost) = chain(segments, below);
        let mut reading = read_chain(directory, &chain, identity, mark, bytes_max)?;
        let starts_at = chain.first().map_or(Index(1), |header| header.first_index);
        match lost {
            // What the log has let go is removed, the oldest first: that is no loss.
            Some(number) if segments.contains_key(&number) || !reading.log.has_let_go_of(starts_at) => {
                damage = Some(Damage::at(number, 0, LOST));
                below = number;
            }
            Some(_) | None => {
                if reading.damage.is_none() {
                    reading.damage = damage;
                }
                return Ok(reading);
            }
        }
    }
}

/// The segments that hold the log, ascending: the highest one that was begun, the one that it continues, and so on,
/// and the one that is not there, or has no header, if the chain ends at one.
fn chain(segments: &Segments, below: u64) -> (Vec<SegmentHeader>, Option<u64>) {
    let mut chain = Vec::new();
    let mut next = segments.range(..below).rev().find(|(_, segment)| segment.header().is_some());
    let lost = loop {
        let Some((number, segment)) = next else { break None };
        let Some(header) = segment.header() else { break Some(*number) };
        chain.push(header);
        if header.previous == 0 {
            break None;
        }
        next = segments.get_key_value(&header.previous);
        if next.is_none() {
            break Some(header.previous);
        }
    };
    chain.reverse();
    (chain, lost)
}

fn read_chain(
    directory: &dyn Directory,
    chain: &[SegmentHeader],
    identity: Identity,
    mark: LogMark,
    bytes_max: u64,
) -> Result<Reading, RestoreError> {
    let highest = chain.iter().map(|header| header.synced_to).max().unwrap_or(0);
    let start = chain.first().map_or(Index(0), |header| header.first_index.previous());
    let mut reading = Reading {
        log: LogBuilder::new(start, bytes_max),
        last_batch: chain.first().map_or(0, |header| header.first_batch.saturating_sub(1)),
        synced_to: highest.max(mark.synced_to),
        is_torn: false,
        damage: None,
        live: Vec::new(),
        tail: None,
    };
    for (position, header) in chain.iter().enumerate() {
        let name = segment::file_name(header.number);
        if header.first_batch != reading.last_batch + 1 {
            let what = format!("it starts with batch {}, after {}", header.first_batch, reading.last_batch);
            return Err(RestoreError::Unsupported { file: name, what });
        }
        reading.log.note_base(header.base);
        let mut file = directory::read(directory, &name, 0, header.bytes)?;
        let place = Place { identity_digest: identity_digest(identity), segment: header.number };
        let next = chain.get(position + 1).map(|next| next.first_batch);
        let end = read_segment(&mut reading, header, &file, place, next)?;
        reading.live.push(header.number);
        file.truncate(end.max(HEADER_BYTES));
        let batches = file.split_off(HEADER_BYTES.min(file.len()));
        reading.tail = Some(Tail { header: *header, batches });
        if reading.damage.is_some() {
            break;
        }
    }
    Ok(reading)
}

/// Reads a segment's batches, up to where the next segment starts, and returns where they end.
fn read_segment(
    reading: &mut Reading,
    header: &SegmentHeader,
    file: &[u8],
    place: Place,
    next_segment: Option<u64>,
) -> Result<usize, RestoreError> {
    let mut scratch = Vec::new();
    let mut offset = HEADER_BYTES;
    while next_segment.is_none_or(|first| reading.last_batch + 1 < first) {
        let number = reading.last_batch + 1;
        match segment::parse(file, header.bytes, place, offset, number) {
            Parsed::Batch(batch, bytes) => {
                let Some(records) = record::decode(segment::payload(batch, bytes, &mut scratch)) else {
                    return Err(unknown(header, offset, number));
                };
                if let Err(what) = reading.log.check(&records) {
                    reading.damage = Some(Damage::at(header.number, offset, what));
                    break;
                }
                let at =
                    Sample { first: Index(0), segment: header.number, offset: offset as u64, batch: number };
                reading.log.apply(records, at);
                reading.synced_to = reading.synced_to.max(batch.synced_to);
                reading.last_batch = number;
                offset += bytes.len();
            }
            Parsed::Damaged { at, what } => {
                reading.damage = Some(Damage::at(header.number, at, what));
                break;
            }
            Parsed::Unwritten | Parsed::Torn if next_segment.is_some() => {
                let what = format!("batch {number} was synced, and is not all there");
                reading.damage = Some(Damage::at(header.number, offset, what));
                break;
            }
            Parsed::Unwritten | Parsed::Torn => {
                read_end(reading, header, file, place, offset);
                break;
            }
        }
    }
    Ok(offset)
}

fn unknown(header: &SegmentHeader, offset: usize, number: u64) -> RestoreError {
    let what = format!(
        "batch {number} at byte {offset} holds a record or an entry that this version does not know; \
         it is never skipped: start a version that knows it"
    );
    RestoreError::Unsupported { file: segment::file_name(header.number), what }
}

/// The batch at `offset` of the last segment is not all there. A torn write of a crash, the end of the log, or a
/// loss?
fn read_end(reading: &mut Reading, header: &SegmentHeader, file: &[u8], place: Place, offset: usize) {
    let number = reading.last_batch + 1;
    reading.synced_to = reading.synced_to.max(segment::highest_synced_to(file, place, offset));
    if reading.synced_to >= number {
        let what = format!("batch {number} is not all there, and batch {} was synced", reading.synced_to);
        reading.damage = Some(Damage::at(header.number, offset, what));
    } else if (file.len() as u64) < header.bytes {
        // The file was allocated, and synced, before its header was written.
        reading.damage = Some(Damage::at(header.number, file.len(), "the file is cut short"));
    } else {
        reading.is_torn = !is_zero(file.get(offset..).unwrap_or_default());
    }
}

/// The newest configuration in any intact batch, whether or not the log reaches it.
pub(super) fn newest_configuration(
    directory: &dyn Directory,
    segments: &Segments,
    identity: Identity,
) -> Option<Configuration> {
    let mut newest: Option<(u64, Configuration)> = None;
    let mut scratch = Vec::new();
    for (number, segment) in segments {
        let Some(header) = segment.header() else { continue };
        let Ok(file) = directory.read(&segment::file_name(*number), 0, header.bytes) else { continue };
        let place = Place { identity_digest: identity_digest(identity), segment: *number };
        for offset in (HEADER_BYTES..file.len()).step_by(super::sector::SECTOR) {
            let Some(sector) = super::sector::sector(&file, offset) else { break };
            let Some(batch) = segment::batch_header(sector, place, offset) else { continue };
            let Parsed::Batch(batch, bytes) =
                segment::parse(&file, header.bytes, place, offset, batch.number)
            else {
                continue;
            };
            let records = record::decode(segment::payload(batch, bytes, &mut scratch)).unwrap_or_default();
            let configurations = records.into_iter().rev().filter_map(last_configuration);
            if let Some(found) = configurations.into_iter().next()
                && newest.as_ref().is_none_or(|(number, _)| *number <= batch.number)
            {
                newest = Some((batch.number, found));
            }
        }
    }
    newest.map(|(_, configuration)| configuration)
}

fn last_configuration(record: Record) -> Option<Configuration> {
    let entries = match record {
        Record::Append { entries } => entries,
        Record::Install { snapshot, .. } => return Some(snapshot.configuration),
        Record::Discard { discard, .. } => return Some(discard.snapshot.configuration),
        Record::Truncate { .. } | Record::Seal => return None,
    };
    entries.into_iter().rev().find_map(|entry| match entry.payload {
        Payload::Configuration(configuration) => Some(*configuration),
        Payload::Noop | Payload::Command(_) | Payload::FeatureLevel(_) | Payload::Digest { .. } => None,
    })
}
