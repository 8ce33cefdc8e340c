//! The world: one queue of events, ordered by time and then by when they were planned.
//!
//! ```text
//!   deliver | disk operation done | tick due | request, answer, client's timer | fault begins, ends
//! ```
//!
//! Nothing happens between two events, so idle time costs nothing.

mod actions;
mod clients;
mod disks;
mod faults;
mod lifecycle;
pub(crate) mod liveness;
mod snapshots;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use raft_core::replica::Outcome;
use raft_core::{ClusterId, Configuration, Epoch, Identity, Incarnation, Member, NodeId, Violation};
use xxhash_rust::xxh3::xxh3_64;

use crate::choices::{Choices, Stream};
use crate::client::Client;
use crate::counts::{Counts, Effect};
use crate::disk::VirtualDisk;
use crate::failure::{Failure, FailureKind};
use crate::machine::Machine;
use crate::marks::{Heard, Watch};
use crate::network::{Arrival, Network};
use crate::node::{Clock, Condition, Node, Process};
use crate::oracle::Oracles;
use crate::swarm::Setup;
use crate::trace::{Fingerprint, Trace};
use crate::workload::Workload;

use clients::{Reply, Request};
use liveness::Phase;

/// Events at one moment: a burst of clients makes some hundreds, and more than this is a loop.
const STEPS_AT_ONCE_MAX: u64 = 100_000;

/// Everything there is in a run. A clone goes on exactly as the original does.
#[derive(Clone, Debug)]
pub(crate) struct World<S: Machine, W> {
    pub(crate) setup: Setup,
    /// Virtual time, in microseconds.
    pub(crate) now: u64,
    /// Events so far at this moment.
    steps_at_now: u64,
    /// Events handled.
    pub(crate) events: u64,
    queue: BinaryHeap<Reverse<Planned>>,
    planned: u64,
    choices: Choices,
    /// For faults that must pick something when they strike.
    fault_stream: Stream,
    client_stream: Stream,
    pub(crate) nodes: Vec<Node<S>>,
    members: Vec<Member>,
    network: Network,
    clients: Vec<Client<S>>,
    processes: u64,
    requests: Slab<Request<S>>,
    replies: Slab<Reply<S>>,
    pub(crate) workload: W,
    pub(crate) oracles: Oracles,
    pub(crate) counts: Counts,
    pub(crate) watch: Watch,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) trace: Trace,
    phase: Phase,
    prototype: S,
    /// What a core said of a peer that can't be, if no oracle saw it.
    pub(crate) violation: Option<String>,
}

/// Something planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Planned {
    at: u64,
    sequence: u64,
    event: Event,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A datagram reaches the end of its link.
    Deliver { packet: u32 },
    /// The disk operation under way ends.
    DiskDone { node: u8, generation: u32 },
    /// An operation of a snapshot's writing ends.
    WritingDone { node: u8, generation: u32 },
    /// Something was read back.
    ReadDone { node: u8, generation: u32, read: u32 },
    /// A replica wanted to be told the time.
    Tick { node: u8, generation: u32 },
    /// A process starts.
    Start { node: u8, generation: u32 },
    /// A machine whose process was killed loses power too.
    PowerLoss { node: u8 },
    /// A client's request reaches a node.
    Request { id: u32 },
    /// A node's answer reaches a client.
    Reply { id: u32 },
    /// A client's timer.
    Client { client: u32, token: u32 },
    /// A fault of the schedule begins.
    FaultBegins { fault: u32 },
    /// It ends.
    FaultEnds { fault: u32 },
    /// The nodes that overtake a leader take snapshots.
    Compact { fault: u32 },
}

impl Event {
    fn number(self) -> (u64, u64) {
        match self {
            Event::Deliver { packet } => (1, packet.into()),
            Event::DiskDone { node, .. } => (2, node.into()),
            Event::Tick { node, .. } => (3, node.into()),
            Event::Start { node, .. } => (4, node.into()),
            Event::PowerLoss { node } => (5, node.into()),
            Event::Request { id } => (6, id.into()),
            Event::Reply { id } => (7, id.into()),
            Event::Client { client, .. } => (8, client.into()),
            Event::FaultBegins { fault } => (9, fault.into()),
            Event::FaultEnds { fault } => (10, fault.into()),
            Event::WritingDone { node, .. } => (11, node.into()),
            Event::ReadDone { node, .. } => (12, node.into()),
            Event::Compact { fault } => (13, fault.into()),
        }
    }
}

