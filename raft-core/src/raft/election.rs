//! Elections (Raft §5.2, §5.4.1; pre-vote: thesis §9.6; stickiness: thesis §4.2.3).

use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};

use super::abstention::Abstaining;
use super::role::{Candidate, Follower, PreCandidate, Role};
use super::{Raft, Sender};
use crate::message::{Message, PreVote, PreVoteAnswer, RequestVote, VoteAnswer};
use crate::types::{Index, Instant, LogId, Member, Term};

impl Raft {
    /// Falls back to follower in a higher term, with the vote unused. The leader of the term is not known yet.
    pub(super) fn adopt_term(&mut self, term: Term) {
        assert!(term > self.hard_state.term, "terms only grow");
        self.hard_state.term = term;
        self.hard_state.vote = None;
        self.gate.hard_state_changed(true);
        self.become_follower(None);
        if let Role::Follower(follower) = &mut self.role {
            follower.confirmed = Index(0); // Another leader's word counts for nothing in this term.
        }
        if self.abstaining.as_ref().is_some_and(|abstaining| abstaining.has_target()) {
            self.abstaining = Some(Box::new(Abstaining::default()));
        }
    }

    /// Becomes a follower in the present term. A running election timer runs on: only a leader or a granted vote
    /// puts it back.
    pub(super) fn become_follower(&mut self, leader: Option<Sender>) {
        let deadline = match &self.role {
            Role::Follower(follower) => follower.election_deadline,
            Role::PreCandidate(candidate) => candidate.election_deadline,
            Role::Candidate(candidate) => match candidate.election_deadline {
                Some(deadline) => deadline,
                None => self.random_deadline(),
            },
            Role::Leader(_) => self.random_deadline(),
        };
        let confirmed = self.confirmed();
        self.fail_leader_reads();
        self.reads.ask_again();
        self.role = Role::Follower(Follower { confirmed, ..Follower::new(leader, deadline) });
    }

    /// Whether a leader was heard so lately that no election should be helped (thesis §4.2.3). By time, so that a
    /// change of term does not end it.
    pub(super) fn is_sticky(&self) -> bool {
        match &self.role {
            Role::Leader(_) => true, // One that lost its majority has stepped down.
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => {
                self.now.since(self.leader_heard) < self.config.election_timeout
            }
        }
    }

    /// Whether a candidate's log is at least as up to date as ours (Raft §5.4.1). [`LogId`] orders as the paper
    /// compares: the later term wins; in equal terms, the longer log.
    fn is_up_to_date(&self, last: LogId) -> bool {
        last >= self.log.last()
    }

    /// The role's own time has come, or the disk caught up.
    pub(super) fn tick_role(&mut self) {
        self.tick_abstention();
        let deadline = match &self.role {
            Role::Leader(_) => return self.tick_leader(),
            Role::Follower(follower) => Some(follower.election_deadline),
            Role::PreCandidate(candidate) => Some(candidate.election_deadline),
            Role::Candidate(candidate) => candidate.election_deadline,
        };
        if deadline.is_some_and(|deadline| deadline <= self.now) && self.may_campaign() {
            self.start_pre_vote();
        }
    }

    /// When [`Raft::tick_role`] will next matter.
    pub(super) fn role_deadline(&self) -> Option<Instant> {
        let election = match &self.role {
            Role::Leader(_) => return self.leader_deadline(),
            Role::Follower(follower) => Some(follower.election_deadline),
            Role::PreCandidate(candidate) => Some(candidate.election_deadline),
            Role::Candidate(candidate) => candidate.election_deadline,
        };
        // While the disk is behind, only its answer can start a campaign.
        let election = election.filter(|_| self.may_campaign());
        [election, self.abstention_deadline()].into_iter().flatten().min()
    }

    /// A voter that does not abstain campaigns, once its last hard state is on disk, and while the disk
    /// gets on.
    fn may_campaign(&self) -> bool {
        self.configuration().is_voter(self.identity.member)
            && !self.hard_state.abstaining
            && self.gate.hard_state_is_durable()
            && !self.is_disk_stalled()
    }

    /// A damaged node elects nobody, and neither does one with an empty disk that joins: it votes only once its log
    /// names it, in whatever role.
    fn may_vote(&self) -> bool {
        !self.hard_state.abstaining && self.configuration().names(self.identity.member)
    }

    /// Whether nothing became durable for an election timeout, though a write is under way. How long a write waited behind
    /// others says nothing: a disk that is busy works.
    fn is_disk_stalled(&self) -> bool {
        self.gate
            .no_progress_since()
            .is_some_and(|since| self.now.since(since) >= self.config.election_timeout)
    }

    fn other_voters(&self) -> VecDeque<Member> {
        let configuration = self.configuration();
        let me = self.identity.member;
        configuration.members().filter(|member| *member != me && configuration.is_voter(*member)).collect()
    }

    fn confirmed(&self) -> Index {
        match &self.role {
            Role::Follower(follower) => follower.confirmed,
            Role::PreCandidate(candidate) => candidate.confirmed,
            Role::Candidate(_) | Role::Leader(_) => Index(0),
        }
    }

