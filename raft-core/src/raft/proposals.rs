//! Commands that this node proposed and whose fate is not known yet.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use super::Raft;
use crate::action::Action;
use crate::types::{Index, Instant, LogId, Term};

/// Open proposals. Two may share an index: one of a term that this node led before, one of the present term.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proposals {
    open: BTreeMap<(Index, Term), Instant>,
    /// In order of deadline; may name proposals that ended.
    deadlines: VecDeque<(Instant, LogId)>,
}

impl Proposals {
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    pub(crate) fn add(&mut self, id: LogId, deadline: Instant) {
        self.open.insert((id.index, id.term), deadline);
        self.deadlines.push_back((deadline, id));
    }

    /// When the oldest open proposal is given up.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadlines.front().map(|(deadline, _)| *deadline)
    }

    /// The entry is committed: its own proposal ends in the `Apply`, others at its index are lost.
    pub(crate) fn settle(&mut self, committed: LogId) -> Vec<LogId> {
        let mut lost = Vec::new();
        while let Some(first) = self.open.first_entry() {
            let (index, term) = *first.key();
            if index > committed.index {
                break;
            }
            first.remove();
            if term != committed.term || index != committed.index {
                lost.push(LogId { term, index });
            }
        }
        while self.deadlines.front().is_some_and(|(_, id)| !self.is_open(*id)) {
            self.deadlines.pop_front();
        }
        lost
    }

    /// A snapshot covers these: whether they are in it, nobody here can tell.
    pub(crate) fn settle_covered(&mut self, through: Index) -> Vec<LogId> {
        let mut covered = Vec::new();
        while let Some(first) = self.open.first_entry().filter(|first| first.key().0 <= through) {
            let (index, term) = *first.key();
            first.remove();
            covered.push(LogId { term, index });
        }
        covered
    }

    fn is_open(&self, id: LogId) -> bool {
        self.open.contains_key(&(id.index, id.term))
    }

    /// The next proposal whose deadline has passed.
    fn expire(&mut self, now: Instant) -> Option<LogId> {
        while let Some((deadline, id)) = self.deadlines.front().copied() {
            if self.is_open(id) && deadline > now {
                return None;
            }
            self.deadlines.pop_front();
            if self.open.remove(&(id.index, id.term)).is_some() {
                return Some(id);
            }
        }
        None
    }
}

impl Raft {
    pub(super) fn expire_proposals(&mut self) {
        while let Some(id) = self.proposals.expire(self.now) {
            self.notices.push_back(Action::Unknown(id));
        }
    }
}
