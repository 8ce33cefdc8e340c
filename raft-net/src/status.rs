//! What a node tells of itself.

use raft_core::{Boot, ClusterId, Entry, Epoch, Index, Member, Payload, Status, Term};

use crate::error::StopReason;

/// What a node knows of itself. At most some milliseconds old.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeStatus {
    /// Role, term, vote, leader, log, and the peers' progress when leading.
    pub raft: Status,
    /// The cluster.
    pub cluster: ClusterId,
    /// The cluster's epoch.
    pub epoch: Epoch,
    /// How often the directory was recovered.
    pub boot: Boot,
    /// Who granted this node a vote in its term, as far as answers arrived; itself not counted.
    pub votes_for: Vec<Member>,
    /// Who refused it.
    pub votes_against: Vec<Member>,
    /// Changes of leader seen in this boot.
    pub elections: u64,
    /// What the disk did.
    pub disk: DiskFigures,
    /// What the network did.
    pub network: NetworkFigures,
    /// Why the node stopped, once it has.
    pub stopped: Option<StopReason>,
}

/// What the disk did in this boot, recovery excluded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskFigures {
    /// Batches.
    pub batches: u64,
    /// Calls of fdatasync and fsync.
    pub syncs: u64,
    /// Entries made durable.
    pub entries: u64,
    /// Bytes written, padding included, snapshots not.
    pub bytes: u64,
    /// Snapshots written.
    pub snapshots: u64,
    /// Bytes of the content of the last one.
    pub snapshot_bytes_last: u64,
    /// Microseconds that the last batch took.
    pub batch_us_last: u64,
    /// Microseconds that the slowest took.
    pub batch_us_max: u64,
    /// Microseconds that the last sync took.
    pub sync_us_last: u64,
    /// Microseconds that the slowest sync took.
    pub sync_us_max: u64,
}

/// What the network did in this boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetworkFigures {
    /// Datagrams that arrived, whatever they were.
    pub datagrams_in: u64,
    /// How often the socket could not be read from.
    pub receive_errors: u64,
    /// Datagrams handed to the kernel.
    pub datagrams_out: u64,
    /// Datagrams that the kernel had no room for.
    pub datagrams_unsent: u64,
    /// Messages that reached the core.
    pub messages_in: u64,
    /// Messages of the core's.
    pub messages_out: u64,
    /// Datagrams and messages that arrived and were dropped, for whatever reason.
    pub dropped: u64,
}

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Its position.
    pub index: Index,
    /// Its term.
    pub term: Term,
    /// Its kind, in the words of the core.
    pub kind: &'static str,
    /// A command's bytes: a [`ReplicaCommand`](raft_core::replica::command::ReplicaCommand).
    pub command: Option<Vec<u8>>,
}

impl LogLine {
    pub(crate) fn of(entry: &Entry) -> LogLine {
        let (kind, command) = match &entry.payload {
            Payload::Noop => ("noop", None),
            Payload::Command(bytes) => ("command", Some(bytes.to_vec())),
            Payload::Configuration(_) => ("configuration", None),
            Payload::FeatureLevel(_) => ("feature level", None),
            Payload::Digest { .. } => ("digest", None),
        };
        LogLine { index: entry.index, term: entry.term, kind, command }
    }
}
