//! The second phase: a quorum is healed, all other faults become permanent, and then it must go on.
//!
//! Within a bound there is a leader, new writes commit, every request is answered, every key can be read, and the logs
//! of the core are equal. Faults outside of the core never end: a node there is down, cut off, deaf or mute.

use raft_core::RoleName;

use super::{Event, World};
use crate::counts::Effect;
use crate::failure::{Failure, FailureKind};
use crate::machine::Machine;
use crate::node::Condition;
use crate::schedule::nodes_of;
use crate::workload::Workload;

/// Where a run is.
#[derive(Clone, Debug)]
pub(crate) enum Phase {
    /// Anything may happen.
    Chaos,
    /// The core is whole.
    Closing {
        /// Its nodes, as bits.
        core: u16,
        /// When everything must be as it should.
        deadline: u64,
        /// When it began.
        since: u64,
    },
}

/// The bound, in election timeouts. Half of all runs need two, one in a hundred needs fifteen.
const TIMEOUTS_MAX: u64 = 100;

impl<S: Machine, W: Workload<S>> World<S, W> {
    pub(super) fn is_closing(&self) -> bool {
        matches!(self.phase, Phase::Closing { .. })
    }

    /// The nodes that clients speak to.
    pub(super) fn reachable(&self) -> u16 {
        match self.phase {
            Phase::Chaos => (1u16 << self.nodes.len()) - 1,
            Phase::Closing { core, .. } => core,
        }
    }

    /// How long the second phase took so far, in hundredths of an election timeout.
    pub(crate) fn closing_took(&self) -> u64 {
        match self.phase {
            Phase::Chaos => 0,
            Phase::Closing { since, .. } => (self.now - since) * 100 / self.setup.settings.election_timeout,
        }
    }

    /// Ends the chaos.
    ///
    /// # Errors
    /// An oracle spoke.
    pub(crate) fn heal(&mut self) -> Result<(), Failure> {
        let core = self.draw_core();
        let entries =
            self.nodes.iter().filter_map(|node| Some(node.running()?.replica.status().last.index.0));
        let entries = entries.max().unwrap_or(0).max(self.oracles.committed().0);
        let timeout = self.setup.settings.election_timeout;
        // With the smallest window a follower that lacks the whole log gets an entry a round trip.
        let network = &self.setup.network;
        let round_trip = 2 * (network.latency + network.jitter) * network.asymmetry.max(1);
        let entry = round_trip + 8 * (self.setup.disk.sync_latency + self.setup.disk.write_latency);
        let deadline = self.now + timeout * TIMEOUTS_MAX + entries * entry;
        self.say(None, "heal", || {
            let names: Vec<String> = nodes_of(core).map(|node| format!("n{}", node + 1)).collect();
            format!("the core is {}", names.join(" "))
        });
        self.phase = Phase::Closing { core, deadline, since: self.now };
        self.network.heal(core);
        for node in 0..self.nodes.len() {
            if core >> node & 1 == 1 {
                self.heal_node(node)?;
            } else {
                self.abandon(node, core);
            }
        }
        self.wake_clients();
        Ok(())
    }

    /// A quorum of voters that hold what they promised, perhaps more, and perhaps some that are being repaired.
    fn draw_core(&mut self) -> u16 {
        let stream = self.fault_stream;
        let mut whole: Vec<usize> = (0..self.nodes.len()).filter(|node| !self.nodes[*node].damaged).collect();
        let quorum = self.nodes.len() / 2 + 1;
        let size = self.choices.between(stream, quorum.min(whole.len()) as u64, whole.len() as u64);
        let mut core = 0u16;
        for _ in 0..size {
            let place = self.choices.below(stream, whole.len() as u64) as usize;
            core |= 1 << whole.swap_remove(place);
        }
        for node in 0..self.nodes.len() {
            if self.nodes[node].damaged && self.choices.below(stream, 2) == 1 {
                core |= 1 << node;
            }
        }
        if (core.count_ones() as usize) < self.nodes.len() {
            self.counts.add(Effect::CoreSmallerThanCluster);
        }
        core
    }

    fn heal_node(&mut self, node: usize) -> Result<(), Failure> {
        self.nodes[node].condition = Condition::default();
        let generation = self.nodes[node].generation;
        if self.nodes[node].is_down() {
            self.plan(self.now, Event::Start { node: node as u8, generation });
        }
        // What the pause or the stall put off is planned already, and comes late.
        self.drain(node)
    }

    /// A node outside of the core stays as bad as it is, or worse.
    fn abandon(&mut self, node: usize, core: u16) {
        let others: Vec<usize> = nodes_of(core).collect();
        let stream = self.fault_stream;
        let (deaf, mute) = match self.choices.below(stream, 4) {
            0 => (true, true),
            1 => (true, false),
            2 => (false, true),
            _ => {
                self.nodes[node].condition.abandoned = true;
                (true, true)
            }
        };
        for other in others {
            if deaf {
                self.network.sever(other, node);
            }
            if mute {
                self.network.sever(node, other);
            }
        }
    }

    /// Whether everything is as it must be.
    ///
    /// # Errors
    /// The time is up.
    pub(crate) fn is_settled(&self) -> Result<bool, Failure> {
        let Phase::Closing { core, deadline, .. } = self.phase else { return Ok(false) };
        if self.now > deadline {
            return Err(Failure::new(FailureKind::Liveness, "liveness", self.what_is_missing(core)));
        }
        Ok(self.all_clients_finished() && self.is_core_equal(core))
    }

    fn is_core_equal(&self, core: u16) -> bool {
        let mut leaders = 0;
        let mut seen = None;
        for node in nodes_of(core) {
            let Some(running) = self.nodes[node].running() else { return false };
            let replica = &running.replica;
            let status = replica.status();
            let quiet = status.commit == status.last.index && replica.applied() == status.commit;
            if status.abstaining || !quiet || !replica.pending().is_empty() {
                return false;
            }
            leaders += u32::from(status.role == RoleName::Leader);
            let state = (status.last, status.term);
            if *seen.get_or_insert(state) != state {
                return false;
            }
        }
        leaders == 1
    }

    fn what_is_missing(&self, core: u16) -> String {
        let mut parts = Vec::new();
        for node in nodes_of(core) {
            let what = match self.nodes[node].running() {
                None => "not running".to_owned(),
                Some(running) => {
                    let status = running.replica.status();
                    let pending = running.replica.pending().len();
                    format!(
                        "{:?} in {}, leader {:?}, last {}, commit {}, applied {}, abstaining {}, {pending} pending",
                        status.role,
                        status.term,
                        status.leader,
                        status.last,
                        status.commit,
                        running.replica.applied(),
                        status.abstaining,
                    )
                }
            };
            parts.push(format!("n{}: {what}", node + 1));
        }
        let clients = self.unfinished_clients();
        format!("not settled in time: {}; {clients}", parts.join("; "))
    }

    /// Everything left to say when the run is over.
    ///
    /// # Errors
    /// An oracle, the history, or a report of a core that nobody else explained.
    pub(crate) fn finish(&mut self) -> Result<(), Failure> {
        let disks = self.disks();
        self.oracles.finish(&disks)?;
        let witnessed = self.workload.verdict()?;
        self.counts.add_many(Effect::ReadsOfOthers, witnessed.reads_of_others);
        match self.violation.take() {
            Some(what) => Err(Failure::new(FailureKind::Invariant, "violation", what)),
            None => Ok(()),
        }
    }
}
