//! The core joined with a state machine: sessions, forwarding, reads, the write queue. Both hosts run it.

mod action;
mod apply;
pub mod command;
mod config;
mod forward;
mod relay;
mod request;
pub mod sessions;
pub mod snapshots;
mod state_machine;
mod stop;
mod tickets;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::action::{ActionOf, ReplicaAction};
pub use self::config::ReplicaConfig;
pub use self::request::{Outcome, OutcomeOf, SessionId, SessionRequest, Ticket};
pub use self::snapshots::{LoadJob, LoadOutcome, RestoreJob, RestoredState, SnapshotJob};
pub use self::state_machine::StateMachine;
pub use self::stop::StopReason;

use self::command::{ReplicaCommand, decode_all};
use self::forward::Intake;
use self::sessions::Sessions;
use self::tickets::{Tickets, Waiting};
use crate::action::{Action, Status};
use crate::error::{Refused, RestoreError, Violation};
use crate::journal::Journal;
use crate::message::{Envelope, Message};
use crate::raft::Raft;
use crate::types::{Index, Instant, LogId, Term};
use crate::write::Restored;

/// One member, whole: core, journal, sessions and the user's state machine.
///
/// Every method is of one of four kinds:
/// - `handle_*` takes an event: a message, a finished or failed batch; `tick` takes the time;
/// - plain verbs take a client's request: `open_session`, `propose`, `query`. Each gives a [`Ticket`], which ends in
///   exactly one [`Reply`](ReplicaAction::Reply), one that was refused too;
/// - `poll_action` gives what the host must do. Poll it until it is empty after each event;
/// - nouns are getters.
///
/// A command without a session is applied each time that it is committed. A client that repeats one after
/// [`Unknown`](Outcome::Unknown) may have it applied twice; a client that must not needs a session.
///
/// Architecture Invariant: what is applied is a function of the log and the two session bounds alone. Nothing here
/// that depends on time, on the network or on who leads ever reaches `StateMachine::apply` or the session table.
#[derive(Clone, Debug)]
pub struct Replica<S: StateMachine> {
    config: ReplicaConfig,
    state: S,
    raft: Raft,
    journal: Journal,
    sessions: Sessions,
    tickets: Tickets<S::Query>,
    intake: Intake,
    /// Actions that are ready. Bounded by what one event can cause; a host that polls keeps it empty.
    out: VecDeque<ReplicaAction<S::Response, S::Answer, S::Image>>,
    /// The state and the session table contain everything through here.
    applied: Index,
    /// The host's last reading of its clock.
    reading: Instant,
    /// The time of this boot, as the core counts it: it never goes back.
    now: Instant,
    /// The term in which this boot began: what this member did in it before is not known here.
    boot_term: Term,
    /// The term that the open forwards were made in.
    term: Term,
    /// Entries through here came in a snapshot: who proposed them was not seen here.
    unseen_through: Index,
    /// The snapshot that is on its way into the state; nothing is applied meanwhile.
    restoring: Option<LogId>,
    /// A snapshot is being written.
    snapshotting: bool,
    /// The host asked for a snapshot.
    snapshot_wanted: bool,
    stopped: Option<StopReason>,
}

impl<S: StateMachine> Replica<S> {
    /// A member that starts from what its disk holds. `state` is the empty state: a snapshot on the disk replaces it, and
    /// the log is applied to it as far as it turns out to be committed.
    ///
    /// # Errors
    /// Settings that can't work, or a disk that this version can't start from.
    pub fn new(
        config: ReplicaConfig,
        journal: Journal,
        disk: Restored,
        state: S,
        now: Instant,
        seed: u64,
    ) -> Result<Replica<S>, RestoreError> {
        config.validate().map_err(RestoreError::Config)?;
        let raft = Raft::new(config.raft.clone(), disk, now, seed)?;
        let (term, sessions) = (raft.term(), Sessions::new(config.sessions_max, config.session_bytes_max));
        Ok(Replica {
            state,
            raft,
            journal,
            sessions,
            tickets: Tickets::new(config.tickets_max),
            intake: Intake::default(),
            out: VecDeque::new(),
            applied: Index(0),
            reading: now,
            now,
            boot_term: term,
            term,
            unseen_through: Index(0),
            restoring: None,
            snapshotting: false,
            snapshot_wanted: false,
            stopped: None,
            config,
        })
    }

