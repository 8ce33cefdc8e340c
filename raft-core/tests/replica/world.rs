//! Replicas, their disks and their network, all in the hands of the test.

use std::collections::{BTreeMap, VecDeque};

use raft_core::journal::{Directory, DiskOp, Files, JournalConfig, OnDamage, Recovery, initialise};
use raft_core::message::Message;
use raft_core::replica::{
    Outcome, OutcomeOf, Replica, ReplicaAction, ReplicaConfig, SessionId, SessionRequest, StateMachine,
    StopReason, Ticket,
};
use raft_core::snapshot::{Sink, Source, SourceError, read_value, write_value};
use raft_core::{
    ClusterId, Configuration, Envelope, Epoch, Identity, Incarnation, Index, Instant, Member, NodeId, Span,
    Violation,
};
use serde::{Deserialize, Serialize};

/// A counter that remembers who moved it: adding twice is not adding once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counter {
    pub(crate) sum: u64,
    pub(crate) history: Vec<(Index, u64)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Command {
    Add(u64),
}

impl StateMachine for Counter {
    type Command = Command;
    type Response = u64;
    type Query = ();
    type Answer = u64;
    type Image = Counter;

    fn apply(&mut self, index: Index, Command::Add(by): Command) -> u64 {
        self.sum += by;
        self.history.push((index, by));
        self.sum
    }

    fn query(&self, (): ()) -> u64 {
        self.sum
    }

    fn freeze(&self) -> Counter {
        self.clone()
    }

    fn write(image: &Counter, out: &mut dyn Sink) {
        write_value(image, out);
    }

    fn restore(input: &mut dyn Source) -> Result<Counter, SourceError> {
        read_value(input)
    }

    fn digest(&self) -> Option<u64> {
        Some(self.sum)
    }
}

pub(crate) fn member(id: u64) -> Member {
    Member { id: NodeId(id), incarnation: Incarnation(100 + id) }
}

pub(crate) fn identity(id: u64) -> Identity {
    Identity { cluster: ClusterId(7), epoch: Epoch(0), member: member(id) }
}

pub(crate) fn request(session: SessionId, sequence: u64) -> Option<SessionRequest> {
    Some(SessionRequest { session, sequence, unanswered: 1 })
}

pub(crate) struct Node {
    pub(crate) replica: Replica<Counter>,
    pub(crate) files: Files,
    pub(crate) replies: BTreeMap<Ticket, OutcomeOf<Counter>>,
    /// Batches handed out and not yet performed; at most one.
    pub(crate) batches: VecDeque<Vec<DiskOp>>,
}

/// A cluster. Messages are delivered in order, syncs happen at once, unless the test says otherwise.
pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) config: ReplicaConfig,
    pub(crate) journal: JournalConfig,
    pub(crate) nodes: BTreeMap<u64, Node>,
    pub(crate) network: VecDeque<Envelope>,
    /// Whether a message is lost.
    pub(crate) loses: fn(&Envelope) -> bool,
    /// Whether a message is delivered twice.
    pub(crate) doubles: fn(&Envelope) -> bool,
    /// Disks that do not finish.
    pub(crate) slow_disks: Vec<u64>,
    /// Everything sent, also what was lost.
    pub(crate) sent: Vec<Envelope>,
    /// Loses, doubles and delays messages by these dice.
    pub(crate) dice: Option<Dice>,
    /// Messages that the dice hold back.
    late: Vec<Envelope>,
}

/// Numbers that look random and are the same in every run (SplitMix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % sides
    }
}

impl World {
    pub(crate) fn new(voters: u64) -> World {
        World::found(ReplicaConfig::default(), Configuration::of_voters((1..=voters).map(member)), voters)
    }

    /// Starts `servers` nodes of a founding configuration; the others exist on paper only.
    pub(crate) fn found(config: ReplicaConfig, founding: Configuration, servers: u64) -> World {
        let mut world = World {
            now: Instant(1_000_000),
            config,
            journal: JournalConfig { segment_bytes: 64 << 10, ..JournalConfig::default() },
            nodes: BTreeMap::new(),
            network: VecDeque::new(),
            loses: |_| false,
            doubles: |_| false,
            slow_disks: Vec::new(),
            sent: Vec::new(),
            dice: None,
            late: Vec::new(),
        };
        for id in 1..=servers {
            let mut files = Files::new();
            perform(&mut files, &initialise(identity(id), &founding));
            world.start(id, files);
        }
        world
    }

