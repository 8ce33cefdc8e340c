//! What members say to each other. One variant is one sentence of the paper.

use alloc::boxed::Box;
use alloc::string::String;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::entry::Entries;
use crate::snapshot::SnapshotMeta;
use crate::types::{Boot, ClusterId, Epoch, Index, LogId, Member, Round, Term};

/// A message with the identities of both ends. What does not match its receiver is dropped unread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The cluster of the sender.
    pub cluster: ClusterId,
    /// The cluster's epoch.
    pub epoch: Epoch,
    /// The sender.
    pub from: Member,
    /// The sender's boot.
    pub from_boot: Boot,
    /// The receiver.
    pub to: Member,
    /// In an answer, the boot that asked; an answer to an earlier boot is dropped. In a question, zero.
    pub to_boot: Boot,
    /// What is said.
    pub message: Message,
}

/// What is said. Append-only: the position of a variant is its number on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// "Would you vote for me?" (thesis §9.6). Changes nothing at the receiver.
    PreVote(PreVote),
    /// The answer to a pre-vote.
    PreVoteAnswer(PreVoteAnswer),
    /// Raft §5.2, figure 2.
    RequestVote(RequestVote),
    /// The answer to a RequestVote.
    VoteAnswer(VoteAnswer),
    /// AppendEntries (Raft §5.3). Without entries it is a probe.
    Append(Append),
    /// "My log matches yours through here, durably."
    AppendAcknowledgement(AppendAcknowledgement),
    /// "My log does not match at your previous entry."
    AppendRejection(AppendRejection),
    /// A leader's sign of life, which carries no position.
    Heartbeat(Heartbeat),
    /// The answer to a heartbeat; it carries no position either.
    HeartbeatAnswer(HeartbeatAnswer),
    /// "You are behind: the term is this." The answer to a leader or candidate of an old term.
    StaleTerm(StaleTerm),
    /// A follower asks its leader for a read index (thesis §6.4).
    ReadIndex(ReadIndex),
    /// The leader's answer.
    ReadIndexAnswer(ReadIndexAnswer),
    /// A damaged node asks its leader for the last index of the log.
    Abstention(Abstention),
    /// The leader's answer.
    AbstentionAnswer(AbstentionAnswer),
    /// A command on its way to the leader. Handled by the replica.
    Forward(Forward),
    /// The leader's answer to it. Handled by the replica.
    ForwardAnswer(ForwardAnswer),
    /// A piece of the leader's snapshot (Raft §7, InstallSnapshot).
    SnapshotChunk(SnapshotChunk),
    /// "I have this much of it." That it is installed is said by an acknowledgement.
    SnapshotChunkAnswer(SnapshotChunkAnswer),
}

/// See [`Message::PreVote`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreVote {
    /// The term that the sender is in; it would campaign in the next one.
    pub term: Term,
    /// Numbers the attempts of this boot, so that an answer to an earlier one does not count.
    pub round: Round,
    /// The sender's last entry.
    pub last: LogId,
}

/// See [`Message::PreVoteAnswer`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreVoteAnswer {
    /// The term that the answering node is in.
    pub term: Term,
    /// The round of the question.
    pub round: Round,
    /// Whether the vote would be granted.
    pub granted: bool,
}

/// See [`Message::RequestVote`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestVote {
    /// The candidate's term.
    pub term: Term,
    /// The candidate's last entry (Raft §5.4.1).
    pub last: LogId,
    /// Sent at the wish of the present leader, so stickiness does not apply (thesis §3.10).
    pub transfer: bool,
}

/// See [`Message::VoteAnswer`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoteAnswer {
    /// The term in which the vote was given or refused.
    pub term: Term,
    /// Whether it was given.
    pub granted: bool,
}

/// See [`Message::Append`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Append {
    /// The leader's term.
    pub term: Term,
    /// The leader's round.
    pub round: Round,
    /// The entry before the first of `entries`.
    pub previous: LogId,
    /// Consecutive entries after `previous`.
    pub entries: Entries,
    /// The leader's commit index.
    pub commit: Index,
}

