//! A leader's side of replication: heartbeats, appends, the commit rule (Raft §5.3, §5.4.2), check-quorum.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;

use super::log::Log;
use super::progress::{Fetched, Mode, Progress, Want};
use super::queue::Queue;
use super::role::{Leader, Role};
use super::transfer::Transfer;
use super::{Raft, Sender};
use crate::config::Config;
use crate::entry::{Entries, Entry, Payload, entries_size, last_id};
use crate::error::{Refused, Violation};
use crate::message::{
    Append, AppendAcknowledgement, AppendRejection, Heartbeat, Message, Reception, SnapshotChunk,
    SnapshotChunkAnswer,
};
use crate::snapshot::SnapshotMeta;
use crate::types::{Boot, Index, Instant, LogId, Member, Round, Span, Term};

/// Entries for an append are copied with all that follow, if those are at most so many times what one append carries: the
/// next append, the next follower and the disk will ask for them.
const AHEAD: u64 = 8;
/// Proposals are refused while the oldest write is behind by more than the election timeout divided by this.
const UNSYNCED_TIMEOUT_SHARE: u64 = 2;
/// A batch may take so many times as long as the one before it, on a disk that is as fast as ever: one that begins a segment has
/// six syncs, where most have one.
const LONGEST_BATCH: u64 = 8;
/// A disk is waited for so many election timeouts at most, whatever it took last.
const PATIENCE_TIMEOUTS: u64 = 4;

impl Raft {
    /// Takes office: probes every peer from the end of its own log, and opens the term with an entry of its own,
    /// since only such an entry can be committed by counting (Raft §5.4.2, §8).
    pub(super) fn become_leader(&mut self) {
        assert!(self.gate.hard_state_is_durable(), "nobody leads before its own vote is durable");
        let me = self.identity.member;
        let next = self.log.last().index.next();
        let peers: Vec<(Member, Progress)> = self
            .configuration()
            .members()
            .filter(|member| *member != me)
            .map(|member| (member, Progress::new(next, self.now)))
            .collect();
        let inherited: u64 =
            self.log.iter().skip_while(|entry| entry.index <= self.commit).map(Entry::size).sum();
        self.role = Role::Leader(Leader {
            peers,
            term_start: next,
            round: Round(1),
            heartbeat_due: self.now.plus(self.config.heartbeat_interval),
            quorum_heard: self.now,
            reads: Queue::default(),
            uncommitted_bytes: inherited,
        });
        self.append_own(Payload::Noop);
        self.adopt_local_reads();
    }

    /// Appends an entry of this term.
    pub(super) fn append_own(&mut self, payload: Payload) -> LogId {
        let entry = Entry { term: self.hard_state.term, index: self.log.last().index.next(), payload };
        let id = entry.id();
        if let Role::Leader(leader) = &mut self.role {
            leader.uncommitted_bytes += entry.size();
        }
        self.append_entry(entry);
        id
    }

    /// Whether a proposal may enter the log now.
    pub(super) fn leader_may_accept(&self) -> Result<(), Refused> {
        let Role::Leader(leader) = &self.role else {
            return Err(Refused::NotLeader(self.leader()));
        };
        if leader.uncommitted_bytes >= self.config.uncommitted_bytes_max {
            return Err(Refused::Busy("uncommitted_bytes_max"));
        }
        if self.gate.unsynced_bytes() >= self.config.unsynced_bytes_max {
            return Err(Refused::Busy("unsynced_bytes_max"));
        }
        // A queue is bounded by time as well as by bytes: one that grew longer would cost the next write a timeout.
        let timeout = self.config.election_timeout.0;
        let lasts = |since: Option<Instant>, span| since.is_some_and(|since| self.now.since(since).0 >= span);
        if lasts(self.gate.behind_since(), timeout / UNSYNCED_TIMEOUT_SHARE)
            || lasts(self.gate.no_progress_since(), self.disk_patience().0)
        {
            return Err(Refused::Busy("unsynced_time"));
        }
        Ok(())
    }

    /// A peer's answer of this term: it is alive, it recognises this leader, and it may have restarted.
    fn peer_answered(&mut self, from: Sender, round: Round) -> Option<&mut Progress> {
        let now = self.now;
        let Role::Leader(leader) = &mut self.role else { return None };
        let asked = leader.round;
        let peer = leader.peer_mut(from.member)?;
        if from.boot < peer.boot {
            return None;
        }
        if peer.boot == Boot(0) {
            peer.boot = from.boot; // First heard: nothing is known of an earlier boot.
        } else if from.boot > peer.boot {
            peer.handle_new_boot(from.boot);
        }
        peer.heard = now;
        // A round that was never asked confirms nothing.
        if round <= asked {
            peer.round = peer.round.max(round);
        }
        Some(peer)
    }

