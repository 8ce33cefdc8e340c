//! What the term of a message means (Raft §5.1), before anything else of it is looked at.

use super::{Raft, Sender};
use crate::message::{Message, StaleTerm};
use crate::types::Round;

impl Raft {
    /// Settles what the message's term means (Raft §5.1). True: the message is dealt with.
    pub(super) fn is_overruled(&mut self, from: &Sender, message: &Message) -> bool {
        let term = message.term();
        if let Message::PreVote(_) = message {
            return false; // It changes nothing here; its handler compares the terms.
        }
        if let Message::RequestVote(m) = message
            && term >= self.hard_state.term
            && !m.transfer
            && self.is_sticky()
        {
            return true;
        }
        if term > self.hard_state.term {
            self.adopt_term(term);
        }
        if term == self.hard_state.term {
            return false;
        }
        match outdated(message) {
            Outdated::Counts => return false,
            Outdated::Void => {}
            // A deposed leader or an old candidate must learn of it, or it would go on for ever.
            Outdated::Told(round) => {
                let answer = Message::StaleTerm(StaleTerm { term: self.hard_state.term, round });
                self.hold(self.gate.term_write(), from, answer);
            }
        }
        true
    }
}

/// What a message of an earlier term is worth.
enum Outdated {
    /// As much as any other.
    Counts,
    /// Nothing.
    Void,
    /// Nothing, and its sender is told, in answer to this round.
    Told(Round),
}

fn outdated(message: &Message) -> Outdated {
    match message {
        Message::Append(m) => Outdated::Told(m.round),
        Message::SnapshotChunk(m) => Outdated::Told(m.round),
        Message::Heartbeat(m) => Outdated::Told(m.round),
        Message::RequestVote(_) => Outdated::Told(Round(0)),
        // A pre-vote is granted by nodes of lower terms too.
        Message::PreVote(_) | Message::PreVoteAnswer(_) => Outdated::Counts,
        Message::VoteAnswer(_)
        | Message::AppendAcknowledgement(_)
        | Message::AppendRejection(_)
        | Message::HeartbeatAnswer(_)
        | Message::StaleTerm(_)
        | Message::ReadIndex(_)
        | Message::ReadIndexAnswer(_)
        | Message::Abstention(_)
        | Message::AbstentionAnswer(_)
        | Message::Forward(_)
        | Message::ForwardAnswer(_)
        | Message::SnapshotChunkAnswer(_) => Outdated::Void,
    }
}
