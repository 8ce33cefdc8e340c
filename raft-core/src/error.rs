//! Three kinds of failure, three types: the caller asked too much ([`Refused`]), a peer did what Raft forbids
//! ([`Violation`]), the disk can't be trusted ([`RestoreError`]). Our own mistakes panic.

use alloc::string::String;
use core::fmt;

use crate::config::ConfigError;
use crate::types::{Boot, LogId, Member, Term};

/// The caller asked for something that can't be now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Only the leader can do it. The leader, where this node knows one.
    NotLeader(Option<Member>),
    /// The command is larger than `command_bytes_max`.
    TooLarge {
        /// The command's bytes.
        bytes: u64,
        /// The bound.
        bytes_max: u64,
    },
    /// A bound of [`Config`](crate::Config) is reached; try again when earlier work is done.
    Busy(&'static str),
    /// No answer in time: nothing happened, or nobody knows of it.
    TimedOut,
    /// Leadership changed before the answer.
    LeaderChanged,
    /// The snapshot can't be taken over, and why.
    Snapshot(&'static str),
    /// The command's own encoding fails, or does not read what it wrote.
    Unencodable,
    /// The host reported a failed disk, or this node stopped itself.
    Stopped,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::NotLeader(Some(leader)) => write!(f, "not the leader: ask {leader}"),
            Refused::NotLeader(None) => write!(f, "not the leader, and no leader is known"),
            Refused::TooLarge { bytes, bytes_max } => {
                write!(f, "the command has {bytes} bytes, more than the {bytes_max} allowed")
            }
            Refused::Busy(bound) => write!(f, "busy: {bound} is reached; try again later"),
            Refused::TimedOut => write!(f, "no answer in time"),
            Refused::LeaderChanged => write!(f, "the leader changed before the answer; try again"),
            Refused::Snapshot(why) => write!(f, "the snapshot is of no use: {why}"),
            Refused::Unencodable => {
                write!(f, "the command can't be encoded, or not read back; mend its type")
            }
            Refused::Stopped => write!(f, "this node has stopped; restart it"),
        }
    }
}

impl core::error::Error for Refused {}

/// A peer did what Raft forbids, or a message is impossible. It is reported and survived; the message is dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A message for another cluster or epoch, or for another member, or from this member itself.
    Misaddressed,
    /// A message from a server that the configuration knows under another incarnation, or not at all.
    Stranger(Member),
    /// A peer came back with a lower boot than it had: its disk was restored from an old backup, or the message is
    /// very old.
    BootWentBack {
        /// The peer.
        member: Member,
        /// The boot remembered.
        known: Boot,
        /// The boot in the message.
        seen: Boot,
    },
    /// A peer speaks with a boot that is further above the last one than restarts can explain; see [`Boot::AHEAD_MAX`].
    ImpossibleBoot {
        /// The peer.
        member: Member,
        /// The boot remembered; zero if none is.
        known: Boot,
        /// The boot in the message.
        seen: Boot,
    },
    /// A term beyond [`Term::MAX`], or more than [`Term::AHEAD_MAX`] ahead of this node's.
    ImpossibleTerm(Term),
    /// Entries that are not consecutive, or of a term above the message's, or of falling terms.
    MalformedEntries(LogId),
    /// Two leaders in one term (Raft §5.2, Election Safety).
    TwoLeaders {
        /// The term.
        term: Term,
        /// The leader known.
        known: Member,
        /// The other.
        other: Member,
    },
    /// An append would replace a committed entry (Raft §5.4, Leader Completeness).
    CommittedConflict {
        /// The entry here.
        ours: LogId,
        /// The entry in the message.
        theirs: LogId,
    },
    /// An append would replace an entry that this very leader confirmed in this term (Raft §5.3, Leader Append-Only).
    LeaderRewrote {
        /// The entry here.
        ours: LogId,
        /// The entry in the message.
        theirs: LogId,
    },
    /// An acknowledgement beyond the end of the log that it acknowledges.
    AcknowledgedBeyondLog(Member),
    /// A piece outside its snapshot, or of a snapshot that can't be.
    MalformedSnapshot(LogId),
    /// A snapshot that is named longer than this node takes; see
    /// [`Config::snapshot_bytes_max`](crate::config::Config::snapshot_bytes_max).
    SnapshotTooLarge {
        /// Its last entry.
        last: LogId,
        /// Its length.
        bytes: u64,
        /// What this node takes.
        bytes_max: u64,
    },
    /// A whole snapshot came, and its digest is wrong: the sender's disk, or its state machine's `write`, is not to be
    /// trusted. It is asked for again.
    SnapshotDigest(Member),
    /// A message kind that the core does not handle: forwards belong to the replica.
    NotForTheCore,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::Misaddressed => write!(f, "a message for another cluster, epoch or member"),
            Violation::Stranger(member) => write!(f, "a message from {member}, which is not a member"),
            Violation::BootWentBack { member, known, seen } => write!(
                f,
                "{member} speaks with boot {seen} after boot {known}: an old message, or a disk restored from a backup"
            ),
            Violation::ImpossibleBoot { member, known, seen } => {
                write!(f, "{member} speaks with boot {seen} after boot {known}: no member restarts so often")
            }
            Violation::ImpossibleTerm(term) => write!(f, "a message of the impossible term {term}"),
            Violation::MalformedEntries(at) => write!(f, "entries out of order at {at}"),
            Violation::TwoLeaders { term, known, other } => {
                write!(f, "two leaders in {term}: {known} and {other}")
            }
            Violation::CommittedConflict { ours, theirs } => {
                write!(f, "an append would replace the committed entry {ours} by {theirs}")
            }
            Violation::LeaderRewrote { ours, theirs } => {
                write!(f, "the leader would replace {ours}, which it had confirmed itself, by {theirs}")
            }
            Violation::AcknowledgedBeyondLog(member) => {
                write!(f, "{member} acknowledged entries that do not exist")
            }
            Violation::MalformedSnapshot(at) => write!(f, "a piece of an impossible snapshot of {at}"),
            Violation::SnapshotTooLarge { last, bytes, bytes_max } => write!(
                f,
                "a snapshot of {last} with {bytes} bytes, and snapshot_bytes_max is {bytes_max}: raise it on every member if the state is so large"
            ),
            Violation::SnapshotDigest(member) => {
                write!(f, "a snapshot from {member} is not what its digest says; it is asked for again")
            }
            Violation::NotForTheCore => write!(f, "a message kind that the replica handles"),
        }
    }
}

