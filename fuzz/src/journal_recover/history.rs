//! What a follower writes in its life: entries of several leaders, truncations, votes, restarts; snapshots of its own
//! and of a leader, whole ones and parts; several writes in one batch or in many, over several segments.

use std::collections::VecDeque;

use bytes::Bytes;
use raft_core::journal::{Files, Journal, OnDamage, Recovery, initialise};
use raft_core::message::{Append, RequestVote};
use raft_core::{
    Action, Boot, ClusterId, Config, Configuration, Entries, Entry, Envelope, Epoch, Identity, Incarnation,
    Index, Instant, LogId, Member, Message, NodeId, Payload, Persist, Raft, Round, Term,
};

use super::super::disk::{Model, perform_all};
use super::CONFIG;
use super::snapshots::{SnapshotCounts, Transfer};

/// Steps of a history.
pub(super) const STEPS: usize = 16;
/// Bytes of a step: what, and three numbers.
pub(super) const STEP_BYTES: usize = 4;
/// Between two steps.
const STEP_MICROS: u64 = 10_000;

/// A directory and what is in it.
pub(super) struct History {
    pub(super) files: Files,
    pub(super) disk: Model,
    /// The disk after each batch.
    pub(super) past: Vec<Model>,
    pub(super) journal: Journal,
    pub(super) unsynced: VecDeque<Persist>,
    pub(super) raft: Raft,
    pub(super) now: Instant,
    /// A snapshot that its leaders are sending.
    pub(super) transfer: Option<Transfer>,
    pub(super) counts: SnapshotCounts,
}

fn member(id: u64) -> Member {
    Member { id: NodeId(id), incarnation: Incarnation(7) }
}

const IDENTITY: Identity = Identity {
    cluster: ClusterId(1),
    epoch: Epoch(0),
    member: Member { id: NodeId(1), incarnation: Incarnation(7) },
};

impl History {
    pub(super) fn make(steps: &[u8]) -> History {
        let mut files = Files::new();
        perform_all(&mut files, &initialise(IDENTITY, &Configuration::of_voters([1, 2, 3].map(member))));
        let (journal, raft) = start(&mut files, Instant(0));
        let mut history = History {
            files,
            disk: Model::default(),
            past: vec![Model::default()],
            journal,
            unsynced: VecDeque::new(),
            raft,
            now: Instant(0),
            transfer: None,
            counts: SnapshotCounts::default(),
        };
        history.poll();
        for (number, step) in (1..).zip(steps.chunks_exact(STEP_BYTES)) {
            let [what, a, b, c] = *step else { continue };
            history.now = Instant(number * STEP_MICROS);
            history.step(Round(number), what, [a, b, c]);
            // Others gather, to be one batch.
            if what % 16 != 0 && what >> 6 != 3 {
                history.sync();
            }
        }
        history
    }

    fn step(&mut self, round: Round, what: u8, [a, b, c]: [u8; 3]) {
        match what % 16 {
            1..=4 => self.receive(append(&self.raft, round, a, b, c)),
            5 => self.receive(Message::RequestVote(RequestVote {
                term: self.raft.term().next(),
                last: LogId { term: self.raft.term().next(), index: Index(u64::from(a)) },
                transfer: true,
            })),
            6 => {
                self.sync();
                (self.journal, self.raft) = start(&mut self.files, self.now);
                self.unsynced.clear();
                self.begin_transfer_anew();
                self.poll();
            }
            7 => self.journal.seal(),
            8 => {
                self.commit(round, a);
                self.compact(b, c);
            }
            // The process ends while it writes a snapshot of its own.
            9 => {
                self.commit(round, a);
                self.compact_in_part(b, c);
            }
            10 => self.begin_transfer(round, a, b, c),
            11 => self.take_piece(round, 1 + 64 * usize::from(b)),
            12 => self.take_piece(round, usize::MAX),
            13 => self.commit(round, a),
            _ => {}
        }
    }

