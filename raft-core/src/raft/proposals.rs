//! Commands that this node proposed and whose fate is not known yet.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::Raft;
use crate::action::Action;
use crate::entry::Entry;
use crate::types::{Index, Instant, LogId};

/// Open proposals, in the order in which they were made, and so of their deadlines. Indexes grow within a term; a later
/// term of this node's may begin below the end of an earlier one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proposals {
    open: VecDeque<(LogId, Instant)>,
}

impl Proposals {
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// Keeps no more room than what is here takes.
    pub(crate) fn let_go_of_room(&mut self) {
        self.open.shrink_to_fit();
    }

    pub(crate) fn add(&mut self, id: LogId, deadline: Instant) {
        self.open.push_back((id, deadline));
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.open.front().map(|(_, deadline)| *deadline)
    }

    /// Consecutive entries are committed: their own proposals end in the `Apply`, others at or below them are lost.
    pub(crate) fn settle(&mut self, committed: &[Entry]) -> Vec<LogId> {
        let mut lost = Vec::new();
        let (Some(first), Some(last)) = (committed.first(), committed.last()) else { return lost };
        let mut settles = |id: LogId| {
            if id.index > last.index {
                return false;
            }
            let at = id.index.0.checked_sub(first.index.0).and_then(|at| usize::try_from(at).ok());
            if at.and_then(|at| committed.get(at)).is_none_or(|entry| entry.id() != id) {
                lost.push(id);
            }
            true
        };
        while self.open.front().is_some_and(|(id, _)| settles(*id)) {
            self.open.pop_front();
        }
        let terms = (self.open.front(), self.open.back());
        if let (Some((front, _)), Some((back, _))) = terms
            && front.term != back.term
        {
            self.open.retain(|(id, _)| !settles(*id));
        }
        lost.sort_unstable_by_key(|id| (id.index, id.term));
        lost
    }

    /// A snapshot covers these: whether they are in it, nobody here can tell.
    pub(crate) fn settle_covered(&mut self, through: Index) -> Vec<LogId> {
        let mut covered = Vec::new();
        self.open.retain(|(id, _)| {
            let is_open = id.index > through;
            if !is_open {
                covered.push(*id);
            }
            is_open
        });
        covered.sort_unstable_by_key(|id| (id.index, id.term));
        covered
    }

    /// The next proposal whose deadline has passed.
    fn expire(&mut self, now: Instant) -> Option<LogId> {
        let (id, deadline) = self.open.front().copied()?;
        if deadline > now {
            return None;
        }
        self.open.pop_front();
        Some(id)
    }
}

impl Raft {
    pub(super) fn expire_proposals(&mut self) {
        while let Some(id) = self.proposals.expire(self.now) {
            self.notices.push_back(Action::Unknown(id));
        }
    }
}
