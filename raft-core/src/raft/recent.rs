//! The last runs of entries that were copied out of the log or into it.

use crate::entry::Entries;
use crate::raft::queue::Queue;
use crate::types::Index;

/// How many runs are kept: enough for the appends of one turn beside the write of the turn before, which is about to be
/// applied.
const RUNS_MAX: usize = 8;

/// Runs that the log has in memory exactly so. What goes to the disk, to each follower and to the state machine is mostly the
/// same run: it is copied once, and shared.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recent(Queue<Run>);

/// A run between two indexes.
#[derive(Clone, Debug)]
struct Run {
    first: Index,
    last: Index,
    entries: Entries,
}

impl Recent {
    /// Keeps a run, and lets the oldest go.
    pub(crate) fn remember(&mut self, entries: &Entries) {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return };
        if self.0.len() == RUNS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(Run { first: first.index, last: last.index, entries: entries.clone() });
    }

    /// `count` entries from an index on, if one of the runs has them all.
    pub(crate) fn find(&self, from: Index, count: usize) -> Option<Entries> {
        let through = Index(from.0.checked_add(count as u64)?).previous();
        // Mostly the newest has it, or none has.
        self.0.back().filter(|newest| through <= newest.last)?;
        let run = self.0.iter().rev().find(|run| run.first <= from && through <= run.last)?;
        let before = usize::try_from(from.0 - run.first.0).ok()?;
        Some(run.entries.part(before, count))
    }

    /// Lets go of runs with entries before an index.
    pub(crate) fn forget_before(&mut self, index: Index) {
        self.0.retain(|run| run.first >= index);
    }

    /// Lets go of runs with entries at an index or after it.
    pub(crate) fn forget_from(&mut self, index: Index) {
        self.0.retain(|run| run.last < index);
    }

    /// Lets go of all.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entries> {
        self.0.iter().map(|run| &run.entries)
    }
}
