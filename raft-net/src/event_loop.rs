//! The one task that owns a node: it waits for events, takes them together, then performs what they cause.
//!
//! ```text
//! wait for one event -> take what else is there -> drain the replica -> hand datagrams to the socket -> (again)
//! ```
//!
//! Everything that happened in one round shares one batch and few messages: the core builds them when it is polled.

mod engine;
mod receiving;
mod request;
mod votes;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use raft_core::journal::RecoveryReport;
use raft_core::replica::{Replica, StateMachine};
use raft_core::wire::{Decoder, Encoder, WireConfig};
use raft_core::{Boot, Member, NodeId};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::clock::Clock;
use crate::config::NodeConfig;
use crate::counters::Counters;
use crate::directory::{self, FoundingRecord, Opened};
use crate::disk::{Disk, Jobs};
use crate::error::{StartError, StopReason};
use crate::secure::{Peer, Secure, SecureConfig, SessionLimits, Transmit};
use crate::status::NodeStatus;
use crate::udp::{BufferBytes, UdpTransport};

use engine::{Engine, Parts};
pub(crate) use request::Request;

/// Requests, and rounds of the socket, that are taken together before what they cause is performed.
const EVENTS_MAX: usize = 256;

/// Datagrams sent in one go. A message of a megabyte is a thousand of them, more than most receivers' buffers hold.
const BURST_MAX: usize = 256;

/// What follows a full burst, so that receivers can keep up.
const PAUSE: Duration = Duration::from_millis(1);

/// Recovers the directory, opens the socket and starts the task. The status closes when the task ends.
pub(crate) async fn start<S>(
    config: NodeConfig,
    state: S,
    requests: mpsc::Receiver<Request<S>>,
) -> Result<watch::Receiver<NodeStatus>, StartError>
where
    S: StateMachine + Send + 'static,
    S::Command: Send,
    S::Response: Send,
    S::Query: Send,
    S::Answer: Send,
{
    config.validate().map_err(StartError::Config)?;
    let (config, opened) = open(config).await?;
    let Opened { files, reader, journal, restored, report, key, founding } = opened;
    let (identity, boot) = (restored.identity(), restored.boot());
    log_recovery(identity.member, boot, &report);

    let clock = Clock::start();
    let now = clock.now();
    let secure = SecureConfig {
        own: identity.member,
        boot,
        cluster: identity.cluster,
        epoch: identity.epoch,
        key,
        secrets: config.secrets,
        peers: peers(&founding, identity.member, &config.addresses)?,
        datagram_bytes_max: config.wire.datagram_bytes_max,
        limits: SessionLimits::default(),
    };
    let secure = Secure::new(secure, now).map_err(StartError::Secure)?;
    let wire = WireConfig { datagram_bytes_max: secure.payload_bytes_max(), ..config.wire };
    wire.validate().map_err(StartError::Config)?;
    let bytes = config.socket_buffer_bytes;
    let udp = UdpTransport::bind(config.listen, BufferBytes { send: bytes, receive: bytes })
        .map_err(StartError::Socket)?;
    let buffers = udp.buffers();
    if buffers.are_clamped() {
        tracing::warn!(%buffers, "the kernel grants less than was asked for; raise net.core.rmem_max and wmem_max");
    }

    let seed = getrandom::u64().map_err(|error| StartError::System(error.to_string()))?;
    let replica = Replica::new(config.replica, journal, restored, state, now, seed).map_err(|error| {
        let directory = config.directory.clone();
        StartError::Directory(crate::DirectoryError::Restore { directory, error })
    })?;
    let no_thread = |error| StartError::System(format!("no thread for the disk: {error}"));
    let jobs = files.for_another_thread().and_then(|files| Jobs::start(files, reader)).map_err(no_thread)?;
    let disk = Disk::start(files).map_err(no_thread)?;
    let parts = Parts {
        replica,
        secure,
        clock,
        encoder: Encoder::new(wire.clone()),
        decoder: Decoder::new(wire),
        counters: Counters::new(identity.member.id),
        patience: config.disk,
    };
    let (engine, status) = Engine::new(parts);
    let span = tracing::info_span!("raft", node = identity.member.id.0);
    let event_loop = EventLoop { engine, requests, disk, jobs, udp, outbox: Vec::new(), paused_until: None };
    tokio::spawn(tracing::Instrument::instrument(event_loop.run(), span));
    Ok(status)
}

fn log_recovery(member: Member, boot: Boot, report: &RecoveryReport) {
    let RecoveryReport { torn, rewritten, hard_state_copies_damaged, copies_repaired, damaged_at, orphans } =
        report;
    tracing::info!(
        node = member.id.0,
        boot = boot.0,
        torn_batches_cut = torn,
        batches_rewritten = rewritten,
        copies_repaired = hard_state_copies_damaged + copies_repaired,
        orphans_removed = orphans,
        "recovered the data directory"
    );
    if let Some((file, offset)) = damaged_at {
        tracing::warn!(
            node = member.id.0,
            file,
            offset,
            "the log was damaged and is cut there; this node does not vote until its peers have repaired it"
        );
    }
}

/// Reads and recovers the directory where blocking is allowed.
async fn open(config: NodeConfig) -> Result<(NodeConfig, Opened), StartError> {
    let task = tokio::task::spawn_blocking(move || {
        let opened = directory::open(&config);
        opened.map(|opened| (config, opened))
    });
    let opened = task.await.map_err(|error| StartError::System(format!("recovery died: {error}")))?;
    opened.map_err(StartError::Directory)
}

