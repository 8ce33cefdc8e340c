//! What a node promises to the outside, checked from there. Its peers may lie, so this is about what the node itself
//! may say and do, given what it was told: never about whether the cluster is right.

use std::collections::{BTreeMap, BTreeSet};

use raft_core::{
    Action, Envelope, HardState, Index, LogId, Member, Message, Persist, Raft, ReadId, Round, Term, Wanted,
    Write,
};

use super::super::disk::Model;

/// How a proposal ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Open,
    Applied,
    Lost,
    Unknown,
}

/// What the node was told in a term; a bound on what it may conclude.
#[derive(Debug, Default)]
struct Told {
    /// Entries that a leader named: those in its appends, and those before.
    named: BTreeSet<LogId>,
    /// The highest commit index.
    commit: Index,
    /// The highest acknowledgement by member.
    acknowledged: BTreeMap<Member, Index>,
    /// The highest round answered by member.
    rounds: BTreeMap<Member, Round>,
}

/// A read: what was committed and in which term the node led when it was asked, and the last round that had left.
struct Asked {
    commit: Index,
    led: Option<Term>,
    round: Round,
}

pub(super) struct Contract {
    /// The hard state last handed out to be written, or found on the disk.
    promised: HardState,
    /// Who got this node's vote, by term; never forgotten.
    granted: BTreeMap<Term, Member>,
    told: BTreeMap<Term, Told>,
    /// The highest round sent in the present term.
    round_sent: (Term, Round),
    term: Term,
    /// It led when it was last looked at.
    led: bool,
    commit: Index,
    applied: Index,
    /// A snapshot that was handed out, and nothing after it before it is confirmed.
    restoring: Index,
    proposals: BTreeMap<LogId, Ending>,
    reads: BTreeMap<ReadId, Asked>,
}

impl Contract {
    pub(super) fn new(raft: &Raft) -> Contract {
        let status = raft.status();
        Contract {
            promised: HardState { term: status.term, vote: status.vote, abstaining: status.abstaining },
            granted: BTreeMap::new(),
            told: BTreeMap::new(),
            round_sent: (status.term, Round(0)),
            term: status.term,
            led: false,
            commit: status.commit,
            applied: status.applied,
            restoring: Index(0),
            proposals: BTreeMap::new(),
            reads: BTreeMap::new(),
        }
    }

    /// A new boot: votes are remembered, what was only in memory is not.
    pub(super) fn restart(&mut self, raft: &Raft) {
        let (granted, told) = (std::mem::take(&mut self.granted), std::mem::take(&mut self.told));
        if let Some((term, _)) = granted.last_key_value() {
            assert!(raft.term() >= *term, "voted in {term}, and woke up in {}", raft.term());
        }
        *self = Contract { granted, told, ..Contract::new(raft) };
    }

    /// The commit index when all was last quiet.
    pub(super) fn commit(&self) -> Index {
        self.commit
    }

    pub(super) fn note_proposed(&mut self, id: LogId) {
        let before = self.proposals.insert(id, Ending::Open);
        assert_eq!(before, None, "{id} was proposed twice");
    }

    pub(super) fn note_read(&mut self, read: ReadId, commit: Index, led: Option<Term>) {
        let round = if led == Some(self.round_sent.0) { self.round_sent.1 } else { Round(0) };
        let before = self.reads.insert(read, Asked { commit, led, round });
        assert!(before.is_none(), "{read} was asked twice");
    }

