//! Faults as a list: what happens when, to whom, for how long. It can be printed, edited and run again.

use raft_core::Message;
use serde::{Deserialize, Serialize};

use crate::counts::Effect;

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// When it begins, in microseconds of virtual time.
    pub at: u64,
    /// How long it lasts; for a crash, how long the node stays down.
    pub duration: u64,
    /// What happens.
    pub what: FaultKind,
}

/// To whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The nodes whose bit is set; node 0 is the lowest bit.
    Nodes(u16),
    /// Whoever leads then; a node by the time of day if nobody does.
    Leader,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The process is killed; the cache survives.
    Kill(Target),
    /// The machine loses power.
    PowerLoss(Target),
    /// The process is killed, and the machine loses power half of the duration later.
    KillThenPowerLoss(Target),
    /// All machines lose power.
    ClusterPowerLoss,
    /// The process is stopped, and its clock runs on.
    Pause(Target),
    /// Everything takes this node so many times as long.
    Slow(Target, u32),
    /// The node's clock jumps ahead by so many microseconds.
    ClockJump(Target, u64),
    /// The node's clock is set back by so many microseconds, though never below zero.
    ClockBack(Target, u64),
    /// No disk operation ends.
    DiskStall(Target),
    /// The next sync fails.
    SyncError(Target),
    /// The next write fails.
    WriteError(Target),
    /// No file can be created; what exists can be written, for it was allocated whole.
    DiskFull(Target),
    /// Reads of the disk fail while it lasts: each with this probability in parts per million.
    ReadErrors(Target, u32),
    /// A synced sector decays; the number picks which. Then the node is restarted.
    Rot(Target, u64),
    /// A synced sector decays; the number picks which. The process goes on, and may read it long after, or never.
    RotUnnoticed(Target, u64),
    /// The host asks for a snapshot, whatever the policy says.
    Snapshot(Target),
    /// Whoever leads is cut off, and the others take snapshots of what they commit meanwhile: what it gets when it is
    /// back is a snapshot that knows nothing of its tail.
    Overtake,
    /// Whoever leads goes on believing so while the others elect and write: see [`Deception`].
    StaleLeader(Deception),
    /// Whoever leads is cut off with a tail for the duration, and then its successor, so that it may lead once more, in a
    /// later term and with other logs around it. Then it hears again what was answered to it in the first one.
    OldAnswers,
    /// Links are cut.
    Partition {
        /// Its name.
        shape: Shape,
        /// By sender, the receivers that can't be reached, as bits. Empty with [`Shape::Leader`] and
        /// [`Shape::Overtake`].
        cut: Vec<u16>,
        /// The kinds of message that are dropped, as bits in the order of [`message_kind`].
        messages: u32,
    },
    /// What some nodes send of some kinds of message is held back, and then arrives at once: answers that come when
    /// the question is long forgotten.
    Hold {
        /// The senders, as bits.
        from: u16,
        /// The kinds, as bits in the order of [`message_kind`].
        messages: u32,
    },
    /// A link holds everything back, and then delivers it at once.
    Clog {
        /// The sender.
        from: u8,
        /// The receiver.
        to: u8,
    },
}

/// Why a leader believes that it leads still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deception {
    /// What it hears for the duration arrives ever later, at last by as much; then the others hear it no more, while it
    /// hears what they said before.
    LateAnswers,
    /// It is paused. When it goes on, it meets its clients, its timers and its socket in any order.
    Pause,
    /// Its clock shows a moment for each so many moments that pass, and it is cut off from the other members.
    SlowClock(u32),
}

/// The shapes of partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// One node against the rest.
    Isolate,
    /// Two halves.
    Halves,
    /// Some links in one direction.
    OneWay,
    /// Two halves that share one node.
    Bridge,
    /// Each node sees a majority, and no two see the same one.
    Ring,
    /// Whoever leads, alone.
    Leader,
    /// Some kinds of message only.
    Kinds,
    /// Whoever leads, alone, while the others compact.
    Overtake,
    /// Whoever leads is not heard by the others.
    Unheard,
}

impl Shape {
    /// What a drop counts as.
    #[must_use]
    pub fn effect(self) -> Effect {
        match self {
            Shape::Isolate => Effect::DroppedIsolate,
            Shape::Halves => Effect::DroppedHalves,
            Shape::OneWay => Effect::DroppedOneWay,
            Shape::Bridge => Effect::DroppedBridge,
            Shape::Ring => Effect::DroppedRing,
            Shape::Leader => Effect::DroppedLeader,
            Shape::Kinds => Effect::DroppedKind,
            Shape::Overtake => Effect::DroppedOvertake,
            Shape::Unheard => Effect::DroppedUnheard,
        }
    }
}

/// Some of the numbers of [`message_kind`].
pub(crate) mod kinds {
    pub(crate) const PRE_VOTE: u8 = 0;
    pub(crate) const REQUEST_VOTE: u8 = 2;
    pub(crate) const VOTE_ANSWER: u8 = 3;
    pub(crate) const ACKNOWLEDGEMENT: u8 = 5;
    pub(crate) const REJECTION: u8 = 6;
    pub(crate) const HEARTBEAT_ANSWER: u8 = 8;
    pub(crate) const READ_INDEX_ANSWER: u8 = 11;
    pub(crate) const CHUNK_ANSWER: u8 = 17;
}

/// How many kinds of message there are.
pub const MESSAGE_KINDS: u8 = 18;

/// A message's kind as a small number.
#[must_use]
pub fn message_kind(message: &Message) -> u8 {
    match message {
        Message::PreVote(_) => 0,
        Message::PreVoteAnswer(_) => 1,
        Message::RequestVote(_) => 2,
        Message::VoteAnswer(_) => 3,
        Message::Append(_) => 4,
        Message::AppendAcknowledgement(_) => 5,
        Message::AppendRejection(_) => 6,
        Message::Heartbeat(_) => 7,
        Message::HeartbeatAnswer(_) => 8,
        Message::StaleTerm(_) => 9,
        Message::ReadIndex(_) => 10,
        Message::ReadIndexAnswer(_) => 11,
        Message::Abstention(_) => 12,
        Message::AbstentionAnswer(_) => 13,
        Message::Forward(_) => 14,
        Message::ForwardAnswer(_) => 15,
        Message::SnapshotChunk(_) => 16,
        Message::SnapshotChunkAnswer(_) => 17,
    }
}

/// The nodes of a mask.
pub fn nodes_of(mask: u16) -> impl Iterator<Item = usize> {
    (0..16).filter(move |node| mask >> node & 1 == 1)
}