    /// Takes a message off the network.
    ///
    /// # Errors
    /// A peer did what Raft forbids, or the message is impossible; it is dropped.
    pub fn handle_message(&mut self, now: Instant, envelope: Envelope) -> Result<(), Violation> {
        if self.stopped.is_some() {
            return Ok(());
        }
        self.advance(now);
        let result = if let Message::Forward(forward) = &envelope.message {
            self.raft.admit(&envelope).map(|admitted| {
                if admitted {
                    self.handle_forward(now, &envelope, forward);
                }
            })
        } else if let Message::ForwardAnswer(answer) = &envelope.message {
            self.raft.admit(&envelope).map(|admitted| {
                if admitted {
                    self.handle_forward_answer(envelope.from, answer);
                }
            })
        } else {
            self.raft.handle_message(now, envelope)
        };
        self.notice_term();
        result
    }

    /// Takes the time. At any time, any number of times.
    pub fn tick(&mut self, now: Instant) {
        if self.stopped.is_some() {
            return;
        }
        self.advance(now);
        self.raft.tick(now);
        self.notice_term();
        for ticket in self.tickets.due(self.now) {
            self.handle_timer(ticket, self.now);
        }
    }

    /// When a tick will next matter.
    #[must_use]
    pub fn next_tick(&self) -> Option<Instant> {
        if self.stopped.is_some() {
            return None;
        }
        let own = self.tickets.next_timer().map(|timer| self.reading.plus(timer.since(self.now)));
        self.raft.next_tick().into_iter().chain(own).min()
    }

    /// The batch under way is synced.
    pub fn handle_batch_done(&mut self, now: Instant) {
        if self.stopped.is_some() {
            return;
        }
        self.advance(now);
        if let Some(durable) = self.journal.handle_batch_done() {
            self.raft.handle_durable(now, durable);
        }
        self.notice_term();
    }

    /// What a [`ReceiveJob`](crate::journal::ReceiveJob) asked for is done.
    pub fn handle_receive_done(&mut self, now: Instant) {
        if self.stopped.is_some() {
            return;
        }
        self.advance(now);
        if let Some(received) = self.journal.handle_receive_done() {
            self.raft.handle_received(now, received);
        }
        self.notice_term();
    }

    /// There was no room for a [`ReceiveJob`](crate::journal::ReceiveJob), of which so many operations were performed. The leader is told, and the node
    /// goes on. Any other failure is one of the disk: see [`Replica::handle_disk_failed`].
    pub fn handle_no_room(&mut self, now: Instant, performed: usize) {
        if self.stopped.is_some() {
            return;
        }
        self.advance(now);
        if let Some(transfer) = self.journal.handle_no_room(performed) {
            self.raft.handle_no_room(now, transfer);
        }
        self.notice_term();
    }

    /// An operation of a batch failed. The node is silent from here on; only replies still come out.
    pub fn handle_disk_failed(&mut self, now: Instant) {
        self.advance(now);
        self.stop(StopReason::DiskFailed);
    }

    /// Wants the last batch to be vouched for, when nothing else is to be written: call it when idle, and before a
    /// shutdown, then poll. See [`Journal::seal`].
    pub fn seal(&mut self) {
        self.journal.seal();
    }

    /// Whether no write is queued or under way.
    #[must_use]
    pub fn is_disk_idle(&self) -> bool {
        self.journal.is_idle()
    }

    /// Opens a session; ends in [`Outcome::Opened`].
    ///
    /// A client that does not learn the outcome opens another one: the first, if it exists, expires unused.
    pub fn open_session(&mut self, now: Instant) -> Ticket {
        let ticket = self.tickets.issue();
        let result = self.submit(now, ticket, &ReplicaCommand::Open { origin: None });
        self.refuse_on_error(ticket, result)
    }

