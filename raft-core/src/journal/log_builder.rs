//! The log as its records tell it: terms and configurations of all of it, and the newest entries.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::index::{LogIndex, Sample};
use super::record::Record;
use super::segment::Base;
use crate::entry::{Entry, Payload};
use crate::membership::Configuration;
use crate::snapshot::SnapshotMeta;
use crate::types::{Index, LogId};

/// A log that grows record by record.
#[derive(Clone, Debug)]
pub(super) struct LogBuilder {
    /// Nothing is known of this entry and those before it, but that they were.
    start: Index,
    end: Index,
    runs: Vec<LogId>,
    configurations: Vec<(Index, Configuration)>,
    newest: VecDeque<Entry>,
    bytes: u64,
    bytes_max: u64,
    base: Base,
    /// What the newest record that names a snapshot says of it.
    snapshot: Option<SnapshotMeta>,
    index: LogIndex,
}

/// A finished log.
#[derive(Clone, Debug, Default)]
pub(super) struct Built {
    pub(super) base: LogId,
    pub(super) last: LogId,
    pub(super) runs: Vec<LogId>,
    pub(super) configurations: Vec<(Index, Configuration)>,
    pub(super) entries: Vec<Entry>,
    pub(super) index: LogIndex,
    /// It ends before the snapshot does, so nothing of it is left: it goes on after the snapshot.
    pub(super) is_overtaken: bool,
}

impl LogBuilder {
    pub(super) fn new(start: Index, bytes_max: u64) -> LogBuilder {
        LogBuilder {
            start,
            end: start,
            runs: Vec::new(),
            configurations: Vec::new(),
            newest: VecDeque::new(),
            bytes: 0,
            bytes_max,
            base: Base::default(),
            snapshot: None,
            index: LogIndex::default(),
        }
    }

    /// A segment's header says where the log began.
    pub(super) fn note_base(&mut self, base: Base) {
        if base != self.base {
            self.base = base;
            self.snapshot = None;
        }
    }

    /// Where the log begins.
    pub(super) fn base(&self) -> Base {
        self.base
    }

    /// Whether all entries before this one may be gone.
    pub(super) fn has_let_go_of(&self, first: Index) -> bool {
        first.previous() <= self.base.through.index
    }

    /// Whether a snapshot file is the one that the records name. Those of segments that are gone are not known.
    pub(super) fn agrees_with(&self, snapshot: &SnapshotMeta) -> bool {
        self.base.last == snapshot.last && self.snapshot.as_ref().is_none_or(|named| named == snapshot)
    }

    /// Whether all records of a batch follow from the log before it.
    pub(super) fn check(&self, records: &[Record]) -> Result<(), &'static str> {
        let mut last = self.end;
        for record in records {
            match record {
                Record::Truncate { from } => {
                    if *from == Index(0) || *from > last.next() {
                        return Err("a truncation from beyond the end of the log");
                    }
                    last = from.previous();
                }
                Record::Append { entries } => {
                    for entry in entries {
                        if entry.index != last.next() {
                            return Err("an entry that does not follow the one before it");
                        }
                        last = entry.index;
                    }
                }
                Record::Install { snapshot, .. } => last = snapshot.last.index,
                Record::Discard { discard, .. } => {
                    let covers = discard.through.index <= discard.snapshot.last.index;
                    if !covers || discard.snapshot.last.index > last {
                        return Err("a snapshot of entries that the log does not have");
                    }
                }
                Record::Seal => {}
            }
        }
        Ok(())
    }

    /// Applies a batch that was checked; `at` is its place.
    pub(super) fn apply(&mut self, records: Vec<Record>, at: Sample) {
        let mut first: Option<Index> = None;
        for record in records {
            match record {
                Record::Truncate { from } => {
                    first = Some(first.map_or(from, |first| first.min(from)));
                    self.truncate(from);
                }
                Record::Append { entries } => {
                    if let Some(entry) = entries.first() {
                        first = Some(first.map_or(entry.index, |first| first.min(entry.index)));
                    }
                    entries.into_iter().for_each(|entry| self.append(entry));
                }
                Record::Install { file, snapshot } => {
                    self.base = Base { file, last: snapshot.last, through: snapshot.last };
                    self.reset(snapshot.last.index);
                    self.snapshot = Some(*snapshot);
                    first = None;
                }
                Record::Discard { file, discard } => {
                    self.base = Base { file, last: discard.snapshot.last, through: discard.through };
                    self.snapshot = Some(discard.snapshot);
                }
                Record::Seal => {}
            }
        }
        if let Some(first) = first {
            self.index.note(Sample { first, ..at });
        }
    }

    fn reset(&mut self, end: Index) {
        (self.start, self.end) = (end, end);
        self.runs.clear();
        self.configurations.clear();
        self.newest.clear();
        self.bytes = 0;
        self.index.clear();
    }

    fn append(&mut self, entry: Entry) {
        if self.runs.last().is_none_or(|run| run.term != entry.term) {
            self.runs.push(entry.id());
        }
        if let Payload::Configuration(configuration) = &entry.payload {
            self.configurations.push((entry.index, (**configuration).clone()));
        }
        self.end = entry.index;
        self.bytes += entry.size();
        self.newest.push_back(entry);
        while self.bytes > self.bytes_max {
            let Some(oldest) = self.newest.pop_front() else { break };
            self.bytes -= oldest.size();
        }
    }

    fn truncate(&mut self, from: Index) {
        self.end = from.previous();
        // The entries before a segment that are gone may have been replaced in it.
        self.start = self.start.min(self.end);
        while self.runs.pop_if(|run| run.index >= from).is_some() {}
        while self.configurations.pop_if(|(index, _)| *index >= from).is_some() {}
        while self.newest.back().is_some_and(|entry| entry.index >= from) {
            let Some(entry) = self.newest.pop_back() else { break };
            self.bytes -= entry.size();
        }
    }

    /// The log after its base. None: there is a gap between the two.
    pub(super) fn build(mut self) -> Option<Built> {
        let Base { last, through, .. } = self.base;
        if self.end < last.index {
            return Some(Built { base: last, last, is_overtaken: true, ..Built::default() });
        }
        if self.start > through.index {
            return None;
        }
        let covers = self.runs.partition_point(|run| run.index <= through.index.next());
        self.runs.drain(..covers.saturating_sub(1));
        let first = through.index.next();
        if first > self.end {
            self.runs.clear();
        } else if let Some(run) = self.runs.first_mut() {
            run.index = run.index.max(first);
        }
        self.configurations.retain(|(index, _)| *index >= first);
        self.newest.retain(|entry| entry.index >= first);
        let end = self.runs.last().map_or(through, |run| LogId { term: run.term, index: self.end });
        Some(Built {
            base: through,
            last: end,
            runs: self.runs,
            configurations: self.configurations,
            entries: self.newest.into(),
            index: self.index,
            is_overtaken: false,
        })
    }
}
