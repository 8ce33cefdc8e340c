//! What a node tells of itself, as JSON: written by the service, read by the command line and the status page.

use serde::{Deserialize, Serialize};

use crate::config::NodeAddresses;

/// `GET /state`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StateReport {
    /// The node's number.
    pub(crate) id: u64,
    /// Which data directory of that node this is.
    pub(crate) incarnation: String,
    /// How often the directory was started.
    pub(crate) boot: u64,
    /// The cluster.
    pub(crate) cluster: String,
    /// follower, pre-candidate, candidate or leader; stopped if it stopped itself.
    pub(crate) role: String,
    /// Its term.
    pub(crate) term: u64,
    /// Whom it voted for in that term.
    pub(crate) vote: Option<u64>,
    /// Who answered its own campaign with a vote, while it is one or leads by it.
    pub(crate) votes_for: Vec<u64>,
    /// Who refused.
    pub(crate) votes_against: Vec<u64>,
    /// The leader of the term, if known.
    pub(crate) leader: Option<u64>,
    /// The last entry of its log.
    pub(crate) last: u64,
    /// Everything through here is synced.
    pub(crate) durable: u64,
    /// Everything through here is committed, as far as it knows.
    pub(crate) commit: u64,
    /// Everything through here is applied.
    pub(crate) applied: u64,
    /// The first entry that its log still has.
    pub(crate) log_start: u64,
    /// The last entry that its snapshot covers; 0 without one.
    pub(crate) snapshot: u64,
    /// Its disk was damaged and is not repaired yet, so it does not vote.
    pub(crate) abstaining: bool,
    /// When leading: how far each peer is.
    pub(crate) peers: Vec<PeerReport>,
    /// The latest changes of leader that this node saw since its start, newest first.
    pub(crate) elections: Vec<ElectionReport>,
    /// Its disk since its start.
    pub(crate) disk: DiskReport,
    /// Keys in the store.
    pub(crate) keys: u64,
    /// A digest of the store, equal on equal stores.
    pub(crate) digest: String,
    /// Why it stopped itself, if it did.
    pub(crate) stopped: Option<String>,
    /// Since the process started.
    pub(crate) uptime_ms: u64,
    /// The process.
    pub(crate) pid: u32,
    /// All nodes of the cluster.
    pub(crate) nodes: Vec<NodeAddresses>,
}

/// How far a peer is, as its leader knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PeerReport {
    /// The peer.
    pub(crate) id: u64,
    /// The next entry that it is sent.
    pub(crate) next_index: u64,
    /// Its log equals the leader's through here.
    pub(crate) match_index: u64,
}

/// A change of leader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ElectionReport {
    /// When this node heard of it, in milliseconds of Unix time.
    pub(crate) at_unix_ms: u64,
    /// The term.
    pub(crate) term: u64,
    /// Who leads it.
    pub(crate) leader: u64,
}

/// What the disk did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DiskReport {
    /// Batches that were synced.
    pub(crate) syncs: u64,
    /// Bytes in them.
    pub(crate) bytes: u64,
    /// Snapshots written.
    pub(crate) snapshots: u64,
    /// The latest sync, in microseconds.
    pub(crate) sync_us_last: u64,
    /// The slowest.
    pub(crate) sync_us_max: u64,
}

/// One line of `GET /connections`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ConnectionReport {
    /// The peer.
    pub(crate) id: u64,
    /// Where it is sent to now.
    pub(crate) address: String,
    /// What the session with it is.
    pub(crate) session: String,
    /// Its age, if there is one.
    pub(crate) session_age_ms: Option<u64>,
    /// Datagrams, and others by name.
    pub(crate) counters: std::collections::BTreeMap<String, u64>,
}

/// One line of `GET /log`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogEntryReport {
    /// Its place.
    pub(crate) index: u64,
    /// The term of the leader that made it.
    pub(crate) term: u64,
    /// command, session, noop, configuration, ...
    pub(crate) kind: String,
    /// Bytes of it.
    pub(crate) bytes: u64,
    /// The command as text, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) command: Option<String>,
}
