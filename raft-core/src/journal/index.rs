//! Where the log's entries are: enough places to find any of them by reading on from one.

use alloc::vec::Vec;

use super::directory::{ReadBytes, ReadFailed};
use super::record::{self, Record};
use super::sector::{SECTOR, is_zero};
use super::segment::{self, HEADER_BYTES, Place};
use super::snapshot::{self, Home, Unread};
use crate::entry::Entry;
use crate::load::{Loaded, Wanted};
use crate::types::{Index, LogId};

/// A place for each so many bytes of log.
const SPACING: u64 = 64 << 10;
/// Bytes read at once.
const PIECE: u64 = 64 << 10;

/// A batch, and the first index that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) first: Index,
    pub(super) segment: u64,
    pub(super) offset: u64,
    pub(super) batch: u64,
}

/// Samples in the order of the log. Invariant: indexes grow, and so do places.
#[derive(Clone, Debug, Default)]
pub(super) struct LogIndex {
    samples: Vec<Sample>,
}

impl LogIndex {
    /// Notes a batch. What it overwrites is not looked for any more.
    pub(super) fn note(&mut self, sample: Sample) {
        while self.samples.pop_if(|known| known.first >= sample.first).is_some() {}
        let is_far =
            |known: &Sample| known.segment != sample.segment || sample.offset - known.offset >= SPACING;
        if self.samples.last().is_none_or(is_far) {
            self.samples.push(sample);
        }
    }

    /// The log begins anew.
    pub(super) fn clear(&mut self) {
        self.samples.clear();
    }

    /// Forgets a segment that is removed.
    pub(super) fn forget_segment(&mut self, segment: u64) {
        self.samples.retain(|sample| sample.segment != segment);
    }

    /// A segment was copied into another.
    pub(super) fn rename_segment(&mut self, from: u64, to: u64) {
        for sample in self.samples.iter_mut().filter(|sample| sample.segment == from) {
            sample.segment = to;
        }
    }

    /// From where to read on to meet an entry.
    pub(super) fn find(&self, index: Index) -> Option<Sample> {
        let after = self.samples.partition_point(|sample| sample.first <= index);
        after.checked_sub(1).map(|at| self.samples[at])
    }
}

/// Something to be read back, on whatever thread.
#[derive(Clone, Debug)]
pub struct LoadPlan {
    pub(super) wanted: Wanted,
    pub(super) source: LoadSource,
}

/// Where it is.
#[derive(Clone, Debug)]
pub(super) enum LoadSource {
    /// It was let go.
    Gone,
    /// Entries: segments in order; the first is entered at this batch.
    Segments {
        identity_digest: u64,
        numbers: Vec<u64>,
        start: Sample,
    },
    Snapshot {
        home: Home,
    },
}

impl LoadPlan {
    /// Reads. `read` gives that many bytes of a file of the data directory from an offset on.
    #[must_use]
    pub fn run(&self, read: &mut ReadBytes<'_>) -> Loaded {
        match (&self.wanted, &self.source) {
            (Wanted::Entries { .. }, LoadSource::Segments { identity_digest, numbers, start }) => {
                self.read_entries(*identity_digest, numbers, *start, read)
            }
            (Wanted::Chunk { snapshot, offset, bytes_max }, LoadSource::Snapshot { home }) => {
                let length = (*bytes_max).min(snapshot.length.saturating_sub(*offset));
                match snapshot::read_content(*home, *offset, length, read) {
                    Ok(content) => Loaded::Chunk(content.into()),
                    Err(Unread::Missing) => Loaded::Gone,
                    Err(Unread::Damaged(..) | Unread::Refused(_)) => Loaded::Damaged,
                }
            }
            (_, LoadSource::Gone)
            | (Wanted::Entries { .. }, LoadSource::Snapshot { .. })
            | (Wanted::Chunk { .. }, LoadSource::Segments { .. }) => Loaded::Gone,
        }
    }

    fn read_entries(
        &self,
        identity_digest: u64,
        numbers: &[u64],
        start: Sample,
        read: &mut ReadBytes<'_>,
    ) -> Loaded {
        let mut found = Found::new(&self.wanted);
        let mut ahead = ReadAhead::new(read);
        let (mut offset, mut batch) = (start.offset, start.batch);
        for segment in numbers {
            let place = Place { identity_digest, segment: *segment };
            loop {
                match read_batch(place, offset, batch, &mut ahead) {
                    Ok(Some((records, bytes))) => {
                        records.into_iter().for_each(|record| found.take(record));
                        offset += bytes;
                        batch += 1;
                    }
                    Ok(None) => break,
                    Err(Unread::Missing) => return Loaded::Gone,
                    Err(Unread::Damaged(..) | Unread::Refused(_)) => return Loaded::Damaged,
                }
                if found.is_enough {
                    return Loaded::Entries(found.entries);
                }
            }
            offset = HEADER_BYTES as u64;
        }
        if found.entries.is_empty() { Loaded::Gone } else { Loaded::Entries(found.entries) }
    }
}

