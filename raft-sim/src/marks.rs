//! Coverage marks: named situations that a good simulation reaches.
//!
//! A mark is *evaluated* when its question comes up, and *hit* when the answer is yes. A mark that is never evaluated
//! is a question that nobody asks any more; one that is evaluated and never hit is a corner that the faults do not
//! reach. Each mark names an [`Ingredient`] without which it can't be hit: a run without it must show none.
//!
//! Marks are read off messages and what the nodes say of themselves before and after. They judge nothing: a mark that
//! is wrong makes a number wrong and no verdict.

mod heard;

use std::collections::{BTreeMap, BTreeSet};

use raft_core::{Boot, Envelope, Index, LogId, Member, Raft, RoleName, Status, Term};
use serde::{Deserialize, Serialize};

pub(crate) use heard::Heard;

/// What a situation needs in order to occur at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ingredient {
    /// A sole voter: a candidate with peers asks for votes only once its own is durable.
    Alone,
    /// More than one member.
    Peers,
    /// Nodes that restart.
    Crashes,
    /// Snapshots.
    Snapshots,
    /// Bits that rot.
    Rot,
    /// Messages that are lost, doubled, delayed, overtaken or cut off.
    Network,
}

macro_rules! marks {
    ($($variant:ident $cause:ident $name:literal),* $(,)?) => {
        /// A situation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[allow(missing_docs)] // The names in reports say it.
        pub enum Mark { $($variant),* }

        /// The marks in order: what each needs, and its name in reports.
        pub const MARKS: &[(Mark, Ingredient, &str)] = &[$((Mark::$variant, Ingredient::$cause, $name)),*];
    };
}

marks! {
    ConflictTruncated Peers "an append replaced a conflicting tail",
    ConflictTruncatedTerms Peers "an append replaced a tail of more than one term",
    ShelfJoined Network "an append that filled a gap brought in what was on the shelf",
    AppendKnown Peers "an append came whose entries were all there",
    AppendOfOldTerm Peers "an append of an old term came",
    RejectionSkipsTerm Peers "a rejection let a leader skip a whole term",
    RejectionOfGap Network "a rejection named a gap, not a conflict",
    CommitClamped Peers "a leader's commit index was beyond what it had confirmed here",
    CommitBeforeOwnDisk Peers "an entry was committed before the leader's own disk had it",
    CommitBeforeFollowerDisk Peers "a follower knew that an entry is committed before its disk had it",
    CommitOfEarlierTerm Peers "an entry of an earlier term was committed by one of this term",
    LeaderHeardOfHigherTerm Peers "a leader stepped down for a higher term",
    LeaderLostQuorum Peers "a leader that heard no quorum stepped down",
    CandidateFollows Peers "a candidate followed another of its term",
    PreVoteInVain Peers "a pre-candidate went back to the leader of its term",
    SplitVote Peers "an election ended without a leader",
    VoteRefusedShortLog Peers "a vote was refused to a log that is behind",
    VoteRefusedOlderTerm Peers "a vote was refused to a longer log of an older term",
    VoteRefusedGiven Peers "a vote was refused because it was given to another",
    VoteRefusedSticky Peers "a vote was refused because a leader was heard lately",
    VoteGivenAgain Peers "a vote was given again to the same candidate",
    VoteAnswerDoubled Network "the same granted vote came twice",
    VoteAnswerLate Peers "a granted vote came after the election",
    ElectedByOwnDisk Alone "a leader was elected by its own disk, whose vote came last",
    ElectedWithUncommitted Peers "a leader was elected with entries that it did not know to be committed",
    TwoLeaders Peers "a leader was elected while another of an older term still led",
    TermJumped Peers "a term grew by more than one at once",
    ReadBeforeOwnCommit Peers "a follower's read came before the leader had committed in its term",
    ReadAtOldLeader Peers "a read was asked of a leader when a newer one had committed",
    PeerRestarted Crashes "a leader heard a follower's new boot",
    AnswerToEarlierBoot Crashes "an answer to a question of an earlier boot came",
    InstalledOverTail Snapshots "a snapshot was installed over a tail that was not committed",
    InstalledUnderTail Snapshots "a snapshot was installed under a tail that reaches beyond it",
    InstalledOnNothing Snapshots "a snapshot was installed on an empty log",
    InstalledOverSnapshot Snapshots "a snapshot was installed over an older one",
    SnapshotUseless Snapshots "a piece came of a snapshot whose entries were all there",
    ChunkOutOfOrder Snapshots "a piece of a snapshot came before its predecessor",
    ChunkDoubled Snapshots "a piece of a snapshot came twice",
    TransferAnew Snapshots "a follower asked for the beginning of a snapshot again",
    AppendAtBoundary Snapshots "an append was matched at the entry right before the log",
    AbstainerAskedForVote Rot "a vote was asked of a node that abstains",
    AbstainerHadTarget Rot "a node that abstains learned what it must reach",
}

