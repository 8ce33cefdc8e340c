//! From the bytes on a platter to what they say, a sync at a time.

use std::collections::BTreeMap;

use raft_core::journal::read::{
    HARD_STATE_FILES, Record, SegmentReader, contents, hard_state_of, snapshot as snapshot_of, snapshot_name,
};
use raft_core::journal::{Files, View};
use raft_core::{Index, LogId, RestoreError, SnapshotMeta};

use crate::disk::VirtualDisk;

use super::image::{HardRecord, Held, LogChange};

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

/// What a directory holds, read at once: hard state, and the log after its base.
#[derive(Clone, Debug, Default)]
pub(crate) struct Whole {
    pub(crate) follower: Follower,
    pub(crate) hard: Option<HardRecord>,
    /// What the log starts after.
    pub(crate) base: LogId,
    pub(crate) entries: Vec<Held>,
    /// The snapshot that the log names, if it is whole.
    pub(crate) snapshot: Option<SnapshotMeta>,
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
    pub(crate) fn whole(platter: &impl Platter) -> Result<Whole, RestoreError> {
        let names = platter.files();
        let view: View<'_> = names.iter().filter_map(|name| Some((*name, platter.bytes(name)?))).collect();
        let found = contents(&view)?;
        let [a, b] = HARD_STATE_FILES.map(|file| platter.bytes(file));
        let entries = found.entries.iter().map(Held::of).collect();
        let segments = names.iter().filter_map(|name| {
            let reader = SegmentReader::open(platter.bytes(name)?)?;
            Some(((*name).to_owned(), reader))
        });
        let segments: BTreeMap<String, SegmentReader> = segments.collect();
        let tail = segments.values().map(|reader| reader.header().number).max().unwrap_or(0);
        let follower = Follower { segments, tail, next_batch: found.last_batch + 1 };
        let snapshot = found.snapshot.map(|(_, snapshot)| snapshot);
        Ok(Whole { follower, hard: hard_record(a, b), base: found.base, entries, snapshot })
    }

    /// Whether a snapshot that the log names is on the platter, whole.
    pub(crate) fn check_snapshot(
        &self,
        platter: &impl Platter,
        file: u64,
        snapshot: &SnapshotMeta,
    ) -> Result<(), String> {
        let Some(reader) = self.segments.values().next() else { return Ok(()) };
        let name = snapshot_name(file);
        let view: View<'_> = platter.bytes(&name).map(|bytes| (name.as_str(), bytes)).into_iter().collect();
        let found = snapshot_of(&view, reader.header().identity, file)?;
        if found == *snapshot { Ok(()) } else { Err(format!("it is a snapshot of {}", found.last)) }
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
        Record::Install { file, snapshot } => changes.push(LogChange::Install(file, *snapshot)),
        Record::Discard { file, discard } => changes.push(LogChange::Discard(file, *discard)),
        Record::Seal => {}
    }
}
