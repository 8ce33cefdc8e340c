//! The part of the event loop that waits for nothing: events in, replies and datagrams out.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use raft_core::journal::Batch;
use raft_core::replica::{OutcomeOf, Replica, ReplicaAction, StateMachine, Ticket};
use raft_core::wire::{Decoder, Encoder};
use raft_core::{Envelope, Index, Instant, Member, Message, RoleChange, RoleName, Span};
use tokio::sync::watch;

use super::receiving::Receiving;
use super::request::{Request, Waiter, outcome_name};
use super::votes::Votes;
use crate::clock::{Clock, micros};
use crate::config::DiskConfig;
use crate::counters::Counters;
use crate::disk::{Answer, BatchReport, Disk, JobDone, Jobs};
use crate::error::StopReason;
use crate::secure::{Secure, Transmit};
use crate::status::{DiskFigures, LogLine, NetworkFigures, NodeStatus};
use crate::udp::SendReport;

/// The status is published at most this often, but at once when role, term or leader change.
const PUBLISH_EVERY: Span = Span(10_000);

/// A journal that was idle for this long has its last batch vouched for.
const SEAL_AFTER: Span = Span(1_000_000);

/// Entries of the log in one answer at most.
const LOG_LINES_MAX: usize = 10_000;

/// What an engine is made of.
pub(super) struct Parts<S: StateMachine> {
    pub(super) replica: Replica<S>,
    pub(super) secure: Secure,
    pub(super) clock: Clock,
    pub(super) encoder: Encoder,
    pub(super) decoder: Decoder,
    pub(super) counters: Counters,
    pub(super) patience: DiskConfig,
}

/// Owns all state of a node.
pub(super) struct Engine<S: StateMachine> {
    replica: Replica<S>,
    secure: Secure,
    clock: Clock,
    encoder: Encoder,
    decoder: Decoder,
    counters: Counters,
    patience: DiskConfig,
    waiters: BTreeMap<Ticket, Waiter<S>>,
    /// Since when a batch is under way.
    batch_since: Option<Instant>,
    is_batch_late: bool,
    /// When a batch was first seen to be later than a node waits.
    stalled: Option<Instant>,
    /// When the last batch ended, if nothing vouches for it yet.
    seal_from: Option<Instant>,
    votes: Votes,
    elections: u64,
    leader: Option<Member>,
    disk: DiskFigures,
    durable: Index,
    network: NetworkFigures,
    receiving: Receiving,
    /// What was dropped after the sessions had let it pass, by reason.
    dropped: BTreeMap<&'static str, u64>,
    status: watch::Sender<NodeStatus>,
    published: Instant,
    is_published: bool,
    stopped: Option<StopReason>,
}

impl<S: StateMachine> Engine<S> {
    pub(super) fn new(parts: Parts<S>) -> (Engine<S>, watch::Receiver<NodeStatus>) {
        let Parts { replica, secure, clock, encoder, decoder, counters, patience } = parts;
        let raft = replica.status();
        let identity = replica.raft().identity();
        let durable = raft.durable;
        let (status, receiver) = watch::channel(NodeStatus {
            raft,
            cluster: identity.cluster,
            epoch: identity.epoch,
            boot: replica.raft().boot(),
            votes_for: Vec::new(),
            votes_against: Vec::new(),
            elections: 0,
            disk: DiskFigures::default(),
            network: NetworkFigures::default(),
            stopped: None,
        });
        let engine = Engine {
            replica,
            secure,
            clock,
            encoder,
            decoder,
            counters,
            patience,
            waiters: BTreeMap::new(),
            batch_since: None,
            is_batch_late: false,
            stalled: None,
            seal_from: None,
            votes: Votes::default(),
            elections: 0,
            leader: None,
            disk: DiskFigures::default(),
            durable,
            network: NetworkFigures::default(),
            receiving: Receiving::default(),
            dropped: BTreeMap::new(),
            status,
            published: Instant(0),
            is_published: false,
            stopped: None,
        };
        (engine, receiver)
    }

    /// A datagram arrived, from wherever. What fails a check costs nothing but a count.
    pub(super) fn handle_datagram(&mut self, from: SocketAddr, datagram: &[u8]) {
        let now = self.clock.now();
        self.network.datagrams_in += 1;
        self.receiving.note_success();
        // The sessions count by reason what they drop.
        let Ok(Some(received)) = self.secure.handle_datagram(now, from, datagram) else { return };
        match self.decoder.handle_datagram(now, received.payload) {
            Ok(Some(envelope)) if (envelope.from, envelope.from_boot) == (received.from, received.boot) => {
                self.handle_message(now, envelope)
            }
            Ok(Some(_)) => self.drop_message("wrong_sender"),
            Ok(None) => {}
            Err(_) => self.drop_message("wire"),
        }
    }