/// What a node answers a client.
pub(crate) type OutcomeOf<S> = Outcome<
    <S as raft_core::replica::StateMachine>::Response,
    <S as raft_core::replica::StateMachine>::Answer,
>;

impl<S: Machine, W: Workload<S>> World<S, W> {
    /// A world in which everything is about to begin.
    pub(crate) fn new(setup: Setup, mut choices: Choices, prototype: S, workload: W, trace: Trace) -> Self {
        let voters = usize::from(setup.voters);
        let members: Vec<Member> = (1..=voters as u64)
            .map(|id| Member { id: NodeId(id), incarnation: Incarnation(0x100 + id) })
            .collect();
        let founding = Configuration::of_voters(members.iter().copied());
        let mut nodes = Vec::with_capacity(voters);
        for (number, member) in (0..).zip(&members) {
            nodes.push(new_node(&setup, &mut choices, number, *member, &founding));
        }
        let network = Network::new(setup.network.clone(), voters, &mut choices);
        let mut clients = Vec::new();
        for client in 0..setup.load.clients {
            let stream = choices.stream("client", client.into(), 0);
            let sessionless = choices.chance(stream, setup.load.sessionless_ppm);
            clients.push(Client::new(stream, client.into(), sessionless));
        }
        let mut world = World {
            now: 0,
            steps_at_now: 0,
            events: 0,
            queue: BinaryHeap::new(),
            planned: 0,
            fault_stream: choices.stream("fault", 0, 0),
            client_stream: choices.stream("client-network", 0, 0),
            choices,
            nodes,
            oracles: Oracles::new(&founding, &members),
            members,
            network,
            processes: clients.len() as u64,
            clients,
            requests: Slab::default(),
            replies: Slab::default(),
            workload,
            counts: Counts::default(),
            watch: Watch::new(voters),
            fingerprint: Fingerprint::default(),
            trace,
            phase: Phase::Chaos,
            prototype,
            violation: None,
            setup,
        };
        world.plan_beginnings();
        world
    }

    fn plan_beginnings(&mut self) {
        for node in 0..self.nodes.len() {
            self.plan(0, Event::Start { node: node as u8, generation: 0 });
        }
        for client in 0..self.clients.len() {
            let stream = self.clients[client].stream;
            let at = self.choices.below(stream, self.setup.load.think + 1);
            self.plan(at, Event::Client { client: client as u32, token: 0 });
        }
        for fault in 0..self.setup.faults.len() {
            self.plan(self.setup.faults[fault].at, Event::FaultBegins { fault: fault as u32 });
        }
    }

    fn plan(&mut self, at: u64, event: Event) {
        self.planned += 1;
        self.queue.push(Reverse(Planned { at: at.max(self.now), sequence: self.planned, event }));
    }

    /// Whether the chaos should end.
    pub(crate) fn is_chaos_over(&self) -> bool {
        self.events >= self.setup.events || self.now >= self.setup.horizon
    }

    /// Handles the next event. False: there is none.
    ///
    /// # Errors
    /// An oracle spoke.
    pub(crate) fn step(&mut self) -> Result<bool, Failure> {
        let Some(Reverse(planned)) = self.queue.pop() else { return Ok(false) };
        assert!(planned.at >= self.now, "time never goes back");
        self.steps_at_now = if planned.at == self.now { self.steps_at_now + 1 } else { 0 };
        if self.steps_at_now > STEPS_AT_ONCE_MAX {
            let what =
                format!("{STEPS_AT_ONCE_MAX} events at one moment: a node asks for ticks that do nothing");
            return Err(Failure::new(FailureKind::Liveness, "busy-loop", what));
        }
        self.now = planned.at;
        self.handle(planned.event)?;
        Ok(true)
    }

