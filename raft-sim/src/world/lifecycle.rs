//! Processes start, recover, run and end.

use std::collections::{BTreeMap, BTreeSet};

use raft_core::RestoreError;
use raft_core::journal::{OnDamage, Recovery, RecoveryReport};
use raft_core::replica::Replica;
use raft_core::wire::{Decoder, Encoder};

use super::{Event, World};
use crate::counts::Effect;
use crate::disk_ops::{SNAPSHOTS, Unreadable};
use crate::failure::{Failure, FailureKind};
use crate::machine::{Machine, Observed};
use crate::node::{Job, Node, Process, Running};
use crate::workload::Workload;

/// How a process ends. It stays down for so long, or for a span that is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) enum Crash {
    /// Killed; the cache survives.
    Kill { down: Option<u64> },
    /// The machine loses power.
    PowerLoss { down: Option<u64> },
    /// One of the two.
    Drawn,
}

impl<S: Machine, W: Workload<S>> World<S, W> {
    /// Ends a node's process, if there is one, and plans its next start.
    pub(super) fn crash(&mut self, node: usize, crash: Crash) -> Result<(), Failure> {
        let stream = self.nodes[node].crash_stream;
        let (power, down) = match crash {
            Crash::Kill { down } => (false, down),
            Crash::PowerLoss { down } => (true, down),
            Crash::Drawn => (self.choices.chance(stream, self.setup.crash.power_ppm), None),
        };
        match &self.nodes[node].process {
            Process::Down if !power => return Ok(()),
            Process::Down => self.counts.add(Effect::PowerLossAfterKill),
            Process::Recovering(_) => self.counts.add(Effect::CrashInRecovery),
            Process::Running(_) => {}
        }
        self.counts.add(if power { Effect::PowerLoss } else { Effect::Kill });
        self.struck = self.struck.max(self.now);
        self.interrupt_op(node);
        self.interrupt_writing(node);
        self.interrupt_receiving(node);
        if power {
            self.lose_power(node);
        }
        self.say(Some(node), if power { "power loss" } else { "kill" }, String::new);
        self.nodes[node].process = Process::Down;
        self.nodes[node].generation += 1;
        self.nodes[node].condition.paused_until = 0;
        self.oracles.crashed(node);
        let down = match down {
            Some(down) => down,
            None => 1 + self.choices.exponential(stream, self.setup.crash.down),
        };
        let generation = self.nodes[node].generation;
        self.plan(self.now + down, Event::Start { node: node as u8, generation });
        Ok(())
    }

    fn lose_power(&mut self, node: usize) {
        let World { nodes, choices, counts, .. } = self;
        let Node { disk, disk_stream, .. } = &mut nodes[node];
        // Now and then all is lost, or nothing: mixtures alone would make long tails rare.
        let bias = choices.below(*disk_stream, 4);
        let loss = disk.power_loss(&mut || match bias {
            0 => false,
            3 => true,
            _ => choices.below(*disk_stream, 2) == 1,
        });
        counts.add_many(Effect::SectorsLost, loss.sectors);
        counts.add_many(Effect::NamesLost, loss.names);
    }

    /// The machine of a process that was killed loses power. If the process is back by then, it ends again.
    pub(super) fn late_power_loss(&mut self, node: usize) -> Result<(), Failure> {
        if self.is_closing() {
            return Ok(());
        }
        self.crash(node, Crash::PowerLoss { down: None })
    }

