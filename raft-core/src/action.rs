//! What a node asks its host to do.

use alloc::vec::Vec;

use crate::entry::Entries;
use crate::error::Refused;
use crate::load::LoadRequest;
use crate::message::Envelope;
use crate::snapshot::{Chunk, SnapshotMeta};
use crate::types::{Index, LogId, Member, ReadId, Term};
use crate::write::Persist;

/// Something for the host to do. Each may be performed the moment it is seen.
///
/// Exhaustive on purpose: a new kind of work breaks the build of every host, so that none forgets it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Action {
    /// Send it. It may be lost, doubled or reordered.
    Send(Envelope),
    /// Write it, sync it, hand back its [`durable`](Persist::durable).
    Persist(Persist),
    /// A piece of an incoming snapshot: write it to a file of its own, beside everything else, and sync it; then
    /// `handle_received`, or `handle_no_room`. Nothing but the installation waits for it.
    Receive(Chunk),
    /// Committed and durable here: apply them, in order, once; confirm with `handle_applied`.
    Apply(Entries),
    /// A snapshot, durable here, replaces the state machine's state: one that was installed, or, first of all after a
    /// start, the one on the disk. Confirm with `handle_applied` of its last index. Ordered among the `Apply`s: none comes before the confirmation.
    Restore(SnapshotMeta),
    /// Read it back from the disk; hand the result to `handle_loaded`, whatever it is.
    Load(LoadRequest),
    /// The read may be answered from a state applied through the index.
    ReadReady(ReadId, Index),
    /// The read can't be answered; nothing happened.
    ReadFailed(ReadId, Refused),
    /// Another entry is committed at the proposal's index: it can never commit.
    Lost(LogId),
    /// The proposal's deadline passed, or a snapshot covers it: it may or may not commit, or have committed. No more
    /// will be said of it.
    Unknown(LogId),
    /// The node's role, term or leader changed.
    RoleChanged(RoleChange),
}

/// What a node is (Raft §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RoleName {
    /// It follows a leader, or waits for one.
    Follower,
    /// It asks whether an election could be won.
    PreCandidate,
    /// It asks for votes.
    Candidate,
    /// It leads.
    Leader,
}

/// A change of role, term or leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleChange {
    /// The role now.
    pub role: RoleName,
    /// The term now.
    pub term: Term,
    /// The leader of that term, if known.
    pub leader: Option<Member>,
}

/// What a node knows of itself, for people and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The node.
    pub member: Member,
    /// Its role.
    pub role: RoleName,
    /// Its term.
    pub term: Term,
    /// Its vote in that term.
    pub vote: Option<Member>,
    /// The leader of that term, if known.
    pub leader: Option<Member>,
    /// Its disk was damaged and is not repaired yet.
    pub abstaining: bool,
    /// Its last entry.
    pub last: LogId,
    /// Everything through here is synced.
    pub durable: Index,
    /// Everything through here is committed, as far as it knows.
    pub commit: Index,
    /// Everything through here was handed out to apply.
    pub applying: Index,
    /// Everything through here was confirmed by `handle_applied`.
    pub applied: Index,
    /// Per peer, when leading: (member, next index, match index).
    pub progress: Vec<(Member, Index, Index)>,
    /// Bytes of the log's entries in memory.
    pub log_bytes: u64,
    /// How many terms the log has.
    pub terms: usize,
    /// The log's first entry, which may be one after its last.
    pub log_start: Index,
    /// The last entry that the current snapshot covers; index 0 without one.
    pub snapshot: LogId,
}