    /// Proposes a command, here or at the leader; ends in [`Outcome::Done`] once it is applied *here*.
    ///
    /// A command of a session is applied at most once, however often it is proposed under one sequence number.
    pub fn propose(&mut self, now: Instant, request: Option<SessionRequest>, command: S::Command) -> Ticket {
        let ticket = self.tickets.issue();
        let result = encode_command(&command).and_then(|body| {
            self.submit(now, ticket, &ReplicaCommand::Command { session: request, origin: None, body: &body })
        });
        self.refuse_on_error(ticket, result)
    }

    /// A linearizable query, on any member; ends in [`Outcome::Answer`].
    pub fn query(&mut self, now: Instant, query: S::Query) -> Ticket {
        let ticket = self.tickets.issue();
        let result = self.start_read(now, ticket, query);
        self.refuse_on_error(ticket, result)
    }

    /// The next thing to do. Each may be performed the moment it is seen.
    #[must_use]
    pub fn poll_action(&mut self) -> Option<ActionOf<S>> {
        loop {
            if let Some(action) = self.out.pop_front() {
                return Some(action);
            }
            if self.stopped.is_some() {
                return None;
            }
            if let Some(envelope) = self.poll_forward() {
                return Some(ReplicaAction::Send(envelope));
            }
            if let Some(action) = self.raft.poll_action() {
                self.perform(action);
                continue;
            }
            // All writes that are there share the next batch, so the core is emptied first.
            if let Some(batch) = self.journal.poll_batch() {
                return Some(ReplicaAction::Disk(batch));
            }
            if let Some(job) = self.journal.poll_receive() {
                if !job.ops.is_empty() {
                    return Some(ReplicaAction::Receive(job));
                }
                // A piece of less than a block is kept until the next one.
                self.handle_receive_done(self.reading);
                continue;
            }
            return self.poll_snapshot();
        }
    }

    /// What the core knows of itself.
    #[must_use]
    pub fn status(&self) -> Status {
        self.raft.status()
    }

    /// The core.
    #[must_use]
    pub fn raft(&self) -> &Raft {
        &self.raft
    }

    /// The state, as applied so far: for stale reads.
    #[must_use]
    pub fn state(&self) -> &S {
        &self.state
    }

    /// The state, to look into it with methods that need `&mut`. A change that no log entry made is the end of all
    /// guarantees.
    #[must_use]
    pub fn state_mut(&mut self) -> &mut S {
        &mut self.state
    }

    /// The session table, as applied so far.
    #[must_use]
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Through which entry the state and the sessions are applied.
    #[must_use]
    pub fn applied(&self) -> Index {
        self.applied
    }

    /// Why the node stopped itself, if it did.
    #[must_use]
    pub fn stopped(&self) -> Option<&StopReason> {
        self.stopped.as_ref()
    }

    /// Requests that have not ended, in order. A reply that is there to be polled counts as given.
    #[must_use]
    pub fn pending(&self) -> Vec<Ticket> {
        self.tickets.open()
    }

