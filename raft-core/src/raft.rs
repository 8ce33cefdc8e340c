//! The state machine of one member: events in, actions out.

mod abstention;
mod budget;
mod election;
mod follower;
mod gate;
mod idle;
mod invariants;
mod jitter;
mod leader;
mod load;
mod log;
mod output;
mod pace;
mod progress;
mod proposals;
mod queue;
mod read;
mod receive;
mod recent;
mod role;
mod rtt;
mod shelf;
mod snapshot;
mod status;
mod term;
mod transfer;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::action::{Action, RoleChange, RoleName};
use crate::config::Config;
use crate::entry::{Entries, Entry, Payload};
use crate::error::{Refused, RestoreError, Violation};
use crate::membership::Configuration;
use crate::message::{Envelope, Message};
use crate::snapshot::{Received, SnapshotMeta};
use crate::types::{Boot, Index, Instant, LogId, Member, ReadId, Round, Span, Term};
use crate::write::{Durable, HardState, Identity, Restored};

use abstention::Abstaining;
use gate::Gate;
use jitter::Jitter;
use load::Loads;
use log::Log;
use output::Output;
use proposals::Proposals;
use queue::Queue;
use read::LocalReads;
use receive::Receiving;
use role::{Follower, Role};

/// The state machine of one member.
///
/// Every method is of one of four kinds:
/// - `handle_*` takes an event: a message, a finished write, applied entries; `tick` takes the time;
/// - plain verbs take a user's command: `propose`, `read`;
/// - `poll_action` gives what the host must do;
/// - nouns are getters.
///
/// After every event, poll until there is no action left. Each action may be performed the moment it is seen, in any
/// interleaving with further events; what must wait for a disk has not been given out yet.
///
/// Architecture Invariant: nothing here reads a clock, a file, a socket or an unseeded random number. The same calls
/// give the same actions, byte for byte, on every platform.
#[derive(Clone, Debug)]
pub struct Raft {
    config: Arc<Config>,
    identity: Identity,
    boot: Boot,
    hard_state: HardState,
    log: Log,
    /// The configurations in the log with the index of their entry; the founding one at 0. The last is in force.
    configurations: Vec<(Index, Configuration)>,
    gate: Gate,
    role: Role,
    /// Everything through here is committed. Invariant: applied <= applying <= commit <= last.
    commit: Index,
    /// Everything through here was handed out to apply.
    applying: Index,
    applied: Index,
    /// Batches handed out to apply and not confirmed: (last index, bytes).
    unapplied: Queue<(Index, u64)>,
    /// A run read back from the disk, to be applied next.
    loaded_to_apply: Option<Box<Entries>>,
    loads: Loads,
    /// The current snapshot: a durable one of this node's, or an installed one.
    snapshot: Option<Box<SnapshotMeta>>,
    /// A snapshot, installed or found on the disk, that the state machine has not been given yet.
    restoring: Option<Box<SnapshotMeta>>,
    /// A snapshot that is coming in.
    receiving: Option<Box<Receiving>>,
    /// Bytes of entries applied since the current snapshot.
    applied_since_snapshot: u64,
    transfers_restarted: u64,
    /// The host's last reading of its clock.
    reading: Instant,
    /// The time of this boot: it grows as the readings do, and goes on from where it stood when one is below the last.
    now: Instant,
    /// When a leader was last heard, in whatever term.
    leader_heard: Instant,
    /// Numbers pre-votes, read questions, abstention questions and incoming transfers of this boot.
    questions: Round,
    jitter: Jitter,
    proposals: Proposals,
    reads: LocalReads,
    abstaining: Option<Box<Abstaining>>,
    /// The highest boot of each member that was heard.
    boots: Vec<(Member, Boot)>,
    /// The end of the log when the last round of heartbeats came or went.
    last_at_round: Index,
    /// Actions that carry news for the host.
    notices: Queue<Action>,
    reported: RoleChange,
    /// Those before it were asked since the last event, and have nothing to say.
    next_output: Output,
    stopped: bool,
}