    fn handle(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Deliver { packet } => self.deliver(packet),
            Event::DiskDone { node, generation } => self.disk_done(node.into(), generation, event),
            Event::WritingDone { node, generation } => self.writing_done(node.into(), generation, event),
            Event::ReadDone { node, generation, read } => {
                self.read_done(node.into(), generation, read, event)
            }
            Event::Tick { node, generation } => self.tick(node.into(), generation, event),
            Event::Start { node, generation } => {
                if self.nodes[usize::from(node)].generation != generation {
                    return Ok(());
                }
                self.count_event(event, 0);
                self.start(node.into())
            }
            Event::PowerLoss { node } => {
                self.count_event(event, 0);
                self.late_power_loss(node.into())
            }
            Event::Request { id } => self.request_arrives(id, event),
            Event::Reply { id } => {
                self.count_event(event, 0);
                self.reply_arrives(id);
                Ok(())
            }
            Event::Client { client, token } => {
                if self.clients[client as usize].token == token {
                    self.count_event(event, token.into());
                    self.client_timer(client as usize);
                }
                Ok(())
            }
            Event::FaultBegins { fault } => {
                self.count_event(event, 0);
                self.fault_begins(fault)
            }
            Event::FaultEnds { fault } => {
                self.count_event(event, 0);
                self.network.mend(fault);
                Ok(())
            }
            Event::Compact { fault } => {
                self.count_event(event, 0);
                self.compact(fault)
            }
        }
    }

    /// Every event that has an effect passes here once.
    fn count_event(&mut self, event: Event, payload: u64) {
        let (kind, subject) = event.number();
        self.events += 1;
        self.fingerprint.add(kind << 56 ^ subject << 40 ^ self.now);
        self.fingerprint.add(payload);
    }

    /// Writes a line of the trace, if there is one.
    fn say(&mut self, node: Option<usize>, kind: &str, message: impl FnOnce() -> String) {
        if self.trace.is_on() {
            self.trace.note_bytes_asked(self.choices.bytes_asked());
            self.trace.add(self.events, self.now, node, kind, &message());
        }
    }

    /// A paused node gets its events when it goes on. True: it was put off.
    fn put_off(&mut self, node: usize, event: Event) -> bool {
        let until = self.nodes[node].condition.paused_until;
        if self.now < until {
            self.counts.add(Effect::Pauses);
            self.plan(until, event);
        }
        self.now < until
    }

    fn deliver(&mut self, id: u32) -> Result<(), Failure> {
        let event = Event::Deliver { packet: id };
        let to = usize::from(self.network.packet(id).to);
        if !self.nodes[to].is_down() && self.put_off(to, event) {
            return Ok(());
        }
        match self.network.arrive(self.now, id, &mut self.counts) {
            Arrival::Held(until) => {
                self.plan(until, event);
                return Ok(());
            }
            Arrival::Dropped(effect) => {
                self.counts.add(effect);
                self.network.release(id);
                return Ok(());
            }
            Arrival::Delivered => {}
        }
        let digest = xxh3_64(&self.network.packet(id).bytes);
        self.count_event(event, digest);
        let piece_from = self.hand_over(to, id)?;
        self.network.release(id);
        self.drain(to)?;
        match piece_from {
            Some(from) => self.crash_in_transfer(from, to),
            None => Ok(()),
        }
    }

    /// A datagram reaches a process. The sender, if it was a piece of a long transfer.
    fn hand_over(&mut self, to: usize, id: u32) -> Result<Option<usize>, Failure> {
        let World { network, nodes, counts, trace, oracles, watch, choices, .. } = self;
        let packet = network.packet(id);
        let from = usize::from(packet.from);
        let boot_now = nodes[usize::from(packet.from)].generation;
        let node = &mut nodes[to];
        let now = node.clock.at(self.now);
        let Some(running) = node.running_mut() else {
            counts.add(Effect::DroppedDown);
            return Ok(None);
        };
        counts.add(Effect::Delivered);
        if packet.duplicate {
            counts.add(Effect::DuplicateDelivered);
        }
        if packet.generation != boot_now {
            counts.add(Effect::EarlierBoot);
        }
        let decoded = running.decoder.handle_datagram(now, &packet.bytes);
        let envelope = match decoded {
            Err(_) if packet.corrupted => {
                counts.add(Effect::CorruptRefused);
                return Ok(None);
            }
            Ok(_) if packet.corrupted => {
                let what = format!("n{} took a datagram with a flipped bit", to + 1);
                return Err(Failure::new(FailureKind::Invariant, "wire-checksum", what));
            }
            // Pieces of two boots may contradict each other.
            Err(_) => {
                counts.add(Effect::Violations);
                return Ok(None);
            }
            Ok(None) => return Ok(None),
            Ok(Some(envelope)) => envelope,
        };
        counts.add(Effect::Messages);
        oracles.delivered(to, &envelope);
        if trace.is_on() {
            let line = format!("from {}: {:?}", envelope.from, envelope.message);
            trace.note_bytes_asked(choices.bytes_asked());
            trace.add(self.events, self.now, Some(to), "receive", &line);
        }
        let raft = running.replica.raft();
        watch.took_envelope(to, &envelope, raft.boot(), raft.is_leader());
        let (heard, before) = (Heard::of(&envelope), raft.status());
        let result = running.replica.handle_message(now, envelope);
        watch.took(to, &heard, &before, running.replica.raft());
        if running.replica.raft().snapshot_last().index > before.snapshot.index {
            counts.add(Effect::Installs);
        }
        if let Err(violation) = result {
            match &violation {
                Violation::Misaddressed => counts.add(Effect::MisaddressedRefused),
                // A digest is wrong where the sender's disk rotted, or where two leaders' snapshots were mixed up.
                Violation::BootWentBack { .. } => counts.add(Effect::Violations),
                Violation::Stranger(_)
                | Violation::MalformedSnapshot(_)
                | Violation::SnapshotDigest(_)
                | Violation::ImpossibleTerm(_)
                | Violation::MalformedEntries(_)
                | Violation::TwoLeaders { .. }
                | Violation::CommittedConflict { .. }
                | Violation::LeaderRewrote { .. }
                | Violation::AcknowledgedBeyondLog(_)
                | Violation::NotForTheCore => {
                    self.violation.get_or_insert_with(|| format!("n{}: {violation}", to + 1));
                }
            }
        }
        let is_piece = matches!(heard, Heard::Chunk { .. }) && self.watch.is_in_long_transfer(to);
        Ok(is_piece.then_some(from))
    }

    fn tick(&mut self, node: usize, generation: u32, event: Event) -> Result<(), Failure> {
        let (now, clock) = (self.now, self.nodes[node].clock);
        if self.nodes[node].generation != generation {
            return Ok(());
        }
        match self.nodes[node].running_mut() {
            Some(running) if running.tick_at == Some(now) => {}
            // Planned before an earlier one was, or put off.
            Some(_) | None => return Ok(()),
        }
        if self.put_off(node, event) {
            let until = self.nodes[node].condition.paused_until;
            if let Some(running) = self.nodes[node].running_mut() {
                running.tick_at = Some(until);
            }
            return Ok(());
        }
        let Some(running) = self.nodes[node].running_mut() else { return Ok(()) };
        running.tick_at = None;
        let due = running.replica.next_tick().is_some_and(|due| due <= clock.at(now));
        if due {
            let before = running.replica.status();
            running.replica.tick(clock.at(now));
            self.watch.ticked(&before, &running.replica.status());
            self.count_event(event, 0);
        }
        self.drain(node)
    }

    /// The bytes on the disks, for the oracles' last look.
    pub(crate) fn disks(&self) -> Vec<&VirtualDisk> {
        self.nodes.iter().map(|node| &node.disk).collect()
    }
}

