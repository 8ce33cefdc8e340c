//! The log in memory: all terms, as runs; the newest entries, as many as a budget allows.
//!
//! ```text
//!      base         cached_from          last
//!   ────┼───────────────┼─────────────────┼──>  indexes
//!  gone   terms known      entries in memory
//!         entries on disk
//! ```

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::entry::Entry;
use crate::types::{Index, LogId, Term};

/// A consecutive log after a base.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    base: LogId,
    last: LogId,
    /// Where each term after the base starts. Invariant: both indexes and terms grow from run to run.
    runs: Vec<LogId>,
    /// Consecutive entries through `last`.
    cache: VecDeque<Entry>,
    bytes: u64,
}

impl Log {
    /// A log after `base`, of which the newest entries are in memory.
    pub(crate) fn new(base: LogId, last: LogId, runs: Vec<LogId>, newest: Vec<Entry>) -> Log {
        let bytes = crate::entry::entries_size(&newest);
        assert!(newest.last().is_none_or(|entry| entry.id() == last), "the entries end where the log does");
        Log { base, last, runs, cache: newest.into(), bytes }
    }

    /// The entry before the first.
    pub(crate) fn base(&self) -> LogId {
        self.base
    }

    /// The last entry's identity, or the base's.
    pub(crate) fn last(&self) -> LogId {
        self.last
    }

    /// Bytes of the entries in memory.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many terms the log has.
    pub(crate) fn run_count(&self) -> usize {
        self.runs.len()
    }

    /// From here on, entries are in memory.
    pub(crate) fn cached_from(&self) -> Index {
        Index(self.last.index.0 + 1 - self.cache.len() as u64)
    }

    /// The term at an index; none before the base and beyond the end.
    pub(crate) fn term_at(&self, index: Index) -> Option<Term> {
        if index == self.base.index {
            return Some(self.base.term);
        }
        if index < self.base.index || index > self.last.index {
            return None;
        }
        if index == self.last.index {
            return Some(self.last.term);
        }
        let run = self.runs.partition_point(|run| run.index <= index);
        Some(self.runs[run - 1].term)
    }

    /// The identity of the entry at an index, where the term is known.
    pub(crate) fn id_at(&self, index: Index) -> Option<LogId> {
        self.term_at(index).map(|term| LogId { term, index })
    }

    /// Whether the log holds exactly this entry.
    pub(crate) fn holds(&self, id: LogId) -> bool {
        self.term_at(id.index) == Some(id.term)
    }

    /// The last entry at or below `at.index` whose term is at most `at.term`: where two logs may still agree. None:
    /// such an entry could only be before the base.
    ///
    /// Terms only grow along a log, so nothing above that entry and at or below `at.index` can match an entry of
    /// term `at.term` or less: a whole divergent term is skipped at once.
    pub(crate) fn agreement_hint(&self, at: LogId) -> Option<LogId> {
        let index = at.index.min(self.last.index);
        let run = self.runs.partition_point(|run| run.index <= index && run.term <= at.term);
        let Some(found) = run.checked_sub(1).map(|run| self.runs[run]) else {
            return (self.base.index <= at.index && self.base.term <= at.term).then_some(self.base);
        };
        let end = self.runs.get(run).map_or(self.last.index, |after| after.index.previous());
        Some(LogId { term: found.term, index: end.min(index) })
    }

    /// Where each term in a range starts, the first at or before `from`: see [`Wanted::Entries`].
    ///
    /// [`Wanted::Entries`]: crate::load::Wanted::Entries
    pub(crate) fn runs_between(&self, from: Index, through: Index) -> Vec<LogId> {
        let first = self.runs.partition_point(|run| run.index <= from).saturating_sub(1);
        self.runs[first..].iter().copied().take_while(|run| run.index <= through).collect()
    }

    /// The entry at an index, if it is in memory.
    pub(crate) fn cached(&self, index: Index) -> Option<&Entry> {
        let offset = index.0.checked_sub(self.cached_from().0)?;
        self.cache.get(usize::try_from(offset).ok()?)
    }

    /// Entries in memory from `from` through `through`, up to a number of bytes, but at least one where there is one.
    pub(crate) fn slice(&self, from: Index, through: Index, bytes_max: u64) -> Vec<Entry> {
        let Some(start) = from.0.checked_sub(self.cached_from().0) else { return Vec::new() };
        let wanted = (through.0 + 1).saturating_sub(from.0);
        let mut bytes = 0;
        let mut count = 0;
        for entry in self.cache.iter().skip(start as usize).take(wanted as usize) {
            bytes += entry.size();
            if bytes > bytes_max && count > 0 {
                break;
            }
            count += 1;
        }
        self.cache.iter().skip(start as usize).take(count).cloned().collect()
    }

    /// Adds the next entry.
    pub(crate) fn append(&mut self, entry: Entry) {
        assert!(entry.index == self.last.index.next(), "an append leaves no gap");
        assert!(entry.term >= self.last.term, "terms never fall along a log");
        if self.runs.last().is_none_or(|run| run.term < entry.term) {
            self.runs.push(entry.id());
        }
        self.last = entry.id();
        self.bytes += entry.size();
        self.cache.push_back(entry);
    }

    /// Removes the entry at `from` and all after it.
    pub(crate) fn truncate_from(&mut self, from: Index) {
        assert!(from > self.base.index, "nothing at or before the base is ever truncated");
        let Some(last) = self.id_at(from.previous()) else { return };
        while self.cache.back().is_some_and(|entry| entry.index >= from) {
            let Some(entry) = self.cache.pop_back() else { break };
            self.bytes -= entry.size();
        }
        while self.runs.pop_if(|run| run.index >= from).is_some() {}
        self.last = last;
    }

    /// Lets go of the entries through `base`.
    pub(crate) fn discard_through(&mut self, base: LogId) {
        assert!(self.holds(base), "only what the log holds is discarded");
        while self.cache.front().is_some_and(|entry| entry.index <= base.index) {
            let Some(entry) = self.cache.pop_front() else { break };
            self.bytes -= entry.size();
        }
        let covers = self.runs.partition_point(|run| run.index <= base.index.next());
        self.runs.drain(..covers.saturating_sub(1));
        let first = base.index.next();
        match self.runs.first_mut() {
            Some(_) if first > self.last.index => self.runs.clear(),
            Some(run) => run.index = run.index.max(first),
            None => {}
        }
        self.base = base;
    }

    /// Starts anew after an installed snapshot.
    pub(crate) fn reset(&mut self, base: LogId) {
        *self = Log::new(base, base, Vec::new(), Vec::new());
    }

    /// Lets the oldest entries go from memory while they take more than the budget, through an index at most.
    pub(crate) fn evict(&mut self, through: Index, bytes_max: u64) {
        while self.bytes > bytes_max && self.cache.front().is_some_and(|entry| entry.index <= through) {
            let Some(entry) = self.cache.pop_front() else { break };
            self.bytes -= entry.size();
        }
    }

    /// The entries in memory, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.cache.iter()
    }
}
