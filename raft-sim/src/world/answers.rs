//! How long a request waits while a leader is in reach: no read should wait for a heartbeat, and none for a timer. It is
//! reported, in hundredths of what should do, and fails no run.
//!
//! It is asked of the healed core while clients ask, where its links lose nothing and its leader has room for the read of
//! every client (a question that comes when there is none is not answered, but repeated): then no timer is needed.
//!
//! **The bound.** A request at a follower takes a way to the leader, a round or an append with its acknowledgement, and the
//! news of the commit: two round trips, and as much for what the answer waits for before. Each client has one request
//! under way, and with the smallest window, disk and apply bounds they go one after the other: an entry each, two batches
//! that were begun before, and what is read back to be applied. One sync takes up to 32 times the mean. Where followers are
//! not told of a commit, the next heartbeat tells them.

use raft_core::replica::Ticket;

use super::World;
use super::liveness::{Phase, Reign, Stage};
use crate::machine::Machine;
use crate::measures::Measure;
use crate::schedule::nodes_of;
use crate::swarm::Noise;
use crate::workload::Workload;

/// A request that a node took while all followed one leader.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    ticket: Ticket,
    at: u64,
    reign: Reign,
}

/// The longest that any of them waits, once those that another leader must answer are left out.
fn longest_wait(taken: &mut Vec<Taken>, reign: Option<Reign>, now: u64) -> Option<u64> {
    taken.retain(|one| Some(one.reign) == reign);
    taken.iter().map(|one| now - one.at).max()
}

impl<S: Machine, W: Workload<S>> World<S, W> {
    /// A node took a request.
    pub(super) fn note_taken(&mut self, node: usize, ticket: Ticket) {
        let Phase::Closing { core, stage: Stage::Asking { .. }, .. } = self.phase else { return };
        let (network, reads_max) = (&self.setup.network, self.setup.settings.reads_max);
        let is_quiet = network.noise == Noise::default() && network.bytes_per_second == 0;
        let has_room = reads_max > 2 * u64::from(self.setup.load.clients);
        if core >> node & 1 == 0 || !is_quiet || !has_room {
            return;
        }
        let (at, reign) = (self.now, self.reign(core));
        if let (Some(reign), Some(running)) = (reign, self.nodes[node].running_mut()) {
            running.taken.push(Taken { ticket, at, reign });
        }
    }

    /// A node answers a request, whatever it says.
    pub(super) fn note_answered(&mut self, node: usize, ticket: Ticket) {
        let Some(running) = self.nodes[node].running_mut() else { return };
        let Some(place) = running.taken.iter().position(|one| one.ticket == ticket) else { return };
        let one = running.taken.swap_remove(place);
        let Phase::Closing { core, .. } = self.phase else { return };
        if Some(one.reign) == self.reign(core) {
            self.waited(self.now - one.at);
        }
    }

    /// Looks for requests that wait for too long.
    pub(super) fn note_waiting(&mut self, core: u16) {
        let (now, reign) = (self.now, self.reign(core));
        for node in nodes_of(core) {
            let Some(running) = self.nodes[node].running_mut() else { continue };
            if let Some(waits) = longest_wait(&mut running.taken, reign, now) {
                self.waited(waits);
            }
        }
    }

    fn waited(&mut self, span: u64) {
        let bound = self.answer_bound();
        self.measures.note(Measure::SlowestAnswer, span * 100 / bound);
    }

    fn answer_bound(&self) -> u64 {
        let (settings, sync) = (&self.setup.settings, self.setup.disk.sync_latency);
        let clients = u64::from(self.setup.load.clients);
        let news = if settings.commit_notices { 0 } else { settings.heartbeat_interval * 5 / 4 };
        4 * self.round_trip() + (clients + 3) * self.entry_span() + 32 * sync + news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_another_leader_is_left_out() {
        let (old, new) = (Reign::of(0, 1), Reign::of(1, 2));
        let mut taken = vec![
            Taken { ticket: Ticket(1), at: 10, reign: old },
            Taken { ticket: Ticket(2), at: 30, reign: new },
            Taken { ticket: Ticket(3), at: 20, reign: new },
        ];
        assert_eq!(longest_wait(&mut taken, Some(new), 100), Some(80));
        assert_eq!(taken.len(), 2);
        assert_eq!(longest_wait(&mut taken, None, 100), None);
    }
}
