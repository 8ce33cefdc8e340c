//! A cluster whose every message and every sync is in the hands of the test.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use bytes::Bytes;

use crate::action::Action;
use crate::config::Config;
use crate::entry::{Entry, Payload};
use crate::membership::Configuration;
use crate::message::Envelope;
use crate::raft::Raft;
use crate::types::{Boot, ClusterId, Epoch, Incarnation, Index, Instant, LogId, Member, NodeId, Span, Term};
use crate::write::{Durable, HardState, Identity, Persist, Restored};

pub(super) fn member(id: u64) -> Member {
    Member { id: NodeId(id), incarnation: Incarnation(100 + id) }
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
    pub(super) entries: Vec<Entry>,
    pub(super) boot: u64,
    pub(super) unsynced: VecDeque<Persist>,
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
            assert_eq!(entry.index.0, self.entries.len() as u64 + 1, "an append leaves no gap on disk");
            self.entries.push(entry.clone());
        }
    }
}

pub(super) struct Node {
    pub(super) raft: Raft,
    pub(super) disk: Disk,
    pub(super) applied: Vec<Entry>,
    pub(super) notices: Vec<Action>,
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
        Cluster::with_config(logs, Config::default())
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
        let restored =
            Restored::of_log(identity(id), Boot(disk.boot), disk.hard_state, founding, disk.entries.clone());
        let raft = Raft::new(self.config.clone(), restored, self.now, 42).expect("the settings are valid");
        self.nodes.insert(id, Node { raft, disk, applied: Vec::new(), notices: Vec::new() });
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
                Action::Apply(entries) => {
                    let last = entries.last().expect("an apply is never empty").index;
                    node.applied.extend(entries);
                    node.raft.handle_applied(last);
                }
                Action::ReadReady(..)
                | Action::ReadFailed(..)
                | Action::Lost(_)
                | Action::Unknown(_)
                | Action::RoleChanged(_) => node.notices.push(action),
            }
        }
        node.raft.check_invariants().expect("the invariants hold");
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
