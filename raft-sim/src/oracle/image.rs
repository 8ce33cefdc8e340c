//! What a node has durably, as read off its platter: its newest hard state, its log as terms and digests, its snapshot.

use std::collections::BTreeMap;

use raft_core::{Boot, Discard, Entry, HardState, Index, LogId, Member, SnapshotMeta, Term};
use xxhash_rust::xxh3::xxh3_64;

/// One entry as the oracles remember it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// Its term.
    pub(crate) term: Term,
    /// XXH3-64 of its postcard bytes.
    pub(crate) digest: u64,
}

impl Held {
    /// Remembers an entry.
    pub(crate) fn of(entry: &Entry) -> Held {
        let bytes = postcard::to_extend(entry, Vec::with_capacity(64));
        Held {
            term: entry.term,
            digest: xxh3_64(&bytes.expect("an entry in memory always encodes into a Vec")),
        }
    }
}

/// A log from index 1 on. What a snapshot covers is in it too: as the committed log has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Log {
    /// The entry at index `i` is at `i - 1`.
    held: Vec<Held>,
}

impl Log {
    /// The entry at an index; none at 0 and past the end.
    pub(crate) fn get(&self, index: Index) -> Option<Held> {
        let place = usize::try_from(index.0.checked_sub(1)?).ok()?;
        self.held.get(place).copied()
    }

    /// The last index.
    pub(crate) fn end(&self) -> Index {
        Index(self.held.len() as u64)
    }

    /// The last entry's identity, zero for an empty log.
    pub(crate) fn last(&self) -> LogId {
        LogId { term: self.held.last().map_or(Term(0), |held| held.term), index: self.end() }
    }

    /// The last entry whose term is below `term`, zero if there is none.
    pub(crate) fn last_below(&self, term: Term) -> LogId {
        let count = self.held.partition_point(|held| held.term < term);
        let term =
            count.checked_sub(1).and_then(|place| self.held.get(place)).map_or(Term(0), |held| held.term);
        LogId { term, index: Index(count as u64) }
    }

    /// The last index with an entry of exactly that term, zero if there is none.
    pub(crate) fn last_of(&self, term: Term) -> Index {
        let last = self.last_below(term.next());
        if last.term == term { last.index } else { Index(0) }
    }

    /// The beginning of a log, through an index, if it gets that far.
    pub(crate) fn prefix(&self, through: Index) -> Option<Log> {
        let held = self.held.get(..usize::try_from(through.0).ok()?)?.to_vec();
        Some(Log { held })
    }

    /// Adds an entry at the end.
    pub(crate) fn push(&mut self, held: Held) {
        self.held.push(held);
    }

    /// Removes the entry at `from` and all after it.
    pub(crate) fn truncate(&mut self, from: Index) {
        let keep = usize::try_from(from.0.saturating_sub(1)).unwrap_or(usize::MAX);
        self.held.truncate(keep);
    }

    /// The entries of `from..=through`, if the log has them all.
    pub(crate) fn slice(&self, from: Index, through: Index) -> Option<&[Held]> {
        let start = usize::try_from(from.0.checked_sub(1)?).ok()?;
        self.held.get(start..usize::try_from(through.0).ok()?)
    }

    /// Each entry with its identity and that of the entry before it.
    pub(crate) fn ids(&self) -> impl Iterator<Item = (LogId, Held, LogId)> + '_ {
        let mut previous = LogId::default();
        self.held.iter().map(move |held| {
            let id = LogId { term: held.term, index: previous.index.next() };
            (id, *held, std::mem::replace(&mut previous, id))
        })
    }

    /// The first index that this log has and the other lacks or holds differently.
    pub(crate) fn first_lost_in(&self, other: &Log) -> Option<Index> {
        let same = self.held.iter().zip(&other.held).take_while(|(a, b)| a == b).count();
        (same < self.held.len()).then_some(Index(same as u64 + 1))
    }
}

impl FromIterator<Held> for Log {
    fn from_iter<I: IntoIterator<Item = Held>>(held: I) -> Log {
        Log { held: held.into_iter().collect() }
    }
}

/// A hard state as a record on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HardRecord {
    /// Numbers the records of a data directory.
    pub(crate) sequence: u64,
    /// The boot that wrote it.
    pub(crate) boot: Boot,
    /// What it says.
    pub(crate) state: HardState,
}

/// One step of a durable log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogChange {
    /// Removes that entry and all after it.
    Truncate(Index),
    /// Adds that entry.
    Append(Entry),
    /// Replaces everything by the snapshot in that file.
    Install(u64, SnapshotMeta),
    /// Lets the beginning go, which the snapshot in that file covers.
    Discard(u64, Discard),
}

/// The durable image of a node, believed until its next recovery: rot that is not noticed yet does not shrink it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    /// The newest hard state.
    pub(crate) hard: Option<HardRecord>,
    /// Every vote that was ever durable.
    pub(crate) votes: BTreeMap<Term, Member>,
    /// The log.
    pub(crate) log: Log,
    /// The snapshot that the newest record of one names.
    pub(crate) snapshot: Option<SnapshotMeta>,
}

impl Image {
    /// The term that recovery would find: that of the hard state or of the last entry, whichever is higher.
    pub(crate) fn term(&self) -> Term {
        self.hard.map_or(Term(0), |hard| hard.state.term).max(self.log.last().term)
    }

    /// Whether the node may elect nobody.
    pub(crate) fn abstaining(&self) -> bool {
        self.hard.is_some_and(|hard| hard.state.abstaining)
    }
}