    pub(super) fn note_received(&mut self, envelope: &Envelope) {
        let told = self.told.entry(envelope.message.term()).or_default();
        let from = envelope.from;
        let mut answered = |round: Round| {
            let highest = told.rounds.entry(from).or_default();
            *highest = (*highest).max(round);
        };
        match &envelope.message {
            Message::Append(m) => {
                told.named.insert(m.previous);
                told.named.extend(m.entries.iter().map(raft_core::Entry::id));
                told.commit = told.commit.max(m.commit);
            }
            Message::Heartbeat(m) => told.commit = told.commit.max(m.commit),
            Message::SnapshotChunk(m) => {
                told.named.insert(m.snapshot.last);
                told.commit = told.commit.max(m.snapshot.last.index);
            }
            Message::AppendAcknowledgement(m) => {
                answered(m.round);
                let highest = told.acknowledged.entry(from).or_default();
                *highest = (*highest).max(m.matched);
            }
            Message::AppendRejection(m) => answered(m.round),
            Message::HeartbeatAnswer(m) => answered(m.round),
            Message::PreVote(_)
            | Message::PreVoteAnswer(_)
            | Message::RequestVote(_)
            | Message::VoteAnswer(_)
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

    /// Checks an action when it is handed out; `disk` is what the node knows to be durable.
    pub(super) fn check_action(&mut self, action: &Action, raft: &Raft, disk: &Model) {
        match action {
            Action::Send(envelope) => self.check_sent(envelope, raft, disk),
            Action::Persist(Persist { write, .. }) => self.check_write(write, raft),
            Action::Apply(entries) => {
                assert!(!entries.is_empty(), "applies nothing");
                assert!(
                    self.restoring <= raft.status().applied,
                    "applies before the snapshot is in its state"
                );
                for entry in entries {
                    assert_eq!(entry.index, self.applied.next(), "applied out of order, or twice");
                    assert_eq!(disk.entry(entry.index), Some(entry), "applied before it is durable");
                    assert!(entry.index <= raft.status().commit, "applied before it is committed");
                    self.applied = entry.index;
                    match self.proposals.get(&entry.id()) {
                        None | Some(Ending::Unknown) => {}
                        Some(Ending::Open | Ending::Applied | Ending::Lost) => {
                            self.end(entry.id(), Ending::Applied);
                        }
                    }
                }
            }
            Action::ReadReady(read, index) => {
                let asked = self.reads.remove(read).unwrap_or_else(|| panic!("{read} ended twice"));
                if raft.is_leader() && asked.led == Some(raft.term()) {
                    self.check_leader_read(*read, &asked, *index, raft);
                }
            }
            Action::ReadFailed(read, _) => {
                assert!(self.reads.remove(read).is_some(), "{read} ended twice");
            }
            Action::Lost(id) => {
                self.end(*id, Ending::Lost);
                let status = raft.status();
                let there = raft.id_at(id.index);
                let is_other = there.map_or(id.index < status.log_start, |there| there.term != id.term);
                assert!(
                    status.commit >= id.index && is_other,
                    "{id} is not lost: {there:?} is there, and {} is committed",
                    status.commit
                );
            }
            Action::Restore(snapshot) => {
                assert_eq!(disk.snapshot.as_ref(), Some(snapshot), "restores what is not durable");
                assert!(snapshot.last.index > self.applied, "{snapshot:?} takes back what was applied");
                assert!(snapshot.last.index <= raft.status().commit, "{snapshot:?} is not committed");
                (self.applied, self.restoring) = (snapshot.last.index, snapshot.last.index);
            }
            Action::Receive(chunk) => {
                let end = chunk.offset + chunk.bytes.len() as u64;
                assert!(end <= chunk.snapshot.length, "a piece reaches beyond its snapshot");
            }
            Action::Load(request) => self.check_load(&request.wanted, raft),
            Action::Unknown(id) => self.end(*id, Ending::Unknown),
            Action::RoleChanged(change) => {
                assert_eq!((change.term, change.leader), (raft.term(), raft.leader()), "old news");
            }
        }
    }

    fn end(&mut self, id: LogId, ending: Ending) {
        let before = self.proposals.insert(id, ending);
        assert_eq!(before, Some(Ending::Open), "{id} ended twice, now as {ending:?}");
    }

    /// The table of DESIGN: which message waits for what.
    fn check_sent(&mut self, envelope: &Envelope, raft: &Raft, disk: &Model) {
        let me = raft.identity().member;
        assert_eq!((envelope.from, envelope.from_boot), (me, raft.boot()));
        assert_ne!(envelope.to, me, "a message to itself");
        let message = &envelope.message;
        let term = message.term();
        assert!(term <= raft.term(), "{message:?} of the future");
        let (durable, vote) = (disk.term(), disk.hard_state.vote.filter(|_| disk.hard_state.term == term));
        let waits_for_term = || assert!(durable >= term, "{message:?}, and {durable} is durable");
        let elects = || assert!(!disk.hard_state.abstaining, "{message:?} while it abstains");
        match message {
            Message::Append(_) | Message::Heartbeat(_) | Message::SnapshotChunk(_) => {
                assert!(
                    raft.is_leader() && durable == term && vote == Some(me),
                    "{message:?} without a durable vote"
                );
                let known = if self.round_sent.0 == term { self.round_sent.1 } else { Round(0) };
                self.round_sent = (term, known.max(round_of(message)));
            }
            Message::PreVote(_) => elects(),
            Message::RequestVote(m) => {
                elects();
                assert!(durable == term && vote == Some(me), "{message:?} before its own vote is durable");
                assert_eq!(disk.last(), m.last, "{message:?} before its log is durable");
                self.grant(term, me);
            }
            Message::VoteAnswer(m) if m.granted => {
                elects();
                assert_eq!(vote, Some(envelope.to), "{message:?} before the vote is durable");
                self.grant(term, envelope.to);
            }
            Message::VoteAnswer(_) => waits_for_term(),
            Message::PreVoteAnswer(m) => {
                waits_for_term();
                // It promises nothing, so it need not wait until the end of the abstention is durable.
                assert!(!m.granted || !raft.status().abstaining, "{message:?} while it abstains");
            }
            Message::AppendAcknowledgement(m) => {
                waits_for_term();
                let (ours, durable) = (raft.id_at(m.matched), disk.id_at(m.matched));
                let is_covered = m.matched <= disk.base.index;
                assert!(is_covered || durable.is_some(), "{message:?} before it is durable");
                // A snapshot that is being installed agrees with what it covers as far as that is committed.
                let is_ours = ours.map_or(m.matched < raft.status().log_start, |_| ours == durable);
                assert!(is_covered || is_ours, "{message:?} of what is overwritten");
                assert!(self.is_confirmed(m.matched, raft), "{message:?}, which its leader did not confirm");
            }
            Message::AppendRejection(_)
            | Message::HeartbeatAnswer(_)
            | Message::StaleTerm(_)
            | Message::ReadIndexAnswer(_)
            | Message::AbstentionAnswer(_) => waits_for_term(),
            Message::ReadIndex(_) | Message::Abstention(_) | Message::SnapshotChunkAnswer(_) => {
                assert_eq!(Some(envelope.to), raft.leader(), "{message:?} to another than the leader");
            }
            Message::Forward(_) | Message::ForwardAnswer(_) => panic!("the core sends no {message:?}"),
        }
    }

    /// A leader of this term named an entry there or after it, which is here or committed.
    fn is_confirmed(&self, index: Index, raft: &Raft) -> bool {
        let is_agreed = |id: &LogId| raft.id_at(id.index) == Some(*id) || id.index <= raft.status().commit;
        let mut told = self.told.get(&raft.term()).into_iter().flat_map(|told| &told.named);
        told.any(|id| id.index >= index && is_agreed(id))
    }

    /// Only what was let go from memory is read back.
    fn check_load(&self, wanted: &Wanted, raft: &Raft) {
        match wanted {
            Wanted::Entries { from, through, .. } => {
                assert!(*from >= raft.status().log_start && from <= through, "{wanted:?} is not in the log");
                let in_memory = raft.entries(*from).next().is_some_and(|entry| entry.index == *from);
                assert!(!in_memory, "{wanted:?} is in memory");
            }
            Wanted::Chunk { snapshot, offset, .. } => {
                assert!(raft.is_leader(), "{wanted:?}, and it does not lead");
                assert!(snapshot.last <= raft.snapshot_last() && *offset <= snapshot.length, "{wanted:?}");
            }
        }
    }

    /// One vote a term, whatever happens between.
    fn grant(&mut self, term: Term, to: Member) {
        let first = *self.granted.entry(term).or_insert(to);
        assert_eq!(first, to, "two votes in {term}");
    }

    /// Terms never fall, and a vote of a term never changes.
    fn check_write(&mut self, write: &Write, raft: &Raft) {
        if let Some(next) = write.hard_state {
            let (before, me) = (self.promised, raft.identity().member);
            assert!(next.term >= before.term, "{next:?} after {before:?}");
            let changes = next.term == before.term && before.vote.is_some() && before.vote != next.vote;
            assert!(!changes, "{next:?} after {before:?}");
            assert!(!next.abstaining || before.abstaining, "only recovery makes a node abstain");
            assert!(!next.abstaining || next.vote != Some(me), "it campaigns while it abstains");
            self.promised = next;
        }
        if let Some(from) = write.truncate_from {
            // What replaces it may be committed by the time the write is handed out, but not applied: that waits for it.
            assert!(from > self.applied, "{from} was applied, and is truncated");
        }
        if let Some(snapshot) = &write.install {
            assert!(snapshot.last.index > self.applied, "{snapshot:?} takes back what was applied");
            assert!(
                write.append.is_empty() && write.discard_through.is_none(),
                "an install closes its write"
            );
            let mut told = self.told.values();
            assert!(told.any(|told| told.named.contains(&snapshot.last)), "nobody sent {snapshot:?}");
        }
        if let Some(discard) = &write.discard_through {
            assert!(discard.through.index <= discard.snapshot.last.index, "{discard:?} leaves a gap");
            assert!(discard.snapshot.last.index <= self.applied, "{discard:?} covers what is not applied");
        }
    }

    /// The index covers what was committed, by an entry of this term, and a majority answered a later round.
    fn check_leader_read(&self, read: ReadId, asked: &Asked, index: Index, raft: &Raft) {
        assert!(index >= asked.commit, "{read} at {index}: {} was committed when it was asked", asked.commit);
        // A snapshot may have taken it from the log by the time the host hears of it.
        let is_gone = index < raft.status().log_start;
        let term = raft.id_at(index).map(|id| id.term);
        assert!(
            is_gone || term == Some(raft.term()),
            "{read} at {index}, before a commit of this term: {term:?}"
        );
        let me = raft.identity().member;
        let rounds = self.told.get(&raft.term()).map(|told| &told.rounds);
        let answered =
            |member: Member| rounds.and_then(|rounds| rounds.get(&member)).copied().unwrap_or_default();
        assert!(
            raft.configuration().is_quorum(|member| member == me || answered(member) > asked.round),
            "{read} without a majority that answered a round after {}: {rounds:?}",
            asked.round
        );
    }

    /// What must hold when all is quiet.
    pub(super) fn check_state(&mut self, raft: &Raft, disk: &Model) {
        let status = raft.status();
        assert!(status.term >= self.term, "the term fell from {} to {}", self.term, status.term);
        assert!(
            status.commit >= self.commit,
            "the commit index fell from {} to {}",
            self.commit,
            status.commit
        );
        if status.commit > self.commit {
            self.check_commit(raft, disk, status.commit);
        }
        (self.term, self.led, self.commit) = (status.term, raft.is_leader(), status.commit);
        let term = status.term;
        self.told.retain(|of, _| *of >= term);
    }

    /// A leader commits what a majority has durably, of its own term (Raft §5.4.2); a follower what its leader said,
    /// as far as that leader has named an entry that is here.
    fn check_commit(&self, raft: &Raft, disk: &Model, commit: Index) {
        let none = Told::default();
        let told = self.told.get(&raft.term()).unwrap_or(&none);
        // It may have stepped down in the very event that let it commit.
        if raft.is_leader() || (self.led && self.term == raft.term()) {
            let me = raft.identity().member;
            let holds = |member: Member| {
                let matched = told.acknowledged.get(&member).copied().unwrap_or_default();
                if member == me { disk.last().index >= commit } else { matched >= commit }
            };
            assert!(raft.configuration().is_quorum(holds), "{commit} without a majority: {told:?}");
            let term = raft.id_at(commit).map(|id| id.term);
            assert_eq!(term, Some(raft.term()), "{commit} is committed by counting, and not of this term");
        } else {
            assert!(commit <= told.commit, "{commit}, and the leader said {}", told.commit);
            let is_here = |id: &LogId| raft.id_at(id.index) == Some(*id);
            let confirmed = told.named.iter().any(|id| id.index >= commit && is_here(id));
            assert!(confirmed, "{commit}, and the leader named nothing so far that is here: {told:?}");
        }
    }
}

/// The round that a leader's message carries.
fn round_of(message: &Message) -> Round {
    if let Message::Append(m) = message {
        m.round
    } else if let Message::SnapshotChunk(m) = message {
        m.round
    } else if let Message::Heartbeat(m) = message {
        m.round
    } else {
        Round(0)
    }
}
