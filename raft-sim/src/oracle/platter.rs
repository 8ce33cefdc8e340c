//! From the bytes on a platter to what they say, a sync at a time.

use std::collections::BTreeMap;

use raft_core::journal::read::{HARD_STATE_FILES, Record, SegmentReader, contents, hard_state_of};
use raft_core::journal::{Files, View};
use raft_core::{Index, RestoreError};

use crate::disk::VirtualDisk;

use super::image::{HardRecord, Held, Image, LogChange};

/// What survives a power loss in every case: files whose names are durable, with their synced bytes.
pub trait Platter {
    /// The files, in order.
    fn files(&self) -> Vec<&str>;
    /// A file's bytes.
    fn bytes(&self, file: &str) -> Option<&[u8]>;
}

impl Platter for Files {
    fn files(&self) -> Vec<&str> {
        self.keys().map(String::as_str).collect()
    }

    fn bytes(&self, file: &str) -> Option<&[u8]> {
        self.get(file).map(Vec::as_slice)
    }
}

impl Platter for VirtualDisk {
    fn files(&self) -> Vec<&str> {
        self.durable_names().collect()
    }

    fn bytes(&self, file: &str) -> Option<&[u8]> {
        self.durable(file)
    }
}

/// Where the reader of a member's files stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Follower {
    /// By file.
    segments: BTreeMap<String, SegmentReader>,
    /// Segments below this one are history; what else they hold is superseded.
    tail: u64,
    /// The next batch of the log.
    next_batch: u64,
}

impl Follower {
    /// What a file says that was not read before.
    pub(crate) fn follow(&mut self, file: &str, bytes: &[u8]) -> (Option<HardRecord>, Vec<LogChange>) {
        if HARD_STATE_FILES.contains(&file) {
            return (hard_record(Some(bytes), None), Vec::new());
        }
        let mut changes = Vec::new();
        if !self.segments.contains_key(file) {
            self.segments.extend(SegmentReader::open(bytes).map(|reader| (file.to_owned(), reader)));
        }
        let Some(reader) = self.segments.get_mut(file) else { return (None, changes) };
        if reader.header().number < self.tail {
            return (None, changes);
        }
        while reader.next_batch() <= self.next_batch {
            let is_new = reader.next_batch() == self.next_batch;
            let Some(records) = reader.next(bytes) else { break };
            if is_new {
                self.next_batch += 1;
                self.tail = reader.header().number;
                records.into_iter().for_each(|record| change(record, &mut changes));
            }
        }
        (None, changes)
    }

    /// What all files say, and where their reader stands then.
    ///
    /// # Errors
    /// What recovery would refuse with. Damage to the log is none: it cuts the image, as it would cut the log.
    pub(crate) fn whole(platter: &impl Platter) -> Result<(Follower, Image), RestoreError> {
        let names = platter.files();
        let view: View<'_> = names.iter().filter_map(|name| Some((*name, platter.bytes(name)?))).collect();
        let found = contents(&view)?;
        let [a, b] = HARD_STATE_FILES.map(|file| platter.bytes(file));
        let log = found.entries.iter().map(Held::of).collect();
        let image = Image { hard: hard_record(a, b), log, ..Image::default() };
        let segments = names.iter().filter_map(|name| {
            let reader = SegmentReader::open(platter.bytes(name)?)?;
            Some(((*name).to_owned(), reader))
        });
        let segments: BTreeMap<String, SegmentReader> = segments.collect();
        let tail = segments.values().map(|reader| reader.header().number).max().unwrap_or(0);
        Ok((Follower { segments, tail, next_batch: found.last_batch + 1 }, image))
    }
}

fn hard_record(a: Option<&[u8]>, b: Option<&[u8]>) -> Option<HardRecord> {
    let record = hard_state_of(a, b)?;
    Some(HardRecord { sequence: record.sequence, boot: record.boot, state: record.hard_state })
}

fn change(record: Record, changes: &mut Vec<LogChange>) {
    match record {
        Record::Truncate { from } => changes.push(LogChange::Truncate(from.max(Index(1)))),
        Record::Append { entries } => changes.extend(entries.into_iter().map(LogChange::Append)),
        // No version of the journal writes snapshots yet.
        Record::Seal | Record::Chunk(_) | Record::Install(_) | Record::Discard(_) => {}
    }
}
