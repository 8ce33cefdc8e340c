//! What a leader may do when it sends snapshots, checked from outside; and which situations it met.

use std::collections::{BTreeMap, BTreeSet};

use raft_core::message::{Append, Reception, SnapshotChunk, SnapshotChunkAnswer};
use raft_core::{Boot, Config, Envelope, Index, Member, Message, Raft, SnapshotMeta, Term, Violation};

use super::situations::Situation;
use super::snapshots::byte;

/// A snapshot on its way from the node to a follower, as its messages tell.
struct Receiver {
    snapshot: SnapshotMeta,
    /// The most that the follower said it holds.
    held: u64,
    /// All before this was sent.
    sent: u64,
    /// Pieces without an answer: where they start and end.
    under_way: BTreeMap<u64, u64>,
    /// The follower said that it lost its part.
    lost_its_part: bool,
    /// The highest index that it acknowledged meanwhile.
    acknowledged: Index,
    /// Its first boot that was heard meanwhile, and whether a later one was.
    boot: Option<Boot>,
    restarted: bool,
    /// An append followed: the transfer ended, in whatever way.
    is_over: bool,
}

#[derive(Default)]
pub(super) struct Sending {
    term: Term,
    receivers: BTreeMap<Member, Receiver>,
    /// What followers said that they hold before any piece was sent to them in this term, while the disk was read.
    early: BTreeMap<Member, SnapshotChunkAnswer>,
    /// What was sent in earlier terms.
    earlier: BTreeMap<Member, SnapshotMeta>,
    /// Pieces sent by member, ever.
    pieces: BTreeMap<Member, u64>,
    pub(super) reached: BTreeSet<Situation>,
    bring_ups: u32,
}

/// How often an input may ask for everyone to be brought up to date: each time takes long.
const BRING_UPS_MAX: u32 = 8;

impl Receiver {
    fn new(snapshot: SnapshotMeta) -> Receiver {
        Receiver {
            snapshot,
            held: 0,
            sent: 0,
            under_way: BTreeMap::new(),
            lost_its_part: false,
            acknowledged: Index(0),
            boot: None,
            restarted: false,
            is_over: false,
        }
    }

    fn is_about(&self, m: &SnapshotChunkAnswer) -> bool {
        (self.snapshot.last, self.snapshot.digest) == (m.snapshot, m.digest)
    }
}

impl Sending {
    fn reach(&mut self, situation: Situation, is_reached: bool) {
        if is_reached {
            self.reached.insert(situation);
        }
    }

    fn count(&self) -> usize {
        self.receivers.values().filter(|receiver| !receiver.is_over).count()
    }

    /// A message leaves the node.
    pub(super) fn note_sent(&mut self, envelope: &Envelope, raft: &Raft, config: &Config) {
        match &envelope.message {
            Message::SnapshotChunk(m) => self.note_piece(envelope.to, m, raft, config),
            Message::Append(m) => self.note_append(envelope.to, m),
            Message::PreVote(_)
            | Message::PreVoteAnswer(_)
            | Message::RequestVote(_)
            | Message::VoteAnswer(_)
            | Message::AppendAcknowledgement(_)
            | Message::AppendRejection(_)
            | Message::Heartbeat(_)
            | Message::HeartbeatAnswer(_)
            | Message::StaleTerm(_)
            | Message::ReadIndex(_)
            | Message::ReadIndexAnswer(_)
            | Message::Abstention(_)
            | Message::AbstentionAnswer(_)
            | Message::Forward(_)
            | Message::ForwardAnswer(_)
            | Message::SnapshotChunkAnswer(_) => {}
        }
    }

