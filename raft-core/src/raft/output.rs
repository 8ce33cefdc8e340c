//! Outputs, built when they are polled: a hundred proposals and one drain make one write, and one message for each
//! follower.

use super::{Raft, Sender};
use crate::action::{Action, RoleChange};
use crate::entry::entries_size;
use crate::message::{Envelope, Message};
use crate::types::{Boot, Index, Member};

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
        if let Some((to, answer)) = self.poll_answer() {
            return Some(self.envelope(to.member, to.boot, answer));
        }
        self.bind_reads();
        let (to, question) = self
            .poll_campaign()
            .or_else(|| self.poll_replication())
            .or_else(|| self.poll_read_question())
            .or_else(|| self.poll_abstention())?;
        Some(self.envelope(to, Boot(0), question))
    }

    pub(super) fn poll_persist(&mut self) -> Option<Action> {
        self.gate.poll_persist(self.now, self.hard_state, &self.log).map(Action::Persist)
    }

    /// Committed entries that are durable here, as far as the apply queue has room.
    pub(super) fn poll_apply(&mut self) -> Option<Action> {
        let through = self.commit.min(self.gate.log_durable());
        if self.applying >= through {
            return None;
        }
        let queued: u64 = self.unapplied.iter().map(|(_, bytes)| bytes).sum();
        if queued >= self.config.apply_bytes_max {
            return None;
        }
        let room = self.config.apply_bytes_max - queued;
        let entries = self.log.slice(self.applying.next(), through, room);
        let last = entries.last().map_or(self.applying, |entry| entry.index);
        self.unapplied.push_back((last, entries_size(&entries)));
        self.applying = last;
        for entry in &entries {
            for lost in self.proposals.settle(entry.id()) {
                self.notices.push_back(Action::Lost(lost));
            }
        }
        assert!(last > Index(0) && last <= self.commit, "only committed entries are applied");
        Some(Action::Apply(entries))
    }
}