/// See [`Message::AppendAcknowledgement`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppendAcknowledgement {
    /// The leader's term.
    pub term: Term,
    /// The highest round heard from this leader.
    pub round: Round,
    /// Through which index the log agrees with the leader's and is durable.
    pub matched: Index,
}

/// See [`Message::AppendRejection`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppendRejection {
    /// The leader's term.
    pub term: Term,
    /// The round of the question.
    pub round: Round,
    /// The previous entry that was refused.
    pub refused: LogId,
    /// Where the leader should look next: the follower's last entry whose term is at most that of the refused one
    /// and whose index is below it. One round trip a divergent term.
    pub hint: LogId,
    /// The follower's last index, for the leader's curiosity; it raises nothing.
    pub last: Index,
}

/// See [`Message::Heartbeat`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The leader's term.
    pub term: Term,
    /// The leader's round.
    pub round: Round,
    /// The leader's commit index; the follower clamps it to what this leader confirmed as matching.
    pub commit: Index,
}

/// See [`Message::HeartbeatAnswer`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatAnswer {
    /// The leader's term.
    pub term: Term,
    /// The round of the question.
    pub round: Round,
}

/// See [`Message::StaleTerm`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaleTerm {
    /// The term of the node that answers.
    pub term: Term,
    /// The round of the question, zero if it had none.
    pub round: Round,
}

/// See [`Message::ReadIndex`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadIndex {
    /// The asker's term.
    pub term: Term,
    /// Numbers the questions of this boot.
    pub round: Round,
}

/// See [`Message::ReadIndexAnswer`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadIndexAnswer {
    /// The leader's term.
    pub term: Term,
    /// The round of the question.
    pub round: Round,
    /// Reads asked before the question may be answered from a state applied through this index.
    pub index: Index,
}

/// See [`Message::Abstention`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abstention {
    /// The asker's term.
    pub term: Term,
    /// Numbers the questions of this boot.
    pub round: Round,
}

/// See [`Message::AbstentionAnswer`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbstentionAnswer {
    /// The leader's term.
    pub term: Term,
    /// The round of the question.
    pub round: Round,
    /// The leader's last index when it answered.
    pub last: Index,
}

/// See [`Message::Forward`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// The leader's term as the sender knows it. A leader of another term refuses.
    pub term: Term,
    /// Numbers the forwards of this boot: (from, boot, request) names a command once and for all.
    pub request: u64,
    /// The replica's bytes of the command.
    pub command: Bytes,
}

/// See [`Message::ForwardAnswer`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardAnswer {
    /// The term of the node that answers.
    pub term: Term,
    /// The request of the question.
    pub request: u64,
    /// What became of it.
    pub outcome: ForwardOutcome,
}

/// How a transfer stands at its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reception {
    /// It goes on.
    GoesOn,
    /// The beginning is missing: it was never here, or what came is not what was named.
    LacksBeginning,
    /// The disk has no room for it. What came is gone; it may be tried again later, from the beginning.
    NoRoom,
}

/// What became of a forwarded command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ForwardOutcome {
    /// It is in the leader's log.
    Accepted(LogId),
    /// It entered no log, and never will by this request.
    Refused(String),
}

/// See [`Message::SnapshotChunk`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotChunk {
    /// The leader's term.
    pub term: Term,
    /// The leader's round.
    pub round: Round,
    /// Which snapshot.
    pub snapshot: Box<SnapshotMeta>,
    /// Where the piece starts, in bytes of content.
    pub offset: u64,
    /// The piece. Empty for an empty snapshot; and at the end of one that is all there, as a question whether it is installed.
    pub bytes: Bytes,
}

/// See [`Message::SnapshotChunkAnswer`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotChunkAnswer {
    /// The leader's term.
    pub term: Term,
    /// The last entry of the snapshot.
    pub snapshot: LogId,
    /// Its digest.
    pub digest: u64,
    /// Everything before this has come.
    pub received: u64,
    /// How the transfer stands.
    pub reception: Reception,
}

