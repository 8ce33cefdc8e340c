//! A follower's side of replication (Raft §5.3): AppendEntries, heartbeats, and what is owed in answer.

use alloc::boxed::Box;

use super::role::{Follower, Role};
use super::{Raft, Sender};
use crate::entry::{Entries, Entry, last_id};
use crate::error::Violation;
use crate::message::{Append, AppendAcknowledgement, AppendRejection, Heartbeat, HeartbeatAnswer, Message};
use crate::types::{Index, LogId, Round, Term};

impl Raft {
    pub(super) fn handle_append(&mut self, from: Sender, m: Append) -> Result<(), Violation> {
        check_entries(m.term, m.previous, &m.entries)?;
        self.follow(from, m.round)?;
        self.check_conflict(m.previous, &m.entries)?;
        self.note_leader_commit(m.commit);
        if self.matches(m.previous) {
            self.accept(m.previous, &m.entries);
            self.accept_shelved();
            self.name_gap();
        } else {
            self.refuse(m.previous, m.entries);
        }
        self.advance_follower_commit();
        self.settle_abstention();
        Ok(())
    }

    pub(super) fn handle_heartbeat(&mut self, from: Sender, m: &Heartbeat) -> Result<(), Violation> {
        let is_new_round = matches!(&self.role, Role::Follower(follower) if follower.round < m.round);
        self.follow(from, m.round)?;
        if is_new_round {
            self.note_round();
        }
        self.note_leader_commit(m.commit);
        self.advance_follower_commit();
        Ok(())
    }

    /// Recognises the sender as the leader of this term (Raft §5.2: there is only one).
    pub(super) fn follow(&mut self, from: Sender, round: Round) -> Result<(), Violation> {
        let two = |known| Violation::TwoLeaders { term: self.hard_state.term, known, other: from.member };
        match &self.role {
            Role::Leader(_) => return Err(two(self.identity.member)),
            Role::Follower(Follower { leader: Some(leader), .. }) if leader.member != from.member => {
                return Err(two(leader.member));
            }
            Role::Follower(Follower { leader: Some(_), .. }) => {}
            Role::Follower(Follower { leader: None, .. }) | Role::PreCandidate(_) | Role::Candidate(_) => {
                self.become_follower(Some(from));
            }
        }
        self.leader_heard = self.now;
        let deadline = self.random_deadline();
        if let Role::Follower(follower) = &mut self.role {
            follower.leader = Some(from);
            follower.election_deadline = deadline;
            follower.round = follower.round.max(round);
        }
        Ok(())
    }

    /// Whether the log holds the entry that an append builds on. What is committed here is in every later leader's
    /// log (Raft §5.4), so below the commit index the answer is yes.
    fn matches(&self, previous: LogId) -> bool {
        previous.index <= self.commit || self.log.holds(previous)
    }

    /// No entry of the message contradicts one that is committed (Raft §5.4) or that this leader confirmed in this
    /// term, for a leader only appends to its log (Raft §5.3).
    fn check_conflict(&self, previous: LogId, entries: &[Entry]) -> Result<(), Violation> {
        let confirmed = match &self.role {
            Role::Follower(follower) => follower.confirmed,
            Role::PreCandidate(_) | Role::Candidate(_) | Role::Leader(_) => Index(0),
        };
        let settled = confirmed.max(self.commit);
        let ids = core::iter::once(previous).chain(entries.iter().map(Entry::id));
        for theirs in ids.take_while(|id| id.index <= settled) {
            let Some(term) = self.log.term_at(theirs.index) else { continue };
            let ours = LogId { term, index: theirs.index };
            if ours != theirs && ours.index <= self.commit {
                return Err(Violation::CommittedConflict { ours, theirs });
            }
            if ours != theirs {
                return Err(Violation::LeaderRewrote { ours, theirs });
            }
        }
        Ok(())
    }

    /// Raft figure 2, AppendEntries, rules 3 and 4: an entry that conflicts goes, with all after it; entries that are
    /// already there stay, whatever follows them.
    fn accept(&mut self, previous: LogId, entries: &Entries) {
        let last = last_id(previous, entries);
        let mut appended = 0;
        for entry in entries {
            if entry.index <= self.commit || self.log.holds(entry.id()) {
                continue;
            }
            if entry.index <= self.log.last().index {
                self.truncate_from(entry.index);
            }
            self.append_entry(entry.clone());
            appended += 1;
        }
        if appended == entries.len() {
            self.log.remember(entries);
        }
        if let Role::Follower(follower) = &mut self.role {
            follower.repeat_owed |= last.index <= follower.confirmed;
            follower.confirmed = follower.confirmed.max(last.index);
            follower.acknowledgement_owed = true;
            follower.rejection_owed = None;
        }
    }

