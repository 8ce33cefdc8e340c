//! Snapshots that are written beside the batches, and what is read back.

use raft_core::Loaded;
use raft_core::journal::{Directory, DiskOp};
use raft_core::replica::{LoadJob, RestoreJob, SnapshotJob, StateMachine};

use super::lifecycle::Crash;
use super::waste::Reads;
use super::{Event, World};
use crate::counts::Effect;
use crate::disk::SECTOR;
use crate::disk_ops::{Unreadable, bytes_of, is_sync};
use crate::failure::{Failure, FailureKind};
use crate::machine::{ImageOf, Machine};
use crate::node::{Job, Node, Process, Reading, Running, Writing};
use crate::workload::Workload;

impl<S: Machine, W: Workload<S>> World<S, W> {
    /// A replica froze its state. What it shows is settled now; each operation of its writing takes its time.
    pub(super) fn start_writing(
        &mut self,
        node: usize,
        job: &SnapshotJob<ImageOf<S>>,
    ) -> Result<(), Failure> {
        self.counts.add(Effect::SnapshotsFrozen);
        let mut ops = Vec::new();
        let written = job.write(&mut |op| {
            ops.push(op);
            Ok::<(), std::convert::Infallible>(())
        });
        let written = match written {
            Ok(written) => written,
            Err(error) => {
                let what = format!("n{} can't write its snapshot: {error:?}", node + 1);
                return Err(Failure::new(FailureKind::Invariant, "snapshot", what));
            }
        };
        let Some(running) = self.nodes[node].running_mut() else { return Ok(()) };
        let replica = &running.replica;
        let digests = (StateMachine::digest(replica.state()), replica.sessions().digest());
        let last = job.last();
        running.writing = Some(Writing { job: Job { ops, next: 0 }, written });
        self.oracles.froze(node, last, digests)?;
        self.say(Some(node), "snapshot", || format!("of {last}"));
        self.plan_writing(node);
        Ok(())
    }

    fn plan_writing(&mut self, node: usize) {
        let generation = self.nodes[node].generation;
        let writing = self.nodes[node].running().and_then(|running| running.writing.as_ref());
        let op = writing.and_then(|writing| writing.job.ops.get(writing.job.next));
        let bytes = op.map_or(0, |op| bytes_of(&self.nodes[node].disk, op));
        let at = self.disk_time(node, op.is_some_and(is_sync), bytes);
        self.plan(at, Event::WritingDone { node: node as u8, generation });
    }

    /// An operation of a snapshot's writing ends, or the node crashes in it.
    pub(super) fn writing_done(&mut self, node: usize, generation: u32, event: Event) -> Result<(), Failure> {
        if !self.is_op_over(node, generation, event) {
            return Ok(());
        }
        self.count_event(event, generation.into());
        let hot = self.setup.crash.disk_ppm.saturating_mul(self.setup.crash.hot);
        if !self.is_closing() && self.choices.chance(self.nodes[node].crash_stream, hot) {
            self.counts.add(Effect::CrashAtDiskOp);
            return self.crash(node, Crash::Drawn);
        }
        let Some(mut writing) = self.nodes[node].running_mut().and_then(|running| running.writing.take())
        else {
            return Ok(());
        };
        let op = writing.job.ops[writing.job.next].clone();
        if let Some(effect) = self.end_op(node, &op)? {
            return self.disk_failed(node, effect);
        }
        writing.job.next += 1;
        let is_done = writing.job.next == writing.job.ops.len();
        let now = self.nodes[node].clock.at(self.now);
        let Some(running) = self.nodes[node].running_mut() else { return Ok(()) };
        if !is_done {
            running.writing = Some(writing);
            self.plan_writing(node);
            return Ok(());
        }
        running.replica.handle_snapshot_written(now, &writing.written);
        let is_taken = running.replica.status().snapshot == writing.written.meta().last;
        self.counts.add(if is_taken { Effect::SnapshotsTaken } else { Effect::SnapshotsRefused });
        self.drain(node)
    }

    /// What a process leaves that ends while it writes a snapshot: a part of the write under way.
    pub(super) fn interrupt_writing(&mut self, node: usize) {
        let Some(writing) = self.nodes[node].running_mut().and_then(|running| running.writing.take()) else {
            return;
        };
        self.counts.add(Effect::SnapshotsInterrupted);
        if let Some(DiskOp::Write { file, offset, bytes }) = writing.job.ops.get(writing.job.next) {
            let World { nodes, choices, .. } = self;
            let Node { disk, disk_stream, .. } = &mut nodes[node];
            let sectors = choices.below(*disk_stream, (bytes.len() / SECTOR) as u64 + 1);
            let _ = disk.write_prefix(file, *offset, bytes, sectors);
        }
    }

