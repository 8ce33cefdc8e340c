//! A node: a disk and a clock that outlive processes, and at most one process.

use std::collections::{BTreeMap, BTreeSet};

use raft_core::journal::{self, DiskOp, Recovery, WrittenSnapshot};
use raft_core::replica::{LoadJob, Replica, RestoreJob, Ticket};
use raft_core::wire::{Decoder, Encoder};
use raft_core::{ClusterId, Configuration, Epoch, Identity, Instant, Member, Term};

use crate::choices::{Choices, PPM, Stream};
use crate::disk::VirtualDisk;
use crate::disk_ops;
use crate::machine::{Machine, Observed};
use crate::swarm::Setup;
use crate::world::answers::Taken;
use crate::world::headway::Headway;
use crate::world::office::Office;

/// One node.
#[derive(Clone, Debug)]
pub(crate) struct Node<S: Machine> {
    pub(crate) disk: VirtualDisk,
    pub(crate) clock: Clock,
    /// Decides about the disk's latency and about what a crash leaves.
    pub(crate) disk_stream: Stream,
    /// Decides when to crash.
    pub(crate) crash_stream: Stream,
    /// Counts the processes that have ended; events for an old one are void.
    pub(crate) generation: u32,
    pub(crate) process: Process<S>,
    /// Disk operations under way; one ends after the other.
    pub(crate) job: Option<Job>,
    pub(crate) condition: Condition,
    /// How far it got, and when.
    pub(crate) headway: Headway,
    /// Rot was injected, and the node is not yet known to be whole again.
    pub(crate) damaged: bool,
    /// No recovery has read the disk since the last rot.
    pub(crate) rot_unread: bool,
    /// It started as an abstaining node since then.
    pub(crate) abstained: bool,
    /// Its last process ended because its disk was full.
    pub(crate) was_full: bool,
    /// It has been started before.
    pub(crate) started: bool,
}

/// What is wrong with a node's machine at the moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Condition {
    pub(crate) paused_until: u64,
    pub(crate) stalled_until: u64,
    pub(crate) full_until: u64,
    /// Reads fail until then, each with this probability in parts per million.
    pub(crate) unread_until: u64,
    pub(crate) unread_ppm: u32,
    pub(crate) slow_until: u64,
    pub(crate) slow_factor: u32,
    pub(crate) sync_error: bool,
    pub(crate) write_error: bool,
    /// It stays down for ever.
    pub(crate) abandoned: bool,
}

/// The process of a node.
#[derive(Clone, Debug)]
pub(crate) enum Process<S: Machine> {
    /// There is none.
    Down,
    /// It reads its disk and makes it whole.
    Recovering(Box<Recovery>),
    /// It runs.
    Running(Box<Running<S>>),
}

/// A process that runs.
#[derive(Clone, Debug)]
pub(crate) struct Running<S: Machine> {
    pub(crate) replica: Replica<Observed<S>>,
    pub(crate) encoder: Encoder,
    pub(crate) decoder: Decoder,
    /// When the earliest tick event is due.
    pub(crate) tick_at: Option<u64>,
    /// Its clock was set back since its last tick.
    pub(crate) is_set_back: bool,
    /// Who waits for an answer: the client and what it waits for.
    pub(crate) tickets: BTreeMap<Ticket, (u32, u32)>,
    /// Of these, what must be answered in time.
    pub(crate) taken: Vec<Taken>,
    pub(crate) leads: bool,
    /// When its last batch ended, if nothing vouches for it yet.
    pub(crate) seal_from: Option<u64>,
    /// What is seen of its office, while it leads.
    pub(crate) office: Option<Office>,
    /// An election is going on, as far as it knows.
    pub(crate) electing: bool,
    /// A snapshot that is being written, beside the batches.
    pub(crate) writing: Option<Writing>,
    /// Work on incoming snapshots, beside the batches.
    pub(crate) receiving: Option<Job>,
    /// The files of those that came in.
    pub(crate) incoming: BTreeSet<String>,
    /// What is being read back, by number, and in which term for a leader.
    pub(crate) reads: BTreeMap<u32, (Option<Term>, Reading)>,
    pub(crate) last_read: u32,
}

/// A snapshot that is being written: the operations, and what they make.
#[derive(Clone, Debug)]
pub(crate) struct Writing {
    pub(crate) job: Job,
    pub(crate) written: WrittenSnapshot,
}

/// Something that is being read back.
#[derive(Clone, Debug)]
pub(crate) enum Reading {
    /// A snapshot, into a state.
    Restore(RestoreJob),
    /// Entries, or a piece of a snapshot.
    Load(LoadJob),
}

/// Disk operations, of which some are done.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) ops: Vec<DiskOp>,
    pub(crate) next: usize,
}