    /// A message of a leader, or of a candidate: one a term, so that none is refused.
    pub(super) fn receive(&mut self, message: Message) {
        let from = member(2 + message.term().0 % 2);
        let envelope = Envelope {
            cluster: IDENTITY.cluster,
            epoch: IDENTITY.epoch,
            from,
            from_boot: Boot(1),
            to: IDENTITY.member,
            to_boot: Boot(0),
            message,
        };
        self.raft.handle_message(self.now, envelope).expect("an honest message");
        self.poll();
    }

    /// Writes gather; what is to be applied is applied at once.
    pub(super) fn poll(&mut self) {
        while let Some(action) = self.raft.poll_action() {
            match action {
                Action::Persist(persist) => {
                    self.journal.submit(persist.clone());
                    self.unsynced.push_back(persist);
                }
                Action::Receive(chunk) => {
                    self.journal.receive(&chunk);
                    while let Some(job) = self.journal.poll_receive() {
                        perform_all(&mut self.files, &job.ops);
                        if let Some(received) = self.journal.handle_receive_done() {
                            self.raft.handle_received(self.now, received);
                        }
                    }
                }
                Action::Apply(_) | Action::Restore(_) => {
                    self.raft.handle_applied(self.raft.status().applying);
                }
                Action::Send(_)
                | Action::Load(_)
                | Action::ReadReady(..)
                | Action::ReadFailed(..)
                | Action::Lost(_)
                | Action::Unknown(_)
                | Action::RoleChanged(_) => {}
            }
        }
    }

    /// Performs all batches, and tells the core.
    pub(super) fn sync(&mut self) {
        while let Some(batch) = self.journal.poll_batch() {
            perform_all(&mut self.files, &batch.ops);
            let Some(done) = self.journal.handle_batch_done() else { continue };
            while let Some(persist) = self.unsynced.pop_front() {
                self.disk.apply(&persist.write);
                self.counts.installed += u32::from(persist.write.install.is_some());
                self.counts.taken += u32::from(persist.write.discard_through.is_some());
                if persist.durable() == done {
                    break;
                }
            }
            self.past.push(self.disk.clone());
            self.raft.handle_durable(self.now, done);
            self.poll();
        }
    }

    /// The leader of the present term says that all but the last entries are committed.
    fn commit(&mut self, round: Round, but: u8) {
        let (term, previous) = (self.raft.term(), self.raft.status().last);
        if term > Term(0) {
            let commit = Index(previous.index.0.saturating_sub(u64::from(but % 4)));
            self.receive(Message::Append(Append {
                term,
                round,
                previous,
                entries: Entries::default(),
                commit,
            }));
        }
        self.sync();
    }
}

fn start(files: &mut Files, now: Instant) -> (Journal, Raft) {
    let recovery = Recovery::start(CONFIG, files, OnDamage::Refuse).expect("nothing is damaged");
    perform_all(files, recovery.ops());
    let (journal, restored) = recovery.finish();
    let config = Config { trailing_entries: 2, ..Config::default() };
    (journal, Raft::new(config, restored, now, 1).expect("the settings are valid"))
}

/// Entries of the present leader after the last, or of a new leader instead of some of the last.
fn append(raft: &Raft, round: Round, a: u8, b: u8, c: u8) -> Message {
    let status = raft.status();
    let last = status.last.index.0;
    let is_new = a >> 6 == 3 || raft.term() == Term(0);
    let term = if is_new { raft.term().next() } else { raft.term() };
    let back = if is_new { u64::from(b >> 4) } else { 0 };
    let previous = raft.id_at(Index(last.saturating_sub(back)).max(status.commit)).unwrap_or_default();
    let mut entries = Vec::new();
    for number in 0..u64::from(1 + b % 4) {
        let bytes = vec![c; usize::from(c) * usize::from(1 + (a & 7))];
        let index = Index(previous.index.0 + 1 + number);
        entries.push(Entry { term, index, payload: Payload::Command(Bytes::from(bytes)) });
    }
    Message::Append(Append { term, round, previous, entries: entries.into(), commit: Index(0) })
}