    /// Appends that came too early may fit now.
    pub(super) fn accept_shelved(&mut self) {
        while let Some((previous, entries)) = self.take_shelved() {
            if self.matches(previous) && self.check_conflict(previous, &entries).is_ok() {
                self.accept(previous, &entries);
            }
        }
    }

    fn take_shelved(&mut self) -> Option<(LogId, Entries)> {
        let end = self.log.last().index;
        match &mut self.role {
            Role::Follower(follower) => follower.shelf.take_through(end),
            Role::PreCandidate(_) | Role::Candidate(_) | Role::Leader(_) => None,
        }
    }

    /// What is still on the shelf came after something else that is missing: the leader need not wait for another
    /// append to be refused.
    fn name_gap(&mut self) {
        let last = self.log.last();
        if let Role::Follower(follower) = &mut self.role
            && let Some(first) = follower.shelf.first()
        {
            follower.rejection_owed = Some(Box::new((first, last)));
        }
    }

    /// The append does not fit. It is kept if it only came early; the leader is told where to look.
    fn refuse(&mut self, previous: LogId, entries: Entries) {
        let below = LogId { term: previous.term, index: previous.index.previous() };
        // Above the base, since everything through the commit index matches; a base is always something to agree on.
        let hint = self.log.agreement_hint(below).unwrap_or(self.log.base());
        let early = previous.index > self.log.last().index;
        let bytes_max = self.config.shelf_bytes_max;
        if let Role::Follower(follower) = &mut self.role {
            if early {
                follower.shelf.put(previous, entries, bytes_max);
            }
            // What is on the shelf need not come again: the gap that is named ends where the shelf begins.
            let refused =
                follower.shelf.first().filter(|first| first.index < previous.index).unwrap_or(previous);
            follower.rejection_owed = Some(Box::new((refused, hint)));
        }
    }

    fn note_leader_commit(&mut self, commit: Index) {
        if let Role::Follower(follower) = &mut self.role {
            follower.leader_commit = follower.leader_commit.max(commit);
        }
    }

    /// A leader's commit index speaks of the leader's log: it counts here only as far as this leader confirmed that
    /// the logs agree.
    pub(super) fn advance_follower_commit(&mut self) {
        if let Role::Follower(follower) = &self.role {
            let commit = follower.leader_commit.min(follower.confirmed);
            self.commit = self.commit.max(commit);
        }
    }

    /// What a follower owes its leader. All of it waits for the term to be durable; an acknowledgement also for the
    /// log through the index that it names, and for nothing else.
    pub(super) fn poll_answer(&mut self) -> Option<(Sender, Message)> {
        let term = self.hard_state.term;
        let durable = self.gate.log_durable();
        if !self.gate.term_is_durable() {
            return None;
        }
        let Role::Follower(follower) = &mut self.role else { return None };
        let leader = follower.leader?;
        let round = follower.round;
        if let Some((refused, hint)) = follower.rejection_owed.take().map(|owed| *owed) {
            follower.round_answered = round;
            let last = self.log.last().index;
            return Some((
                leader,
                Message::AppendRejection(AppendRejection { term, round, refused, hint, last }),
            ));
        }
        let matched = follower.confirmed.min(durable);
        let owed = follower.repeat_owed || (follower.acknowledgement_owed && matched == follower.confirmed);
        if owed || matched > follower.acknowledged {
            follower.acknowledgement_owed = matched < follower.confirmed;
            follower.repeat_owed = false;
            follower.acknowledged = matched;
            follower.round_answered = round;
            return Some((
                leader,
                Message::AppendAcknowledgement(AppendAcknowledgement { term, round, matched }),
            ));
        }
        if round > follower.round_answered {
            follower.round_answered = round;
            return Some((leader, Message::HeartbeatAnswer(HeartbeatAnswer { term, round })));
        }
        None
    }
}

/// Entries follow each other without gaps, terms start at 1 and never fall, and none is above the message's.
fn check_entries(term: Term, previous: LogId, entries: &[Entry]) -> Result<(), Violation> {
    let mut before = previous;
    for entry in entries {
        let consecutive = before.index.0.checked_add(1) == Some(entry.index.0);
        if !consecutive || entry.term < before.term || entry.term > term || entry.term == Term(0) {
            return Err(Violation::MalformedEntries(entry.id()));
        }
        before = entry.id();
    }
    if previous.term > term || (previous.index == Index(0)) != (previous.term == Term(0)) {
        return Err(Violation::MalformedEntries(previous));
    }
    Ok(())
}