impl Raft {
    /// A member as its disk left it. It behaves as if it had just heard from a leader.
    ///
    /// Nodes of one process may share their settings.
    ///
    /// `seed` is used for election jitter only, together with the node id and the boot number.
    ///
    /// # Errors
    /// [`RestoreError::Config`] if the settings can't work.
    pub fn new(
        config: impl Into<Arc<Config>>,
        disk: Restored,
        now: Instant,
        seed: u64,
    ) -> Result<Raft, RestoreError> {
        let config = config.into();
        config.validate().map_err(RestoreError::Config)?;
        let snapshot_last = disk.snapshot.as_ref().map_or(Index(0), |snapshot| snapshot.last.index);
        let mut configurations = alloc::vec![(Index(0), disk.founding)];
        if let Some(snapshot) = &disk.snapshot {
            configurations.push((snapshot.last.index, snapshot.configuration.clone()));
        }
        configurations.extend(disk.configurations);
        // In order, and the log's own entry rather than the snapshot's copy of the same.
        configurations.sort_by_key(|(index, _)| *index);
        configurations.dedup_by(|later, earlier| later.1 == earlier.1);
        let log = Log::new(disk.base, disk.last, disk.runs, disk.entries);
        let mut hard_state = disk.hard_state;
        if log.last().term > hard_state.term {
            hard_state.term = log.last().term;
            hard_state.vote = None;
        }
        let reported = RoleChange { role: RoleName::Follower, term: hard_state.term, leader: None };
        let mut raft = Raft {
            gate: Gate::new(disk.boot, log.last().index),
            jitter: Jitter::new(seed),
            proposals: Proposals::default(),
            reads: LocalReads::default(),
            abstaining: hard_state.abstaining.then(Box::default),
            role: Role::Follower(Follower::new(None, now)),
            config,
            identity: disk.identity,
            boot: disk.boot,
            hard_state,
            log,
            configurations,
            commit: snapshot_last,
            applying: Index(0),
            applied: Index(0),
            unapplied: Queue::default(),
            loaded_to_apply: None,
            loads: Loads::default(),
            restoring: disk.snapshot.clone().map(Box::new),
            snapshot: disk.snapshot.map(Box::new),
            receiving: None,
            applied_since_snapshot: 0,
            transfers_restarted: 0,
            reading: now,
            now,
            leader_heard: now,
            questions: Round(0),
            boots: Vec::new(),
            last_at_round: Index(0),
            notices: Queue::default(),
            reported,
            next_output: Output::Message,
            stopped: false,
        };
        let deadline = raft.random_deadline();
        raft.role = Role::Follower(Follower::new(None, deadline));
        raft.jitter.let_go_of_room();
        Ok(raft)
    }

    /// Takes a message off the network.
    ///
    /// # Errors
    /// A [`Violation`] says that a peer did what Raft forbids, or that the message is not for this node. The message
    /// is dropped; report it and go on.
    pub fn handle_message(&mut self, now: Instant, envelope: Envelope) -> Result<(), Violation> {
        self.advance(now);
        if self.stopped || !self.admit(&envelope)? {
            return Ok(());
        }
        let from = Sender { member: envelope.from, boot: envelope.from_boot };
        if self.is_overruled(&from, &envelope.message) {
            return Ok(());
        }
        match envelope.message {
            Message::PreVote(m) => self.handle_pre_vote(from, &m),
            Message::PreVoteAnswer(m) => self.handle_pre_vote_answer(from, &m),
            Message::RequestVote(m) => self.handle_request_vote(from, &m),
            Message::VoteAnswer(m) => self.handle_vote_answer(from, &m),
            Message::Append(m) => return self.handle_append(from, m),
            Message::SnapshotChunk(m) => return self.handle_snapshot_chunk(from, m),
            Message::SnapshotChunkAnswer(m) => self.handle_chunk_answer(from, &m),
            Message::AppendAcknowledgement(m) => return self.handle_acknowledgement(from, &m),
            Message::AppendRejection(m) => self.handle_rejection(from, &m),
            Message::Heartbeat(m) => return self.handle_heartbeat(from, &m),
            Message::HeartbeatAnswer(m) => self.handle_round_answer(from, m.round),
            Message::StaleTerm(_) => {} // The term itself was the news.
            Message::ReadIndex(m) => self.handle_read_index(from, &m),
            Message::ReadIndexAnswer(m) => self.handle_read_index_answer(from, &m),
            Message::Abstention(m) => self.handle_abstention(from, &m),
            Message::AbstentionAnswer(m) => self.handle_abstention_answer(from, &m),
            Message::Forward(_) | Message::ForwardAnswer(_) => return Err(Violation::NotForTheCore),
        }
        Ok(())
    }