    fn note_piece(&mut self, to: Member, m: &SnapshotChunk, raft: &Raft, config: &Config) {
        check_content(m);
        *self.pieces.entry(to).or_default() += 1;
        let bytes = m.bytes.len() as u64;
        let end = m.offset + bytes;
        assert!(bytes <= config.chunk_bytes_max, "{m:?} is longer than pieces may be");
        assert!(bytes > 0 || m.offset == m.snapshot.length, "{m:?} holds nothing");
        assert!(m.snapshot.last.index <= raft.snapshot_last().index, "{m:?} is of no snapshot of its own");
        let known = self.receivers.get(&to);
        let newest = known.map_or(Index(0), |known| known.snapshot.last.index);
        assert!(m.snapshot.last.index >= newest, "{m:?} after one of {newest}");
        let is_same = known.is_some_and(|known| !known.is_over && known.snapshot == *m.snapshot);
        let is_newer = known.is_some_and(|known| !known.is_over && known.snapshot != *m.snapshot);
        self.reach(Situation::SendsNewer, is_newer);
        self.reach(Situation::Offers, !is_same);
        if !is_same {
            let mut receiver = Receiver::new((*m.snapshot).clone());
            let possible =
                |m: &SnapshotChunkAnswer| receiver.is_about(m) && m.received <= receiver.snapshot.length;
            let early = self.early.remove(&to).filter(possible);
            receiver.held = early.map_or(0, |early| early.received);
            self.receivers.insert(to, receiver);
        }
        let was_sent_before = self.earlier.get(&to).is_some_and(|earlier| earlier.same_content(&m.snapshot));
        let receiver = self.receivers.get_mut(&to).expect("made just now, if not before");
        let window = config.chunk_bytes_max.saturating_mul(config.chunks_in_flight_max as u64);
        assert!(end <= receiver.held.saturating_add(window), "{m:?} is outside of the window");
        let before = receiver.sent;
        receiver.sent = before.max(end);
        receiver.under_way.insert(m.offset, end);
        let is_full = receiver.under_way.len() >= config.chunks_in_flight_max;
        let is_anew = m.offset == 0 && std::mem::take(&mut receiver.lost_its_part);
        let held = receiver.held;
        self.reach(Situation::FillsWindow, is_full && config.chunks_in_flight_max > 1);
        self.reach(Situation::Advances, m.offset == before && held > 0);
        self.reach(Situation::Repeats, m.offset < before && bytes > 0);
        self.reach(Situation::SkipsAhead, m.offset > before);
        self.reach(Situation::ResumesInLaterTerm, m.offset > before && was_sent_before);
        self.reach(Situation::BeginsAnew, is_anew && held > 0);
        self.reach(Situation::AsksForInstallation, bytes == 0 && m.offset > 0);
        self.reach(Situation::SendsEmpty, m.snapshot.length == 0);
        self.reach(Situation::TwoAtOnce, self.count() > 1);
    }

    fn note_append(&mut self, to: Member, m: &Append) {
        let Some(receiver) = self.receivers.get_mut(&to).filter(|receiver| !receiver.is_over) else { return };
        receiver.is_over = true;
        let (acknowledged, last) = (receiver.acknowledged, receiver.snapshot.last.index);
        let restarted = receiver.restarted;
        let is_complete = acknowledged >= last && m.previous.index >= last;
        self.reach(Situation::Finishes, is_complete);
        self.reach(Situation::FinishesEarly, acknowledged > Index(0) && acknowledged < last);
        self.reach(Situation::FollowerRestarts, restarted);
    }

    /// The node took a message, or refused it.
    pub(super) fn note_received(&mut self, envelope: &Envelope, result: &Result<(), Violation>, raft: &Raft) {
        let counts = raft.is_leader() && raft.term() == self.term && envelope.message.term() == self.term;
        if !counts || envelope.to_boot != raft.boot() {
            return;
        }
        let from = envelope.from;
        let Some(receiver) = self.receivers.get_mut(&from).filter(|receiver| !receiver.is_over) else {
            if let (Message::SnapshotChunkAnswer(m), Ok(())) = (&envelope.message, result) {
                self.note_early_answer(from, m);
            }
            return;
        };
        if let Err(violation) = result {
            let is_too_much = matches!(violation, Violation::AcknowledgedBeyondLog(_));
            return self.reach(Situation::AcknowledgesTooMuch, is_too_much);
        }
        let boot = envelope.from_boot;
        receiver.restarted |= *receiver.boot.get_or_insert(boot) < boot;
        if let Message::AppendAcknowledgement(m) = &envelope.message {
            receiver.acknowledged = receiver.acknowledged.max(m.matched);
        } else if let Message::AppendRejection(_) = &envelope.message {
            self.reach(Situation::RejectsMeanwhile, true);
        } else if let Message::SnapshotChunkAnswer(m) = &envelope.message {
            self.note_piece_answer(from, m);
        }
    }

