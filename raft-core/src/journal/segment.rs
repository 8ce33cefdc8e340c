//! Segments: a header in two copies, then batches, then zeros.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::sector::{self, Reader, SECTOR, Sealed, Writer, is_zero, u32_at, u64_at};
use crate::types::{Index, LogId, Term};
use crate::write::Identity;

const MAGIC: &[u8; 8] = b"RAFTsegm";

/// A segment's name is this and 20 digits, so that names sort as numbers do.
pub(super) const PREFIX: &str = "segment-";
const DIGITS: usize = 20;

/// Copies of the header: one lost sector must not make a segment look as if it had never been begun.
pub(super) const HEADER_COPIES: usize = 2;
/// Where the first batch starts.
pub(super) const HEADER_BYTES: usize = HEADER_COPIES * SECTOR;

pub(super) fn file_name(number: u64) -> String {
    format!("{PREFIX}{number:020}")
}

/// The number in a name that starts with [`PREFIX`].
pub(super) fn parse_name(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(PREFIX)?;
    let all_digits = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse().ok())?.filter(|number| *number > 0)
}

/// What a segment says about itself. Written, and synced, before the first batch that is not a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Whose it is.
    pub identity: Identity,
    /// Its number, as in its name.
    pub number: u64,
    /// The segment that it continues, 0 for none. Segments in between are superseded: their content is here.
    pub previous: u64,
    /// The number of its first batch.
    pub first_batch: u64,
    /// All batches through this one were durable before this header was written. Those from `first_batch` on are
    /// copies that recovery made, in this segment.
    pub synced_to: u64,
    /// Its length, allocated and full of zeros before this header was written.
    pub bytes: u64,
    /// The index of the next entry when it was begun.
    pub first_index: Index,
    /// Where the log began then; all zeros: at 1.
    pub base: Base,
}

/// Where a log begins: after what a snapshot covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Base {
    /// The number in the name of the snapshot's file, 0 for none.
    pub file: u64,
    /// The last entry that the snapshot covers.
    pub last: LogId,
    /// The last entry that the log has let go.
    pub through: LogId,
}

impl SegmentHeader {
    /// Both copies.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new(MAGIC);
        writer.u32(0);
        writer.identity(self.identity);
        writer.u32(0);
        let Base { file, last, through } = self.base;
        for field in [self.number, self.previous, self.first_batch, self.synced_to, self.bytes] {
            writer.u64(field);
        }
        writer.u64(self.first_index.0);
        for field in [file, last.term.0, last.index.0, through.term.0, through.index.0] {
            writer.u64(field);
        }
        writer.finish().repeat(HEADER_COPIES)
    }

    fn decode(fields: &mut Reader<'_>) -> SegmentHeader {
        fields.u32();
        let identity = fields.identity();
        fields.u32();
        SegmentHeader {
            identity,
            number: fields.u64(),
            previous: fields.u64(),
            first_batch: fields.u64(),
            synced_to: fields.u64(),
            bytes: fields.u64(),
            first_index: Index(fields.u64()),
            base: Base { file: fields.u64(), last: log_id(fields), through: log_id(fields) },
        }
    }
}

fn log_id(fields: &mut Reader<'_>) -> LogId {
    LogId { term: Term(fields.u64()), index: Index(fields.u64()) }
}

/// What a segment's header is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HeaderState {
    /// Never written: the segment was being created.
    Void,
    /// No copy is intact, and not all is unwritten.
    Damaged,
    Unsupported(u32),
    Valid {
        header: SegmentHeader,
        /// The copy that is not intact, if one is not.
        bad_copy: Option<usize>,
    },
}

pub(super) fn read_header(file: &[u8]) -> HeaderState {
    let mut valid: [Option<SegmentHeader>; HEADER_COPIES] = [None; HEADER_COPIES];
    for (copy, valid) in valid.iter_mut().enumerate() {
        let Some(bytes) = sector::sector(file, copy * SECTOR) else { continue };
        match sector::open(bytes, MAGIC) {
            Sealed::Zero | Sealed::Damaged => {}
            Sealed::Unsupported(version) => return HeaderState::Unsupported(version),
            Sealed::Good(mut fields) => *valid = Some(SegmentHeader::decode(&mut fields)),
        }
    }
    match valid {
        [Some(first), Some(second)] if first != second => HeaderState::Damaged,
        [Some(header), Some(_)] => HeaderState::Valid { header, bad_copy: None },
        [Some(header), None] => HeaderState::Valid { header, bad_copy: Some(1) },
        [None, Some(header)] => HeaderState::Valid { header, bad_copy: Some(0) },
        [None, None] if is_zero(&file[..file.len().min(HEADER_BYTES)]) => HeaderState::Void,
        [None, None] => HeaderState::Damaged,
    }
}

