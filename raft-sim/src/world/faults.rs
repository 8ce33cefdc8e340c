//! Faults of the schedule strike.

use super::clients::NOBODY;
use super::lifecycle::Crash;
use super::{Event, World};
use crate::counts::Effect;
use crate::failure::Failure;
use crate::machine::Machine;
use crate::node::{Condition, Running};
use crate::schedule::{FaultKind, Shape, Target, nodes_of};
use crate::workload::Workload;

/// A leader that is to be overtaken is asked for so many sessions, by clients that go away: its tail.
const TAIL: usize = 40;
/// While a leader is overtaken, the others are asked for snapshots so often.
const COMPACTIONS: u64 = 40;

impl<S: Machine, W: Workload<S>> World<S, W> {
    /// A fault of the schedule strikes, unless the run is closing.
    pub(super) fn fault_begins(&mut self, number: u32) -> Result<(), Failure> {
        if self.is_closing() {
            return Ok(());
        }
        let fault = self.setup.faults[number as usize].clone();
        let until = self.now + fault.duration;
        self.struck = self.struck.max(until);
        let down = Some(fault.duration);
        self.say(None, "fault", || format!("{:?} for {} us", fault.what, fault.duration));
        match fault.what {
            FaultKind::Kill(target) => self.crash_all(target, Crash::Kill { down })?,
            FaultKind::PowerLoss(target) => self.crash_all(target, Crash::PowerLoss { down })?,
            FaultKind::KillThenPowerLoss(target) => {
                for node in self.targets(target) {
                    self.crash(node, Crash::Kill { down })?;
                    self.plan(self.now + fault.duration / 2, Event::PowerLoss { node: node as u8 });
                }
            }
            FaultKind::ClusterPowerLoss => {
                self.counts.add(Effect::ClusterPowerLoss);
                self.crash_all(Target::Nodes(u16::MAX), Crash::PowerLoss { down })?;
            }
            FaultKind::Pause(target) => self.each(target, |condition| condition.paused_until = until),
            FaultKind::Slow(target, factor) => {
                self.counts.add(Effect::SlowNodes);
                self.each(target, |condition| {
                    (condition.slow_until, condition.slow_factor) = (until, factor);
                });
            }
            FaultKind::ClockJump(target, by) => {
                for node in self.targets(target) {
                    self.counts.add(Effect::ClockJumps);
                    self.nodes[node].clock.jump(by);
                    self.excuse_office(node);
                    // Whatever was planned by the old clock is late now.
                    self.drain(node)?;
                }
            }
            FaultKind::ClockBack(target, by) => {
                let now = self.now;
                for node in self.targets(target) {
                    let by = self.nodes[node].clock.set_back(now, by);
                    if by > 0 {
                        self.notice_set_back(node, by);
                    }
                }
            }
            FaultKind::DiskStall(target) => self.each(target, |condition| condition.stalled_until = until),
            FaultKind::SyncError(target) => self.each(target, |condition| condition.sync_error = true),
            FaultKind::WriteError(target) => self.each(target, |condition| condition.write_error = true),
            FaultKind::DiskFull(target) => self.each(target, |condition| condition.full_until = until),
            FaultKind::ReadErrors(target, ppm) => self.each(target, |condition| {
                (condition.unread_until, condition.unread_ppm) = (until, ppm);
            }),
            FaultKind::Rot(target, pick) => self.rot(target, pick, fault.duration)?,
            FaultKind::RotUnnoticed(target, pick) => self.rot_unnoticed(target, pick),
            FaultKind::Snapshot(target) => {
                for node in self.targets(target) {
                    self.ask_for_snapshot(node)?;
                }
            }
            FaultKind::Overtake => self.overtake(number, fault.duration)?,
            FaultKind::StaleLeader(how) => self.deceive(number, how, fault.duration)?,
            FaultKind::OldAnswers => self.begin_old_answers(number, fault.duration)?,
            FaultKind::Partition { shape, cut, messages } => {
                self.network.cut(number, shape, self.cut_of(shape, cut), messages);
                self.plan(until, Event::FaultEnds { fault: number });
            }
            FaultKind::Hold { from, messages } => self.network.hold(self.now, from, messages, until),
            FaultKind::Clog { from, to } => {
                let nodes = self.nodes.len();
                if usize::from(from) < nodes && usize::from(to) < nodes {
                    self.network.clog(from.into(), to.into(), until);
                }
            }
        }
        Ok(())
    }

    /// The nodes that a fault means now.
    pub(super) fn targets(&self, target: Target) -> Vec<usize> {
        match target {
            Target::Nodes(mask) => nodes_of(mask).filter(|node| *node < self.nodes.len()).collect(),
            Target::Leader => vec![self.leader().unwrap_or(self.now as usize % self.nodes.len())],
        }
    }