    pub(super) fn handle_round_answer(&mut self, from: Sender, round: Round) {
        if self.peer_answered(from, round).is_some() {
            self.confirm_reads();
        }
    }

    pub(super) fn handle_acknowledgement(
        &mut self,
        from: Sender,
        m: &AppendAcknowledgement,
    ) -> Result<(), Violation> {
        let end = self.log.last().index;
        let (now, base) = (self.now, self.log.base().index);
        let Some(peer) = self.peer_answered(from, m.round) else { return Ok(()) };
        if m.matched > end {
            return Err(Violation::AcknowledgedBeyondLog(from.member));
        }
        let is_news = peer.acknowledge(m.matched, now);
        if let Mode::Snapshot(transfer) = &peer.mode
            && peer.matched >= base.min(transfer.snapshot.last.index)
        {
            peer.finish_snapshot();
        }
        if is_news {
            self.advance_commit();
        }
        self.confirm_reads();
        Ok(())
    }

    pub(super) fn handle_rejection(&mut self, from: Sender, m: &AppendRejection) {
        let hint = self.log.agreement_hint(m.hint).map(|hint| hint.index);
        let (now, config) = (self.now, Arc::clone(&self.config));
        if let Some(peer) = self.peer_answered(from, m.round) {
            peer.reject(m.refused.index, hint, m.last, now, &config);
            self.confirm_reads();
        }
    }

    pub(super) fn handle_chunk_answer(&mut self, from: Sender, m: &SnapshotChunkAnswer) {
        let (now, timeout) = (self.now, self.config.election_timeout);
        // It confirms no round: it did not wait for the follower's term to be durable.
        let Some(peer) = self.peer_answered(from, Round(0)) else { return };
        if let Mode::Snapshot(transfer) = &mut peer.mode
            && (transfer.snapshot.last, transfer.snapshot.digest) == (m.snapshot, m.digest)
        {
            if m.reception == Reception::NoRoom {
                transfer.pause(now.plus(timeout));
                return;
            }
            let is_restart = m.reception == Reception::LacksBeginning;
            let answered = transfer.handle_answer(m.received, is_restart, now);
            if let Some((took, bytes)) = answered {
                peer.round_trip.measure(took);
                peer.round_trip.handle_progress();
                peer.budget.handle_arrival(bytes);
            }
        }
    }

    /// Raft §5.4.2: an entry of this term that is durable on a majority of each half is committed, and everything
    /// before it. The leader's own log counts as far as it is durable, like everybody's.
    pub(super) fn advance_commit(&mut self) {
        let Role::Leader(leader) = &self.role else { return };
        let me = self.identity.member;
        let own = self.gate.log_durable();
        let matched = |member: Member| {
            if member == me { own } else { leader.peer(member).map_or(Index(0), |peer| peer.matched) }
        };
        let agreed = self.configuration().quorum_value(matched);
        if agreed <= self.commit || self.log.term_at(agreed) != Some(self.hard_state.term) {
            return;
        }
        let bytes = self.log.bytes_between(self.commit.next(), agreed);
        self.commit = agreed;
        if let Role::Leader(leader) = &mut self.role {
            leader.uncommitted_bytes -= bytes;
        }
        self.bind_reads();
    }

    /// Heartbeats, retransmissions, and the leader's doubts about itself.
    pub(super) fn tick_leader(&mut self) {
        let quorum_heard = self.quorum_heard();
        let alone = self.now.since(quorum_heard) >= self.config.election_timeout;
        if alone || self.disk_stalls_at().is_some_and(|stalled| stalled <= self.now) {
            self.become_follower(None);
            return;
        }
        let (now, config) = (self.now, &self.config);
        let Role::Leader(leader) = &mut self.role else { return };
        leader.quorum_heard = quorum_heard;
        let is_new_round = leader.heartbeat_due <= now;
        if is_new_round {
            leader.heartbeat_due = now.plus(config.heartbeat_interval);
            leader.round = Round(leader.round.0 + 1);
        }
        for (_, peer) in &mut leader.peers {
            peer.retransmit(now, config);
        }
        if is_new_round {
            self.note_round();
        }
    }