    /// The socket can't be read from now. It is tried on; only a series of failures is told of, at its begin.
    pub(super) fn note_receive_failed(&mut self, error: &io::Error) {
        self.is_published = false;
        if self.receiving.note_failure(self.clock.now()) {
            let count = self.receiving.errors();
            tracing::warn!(%error, count, "receiving datagrams fails; it is tried on, and counted: see raft_receive_errors_total");
        }
        self.network.receive_errors = self.receiving.errors();
    }

    fn handle_message(&mut self, now: Instant, envelope: Envelope) {
        self.network.messages_in += 1;
        self.is_published = false;
        if let Message::VoteAnswer(answer) = &envelope.message {
            self.votes.note(answer.term, answer.granted, envelope.from);
        }
        if let Err(violation) = self.replica.handle_message(now, envelope) {
            tracing::debug!(%violation, "a message was dropped");
            self.drop_message("violation");
        }
    }

    fn drop_message(&mut self, reason: &'static str) {
        *self.dropped.entry(reason).or_default() += 1;
    }

    /// A handle asks for something.
    pub(super) fn handle_request(&mut self, request: Request<S>) {
        self.is_published = false;
        let now = self.clock.now();
        match request {
            Request::Propose { request, command, reply } => {
                let ticket = self.replica.propose(now, request, command);
                self.waiters.insert(ticket, Waiter::Propose(reply));
            }
            Request::Open { reply } => {
                let ticket = self.replica.open_session(now);
                self.waiters.insert(ticket, Waiter::Open(reply));
            }
            Request::Query { query, reply } => {
                let ticket = self.replica.query(now, query);
                self.waiters.insert(ticket, Waiter::Query(reply));
            }
            // Whoever asked for these may be gone.
            Request::QueryStale { query, reply } => drop(reply.send(Ok(self.replica.state().query(query)))),
            Request::Publish { reply } => {
                self.publish(now);
                let _ = reply.send(());
            }
            Request::Connections { reply } => drop(reply.send(self.secure.connections())),
            Request::Dropped { reply } => drop(reply.send(self.all_dropped())),
            Request::Log { from, limit, reply } => {
                let entries = self.replica.raft().entries(from.max(Index(1)));
                drop(reply.send(entries.take(limit.min(LOG_LINES_MAX)).map(LogLine::of).collect()));
            }
            Request::Shutdown => {}
        }
    }

    fn all_dropped(&self) -> Vec<(&'static str, u64)> {
        let own = self.dropped.iter().map(|(reason, count)| (*reason, *count));
        self.secure.dropped().chain(own).collect()
    }

    /// A batch ended. After a failure nothing leaves this node any more, not even what was ready to be sent.
    pub(super) fn handle_disk(&mut self, answer: Answer) {
        self.is_published = false;
        let now = self.clock.now();
        match answer {
            Answer::Done(report) => {
                self.batch_since = None;
                self.is_batch_late = false;
                self.stalled = None;
                self.seal_from = Some(now);
                self.note_batch(&report);
                self.replica.handle_batch_done(now);
            }
            Answer::Failed(what) => self.handle_disk_failed(now, what),
        }
    }

    fn handle_disk_failed(&mut self, now: Instant, what: String) {
        tracing::error!(what, "the disk failed; this node is silent from here on");
        self.replica.handle_disk_failed(now);
        self.stopped.get_or_insert(StopReason::DiskFailed(what));
    }

    /// A snapshot was written, or something was read.
    pub(super) fn handle_job(&mut self, done: JobDone<S>) {
        self.is_published = false;
        let now = self.clock.now();
        match done {
            JobDone::Written(written) => {
                let meta = written.meta();
                tracing::info!(last = %meta.last, bytes = meta.length, "a snapshot is durable");
                self.disk.snapshots += 1;
                self.disk.snapshot_bytes_last = meta.length;
                self.replica.handle_snapshot_written(now, &written);
            }
            JobDone::DiskFailed(what) => self.handle_disk_failed(now, what),
            JobDone::Received => self.replica.handle_receive_done(now),
            JobDone::NoRoom(what, performed) => {
                tracing::error!(%what, "no room for a snapshot that comes in; free some, it will be sent again");
                self.replica.handle_no_room(now, performed);
            }
            JobDone::Unwritable(what) => self.replica.handle_snapshot_failed(now, &what),
            JobDone::Restored(job, restored) => {
                self.replica.handle_restored(now, &job, restored.map(|restored| *restored));
            }
            JobDone::Loaded(outcome) => self.replica.handle_loaded(now, outcome),
            JobDone::Died => {
                self.stopped.get_or_insert(StopReason::Broken);
            }
        }
    }

