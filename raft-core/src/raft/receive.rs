//! A follower's side of a snapshot's way (Raft §7, InstallSnapshot): pieces come in any order, and go to the disk in theirs,
//! to a file that nothing else waits for. Once the digest of all of them is right and the disk has them, the snapshot is
//! installed.
//!
//! A disk without room is no failure of the node: the file goes, the leader is told, and pieces are taken again after an
//! election timeout.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use core::fmt;

use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

use super::role::Role;
use super::{Raft, Sender};
use crate::action::Action;
use crate::error::Violation;
use crate::journal;
use crate::message::{Message, Reception, SnapshotChunk, SnapshotChunkAnswer};
use crate::snapshot::{Chunk, Received, SnapshotMeta};
use crate::types::{Index, Instant, LogId, Term};

/// No log reaches this index, so a snapshot that claims to is a lie.
const INDEX_MAX: u64 = 1 << 62;

/// A snapshot that is coming in. It outlives roles and terms: another leader with the same snapshot goes on with it.
#[derive(Clone)]
pub(crate) struct Receiving {
    snapshot: SnapshotMeta,
    /// See [`Chunk::transfer`].
    transfer: u64,
    /// Everything before this is handed to the disk, or about to be.
    received: u64,
    /// Pieces that are about to be.
    pieces: VecDeque<Chunk>,
    /// Everything before this is on the disk.
    written: u64,
    /// All of it is, its file and its directory.
    is_written: bool,
    digest: Xxh3,
    /// Pieces that came before their predecessors, by offset.
    shelf: BTreeMap<u64, Bytes>,
    shelf_bytes: u64,
    /// The leader's term when the last piece came.
    term: Term,
    /// A piece was handed to the disk, if only the empty one of an empty snapshot.
    is_begun: bool,
    /// It began in the middle, or was damaged: the leader must send the beginning again.
    lacks_beginning: bool,
    /// The disk had no room: until then no piece is taken.
    no_room_until: Option<Instant>,
}

impl fmt::Debug for Receiving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {:?}", self.received, self.snapshot)
    }
}

impl Receiving {
    fn new(snapshot: SnapshotMeta, transfer: u64, term: Term, lacks_beginning: bool) -> Receiving {
        Receiving {
            snapshot,
            transfer,
            received: 0,
            pieces: VecDeque::new(),
            written: 0,
            is_written: false,
            digest: Xxh3::new(),
            shelf: BTreeMap::new(),
            shelf_bytes: 0,
            term,
            is_begun: false,
            lacks_beginning,
            no_room_until: None,
        }
    }

    #[cfg(test)]
    pub(crate) fn is_under_way(&self) -> bool {
        self.received > 0
    }

    fn is_complete(&self) -> bool {
        self.is_begun && self.received == self.snapshot.length
    }

    /// How it stands, for the leader.
    fn reception(&self, now: Instant) -> Reception {
        if self.no_room_until.is_some_and(|until| now < until) {
            Reception::NoRoom
        } else if self.lacks_beginning {
            Reception::LacksBeginning
        } else {
            Reception::GoesOn
        }
    }

    /// Keeps a piece that came too early, if there is room; otherwise the leader will send it again.
    fn put_on_shelf(&mut self, offset: u64, bytes: Bytes, bytes_max: u64) {
        let size = bytes.len() as u64;
        if size > 0 && self.shelf_bytes + size <= bytes_max && !self.shelf.contains_key(&offset) {
            self.shelf_bytes += size;
            self.shelf.insert(offset, bytes);
        }
    }

    /// The next piece in order, as far as it is new.
    fn take_from_shelf(&mut self) -> Option<Bytes> {
        loop {
            let first = self.shelf.first_entry()?;
            if *first.key() > self.received {
                return None;
            }
            let (offset, bytes) = first.remove_entry();
            self.shelf_bytes -= bytes.len() as u64;
            let known = usize::try_from(self.received - offset).unwrap_or(usize::MAX);
            if known < bytes.len() {
                return Some(bytes.slice(known..));
            }
        }
    }
}

