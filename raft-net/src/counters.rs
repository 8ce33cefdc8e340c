//! The figures of a node as metrics, under the names of a recorder that the host installs, if it does.
//!
//! | metric | kind | meaning |
//! |---|---|---|
//! | `raft_term`, `raft_commit_index`, `raft_applied_index` | gauge | as in the paper |
//! | `raft_is_leader` | gauge | 1 when leading |
//! | `raft_elections_total` | counter | changes of leader seen |
//! | `raft_requests_total{outcome}` | counter | proposals and linearizable queries by how they ended |
//! | `raft_disk_batches_total`, `raft_disk_syncs_total`, `raft_disk_bytes_total`, `raft_disk_entries_total` | counter | what the journal did |
//! | `raft_disk_batch_seconds` | histogram | from a batch's hand-over to its end |
//! | `raft_disk_sync_seconds` | histogram | the slowest sync of each batch |
//! | `raft_datagrams_in_total`, `raft_datagrams_out_total`, `raft_datagrams_unsent_total` | counter | the socket |
//! | `raft_receive_errors_total` | counter | how often the socket could not be read from |
//! | `raft_dropped_total{reason}` | counter | what arrived and was dropped |
//!
//! Each carries `node`, the node's number.

use std::collections::BTreeMap;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use raft_core::{NodeId, RoleName};

use crate::disk::BatchReport;
use crate::status::NodeStatus;

/// Handles that were looked up once.
pub(crate) struct Counters {
    node: String,
    term: Gauge,
    commit: Gauge,
    applied: Gauge,
    is_leader: Gauge,
    elections: Counter,
    batches: Counter,
    syncs: Counter,
    bytes: Counter,
    entries: Counter,
    batch_seconds: Histogram,
    sync_seconds: Histogram,
    datagrams_in: Counter,
    datagrams_out: Counter,
    datagrams_unsent: Counter,
    receive_errors: Counter,
    outcomes: BTreeMap<&'static str, Counter>,
    dropped: BTreeMap<&'static str, Counter>,
}

impl Counters {
    pub(crate) fn new(id: NodeId) -> Counters {
        let node = id.0.to_string();
        let label = || ("node", node.clone());
        Counters {
            term: gauge!("raft_term", &[label()]),
            commit: gauge!("raft_commit_index", &[label()]),
            applied: gauge!("raft_applied_index", &[label()]),
            is_leader: gauge!("raft_is_leader", &[label()]),
            elections: counter!("raft_elections_total", &[label()]),
            batches: counter!("raft_disk_batches_total", &[label()]),
            syncs: counter!("raft_disk_syncs_total", &[label()]),
            bytes: counter!("raft_disk_bytes_total", &[label()]),
            entries: counter!("raft_disk_entries_total", &[label()]),
            batch_seconds: histogram!("raft_disk_batch_seconds", &[label()]),
            sync_seconds: histogram!("raft_disk_sync_seconds", &[label()]),
            datagrams_in: counter!("raft_datagrams_in_total", &[label()]),
            datagrams_out: counter!("raft_datagrams_out_total", &[label()]),
            datagrams_unsent: counter!("raft_datagrams_unsent_total", &[label()]),
            receive_errors: counter!("raft_receive_errors_total", &[label()]),
            outcomes: BTreeMap::new(),
            dropped: BTreeMap::new(),
            node,
        }
    }

    /// A request ended.
    pub(crate) fn outcome(&mut self, outcome: &'static str) {
        let node = &self.node;
        let counter = self.outcomes.entry(outcome);
        let labels = || [("node", node.clone()), ("outcome", String::from(outcome))];
        counter.or_insert_with(|| counter!("raft_requests_total", &labels())).increment(1);
    }

    /// A batch is durable.
    pub(crate) fn batch(&self, report: &BatchReport) {
        self.batch_seconds.record(report.elapsed);
        self.sync_seconds.record(report.sync_max);
    }

    /// What was dropped so far for a reason.
    pub(crate) fn dropped(&mut self, reason: &'static str, total: u64) {
        let node = &self.node;
        let labels = || [("node", node.clone()), ("reason", String::from(reason))];
        let counter = self.dropped.entry(reason).or_insert_with(|| counter!("raft_dropped_total", &labels()));
        counter.absolute(total);
    }

    /// Brings all that the status tells up to date.
    pub(crate) fn publish(&self, status: &NodeStatus) {
        self.term.set(status.raft.term.0 as f64);
        self.commit.set(status.raft.commit.0 as f64);
        self.applied.set(status.raft.applied.0 as f64);
        self.is_leader.set(if status.raft.role == RoleName::Leader { 1.0 } else { 0.0 });
        self.elections.absolute(status.elections);
        self.batches.absolute(status.disk.batches);
        self.syncs.absolute(status.disk.syncs);
        self.bytes.absolute(status.disk.bytes);
        self.entries.absolute(status.disk.entries);
        self.datagrams_in.absolute(status.network.datagrams_in);
        self.datagrams_out.absolute(status.network.datagrams_out);
        self.datagrams_unsent.absolute(status.network.datagrams_unsent);
        self.receive_errors.absolute(status.network.receive_errors);
    }
}
