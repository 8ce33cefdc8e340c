//! A cluster whose every message and every sync is in the hands of the test.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use crate::action::Action;
use crate::config::Config;
use crate::entry::{Entry, Payload, entries_size, last_id};
use crate::load::{LoadRequest, Loaded, Wanted};
use crate::membership::Configuration;
use crate::message::Envelope;
use crate::raft::Raft;
use crate::snapshot::{Chunk, Received, SnapshotMeta};
use crate::types::{Boot, ClusterId, Epoch, Incarnation, Index, Instant, LogId, Member, NodeId, Span, Term};
use crate::write::{Durable, HardState, Identity, Persist, Restored};

pub(super) fn member(id: u64) -> Member {
    Member { id: NodeId(id), incarnation: Incarnation(100 + id) }
}

/// Messages are repeated after a fixed time, however fast the answers come.
pub(super) fn steady() -> Config {
    let config = Config::default();
    Config { retransmit_min: config.retransmit_after, ..config }
}

pub(super) fn identity(id: u64) -> Identity {
    Identity { cluster: ClusterId(7), epoch: Epoch(0), member: member(id) }
}

pub(super) fn command(term: u64, index: u64) -> Entry {
    let payload = Payload::Command(Bytes::from(alloc::format!("{term}.{index}")));
    Entry { term: Term(term), index: Index(index), payload }
}

/// A log whose entries have these terms.
pub(super) fn log_of(terms: &[u64]) -> Vec<Entry> {
    terms.iter().zip(1..).map(|(term, index)| command(*term, index)).collect()
}

/// A disk: what was written, and what of it is synced.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    pub(super) hard_state: HardState,
    pub(super) base: LogId,
    pub(super) entries: Vec<Entry>,
    /// The current snapshot and its content.
    pub(super) snapshot: Option<(SnapshotMeta, Bytes)>,
    /// Written by the host, and not current yet.
    pub(super) own_snapshots: Vec<(SnapshotMeta, Bytes)>,
    pub(super) incoming: Vec<u8>,
    pub(super) boot: u64,
    pub(super) unsynced: VecDeque<Persist>,
    /// Entries that recovery hands back at most.
    pub(super) recovered_max: Option<usize>,
}

impl Disk {
    pub(super) fn perform(&mut self, persist: &Persist) {
        let write = &persist.write;
        if let Some(hard_state) = write.hard_state {
            self.hard_state = hard_state;
        }
        if let Some(from) = write.truncate_from {
            self.entries.retain(|entry| entry.index < from);
        }
        for entry in &write.append {
            let last = last_id(self.base, &self.entries);
            assert_eq!(entry.index, last.index.next(), "an append leaves no gap on disk");
            self.entries.push(entry.clone());
        }
        if let Some(snapshot) = &write.install {
            assert!(write.truncate_from.is_none() && write.append.is_empty(), "an install closes its write");
            assert_eq!(xxh3_64(&self.incoming), snapshot.digest, "only what is whole is installed");
            self.snapshot = Some(((**snapshot).clone(), Bytes::from(core::mem::take(&mut self.incoming))));
            self.base = snapshot.last;
            self.entries.clear();
        }
        if let Some(discard) = &write.discard_through {
            let own = self.own_snapshots.iter().position(|(meta, _)| *meta == discard.snapshot);
            let own = own.expect("what is discarded is covered by a durable snapshot");
            self.snapshot = Some(self.own_snapshots.swap_remove(own));
            self.entries.retain(|entry| entry.index > discard.through.index);
            self.base = discard.through;
        }
    }

    /// A piece of an incoming snapshot is written and synced, beside the writes.
    pub(super) fn receive(&mut self, chunk: &Chunk) -> Received {
        if chunk.offset == 0 {
            self.incoming.clear();
        }
        assert_eq!(chunk.offset, self.incoming.len() as u64, "pieces come in order");
        self.incoming.extend_from_slice(&chunk.bytes);
        let through = self.incoming.len() as u64;
        Received { transfer: chunk.transfer, through, is_whole: through == chunk.snapshot.length }
    }