    /// Whether a message is addressed to this node, in this cluster and, if it is an answer, in this boot.
    /// `Ok(false)`: an answer to a question of an earlier boot; drop it.
    ///
    /// # Errors
    /// The message is for another cluster, epoch or member, or from one that can't be.
    pub fn admit(&mut self, envelope: &Envelope) -> Result<bool, Violation> {
        let Identity { cluster, epoch, member } = self.identity;
        let ours = envelope.cluster == cluster && envelope.epoch == epoch && envelope.to == member;
        if !ours || envelope.from.id == member.id {
            return Err(Violation::Misaddressed);
        }
        let term = envelope.message.term();
        if term > Term::MAX || term.0 > self.hard_state.term.0.saturating_add(Term::AHEAD_MAX) {
            return Err(Violation::ImpossibleTerm(term));
        }
        // A receiver never refuses a vote because it does not know the candidate: its configuration may be old.
        let is_vote = matches!(envelope.message, Message::PreVote(_) | Message::RequestVote(_));
        let is_named = self.configuration().names(envelope.from);
        if !is_vote && !is_named && self.configuration().member(envelope.from.id).is_some() {
            return Err(Violation::Stranger(envelope.from));
        }
        if envelope.message.is_answer() && envelope.to_boot != self.boot {
            return Ok(false);
        }
        if is_named {
            self.note_boot(envelope.from, envelope.from_boot)?;
        }
        Ok(true)
    }

    fn note_boot(&mut self, member: Member, seen: Boot) -> Result<(), Violation> {
        match self.boots.iter_mut().find(|(of, _)| *of == member) {
            Some((_, known)) if seen < *known => {
                return Err(Violation::BootWentBack { member, known: *known, seen });
            }
            Some((_, known)) if seen.0 > known.0.saturating_add(Boot::AHEAD_MAX) => {
                return Err(Violation::ImpossibleBoot { member, known: *known, seen });
            }
            Some((_, known)) => *known = seen,
            None if seen > Boot::FIRST_HEARD_MAX => {
                return Err(Violation::ImpossibleBoot { member, known: Boot(0), seen });
            }
            None => self.boots.push((member, seen)),
        }
        Ok(())
    }

    /// Takes the time. May be called at any time, any number of times.
    pub fn tick(&mut self, now: Instant) {
        self.advance(now);
        if self.stopped {
            return;
        }
        self.expire_proposals();
        self.expire_reads();
        self.tick_role();
    }

    /// A write and all before it are synced. Cumulative and idempotent.
    pub fn handle_durable(&mut self, now: Instant, done: Durable) {
        self.advance(now);
        if self.stopped || !self.gate.handle_durable(self.now, done) {
            return;
        }
        self.count_own_vote();
        self.advance_commit();
        self.settle_abstention();
        self.evict();
        self.tick_role();
    }

    /// An incoming snapshot is on the disk so far, by what [`Action::Receive`] asked for.
    pub fn handle_received(&mut self, now: Instant, received: Received) {
        self.advance(now);
        if !self.stopped {
            self.note_received(received);
        }
    }

    /// The disk has no room for the snapshot of that transfer ([`Chunk::transfer`](crate::snapshot::Chunk::transfer)); what was written of it is
    /// gone. The leader is told, and may try again after an election timeout.
    pub fn handle_no_room(&mut self, now: Instant, transfer: u64) {
        self.advance(now);
        if !self.stopped {
            self.note_no_room(transfer);
        }
    }

    /// The entries handed out through this index are applied; makes room for more.
    pub fn handle_applied(&mut self, through: Index) {
        self.applied = self.applied.max(through.min(self.applying));
        while self.unapplied.front().is_some_and(|(last, _)| *last <= self.applied) {
            self.unapplied.pop_front();
        }
        self.evict();
        self.next_output = self.next_output.min(Output::Restore);
    }

    /// Entries that are durable and applied are let go from memory, the oldest first; the disk has them.
    fn evict(&mut self) {
        self.log.evict(self.applied.min(self.gate.log_durable()), self.config.cache_bytes_max);
    }

    /// The disk failed: from now on nothing leaves this node, and every request is refused.
    pub fn handle_disk_failed(&mut self) {
        self.stopped = true;
        self.notices.clear();
    }

    /// Appends a command to the log, if this node leads.
    ///
    /// The id ends in exactly one of [`Action::Apply`] (an entry with this term and index), [`Action::Lost`] and
    /// [`Action::Unknown`].
    ///
    /// # Errors
    /// [`Refused::NotLeader`], [`Refused::TooLarge`], [`Refused::Busy`] or [`Refused::Stopped`]. The command entered
    /// no log.
    pub fn propose(&mut self, now: Instant, command: Bytes) -> Result<LogId, Refused> {
        self.advance(now);
        if self.stopped {
            return Err(Refused::Stopped);
        }
        let bytes = command.len() as u64;
        if bytes > self.config.command_bytes_max {
            return Err(Refused::TooLarge { bytes, bytes_max: self.config.command_bytes_max });
        }
        self.leader_may_accept()?;
        if self.proposals.len() >= self.config.proposals_max {
            return Err(Refused::Busy("proposals_max"));
        }
        let id = self.append_own(Payload::Command(command));
        self.proposals.add(id, self.now.plus(self.config.proposal_timeout));
        Ok(id)
    }

