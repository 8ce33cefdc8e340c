//! The settings of a node: as data, as the core takes them, and as they are drawn.

use raft_core::journal::JournalConfig;
use raft_core::replica::ReplicaConfig;
use raft_core::wire::{DATAGRAM_BYTES_MIN, WireConfig};
use raft_core::{Config, Span};
use serde::{Deserialize, Serialize};

use crate::choices::Draw;

/// The settings of a node, as plain numbers. Times are in microseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // The names are those of the settings of raft-core.
pub struct Settings {
    pub election_timeout: u64,
    pub heartbeat_interval: u64,
    pub retransmit_after: u64,
    pub append_bytes_max: u64,
    pub window_bytes_max: u64,
    pub window_appends_max: u64,
    pub uncommitted_bytes_max: u64,
    pub command_bytes_max: u64,
    pub unsynced_bytes_max: u64,
    pub apply_bytes_max: u64,
    pub shelf_bytes_max: u64,
    pub reads_max: u64,
    pub read_timeout: u64,
    pub proposal_timeout: u64,
    pub proposals_max: u64,
    pub sessions_max: u64,
    pub session_bytes_max: u64,
    pub tickets_max: u64,
    pub forwarding: bool,
    pub forward_retry: u64,
    pub segment_bytes: u64,
    pub batch_bytes_max: u64,
    pub retransmit_min: u64,
    pub cache_bytes_max: u64,
    pub chunk_bytes_max: u64,
    pub chunks_in_flight_max: u64,
    pub trailing_entries: u64,
    pub pinned_bytes_max: u64,
    pub commit_notices: bool,
    pub snapshot_after_bytes: u64,
    pub snapshot_after_terms: u64,
    pub recovered_bytes_max: u64,
    pub datagram_bytes_max: u64,
    pub message_bytes_max: u64,
    pub joining_bytes_max: u64,
}

impl Settings {
    /// The settings of the core and the replica.
    #[must_use]
    pub fn replica(&self) -> ReplicaConfig {
        let raft = Config {
            election_timeout: Span(self.election_timeout),
            heartbeat_interval: Span(self.heartbeat_interval),
            retransmit_after: Span(self.retransmit_after),
            retransmit_min: Span(self.retransmit_min),
            cache_bytes_max: self.cache_bytes_max,
            chunk_bytes_max: self.chunk_bytes_max,
            snapshot_bytes_max: raft_core::Config::default().snapshot_bytes_max,
            chunks_in_flight_max: count(self.chunks_in_flight_max),
            trailing_entries: self.trailing_entries,
            pinned_bytes_max: self.pinned_bytes_max,
            commit_notices: self.commit_notices,
            append_bytes_max: self.append_bytes_max,
            window_bytes_max: self.window_bytes_max,
            window_appends_max: count(self.window_appends_max),
            uncommitted_bytes_max: self.uncommitted_bytes_max,
            command_bytes_max: self.command_bytes_max,
            unsynced_bytes_max: self.unsynced_bytes_max,
            apply_bytes_max: self.apply_bytes_max,
            shelf_bytes_max: self.shelf_bytes_max,
            reads_max: count(self.reads_max),
            read_timeout: Span(self.read_timeout),
            proposal_timeout: Span(self.proposal_timeout),
            proposals_max: count(self.proposals_max),
        };
        ReplicaConfig {
            raft,
            sessions_max: count(self.sessions_max),
            session_bytes_max: self.session_bytes_max,
            tickets_max: count(self.tickets_max),
            forwarding: self.forwarding,
            forward_retry: Span(self.forward_retry),
            snapshot_after_bytes: self.snapshot_after_bytes,
            snapshot_after_terms: count(self.snapshot_after_terms),
        }
    }

    /// The settings of the journal.
    #[must_use]
    pub fn journal(&self) -> JournalConfig {
        JournalConfig {
            segment_bytes: self.segment_bytes,
            batch_bytes_max: self.batch_bytes_max,
            recovered_bytes_max: self.recovered_bytes_max,
        }
    }