    fn restored(&self, id: u64, founding: Configuration) -> Restored {
        let boot = Boot(self.boot);
        let whole = Restored::of_log(identity(id), boot, self.hard_state, founding, self.entries.clone());
        let kept = self.recovered_max.unwrap_or(usize::MAX).min(self.entries.len());
        Restored {
            snapshot: self.snapshot.as_ref().map(|(meta, _)| meta.clone()),
            base: self.base,
            last: last_id(self.base, &self.entries),
            entries: self.entries[self.entries.len() - kept..].to_vec(),
            ..whole
        }
    }

    pub(super) fn load(&self, request: &LoadRequest) -> Loaded {
        match &request.wanted {
            Wanted::Entries { from, through, runs, bytes_max } => {
                let term = |index| runs.iter().rev().find(|run| run.index <= index).map(|run| run.term);
                let wanted = |entry: &&Entry| entry.index >= *from && entry.index <= *through;
                let fits = |entry: &&Entry| term(entry.index) == Some(entry.term);
                let found: Vec<Entry> =
                    self.entries.iter().filter(wanted).take_while(fits).cloned().collect();
                let enough = |count: &usize| *count <= 1 || entries_size(&found[..*count]) <= *bytes_max;
                let count = (0..=found.len()).rev().find(enough).unwrap_or(0);
                if found.is_empty() { Loaded::Gone } else { Loaded::Entries(found[..count].to_vec()) }
            }
            // One that was offered is complete, whether or not the log says already that it is current.
            Wanted::Chunk { snapshot, offset, bytes_max } => {
                let mut all = self.snapshot.iter().chain(&self.own_snapshots);
                all.find(|(meta, _)| meta.same_content(snapshot)).map_or(Loaded::Gone, |(meta, content)| {
                    let end = (offset + bytes_max).min(meta.length) as usize;
                    Loaded::Chunk(content.slice(*offset as usize..end))
                })
            }
        }
    }
}

pub(super) struct Node {
    pub(super) raft: Raft,
    pub(super) disk: Disk,
    /// The state machine: everything applied, from the first entry on.
    pub(super) applied: Vec<Entry>,
    pub(super) notices: Vec<Action>,
    /// Loads not served yet; see [`Cluster::slow_disks`].
    pub(super) loads: VecDeque<LoadRequest>,
}

impl Node {
    /// Writes the state as a snapshot, and offers it. Says whether it was taken.
    pub(super) fn snapshot(&mut self, now: Instant) -> bool {
        let Some(last) = self.applied.last().map(Entry::id) else { return false };
        let content = Bytes::from(postcard::to_allocvec(&self.applied).expect("entries can be serialized"));
        let Some(configuration) = self.raft.configuration_at(last.index).cloned() else { return false };
        let (length, digest) = (content.len() as u64, xxh3_64(&content));
        let meta = SnapshotMeta { last, configuration, length, digest };
        let is_taken = self.raft.offer_snapshot(now, meta.clone()).is_ok();
        if is_taken {
            self.disk.own_snapshots.push((meta, content));
        }
        is_taken
    }

    pub(super) fn serve_loads(&mut self, now: Instant) {
        while let Some(request) = self.loads.pop_front() {
            let loaded = self.disk.load(&request);
            self.raft.handle_loaded(now, request, loaded);
            assert!(!self.raft.is_stopped(), "what was asked for is there, or was let go");
        }
    }
}

pub(super) struct Cluster {
    pub(super) now: Instant,
    pub(super) config: Config,
    pub(super) nodes: BTreeMap<u64, Node>,
    /// Messages on their way, oldest first.
    pub(super) network: VecDeque<Envelope>,
    /// Links that lose everything: (from, to).
    pub(super) cut: Vec<(u64, u64)>,
    /// Nodes whose writes stay unsynced until [`Cluster::sync`].
    pub(super) slow_disks: Vec<u64>,
    /// No disk has room for an incoming snapshot; the pieces that came all the same.
    pub(super) refuses_snapshots: bool,
    pub(super) chunks_seen: u64,
    /// Every action of every node, where a test wants them.
    pub(super) trace: Option<Vec<(u64, Action)>>,
    size: u64,
}