impl Message {
    /// The term that the message carries.
    #[must_use]
    pub fn term(&self) -> Term {
        match self {
            Message::PreVote(m) => m.term,
            Message::PreVoteAnswer(m) => m.term,
            Message::RequestVote(m) => m.term,
            Message::VoteAnswer(m) => m.term,
            Message::Append(m) => m.term,
            Message::AppendAcknowledgement(m) => m.term,
            Message::AppendRejection(m) => m.term,
            Message::Heartbeat(m) => m.term,
            Message::HeartbeatAnswer(m) => m.term,
            Message::StaleTerm(m) => m.term,
            Message::ReadIndex(m) => m.term,
            Message::ReadIndexAnswer(m) => m.term,
            Message::Abstention(m) => m.term,
            Message::AbstentionAnswer(m) => m.term,
            Message::Forward(m) => m.term,
            Message::ForwardAnswer(m) => m.term,
            Message::SnapshotChunk(m) => m.term,
            Message::SnapshotChunkAnswer(m) => m.term,
        }
    }

    /// The message's name, for transcripts and counters.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Message::PreVote(_) => "PreVote",
            Message::PreVoteAnswer(_) => "PreVoteAnswer",
            Message::RequestVote(_) => "RequestVote",
            Message::VoteAnswer(_) => "VoteAnswer",
            Message::Append(_) => "Append",
            Message::AppendAcknowledgement(_) => "AppendAcknowledgement",
            Message::AppendRejection(_) => "AppendRejection",
            Message::Heartbeat(_) => "Heartbeat",
            Message::HeartbeatAnswer(_) => "HeartbeatAnswer",
            Message::StaleTerm(_) => "StaleTerm",
            Message::ReadIndex(_) => "ReadIndex",
            Message::ReadIndexAnswer(_) => "ReadIndexAnswer",
            Message::Abstention(_) => "Abstention",
            Message::AbstentionAnswer(_) => "AbstentionAnswer",
            Message::Forward(_) => "Forward",
            Message::ForwardAnswer(_) => "ForwardAnswer",
            Message::SnapshotChunk(_) => "SnapshotChunk",
            Message::SnapshotChunkAnswer(_) => "SnapshotChunkAnswer",
        }
    }

    /// Which question of the receiver's boot this answers, of those that [`Round`]s number one after the other: an answer to
    /// a later one is worth as much as one to an earlier.
    pub(crate) fn answered_question(&self) -> Option<Round> {
        match self {
            Message::PreVoteAnswer(m) => Some(m.round),
            Message::ReadIndexAnswer(m) => Some(m.round),
            Message::AbstentionAnswer(m) => Some(m.round),
            Message::PreVote(_)
            | Message::RequestVote(_)
            | Message::VoteAnswer(_)
            | Message::Append(_)
            | Message::AppendAcknowledgement(_)
            | Message::AppendRejection(_)
            | Message::Heartbeat(_)
            | Message::HeartbeatAnswer(_)
            | Message::StaleTerm(_)
            | Message::ReadIndex(_)
            | Message::Abstention(_)
            | Message::Forward(_)
            | Message::ForwardAnswer(_)
            | Message::SnapshotChunk(_)
            | Message::SnapshotChunkAnswer(_) => None,
        }
    }

    /// Whether this answers a question of the receiver's, and so must name the boot that asked.
    #[must_use]
    pub fn is_answer(&self) -> bool {
        match self {
            Message::PreVoteAnswer(_)
            | Message::VoteAnswer(_)
            | Message::AppendAcknowledgement(_)
            | Message::AppendRejection(_)
            | Message::HeartbeatAnswer(_)
            | Message::StaleTerm(_)
            | Message::ReadIndexAnswer(_)
            | Message::AbstentionAnswer(_)
            | Message::ForwardAnswer(_)
            | Message::SnapshotChunkAnswer(_) => true,
            Message::PreVote(_)
            | Message::RequestVote(_)
            | Message::Append(_)
            | Message::Heartbeat(_)
            | Message::ReadIndex(_)
            | Message::Abstention(_)
            | Message::Forward(_)
            | Message::SnapshotChunk(_) => false,
        }
    }
}