    /// The settings of the codec.
    #[must_use]
    pub fn wire(&self) -> WireConfig {
        WireConfig {
            datagram_bytes_max: count(self.datagram_bytes_max),
            message_bytes_max: count(self.message_bytes_max),
            joining_bytes_max: count(self.joining_bytes_max),
        }
    }
}

/// A count of things in memory.
fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The settings of a run: every bound from its minimum up. In this order: a decision is known by its place in the stream.
pub(super) fn draw(d: &mut Draw<'_>) -> Settings {
    let timeout = d.log_uniform(30_000, 1_000_000);
    let heartbeat = timeout / d.between(3, 12);
    let command_bytes_max = d.log_uniform(160, 1 << 20);
    let append_bytes_max = d.log_uniform(1, 64 << 10);
    // Room for the largest append and the largest piece of a snapshot.
    let message_bytes_max =
        append_bytes_max + command_bytes_max + (64 << 10) + d.log_uniform(1 << 10, 1 << 16);
    // Snapshots, memory and repair: from a stream of their own, so that they changed no older draw.
    let memory = d.stream("memory", 0, 0);
    // One run in six takes no snapshots.
    let takes_none = d.of(memory).below(6) == 0;
    // Small pieces more often: a transfer of many is what is interrupted.
    let piece_bytes_max = if d.of(memory).below(2) == 0 { 1 << 10 } else { 64 << 10 };
    Settings {
        retransmit_min: d.of(memory).log_uniform(100, timeout / 4),
        cache_bytes_max: if d.of(memory).below(4) == 0 { 0 } else { d.of(memory).log_uniform(64, 1 << 20) },
        chunk_bytes_max: d.of(memory).log_uniform(64, piece_bytes_max),
        chunks_in_flight_max: d.of(memory).log_uniform(1, 16),
        trailing_entries: if d.of(memory).below(2) == 0 { 0 } else { d.of(memory).log_uniform(1, 2_000) },
        pinned_bytes_max: d.of(memory).log_uniform(1, 1 << 20),
        snapshot_after_bytes: if takes_none { u64::MAX } else { d.of(memory).log_uniform(200, 64 << 10) },
        snapshot_after_terms: if takes_none { u64::MAX } else { d.of(memory).log_uniform(2, 1 << 10) },
        recovered_bytes_max: if d.of(memory).below(4) == 0 {
            0
        } else {
            d.of(memory).log_uniform(64, 1 << 20)
        },
        commit_notices: d.of(memory).below(4) != 0,
        election_timeout: timeout,
        heartbeat_interval: heartbeat,
        retransmit_after: d.between(timeout / 8, timeout),
        append_bytes_max,
        window_bytes_max: d.log_uniform(1, 1 << 20),
        window_appends_max: d.log_uniform(1, 64),
        uncommitted_bytes_max: d.log_uniform(64, 1 << 20),
        command_bytes_max,
        unsynced_bytes_max: d.log_uniform(64, 1 << 20),
        apply_bytes_max: d.log_uniform(1, 1 << 20),
        shelf_bytes_max: if d.below(3) == 0 { 0 } else { d.log_uniform(64, 256 << 10) },
        reads_max: d.log_uniform(1, 1 << 10),
        read_timeout: timeout * d.between(1, 10),
        proposal_timeout: timeout * d.between(1, 20),
        proposals_max: d.log_uniform(1, 1 << 10),
        sessions_max: d.log_uniform(2, 64),
        session_bytes_max: d.log_uniform(64, 1 << 16),
        tickets_max: d.log_uniform(2, 1 << 10),
        forwarding: d.below(4) != 0,
        forward_retry: d.between(timeout / 8, timeout * 2),
        segment_bytes: 512 * d.log_uniform(8, 512),
        batch_bytes_max: d.log_uniform(1, 64 << 10),
        datagram_bytes_max: d.log_uniform(DATAGRAM_BYTES_MIN as u64, 1_400),
        message_bytes_max,
        joining_bytes_max: message_bytes_max * d.between(2, 8),
    }
}
