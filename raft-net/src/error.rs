//! What can go wrong, to what, and what to do about it.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use raft_core::{ClusterId, ConfigError, Member, NodeId, Refused, RestoreError};

use crate::secure::SecureError;
use crate::udp::UdpError;

/// Why a node did not start.
#[derive(Debug)]
pub enum StartError {
    /// A setting can't work.
    Config(ConfigError),
    /// No address is known for a member.
    NoAddress(Member),
    /// The data directory.
    Directory(DirectoryError),
    /// The socket could not be opened.
    Socket(UdpError),
    /// Keys or the table of peers.
    Secure(SecureError),
    /// The system gave no thread or no randomness.
    System(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Config(error) => error.fmt(f),
            StartError::NoAddress(member) => {
                write!(f, "no address is known for {member}: give one for node {}", member.id.0)
            }
            StartError::Directory(error) => error.fmt(f),
            StartError::Socket(error) => error.fmt(f),
            StartError::Secure(error) => error.fmt(f),
            StartError::System(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for StartError {}

impl From<DirectoryError> for StartError {
    fn from(error: DirectoryError) -> StartError {
        StartError::Directory(error)
    }
}

/// What is wrong with a data directory.
#[derive(Debug)]
pub enum DirectoryError {
    /// The system refused.
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// Why not.
        error: io::Error,
    },
    /// Another process, or another node of this one, holds it.
    Locked(PathBuf),
    /// It is to be initialised, and is in use.
    NotEmpty(PathBuf),
    /// It was not, or not completely, initialised.
    NotInitialised(PathBuf),
    /// It is of another cluster than the configuration says.
    WrongCluster {
        /// The directory.
        directory: PathBuf,
        /// What the configuration says.
        expected: ClusterId,
        /// What the directory says.
        found: ClusterId,
    },
    /// It is of another node than the configuration says.
    WrongNode {
        /// The directory.
        directory: PathBuf,
        /// What the configuration says.
        expected: NodeId,
        /// What the directory says.
        found: NodeId,
    },
    /// Its files contradict each other, as when they were mixed from several directories.
    Mixed {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        what: String,
    },
    /// A file of ours is damaged, or of a version that this version does not know.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong there.
        what: String,
    },
    /// A founding record that can't found this directory.
    Founding(String),
    /// The journal can't be recovered.
    Restore {
        /// The directory.
        directory: PathBuf,
        /// Why not.
        error: RestoreError,
    },
    /// The system gave no randomness.
    Random(String),
}

impl fmt::Display for DirectoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DirectoryError::Io { path, doing, error } => {
                write!(f, "{}: can't {doing}: {error}", path.display())
            }
            DirectoryError::Locked(path) => write!(
                f,
                "{}: another process or node holds this data directory; stop that one first",
                path.display()
            ),
            DirectoryError::NotEmpty(path) => {
                write!(f, "{}: not empty; initialise a fresh directory, or serve this one", path.display())
            }
            DirectoryError::NotInitialised(path) => write!(
                f,
                "{}: not an initialised data directory; initialise it first, with the founding record",
                path.display()
            ),
            DirectoryError::WrongCluster { directory, expected, found } => write!(
                f,
                "{}: this directory is of cluster {:016x}, and the configuration says {:016x}; check both",
                directory.display(),
                found.0,
                expected.0
            ),
            DirectoryError::WrongNode { directory, expected, found } => write!(
                f,
                "{}: this directory is of node {}, and the configuration says {}; check both",
                directory.display(),
                found.0,
                expected.0
            ),
            DirectoryError::Mixed { path, what } => {
                write!(f, "{}: {what}; the files of several directories were mixed", path.display())
            }
            DirectoryError::Damaged { path, what } => write!(
                f,
                "{}: {what}; put back a copy of this file, or wipe the directory and join as a new member",
                path.display()
            ),
            DirectoryError::Founding(what) => write!(f, "the founding record: {what}"),
            DirectoryError::Restore { directory, error } => write!(f, "{}: {error}", directory.display()),
            DirectoryError::Random(what) => write!(f, "the system has no random numbers: {what}"),
        }
    }
}

impl std::error::Error for DirectoryError {}

/// Why a command has no response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProposeError {
    /// Only the leader can take it; the leader, where this node knows one. Nothing happened.
    NotLeader(Option<Member>),
    /// It was not accepted. Nothing happened.
    Refused(Refused),
    /// It will never be applied by this request.
    Lost,
    /// **It may or may not be applied, now or later.** Only a session makes a retry safe.
    UnknownOutcome,
    /// Its session is gone. To a client that tried more than once this is as good as unknown.
    Expired,
    /// The node has stopped. Nothing happened.
    Stopped,
}

impl fmt::Display for ProposeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProposeError::NotLeader(leader) => Refused::NotLeader(*leader).fmt(f),
            ProposeError::Refused(refused) => refused.fmt(f),
            ProposeError::Lost => {
                write!(f, "lost: another leader's entry took its place, so it is never applied; try again")
            }
            ProposeError::UnknownOutcome => write!(
                f,
                "unknown: it may or may not be applied, now or later; read before trying again, or retry in a session"
            ),
            ProposeError::Expired => write!(
                f,
                "the session has expired; if this was not the first try, an earlier one may have been applied"
            ),
            ProposeError::Stopped => write!(f, "the node has stopped; nothing happened"),
        }
    }
}

impl std::error::Error for ProposeError {}

/// Why a query has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryError {
    /// It can't be answered now; try again.
    Refused(Refused),
    /// The node has stopped.
    Stopped,
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            QueryError::Refused(refused) => refused.fmt(f),
            QueryError::Stopped => Stopped.fmt(f),
        }
    }
}

impl std::error::Error for QueryError {}

/// The node has stopped; [`Node::stopped`](crate::Node::stopped) says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the node has stopped")
    }
}

impl std::error::Error for Stopped {}

/// Why a node stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// Someone asked for it, or dropped the last handle.
    Shutdown,
    /// An operation on the data directory failed. The node said nothing after it.
    DiskFailed(String),
    /// A batch took longer than [`stop_after`](crate::DiskConfig::stop_after).
    DiskStalled(Duration),
    /// The replica can't go on.
    Replica(raft_core::replica::StopReason),
    /// The event loop or a thread of the disk died: a bug, here or in the state machine, and stopping is the safe thing.
    Broken,
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StopReason::Shutdown => f.write_str("shut down"),
            StopReason::DiskFailed(what) => {
                write!(f, "the disk failed: {what}; mend it, then restart the node to recover")
            }
            StopReason::DiskStalled(after) => {
                write!(f, "the disk has not finished a batch for {after:?}; mend it, then restart the node")
            }
            StopReason::Replica(reason) => reason.fmt(f),
            StopReason::Broken => f.write_str(
                "a task of the node panicked, which is a bug of it or of the state machine: see its log",
            ),
        }
    }
}