    /// Asks for a linearizable read (thesis §6.4), on any node: ends in [`Action::ReadReady`] or
    /// [`Action::ReadFailed`].
    ///
    /// # Errors
    /// [`Refused::Busy`] or [`Refused::Stopped`].
    pub fn read(&mut self, now: Instant) -> Result<ReadId, Refused> {
        self.advance(now);
        if self.stopped {
            return Err(Refused::Stopped);
        }
        self.start_read()
    }

    /// The next thing for the host to do. Poll until there is none.
    #[must_use]
    pub fn poll_action(&mut self) -> Option<Action> {
        if self.stopped {
            return None;
        }
        // One `return` each: an action is built where it goes, not moved from `Option` to `Option`.
        if let Some(change) = self.poll_role_change() {
            return Some(change);
        }
        if !self.notices.is_empty() {
            return self.notices.pop_front();
        }
        if self.next_output == Output::Message {
            if let Some(envelope) = self.poll_message() {
                return Some(Action::Send(envelope));
            }
            self.next_output = Output::Persist;
        }
        if self.next_output == Output::Persist {
            if let Some(persist) = self.poll_persist() {
                return Some(persist);
            }
            self.next_output = Output::Receive;
        }
        if self.next_output == Output::Receive {
            if let Some(receive) = self.poll_receive() {
                return Some(receive);
            }
            self.next_output = Output::Restore;
        }
        if self.next_output == Output::Restore {
            if let Some(restore) = self.poll_restore() {
                return Some(restore);
            }
            self.next_output = Output::Apply;
        }
        if self.next_output == Output::Apply {
            if let Some(apply) = self.poll_apply() {
                return Some(apply);
            }
            self.next_output = Output::Load;
        }
        if self.next_output == Output::Load {
            if let Some(load) = self.poll_load() {
                return Some(load);
            }
            self.next_output = Output::Nothing;
        }
        self.notices.pop_front()
    }

    /// When a tick will next matter; none while only messages or the disk can change anything.
    ///
    /// It is a reading of the host's clock, as far as that clock goes on from its last reading. A host whose clock may be
    /// set back asks again after each event, and ticks once in a heartbeat interval whatever it was told.
    #[must_use]
    pub fn next_tick(&self) -> Option<Instant> {
        if self.stopped {
            return None;
        }
        let times = [self.role_deadline(), self.proposals.deadline(), self.reads_deadline()];
        let next = times.into_iter().flatten().min()?;
        Some(self.reading.plus(next.since(self.now)))
    }

    /// Takes a reading of the host's clock. Time goes on by what the clock did since its last reading; one below the last
    /// moves nothing, and is where it goes on from. A clock that was ahead for a moment so delays nothing afterwards. What
    /// comes with it may be news to every output.
    fn advance(&mut self, reading: Instant) {
        self.now = self.now.plus(reading.since(self.reading));
        self.reading = reading;
        self.next_output = Output::Message;
    }

    /// An election deadline from now: one to two election timeouts (Raft §5.2).
    fn random_deadline(&mut self) -> Instant {
        let timeout = self.config.election_timeout.0;
        let jitter = self.jitter.draw(self.identity.member, self.boot) % timeout;
        self.now.plus(Span(timeout + jitter))
    }

    fn next_question(&mut self) -> Round {
        self.questions = Round(self.questions.0 + 1);
        self.questions
    }

    /// Adds an entry and what follows from it.
    fn append_entry(&mut self, entry: Entry) {
        if let Payload::Configuration(configuration) = &entry.payload {
            self.configurations.push((entry.index, (**configuration).clone()));
        }
        self.log.append(entry);
    }

    /// Removes an entry and all after it, configurations included.
    fn truncate_from(&mut self, from: Index) {
        assert!(from > self.commit, "a committed entry is never removed");
        self.log.truncate_from(from);
        self.gate.truncated(from);
        self.configurations.retain(|(index, _)| *index < from);
    }
}

/// Who sent a message, and in which boot: the address of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sender {
    member: Member,
    boot: Boot,
}

#[cfg(test)]
mod tests;
