//! Linearizable reads without a log entry (thesis §6.4).
//!
//! 1. A read needs an index that covers everything committed before it. A leader knows that only after it committed
//!    an entry of its own term, so reads wait for that.
//! 2. The leader then starts a round. Once a majority of each half answered that round or a later one, no other
//!    leader can have committed anything before the round started, hence before the read did.
//! 3. The read may be answered from any state that is applied through the index.

use alloc::collections::VecDeque;

use super::queue::Queue;
use super::role::Role;
use super::{Raft, Sender};
use crate::action::Action;
use crate::error::Refused;
use crate::message::{Message, ReadIndex, ReadIndexAnswer};
use crate::types::{Index, Instant, Member, ReadId, Round};

/// A read at the leader.
#[derive(Clone, Debug)]
pub(crate) struct LeaderRead {
    origin: Origin,
    /// The index, and the round that must be confirmed; none until this term committed an entry.
    bound: Option<(Index, Round)>,
}

#[derive(Clone, Debug)]
enum Origin {
    Local { id: ReadId, deadline: Instant },
    Remote { from: Sender, round: Round, deadline: Instant },
}

/// Reads of this node that wait for an answer of its leader.
#[derive(Clone, Debug, Default)]
pub(crate) struct LocalReads {
    next: u64,
    waiting: Queue<Waiting>,
    /// When the last question left.
    asked: Option<Instant>,
}

#[derive(Clone, Debug)]
struct Waiting {
    id: ReadId,
    deadline: Instant,
    /// The first question that left after the read was asked; an answer to it or to a later one will do.
    question: Option<Round>,
}

impl LocalReads {
    /// Keeps no more room than what is here takes.
    pub(crate) fn let_go_of_room(&mut self) {
        self.waiting.let_go_of_room();
    }

    /// The leader changed: what was asked of the old one is asked again.
    pub(crate) fn ask_again(&mut self) {
        self.asked = None;
        for read in self.waiting.iter_mut() {
            read.question = None;
        }
    }
}

impl Raft {
    pub(super) fn start_read(&mut self) -> Result<ReadId, Refused> {
        let open = match &self.role {
            Role::Leader(leader) => leader.reads.len(),
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => self.reads.waiting.len(),
        };
        if open >= self.config.reads_max {
            return Err(Refused::Busy("reads_max"));
        }
        let id = ReadId(self.reads.next);
        self.reads.next += 1;
        let deadline = self.now.plus(self.config.read_timeout);
        if let Role::Leader(leader) = &mut self.role {
            leader.reads.push_back(LeaderRead { origin: Origin::Local { id, deadline }, bound: None });
            self.bind_reads();
        } else {
            self.reads.waiting.push_back(Waiting { id, deadline, question: None });
        }
        Ok(id)
    }

    pub(super) fn handle_read_index(&mut self, from: Sender, m: &ReadIndex) {
        let reads_max = self.config.reads_max;
        if let Role::Leader(leader) = &mut self.role
            && leader.reads.len() < reads_max
        {
            // The asker asks again long before; without an end, its questions would fill the queue of a leader that
            // can't confirm them.
            let deadline = self.now.plus(self.config.read_timeout);
            let origin = Origin::Remote { from, round: m.round, deadline };
            leader.reads.push_back(LeaderRead { origin, bound: None });
            self.bind_reads();
        }
    }

    /// Gives an index and a round to the reads that have none, once this term has committed an entry.
    pub(super) fn bind_reads(&mut self) {
        let commit = self.commit;
        let Role::Leader(leader) = &mut self.role else { return };
        if commit < leader.term_start || leader.reads.back().is_none_or(|read| read.bound.is_some()) {
            return;
        }
        // A round that no message carries yet serves every read that comes before it leaves.
        let unasked = leader.peers.iter().all(|(_, peer)| peer.round_asked < leader.round);
        if !unasked {
            leader.round = Round(leader.round.0 + 1);
        }
        for read in leader.reads.iter_mut().rev().take_while(|read| read.bound.is_none()) {
            read.bound = Some((commit, leader.round));
        }
        self.confirm_reads();
    }