impl Raft {
    pub(super) fn handle_snapshot_chunk(&mut self, from: Sender, m: SnapshotChunk) -> Result<(), Violation> {
        check_chunk(&m)?;
        let (bytes, bytes_max) = (m.snapshot.length, self.config.snapshot_bytes_max);
        if bytes > bytes_max {
            return Err(Violation::SnapshotTooLarge { last: m.snapshot.last, bytes, bytes_max });
        }
        self.follow(from, m.round)?;
        let last = m.snapshot.last;
        if let Some(ours) =
            self.log.id_at(last.index).filter(|ours| last.index <= self.commit && *ours != last)
        {
            return Err(Violation::CommittedConflict { ours, theirs: last });
        }
        if self.has_all_of(last) {
            self.confirm_through(last.index);
            return Ok(());
        }
        let is_overtaken =
            |receiving: &Receiving| receiving.snapshot.last.index > last.index && receiving.term == m.term;
        if self.receiving.as_deref().is_some_and(is_overtaken) {
            return Ok(()); // A leader goes on to newer snapshots only.
        }
        self.take_chunk(m);
        self.advance_receiving(from)
    }

    /// Whether everything that a snapshot covers is here: committed, or the same by Log Matching (Raft §5.3).
    fn has_all_of(&self, last: LogId) -> bool {
        last.index <= self.commit || self.log.holds(last)
    }

    /// The log agrees with the leader's through here, and the leader does not know it.
    fn confirm_through(&mut self, index: Index) {
        self.receiving = None;
        if let Role::Follower(follower) = &mut self.role {
            follower.repeat_owed = true;
            follower.confirmed = follower.confirmed.max(index);
        }
        self.advance_follower_commit();
        self.settle_abstention();
    }

    fn take_chunk(&mut self, m: SnapshotChunk) {
        let is_other = |receiving: &Receiving| !receiving.snapshot.same_content(&m.snapshot);
        if self.receiving.as_deref().is_none_or(is_other) {
            let transfer = self.next_question().0;
            self.receiving = Some(Box::new(Receiving::new(*m.snapshot, transfer, m.term, m.offset > 0)));
        }
        let bytes_max = self.config.shelf_bytes_max;
        let now = self.now;
        let Some(receiving) = &mut self.receiving else { return };
        receiving.term = m.term;
        if receiving.no_room_until.is_some_and(|until| now < until) {
            return;
        }
        let end = m.offset + m.bytes.len() as u64;
        if m.offset > receiving.received {
            receiving.put_on_shelf(m.offset, m.bytes, bytes_max);
            return;
        }
        // The first piece of an empty snapshot is empty, and the only one that is.
        let is_new = end > receiving.received || receiving.snapshot.length == 0;
        // A disk that is behind gets no more to do; the piece will come again.
        let behind = receiving.received - receiving.written;
        if is_new && !receiving.is_complete() && behind < self.config.unsynced_bytes_max {
            let known = usize::try_from(receiving.received - m.offset).unwrap_or(usize::MAX);
            let mut piece = Some(m.bytes.slice(known.min(m.bytes.len())..));
            while let Some(bytes) = piece {
                let offset = receiving.received;
                receiving.received += bytes.len() as u64;
                receiving.digest.update(&bytes);
                receiving.lacks_beginning = false;
                receiving.is_begun = true;
                let (transfer, snapshot) = (receiving.transfer, receiving.snapshot.clone());
                receiving.pieces.push_back(Chunk { transfer, snapshot, offset, bytes });
                piece = receiving.take_from_shelf();
            }
        }
    }

    /// Installs what is complete and on the disk, or tells the leader how far it is.
    fn advance_receiving(&mut self, from: Sender) -> Result<(), Violation> {
        let Some(receiving) = &self.receiving else { return Ok(()) };
        let damaged = receiving.is_complete() && receiving.digest.digest() != receiving.snapshot.digest;
        if damaged {
            let snapshot = receiving.snapshot.clone();
            let transfer = self.next_question().0;
            let anew = Receiving::new(snapshot, transfer, self.hard_state.term, true);
            self.receiving = Some(Box::new(anew));
        }
        if !self.install_received() {
            self.owe_chunk_answer();
        }
        if damaged { Err(Violation::SnapshotDigest(from.member)) } else { Ok(()) }
    }

    fn owe_chunk_answer(&mut self) {
        let owed = self.receiving.as_ref().map(|receiving| SnapshotChunkAnswer {
            term: self.hard_state.term,
            snapshot: receiving.snapshot.last,
            digest: receiving.snapshot.digest,
            received: receiving.received,
            reception: receiving.reception(self.now),
        });
        if let Role::Follower(follower) = &mut self.role {
            follower.chunk_answer_owed = owed.map(Box::new);
        }
    }

