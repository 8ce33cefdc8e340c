//! Every bound and every time of a node, in one place.

use crate::types::Span;

/// The settings of a node. All members of a cluster should use the same times.
///
/// # Example
/// ```
/// let config = raft_core::Config::default();
/// assert!(config.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// A follower that hears nothing for a random span of one to two of these campaigns (Raft §5.2).
    pub election_timeout: Span,
    /// A leader is heard at least this often. At most a third of the election timeout.
    pub heartbeat_interval: Span,
    /// What is not acknowledged in this span is sent again. Once round trips are known, in twice their usual time, but
    /// never sooner than `retransmit_min` and later than this only where the round trips themselves are longer.
    pub retransmit_after: Span,
    /// See `retransmit_after`.
    pub retransmit_min: Span,
    /// Bytes of entries in one append. At least one entry always fits.
    pub append_bytes_max: u64,
    /// Bytes of unacknowledged entries to one follower.
    pub window_bytes_max: u64,
    /// Unacknowledged appends to one follower.
    pub window_appends_max: usize,
    /// Bytes of entries that a leader holds uncommitted; above it, proposals are refused.
    pub uncommitted_bytes_max: u64,
    /// Bytes of one command; a longer one is refused.
    pub command_bytes_max: u64,
    /// Bytes of writes handed out and not yet durable; above it, proposals are refused.
    pub unsynced_bytes_max: u64,
    /// Bytes of entries applied and not yet confirmed by `handle_applied`; above it, no more are handed out.
    pub apply_bytes_max: u64,
    /// Bytes of appends that arrived ahead of their predecessors; 0 keeps none.
    pub shelf_bytes_max: u64,
    /// Bytes of entries kept in memory after they are durable and applied; what is let go is read back from the disk
    /// when a follower needs it. 0 keeps none.
    pub cache_bytes_max: u64,
    /// Bytes of one piece of a snapshot.
    pub chunk_bytes_max: u64,
    /// Bytes of a snapshot. A longer one is neither taken over from this node's state machine nor from a leader, and no disk
    /// is asked for its room. Give every member the same.
    pub snapshot_bytes_max: u64,
    /// Pieces of a snapshot under way to one follower.
    pub chunks_in_flight_max: usize,
    /// Entries kept before a snapshot's last one, so that a follower that is a little behind needs no snapshot.
    pub trailing_entries: u64,
    /// While a follower receives a snapshot, no new one takes its place before this many bytes of entries were applied
    /// after it.
    pub pinned_bytes_max: u64,
    /// Whether followers are told at once what was committed. If not, they learn it from the next append or heartbeat:
    /// a third fewer messages for commands that come one by one, and until the next heartbeat arrives followers neither
    /// apply the last of them nor answer their own clients.
    pub commit_notices: bool,
    /// Reads that wait for their index; above it, reads are refused.
    pub reads_max: usize,
    /// A read without an answer after this span fails.
    pub read_timeout: Span,
    /// A proposal whose fate is not known after this span is reported as unknown.
    pub proposal_timeout: Span,
    /// Proposals of this node whose fate is not known yet; above it, proposals are refused.
    pub proposals_max: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            election_timeout: Span::from_millis(300),
            heartbeat_interval: Span::from_millis(50),
            retransmit_after: Span::from_millis(100),
            retransmit_min: Span::from_millis(5),
            append_bytes_max: 64 << 10,
            window_bytes_max: 1 << 20,
            window_appends_max: 64,
            uncommitted_bytes_max: 16 << 20,
            command_bytes_max: 1 << 20,
            unsynced_bytes_max: 16 << 20,
            apply_bytes_max: 4 << 20,
            shelf_bytes_max: 256 << 10,
            cache_bytes_max: 16 << 20,
            chunk_bytes_max: 64 << 10,
            snapshot_bytes_max: 64 << 30,
            chunks_in_flight_max: 8,
            trailing_entries: 1_024,
            pinned_bytes_max: 64 << 20,
            commit_notices: true,
            reads_max: 16_384,
            read_timeout: Span::from_millis(3_000),
            proposal_timeout: Span::from_millis(10_000),
            proposals_max: 65_536,
        }
    }
}

/// A setting that can't work, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The field.
    pub setting: &'static str,
    /// What it must be.
    pub rule: &'static str,
}

impl core::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "config: {} {}", self.setting, self.rule)
    }
}

impl core::error::Error for ConfigError {}

impl Config {
    /// Checks the settings against each other.
    ///
    /// # Errors
    /// The first setting that can't work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let rules = [
            (self.heartbeat_interval.0 > 0, "heartbeat_interval", "must be above zero"),
            (
                self.election_timeout.0 / 3 >= self.heartbeat_interval.0,
                "election_timeout",
                "must be at least three heartbeat intervals",
            ),
            (self.election_timeout.0 < 1 << 48, "election_timeout", "must be below 2^48 microseconds"),
            (self.retransmit_after.0 > 0, "retransmit_after", "must be above zero"),
            (self.append_bytes_max > 0, "append_bytes_max", "must be above zero"),
            (self.window_bytes_max > 0, "window_bytes_max", "must be above zero"),
            (self.window_appends_max > 0, "window_appends_max", "must be above zero"),
            (self.uncommitted_bytes_max > 0, "uncommitted_bytes_max", "must be above zero"),
            (self.unsynced_bytes_max > 0, "unsynced_bytes_max", "must be above zero"),
            (self.apply_bytes_max > 0, "apply_bytes_max", "must be above zero"),
            (self.chunk_bytes_max > 0, "chunk_bytes_max", "must be above zero"),
            (self.chunk_bytes_max <= 1 << 20, "chunk_bytes_max", "must be at most 2^20"),
            (self.snapshot_bytes_max > 0, "snapshot_bytes_max", "must be above zero"),
            (self.chunks_in_flight_max > 0, "chunks_in_flight_max", "must be above zero"),
            (self.reads_max > 0, "reads_max", "must be above zero"),
            (self.read_timeout.0 > 0, "read_timeout", "must be above zero"),
            (self.proposal_timeout.0 > 0, "proposal_timeout", "must be above zero"),
            (self.proposals_max > 0, "proposals_max", "must be above zero"),
        ];
        for (holds, setting, rule) in rules {
            if !holds {
                return Err(ConfigError { setting, rule });
            }
        }
        Ok(())
    }
}