/// Where a batch is: part of its header's checksum, so that a batch in the wrong place is not taken for one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) identity_digest: u64,
    pub(super) segment: u64,
}

impl Place {
    fn seed(self, offset: usize) -> u64 {
        let segment = self.segment.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let offset = (offset as u64).wrapping_mul(0xC2B2_AE3D_27D4_EB4F);
        self.identity_digest ^ segment.rotate_left(17) ^ offset
    }
}

/// Bytes of a batch's header, at the start of its first sector: mark (4), zero (4), number, synced_to, payload
/// length, checksum of all that follows, checksum of this header (8 each).
const BATCH_HEADER: usize = 48;
const HEADER_CHECKSUM_AT: usize = BATCH_HEADER - 8;
/// Bytes of the mark at the start of every other sector.
const MARK: usize = 4;
const FIRST_PAYLOAD: usize = SECTOR - BATCH_HEADER;
const NEXT_PAYLOAD: usize = SECTOR - MARK;

/// The head of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BatchHeader {
    /// Batches are numbered from 1, across segments.
    pub(super) number: u64,
    /// All batches through this one were durable when this one was written.
    pub(super) synced_to: u64,
    /// Bytes of records.
    pub(super) payload: u64,
    /// XXH3-64 of everything after the header, marks and padding included.
    checksum: u64,
}

/// The mark of a sector. Never zero, so that an unwritten sector is known; the first sector's has the top bit set
/// and the others' have not, so that no payload can look like a batch's start.
fn mark(number: u64, ordinal: u64) -> u32 {
    let mixed =
        number.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(ordinal.wrapping_mul(0xC2B2_AE3D_27D4_EB4F));
    let mixed = (mixed >> 33) as u32;
    if ordinal == 0 { mixed | 1 << 31 } else { mixed & !(1 << 31) | 1 }
}

/// Bytes that a batch occupies.
pub(super) fn batch_bytes(payload: usize) -> usize {
    SECTOR + payload.saturating_sub(FIRST_PAYLOAD).div_ceil(NEXT_PAYLOAD) * SECTOR
}

pub(super) fn encode_batch(
    place: Place,
    offset: usize,
    number: u64,
    synced_to: u64,
    payload: &[u8],
) -> Vec<u8> {
    let bytes = batch_bytes(payload.len());
    let mut out = Vec::with_capacity(bytes);
    out.resize(BATCH_HEADER, 0);
    let (first, rest) = payload.split_at(payload.len().min(FIRST_PAYLOAD));
    out.extend_from_slice(first);
    for (ordinal, part) in (1..).zip(rest.chunks(NEXT_PAYLOAD)) {
        out.extend_from_slice(&mark(number, ordinal).to_le_bytes());
        out.extend_from_slice(part);
    }
    out.resize(bytes, 0);
    let checksum = xxh3_64(&out[BATCH_HEADER..]);
    let header = BatchHeader { number, synced_to, payload: payload.len() as u64, checksum };
    write_header(&mut out, place, offset, header);
    out
}

fn write_header(out: &mut [u8], place: Place, offset: usize, header: BatchHeader) {
    out[..4].copy_from_slice(&mark(header.number, 0).to_le_bytes());
    out[4..8].fill(0);
    let fields = [header.number, header.synced_to, header.payload, header.checksum];
    for (field, at) in fields.into_iter().zip([8, 16, 24, 32]) {
        out[at..at + 8].copy_from_slice(&field.to_le_bytes());
    }
    let checksum = xxh3_64_with_seed(&out[..HEADER_CHECKSUM_AT], place.seed(offset));
    out[HEADER_CHECKSUM_AT..BATCH_HEADER].copy_from_slice(&checksum.to_le_bytes());
}

/// The header of the batch that starts in this sector, if one does.
pub(super) fn batch_header(sector: &[u8; SECTOR], place: Place, offset: usize) -> Option<BatchHeader> {
    let number = u64_at(sector, 8);
    if u32_at(sector, 0) != mark(number, 0) {
        return None;
    }
    let checksum = xxh3_64_with_seed(&sector[..HEADER_CHECKSUM_AT], place.seed(offset));
    (u64_at(sector, HEADER_CHECKSUM_AT) == checksum).then(|| BatchHeader {
        number,
        synced_to: u64_at(sector, 16),
        payload: u64_at(sector, 24),
        checksum: u64_at(sector, 32),
    })
}