    /// The disk has more of an incoming snapshot.
    pub(super) fn note_received(&mut self, received: Received) {
        let is_it = |receiving: &&mut Receiving| receiving.transfer == received.transfer;
        let Some(receiving) = self.receiving.as_deref_mut().filter(is_it) else { return };
        receiving.written = receiving.written.max(received.through.min(receiving.received));
        receiving.is_written |= received.is_whole && receiving.is_complete();
        self.install_received();
    }

    /// The disk has no room for an incoming snapshot: what was written of it is gone.
    pub(super) fn note_no_room(&mut self, transfer: u64) {
        let is_it = |receiving: &&Receiving| receiving.transfer == transfer;
        let Some(receiving) = self.receiving.as_deref().filter(is_it) else { return };
        let (snapshot, term) = (receiving.snapshot.clone(), receiving.term);
        let next = self.next_question().0;
        let mut anew = Receiving::new(snapshot, next, term, true);
        anew.no_room_until = Some(self.now.plus(self.config.election_timeout));
        self.receiving = Some(Box::new(anew));
        self.owe_chunk_answer();
    }

    /// Installs the snapshot that has come, if the disk has all of it. Only as a follower: whoever campaigns does so with the
    /// log that it asked votes for. It is done then once a leader asks. Says whether nothing is left to come.
    fn install_received(&mut self) -> bool {
        let is_follower = matches!(self.role, Role::Follower(_));
        let is_due = |receiving: &&Receiving| receiving.is_written && is_follower;
        let Some(receiving) = self.receiving.as_deref().filter(is_due) else { return false };
        let snapshot = receiving.snapshot.clone();
        self.receiving = None;
        // What it covers may have come as entries meanwhile.
        if self.has_all_of(snapshot.last) {
            self.confirm_through(snapshot.last.index);
        } else {
            self.install(snapshot);
        }
        true
    }

    /// The next piece for the disk.
    pub(super) fn poll_receive(&mut self) -> Option<Action> {
        self.receiving.as_mut()?.pieces.pop_front().map(Action::Receive)
    }

    /// Makes a received snapshot current. The whole log goes: what of it agrees with the leader's, the snapshot
    /// covers, and had its last entry been here, there would have been nothing to install.
    fn install(&mut self, snapshot: SnapshotMeta) {
        let last = snapshot.last;
        assert!(last.index > self.commit, "a snapshot never takes back what is committed");
        self.gate.install(snapshot.clone(), self.commit);
        self.log.reset(last);
        self.configurations = alloc::vec![(last.index, snapshot.configuration.clone())];
        self.commit = last.index;
        self.loaded_to_apply = None;
        for id in self.proposals.settle_covered(last.index) {
            self.notices.push_back(Action::Unknown(id));
        }
        self.restoring = Some(Box::new(snapshot.clone()));
        self.snapshot = Some(Box::new(snapshot));
        if let Role::Follower(follower) = &mut self.role {
            follower.confirmed = last.index;
            follower.acknowledgement_owed = true;
            follower.rejection_owed = None;
            follower.chunk_answer_owed = None;
        }
        // What is on the shelf follows the snapshot now, or is in it.
        self.accept_shelved();
    }

    /// The answer to the newest piece. It promises nothing, and so it waits for nothing.
    pub(super) fn poll_chunk_answer(&mut self) -> Option<(Sender, Message)> {
        let Role::Follower(follower) = &mut self.role else { return None };
        let leader = follower.leader?;
        let answer = follower.chunk_answer_owed.take()?;
        Some((leader, Message::SnapshotChunkAnswer(*answer)))
    }
}

/// A piece lies within its snapshot, and the snapshot is of a leader of this term.
fn check_chunk(m: &SnapshotChunk) -> Result<(), Violation> {
    let last = m.snapshot.last;
    let end = m.offset.checked_add(m.bytes.len() as u64);
    let is_inside = end.is_some_and(|end| end <= m.snapshot.length);
    let is_possible = last.index > Index(0) && last.term > Term(0) && last.term <= m.term;
    // What a log never reaches would leave no room to count on.
    let is_bounded = last.index.0 <= INDEX_MAX;
    let has_voters = !m.snapshot.configuration.voters.is_empty();
    if is_inside && is_possible && is_bounded && has_voters && journal::can_hold(&m.snapshot) {
        Ok(())
    } else {
        Err(Violation::MalformedSnapshot(last))
    }
}