fn peers(
    founding: &FoundingRecord,
    own: Member,
    addresses: &BTreeMap<NodeId, SocketAddr>,
) -> Result<Vec<Peer>, StartError> {
    let others = founding.members.iter().filter(|record| record.member != own);
    let peer = |record: &directory::MemberRecord| {
        let address = addresses.get(&record.member.id).ok_or(StartError::NoAddress(record.member))?;
        Ok(Peer { member: record.member, public: record.public, address: *address })
    };
    others.map(peer).collect()
}

struct EventLoop<S: StateMachine> {
    engine: Engine<S>,
    requests: mpsc::Receiver<Request<S>>,
    disk: Disk,
    jobs: Jobs<S>,
    udp: UdpTransport,
    /// Kept for its capacity.
    outbox: Vec<Transmit>,
    /// Nothing is sent until then.
    paused_until: Option<Instant>,
}

impl<S> EventLoop<S>
where
    S: StateMachine + Send + 'static,
{
    async fn run(mut self) {
        let reason = self.serve().await;
        let EventLoop { mut engine, mut requests, disk, jobs, udp, .. } = self;
        tracing::info!(%reason, "the node stops");
        // What was asked too late had no effect, and is told so.
        requests.close();
        while let Ok(request) = requests.try_recv() {
            request.refuse();
        }
        drop(udp);
        engine.dismiss();
        // A thread may hang in the system and never come back. The lock stays with it.
        let patience = engine.patience_with(&reason);
        let closed = tokio::time::timeout(patience, async {
            disk.close().await;
            jobs.close().await;
        });
        if closed.await.is_err() {
            tracing::warn!("a thread of the disk hangs; the directory is in use until this process ends");
        }
        engine.stop(reason);
    }

    /// Rounds, until something ends them.
    async fn serve(&mut self) -> StopReason {
        let timer = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(timer);
        let mut shutting_down = false;
        loop {
            self.engine.drain(&self.disk, &self.jobs);
            if let Some(reason) = self.engine.reason() {
                return reason;
            }
            if shutting_down && self.engine.is_settled() {
                return StopReason::Shutdown;
            }
            self.flush(shutting_down);
            let wake = self.wake(shutting_down);
            if timer.deadline() != wake {
                timer.as_mut().reset(wake);
            }

            let engine = &mut self.engine;
            let mut handler = |from, datagram: &[u8]| engine.handle_datagram(from, datagram);
            tokio::select! {
                biased;
                answer = self.disk.answer() => match answer {
                    Some(answer) => self.engine.handle_disk(answer),
                    None => return StopReason::Broken,
                },
                done = self.jobs.next() => match done {
                    Some(done) => self.engine.handle_job(done),
                    None => return StopReason::Broken,
                },
                received = self.udp.recv(&mut handler), if !shutting_down =>
                {
                    if let Err(error) = received {
                        // A port unreachable at a peer, for one: it says nothing about this socket.
                        self.engine.note_receive_failed(&error);
                        // One that lasts must not take all there is of a processor.
                        tokio::time::sleep(PAUSE).await;
                    }
                }
                request = self.requests.recv(), if !shutting_down => {
                    shutting_down = self.handle_request(request);
                }
                () = &mut timer => {}
            }
            // Whatever came first, the others get their turn in the same round.
            shutting_down = self.take_waiting(shutting_down);
            self.engine.handle_time();
            if shutting_down {
                self.engine.seal();
            }
        }
    }

    /// Takes requests and disk answers that are there already. Returns whether to shut down.
    fn take_waiting(&mut self, mut shutting_down: bool) -> bool {
        if let Some(answer) = self.disk.try_answer() {
            self.engine.handle_disk(answer);
        }
        while let Some(done) = self.jobs.try_next() {
            self.engine.handle_job(done);
        }
        for _ in 0..EVENTS_MAX {
            if shutting_down {
                break;
            }
            match self.requests.try_recv() {
                Ok(request) => shutting_down = self.handle_request(Some(request)),
                Err(mpsc::error::TryRecvError::Empty) => break,
                Err(mpsc::error::TryRecvError::Disconnected) => shutting_down = true,
            }
        }
        shutting_down
    }

    /// Returns whether to shut down: someone asked for it, or nobody is left to ask.
    fn handle_request(&mut self, request: Option<Request<S>>) -> bool {
        match request {
            Some(Request::Shutdown) | None => true,
            Some(request) => {
                self.engine.handle_request(request);
                false
            }
        }
    }

    /// Hands datagrams to the kernel, a burst at a time. What the kernel has no room for is lost, as datagrams are.
    fn flush(&mut self, shutting_down: bool) {
        if self.paused_until.is_some_and(|until| Instant::now() < until) {
            return;
        }
        self.paused_until = None;
        while self.outbox.len() < BURST_MAX {
            let Some(transmit) = self.engine.poll_transmit() else { break };
            self.outbox.push(transmit);
        }
        if self.outbox.is_empty() || shutting_down {
            self.outbox.clear();
            return;
        }
        let report = self.udp.try_send_all(&self.outbox);
        if let Some((address, error)) = &report.error {
            tracing::debug!(%address, %error, "sending failed");
        }
        self.engine.note_sent(&report);
        if self.outbox.len() == BURST_MAX {
            self.paused_until = Some(Instant::now() + PAUSE);
        }
        self.outbox.clear();
    }

    fn wake(&self, shutting_down: bool) -> Instant {
        let next = self.engine.next_wake();
        match self.paused_until {
            Some(until) if !shutting_down => next.min(until),
            Some(_) | None => next,
        }
    }
}