/// A piece of a segment that was read at once. A piece holds many batches, and each byte is read once but for those of a
/// batch that the end of a piece cut.
struct ReadAhead<'a, 'b> {
    read: &'a mut ReadBytes<'b>,
    segment: u64,
    offset: u64,
    piece: Vec<u8>,
}

impl<'a, 'b> ReadAhead<'a, 'b> {
    fn new(read: &'a mut ReadBytes<'b>) -> ReadAhead<'a, 'b> {
        ReadAhead { read, segment: 0, offset: 0, piece: Vec::new() }
    }

    /// What is at hand from `offset` of a segment on: at least `bytes`, or all that the file has.
    fn at_least(&mut self, segment: u64, offset: u64, bytes: u64) -> Result<&[u8], Unread> {
        let end = self.offset + self.piece.len() as u64;
        if self.segment != segment || offset < self.offset || end < offset.saturating_add(bytes) {
            let piece = (self.read)(&segment::file_name(segment), offset, bytes.max(PIECE));
            self.piece = piece.map_err(|failed| match failed {
                ReadFailed::Missing => Unread::Missing,
                ReadFailed::Failed(what) => Unread::Refused(what),
            })?;
            (self.segment, self.offset) = (segment, offset);
        }
        Ok(&self.piece[(offset - self.offset) as usize..])
    }
}

/// A batch's records and its length; none if the segment ends here.
fn read_batch(
    place: Place,
    offset: u64,
    number: u64,
    ahead: &mut ReadAhead<'_, '_>,
) -> Result<Option<(Vec<Record>, u64)>, Unread> {
    let damaged = || Unread::Damaged(offset, "a batch is not what was written".into());
    let mut bytes = ahead.at_least(place.segment, offset, SECTOR as u64)?;
    let Some(first) = bytes.first_chunk::<SECTOR>() else { return Ok(None) };
    let Some(header) = segment::batch_header(first, place, offset as usize) else {
        return if is_zero(first) { Ok(None) } else { Err(damaged()) };
    };
    if header.number != number {
        return Err(damaged());
    }
    let length = usize::try_from(header.payload).map(segment::batch_bytes).map_err(|_| damaged())?;
    if length > bytes.len() {
        bytes = ahead.at_least(place.segment, offset, length as u64)?;
    }
    let batch = bytes.get(..length).filter(|batch| segment::is_intact(header, batch)).ok_or_else(damaged)?;
    let mut scratch = Vec::new();
    let records = record::decode(segment::payload(header, batch, &mut scratch)).ok_or_else(damaged)?;
    Ok(Some((records, length as u64)))
}

/// The entries that were asked for, as they come along. An index and a term determine an entry (Raft §5.3, Log
/// Matching), so an older copy of the right term is as good as the newest.
struct Found<'a> {
    from: Index,
    through: Index,
    runs: &'a [LogId],
    bytes_max: u64,
    bytes: u64,
    entries: Vec<Entry>,
    is_enough: bool,
}

impl<'a> Found<'a> {
    fn new(wanted: &'a Wanted) -> Found<'a> {
        let (from, through, runs, bytes_max): (_, _, &[LogId], _) = match wanted {
            Wanted::Entries { from, through, runs, bytes_max } => (*from, *through, runs, *bytes_max),
            Wanted::Chunk { .. } => (Index(1), Index(0), &[], 0),
        };
        Found { from, through, runs, bytes_max, bytes: 0, entries: Vec::new(), is_enough: from > through }
    }

    fn take(&mut self, record: Record) {
        let Record::Append { entries } = record else { return };
        for entry in entries {
            let next = Index(self.from.0 + self.entries.len() as u64);
            if self.is_enough || entry.index != next || !self.is_wanted(entry.id()) {
                continue;
            }
            self.bytes += entry.size();
            if self.bytes > self.bytes_max && !self.entries.is_empty() {
                self.is_enough = true;
                return;
            }
            self.is_enough = entry.index >= self.through;
            self.entries.push(entry);
        }
    }

    fn is_wanted(&self, id: LogId) -> bool {
        let run = self.runs.partition_point(|run| run.index <= id.index);
        run.checked_sub(1).is_some_and(|run| self.runs[run].term == id.term)
    }
}