    /// Something is to be read back. It is read when the time is up, from what the disk shows then.
    pub(super) fn start_reading(&mut self, node: usize, reading: Reading) {
        let generation = self.nodes[node].generation;
        let at = match self.setup.disk.read_latency {
            0 => self.disk_time(node, true, 0),
            mean => {
                let stream = self.nodes[node].disk_stream;
                let span = if self.choices.below(stream, 64) == 63 {
                    self.choices.below(stream, 8 * self.setup.settings.election_timeout)
                } else {
                    self.choices.exponential(stream, mean)
                };
                self.now + 1 + span
            }
        };
        let Some(running) = self.nodes[node].running_mut() else { return };
        running.last_read += 1;
        let read = running.last_read;
        let reign = running.leads.then(|| running.replica.raft().term());
        running.reads.insert(read, (reign, reading));
        self.plan(at, Event::ReadDone { node: node as u8, generation, read });
    }

    pub(super) fn read_done(
        &mut self,
        node: usize,
        generation: u32,
        read: u32,
        event: Event,
    ) -> Result<(), Failure> {
        if !self.is_op_over(node, generation, event) {
            return Ok(());
        }
        self.count_event(event, read.into());
        let reading = self.nodes[node].running_mut().and_then(|running| running.reads.remove(&read));
        let has_failed = match reading {
            Some((_, Reading::Restore(job))) => self.restore(node, &job)?,
            Some((reign, Reading::Load(job))) => {
                let leads = |running: &&Running<S>| running.leads;
                let now =
                    self.nodes[node].running().filter(leads).map(|running| running.replica.raft().term());
                self.counts.add_many(Effect::LoadsLate, u64::from(reign.is_some() && now > reign));
                self.load(node, &job)?
            }
            None => return Ok(()),
        };
        self.drain(node)?;
        let stopped = self.nodes[node].running().and_then(|running| running.replica.stopped().cloned());
        match stopped {
            // What is read back is checked, and damage ends the process; its next start repairs it.
            Some(reason) if has_failed => {
                self.counts.add(Effect::ReadErrors);
                self.say(Some(node), "stopped", || reason.to_string());
                self.crash(node, Crash::Kill { down: None })
            }
            Some(reason) if self.nodes[node].damaged => {
                self.counts.add(Effect::RotRead);
                self.say(Some(node), "stopped", || reason.to_string());
                self.crash(node, Crash::Kill { down: None })
            }
            Some(reason) => {
                let what = format!("n{} stopped: {reason}", node + 1);
                Err(Failure::new(FailureKind::Invariant, "stopped", what))
            }
            None => Ok(()),
        }
    }

    /// Reads a snapshot into the state. Whether a read failed.
    fn restore(&mut self, node: usize, job: &RestoreJob) -> Result<bool, Failure> {
        let reads = self.reads_left(node);
        let now = self.nodes[node].clock.at(self.now);
        let Node { disk, process, .. } = &mut self.nodes[node];
        let Process::Running(running) = process else { return Ok(false) };
        let disk = Unreadable::after(disk, reads);
        let restored = job.read(&mut |file, offset, bytes| Directory::read(&disk, file, offset, bytes));
        let has_failed = disk.has_failed();
        let before = running.replica.applied();
        let is_whole = restored.is_ok();
        running.replica.handle_restored(now, job, restored);
        let replica = &running.replica;
        let applied = replica.applied();
        // A job that was overtaken by a newer one changes nothing.
        if !is_whole || replica.stopped().is_some() || applied == before {
            return Ok(has_failed);
        }
        let digests = (StateMachine::digest(replica.state()), replica.sessions().digest());
        self.counts.add(if before.0 == 0 { Effect::RestoredAtStart } else { Effect::RestoredRunning });
        self.oracles.restored(node, applied, digests)?;
        self.fingerprint.add(applied.0);
        self.say(Some(node), "restored", || format!("{applied}"));
        Ok(has_failed)
    }

    /// Reads entries or a piece of a snapshot. Whether a read failed.
    fn load(&mut self, node: usize, job: &LoadJob) -> Result<bool, Failure> {
        let left = self.reads_left(node);
        let now = self.nodes[node].clock.at(self.now);
        let Node { disk, process, .. } = &mut self.nodes[node];
        let Process::Running(running) = process else { return Ok(false) };
        let disk = Unreadable::after(disk, left);
        let mut reads = Reads::default();
        let outcome = job.run(&mut |file, offset, bytes| {
            let read = Directory::read(&disk, file, offset, bytes);
            read.inspect(|read| reads.note(file, offset, read.len() as u64))
        });
        let has_failed = disk.has_failed();
        self.counts.add(match outcome.loaded() {
            Loaded::Entries(_) => Effect::EntriesLoaded,
            Loaded::Chunk(_) => Effect::ChunksLoaded,
            Loaded::Gone => Effect::LoadsGone,
            Loaded::Damaged => Effect::LoadsDamaged,
        });
        running.replica.handle_loaded(now, outcome);
        self.check_reads(node, &reads)?;
        Ok(has_failed)
    }
}
