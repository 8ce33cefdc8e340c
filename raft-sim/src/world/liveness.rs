//! The second phase: a quorum is healed, all other faults become permanent, and then it must go on.
//!
//! It has three stages, and the first two a bound each:
//! 1. nobody asks for anything new: there is a leader, the logs of the core are equal, committed and applied. What only a
//!    later write would put right is found here;
//! 2. clients go on: every request is answered, new writes commit, every key can be read, the logs are equal again;
//! 3. nobody asks for anything new: leader and term stay, and everyone in the core follows that leader.
//!
//! Faults outside of the core never end: a node there is down, cut off, deaf or mute.

use std::cmp::Reverse;

use raft_core::{RoleName, Term};

use super::{Event, Planned, World};
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
        stage: Stage,
        /// When it began.
        since: u64,
    },
}

/// How far the second phase is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stage {
    /// Clients are silent; the core must agree by the deadline.
    Resting { deadline: u64 },
    /// Clients go on, and must be done by the deadline.
    Asking { deadline: u64 },
    /// Clients are done, and the links have calmed down. From then on nothing that was lost before can cost a leader its office.
    Calming { from: u64, deadline: u64 },
    /// Clients are done; until then the leader must stay.
    Staying { until: u64, reign: Reign },
}

/// Who leads, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reign {
    leader: usize,
    term: Term,
}

#[cfg(test)]
impl Reign {
    pub(super) fn of(leader: usize, term: u64) -> Reign {
        Reign { leader, term: Term(term) }
    }
}

/// The bound of the first two stages, in election timeouts. Together they need two in half of all runs, and fifteen in
/// one of a hundred.
const TIMEOUTS_MAX: u64 = 100;

/// Between the last loss and the third stage, in election timeouts: whoever has to give way for what was lost does so by then.
const CALM_TIMEOUTS: u64 = 2;

/// The third stage, in election timeouts: longer than the longest time to an election.
const STAY_TIMEOUTS: u64 = 4;

impl<S: Machine, W: Workload<S>> World<S, W> {
    pub(super) fn is_closing(&self) -> bool {
        matches!(self.phase, Phase::Closing { .. })
    }

    /// Whether clients ask for nothing, whatever they have to do.
    pub(super) fn are_clients_silent(&self) -> bool {
        matches!(self.phase, Phase::Closing { stage: Stage::Resting { .. }, .. })
    }

    /// The nodes that clients speak to.
    pub(super) fn reachable(&self) -> u16 {
        match self.phase {
            Phase::Chaos => (1u16 << self.nodes.len()) - 1,
            Phase::Closing { core, .. } => core,
        }
    }

    /// How long the first two stages of the second phase took so far, in hundredths of an election timeout.
    pub(crate) fn closing_took(&self) -> u64 {
        let timeout = self.setup.settings.election_timeout;
        let end = match self.phase {
            Phase::Closing { stage: Stage::Staying { until, .. }, .. } => {
                until - (CALM_TIMEOUTS + STAY_TIMEOUTS) * timeout
            }
            Phase::Chaos | Phase::Closing { .. } => self.now,
        };
        match self.phase {
            Phase::Chaos => 0,
            Phase::Closing { since, .. } => (end - since) * 100 / timeout,
        }
    }

    /// Ends the chaos.
    ///
    /// # Errors
    /// An oracle spoke.
    pub(crate) fn heal(&mut self) -> Result<(), Failure> {
        let core = self.draw_core();
        self.say(None, "heal", || {
            let names: Vec<String> = nodes_of(core).map(|node| format!("n{}", node + 1)).collect();
            format!("the core is {}", names.join(" "))
        });
        let stage = Stage::Resting { deadline: self.bound() };
        self.phase = Phase::Closing { core, stage, since: self.now };
        self.network.heal(core);
        self.end_waits(core);
        for node in 0..self.nodes.len() {
            if core >> node & 1 == 1 {
                self.heal_node(node)?;
            } else {
                self.abandon(node, core);
            }
        }
        Ok(())
    }