/// How often each mark was evaluated and hit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marks {
    evaluated: [u64; MARKS.len()],
    hits: [u64; MARKS.len()],
}

impl Default for Marks {
    fn default() -> Marks {
        Marks { evaluated: [0; MARKS.len()], hits: [0; MARKS.len()] }
    }
}

impl Marks {
    /// The mark's question came up, with this answer.
    pub fn see(&mut self, mark: Mark, is_hit: bool) {
        self.evaluated[mark as usize] += 1;
        self.hits[mark as usize] += u64::from(is_hit);
    }

    /// How often the answer was yes.
    #[must_use]
    pub fn hits(&self, mark: Mark) -> u64 {
        self.hits[mark as usize]
    }

    /// How often the question came up.
    #[must_use]
    pub fn evaluated(&self, mark: Mark) -> u64 {
        self.evaluated[mark as usize]
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Marks) {
        for (mark, ..) in MARKS {
            self.evaluated[*mark as usize] += other.evaluated(*mark);
            self.hits[*mark as usize] += other.hits(*mark);
        }
    }

    /// Hits by name.
    #[must_use]
    pub fn to_map(&self) -> BTreeMap<&'static str, u64> {
        MARKS.iter().map(|(mark, _, name)| (*name, self.hits(*mark))).collect()
    }
}

/// Looks at a run for marks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch {
    pub(crate) marks: Marks,
    /// Transfers of ten and more pieces.
    pub(crate) transfers: Transfers,
    nodes: Vec<Memory>,
}

/// What became of transfers of ten and more pieces.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Transfers {
    pub(crate) begun: u64,
    /// The receiver restarted in the middle.
    pub(crate) interrupted: u64,
    pub(crate) finished: u64,
}

/// What is remembered of a node's present process.
#[derive(Clone, Debug, Default)]
struct Memory {
    /// Votes granted to it: (term, voter).
    votes: BTreeSet<(Term, Member)>,
    boots: BTreeMap<Member, Boot>,
    /// The transfer that comes in: of which snapshot, and the piece seen last.
    transfer: Option<(LogId, u64, u64)>,
    /// It is of ten and more pieces.
    is_long: bool,
}

impl Watch {
    pub(crate) fn new(nodes: usize) -> Watch {
        Watch { nodes: vec![Memory::default(); nodes], ..Watch::default() }
    }

    /// A node's process began.
    pub(crate) fn started(&mut self, node: usize) {
        self.transfers.interrupted += u64::from(self.nodes[node].is_long);
        self.nodes[node] = Memory::default();
    }

    /// Whether pieces of a long transfer come in at a node.
    pub(crate) fn is_in_long_transfer(&self, node: usize) -> bool {
        self.nodes[node].is_long
    }

