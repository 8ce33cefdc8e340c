//! Another cluster on the same network: its members have the numbers and incarnations of ours, and it is ahead. It is
//! told apart by its id alone, or is the same cluster in another epoch, as after a recovery from a lost quorum.
//!
//! What it says is made of what ours say, so that it is never out of place: it grants what was asked, acknowledges more,
//! has committed more.

use raft_core::{ClusterId, Envelope, Epoch, Index, Message, Round, Term};

use super::World;
use crate::machine::Machine;
use crate::workload::Workload;

/// It is so many entries ahead.
const AHEAD: u64 = 3;

impl<S: Machine, W: Workload<S>> World<S, W> {
    /// Now and then a message of ours is followed by one of the other cluster.
    pub(super) fn send_foreign(&mut self, node: usize, envelope: &Envelope) {
        let stream = self.foreign_stream;
        if self.is_closing() || !self.choices.chance(stream, self.setup.network.foreign_ppm) {
            return;
        }
        let mut foreign = Envelope { message: ahead(&envelope.message), ..envelope.clone() };
        if self.choices.below(stream, 2) == 0 {
            foreign.cluster = ClusterId(envelope.cluster.0 ^ 2);
        } else {
            foreign.epoch = Epoch(envelope.epoch.0 + 1);
        }
        self.send_datagrams(node, &foreign);
    }

    /// Whether a message is of another cluster, or of another epoch of ours.
    pub(super) fn is_foreign(&self, envelope: &Envelope) -> bool {
        (envelope.cluster, envelope.epoch) != (self.cluster(), Epoch(0))
    }

    /// Ours.
    fn cluster(&self) -> ClusterId {
        ClusterId(self.setup.seed | 1)
    }
}

/// What a member of a cluster that is ahead would say.
fn ahead(message: &Message) -> Message {
    let later = |index: Index| Index(index.0 + AHEAD);
    let mut message = message.clone();
    match &mut message {
        Message::PreVote(m) => (m.term, m.last.term) = (Term(m.term.0 + 1), Term(m.last.term.0 + 1)),
        Message::PreVoteAnswer(m) => m.granted = true,
        Message::RequestVote(m) => (m.term, m.last.term) = (Term(m.term.0 + 1), Term(m.last.term.0 + 1)),
        Message::VoteAnswer(m) => m.granted = true,
        Message::Append(m) => m.commit = later(m.commit),
        Message::AppendAcknowledgement(m) => (m.matched, m.round) = (later(m.matched), Round(m.round.0 + 1)),
        Message::AppendRejection(m) => m.round = Round(m.round.0 + 1),
        Message::Heartbeat(m) => m.commit = later(m.commit),
        Message::HeartbeatAnswer(m) => m.round = Round(m.round.0 + 1),
        Message::ReadIndexAnswer(m) => m.round = Round(m.round.0 + 1),
        Message::AbstentionAnswer(m) => m.last = Index(0),
        Message::StaleTerm(m) => m.term = Term(m.term.0 + 1),
        Message::SnapshotChunkAnswer(m) => m.received += AHEAD,
        Message::ReadIndex(_)
        | Message::Abstention(_)
        | Message::Forward(_)
        | Message::ForwardAnswer(_)
        | Message::SnapshotChunk(_) => {}
    }
    message
}