    fn start(&mut self, id: u64, mut files: Files) {
        let recovery =
            Recovery::start(self.journal.clone(), &files, OnDamage::Refuse).expect("the disk is whole");
        perform(&mut files, recovery.ops());
        let (journal, disk) = recovery.finish();
        let replica =
            Replica::new(self.config.clone(), journal, disk, Counter::default(), self.now, 42).unwrap();
        let (replies, batches) = (BTreeMap::new(), VecDeque::new());
        self.nodes.insert(id, Node { replica, files, replies, batches });
    }

    /// The process is killed and started again.
    pub(crate) fn restart(&mut self, id: u64) {
        let node = self.nodes.remove(&id).unwrap();
        self.start(id, node.files);
    }

    /// Does everything that can be done now.
    pub(crate) fn settle(&mut self) {
        loop {
            let mut idle = true;
            let ids: Vec<u64> = self.nodes.keys().copied().collect();
            for id in ids {
                idle &= !self.drain(id);
            }
            while let Some(envelope) = self.network.pop_front() {
                idle = false;
                self.deliver(envelope);
            }
            if idle {
                return;
            }
        }
    }

    fn deliver(&mut self, envelope: Envelope) {
        let mut copies = if (self.loses)(&envelope) { 0 } else { 1 + usize::from((self.doubles)(&envelope)) };
        if let Some(dice) = &mut self.dice {
            match dice.roll(16) {
                0 => copies = 0,
                1 => copies = 2,
                2 => self.late.push(envelope.clone()),
                3 => {
                    copies = 0;
                    self.late.push(envelope.clone());
                }
                _ => {}
            }
            if !self.late.is_empty() && dice.roll(16) == 0 {
                let at = dice.roll(self.late.len() as u64) as usize;
                self.network.push_back(self.late.swap_remove(at));
            }
        }
        let Some(node) = self.nodes.get_mut(&envelope.to.id.0) else { return };
        for _ in 0..copies {
            let result = node.replica.handle_message(self.now, envelope.clone());
            let old = matches!(result, Err(Violation::BootWentBack { .. }));
            assert!(result.is_ok() || (old && self.dice.is_some()), "nobody here breaks a rule: {result:?}");
        }
    }

    fn drain(&mut self, id: u64) -> bool {
        let node = self.nodes.get_mut(&id).unwrap();
        let mut busy = false;
        loop {
            while let Some(action) = node.replica.poll_action() {
                busy = true;
                match action {
                    ReplicaAction::Send(envelope) => {
                        self.sent.push(envelope.clone());
                        self.network.push_back(envelope);
                    }
                    ReplicaAction::Disk(batch) => node.batches.push_back(batch.ops),
                    ReplicaAction::Receive(job) => {
                        perform(&mut node.files, &job.ops);
                        node.replica.handle_receive_done(self.now);
                    }
                    ReplicaAction::TakeSnapshot(job) => {
                        let files = &mut node.files;
                        let written = job.write(&mut |op| {
                            perform(files, &[op]);
                            Ok::<(), String>(())
                        });
                        node.replica.handle_snapshot_written(self.now, &written.expect("the disk is whole"));
                    }
                    ReplicaAction::RestoreSnapshot(job) => {
                        let files = &node.files;
                        let restored = job.read(&mut |file, offset, bytes| files.read(file, offset, bytes));
                        node.replica.handle_restored(self.now, &job, restored);
                    }
                    ReplicaAction::Load(job) => {
                        let files = &node.files;
                        let loaded = job.run(&mut |file, offset, bytes| files.read(file, offset, bytes));
                        node.replica.handle_loaded(self.now, loaded);
                    }
                    ReplicaAction::Reply(ticket, outcome) => {
                        let before = node.replies.insert(ticket, outcome);
                        assert!(before.is_none(), "{ticket:?} has two replies");
                    }
                    ReplicaAction::RoleChanged(_) => {}
                }
            }
            assert!(node.batches.len() <= 1, "one batch at a time");
            if self.slow_disks.contains(&id) {
                return busy;
            }
            let Some(ops) = node.batches.pop_front() else { return busy };
            perform(&mut node.files, &ops);
            node.replica.handle_batch_done(self.now);
        }
    }