    /// A node took a message: what it was before, and what it is now.
    pub(crate) fn took(&mut self, node: usize, heard: &Heard, before: &Status, raft: &Raft) {
        let after = &raft.status();
        self.marks.see(Mark::TermJumped, after.term.0 > before.term.0 + 1);
        if before.role == RoleName::Leader {
            let heard_higher = after.role != RoleName::Leader && after.term > before.term;
            self.marks.see(Mark::LeaderHeardOfHigherTerm, heard_higher);
        }
        match heard {
            Heard::Append { .. } => self.took_append(heard, before, after),
            Heard::Heartbeat { commit, .. } => self.took_commit(*commit, before, after),
            Heard::Rejection { refused, hint, last, .. } if before.role == RoleName::Leader => {
                let skipped = refused.index.0.saturating_sub(hint.index.0) > 1 && hint.term < refused.term;
                self.marks.see(Mark::RejectionSkipsTerm, skipped && refused.index <= *last);
                self.marks.see(Mark::RejectionOfGap, refused.index > *last && hint.index == *last);
            }
            Heard::RequestVote { .. } => self.took_vote_request(heard, before, after),
            Heard::Vote { from, term } => self.took_vote(node, *from, *term, before),
            Heard::ReadIndex { term } if before.role == RoleName::Leader && *term == before.term => {
                // Until it has committed in its own term, the last committed entry is of an earlier one.
                self.marks.see(
                    Mark::ReadBeforeOwnCommit,
                    before.commit < before.last.index && before.last.term == before.term,
                );
            }
            Heard::Chunk { .. } => self.took_chunk(node, heard, before, after),
            Heard::ChunkAnswer { restart } => self.marks.see(Mark::TransferAnew, *restart),
            Heard::AbstentionAnswer => {
                self.marks.see(Mark::AbstainerHadTarget, before.abstaining);
            }
            Heard::Rejection { .. } | Heard::ReadIndex { .. } | Heard::Other => {}
        }
        if after.commit > before.commit {
            self.committed(before, after, raft);
        }
    }

    fn committed(&mut self, before: &Status, after: &Status, raft: &Raft) {
        if after.role == RoleName::Leader {
            self.marks.see(Mark::CommitBeforeOwnDisk, after.commit > after.durable);
            let first = raft.id_at(before.commit.next());
            self.marks.see(Mark::CommitOfEarlierTerm, first.is_some_and(|first| first.term < after.term));
        } else {
            self.marks.see(Mark::CommitBeforeFollowerDisk, after.commit > after.durable);
        }
    }

    /// The head of every message: who sent it, in which boot, and in answer to which.
    pub(crate) fn took_envelope(&mut self, node: usize, envelope: &Envelope, own_boot: Boot, leads: bool) {
        if envelope.message.is_answer() {
            self.marks.see(Mark::AnswerToEarlierBoot, envelope.to_boot != own_boot);
        }
        let known = self.nodes[node].boots.insert(envelope.from, envelope.from_boot);
        if leads {
            self.marks.see(Mark::PeerRestarted, known.is_some_and(|known| known < envelope.from_boot));
        }
    }

    fn took_append(&mut self, heard: &Heard, before: &Status, after: &Status) {
        let Heard::Append { term, previous, first, last, commit } = heard else { return };
        self.marks.see(Mark::AppendOfOldTerm, *term < before.term);
        if *term < before.term {
            return;
        }
        self.took_commit(*commit, before, after);
        if before.role == RoleName::Candidate && *term == before.term {
            self.marks.see(Mark::CandidateFollows, after.role == RoleName::Follower);
        }
        if before.role == RoleName::PreCandidate && *term == before.term {
            self.marks.see(Mark::PreVoteInVain, after.role == RoleName::Follower);
        }
        self.marks
            .see(Mark::AppendAtBoundary, previous.index.0 > 0 && previous.index.next() == before.log_start);
        let Some(first) = first else { return };
        let is_conflict = first.index <= before.last.index && after.last != before.last;
        self.marks.see(Mark::ConflictTruncated, is_conflict);
        // Replacing takes away the terms above the common part, and adds at least one.
        self.marks.see(Mark::ConflictTruncatedTerms, is_conflict && after.terms < before.terms);
        let is_joined = first.index == before.last.index.next() && after.last.index > last.index;
        self.marks.see(Mark::ShelfJoined, is_joined);
        self.marks.see(Mark::AppendKnown, last.index <= before.last.index && after.last == before.last);
    }

    fn took_commit(&mut self, commit: Index, before: &Status, after: &Status) {
        if before.role == RoleName::Follower {
            self.marks.see(Mark::CommitClamped, commit > after.commit && commit > before.commit);
        }
    }