    fn note_batch(&mut self, report: &BatchReport) {
        let disk = &mut self.disk;
        disk.batches += 1;
        disk.syncs += report.syncs;
        disk.bytes += report.bytes;
        disk.batch_us_last = micros(report.elapsed);
        disk.batch_us_max = disk.batch_us_max.max(disk.batch_us_last);
        disk.sync_us_last = micros(report.sync_last);
        disk.sync_us_max = disk.sync_us_max.max(micros(report.sync_max));
        self.counters.batch(report);
    }

    /// Performs what time is due for.
    pub(super) fn handle_time(&mut self) {
        let now = self.clock.now();
        if self.replica.next_tick().is_some_and(|due| due <= now) {
            self.replica.tick(now);
        }
        if self.secure.next_tick().is_some_and(|due| due <= now) {
            self.secure.tick(now);
        }
        if self.seal_from.is_some_and(|from| from.plus(SEAL_AFTER) <= now) {
            self.seal();
        }
        self.watch_disk(now);
    }

    /// A slow disk is logged, then stops the node. (A leader has stepped down by itself long before.)
    fn watch_disk(&mut self, now: Instant) {
        let Some(since) = self.batch_since else { return };
        let span = now.since(since);
        if span.0 >= micros(self.patience.warn_after) && !self.is_batch_late {
            self.is_batch_late = true;
            tracing::warn!(milliseconds = span.0 / 1_000, "the disk is slow: a batch is still not durable");
        }
        // If this process did not run for a while, its disk did not either: it gets a moment more.
        if span.0 >= micros(self.patience.stop_after)
            && self.stalled.get_or_insert(now).plus(Span(micros(self.patience.warn_after))) <= now
        {
            self.replica.handle_disk_failed(now);
            self.stopped.get_or_insert(StopReason::DiskStalled(self.patience.stop_after));
        }
    }

    /// Wants the last batch vouched for.
    pub(super) fn seal(&mut self) {
        self.seal_from = None;
        self.replica.seal();
    }

    /// Performs all that the replica asks for.
    pub(super) fn drain(&mut self, disk: &Disk, jobs: &Jobs<S>) {
        while let Some(action) = self.replica.poll_action() {
            match action {
                ReplicaAction::Send(envelope) => self.send(&envelope),
                ReplicaAction::Disk(batch) => self.write(disk, batch),
                ReplicaAction::TakeSnapshot(job) => {
                    tracing::info!(last = %job.last(), "writes a snapshot");
                    jobs.write(job);
                }
                ReplicaAction::Receive(job) => jobs.receive(job),
                ReplicaAction::RestoreSnapshot(job) => jobs.restore(job),
                ReplicaAction::Load(job) => jobs.load(job),
                ReplicaAction::Reply(ticket, outcome) => self.reply(ticket, outcome),
                ReplicaAction::RoleChanged(change) => self.note_role(change),
            }
        }
        if self.stopped.is_none() {
            self.stopped = self.replica.stopped().cloned().map(StopReason::Replica);
        }
        let now = self.clock.now();
        if !self.is_published && (self.published.plus(PUBLISH_EVERY) <= now) {
            self.publish(now);
        }
    }

    fn send(&mut self, envelope: &Envelope) {
        let (now, to) = (self.clock.now(), envelope.to);
        let secure = &mut self.secure;
        let mut refused = None;
        let sent = self.encoder.encode(envelope, &mut |payload| {
            refused = secure.seal(now, to, payload).err().or(refused);
        });
        match (sent, refused) {
            (Ok(()), None) => self.network.messages_out += 1,
            (Ok(()), Some(error)) => tracing::debug!(%error, "a message can't be sent"),
            (Err(error), _) => tracing::error!(%error, %to, "a message can't be sent"),
        }
    }

    fn write(&mut self, disk: &Disk, batch: Batch) {
        self.batch_since = Some(self.clock.now());
        disk.perform(batch);
    }

