//! The settings of a replica.

use crate::config::{Config, ConfigError};
use crate::types::Span;

/// Bounds of the replica, beside the core's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaConfig {
    /// The core's.
    pub raft: Config,
    /// Open sessions at most; the one unused for the longest part of the log goes first. Must be the same on all
    /// members, at every restart too: it decides what is applied, so replicas with different bounds diverge.
    pub sessions_max: usize,
    /// Bytes of kept responses at most, over all sessions; each counts [`RESPONSE_OVERHEAD_BYTES`] more than its
    /// length. Must be the same on all members, like `sessions_max`.
    ///
    /// [`RESPONSE_OVERHEAD_BYTES`]: super::sessions::RESPONSE_OVERHEAD_BYTES
    pub session_bytes_max: u64,
    /// Requests under way at most; above it, requests are refused.
    pub tickets_max: usize,
    /// Whether a follower passes proposals on to the leader.
    pub forwarding: bool,
    /// A snapshot is taken when this many bytes of entries were applied since the last one: what a restart replays.
    pub snapshot_after_bytes: u64,
    /// A snapshot is taken too when the log has more terms than this: each costs memory.
    pub snapshot_after_terms: usize,
    /// A forward without an answer is sent again after this span, then after twice as long, up to 64 times: to the same
    /// leader of the same term only.
    pub forward_retry: Span,
}

impl ReplicaConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// The first setting that can't work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let rules = [
            (self.sessions_max > 0, "sessions_max"),
            (self.session_bytes_max > 0, "session_bytes_max"),
            (self.tickets_max > 0, "tickets_max"),
            (self.snapshot_after_bytes > 0, "snapshot_after_bytes"),
            (self.snapshot_after_terms > 0, "snapshot_after_terms"),
            (self.forward_retry.0 > 0, "forward_retry"),
        ];
        for (holds, setting) in rules {
            if !holds {
                return Err(ConfigError { setting, rule: "must be above zero" });
            }
        }
        self.raft.validate()
    }
}

impl Default for ReplicaConfig {
    fn default() -> ReplicaConfig {
        ReplicaConfig {
            raft: Config::default(),
            sessions_max: 65_536,
            session_bytes_max: 64 << 20,
            tickets_max: 65_536,
            forwarding: true,
            snapshot_after_bytes: 16 << 20,
            snapshot_after_terms: 1_024,
            forward_retry: Span::from_millis(200),
        }
    }
}
