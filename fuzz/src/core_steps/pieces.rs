//! Snapshots from peers: their pieces, right ones mostly; and followers that are so far behind that they need one.

use bytes::Bytes;
use raft_core::message::{AppendRejection, Reception, SnapshotChunk, SnapshotChunkAnswer};
use raft_core::{Envelope, Index, LogId, MemberSet, Message, NodeId, Round, SnapshotMeta, Term};
use xxhash_rust::xxh3::xxh3_64;

use super::forge::{Forge, ME, Step, log_id, member, near_index, near_term};
use super::host::Host;
use super::snapshots::{content, length};

/// A snapshot on its way to the node.
pub(super) struct Transfer {
    snapshot: SnapshotMeta,
    content: Bytes,
    /// Where the next piece starts.
    next: usize,
    /// Where the last one started.
    last: usize,
}

impl Transfer {
    /// Of entries that the node does not have yet, mostly.
    fn new(host: &Host, step: Step) -> Transfer {
        let Step([_, _, _, index, _, how, ..]) = step;
        let raft = &host.raft;
        let index = near_index(raft, Index(raft.status().last.index.0.saturating_add(1)), index);
        let mut last = log_id(raft, index, how);
        last.term = last.term.max(Term(1));
        let content = Bytes::from(content(last, length(how)));
        let configuration = raft.configuration().clone();
        let snapshot =
            SnapshotMeta { last, configuration, length: content.len() as u64, digest: xxh3_64(&content) };
        Transfer { snapshot, content, next: 0, last: 0 }
    }

    /// What a snapshot that can't be says of itself.
    fn spoil(&mut self, how: u8) {
        let snapshot = &mut self.snapshot;
        match how % 8 {
            0 | 1 => snapshot.digest ^= 1,
            2 => snapshot.length += 1,
            3 => snapshot.length = if how < 128 { snapshot.length.saturating_sub(1) } else { u64::MAX },
            4 => snapshot.last.term = Term(0),
            5 => snapshot.configuration.voters = MemberSet::default(),
            6 => snapshot.configuration.learners = (100..100 + 8 * u64::from(how)).map(member).collect(),
            _ => snapshot.last = LogId { term: snapshot.last.term, index: Index(u64::MAX) },
        }
    }

    fn piece(&self, start: usize, size: usize) -> (u64, Bytes) {
        let start = start.min(self.content.len());
        let end = start.saturating_add(size).min(self.content.len());
        (start as u64, self.content.slice(start..end))
    }
}

/// Bytes of a piece.
fn size(how: u8) -> usize {
    [64, 300, 1, 5_000, usize::MAX, 100, 63, 0][usize::from(how % 8)]
}

impl Forge {
    /// A piece of the snapshot that is on its way, or the first of a new one.
    pub(super) fn piece(&mut self, host: &Host, step: Step) -> Option<Envelope> {
        let Step([_, _, _, _, what, how, bytes, _]) = step;
        let size = size(bytes);
        if self.transfer.is_none() || what % 16 < 4 {
            self.transfer = Some(Transfer::new(host, step));
        }
        let transfer = self.transfer.as_mut()?;
        let (offset, bytes) = match what % 16 {
            0..=9 => return self.next_piece(host, step),
            10 => transfer.piece(transfer.last, size),
            11 => transfer.piece(transfer.next + usize::from(how), size),
            12 => transfer.piece(usize::from(how) << (bytes & 3), size),
            13 => {
                transfer.spoil(how);
                transfer.piece(transfer.next, size)
            }
            // Other bytes than the snapshot's.
            14 => {
                let (offset, bytes) = transfer.piece(transfer.next, size);
                transfer.next += bytes.len();
                (offset, Bytes::from(vec![how; bytes.len()]))
            }
            // Outside of it.
            _ => (u64::MAX - u64::from(how), Bytes::from(vec![how; usize::from(how)])),
        };
        Some(self.chunk(host, step, offset, bytes))
    }

    /// The next piece of the snapshot that is on its way.
    pub(super) fn next_piece(&mut self, host: &Host, step: Step) -> Option<Envelope> {
        let Step([.., bytes, _]) = step;
        let transfer = self.transfer.get_or_insert_with(|| Transfer::new(host, step));
        let (offset, bytes) = transfer.piece(transfer.next, size(bytes));
        transfer.last = transfer.next;
        transfer.next += bytes.len();
        Some(self.chunk(host, step, offset, bytes))
    }

    fn chunk(&self, host: &Host, step: Step, offset: u64, bytes: Bytes) -> Envelope {
        let Step([_, who, term, .., flags]) = step;
        let raft = &host.raft;
        let leader = raft.leader().filter(|leader| who < 192 && leader.id != NodeId(ME));
        let snapshot = self.transfer.as_ref().expect("made by the callers").snapshot.clone();
        let term = near_term(raft.term().max(Term(1)), term);
        let round = Round(u64::from(flags));
        let chunk = SnapshotChunk { term, round, snapshot: Box::new(snapshot), offset, bytes };
        self.envelope(raft, leader.unwrap_or(self.peer(who)), flags, Message::SnapshotChunk(chunk))
    }

    /// The answer to an append of a follower that has next to nothing; or one about a snapshot that it is getting.
    pub(super) fn answer_from_behind(&self, host: &Host, back: usize, step: Step) -> Option<Envelope> {
        let Step([_, _, _, _, what, term, index, flags]) = step;
        let sent = host.sent(back)?;
        let raft = &host.raft;
        let term = near_term(sent.message.term(), term);
        let message = if let Message::Append(m) = &sent.message {
            let hint = log_id(raft, near_index(raft, Index(0), index), what);
            let (round, refused) = (m.round, m.previous);
            Message::AppendRejection(AppendRejection { term, round, refused, hint, last: hint.index })
        } else if let Message::SnapshotChunk(m) = &sent.message {
            let received = m.offset.saturating_add(u64::from(what)).saturating_sub(u64::from(index));
            let (snapshot, digest) = (m.snapshot.last, m.snapshot.digest ^ u64::from(what >> 7));
            let reception = if what & 64 != 0 { Reception::LacksBeginning } else { Reception::GoesOn };
            Message::SnapshotChunkAnswer(SnapshotChunkAnswer { term, snapshot, digest, received, reception })
        } else {
            return None;
        };
        Some(self.envelope(raft, sent.to, flags, message))
    }
}
