//! What a node says of itself. Nothing here changes anything.

use super::Raft;
use super::role::Role;
use crate::action::Status;
use crate::entry::Entry;
use crate::membership::Configuration;
use crate::types::{Boot, Index, Member, Term};
use crate::write::Identity;

impl Raft {
    /// What the node knows of itself.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            member: self.identity.member,
            role: self.role.name(),
            term: self.hard_state.term,
            vote: self.hard_state.vote,
            leader: self.leader(),
            abstaining: self.hard_state.abstaining,
            last: self.log.last(),
            durable: self.gate.log_durable(),
            commit: self.commit,
            applying: self.applying,
            applied: self.applied,
            progress: self.progress(),
            log_bytes: self.log.bytes(),
            terms: self.log.run_count(),
            log_start: self.log.base().index.next(),
            snapshot: self.snapshot_last(),
        }
    }

    /// Whether the node stopped: its disk failed, or what it read back was damaged. Nothing leaves it any more.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// The current term.
    #[must_use]
    pub fn term(&self) -> Term {
        self.hard_state.term
    }

    /// The leader of the current term, if known.
    #[must_use]
    pub fn leader(&self) -> Option<Member> {
        match &self.role {
            Role::Follower(follower) => follower.leader.map(|leader| leader.member),
            Role::PreCandidate(_) | Role::Candidate(_) => None,
            Role::Leader(_) => Some(self.identity.member),
        }
    }

    /// Whether this node leads.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }

    /// Whose node this is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The number of this boot.
    #[must_use]
    pub fn boot(&self) -> Boot {
        self.boot
    }

    /// The configuration in force: the latest in the log, committed or not (Raft §6).
    #[must_use]
    pub fn configuration(&self) -> &Configuration {
        &self.configurations.last().expect("the founding configuration is never removed").1
    }

    /// Entries of the log from an index on, as far as they are in memory, for people and tools.
    pub fn entries(&self, from: Index) -> impl Iterator<Item = &Entry> {
        self.log.iter().skip_while(move |entry| entry.index < from)
    }
}