    /// Lets time pass, in steps of what the nodes wait for.
    pub(crate) fn pass(&mut self, span: Span) {
        let until = self.now.plus(span);
        self.settle();
        loop {
            let next = self.nodes.values().filter_map(|node| node.replica.next_tick()).min();
            let Some(next) = next.filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            for node in self.nodes.values_mut() {
                node.replica.tick(self.now);
            }
            self.settle();
        }
        self.now = until;
    }

    /// Waits until somebody leads whom all others follow.
    pub(crate) fn elect(&mut self) -> u64 {
        for _ in 0..100 {
            self.pass(Span::from_millis(100));
            let leader = self.nodes.iter().find(|(_, node)| node.replica.raft().is_leader());
            if let Some((&id, _)) = leader
                && self.nodes.values().all(|node| node.replica.raft().leader() == Some(member(id)))
            {
                return id;
            }
        }
        panic!("no leader in 10 seconds");
    }

    pub(crate) fn follower(&self, leader: u64) -> u64 {
        *self.nodes.keys().find(|id| **id != leader).unwrap()
    }

    pub(crate) fn at(&mut self, id: u64) -> &mut Replica<Counter> {
        &mut self.nodes.get_mut(&id).unwrap().replica
    }

    pub(crate) fn propose(&mut self, id: u64, request: Option<SessionRequest>, by: u64) -> Ticket {
        let now = self.now;
        self.at(id).propose(now, request, Command::Add(by))
    }

    pub(crate) fn query(&mut self, id: u64) -> Ticket {
        let now = self.now;
        self.at(id).query(now, ())
    }

    pub(crate) fn open_session(&mut self, id: u64) -> SessionId {
        let now = self.now;
        let ticket = self.at(id).open_session(now);
        self.pass(Span::from_millis(100));
        match self.reply(id, ticket) {
            Some(Outcome::Opened(session)) => session,
            other => panic!("no session: {other:?}"),
        }
    }

    pub(crate) fn reply(&self, id: u64, ticket: Ticket) -> Option<OutcomeOf<Counter>> {
        self.nodes[&id].replies.get(&ticket).cloned()
    }

    pub(crate) fn forwards(&self) -> Vec<&Envelope> {
        self.sent.iter().filter(|envelope| is_forward(envelope)).collect()
    }

    /// All replicas have applied the same, without a stop.
    pub(crate) fn assert_equal(&self) {
        let mut seen = self.nodes.values().map(|node| {
            assert_eq!(node.replica.stopped(), None::<&StopReason>);
            let replica = &node.replica;
            (replica.applied(), replica.state().clone(), replica.sessions().clone())
        });
        let first = seen.next().unwrap();
        assert!(seen.all(|other| other == first));
    }
}

pub(crate) fn is_forward(envelope: &Envelope) -> bool {
    matches!(envelope.message, Message::Forward(_))
}

pub(crate) fn is_forward_answer(envelope: &Envelope) -> bool {
    matches!(envelope.message, Message::ForwardAnswer(_))
}

fn perform(files: &mut Files, ops: &[DiskOp]) {
    for op in ops {
        match op {
            DiskOp::Create { file, bytes } => {
                files.insert(file.clone(), vec![0; *bytes as usize]);
            }
            DiskOp::Write { file, offset, bytes } => {
                let at = *offset as usize;
                let content = files.get_mut(file).expect("it exists");
                content.resize(content.len().max(at + bytes.len()), 0);
                content[at..at + bytes.len()].copy_from_slice(bytes);
            }
            DiskOp::Remove { file } => {
                files.remove(file);
            }
            DiskOp::Sync { .. } | DiskOp::SyncDirectory => {}
        }
    }
}