    /// Who leads, in the highest term if several think so.
    pub(super) fn leader(&self) -> Option<usize> {
        let term = |node: usize| {
            let running = self.nodes[node].running().filter(|running| running.leads)?;
            Some(running.replica.raft().term())
        };
        (0..self.nodes.len()).filter(|node| term(*node).is_some()).max_by_key(|node| term(*node))
    }

    fn crash_all(&mut self, target: Target, crash: Crash) -> Result<(), Failure> {
        for node in self.targets(target) {
            self.crash(node, crash)?;
        }
        Ok(())
    }

    fn each(&mut self, target: Target, change: impl Fn(&mut Condition)) {
        for node in self.targets(target) {
            change(&mut self.nodes[node].condition);
        }
    }

    /// The cut of a partition; where it is the leader's, of whoever leads now.
    fn cut_of(&self, shape: Shape, cut: Vec<u16>) -> Vec<u16> {
        if !matches!(shape, Shape::Leader | Shape::Overtake) || !cut.is_empty() {
            return cut;
        }
        let leader = self.targets(Target::Leader)[0];
        let all = (1u16 << self.nodes.len()) - 1;
        let alone = 1u16 << leader;
        (0..self.nodes.len()).map(|node| if node == leader { all & !alone } else { alone }).collect()
    }

    /// The leader is cut off with a tail, and the others compact until it can't be brought back but by a snapshot.
    fn overtake(&mut self, number: u32, duration: u64) -> Result<(), Failure> {
        let cut = self.cut_of(Shape::Overtake, Vec::new());
        let alone = (0..cut.len()).find(|node| cut[*node].count_ones() > 1);
        self.network.cut(number, Shape::Overtake, cut, u32::MAX);
        if let Some(alone) = alone {
            // Half of the time its disk stalls too, so that the tail is still on its way there when the snapshot comes.
            if self.choices.below(self.fault_stream, 2) == 1 {
                let until = self.now + 2 * duration;
                self.nodes[alone].condition.stalled_until = until;
                self.struck = self.struck.max(until);
            }
            self.grow_tail(alone)?;
        }
        for step in 1..=COMPACTIONS {
            let at = self.now + duration * step / (COMPACTIONS + 1);
            self.plan(at, Event::Compact { fault: number });
        }
        self.plan(self.now + duration, Event::FaultEnds { fault: number });
        Ok(())
    }

    /// Entries that will not be committed, unless the node is no leader after all.
    pub(super) fn grow_tail(&mut self, node: usize) -> Result<(), Failure> {
        if self.now < self.nodes[node].condition.paused_until {
            return Ok(());
        }
        let now = self.nodes[node].clock.at(self.now);
        if let Some(running) = self.nodes[node].running_mut().filter(|running| running.leads) {
            for _ in 0..TAIL {
                let ticket = running.replica.open_session(now);
                running.tickets.insert(ticket, (NOBODY, 0));
            }
        }
        self.drain(node)
    }

    /// The nodes that a cut leader does not reach take snapshots. As soon as what it lacks is nowhere but in a
    /// snapshot, the cut ends: later its tail would be the shorter one.
    pub(super) fn compact(&mut self, fault: u32) -> Result<(), Failure> {
        let others: Vec<usize> =
            (0..self.nodes.len()).filter(|node| self.network.is_one_of_many(fault, *node)).collect();
        if self.is_closing() || others.is_empty() {
            return Ok(());
        }
        for node in &others {
            self.ask_for_snapshot(*node)?;
        }
        let status = |node: usize| Some(self.nodes[node].running()?.replica.status());
        let alone = (0..self.nodes.len()).find(|node| !others.contains(node)).and_then(status);
        let leader = self.leader().filter(|leader| others.contains(leader)).and_then(status);
        if let (Some(alone), Some(leader)) = (alone, leader)
            && leader.log_start > alone.commit.next()
        {
            self.network.mend(fault);
        }
        Ok(())
    }

    /// A host asks for a snapshot of its own accord.
    fn ask_for_snapshot(&mut self, node: usize) -> Result<(), Failure> {
        let is_writing = |running: &Running<S>| running.writing.is_some();
        if self.nodes[node].running().is_none_or(is_writing)
            || self.now < self.nodes[node].condition.paused_until
        {
            return Ok(());
        }
        if let Some(running) = self.nodes[node].running_mut() {
            running.replica.take_snapshot();
        }
        self.drain(node)?;
        if self.nodes[node].running().is_some_and(is_writing) {
            self.counts.add(Effect::SnapshotsAsked);
        }
        Ok(())
    }
}