/// What is where a batch should start.
#[derive(Debug)]
pub(super) enum Parsed<'a> {
    /// A batch, intact.
    Batch(BatchHeader, &'a [u8]),
    /// The sector where it would start is unwritten, or the segment is full.
    Unwritten,
    /// It was begun, and one of its sectors is unwritten.
    Torn,
    /// All its sectors are written, and it is not what was written.
    Damaged { at: usize, what: &'static str },
}

/// Judges the batch that starts at `offset` of a segment that is `bytes` long.
pub(super) fn parse(file: &[u8], bytes: u64, place: Place, offset: usize, number: u64) -> Parsed<'_> {
    let room = usize::try_from(bytes).unwrap_or(usize::MAX).saturating_sub(offset);
    if room < SECTOR {
        return Parsed::Unwritten;
    }
    let Some(first) = sector::sector(file, offset) else {
        return Parsed::Damaged { at: file.len(), what: "the file is cut short" };
    };
    let Some(header) = batch_header(first, place, offset) else {
        return if is_zero(first) {
            Parsed::Unwritten
        } else {
            Parsed::Damaged { at: offset, what: "the start of a batch is not what was written" }
        };
    };
    if header.number != number || header.synced_to >= number {
        return Parsed::Damaged { at: offset, what: "another batch is where the next one belongs" };
    }
    let length = usize::try_from(header.payload).ok().filter(|payload| *payload <= room).map(batch_bytes);
    let Some(length) = length.filter(|length| *length <= room) else {
        return Parsed::Damaged { at: offset, what: "a batch is longer than its segment" };
    };
    let Some(batch) = file.get(offset..offset + length) else {
        return Parsed::Damaged { at: file.len(), what: "the file is cut short" };
    };
    if is_intact(header, batch) {
        return Parsed::Batch(header, batch);
    }
    if batch.chunks(SECTOR).any(is_zero) {
        return Parsed::Torn;
    }
    let has_mark = |(ordinal, sector): &(u64, &[u8])| u32_at(sector, 0) == mark(number, *ordinal);
    let at = (0..)
        .zip(batch.chunks(SECTOR))
        .find(|sector| !has_mark(sector))
        .map_or(0, |(ordinal, _)| ordinal as usize);
    Parsed::Damaged { at: offset + at * SECTOR, what: "a batch is not what was written" }
}

/// Whether the bytes of a batch are what was written.
pub(super) fn is_intact(header: BatchHeader, batch: &[u8]) -> bool {
    xxh3_64(&batch[BATCH_HEADER..]) == header.checksum
}

/// The records' bytes of an intact batch: in place if it has one sector, else gathered in `scratch`.
pub(super) fn payload<'a>(header: BatchHeader, batch: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
    let length = header.payload as usize;
    if length <= FIRST_PAYLOAD {
        return &batch[BATCH_HEADER..BATCH_HEADER + length];
    }
    scratch.clear();
    scratch.reserve(length);
    scratch.extend_from_slice(&batch[BATCH_HEADER..SECTOR]);
    for sector in batch[SECTOR..].chunks(SECTOR) {
        scratch.extend_from_slice(&sector[MARK..]);
    }
    scratch.truncate(length);
    scratch
}

/// The highest `synced_to` of all batches that start at `offset` or later, in whatever state they are.
pub(super) fn highest_synced_to(file: &[u8], place: Place, offset: usize) -> u64 {
    let sectors = file.get(offset..).unwrap_or_default().as_chunks::<SECTOR>().0;
    let headers = sectors
        .iter()
        .enumerate()
        .filter_map(|(ordinal, sector)| batch_header(sector, place, offset + ordinal * SECTOR));
    headers.map(|header| header.synced_to).max().unwrap_or(0)
}

/// Copies intact batches, which start where a segment's first batch does, into another segment. Numbers, marks and
/// contents stay; only the headers' checksums know the place.
pub(super) fn copy_batches(batches: &[u8], from: Place, to: Place) -> Vec<u8> {
    let mut copy = batches.to_vec();
    let mut at = 0;
    while let Some(sector) = sector::sector(&copy, at) {
        let header =
            batch_header(sector, from, HEADER_BYTES + at).expect("the caller has read these batches");
        write_header(&mut copy[at..], to, HEADER_BYTES + at, header);
        at += batch_bytes(header.payload as usize);
    }
    copy
}