    fn reply(&mut self, ticket: Ticket, outcome: OutcomeOf<S>) {
        self.counters.outcome(outcome_name(&outcome));
        if let Some(waiter) = self.waiters.remove(&ticket) {
            waiter.answer(outcome);
        }
    }

    fn note_role(&mut self, change: RoleChange) {
        let RoleChange { role, term, leader } = change;
        if leader.is_some() && leader != self.leader {
            self.elections += 1;
        }
        self.leader = leader.or(self.leader);
        match role {
            RoleName::Leader => tracing::info!(term = term.0, "leads"),
            RoleName::Follower => match leader {
                Some(leader) => tracing::info!(term = term.0, leader = leader.id.0, "follows"),
                None => tracing::info!(term = term.0, "follows, and knows no leader"),
            },
            RoleName::PreCandidate => tracing::info!(term = term.0, "asks whether it could be elected"),
            RoleName::Candidate => tracing::info!(term = term.0, "campaigns"),
        }
        self.publish(self.clock.now());
    }

    /// The next datagram to send. None once the node has stopped.
    pub(super) fn poll_transmit(&mut self) -> Option<Transmit> {
        if self.stopped.is_some() { None } else { self.secure.poll_transmit() }
    }

    pub(super) fn note_sent(&mut self, report: &SendReport) {
        self.network.datagrams_out += report.sent as u64;
        self.network.datagrams_unsent += (report.would_block + report.too_large + report.failed) as u64;
    }

    /// When there is something to do even if nothing happens.
    pub(super) fn next_wake(&self) -> tokio::time::Instant {
        let patience = if self.is_batch_late { self.patience.stop_after } else { self.patience.warn_after };
        let late = match self.stalled {
            Some(stalled) => Some(stalled.plus(Span(micros(self.patience.warn_after)))),
            None => self.batch_since.map(|since| since.plus(Span(micros(patience)))),
        };
        let publish = (!self.is_published).then(|| self.published.plus(PUBLISH_EVERY));
        let seal = self.seal_from.map(|from| from.plus(SEAL_AFTER));
        let all = [self.replica.next_tick(), self.secure.next_tick(), late, publish, seal];
        self.clock.when(all.into_iter().flatten().min().unwrap_or(Instant(u64::MAX)))
    }

    /// Why the node stops, if it does.
    pub(super) fn reason(&self) -> Option<StopReason> {
        self.stopped.clone()
    }

    /// Whether nothing is on its way to the disk.
    pub(super) fn is_settled(&self) -> bool {
        self.batch_since.is_none() && self.replica.is_disk_idle()
    }

    /// Whoever still waits learns that nothing is known.
    pub(super) fn dismiss(&mut self) {
        self.waiters.clear();
    }

    /// How long the threads of the disk get to end.
    pub(super) fn patience_with(&self, reason: &StopReason) -> Duration {
        match reason {
            // It was waited for long enough.
            StopReason::DiskStalled(_) => Duration::ZERO,
            StopReason::Shutdown
            | StopReason::DiskFailed(_)
            | StopReason::Replica(_)
            | StopReason::Broken => self.patience.stop_after,
        }
    }

    /// The last word, for whoever watches.
    pub(super) fn stop(&mut self, reason: StopReason) {
        self.stopped = Some(reason);
        self.publish(self.clock.now());
    }

    fn publish(&mut self, now: Instant) {
        self.published = now;
        self.is_published = true;
        let mut raft = self.replica.status();
        raft.applied = self.replica.applied();
        self.disk.entries += raft.durable.0.saturating_sub(self.durable.0);
        self.durable = raft.durable;
        let dropped = self.all_dropped();
        self.network.dropped = dropped.iter().map(|(_, count)| count).sum();
        for (reason, count) in dropped {
            self.counters.dropped(reason, count);
        }
        let is_current = self.votes.term == raft.term;
        let votes = |members: &Vec<Member>| if is_current { members.clone() } else { Vec::new() };
        let (votes_for, votes_against) = (votes(&self.votes.granted), votes(&self.votes.refused));
        let (elections, disk, network) = (self.elections, self.disk, self.network);
        let stopped = self.stopped.clone();
        self.status.send_modify(|status| {
            *status = NodeStatus {
                raft,
                votes_for,
                votes_against,
                elections,
                disk,
                network,
                stopped,
                cluster: status.cluster,
                epoch: status.epoch,
                boot: status.boot,
            };
        });
        self.counters.publish(&self.status.borrow());
    }
}