impl core::error::Error for Violation {}

/// A node can't start from what is on its disk. Names the file, the offset and the cure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestoreError {
    /// The settings can't work.
    Config(ConfigError),
    /// The directory was never initialised.
    NotInitialised,
    /// A file belongs to another cluster, epoch or member.
    WrongIdentity {
        /// The file.
        file: String,
        /// What is wrong.
        what: String,
    },
    /// Something that was synced is damaged. Recover as a damaged node, which abstains until it is repaired.
    Damaged {
        /// The file.
        file: String,
        /// The byte at which the damaged sector or record starts.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// Both copies of a hard-state record are damaged that may have been the newest, so a vote may be forgotten. Wipe the
    /// directory and let the server rejoin as a new member.
    HardStateLost {
        /// The slot in both files.
        slot: u64,
    },
    /// Damage at a member that is the only voter: no other copy exists. Use quorum-loss recovery.
    SoleVoterDamaged {
        /// The file.
        file: String,
        /// The byte at which the damage starts.
        offset: u64,
    },
    /// The disk refuses to give a file's bytes.
    Unreadable {
        /// The file.
        file: String,
        /// What the disk said.
        what: String,
    },
    /// A file of a format version that this version does not know, or that contradicts itself.
    Unsupported {
        /// The file.
        file: String,
        /// What is wrong.
        what: String,
    },
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RestoreError::Config(error) => error.fmt(f),
            RestoreError::NotInitialised => {
                write!(f, "the data directory is not initialised; initialise it first")
            }
            RestoreError::WrongIdentity { file, what } => {
                write!(f, "{file}: {what}; check the data directory and the configuration")
            }
            RestoreError::Damaged { file, offset, what } => write!(
                f,
                "{file}: damaged at byte {offset}: {what}; this was synced, so recover as a damaged node, \
                 which abstains from elections until its peers have repaired it"
            ),
            RestoreError::HardStateLost { slot } => write!(
                f,
                "both hard-state files are damaged in slot {slot}, which may have held the newest vote; wipe the \
                 directory and let the server join again as a new member"
            ),
            RestoreError::SoleVoterDamaged { file, offset } => write!(
                f,
                "{file}: damaged at byte {offset}, and this is the only voter, so no peer can repair it; \
                 restore a backup or use quorum-loss recovery"
            ),
            RestoreError::Unreadable { file, what } => {
                write!(f, "{file} can't be read: {what}; check the disk, then start again")
            }
            RestoreError::Unsupported { file, what } => write!(f, "{file}: {what}"),
        }
    }
}

impl core::error::Error for RestoreError {}