    fn advance(&mut self, reading: Instant) {
        // The core is given the readings as they are, and counts time from them in the same way.
        self.now = self.now.plus(reading.since(self.reading));
        self.reading = reading;
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Send(envelope) => self.out.push_back(ReplicaAction::Send(envelope)),
            Action::Persist(persist) => self.journal.submit(persist),
            Action::Receive(chunk) => self.journal.receive(&chunk),
            Action::Apply(entries) => self.apply(&entries),
            Action::Restore(snapshot) => self.start_restoring(snapshot.last),
            Action::Load(request) => {
                let plan = self.journal.plan_load(&request);
                self.out.push_back(ReplicaAction::Load(LoadJob { request, plan }));
            }
            Action::ReadReady(read, index) => {
                self.tickets.make_ready(read, index);
                self.answer_queries();
            }
            Action::ReadFailed(read, refused) => {
                if let Some(ticket) = self.tickets.by_read(read) {
                    self.end(ticket, Outcome::Refused(refused));
                }
            }
            Action::Lost(id) => {
                if let Some(ticket) = self.tickets.by_log(id) {
                    self.end(ticket, Outcome::Lost);
                }
            }
            Action::Unknown(id) => {
                if let Some(ticket) = self.tickets.by_log(id) {
                    self.end(ticket, Outcome::Unknown);
                }
            }
            Action::RoleChanged(change) => {
                self.out.push_back(ReplicaAction::RoleChanged(change));
                self.notice_term();
            }
        }
    }

    /// Hands a command to the core, or plans to send it to the leader. `Err`: neither, and no effect.
    fn submit(&mut self, now: Instant, ticket: Ticket, command: &ReplicaCommand<'_>) -> Result<(), Refused> {
        self.check_room()?;
        self.advance(now);
        if self.raft.is_leader() {
            let bytes = self.encode(command)?;
            let id = self.raft.propose(now, bytes)?;
            self.tickets.insert(ticket, Waiting::Logged(id));
            return Ok(());
        }
        let leader = self.raft.leader();
        let other = leader.filter(|leader| *leader != self.raft.identity().member);
        match other {
            Some(to) if self.config.forwarding => self.forward(self.now, ticket, to, command),
            Some(_) | None => Err(Refused::NotLeader(leader)),
        }
    }

    fn start_read(&mut self, now: Instant, ticket: Ticket, query: S::Query) -> Result<(), Refused> {
        self.check_room()?;
        self.advance(now);
        let read = self.raft.read(now)?;
        let deadline = self.now.plus(self.config.raft.read_timeout);
        self.tickets.insert(ticket, Waiting::Reading { read, query, deadline });
        Ok(())
    }

    fn check_room(&self) -> Result<(), Refused> {
        if self.stopped.is_some() {
            return Err(Refused::Stopped);
        }
        if self.tickets.has_room() { Ok(()) } else { Err(Refused::Busy("tickets_max")) }
    }

    fn encode(&self, command: &ReplicaCommand<'_>) -> Result<Bytes, Refused> {
        let bytes = Bytes::from(command.encode().map_err(|_| Refused::Unencodable)?);
        let (length, bytes_max) = (bytes.len() as u64, self.config.raft.command_bytes_max);
        if length > bytes_max {
            return Err(Refused::TooLarge { bytes: length, bytes_max });
        }
        Ok(bytes)
    }

    fn refuse_on_error(&mut self, ticket: Ticket, result: Result<(), Refused>) -> Ticket {
        if let Err(refused) = result {
            self.reply(ticket, Outcome::Refused(refused));
        }
        ticket
    }

    /// Ends an open request.
    fn end(&mut self, ticket: Ticket, outcome: OutcomeOf<S>) {
        let closed = self.tickets.close(ticket);
        assert!(closed.is_some(), "each ticket ends once");
        self.reply(ticket, outcome);
    }

    fn reply(&mut self, ticket: Ticket, outcome: OutcomeOf<S>) {
        self.out.push_back(ReplicaAction::Reply(ticket, outcome));
    }

    /// Nothing leaves from here on but the replies to what was asked.
    fn stop(&mut self, reason: StopReason) {
        if self.stopped.is_some() {
            return;
        }
        self.stopped = Some(reason);
        self.raft.handle_disk_failed();
        self.journal.handle_failure();
        self.out.retain(|action| match action {
            ReplicaAction::Send(_)
            | ReplicaAction::Disk(_)
            | ReplicaAction::Receive(_)
            | ReplicaAction::TakeSnapshot(_)
            | ReplicaAction::RestoreSnapshot(_)
            | ReplicaAction::Load(_) => false,
            ReplicaAction::Reply(..) | ReplicaAction::RoleChanged(_) => true,
        });
        for ticket in self.tickets.open() {
            self.give_up(ticket, Refused::Stopped);
        }
    }
}

/// Bytes that every member can read: a command that can't be read must never enter a log, where it would stop all.
fn encode_command<C: Serialize + DeserializeOwned>(command: &C) -> Result<Vec<u8>, Refused> {
    let bytes = postcard::to_allocvec(command).map_err(|_| Refused::Unencodable)?;
    decode_all::<C>(&bytes).map_err(|_| Refused::Unencodable)?;
    Ok(bytes)
}
