//! Disk operations: they take time, fail, and end in the middle.

use raft_core::journal::DiskOp;

use super::lifecycle::Crash;
use super::{Event, World};
use crate::counts::Effect;
use crate::disk::SECTOR;
use crate::disk_ops::{SEGMENTS, bytes_of, describe, is_sync, perform};
use crate::failure::{Failure, FailureKind};
use crate::machine::Machine;
use crate::node::{Node, Process};
use crate::workload::Workload;

impl<S: Machine, W: Workload<S>> World<S, W> {
    /// Starts the next operation of a node's job, or ends the job.
    pub(super) fn begin_op(&mut self, node: usize) -> Result<(), Failure> {
        let generation = self.nodes[node].generation;
        let Some(job) = &self.nodes[node].job else { return Ok(()) };
        let Some(op) = job.ops.get(job.next) else { return self.job_done(node) };
        let (syncs, bytes) = (is_sync(op), bytes_of(&self.nodes[node].disk, op));
        let at = self.disk_time(node, syncs, bytes);
        self.plan(at, Event::DiskDone { node: node as u8, generation });
        Ok(())
    }

    /// What a batch made needless is gone, unless a job beside the batches is to remove it yet.
    fn check_files(&mut self, node: usize) -> Result<(), Failure> {
        let World { nodes, oracles, .. } = self;
        let Some(running) = nodes[node].running().filter(|running| running.receiving.is_none()) else {
            return Ok(());
        };
        let created = |op: &DiskOp| match op {
            DiskOp::Create { file, .. } => Some(file.clone()),
            DiskOp::Write { .. } | DiskOp::Sync { .. } | DiskOp::Remove { .. } | DiskOp::SyncDirectory => {
                None
            }
        };
        let writing = running.writing.as_ref().and_then(|writing| writing.job.ops.iter().find_map(created));
        oracles.files_removed(node, &nodes[node].disk, writing.as_deref(), &running.incoming)?;
        Ok(())
    }

    /// When an operation ends that begins now and moves so many bytes.
    pub(super) fn disk_time(&mut self, node: usize, syncs: bool, bytes: u64) -> u64 {
        let (stream, setup) = (self.nodes[node].disk_stream, &self.setup.disk);
        let latency = if syncs {
            self.counts.add_many(Effect::SlowSyncs, u64::from(setup.sync_steady > 0));
            1 + self.choices.exponential(stream, setup.sync_latency) + setup.sync_steady
        } else {
            1 + self.choices.below(stream, setup.write_latency + 1)
        };
        let for_bytes = (bytes * 1_000_000).checked_div(setup.bytes_per_second).unwrap_or(0);
        self.counts.add_many(Effect::DiskTimeByBytes, for_bytes);
        let latency = latency + for_bytes;
        self.now + latency * (1 + self.nodes[node].slowness(self.now))
    }

    /// How many reads of a node's disk succeed from now on, in one job that reads. Half of the failing jobs fail at once.
    pub(super) fn reads_left(&mut self, node: usize) -> u64 {
        const READS: u64 = 12;
        let (stream, condition) = (self.nodes[node].disk_stream, &self.nodes[node].condition);
        if self.now >= condition.unread_until || !self.choices.chance(stream, condition.unread_ppm) {
            return u64::MAX;
        }
        self.choices.below(stream, 2 * READS).saturating_sub(READS)
    }

    /// Whether an operation ends now: its process is still there, and neither it nor its disk stands still.
    pub(super) fn is_op_over(&mut self, node: usize, generation: u32, event: Event) -> bool {
        if self.nodes[node].generation != generation || self.put_off(node, event).is_some() {
            return false;
        }
        let stalled_until = self.nodes[node].condition.stalled_until;
        if self.now < stalled_until {
            self.counts.add(Effect::Stalls);
            self.plan(stalled_until, event);
        }
        self.now >= stalled_until
    }

    pub(super) fn disk_done(&mut self, node: usize, generation: u32, event: Event) -> Result<(), Failure> {
        if !self.is_op_over(node, generation, event) {
            return Ok(());
        }
        self.count_event(event, generation.into());
        if self.crashes_at_disk_op(node)? {
            return Ok(());
        }
        let Some(mut job) = self.nodes[node].job.take() else { return Ok(()) };
        let ended = self.end_op(node, &job.ops[job.next])?;
        if ended.is_none() && job.ops[job.next] == DiskOp::SyncDirectory {
            self.check_files(node)?;
        }
        job.next += 1;
        self.nodes[node].job = Some(job);
        match ended {
            None => {
                self.begin_op(node)?;
                self.drain(node)
            }
            Some(effect) => self.disk_failed(node, effect),
        }
    }

