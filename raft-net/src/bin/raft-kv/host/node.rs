//! One task that owns the replica, and one thread that owns the disk.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use raft_core::journal::{Batch, DiskOp, JournalConfig, OnDamage, Recovery};
use raft_core::replica::{OutcomeOf, Replica, ReplicaAction, StateMachine, Ticket};
use raft_core::wire::{Decoder, Encoder, WireConfig};
use raft_core::{Entry, Envelope, Index, Instant, Member, Message, Payload, Term};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant as Clock;

use super::disk::{Disk, read_files};
use super::{Ask, DiskFigures, LogLine, NodeConfig, NodeStatus, StartError};

/// Events that are taken together before what they cause is done.
const EVENTS_MAX: usize = 256;

/// A peer, as `connections` tells of it.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) member: Member,
    pub(crate) address: SocketAddr,
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

struct Running<S: StateMachine> {
    replica: Replica<S>,
    socket: UdpSocket,
    peers: BTreeMap<Member, Connection>,
    encoder: Encoder,
    decoder: Decoder,
    waiting: BTreeMap<Ticket, oneshot::Sender<OutcomeOf<S>>>,
    votes: (Term, Vec<Member>, Vec<Member>),
    disk: DiskFigures,
    began: Clock,
    dropped: u64,
}

/// Starts both; the status is closed when they end.
pub(super) async fn start<S>(
    config: NodeConfig,
    state: S,
    inbox: mpsc::Receiver<Ask<S>>,
) -> Result<watch::Receiver<NodeStatus>, StartError>
where
    S: StateMachine + Send + 'static,
    S::Command: Send,
    S::Response: Send,
    S::Query: Send,
    S::Answer: Send,
{
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", config.directory.display());
    let socket = UdpSocket::bind(config.listen).await;
    let socket = socket.map_err(|error| {
        let cure = "another process may have it: choose another port";
        StartError::Address(format!("can't hear peers on {} (UDP): {error}; {cure}", config.listen))
    })?;
    let mut disk = Disk::lock(&config.directory).map_err(StartError::Directory)?;
    let files = read_files(&config.directory).map_err(StartError::Directory)?;
    let recovery = Recovery::start(JournalConfig::default(), &files, OnDamage::Refuse)
        .map_err(|error| StartError::Directory(named(&error)))?;
    disk.perform(recovery.ops()).map_err(|error| StartError::Directory(named(&error)))?;
    let (journal, restored) = recovery.finish();
    let own = restored.identity().member;
    if own.id != config.id {
        let what = format!(
            "this is the directory of node {}, not of node {}; check data and id",
            own.id.0, config.id.0
        );
        return Err(StartError::Directory(named(&what)));
    }
    let seed = restored.boot().0;
    let replica = Replica::new(config.replica, journal, restored, state, Instant(0), seed)
        .map_err(|error| StartError::Directory(error.to_string()))?;
    let peers = config
        .peers
        .into_iter()
        .map(|(member, address)| (member, Connection { member, address, sent: 0, received: 0 }));
    let running = Running {
        peers: peers.filter(|(member, _)| *member != own).collect(),
        replica,
        socket,
        encoder: Encoder::new(WireConfig::default()),
        decoder: Decoder::new(WireConfig::default()),
        waiting: BTreeMap::new(),
        votes: (Term(0), Vec::new(), Vec::new()),
        disk: DiskFigures::default(),
        began: Clock::now(),
        dropped: 0,
    };
    let (publish, status) = watch::channel(running.status());
    let (batches, batches_in) = mpsc::channel(1);
    let (done, done_in) = mpsc::channel(1);
    std::thread::Builder::new()
        .name(String::from("journal"))
        .spawn(move || write(disk, batches_in, &done))
        .map_err(|error| StartError::Directory(named(&error)))?;
    tokio::spawn(running.run(inbox, batches, done_in, publish));
    Ok(status)
}

/// The disk's thread: ends with its first error, and when nobody writes any more.
fn write(mut disk: Disk, mut batches: mpsc::Receiver<Batch>, done: &mpsc::Sender<Option<(u64, u64)>>) {
    while let Some(batch) = batches.blocking_recv() {
        let began = Clock::now();
        let result = disk.perform(&batch.ops);
        if let Err(error) = &result {
            tracing::error!(%error, "the disk failed; this node is silent from here on");
        }
        let bytes =
            batch.ops.iter().map(|op| if let DiskOp::Write { bytes, .. } = op { bytes.len() } else { 0 });
        let report = result.is_ok().then(|| (micros(began), bytes.sum::<usize>() as u64));
        if done.blocking_send(report).is_err() || report.is_none() {
            return;
        }
    }
}

