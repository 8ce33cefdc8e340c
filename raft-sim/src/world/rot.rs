//! Synced sectors decay, never on more nodes at a time than the others can repair.

use raft_core::journal::View;
use raft_core::journal::read::{self, HARD_STATE_FILES};

use super::World;
use super::lifecycle::Crash;
use crate::counts::Effect;
use crate::disk::SECTOR;
use crate::disk_ops::{SEGMENTS, SNAPSHOTS};
use crate::failure::Failure;
use crate::machine::Machine;
use crate::schedule::Target;
use crate::workload::Workload;

impl<S: Machine, W: Workload<S>> World<S, W> {
    /// Damages a synced sector and restarts the node.
    pub(super) fn rot(&mut self, target: Target, pick: u64, down: u64) -> Result<(), Failure> {
        for node in self.targets(target) {
            if !self.may_rot(node) {
                continue;
            }
            let file = self.rotting_file(node, pick);
            if self.lose_file(node, file.as_deref(), pick) {
                self.rotted(node, Effect::FilesGone, "a file is gone");
                self.crash(node, Crash::Kill { down: Some(down) })?;
            } else if self.rot_sector(node, file, pick) {
                self.rotted(node, Effect::Rot, "");
                self.crash(node, Crash::Kill { down: Some(down) })?;
            }
        }
        Ok(())
    }

    /// Damages a synced sector of a file that is read back, under a process that knows nothing of it.
    pub(super) fn rot_unnoticed(&mut self, target: Target, pick: u64) {
        for node in self.targets(target) {
            let runs = self.nodes[node].running().is_some();
            if runs && self.may_rot(node) && self.rot_sector(node, self.rotting_read_file(node, pick), pick) {
                self.nodes[node].rot_unread = true;
                self.rotted(node, Effect::RotUnnoticed, "unnoticed");
            }
        }
    }

    /// Whether this node is whole, and so many others are that the cluster can repair it.
    fn may_rot(&self, node: usize) -> bool {
        let budget = (self.nodes.len() - 1) / 2;
        let damaged = self.nodes.iter().filter(|node| node.damaged).count();
        damaged < budget && !self.nodes[node].damaged
    }

    fn rotted(&mut self, node: usize, effect: Effect, how: &str) {
        self.nodes[node].damaged = true;
        self.counts.add(effect);
        self.oracles.rotted(node);
        self.say(Some(node), "rot", || how.to_owned());
    }

    /// A file that may rot before a restart: any of the log and of snapshots, or a copy of the hard state.
    fn rotting_file(&self, node: usize, pick: u64) -> Option<String> {
        let disk = &self.nodes[node].disk;
        // Who damages both copies takes away what no node can do without; that refusal has tests of its own.
        let copy = HARD_STATE_FILES[node % 2];
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

    /// Whether a recovery can tell zeros, or the lack of a file, from what never was: always, but for the end of a log that
    /// nothing vouches for yet.
    fn is_vouched_for(&self, node: usize) -> bool {
        let disk = &self.nodes[node].disk;
        let view: View<'_> =
            disk.durable_names().filter_map(|name| Some((name, disk.durable(name)?))).collect();
        read::contents(&view)
            .is_ok_and(|contents| contents.synced_to >= contents.last_batch && contents.damage.is_none())
    }

    /// One time in four a file of the log, or a snapshot, is gone.
    fn lose_file(&mut self, node: usize, file: Option<&str>, pick: u64) -> bool {
        let Some(file) = file.filter(|file| pick >> 60 == 3 && !HARD_STATE_FILES.contains(file)) else {
            return false;
        };
        self.is_vouched_for(node) && self.nodes[node].disk.lose(file)
    }

    fn rot_sector(&mut self, node: usize, file: Option<String>, pick: u64) -> bool {
        let Some(file) = file else { return false };
        // The other copy of the hard state tells as well.
        let is_vouched_for = HARD_STATE_FILES.contains(&file.as_str()) || self.is_vouched_for(node);
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
        let (bit, how) = (choices.below(stream, 8 * SECTOR as u64) as usize, choices.below(stream, 8));
        if is_vouched_for && how >= 5 {
            self.counts.add(Effect::RotZeros);
        }
        disk.rot(&file, sector, &mut |bytes| match how {
            5.. if is_vouched_for => bytes.fill(0),
            4.. => bytes.fill(0xff),
            _ => bytes[bit / 8] ^= 1 << (bit % 8),
        })
    }
}