    /// When a stage that begins now must be over.
    fn bound(&self) -> u64 {
        let entries =
            self.nodes.iter().filter_map(|node| Some(node.running()?.replica.status().last.index.0));
        let entries = entries.max().unwrap_or(0).max(self.oracles.committed().0);
        let timeout = self.setup.settings.election_timeout;
        self.now + timeout * TIMEOUTS_MAX + entries * self.entry_span()
    }

    /// From one node to another and back, with all that a link of the healed core may add.
    pub(super) fn round_trip(&self) -> u64 {
        let network = &self.setup.network;
        2 * (network.latency + network.jitter) * network.asymmetry.max(1)
    }

    /// How long an entry takes, or a piece of a snapshot. With the smallest window a follower that lacks the whole log gets
    /// one a round trip.
    pub(super) fn entry_span(&self) -> u64 {
        // It may begin a segment: that is up to six syncs, and the segment's bytes.
        let network = &self.setup.network;
        let (disk, settings) = (&self.setup.disk, &self.setup.settings);
        let bytes = settings.segment_bytes + settings.batch_bytes_max;
        let takes = |bytes: u64, rate: u64| (bytes * 1_000_000).checked_div(rate).unwrap_or(0);
        let written = disk.read_latency
            + 8 * (disk.sync_latency + disk.sync_steady + disk.write_latency)
            + takes(bytes, disk.bytes_per_second);
        let sent = takes(settings.append_bytes_max, network.bytes_per_second);
        // Of three messages one arrives (see `mild_ppm_max`), of three answers two; a loss costs what a leader waits at most.
        let noise = &network.noise;
        let vain = if noise.loss_ppm > 0 { 4 * settings.retransmit_after + noise.spike } else { 0 };
        self.round_trip() + written + sent + vain
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
        if self.nodes[node].clock.recover(self.now) {
            self.excuse_office(node);
        }
        let generation = self.nodes[node].generation;
        if self.nodes[node].is_down() {
            self.plan(self.now, Event::Start { node: node as u8, generation });
        }
        // Messages that a pause put off come late still.
        self.drain(node)
    }

    /// What a pause, a stall or slowness of a disk put off, perhaps for long, ends now.
    fn end_waits(&mut self, core: u16) {
        let now = self.now;
        let queue = std::mem::take(&mut self.queue).into_iter();
        let sooner = |Reverse(mut planned): Reverse<Planned>| {
            if planned.event.disk().is_some_and(|node| core >> node & 1 == 1) {
                planned.at = now;
            }
            Reverse(planned)
        };
        self.queue = queue.map(sooner).collect();
    }

