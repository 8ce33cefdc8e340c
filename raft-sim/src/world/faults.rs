//! Faults of the schedule strike.

use super::lifecycle::Crash;
use super::{Event, World};
use crate::counts::Effect;
use crate::disk::SECTOR;
use crate::failure::Failure;
use crate::machine::Machine;
use crate::schedule::{FaultKind, Shape, Target, nodes_of};
use crate::workload::Workload;

/// How the files are called that may rot: the log, and one of the two copies of the hard state. (Who damages both
/// copies takes away what no node can do without; that refusal has tests of its own.)
const SEGMENTS: &str = "segment-";
const SNAPSHOTS: &str = "snapshot-";
const HARD_STATE_COPIES: [&str; 2] = ["hard-state-a", "hard-state-b"];

impl<S: Machine, W: Workload<S>> World<S, W> {
    pub(super) fn fault_begins(&mut self, number: u32) -> Result<(), Failure> {
        if self.is_closing() {
            return Ok(());
        }
        let fault = self.setup.faults[number as usize].clone();
        let until = self.now + fault.duration;
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
                    // Whatever was planned by the old clock is late now.
                    self.drain(node)?;
                }
            }
            FaultKind::DiskStall(target) => self.each(target, |condition| condition.stalled_until = until),
            FaultKind::SyncError(target) => self.each(target, |condition| condition.sync_error = true),
            FaultKind::WriteError(target) => self.each(target, |condition| condition.write_error = true),
            FaultKind::DiskFull(target) => self.each(target, |condition| condition.full_until = until),
            FaultKind::Rot(target, pick) => self.rot(target, pick, fault.duration)?,
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

    fn targets(&self, target: Target) -> Vec<usize> {
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

    fn each(&mut self, target: Target, change: impl Fn(&mut crate::node::Condition)) {
        for node in self.targets(target) {
            change(&mut self.nodes[node].condition);
        }
    }

    fn cut_of(&self, shape: Shape, cut: Vec<u16>) -> Vec<u16> {
        if shape != Shape::Leader || !cut.is_empty() {
            return cut;
        }
        let leader = self.targets(Target::Leader)[0];
        let all = (1u16 << self.nodes.len()) - 1;
        let alone = 1u16 << leader;
        (0..self.nodes.len()).map(|node| if node == leader { all & !alone } else { alone }).collect()
    }

    /// Damages a synced sector, if so many other nodes are whole that the cluster can repair it, and restarts the node.
    fn rot(&mut self, target: Target, pick: u64, down: u64) -> Result<(), Failure> {
        let budget = (self.nodes.len() - 1) / 2;
        for node in self.targets(target) {
            let damaged = self.nodes.iter().filter(|node| node.damaged).count();
            if damaged < budget && !self.nodes[node].damaged && self.rot_sector(node, pick) {
                self.nodes[node].damaged = true;
                self.counts.add(Effect::Rot);
                self.oracles.rotted(node);
                self.say(Some(node), "rot", String::new);
                self.crash(node, Crash::Kill { down: Some(down) })?;
            }
        }
        Ok(())
    }

    fn rot_sector(&mut self, node: usize, pick: u64) -> bool {
        let disk = &mut self.nodes[node].disk;
        let copy = HARD_STATE_COPIES[node % 2];
        let file = if pick.is_multiple_of(4) && disk.durable(copy).is_some() {
            copy.to_owned()
        } else {
            let rots = |name: &&str| name.starts_with(SEGMENTS) || name.starts_with(SNAPSHOTS);
            let names: Vec<&str> = disk.durable_names().filter(rots).collect();
            if names.is_empty() {
                return false;
            }
            names[(pick >> 8) as usize % names.len()].to_owned()
        };
        let Some(bytes) = disk.durable(&file) else { return false };
        // Sectors that hold something; the rest of a file is zeros.
        let used: Vec<u64> = (0..)
            .zip(bytes.chunks(SECTOR))
            .filter_map(|(sector, bytes)| bytes.iter().any(|byte| *byte != 0).then_some(sector))
            .collect();
        if used.is_empty() {
            return false;
        }
        let sector = used[(pick >> 24) as usize % used.len()];
        let (stream, choices) = (self.fault_stream, &mut self.choices);
        let (bit, wipe) = (choices.below(stream, 8 * SECTOR as u64) as usize, choices.below(stream, 4) == 3);
        disk.rot(&file, sector, &mut |bytes| {
            if wipe {
                bytes.fill(0xff);
            } else {
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        })
    }
}
