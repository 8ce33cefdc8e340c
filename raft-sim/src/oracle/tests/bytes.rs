//! The real core and the real journal, a sole voter, with real bytes.

use raft_core::journal::{
    DiskOp, Files, Journal, JournalConfig, OnDamage, Recovery, RecoveryReport, initialise,
};
use raft_core::{Action, Config, Identity, Instant, Raft, Restored};
use xxhash_rust::xxh3::xxh3_64;

use super::*;

/// A node whose files are a cache; what is synced goes to the platter.
pub(super) struct Node {
    pub(super) cache: Files,
    pub(super) platter: Files,
    pub(super) journal: Journal,
    pub(super) raft: Raft,
    pub(super) now: Instant,
}

pub(super) fn perform(op: &DiskOp, cache: &mut Files, platter: &mut Files) {
    match op {
        DiskOp::Create { file, bytes } => {
            cache.insert(file.clone(), vec![0; *bytes as usize]);
        }
        DiskOp::Write { file, offset, bytes } => {
            let at = *offset as usize;
            cache.get_mut(file).unwrap()[at..at + bytes.len()].copy_from_slice(bytes);
        }
        DiskOp::Sync { file } => {
            platter.insert(file.clone(), cache[file].clone());
        }
        DiskOp::Remove { file } => {
            cache.remove(file);
        }
        DiskOp::SyncDirectory => platter.retain(|file, _| cache.contains_key(file)),
    }
}

/// A recovery that is complete, and what the oracles are to be told of it.
pub(super) struct RecoveredNode {
    cache: Files,
    pub(super) platter: Files,
    pub(super) report: RecoveryReport,
    journal: Journal,
    pub(super) restored: Restored,
}

/// Recovers from what is on a disk.
pub(super) fn recover(disk: &Files) -> RecoveredNode {
    let config = JournalConfig { segment_bytes: 2048, batch_bytes_max: 1024, ..JournalConfig::default() };
    let (mut cache, mut platter) = (disk.clone(), disk.clone());
    let recovery = Recovery::start(config, &cache, OnDamage::Abstain).unwrap();
    for op in recovery.ops() {
        perform(op, &mut cache, &mut platter);
    }
    let report = recovery.report().clone();
    let (journal, restored) = recovery.finish();
    RecoveredNode { cache, platter, report, journal, restored }
}

pub(super) fn configuration() -> Configuration {
    Configuration::of_voters([member(0)])
}

impl Node {
    pub(super) fn create() -> Files {
        let identity = Identity { cluster: ClusterId(1), epoch: Epoch(0), member: member(0) };
        let (mut cache, mut platter) = (Files::new(), Files::new());
        for op in initialise(identity, &configuration()) {
            perform(&op, &mut cache, &mut platter);
        }
        platter
    }

    pub(super) fn start(disk: &Files, oracles: &mut Oracles) -> Result<Node, Failure> {
        Node::start_keeping(disk, oracles, 0)
    }

    /// Of what its snapshots cover, its log keeps so many entries.
    pub(super) fn start_keeping(
        disk: &Files,
        oracles: &mut Oracles,
        trailing_entries: u64,
    ) -> Result<Node, Failure> {
        let RecoveredNode { cache, platter, report, journal, restored } = recover(disk);
        oracles.recovered(0, &restored, &report, &platter)?;
        let now = Instant(0);
        let config = Config { trailing_entries, ..Config::default() };
        let raft = Raft::new(config, restored, now, 1).unwrap();
        Ok(Node { cache, platter, journal, raft, now })
    }

    /// Does what the node asks for. `lies`: syncs of segments succeed and write nothing.
    pub(super) fn drain(&mut self, oracles: &mut Oracles, lies: bool) -> Outcome {
        loop {
            while let Some(action) = self.raft.poll_action() {
                match action {
                    Action::Send(envelope) => oracles.sent(0, &envelope)?,
                    Action::Persist(persist) => self.journal.submit(persist),
                    Action::Apply(entries) => {
                        for entry in &entries {
                            if let Payload::Command(command) = &entry.payload {
                                oracles.applied(0, entry.index, xxh3_64(command))?;
                            }
                            self.raft.handle_applied(entry.index);
                        }
                    }
                    Action::Receive(_) | Action::Restore(_) | Action::Load(_) => {
                        unreachable!("its cache keeps everything, and it starts without a snapshot")
                    }
                    Action::ReadReady(..)
                    | Action::ReadFailed(..)
                    | Action::Lost(_)
                    | Action::Unknown(_)
                    | Action::RoleChanged(_) => {}
                }
            }
            let Some(batch) = self.journal.poll_batch() else { return Ok(()) };
            for op in &batch.ops {
                if !(lies && matches!(op, DiskOp::Sync { file } if file.starts_with("segment"))) {
                    perform(op, &mut self.cache, &mut self.platter);
                }
                match op {
                    DiskOp::Sync { file } => oracles.synced(0, file, &self.platter)?,
                    DiskOp::SyncDirectory => oracles.directory_synced(0, &self.platter)?,
                    DiskOp::Create { .. } | DiskOp::Write { .. } | DiskOp::Remove { .. } => {}
                }
            }
            if let Some(durable) = self.journal.handle_batch_done() {
                self.raft.handle_durable(self.now, durable);
            }
        }
    }

    /// Waits until it leads, then proposes.
    pub(super) fn work(&mut self, oracles: &mut Oracles, lies: bool) -> Outcome {
        while !self.raft.is_leader() {
            self.now = self.raft.next_tick().expect("a voter will campaign");
            self.raft.tick(self.now);
            self.drain(oracles, false)?;
        }
        for number in 0..20_u64 {
            let command = vec![number as u8; 100 * (number as usize % 7)];
            self.raft.propose(self.now, command.into()).unwrap();
            self.drain(oracles, lies)?;
        }
        Ok(())
    }
}

#[test]
fn real_bytes_are_followed_through_segments_and_restarts() {
    let mut oracles = Oracles::new(&configuration(), &[member(0)]);
    let mut disk = Node::create();
    for boot in 1..=4 {
        let mut node = Node::start(&disk, &mut oracles).unwrap();
        silent(node.work(&mut oracles, false));
        assert!(oracles.committed() >= Index(boot * 20), "everything proposed is durable and applied");
        silent(oracles.finish(&[&node.platter]));
        disk = node.platter;
        oracles.crashed(0);
    }
    // Unknown to the oracles, the disk is an old one again.
    let old = Node::create();
    caught("monotonic", Node::start(&old, &mut oracles).map(|_| ()));
}

#[test]
fn a_sync_that_lies_is_noticed() {
    let mut oracles = Oracles::new(&configuration(), &[member(0)]);
    let mut node = Node::start(&Node::create(), &mut oracles).unwrap();
    caught("commit-quorum", node.work(&mut oracles, true));
}

#[test]
fn a_recovery_from_a_cache_is_noticed() {
    let mut oracles = Oracles::new(&configuration(), &[member(0)]);
    let mut node = Node::start(&Node::create(), &mut oracles).unwrap();
    silent(node.work(&mut oracles, false));
    // The platter forgets: recovery performs its operations on the cache only.
    oracles.crashed(0);
    let recovery = Recovery::start(JournalConfig::default(), &node.cache, OnDamage::Abstain).unwrap();
    let report = recovery.report().clone();
    let (_, restored) = recovery.finish();
    let old = Node::create();
    caught("committed-never-lost", oracles.clone().recovered(0, &restored, &report, &old));
    // Its new boot is on no platter.
    caught("committed-never-lost", oracles.recovered(0, &restored, &report, &node.platter));
}