    /// A node outside of the core stays as bad as it is, or worse.
    fn abandon(&mut self, node: usize, core: u16) {
        self.note_outside(node);
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

    /// Goes on to the next stage of the second phase if this one is over. True: so is the last.
    ///
    /// # Errors
    /// The time is up, or the core did not stay as it was.
    pub(crate) fn advance_closing(&mut self) -> Result<bool, Failure> {
        let Phase::Closing { core, stage, since } = self.phase else { return Ok(false) };
        self.check_headway(core, since)?;
        self.note_waiting(core);
        self.note_leader(core, since);
        let next = match stage {
            Stage::Resting { deadline } => {
                if self.settled(core).is_none() {
                    return self.still_waits(deadline, core, "with no new request");
                }
                Stage::Asking { deadline: self.bound() }
            }
            Stage::Asking { deadline } => match self.settled(core).filter(|_| self.all_clients_finished()) {
                None => return self.still_waits(deadline, core, "with new requests"),
                Some(_) => {
                    let from = self.now + CALM_TIMEOUTS * self.setup.settings.election_timeout;
                    Stage::Calming { from, deadline: from + self.bound() - self.now }
                }
            },
            Stage::Calming { from, deadline } => match self.settled(core) {
                None => return self.still_waits(deadline, core, "with calm links"),
                Some(_) if self.now < from => return Ok(false),
                Some(reign) => {
                    let timeout = self.setup.settings.election_timeout;
                    Stage::Staying { until: self.now + STAY_TIMEOUTS * timeout, reign }
                }
            },
            Stage::Staying { until, reign } => {
                let is_same = self.reign(core) == Some(reign);
                if !is_same && nodes_of(core).any(|node| self.is_under_repair(node)) {
                    self.phase =
                        Phase::Closing { core, stage: Stage::Asking { deadline: self.bound() }, since };
                    return Ok(false);
                }
                if !is_same {
                    let state = self.state_of(core);
                    let what =
                        format!("n{} led in {} and nothing happened: {state}", reign.leader + 1, reign.term);
                    return Err(Failure::new(FailureKind::Liveness, "idle", what));
                }
                return Ok(self.now >= until);
            }
        };
        self.phase = Phase::Closing { core, stage: next, since };
        match next {
            Stage::Resting { .. } => {}
            Stage::Asking { .. } => self.wake_clients(),
            Stage::Staying { .. } => {}
            // A later term of somebody outside would end the reign by right.
            Stage::Calming { .. } => {
                self.network.lose_strays(core);
                // Where heartbeats are lost a leader may have to give way.
                self.network.end_noise();
            }
        }
        Ok(false)
    }

    /// Whether a node found what had decayed, stopped, and is not repaired yet. It happens once for each piece of rot, and
    /// there is no new rot while the chaos is over: whoever goes back a stage for it does so a bounded number of times.
    fn is_under_repair(&self, node: usize) -> bool {
        let node = &self.nodes[node];
        node.damaged && node.running().is_none_or(|running| running.replica.status().abstaining)
    }

    /// Nothing is wrong yet, unless the time is up.
    fn still_waits(&self, deadline: u64, core: u16, how: &str) -> Result<bool, Failure> {
        if self.now <= deadline {
            return Ok(false);
        }
        let (state, clients) = (self.state_of(core), self.unfinished_clients());
        let what = format!("not settled in time {how}: {state}; {clients}");
        Err(Failure::new(FailureKind::Liveness, "liveness", what))
    }

    /// Who leads the core, if all of it says the same, and has nothing left to do.
    fn settled(&self, core: u16) -> Option<Reign> {
        let mut common = None;
        for node in nodes_of(core) {
            let replica = &self.nodes[node].running()?.replica;
            let status = replica.status();
            let is_quiet = status.commit == status.last.index && replica.applied() == status.commit;
            let is_done = replica.pending().is_empty() && replica.is_disk_idle();
            if status.abstaining || !is_quiet || !is_done {
                return None;
            }
            if *common.get_or_insert(status.last) != status.last {
                return None;
            }
        }
        self.reign(core)
    }

    /// Who leads the core, if there is one leader, and everyone follows it in its term.
    pub(super) fn reign(&self, core: u16) -> Option<Reign> {
        let status = |node: usize| Some(self.nodes[node].running()?.replica.status());
        let is_leader = |node: &usize| status(*node).is_some_and(|own| own.role == RoleName::Leader);
        let leader = nodes_of(core).find(is_leader)?;
        let term = status(leader)?.term;
        let follows = |node: usize| {
            status(node).is_some_and(|own| own.term == term && own.leader == Some(self.members[leader]))
        };
        nodes_of(core).all(follows).then_some(Reign { leader, term })
    }

    /// The nodes of the core, in words.
    pub(super) fn state_of(&self, core: u16) -> String {
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
        parts.join("; ")
    }

    /// Everything left to say when the run is over.
    ///
    /// # Errors
    /// An oracle, the history, or a report of a core that nobody else explained.
    pub(crate) fn finish(&mut self) -> Result<(), Failure> {
        let disks = self.disks();
        self.oracles.finish(&disks)?;
        self.finish_elections()?;
        self.finish_waste()?;
        let witnessed = self.workload.verdict()?;
        self.counts.add_many(Effect::ReadsOfOthers, witnessed.reads_of_others);
        match self.violation.take() {
            Some(what) => Err(Failure::new(FailureKind::Invariant, "violation", what)),
            None => Ok(()),
        }
    }
}
