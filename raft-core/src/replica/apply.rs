//! Committed entries become state and answers.

use alloc::format;
use alloc::vec::Vec;

use bytes::Bytes;

use super::command::{Origin, ReplicaCommand, decode_all};
use super::sessions::Claim;
use super::tickets::{Progress, Waiting};
use super::{Outcome, OutcomeOf, Replica, SessionRequest, StateMachine, StopReason};
use crate::entry::{Entry, Payload};
use crate::types::{Index, LogId};

impl<S: StateMachine> Replica<S> {
    /// Applies committed entries in order. An entry that this version does not understand stops the node *before*
    /// anything of it is applied: every member of this version stops at the same entry, in the same state.
    pub(super) fn apply(&mut self, entries: &[Entry]) {
        for entry in entries {
            assert!(entry.index == self.applied.next(), "the core hands out entries in order, once");
            if let Err(reason) = self.apply_entry(entry) {
                self.stop(reason);
                return;
            }
        }
        self.raft.handle_applied(self.applied);
        self.answer_queries();
    }

    fn apply_entry(&mut self, entry: &Entry) -> Result<(), StopReason> {
        match &entry.payload {
            Payload::Noop | Payload::Configuration(_) => {
                self.applied = entry.index;
            }
            Payload::Command(bytes) => {
                let command = ReplicaCommand::decode(bytes)
                    .map_err(|error| StopReason::Undecodable { at: entry.id(), what: format!("{error}") })?;
                let outcome = self.execute(entry, command)?;
                self.applied = entry.index;
                self.answer_waiter(entry.id(), command.origin(), outcome);
            }
            Payload::FeatureLevel(_) => {
                return Err(StopReason::UnknownEntry { at: entry.id(), kind: "FeatureLevel" });
            }
            Payload::Digest { .. } => {
                return Err(StopReason::UnknownEntry { at: entry.id(), kind: "Digest" });
            }
        }
        self.end_displaced(entry.id());
        Ok(())
    }

    fn execute(&mut self, entry: &Entry, command: ReplicaCommand<'_>) -> Result<OutcomeOf<S>, StopReason> {
        match command {
            ReplicaCommand::Open { .. } => Ok(Outcome::Opened(self.sessions.open(entry.index))),
            ReplicaCommand::Command { session, body, .. } => {
                let command: S::Command = decode_all(body)
                    .map_err(|error| StopReason::Undecodable { at: entry.id(), what: format!("{error}") })?;
                match session {
                    None => Ok(Outcome::Done(self.state.apply(entry.index, command))),
                    Some(request) => self.execute_once(entry, request, command),
                }
            }
        }
    }

    /// Applies a session's command unless it was applied before (thesis §6.3).
    fn execute_once(
        &mut self,
        entry: &Entry,
        request: SessionRequest,
        command: S::Command,
    ) -> Result<OutcomeOf<S>, StopReason> {
        let broken = |error| StopReason::Response { at: entry.id(), what: format!("{error}") };
        match self.sessions.claim(entry.index, request) {
            Claim::Fresh => {
                let response = self.state.apply(entry.index, command);
                let bytes = postcard::to_allocvec(&response).map_err(broken)?;
                self.sessions.record(request, Bytes::from(bytes));
                Ok(Outcome::Done(response))
            }
            Claim::Duplicate(bytes) => Ok(Outcome::Done(decode_all(&bytes).map_err(broken)?)),
            Claim::Expired => Ok(Outcome::Expired),
        }
    }

    /// Whoever waits for this entry has its answer: the proposer here, found by term and index, or the forwarder,
    /// which finds its own name in the entry.
    fn answer_waiter(&mut self, id: LogId, origin: Option<Origin>, outcome: OutcomeOf<S>) {
        let here = origin
            .filter(|origin| origin.member == self.raft.identity().member && origin.boot == self.raft.boot());
        let forwarded = here.and_then(|origin| self.tickets.forwarded(origin.request));
        let waiter = self.tickets.by_log(id).or(forwarded.map(|(ticket, _)| ticket));
        if let Some(ticket) = waiter {
            self.end(ticket, outcome);
        }
    }

    /// Forwards whose place in the log has now been taken by another entry can never commit.
    fn end_displaced(&mut self, id: LogId) {
        let displaced: Vec<_> = self.tickets.accepted_at(id.index);
        for ticket in displaced {
            let lost = match self.tickets.get(ticket) {
                Some(Waiting::Forwarded(forwarded)) => forwarded.progress != Progress::Accepted(id),
                Some(Waiting::Logged(_) | Waiting::Reading { .. } | Waiting::Ready { .. }) | None => false,
            };
            // Right place, right term, and not our command: the leader named an entry that was never ours.
            self.end(ticket, if lost { Outcome::Lost } else { Outcome::Unknown });
        }
    }

    /// Answers the queries whose index is applied, and no others. A linearizable read has two halves: the core says
    /// through which index the state must be applied (thesis §6.4), and here, and only here, the query waits for it.
    pub(super) fn answer_queries(&mut self) {
        let visible: Index = self.applied;
        while let Some((ticket, query)) = self.tickets.take_ready(visible) {
            let answer = self.state.query(query);
            self.reply(ticket, Outcome::Answer(answer));
        }
    }
}