impl Cluster {
    pub(super) fn new(size: u64) -> Cluster {
        Cluster::with_logs(&(1..=size).map(|_| (0, Vec::new())).collect::<Vec<_>>())
    }

    /// Nodes 1, 2, ... with these terms and logs.
    pub(super) fn with_logs(logs: &[(u64, Vec<Entry>)]) -> Cluster {
        Cluster::with_config(logs, steady())
    }

    pub(super) fn with_config(logs: &[(u64, Vec<Entry>)], config: Config) -> Cluster {
        let mut cluster = Cluster {
            now: Instant(1_000_000),
            config,
            trace: None,
            nodes: BTreeMap::new(),
            network: VecDeque::new(),
            cut: Vec::new(),
            slow_disks: Vec::new(),
            refuses_snapshots: false,
            chunks_seen: 0,
            size: logs.len() as u64,
        };
        for (id, (term, entries)) in (1..).zip(logs) {
            let hard_state = HardState { term: Term(*term), ..HardState::default() };
            let disk = Disk { hard_state, entries: entries.clone(), ..Disk::default() };
            cluster.start(id, disk);
        }
        cluster
    }

    fn start(&mut self, id: u64, mut disk: Disk) {
        disk.boot += 1;
        disk.unsynced.clear();
        let founding = Configuration::of_voters((1..=self.size).map(member));
        disk.own_snapshots.clear();
        let restored = disk.restored(id, founding);
        let raft = Raft::new(self.config.clone(), restored, self.now, 42).expect("the settings are valid");
        self.nodes.insert(
            id,
            Node { raft, disk, applied: Vec::new(), notices: Vec::new(), loads: VecDeque::new() },
        );
    }

    /// Power is lost: unsynced writes are gone.
    pub(super) fn restart(&mut self, id: u64) {
        let node = self.nodes.remove(&id).expect("the node exists");
        self.start(id, node.disk);
    }

    pub(super) fn raft(&mut self, id: u64) -> &mut Raft {
        &mut self.nodes.get_mut(&id).expect("the node exists").raft
    }

    /// Performs what a node asks for.
    pub(super) fn drain(&mut self, id: u64) {
        let slow = self.slow_disks.contains(&id);
        let now = self.now;
        let node = self.nodes.get_mut(&id).expect("the node exists");
        while let Some(action) = node.raft.poll_action() {
            if let Some(trace) = &mut self.trace {
                trace.push((id, action.clone()));
            }
            match action {
                Action::Send(envelope) => self.network.push_back(envelope),
                Action::Persist(persist) => {
                    let durable = persist.durable();
                    node.disk.unsynced.push_back(persist);
                    if !slow {
                        while let Some(persist) = node.disk.unsynced.pop_front() {
                            node.disk.perform(&persist);
                        }
                        node.raft.handle_durable(now, durable);
                    }
                }
                Action::Receive(chunk) if self.refuses_snapshots => {
                    self.chunks_seen += 1;
                    node.raft.handle_no_room(now, chunk.transfer);
                }
                Action::Receive(chunk) => {
                    let received = node.disk.receive(&chunk);
                    node.raft.handle_received(now, received);
                }
                Action::Apply(entries) => {
                    let last = entries.last().expect("an apply is never empty").index;
                    node.applied.extend(entries.iter().cloned());
                    node.raft.handle_applied(last);
                }
                Action::Restore(meta) => {
                    let (current, content) =
                        node.disk.snapshot.as_ref().expect("a restore follows an install");
                    assert_eq!(*current, meta);
                    node.applied =
                        postcard::from_bytes(content).expect("it was written as a list of entries");
                    assert_eq!(node.applied.last().map(Entry::id), Some(meta.last));
                    node.raft.handle_applied(meta.last.index);
                }
                Action::Load(request) => {
                    node.loads.push_back(request);
                    if !slow {
                        node.serve_loads(now);
                    }
                }
                Action::ReadReady(..)
                | Action::ReadFailed(..)
                | Action::Lost(_)
                | Action::Unknown(_)
                | Action::RoleChanged(_) => node.notices.push(action),
            }
        }
        node.raft.check_invariants().expect("the invariants hold");
        node.raft.check_silence().expect("everything was polled");
    }

