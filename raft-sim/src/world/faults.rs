//! Faults of the schedule strike.

use super::clients::NOBODY;
use super::lifecycle::Crash;
use super::{Event, World};
use crate::counts::Effect;
use crate::disk::SECTOR;
use crate::failure::Failure;
use crate::machine::Machine;
use crate::node::Running;
use crate::schedule::{FaultKind, Shape, Target, nodes_of};
use crate::workload::Workload;

/// How the files are called that may rot: the log, and one of the two copies of the hard state. (Who damages both
/// copies takes away what no node can do without; that refusal has tests of its own.)
const SEGMENTS: &str = "segment-";
const SNAPSHOTS: &str = "snapshot-";
const HARD_STATE_COPIES: [&str; 2] = ["hard-state-a", "hard-state-b"];

/// A leader that is to be overtaken is asked for so many sessions, by clients that go away: its tail.
const TAIL: usize = 40;
/// While a leader is overtaken, the others are asked for snapshots so often.
const COMPACTIONS: u64 = 40;

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
            FaultKind::RotUnnoticed(target, pick) => self.rot_unnoticed(target, pick),
            FaultKind::Snapshot(target) => {
                for node in self.targets(target) {
                    self.ask_for_snapshot(node)?;
                }
            }
            FaultKind::Overtake => {
                let cut = self.cut_of(Shape::Overtake, Vec::new());
                let alone = (0..cut.len()).find(|node| cut[*node].count_ones() > 1);
                self.network.cut(number, Shape::Overtake, cut, u32::MAX);
                if let Some(alone) = alone {
                    self.grow_tail(alone)?;
                }
                for step in 1..=COMPACTIONS {
                    let at = self.now + fault.duration * step / (COMPACTIONS + 1);
                    self.plan(at, Event::Compact { fault: number });
                }
                self.plan(until, Event::FaultEnds { fault: number });
            }
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
        if !matches!(shape, Shape::Leader | Shape::Overtake) || !cut.is_empty() {
            return cut;
        }
        let leader = self.targets(Target::Leader)[0];
        let all = (1u16 << self.nodes.len()) - 1;
        let alone = 1u16 << leader;
        (0..self.nodes.len()).map(|node| if node == leader { all & !alone } else { alone }).collect()
    }

    /// Entries that will not be committed, unless the node is no leader after all.
    fn grow_tail(&mut self, node: usize) -> Result<(), Failure> {
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

    /// Damages a synced sector of a file that is read back, under a process that knows nothing of it.
    fn rot_unnoticed(&mut self, target: Target, pick: u64) {
        let budget = (self.nodes.len() - 1) / 2;
        for node in self.targets(target) {
            let damaged = self.nodes.iter().filter(|node| node.damaged).count();
            let runs = self.nodes[node].running().is_some();
            if runs
                && damaged < budget
                && !self.nodes[node].damaged
                && self.rot_sector(node, self.rotting_read_file(node, pick), pick)
            {
                self.nodes[node].damaged = true;
                self.nodes[node].rot_unread = true;
                self.counts.add(Effect::RotUnnoticed);
                self.oracles.rotted(node);
                self.say(Some(node), "rot", || "unnoticed".to_owned());
            }
        }
    }

    /// Damages a synced sector, if so many other nodes are whole that the cluster can repair it, and restarts the node.
    fn rot(&mut self, target: Target, pick: u64, down: u64) -> Result<(), Failure> {
        let budget = (self.nodes.len() - 1) / 2;
        for node in self.targets(target) {
            let damaged = self.nodes.iter().filter(|node| node.damaged).count();
            if damaged < budget
                && !self.nodes[node].damaged
                && self.rot_sector(node, self.rotting_file(node, pick), pick)
            {
                self.nodes[node].damaged = true;
                self.counts.add(Effect::Rot);
                self.oracles.rotted(node);
                self.say(Some(node), "rot", String::new);
                self.crash(node, Crash::Kill { down: Some(down) })?;
            }
        }
        Ok(())
    }

    /// A file that may rot before a restart: any of the log and of snapshots, or a copy of the hard state.
    fn rotting_file(&self, node: usize, pick: u64) -> Option<String> {
        let disk = &self.nodes[node].disk;
        let copy = HARD_STATE_COPIES[node % 2];
        if pick.is_multiple_of(4) && disk.durable(copy).is_some() {
            return Some(copy.to_owned());
        }
        let rots = |name: &&str| name.starts_with(SEGMENTS) || name.starts_with(SNAPSHOTS);
        let names: Vec<&str> = disk.durable_names().filter(rots).collect();
        let place = (pick >> 8) as usize % names.len().max(1);
        names.get(place).map(|name| (*name).to_owned())
    }

    /// A file that may rot under a running process: a snapshot, or a segment that is full. The last segment is spared:
    /// the oracles follow it sync by sync, and would take what rots there for something that never was durable.
    fn rotting_read_file(&self, node: usize, pick: u64) -> Option<String> {
        let names: Vec<&str> = self.nodes[node].disk.durable_names().collect();
        let newest = |prefix: &str| names.iter().rfind(|name| name.starts_with(prefix)).copied();
        let last = newest(SEGMENTS);
        let closed: Vec<&str> =
            names.iter().filter(|name| name.starts_with(SEGMENTS) && Some(**name) != last).copied().collect();
        let snapshot = newest(SNAPSHOTS).filter(|_| closed.is_empty() || !pick.is_multiple_of(4));
        snapshot.or(closed.get((pick >> 8) as usize % closed.len().max(1)).copied()).map(str::to_owned)
    }

    fn rot_sector(&mut self, node: usize, file: Option<String>, pick: u64) -> bool {
        let Some(file) = file else { return false };
        let disk = &mut self.nodes[node].disk;
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