    /// A process starts and reads its disk.
    pub(super) fn start(&mut self, node: usize) -> Result<(), Failure> {
        if self.nodes[node].condition.abandoned || !self.nodes[node].is_down() {
            return Ok(());
        }
        if self.nodes[node].started {
            self.counts.add(Effect::Restarts);
        }
        self.nodes[node].started = true;
        let reads = self.reads_left(node);
        let files = Unreadable::after(&self.nodes[node].disk, reads);
        let config = self.setup.settings.journal();
        let recovery = match Recovery::start(config.clone(), &files, OnDamage::Refuse) {
            Ok(recovery) => recovery,
            Err(RestoreError::Damaged { .. }) if self.nodes[node].damaged => {
                self.counts.add(Effect::RotNoticed);
                let again = Recovery::start(config, &self.nodes[node].disk, OnDamage::Abstain);
                again.map_err(|error| refused(node, &error))?
            }
            // The process ends, and whoever looks after it starts it again.
            Err(RestoreError::Unreadable { .. }) if files.has_failed() => {
                self.counts.add(Effect::ReadErrorsAtStart);
                self.say(Some(node), "unreadable", String::new);
                let down = 1 + self.choices.exponential(self.nodes[node].crash_stream, self.setup.crash.down);
                let generation = self.nodes[node].generation;
                self.plan(self.now + down, Event::Start { node: node as u8, generation });
                return Ok(());
            }
            Err(error) => return Err(refused(node, &error)),
        };
        self.count_report(node, recovery.report());
        let ops = recovery.ops().to_vec();
        self.say(Some(node), "start", || format!("{:?}", recovery.report()));
        self.nodes[node].process = Process::Recovering(Box::new(recovery));
        self.nodes[node].job = Some(Job { ops, next: 0 });
        self.begin_op(node)?;
        self.drain(node)
    }

    fn count_report(&mut self, node: usize, report: &RecoveryReport) {
        self.counts.add_many(Effect::TornRead, report.torn);
        self.counts.add_many(Effect::Rewritten, report.rewritten);
        self.counts.add_many(Effect::HardStateCopyRead, report.hard_state_copies_damaged);
        self.counts.add_many(Effect::Orphans, report.orphans);
        let on_snapshot = report.damaged_at.as_ref().is_some_and(|(file, _)| file.starts_with(SNAPSHOTS));
        self.counts.add_many(Effect::SnapshotsDamaged, u64::from(on_snapshot));
        if report.damaged_at.is_some() {
            self.counts.add(Effect::AbstentionsEntered);
        } else if self.nodes[node].damaged && report.hard_state_copies_damaged > 0 {
            self.counts.add(Effect::RotNoticed);
        }
    }

    /// All operations of a recovery are done: the process runs.
    pub(super) fn recovered(&mut self, node: usize) -> Result<(), Failure> {
        let process = std::mem::replace(&mut self.nodes[node].process, Process::Down);
        let Process::Recovering(recovery) = process else { return Ok(()) };
        let report = recovery.report().clone();
        let (journal, restored) = recovery.finish();
        if restored.hard_state().abstaining && !self.nodes[node].damaged {
            let what = format!("n{} abstains, and its disk is whole", node + 1);
            return Err(Failure::new(FailureKind::Invariant, "abstaining", what));
        }
        self.oracles.recovered(node, &restored, &report, &self.nodes[node].disk)?;
        self.say(Some(node), "recovered", || {
            let (base, last) = (restored.base(), restored.last());
            format!("{} {:?} log after {base} to {last}", restored.boot(), restored.hard_state())
        });
        self.fingerprint.add(restored.boot().0);
        self.struck = self.struck.max(self.now);
        if std::mem::take(&mut self.nodes[node].was_full) {
            self.counts.add(Effect::RoomAgain);
        }
        self.nodes[node].headway.restart(self.now);
        self.watch.started(node);
        self.nodes[node].rot_unread = false;
        self.nodes[node].abstained |= restored.hard_state().abstaining;
        let now = self.nodes[node].clock.at(self.now);
        let state = Observed::new(self.prototype.clone());
        let config = self.setup.settings.replica();
        let replica = Replica::new(config, journal, restored, state, now, self.setup.seed)
            .map_err(|error| refused(node, &error))?;
        let wire = self.setup.settings.wire();
        self.nodes[node].process = Process::Running(Box::new(Running {
            replica,
            encoder: Encoder::new(wire.clone()),
            decoder: Decoder::new(wire),
            tick_at: None,
            is_set_back: false,
            tickets: BTreeMap::new(),
            taken: Vec::new(),
            leads: false,
            seal_from: None,
            office: None,
            electing: false,
            writing: None,
            receiving: None,
            incoming: BTreeSet::new(),
            reads: BTreeMap::new(),
            last_read: 0,
        }));
        Ok(())
    }
}

fn refused(node: usize, error: &RestoreError) -> Failure {
    let what = format!("n{} can't start: {error}", node + 1);
    Failure::new(FailureKind::Invariant, "recovery-refused", what)
}