fn new_node<S: Machine>(
    setup: &Setup,
    choices: &mut Choices,
    number: u64,
    member: Member,
    founding: &Configuration,
) -> Node<S> {
    let disk_stream = choices.stream("disk", number, 0);
    let offset = choices.below(disk_stream, 1 << 40);
    let ppm = setup.clock_ppm.get(number as usize).copied().unwrap_or(0);
    let mut disk = VirtualDisk::default();
    let identity = Identity { cluster: ClusterId(setup.seed | 1), epoch: Epoch(0), member };
    for op in raft_core::journal::initialise(identity, founding) {
        let done = disks::perform(&mut disk, &op);
        done.expect("a fresh disk takes what initialising asks for");
    }
    Node {
        disk,
        clock: Clock::new(offset, ppm),
        disk_stream,
        crash_stream: choices.stream("crash", number, 0),
        generation: 0,
        process: Process::Down,
        job: None,
        condition: Condition::default(),
        damaged: false,
        rot_unread: false,
        abstained: false,
        clearing: 0,
        started: false,
    }
}

/// Things by small numbers, which are used again.
#[derive(Clone, Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    pub(crate) fn insert(&mut self, item: T) -> u32 {
        if let Some(id) = self.free.pop() {
            self.slots[id as usize] = Some(item);
            return id;
        }
        self.slots.push(Some(item));
        u32::try_from(self.slots.len() - 1).expect("far fewer are on their way at a time")
    }

    pub(crate) fn get(&self, id: u32) -> Option<&T> {
        self.slots.get(id as usize)?.as_ref()
    }

    pub(crate) fn remove(&mut self, id: u32) -> Option<T> {
        let item = self.slots.get_mut(id as usize)?.take();
        if item.is_some() {
            self.free.push(id);
        }
        item
    }
}
