//! A node whose disk lost something that it had promised elects nobody until its peers have repaired it.
//!
//! 1. Recovery found damage and wrote a durable abstaining hard state before it touched anything.
//! 2. The node asks its leader for the last index. A leader of at least the node's durable term holds everything
//!    that the node ever acknowledged and that was committed, so that index is the target.
//! 3. Once the log is durable and confirmed by a leader through the target, abstention is cleared by a write; votes
//!    wait for that write like for any other.

use alloc::boxed::Box;

use super::role::Role;
use super::{Raft, Sender};
use crate::message::{Abstention, AbstentionAnswer, Message};
use crate::types::{Index, Instant, Member, Round};

/// What a damaged node knows of its repair.
#[derive(Clone, Debug, Default)]
pub(crate) struct Abstaining {
    /// The question under way: its round, and when it left.
    asked: Option<(Round, Instant)>,
    /// The repair is complete when the log reaches this.
    target: Option<Index>,
}

impl Abstaining {
    pub(super) fn has_target(&self) -> bool {
        self.target.is_some()
    }
}

impl Raft {
    /// The next question to the leader.
    pub(super) fn poll_abstention(&mut self) -> Option<(Member, Message)> {
        let Role::Follower(follower) = &self.role else { return None };
        let leader = follower.leader?.member;
        let abstaining = self.abstaining.as_ref()?;
        if abstaining.target.is_some() || abstaining.asked.is_some() {
            return None;
        }
        let round = self.next_question();
        self.abstaining = Some(Box::new(Abstaining { asked: Some((round, self.now)), target: None }));
        Some((leader, Message::Abstention(Abstention { term: self.hard_state.term, round })))
    }

    /// A question without an answer is asked again.
    pub(super) fn tick_abstention(&mut self) {
        let due = self.abstention_deadline().is_some_and(|at| at <= self.now);
        if let Some(abstaining) = &mut self.abstaining
            && due
        {
            abstaining.asked = None;
        }
    }

    pub(super) fn abstention_deadline(&self) -> Option<Instant> {
        let abstaining = self.abstaining.as_ref()?;
        if abstaining.target.is_some() {
            return None;
        }
        abstaining.asked.map(|(_, at)| at.plus(self.config.retransmit_after))
    }

    pub(super) fn handle_abstention(&mut self, from: Sender, m: &Abstention) {
        if self.is_leader() {
            let answer =
                AbstentionAnswer { term: self.hard_state.term, round: m.round, last: self.log.last().index };
            self.hold(self.gate.term_write(), &from, Message::AbstentionAnswer(answer));
        }
    }

    pub(super) fn handle_abstention_answer(&mut self, from: Sender, m: &AbstentionAnswer) {
        if self.leader() != Some(from.member) {
            return;
        }
        if let Some(abstaining) = &mut self.abstaining
            && abstaining.asked.is_some_and(|(round, _)| round == m.round)
        {
            abstaining.target = Some(m.last);
            self.settle_abstention();
        }
    }

    /// Ends the abstention once the log is repaired.
    pub(super) fn settle_abstention(&mut self) {
        let Role::Follower(follower) = &self.role else { return };
        let repaired = follower.confirmed.min(self.gate.log_durable());
        let target = self.abstaining.as_ref().and_then(|abstaining| abstaining.target);
        if target.is_some_and(|target| repaired >= target) {
            self.abstaining = None;
            self.hard_state.abstaining = false;
            self.gate.hard_state_changed(false);
        }
    }
}