    fn took_vote_request(&mut self, heard: &Heard, before: &Status, after: &Status) {
        let Heard::RequestVote { from, term, last } = heard else { return };
        if before.abstaining {
            self.marks.see(Mark::AbstainerAskedForVote, *term >= before.term);
            return;
        }
        self.marks.see(Mark::VoteRefusedSticky, *term > before.term && after.term == before.term);
        if after.term != *term {
            return;
        }
        let is_given = after.vote == Some(*from);
        self.marks.see(
            Mark::VoteRefusedShortLog,
            !is_given && last.term == before.last.term && last.index < before.last.index,
        );
        self.marks.see(
            Mark::VoteRefusedOlderTerm,
            !is_given && last.term < before.last.term && last.index > before.last.index,
        );
        if before.term == *term {
            self.marks.see(Mark::VoteRefusedGiven, before.vote.is_some_and(|vote| vote != *from));
            self.marks.see(Mark::VoteGivenAgain, before.vote == Some(*from));
        }
    }

    fn took_vote(&mut self, node: usize, from: Member, term: Term, before: &Status) {
        let is_new = self.nodes[node].votes.insert((term, from));
        self.marks.see(Mark::VoteAnswerDoubled, !is_new);
        let is_late = term < before.term || before.role != RoleName::Candidate;
        self.marks.see(Mark::VoteAnswerLate, is_new && is_late);
    }

    fn took_chunk(&mut self, node: usize, heard: &Heard, before: &Status, after: &Status) {
        let Heard::Chunk { term, last, offset, end, length } = heard else { return };
        if *term < before.term {
            return;
        }
        self.marks.see(Mark::SnapshotUseless, last.index <= before.commit);
        let memory = &mut self.nodes[node];
        if let Some((which, seen, seen_end)) = memory.transfer
            && which == *last
        {
            self.marks.see(Mark::ChunkOutOfOrder, *offset > seen_end);
            self.marks.see(Mark::ChunkDoubled, *offset == seen && *end > *offset);
        } else {
            self.marks.see(Mark::ChunkOutOfOrder, *offset > 0);
            memory.is_long = *end > *offset && *length / (*end - *offset) >= 10 && *last != before.snapshot;
            self.transfers.begun += u64::from(memory.is_long);
        }
        memory.transfer = Some((*last, *offset, *end));
        self.installed(node, before, after);
    }

    /// A node's disk or a message may have completed a snapshot that came in.
    pub(crate) fn installed(&mut self, node: usize, before: &Status, after: &Status) {
        if after.snapshot.index > before.snapshot.index {
            let memory = &mut self.nodes[node];
            memory.transfer = None;
            self.transfers.finished += u64::from(std::mem::take(&mut memory.is_long));
            self.marks.see(Mark::InstalledOverTail, before.last.index > before.commit);
            // Whoever keeps what comes after the snapshot keeps what nobody confirmed.
            let snapshot = after.snapshot.index;
            self.marks.see(Mark::InstalledUnderTail, before.last.index > snapshot);
            self.marks.see(Mark::InstalledOnNothing, before.last.index.0 == 0);
            self.marks.see(Mark::InstalledOverSnapshot, before.snapshot.index.0 > 0);
        }
    }

    /// A node's disk finished a batch.
    pub(crate) fn batch_done(&mut self, before: &Status, after: &Status) {
        if before.role == RoleName::Candidate {
            self.marks.see(Mark::ElectedByOwnDisk, after.role == RoleName::Leader);
        }
    }

    /// A node took the time.
    pub(crate) fn ticked(&mut self, before: &Status, after: &Status) {
        match before.role {
            RoleName::Leader => {
                self.marks.see(Mark::LeaderLostQuorum, after.role != RoleName::Leader);
            }
            RoleName::Candidate => {
                self.marks.see(Mark::SplitVote, after.role == RoleName::PreCandidate);
            }
            RoleName::Follower | RoleName::PreCandidate => {}
        }
    }

    /// A node became the leader of its term; `older` says whether another one leads an older term still.
    pub(crate) fn elected(&mut self, status: &Status, older: bool) {
        self.marks.see(Mark::TwoLeaders, older);
        // Its own first entry comes on top of what it found.
        let has_more = status.last.index.0 > status.commit.0 + 1;
        self.marks.see(Mark::ElectedWithUncommitted, has_more && !status.progress.is_empty());
    }
}
