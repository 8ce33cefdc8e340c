//! Peers that follow whoever asks, and vote for anyone: each has a log, perhaps a part of a snapshot, and messages that it has not read.
//! The steps of an input make them late, forgetful and deaf; lies are told in their names elsewhere.

use std::collections::{BTreeMap, VecDeque};

use raft_core::message::{
    Append, AppendAcknowledgement, AppendRejection, HeartbeatAnswer, PreVoteAnswer, Reception, SnapshotChunk,
    SnapshotChunkAnswer, VoteAnswer,
};
use raft_core::{Entry, Envelope, Index, LogId, Member, Message, SnapshotMeta};

/// Messages to one peer that it may leave unread; the oldest are lost.
const UNREAD_MAX: usize = 64;

/// What is on its way to each peer.
#[derive(Default)]
pub(super) struct Mail {
    boxes: BTreeMap<Member, VecDeque<Message>>,
}

impl Mail {
    pub(super) fn put(&mut self, envelope: &Envelope) {
        let unread = self.boxes.entry(envelope.to).or_default();
        if unread.len() == UNREAD_MAX {
            unread.pop_front();
        }
        unread.push_back(envelope.message.clone());
    }

    /// The oldest message to a peer, or with `skips` one after it.
    pub(super) fn take(&mut self, to: Member, skips: usize) -> Option<Message> {
        let unread = self.boxes.get_mut(&to)?;
        let place = skips.min(unread.len().checked_sub(1)?);
        unread.remove(place)
    }

    /// The oldest messages to a peer are lost.
    pub(super) fn lose(&mut self, to: Member, count: usize) {
        if let Some(unread) = self.boxes.get_mut(&to) {
            unread.drain(..count.min(unread.len()));
        }
    }
}

/// One peer.
#[derive(Default)]
pub(super) struct Follower {
    /// The last entry of its snapshot.
    base: LogId,
    /// What comes after that.
    log: Vec<LogId>,
    incoming: Option<Incoming>,
}

/// The part of a snapshot that it holds.
struct Incoming {
    snapshot: SnapshotMeta,
    received: u64,
    lacks_beginning: bool,
}

impl Follower {
    fn last(&self) -> LogId {
        self.log.last().copied().unwrap_or(self.base)
    }

    fn holds(&self, id: LogId) -> bool {
        id.index <= self.base.index || self.log.contains(&id)
    }

    pub(super) fn base(&self) -> LogId {
        self.base
    }

    /// All but the first entries are lost, and with them the snapshot below, if there is to be next to nothing.
    pub(super) fn cut(&mut self, keeps: usize, keeps_part: bool) {
        self.log.truncate(keeps);
        if keeps == 0 {
            (self.base, self.log) = (LogId::default(), Vec::new());
        }
        self.incoming = self.incoming.take().filter(|_| keeps_part);
    }

    /// What it answers; `holds_back`: without installing what is complete, which it does at the next message.
    pub(super) fn answer(&mut self, message: &Message, holds_back: bool) -> Option<Message> {
        let term = message.term();
        Some(match message {
            Message::PreVote(m) => {
                Message::PreVoteAnswer(PreVoteAnswer { term, round: m.round, granted: true })
            }
            Message::RequestVote(_) => Message::VoteAnswer(VoteAnswer { term, granted: true }),
            Message::Heartbeat(m) => Message::HeartbeatAnswer(HeartbeatAnswer { term, round: m.round }),
            Message::Append(m) => self.append(m),
            Message::SnapshotChunk(m) => self.piece(m, holds_back),
            Message::PreVoteAnswer(_)
            | Message::VoteAnswer(_)
            | Message::AppendAcknowledgement(_)
            | Message::AppendRejection(_)
            | Message::HeartbeatAnswer(_)
            | Message::StaleTerm(_)
            | Message::ReadIndex(_)
            | Message::ReadIndexAnswer(_)
            | Message::Abstention(_)
            | Message::AbstentionAnswer(_)
            | Message::Forward(_)
            | Message::ForwardAnswer(_)
            | Message::SnapshotChunkAnswer(_) => return None,
        })
    }

    fn append(&mut self, m: &Append) -> Message {
        let (term, round, refused) = (m.term, m.round, m.previous);
        if !self.holds(refused) {
            let may_agree = |id: &&LogId| id.index <= refused.index && id.term <= refused.term;
            let hint = self.log.iter().rev().find(may_agree).copied().unwrap_or(self.base);
            let last = self.last().index;
            return Message::AppendRejection(AppendRejection { term, round, refused, hint, last });
        }
        let mut matched = refused.index;
        for id in m.entries.iter().map(Entry::id) {
            if !self.holds(id) {
                self.log.retain(|ours| ours.index < id.index);
                self.log.push(id);
            }
            matched = id.index;
        }
        Message::AppendAcknowledgement(AppendAcknowledgement { term, round, matched })
    }

    fn piece(&mut self, m: &SnapshotChunk, holds_back: bool) -> Message {
        let (term, last) = (m.term, m.snapshot.last);
        let installed = AppendAcknowledgement { term, round: m.round, matched: last.index };
        if self.holds(last) {
            return Message::AppendAcknowledgement(installed);
        }
        let is_same = |incoming: &Incoming| incoming.snapshot.same_content(&m.snapshot);
        let mut incoming = self.incoming.take().filter(is_same).unwrap_or_else(|| Incoming {
            snapshot: (*m.snapshot).clone(),
            received: 0,
            lacks_beginning: m.offset > 0,
        });
        if m.offset <= incoming.received {
            incoming.received = incoming.received.max(m.offset + m.bytes.len() as u64);
            incoming.lacks_beginning = false;
        }
        if incoming.received == m.snapshot.length && !holds_back {
            (self.base, self.log) = (last, Vec::new());
            return Message::AppendAcknowledgement(installed);
        }
        let received = incoming.received;
        let reception = if incoming.lacks_beginning { Reception::LacksBeginning } else { Reception::GoesOn };
        self.incoming = Some(incoming);
        let digest = m.snapshot.digest;
        Message::SnapshotChunkAnswer(SnapshotChunkAnswer {
            term,
            snapshot: last,
            digest,
            received,
            reception,
        })
    }

    /// Whether it holds everything through here.
    pub(super) fn has(&self, index: Index) -> bool {
        self.last().index >= index
    }
}