    /// When a majority of each half, this node included, had last been heard (thesis §6.2).
    fn quorum_heard(&self) -> Instant {
        let Role::Leader(leader) = &self.role else { return self.now };
        let me = self.identity.member;
        let heard = |member: Member| {
            if member == me { self.now } else { leader.peer(member).map_or(Instant(0), |peer| peer.heard) }
        };
        self.configuration().quorum_value(heard).max(leader.quorum_heard)
    }

    /// When a leader gives way because of its disk. A sole voter never does: nobody could take its place.
    fn disk_stalls_at(&self) -> Option<Instant> {
        let me = self.identity.member;
        let is_sole = self.configuration().is_quorum(|member| member == me);
        let since = self.gate.no_progress_since().filter(|_| !is_sole)?;
        Some(since.plus(self.disk_patience()))
    }

    /// For how long nothing may become durable before the disk counts as stalled: an election timeout, or [`LONGEST_BATCH`] times what it took
    /// last, if that is longer. A disk that takes a little longer than a timeout would make each leader give way in turn
    /// before its first entry is durable, and the next one's disk is no better.
    fn disk_patience(&self) -> Span {
        let timeout = self.config.election_timeout.0;
        Span((LONGEST_BATCH * self.gate.last_took().0).clamp(timeout, PATIENCE_TIMEOUTS * timeout))
    }

    /// When [`Raft::tick_leader`] will next matter.
    pub(super) fn leader_deadline(&self) -> Option<Instant> {
        let Role::Leader(leader) = &self.role else { return None };
        let timeout = self.config.election_timeout;
        let retransmit = leader.peers.iter().filter_map(|(_, peer)| peer.retransmit_at(&self.config)).min();
        let stalled = self.disk_stalls_at();
        let alone = Some(self.quorum_heard().plus(timeout));
        [Some(leader.heartbeat_due), retransmit, stalled, alone].into_iter().flatten().min()
    }

    /// The next message to a peer. Heartbeats first: they never queue behind bulk.
    pub(super) fn poll_replication(&mut self) -> Option<(Member, Message)> {
        self.poll_peer_heartbeat().or_else(|| self.poll_peer_append())
    }

    fn poll_peer_heartbeat(&mut self) -> Option<(Member, Message)> {
        let (term, commit) = (self.hard_state.term, self.commit);
        let Role::Leader(leader) = &mut self.role else { return None };
        let round = leader.round;
        let (member, peer) = leader.peers.iter_mut().find(|(_, peer)| peer.round_asked < round)?;
        peer.round_asked = round;
        peer.commit_told = commit;
        Some((*member, Message::Heartbeat(Heartbeat { term, round, commit })))
    }

    fn poll_peer_append(&mut self) -> Option<(Member, Message)> {
        let mut view = View {
            config: &self.config,
            log: &mut self.log,
            snapshot: self.snapshot.as_deref(),
            now: self.now,
            term: self.hard_state.term,
            commit: self.commit,
        };
        let Role::Leader(leader) = &mut self.role else { return None };
        let round = leader.round;
        leader
            .peers
            .iter_mut()
            .find_map(|(member, peer)| view.next_message(peer, round).map(|message| (*member, message)))
    }

    /// Per peer: member, next index, match index.
    pub(super) fn progress(&self) -> Vec<(Member, Index, Index)> {
        match &self.role {
            Role::Leader(leader) => {
                leader.peers.iter().map(|(member, peer)| (*member, peer.next, peer.matched)).collect()
            }
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => Vec::new(),
        }
    }
}

/// What a message to a peer is made of.
struct View<'a> {
    config: &'a Config,
    log: &'a mut Log,
    snapshot: Option<&'a SnapshotMeta>,
    now: Instant,
    term: Term,
    commit: Index,
}

