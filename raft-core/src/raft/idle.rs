//! What a node that has nothing to do keeps in memory. A host may have thousands of them.

use super::Raft;
use super::role::Role;

impl Raft {
    /// Once for each round of heartbeats, at the leader and at a follower. A log that did not grow since the last one
    /// means that nothing happens here: queues let go of the room that they have left over. It would cost busy nodes an
    /// allocation for each entry, and idle ones do without it.
    pub(super) fn note_round(&mut self) {
        let last = self.log.last().index;
        if self.last_at_round == last {
            self.let_go_of_room();
        }
        self.last_at_round = last;
    }

    fn let_go_of_room(&mut self) {
        self.jitter.let_go_of_room();
        self.log.let_go_of_room();
        self.gate.let_go_of_room();
        self.proposals.let_go_of_room();
        self.reads.let_go_of_room();
        self.loads.let_go_of_room();
        self.configurations.shrink_to_fit();
        self.boots.shrink_to_fit();
        self.unapplied.let_go_of_room();
        self.notices.let_go_of_room();
        if let Role::Leader(leader) = &mut self.role {
            leader.reads.let_go_of_room();
            leader.peers.shrink_to_fit();
            for (_, peer) in &mut leader.peers {
                peer.let_go_of_room();
            }
        }
    }
}
