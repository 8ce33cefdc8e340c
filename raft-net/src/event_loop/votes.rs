//! Who answered this node's campaign.

use raft_core::{Member, Term};

/// The answers to this node's campaign, for people; the core counts for itself.
#[derive(Default)]
pub(super) struct Votes {
    pub(super) term: Term,
    pub(super) granted: Vec<Member>,
    pub(super) refused: Vec<Member>,
}

impl Votes {
    pub(super) fn note(&mut self, term: Term, granted: bool, from: Member) {
        if term < self.term {
            return;
        }
        if term > self.term {
            *self = Votes { term, ..Votes::default() };
        }
        let side = if granted { &mut self.granted } else { &mut self.refused };
        if !side.contains(&from) {
            side.push(from);
        }
    }
}
