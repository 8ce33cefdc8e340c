//! What a follower writes in its life: entries of several leaders, truncations, votes, restarts; several writes in one
//! batch or in many, over several segments.

use std::collections::VecDeque;

use bytes::Bytes;
use raft_core::journal::{Files, Journal, OnDamage, Recovery, initialise};
use raft_core::message::{Append, RequestVote};
use raft_core::{
    Action, Boot, ClusterId, Config, Configuration, Entry, Envelope, Epoch, Identity, Incarnation, Index,
    Instant, LogId, Member, Message, NodeId, Payload, Persist, Raft, Round, Span, Term,
};

use super::super::disk::{Model, perform_all};
use super::CONFIG;

/// Steps of a history.
pub(super) const STEPS: usize = 16;
/// Bytes of a step: what, and three numbers.
pub(super) const STEP_BYTES: usize = 4;

/// A directory and what is in it.
pub(super) struct History {
    pub(super) files: Files,
    pub(super) disk: Model,
    pub(super) past: Vec<Vec<Entry>>,
    pub(super) journal: Journal,
    pub(super) unsynced: VecDeque<Persist>,
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
        let (journal, mut raft) = start(&mut files);
        let disk = Model::default();
        let mut history = History { files, disk, past: vec![Vec::new()], journal, unsynced: VecDeque::new() };
        for (number, step) in (1..).zip(steps.chunks_exact(STEP_BYTES)) {
            let [what, a, b, c] = *step else { continue };
            let message = match what % 8 {
                1..=4 => append(&raft, Round(number), a, b, c),
                5 => Message::RequestVote(RequestVote {
                    term: raft.term().next(),
                    last: LogId { term: raft.term().next(), index: Index(u64::from(a)) },
                    transfer: true,
                }),
                6 => {
                    history.sync();
                    let (journal, restarted) = start(&mut history.files);
                    raft = restarted;
                    history.journal = journal;
                    history.unsynced.clear();
                    continue;
                }
                7 => {
                    history.journal.seal();
                    history.sync();
                    continue;
                }
                _ => continue,
            };
            // A leader a term, so that no message is refused.
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
            let now = Instant(number * Span::from_millis(10).0);
            raft.handle_message(now, envelope).expect("an honest message");
            // Others gather, to be one batch.
            let waits = what >> 6 == 3;
            while let Some(action) = raft.poll_action() {
                if let Action::Persist(persist) = action {
                    history.journal.submit(persist.clone());
                    history.unsynced.push_back(persist);
                }
            }
            if !waits {
                history.sync();
            }
        }
        history
    }

    /// Performs all batches. The core need not be told.
    fn sync(&mut self) {
        while let Some(batch) = self.journal.poll_batch() {
            perform_all(&mut self.files, &batch.ops);
            let Some(done) = self.journal.handle_batch_done() else { continue };
            while let Some(persist) = self.unsynced.pop_front() {
                self.disk.apply(&persist.write);
                if persist.durable() == done {
                    break;
                }
            }
            self.past.push(self.disk.log.clone());
        }
    }
}

fn start(files: &mut Files) -> (Journal, Raft) {
    let recovery = Recovery::start(CONFIG, files, OnDamage::Refuse).expect("nothing is damaged");
    perform_all(files, recovery.ops());
    let (journal, restored) = recovery.finish();
    (journal, Raft::new(Config::default(), restored, Instant(0), 1).expect("the settings are valid"))
}

/// Entries of the present leader after the last, or of a new leader instead of some of the last.
fn append(raft: &Raft, round: Round, a: u8, b: u8, c: u8) -> Message {
    let last = raft.status().last.index.0;
    let is_new = a >> 6 == 3 || raft.term() == Term(0);
    let term = if is_new { raft.term().next() } else { raft.term() };
    let back = if is_new { u64::from(b >> 4) } else { 0 };
    let index = Index(last.saturating_sub(back));
    let previous = raft.entries(index).next().filter(|entry| entry.index == index).map(Entry::id);
    let previous = previous.unwrap_or_default();
    let mut entries = Vec::new();
    for number in 0..u64::from(1 + b % 4) {
        let bytes = vec![c; usize::from(c) * usize::from(1 + (a & 7))];
        let index = Index(previous.index.0 + 1 + number);
        entries.push(Entry { term, index, payload: Payload::Command(Bytes::from(bytes)) });
    }
    Message::Append(Append { term, round, previous, entries, commit: Index(0) })
}