impl<S: Machine> Node<S> {
    /// A node whose directory was initialised, and which was never started. `number` counts the nodes from 0.
    pub(crate) fn new(
        setup: &Setup,
        choices: &mut Choices,
        number: u64,
        member: Member,
        founding: &Configuration,
    ) -> Node<S> {
        let disk_stream = choices.stream("disk", number, 0);
        let offset = choices.below(disk_stream, 1 << 40);
        let ppm = setup.clock_ppm.get(number as usize).copied().unwrap_or(0);
        let mut disk = VirtualDisk::default();
        let identity = Identity { cluster: ClusterId(setup.seed | 1), epoch: Epoch(0), member };
        for op in journal::initialise(identity, founding) {
            let done = disk_ops::perform(&mut disk, &op);
            done.expect("a fresh disk takes what initialising asks for");
        }
        Node {
            disk,
            clock: Clock::new(offset, ppm),
            disk_stream,
            crash_stream: choices.stream("crash", number, 0),
            generation: 0,
            process: Process::Down,
            job: None,
            condition: Condition::default(),
            headway: Headway::default(),
            damaged: false,
            rot_unread: false,
            abstained: false,
            was_full: false,
            started: false,
        }
    }

    pub(crate) fn running(&self) -> Option<&Running<S>> {
        match &self.process {
            Process::Running(running) => Some(running),
            Process::Down | Process::Recovering(_) => None,
        }
    }

    pub(crate) fn running_mut(&mut self) -> Option<&mut Running<S>> {
        match &mut self.process {
            Process::Running(running) => Some(running),
            Process::Down | Process::Recovering(_) => None,
        }
    }

    pub(crate) fn office_mut(&mut self) -> Option<&mut Office> {
        self.running_mut()?.office.as_mut()
    }

    /// It runs, and says that it does not abstain.
    pub(crate) fn is_at_peace(&self) -> bool {
        self.running().is_some_and(|running| !running.replica.status().abstaining)
    }

    pub(crate) fn is_down(&self) -> bool {
        matches!(self.process, Process::Down)
    }

    /// So many times as long as usual, less one, everything takes it now.
    pub(crate) fn slowness(&self, now: u64) -> u64 {
        if now < self.condition.slow_until { u64::from(self.condition.slow_factor) } else { 0 }
    }

    /// A write is under way, or an election is going on.
    pub(crate) fn is_hot(&self) -> bool {
        self.job.is_some() || self.running().is_some_and(|running| running.electing)
    }
}

/// A clock with a rate and an offset of its own. It grows unless it is set back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    offset: i64,
    /// What it shows more than passes, in parts per million, when nothing slows it down.
    ppm: i32,
    /// In parts per million, what it shows of what it would show; all of it but while a fault slows it down.
    share: u32,
}

impl Clock {
    pub(crate) fn new(offset: u64, ppm: i32) -> Clock {
        Clock { offset: offset as i64, ppm, share: PPM as u32 }
    }

    fn rate(self) -> u128 {
        let own = (1_000_000 + i64::from(self.ppm)).max(1) as u64;
        u128::from((own * u64::from(self.share) / PPM).max(1))
    }

    /// What it shows at a true time.
    pub(crate) fn at(self, now: u64) -> Instant {
        Instant(((u128::from(now) * self.rate() / 1_000_000) as u64).saturating_add_signed(self.offset))
    }

    /// The first true time at which it shows at least this.
    pub(crate) fn when(self, shown: Instant) -> u64 {
        let span = (i128::from(shown.0) - i128::from(self.offset)).max(0) as u128;
        (span * 1_000_000).div_ceil(self.rate()).min(u128::from(u64::MAX)) as u64
    }

    /// How much it counts of a span of true time.
    pub(crate) fn span(self, span: u64) -> u64 {
        (u128::from(span) * self.rate() / 1_000_000) as u64
    }

    pub(crate) fn jump(&mut self, by: u64) {
        self.offset += by as i64;
    }

    /// From now on it shows so many millionths of what it would show.
    pub(crate) fn slow_down(&mut self, now: u64, share: u32) {
        let shown = self.at(now).0;
        self.share = share;
        self.offset += shown as i64 - self.at(now).0 as i64;
    }

    /// From now on it goes at its own rate. Says whether it did not.
    pub(crate) fn recover(&mut self, now: u64) -> bool {
        let was_slow = self.share != PPM as u32;
        self.slow_down(now, PPM as u32);
        was_slow
    }

    /// Sets it back, no further than to zero. Says how far it went.
    pub(crate) fn set_back(&mut self, now: u64, by: u64) -> u64 {
        let by = by.min(self.at(now).0);
        self.offset -= by as i64;
        by
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_shows_a_time_at_when_and_not_before() {
        for ppm in [0, 100_000, -100_000, 37] {
            let mut clock = Clock::new(5_000, ppm);
            assert!(clock.set_back(0, 3_000) == 3_000 && clock.at(0) == Instant(2_000));
            for shown in [5_000, 5_001, 77_777, 1_000_000_007] {
                let when = clock.when(Instant(shown));
                assert!(clock.at(when).0 >= shown);
                assert!(when == 0 || clock.at(when - 1).0 < shown);
            }
        }
    }
}