    /// Performs an operation, or fails it: then the effect says how.
    pub(super) fn end_op(&mut self, node: usize, op: &DiskOp) -> Result<Option<Effect>, Failure> {
        let full = self.now < self.nodes[node].condition.full_until;
        let World { nodes, choices, .. } = self;
        let Node { disk, condition, disk_stream, .. } = &mut nodes[node];
        let stream = *disk_stream;
        let failed = match op {
            DiskOp::Create { .. } if full => Some(Effect::DiskFull),
            DiskOp::Write { file, offset, .. } if full && disk.is_end(file, *offset) => {
                Some(Effect::DiskFull)
            }
            DiskOp::Write { file, offset, bytes } if condition.write_error => {
                condition.write_error = false;
                let sectors = choices.below(stream, (bytes.len() / SECTOR) as u64 + 1);
                let _ = disk.write_prefix(file, *offset, bytes, sectors);
                Some(Effect::WriteErrors)
            }
            DiskOp::Sync { file } if condition.sync_error => {
                condition.sync_error = false;
                let _ = disk.fail_sync(file, &mut || choices.below(stream, 2) == 1);
                Some(Effect::SyncErrors)
            }
            DiskOp::Create { .. }
            | DiskOp::Write { .. }
            | DiskOp::Sync { .. }
            | DiskOp::Remove { .. }
            | DiskOp::SyncDirectory => None,
        };
        if let Some(effect) = failed {
            self.say(Some(node), "disk", || format!("failed: {}", describe(op)));
            return Ok(Some(effect));
        }
        if let Err(error) = perform(disk, op) {
            let what = format!("n{}: {}: {error:?}", node + 1, describe(op));
            return Err(Failure::new(FailureKind::Invariant, "disk-operation", what));
        }
        self.say(Some(node), "disk", || describe(op));
        let disk = &self.nodes[node].disk;
        match op {
            DiskOp::Sync { file } => {
                self.counts.add(Effect::Syncs);
                self.oracles.synced(node, file, disk)?;
            }
            DiskOp::SyncDirectory => self.oracles.directory_synced(node, disk)?,
            DiskOp::Remove { file } if file.starts_with(SEGMENTS) && self.nodes[node].running().is_some() => {
                self.counts.add(Effect::SegmentsRemoved);
            }
            DiskOp::Create { .. } | DiskOp::Write { .. } | DiskOp::Remove { .. } => {}
        }
        Ok(None)
    }

    fn job_done(&mut self, node: usize) -> Result<(), Failure> {
        let job = self.nodes[node].job.take();
        let is_of_log = |op: &DiskOp| matches!(op, DiskOp::Sync { file } if file.starts_with(SEGMENTS));
        if job.is_some_and(|job| job.ops.iter().any(is_of_log)) {
            let now = self.now;
            self.nodes[node].office_mut().into_iter().for_each(|office| office.note_sync(now));
        }
        let now = self.nodes[node].clock.at(self.now);
        match &mut self.nodes[node].process {
            Process::Down => Ok(()),
            Process::Recovering(_) => self.recovered(node),
            Process::Running(running) => {
                let before = running.replica.status();
                running.seal_from = Some(self.now);
                running.replica.handle_batch_done(now);
                self.watch.batch_done(&before, &running.replica.status());
                Ok(())
            }
        }
    }

    /// The disk reported an error: the replica must fall silent, and its process ends.
    pub(super) fn disk_failed(&mut self, node: usize, effect: Effect) -> Result<(), Failure> {
        self.counts.add(effect);
        self.nodes[node].was_full = effect == Effect::DiskFull;
        self.nodes[node].job = None;
        let now = self.nodes[node].clock.at(self.now);
        if let Some(running) = self.nodes[node].running_mut() {
            running.replica.handle_disk_failed(now);
            self.drain(node)?;
        }
        self.crash(node, Crash::Kill { down: None })
    }

    fn crashes_at_disk_op(&mut self, node: usize) -> Result<bool, Failure> {
        let crash = &self.setup.crash;
        let recovering = matches!(self.nodes[node].process, Process::Recovering(_));
        let ppm = if recovering { crash.recovery_ppm } else { crash.disk_ppm };
        // The middle of a write is the hottest window.
        let hot = self.nodes[node].job.as_ref().is_some_and(|job| match job.ops.get(job.next) {
            Some(DiskOp::Write { bytes, .. }) => bytes.len() > SECTOR,
            Some(DiskOp::Create { .. } | DiskOp::Sync { .. } | DiskOp::Remove { .. })
            | Some(DiskOp::SyncDirectory)
            | None => false,
        });
        let ppm = if hot { ppm.saturating_mul(crash.hot) } else { ppm };
        if self.is_closing() || !self.choices.chance(self.nodes[node].crash_stream, ppm) {
            return Ok(false);
        }
        self.counts.add(Effect::CrashAtDiskOp);
        self.crash(node, Crash::Drawn)?;
        Ok(true)
    }

    /// What a process leaves that ends while an operation is under way: some sectors of a write have reached the
    /// cache, in order, and a creation or removal has happened or not.
    pub(super) fn interrupt_op(&mut self, node: usize) {
        let Some(job) = self.nodes[node].job.take() else { return };
        let Some(op) = job.ops.get(job.next) else { return };
        let World { nodes, choices, counts, .. } = self;
        let Node { disk, disk_stream, .. } = &mut nodes[node];
        match op {
            DiskOp::Write { file, offset, bytes } => {
                let all = (bytes.len() / SECTOR) as u64;
                let sectors = choices.below(*disk_stream, all + 1);
                if disk.write_prefix(file, *offset, bytes, sectors).is_ok() && sectors > 0 && sectors < all {
                    counts.add(Effect::KillInWrite);
                }
            }
            DiskOp::Create { .. } | DiskOp::Remove { .. } => {
                if choices.below(*disk_stream, 2) == 1 {
                    let _ = perform(disk, op);
                }
            }
            // What a sync had done so far is decided, sector by sector, if the power goes.
            DiskOp::Sync { .. } | DiskOp::SyncDirectory => {}
        }
    }
}