    /// The oldest `writes` unsynced writes of a node are synced, and it hears of it.
    pub(super) fn sync(&mut self, id: u64, writes: usize) -> Option<Durable> {
        let now = self.now;
        let node = self.nodes.get_mut(&id).expect("the node exists");
        let mut last = None;
        for _ in 0..writes {
            let Some(persist) = node.disk.unsynced.pop_front() else { break };
            node.disk.perform(&persist);
            last = Some(persist.durable());
        }
        if let Some(durable) = last {
            node.raft.handle_durable(now, durable);
        }
        node.serve_loads(now);
        self.drain(id);
        last
    }

    /// Delivers one message, unless its link is cut or its receiver is gone.
    pub(super) fn deliver(&mut self, envelope: Envelope) {
        let (from, to) = (envelope.from.id.0, envelope.to.id.0);
        if self.cut.contains(&(from, to)) || !self.nodes.contains_key(&to) {
            return;
        }
        let now = self.now;
        let _ = self.raft(to).handle_message(now, envelope);
        self.drain(to);
    }

    /// Delivers everything until nothing is said any more.
    pub(super) fn settle(&mut self) {
        for id in self.nodes.keys().copied().collect::<Vec<_>>() {
            self.drain(id);
        }
        while let Some(envelope) = self.network.pop_front() {
            self.deliver(envelope);
        }
    }

    /// Lets time pass in small steps, delivering everything.
    pub(super) fn run(&mut self, span: Span) {
        let end = self.now.plus(span);
        while self.now < end {
            self.now = self.now.plus(Span::from_millis(5)).min(end);
            for id in self.nodes.keys().copied().collect::<Vec<_>>() {
                let now = self.now;
                self.raft(id).tick(now);
            }
            self.settle();
        }
    }

    /// Runs until some node leads.
    pub(super) fn elect(&mut self) -> u64 {
        for _ in 0..1_000 {
            self.run(Span::from_millis(5));
            let leader = self.nodes.iter().filter(|(_, node)| node.raft.is_leader());
            if let Some((id, _)) = leader.max_by_key(|(_, node)| node.raft.term()) {
                return *id;
            }
        }
        panic!("no leader after five seconds");
    }

    /// Makes one node lead, if it can be elected: nobody else's time comes.
    pub(super) fn elect_node(&mut self, id: u64) {
        for _ in 0..10_000 {
            self.now = self.now.plus(Span::from_millis(5));
            let now = self.now;
            self.raft(id).tick(now);
            self.settle();
            if self.raft(id).is_leader() {
                return;
            }
        }
        panic!("{id} was not elected");
    }

    pub(super) fn propose(&mut self, id: u64, text: &'static str) -> LogId {
        let now = self.now;
        self.raft(id).propose(now, Bytes::from_static(text.as_bytes())).expect("the leader accepts")
    }

    /// A node's state machine takes a snapshot.
    pub(super) fn snapshot(&mut self, id: u64) -> bool {
        let now = self.now;
        let is_taken = self.nodes.get_mut(&id).expect("the node exists").snapshot(now);
        self.drain(id);
        is_taken
    }

    /// The terms of a node's log.
    pub(super) fn terms(&mut self, id: u64) -> Vec<u64> {
        self.raft(id).entries(Index(1)).map(|entry| entry.term.0).collect()
    }

    pub(super) fn cut_off(&mut self, id: u64) {
        for other in (1..=self.size).filter(|other| *other != id) {
            self.cut.push((id, other));
            self.cut.push((other, id));
        }
    }
}
