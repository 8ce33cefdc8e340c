//! The world: one queue of events, ordered by time and then by when they were planned.
//!
//! ```text
//!   deliver | disk operation done | tick due | request, answer, client's timer | fault begins, ends
//! ```
//!
//! Nothing happens between two events, so idle time costs nothing. What each event does is in the file of its subject.

mod actions;
mod aimed;
pub(crate) mod answers;
mod clients;
mod datagrams;
mod disks;
mod elections;
mod events;
mod faults;
mod foreign;
pub(crate) mod headway;
mod lifecycle;
mod liveness;
pub(crate) mod office;
mod receiving;
mod rot;
mod slab;
mod snapshots;
mod waste;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use raft_core::{Configuration, Incarnation, Member, NodeId};

use crate::choices::{Choices, Stream};
use crate::client::Client;
use crate::counts::{Counts, Effect};
use crate::disk::VirtualDisk;
use crate::failure::{Failure, FailureKind};
use crate::machine::Machine;
use crate::marks::Watch;
use crate::measures::Measures;
use crate::network::Network;
use crate::node::Node;
use crate::oracle::Oracles;
use crate::schedule::FaultKind;
use crate::swarm::Setup;
use crate::trace::{Fingerprint, Trace};
use crate::workload::Workload;

use aimed::Again;
use clients::{Reply, Request};
use elections::Elections;
use events::{Event, Planned};
use liveness::Phase;
use slab::Slab;
use waste::Waste;

/// Events at one moment: a burst of clients makes some hundreds, and more than this is a loop.
const STEPS_AT_ONCE_MAX: u64 = 100_000;
/// What waited for a paused process reaches it within so many microseconds.
const WAKE_SPREAD: u64 = 4;

/// Everything there is in a run. A clone goes on exactly as the original does.
#[derive(Clone, Debug)]
pub(crate) struct World<S: Machine, W> {
    setup: Setup,
    /// Virtual time, in microseconds.
    pub(crate) now: u64,
    /// Events so far at this moment.
    steps_at_now: u64,
    /// Events handled.
    pub(crate) events: u64,
    queue: BinaryHeap<Reverse<Planned>>,
    /// Events planned so far.
    planned: u64,
    choices: Choices,
    /// For faults that must pick something when they strike.
    fault_stream: Stream,
    /// For the order in which a paused process meets what waited for it.
    wake_stream: Stream,
    /// For what another cluster says.
    foreign_stream: Stream,
    /// The fault that made a node's clock slow, and the node.
    slow_clock: Option<(u32, usize)>,
    /// The leader whose old answers are to come again.
    old_answers: Option<Again>,
    /// For answers on their way to clients.
    client_stream: Stream,
    nodes: Vec<Node<S>>,
    /// By node, who it is in messages.
    members: Vec<Member>,
    network: Network,
    clients: Vec<Client<S>>,
    /// Names that clients have had in the history so far.
    processes: u64,
    /// Requests on their way to nodes.
    requests: Slab<Request<S>>,
    /// Answers on their way to clients.
    replies: Slab<Reply<S>>,
    workload: W,
    oracles: Oracles,
    pub(crate) counts: Counts,
    pub(crate) watch: Watch,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) trace: Trace,
    phase: Phase,
    elections: Elections,
    waste: Waste,
    pub(crate) measures: Measures,
    /// The empty state machine, with which each process begins.
    prototype: S,
    /// When a fault last struck anybody; with those that last, when it ends.
    struck: u64,
    /// The longest time for which somebody who was well stood still, in hundredths of the bound.
    pub(crate) longest_still: u64,
    /// What a core said of a peer that can't be, if no oracle saw it.
    violation: Option<String>,
}

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
            nodes.push(Node::new(&setup, &mut choices, number, *member, &founding));
        }
        let keeps = setup.faults.iter().any(|fault| fault.what == FaultKind::OldAnswers);
        let network = Network::new(setup.network.clone(), voters, keeps, &mut choices);
        let mut clients = Vec::new();
        for client in 0..setup.load.clients {
            let stream = choices.stream("client", client.into(), 0);
            let sessionless = choices.chance(stream, setup.load.sessionless_ppm);
            let sticks = choices.chance(stream, setup.load.sticking_ppm);
            let mut one = Client::new(stream, client.into(), sessionless, sticks);
            if sticks {
                one.node = choices.below(stream, voters as u64) as usize;
            }
            clients.push(one);
        }
        let mut world = World {
            now: 0,
            steps_at_now: 0,
            events: 0,
            queue: BinaryHeap::new(),
            planned: 0,
            fault_stream: choices.stream("fault", 0, 0),
            wake_stream: choices.stream("wake", 0, 0),
            foreign_stream: choices.stream("foreign", 0, 0),
            slow_clock: None,
            old_answers: None,
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
            elections: Elections::default(),
            waste: Waste::default(),
            measures: Measures::default(),
            prototype,
            struck: 0,
            longest_still: 0,
            violation: None,
            setup,
        };
        world.plan_beginnings();
        world
    }

    /// What outlives it: the source of decisions, and what was written down.
    pub(crate) fn into_records(self) -> (Choices, Trace) {
        (self.choices, self.trace)
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
            Event::ReceivingDone { node, generation } => self.receiving_done(node.into(), generation, event),
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
                self.end_slow_clock(fault)
            }
            Event::FaultGoesOn { fault } => {
                self.count_event(event, 0);
                self.old_answers_go_on(fault)
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
            let asked = self.choices.bytes_asked();
            self.trace.add((self.events, self.now), node, kind, &message(), asked);
        }
    }

    /// A paused node gets its events when it goes on, in any order: a process that wakes finds its timers, its socket and
    /// its clients at once. Until when the event was put off, if it was.
    fn put_off(&mut self, node: usize, event: Event) -> Option<u64> {
        let until = self.nodes[node].condition.paused_until;
        if self.now >= until {
            return None;
        }
        self.counts.add(Effect::Pauses);
        let at = until + self.choices.below(self.wake_stream, WAKE_SPREAD);
        self.plan(at, event);
        Some(at)
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
        if let Some(until) = self.put_off(node, event) {
            if let Some(running) = self.nodes[node].running_mut() {
                running.tick_at = Some(until);
            }
            return Ok(());
        }
        let Some(running) = self.nodes[node].running_mut() else { return Ok(()) };
        running.tick_at = None;
        // As a host does whose disk has been idle for a while.
        let sealed_at = running.seal_from.map(|from| from + self.setup.settings.election_timeout);
        if sealed_at.is_some_and(|at| at <= now) {
            running.seal_from = None;
            running.replica.seal();
            self.counts.add(Effect::Seals);
        }
        let is_set_back = std::mem::take(&mut running.is_set_back);
        let due = is_set_back || running.replica.next_tick().is_some_and(|due| due <= clock.at(now));
        if due {
            let before = running.replica.status();
            running.replica.tick(clock.at(now));
            self.watch.ticked(&before, &running.replica.status());
            self.count_event(event, 0);
        }
        self.drain(node)
    }

    /// The bytes on the disks, for the oracles' last look.
    fn disks(&self) -> Vec<&VirtualDisk> {
        self.nodes.iter().map(|node| &node.disk).collect()
    }
}
