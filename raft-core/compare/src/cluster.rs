//! The loop that both sides run in.

use bytes::Bytes;

/// One node of either side.
pub trait Node: Sized {
    /// What nodes say to each other.
    type Message;

    /// The side's name.
    const NAME: &'static str;

    /// A group without a leader, ready for an election. `heartbeat_ticks` and `election_ticks` set the times.
    fn group(size: usize, heartbeat_ticks: u64, election_ticks: u64) -> Vec<Self>;

    /// One node of the group campaigns; nobody else is about to.
    fn campaign(group: &mut [Self]);

    /// A tick of time passes.
    fn tick(&mut self);

    /// Proposes at the leader.
    fn propose(&mut self, command: &Bytes);

    /// Takes a message.
    fn handle(&mut self, message: Self::Message);

    /// Does all that the node asks for: sends, writes, applies, compacts.
    fn drain(&mut self, send: &mut impl FnMut(usize, Self::Message));

    /// Commands applied here.
    fn applied(&self) -> u64;

    /// Whether the node leads.
    fn is_leader(&self) -> bool;
}

/// Rounds between two ticks of every node.
const TICK_EVERY_ROUNDS: u64 = 256;

/// A cluster in one thread.
pub struct Cluster<N: Node> {
    pub nodes: Vec<N>,
    inboxes: Vec<Vec<N::Message>>,
    spare: Vec<N::Message>,
    rounds: u64,
    /// Messages sent so far.
    pub messages: u64,
}

impl<N: Node> Cluster<N> {
    /// A cluster without a leader.
    pub fn new(size: usize, heartbeat_ticks: u64, election_ticks: u64) -> Cluster<N> {
        let nodes = N::group(size, heartbeat_ticks, election_ticks);
        let inboxes = (0..size).map(|_| Vec::with_capacity(64)).collect();
        Cluster { nodes, inboxes, spare: Vec::with_capacity(64), rounds: 0, messages: 0 }
    }

    /// A cluster whose leader is elected and has nothing left to do.
    pub fn elected(size: usize, heartbeat_ticks: u64, election_ticks: u64) -> Cluster<N> {
        let mut cluster = Cluster::new(size, heartbeat_ticks, election_ticks);
        cluster.elect();
        cluster
    }

    /// Nothing happens but heartbeats.
    pub fn idle(&mut self, ticks: u64) {
        for _ in 0..ticks {
            self.nodes.iter_mut().for_each(N::tick);
            self.settle();
        }
    }

    /// One campaign, through to a quiet cluster with a leader.
    pub fn elect(&mut self) {
        N::campaign(&mut self.nodes);
        self.settle();
        assert!(self.nodes.iter().any(N::is_leader), "{}: the campaign elected nobody", N::NAME);
    }

    /// Rounds until nobody has anything to say.
    pub fn settle(&mut self) {
        for _ in 0..1_000 {
            let before = self.messages;
            self.round();
            if self.messages == before {
                return;
            }
        }
        panic!("{}: the cluster never falls silent", N::NAME);
    }

    /// Every node takes its messages and does its work, once.
    fn round(&mut self) {
        self.rounds += 1;
        for at in 0..self.nodes.len() {
            std::mem::swap(&mut self.inboxes[at], &mut self.spare);
            for message in self.spare.drain(..) {
                self.nodes[at].handle(message);
            }
            let (inboxes, messages) = (&mut self.inboxes, &mut self.messages);
            self.nodes[at].drain(&mut |to, message| {
                *messages += 1;
                inboxes[to].push(message);
            });
        }
    }

    /// Commits commands, with `window` of them outstanding at the leader.
    pub fn commit(&mut self, commands: u64, payload: &Bytes, window: u64) {
        let leader = self.nodes.iter().position(N::is_leader).expect("the cluster is elected");
        let mut proposed = self.nodes[leader].applied();
        let goal = proposed + commands;
        while self.nodes[leader].applied() < goal {
            let open = proposed - self.nodes[leader].applied();
            let more = (window - open).min(goal - proposed);
            for _ in 0..more {
                self.nodes[leader].propose(payload);
            }
            proposed += more;
            self.round();
            if self.rounds.is_multiple_of(TICK_EVERY_ROUNDS) {
                self.nodes.iter_mut().for_each(N::tick);
            }
        }
    }

    /// The position of a node that does not lead.
    pub fn follower(&self) -> usize {
        self.nodes.iter().position(|node| !node.is_leader()).expect("one node follows")
    }

    /// The position of the node that leads.
    pub fn leader(&self) -> usize {
        self.nodes.iter().position(N::is_leader).expect("the cluster is elected")
    }
}