    fn start_pre_vote(&mut self) {
        self.fail_leader_reads();
        self.reads.ask_again();
        self.role = Role::PreCandidate(PreCandidate {
            election_deadline: self.random_deadline(),
            round: self.next_question(),
            confirmed: self.confirmed(),
            granted: BTreeSet::from([self.identity.member]),
            to_ask: self.other_voters(),
        });
        self.count_pre_votes();
    }

    pub(super) fn handle_pre_vote(&mut self, from: Sender, m: &PreVote) {
        let granted = m.term.next() > self.hard_state.term
            && !self.is_sticky()
            && self.may_vote()
            && self.is_up_to_date(m.last);
        let answer = PreVoteAnswer { term: self.hard_state.term, round: m.round, granted };
        self.hold(self.gate.term_write(), &from, Message::PreVoteAnswer(answer));
    }

    pub(super) fn handle_pre_vote_answer(&mut self, from: Sender, m: &PreVoteAnswer) {
        if let Role::PreCandidate(candidate) = &mut self.role
            && candidate.round == m.round
            && m.granted
        {
            candidate.granted.insert(from.member);
            self.count_pre_votes();
        }
    }

    fn count_pre_votes(&mut self) {
        if let Role::PreCandidate(candidate) = &self.role
            && self.configuration().is_quorum(|member| candidate.granted.contains(&member))
        {
            self.start_election();
        }
    }

    /// A real campaign: a new term, and the vote for itself. Nothing leaves before both are durable, and the log
    /// with them: an old grant must never elect a node that forgot what it asked with.
    fn start_election(&mut self) {
        assert!(!self.hard_state.abstaining, "a damaged node does not campaign");
        self.hard_state.term = self.hard_state.term.next();
        self.hard_state.vote = Some(self.identity.member);
        self.gate.hard_state_changed(true);
        self.role = Role::Candidate(Candidate {
            election_deadline: None,
            needs: self.gate.everything(&self.log),
            granted: BTreeSet::new(),
            to_ask: self.other_voters(),
        });
    }

    pub(super) fn handle_request_vote(&mut self, from: Sender, m: &RequestVote) {
        let free = self.hard_state.vote.is_none_or(|vote| vote == from.member);
        let granted = free && self.may_vote() && self.is_up_to_date(m.last);
        if granted && self.hard_state.vote.is_none() {
            self.hard_state.vote = Some(from.member);
            self.gate.hard_state_changed(false);
        }
        if granted {
            if !matches!(self.role, Role::Follower(_)) {
                self.become_follower(None);
            }
            let deadline = self.random_deadline();
            if let Role::Follower(follower) = &mut self.role {
                follower.election_deadline = deadline;
            }
        }
        let answer = Message::VoteAnswer(VoteAnswer { term: self.hard_state.term, granted });
        self.hold(self.gate.hard_state_write(), &from, answer);
    }

    pub(super) fn handle_vote_answer(&mut self, from: Sender, m: &VoteAnswer) {
        // A vote before the request left is no honest one, and nobody leads before its own is durable.
        if let Role::Candidate(candidate) = &mut self.role
            && m.granted
            && self.gate.is_durable_through(candidate.needs)
        {
            candidate.granted.insert(from.member);
            self.count_votes();
        }
    }

    /// The node's own vote counts once it is on disk, together with the log that it campaigns with.
    pub(super) fn count_own_vote(&mut self) {
        if let Role::Candidate(candidate) = &mut self.role
            && self.gate.is_durable_through(candidate.needs)
        {
            candidate.granted.insert(self.identity.member);
            self.count_votes();
        }
    }

    fn count_votes(&mut self) {
        if let Role::Candidate(candidate) = &self.role
            && self.configuration().is_quorum(|member| candidate.granted.contains(&member))
        {
            self.become_leader();
        }
    }

    /// The next question of a campaign.
    pub(super) fn poll_campaign(&mut self) -> Option<(Member, Message)> {
        let (term, last) = (self.hard_state.term, self.log.last());
        match &mut self.role {
            Role::PreCandidate(candidate) => {
                let member = candidate.to_ask.pop_front()?;
                Some((member, Message::PreVote(PreVote { term, round: candidate.round, last })))
            }
            Role::Candidate(candidate) => {
                if !self.gate.is_durable_through(candidate.needs) {
                    return None;
                }
                let member = candidate.to_ask.pop_front()?;
                self.start_election_timer();
                Some((member, Message::RequestVote(RequestVote { term, last, transfer: false })))
            }
            Role::Follower(_) | Role::Leader(_) => None,
        }
    }

    /// The election timer runs from when the requests leave, so that a slow disk does not use it up.
    fn start_election_timer(&mut self) {
        let deadline = self.random_deadline();
        if let Role::Candidate(candidate) = &mut self.role
            && candidate.election_deadline.is_none()
        {
            candidate.election_deadline = Some(deadline);
        }
    }
}