    /// Answers the reads whose round a majority has answered. Rounds grow along the queue.
    pub(super) fn confirm_reads(&mut self) {
        let Role::Leader(leader) = &self.role else { return };
        if leader.reads.is_empty() {
            return;
        }
        let (me, own) = (self.identity.member, leader.round);
        let answered = |member: Member| {
            if member == me { own } else { leader.peer(member).map_or(Round(0), |peer| peer.round) }
        };
        let confirmed = self.configuration().quorum_value(answered);
        while let Some((origin, index)) = self.take_confirmed(confirmed) {
            match origin {
                Origin::Local { id, .. } => self.notices.push_back(Action::ReadReady(id, index)),
                Origin::Remote { from, round, .. } => {
                    let answer = ReadIndexAnswer { term: self.hard_state.term, round, index };
                    self.hold(self.gate.term_write(), &from, Message::ReadIndexAnswer(answer));
                }
            }
        }
    }

    fn take_confirmed(&mut self, confirmed: Round) -> Option<(Origin, Index)> {
        let Role::Leader(leader) = &mut self.role else { return None };
        let (index, round) = leader.reads.front()?.bound?;
        if round > confirmed {
            return None;
        }
        leader.reads.pop_front().map(|read| (read.origin, index))
    }

    pub(super) fn handle_read_index_answer(&mut self, from: Sender, m: &ReadIndexAnswer) {
        if self.leader() != Some(from.member) || self.is_leader() {
            return;
        }
        while let Some(read) = self.reads.waiting.front() {
            if read.question.is_none_or(|question| question > m.round) {
                break;
            }
            let id = read.id;
            self.reads.waiting.pop_front();
            self.notices.push_back(Action::ReadReady(id, m.index));
        }
    }

    /// A follower's next question to its leader, for all reads that it has not asked about, or too long ago.
    pub(super) fn poll_read_question(&mut self) -> Option<(Member, Message)> {
        let Role::Follower(follower) = &self.role else { return None };
        let leader = follower.leader?.member;
        let new = self.reads.waiting.back()?.question.is_none();
        let overdue =
            self.reads.asked.is_none_or(|asked| self.now >= asked.plus(self.config.retransmit_after));
        if !new && !overdue {
            return None;
        }
        let round = self.next_question();
        self.reads.asked = Some(self.now);
        for read in self.reads.waiting.iter_mut() {
            read.question.get_or_insert(round);
        }
        Some((leader, Message::ReadIndex(ReadIndex { term: self.hard_state.term, round })))
    }

    /// A leader that steps down can't answer its reads.
    pub(super) fn fail_leader_reads(&mut self) {
        let Role::Leader(leader) = &mut self.role else { return };
        for read in core::mem::take(&mut leader.reads) {
            if let Origin::Local { id, .. } = read.origin {
                self.notices.push_back(Action::ReadFailed(id, Refused::LeaderChanged));
            }
        }
    }

    /// A new leader asks itself what it would have asked another.
    pub(super) fn adopt_local_reads(&mut self) {
        let waiting = core::mem::take(&mut self.reads.waiting);
        self.reads.asked = None;
        let Role::Leader(leader) = &mut self.role else { return };
        for Waiting { id, deadline, .. } in waiting {
            leader.reads.push_back(LeaderRead { origin: Origin::Local { id, deadline }, bound: None });
        }
        self.bind_reads();
    }

    pub(super) fn expire_reads(&mut self) {
        let now = self.now;
        let mut failed: VecDeque<ReadId> = VecDeque::new();
        while self.reads.waiting.front().is_some_and(|read| read.deadline <= now) {
            failed.extend(self.reads.waiting.pop_front().map(|read| read.id));
        }
        if let Role::Leader(leader) = &mut self.role {
            leader.reads.retain(|read| match read.origin {
                Origin::Local { id, deadline } if deadline <= now => {
                    failed.push_back(id);
                    false
                }
                Origin::Remote { deadline, .. } => deadline > now,
                Origin::Local { .. } => true,
            });
        }
        for id in failed {
            self.notices.push_back(Action::ReadFailed(id, Refused::TimedOut));
        }
    }

    pub(super) fn reads_deadline(&self) -> Option<Instant> {
        let waiting = self.reads.waiting.front().map(|read| read.deadline);
        let has_leader = matches!(&self.role, Role::Follower(follower) if follower.leader.is_some());
        let asked = self
            .reads
            .asked
            .filter(|_| has_leader && !self.reads.waiting.is_empty())
            .map(|asked| asked.plus(self.config.retransmit_after));
        let leading = match &self.role {
            Role::Leader(leader) => leader.reads.iter().find_map(|read| match read.origin {
                Origin::Local { deadline, .. } => Some(deadline),
                Origin::Remote { .. } => None,
            }),
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => None,
        };
        [waiting, asked, leading].into_iter().flatten().min()
    }
}
