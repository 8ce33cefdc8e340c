//! raft-core.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use raft_core::journal::{DiskOp, Files, JournalConfig, OnDamage, Recovery, initialise};
use raft_core::{
    Action, ClusterId, Config, Configuration, Envelope, Epoch, Identity, Incarnation, Index, Instant, Member,
    NodeId, Payload, Raft, Restored, SnapshotMeta, Span,
};

use crate::cluster::Node;
use crate::{APPEND_BYTES_MAX, COMPACT_EVERY, WINDOW_APPENDS_MAX};

/// XXH3-64 of no bytes.
const EMPTY_DIGEST: u64 = 0x2D06_8005_38D3_94C2;

/// What a tick of the other side is here.
const TICK: Span = Span::from_millis(10);

pub struct Ours {
    pub raft: Raft,
    now: Instant,
    applied: u64,
    /// Applied when the log was last compacted.
    compacted: Index,
}

impl Node for Ours {
    type Message = Envelope;

    const NAME: &'static str = "raft-core";

    fn group(size: usize, heartbeat_ticks: u64, election_ticks: u64) -> Vec<Ours> {
        let members: Vec<Member> = (1..=size as u64)
            .map(|id| Member { id: NodeId(id), incarnation: Incarnation(100 + id) })
            .collect();
        let founding = Configuration::of_voters(members.iter().copied());
        let config = Arc::new(Config {
            heartbeat_interval: Span(TICK.0 * heartbeat_ticks),
            election_timeout: Span(TICK.0 * election_ticks),
            // A tick is a leap in time: what is under way then is not late.
            retransmit_min: Config::default().retransmit_after,
            append_bytes_max: APPEND_BYTES_MAX,
            window_appends_max: WINDOW_APPENDS_MAX,
            trailing_entries: COMPACT_EVERY,
            // As the other side's `skip_bcast_commit`.
            commit_notices: false,
            ..Config::default()
        });
        let start = |member| {
            let raft = Raft::new(Arc::clone(&config), restored(member, &founding), Instant(0), 42);
            let raft = raft.expect("the settings are valid");
            Ours { raft, now: Instant(0), applied: 0, compacted: Index(0) }
        };
        members.into_iter().map(start).collect()
    }

    fn campaign(group: &mut [Ours]) {
        let due = |node: &Ours| node.raft.next_tick().expect("a follower waits for its election");
        let first = (0..group.len()).min_by_key(|at| due(&group[*at])).expect("a group has nodes");
        let now = due(&group[first]);
        group.iter_mut().for_each(|node| node.now = now);
        group[first].raft.tick(now);
    }

    fn tick(&mut self) {
        self.now = self.now.plus(TICK);
        self.raft.tick(self.now);
    }

    fn propose(&mut self, command: &Bytes) {
        self.raft.propose(self.now, command.clone()).expect("the window is below every bound");
    }

    fn handle(&mut self, message: Envelope) {
        self.raft.handle_message(self.now, message).expect("peers are honest");
    }

    fn drain(&mut self, send: &mut impl FnMut(usize, Envelope)) {
        loop {
            let mut written = None;
            while let Some(action) = self.raft.poll_action() {
                match action {
                    Action::Send(envelope) => send(envelope.to.id.0 as usize - 1, envelope),
                    Action::Persist(persist) => written = Some(persist.durable()),
                    Action::Apply(entries) => {
                        let commands = entries.iter().filter(|e| matches!(e.payload, Payload::Command(_)));
                        self.applied += commands.count() as u64;
                        if let Some(last) = entries.last() {
                            self.raft.handle_applied(last.index);
                            self.compact(last.index);
                        }
                    }
                    Action::RoleChanged(_) | Action::ReadReady(..) | Action::ReadFailed(..) => {}
                    Action::Receive(_) | Action::Restore(_) | Action::Load(_) => panic!("nobody is that far behind"),
                    Action::Lost(_) | Action::Unknown(_) => panic!("nothing is lost here"),
                }
            }
            // The sync that a host would do now covers every write of this turn.
            match written {
                Some(durable) => self.raft.handle_durable(self.now, durable),
                None => return,
            }
        }
    }

    fn applied(&self) -> u64 {
        self.applied
    }

    fn is_leader(&self) -> bool {
        self.raft.is_leader()
    }
}

impl Ours {
    /// Every [`COMPACT_EVERY`] entries, all but the last as many may go.
    fn compact(&mut self, applied: Index) {
        if applied.0 < self.compacted.0 + COMPACT_EVERY {
            return;
        }
        self.compacted = applied;
        let last = self.raft.id_at(applied).expect("what is applied is in the log");
        let configuration = self.raft.configuration_at(applied).expect("the founding one at least").clone();
        // Of a state machine that keeps nothing.
        let snapshot = SnapshotMeta { last, configuration, length: 0, digest: EMPTY_DIGEST };
        self.raft.offer_snapshot(self.now, snapshot).expect("it is newer, and applied");
    }
}

/// What an empty, initialised directory recovers to.
fn restored(member: Member, founding: &Configuration) -> Restored {
    let mut files: Files = BTreeMap::new();
    let identity = Identity { cluster: ClusterId(1), epoch: Epoch(0), member };
    perform(&mut files, &initialise(identity, founding));
    let config = JournalConfig { segment_bytes: 65_536, ..JournalConfig::default() };
    let recovery =
        Recovery::start(config, &files, OnDamage::Refuse).expect("a fresh directory is not damaged");
    perform(&mut files, recovery.ops());
    recovery.finish().1
}

fn perform(files: &mut Files, ops: &[DiskOp]) {
    for op in ops {
        match op {
            DiskOp::Create { file, bytes } => {
                files.insert(file.clone(), vec![0; *bytes as usize]);
            }
            DiskOp::Write { file, offset, bytes } => {
                let start = *offset as usize;
                let file = files.get_mut(file).expect("the journal writes to files that it created");
                file[start..start + bytes.len()].copy_from_slice(bytes);
            }
            DiskOp::Remove { file } => {
                files.remove(file);
            }
            DiskOp::Sync { .. } | DiskOp::SyncDirectory => {}
        }
    }
}