impl View<'_> {
    /// The next message to a peer, if one is due and what it carries is in memory.
    fn next_message(&mut self, peer: &mut Progress, round: Round) -> Option<Message> {
        let want = peer.wants(self.config, self.log.last().index);
        let message = match want {
            Some(want) if want.first <= self.log.base().index => {
                // Too far behind for the log. The base is above 0, so there is a snapshot at or above it.
                let snapshot = self.snapshot.expect("a log that does not start at 1 follows a snapshot");
                peer.mode = Mode::Snapshot(Box::new(Transfer::new(snapshot.clone())));
                peer.fetched = Fetched::Nothing;
                None
            }
            Some(want) => self.append(peer, want, round),
            None => None,
        };
        message.or_else(|| self.chunk(peer, round)).or_else(|| self.commit_news(peer, round))
    }

    fn append(&mut self, peer: &mut Progress, want: Want, round: Round) -> Option<Message> {
        let (entries, bytes) = if self.is_silent(peer) {
            (Entries::default(), 0) // Bulk for one that may be gone would be wasted: it is asked where it is.
        } else if want.first >= self.log.cached_from() {
            let bytes_max = peer.append_bytes_max(self.config);
            self.log.slice(want.first, want.through, bytes_max, bytes_max.saturating_mul(AHEAD))
        } else {
            let entries = self.take_fetched(peer, want)?;
            let bytes = entries_size(&entries);
            (entries, bytes)
        };
        let previous =
            self.log.id_at(want.first.previous()).expect("the log reaches to before its first entry");
        peer.sent(want, last_id(previous, &entries).index, bytes, self.now);
        peer.commit_told = self.commit;
        let (term, commit) = (self.term, self.commit);
        Some(Message::Append(Append { term, round, previous, entries, commit }))
    }

    /// Whether a peer that is probed has not been heard for so long that its answer comes first.
    fn is_silent(&self, peer: &Progress) -> bool {
        matches!(peer.mode, Mode::Probe { .. }) && self.now.since(peer.heard) >= self.config.election_timeout
    }

    /// Entries that were read back, if they are the ones that are wanted, and the log's still. As many as an append carries
    /// now: that may have changed while they were read.
    fn take_fetched(&self, peer: &mut Progress, want: Want) -> Option<Entries> {
        let Fetched::Entries(entries) = &mut peer.fetched else { return None };
        let entries = core::mem::take(entries);
        peer.fetched = Fetched::Nothing;
        let first = entries.first().map(|entry| entry.index);
        if first != Some(want.first) || !entries.iter().all(|entry| self.log.holds(entry.id())) {
            return None;
        }
        let mut room = peer.append_bytes_max(self.config);
        let fits = |(place, entry): &(usize, &Entry)| {
            let is_in = *place == 0 || entry.size() <= room;
            room = room.saturating_sub(entry.size());
            is_in && entry.index <= want.through
        };
        let count = entries.iter().enumerate().take_while(fits).count();
        if count < entries.len() {
            peer.fetched = Fetched::Entries(entries.part(count, entries.len() - count));
        }
        Some(entries.part(0, count))
    }

    fn chunk(&self, peer: &mut Progress, round: Round) -> Option<Message> {
        let Mode::Snapshot(transfer) = &mut peer.mode else { return None };
        let (offset, length) = transfer.wants(self.config, peer.budget.bytes(self.config.chunk_bytes_max))?;
        let bytes = match core::mem::replace(&mut peer.fetched, Fetched::Nothing) {
            // As much as a piece carries now: that may have changed while it was read.
            Fetched::Chunk(at, mut bytes) if at == offset => {
                let rest = bytes.split_off(bytes.len().min(usize::try_from(length).unwrap_or(usize::MAX)));
                if !rest.is_empty() {
                    peer.fetched = Fetched::Chunk(offset + length, rest);
                }
                bytes
            }
            asked @ Fetched::Asked(_) => {
                peer.fetched = asked;
                return None;
            }
            // What was read for a place that is not wanted any more is let go.
            Fetched::Nothing | Fetched::Chunk(..) | Fetched::Entries(_) if length > 0 => return None,
            Fetched::Nothing | Fetched::Chunk(..) | Fetched::Entries(_) => Bytes::new(),
        };
        transfer.sent(offset, bytes.len() as u64, self.now);
        let snapshot = Box::new(transfer.snapshot.clone());
        Some(Message::SnapshotChunk(SnapshotChunk { term: self.term, round, snapshot, offset, bytes }))
    }

    /// Nothing to send, but a follower's own clients wait for the commit index. Asks for no answer, since the round is
    /// an old one.
    fn commit_news(&self, peer: &mut Progress, round: Round) -> Option<Message> {
        if self.config.commit_notices && peer.commit_told < self.commit && peer.matched > peer.commit_told {
            peer.commit_told = self.commit;
            return Some(Message::Heartbeat(Heartbeat { term: self.term, round, commit: self.commit }));
        }
        None
    }
}
