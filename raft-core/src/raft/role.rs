//! What a node is, with the data of that role and no other (Raft §5.1).

use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;

use crate::action::RoleName;
use crate::message::SnapshotChunkAnswer;
use crate::raft::Sender;
use crate::raft::progress::Progress;
use crate::raft::queue::Queue;
use crate::raft::read::LeaderRead;
use crate::raft::shelf::Shelf;
use crate::types::{Index, Instant, LogId, Member, Round};

/// A node's role. Role data dies with the role.
#[derive(Clone, Debug)]
pub(crate) enum Role {
    Follower(Follower),
    PreCandidate(PreCandidate),
    Candidate(Candidate),
    Leader(Leader),
}

impl Role {
    pub(crate) fn name(&self) -> RoleName {
        match self {
            Role::Follower(_) => RoleName::Follower,
            Role::PreCandidate(_) => RoleName::PreCandidate,
            Role::Candidate(_) => RoleName::Candidate,
            Role::Leader(_) => RoleName::Leader,
        }
    }
}

/// Follows a leader of its term, or waits for one.
#[derive(Clone, Debug)]
pub(crate) struct Follower {
    pub(crate) leader: Option<Sender>,
    /// When it will ask whether an election could be won.
    pub(crate) election_deadline: Instant,
    /// The log agrees with the leader's through here, as this leader confirmed in this term.
    pub(crate) confirmed: Index,
    /// The highest commit index that this leader told, clamped to `confirmed` when used.
    pub(crate) leader_commit: Index,
    /// Appends ahead of the log.
    pub(crate) shelf: Shelf,
    /// The highest round heard.
    pub(crate) round: Round,
    /// The highest round answered, by whatever message.
    pub(crate) round_answered: Round,
    /// An append was accepted and is not acknowledged in full yet.
    pub(crate) acknowledgement_owed: bool,
    /// An append that held nothing new was accepted: an acknowledgement was lost.
    pub(crate) repeat_owed: bool,
    /// The highest index acknowledged.
    pub(crate) acknowledged: Index,
    /// A rejection to send: the refused entry, and where to look next.
    pub(crate) rejection_owed: Option<Box<(LogId, LogId)>>,
    /// How far a snapshot has come, to be told.
    pub(crate) chunk_answer_owed: Option<Box<SnapshotChunkAnswer>>,
}

impl Follower {
    pub(crate) fn new(leader: Option<Sender>, election_deadline: Instant) -> Follower {
        Follower {
            leader,
            election_deadline,
            confirmed: Index(0),
            leader_commit: Index(0),
            shelf: Shelf::default(),
            round: Round(0),
            round_answered: Round(0),
            acknowledgement_owed: false,
            repeat_owed: false,
            acknowledged: Index(0),
            rejection_owed: None,
            chunk_answer_owed: None,
        }
    }
}

/// Asks whether it would be elected, changing nothing (thesis §9.6).
#[derive(Clone, Debug)]
pub(crate) struct PreCandidate {
    pub(crate) election_deadline: Instant,
    pub(crate) round: Round,
    /// What the leader of this term confirmed: it may be back.
    pub(crate) confirmed: Index,
    pub(crate) granted: BTreeSet<Member>,
    /// Whom to ask still.
    pub(crate) to_ask: VecDeque<Member>,
}

/// Asks for votes.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    /// From when the requests left; none while they wait for the disk.
    pub(crate) election_deadline: Option<Instant>,
    /// The write that must be durable before a request leaves: hard state and log.
    pub(crate) needs: u64,
    pub(crate) granted: BTreeSet<Member>,
    /// Whom to ask still.
    pub(crate) to_ask: VecDeque<Member>,
}

/// Leads.
#[derive(Clone, Debug)]
pub(crate) struct Leader {
    pub(crate) peers: Vec<(Member, Progress)>,
    /// The first entry of this term. A commit at or above it is a commit of this term's own.
    pub(crate) term_start: Index,
    pub(crate) round: Round,
    pub(crate) heartbeat_due: Instant,
    /// When a majority of each half had last been heard.
    pub(crate) quorum_heard: Instant,
    pub(crate) reads: Queue<LeaderRead>,
    /// Bytes of entries above the commit index.
    pub(crate) uncommitted_bytes: u64,
}

impl Leader {
    /// What is known of a peer. A handful of peers is found faster by looking at each.
    pub(crate) fn peer(&self, member: Member) -> Option<&Progress> {
        self.peers.iter().find(|(m, _)| *m == member).map(|(_, peer)| peer)
    }

    /// See [`Leader::peer`].
    pub(crate) fn peer_mut(&mut self, member: Member) -> Option<&mut Progress> {
        self.peers.iter_mut().find(|(m, _)| *m == member).map(|(_, peer)| peer)
    }
}
