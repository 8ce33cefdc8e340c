//! Outputs, built when they are polled: a hundred proposals and one drain make one write, and one message for each
//! follower.

use super::role::Role;
use super::{Raft, Sender};
use crate::action::{Action, RoleChange};
use crate::entry::entries_size;
use crate::message::{Envelope, Message};
use crate::types::{Boot, Index, Member};

/// Outputs, in the order in which they are asked. None of them gives an earlier one something to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Output {
    Message,
    Persist,
    Receive,
    Restore,
    Apply,
    Load,
    Nothing,
}

impl Raft {
    fn envelope(&self, to: Member, to_boot: Boot, message: Message) -> Envelope {
        Envelope {
            cluster: self.identity.cluster,
            epoch: self.identity.epoch,
            from: self.identity.member,
            from_boot: self.boot,
            to,
            to_boot,
            message,
        }
    }

    /// Keeps an answer back until a write is durable.
    pub(super) fn hold(&mut self, needs: u64, to: &Sender, message: Message) {
        let envelope = self.envelope(to.member, to.boot, message);
        self.gate.hold(needs, self.hard_state.term, envelope);
    }

    pub(super) fn poll_role_change(&mut self) -> Option<Action> {
        let now = RoleChange { role: self.role.name(), term: self.hard_state.term, leader: self.leader() };
        if now == self.reported {
            return None;
        }
        self.reported = now;
        Some(Action::RoleChanged(now))
    }

    pub(super) fn poll_message(&mut self) -> Option<Envelope> {
        if let Some(envelope) = self.gate.poll_held(self.hard_state.term) {
            return Some(envelope);
        }
        let answer = self.poll_answer().or_else(|| self.poll_chunk_answer());
        if let Some((to, answer)) = answer {
            return Some(self.envelope(to.member, to.boot, answer));
        }
        let (to, question) = match &self.role {
            Role::Leader(_) => self.poll_replication()?,
            Role::Follower(_) => match self.poll_read_question() {
                Some(question) => question,
                None => self.poll_abstention()?,
            },
            Role::PreCandidate(_) | Role::Candidate(_) => self.poll_campaign()?,
        };
        Some(self.envelope(to, Boot(0), question))
    }

    pub(super) fn poll_persist(&mut self) -> Option<Action> {
        self.gate.poll_persist(self.now, self.hard_state, &mut self.log).map(Action::Persist)
    }

    /// Through where entries may be handed out: committed, and durable here. Nothing while a snapshot is on its way
    /// into the state machine.
    pub(super) fn applicable(&self) -> Index {
        if self.restoring.is_some() { self.applying } else { self.commit.min(self.gate.log_durable()) }
    }

    /// The room in the apply queue, in bytes; none if it is full.
    pub(super) fn apply_room(&self) -> Option<u64> {
        let queued: u64 = self.unapplied.iter().map(|(_, bytes)| bytes).sum();
        self.config.apply_bytes_max.checked_sub(queued).filter(|room| *room > 0)
    }

    /// Committed entries that are durable here, as far as the apply queue has room.
    pub(super) fn poll_apply(&mut self) -> Option<Action> {
        let through = self.applicable();
        if self.applying >= through {
            return None;
        }
        let room = self.apply_room()?;
        let (entries, bytes) = match self.loaded_to_apply.take() {
            Some(loaded) => {
                let bytes = entries_size(&loaded);
                (*loaded, bytes)
            }
            None => self.log.slice(self.applying.next(), through, room, 0),
        };
        let last = entries.last()?.index;
        self.unapplied.push_back((last, bytes));
        self.applied_since_snapshot += bytes;
        self.applying = last;
        let lost = self.proposals.settle(&entries);
        self.notices.extend(lost.into_iter().map(Action::Lost));
        assert!(last > Index(0) && last <= self.commit, "only committed entries are applied");
        Some(Action::Apply(entries))
    }
}
