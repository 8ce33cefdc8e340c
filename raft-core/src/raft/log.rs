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

use crate::entry::{Entries, Entry};
use crate::raft::recent::Recent;
use crate::types::{Index, LogId, Term};

/// A consecutive log after a base.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    base: LogId,
    last: LogId,
    /// Where each term after the base starts. Invariant: both indexes and terms grow from run to run.
    runs: Vec<LogId>,
    /// Consecutive entries through `last`.
    cache: VecDeque<Cached>,
    /// The sum before the first of them.
    sum_before: u64,
    recent: Recent,
}

/// An entry in memory.
#[derive(Clone, Debug)]
struct Cached {
    entry: Entry,
    /// The size of it and of all before it together: the bytes of a range are a difference.
    sum: u64,
}

impl Log {
    /// A log after `base`, of which the newest entries are in memory.
    pub(crate) fn new(base: LogId, last: LogId, runs: Vec<LogId>, newest: Vec<Entry>) -> Log {
        assert!(newest.last().is_none_or(|entry| entry.id() == last), "the entries end where the log does");
        let mut sum = 0;
        let cached = newest.into_iter().map(|entry| {
            sum += entry.size();
            Cached { entry, sum }
        });
        Log { base, last, runs, cache: cached.collect(), sum_before: 0, recent: Recent::default() }
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
        self.sum_of(self.cache.len()) - self.sum_before
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

    /// Entries in memory from `from` through `through`, up to a number of bytes, but at least one where there is one;
    /// and their bytes.
    ///
    /// All that follow through `through` are kept at hand with them, if they have no more than `ahead_bytes_max` together.
    pub(crate) fn slice(
        &mut self,
        from: Index,
        through: Index,
        bytes_max: u64,
        ahead_bytes_max: u64,
    ) -> (Entries, u64) {
        let cached_from = self.cached_from();
        if from < cached_from || from > through {
            return (Entries::default(), 0);
        }
        let (start, all) = (self.count_before(from), self.count_before(through.next()));
        if start >= all {
            return (Entries::default(), 0);
        }
        let before = self.sum_of(start);
        let most = before.saturating_add(bytes_max);
        // Nearly always all of them fit, and nothing has to be searched.
        let end = if self.sum_of(all) <= most {
            all
        } else {
            self.cache.partition_point(|cached| cached.sum <= most).clamp(start + 1, all)
        };
        let (count, bytes) = (end - start, self.sum_of(end) - before);
        if let Some(run) = self.recent.find(from, count) {
            return (run, bytes);
        }
        let is_near = self.sum_of(all) - before <= ahead_bytes_max;
        let copied = self.cache.range(start..if is_near { all } else { end });
        let run: Entries = copied.map(|cached| cached.entry.clone()).collect();
        self.recent.remember(&run);
        (run.part(0, count), bytes)
    }

    /// Keeps a run at hand that was just appended.
    pub(crate) fn remember(&mut self, run: &Entries) {
        self.recent.remember(run);
    }

    /// Bytes of those entries from `from` through `through` that are in memory.
    pub(crate) fn bytes_between(&self, from: Index, through: Index) -> u64 {
        self.sum_of(self.count_before(through.next())).saturating_sub(self.sum_of(self.count_before(from)))
    }

    /// How many of the entries in memory are before an index.
    fn count_before(&self, index: Index) -> usize {
        let count = index.0.saturating_sub(self.cached_from().0);
        usize::try_from(count).map_or(self.cache.len(), |count| count.min(self.cache.len()))
    }

    /// The sum through the first `count` entries in memory.
    fn sum_of(&self, count: usize) -> u64 {
        count.checked_sub(1).map_or(self.sum_before, |at| self.cache[at].sum)
    }

    /// Lets go of the oldest `count` entries in memory.
    fn drop_oldest(&mut self, count: usize) {
        self.sum_before = self.sum_of(count);
        self.cache.drain(..count);
        self.recent.forget_before(self.cached_from());
    }

    /// Adds the next entry.
    pub(crate) fn append(&mut self, entry: Entry) {
        assert!(entry.index == self.last.index.next(), "an append leaves no gap");
        assert!(entry.term >= self.last.term, "terms never fall along a log");
        if self.runs.last().is_none_or(|run| run.term < entry.term) {
            self.runs.push(entry.id());
        }
        self.last = entry.id();
        let sum = self.sum_of(self.cache.len()) + entry.size();
        self.cache.push_back(Cached { entry, sum });
    }

    /// Removes the entry at `from` and all after it.
    pub(crate) fn truncate_from(&mut self, from: Index) {
        assert!(from > self.base.index, "nothing at or before the base is ever truncated");
        let Some(last) = self.id_at(from.previous()) else { return };
        let left = self.count_before(from);
        self.cache.truncate(left);
        self.recent.forget_from(from);
        while self.runs.pop_if(|run| run.index >= from).is_some() {}
        self.last = last;
    }

    /// Lets go of the entries through `base`.
    pub(crate) fn discard_through(&mut self, base: LogId) {
        assert!(self.holds(base), "only what the log holds is discarded");
        self.drop_oldest(self.count_before(base.index.next()));
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
        let above = self.bytes().saturating_sub(bytes_max);
        if above > 0 {
            let enough = self.cache.partition_point(|cached| cached.sum < self.sum_before + above) + 1;
            self.drop_oldest(enough.min(self.count_before(through.next())));
        }
    }

    /// Keeps no more room than what is here takes.
    pub(crate) fn let_go_of_room(&mut self) {
        self.runs.shrink_to_fit();
        self.cache.shrink_to_fit();
        self.recent.clear();
    }

    /// The runs at hand, each of which is in memory exactly so.
    pub(crate) fn recent(&self) -> impl Iterator<Item = &Entries> {
        self.recent.iter()
    }

    /// The entries in memory, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.cache.iter().map(|cached| &cached.entry)
    }
}