impl<S: StateMachine> Running<S> {
    async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Ask<S>>,
        batches: mpsc::Sender<Batch>,
        mut done: mpsc::Receiver<Option<(u64, u64)>>,
        publish: watch::Sender<NodeStatus>,
    ) {
        let mut buffer = vec![0; 1 << 16];
        loop {
            self.drain(&batches).await;
            publish.send_replace(self.status());
            let due = self.replica.next_tick().map(|due| self.began + Duration::from_micros(due.0));
            let due = due.unwrap_or_else(|| Clock::now() + Duration::from_secs(1));
            tokio::select! {
                Some(report) = done.recv() => self.handle_disk(report),
                readable = self.socket.readable() => if readable.is_ok() { self.receive(&mut buffer) },
                ask = inbox.recv() => {
                    let Some(ask) = ask else { return };
                    let mut next = Some(ask);
                    for _ in 0..EVENTS_MAX {
                        let Some(ask) = next else { break };
                        if let Some(stopped) = self.answer(ask) {
                            // Whoever asked may be gone.
                            let _ = stopped.send(());
                            return;
                        }
                        next = inbox.try_recv().ok();
                    }
                }
                () = tokio::time::sleep_until(due) => {
                    let now = self.now();
                    self.replica.tick(now);
                }
            }
        }
    }

    fn now(&self) -> Instant {
        Instant(micros(self.began))
    }

    fn handle_disk(&mut self, report: Option<(u64, u64)>) {
        let now = self.now();
        let Some((us, bytes)) = report else { return self.replica.handle_disk_failed(now) };
        self.disk.syncs += 1;
        self.disk.bytes += bytes;
        self.disk.sync_us_last = us;
        self.disk.sync_us_max = self.disk.sync_us_max.max(us);
        metrics::counter!("raft_syncs_total").increment(1);
        self.replica.handle_batch_done(now);
    }

    fn receive(&mut self, buffer: &mut [u8]) {
        for _ in 0..EVENTS_MAX {
            let Ok((bytes, _)) = self.socket.try_recv_from(buffer) else { return };
            let now = self.now();
            match self.decoder.handle_datagram(now, &buffer[..bytes]) {
                Ok(Some(envelope)) => self.handle(now, envelope),
                Ok(None) => {}
                Err(_) => self.dropped += 1,
            }
        }
    }

    fn handle(&mut self, now: Instant, envelope: Envelope) {
        if let Some(peer) = self.peers.get_mut(&envelope.from) {
            peer.received += 1;
        }
        if let Message::VoteAnswer(answer) = &envelope.message {
            if self.votes.0 != answer.term {
                let own = self.replica.raft().identity().member;
                self.votes = (answer.term, vec![own], Vec::new());
            }
            let side = if answer.granted { &mut self.votes.1 } else { &mut self.votes.2 };
            if !side.contains(&envelope.from) {
                side.push(envelope.from);
            }
        }
        if let Err(violation) = self.replica.handle_message(now, envelope) {
            tracing::debug!(%violation, "a message was dropped");
        }
    }

    fn answer(&mut self, ask: Ask<S>) -> Option<oneshot::Sender<()>> {
        let now = self.now();
        match ask {
            Ask::Propose(request, command, reply) => {
                let ticket = self.replica.propose(now, request, command);
                self.waiting.insert(ticket, reply);
            }
            Ask::Open(reply) => {
                let ticket = self.replica.open_session(now);
                self.waiting.insert(ticket, reply);
            }
            Ask::Query(query, reply) => {
                let ticket = self.replica.query(now, query);
                self.waiting.insert(ticket, reply);
            }
            // Whoever asked for these may be gone.
            Ask::Stale(query, reply) => drop(reply.send(self.replica.state().query(query))),
            Ask::Log(from, limit, reply) => {
                let from = Index(from.0.max(1));
                drop(reply.send(self.replica.raft().entries(from).take(limit).map(line).collect()));
            }
            Ask::Connections(reply) => drop(reply.send(self.peers.values().cloned().collect())),
            Ask::Stop(reply) => return Some(reply),
        }
        None
    }

    async fn drain(&mut self, batches: &mpsc::Sender<Batch>) {
        while let Some(action) = self.replica.poll_action() {
            match action {
                ReplicaAction::Send(envelope) => self.send(&envelope),
                ReplicaAction::Disk(batch) => {
                    // One batch is under way at a time, so there is room; a thread that ended has reported why.
                    let _ = batches.send(batch).await;
                }
                ReplicaAction::Reply(ticket, outcome) => {
                    if let Some(reply) = self.waiting.remove(&ticket) {
                        let _ = reply.send(outcome);
                    }
                }
                ReplicaAction::RoleChanged(change) => {
                    let leader = change.leader.map(|leader| leader.id.0);
                    tracing::info!(role = ?change.role, term = change.term.0, leader, "role changed");
                }
            }
        }
    }

    fn send(&mut self, envelope: &Envelope) {
        let Some(peer) = self.peers.get_mut(&envelope.to) else { return };
        let (socket, address) = (&self.socket, peer.address);
        let result = self.encoder.encode(envelope, &mut |datagram| {
            // A datagram that does not leave is one that was lost.
            let _ = socket.try_send_to(datagram, address);
        });
        match result {
            Ok(()) => peer.sent += 1,
            Err(error) => tracing::warn!(%error, "a message could not be encoded"),
        }
    }

    fn status(&self) -> NodeStatus {
        let mut raft = self.replica.status();
        raft.applied = self.replica.applied();
        let votes = (self.votes.0 == raft.term).then(|| (self.votes.1.clone(), self.votes.2.clone()));
        let (votes_for, votes_against) = votes.unwrap_or_default();
        let core = self.replica.raft();
        NodeStatus {
            raft,
            cluster: core.identity().cluster,
            boot: core.boot(),
            votes_for,
            votes_against,
            stopped: self.replica.stopped().cloned(),
            disk: self.disk,
        }
    }
}

fn line(entry: &Entry) -> LogLine {
    let (kind, command) = match &entry.payload {
        Payload::Noop => ("noop", None),
        Payload::Command(bytes) => ("command", Some(bytes.clone())),
        Payload::Configuration(_) => ("configuration", None),
        Payload::FeatureLevel(_) => ("feature level", None),
        Payload::Digest { .. } => ("digest", None),
    };
    LogLine { index: entry.index, term: entry.term, kind, command }
}

fn micros(since: Clock) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
