//! Snapshots that come in, and files that go: written beside the batches.

use raft_core::journal::{DiskOp, ReceiveJob};

use super::lifecycle::Crash;
use super::{Event, World};
use crate::counts::Effect;
use crate::disk::SECTOR;
use crate::disk_ops::{bytes_of, is_sync};
use crate::failure::Failure;
use crate::machine::Machine;
use crate::node::{Job, Node};
use crate::workload::Workload;

impl<S: Machine, W: Workload<S>> World<S, W> {
    /// A replica wants something done to files that no batch touches; each operation takes its time.
    pub(super) fn start_receiving(&mut self, node: usize, job: ReceiveJob) {
        let Some(running) = self.nodes[node].running_mut() else { return };
        for op in &job.ops {
            if let DiskOp::Create { file, .. } = op {
                running.incoming.insert(file.clone());
            }
        }
        running.receiving = Some(Job { ops: job.ops, next: 0 });
        self.plan_receiving(node);
    }

    fn plan_receiving(&mut self, node: usize) {
        let generation = self.nodes[node].generation;
        let job = self.nodes[node].running().and_then(|running| running.receiving.as_ref());
        let op = job.and_then(|job| job.ops.get(job.next));
        let bytes = op.map_or(0, |op| bytes_of(&self.nodes[node].disk, op));
        let at = self.disk_time(node, op.is_some_and(is_sync), bytes);
        self.plan(at, Event::ReceivingDone { node: node as u8, generation });
    }

    /// An operation on an incoming snapshot ends, or the node crashes in it.
    pub(super) fn receiving_done(
        &mut self,
        node: usize,
        generation: u32,
        event: Event,
    ) -> Result<(), Failure> {
        if !self.is_op_over(node, generation, event) {
            return Ok(());
        }
        self.count_event(event, generation.into());
        let hot = self.setup.crash.disk_ppm.saturating_mul(self.setup.crash.hot);
        if !self.is_closing() && self.choices.chance(self.nodes[node].crash_stream, hot) {
            self.counts.add(Effect::CrashAtDiskOp);
            return self.crash(node, Crash::Drawn);
        }
        let Some(mut job) = self.nodes[node].running_mut().and_then(|running| running.receiving.take())
        else {
            return Ok(());
        };
        let now = self.nodes[node].clock.at(self.now);
        match self.end_op(node, &job.ops[job.next])? {
            None => {}
            // The one failure that is none of the node's: it goes on without this snapshot.
            Some(Effect::DiskFull) => {
                self.counts.add(Effect::NoRoom);
                if let Some(running) = self.nodes[node].running_mut() {
                    running.replica.handle_no_room(now, job.next);
                }
                return self.drain(node);
            }
            Some(effect) => return self.disk_failed(node, effect),
        }
        job.next += 1;
        let is_done = job.next == job.ops.len();
        let Some(running) = self.nodes[node].running_mut() else { return Ok(()) };
        if !is_done {
            running.receiving = Some(job);
            self.plan_receiving(node);
            return Ok(());
        }
        let before = running.replica.status();
        running.replica.handle_receive_done(now);
        let after = running.replica.status();
        if after.snapshot.index > before.snapshot.index {
            self.counts.add(Effect::Installs);
        }
        self.watch.installed(node, &before, &after);
        self.drain(node)
    }

    /// What a process leaves that ends in the middle of it: a part of the write under way.
    pub(super) fn interrupt_receiving(&mut self, node: usize) {
        let Some(job) = self.nodes[node].running_mut().and_then(|running| running.receiving.take()) else {
            return;
        };
        if let Some(DiskOp::Write { file, offset, bytes }) = job.ops.get(job.next) {
            let World { nodes, choices, .. } = self;
            let Node { disk, disk_stream, .. } = &mut nodes[node];
            let sectors = choices.below(*disk_stream, (bytes.len() / SECTOR) as u64 + 1);
            let _ = disk.write_prefix(file, *offset, bytes, sectors);
        }
    }
}
