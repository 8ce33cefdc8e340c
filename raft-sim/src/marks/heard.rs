//! What the marks need to know of a message, taken before the message is handed over.

use raft_core::message::Reception;
use raft_core::{Envelope, Index, LogId, Member, Message, Term};

/// A message, in brief.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Append {
        term: Term,
        previous: LogId,
        first: Option<LogId>,
        last: LogId,
        commit: Index,
    },
    Heartbeat {
        commit: Index,
    },
    Rejection {
        refused: LogId,
        hint: LogId,
        last: Index,
    },
    RequestVote {
        from: Member,
        term: Term,
        last: LogId,
    },
    /// A granted vote.
    Vote {
        from: Member,
        term: Term,
    },
    ReadIndex {
        term: Term,
    },
    Chunk {
        term: Term,
        last: LogId,
        offset: u64,
        end: u64,
        length: u64,
    },
    ChunkAnswer {
        restart: bool,
    },
    AbstentionAnswer,
    Other,
}

impl Heard {
    pub(crate) fn of(envelope: &Envelope) -> Heard {
        let from = envelope.from;
        match &envelope.message {
            Message::Append(m) => Heard::Append {
                term: m.term,
                previous: m.previous,
                first: m.entries.first().map(raft_core::Entry::id),
                last: raft_core::entry::last_id(m.previous, &m.entries),
                commit: m.commit,
            },
            Message::Heartbeat(m) => Heard::Heartbeat { commit: m.commit },
            Message::AppendRejection(m) => {
                Heard::Rejection { refused: m.refused, hint: m.hint, last: m.last }
            }
            Message::RequestVote(m) => Heard::RequestVote { from, term: m.term, last: m.last },
            Message::VoteAnswer(m) if m.granted => Heard::Vote { from, term: m.term },
            Message::ReadIndex(m) => Heard::ReadIndex { term: m.term },
            Message::SnapshotChunk(m) => Heard::Chunk {
                term: m.term,
                last: m.snapshot.last,
                offset: m.offset,
                end: m.offset + m.bytes.len() as u64,
                length: m.snapshot.length,
            },
            Message::SnapshotChunkAnswer(m) => {
                Heard::ChunkAnswer { restart: m.reception == Reception::LacksBeginning }
            }
            Message::AbstentionAnswer(_) => Heard::AbstentionAnswer,
            Message::PreVote(_)
            | Message::PreVoteAnswer(_)
            | Message::VoteAnswer(_)
            | Message::AppendAcknowledgement(_)
            | Message::HeartbeatAnswer(_)
            | Message::StaleTerm(_)
            | Message::ReadIndexAnswer(_)
            | Message::Abstention(_)
            | Message::Forward(_)
            | Message::ForwardAnswer(_) => Heard::Other,
        }
    }
}
