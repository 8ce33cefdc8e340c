//! A leader that gives up its office though no higher term came must have a reason: for an election timeout it heard no
//! quorum, or its disk got nothing done. A disk that works is none, however long its queue is.
//!
//! Seen from outside: when answers of its term reached it, and when a batch of its log was synced. What is seen is no more
//! than what the leader knows, so whoever gives way with a reason is never blamed.

use raft_core::{Boot, Envelope, Message, RoleChange, RoleName, Term};

use super::World;
use crate::failure::{Failure, FailureKind};
use crate::machine::Machine;
use crate::workload::Workload;

/// A leader in its term, as far as it can be seen.
#[derive(Clone, Debug)]
pub(crate) struct Office {
    term: Term,
    since: u64,
    /// By node, its boot and when an answer of it came.
    heard: Vec<Option<(Boot, u64)>>,
    /// When a batch of its log was synced.
    synced: Option<u64>,
    /// Its clock jumped ahead or changed its rate: how much time it counted can't be seen.
    is_excused: bool,
}

impl Office {
    /// A batch of the log was synced.
    pub(super) fn note_sync(&mut self, now: u64) {
        self.synced = Some(now);
    }

    /// The clock jumped ahead, or changed its rate.
    pub(super) fn excuse(&mut self) {
        self.is_excused = true;
    }

    /// A message reached the leader, and it took it.
    pub(super) fn note_answer(&mut self, from: usize, now: u64, envelope: &Answer) {
        if envelope.term != self.term || !envelope.is_answer {
            return;
        }
        if let Some(heard) = self.heard.get_mut(from)
            && heard.is_none_or(|(boot, _)| boot <= envelope.boot)
        {
            *heard = Some((envelope.boot, now));
        }
    }

    /// When a majority, the leader included, had last been heard.
    fn quorum_heard(&self, me: usize, now: u64) -> u64 {
        let heard = |(node, heard): (usize, &Option<(Boot, u64)>)| match heard {
            _ if node == me => now,
            Some((_, at)) => *at,
            None => 0,
        };
        let mut times: Vec<u64> = self.heard.iter().enumerate().map(heard).collect();
        times.sort_unstable_by(|a, b| b.cmp(a));
        times[times.len() / 2].max(self.since)
    }
}

/// What counts of a message that reaches a leader.
pub(super) struct Answer {
    term: Term,
    boot: Boot,
    /// It says that its sender recognises the leader.
    is_answer: bool,
}

impl Answer {
    pub(super) fn of(envelope: &Envelope, boot: Boot) -> Answer {
        let is_answer = match &envelope.message {
            Message::AppendAcknowledgement(_)
            | Message::AppendRejection(_)
            | Message::HeartbeatAnswer(_)
            | Message::SnapshotChunkAnswer(_) => envelope.to_boot == boot,
            Message::PreVote(_)
            | Message::PreVoteAnswer(_)
            | Message::RequestVote(_)
            | Message::VoteAnswer(_)
            | Message::Append(_)
            | Message::Heartbeat(_)
            | Message::StaleTerm(_)
            | Message::ReadIndex(_)
            | Message::ReadIndexAnswer(_)
            | Message::Abstention(_)
            | Message::AbstentionAnswer(_)
            | Message::Forward(_)
            | Message::ForwardAnswer(_)
            | Message::SnapshotChunk(_) => false,
        };
        Answer { term: envelope.message.term(), boot: envelope.from_boot, is_answer }
    }
}

impl<S: Machine, W: Workload<S>> World<S, W> {
    /// How much time a node counted can't be seen any more: if it leads, it may give way when it likes.
    pub(super) fn excuse_office(&mut self, node: usize) {
        if let Some(office) = self.nodes[node].office_mut() {
            office.excuse();
        }
    }

    /// A node's role changed: whoever gave up its office had a reason.
    pub(super) fn check_office(&mut self, node: usize, change: &RoleChange) -> Result<(), Failure> {
        let (now, nodes) = (self.now, self.nodes.len());
        let Some(running) = self.nodes[node].running_mut() else { return Ok(()) };
        let before = running.office.take();
        if change.role == RoleName::Leader {
            let fresh = Office {
                term: change.term,
                since: now,
                heard: vec![None; nodes],
                synced: None,
                is_excused: false,
            };
            running.office = Some(before.filter(|office| office.term == change.term).unwrap_or(fresh));
            return Ok(());
        }
        let Some(office) = before.filter(|office| office.term == change.term && !office.is_excused) else {
            return Ok(());
        };
        let timeout = self.setup.settings.election_timeout;
        let clock = self.nodes[node].clock;
        let is_recent = |at: u64| clock.span(now - at) + 2 < timeout;
        let heard = office.quorum_heard(node, now);
        if !is_recent(office.synced.unwrap_or(office.since)) {
            self.note_stalled();
        }
        match office.synced {
            Some(synced) if is_recent(heard) && is_recent(synced) => {
                let what = format!(
                    "n{} gave way in {}: it heard a quorum {} us ago, its disk synced {} us ago, and an election timeout is \
                     {timeout} us",
                    node + 1,
                    office.term,
                    now - heard,
                    now - synced
                );
                Err(Failure::new(FailureKind::Liveness, "gave-way", what))
            }
            Some(_) | None => Ok(()),
        }
    }
}
