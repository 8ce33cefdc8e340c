//! The log in memory: entries, and their terms as runs.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::entry::Entry;
use crate::types::{Index, LogId, Term};

/// A consecutive log after a base (the snapshot's last entry, or nothing).
#[derive(Clone, Debug)]
pub(crate) struct Log {
    base: LogId,
    entries: VecDeque<Entry>,
    /// Where each term starts. Invariant: both indexes and terms grow from run to run.
    runs: Vec<LogId>,
    bytes: u64,
}

impl Log {
    /// A log after `base`.
    pub(crate) fn new(base: LogId, entries: Vec<Entry>) -> Log {
        let mut log = Log { base, entries: VecDeque::new(), runs: Vec::new(), bytes: 0 };
        for entry in entries {
            log.append(entry);
        }
        log
    }

    /// The last entry's identity, or the base's.
    pub(crate) fn last(&self) -> LogId {
        match self.runs.last() {
            Some(run) => {
                LogId { term: run.term, index: Index(self.base.index.0 + self.entries.len() as u64) }
            }
            None => self.base,
        }
    }

    /// Bytes of all entries in memory.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The term at an index; none before the base and beyond the end.
    pub(crate) fn term_at(&self, index: Index) -> Option<Term> {
        if index == self.base.index {
            return Some(self.base.term);
        }
        if index < self.base.index || index > self.last().index {
            return None;
        }
        let run = self.runs.partition_point(|run| run.index <= index);
        Some(self.runs[run - 1].term)
    }

    /// Whether the log holds exactly this entry.
    pub(crate) fn holds(&self, id: LogId) -> bool {
        self.term_at(id.index) == Some(id.term)
    }

    /// The last entry at or below `at.index` whose term is at most `at.term`: where two logs may still agree.
    ///
    /// Terms only grow along a log, so nothing above that entry and at or below `at.index` can match an entry of
    /// term `at.term` or less: a whole divergent term is skipped at once.
    pub(crate) fn agreement_hint(&self, at: LogId) -> LogId {
        let index = at.index.min(self.last().index);
        let run = self.runs.partition_point(|run| run.index <= index && run.term <= at.term);
        let Some(found) = run.checked_sub(1).map(|run| self.runs[run]) else {
            return self.base;
        };
        let end = self.runs.get(run).map_or(self.last().index, |after| after.index.previous());
        LogId { term: found.term, index: end.min(index) }
    }

    /// The entry at an index.
    pub(crate) fn entry(&self, index: Index) -> Option<&Entry> {
        let offset = index.0.checked_sub(self.base.index.0 + 1)?;
        self.entries.get(usize::try_from(offset).ok()?)
    }

    /// Entries from `from` through `through`, up to a number of bytes, but at least one where there is one.
    pub(crate) fn slice(&self, from: Index, through: Index, bytes_max: u64) -> Vec<Entry> {
        let mut taken = Vec::new();
        let mut bytes = 0;
        let mut index = from;
        while index <= through {
            let Some(entry) = self.entry(index) else { break };
            bytes += entry.size();
            if bytes > bytes_max && !taken.is_empty() {
                break;
            }
            taken.push(entry.clone());
            index = index.next();
        }
        taken
    }

    /// Adds the next entry.
    pub(crate) fn append(&mut self, entry: Entry) {
        let last = self.last();
        assert!(entry.index == last.index.next(), "an append leaves no gap");
        assert!(entry.term >= last.term, "terms never fall along a log");
        if self.runs.last().is_none_or(|run| run.term < entry.term) {
            self.runs.push(entry.id());
        }
        self.bytes += entry.size();
        self.entries.push_back(entry);
    }

    /// Removes the entry at `from` and all after it.
    pub(crate) fn truncate_from(&mut self, from: Index) {
        assert!(from > self.base.index, "nothing at or before the snapshot is ever truncated");
        while self.last().index >= from {
            let Some(entry) = self.entries.pop_back() else { break };
            self.bytes -= entry.size();
            if self.runs.last().is_some_and(|run| run.index == entry.index) {
                self.runs.pop();
            }
        }
    }

    /// All entries, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }
}
