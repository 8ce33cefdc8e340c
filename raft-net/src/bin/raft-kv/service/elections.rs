//! Remembers the latest changes of leader, for people.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use raft_net::NodeStatus;
use tokio::sync::watch;

use crate::report::ElectionReport;

/// How many are remembered.
const ELECTIONS_MAX: usize = 32;

/// The latest, newest first.
pub(super) struct Elections(Arc<Mutex<VecDeque<ElectionReport>>>);

impl Elections {
    /// Remembers from now on, until the node is gone.
    pub(super) fn watch(mut status: watch::Receiver<NodeStatus>) -> Elections {
        let seen = Arc::new(Mutex::new(VecDeque::new()));
        let elections = Elections(Arc::clone(&seen));
        tokio::spawn(async move {
            loop {
                let now = status.borrow_and_update().clone();
                note(&seen, &now);
                if status.changed().await.is_err() {
                    return;
                }
            }
        });
        elections
    }

    /// What is remembered.
    pub(super) fn latest(&self) -> Vec<ElectionReport> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

fn note(seen: &Mutex<VecDeque<ElectionReport>>, now: &NodeStatus) {
    let Some(leader) = now.raft.leader else { return };
    let term = now.raft.term.0;
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    if seen.front().is_some_and(|newest| newest.term >= term) {
        return;
    }
    seen.push_front(ElectionReport { at_unix_ms: unix_ms(), term, leader: leader.id.0 });
    seen.truncate(ELECTIONS_MAX);
}

/// For people only: nothing is decided by it.
#[allow(clippy::disallowed_types, reason = "a node has a clock; the ban is for what is simulated")]
fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