    fn note_early_answer(&mut self, from: Member, m: &SnapshotChunkAnswer) {
        let is_same = |known: &&SnapshotChunkAnswer| (known.snapshot, known.digest) == (m.snapshot, m.digest);
        let known = self.early.get(&from).filter(is_same);
        if m.reception == Reception::LacksBeginning || known.is_none_or(|known| known.received < m.received) {
            self.early.insert(from, m.clone());
        }
    }

    fn note_piece_answer(&mut self, from: Member, m: &SnapshotChunkAnswer) {
        let Some(receiver) = self.receivers.get_mut(&from) else { return };
        let is_about = receiver.is_about(m);
        let is_too_much = m.received > receiver.snapshot.length;
        let is_less = m.received < receiver.held;
        let begins_anew = match m.reception {
            Reception::GoesOn => false,
            Reception::LacksBeginning => is_less,
            Reception::NoRoom => true,
        };
        if is_about && !is_too_much {
            receiver.held = receiver.held.max(m.received);
            receiver.under_way.retain(|_, end| *end > m.received);
            if begins_anew {
                (receiver.sent, receiver.held, receiver.lost_its_part) = (0, m.received, true);
                receiver.under_way.clear();
            }
        }
        self.reach(Situation::AnswersAboutAnother, !is_about);
        self.reach(Situation::HasMoreThanAll, is_about && is_too_much);
        self.reach(Situation::GoesBack, is_about && is_less && !begins_anew);
    }

    /// A snapshot of the node's own was offered.
    pub(super) fn note_offer(&mut self, is_taken: bool, log_start_before: Index, raft: &Raft) {
        let is_sending = raft.is_leader() && self.count() > 0;
        let shrinks = raft.status().log_start > log_start_before;
        self.reach(Situation::Compacts, raft.is_leader() && is_taken && shrinks);
        self.reach(Situation::NewerIsTaken, is_sending && is_taken);
        self.reach(Situation::NewerIsRefused, is_sending && !is_taken && raft.is_snapshot_pinned());
    }

    /// A piece was not on the disk any more, or was damaged, when the node wanted to send it.
    pub(super) fn note_unread(&mut self, restarts_before: u64, raft: &Raft) {
        self.reach(Situation::FindsGone, raft.transfers_restarted() > restarts_before);
        self.reach(Situation::StopsOnDamage, raft.is_stopped() && self.count() > 0);
    }

    /// The process ended.
    pub(super) fn note_crash(&mut self) {
        self.reach(Situation::Crashes, self.count() > 0);
        self.end_term();
    }

    /// All is quiet.
    pub(super) fn note_state(&mut self, raft: &Raft, commit_before: Index) {
        if self.term != raft.term() || !raft.is_leader() {
            self.reach(Situation::IsDeposed, self.count() > 0);
            self.end_term();
            self.term = raft.term();
        }
        let leads = raft.is_leader() && raft.configuration().members().count() > 1;
        self.reach(Situation::Leads, leads);
        self.reach(Situation::Commits, leads && raft.status().commit > commit_before);
    }

    fn end_term(&mut self) {
        self.early.clear();
        let receivers = std::mem::take(&mut self.receivers);
        self.earlier.extend(receivers.into_iter().map(|(member, receiver)| (member, receiver.snapshot)));
    }

    /// Whether there is another go at bringing everyone up to date.
    pub(super) fn may_bring_up(&mut self) -> bool {
        self.bring_ups += 1;
        self.bring_ups <= BRING_UPS_MAX
    }

    /// A follower with nothing is up to date; by a snapshot or not.
    pub(super) fn note_brought_up(&mut self, by_snapshot: bool) {
        self.reach(Situation::BringsUp, by_snapshot);
    }

    /// Pieces sent to a member, ever.
    pub(super) fn pieces_to(&self, member: Member) -> u64 {
        self.pieces.get(&member).copied().unwrap_or_default()
    }
}

/// A piece that the node sends is what the snapshot holds there.
fn check_content(m: &SnapshotChunk) {
    let mut places = (m.offset..m.snapshot.length).zip(&m.bytes);
    let is_inside = m.offset.saturating_add(m.bytes.len() as u64) <= m.snapshot.length;
    let is_written = places.all(|(place, sent)| byte(m.snapshot.last, place) == *sent);
    assert!(is_inside && is_written, "{m:?} is not what was written");
}
