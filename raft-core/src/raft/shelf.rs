//! Appends that arrived before their predecessors: a reordered datagram need not be sent twice.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry::Vacant;

use crate::entry::{Entries, entries_size};
use crate::types::{Index, LogId};

type Runs = BTreeMap<Index, (LogId, Entries)>;

/// Runs of entries by the index of the entry before them. All from the present leader in the present term.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shelf {
    /// None while nothing is early.
    runs: Option<Box<Runs>>,
    bytes: u64,
}

impl Shelf {
    /// Keeps a run if there is room; otherwise the leader will send it again.
    pub(crate) fn put(&mut self, previous: LogId, entries: Entries, bytes_max: u64) {
        let size = entries_size(&entries);
        if entries.is_empty() || self.bytes + size > bytes_max {
            return;
        }
        if let Vacant(place) = self.runs.get_or_insert_default().entry(previous.index) {
            self.bytes += size;
            place.insert((previous, entries));
        }
    }

    /// The entry before the first run.
    pub(crate) fn first(&self) -> Option<LogId> {
        self.runs.as_ref()?.first_key_value().map(|(_, (previous, _))| *previous)
    }

    /// Takes a run that starts at or before the end of the log.
    pub(crate) fn take_through(&mut self, log_end: Index) -> Option<(LogId, Entries)> {
        let runs = self.runs.as_mut()?;
        let first = runs.first_entry().filter(|first| *first.key() <= log_end)?;
        let (previous, entries) = first.remove();
        if runs.is_empty() {
            self.runs = None;
        }
        self.bytes -= entries_size(&entries);
        Some((previous, entries))
    }
}
